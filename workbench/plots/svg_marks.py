"""Traces of a static picture: lines, markers, error bars, bars and heat maps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.colors

from workbench.plots.svg_axes import Axis
from workbench.plots.svg_words import look, numbers, plain, span, tips, words
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
    """A trace, ready to be drawn; its axes hold it.

    Attributes:
        colour: CSS colour of its line, markers or bars, escaped.
        parts: of a scatter trace, what is drawn.
        xs, ys: values, float64, shape (n,); NaN where there is nothing to draw. Empty for a heat map.
        ends: left and right end of its bars or error bars, in units of x.
        cells: values of a heat map, float64, shape (rows, columns).
        shown: rows that get a marker.
    """

    trace: dict[str, Any]
    colour: str
    x: Axis
    y: Axis
    shown: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))

    def __post_init__(self) -> None:
        trace, self.kind = self.trace, str(self.trace["type"]).removesuffix("gl")
        self.parts = str(trace.get("mode") or "lines+markers") if self.kind == "scatter" else ""
        cells = numbers(trace.get("z"))
        self.cells = cells if cells.ndim == 2 else np.empty((0, 0))
        xs, ys = (numbers(None if self.kind == "heatmap" else trace.get(key)).ravel() for key in "xy")
        xs = np.arange(float(len(ys))) if trace.get("x") is None else xs
        ys = np.arange(float(len(xs))) if trace.get("y") is None else ys
        good = np.isfinite(xs[: len(ys)] + ys[: len(xs)])
        self.xs, self.ys = (np.where(good, values[: len(good)], np.nan) for values in (xs, ys))
        error, bar = trace.get("error_x") or {}, self.kind == "bar"
        less, more = (error.get(key, 0.0) for key in ("arrayminus", "array"))
        less, more = (np.resize(numbers(given), len(good)) for given in (less, more))
        half = np.resize(numbers(trace.get("width", 0.8)), len(good)) / 2 if bar else 0.0
        self.ends = self.xs - np.nan_to_num(less) - half, self.xs + np.nan_to_num(more) + half
        self.y.zero, self.x.padded = self.y.zero or bar, self.x.padded or "markers" in self.parts
        self.y.padded = self.y.padded or self.kind != "heatmap"
        for axis, held, side in ((self.y, self.ys, 0), (self.x, np.concatenate(self.ends), 1)):
            axis.include(np.array([-0.5, self.cells.shape[side] - 0.5]) if self.cells.size else held)

    @property
    def blank(self) -> bool:
        """Whether it has nothing to draw."""
        return not np.isfinite(self.cells if self.kind == "heatmap" else self.ys).any()


def choose(marks: list[Mark]) -> str:
    """Fix which points are drawn: clouds share 3,000 at random, and the note says so where some are left out."""
    for mark in marks:
        # a thinned line shows no points, since most of them would be missing
        if "markers" in mark.parts and ("lines" not in mark.parts or len(mark.ys) <= LINE_POINTS):
            mark.shown = np.flatnonzero(np.isfinite(mark.ys))
    clouds = [mark for mark in marks if "lines" not in mark.parts]
    total, random = sum(len(mark.shown) for mark in clouds), np.random.default_rng(0)
    if total <= POINTS:
        return ""
    for mark in clouds:
        share = max(len(mark.shown) * POINTS // total, min(len(mark.shown), 1))
        mark.shown = random.choice(mark.shown, share, replace=False)
    return f"{sum(len(mark.shown) for mark in clouds):,} of {total:,} points drawn"


def draw(mark: Mark, *, titled: bool) -> str:
    """The trace in its panel; its bars or markers have tooltips where `titled`."""
    if mark.kind == "scatter":
        return _errors(mark) + _line(mark) + _markers(mark, titled=titled)
    return _heat(mark) if mark.kind == "heatmap" else _bars(mark, titled=titled)


def thinned(ys: np.ndarray) -> np.ndarray:
    """Rows that keep the look of a line: lowest and highest of each stretch, and one row for each gap."""
    if len(ys) <= LINE_POINTS:
        return np.arange(len(ys))
    rows = [0, len(ys) - 1]
    for stretch in np.array_split(np.arange(len(ys)), LINE_POINTS // 2):
        good = np.isfinite(ys[stretch])
        ordered = stretch[good][np.argsort(ys[stretch][good], kind="stable")].tolist()
        rows += [*ordered[:1], *ordered[-1:], *stretch[~good][:1].tolist()]
    return np.unique(rows)


def stroke(line: dict[str, Any] | None, usual: float = 2.0) -> str:
    """Attributes of a line but its colour."""
    dash = DASHES.get(str(look(line, "dash")))
    broken = f'stroke-dasharray="{dash}"' if dash else 'stroke-linecap="round"'
    return f'fill="none" stroke-width="{look(line, "width", usual):g}" {broken}'


def glyph(mark: Mark, largest: float = 40.0) -> tuple[str, float, float, str]:
    """Attributes of a marker, where its path starts beside the point, and the rest of the path."""
    size, symbol = look(mark.trace, "marker.size", 6), str(look(mark.trace, "marker.symbol"))
    size = min(max(float(size), 1.0), largest) if isinstance(size, int | float) else 6.0
    corners = [(x * size / 2, y * size / 2) for x, y in SYMBOLS.get(symbol, SYMBOLS["circle"])]
    steps = (f"{round(x - a, 1):g} {round(y - b, 1):g}" for (a, b), (x, y) in itertools.pairwise(corners))
    wide = SHARES.get(symbol if symbol in SYMBOLS else "circle", 0) * size
    dim = f'opacity="{look(mark.trace, "marker.opacity", 1):g}"'
    line = f'fill="none" stroke="{mark.colour}" stroke-width="{wide:g}" stroke-linecap="round" stroke-{dim}'
    return line if wide else f'fill="{mark.colour}" fill-{dim}', *corners[0], f"l{' '.join(steps)}{'' if wide else 'z'}"


def _line(mark: Mark) -> str:
    if "lines" not in mark.parts:
        return ""
    rows = thinned(mark.ys)
    xs, ys = mark.x.px(mark.xs[rows]), mark.y.px(mark.ys[rows])
    good, path = np.flatnonzero(np.isfinite(ys)), ""
    for run in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1):
        # a point between two gaps becomes a dot
        path += "M" + " ".join(f"{xs[row]:.1f} {ys[row]:.1f}" for row in run) + ("h0" if len(run) == 1 else "")
    style = stroke(mark.trace.get("line"), 1.2 if len(rows) < len(mark.ys) else 2.0)
    return f'<path {style} stroke="{mark.colour}" stroke-linejoin="round" d="{path}"/>'


def _errors(mark: Mark) -> str:
    path = ""
    for low, high, at in zip(*map(mark.x.px, mark.ends), mark.y.px(mark.ys), strict=True):
        if high != low and np.isfinite(at):
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
    tip, shapes = tips(mark.trace), []
    (lefts, rights), heads, foot = map(mark.x.px, mark.ends), mark.y.px(mark.ys), mark.y.px(0.0)
    for row in np.flatnonzero(np.isfinite(heads)).tolist():
        left, wide = min(lefts[row], rights[row]), abs(rights[row] - lefts[row])
        gap = 0.5 if wide > 4 else 0.0
        size = f'width="{wide - 2 * gap:.1f}" height="{abs(foot - heads[row]):.1f}"'
        at = f'x="{left + gap:.1f}" y="{min(foot, heads[row]):.1f}"'
        shapes.append(f"<rect {at} {size}>{tip(row) if titled else ''}</rect>")
    return f'<g fill="{mark.colour}">{"".join(shapes)}</g>'


def shades(mark: Mark) -> tuple[float, float, list[tuple[str, str]]]:
    """Values at both ends of the colours of a heat map; SHADES colours, each with that of words on it."""
    held = mark.cells[np.isfinite(mark.cells)]
    low, high = (float(mark.trace.get(key, usual)) for key, usual in (("zmin", held.min()), ("zmax", held.max())))
    low, high = (low, high) if low < high else (low - 0.5, low + 0.5)
    scale = plotly.colors.sample_colorscale(mark.trace.get("colorscale") or SEQUENTIAL, SHADES, colortype="tuple")
    dark = [0.3 * red + 0.59 * green + 0.11 * blue < 0.55 for red, green, blue in scale]
    names = ("#" + "".join(f"{round(255 * part):02x}" for part in rgb) for rgb in scale)
    return low, high, [(name, "#fff" if deep else "#111") for name, deep in zip(names, dark, strict=True)]


def _heat(mark: Mark) -> str:
    """A heat map, with its texts in the largest size at which all have room; a dash where a value is undefined."""
    rows, columns = mark.cells.shape
    xs, ys = mark.x.px(np.arange(columns + 1) - 0.5), mark.y.px(np.arange(rows + 1) - 0.5)
    low, high, colours = shades(mark)
    steps = np.clip((mark.cells - low) / (high - low), 0, 1) * (SHADES - 1)
    given = np.array(mark.trace.get("text", ""), dtype=object)
    given = given if mark.trace.get("texttemplate") and given.shape == steps.shape else np.full(steps.shape, "")
    texts = {place: " ".join(plain(text)) for place, text in np.ndenumerate(given)}
    widest = max(span(text, 1) for place, text in texts.items() if np.isfinite(steps[place]))
    wide, tall = abs(xs[1] - xs[0]) - 2, abs(ys[1] - ys[0]) - 2
    size = next((size for size in (11, 10, 9, 8, 7) if widest * size <= wide and size <= tall), 0)
    cells, over = [], []
    for (row, column), text in texts.items():
        (left, right), (top, bottom) = xs[column : column + 2], ys[row : row + 2]
        ink, line = "currentColor", text and "–"
        if np.isfinite(step := steps[row, column]):
            (paper, ink), line = colours[round(float(step))], text
            cells.append(f'<path fill="{paper}" d="M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z"/>')
        at = (left + right) / 2, (top + bottom) / 2 + size * 0.36
        over.append(words(*at, [line], size=size, anchor="middle", more=f' fill="{ink}"') if size else "")
    return f'<g shape-rendering="crispEdges">{"".join(cells)}</g>{"".join(over)}'
