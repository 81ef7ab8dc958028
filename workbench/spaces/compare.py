"""The same texts under two models: whose nearest neighbours changed, and which rows to score both models on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.load import load
from workbench.data.prepare import prepare
from workbench.errors import DataError
from workbench.spaces.bootstrap import Metric, interval
from workbench.spaces.encode import Space
from workbench.spaces.evaluate import ALIKE, Score
from workbench.spaces.neighbours import nearest
from workbench.spaces.project import check_count

if TYPE_CHECKING:
    import pandas

    from workbench.data.examples import Examples
    from workbench.recipe import Recipe

BLOCK = 4096
HELD_OUT = ("test", "validation", "valid", "dev", "eval")


@dataclass(frozen=True)
class Moved:
    """Neighbours of one text under two models, as row numbers, nearest first.

    Attributes:
        came: near after, not before.
        went: near before, not after.
        stayed: near under both.
    """

    came: tuple[int, ...]
    went: tuple[int, ...]
    stayed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NeighbourChange:
    """How much the neighbourhood of each text differs between two models.

    Attributes:
        before, after: the same n texts under both models.
        k: size of the neighbourhoods that were compared.
        change: float32, shape (n,): 1 - |both| / |either| of the k nearest texts (1 - Jaccard), 0 for the same
            neighbours, 1 for none in common; NaN where undefined, see `why`.
        nearest_before, nearest_after: int64, shape (n, k): row numbers, nearest first; -1 where undefined.
        why: why `change` is undefined for some or all texts; empty where it is defined for all.
    """

    before: Space
    after: Space
    k: int
    change: np.ndarray
    nearest_before: np.ndarray
    nearest_after: np.ndarray
    why: str = ""

    def __len__(self) -> int:
        return len(self.change)

    @cached_property
    def mean(self) -> Score:
        """Mean change over the texts it is defined for, with its interval; 0 for the same model."""
        return mean_score(self.change[np.isfinite(self.change)], "" if np.isfinite(self.change).any() else self.why)

    @property
    def sentence(self) -> str:
        """The mean change, what it was measured on and how to read it."""
        if self.mean.value is None:
            return f"Change of the neighbours is undefined: {self.mean.why}."
        return (
            f"The {self.k} nearest texts of a text (in all dimensions, so without the noise of a layout) changed by "
            f"{self.mean} on average over {self.mean.n:,} texts; 1 − Jaccard is 0 for the same texts, 1 for none in common."
            f"{f' {self.why[0].upper()}{self.why[1:]}.' if self.why else ''}"
        )

    def moved(self, row: int) -> Moved:
        """Which neighbours of a text came, went and stayed; none where undefined."""
        old = [int(place) for place in self.nearest_before[row] if place >= 0]
        new = [int(place) for place in self.nearest_after[row] if place >= 0]
        return Moved(
            tuple(place for place in new if place not in old),
            tuple(place for place in old if place not in new),
            tuple(place for place in new if place in old),
        )

    def most(self, count: int = 20) -> tuple[int, ...]:
        """Rows whose neighbours changed most, at most `count`; rows that did not change or are undefined are none."""
        order = np.argsort(-np.nan_to_num(self.change), kind="stable")[:count]
        return tuple(int(row) for row in order if self.change[row] > 0)

    def to_frame(self, count: int = 20) -> pandas.DataFrame:
        """The rows of `most` with the columns row, text, change, came and went (lists of texts)."""
        import pandas

        texts, rows = self.after.texts, self.most(count)
        moves = [self.moved(row) for row in rows]
        return pandas.DataFrame(
            {
                "row": list(rows),
                "text": [texts[row] for row in rows],
                "change": [float(self.change[row]) for row in rows],
                "came": [[texts[place] for place in move.came] for move in moves],
                "went": [[texts[place] for place in move.went] for move in moves],
            }
        )

    def __repr__(self) -> str:
        defined = self.change[np.isfinite(self.change)]
        mean = f"mean change {defined.mean():.3f}" if len(defined) else f"undefined: {self.why}"
        return (
            f"{self.before.model} -> {self.after.model}: {self.k} nearest neighbours of {len(defined):,} texts, {mean}"
        )


def neighbour_change(before: Space, after: Space, k: int = 10) -> NeighbourChange:
    """Compare the k nearest neighbours (cosine) of each text under two models.

    Args:
        before: n texts under one model.
        after: the same texts under another model.
        k: size of a neighbourhood; fewer where there are few texts, so that at least one other text is outside.

    Raises:
        DataError: the texts differ, or fewer than 1 neighbour is asked for.
    """
    k = check_count(k, "k", "neighbour", "10 is usual")
    if before.texts != after.texts:
        raise DataError(
            f"expected the same texts under both models, got {len(before):,} and {len(after):,} texts that differ; embed one list with both"
        )
    good = np.flatnonzero(before.usable & after.usable)
    k = max(0, min(k, len(good) - 2))
    change = np.full(len(before), np.nan, dtype=np.float32)
    old, new = (np.full((len(before), k), -1, dtype=np.int64) for _ in range(2))
    why = f"{len(good)} texts with a vector are too few, 3 are needed" if k == 0 else _alike(before, after, good)
    if why:
        return NeighbourChange(before, after, k, change, old, new, why)
    for space, found in ((before, old), (after, new)):
        unit = space.unit[good]
        found[good] = good[nearest(unit, unit, k, exclude_self=True)[0]]
    for start in range(0, len(good), BLOCK):
        rows = good[start : start + BLOCK]
        both = (old[rows][:, :, None] == new[rows][:, None, :]).sum(axis=(1, 2))  # (b, k, k) -> (b,)
        change[rows] = 1 - both / (2 * k - both)
    bad = len(before) - len(good)
    return NeighbourChange(
        before,
        after,
        k,
        change,
        old,
        new,
        f"{bad} texts have a zero or not finite vector under one model" if bad else "",
    )


def mean_score(values: np.ndarray, why: str = "") -> Score:
    """The mean of one value for each text, with its 95 % bootstrap interval.

    Args:
        values: shape (n,), finite.
        why: why it is undefined; empty where it is not.
    """
    metric = Metric("mean", np.asarray(values, dtype=float), np.arange(len(values)), why=why)
    value, reason = metric.statistic()
    low, high = None, None
    if value is not None:
        low, high, reason = interval(metric, seed=0, resamples=1000)
    return Score(value, low, high, len(values), len(values), reason)


def neighbours_of(unit: np.ndarray, row: int, k: int = 10) -> list[tuple[int, float]]:
    """The nearest rows of one row: (row number, cosine), nearest first.

    Args:
        unit: float32, shape (n, d), rows of length 1; rows of zeros are nobody's neighbours.
        row: whose neighbours.
        k: how many; fewer come where there are fewer.
    """
    usable = np.abs(unit).max(axis=1, initial=0) > 0
    if not usable[row]:
        return []
    rows, cosine = nearest(unit[row : row + 1], unit, k + 1 + int((~usable).sum()))
    found = [(int(n), float(c)) for n, c in zip(rows[0], cosine[0], strict=True) if n != row and usable[n]]
    return found[:k]


def held_out_part(examples: Examples) -> str | None:
    """Name of the part to score models on where `examples` is the train part of its source; None: score `examples`.

    Rows that were picked by hand are scored as they are.
    """
    if examples.split != "train" or examples.picked:
        return None
    return next((name for name in HELD_OUT if name in examples.splits), None)


def rows_to_score(examples: Examples | None, recipe: Recipe | None = None) -> tuple[Examples, str]:
    """Rows on which two models can be compared without flattering the one that was tuned.

    Args:
        examples: a table, of which the held-out part is taken where it has one; None takes the rows of the recipe.
        recipe: of the run that made one of the models.

    Returns:
        (rows, what has to be known of them in words; may be empty).

    Raises:
        DataError: there is no table, or the recipe held no rows out.
    """
    if examples is None:
        if recipe is None:
            raise DataError("expected a table to compare the models on, got None; give data, such as 'glossary/qa'")
        held = prepare(recipe)[1]
        if held is None:
            raise DataError(
                "expected rows that the run held out, but it held out none; give data to compare the models on"
            )
        return held, "the rows that the run held out"
    part = held_out_part(examples)
    if part is not None:
        return examples.part(part), ""
    if recipe is None or not _same_table(recipe, examples):
        return examples, ""
    held = prepare(recipe)[1]
    if held is None:
        return examples, "the run was trained on these rows, which flatters it"
    return held, "the rows that the run held out, since it was trained on the others"


def _same_table(recipe: Recipe, examples: Examples) -> bool:
    try:
        return load(recipe.data).fingerprint == examples.fingerprint
    except DataError:  # it is no longer there, so nothing is known
        return False


def _alike(before: Space, after: Space, good: np.ndarray) -> str:
    """Why no neighbourhood means anything, or an empty string."""
    for space in (before, after):
        unit = space.unit[good]
        if float(np.abs(unit - unit[0]).max()) < ALIKE:
            return f"all vectors of {space.model} are alike (a collapsed model): their neighbours are rounding noise"
    return ""
