"""UMAP's layout in NumPy alone: nothing is compiled, so a first map costs what any map costs.

The objective is that of UMAP (McInnes, Healy & Melville 2018) with min_dist 0.1. Each round moves all texts at once: first
away from texts drawn by the seed, then towards their neighbours. That makes a round a few long array operations, whose
result is the same on any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from workbench.spaces.cores import cores
from workbench.spaces.encode import Progress
from workbench.spaces.mutual import nearest_others

ROUNDS, ROUNDS_OF_FEW = 200, 500
FEW = 10_000  # up to so many texts, more rounds still make a better map
DRAWN = 10  # texts that each text is pushed away from in a round
PUSHES = 5.0  # weight of pushes for each pull, as in UMAP
FARTHEST = 4.0  # the longest way that one push moves a text
# A push is weak at first, so that groups that the start has laid over each other can pass; full from half of the rounds
GENTLE = 0.1
MIN_DIST = 0.1  # on the map
# 1 / (1 + A d^2B) is closest to 1 up to MIN_DIST and exp(MIN_DIST - d) beyond
A, B = np.float32(1.5769434603113077), np.float32(0.8950608779109733)
TINY = np.float32(1e-12)
PART = 2**16  # neighbours, or pairs, that are moved in one piece: small enough for the cache of a core
CLOSE_ENOUGH = 1e-5
NARROWEST = 1e-3


@dataclass(frozen=True, eq=False)
class Graph:
    """Who is tied to whom and how strongly, each tie in both directions, sorted by `head`.

    Attributes:
        head: int64, shape (m,): row numbers; each of n rows is there at least once.
        tail: int64, shape (m,): row numbers.
        weight: float32, shape (m,): in (0, 1]; each row has a tie of weight 1.
    """

    head: np.ndarray
    tail: np.ndarray
    weight: np.ndarray


def exact_neighbours(
    unit: np.ndarray, k: int, *, progress: Progress = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row, as `nearest` finds them.

    Args:
        unit: float32, shape (n, d), rows of unit length; n > k.
        k: neighbours of each row.
        progress: called with (rows done, rows to do).

    Returns:
        (rows, distances): int64 and float32, shape (n, k): row numbers, nearest first, and 1 - cosine.
    """
    rows, cosine = nearest_others(unit, k, progress=progress)
    return rows, (1 - cosine).clip(0)


def themselves(found: np.ndarray, first: int) -> np.ndarray:
    """Where neighbours that were found for row `first` and those after it are these rows themselves: one in each row.

    Args:
        found: int, shape (n, k + 1): row numbers, nearest first.
        first: number of the row that the first line belongs to.
    """
    own = found == np.arange(first, first + len(found))[:, None]
    own[~own.any(axis=1), -1] = True  # so many rows are equal that the row itself is not among them: the last goes
    return own


