"""A plotly figure as a static picture: one `<svg>` without scripts, that needs nothing from outside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.plots import svg_axes
from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import TITLED, Mark, choose, css, draw, glyph, stroke
from workbench.plots.svg_words import LINE, SIZE, cut, look, numbers, plain, span, words, wrap
from workbench.plots.theme import PALETTE

HEIGHT = 380  # px, where the figure has none
LOWEST = 110  # px of the plot itself; the picture grows instead
ROW = 17  # px from entry to entry of a legend
KEY = 26  # px of the sample before the name
SCALE = 62  # px beside the plot for a scale of colours
TITLE = 14  # px
BOLD = 1.15  # times as wide as the same words in regular weight
MOST_NOTES = 300

Box = tuple[float, float, float, float]  # left, top, right and bottom in px


@dataclass
class Legend:
    """Names beside or below the plot: mark, name, px from the left and row of each."""

    entries: list[tuple[Mark, str, float, int]] = field(default_factory=list)
    upright: bool = False
    rows: int = 0
    width: float = 0.0


@dataclass
class Picture:
    """What is drawn, and the edges of the plot in px. `axes` holds the paper as an axis from 0 to 1, too."""

    layout: dict[str, Any]
    marks: list[Mark]
    axes: dict[str, Axis]
    width: float
    height: float
    box: Box = (0.0, 0.0, 0.0, 0.0)

    @property
    def panels(self) -> list[tuple[Axis, Axis]]:
        """The pairs of axes that hold traces."""
        return list(dict.fromkeys((mark.x, mark.y) for mark in self.marks))

    @property
    def scale(self) -> Mark | None:
        """The heat map whose scale of colours stands beside the plot."""
        heats = (mark for mark in self.marks if mark.kind == "heatmap" and not mark.blank)
        return next((mark for mark in heats if mark.trace.get("showscale") is not False), None)


def svg(figure: go.Figure, *, width: int = 640) -> str:
    """Draw a figure without a browser: scatter, upright bar and heatmap traces on axes of numbers.

    Text, axes and grid take the colour of the text around the picture; the ground is transparent. Lines are thinned
    to about 600 points and then have no markers; clouds to 3,000 points, drawn evenly at random, as a note in the
    picture says. Other traces, words or dates on an axis, and settings that no figure of this package uses are not
    drawn.

    Args:
        figure: the figure; it is not changed. Its own height in px is kept, or grows where its words need it.
        width: greatest width in px; the picture shrinks with the place that it is put in.

    Returns:
        One `<svg>` element; all texts of the figure are escaped in it.
    """
    layout = figure.layout.to_plotly_json()
    notes = [note for note in layout.get("annotations", ()) if plain(note.get("text"))]
    shown = Picture(layout, *_read(figure, layout), max(int(width), 160), float(layout.get("height") or HEIGHT))
    title = wrap(plain(look(layout, "title.text")), (shown.width - 20) / BOLD, size=TITLE, most=2)
    captions = [line for note in notes if _is_foot(note) for line in plain(note["text"])]
    foot = wrap([" ".join(captions)], shown.width - 20, most=4) if captions else []
    foot += list(filter(None, [choose(shown.marks)]))
    names = _legend(shown)
    top = 10 + 18 * len(title) + (20 if any(map(_is_head, notes)) else 8)
    _place(shown, names, top, 8 + LINE * len(foot) + (ROW * names.rows + 6 if names.rows and not names.upright else 0))
    body = [words(10, 20 + 18 * n, [line], size=TITLE, more=' font-weight="600"') for n, line in enumerate(title)]
    body += [_plot(shown), _notes(shown, notes), _beside(shown, names, len(foot))]
    body.append(words(10, shown.height - 8 - LINE * (len(foot) - 1), foot, more=' opacity="0.8"'))
    said = [plain(look(layout, "title.text")), *(plain(note["text"]) for note in notes if not shown.marks)]
    name = ": ".join(" ".join(lines) for lines in said if lines)[:400] or "Figure"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(name)}" '
        f'viewBox="0 0 {shown.width:g} {shown.height:g}" '
        f'style="display:block;width:100%;max-width:{shown.width:g}px;height:auto" fill="currentColor" '
        f'font-family="system-ui,sans-serif" font-size="{SIZE}">{"".join(body)}</svg>'
    )


def _read(figure: go.Figure, layout: dict[str, Any]) -> tuple[list[Mark], dict[str, Axis]]:
    """The traces that can be drawn and their axes, with all ranges fixed."""
    axes: dict[str, Axis] = {}
    marks = []
    colours = layout.get("colorway") or PALETTE
    for place, trace in enumerate(part.to_plotly_json() for part in figure.data):
        if trace["type"] not in ("scatter", "scattergl", "bar", "heatmap"):
            continue
        for key in (keys := (trace.get("xaxis", "x"), trace.get("yaxis", "y"))):
            axes.setdefault(key, Axis(key[0] == "x", layout.get(f"{key[0]}axis{key[1:]}") or {}))
        own = look(trace, "line.color") or look(trace, "marker.color")
        colour = escape(own if isinstance(own, str) else colours[place % len(colours)])
        xs, ys = _points(trace)
        marks.append(Mark(trace, colour, axes[keys[0]], axes[keys[1]], xs, ys))
        marks[-1].widen()
    for shape in layout.get("shapes", ()):
        for letter in "xy":
            if axis := axes.get(shape.get(f"{letter}ref", letter)):
                axis.include(numbers([shape.get(f"{letter}0"), shape.get(f"{letter}1")]))
    for axis in axes.values():
        axis.close()
    for mark in marks:
        inside = (mark.xs >= mark.x.low) & (mark.xs <= mark.x.high) & (mark.ys >= mark.y.low) & (mark.ys <= mark.y.high)
        mark.ys = np.where(inside, mark.ys, np.nan)
    return marks, axes


def _points(trace: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The x and y of a trace, counted from 0 where it has none; both are NaN where one is."""
    if trace["type"] == "heatmap":
        return np.empty(0), np.empty(0)
    xs, ys = numbers(trace.get("x")).ravel(), numbers(trace.get("y")).ravel()
    xs = np.arange(float(len(ys))) if trace.get("x") is None else xs
    ys = np.arange(float(len(xs))) if trace.get("y") is None else ys
    count = min(len(xs), len(ys))
    good = np.isfinite(xs[:count] + ys[:count])
    return np.where(good, xs[:count], np.nan), np.where(good, ys[:count], np.nan)


