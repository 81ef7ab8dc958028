"""Axes of a static picture: each finds its range, its ticks and its place."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.plots.svg_words import cut, listed, number, numbers, plain, span, words

STEM = 'stroke="currentColor" stroke-opacity='
TILTED = 130  # px, the longest tilted label
LEAN = 0.77  # cosine of its angle


@dataclass
class Axis:
    """One axis: values are added, `close` fixes the range, `place` fixes the px, `mark` the ticks.

    Attributes:
        key: "x", "y2", ….
        spec: plotly's settings of the axis.
        partner: key of the axis that it stands at.
        low, high: range in units of the axis: log10 of the value on a log axis, the place in the list for words.
        start, end: px of `low` and `high`.
        ticks: place in units of the axis, and label.
    """

    key: str
    spec: Any
    partner: str
    classes: dict[str, int] | None = None
    low: float = 0.0
    high: float = 1.0
    start: float = 0.0
    end: float = 1.0
    ticks: list[tuple[float, str]] = field(default_factory=list)
    tilted: bool = False
    whole: bool = True
    padded: bool = False
    zero: bool = False
    found: bool = False
    reverse: bool = False

    def __post_init__(self) -> None:
        self.domain = tuple(self.spec.domain or (0.0, 1.0))
        self.log = self.spec.type == "log"
        if self.spec.type == "category" or self.spec.categoryarray is not None:
            self.classes = {str(name): place for place, name in enumerate(listed(self.spec.categoryarray) or ())}

    @property
    def shown(self) -> bool:
        """Whether the axis has labels at all."""
        return self.spec.visible is not False and self.spec.showticklabels is not False and bool(self.ticks)

    @property
    def title(self) -> str:
        """The title in one line."""
        return " ".join(plain(self.spec.title.text)) if self.spec.visible is not False else ""

    @property
    def edges(self) -> tuple[float, float]:
        """Smallest and greatest px."""
        return min(self.start, self.end), max(self.start, self.end)

    def look(self, values: Any) -> None:
        """Turn into an axis of words if there are words among the values."""
        if self.classes is None and numbers(values) is None:
            self.classes, self.log = {}, False

    def units(self, values: Any, *, known: bool = False) -> np.ndarray:
        """Values in units of the axis, float64, shape (n,). With `known`, new words are NaN and numbers are places."""
        if self.classes is not None and known and (floats := numbers(values)) is not None:
            return floats
        if self.classes is not None and known:
            return np.array([self.classes.get(str(value), np.nan) for value in values], dtype=float)
        if self.classes is not None:
            names = ["" if value is None or value != value else str(value) for value in values]
            return np.array(
                [self.classes.setdefault(n, len(self.classes)) if n else np.nan for n in names], dtype=float
            )
        floats = numbers(values)
        if floats is None:
            return np.full(len(values), np.nan)
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                floats = np.where(floats > 0, np.log10(floats), np.nan)
        return floats

    def include(self, units: np.ndarray, *, padded: bool = False, zero: bool = False) -> None:
        """Widen the range so that it holds these places."""
        held = units[np.isfinite(units)]
        self.padded, self.zero = self.padded or padded, self.zero or zero
        if len(held):
            low, high = float(held.min()), float(held.max())
            self.low, self.high = (min(self.low, low), max(self.high, high)) if self.found else (low, high)
            self.whole = self.whole and bool((held[:1000] == np.round(held[:1000])).all())
            self.found = True

    def close(self) -> None:
        """Fix the range: the one that is set, else that of the data with some room around it."""
        self.zero = self.zero or self.spec.rangemode in ("tozero", "nonnegative")
        if self.zero and not self.log:
            self.low, self.high = min(self.low, 0.0), max(self.high, 0.0)
        reach = self.high - self.low
        if reach <= 1e-9 * max(abs(self.low), abs(self.high), 1e-90):
            room = abs(self.high) * 0.5 or 1.0
            self.low, self.high = self.low - room, self.high + room
        elif self.padded:
            room = reach * 0.06
            self.low -= 0.0 if self.zero and self.low == 0 else room
            self.high += 0.0 if self.zero and self.high == 0 else room
        fixed = numbers(self.spec.range) if self.spec.range is not None else None
        ends = (self.low, self.high)
        if fixed is not None and len(fixed) == 2:
            first, last = (float(now if math.isnan(end) else end) for end, now in zip(fixed, ends, strict=True))
            ends = (first, last)
        self.reverse = "reversed" in str(self.spec.autorange) or ends[0] > ends[1]
        self.low, self.high = min(ends), max(ends)
        if self.high - self.low <= 1e-12 * max(abs(self.low), abs(self.high), 1e-90):
            self.high = self.low + 1

    def place(self, start: float, end: float) -> None:
        """Give the axis its px."""
        self.start, self.end = (end, start) if self.reverse else (start, end)

    def px(self, units: Any) -> Any:
        """Places in px; takes and gives arrays or single numbers."""
        return self.start + (units - self.low) / (self.high - self.low) * (self.end - self.start)

    def mark(self, room: float) -> None:
        """Choose ticks whose labels do not touch; a label of a y axis is at most `room` px wide."""
        length = abs(self.end - self.start)
        chosen = self._words() if self.classes is not None or self.spec.tickvals is not None else None
        self.tilted = False
        if chosen is None:
            self.ticks = self._round(length) if self.found or self.spec.range is not None else []
        elif self.key[0] == "y":
            self.ticks = [(at, cut(text, room)) for at, text in _thin(chosen, length, self.high - self.low, 12)]
        else:
            widest = max((span(text) for _, text in chosen), default=0.0)
            slot = length * _gap(chosen) / (self.high - self.low)
            # words are tilted where they do not fit side by side; numbers are left out
            self.tilted = widest + 8 > slot and any(len(text) > 4 for _, text in chosen)
            self.ticks = _thin(chosen, length, self.high - self.low, 14 if self.tilted else widest + 8)

    def _words(self) -> list[tuple[float, str]]:
        if self.spec.tickvals is None:
            pairs = [(float(place), name) for name, place in (self.classes or {}).items()]
        else:
            places = self.units(listed(self.spec.tickvals), known=True)
            names = listed(self.spec.ticktext)
            names = listed(self.spec.tickvals) if names is None else names
            pairs = [(float(at), number(name)) for at, name in zip(places, names, strict=False)]
        edge = (self.high - self.low) * 1e-6
        inside = [(at, text) for at, text in pairs if self.low - edge <= at <= self.high + edge]
        return sorted((at, " ".join(plain(text))) for at, text in inside)

    def _round(self, length: float) -> list[tuple[float, str]]:
        """Ticks at 1, 2 or 5 times a power of ten, as many as have room."""
        each = 28 if self.key[0] == "y" else 50
        for most in range(max(2, min(11, int(length / each))), 0, -1):
            ticks = self._decades(most) if self.log and self.high - self.low > 0.7 else self._steps(most)
            widest = max((span(text) + 12 for _, text in ticks), default=0) if self.key[0] == "x" else 14
            if len(ticks) < 2 or widest <= length * _gap(ticks) / (self.high - self.low):
                return ticks
        return ticks[:1]

    def _decades(self, most: int) -> list[tuple[float, str]]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        few = (1, 2, 5) if last - first < 2 and most > 3 else (1,)
        every = max(1, math.ceil((last - first + 1) / most))
        places = [n + math.log10(part) for n in range(first - 1, last + 1, every) for part in few]
        return [(at, number(10**at)) for at in places if self.low - 1e-9 <= at <= self.high + 1e-9]

    def _steps(self, most: int) -> list[tuple[float, str]]:
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        power = 10.0 ** math.floor(math.log10((high - low) / most))
        step = next(power * part for part in (1, 2, 5, 10) if (high - low) / (power * part) <= most + 1e-9)
        step = max(step, 1.0) if self.whole and not self.log and not self.spec.tickformat else step
        values = step * np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        if self.spec.tickformat:
            texts = [number(value, self.spec.tickformat) for value in values]
        else:
            texts = _short(values, step)
        end = "".join(plain(self.spec.ticksuffix))
        places = np.log10(values) if self.log else values
        return [(float(at), text + end) for at, text in zip(places, texts, strict=True)]


def beside(axis: Axis) -> float:
    """Px that the labels and the title of a y axis need beside the plot."""
    labels = max((span(text) for _, text in axis.ticks), default=0.0) + 10 if axis.shown else 6
    return labels + (17 if axis.title else 0)


def under(axis: Axis) -> float:
    """Px that the labels and the title of an x axis need under the plot."""
    labels = 5.0
    if axis.shown:
        widest = max(span(text) for _, text in axis.ticks)
        labels = 14 + min(TILTED, widest) * 0.64 if axis.tilted else 18
    return labels + (17 if axis.title else 0)


def ahead(axis: Axis) -> float:
    """Px by which tilted labels of an x axis reach beyond its left end."""
    reaches = (LEAN * min(TILTED, span(text)) - axis.px(at) + axis.edges[0] for at, text in axis.ticks)
    return max(reaches, default=0.0) + 6 if axis.shown and axis.tilted else 0.0


def grid(x: Axis, y: Axis, *, lines: bool) -> str:
    """Faint lines at the ticks of a panel, a stronger one at zero, and the axes; without `lines` none of them."""
    (left, right), (top, bottom) = x.edges, y.edges
    faint, strong = [], []
    for axis, path in ((x, "M{0:.1f} {1:.1f}V{2:.1f}"), (y, "M{1:.1f} {0:.1f}H{2:.1f}")):
        ends = (top, bottom) if axis is x else (left, right)
        if axis.spec.visible is False:
            continue
        if lines and axis.spec.showgrid is not False and axis.shown:
            faint += [path.format(axis.px(at), *ends) for at, _ in axis.ticks]
        if lines and axis.classes is None and not axis.log and axis.spec.zeroline is not False:
            strong += [path.format(axis.px(0), *ends)] if axis.found and axis.low < 0 < axis.high else []
    if lines and x.spec.visible is not False:
        strong.append(f"M{left:.1f} {bottom:.1f}H{right:.1f}")
    if lines and y.spec.visible is not False:
        strong.append(f"M{left:.1f} {top:.1f}V{bottom:.1f}")
    parts = (f'<path fill="none" {STEM}"{dim}" d="{"".join(d)}"/>' for d, dim in ((faint, 0.13), (strong, 0.35)) if d)
    return "".join(parts)


def labels(axis: Axis, partner: Axis, width: float) -> str:
    """Tick labels and title of an axis, beside or under the axis that it stands at."""
    parts, wide = [], axis.edges[1] - axis.edges[0]
    middle = (axis.start + axis.end) / 2
    if axis.key[0] == "x":
        at = partner.edges[1]
        for place, text in axis.ticks if axis.shown else ():
            x = axis.px(place)
            if axis.tilted:
                short = cut(text, min(TILTED, (x - 4) / LEAN))
                turn = f' transform="rotate(-40 {x:.1f} {at + 12:.1f})"'
                parts.append(words(x + 3, at + 12, [short], anchor="end", more=turn))
            else:
                half = span(text) / 2
                parts.append(words(min(max(x, half + 1), width - half - 1), at + 15, [text], anchor="middle"))
        alone = axis.domain[1] - axis.domain[0] > 0.9
        title = cut(axis.title, width - 16 if alone else max(wide, 60))
        middle = max(min(middle, width - span(title) / 2 - 6), span(title) / 2 + 6) if alone else middle
        parts.append(words(middle, at + under(axis) - 3, [title] if title else [], anchor="middle"))
        return "".join(parts)
    right = axis.spec.side == "right"
    at = partner.edges[1] if right else partner.edges[0]
    for place, text in axis.ticks if axis.shown else ():
        anchor = "start" if right else "end"
        parts.append(words(at + (6 if right else -6), axis.px(place) + 4, [text], anchor=anchor))
    title = cut(axis.title, max(wide, 60))
    x = at + (beside(axis) - 4) * (1 if right else -1) + (0 if right else 9)
    turn = f' transform="rotate(-90 {x:.1f} {middle:.1f})"'
    parts.append(words(x, middle, [title] if title else [], anchor="middle", more=turn))
    return "".join(parts)


def _gap(ticks: list[tuple[float, str]]) -> float:
    places = [at for at, _ in ticks]
    return min((b - a for a, b in itertools.pairwise(places)), default=math.inf)


def _thin(ticks: list[tuple[float, str]], length: float, reach: float, need: float) -> list[tuple[float, str]]:
    """Every k-th tick, so that each has `need` px."""
    gap = max(_gap(ticks) / reach * length, 1e-3)
    return ticks[:: max(1, math.ceil(need / gap))]


def _short(values: np.ndarray, step: float) -> list[str]:
    """Labels of round values, all with the same unit and as many digits as the step needs."""
    top = float(np.abs(values).max(initial=0))
    if top >= 1e15 or 0 < top < 1e-3:
        texts = []
        for value in values:
            powers = (math.floor(math.log10(size) + 1e-9) for size in (max(abs(value), step), step))
            mantissa, power = f"{value:.{min(next(powers) - next(powers), 9)}e}".split("e")
            trimmed = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
            texts.append(f"{trimmed}e{int(power)}" if float(trimmed) else "0")
    else:
        unit, letter = next(
            ((u, x) for u, x in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if top >= (10 * u if u == 1e3 else u)), (1.0, "")
        )
        digits = min(12, max(0, -math.floor(math.log10(step / unit) + 1e-9)))
        texts = [f"{value / unit:.{digits}f}{letter}" if abs(value) > step / 2 else "0" for value in values]
    return [text.replace("-", "−", 1) if text.startswith("-") else text for text in texts]
