"""Neighbours and layout on a torch device, where there is a GPU: the same searches and steps as in NumPy."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from workbench.spaces.encode import Progress
from workbench.spaces.layout import DRAWN, FARTHEST, PUSHES, TINY, A, B, Graph, spread, turns

if TYPE_CHECKING:
    import torch

ROWS = 1024  # queries of a block
Made = TypeVar("Made")
log = logging.getLogger(__name__)


def gpu() -> str | None:
    """The GPU that torch found, where torch is loaded already; None: there is none, or nobody needed torch."""
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else None


class WhileItFits:
    """Work on a torch device while it has memory, and with NumPy from there on.

    Args:
        device: torch's name of it; None works with NumPy from the beginning.

    Attributes:
        told: where it was done, in words; empty for NumPy alone.
    """

    def __init__(self, device: str | None) -> None:
        self._device, self.told = device, device or ""

    def do(self, there: Callable[..., Made], here: Callable[..., Made], *given: Any, **options: Any) -> Made:
        """What `there`, given the device first, makes of the arguments; or `here`, which makes the same with NumPy."""
        if self._device is None:
            return here(*given, **options)
        import torch

        try:
            return there(self._device, *given, **options)
        except torch.OutOfMemoryError as error:
            said = " ".join(str(error).split())[:200]
        # only out here the failed one's tensors are let go
        log.warning("%s has no memory left for a map (%s), which goes on with NumPy", self._device, said)
        self._device, self.told = None, f"{self._device} until its memory was used up, then NumPy"
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        return here(*given, **options)


def exact_neighbours_on(
    device: str, unit: np.ndarray, k: int, *, progress: Progress = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """As `exact_neighbours`, on a torch device: in float32, ties by row number.

    Args:
        device: torch's name of it.
        unit: float32, shape (n, d), rows of unit length; n > k.
        k: neighbours of each row.
        progress: called with (rows done, rows to do).
    """
    import torch

    n, found = len(unit), []
    with torch.inference_mode(), _exact():
        corpus = torch.from_numpy(np.ascontiguousarray(unit)).to(device)  # (n, d)
        for start in range(0, n, ROWS):
            block = corpus[start : start + ROWS] @ corpus.T  # (b, n)
            at = torch.arange(len(block), device=device)
            block[at, at + start] = -torch.inf
            found.append([part.cpu().numpy() for part in _best(block, k)])
            progress(min(start + ROWS, n), n)
    return np.concatenate([rows for rows, _ in found]), (1 - np.concatenate([cosine for _, cosine in found])).clip(0)


def _best(block: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest of each row, largest first; of equal ones those of lower columns: int64 and float32 (b, k)."""
    import torch

    last = block.topk(k, dim=1).values[:, -1:]  # which of several that are equal it takes is left open
    row, column = (block >= last).nonzero(as_tuple=True)
    value = block[row, column]
    order = value.argsort(descending=True, stable=True)
    order = order[row[order].argsort(stable=True)]
    first = torch.searchsorted(row, torch.arange(len(block), device=block.device))
    kept = order[first[:, None] + torch.arange(k, device=block.device)]
    return column[kept], value[kept]


def lay_out_on(
    device: str,
    graph: Graph,
    start: np.ndarray,
    *,
    seed: int,
    rounds: int,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """As `lay_out`, on a torch device: the same texts push in each round, and a seed gives the same map on one device.

    Args:
        device: torch's name of it.
        graph: ties of n rows.
        start: float, shape (n, 2): finite positions to start from.
        seed: of the rows that each row is pushed away from.
        rounds: how often all rows are moved.
        progress: called with (rounds done, rounds to do).

    Returns:
        float32, shape (n, 2).
    """
    import torch

    draw = np.random.default_rng(seed)
    placed, kept = spread(start, draw), graph.weight >= 1 / rounds
    with torch.inference_mode(), _exact():
        at = torch.view_as_real(torch.from_numpy(placed)).clone().to(device)  # (n, 2)
        head, tail, weight = (
            torch.from_numpy(part[kept]).to(device) for part in (graph.head, graph.tail, graph.weight)
        )
        total = torch.zeros(len(at), device=device).index_add_(0, head, weight)
        for pace, push, others in turns(len(at), rounds, draw, progress):
            at = _pushed(at, torch.from_numpy(others).to(device), total, pace, push)
            at = _pulled(at, head, tail, weight, pace)
        return at.cpu().numpy().copy()


def _pushed(at: torch.Tensor, others: torch.Tensor, total: torch.Tensor, pace: float, push: float) -> torch.Tensor:
    away = at - at[others]  # (DRAWN, n, 2)
    square = away.square().sum(dim=2) + float(TINY)
    strength = 2 * float(B) * push * PUSHES / DRAWN * total / ((0.001 + square) * (1 + float(A) * square ** float(B)))
    strength = strength.minimum(FARTHEST * pace / square.sqrt())
    return at + (strength[..., None] * away).sum(dim=0)


def _pulled(
    at: torch.Tensor, head: torch.Tensor, tail: torch.Tensor, weight: torch.Tensor, pace: float
) -> torch.Tensor:
    import torch

    towards = at[tail] - at[head]  # (ties, 2)
    square = towards.square().sum(dim=1) + float(TINY)
    power = square ** (float(B) - 1)
    strength = 4 * float(A) * float(B) * pace * weight * power / (1 + float(A) * power * square)
    pulls = torch.cat([strength[:, None] * towards, strength[:, None]], dim=1)
    sums = torch.zeros((len(at), 3), device=at.device).index_add_(0, head, pulls)
    return at + sums[:, :2] / (1 + sums[:, 2:])


@contextmanager
def _exact() -> Iterator[None]:
    """Products in full float32, and sums in the same order each time; what was set before comes back."""
    import torch

    products: Any = torch.backends.cuda.matmul
    # from torch 2.9 on; where somebody has set it, the older switch refuses to be read
    switch, exact = ("fp32_precision", "ieee") if hasattr(products, "fp32_precision") else ("allow_tf32", False)
    before, same = getattr(products, switch), torch.are_deterministic_algorithms_enabled()
    lenient: Any = torch.is_deterministic_algorithms_warn_only_enabled()
    setattr(products, switch, exact)
    # only to warn: without a setting of the environment cuBLAS would be refused altogether
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        setattr(products, switch, before)
        torch.use_deterministic_algorithms(same, warn_only=lenient)