def _legend(shown: Picture) -> Legend:
    """Lay the names out: in a column beside the plot if they are upright, else in rows below it."""
    named = [m for m in shown.marks if m.kind != "heatmap" and not m.blank and m.trace.get("showlegend") is not False]
    wanted = len(named) > 1 or any(mark.trace.get("showlegend") for mark in named)
    if not named or not shown.layout.get("showlegend", wanted):
        return Legend()
    made = Legend(upright=look(shown.layout, "legend.orientation") != "h" and shown.width >= 440)
    room = 0.24 * shown.width if made.upright else min(max(200.0, 0.4 * shown.width), shown.width - 24 - KEY)
    x = 0.0
    for n, mark in enumerate(named):
        name = cut(" ".join(plain(mark.trace.get("name") or f"trace {n}")), room)
        need = KEY + span(name) + 14
        if x and (made.upright or x + need > shown.width - 10):
            x, made.rows = 0.0, made.rows + 1
        made.entries.append((mark, name, x, made.rows))
        x += need
        made.width = max(made.width, x)
    made.rows += 1
    return made


def _place(shown: Picture, names: Legend, top: float, below: float) -> None:
    """Make room for all words around the plot, and give the axes their places by plotly's domains."""
    low = max((svg_axes.under(x) for x, y in shown.panels if y.domain[0] < 0.01), default=0.0)
    beside = ROW * names.rows if names.upright else LOWEST
    shown.height = max(shown.height, top + max(LOWEST, beside) + low + below)
    bottom = shown.height - low - below
    right = shown.width - 16 - (SCALE if shown.scale else 0) - (names.width if names.upright else 0)
    columns = len({x.domain for x, _ in shown.panels})
    for _, y in shown.panels:
        first, last = (bottom - share * (bottom - top) for share in y.domain)
        y.place(first, last, 0.36 * shown.width / math.sqrt(columns))
    left = max((svg_axes.beside(y) + 4 for x, y in shown.panels if x.domain[0] < 0.01), default=8.0)
    for x, y in shown.panels:
        first, last = (left + share * (right - left) for share in x.domain)
        if x.domain[0] >= 0.01:  # a panel gives way to labels that need more room than the gap before it
            before = max((o.domain[1] for o, _ in shown.panels if o.domain[1] <= x.domain[0]), default=0.0)
            gap = first - left - before * (right - left)
            first += min(max(0.0, svg_axes.beside(y) + 8 - gap), (last - first) / 2)
        x.place(first, last, 0.0)
    shown.box = (left, top, right, bottom)
    shown.axes |= {"paper x": Axis(True, {}, 0.0, 1.0, left, right), "paper y": Axis(False, {}, 0.0, 1.0, bottom, top)}


