"""A map in stages while somebody waits: texts in pieces, a first picture by PCA, then UMAP. It imports no torch.

What takes long goes through `call`, which does it somewhere else: `engine().call`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import ModelError
from workbench.recipe import Recipe
from workbench.spaces.encode import Space, embed
from workbench.spaces.project import Engine, Projection, part_of, pca, project

PIECE = 2000
MAP_UP_TO = 100_000
FIRST = "the first picture"
Call = Callable[..., Any]


def check_model(model: object) -> None:
    """Raise a ModelError in one sentence if something is no model name, no folder and no run."""
    if not (isinstance(model, str | Path) and str(model).strip()) and not hasattr(type(model), "model_folder"):
        raise ModelError(
            f"expected a model name, a folder or a run, got {type(model).__name__} ({model!r:.60}); pass one of these"
        )


def model_source(model: Any) -> str:
    """A model as something that another process can find: its name or folder.

    Raises:
        ModelError: it is no name, no folder and no run.
        RunError: the run has no model yet.
    """
    check_model(model)
    if not isinstance(model, str | Path):
        return str(model.model_folder)
    folder = run_folder(model)
    return str(model) if folder is None or not (folder / "model").is_dir() else str(folder / "model")


def run_folder(model: str | Path) -> Path | None:
    """The run that a path leads to, itself or to its model; None where it leads to none."""
    with contextlib.suppress(OSError, ValueError):  # a name may be no path at all
        for folder in (Path(model), Path(model).parent):
            if (folder / "recipe.yaml").is_file() and (folder == Path(model) or Path(model).name == "model"):
                return folder
    return None


def recipe_of(model: Any) -> Recipe | None:
    """The recipe of a run, given as such or as a path to it or its model; None where a model comes from no run."""
    if isinstance(model, str | Path):
        folder = run_folder(model)
        return None if folder is None else Recipe.from_yaml(folder / "recipe.yaml")
    found = getattr(model, "recipe", None)
    return found if isinstance(found, Recipe) else None


def embed_in_pieces(
    call: Call,
    texts: Sequence[str],
    model: str,
    *,
    labels: Sequence[str] | None = None,
    goes_on: Callable[[int, int], bool] = lambda done, total: True,
) -> Space | None:
    """As `embed`, 2,000 texts at a time; each piece is kept on disk, so that what is done is never lost.

    Args:
        call: calls a function somewhere else and waits for the result.
        texts: n texts.
        model: a name or folder.
        labels: n labels that travel with the texts.
        goes_on: asked before each piece with (texts done, texts to do); False ends it.

    Returns:
        The space, or None where it was ended.
    """
    parts: list[Space] = []
    for start in range(0, max(1, len(texts)), PIECE):
        if not goes_on(start, len(texts)):
            return None
        parts.append(call(embed, list(texts[start : start + PIECE]), model))
    if not goes_on(len(texts), len(texts)):
        return None
    vectors = np.concatenate([part.vectors for part in parts])
    return replace(parts[0], texts=tuple(texts), vectors=vectors, labels=None if labels is None else tuple(labels))


def sample(rows: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """At most `limit` of the row numbers, drawn by the seed, in ascending order. int64, shape (m,)."""
    if len(rows) <= limit:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))


def sampled(texts: Sequence[str], limit: int, seed: int) -> list[str]:
    """At most `limit` of the texts, drawn by the seed, in their order."""
    return [texts[row] for row in sample(np.arange(len(texts)), limit, seed)]


def first_picture(space: Space, *, seed: int = 0) -> Projection:
    """PCA of a space, which takes a moment. Above 100,000 texts those outside the seeded sample have no place."""
    rows = _drawn(space, seed)
    xy = np.full((len(space), 2), np.nan, dtype=np.float32)
    xy[rows] = pca(space.unit[rows])
    return Projection(space, xy, "pca", np.__version__, seed, 0, None, FIRST)


def laid_out(
    call: Call, space: Space, *, seed: int = 0, start: np.ndarray | None = None, engine: Engine = "workbench"
) -> Projection:
    """As `project`, of a seeded sample above 100,000 texts; the others have no place.

    Args:
        call: calls a function somewhere else and waits for the result.
        space: n texts with their vectors.
        seed: seed of the layout and of the sample.
        start: float, shape (n, 2), positions to start from; None starts from PCA.
        engine: what lays out, as in `project`.
    """
    if len(space) <= MAP_UP_TO:
        made: Projection = call(project, space, seed=seed, start=start, engine=engine)
        return replace(made, space=space)
    rows = _drawn(space, seed)
    made = call(project, part_of(space, rows), seed=seed, start=None if start is None else start[rows], engine=engine)
    xy = np.full((len(space), 2), np.nan, dtype=np.float32)
    xy[rows] = made.xy
    return replace(made, space=space, xy=xy)


def _drawn(space: Space, seed: int) -> np.ndarray:
    return sample(np.flatnonzero(space.usable), MAP_UP_TO, seed)
