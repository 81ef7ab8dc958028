"""The film of a run: vectors of the same texts at moments of its training, and one plane that all of them are drawn on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from workbench.errors import DataError
from workbench.spaces.compare import neighbour_change
from workbench.spaces.encode import Progress, Space
from workbench.spaces.measures import effective_rank, mean_cosine
from workbench.spaces.project import Projection, check_seed, pca, project

Engine = Literal["pca", "umap"]
NEIGHBOURS = 10
LEAST = 0.001  # share of the time that is told in figures
PADDING = 0.06  # of the width of the picture, on each side


@dataclass(frozen=True)
class Moment:
    """When a frame was taken.

    Attributes:
        step: optimizer steps done; 0 is the base model.
        epoch: passes over the data done.
        seconds: what taking the frame took; the first one holds the choice of the texts too.
        scored: its vectors are those that scores were taken of, so that nothing was encoded for it.
    """

    step: int
    epoch: float
    seconds: float
    scored: bool = False


@dataclass(frozen=True)
class Numbers:
    """The space of a moment in numbers; None where undefined, `why` then says the reason.

    Attributes:
        mean_cosine: of two different texts.
        effective_rank: how many directions the vectors use.
        changed: mean share in [0, 1] by which the 10 nearest texts differ from those of the first moment (1 - Jaccard).
        texts: texts with a vector, on which this was measured.
    """

    mean_cosine: float | None
    effective_rank: float | None
    changed: float | None
    texts: int
    why: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Film:
    """The vectors of n texts at m moments of a run.

    Attributes:
        name: of the run.
        model: name of its base model.
        texts: n distinct texts, a sample of `distinct` ones.
        vectors: float16, shape (m, n, d), rows of unit length; zero where there was no usable vector.
        moments: m of them, by step; the first is the base model, unless its file is lost.
        steps, losses: the loss curve as recorded; None where undefined.
        trained_s: seconds in training steps up to the last record.
        of: the rows that the texts are from, in words.
        distinct: different texts that the sample was drawn from.
        seed: that it was drawn by.
        columns: the column of each text.
        rows: the row of each text in its table, counted from 0.
        labels: n labels, or None; `by` says what they are.
    """

    name: str
    model: str
    texts: tuple[str, ...]
    vectors: np.ndarray
    moments: tuple[Moment, ...]
    steps: tuple[int, ...]
    losses: tuple[float | None, ...]
    trained_s: float
    of: str
    distinct: int
    seed: int
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...] | None = None
    by: str = ""

    def __len__(self) -> int:
        return len(self.moments)

    def space(self, place: int) -> Space:
        """The space of moment number `place`, -1 for the last."""
        name = f"{self.model}, step {self.moments[place].step}" if self.moments[place].step else self.model
        return Space(self.texts, self.vectors[place].astype(np.float32), name, "", labels=self.labels)

    @property
    def seconds(self) -> float:
        """What taking all frames took."""
        return sum(moment.seconds for moment in self.moments)

    @property
    def cost(self) -> str:
        """What the film took, in words."""
        scored = sum(moment.scored for moment in self.moments)
        return cost_of(len(self), len(self.texts), self.seconds, self.trained_s, scored)

    @property
    def about(self) -> str:
        """What was filmed, in words."""
        drawn = f"{len(self.texts):,} of {self.distinct:,} distinct texts of {self.of}, seed {self.seed}"
        return (
            f"{self.model}, {drawn if len(self.texts) < self.distinct else f'all {self.distinct:,} texts of {self.of}'}"
        )

    @cached_property
    def numbers(self) -> tuple[Numbers, ...]:
        """The space of each moment in numbers."""
        first = self.space(0)
        return tuple(_numbers(first, self.space(place)) for place in range(len(self)))

    def loss_at(self, place: int) -> float | None:
        """The last loss that was recorded up to a moment; None where there is none."""
        known = [loss for step, loss in zip(self.steps, self.losses, strict=True) if step <= self.moments[place].step]
        return known[-1] if known else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: what was filmed, what it cost, and the numbers of each moment. No texts and no vectors."""
        moments = [
            {**vars(moment), "loss": self.loss_at(place), **vars(self.numbers[place])}
            for place, moment in enumerate(self.moments)
        ]
        return {
            "run": self.name,
            "model": self.model,
            "of": self.of,
            "texts": len(self.texts),
            "distinct": self.distinct,
            "seed": self.seed,
            "labels": self.by or None,
            "seconds": round(self.seconds, 3),
            "trained_seconds": round(self.trained_s, 3),
            "share": round(self.seconds / self.trained_s, 4) if self.trained_s > 0 else None,
            "cost": self.cost,
            "moments": moments,
        }

    def __repr__(self) -> str:
        ends = f"step {self.moments[0].step} to {self.moments[-1].step}"
        return f"Film of {self.name}: {self.about}; {ends}, {self.cost}"


