"""Bootstrap intervals (Efron & Tibshirani 1993, percentile) over groups of rows that belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MIN_GROUPS = 5


@dataclass(frozen=True, eq=False)
class Metric:
    """Per-unit values and the statistic that makes one score of them.

    Attributes:
        kind: mean, pearson or spearman.
        values: float64, shape (n,): what the model gives for each unit.
        groups: int, shape (n,): units with the same number are resampled together.
        gold: float64, shape (n,), for the correlations.
        why: why the score is undefined whatever the values are; empty otherwise.
    """

    kind: str
    values: np.ndarray
    groups: np.ndarray
    gold: np.ndarray | None = None
    why: str = ""

    def statistic(self) -> tuple[float | None, str]:
        """(score, "") or (None, reason)."""
        if self.why:
            return None, self.why
        if len(self.values) == 0:
            return None, "there are no rows"
        if self.kind == "mean":
            return float(self.values.mean()), ""
        assert self.gold is not None
        if len(self.values) < 3:
            return None, f"{len(self.values)} pairs are too few for a correlation, which needs 3"
        if np.ptp(self.gold) == 0:
            return None, "all given scores are equal"
        beyond = "the similarities are too large or too small to be correlated"
        if not np.isfinite(self.values).all():
            return None, beyond
        # float32 vectors give equal similarities up to about 1e-7 of their size
        if np.ptp(self.values) <= 1e-6 * np.abs(self.values).max():
            return None, "the model gives all pairs the same similarity"
        value = _correlation(self.kind, self.values, self.gold)
        return (value, "") if np.isfinite(value) else (None, beyond)

    def by_unit(self) -> np.ndarray:
        """float64, shape (n,): how well each unit fares; higher is better.

        For a correlation this is how near a pair's rank among the similarities is to its rank among the given scores,
        1 where they agree.
        """
        if self.gold is None or len(self.values) == 0:
            return self.values
        from scipy.stats import rankdata

        return 1 - np.abs(rankdata(self.values) - rankdata(self.gold)) / len(self.values)


def interval(metric: Metric, *, seed: int, resamples: int) -> tuple[float | None, float | None, str]:
    """(low, high, reason why there is none)."""
    return _percentiles(metric, None, seed, resamples)


def paired_interval(
    before: Metric, after: Metric, *, seed: int, resamples: int
) -> tuple[float | None, float | None, str]:
    """(low, high, reason why there is none) of after minus before, both on the same resamples."""
    return _percentiles(after, before, seed, resamples)


def _percentiles(
    metric: Metric, other: Metric | None, seed: int, resamples: int
) -> tuple[float | None, float | None, str]:
    groups = len(np.unique(metric.groups))
    if resamples == 0:
        return None, None, "none was asked for"
    if groups < MIN_GROUPS:
        return None, None, f"{groups} independent groups are too few to resample, {MIN_GROUPS} are needed"
    draws = np.fromiter(_resampled(metric, other, seed, resamples), dtype=float, count=resamples)
    draws = draws[np.isfinite(draws)]
    if len(draws) < max(1, resamples // 2):
        return None, None, "most resamples have no defined score"
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high), ""


def _resampled(metric: Metric, other: Metric | None, seed: int, resamples: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    names, group = np.unique(metric.groups, return_inverse=True)
    n = len(names)
    if metric.kind == "mean":
        values = metric.values if other is None else metric.values - other.values
        sums, sizes = np.bincount(group, values, n), np.bincount(group, minlength=n)
        for _ in range(resamples):
            drawn = rng.integers(0, n, n)
            yield sums[drawn].sum() / sizes[drawn].sum()
        return
    members = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[members], np.arange(n + 1))
    for _ in range(resamples):
        drawn = rng.integers(0, n, n)
        rows = (
            members[drawn] if len(members) == n else np.concatenate([members[starts[g] : starts[g + 1]] for g in drawn])
        )
        yield _drawn(metric, rows) - (0.0 if other is None else _drawn(other, rows))


def _drawn(metric: Metric, rows: np.ndarray) -> float:
    assert metric.gold is not None
    return _correlation(metric.kind, metric.values[rows], metric.gold[rows])


def _correlation(kind: str, x: np.ndarray, y: np.ndarray) -> float:
    if kind == "spearman":
        from scipy.stats import rankdata

        x, y = rankdata(x), rankdata(y)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / norm) if norm > 0 else float("nan")
