"""A space drawn on a plane: UMAP, given exact neighbours and a PCA start."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import DataError
from workbench.spaces.encode import Space
from workbench.spaces.neighbours import nearest

TRUST_UP_TO = 20_000  # it takes the distance of each text to each other


@dataclass(frozen=True, eq=False)
class Projection:
    """A map of a space, with what is needed to judge and repeat it.

    Attributes:
        space: the space that was drawn.
        xy: float32, shape (n, 2); NaN for texts whose vector is zero or not finite.
        engine: "umap" or "pca".
        version: version of the engine's package.
        seed: seed of the layout.
        neighbours: size of the neighbourhood; 0 for PCA.
        trustworthiness: share in [0, 1] of map neighbours that are true neighbours, None where undefined.
        why: why the engine is PCA or trustworthiness is undefined; empty otherwise.
    """

    space: Space
    xy: np.ndarray
    engine: str
    version: str
    seed: int
    neighbours: int
    trustworthiness: float | None
    why: str = ""

    @property
    def left_out(self) -> int:
        """Texts that could not be placed."""
        return int((~self.space.usable).sum())

    @property
    def caption(self) -> str:
        """One line: what was drawn, how, and how far it can be trusted."""
        how = (
            f"UMAP {self.version}, {self.neighbours} neighbours, seed {self.seed}"
            if self.engine == "umap"
            else f"PCA ({self.why})"
        )
        trust = (
            f"trustworthiness {self.trustworthiness:.3f}"
            if self.trustworthiness is not None
            else f"trustworthiness undefined: {self.why}"
        )
        out = f", {self.left_out} left out (zero or not finite vectors)" if self.left_out else ""
        return f"{len(self.space):,} texts, {self.space.model}; {how}; {trust}{out}"


def check_seed(seed: Any) -> int:
    """A seed as int.

    Raises:
        DataError: it is no whole number from 0 to 2**32 - 1, which is what umap and scikit-learn take.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise DataError(f"expected seed= a whole number from 0 to {2**32 - 1}, got {seed!r:.60}; 0 is usual")
    return int(seed)


def project(space: Space, *, seed: int = 0, neighbours: int = 15, start: np.ndarray | None = None) -> Projection:
    """Place the texts of a space on a plane so that neighbours stay neighbours.

    UMAP (McInnes, Healy & Melville 2018) with cosine distance, exact neighbours and a PCA start. With fewer than
    4 distinct usable vectors there is nothing to lay out and PCA is shown.

    Args:
        space: n texts with their vectors.
        seed: seed of the layout; the same seed gives the same map on one machine.
        neighbours: size of the neighbourhood that is kept together; fewer where there are fewer texts.
        start: float, shape (n, 2), positions to start from; None starts from PCA.

    Raises:
        DataError: fewer than 1 neighbour is asked for, or the seed is none.
    """
    seed = check_seed(seed)
    if neighbours < 1:
        raise DataError(f"expected at least 1 neighbour, got {neighbours}; 15 is usual")
    usable = space.usable
    unit = space.unit[usable]
    xy = np.full((len(space), 2), np.nan, dtype=np.float32)
    distinct = len(np.unique(unit.round(6), axis=0))
    flat = pca(unit)
    if distinct < 4:
        xy[usable] = flat
        import sklearn

        return Projection(
            space, xy, "pca", sklearn.__version__, seed, 0, None, f"{distinct} distinct usable vectors, UMAP needs 4"
        )
    k = min(neighbours, len(unit) - 1)
    first = flat if start is None else np.asarray(start, dtype=np.float32)[usable]
    first = np.where(np.isfinite(first), first, flat)  # a text may have had no place before
    xy[usable], version = _umap(unit, k, seed, first)
    trust, why = _trust(unit, xy[usable], k)
    return Projection(space, xy, "umap", version, seed, k, trust, why)


def pca(vectors: np.ndarray) -> np.ndarray:
    """First two principal components: float32 (n, 2) of float32 (n, d), scaled to about 10 units; zeros where undefined."""
    out = np.zeros((len(vectors), 2), dtype=np.float32)
    if len(vectors) < 2:
        return out
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]  # (d, 2)
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    placed = centred @ (axes * np.where(signs == 0, 1, signs))
    spread = float(np.abs(placed).max())
    if spread > 1e-6:  # less is rounding noise of vectors that are all alike
        out[:, : placed.shape[1]] = placed / spread * 10
    return out


def _umap(unit: np.ndarray, k: int, seed: int, start: np.ndarray) -> tuple[np.ndarray, str]:
    """float32 (n, 2) and umap-learn's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap

        rows, scores = nearest(unit, unit, k, exclude_self=True)
        # umap counts a point as its own first neighbour
        indices = np.hstack([np.arange(len(unit))[:, None], rows]).astype(np.int32)
        distances = np.hstack([np.zeros((len(unit), 1)), 1 - scores]).clip(0).astype(np.float32)
        layout = umap.UMAP(
            n_neighbors=k + 1,
            metric="cosine",
            random_state=seed,
            init=(start + np.random.default_rng(seed).normal(scale=1e-3, size=start.shape)).astype(np.float32),
            precomputed_knn=(indices, distances, None),
            force_approximation_algorithm=True,
            n_jobs=1,
        ).fit_transform(unit)
        return np.asarray(layout, dtype=np.float32), umap.__version__


def _trust(unit: np.ndarray, xy: np.ndarray, k: int) -> tuple[float | None, str]:
    """(trustworthiness, "") or (None, why there is none)."""
    from sklearn.manifold import trustworthiness

    if len(unit) <= 3 * k:
        return None, "fewer than 3 neighbourhoods of texts"
    if len(unit) > TRUST_UP_TO:
        return None, f"not measured above {TRUST_UP_TO:,} texts"
    return float(trustworthiness(unit, xy, n_neighbors=k, metric="cosine")), ""