def _plot(shown: Picture) -> str:
    """Grid, traces, and lines across."""
    heats = {mark.x for mark in shown.marks if mark.kind == "heatmap"}
    parts = [svg_axes.grid(x, y) for x, y in shown.panels if x not in heats]
    count = sum(len(mark.shown) + (len(mark.ys) if mark.kind == "bar" else 0) for mark in shown.marks)
    parts += [draw(mark, titled=count <= TITLED) for mark in shown.marks]
    lines = {}  # thousands of lines may fall on the same px
    for shape in shown.layout.get("shapes", ()):
        x0, y0, x1, y1 = (_at(shown, shape, name) for name in ("x0", "y0", "x1", "y1"))
        if shape.get("type") == "line" and np.isfinite([x0, y0, x1, y1]).all():
            colour = escape(str(look(shape, "line.color", "currentColor")))
            path = f'{stroke(shape.get("line"))} stroke="{colour}" d="M{x0:.0f} {y0:.0f}L{x1:.0f} {y1:.0f}"'
            lines[f"<path {path}/>"] = None
    parts += [*lines, *(svg_axes.labels(x, y, shown.width) for x, y in shown.panels)]
    if all(mark.blank for mark in shown.marks) and not shown.layout.get("annotations"):
        left, top, right, bottom = shown.box
        parts.append(words((left + right) / 2, (top + bottom) / 2, ["There is nothing to draw."], anchor="middle"))
    return "".join(parts)


def _at(shown: Picture, part: dict[str, Any], name: str) -> float:
    """Px of a place of a shape or annotation; NaN where it is none, or beyond its axis."""
    axis, on_axis = _axis(shown, part, name[0])
    value = float(numbers([part.get(name)])[0])
    if on_axis:
        return float(axis.px(value)) if axis.low <= value <= axis.high else math.nan
    first, last = (axis.start, axis.end)
    return first + value * (last - first)


def _axis(shown: Picture, part: dict[str, Any], letter: str) -> tuple[Axis, bool]:
    """The axis that a shape or annotation refers to, and whether by a value of it; else by a share of its length."""
    ref = str(part.get(f"{letter}ref", letter))
    axis = shown.axes.get(ref.removesuffix(" domain"))
    return (axis, " domain" not in ref) if axis else (shown.axes[f"paper {letter}"], False)


def _is_head(note: dict[str, Any]) -> bool:
    """Whether an annotation stands over a panel, as the title of a subplot does."""
    return bool(note.get("yref") == "paper" and note.get("yanchor") == "bottom")


def _is_foot(note: dict[str, Any]) -> bool:
    """Whether an annotation stands under the plot, as a caption does."""
    return bool(note.get("yref") == "paper" and note.get("yanchor") == "top" and note.get("y", 0) <= 0)


