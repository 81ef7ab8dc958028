"""Every path of a run, and nothing else. A run is a folder; this is the only module that knows its file names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run folder.

    recipe.yaml     what was asked for, written once
    data.json       fingerprint, rows and columns of the training and evaluation tables
    status.json     where the run is now, always replaced whole
    events.jsonl    one JSON object a line, appended
    log.txt         everything that the worker printed
    stop            its presence asks the worker to stop after the current step
    worker.lock     held by the worker that owns the run
    loss.py         source of a loss of one's own
    scores.json     evaluation before and after, with intervals and the rows that changed
    rows/           rows that were given in memory and stand nowhere else
    film/           texts of the film, and their vectors at each of its moments
    checkpoints/    what resume goes on from; each is complete once it holds `complete.json`
    model/          the finished model with its card, renamed into place last
    """

    path: Path

    @property
    def recipe(self) -> Path:  # noqa: D102 - named in the class docstring, as all below
        return self.path / "recipe.yaml"

    @property
    def data(self) -> Path:  # noqa: D102
        return self.path / "data.json"

    @property
    def status(self) -> Path:  # noqa: D102
        return self.path / "status.json"

    @property
    def events(self) -> Path:  # noqa: D102
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:  # noqa: D102
        return self.path / "log.txt"

    @property
    def stop(self) -> Path:  # noqa: D102
        return self.path / "stop"

    @property
    def lock(self) -> Path:  # noqa: D102
        return self.path / "worker.lock"

    @property
    def loss(self) -> Path:  # noqa: D102
        return self.path / "loss.py"

    @property
    def scores(self) -> Path:  # noqa: D102
        return self.path / "scores.json"

    @property
    def rows(self) -> Path:  # noqa: D102
        return self.path / "rows"

    @property
    def film(self) -> Path:  # noqa: D102
        return self.path / "film"

    @property
    def checkpoints(self) -> Path:  # noqa: D102
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:  # noqa: D102
        return self.path / "model"

    @property
    def unfinished_model(self) -> Path:  # noqa: D102
        return self.path / ".model.unfinished"

    @property
    def card(self) -> Path:  # noqa: D102
        return self.model / "README.md"

    def complete_checkpoints(self) -> list[Path]:
        """Checkpoints that were written to the end, oldest first."""
        found = [path for path in self.checkpoints.glob("checkpoint-*") if (path / CHECKPOINT_STATE).is_file()]
        return sorted(found, key=step_of)


CHECKPOINT_STATE = "complete.json"


def step_of(checkpoint: Path) -> int:
    """Optimizer step of a checkpoint folder."""
    return int(checkpoint.name.rpartition("-")[2])


def safe_name(text: str) -> str:
    """Letters, digits, dots and dashes only, at most 60: fit for a file name whatever came in."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60].strip("-.") or "run"
