"""Traces of a static picture, and scatter traces as SVG: lines, markers and error bars."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from workbench.plots.svg_axes import Axis
from workbench.plots.svg_symbols import bounds, css, decimal, paint, shades
from workbench.plots.svg_words import Settings, listed, numbers, tips

POINTS = 3000  # markers of clouds in a picture
TITLED = 300  # bars or markers up to which each has a tooltip
LINE_POINTS = 600
DASHES = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3", "longdash": "10 5", "longdashdot": "10 4 2 4"}
_GAPS = re.compile(r"[\d.]+(px|%)?([ ,]+[\d.]+(px|%)?)*")

Point = tuple[float, float]


@dataclass
class Mark:
    """A trace, ready to be drawn.

    Attributes:
        trace: plotly's trace.
        colour: CSS colour that stands for it where it has none of its own.
        x, y: its axes.
        xs, ys: places in units of the axes, float64, shape (n,); NaN where there is nothing to draw.
        most: points to which its line is thinned.
        half: for bars, half the width in units of x.
        shown: rows that get a marker.
    """

    trace: Any
    colour: str
    scale: Any
    x: Axis
    y: Axis
    xs: np.ndarray = field(default_factory=lambda: np.empty(0))
    ys: np.ndarray = field(default_factory=lambda: np.empty(0))
    most: int = LINE_POINTS
    half: np.ndarray = field(default_factory=lambda: np.empty(0))
    shown: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))

    @cached_property
    def kind(self) -> str:
        """Type of the trace; those of the graphics card count as the others."""
        return "scatter" if self.trace.type == "scattergl" else str(self.trace.type)

    @cached_property
    def marker(self) -> Settings:
        """How its markers or bars look."""
        return Settings(self.trace.marker)

    @cached_property
    def line(self) -> Settings:
        """How its line looks."""
        return Settings(self.trace.line if self.kind == "scatter" else None)

    @cached_property
    def opacity(self) -> float:
        """Opacity in [0, 1] of the whole trace."""
        return 1.0 if self.trace.opacity is None else float(self.trace.opacity)

    @cached_property
    def cells(self) -> np.ndarray:
        """The values of a heat map, float64, shape (rows, columns), NaN where there is none."""
        given = listed(self.trace.z)
        rows = [numbers(row) for row in ([] if given is None else given)]
        held = [np.empty(0) if row is None else row for row in rows]
        widest = max((len(row) for row in held), default=0)
        padded = [np.pad(row, (0, widest - len(row)), constant_values=np.nan) for row in held]
        return np.array(padded).reshape(-1, widest) if widest else np.empty((0, 0))

    @property
    def blank(self) -> bool:
        """Whether it has nothing to draw."""
        if self.kind == "heatmap":
            return not np.isfinite(self.cells).any()
        return not (np.isfinite(self.xs) & np.isfinite(self.ys)).any()

    @cached_property
    def mode(self) -> str:
        """Which parts of a scatter trace are drawn."""
        return self.trace.mode or ("lines+markers" if len(self.xs) < 20 else "lines")

    @cached_property
    def stroke(self) -> str:
        """Colour of the line, as CSS, escaped."""
        own = self.marker.color
        own = self.line.color or (own if isinstance(own, str) else None)
        return escape(str(own or self.colour))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of its panel in px."""
        return self.x.edges[0], self.y.edges[0], self.x.edges[1], self.y.edges[1]


