"""A space drawn on a plane by UMAP, with exact neighbours and a PCA start, and the record of how far it can be believed."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from workbench.errors import DataError
from workbench.spaces.cores import one_core_each
from workbench.spaces.encode import Space, check_space
from workbench.spaces.faithful import SHOWN, Faithfulness, faithfulness
from workbench.spaces.layout import MIN_DIST, aligned, exact_neighbours, fuzzy_graph, lay_out, rounds_for
from workbench.spaces.on_torch import WhileItFits, exact_neighbours_on, gpu, lay_out_on

Engine = Literal["workbench", "umap-learn"]
FEWEST = 4
ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class Projection:
    """A map of a space, with what is needed to judge and repeat it.

    Attributes:
        space: the space that was drawn.
        xy: float32, shape (n, 2); NaN for texts whose vector is zero or not finite.
        engine: "umap" or "pca".
        version: what drew it and its version.
        seed: seed of the layout and of the samples it is judged by.
        neighbours: size of the neighbourhood; 0 for PCA.
        trustworthiness: that of `faithfulness`; None where undefined.
        why: why the engine is PCA or trustworthiness is undefined; empty otherwise.
        faithfulness: what the map has kept of the space; None where that was not measured.
        parameters: settings of the engine by name.
        seconds: what it took, judging included.
    """

    space: Space
    xy: np.ndarray
    engine: str
    version: str
    seed: int
    neighbours: int
    trustworthiness: float | None
    why: str = ""
    faithfulness: Faithfulness | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

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
        kept = self.faithfulness
        if kept is not None and kept.ranked < kept.placed and self.trustworthiness is not None:
            trust += f" of {kept.ranked:,} texts"
        if kept is not None and kept.overlap is not None:
            trust += f", overlap of {kept.shown} neighbours {kept.overlap:.2f}"
        out = f", {self.left_out} left out (zero or not finite vectors)" if self.left_out else ""
        return f"{len(self.space):,} texts, {self.space.model}; {how}; {trust}{out}"

    @property
    def kept(self) -> np.ndarray:
        """float32, shape (n,): share in [0, 1] of a text's nearest texts that are near on the map; NaN where unknown."""
        shares = np.full(len(self.space), np.nan, dtype=np.float32)
        if self.faithfulness is not None:
            shares[np.isfinite(self.xy[:, 0])] = self.faithfulness.kept
        return shares

    @property
    def record(self) -> dict[str, Any]:
        """How to make this map again and what was measured on it, in plain values for JSON."""
        measured = None
        if self.faithfulness is not None:
            measured = {name: value for name, value in asdict(self.faithfulness).items() if name != "kept"}
        return {
            "model": self.space.model,
            "model_fingerprint": self.space.model_fingerprint,
            "prompt": self.space.prompt,
            "texts": len(self.space),
            "texts_fingerprint": hashlib.sha256(json.dumps(self.space.texts).encode()).hexdigest()[:16],
            "placed": int(np.isfinite(self.xy[:, 0]).sum()),
            "left_out": self.left_out,
            "engine": self.engine,
            "version": self.version,
            "seed": self.seed,
            "parameters": dict(self.parameters),
            "seconds": round(self.seconds, 2),
            "faithfulness": measured,
            "why": self.why,
        }


def check_seed(seed: Any) -> int:
    """A seed as int.

    Raises:
        DataError: it is no whole number from 0 to 2**32 - 1, which is what umap and scikit-learn take.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise DataError(f"expected seed= a whole number from 0 to {2**32 - 1}, got {seed!r:.60}; 0 is usual")
    return int(seed)


def check_count(value: Any, name: str, of: str, usual: str, *, least: int = 1) -> int:
    """A number of things as int.

    Raises:
        DataError: it is no whole number, or a smaller one than `least`.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise DataError(f"expected {name}= a whole number of at least {least} {of}, got {value!r:.60}; {usual}")
    return int(value)