def _notes(shown: Picture, notes: list[dict[str, Any]]) -> str:
    """All annotations but those under the plot; one that would cover another moves down, or goes where it cannot."""
    taken: list[Box] = []
    parts = []
    left, _, right, bottom = shown.box
    for note in [note for note in notes[:MOST_NOTES] if not _is_foot(note)]:
        heads = sum(_is_head(other) and other.get("y") == note.get("y") for other in notes)
        size = 12 if _is_head(note) else SIZE
        lines = wrap(plain(note["text"]), (right - left) / max(heads, 1) - 6, size=size, most=1 if heads else 6)
        wide, tall = max(span(line, size) for line in lines), LINE * (len(lines) - 1) + size * 1.3
        x, y = _note_at(shown, note, wide, tall)
        tries = [(x, y + n * LINE, x + wide, y + n * LINE + tall) for n in range(4)]
        free = [box for box in tries if not any(_touch(box, other) for other in taken)]
        if not math.isfinite(x + y) or not free or (free[0] != tries[0] and free[0][3] > bottom):
            continue
        taken.append(free[0])
        parts.append(words(x + wide / 2, free[0][1] + size * 0.95, lines, size=size, anchor="middle"))
    return "".join(parts)


def _note_at(shown: Picture, note: dict[str, Any], wide: float, tall: float) -> tuple[float, float]:
    """Left and top of a text at its anchor, moved so far that it stays in its panel."""
    axis, on_axis = _axis(shown, note, "x")
    on_paper = axis is shown.axes["paper x"]
    first, last = (3.0, shown.width - 3.0) if on_paper else axis.edges
    x, y = _at(shown, note, "x"), _at(shown, note, "y")
    side = note.get("xanchor")
    if side == "left" and x + 4 + wide > last:
        side = "right"
    x += {"left": 4.0, "right": -wide - 4}.get(str(side), -wide / 2)
    y += {"top": 2.0, "bottom": -tall - 2}.get(str(note.get("yanchor")), -tall / 2)
    return min(max(x, first), max(3.0, last - wide)), y


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] - 1 and b[1] < a[3] - 1


def _beside(shown: Picture, names: Legend, foot: int) -> str:
    """The legend and the scale of colours."""
    left, top, right, _ = shown.box
    parts = [_colour_bar(shown.scale, right + 12, top + 6, shown.box[3])] if shown.scale else []
    x = right + 12 + (SCALE if shown.scale else 0) if names.upright else max(10.0, min(left, shown.width - names.width))
    y = top if names.upright else shown.height - 8 - LINE * foot - ROW * names.rows
    for mark, name, across, row in names.entries:
        at, middle = x + across, y + ROW * (row + 0.5)
        parts += [_sample(mark, at, middle), words(at + KEY, middle + 4, [name])]
    return "".join(parts)


def _sample(mark: Mark, x: float, y: float) -> str:
    if mark.kind == "bar":
        return f'<rect x="{x + 5:.1f}" y="{y - 5:.1f}" width="11" height="10" fill="{mark.colour}"/>'
    style, dx, dy, tail = glyph(mark, 11.0)
    line = f'<path {stroke(mark.trace.get("line"))} stroke="{mark.colour}" d="M{x:.1f} {y:.1f}h21"/>'
    point = f'<path {style} d="M{x + 10.5 + dx:.1f} {y + dy:.1f}{tail}"/>' if len(mark.shown) else ""
    return (line if "lines" in mark.parts else "") + point


def _colour_bar(mark: Mark, x: float, top: float, bottom: float) -> str:
    """The scale of colours with its numbers, 12 px wide from x."""
    axis = Axis(False, {}, *mark.bounds, whole=False)
    axis.place(bottom, top, 40)
    each = (bottom - top) / 32
    boxes = [
        f'<rect x="{x:.1f}" y="{bottom - (n + 1) * each:.1f}" width="12" height="{each + 0.5:.1f}" fill="{css(rgb)}"/>'
        for n, rgb in enumerate(mark.shades[::2])
    ]
    boxes += [words(x + 16, axis.px(at) + 4, [text]) for at, text in axis.ticks]
    title = " ".join(plain(look(mark.trace, "colorbar.title.text")))
    return "".join(boxes) + words(x, top - 8, [cut(title, SCALE)])
