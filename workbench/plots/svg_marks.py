"""Traces of a static picture: lines, markers, error bars, bars and heat maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import plotly.colors

from workbench.plots.svg_axes import Axis
from workbench.plots.svg_words import listed, look, numbers, plain, span, tips, words
from workbench.plots.theme import SEQUENTIAL

POINTS = 3000  # markers of all clouds in a picture
TITLED = 300  # bars or markers up to which each has a tooltip
LINE_POINTS = 600
SHADES = 64
DASHES = {"dash": "6 4", "dot": "2 3", "dashdot": "6 3 2 3", "longdash": "10 5"}
# Corners of the symbols at radius 1; those with a share are lines, so many times their size wide.
SHARES = {"circle": 1.0, "cross": 0.4, "x": 0.4}
SYMBOLS: dict[str, tuple[tuple[float, float], ...]] = {
    "circle": ((0, 0), (0, 0)),
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
    "triangle-up": ((0, -1.15), (1.15, 0.75), (-1.15, 0.75)),
    "triangle-down": ((0, 1.15), (-1.15, -0.75), (1.15, -0.75)),
    "cross": ((-1, 0), (1, 0), (0, 0), (0, -1), (0, 1)),
    "x": ((-0.8, -0.8), (0.8, 0.8), (0, 0), (0.8, -0.8), (-0.8, 0.8)),
    # it crosses itself, which fills its middle
    "star": ((0, -1.5), (0.88, 1.21), (-1.43, -0.46), (1.43, -0.46), (-0.88, 1.21)),
    "pentagon": ((0, -1.15), (1.09, -0.36), (0.68, 0.93), (-0.68, 0.93), (-1.09, -0.36)),
}


@dataclass(eq=False)
class Mark:
    """A trace, ready to be drawn.

    Attributes:
        trace: plotly's settings and data of it.
        colour: CSS colour of its line, markers or bars, escaped.
        x, y: its axes.
        xs, ys: values, float64, shape (n,); both NaN where one is. Empty for a heat map.
        shown: rows that get a marker.
    """

    trace: dict[str, Any]
    colour: str
    x: Axis
    y: Axis
    xs: np.ndarray
    ys: np.ndarray
    shown: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))

    @cached_property
    def kind(self) -> str:
        """bar, heatmap or scatter."""
        return str(self.trace["type"]).removesuffix("gl")

    @cached_property
    def parts(self) -> str:
        """Which parts of a scatter trace are drawn."""
        return str(self.trace.get("mode") or "lines+markers") if self.kind == "scatter" else ""

    @cached_property
    def cells(self) -> np.ndarray:
        """The values of a heat map, float64, shape (rows, columns)."""
        values = numbers(self.trace.get("z"))
        return values if values.ndim == 2 else np.empty((0, 0))

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Left and right end of its bars or error bars, in units of x."""
        less = more = np.zeros(len(self.xs))
        error = self.trace.get("error_x")
        if self.kind == "bar":
            less = more = np.resize(numbers(self.trace.get("width", 0.8)), len(self.xs)) / 2
        elif error:
            less, more = (np.resize(numbers(error.get(key)), len(self.xs)) for key in ("arrayminus", "array"))
        return self.xs - np.nan_to_num(less), self.xs + np.nan_to_num(more)

    @cached_property
    def blank(self) -> bool:
        """Whether it has nothing to draw."""
        return not np.isfinite(self.cells if self.kind == "heatmap" else self.ys).any()

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Values at both ends of the colour scale of a heat map."""
        held = self.cells[np.isfinite(self.cells)]
        low, high = (float(self.trace.get(key, usual)) for key, usual in (("zmin", held.min()), ("zmax", held.max())))
        return (low, high) if low < high else (low - 0.5, low + 0.5)

    @cached_property
    def shades(self) -> np.ndarray:
        """The colour scale of a heat map, float64, shape (SHADES, 3), in [0, 1]."""
        scale = self.trace.get("colorscale") or SEQUENTIAL
        return np.array(plotly.colors.sample_colorscale(scale, SHADES, colortype="tuple"))

    def widen(self) -> None:
        """Make the axes hold it."""
        if self.kind == "heatmap":
            self.y.include(np.array([-0.5, self.cells.shape[0] - 0.5]))
            self.x.include(np.array([-0.5, self.cells.shape[1] - 0.5]))
            return
        self.x.include(np.concatenate(self.ends))
        self.y.include(np.append(self.ys, 0.0) if self.kind == "bar" and not self.blank else self.ys)
        self.x.padded, self.y.padded = self.x.padded or "markers" in self.parts, True


def choose(marks: Sequence[Mark]) -> str:
    """Fix which points are drawn: clouds share 3,000 at random, and the note says so where some are left out."""
    clouds = []
    for mark in marks:
        # a thinned line shows no points, since most of them would be missing
        if "markers" in mark.parts and not ("lines" in mark.parts and len(mark.ys) > LINE_POINTS):
            mark.shown = np.flatnonzero(np.isfinite(mark.ys))
            clouds += [mark] if "lines" not in mark.parts else []
    total = sum(len(mark.shown) for mark in clouds)
    if total <= POINTS:
        return ""
    keep = np.zeros(total, dtype=bool)
    keep[np.random.default_rng(0).choice(total, POINTS, replace=False)] = True
    for mark in clouds:
        own, keep = keep[: len(mark.shown)], keep[len(mark.shown) :]
        mark.shown = mark.shown[own]
    return f"{POINTS:,} of {total:,} points drawn"


def thinned(ys: np.ndarray, *, most: int = LINE_POINTS) -> np.ndarray:
    """Rows that keep the look of a line: lowest and highest of each stretch, and one row for each gap."""
    if len(ys) <= most:
        return np.arange(len(ys))
    rows = [0, len(ys) - 1]
    for stretch in np.array_split(np.arange(len(ys)), most // 2):
        good = stretch[np.isfinite(ys[stretch])]
        rows += [good[ys[good].argmin()], good[ys[good].argmax()]] if len(good) else []
        rows += stretch[~np.isfinite(ys[stretch])][:1].tolist()
    return np.unique(rows)


def draw(mark: Mark, *, titled: bool) -> str:
    """The trace in its panel; its bars or markers have tooltips where `titled`."""
    if mark.blank:
        return ""
    if mark.kind == "heatmap":
        return _heat(mark)
    if mark.kind == "bar":
        return _bars(mark, titled=titled)
    return _errors(mark) + _line(mark) + _markers(mark, titled=titled)


def stroke(line: dict[str, Any] | None, usual: float = 2.0) -> str:
    """Attributes of a line but its colour."""
    dash = DASHES.get(str(look(line, "dash")))
    broken = f'stroke-dasharray="{dash}"' if dash else 'stroke-linecap="round"'
    return f'fill="none" stroke-width="{look(line, "width", usual):g}" {broken}'


def glyph(mark: Mark, largest: float = 40.0) -> tuple[str, float, float, str]:
    """Attributes of a marker, where its path starts beside the point, and the rest of the path."""
    size, symbol = look(mark.trace, "marker.size", 6), look(mark.trace, "marker.symbol", "circle")
    size = min(max(float(size), 1.0), largest) if isinstance(size, int | float) else 6.0
    symbol = symbol if isinstance(symbol, str) and symbol in SYMBOLS else "circle"
    corners = [(x * size / 2, y * size / 2) for x, y in SYMBOLS[symbol]]
    steps = (f"{round(x - a, 1):g} {round(y - b, 1):g}" for (a, b), (x, y) in itertools.pairwise(corners))
    tail = f"l{' '.join(steps)}{'' if symbol in SHARES else 'z'}"
    dim = f'opacity="{look(mark.trace, "marker.opacity", 1):g}"'
    wide = SHARES.get(symbol, 0) * size
    line = f'fill="none" stroke="{mark.colour}" stroke-width="{wide:g}" stroke-linecap="round" stroke-{dim}'
    return line if wide else f'fill="{mark.colour}" fill-{dim}', *corners[0], tail


def _line(mark: Mark) -> str:
    if "lines" not in mark.parts:
        return ""
    rows = thinned(mark.ys)
    xs, ys = mark.x.px(mark.xs[rows]), mark.y.px(mark.ys[rows])
    good = np.flatnonzero(np.isfinite(ys))
    path = ""
    for run in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1):
        # a point between two gaps becomes a dot
        path += "M" + " ".join(f"{xs[row]:.1f} {ys[row]:.1f}" for row in run) + ("h0" if len(run) == 1 else "")
    style = stroke(mark.trace.get("line"), 1.2 if len(rows) < len(mark.ys) else 2.0)
    return f'<path {style} stroke="{mark.colour}" stroke-linejoin="round" d="{path}"/>'


def _errors(mark: Mark) -> str:
    """Error bars with their caps, in one path."""
    path = ""
    for low, high, at in zip(*map(mark.x.px, mark.ends), mark.y.px(mark.ys), strict=True):
        if high > low:
            path += f"M{low:.1f} {at:.1f}H{high:.1f}M{low:.1f} {at - 4:.1f}v8M{high:.1f} {at - 4:.1f}v8"
    return f'<path fill="none" stroke="{mark.colour}" stroke-width="1.5" d="{path}"/>' if path else ""


def _markers(mark: Mark, *, titled: bool) -> str:
    """Markers in one path; with tooltips, one element a point."""
    (style, dx, dy, tail), tip, rows = glyph(mark), tips(mark.trace), mark.shown
    starts = zip(mark.x.px(mark.xs[rows]) + dx, mark.y.px(mark.ys[rows]) + dy, rows.tolist(), strict=True)
    if titled:
        inner = (f'<path d="M{x:.1f} {y:.1f}{tail}">{tip(row)}</path>' for x, y, row in starts)
        return f"<g {style}>{''.join(inner)}</g>"
    return f'<path {style} d="{"".join(f"M{x:.1f} {y:.1f}{tail}" for x, y, _ in starts)}"/>'


def _bars(mark: Mark, *, titled: bool) -> str:
    """Upright bars that stand on zero."""
    tip, shapes = tips(mark.trace), []
    (lefts, rights), heads, foot = map(mark.x.px, mark.ends), mark.y.px(mark.ys), mark.y.px(0.0)
    for row in np.flatnonzero(np.isfinite(heads)).tolist():
        left, wide = min(lefts[row], rights[row]), abs(rights[row] - lefts[row])
        gap = 0.5 if wide > 4 else 0.0
        size = f'width="{wide - 2 * gap:.1f}" height="{abs(foot - heads[row]):.1f}"'
        at = f'x="{left + gap:.1f}" y="{min(foot, heads[row]):.1f}"'
        shapes.append(f"<rect {at} {size}>{tip(row) if titled else ''}</rect>")
    return f'<g fill="{mark.colour}">{"".join(shapes)}</g>'


def _heat(mark: Mark) -> str:
    """A heat map, one path a colour, with its texts."""
    rows, columns = mark.cells.shape
    xs, ys = mark.x.px(np.arange(columns + 1) - 0.5), mark.y.px(np.arange(rows + 1) - 0.5)
    low, high = mark.bounds
    steps = np.round(np.clip((mark.cells - low) / (high - low), 0, 1) * (SHADES - 1))
    paths: dict[int, str] = {}
    for row, column in np.argwhere(np.isfinite(steps)).tolist():
        cell = f"M{xs[column]:.1f} {ys[row]:.1f}H{xs[column + 1]:.1f}V{ys[row + 1]:.1f}H{xs[column]:.1f}z"
        step = int(steps[row, column])
        paths[step] = paths.get(step, "") + cell
    cells = "".join(f'<path fill="{css(mark.shades[step])}" d="{path}"/>' for step, path in paths.items())
    return f'<g shape-rendering="crispEdges">{cells}</g>{_texts(mark, steps, xs, ys)}'


def _texts(mark: Mark, steps: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> str:
    """The texts of the cells in the largest size at which all have room; a dash where a value is undefined."""
    given = listed(mark.trace.get("text"))
    if not mark.trace.get("texttemplate") or np.shape(given) != steps.shape:
        return ""
    wide, tall = abs(xs[1] - xs[0]) - 2, abs(ys[1] - ys[0]) - 2
    texts = {(row, column): " ".join(plain(given[row][column])) for row, column in np.ndindex(*steps.shape)}
    texts |= {place: "–" for place in texts if np.isnan(steps[place])}
    widest = max(span(text, 1) for text in texts.values())
    size = next((size for size in (11, 10, 9, 8, 7) if widest * size <= wide and size <= tall), 0)
    parts = []
    for (row, column), text in texts.items() if size else ():
        step = steps[row, column]
        light = 1.0 if np.isnan(step) else mark.shades[int(step)] @ (0.299, 0.587, 0.114)
        colour = "currentColor" if np.isnan(step) else "#111" if light > 0.55 else "#fff"
        x, y = (xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2 + size * 0.36
        parts.append(words(x, y, [text], size=size, anchor="middle", more=f' fill="{colour}"'))
    return "".join(parts)


def css(rgb: np.ndarray) -> str:
    """A colour of a scale as CSS."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
