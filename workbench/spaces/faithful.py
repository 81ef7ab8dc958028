"""How far a map can be believed: what it has kept of the space's neighbourhoods and distances, in all and text by text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.spaces.cores import one_core_each
from workbench.spaces.layout import exact_neighbours, themselves

SHOWN = 10
RANKED_UP_TO = 2000
PAIRS = 20_000
BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What a map has kept of a space of n texts.

    Attributes:
        trustworthiness: in [0, 1]: 1 minus the weight of strangers among the k nearest on the map, each by its rank in
            the space (Venna & Kaski 2001); None where undefined.
        continuity: in [0, 1]: the same for the k nearest in the space and their ranks on the map; None where undefined.
        overlap: in [0, 1]: mean of `kept`; None where undefined.
        rank_correlation: in [-1, 1]: Spearman's rho of distances in the space (1 - cosine) and on the map; None where
            undefined.
        kept: float32, shape (n,): for each text the share of its `shown` nearest in the space that are among its `shown`
            nearest on the map; NaN for texts without a place.
        k: size of the neighbourhoods of trustworthiness and continuity.
        shown: size of the neighbourhoods of overlap: 10, or half of the other texts where that is fewer.
        ranked: texts whose neighbours were ranked among all; a sample by the seed above 2,000.
        placed: texts that have a place.
        pairs: pairs of texts, drawn by the seed, whose distances were compared.
        seed: of both samples.
    """

    trustworthiness: float | None
    continuity: float | None
    overlap: float | None
    rank_correlation: float | None
    kept: np.ndarray
    k: int
    shown: int
    ranked: int
    placed: int
    pairs: int
    seed: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """Each number with what it was measured on and what it means."""
        few = f"undefined: {self.placed:,} texts are fewer than 3 neighbourhoods of {self.k}"
        rows = f"{self.ranked:,} of {self.placed:,} texts, seed {self.seed}"
        over, rho = self.overlap, self.rank_correlation
        return (
            f"Trustworthiness {_number(self.trustworthiness, few)} ({self.k} nearest on the map of {rows}): "
            "1 where no text on the map lies beside a stranger, about 0.5 for places drawn at random.",
            f"Continuity {_number(self.continuity, few)} ({self.k} nearest in the space of {rows}): "
            "1 where no text was torn away from a neighbour, about 0.5 for places drawn at random.",
            f"Neighbour overlap {_number(over, 'undefined: fewer than 3 texts')} (all {self.placed:,} texts): the share of "
            f"the {self.shown} nearest texts in the space that are among the {self.shown} nearest on the map.",
            f"Rank correlation of distances {_number(rho, 'undefined: all distances are the same')} ({self.pairs:,} pairs, "
            f"seed {self.seed}, Spearman): 1 where far on the map means far in the space, 0 where the gap between two "
            "groups says nothing.",
        )


def _number(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.3f}"


def faithfulness(
    unit: np.ndarray,
    xy: np.ndarray,
    *,
    k: int = 15,
    seed: int = 0,
    nearest_rows: np.ndarray | None = None,
    ranked_up_to: int = RANKED_UP_TO,
) -> Faithfulness:
    """Measure a map against its space.

    Args:
        unit: float32, shape (n, d), rows of unit length.
        xy: float, shape (n, 2), their finite places.
        k: size of the neighbourhoods of trustworthiness and continuity.
        seed: of the samples.
        nearest_rows: int, shape (n, at least max(k, 10) or n - 1): nearest other rows in the space, nearest first; None
            looks them up.
        ranked_up_to: rows whose neighbours are ranked among all.
    """
    n = len(unit)
    k, shown = min(k, max(0, n - 1)), min(SHOWN, max(0, n - 1) // 2)
    rows = np.sort(np.random.default_rng(seed).choice(n, min(n, ranked_up_to), replace=False))
    if shown == 0:
        return Faithfulness(None, None, None, None, np.full(n, np.nan, np.float32), k, 0, 0, n, 0, seed)
    if nearest_rows is None:
        nearest_rows = exact_neighbours(unit, max(k, shown))[0]
    on_map = _nearest_on_map(xy, max(k, shown))
    kept = (nearest_rows[:, :shown, None] == on_map[:, None, :shown]).any(axis=2).mean(axis=1, dtype=np.float32)
    ranks = None
    if n > 3 * k:
        ranks = _strangers(unit, xy, rows, nearest_rows[rows, :k], on_map[rows, :k])
    trust, continuity = (None, None) if ranks is None else ranks
    rho, pairs = _rank_correlation(unit, xy, seed)
    overlap = float(kept.mean())
    return Faithfulness(trust, continuity, overlap, rho, kept, k, shown, len(rows), n, pairs, seed)


def _nearest_on_map(xy: np.ndarray, k: int) -> np.ndarray:
    """int, shape (n, k): the k nearest other rows of each row, nearest first."""
    from scipy.spatial import cKDTree

    found = cKDTree(xy).query(xy, k=k + 1, workers=-1)[1]
    return found[~themselves(found, 0)].reshape(-1, k)


def _strangers(
    unit: np.ndarray, xy: np.ndarray, rows: np.ndarray, near: np.ndarray, on_map: np.ndarray
) -> tuple[float, float]:
    """(trustworthiness, continuity) of rows, each of whose k neighbours is ranked among all n rows."""
    n, (m, k) = len(unit), near.shape
    places = xy.astype(np.float64)
    far = np.zeros(2)
    step = max(1, BLOCK_BYTES // (8 * n))
    with one_core_each():
        for start in range(0, m, step):
            part = slice(start, start + step)
            own = rows[part]
            in_space = unit[own] @ unit.T
            on_plane = -((places[own, None, 0] - places[:, 0]) ** 2 + (places[own, None, 1] - places[:, 1]) ** 2)
            far += _beyond(in_space, own, on_map[part], near[part]), _beyond(on_plane, own, near[part], on_map[part])
    worst = m * k * (2 * n - 3 * k - 1) / 2
    trust, continuity = 1 - far / worst
    return float(trust), float(continuity)


def _beyond(closeness: np.ndarray, own: np.ndarray, those: np.ndarray, nearest: np.ndarray) -> int:
    """By how many ranks k rows, by row number, lie outside of the k nearest of each row; summed."""
    k = those.shape[1]
    level = np.take_along_axis(closeness, those, axis=1)
    outside = level < np.take_along_axis(closeness, nearest[:, -1:], axis=1)
    closeness[np.arange(len(own)), own] = -np.inf
    beyond = (np.count_nonzero(closeness[row] > level[row, column]) + 1 - k for row, column in np.argwhere(outside))
    return sum(max(0, int(ranks)) for ranks in beyond)


def _rank_correlation(unit: np.ndarray, xy: np.ndarray, seed: int) -> tuple[float | None, int]:
    """(Spearman's rho, pairs it was taken of)."""
    draw = np.random.default_rng(seed)
    one = draw.integers(0, len(unit), PAIRS)
    other = (one + draw.integers(1, len(unit), PAIRS)) % len(unit)
    in_space = _ranks((1 - np.einsum("nd,nd->n", unit[one], unit[other])).round(6))  # closer is rounding noise
    on_map = _ranks(np.linalg.norm(xy[one].astype(np.float64) - xy[other], axis=1))
    if in_space.std() == 0 or on_map.std() == 0:
        return None, PAIRS
    return float(np.corrcoef(in_space, on_map)[0, 1]), PAIRS


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
