"""Numbers that judge a space by itself, without a map: how it is spread, who its neighbours are, whether it collapsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DataError
from workbench.spaces.encode import Space, check_space, label_texts
from workbench.spaces.evaluate import ALIKE
from workbench.spaces.neighbours import nearest
from workbench.spaces.project import check_seed
from workbench.spaces.stages import sample

if TYPE_CHECKING:
    import pandas

UP_TO = 5000  # texts; three times so many squared distances take a few seconds
K = 10
BLOCK = 500
NOISE = 0.01  # length of what differs between the vectors of the collapsed stand-in
COLLAPSED_COSINE, COLLAPSED_RANK = 0.95, 2.0
MEASURES = ("mean_cosine", "effective_rank", "uniformity", "alignment", "neighbour_purity", "hubness")
MEANING = {
    "mean_cosine": "mean cosine of two different texts (anisotropy): 0 where all directions are used alike, 1 where all vectors point one way",
    "effective_rank": "how many directions the vectors use, of at most {rank}: exp of the entropy of their singular values (Roy & Vetterli 2007)",
    "uniformity": "log of the mean of exp(-2 squared distance) over all pairs (Wang & Isola 2020): lower is spread more evenly, 0 is all alike",
    "alignment": "mean squared distance of texts that belong together (Wang & Isola 2020): 0 is the same vector, 2 unrelated; a collapsed space has 0 too",
    "neighbour_purity": "share of the {k} nearest texts with the same label: {chance} by chance, 1 at best",
    "hubness": "skewness of how often a text is among the {k} nearest of others (Radovanović et al. 2010): near 0 nobody stands out, the higher the more a few texts are near to all",
}
# all-MiniLM-L6-v2 as it comes, by these functions; alignment on the question and definition of each row of glossary/qa
UNTUNED_ON = (
    "all-MiniLM-L6-v2 as it comes, on the 792 training texts of glossary/labelled and the 594 pairs of glossary/qa"
)
UNTUNED: Mapping[str, float] = {
    "mean_cosine": 0.1229,
    "effective_rank": 274.2,
    "uniformity": -3.425,
    "alignment": 1.358,
    "neighbour_purity": 0.2836,
    "hubness": 1.378,
}


@dataclass(frozen=True)
class Measure:
    """One number of a space.

    Attributes:
        name: such as ``effective_rank``.
        value: None where undefined; `why` then says the reason.
        n: texts (for alignment: pairs) that it was measured on.
        meaning: how to read it, in words.
        even: the same number for vectors in random directions, as many of as many dimensions; None where undefined.
        collapsed: the same for vectors that all point one way but for a noise of 1 %.
        untuned: the same for all-MiniLM-L6-v2 as it comes on the glossary (`UNTUNED_ON`).
    """

    name: str
    value: float | None
    n: int
    meaning: str
    why: str = ""
    even: float | None = None
    collapsed: float | None = None
    untuned: float | None = None

    def __str__(self) -> str:
        return f"undefined: {self.why}" if self.value is None else f"{self.value:.4g}"


@dataclass(frozen=True, eq=False)
class Measures(Mapping[str, Measure]):
    """The measures of a space, by name.

    Attributes:
        model: name of the model.
        texts: texts of the space.
        distinct: different texts among those that are usable.
        measured: texts that were measured: all distinct ones, or a sample.
        left_out: texts whose vector is zero or not finite.
        seed: of the sample and of the stand-ins.
        measures: in the order in which to read them.
    """

    model: str
    texts: int
    distinct: int
    measured: int
    left_out: int
    seed: int
    measures: tuple[Measure, ...]

    def __getitem__(self, name: str) -> Measure:
        """The measure of that name."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Their names."""
        return (measure.name for measure in self.measures)

    def __len__(self) -> int:
        return len(self.measures)

    @property
    def collapsed(self) -> bool:
        """The model gives nearly all texts the same direction, or all lie on one line; False where nothing is known."""
        cosine, rank = self["mean_cosine"].value, self["effective_rank"].value
        if cosine is None or rank is None:
            return False
        return cosine >= COLLAPSED_COSINE or (self.measured > 2 and rank < COLLAPSED_RANK)

    @property
    def verdict(self) -> str:
        """Whether the space has collapsed, in a sentence."""
        cosine, rank = self["mean_cosine"].value, self["effective_rank"].value
        if cosine is None or rank is None:
            return f"Whether the space has collapsed is not known: {self['mean_cosine'].why}."
        numbers = f"two texts have a mean cosine of {cosine:.3f}, and the vectors use {rank:.1f} directions"
        limits = f"at least {COLLAPSED_COSINE:g}, or fewer than {COLLAPSED_RANK:g} directions, is a collapse"
        if self.collapsed:
            return f"The space has collapsed: {numbers} ({limits}); its neighbours say little."
        return f"The space has not collapsed: {numbers} ({limits})."

    @property
    def about(self) -> str:
        """What was measured, in words."""
        of = f"{self.distinct:,}{' distinct' if self.distinct < self.texts - self.left_out else ''} texts"
        on = f"a sample of {self.measured:,} of {of}, seed {self.seed}" if self.measured < self.distinct else of
        out = f", {self.left_out:,} left out (their vector is zero or not finite)" if self.left_out else ""
        return f"{self.model} on {on}{out}"

    def to_json(self) -> dict[str, Any]:
        """Plain values: what was measured, collapsed, verdict, and the measures by name."""
        head = {name: getattr(self, name) for name in ("model", "texts", "distinct", "measured", "left_out", "seed")}
        values = {measure.name: {k: v for k, v in vars(measure).items() if k != "name"} for measure in self.measures}
        return {**head, "collapsed": self.collapsed, "verdict": self.verdict, "measures": values}

    def to_frame(self) -> pandas.DataFrame:
        """One line a measure."""
        import pandas

        return pandas.DataFrame([vars(measure) for measure in self.measures]).set_index("name")

    def __repr__(self) -> str:
        lines = [f"{self.about}. {self.verdict}"]
        lines += [f"{measure.name}: {measure} (n = {measure.n:,}); {_beside(measure)}" for measure in self.measures]
        return "\n  ".join([*lines, f"untuned: {UNTUNED_ON}"])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(measure.name)}</th><td>{escape(str(measure))}</td><td>{measure.n:,}</td>"
            f"<td>{_number(measure.even)}</td><td>{_number(measure.collapsed)}</td><td>{_number(measure.untuned)}</td>"
            f"<td>{escape(measure.meaning)}</td></tr>"
            for measure in self.measures
        )
        names = ("measure", "value", "n", "random directions", "collapsed", "untuned MiniLM, glossary", "what it says")
        head = "".join(f"<th>{name}</th>" for name in names)
        caption = f"{escape(self.about)}<br><strong>{escape(self.verdict)}</strong>"
        foot = f"<tr><td colspan='{len(names)}'><small>untuned: {escape(UNTUNED_ON)}</small></td></tr>"
        return f"<table class='wb-table'><caption>{caption}</caption><tr>{head}</tr>{rows}{foot}</table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _beside(measure: Measure) -> str:
    return f"random directions {_number(measure.even)}, collapsed {_number(measure.collapsed)}, untuned {_number(measure.untuned)}"


