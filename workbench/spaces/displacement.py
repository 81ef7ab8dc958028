"""How far texts move from one map to another, told apart from what other seeds do to a map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.spaces.compare import NeighbourChange, mean_score
from workbench.spaces.evaluate import Score
from workbench.spaces.project import Projection, displaced
from workbench.spaces.stages import Call, laid_out

QUIET = 0.95  # share of the texts that move less than the noise by chance alone
CHANCE = 1 - QUIET
# Of 288 texts the noise from one layout was anywhere between 3.1 and 7.6 units, that from seven between 4.9 and 5.2
LAYOUTS = 7
LAID_OUT = 3999  # texts at most in all of them together, so that from 2,000 texts on it is one


@dataclass(frozen=True, eq=False)
class Displacement:
    """How far each text lies from where it lay before, beside what nothing but other seeds do to it.

    Attributes:
        distance: float32, shape (n,), in units of the map: from the first map to the second; NaN where undefined.
        noise: float32, shape (k, n), in units of the map: from the first map to the same space laid out with k other
            seeds, each from the same start.
        seeds: of the first map and of the k other layouts.
        why: why it is undefined for all texts; empty where it is not.
    """

    distance: np.ndarray
    noise: np.ndarray
    seeds: tuple[int, ...]
    why: str = ""

    @cached_property
    def level(self) -> float | None:
        """What texts stay below 95 times of 100 if nothing changes but the seed, in units of the map."""
        known = self.noise[np.isfinite(self.noise)]
        return None if self.why or not len(known) else float(np.quantile(known, QUIET))

    @property
    def beyond(self) -> np.ndarray:
        """bool, shape (n,): the text moved more than the noise."""
        level = np.inf if self.level is None else self.level
        return np.asarray(np.nan_to_num(self.distance) > level)

    @cached_property
    def share(self) -> Score:
        """Share of the texts that moved more than the noise, with its interval; 0.05 is what chance gives."""
        known = np.isfinite(self.distance)
        return mean_score(self.beyond[known], "" if self.level is not None else self.why or "no text has both places")

    @property
    def noise_from(self) -> str:
        """What the noise was measured on, in words."""
        return f"noise from {len(self.noise)} {'layout' if len(self.noise) == 1 else 'layouts'}"

    @cached_property
    def most(self) -> float:
        """Share of the texts that moved more than the noise in that layout of the same model where most did."""
        level = np.inf if self.level is None else self.level
        return float((np.nan_to_num(self.noise) > level).sum(axis=1).max(initial=0)) / max(1, self.share.n)

    @property
    def within_noise(self) -> bool:
        """No more texts moved than in one of the layouts of the same model, or nothing is known."""
        return self.share.low is None or self.share.low <= max(CHANCE, self.most)

    @property
    def sentence(self) -> str:
        """How many texts moved more than the noise, and whether that is more than chance."""
        if self.level is None:
            return f"How far texts moved on the map is undefined: {self.share.why}."
        return (
            f"On the map {self.share.value:.0%}{_between(self.share)} of {self.share.n:,} texts moved farther than "
            f"{self.level:.2f} units; with other seeds of the same model {CHANCE:.0%} do, at most {self.most:.0%} "
            f"({self.noise_from}): {_VERDICT[self.within_noise]}."
        )

    def said(self, row: int) -> str:
        """Whether a text moved more than the noise, in words."""
        if self.level is None or not np.isfinite(self.distance[row]):
            return "undefined"
        return _VERDICT[not self.beyond[row]]


def displacement(maps: tuple[Projection, Projection], found: NeighbourChange, *, call: Call) -> Displacement:
    """How far each text lies from where it lay before; the first map is laid out again for the noise.

    Args:
        maps: n texts under both models, of which the second map started from the first.
        found: change of their neighbours, which says where a model is collapsed.
        call: calls a function somewhere else and waits for the result.
    """
    first, second = maps
    unknown = np.full(len(first.space), np.nan, dtype=np.float32)
    layouts = max(1, min(LAYOUTS, LAID_OUT // max(1, len(first.space))))
    seeds = tuple((first.seed + place) % 2**32 for place in range(layouts + 1))
    flat = next((made for made in maps if made.engine != "umap"), None)
    why = f"a map is no UMAP ({flat.why})" if flat is not None else ""
    if not np.isfinite(found.change).any():
        why = found.why or why
    if why:
        return Displacement(unknown, unknown[None][:0], seeds[:1], why)
    again = [laid_out(call, first.space, seed=seed, start=first.xy) for seed in seeds[1:]]
    return Displacement(displaced(first, second), np.stack([displaced(first, made) for made in again]), seeds)


_VERDICT = {True: "within the noise", False: "more than the noise"}


def _between(share: Score) -> str:
    return "" if share.low is None or share.high is None else f" [{share.low:.0%}, {share.high:.0%}]"
