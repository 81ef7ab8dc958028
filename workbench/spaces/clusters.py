"""Groups of near vectors, for colouring a map."""

from __future__ import annotations

import warnings

import numpy as np

from workbench.errors import DataError
from workbench.spaces.encode import Space

MOST = 12
NO_VECTOR = "no vector"


def clusters(space: Space, *, count: int | None = None, seed: int = 0) -> tuple[str, ...]:
    """Name a cluster for each text: k-means (Lloyd 1982) on vectors of unit length.

    The clusters are a help for the eye: k-means finds as many as it is asked for, whether they are there or not.

    Args:
        space: n texts with their vectors.
        count: clusters wanted; None takes about sqrt(n / 2), at most 12. Fewer come where fewer vectors differ.
        seed: seed of the first centres.

    Returns:
        n names, "cluster 1" being the largest; "no vector" where the vector is zero or not finite.

    Raises:
        DataError: fewer than 1 cluster is asked for.
    """
    if count is not None and count < 1:
        raise DataError(f"expected a count of at least 1 cluster, got {count}; None chooses by the number of texts")
    names = np.full(len(space), NO_VECTOR, dtype=object)
    usable = space.usable
    unit = space.unit[usable]
    if len(unit):
        wanted = min(count or min(MOST, max(1, round((len(unit) / 2) ** 0.5))), len(unit))
        found = _kmeans(unit, wanted, seed)
        places, sizes = np.unique(found, return_counts=True)
        by_size = places[np.argsort(-sizes, kind="stable")]
        number = {place: rank for rank, place in enumerate(by_size, 1)}
        names[usable] = [f"cluster {number[place]}" for place in found]
    return tuple(names)


def _kmeans(unit: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int, shape (n,): a cluster for each of n rows."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer vectors differ than clusters were asked for
        found: np.ndarray = KMeans(count, n_init=3, random_state=seed).fit_predict(unit)
    return found
