"""A plotly figure as a static picture: one `<svg>` without scripts, that needs nothing from outside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.plots.svg_axes import Axis, panel
from workbench.plots.svg_marks import SHADES, TITLED, Mark, choose, draw, glyph, shades, stroke
from workbench.plots.svg_words import LINE, SIZE, cut, look, number, numbers, plain, span, words, wrap
from workbench.plots.theme import PALETTE

LOWEST = 110  # px of the plot itself; the picture grows instead
ROW = 17  # px from entry to entry of a legend
KEY = 26  # px of the sample before the name
TITLE = 14  # px; bold words are 1.15 times as wide


@dataclass(eq=False)
class Picture:
    """What is drawn, and where."""

    layout: dict[str, Any]  # plotly's settings
    width: float
    height: float
    notes: list[dict[str, Any]]  # annotations that have words
    marks: list[Mark] = field(default_factory=list)
    panels: list[tuple[Axis, Axis]] = field(default_factory=list)  # the pairs of axes that hold traces
    axes: dict[str, Axis] = field(default_factory=dict)  # by plotly's name; two more are the paper, from 0 to 1
    legend: list[tuple[str, str, float, int]] = field(default_factory=list)  # sample, name, px from the left, row
    upright: bool = False  # the legend stands beside the plot
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # left, top, right and bottom of the plot in px


def svg(figure: go.Figure, *, width: int = 640) -> str:
    """Draw a figure without a browser: scatter, upright bar and heatmap traces on axes of numbers, and no others.

    Text, axes and grid take the colour of the text around the picture; the ground is transparent. Lines are thinned
    to about 600 points, clouds to 3,000. Settings that no figure of this package uses have no effect.

    Args:
        figure: the figure; it is not changed. Its own height in px is kept, or grows where its words need it.
        width: greatest width in px; the picture shrinks with the place that it is put in.

    Returns:
        One `<svg>` element; all texts of the figure are escaped in it.
    """
    layout = figure.layout.to_plotly_json()
    notes = [note for note in layout.get("annotations", ()) if plain(note.get("text"))][:300]
    made = Picture(layout, max(int(width), 160), float(layout.get("height") or 380), notes)
    _read(made, figure)
    sampled = choose(made.marks)
    _name(made)
    title = wrap(plain(look(layout, "title.text")), (made.width - 20) / 1.15, size=TITLE, most=2)
    captions = [" ".join(plain(note["text"])) for note in notes if _side(note) == "foot"]
    foot = [line for line in (*wrap([" ".join(captions)], made.width - 20, most=4), sampled) if line]
    top = 10 + 18 * len(title) + (20 if any(_side(note) == "head" for note in notes) else 8)
    _place(made, top, 8 + LINE * len(foot))
    body = [words(10, 20 + 18 * n, [line], size=TITLE, more=' font-weight="600"') for n, line in enumerate(title)]
    body += [_plot(made), _notes(made), _legend(made, made.height - 8 - LINE * len(foot))]
    body.append(words(10, made.height - 8 - LINE * (len(foot) - 1), foot, more=' opacity="0.8"'))
    said = [look(layout, "title.text"), *(note["text"] for note in notes if not made.marks)]
    name = ": ".join(" ".join(plain(text)) for text in said if plain(text))[:400] or "Figure"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(name)}" '
        f'viewBox="0 0 {made.width:g} {made.height:g}" '
        f'style="display:block;width:100%;max-width:{made.width:g}px;height:auto" fill="currentColor" '
        f'font-family="system-ui,sans-serif" font-size="{SIZE}">{"".join(body)}</svg>'
    )


def _read(made: Picture, figure: go.Figure) -> None:
    """Read the traces that can be drawn and their axes, and fix all ranges."""
    colours = made.layout.get("colorway") or PALETTE
    for place, trace in enumerate(part.to_plotly_json() for part in figure.data):
        if trace["type"] not in ("scatter", "scattergl", "bar", "heatmap"):
            continue
        x, y = (
            made.axes.setdefault(key, Axis(key[0] == "x", made.layout.get(f"{key[0]}axis{key[1:]}") or {}))
            for key in (trace.get("xaxis", "x"), trace.get("yaxis", "y"))
        )
        own = look(trace, "line.color") or look(trace, "marker.color")
        made.marks.append(Mark(trace, escape(own if isinstance(own, str) else colours[place % len(colours)]), x, y))
    for shape in made.layout.get("shapes", ()):
        for letter in "xy":
            if axis := made.axes.get(shape.get(f"{letter}ref", letter)):
                axis.include(numbers([shape.get(f"{letter}0"), shape.get(f"{letter}1")]))
    for axis in made.axes.values():
        axis.close()
    made.panels = list(dict.fromkeys((mark.x, mark.y) for mark in made.marks))
    for mark in made.marks:  # points beyond a range that is set are not drawn
        (xs, x), (ys, y) = (mark.xs, mark.x), (mark.ys, mark.y)
        mark.ys = np.where((xs >= x.low) & (xs <= x.high) & (ys >= y.low) & (ys <= y.high), ys, np.nan)


def _name(made: Picture) -> None:
    """Lay the legend out: in a column beside the plot if it is upright, else in rows below it."""
    marks = [mark for mark in made.marks if not mark.blank]
    named = [mark for mark in marks if mark.kind == "scatter" and mark.trace.get("showlegend") is not False]
    named.sort(key=lambda mark: mark.trace.get("legendrank", 1000))
    wanted = made.layout.get("showlegend", len(named) > 1 or any(mark.trace.get("showlegend") for mark in named))
    found = [(_sample(mark), mark.trace.get("name") or "trace") for mark in named if wanted]
    for mark in marks:
        if mark.kind == "heatmap" and mark.trace.get("showscale") is not False:
            low, high, colours = shades(mark)
            for share in (0, 0.25, 0.5, 0.75, 1):
                value = f"{look(mark.trace, 'colorbar.title.text', '')} {number(low + share * (high - low))}"
                colour = f'fill="{colours[round(share * (SHADES - 1))][0]}" stroke="currentColor" stroke-opacity="0.3"'
                found.append((f'<rect x="5" y="-5" width="11" height="10" {colour}/>', value))
    made.upright = look(made.layout, "legend.orientation") != "h" and made.width >= 440
    room = 0.24 * made.width if made.upright else min(max(200.0, 0.4 * made.width), made.width - 24 - KEY)
    x, row = 0.0, 0
    for sample, text in found:
        name = cut(" ".join(plain(text)), room)
        need = KEY + span(name) + 14
        if x and (made.upright or x + need > made.width - 10):
            x, row = 0.0, row + 1
        made.legend.append((sample, name, x, row))
        x += need


def _sample(mark: Mark) -> str:
    style, dx, dy, tail = glyph(mark, 11.0)
    line = f'<path {stroke(mark.trace.get("line"))} stroke="{mark.colour}" d="M0 0h21"/>'
    point = f'<path {style} d="M{10.5 + dx:.1f} {dy:.1f}{tail}"/>'
    return (line if "lines" in mark.parts else "") + (point if len(mark.shown) else "")


def _place(made: Picture, top: float, below: float) -> None:
    """Make room for all words around the plot, and give the axes their places by plotly's domains."""
    tall = ROW * (made.legend[-1][3] + 1) if made.legend else 0
    wide = max((x + KEY + span(name) + 10 for _, name, x, _ in made.legend), default=0.0) if made.upright else 0.0
    below += max((x.need for x, y in made.panels if y.domain[0] < 0.01), default=0.0)
    below += tall + 6 if tall and not made.upright else 0
    made.height = max(made.height, top + below + max(LOWEST, tall * made.upright))
    right, bottom = made.width - 16 - wide, made.height - below
    room = 0.36 * made.width / math.sqrt(len({x.domain for x, _ in made.panels}) or 1)
    for _, y in made.panels:
        first, last = (bottom - share * (bottom - top) for share in y.domain)
        y.place(first, last, room)
    left = max((y.need for x, y in made.panels if x.domain[0] < 0.01), default=8.0)
    for x, y in made.panels:
        first, last = (left + share * (right - left) for share in x.domain)
        # a panel gives way to labels that need more room than the gap before it
        before = max((o.domain[1] for o, _ in made.panels if o.domain[1] <= x.domain[0]), default=-1.0)
        short = y.need + 4 - (x.domain[0] - before) * (right - left)
        x.place(first + min(max(0.0, short), (last - first) / 2), last)
    made.box = (left, top, right, bottom)
    made.axes |= {"paper x": Axis(True, {}, 0.0, 1.0, left, right), "paper y": Axis(False, {}, 0.0, 1.0, bottom, top)}


