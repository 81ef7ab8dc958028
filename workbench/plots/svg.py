"""A plotly figure as a static picture: one `<svg>` without scripts, that needs nothing from outside."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.colors
import plotly.graph_objects as go

from workbench.plots import svg_axes, svg_bars, svg_marks, svg_notes
from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import Mark
from workbench.plots.svg_notes import ROW, Frame, Legend
from workbench.plots.svg_words import LINE, SIZE, Settings, listed, plain, words, wrap
from workbench.plots.theme import PALETTE, SEQUENTIAL

KINDS = ("scatter", "scattergl", "bar", "heatmap")
HEIGHT = 380  # px, where the figure has none
LOWEST = 110  # px of the plot itself; the picture grows instead
SCALE_BAR = 62  # px beside the plot for a scale of colours
TITLE = 14  # px
BOLD = 1.15  # times as wide as the same words in regular weight


def svg(figure: go.Figure, *, width: int = 640) -> str:
    """Draw a figure without a browser: scatter, bar and heatmap traces; a note names the others.

    Text, axes and grid take the colour of the text around the picture; the ground is transparent. Lines are thinned
    to about 600 points and then have no markers; clouds to 3,000 points, drawn evenly at random, as a note in the
    picture says.

    Args:
        figure: the figure; it is not changed. Its own height in px is kept, or grows where its words need it.
        width: greatest width in px; the picture shrinks with the place that it is put in.

    Returns:
        One `<svg>` element; all texts of the figure are escaped in it.
    """
    layout, wide = _settings(figure), max(int(width), 160)
    marks, axes = _read(figure, layout)
    title = wrap(plain(layout.title.text), (wide - 20) / BOLD, size=TITLE, most=2)
    captions = [line for note in layout.annotations if svg_notes.is_foot(note) for line in plain(note.text)]
    foot = wrap([" ".join(captions)], wide - 20, size=SIZE, most=4) if captions else []
    foot += [note for note in _left_out(figure, marks) if note]
    frame, names = _frame(layout, marks, axes, wide, title, foot)
    body = [words(10, 20 + 18 * n, [line], size=TITLE, more=' font-weight="600"') for n, line in enumerate(title)]
    body += [_plot(layout, marks, axes, frame), _outside(marks, axes, frame, names, foot)]
    said = [" ".join(plain(layout.title.text))]
    said += [" ".join(plain(note.text)) for note in layout.annotations] if not marks else []
    name = ": ".join(filter(None, said))[:400] or "Figure"
    size = f"{frame.width:g} {frame.height:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(name)}" viewBox="0 0 {size}" '
        f'style="display:block;width:100%;max-width:{wide}px;height:auto" fill="currentColor" '
        f'font-family="system-ui,sans-serif" font-size="{SIZE}">{"".join(body)}</svg>'
    )


def _settings(figure: go.Figure) -> SimpleNamespace:
    """What is needed of the layout, read once."""
    held = {name: figure.layout[name] for name in ("height", "colorway", "showlegend")}
    held |= {name: Settings(figure.layout[name]) for name in ("title", "legend")}
    held |= {name: [Settings(part) for part in figure.layout[name]] for name in ("annotations", "shapes")}
    return SimpleNamespace(**held)


def _read(figure: go.Figure, layout: SimpleNamespace) -> tuple[list[Mark], dict[str, Axis]]:
    """The traces that can be drawn and their axes, with all ranges fixed."""
    axes: dict[str, Axis] = {}
    marks, given = [], []
    house = figure.layout.template.layout
    colours = layout.colorway or house.colorway or PALETTE
    usual = house.colorscale.sequential or plotly.colors.get_colorscale(SEQUENTIAL)
    for place, trace in enumerate(figure.data):
        if _can(trace) and trace.visible not in (False, "legendonly"):
            keys = (trace.xaxis or "x", trace.yaxis or "y")
            for key, partner in (keys, keys[::-1]):
                if key not in axes:
                    axes[key] = _axis(figure.layout, key, partner)
            marks.append(Mark(trace, colours[place % len(colours)], usual, axes[keys[0]], axes[keys[1]]))
            given.append(_given(marks[-1]))
    for mark, (xs, ys) in zip(marks, given, strict=True):
        mark.x.look(xs)
        mark.y.look(ys)
    for mark, (xs, ys) in zip(marks, given, strict=True):
        mark.xs, mark.ys = mark.x.units(xs), mark.y.units(ys)
        mark.scale = svg_bars.own_scale(mark) or mark.scale
    bars = [mark for mark in marks if mark.kind == "bar"]
    for panel in {(mark.x.key, mark.y.key): None for mark in bars}:
        svg_bars.arrange([mark for mark in bars if (mark.x.key, mark.y.key) == panel])
    for mark in marks:
        _widen(mark)
    for axis in axes.values():
        if (leader := axes.get(str(axis.spec.matches))) and axis.found:
            leader.include(np.array([axis.low, axis.high]), padded=axis.padded, zero=axis.zero)
    for axis in axes.values():
        if (leader := axes.get(str(axis.spec.matches))) and leader.found:
            axis.include(np.array([leader.low, leader.high]), padded=leader.padded, zero=leader.zero)
    for axis in axes.values():
        axis.close()
    return marks, axes


def _can(trace: Any) -> bool:
    """Whether the picture can show a trace without changing what it says."""
    return trace.type in KINDS and not (trace.type == "bar" and (trace.orientation == "h" or trace.base is not None))


def _axis(layout: Any, key: str, partner: str) -> Axis:
    name = f"{key[0]}axis{key[1:]}"
    spec = Settings(layout[name] if name in layout else None)
    anchor = str(spec.anchor or "")
    return Axis(key, spec, anchor if anchor[:1] == partner[0] else partner)


def _given(mark: Mark) -> tuple[Any, Any]:
    """The x and y of a trace, counted from 0 where it has none."""
    xs, ys = listed(mark.trace.x), listed(mark.trace.y)
    if mark.kind == "heatmap":
        rows, columns = mark.cells.shape
        return np.arange(columns) if xs is None else xs, np.arange(rows) if ys is None else ys
    xs = np.arange(0 if ys is None else len(ys)) if xs is None else xs
    ys = np.arange(len(xs)) if ys is None else ys
    count = min(len(xs), len(ys))
    return xs[:count], ys[:count]


def _widen(mark: Mark) -> None:
    """Make the axes hold a trace."""
    if mark.kind == "heatmap":
        rows, columns = mark.cells.shape
        mark.x.include(svg_bars.edges(mark.xs, columns))
        mark.y.include(svg_bars.edges(mark.ys, rows))
    elif mark.kind == "bar":
        mark.x.include(np.concatenate([mark.xs - mark.half, mark.xs + mark.half]))
        mark.y.include(mark.ys, padded=True, zero=True)
    else:
        both = np.isfinite(mark.xs) & np.isfinite(mark.ys)
        mark.x.include(mark.xs[both], padded="markers" in mark.mode)
        mark.y.include(mark.ys[both], padded=True)
        for letter, axis in (("x", mark.x), ("y", mark.y)):
            if whiskers := svg_marks.reach(mark, letter):
                axis.include(np.concatenate(whiskers), padded=True)


def _left_out(figure: go.Figure, marks: list[Mark]) -> list[str]:
    """Fix which points are drawn; says what the picture leaves out."""
    others = sorted({f"{trace.type} trace" for trace in figure.data if not _can(trace)})
    notes = [svg_marks.choose([mark for mark in marks if mark.kind == "scatter"])]
    notes += sorted({svg_bars.heat_note(mark) for mark in marks if mark.kind == "heatmap"})
    notes.append(
        "texts beside points are not drawn"
        if any("text" in mark.mode for mark in marks if mark.kind == "scatter")
        else ""
    )
    return [*notes, f"not drawn here: {', '.join(others)}" if others else ""]


def _frame(
    layout: Any, marks: list[Mark], axes: dict[str, Axis], width: float, title: list[str], foot: list[str]
) -> tuple[Frame, Legend]:
    """Make room for all words around the plot, and give the axes their places."""
    heads = [plain(note.text) for note in layout.annotations if svg_notes.is_head(note)]
    rows = max((len(wrap(lines, width * 0.5 / len(heads), size=12, most=2)) for lines in heads), default=0)
    top = 10 + 18 * len(title) + (LINE * rows + 6 if rows else 8)
    height = float(layout.height or HEIGHT)
    names = svg_notes.legend(marks, layout, width, height - top - 30)
    right = 16 + SCALE_BAR * len(_scales(marks, width)) + (names.width if names.upright else 0)
    below = 8 + LINE * len(foot) + (ROW * names.rows + 6 if names.rows and not names.upright else 0)
    frame = Frame(width, height, 60, top, width - right, max(height - below - 40, top + LOWEST))
    for _ in range(3):
        _place(axes, frame)
        outer = [axis for axis in axes.values() if axis.partner in axes and axes[axis.partner].domain[0] < 0.01]
        need = {"left": [8.0], "right": [0.0]}
        for axis in outer:
            side = "right" if axis.key[0] == "y" and axis.spec.side == "right" else "left"
            need[side].append(svg_axes.ahead(axis) if axis.key[0] == "x" else svg_axes.beside(axis) + 4)
        frame.left = max(need["left"])
        frame.right = max(width - right - max(need["right"]), frame.left + 40)
        low = max((svg_axes.under(axis) for axis in outer if axis.key[0] == "x"), default=0.0)
        frame.height = max(height, top + LOWEST + low + below)
        frame.bottom = frame.height - low - below
    _place(axes, frame)
    return frame, names


def _scales(marks: list[Mark], width: float) -> list[Mark]:
    """The marks whose scales of colours have room beside the plot."""
    return [mark for mark in marks if svg_bars.has_scale(mark)][: max(1, int(width // 250))]


def _place(axes: dict[str, Axis], frame: Frame) -> None:
    """Share the plot among the panels by plotly's domains; a panel gives way to labels that need more room."""
    wide, tall = frame.right - frame.left, frame.bottom - frame.top
    columns = len({axis.domain for axis in axes.values() if axis.key[0] == "x"})
    for axis in axes.values():
        (low, high), partner = axis.domain, axes.get(axis.partner)
        sideways = axis.key[0] == "x"
        length = wide if sideways else tall
        start, end = low * length, high * length
        if low > 0.01 and partner is not None and partner.partner == axis.key:
            ends = (other.domain[1] for other in axes.values() if other.key[0] == axis.key[0])
            gap = (low - max((e for e in ends if e <= low), default=0.0)) * length
            need = svg_axes.beside(partner) + 8 if sideways else svg_axes.under(partner) + 24
            start += min(max(0.0, need - gap), (end - start) / 2)
        axis.place(
            *((frame.left + start, frame.left + end) if sideways else (frame.bottom - start, frame.bottom - end))
        )
        inner = partner is not None and partner.domain[0] > 0.01
        axis.mark(frame.width * (0.15 if inner else 0.22 if columns > 1 else 0.36))