def project(
    space: Space,
    *,
    seed: int = 0,
    neighbours: int = 15,
    start: np.ndarray | None = None,
    engine: Engine = "workbench",
    device: str | None = None,
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> Projection:
    """Place the texts of a space on a plane so that neighbours stay neighbours.

    UMAP (McInnes, Healy & Melville 2018) with cosine distance and exact neighbours. The map is turned, mirrored, moved
    and scaled to lie on its start as well as it can (Procrustes), so that maps with one start have one frame. With
    fewer than 4 distinct usable vectors there is nothing to lay out and PCA is shown.

    Args:
        space: n texts with their vectors.
        seed: seed of the layout; the same seed gives the same map on one machine.
        neighbours: size of the neighbourhood that is kept together; fewer where there are fewer texts.
        start: float, shape (n, 2), positions to start from; None starts from PCA.
        engine: what lays out: this package, or umap-learn, which takes longer and is the reference.
        device: torch device for neighbours and layout; None takes a GPU where torch is loaded and has one, else NumPy.
            When its memory is used up, the work goes on with NumPy, and the parameters say so.
        progress: called with (phase, done, total): "neighbours" and texts, "layout" and rounds, "judging the map" and
            maps. What it raises ends the work.

    Raises:
        DataError: fewer than 1 neighbour is asked for, the space or the seed is none, there is no such engine, or not
            one start for each text.
    """
    seed, began = check_seed(seed), time.perf_counter()
    check_space(space)
    neighbours = check_count(neighbours, "neighbours", "neighbour", "15 is usual")
    if engine not in get_args(Engine):
        raise DataError(f"expected engine= workbench or umap-learn, got {engine!r:.60}; workbench is usual")
    if start is not None and (np.shape(start) != (len(space), 2) or np.asarray(start).dtype.kind not in "fiu"):
        of = "" if np.asarray(start).dtype.kind in "fiu" else f" of {np.asarray(start).dtype}"
        raise DataError(f"expected start= of shape ({len(space)}, 2), got {np.shape(start)}{of}; give the .xy of a map")
    usable = space.usable
    unit = space.unit[usable]
    xy = np.full((len(space), 2), np.nan, dtype=np.float32)
    distinct, flat = _distinct(unit), pca(unit)
    if distinct < FEWEST:
        xy[usable] = flat
        why = f"{distinct} distinct usable vectors, UMAP needs {FEWEST}"
        return Projection(space, xy, "pca", np.__version__, seed, 0, None, why, seconds=time.perf_counter() - began)
    k = min(neighbours, len(unit) - 1)
    first = flat if start is None else np.asarray(start, dtype=np.float32)[usable]
    first = np.where(np.isfinite(first), first, flat)  # a text may have had no place before
    settings = {"neighbours": k, "metric": "cosine", "min_dist": MIN_DIST, "start": "pca" if start is None else "given"}
    placed, rows, how = _placed(unit, first, k, seed, engine, device, progress)
    xy[usable] = aligned(placed, first)
    progress("judging the map", 0, 1)
    kept = faithfulness(unit, xy[usable], k=k, seed=seed, nearest_rows=rows)
    progress("judging the map", 1, 1)
    by = f"{engine} {version('embedding-workbench' if engine == 'workbench' else engine)}"
    why = "fewer than 3 neighbourhoods of texts" if kept.trustworthiness is None else ""
    took = time.perf_counter() - began
    return Projection(space, xy, "umap", by, seed, k, kept.trustworthiness, why, kept, settings | how, took)


def _placed(
    unit: np.ndarray,
    first: np.ndarray,
    k: int,
    seed: int,
    engine: Engine,
    device: str | None,
    progress: Callable[[str, int, int], None],
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(positions laid out from the first ones, neighbours of each row, parameters that were settled on the way)."""
    settings: dict[str, Any] = {}
    wanted = min(max(k, SHOWN), len(unit) - 1)
    on = WhileItFits(device or gpu())
    told = partial(progress, "neighbours")
    rows, distances = on.do(exact_neighbours_on, exact_neighbours, unit, wanted, progress=told)
    if engine == "workbench":
        graph = fuzzy_graph(rows[:, :k], distances[:, :k])
        settings["rounds"] = rounds = rounds_for(len(unit))
        told = partial(progress, "layout")
        placed = on.do(lay_out_on, lay_out, graph, first, seed=seed, rounds=rounds, progress=told)
    else:
        placed = _umap_learn(unit, rows[:, :k], distances[:, :k], seed, first)
    if on.told:
        settings["device"] = on.told
    return placed, rows, settings


def displaced(before: Projection, after: Projection) -> np.ndarray:
    """How far each text lies from where it lay before, in units of the maps: float32 (n,); NaN without both places.

    It says something for maps in one frame, of which `after` started from `before`, and where it is more than
    `layout_noise`.

    Raises:
        DataError: the maps hold different texts.
    """
    if before.space.texts != after.space.texts:
        raise DataError("expected two maps of the same texts, got different texts; embed one list with both models")
    return np.asarray(np.linalg.norm(after.xy - before.xy, axis=1), dtype=np.float32)


def layout_noise(projection: Projection, *, seed: int | None = None) -> float | None:
    """By how much the texts of a map move if nothing but the seed changes: the median, in units of the map.

    The space is laid out once more, starting from the map and with its settings. What moved by no more under another
    model has not moved for a reason. None for PCA, which has no seed.

    Args:
        projection: a map.
        seed: another seed; None takes the next one.
    """
    if projection.engine != "umap":
        return None
    rows = np.flatnonzero(np.isfinite(projection.xy[:, 0]))
    first = replace(projection, space=part_of(projection.space, rows), xy=projection.xy[rows])
    again = project(
        first.space,
        seed=(first.seed + 1) % 2**32 if seed is None else seed,
        neighbours=first.neighbours,
        start=first.xy,
        engine="umap-learn" if "umap-learn" in first.version else "workbench",
    )
    return float(np.median(displaced(first, again)))


def part_of(space: Space, rows: np.ndarray) -> Space:
    """The space of some of the texts, by row number and without labels."""
    return replace(space, texts=tuple(space.texts[row] for row in rows), vectors=space.vectors[rows], labels=None)


def pca(vectors: np.ndarray) -> np.ndarray:
    """First two principal components: float32 (n, 2) of float32 (n, d), scaled to about 10 units; zeros where undefined."""
    out = np.zeros((len(vectors), 2), dtype=np.float32)
    if len(vectors) < 2:
        return out
    with one_core_each():
        placed = _on_axes(vectors - vectors.mean(axis=0))
    spread = float(np.abs(placed).max())
    if spread > 1e-6:  # less is rounding noise of vectors that are all alike
        out[:, : placed.shape[1]] = placed / spread * 10
    return out


def _on_axes(centred: np.ndarray) -> np.ndarray:
    """float32, shape (n, 2 or d if fewer): rows on the two axes along which they spread most."""
    gram = (centred.T @ centred).astype(np.float64)
    # Subspace iteration, which is quicker than all axes
    basis = np.random.default_rng(0).normal(size=(len(gram), min(len(gram), 16)))
    for _ in range(40):
        basis = np.linalg.qr(gram @ basis)[0]
    axes = (basis @ np.linalg.eigh(basis.T @ gram @ basis)[1])[:, ::-1][:, :2].astype(np.float32)  # (d, 2)
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    return np.asarray(centred @ (axes * np.where(signs == 0, 1, signs)))


def _distinct(unit: np.ndarray) -> int:
    """How many rows differ, at most FEWEST."""
    count, left = 0, unit
    while len(left) and count < FEWEST:
        count, left = count + 1, left[np.abs(left - left[0]).max(axis=1) > ALIKE]
    return count


def _umap_learn(unit: np.ndarray, rows: np.ndarray, distances: np.ndarray, seed: int, start: np.ndarray) -> np.ndarray:
    """float32, shape (n, 2): positions by umap-learn, given neighbours without the row itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap

        # umap counts a point as its own first neighbour
        indices = np.hstack([np.arange(len(unit))[:, None], rows]).astype(np.int32)
        layout = umap.UMAP(
            n_neighbors=rows.shape[1] + 1,
            metric="cosine",
            min_dist=MIN_DIST,
            random_state=seed,
            init=(start + np.random.default_rng(seed).normal(scale=1e-3, size=start.shape)).astype(np.float32),
            precomputed_knn=(indices, np.pad(distances, ((0, 0), (1, 0))), None),
            force_approximation_algorithm=True,
            n_jobs=1,
        ).fit_transform(unit)
        return np.asarray(layout, dtype=np.float32)