def measures(
    space: Space,
    labels: Sequence[object] | None = None,
    pairs: Iterable[tuple[int, int]] | np.ndarray | None = None,
    seed: int = 0,
) -> Measures:
    """Measure a space by its vectors, brought to length 1; above 5,000 texts a seeded sample of them.

    Each text counts once, by its first row: that equal texts have equal vectors says nothing about a model.

    Args:
        space: n texts with their vectors.
        labels: n labels, for neighbour purity; None takes those of the space.
        pairs: row numbers (i, j) of texts that belong together, shape (m, 2), for alignment; all are measured.
        seed: of the sample, and of the stand-ins that each number is compared with.

    Raises:
        DataError: not one label for each text, pairs that are no row numbers, or no space or seed.
    """
    check_space(space)
    seed = check_seed(seed)
    named = label_texts(space.labels if labels is None else labels, len(space))
    usable = space.usable
    found_at = {space.texts[row]: row for row in np.flatnonzero(usable)[::-1]}
    distinct = np.sort(np.fromiter(found_at.values(), dtype=np.int64, count=len(found_at)))
    rows = sample(distinct, UP_TO, seed)
    unit = Space((), space.vectors[rows], "", "").unit
    its = None if named is None else np.asarray(named, dtype=object)[rows]
    draw = np.random.default_rng(seed)
    even = _length_one(draw.standard_normal(unit.shape))
    same = _length_one(even[:1] + NOISE * _length_one(draw.standard_normal(unit.shape))) if len(unit) else unit
    found = [_values(vectors, its) for vectors in (unit, even, same)]
    found[0]["alignment"], m = _alignment(space, usable, pairs)
    for stand_in in found[1:]:
        cosine = stand_in["mean_cosine"]
        stand_in["alignment"] = cosine if isinstance(cosine, str) else 2 - 2 * cosine
    made = tuple(_measure(name, found, m if name == "alignment" else len(rows), unit, its) for name in MEASURES)
    return Measures(space.model, len(space), len(distinct), len(rows), int((~usable).sum()), seed, made)