def _plot(layout: Any, marks: list[Mark], axes: dict[str, Axis], frame: Frame) -> str:
    """Grid, shapes, traces and annotations."""
    parts = []
    for mark in {(mark.x.key, mark.y.key): mark for mark in marks}.values():
        hot = any(m.kind == "heatmap" for m in marks if (m.x, m.y) == (mark.x, mark.y))
        if not mark.y.spec.overlaying:
            parts.append(svg_axes.grid(mark.x, mark.y, lines=not hot))
    parts.append(svg_notes.draw_shapes(layout, axes, frame, below=True))
    points = sum(len(mark.shown) for mark in marks)
    columns = sum(len(mark.xs) for mark in marks if mark.kind == "bar")
    for mark in marks:
        if mark.kind == "heatmap":
            parts.append(svg_bars.heat(mark))
        elif mark.kind == "bar":
            parts.append(svg_bars.bars(mark, titled=columns <= svg_marks.TITLED))
        else:
            parts.append(svg_marks.scatter(mark, titled=points <= svg_marks.TITLED))
    parts.append(svg_notes.draw_shapes(layout, axes, frame, below=False))
    parts.append(svg_notes.draw_annotations(layout, axes, frame))
    if all(mark.blank for mark in marks) and not layout.annotations:
        middle = ((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2)
        parts.append(words(*middle, ["There is nothing to draw."], anchor="middle"))
    return "".join(parts)


def _outside(marks: list[Mark], axes: dict[str, Axis], frame: Frame, names: Legend, foot: list[str]) -> str:
    """Labels of the axes, legend, scales of colours and the lines at the foot."""
    parts = [svg_axes.labels(a, axes[a.partner], frame.width) for a in axes.values() if a.partner in axes]
    base = frame.height - 8 - LINE * (len(foot) - 1)
    parts.append(words(10, base, foot, more=' opacity="0.8"'))
    x = frame.right + 12 + max((svg_axes.beside(a) for a in axes.values() if a.spec.side == "right"), default=0.0)
    for mark in _scales(marks, frame.width):
        parts.append(svg_bars.colour_bar(mark, x, frame.top + 6, frame.bottom))
        x += SCALE_BAR
    if names.upright:
        parts.append(svg_notes.draw_legend(names, x, frame.top))
    else:
        start = max(10.0, min(frame.left, frame.width - 10 - names.width))
        parts.append(svg_notes.draw_legend(names, start, frame.height - 8 - LINE * len(foot) - ROW * names.rows))
    return "".join(parts)
