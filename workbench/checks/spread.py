"""How far apart vectors lie, in two numbers."""

from __future__ import annotations

import numpy as np


def spread(vectors: np.ndarray) -> tuple[float | None, float | None, int]:
    """How far vectors lie apart.

    Args:
        vectors: float32, shape (n, d).

    Returns:
        Mean cosine of two different ones; their effective rank, from 1 where all point one way to n or d (exponential of
        the entropy of the eigenvalues of their cosines); and how many are zero. The first two are None where a vector
        is not finite or fewer than two are not zero.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    zero = int((lengths == 0).sum())
    if not np.isfinite(lengths).all() or len(vectors) - zero < 2:
        return None, None, zero
    unit = vectors[lengths > 0] / lengths[lengths > 0, None]
    cosines = unit @ unit.T
    count = len(unit)
    shares = np.linalg.eigvalsh(cosines / count)
    shares = shares[shares > 1e-12]
    mean = (cosines.sum() - np.trace(cosines)) / (count * (count - 1))
    return round(float(mean), 6), round(float(np.exp(-(shares * np.log(shares)).sum())), 4), zero
