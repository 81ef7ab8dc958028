"""Run folders as a worker would leave them, without a worker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from workbench.recipe import Loss, Recipe
from workbench.training.folder import RunFolder
from workbench.training.run import Run

MakeRun = Callable[..., Run]


def step(number: int, **values: Any) -> dict[str, Any]:
    """An event of a step."""
    known = {"loss": 2.0 / number, "reference": 2.77, "grad_norm": 1.0, "learning_rate": 1e-5, "tokens_per_s": 900.0}
    return {"kind": "step", "step": number, **known, **values}


def scored(number: int, value: float | None) -> dict[str, Any]:
    """An event of scores."""
    return {"kind": "scores", "step": number, "scores": {"cosine_ndcg@10": value, "cosine_mrr@10": value}}


def outcome(before: float, after: float) -> dict[str, Any]:
    """The scores file of a run."""

    def side(value: float) -> dict[str, Any]:
        score = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 72, "groups": 72, "why": ""}
        return {
            "task": "retrieval",
            "rows": 216,
            "primary": "cosine_ndcg@10",
            "note": "216 rows; 72 queries over 216 texts",
            "scores": {"cosine_ndcg@10": score},
        }

    delta = {"low": after - before - 0.02, "mid": after - before, "high": after - before + 0.02, "why": ""}
    change = {"delta": {"cosine_ndcg@10": delta}, "gained": 3, "lost": 1, "gained_rows": [], "lost_rows": []}
    return {"before": side(before), "after": side(after), "change": change, "data": "glossary/qa test", "seed": 0}


def maker(runs: Path) -> MakeRun:
    """A function that writes run folders into `runs`; `lives` pretends that this process is the worker."""

    def make(
        name: str = "first",
        *,
        said: str = "finished",
        events: list[dict[str, Any]] | None = None,
        scores: dict[str, Any] | None = None,
        lives: bool = False,
        log: str = "",
        **settings: Any,
    ) -> Run:
        place = RunFolder(runs / name)
        place.path.mkdir(parents=True)
        given = {"loss": Loss("MultipleNegativesRankingLoss"), "data": "glossary/qa", **settings}
        Recipe(**given).to_yaml(place.recipe)
        events = [scored(0, 0.5), step(1), step(2), scored(2, 0.6)] if events is None else events
        place.events.write_text("".join(json.dumps(event) + "\n" for event in events))
        status = {
            "said": said,
            "phase": "training",
            "step": 2,
            "total_steps": 4,
            "left_s": 75.0,
            "started": time.time(),
        }
        if lives:
            status |= {"pid": os.getpid(), "born": psutil.Process().create_time()}
        elif said == "running":
            status |= {"pid": 2**22 - 3, "born": 1.0}
        place.status.write_text(json.dumps(status))
        place.log.write_text(log)
        if scores:
            place.scores.write_text(json.dumps(scores))
        return Run(place.path)

    return make
