"""Small tables and recipes for runs that take seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.recipe import Loss, Recipe
from workbench.training.run import Run

NOUNS = "cat dog bird fish tree river stone house".split()
VERBS = "runs sleeps sings grows flows burns".split()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON lines file of 48 distinct pairs."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {"anchor": f"the {noun} {verb}", "positive": f"a small {noun} {verb} in the house"}
        for noun in NOUNS
        for verb in VERBS
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path, pairs: Path) -> Callable[..., Recipe]:
    """A recipe of 20 steps on the tiny model; settings can be changed."""

    def make(**settings: object) -> Recipe:
        given = {
            "model": str(tiny_bert),
            "loss": Loss("MultipleNegativesRankingLoss"),
            "data": str(pairs),
            "batch_size": 4,
            "max_steps": 20,
            "learning_rate": 1e-3,
            "device": "cpu",
            "save_steps": 5,
            "eval_steps": 10,
            "logging_steps": 2,
        }
        return Recipe(**{**given, **settings})

    return make


def weights(run: Run) -> dict[str, bytes]:
    """Weights of a finished run, bytes by name."""
    from safetensors.numpy import load_file

    return {name: value.tobytes() for name, value in load_file(run.model_folder / "model.safetensors").items()}
