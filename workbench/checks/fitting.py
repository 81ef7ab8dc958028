"""Losses that suit a table, in the place of one that does not."""

from __future__ import annotations

from typing import Any

from workbench.catalog import losses as catalog
from workbench.data.examples import Examples
from workbench.data.prepare import label_kind
from workbench.errors import RecipeError
from workbench.recipe import Loss, Recipe

GOOD_MARGIN = 0.3
FEW_CLASSES = 1000


def with_innermost(loss: Loss, new: Loss) -> Loss:
    """A loss with another one in the place of its innermost; what wraps it stays."""
    inner = loss.parameters.get("loss")
    if not isinstance(inner, Loss):
        return new
    return Loss(loss.name, source=loss.source, **{**loss.parameters, "loss": with_innermost(inner, new)})


def suited_loss(loss: Loss, data: Examples) -> Loss | None:
    """The first loss of the catalogue that suits a table and needs nothing that is not known; None if there is none."""
    for info, reason in catalog.fitting(len(data.texts), label_kind(data)):
        if reason is not None or info.wraps or info.custom:
            continue
        # margins of 5 are out of reach for unit vectors
        parameters: dict[str, Any] = (
            {"margin": GOOD_MARGIN} if info.name.startswith("Batch") and info.parameter("margin") else {}
        )
        if info.parameter("num_labels") and label_kind(data) == "class":
            highest = max(data.to_training()["label"])
            if not places_for(highest, len(data)):
                continue
            parameters["num_labels"] = highest + 1
        try:
            return with_innermost(loss, Loss(info.name, **parameters))
        except RecipeError:
            continue
    return None


def places_for(highest: int, rows: int) -> bool:
    """Whether a loss can have a place for every class up to the highest: numbers far above the rows are no counts."""
    return highest < max(rows, FEW_CLASSES)


def misfit_of(recipe: Recipe, data: Examples) -> str | None:
    """Why the loss does not suit the columns; None where it does, or is a loss of one's own."""
    inner = recipe.loss.innermost
    return None if inner.source else catalog.fits(catalog.get(inner.name), len(data.texts), label_kind(data))
