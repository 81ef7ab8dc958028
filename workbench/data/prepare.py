"""From a recipe to the two tables of a run: rows to train on, and rows that are only scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workbench.catalog import losses as catalog
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError, RecipeError, did_you_mean
from workbench.recipe import Loss, Recipe

EVALUATION_PARTS = ("validation", "dev", "valid", "test", "eval")
MAX_HELD_OUT = 2000


def prepare(recipe: Recipe) -> tuple[Examples, Examples | None]:
    """Load both tables of a recipe and make sure that the loss can use the first.

    Evaluation rows are, in this order: the recipe's own `eval_data`; the data's validation or test part; a share of
    the rows, drawn by the recipe's seed so that rows with the same first text stay on one side.

    Returns:
        (training rows, evaluation rows or None).

    Raises:
        DataError: a table cannot be read, or does not have the columns that the loss needs.
    """
    data = load(recipe.data)
    fit(recipe.loss, data)
    if recipe.eval_data is not None:
        evaluation = load(recipe.eval_data)
        if task_of(evaluation) is None:
            raise DataError(f"eval_data: {unscorable(evaluation)}; set the roles of its columns")
        return data, evaluation
    if task_of(data) is None:
        return data, None
    part = next((name for name in EVALUATION_PARTS if name in data.splits and name != data.split), None)
    if part is not None:
        return data, data.part(part)
    if recipe.eval_share == 0 or len(data) < 2:
        return data, None
    return hold_out(data, recipe.eval_share, recipe.seed)


def fit(loss: Loss, data: Examples) -> None:
    """Raise a DataError in one sentence if the columns of the table do not suit the loss."""
    inner = loss.innermost
    if inner.source is not None:
        return
    kind = label_kind(data)
    why = catalog.fits(catalog.get(inner.name), len(data.texts), kind)
    if why:
        suited = [info.name for info, reason in catalog.fitting(len(data.texts), kind) if reason is None][:3]
        advice = (
            f"take {' or '.join(suited)}, or set the roles of the columns" if suited else "set the roles of the columns"
        )
        raise DataError(f"{inner.name} does not suit {data.name}: {why.removesuffix('.')}; {advice}")
    if len(data) == 0:
        raise DataError(f"expected rows to train on, got none in {data.name}; look at the rows that were left out")


def task_of(data: Examples) -> str | None:
    """What a model is scored by on such a table: triplets, retrieval, graded or labels; None if by nothing."""
    texts, kind = len(data.texts), label_kind(data)
    if texts == 1:
        return "labels" if kind in ("class", "binary") else None
    if texts == 2:
        known = {"score": "graded", "binary": "graded", "class": None}
        return known.get(kind or "", "retrieval")
    return "triplets" if texts > 2 and kind != "class" else None


def unscorable(data: Examples) -> str:
    """Why there is no score for such a table, in words."""
    return (
        "expected triplets, pairs, two texts with a score, or texts with a label to score a model on, got the columns "
        f"{', '.join(data.used)} of {data.name}"
    )


def settled(recipe: Recipe, data: Examples) -> Recipe:
    """The same recipe, meaning the same from any folder: whole paths, and prompts by the names that training uses.

    Raises:
        RecipeError: a prompt names no column of the table.
    """
    changes: dict[str, object] = {}
    if isinstance(recipe.prompts, dict):
        trained = dict(zip(data.used, data.to_training().column_names, strict=True))
        known = {**trained, **{name: name for name in trained.values()}}
        unknown = [name for name in recipe.prompts if name not in known]
        if unknown:
            raise RecipeError(
                f"prompts: expected names of columns of {data.name}, got {unknown[0]!r}{did_you_mean(unknown[0], known)}; there are {', '.join(known)}"
            )
        changes["prompts"] = {known[name]: prompt for name, prompt in recipe.prompts.items()}
    if (model := _whole(recipe.model)) != recipe.model:
        changes["model"] = model
    if (loss := recipe.loss.with_models(_whole)) != recipe.loss:
        changes["loss"] = loss
    for name in ("data", "eval_data"):
        spec = getattr(recipe, name)
        if spec is not None and (source := _whole(spec.source)) != spec.source:
            changes[name] = spec.model_copy(update={"source": source})
    return recipe.changed(**changes) if changes else recipe


def _whole(source: str) -> str:
    return str(Path(source).expanduser().resolve()) if _is_path(source) else source


def _is_path(source: str) -> bool:
    try:
        return Path(source).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def label_kind(data: Examples) -> str | None:
    """none, class, binary, score, scores or embedding: what the label column of a table holds."""
    if data.label is None:
        return None
    head = data.to_training().select(range(min(len(data), 100_000)))[data.roles[data.label]]
    if len(head) and isinstance(head[0], list):
        return "embedding" if len(head[0]) > max(8, len(data.texts)) else "scores"
    if set(head) <= {0, 1}:
        return "binary"
    return "class" if data.roles[data.label] == "label" else "score"


def hold_out(data: Examples, share: float, seed: int) -> tuple[Examples, Examples | None]:
    """(rows to train on, rows to score): whole groups of rows with the same first text, at most 2,000 rows."""
    first = np.asarray(data.column(data.texts[0]), dtype=object)
    groups = np.unique(first, return_inverse=True)[1] if len(first) else np.zeros(0, dtype=int)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    sizes = np.bincount(groups)[order].cumsum()
    wanted = min(round(len(data) * share), MAX_HELD_OUT)
    taken = order[: max(1, int(np.searchsorted(sizes, wanted, side="right")))]
    held = np.isin(groups, taken)
    if held.all():
        return data, None
    return data.select(np.flatnonzero(~held)), data.select(np.flatnonzero(held))