def dashes(name: object) -> str:
    """The attribute for a plotly dash, or nothing for a solid line."""
    pattern = DASHES.get(str(name), str(name) if name and _GAPS.fullmatch(str(name)) else "")
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def choose(marks: Sequence[Mark], *, most: int = POINTS) -> str:
    """Fix which points are drawn: ten lines or fewer get 600 each. Clouds share `most` of them at random; the note says so where some are left out."""
    clouds, total = [], 0
    lines = sum("lines" in mark.mode for mark in marks)
    for mark in marks:
        mark.most = max(60, min(LINE_POINTS, 10 * LINE_POINTS // max(lines, 1)))
        if "markers" not in mark.mode:
            continue
        held = np.isfinite(mark.xs) & np.isfinite(mark.ys)
        for axis, places in ((mark.x, mark.xs), (mark.y, mark.ys)):
            edge = (axis.high - axis.low) * 1e-6
            held &= (places >= axis.low - edge) & (places <= axis.high + edge)
        mark.shown = np.flatnonzero(held)
        if "lines" in mark.mode:  # a thinned line shows no points, since most of them would be missing
            mark.shown = mark.shown if len(mark.xs) <= mark.most else mark.shown[:0]
        else:
            clouds.append(mark)
            total += len(mark.shown)
    if total <= most:
        return ""
    keep = np.zeros(total, dtype=bool)
    keep[np.random.default_rng(0).choice(total, most, replace=False)] = True
    for mark in clouds:
        own, keep = keep[: len(mark.shown)], keep[len(mark.shown) :]
        mark.shown = mark.shown[own]
    return f"{most:,} of {total:,} points drawn"


def thinned(xs: np.ndarray, ys: np.ndarray, *, most: int) -> np.ndarray:
    """Rows that keep the look of a line: lowest and highest of each stretch, and one row for each gap."""
    if len(ys) <= most:
        return np.arange(len(ys))
    each = math.ceil(len(ys) / (most // 2))
    blocks = math.ceil(len(ys) / each)
    finite = np.pad(np.isfinite(xs) & np.isfinite(ys), (0, blocks * each - len(ys))).reshape(blocks, each)
    known = np.pad(ys, (0, blocks * each - len(ys))).reshape(blocks, each)
    lowest, highest = np.where(finite, known, np.inf).argmin(axis=1), np.where(finite, known, -np.inf).argmax(axis=1)
    starts, some, gaps = np.arange(blocks) * each, finite.any(axis=1), ~finite.all(axis=1)
    rows = [[0, len(ys) - 1], (starts + lowest)[some], (starts + highest)[some], (starts + finite.argmin(axis=1))[gaps]]
    chosen = np.unique(np.concatenate(rows))
    return chosen[chosen < len(ys)]


def scatter(mark: Mark, *, titled: bool) -> str:
    """Error bars, line and markers of a scatter trace."""
    parts = [errors(mark)]
    if "lines" in mark.mode and len(mark.xs):
        rows = thinned(mark.xs, mark.ys, most=mark.most)
        if mark.trace.connectgaps:
            rows = rows[np.isfinite(mark.xs[rows]) & np.isfinite(mark.ys[rows])]
        path = _path(mark.x.px(mark.xs[rows]).tolist(), mark.y.px(mark.ys[rows]).tolist(), mark.box)
        wide = min(max(mark.line.width if mark.line.width is not None else 2, 0), 12)
        wide = 4 if "L" not in path else min(wide, 1.2) if len(rows) < len(mark.xs) else wide
        style = f'fill="none" stroke="{mark.stroke}" stroke-width="{wide:g}" stroke-linejoin="round"'
        fade = f' stroke-opacity="{mark.opacity:g}"' if mark.opacity < 1 else ""
        # a dash would swallow the dots of a line without a stretch
        broken = dashes(mark.line.dash) if "L" in path else ""
        cap = "" if broken else ' stroke-linecap="round"'
        parts.append(f'<path {style}{cap}{fade}{broken} d="{path}"/>' if path else "")
    parts.append(_markers(mark, titled=titled))
    return "".join(parts)


def _path(xs: list[float], ys: list[float], box: tuple[float, float, float, float]) -> str:
    """A line through the points, cut at the box; a point between two gaps becomes a dot."""
    drawn: list[str] = []
    points = [None if math.isnan(x + y) else (x, y) for x, y in zip(xs, ys, strict=True)]
    pen = None
    for before, point, after in zip([None, *points], points, [*points[1:], None], strict=False):
        if point is None:
            continue
        if before is None:
            if after is None and _clip(point, point, box):
                drawn.append(f"M{decimal(point[0])} {decimal(point[1])}h0")
        elif piece := _clip(before, point, box):
            start, end = piece
            drawn.append(" " if start == pen else f"M{decimal(start[0])} {decimal(start[1])}L")
            drawn.append(f"{decimal(end[0])} {decimal(end[1])}")
            pen = end
    return "".join(drawn)


def _clip(a: Point, b: Point, box: tuple[float, float, float, float]) -> tuple[Point, Point] | None:
    """The part of a stretch that lies in the box (Liang & Barsky 1984)."""
    left, top, right, bottom = box[0] - 0.5, box[1] - 0.5, box[2] + 0.5, box[3] + 0.5
    if left <= min(a[0], b[0]) and max(a[0], b[0]) <= right and top <= min(a[1], b[1]) and max(a[1], b[1]) <= bottom:
        return a, b
    first, last = 0.0, 1.0
    for step, low, high in ((b[0] - a[0], left - a[0], right - a[0]), (b[1] - a[1], top - a[1], bottom - a[1])):
        if step:
            first, last = max(first, min(low / step, high / step)), min(last, max(low / step, high / step))
        elif low > 0 or high < 0:
            return None
    if first > last:
        return None
    dx, dy = b[0] - a[0], b[1] - a[1]
    return (a[0] + first * dx, a[1] + first * dy), (a[0] + last * dx, a[1] + last * dy)


def reach(mark: Mark, letter: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Both ends of the error bars along x or y in units of the axis, or None if there are none."""
    spec = Settings(mark.trace["error_" + letter])
    more = listed(spec.array)
    if more is None or spec.visible is False:
        return None
    less = more if spec.symmetric or spec.arrayminus is None else listed(spec.arrayminus)
    axis, middle = (mark.x, mark.xs) if letter == "x" else (mark.y, mark.ys)
    plus, minus = numbers(more), numbers(less)
    if plus is None or minus is None or min(len(plus), len(minus)) < len(middle):
        return None
    plus, minus = plus[: len(middle)], minus[: len(middle)]
    values = 10**middle if axis.log else middle
    return axis.units(values - minus, known=True), axis.units(values + plus, known=True)


def errors(mark: Mark) -> str:
    """Error bars with their caps, in one path."""
    path = []
    for letter, axis, places in (("x", mark.x, mark.ys), ("y", mark.y, mark.xs)):
        if (ends := reach(mark, letter)) is None:
            continue
        other = mark.y if letter == "x" else mark.x
        low, high = (np.clip(axis.px(end), *axis.edges) for end in ends)
        for a, b, at in zip(low.tolist(), high.tolist(), other.px(places).tolist(), strict=True):
            if not math.isfinite(a + b + at) or round(a, 1) == round(b, 1):
                continue
            (a, b, c), d = (decimal(value) for value in (a, b, at)), decimal(at - 4)
            path.append(f"M{a} {c}H{b}M{a} {d}v8M{b} {d}v8" if letter == "x" else f"M{c} {a}V{b}M{d} {a}h8M{d} {b}h8")
    return f'<path fill="none" stroke="{mark.stroke}" stroke-width="1.5" d="{"".join(path)}"/>' if path else ""


def styles(mark: Mark) -> dict[tuple[str, float, str], np.ndarray]:
    """Rows to mark by symbol, size in px, and CSS colour."""
    spec, rows = mark.marker, mark.shown
    symbol, size, colour = (listed(value) for value in (spec.symbol, spec.size, spec.color))
    values = numbers(colour) if colour is not None and not isinstance(colour, str) else None
    if values is not None:
        low, high = bounds(values, spec.cmin, spec.cmax, spec.cmid)
        steps = np.where(np.isnan(values), 32, np.round(np.clip((values - low) / (high - low), 0, 1) * 31))
        table = [css(rgb) for rgb in shades(mark.scale, np.append(np.arange(32) / 31, np.nan))]
        colour = np.array(table)[steps.astype(int)]

    def each(value: Any, usual: Any) -> Callable[[int], Any]:
        if value is None or isinstance(value, str | int | float | np.number):
            return lambda row: usual if value is None else value
        return lambda row: value[row] if row < len(value) and value[row] is not None else usual

    of_symbol, of_size, of_colour = each(symbol, "circle"), each(size, 6), each(colour, mark.colour)
    if colour is None:
        of_colour = each(mark.line.color, mark.colour)
    groups: dict[tuple[str, float, str], list[int]] = {}
    for row in rows.tolist():
        key = (str(of_symbol(row)), min(max(1.0, float(of_size(row))), 40.0), str(of_colour(row)))
        groups.setdefault(key, []).append(row)
    return {key: np.array(held) for key, held in groups.items()}


def _markers(mark: Mark, *, titled: bool) -> str:
    """Markers, one path a style; with tooltips, one element a point."""
    parts, tip = [], tips(mark.trace) if titled else None
    for (symbol, size, colour), rows in styles(mark).items():
        xs, ys = mark.x.px(mark.xs[rows]), mark.y.px(mark.ys[rows])
        style, dx, dy, tail = paint(mark.marker, mark.opacity, symbol, size, colour)
        starts = zip((xs + dx).tolist(), (ys + dy).tolist(), rows.tolist(), strict=True)
        if tip is None:
            drawn = "".join(f"M{decimal(x)} {decimal(y)}{tail}" for x, y, _ in starts)
            parts.append(f'<path {style} d="{drawn}"/>')
        else:
            inner = (f'<path d="M{decimal(x)} {decimal(y)}{tail}">{tip(row)}</path>' for x, y, row in starts)
            parts.append(f"<g {style}>{''.join(inner)}</g>")
    return "".join(parts)