def fuzzy_graph(rows: np.ndarray, distances: np.ndarray) -> Graph:
    """Neighbours as ties: 1 to the nearest, falling off so that each row has ties of log2(k + 1) in all; then made mutual.

    Args:
        rows: int, shape (n, k): row numbers of the neighbours, nearest first, without the row itself.
        distances: float, shape (n, k), not negative.
    """
    n, k = rows.shape
    nearest_other, width = _widths(distances.astype(np.float64))
    one_way = np.exp(-(distances - nearest_other[:, None]).clip(0) / width[:, None]).ravel()
    here, there = np.repeat(np.arange(n), k), rows.ravel()
    both = np.concatenate([here * n + there, there * n + here])
    order = np.argsort(both, kind="stable")
    both, weight = both[order], np.concatenate([one_way, one_way])[order]
    twice = np.append(both[1:] == both[:-1], False)
    weight[twice] += weight[1:][twice[:-1]] - weight[twice] * weight[1:][twice[:-1]]  # either tie: a + b - ab
    first = np.append(True, both[1:] != both[:-1])
    return Graph(both[first] // n, both[first] % n, weight[first].astype(np.float32))


def _widths(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(distance of the nearest other place, width of the fall), float64 (n,) each, by bisection."""
    n, k = distances.shape
    closest = np.where(distances > 0, distances, np.inf).min(axis=1)
    closest[np.isinf(closest)] = 0
    beyond = (distances - closest[:, None]).clip(0)
    low, high, width = np.zeros(n), np.full(n, np.inf), np.ones(n)
    for _ in range(64):
        excess = np.exp(-beyond / width[:, None]).sum(axis=1) - np.log2(k + 1)
        if (np.abs(excess) < CLOSE_ENOUGH).all():
            break
        high = np.where(excess >= CLOSE_ENOUGH, width, high)
        low = np.where(excess <= -CLOSE_ENOUGH, width, low)
        halved = np.where(np.isinf(high), width * 2, (low + high) / 2)
        width = np.where(np.abs(excess) < CLOSE_ENOUGH, width, halved)
    typical = np.where(closest > 0, distances.sum(axis=1), distances.sum() / n) / (k + 1)
    return closest, np.maximum(width, NARROWEST * typical)


def rounds_for(n: int) -> int:
    """Rounds that n rows are moved."""
    return ROUNDS_OF_FEW if n <= FEW else ROUNDS


def lay_out(
    graph: Graph,
    start: np.ndarray,
    *,
    seed: int,
    rounds: int,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """Positions at which tied rows lie close and others apart.

    Args:
        graph: ties of n rows.
        start: float, shape (n, 2): finite positions to start from.
        seed: of the rows that each row is pushed away from; the same seed gives the same positions.
        rounds: how often all rows are moved.
        progress: called with (rounds done, rounds to do).

    Returns:
        float32, shape (n, 2).
    """
    draw = np.random.default_rng(seed)
    at = spread(start, draw)
    parts = list(_parts(graph, 1 / rounds))  # a weaker tie would pull less than once
    with ThreadPoolExecutor(cores()) as pool:
        for pace, push, others in turns(len(at), rounds, draw, progress):
            at = np.concatenate(list(pool.map(lambda part: _pushed(at, others, part, pace, push), parts)))  # noqa: B023
            at = np.concatenate(list(pool.map(lambda part: _pulled(at, part, pace), parts)))  # noqa: B023
    return np.stack([at.real, at.imag], axis=1)


def turns(
    n: int, rounds: int, draw: np.random.Generator, progress: Progress
) -> Iterator[tuple[float, float, np.ndarray]]:
    """(share of a whole pull, share of a whole push, rows that push: int32 (DRAWN, n)) of each round, shares in (0, 1]."""
    for done in range(rounds):
        pace = 1 - done / rounds
        push = pace * min(1, GENTLE + (1 - GENTLE) * 2 * done / rounds)
        yield pace, push, draw.integers(0, n, size=(DRAWN, n), dtype=np.int32)
        progress(done + 1, rounds)


def aligned(xy: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """A map turned, mirrored and moved to lie closest to another (Procrustes), and scaled to its size.

    Args:
        xy: float, shape (n, 2), finite.
        onto: float, shape (n, 2), finite: where the same texts lie in the other map.

    Returns:
        float32, shape (n, 2).
    """
    middle = onto.mean(axis=0, dtype=np.float64)
    here, there = xy - xy.mean(axis=0, dtype=np.float64), onto - middle
    left, _, right = np.linalg.svd(here.T @ there)
    size, wanted = np.linalg.norm(here), np.linalg.norm(there)
    scale = wanted / size if size > 0 and wanted > 0 else 1.0
    return np.asarray(here @ (left @ right) * scale + middle, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows that are moved together, and their ties: int32 `head`, `tail`, float32 `weight`, shape (m,)."""

    rows: slice
    head: np.ndarray
    tail: np.ndarray
    weight: np.ndarray
    first: np.ndarray  # of each row: where its ties begin
    total: np.ndarray  # of each row: sum of its weights


def _parts(graph: Graph, lightest: float) -> Iterator[_Part]:
    kept = graph.weight >= lightest
    head, tail, weight = graph.head[kept].astype(np.int32), graph.tail[kept].astype(np.int32), graph.weight[kept]
    ends = np.searchsorted(head, np.arange(head[-1] + 1), side="right")  # (n,)
    low = 0
    while low < len(ends):
        begin = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, begin + PART)))
        ties = slice(begin, ends[high - 1])
        first = np.append(begin, ends[low : high - 1]) - begin
        yield _Part(slice(low, high), head[ties], tail[ties], weight[ties], first, np.add.reduceat(weight[ties], first))
        low = high


def spread(start: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The start as complex64 (n,), its farthest 10 from the middle, stirred a little so that copies can part."""
    centred = start - start.mean(axis=0)
    farthest = np.abs(centred).max()
    placed = centred * (10 / farthest if farthest > 0 else 1) + draw.normal(scale=1e-3, size=start.shape)
    return np.asarray(placed[:, 0] + 1j * placed[:, 1], dtype=np.complex64)


def _pushed(at: np.ndarray, others: np.ndarray, part: _Part, pace: float, push: float) -> np.ndarray:
    """Where the rows of a part are after they were pushed away from others: complex64."""
    own = at[part.rows]
    away = own - at[others[:, part.rows]]  # (DRAWN, rows)
    square = away.real**2 + away.imag**2 + TINY
    strength = np.float32(2 * B * push * PUSHES / DRAWN) * part.total
    strength = strength / ((np.float32(0.001) + square) * (1 + A * square**B))
    np.minimum(strength, np.float32(FARTHEST * pace) / np.sqrt(square), out=strength)
    return own + (strength * away).sum(axis=0)


def _pulled(at: np.ndarray, part: _Part, pace: float) -> np.ndarray:
    """Where the rows of a part are after their ties pulled them: complex64.

    Each goes as far as a spring would in a medium that resists, and so never beyond where all pulls cancel out.
    """
    towards = at[part.tail] - at[part.head]
    square = towards.real**2 + towards.imag**2 + TINY
    power = square ** (B - 1)
    strength = np.float32(4 * A * B * pace) * part.weight * power / (1 + A * power * square)
    total = np.add.reduceat(strength, part.first)
    return at[part.rows] + np.add.reduceat(strength * towards, part.first) / (1 + total)
