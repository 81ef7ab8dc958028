"""Axes of a static picture: each finds its range, its ticks and its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from workbench.plots.svg_words import cut, listed, look, number, numbers, plain, span, words

STEM = 'fill="none" stroke="currentColor" stroke-opacity='


@dataclass(eq=False)
class Axis:
    """One axis of numbers: `include` and `close` fix the range, `place` the px and the ticks.

    Attributes:
        sideways: whether it is an x axis.
        spec: plotly's settings of the axis.
        low, high: values at its ends.
        start, end: px of `low` and `high`.
        ticks: value and label.
        padded: leave room around the data.
        whole: whether all values are whole, so that its ticks are.
        blank: whether it holds no value.
        reverse: whether it runs from right to left, or downwards.
    """

    sideways: bool
    spec: dict[str, Any] = field(default_factory=dict)
    low: float = math.inf
    high: float = -math.inf
    start: float = 0.0
    end: float = 1.0
    ticks: list[tuple[float, str]] = field(default_factory=list)
    padded: bool = False
    whole: bool = True
    blank: bool = False
    reverse: bool = False

    @cached_property
    def domain(self) -> tuple[float, float]:
        """The part of the plot that it takes, as shares of 1."""
        low, high = self.spec.get("domain") or (0.0, 1.0)
        return float(low), float(high)

    @cached_property
    def title(self) -> str:
        """The title in one line."""
        return " ".join(plain(look(self.spec, "title.text")))

    @property
    def edges(self) -> tuple[float, float]:
        """Smallest and greatest px."""
        return min(self.start, self.end), max(self.start, self.end)

    def include(self, values: np.ndarray) -> None:
        """Widen the range so that it holds these values."""
        held = values[np.isfinite(values)]
        self.low, self.high = float(held.min(initial=self.low)), float(held.max(initial=self.high))
        self.whole = self.whole and bool((held == np.round(held)).all())

    def close(self) -> None:
        """Fix the range: the one that is set, else that of the data with some room around it."""
        fixed = numbers(self.spec.get("range"))
        given = len(fixed) == 2 and bool(np.isfinite(fixed).all())
        self.reverse = bool(fixed[0] > fixed[1]) if given else self.spec.get("autorange") == "reversed"
        if given:
            self.low, self.high = float(fixed.min()), float(fixed.max())
        self.blank = self.low > self.high
        if self.blank:
            self.low, self.high = 0.0, 1.0
        if self.spec.get("rangemode") == "tozero" and not given:
            self.low, self.high = min(self.low, 0.0), max(self.high, 0.0)
        reach = self.high - self.low
        if reach <= 1e-9 * max(abs(self.low), abs(self.high), 1e-90):
            room = abs(self.high) / 2 if abs(self.high) > 1e-90 else 1.0
            self.low, self.high = self.low - room, self.high + room
        elif self.padded and not given:
            self.low -= 0.06 * reach * (self.low != 0 or self.spec.get("rangemode") != "tozero")
            self.high += 0.06 * reach

    def place(self, start: float, end: float, room: float) -> None:
        """Give the axis its px and ticks whose labels do not touch; a label of a y axis is at most `room` px wide."""
        self.start, self.end = (end, start) if self.reverse else (start, end)
        hidden = self.blank or self.spec.get("showticklabels") is False
        ticks = [] if hidden else self._named() if self.spec.get("tickvals") is not None else self._round()
        ticks = ticks if self.sideways else [(at, cut(text, room)) for at, text in ticks]
        need = max((span(text) + 8 for _, text in ticks), default=0.0) if self.sideways else 13.0
        gap = np.abs(np.diff([self.px(at) for at, _ in ticks])).min(initial=math.inf)
        self.ticks = ticks[:: max(1, math.ceil(need / max(gap, 1e-3)))]

    def px(self, values: Any) -> Any:
        """Places in px; takes and gives arrays or single numbers."""
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)

    def _named(self) -> list[tuple[float, str]]:
        """The ticks that are set."""
        values, names = numbers(self.spec["tickvals"]), listed(self.spec.get("ticktext"))
        texts = values if names is None else names
        pairs = zip(values.tolist(), (" ".join(plain(number(text))) for text in texts), strict=False)
        return sorted((at, text) for at, text in pairs if self.low <= at <= self.high)

    def _round(self) -> list[tuple[float, str]]:
        """Ticks at 1, 2 or 5 times a power of ten, as many as have room; all with as many digits as the step needs."""
        most = max(2, min(11, int(abs(self.end - self.start) / (55 if self.sideways else 28))))
        reach = self.high - self.low
        power = 10.0 ** math.floor(math.log10(reach / most))
        step = next(power * part for part in (1, 2, 5, 10) if reach / (power * part) <= most + 1e-9)
        step = max(step, 1.0) if self.whole else step
        values = step * np.arange(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        top = max(abs(self.low), abs(self.high))
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        usual = 1e-3 <= top < 1e6
        return [(float(at), f"{at:,.{digits}f}" if usual and at else number(float(at))) for at in values]


def beside(axis: Axis) -> float:
    """Px that the labels and the title of a y axis need beside the plot."""
    return max((span(text) + 10 for _, text in axis.ticks), default=8.0) + (17 if axis.title else 0)


def under(axis: Axis) -> float:
    """Px that the labels and the title of an x axis need under the plot."""
    return (5.0 if axis.spec.get("showticklabels") is False else 18.0) + (17 if axis.title else 0)


def grid(x: Axis, y: Axis) -> str:
    """Faint lines at the ticks of a panel, and stronger ones where its axes are."""
    (left, right), (top, bottom) = x.edges, y.edges
    faint = [f"M{x.px(at):.1f} {top:.1f}V{bottom:.1f}" for at, _ in x.ticks]
    faint += [f"M{left:.1f} {y.px(at):.1f}H{right:.1f}" for at, _ in y.ticks]
    strong = f"M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"
    return f'<path {STEM}"0.13" d="{"".join(faint)}"/><path {STEM}"0.35" d="{strong}"/>'


def labels(x: Axis, y: Axis, width: float) -> str:
    """Tick labels and titles of a panel, in a picture `width` px wide."""
    (left, right), (top, bottom) = x.edges, y.edges
    parts = []
    for at, text in x.ticks:
        half = span(text) / 2
        middle = min(max(x.px(at), half + 1), width - half - 1)
        parts.append(words(middle, bottom + 15, [text], anchor="middle"))
    parts += [words(left - 6, y.px(at) + 4, [text], anchor="end") for at, text in y.ticks]
    title = cut(x.title, width - 16 if right - left > width / 2 else right - left)
    half = span(title) / 2 + 6
    middle = max(min((left + right) / 2, width - half), half)
    parts.append(words(middle, bottom + under(x) - 3, [title], anchor="middle"))
    across, down = left - beside(y) + 13, (top + bottom) / 2
    turn = f' transform="rotate(-90 {across:.1f} {down:.1f})"'
    parts.append(words(across, down, [cut(y.title, bottom - top)], anchor="middle", more=turn))
    return "".join(parts)
