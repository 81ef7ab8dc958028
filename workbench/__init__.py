"""The workbench for text embeddings: from a table of texts to a fine-tuned model, its map and an honest model card.

Names are loaded on first use, so that importing the package is free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.cards.read import read_card
    from workbench.cards.script import script
    from workbench.catalog.losses import losses, register_loss
    from workbench.catalog.models import models
    from workbench.checks.before import check
    from workbench.data.load import load
    from workbench.data.tokens import token_stats
    from workbench.plots.export import save_figure
    from workbench.plots.film import show_film
    from workbench.plots.map import show_map as map
    from workbench.plots.tokens import show_tokens
    from workbench.recipe import Loss, Recipe
    from workbench.spaces.comparing import compare
    from workbench.spaces.contributions import contributions
    from workbench.spaces.encode import embed
    from workbench.spaces.evaluate import evaluate
    from workbench.spaces.measures import measures
    from workbench.spaces.project import project
    from workbench.spaces.search import search
    from workbench.spaces.similarity import similarity
    from workbench.training.adapter import try_adapter
    from workbench.training.launch import runs, train
    from workbench.training.run import Run, attach
    from workbench.widgets.bench import Bench
    from workbench.widgets.card_panel import CardPanel
    from workbench.widgets.check_panel import CheckPanel
    from workbench.widgets.compare_panel import ComparePanel
    from workbench.widgets.data_preview import DataPreview
    from workbench.widgets.embedding_map import EmbeddingMap
    from workbench.widgets.loss_picker import LossPicker
    from workbench.widgets.model_picker import ModelPicker
    from workbench.widgets.run_panel import RunPanel
    from workbench.widgets.similarity_matrix import SimilarityMatrix
    from workbench.widgets.try_panel import TryPanel

_HOMES = {
    "Bench": "workbench.widgets.bench",
    "CardPanel": "workbench.widgets.card_panel",
    "CheckPanel": "workbench.widgets.check_panel",
    "ComparePanel": "workbench.widgets.compare_panel",
    "DataPreview": "workbench.widgets.data_preview",
    "EmbeddingMap": "workbench.widgets.embedding_map",
    "Loss": "workbench.recipe",
    "LossPicker": "workbench.widgets.loss_picker",
    "ModelPicker": "workbench.widgets.model_picker",
    "Recipe": "workbench.recipe",
    "Run": "workbench.training.run",
    "RunPanel": "workbench.widgets.run_panel",
    "SimilarityMatrix": "workbench.widgets.similarity_matrix",
    "TryPanel": "workbench.widgets.try_panel",
    "attach": "workbench.training.run",
    "check": "workbench.checks.before",
    "compare": "workbench.spaces.comparing",
    "contributions": "workbench.spaces.contributions",
    "embed": "workbench.spaces.encode",
    "evaluate": "workbench.spaces.evaluate",
    "load": "workbench.data.load",
    "losses": "workbench.catalog.losses",
    "map": "workbench.plots.map:show_map",
    "measures": "workbench.spaces.measures",
    "models": "workbench.catalog.models",
    "project": "workbench.spaces.project",
    "read_card": "workbench.cards.read",
    "register_loss": "workbench.catalog.losses",
    "runs": "workbench.training.launch",
    "save_figure": "workbench.plots.export",
    "script": "workbench.cards.script",
    "search": "workbench.spaces.search",
    "show_film": "workbench.plots.film",
    "show_tokens": "workbench.plots.tokens",
    "similarity": "workbench.spaces.similarity",
    "token_stats": "workbench.data.tokens",
    "train": "workbench.training.launch",
    "try_adapter": "workbench.training.adapter",
}

__all__ = [
    "Bench",
    "CardPanel",
    "CheckPanel",
    "ComparePanel",
    "DataPreview",
    "EmbeddingMap",
    "Loss",
    "LossPicker",
    "ModelPicker",
    "Recipe",
    "Run",
    "RunPanel",
    "SimilarityMatrix",
    "TryPanel",
    "attach",
    "check",
    "compare",
    "contributions",
    "embed",
    "evaluate",
    "load",
    "losses",
    "map",
    "measures",
    "models",
    "project",
    "read_card",
    "register_loss",
    "runs",
    "save_figure",
    "script",
    "search",
    "show_film",
    "show_tokens",
    "similarity",
    "token_stats",
    "train",
    "try_adapter",
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
