"""Start, find, watch, stop and resume runs. Nothing here imports torch: a run computes in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.catalog import losses, models
from workbench.data.prepare import prepare
from workbench.errors import DataError, MissingPackage, ModelError, RecipeError, RunError, WorkbenchError
from workbench.recipe import Recipe, read_settings
from workbench.training import records
from workbench.training.folder import RunFolder, safe_name
from workbench.training.records import State, Status

if TYPE_CHECKING:
    import pandas

POLL_S = 0.25
# Threads that wait for each other sleep instead of spinning: on 2 cores with 2 busy neighbours a step took 1.1 s, not 5.2 s
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
ROOM_FOR = 8.0  # bytes of disk per byte of weights: model, two checkpoints with optimizer state


class Run:
    """A handle on a run folder. It holds no state of its own: everything is read from the folder each time."""

    def __init__(self, folder: str | Path) -> None:
        self.files = RunFolder(Path(folder).expanduser().resolve())

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.files.path

    @property
    def recipe(self) -> Recipe:
        """What was asked for."""
        return Recipe.from_yaml(self.files.recipe)

    @property
    def status(self) -> Status:
        """What the worker said last."""
        return records.read_status(self.files.status)

    @property
    def state(self) -> State:
        """starting, running, finished, stopped, failed or died; worked out anew each time."""
        status = self.status
        return records.state(status, lives=records.alive(status), now=time.time())

    @property
    def model_folder(self) -> Path:
        """Folder of the finished model.

        Raises:
            RunError: there is none yet.
        """
        if not self.files.model.is_dir():
            raise RunError(
                f"expected a finished model in {self.folder}, but the run is {self.state}; wait for it, or stop it to keep what it has learnt"
            )
        return self.files.model

    @property
    def card(self) -> str:
        """The model card as Markdown."""
        return (self.model_folder / "README.md").read_text(encoding="utf-8")

    @property
    def scores(self) -> dict[str, Any] | None:
        """Evaluation before and after, and what changed; None while there is none."""
        return json.loads(self.files.scores.read_text(encoding="utf-8")) if self.files.scores.exists() else None

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was recorded so far, oldest first; `kind` picks one kind, such as "step" or "scores"."""
        events, _ = records.read_events(self.files.events)
        return [event for event in events if kind in (None, event["kind"])]

    def log(self, lines: int = 40) -> str:
        """The end of what the worker printed."""
        try:
            return "\n".join(self.files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def wait(self, timeout_s: float | None = None, *, progress: Callable[[Status], None] | None = None) -> Run:
        """Wait for the end of the run.

        Args:
            timeout_s: give up waiting (not the run) after so many seconds.
            progress: called with the status about four times a second.

        Raises:
            RunError: the run failed or its process died; the message names the reason and the log.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while (state := self.state) in ("starting", "running"):
            if end is not None and time.monotonic() > end:
                return self
            if progress:
                progress(self.status)
            time.sleep(POLL_S)
        if progress:
            progress(self.status)
        if state == "failed":
            raise RunError(f"{self.status.reason}; the log is {self.files.log}")
        if state == "died":
            raise RunError(
                f"expected the run in {self.folder} to end, but its process is gone (killed, or the machine went down); go on with resume(), the log is {self.files.log}"
            )
        return self

    def stop(self) -> Run:
        """Ask the run to end after the current step and keep what it has learnt. Returns at once."""
        if self.state in ("starting", "running"):
            files.replace_text(self.files.stop, "")
        return self

    def resume(self, *, trust_code: bool = False) -> Run:
        """Go on from the last checkpoint; from the start where there is none. Returns at once.

        Raises:
            RunError: the run is finished or still runs.
        """
        state = self.state
        if state in ("starting", "running"):
            raise RunError(
                f"expected a run that has ended in {self.folder}, but it is {state} in process {self.status.pid}; stop it first"
            )
        if state == "finished":
            raise RunError(
                f"expected a run with steps left in {self.folder}, but it is finished; start a new run with more epochs"
            )
        recipe = self.recipe
        _trusted(recipe, trust_code)
        self.files.stop.unlink(missing_ok=True)
        records.write_status(
            self.files.status,
            Status(
                started=time.time(),
                updated=time.time(),
                attempt=self.status.attempt + 1,
                step=self.status.step,
                total_steps=self.status.total_steps,
            ),
        )
        _start(self.files)
        return self

    def export(self, path: str | Path) -> Path:
        """Pack model, card, recipe, scores and events into one zip file, for a machine that keeps nothing."""
        target = Path(path)
        model = self.model_folder
        beside = target.with_name(f".{target.name}.unfinished")
        try:
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(model.rglob("*")):
                    archive.write(file, Path("model") / file.relative_to(model))
                for file in (self.files.recipe, self.files.scores, self.files.events, self.files.data, self.files.loss):
                    if file.exists():
                        archive.write(file, file.name)
            os.replace(beside, target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise RunError(
                f"expected to write {target}, but it cannot be written ({error.strerror}); choose another place"
            ) from None
        return target

    def push_to_hub(
        self, repo_id: str, *, private: bool = True, token: str | None = None, endpoint: str | None = None
    ) -> str:
        """Publish model, card and recipe on the Hub. Private unless told otherwise; nothing is ever published unasked.

        Args:
            repo_id: owner/name.
            private: False makes the model public.
            token: access token; None takes the one that is logged in.
            endpoint: another server than the usual one.

        Returns:
            Address of the model.

        Raises:
            RunError: the server refuses or cannot be reached.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        model = self.model_folder
        api = HfApi(endpoint=endpoint, token=token)
        with tempfile.TemporaryDirectory() as place:
            upload = Path(place) / "upload"
            shutil.copytree(model, upload)
            shutil.copy(self.files.recipe, upload / "recipe.yaml")
            try:
                address = api.create_repo(repo_id, private=private, exist_ok=True)
                api.upload_folder(repo_id=repo_id, folder_path=upload, commit_message="Model, card and recipe")
            except (HfHubHTTPError, HFValidationError, OSError) as error:
                why = " ".join(str(error).split())[:200]
                raise RunError(
                    f"expected to publish {repo_id!r}, but the server refused or could not be reached ({why}); check the name, the token and the network"
                ) from None
        return str(address)

    def __repr__(self) -> str:
        status = self.status
        steps = f", step {status.step} of {status.total_steps}" if status.total_steps else ""
        return f"Run({self.folder.name}: {self.state}{steps}{', ' + status.reason if status.reason else ''})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def train(
    recipe: Recipe, *, folder: str | Path | None = None, runs: str | Path = "runs", trust_code: bool = False
) -> Run:
    """Start a fine-tune in a process of its own and return at once.

    Everything that can be known before is checked first, so that a mistake leaves no folder behind.

    Args:
        recipe: what to do.
        folder: the run folder; None makes one in `runs`, named by time, data and model.
        runs: where run folders are kept.
        trust_code: run the source of a loss that came with the recipe; say so only after reading it.

    Raises:
        ModelError, DataError, RecipeError: the recipe cannot be run here.
        RunError: the folder is taken, cannot be written, or has no room for checkpoints.
    """
    _trusted(recipe, trust_code)
    _installed(recipe)
    found = models.find(recipe.model, revision=recipe.revision)
    data, evaluation = prepare(recipe)
    place = RunFolder(Path(folder or Path(runs) / _name(recipe)).expanduser().resolve())
    _free(place)
    _room(place, found.path)
    about = {
        "fingerprint": data.fingerprint,
        "rows": len(data),
        "columns": data.roles,
        "evaluation_rows": None if evaluation is None else len(evaluation),
        "evaluation_fingerprint": None if evaluation is None else evaluation.fingerprint,
    }
    beside = place.path.with_name(f".{place.path.name}.unfinished")
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        new = RunFolder(beside)
        recipe.to_yaml(new.recipe)
        files.replace_text(new.data, json.dumps(about, indent=1))
        if recipe.loss.innermost.source:
            files.replace_text(new.loss, recipe.loss.innermost.source)
        records.write_status(new.status, Status(started=time.time(), updated=time.time()))
        new.checkpoints.mkdir()
        if place.path.exists():
            place.path.rmdir()  # an empty folder, see _free
        os.replace(beside, place.path)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise RunError(
            f"expected to write the run folder {place.path}, but it cannot be written ({error.strerror}); choose another place with enough room"
        ) from None
    _start(place)
    return Run(place.path)