@dataclass(frozen=True, eq=False)
class FilmMaps:
    """A film on one plane.

    Attributes:
        film: what was filmed.
        maps: one map a moment, all in one frame: the same place means the same in each.
        engine: pca or umap.
        shown: share in [0, 1] of the variance of all vectors that the plane shows, for PCA; None where undefined.
        why: why the engine is not the one that was asked for, or why `shown` is undefined; empty otherwise.
    """

    film: Film
    maps: tuple[Projection, ...]
    engine: Engine
    shown: float | None = None
    why: str = ""

    @property
    def caption(self) -> str:
        """How the plane came about and how far it can be believed, and what was filmed for how much time."""
        if self.engine == "pca":
            share = f"it shows {self.shown:.1%} of the variance" if self.shown is not None else self.why
            fallback = f" ({self.why})" if self.why and self.shown is not None else ""
            how = f"PCA{fallback}: one projection for all moments, so that what moves has moved; {share}"
        else:
            trust = [drawn.trustworthiness for drawn in (self.maps[0], self.maps[-1])]
            ends = " and ".join("undefined" if value is None else f"{value:.3f}" for value in trust)
            ends += "" if None not in trust else f": {self.maps[0].why or self.maps[-1].why}"
            how = (
                f"UMAP: the last moment laid out, each earlier one started from the next and turned onto it, so that motion holds chance; "
                f"trustworthiness at the first and the last moment {ends}"
            )
        return f"{how}. {self.film.about}. {self.film.cost}"

    def to_json(self) -> dict[str, Any]:
        """Plain values: those of the film, and how it is drawn."""
        trust = [drawn.trustworthiness for drawn in self.maps]
        drawn = {"engine": self.engine, "variance_shown": self.shown, "trustworthiness": trust, "why": self.why}
        return {**self.film.to_json(), **drawn, "caption": self.caption}

    @property
    def spans(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lowest and highest place over all moments with some room, across and up."""
        placed = np.concatenate([drawn.xy for drawn in self.maps])
        placed = placed[np.isfinite(placed).all(axis=1)]
        if len(placed) == 0:
            return (-1.0, 1.0), (-1.0, 1.0)
        low, high = placed.min(axis=0), placed.max(axis=0)
        room = np.maximum((high - low) * PADDING, 0.5)
        return tuple((float(a), float(b)) for a, b in zip(low - room, high + room, strict=True))  # type: ignore[return-value]


def film_maps(
    film: Film, *, engine: Engine = "pca", seed: int = 0, progress: Progress = lambda done, total: None
) -> FilmMaps:
    """Draw all moments of a film on one plane.

    Args:
        film: m moments of n texts.
        engine: "pca" projects the vectors of all moments by the same two axes, the principal ones of all of them
            together: what moves on the plane has moved in the space. "umap" keeps neighbours together better: the last
            moment is laid out, and each earlier one starts from the one after it and is turned onto it.
        seed: of UMAP's layout.
        progress: called with (moments done, moments to do).

    Raises:
        DataError: there is no such engine, or the seed is none.
    """
    if engine not in get_args(Engine):
        raise DataError(f"expected engine= pca or umap, got {engine!r:.60}; pca is usual")
    seed = check_seed(seed)
    if engine == "pca":
        return _by_pca(film, seed)
    maps: list[Projection] = []
    for place in reversed(range(len(film))):
        maps.insert(0, project(film.space(place), seed=seed, start=maps[0].xy if maps else None))
        if maps[0].engine != "umap":
            return replace(_by_pca(film, seed), why=f"{maps[0].why} at step {film.moments[place].step}")
        progress(len(maps), len(film))
    return FilmMaps(film, tuple(maps), "umap")


def _by_pca(film: Film, seed: int) -> FilmMaps:
    spaces = [film.space(place) for place in range(len(film))]
    usable = np.concatenate([space.usable for space in spaces])  # (m * n,)
    vectors = np.concatenate([space.unit for space in spaces])[usable]
    placed = pca(vectors)
    xy = np.full((len(usable), 2), np.nan, dtype=np.float32)
    xy[usable] = placed
    maps = tuple(
        Projection(space, part, "pca", np.__version__, seed, 0, None, "one projection for all moments")
        for space, part in zip(spaces, np.split(xy, len(spaces)), strict=True)
    )
    shown = _shown(vectors, placed)
    return FilmMaps(film, maps, "pca", shown, "" if shown is not None else "all vectors are alike, so nothing moves")


def _shown(vectors: np.ndarray, placed: np.ndarray) -> float | None:
    """Share of the variance that principal components hold, whatever they were scaled by; None where there is none.

    With X the centred vectors and y = c X a for a principal axis a, |X'y|² / |y|² is the variance along a.
    """
    centred = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    squares = np.square(placed.astype(np.float64)).sum(axis=0)  # (2,)
    total = float(np.square(centred, dtype=np.float64).sum())
    if total == 0 or squares[0] == 0:
        return None
    along = np.square((centred.T @ placed).astype(np.float64)).sum(axis=0)
    return float(np.divide(along, squares, out=np.zeros(2), where=squares > 0).sum() / total)


def _numbers(first: Space, space: Space) -> Numbers:
    unit = space.unit[space.usable]
    if len(unit) < 2:
        return Numbers(None, None, None, len(unit), f"{len(unit)} texts with a vector are too few, 2 are needed")
    moved = neighbour_change(first, space, NEIGHBOURS)
    known = moved.change[np.isfinite(moved.change)]
    changed = float(known.mean()) if len(known) else None
    why = moved.why if changed is None else ""
    return Numbers(mean_cosine(unit), effective_rank(unit), changed, len(unit), why)


def cost_of(frames: int, texts: int, seconds: float, trained_s: float, scored: int = 0) -> str:
    """What a film took, in words.

    Args:
        frames: that were taken.
        texts: in each of them.
        seconds: that taking them took.
        trained_s: seconds in training steps.
        scored: frames whose vectors came with the scores.
    """
    part = seconds / trained_s if trained_s > 0 else 0.0
    share = f" ({f'{part:.1%}' if part >= LEAST else f'less than {LEAST:.1%}'} of the time in training steps)"
    came = f", {scored} of them with vectors of the scores," if scored else ""
    return f"{frames} frames of {texts:,} texts{came} took {seconds:.2g} s{share if trained_s > 0 else ''}"