def _plot(made: Picture) -> str:
    """Axes, traces and lines across."""
    heats = {mark.x for mark in made.marks if mark.kind == "heatmap"}
    parts = [panel(x, y, made.width, lines=x not in heats) for x, y in made.panels]
    count = sum(len(mark.shown) + len(mark.ys) * (mark.kind == "bar") for mark in made.marks)
    parts += [draw(mark, titled=count <= TITLED) for mark in made.marks if not mark.blank]
    for shape in made.layout.get("shapes", ()):
        (x0, _), (y0, _), (x1, _), (y1, _) = (_at(made, shape, name) for name in ("x0", "y0", "x1", "y1"))
        if shape.get("type") == "line" and math.isfinite(x0 + y0 + x1 + y1):
            colour, path = escape(look(shape, "line.color", "currentColor")), f"M{x0:.0f} {y0:.0f}L{x1:.0f} {y1:.0f}"
            parts.append(f'<path {stroke(shape.get("line"))} stroke="{colour}" d="{path}"/>')
    if all(mark.blank for mark in made.marks) and not made.notes:
        left, top, right, bottom = made.box
        parts.append(words((left + right) / 2, (top + bottom) / 2, ["There is nothing to draw."], anchor="middle"))
    return "".join(dict.fromkeys(parts))  # thousands of lines may fall on the same px