def _measure(
    name: str, found: Sequence[Mapping[str, float | str]], n: int, unit: np.ndarray, names: np.ndarray | None
) -> Measure:
    value, even, collapsed = (values[name] for values in found)
    chance = 0.0 if names is None else sum(float(np.mean(names == label)) ** 2 for label in set(names))
    meaning = MEANING[name].format(rank=min(unit.shape), k=min(K, len(unit) - 1), chance=f"{chance:.3f}")
    return Measure(
        name,
        None if isinstance(value, str) else value,
        n,
        meaning,
        value if isinstance(value, str) else "",
        None if isinstance(even, str) else even,
        None if isinstance(collapsed, str) else collapsed,
        UNTUNED.get(name),
    )


def _length_one(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _values(unit: np.ndarray, names: np.ndarray | None) -> dict[str, float | str]:
    """Number, or the reason why there is none, of all measures but alignment."""
    n = len(unit)
    if n < 2:
        why = "one text has no other to be compared with" if n else "there is no text with a usable vector"
        return dict.fromkeys(MEASURES, why)
    found: dict[str, float | str] = {
        "mean_cosine": mean_cosine(unit),
        "effective_rank": effective_rank(unit),
        "uniformity": _uniformity(unit),
    }
    if float(np.abs(unit - unit[0]).max()) < ALIKE:
        why = f"all {n} vectors are alike (a collapsed model): their neighbours are rounding noise"
        return {**found, "neighbour_purity": why, "hubness": why}
    near = nearest(unit, unit, min(K, n - 1), exclude_self=True)[0]
    return {**found, "neighbour_purity": _purity(near, names), "hubness": _hubness(near)}


def mean_cosine(unit: np.ndarray) -> float:
    """Mean cosine of all pairs of different rows: the square of their sum holds them all.

    Args:
        unit: float32, shape (n, d), rows of unit length; n > 1.
    """
    n, total = len(unit), unit.sum(axis=0, dtype=float)
    own = float(np.square(unit, dtype=float).sum())
    return min(1.0, (float(total @ total) - own) / (n * (n - 1)))


def effective_rank(unit: np.ndarray) -> float:
    """How many directions the rows use: exp of the entropy of their singular values.

    Args:
        unit: float32, shape (n, d), rows of unit length; n > 0.
    """
    rows = unit.astype(float)
    gram = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    share = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))
    # below, eigenvalues of float32 vectors are rounding noise
    share = share[share > 1e-6 * share.max()] / share[share > 1e-6 * share.max()].sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _uniformity(unit: np.ndarray) -> float:
    """Of pairs of different rows; -2 |u - v|^2 is 4 u·v - 4 where both have length 1."""
    n, total = len(unit), 0.0
    for start in range(0, n, BLOCK):
        total += float(np.exp(4 * (unit[start : start + BLOCK] @ unit.T) - 4).sum(dtype=float))
    own = float(np.exp(4 * np.square(unit).sum(axis=1) - 4).sum(dtype=float))
    return min(0.0, float(np.log((total - own) / (n * (n - 1)))))


def _purity(near: np.ndarray, names: np.ndarray | None) -> float | str:
    if names is None:
        return "there are no labels"
    if len(set(names)) < 2:
        return "all texts have the same label"
    return float((names[near] == names[:, None]).mean())


def _hubness(near: np.ndarray) -> float | str:
    n, k = near.shape
    times = np.bincount(near.ravel(), minlength=n) - k  # the mean is k
    spread = float(np.sqrt(np.mean(np.square(times))))
    if spread == 0:
        return f"each of the {n} texts is among the {k} nearest of as many others"
    return float(np.mean((times / spread) ** 3))


def _alignment(space: Space, usable: np.ndarray, pairs: Any) -> tuple[float | str, int]:
    """(number or the reason why there is none, pairs that were measured)."""
    if pairs is None:
        return "it takes pairs of texts that belong together; give pairs=, their row numbers", 0
    try:
        given = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs))
    except (TypeError, ValueError):  # no list, or rows of different lengths
        given = np.asarray(repr(pairs)[:60])
    if given.size == 0:
        return "there are no pairs", 0
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "iu":
        raise DataError(
            f"expected pairs of row numbers, shape (m, 2), got {given.dtype} of shape {given.shape}; give them as [(0, 1), ...]"
        )
    if given.min() < 0 or given.max() >= len(space):
        wrong = given.ravel()[np.argmax((given.ravel() < 0) | (given.ravel() >= len(space)))]
        raise DataError(f"expected row numbers from 0 to {len(space) - 1} in pairs, got {wrong}; count rows from 0")
    good = given[usable[given].all(axis=1)]
    if len(good) == 0:
        return "in each pair a vector is zero or not finite", 0
    first, second = (Space((), space.vectors[good[:, side]], "", "").unit for side in (0, 1))
    return float(np.square(first - second).sum(axis=1).mean()), len(good)
