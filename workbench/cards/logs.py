"""What a logged loss means: the range it can have, what it says of distances, and what guessing would log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FARTHEST = 2.0  # between two unit vectors
# What the library's old fit() does unless it is told otherwise, whatever its card prints.
FIT: Mapping[str, Any] = {"learning_rate": 2e-5, "weight_decay": 0.01, "warmup_steps": 10_000}


def triplet_range(margin: float) -> tuple[float, float]:
    """The least and the largest triplet loss of unit vectors."""
    return max(0.0, margin - FARTHEST), margin + FARTHEST


def triplet_gap(loss: float, margin: float) -> float | None:
    """How much farther negatives are than positives on average, from a mean triplet loss.

    Returns:
        The mean distance to negatives minus that to positives; None where `margin` is below 2: triplets that
        meet it then count as 0, so the mean of the loss does not tell that of the distances.
    """
    return margin - loss if margin >= FARTHEST else None


def repeat_floor(counts: Iterable[int], batch: int) -> float:
    """The least mean loss of in-batch negatives where anchors repeat: k rows of a batch with one anchor keep ln k each.

    Args:
        counts: rows of each distinct anchor.
        batch: rows of a batch, drawn at random from all of them.

    Returns:
        The expected mean of ln k over the rows of a batch, in nats.
    """
    sizes = list(counts)
    total = sum(sizes)
    others = min(batch, total) - 1
    floors = {size: _mean_log(size, total, others) for size in set(sizes)}
    return sum(size * floors[size] for size in sizes) / total if total else 0.0


def _mean_log(size: int, total: int, others: int) -> float:
    """Expected ln(1 + x), where x of a row's `size - 1` mates are among the `others` rows of its batch."""
    ways = math.comb(total - 1, others)
    return sum(
        math.log1p(mates) * (math.comb(size - 1, mates) * math.comb(total - size, others - mates) / ways)
        for mates in range(1, min(size - 1, others) + 1)
    )


def chance_loss(batches: Sequence[int], *, batch_size: int, per_row: int = 1) -> float:
    """The evaluation loss that the library logs for a model to which all candidates are equally likely.

    The library weights every batch by `batch_size`, also those that the sampler left smaller, and the last one by what
    a plain division of the rows would leave for it.

    Args:
        batches: rows of each evaluation batch, in order.
        batch_size: rows of a full batch.
        per_row: candidates that a row brings: 1 for pairs, 2 for triplets.

    Returns:
        The weighted mean of ln(candidates), in nats.
    """
    weights = [*[batch_size] * (len(batches) - 1), sum(batches) % batch_size or batch_size]
    logs = [math.log(rows * per_row) for rows in batches]
    return sum(weight * value for weight, value in zip(weights, logs, strict=True)) / sum(weights)


def tails_that_give(loss: float, *, rows: int, batch_size: int, per_row: int = 1) -> list[tuple[int, int]]:
    """Sizes of the last two evaluation batches with which guessing logs this loss, to its 4 printed decimals."""
    full, left = divmod(rows, batch_size)
    return [
        (first, left - first)
        for first in range(1, left)
        if abs(chance_loss([batch_size] * full + [first, left - first], batch_size=batch_size, per_row=per_row) - loss)
        <= 5e-5
    ]


def of_guessing(loss: float, candidates: int) -> float:
    """A loss as a share of ln(candidates), the loss of a model that tells nothing apart."""
    return loss / math.log(candidates)


def fit_peak(steps: int) -> float:
    """The highest learning rate that a run of fit() of so many steps reaches, unless it was told otherwise."""
    return float(FIT["learning_rate"] * min(1.0, steps / FIT["warmup_steps"]))
