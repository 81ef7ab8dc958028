"""The workbench for text embeddings: from a table of texts to a fine-tuned model, its map and an honest model card.

Names are loaded on first use, so that importing the package is free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.cards.script import script
    from workbench.catalog.losses import losses, register_loss
    from workbench.catalog.models import models
    from workbench.data.load import load
    from workbench.data.tokens import token_stats
    from workbench.plots.map import show_map as map
    from workbench.recipe import Loss, Recipe
    from workbench.spaces.encode import embed
    from workbench.spaces.evaluate import compare, evaluate
    from workbench.spaces.project import project
    from workbench.spaces.similarity import similarity
    from workbench.training.launch import runs, train
    from workbench.training.run import Run, attach

_HOMES = {
    "Loss": "workbench.recipe",
    "Recipe": "workbench.recipe",
    "Run": "workbench.training.run",
    "attach": "workbench.training.run",
    "compare": "workbench.spaces.evaluate",
    "embed": "workbench.spaces.encode",
    "evaluate": "workbench.spaces.evaluate",
    "load": "workbench.data.load",
    "losses": "workbench.catalog.losses",
    "map": "workbench.plots.map:show_map",
    "models": "workbench.catalog.models",
    "project": "workbench.spaces.project",
    "register_loss": "workbench.catalog.losses",
    "runs": "workbench.training.launch",
    "script": "workbench.cards.script",
    "similarity": "workbench.spaces.similarity",
    "token_stats": "workbench.data.tokens",
    "train": "workbench.training.launch",
}

__all__ = [
    "Loss",
    "Recipe",
    "Run",
    "attach",
    "compare",
    "embed",
    "evaluate",
    "load",
    "losses",
    "map",
    "models",
    "project",
    "register_loss",
    "runs",
    "script",
    "similarity",
    "token_stats",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    module, _, there = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(module), there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
