"""Films of runs, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.spaces.film import Film, Moment


def film(
    vectors: np.ndarray | None = None, *, texts: Sequence[str] | None = None, moments: int = 4, **values: Any
) -> Film:
    """A film of 30 texts that drift from one draw of directions to another."""
    if vectors is None:
        first, last = np.random.default_rng(0).normal(size=(2, 30, 8))
        ways = np.linspace(0, 1, moments)[:, None, None]
        vectors = first * (1 - ways) + last * ways
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float16)
    m, n, _ = vectors.shape
    known = {
        "name": "first",
        "model": "base",
        "texts": tuple(texts or (f"text {row}" for row in range(n))),
        "vectors": vectors,
        "moments": tuple(Moment(10 * place, place / 2, 0.5) for place in range(m)),
        "steps": tuple(range(1, 10 * m)),
        "losses": tuple(2.0 / number for number in range(1, 10 * m)),
        "trained_s": 100.0,
        "of": "the evaluation rows of glossary/qa",
        "distinct": 400,
        "seed": 42,
        "columns": ("anchor", "positive") * (n // 2) + ("anchor",) * (n % 2),
        "rows": tuple(range(n)),
        "labels": ("a", "b") * (n // 2) + ("a",) * (n % 2),
        "by": "column",
    }
    return Film(**{**known, **values})
