"""Exact nearest neighbours by matrix product, in blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from workbench.spaces.cores import cores, one_core_each

BLOCK_BYTES = 128 * 2**20  # similarities that are held at once, by all threads together
ROWS = 256  # queries of a block, at most: progress is told after each
GROUPS = 512  # columns in the best of which the k-th best is looked for
MANY = 8  # candidates for each neighbour wanted, from which on the k-th best itself is looked for


def nearest(
    queries: np.ndarray,
    corpus: np.ndarray,
    k: int,
    *,
    exclude_self: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar rows of `corpus` for each query.

    Args:
        queries: float32, shape (q, d), rows of unit length.
        corpus: float32, shape (n, d), rows of unit length.
        k: neighbours wanted; fewer come where the corpus is smaller.
        exclude_self: queries and corpus are the same rows, and no row is its own neighbour.
        progress: called with (queries done, queries to do).

    Returns:
        (rows, similarities): int64 and float32, shape (q, min(k, n or n - 1)), best first; ties by row number.
    """
    q, n = len(queries), len(corpus)
    k = max(0, min(k, n - 1 if exclude_self else n))
    rows, scores = np.zeros((q, k), dtype=np.int64), np.zeros((q, k), dtype=np.float32)
    if k == 0 or q == 0:
        return rows, scores
    threads = min(cores(), 8)
    step = min(ROWS, max(1, BLOCK_BYTES // (4 * n * threads)))

    def look_up(start: int) -> int:
        end = min(start + step, q)
        block = queries[start:end] @ corpus.T  # (b, n)
        if exclude_self:
            block[np.arange(end - start), np.arange(start, end)] = -np.inf
        rows[start:end], scores[start:end] = best(block, k)
        return end

    pool = ThreadPoolExecutor(threads)
    try:
        with one_core_each():
            for end in pool.map(look_up, range(0, q, step)):
                progress(end, q)
    finally:  # whoever stops it does not wait for what is left
        pool.shutdown(cancel_futures=True)
    return rows, scores


def best(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, largest first; of equal ones those of lower columns.

    The k-th largest of the maxima of disjoint groups of columns is no larger than the k-th largest of all, and quick
    to find. What is as large is sorted: a few more than k.

    Args:
        block: float32, shape (b, n), none of them NaN.
        k: from 1 to n.

    Returns:
        (columns, values): int64 and float32, shape (b, k).
    """
    b, n = block.shape
    groups = max(GROUPS, 16 * k)
    deep = n // groups
    # group j holds the columns j, j + groups, j + 2 groups ...: maxima of long rows, which is what NumPy is quick at
    tops = block[:, : deep * groups].reshape(b, deep, groups).max(axis=1) if deep > 1 else block
    at = np.flatnonzero(block >= _largest(tops, k)[:, None])
    if len(at) > MANY * k * b:
        at = _fewest(block, k)
    values, row = block.ravel()[at], at // n
    order = np.lexsort((-values, row))  # stable, and columns ascend already
    first = np.searchsorted(row, np.arange(b))
    kept = order[first[:, None] + np.arange(k)]
    return at[kept] % n, values[kept]


def _largest(block: np.ndarray, k: int) -> np.ndarray:
    """float32, shape (b,): the k-th largest of each row."""
    wanted = block.shape[1] - k
    return np.asarray(np.partition(block, wanted, axis=1)[:, wanted])


def _fewest(block: np.ndarray, k: int) -> np.ndarray:
    """int64, shape (b * k,), ascending: places in the flat block of the k largest of each row, where many are equal."""
    found = []
    for number, (row, last) in enumerate(zip(block, _largest(block, k), strict=True)):
        above = np.flatnonzero(row > last)
        equal = np.flatnonzero(row == last)[: k - len(above)]
        found.append(number * len(row) + np.sort(np.concatenate([above, equal])))
    return np.concatenate(found)
