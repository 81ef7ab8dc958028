"""Exact nearest neighbours by matrix product, in blocks that fit into memory."""

from __future__ import annotations

import numpy as np

BLOCK_BYTES = 64 * 2**20


def nearest(
    queries: np.ndarray, corpus: np.ndarray, k: int, *, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar rows of `corpus` for each query.

    Args:
        queries: float32, shape (q, d), rows of unit length.
        corpus: float32, shape (n, d), rows of unit length.
        k: neighbours wanted; fewer come where the corpus is smaller.
        exclude_self: queries and corpus are the same rows, and no row is its own neighbour.

    Returns:
        (rows, similarities): int64 and float32, shape (q, min(k, n or n - 1)), best first; ties by row number.
    """
    n = len(corpus)
    k = max(0, min(k, n - 1 if exclude_self else n))
    rows = np.zeros((len(queries), k), dtype=np.int64)
    scores = np.zeros((len(queries), k), dtype=np.float32)
    if k == 0:
        return rows, scores
    step = max(1, BLOCK_BYTES // max(1, 4 * n))
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ corpus.T  # (b, n)
        if exclude_self:
            block[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        top = np.argpartition(-block, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(block, top, axis=1)
        # where more rows tie for the last place than fit, argpartition takes any of them
        for row in np.flatnonzero((block >= value.min(axis=1, keepdims=True)).sum(axis=1) > k):
            top[row] = np.argsort(-block[row], kind="stable")[:k]
        value = np.take_along_axis(block, top, axis=1)
        order = np.lexsort((top, -value), axis=1)
        rows[start : start + len(block)] = np.take_along_axis(top, order, axis=1)
        scores[start : start + len(block)] = np.take_along_axis(value, order, axis=1)
    return rows, scores