def _at(made: Picture, part: dict[str, Any], name: str) -> tuple[float, Axis]:
    """Px of a place of a shape or annotation, NaN where it is beyond its axis, and the axis; the paper for none."""
    ref, value = str(part.get(f"{name[0]}ref", name[0])), float(numbers([part.get(name)])[0])
    axis = made.axes.get(ref.removesuffix(" domain"), made.axes[f"paper {name[0]}"])
    if ref.endswith(" domain"):
        return axis.start + value * (axis.end - axis.start), axis
    return float(axis.px(value)) if axis.low <= value <= axis.high else math.nan, axis


def _side(note: dict[str, Any]) -> str:
    """Which part an annotation is: head for the title of a panel, foot for a caption."""
    sides = {"bottom": "head", "top": "foot"}
    return sides.get(note.get("yanchor", ""), "") if note.get("yref") == "paper" else ""


def _notes(made: Picture) -> str:
    """All annotations but those under the plot; one that would cover another is left out."""
    taken: list[tuple[float, float, float, float]] = []
    parts = []
    for note in [note for note in made.notes if _side(note) != "foot"]:
        heads = [_side(other) == _side(note) == "head" and other.get("y") == note.get("y") for other in made.notes]
        size, room = 12 if any(heads) else SIZE, (made.box[2] - made.box[0]) / max(sum(heads), 1) - 6
        lines = wrap(plain(note["text"]), room, size=size, most=1 if any(heads) else 6)
        wide, tall = max(span(line, size) for line in lines), LINE * (len(lines) - 1) + size * 1.3
        (x, axis), (y, _), side = _at(made, note, "x"), _at(made, note, "y"), note.get("xanchor")
        first, last = (3.0, made.width - 3) if axis is made.axes["paper x"] else axis.edges
        side = "right" if side == "left" and x + wide + 4 > last else side
        x += {"left": 4.0, "right": -wide - 4}.get(str(side), -wide / 2)
        y += {"top": 2.0, "bottom": -tall - 2}.get(note.get("yanchor", ""), -tall / 2)
        x = min(max(x, first), max(3.0, last - wide))
        covers = any(a < x + wide and x < c and b < y + tall - 1 and y < d - 1 for a, b, c, d in taken)
        if math.isfinite(x + y) and not covers:
            taken.append((x, y, x + wide, y + tall))
            parts.append(words(x + wide / 2, y + size * 0.95, lines, size=size, anchor="middle"))
    return "".join(parts)


def _legend(made: Picture, foot: float) -> str:
    """The samples and names, beside the plot or over the lines at the foot."""
    parts = []
    for sample, name, across, row in made.legend:
        left, top = (made.box[2] + 12, made.box[1]) if made.upright else (10, foot - ROW * (made.legend[-1][3] + 1))
        place = f"translate({left + across:.1f} {top + ROW * (row + 0.5):.1f})"
        parts.append(f'<g transform="{place}">{sample}{words(KEY, 4, [name])}</g>')
    return "".join(parts)
