"""Axes of a static picture: each finds its range, its ticks and its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.plots.svg_words import cut, look, number, numbers, plain, span, words

STEM = 'fill="none" stroke="currentColor" stroke-opacity='


@dataclass(eq=False)
class Axis:
    """One axis of numbers: `include` and `close` fix the range, `place` the px and the ticks."""

    sideways: bool
    spec: dict[str, Any] = field(default_factory=dict)
    low: float = math.inf  # its range; the other way round while it holds no value
    high: float = -math.inf
    start: float = 0.0  # px of `low` and `high`
    end: float = 1.0
    ticks: list[tuple[float, str]] = field(default_factory=list)
    padded: bool = False  # leave room around the data
    zero: bool = False  # stand on zero
    whole: bool = True  # all values are whole, and so are the ticks
    reverse: bool = False

    def __post_init__(self) -> None:
        self.domain = tuple(look(self.spec, "domain", (0.0, 1.0)))
        self.title = " ".join(plain(look(self.spec, "title.text")))
        self.labelled = self.spec.get("showticklabels") is not False

    @property
    def edges(self) -> tuple[float, float]:
        """Smallest and greatest px."""
        return min(self.start, self.end), max(self.start, self.end)

    @property
    def need(self) -> float:
        """Px that the labels and the title need under or beside the plot."""
        labels = 18.0 if self.sideways else max((span(text) for _, text in self.ticks), default=0.0) + 10
        return (labels if self.labelled else 6.0) + (17 if self.title else 0)

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
            self.low, self.high, self.padded = float(fixed.min()), float(fixed.max()), False
        elif self.low > self.high:
            self.low, self.high, self.labelled = 0.0, 1.0, False
        elif self.zero or self.spec.get("rangemode") == "tozero":
            self.low, self.high, self.zero = min(self.low, 0.0), max(self.high, 0.0), True
        room = 0.06 * (self.high - self.low) if self.padded else 0.0
        if self.high - self.low <= 1e-9 * max(abs(self.low), abs(self.high), 1e-90):
            room, self.zero = abs(self.high) / 2 if abs(self.high) > 1e-90 else 1.0, False
        self.low -= 0.0 if self.zero and self.low == 0 else room
        self.high += 0.0 if self.zero and self.high == 0 else room

    def place(self, start: float, end: float, room: float = 0.0) -> None:
        """Give the axis its px and ticks whose labels do not touch; a label of a y axis is at most `room` px wide."""
        self.start, self.end = (end, start) if self.reverse else (start, end)
        values = self.spec.get("tickvals")
        ticks = [] if not self.labelled else self._round() if values is None else self._named(values)
        ticks = ticks[:: max(1, math.ceil(self._crowd(ticks)))]
        self.ticks = ticks if self.sideways else [(at, cut(text, room)) for at, text in ticks]

    def px(self, values: Any) -> Any:
        """Places in px; takes and gives arrays or single numbers."""
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)

    def _crowd(self, ticks: list[tuple[float, str]]) -> float:
        """How many times the room between two ticks their labels need."""
        gap = np.abs(np.diff([self.px(at) for at, _ in ticks])).min(initial=math.inf)
        need = max((span(text) + 10 for _, text in ticks), default=0.0) if self.sideways else 13
        return float(need / max(gap, 1e-3))

    def _named(self, values: Any) -> list[tuple[float, str]]:
        texts = (" ".join(plain(number(text))) for text in look(self.spec, "ticktext", values))
        pairs = zip(numbers(values).tolist(), texts, strict=False)
        return sorted((at, text) for at, text in pairs if self.low <= at <= self.high)

    def _round(self) -> list[tuple[float, str]]:
        """Ticks at 1, 2 or 5 times a power of ten, as many as have room; all with as many digits as the step needs."""
        reach, top = self.high - self.low, max(abs(self.low), abs(self.high))
        ticks: list[tuple[float, str]] = []
        for most in range(max(2, min(11, int(abs(self.end - self.start) / 28))), 1, -1):
            power = 10.0 ** math.floor(math.log10(reach / most))
            step = next(power * part for part in (1, 2, 5, 10) if reach / (power * part) <= most + 1e-9)
            step = max(step, 1.0) if self.whole else step
            values = step * np.arange(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
            digits = max(0, -math.floor(math.log10(step) + 1e-9)) if 1e-4 <= top < 1e6 else None
            ticks = [(float(at), f"{at:,.{digits}f}" if digits is not None and at else number(at)) for at in values]
            if self._crowd(ticks) <= 1:
                break
        return ticks


def panel(x: Axis, y: Axis, width: float, *, lines: bool) -> str:
    """Grid and axes where `lines`, tick labels and titles, in a picture `width` px wide."""
    (left, right), (top, bottom) = x.edges, y.edges
    parts = []
    if lines:
        faint = "".join(f"M{x.px(at):.1f} {top:.1f}V{bottom:.1f}" for at, _ in x.ticks)
        faint += "".join(f"M{left:.1f} {y.px(at):.1f}H{right:.1f}" for at, _ in y.ticks)
        parts = [f'<path {STEM}"0.13" d="{faint}"/>'] if faint else []
        parts.append(f'<path {STEM}"0.35" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>')
    title = cut(x.title, width - 12 if right - left > width / 2 else right - left)
    under = [(x.px(at), bottom + 15, text) for at, text in x.ticks]
    for at, base, text in [*under, ((left + right) / 2, bottom + x.need - 3, title)]:
        half = span(text) / 2 + 1
        parts.append(words(max(min(at, width - half), half), base, [text], anchor="middle"))
    parts += [words(left - 6, y.px(at) + 4, [text], anchor="end") for at, text in y.ticks]
    across, down = left - y.need + 13, (top + bottom) / 2
    turn = f' transform="rotate(-90 {across:.1f} {down:.1f})"'
    return "".join(parts) + words(across, down, [cut(y.title, bottom - top)], anchor="middle", more=turn)
