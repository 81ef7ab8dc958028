"""The nearest other rows of every row: each product of two rows is made once and serves both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from workbench.spaces.cores import cores, one_core_each
from workbench.spaces.neighbours import MANY, best, nearest

TILE = 2048  # rows of a tile: the products of two tiles fit into the cache
MUTUAL_FROM = 3  # tiles from which on it is quicker than every row with every row


def nearest_others(
    unit: np.ndarray, k: int, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar other rows of each row, as `nearest` finds them, in little more than half of its products.

    Args:
        unit: float32, shape (n, d), rows of unit length; n > k.
        k: neighbours wanted.
        progress: called with (rows done, rows to do); as large a share of the rows as of the products.

    Returns:
        (rows, similarities): int64 and float32, shape (n, k), best first; ties by row number.
    """
    n = len(unit)
    if n < MUTUAL_FROM * TILE or 2 * k >= TILE:
        return nearest(unit, unit, k, exclude_self=True, progress=progress)
    edges = np.linspace(0, n, -(-n // TILE) + 1).astype(int).tolist()
    tiles = [slice(*both) for both in pairwise(edges)]
    pool = ThreadPoolExecutor(min(cores(), 8))
    try:
        with one_core_each():
            tops = list(pool.map(lambda tile: _Top(unit[tile], tile.start, k), tiles))
            pairs = [(a, b) for a in range(len(tiles)) for b in range(a + 1, len(tiles))]

            def meet(pair: tuple[int, int]) -> None:
                (a, b), (one, other) = pair, (tiles[pair[0]], tiles[pair[1]])
                products = unit[one] @ unit[other].T
                tops[a].offer(products, other.start)
                tops[b].offer(products.T, one.start)

            for done, _ in enumerate(pool.map(meet, pairs), 1):
                progress(n * done // len(pairs), n)
            found = list(pool.map(_Top.settled, tops))
    finally:  # whoever stops it does not wait for what is left
        pool.shutdown(cancel_futures=True)
    return np.concatenate([rows for rows, _ in found]), np.concatenate([values for _, values in found])


class _Top:
    """The nearest rows known so far of the rows of a tile, and what may be nearer still."""

    def __init__(self, unit: np.ndarray, start: int, k: int) -> None:
        products = unit @ unit.T
        np.fill_diagonal(products, -np.inf)
        rows, self._values = best(products, k)
        self._rows, self._k, self._lock = rows + start, k, threading.Lock()
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def offer(self, products: np.ndarray, start: int) -> None:
        """Look at products of the tile's rows with those from `start` on: float32, shape (rows of the tile, b)."""
        count = len(products)
        close = products >= self._values[:, -1:]  # in the order of memory, whichever way the products are turned
        if np.count_nonzero(close) > MANY * self._k * count:  # many are equal, or nothing much is known yet
            columns, values = best(np.ascontiguousarray(products), min(self._k, products.shape[1]))
            row, column, value = np.repeat(np.arange(count), columns.shape[1]), columns.ravel(), values.ravel()
        elif close.flags.c_contiguous:
            row, column = np.divmod(np.flatnonzero(close), close.shape[1])
            value = products[row, column]
        else:
            column, row = np.divmod(np.flatnonzero(close.T), count)
            value = products[row, column]
        with self._lock:
            self._waiting.append((row, column + start, value))
            if sum(len(rows) for rows, _, _ in self._waiting) > 2 * self._k * count:
                self._merge()

    def settled(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, similarities): int64 and float32, shape (rows of the tile, k), best first; ties by row number."""
        self._merge()
        return self._rows, self._values

    def _merge(self) -> None:
        count = len(self._rows)
        known = (np.repeat(np.arange(count), self._k), self._rows.ravel(), self._values.ravel())
        row, column, value = (np.concatenate(parts) for parts in zip(known, *self._waiting, strict=True))
        order = np.lexsort((column, -value, row))
        first = np.searchsorted(row[order], np.arange(count))
        kept = order[first[:, None] + np.arange(self._k)]
        self._rows, self._values, self._waiting = column[kept], value[kept], []