def attach(folder: str | Path) -> Run:
    """A handle on a run that exists, whoever started it.

    Raises:
        RunError: the folder holds no run.
    """
    run = Run(folder)
    if not run.files.recipe.is_file():
        raise RunError(
            f"expected a run folder, but {run.folder} holds no recipe.yaml; see runs() for the runs that there are"
        )
    return run


def runs(folder: str | Path = "runs") -> pandas.DataFrame:
    """All runs in a folder as a table, newest first: state, step, model, loss, data, primary score before and after."""
    import pandas

    columns = ["run", "state", "step", "of", "model", "loss", "data", "score", "before", "after", "started", "reason"]
    rows = []
    for path in Path(folder).glob("*/recipe.yaml"):
        try:
            rows.append(_row(Run(path.parent)))
        except WorkbenchError as error:
            rows.append({"run": path.parent.name, "state": "unreadable", "reason": str(error)})
    table = pandas.DataFrame(rows, columns=columns)
    return table.sort_values("started", ascending=False, na_position="last", ignore_index=True)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe file; wrong settings, an unknown model and missing data are all named at once.

    Raises:
        RecipeError: with everything that is wrong.
    """
    settings = read_settings(path)
    problems: list[str] = []
    try:
        recipe = Recipe(**settings)
    except RecipeError as error:
        problems += error.problems
    if isinstance(name := settings.get("model"), str):
        try:
            models.find(name)
        except ModelError as error:
            problems.append(f"model: {error}")
    data = settings.get("data")
    source = data.get("source") if isinstance(data, dict) else data
    if isinstance(source, str) and problems:
        from workbench.data.load import load

        try:
            load(
                source,
                **{
                    key: value
                    for key, value in (data if isinstance(data, dict) else {}).items()
                    if key in ("config", "split", "delimiter", "encoding")
                },
            )
        except (DataError, TypeError, ValueError) as error:
            problems.append(f"data: {error}")
    if problems:
        raise RecipeError(problems)
    return recipe


def _row(run: Run) -> dict[str, Any]:
    recipe, status, scores = run.recipe, run.status, run.scores
    row = {
        "run": run.folder.name,
        "state": run.state,
        "step": status.step,
        "of": status.total_steps,
        "model": recipe.model,
        "loss": recipe.loss.name,
        "data": recipe.data.source,
        "started": datetime.fromtimestamp(status.started),
        "reason": status.reason,
    }
    if scores:
        name = scores["after"]["primary"]
        row |= {
            "score": name,
            "before": scores["before"]["scores"][name]["value"],
            "after": scores["after"]["scores"][name]["value"],
        }
    return row


def _name(recipe: Recipe) -> str:
    parts = [
        datetime.now().strftime("%Y-%m-%d-%H%M%S"),
        recipe.name or f"{Path(recipe.data.source).stem}-{recipe.model.rpartition('/')[2]}",
        os.urandom(2).hex(),
    ]
    return safe_name("-".join(parts))


def _trusted(recipe: Recipe, trust_code: bool) -> None:
    source = recipe.loss.innermost.source
    if source is None or losses.is_trusted(source):
        return
    if not trust_code:
        raise RecipeError(
            f"loss: the recipe brings Python code for {recipe.loss.innermost.name}, which is not run unasked; read it, then say trust_code=True (on the command line --trust-code)"
        )
    losses.trust(source)


def _installed(recipe: Recipe) -> None:
    for name in recipe.report_to:
        if importlib.util.find_spec(name) is None:
            raise MissingPackage(name, "trackers", f"Reporting to {name}")
    if recipe.lora and importlib.util.find_spec("peft") is None:
        raise MissingPackage("peft", "lora", "Low-rank adaptation")


def _free(place: RunFolder) -> None:
    if not place.path.exists():
        return
    if place.recipe.exists():
        run = Run(place.path)
        what = f"a run that is {run.state}" + (
            f" in process {run.status.pid}" if run.state in ("starting", "running") else ""
        )
        raise RunError(f"expected a new folder, but {place.path} holds {what}; choose another, or resume that run")
    if not place.path.is_dir() or any(place.path.iterdir()):
        raise RunError(f"expected a new or empty folder, but {place.path} holds other files; choose another")


def _room(place: RunFolder, weights: Path) -> None:
    here = next(path for path in [place.path, *place.path.parents] if path.exists())
    if not os.access(here, os.W_OK):
        raise RunError(
            f"expected to write the run folder {place.path}, but {here} cannot be written; choose another place"
        )
    need = ROOM_FOR * sum(path.stat().st_size for path in weights.rglob("*.safetensors"))
    have = shutil.disk_usage(here).free
    if have < need:
        raise RunError(
            f"expected {need / 2**20:,.0f} MB of free disk for checkpoints and model, got {have / 2**20:,.0f} MB in {here}; free some space or choose another place"
        )


def _start(place: RunFolder) -> None:
    """A process in a session of its own with its output in a file: it outlives the kernel, the terminal and the server."""
    with place.log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "workbench.training.worker", str(place.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**QUIET_THREADS, **os.environ, "PYTHONUNBUFFERED": "1"},
        )
