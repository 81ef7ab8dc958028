"""A handle on a run: watch, stop, resume, export, publish. It reads the folder and imports no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from workbench import files
from workbench.cards.script import without_paths
from workbench.catalog import losses
from workbench.checks.during import recorded
from workbench.checks.finding import Findings
from workbench.errors import RecipeError, RunError
from workbench.recipe import Recipe
from workbench.spaces.film import Film
from workbench.training import records, warm
from workbench.training.film import read_film
from workbench.training.folder import RunFolder
from workbench.training.records import State, Status

POLL_S = 0.25
SCORED = ("before", "after", "change")


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
        return records.read_run_recipe(self.files)

    @property
    def status(self) -> Status:
        """What the worker said last."""
        return records.read_status(self.files.status)

    @property
    def state(self) -> State:
        """starting, running, finished, stopped, failed or died; worked out anew each time."""
        status = self.status
        return records.state(status, lives=records.alive(status, self.folder), now=time.time())

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
        """The model card as Markdown.

        Raises:
            RunError: there is no model yet, or its card is missing or damaged.
        """
        path = self.model_folder / "README.md"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise RunError(
                f"expected the model card in {path}, but it cannot be read ({error.__class__.__name__}); copy the run again"
            ) from None

    @property
    def scores(self) -> dict[str, Any] | None:
        """Evaluation before and after, and what changed; None while there is none.

        Raises:
            RunError: the file is damaged.
        """
        try:
            found = json.loads(self.files.scores.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in SCORED):
            raise RunError(
                f"expected the scores of a run in {self.files.scores}, but the file is damaged; copy the run again, or resume it"
            )
        return found

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was recorded so far, oldest first; `kind` picks one kind, such as "step" or "scores"."""
        events, _ = records.read_events(self.files.events)
        return [event for event in events if kind in (None, event["kind"])]

    @property
    def findings(self) -> Findings:
        """What was found while it trained, the worst first; each has `.fix()`, a changed recipe for another run."""
        return recorded(self.events(), self.recipe)

    @property
    def film(self) -> Film:
        """The vectors of a sample of texts at moments of the run, as far as they were taken; `show_film` draws them.

        Raises:
            RunError: the run has kept none, with the reason.
        """
        return read_film(self.files)

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
        make_sure_trusted(recipe, trust_code)
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
        start_worker(self.files)
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
            private: False makes the model public. A public place that exists is refused unless this is False.
            token: access token; None takes the one that is logged in.
            endpoint: another server than the usual one.

        Returns:
            Address of the model.

        Raises:
            RunError: the server refuses or cannot be reached.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError  # the error of its transport, httpx or httpx2 by version

        model = self.model_folder
        api = HfApi(endpoint=endpoint, token=token)
        with tempfile.TemporaryDirectory() as place:
            upload = Path(place) / "upload"
            shutil.copytree(model, upload)
            without_paths(self.recipe).to_yaml(upload / "recipe.yaml")
            try:
                address = api.create_repo(repo_id, private=private, exist_ok=True)
                if private and not api.repo_info(repo_id).private:
                    raise RunError(
                        f"expected {repo_id!r} to be private, but it exists and it is public; choose another name, or say private=False"
                    )
                api.upload_folder(repo_id=repo_id, folder_path=upload, commit_message="Model, card and recipe")
            except (HTTPError, OSError, ValueError, RuntimeError) as error:  # the library raises all of these
                why = " ".join(str(error).split())[:200]
                raise RunError(
                    f"expected to publish {repo_id!r}, but the server refused or could not be reached ({why}); check the name, the token and the network"
                ) from None
        return str(address)

    def __repr__(self) -> str:
        status = self.status
        steps = f", step {status.step} of {status.total_steps}" if status.total_steps else ""
        found = recorded(self.events("finding"))
        parts = (f"{self.state}{steps}", found.counts if found else "", status.reason)
        return f"Run({self.folder.name}: {', '.join(filter(None, parts))})"

    def _repr_html_(self) -> str:
        findings = self.findings
        return f"<pre>{escape(repr(self))}</pre>{findings._repr_html_() if findings else ''}"


def attach(folder: str | Path) -> Run:
    """A handle on a run that exists, whoever started it.

    Raises:
        RunError: the folder holds no run.
    """
    if not isinstance(folder, str | Path):
        raise RunError(
            f"expected the path of a run folder, got {type(folder).__name__}; see runs() for the runs that there are"
        )
    try:
        run = Run(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"expected the path of a run folder, got {str(folder)!r:.80} ({error}); see runs()") from None
    if not run.files.recipe.is_file():
        raise RunError(
            f"expected a run folder, but {run.folder} holds no recipe.yaml; see runs() for the runs that there are"
        )
    return run


def make_sure_trusted(recipe: Recipe, trust_code: bool) -> None:
    """Raise a RecipeError if the recipe brings loss code that nobody on this machine has said to trust."""
    source = recipe.loss.innermost.source
    if source is None or losses.is_trusted(source):
        return
    if not trust_code:
        raise RecipeError(
            f"loss: the recipe brings Python code for {recipe.loss.innermost.name}, which is not run unasked; read it, then say trust_code=True (on the command line --trust-code)"
        )
    losses.trust(source)


def start_worker(place: RunFolder) -> None:
    """A process in a session of its own with its output in a file: it outlives the kernel, the terminal and the server.

    It is the one that waits with its libraries loaded, where a panel has started one.
    """
    if warm.waiting().hand_over(place):
        return
    with place.log.open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "workbench.training.worker", str(place.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=warm.environment(),
        )
