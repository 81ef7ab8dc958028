"""Start runs and list them. What can be known before is checked first; the run computes in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.catalog import models
from workbench.catalog.models import ModelInfo
from workbench.catalog.weights import routed
from workbench.data.prepare import prepare, settled
from workbench.errors import DataError, MissingPackage, ModelError, RecipeError, RunError, WorkbenchError
from workbench.recipe import Recipe, read_settings
from workbench.training import records
from workbench.training.folder import RunFolder, safe_name
from workbench.training.records import Status
from workbench.training.run import Run, make_sure_trusted, start_worker

if TYPE_CHECKING:
    import pandas

    from workbench.data.examples import Examples

ROOM_FOR = 8.0  # bytes of disk per byte of weights: model, two checkpoints with optimizer state


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
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"expected a Recipe, got {type(recipe).__name__}; read a file with Recipe.from_yaml(path)")
    make_sure_trusted(recipe, trust_code)
    _installed(recipe)
    found = models.find(recipe.model, revision=recipe.revision)
    for name in recipe.loss.models:
        models.find(name)
    data, evaluation = prepare(recipe)
    recipe = settled(recipe, data)
    _possible(recipe, data, models.describe(recipe.model, revision=recipe.revision))
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
        _with_rows(recipe, new).to_yaml(new.recipe)
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
    start_worker(place)
    return Run(place.path)


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
    table = pandas.DataFrame(rows, columns=columns, dtype=object).where(lambda cells: cells.notna(), None)
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


def _installed(recipe: Recipe) -> None:
    for name in recipe.report_to:
        if importlib.util.find_spec(name) is None:
            raise MissingPackage(name, "trackers", f"Reporting to {name}")
    if recipe.lora and importlib.util.find_spec("peft") is None:
        raise MissingPackage("peft", "lora", "Low-rank adaptation")


def _possible(recipe: Recipe, data: Examples, model: ModelInfo) -> None:
    """Raise a RecipeError with all that cannot work and would only come out inside the trainer."""
    problems = []
    if problem := routed(recipe.model, model.path):
        problems.append(f"model: {problem}")
    if recipe.drop_last and len(data) < recipe.batch_size:
        problems.append(
            f"batch_size: expected at most the {len(data)} rows of the data, since drop_last leaves out smaller batches, got {recipe.batch_size}; lower it"
        )
    positions = model.positions
    if recipe.max_seq_length and positions and recipe.max_seq_length > positions:
        problems.append(
            f"max_seq_length: expected at most the {positions} positions of {recipe.model}, got {recipe.max_seq_length}; lower it"
        )
    if recipe.max_seq_length and model.max_seq_length is None:
        problems.append(
            f"max_seq_length: expected none, since {recipe.model} has no limit, got {recipe.max_seq_length}; leave it out"
        )
    if recipe.lora and model.architecture and not model.architecture.layers:
        problems.append(
            f"lora: expected none, since {recipe.model} is a table of word vectors and has no layers to adapt, got one; leave it out"
        )
    dims = recipe.loss.parameters.get("matryoshka_dims") or []
    if model.dimension and any(dim > model.dimension for dim in dims):
        problems.append(
            f"loss.matryoshka_dims: expected at most the {model.dimension} dimensions of {recipe.model}, got {max(dims)}; lower it"
        )
    classes = recipe.loss.innermost.parameters.get("num_labels")
    if classes and data.label and data.roles[data.label] == "label":
        highest = max(data.to_training()["label"])
        if highest >= classes:
            problems.append(
                f"loss.num_labels: expected at least {highest + 1}, since the label {highest} occurs, got {classes}; raise it"
            )
    if problems:
        raise RecipeError(problems)


def _with_rows(recipe: Recipe, place: RunFolder) -> Recipe:
    """The recipe with rows that exist in memory only copied into the run folder, where no cache is swept."""
    changes = {}
    for name in ("data", "eval_data"):
        spec = getattr(recipe, name)
        if spec is None or files.home() / "tables" not in Path(spec.source).parents:
            continue
        source, target = Path(spec.source), place.rows / Path(spec.source).name
        place.rows.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        changes[name] = spec.model_copy(update={"source": str(target.relative_to(place.path))})
    return recipe.changed(**changes) if changes else recipe


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
