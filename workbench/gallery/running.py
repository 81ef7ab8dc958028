"""Train an entry both ways and compare: real runs in processes of their own, shortened."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.catalog import models
from workbench.checks.reading import Progress
from workbench.data.load import load
from workbench.data.prepare import prepare
from workbench.errors import RecipeError, RunError
from workbench.gallery.record import Entry
from workbench.gallery.results import AT_ONCE, Result, Trained
from workbench.recipe import DataSpec, Recipe
from workbench.spaces.engine import engine
from workbench.spaces.evaluate import Delta, Score, compare, evaluate
from workbench.steps import batched_rows, total_steps
from workbench.training.launch import train
from workbench.training.run import Run

NEVER = 10**6  # steps between scores and checkpoints that no such run reaches
LIBRARIES = ("sentence-transformers", "transformers", "torch")


def run_entry(entry: Entry, *, seeds: Sequence[int], folder: str | Path | None, progress: Progress) -> Result:
    """See `workbench.gallery.run`."""
    if not seeds:
        raise RecipeError("seeds: expected at least one, got none; leave them out to take three")
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="workbench-gallery-", ignore_cleanup_errors=True) as place:
            return run_entry(entry, seeds=seeds, folder=place, progress=progress)
    began, what = time.time(), f"{entry.name} {entry.title}"
    pairs: list[tuple[Run, Run]] = []
    for done, seed in enumerate(seeds):
        progress(what, 2 * done, 2 * len(seeds))
        first = _run(short(entry, entry.recipe, seed), Path(folder) / f"{entry.name}-card-{seed}")
        progress(what, 2 * done + 1, 2 * len(seeds))
        pairs.append((first, _run(short(entry, entry.mended, seed), Path(folder) / f"{entry.name}-mended-{seed}")))
    spec = entry.recipe.eval_data
    assert spec is not None
    scored = [engine().call(_scored, *map(_model, pair), spec) for pair in pairs]
    progress(what, 2 * len(seeds), 2 * len(seeds))
    return Result(
        name=entry.name,
        title=entry.title,
        model=_named(entry.recipe.model),
        score=scored[0].name,
        measured_on=f"{scored[0].rows}, seeds {', '.join(map(str, seeds))}",
        shortened=_shortened(entry),
        card=tuple(_trained(pair[0], its.name, its.card) for pair, its in zip(pairs, scored, strict=True)),
        mended=tuple(_trained(pair[1], its.name, its.mended) for pair, its in zip(pairs, scored, strict=True)),
        gains=tuple(its.gain for its in scored),
        made=_made(pairs, began),
    )


def short(entry: Entry, recipe: Recipe, seed: int = 1) -> Recipe:
    """A recipe of the entry as it is run here: fewer steps, every loss recorded, nothing saved or scored on the way."""
    steps = min(entry.steps, _steps(recipe))
    tokens = {} if entry.tokens is None else {"max_seq_length": entry.tokens}
    return recipe.changed(
        seed=seed, max_steps=steps, logging_steps=1, eval_steps=NEVER, save_steps=NEVER, name=entry.name, **tokens
    )


def _steps(recipe: Recipe) -> int:
    return total_steps(recipe, batched_rows(recipe, prepare(recipe)[0].to_training()))


def _run(recipe: Recipe, folder: Path) -> Run:
    """A run that has ended; one that failed is an error unless it was stopped before its first step."""
    run = train(recipe, folder=folder, trust_code=True)  # a loss of an entry is part of this package
    try:
        return run.wait()
    except RunError:
        if run.status.step or not run.status.reason:
            raise
        return run


def _model(run: Run) -> str:
    """The trained model; the base model where the run was stopped before there was one."""
    return str(run.model_folder) if run.files.model.is_dir() else run.recipe.model


@dataclass(frozen=True)
class _Scored:
    """The primary score of the models of both ways on the same rows, and the difference."""

    name: str
    rows: str
    card: Score
    mended: Score
    gain: Delta


def _scored(card: str, mended: str, spec: DataSpec) -> _Scored:
    rows = load(spec)
    first, second = evaluate(card, rows), evaluate(mended, rows)
    name = second.primary
    measured = f"{second.rows:,} rows of {rows.name} ({second.note})"
    return _Scored(name, measured, first.scores[name], second.scores[name], compare(first, second).delta[name])


def _trained(run: Run, score: str, after: Score) -> Trained:
    status, base = run.status, run.recipe.model
    losses = [event["loss"] for event in run.events("step")]
    scores = run.scores
    return Trained(
        seed=run.recipe.seed,
        state=run.state if status.step else AT_ONCE,
        reason=status.reason.replace(base, _named(base)),
        steps=status.step,
        losses=(losses[0], losses[-1]) if losses else None,
        lowest=min(losses, default=None),
        highest=max(losses, default=None),
        moved=_moved(models.files(base), run.model_folder) if losses else None,
        before=Score(**scores["before"]["scores"][score]) if scores else after,
        after=after,
    )


def _moved(base: Path, tuned: Path) -> float | None:
    """Length of the change of all weights as a share of their length; None where the files hold no same weights."""
    from safetensors.numpy import load_file

    old, new = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    same = [name for name in old if name in new and np.issubdtype(old[name].dtype, np.floating)]
    length = math.sqrt(sum(float(np.square(old[name], dtype=np.float64).sum()) for name in same))
    change = math.sqrt(sum(float(np.square(new[name].astype(np.float64) - old[name]).sum()) for name in same))
    return change / length if length else None


def _named(model: str) -> str:
    return models.short_name(Path(model)) if Path(model).is_absolute() else model


def _shortened(entry: Entry) -> str:
    said = []
    for way, recipe in (("as the card did it", entry.recipe), ("mended", entry.mended)):
        said.append(f"{way} {short(entry, recipe).max_steps:,} of {_steps(recipe):,} steps of the recipe")
    cut = f"; texts cut at {entry.tokens} tokens" if entry.tokens else ""
    return f"{', '.join(said)}{cut}"


def _made(pairs: Sequence[tuple[Run, Run]], began: float) -> dict[str, Any]:
    return {
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": pairs[-1][-1].status.device,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.time() - began),
    }
