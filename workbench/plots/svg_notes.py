"""What stands on and around a static picture: its legend, shapes and annotations."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import Mark, dashes, styles
from workbench.plots.svg_symbols import decimal, paint
from workbench.plots.svg_words import LINE, SIZE, cut, plain, span, words, wrap

ROW = 17  # px from entry to entry of a legend
KEY = 26  # px of the sample before the name
MOST_ROWS = 10
MOST_NOTES = 300


@dataclass
class Frame:
    """Size of the picture and edges of the plot in it, in px."""

    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass
class Legend:
    """Names beside or below the plot.

    Attributes:
        entries: mark, name, px from the left and row of each that has room.
        upright: whether they stand beside the plot.
        rows: how many rows they take.
        width: how many px the widest row takes.
        more: what is said of those that have no room.
    """

    entries: list[tuple[Mark, str, float, int]]
    upright: bool = False
    rows: int = 0
    width: float = 0.0
    more: str = ""


def legend(marks: list[Mark], layout: Any, width: float, room: float) -> Legend:
    """Lay the names out: in a column of `room` px beside the plot if they are upright, else in rows below it."""
    named = [mark for mark in marks if mark.trace.showlegend is not False]
    named = [mark for mark in named if mark.kind != "heatmap" or mark.trace.showlegend]
    wanted = len(named) > 1 or any(mark.trace.showlegend for mark in named)
    if not named or layout.showlegend is False or not (wanted or layout.showlegend):
        return Legend([])
    upright = layout.legend.orientation != "h" and width >= 440
    widest = 0.24 * width if upright else min(max(200.0, 0.4 * width), width - 24 - KEY)
    names = [cut(" ".join(plain(mark.trace.name or f"trace {n}")), widest) for n, mark in enumerate(named)]
    if upright:
        rows = max(1, int(room / ROW))
        rows = rows - 1 if len(named) > rows else rows
        placed = [(mark, name, 0.0, row) for row, (mark, name) in enumerate(zip(named, names, strict=True))][:rows]
        left_out = len(named) - len(placed)
        more = f"… {left_out} more" if left_out else ""
        return Legend(placed, True, len(placed), max(span(name) for name in [*names, more]) + KEY + 14, more)
    placed, x, row = [], 0.0, 0
    for mark, name in zip(named, names, strict=True):
        need = KEY + span(name) + 14
        if x and x + need > width - 20:
            x, row = 0.0, row + 1
        if row == MOST_ROWS:
            break
        placed.append((mark, name, x, row))
        x += need
    left_out = len(named) - len(placed)
    more = f"… {left_out} more" if left_out else ""
    extent = max(x + KEY + span(name) for _, name, x, _ in placed)
    return Legend(placed, False, min(row, MOST_ROWS - 1) + 1 + bool(more), extent, more)


def draw_legend(shown: Legend, x: float, y: float) -> str:
    """The samples and names, from the top left corner (x, y)."""
    parts = []
    for mark, name, right, row in shown.entries:
        left, middle = x + right, y + row * ROW + ROW / 2
        parts.append(_sample(mark, left, middle) + words(left + KEY, middle + 4, [name]))
    last = max((row for _, _, _, row in shown.entries), default=-1) + 1
    return "".join(parts) + words(x, y + last * ROW + ROW / 2 + 4, [shown.more] if shown.more else [])


def _sample(mark: Mark, x: float, y: float) -> str:
    if mark.kind != "scatter":
        colour = mark.marker.color if mark.kind == "bar" and isinstance(mark.marker.color, str) else mark.colour
        return f'<rect x="{decimal(x + 5)}" y="{decimal(y - 5)}" width="11" height="10" fill="{escape(colour)}"/>'
    drawn = ""
    if "lines" in mark.mode:
        style = f'stroke="{mark.stroke}" stroke-width="2"{dashes(mark.line.dash)}'
        drawn = f'<path {style} d="M{decimal(x)} {decimal(y)}h21"/>'
    if "markers" in mark.mode and (len(mark.shown) or not drawn):
        symbol, size, colour = next(iter(styles(mark)), ("circle", 6.0, mark.stroke))
        style, dx, dy, tail = paint(mark.marker, mark.opacity, symbol, min(max(size, 6), 11), colour)
        drawn += f'<path {style} d="M{decimal(x + 10.5 + dx)} {decimal(y + dy)}{tail}"/>'
    return drawn


def at(axes: dict[str, Axis], frame: Frame, letter: str, ref: str | None, value: Any, *, log: bool) -> float:
    """Px of a place that is given by plotly's reference; NaN if it does not exist. `log`: value is a log10 already."""
    low, high = (frame.left, frame.right) if letter == "x" else (frame.bottom, frame.top)
    ref = ref or ("paper" if letter not in axes else letter)
    axis = axes.get(ref.split(" ")[0])
    if ref == "paper" or ref.endswith(" domain"):
        if axis is not None:
            low, high = axis.edges if letter == "x" else axis.edges[::-1]
        return low + _share(value) * (high - low)
    if axis is None:
        return float("nan")
    known = axis.log and log and isinstance(value, int | float)
    return float(axis.px(float(value) if known else axis.units([value], known=True)[0]))


def limits(axes: dict[str, Axis], frame: Frame, letter: str, ref: str | None) -> tuple[float, float]:
    """Smallest and greatest px of the panel that a reference means; those of the plot for the paper."""
    axis = axes.get((ref or letter).split(" ")[0])
    if axis is not None:
        return axis.edges
    return (frame.left, frame.right) if letter == "x" else (frame.top, frame.bottom)


def draw_shapes(layout: Any, axes: dict[str, Axis], frame: Frame, *, below: bool) -> str:
    """Lines and boxes, kept within the plot."""
    parts: dict[str, None] = {}  # thousands of lines may fall on the same px
    for shape in layout.shapes:
        if (shape.layer == "below") != below or shape.type not in ("line", "rect") or shape.visible is False:
            continue
        xs = [at(axes, frame, "x", shape.xref, value, log=False) for value in (shape.x0, shape.x1)]
        ys = [at(axes, frame, "y", shape.yref, value, log=False) for value in (shape.y0, shape.y1)]
        (left, right), (top, bottom) = limits(axes, frame, "x", shape.xref), limits(axes, frame, "y", shape.yref)
        outside = max(xs) < left - 1 or min(xs) > right + 1 or max(ys) < top - 1 or min(ys) > bottom + 1
        if outside or not np.isfinite(xs + ys).all():
            continue
        xs, ys = np.clip(xs, left, right).tolist(), np.clip(ys, top, bottom).tolist()
        colour, wide = escape(str(shape.line.color or "currentColor")), shape.line.width
        stroke = f'stroke="{colour}" stroke-width="{2 if wide is None else wide:g}"{dashes(shape.line.dash)}'
        dim = f' opacity="{shape.opacity:g}"' if shape.opacity is not None else ""
        if shape.type == "line":
            d = f"M{xs[0]:.0f} {ys[0]:.0f}L{xs[1]:.0f} {ys[1]:.0f}"
            parts[f'<path {stroke}{dim} d="{d}"/>'] = None
        else:
            size = f'width="{decimal(abs(xs[1] - xs[0]))}" height="{decimal(abs(ys[1] - ys[0]))}"'
            paint_in = f'fill="{escape(str(shape.fillcolor or "none"))}"' + (f" {stroke}" if wide != 0 else "")
            parts[f'<rect x="{decimal(min(xs))}" y="{decimal(min(ys))}" {size} {paint_in}{dim}/>'] = None
    return "".join(parts)


def is_head(note: Any) -> bool:
    """Whether an annotation stands over the plot, as the title of a subplot does."""
    return note.yref == "paper" and _share(note.y) >= 0.999 and note.yanchor == "bottom"


def is_foot(note: Any) -> bool:
    """Whether an annotation stands under the plot, as a caption does."""
    return note.yref == "paper" and (_share(note.y) < 0 or (_share(note.y) == 0 and note.yanchor == "top"))


def _share(value: Any) -> float:
    """A place on the paper, which is a number; anything else counts as 0."""
    return float(value) if isinstance(value, int | float | np.number) else 0.0


def draw_annotations(layout: Any, axes: dict[str, Axis], frame: Frame) -> str:
    """All annotations but those under the plot; one that would cover another moves down, or goes where it cannot."""
    taken: list[tuple[float, float, float, float]] = []
    parts = []
    heads = sum(map(is_head, layout.annotations))
    for note in layout.annotations[:MOST_NOTES]:
        if is_foot(note) or note.visible is False or not plain(note.text):
            continue
        x = at(axes, frame, "x", note.xref, note.x, log=True) + (note.xshift or 0)
        y = at(axes, frame, "y", note.yref, note.y, log=True) - (note.yshift or 0)
        left, edge = limits(axes, frame, "x", note.xref)
        if not (np.isfinite(x) and np.isfinite(y)) or (note.xref != "paper" and not left - 1 <= x <= edge + 1):
            continue
        arrow = note.showarrow is not False
        if arrow:
            ax, ay = (float(v) if isinstance(v, int | float) else d for v, d in ((note.ax, -10), (note.ay, -30)))
            parts.append(f'<path stroke="currentColor" d="M{decimal(x)} {decimal(y)}l{decimal(ax)} {decimal(ay)}"/>')
            x, y = x + ax, y + ay
        size = min(max(note.font.size or SIZE, 9), 12) if not is_head(note) else 12
        room = (frame.right - frame.left) / heads - 6 if is_head(note) else frame.right - frame.left - 8
        lines = wrap(plain(note.text), room, size=size, most=2 if is_head(note) else 6)
        box = _box(note, x, y, lines, size, frame, edge, arrow=arrow)
        tries = (box, *((box[0], box[1] + n * LINE, box[2], box[3] + n * LINE) for n in (1, 2, 3)))
        free = [b for b in tries if not any(_touch(b, other) for other in taken)]
        if not free or (free[0] != box and free[0][3] > frame.bottom):
            continue
        taken.append(free[0])
        colour = f' fill="{escape(str(note.font.color))}"' if note.font.color else ""
        middle, base = (box[0] + box[2]) / 2, free[0][1] + size * 0.95
        parts.append(words(middle, base, lines, size=size, anchor="middle", more=colour))
    return "".join(parts)


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] - 1 and b[1] < a[3] - 1


def _box(
    note: Any, x: float, y: float, lines: list[str], size: float, frame: Frame, edge: float, *, arrow: bool
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text at its anchor, moved so far that it stays in the picture."""
    wide, tall = max(span(line, size) for line in lines), LINE * (len(lines) - 1) + size * 1.3
    on_paper = not arrow and note.xref == "paper"
    share = _share(note.x) if on_paper else 0.5
    side = note.xanchor or "auto"
    side = ("left" if share < 1 / 3 else "right" if share > 2 / 3 else "center") if side == "auto" else side
    left = x + 4 if side == "left" else x - wide - 4 if side == "right" else x - wide / 2
    if left + wide > edge and side == "left" and note.xref != "paper":
        left = x - wide - 4
    first, last = (3.0, frame.width - 3) if note.xref == "paper" else (frame.left, frame.right)
    left = min(max(left, first), max(3.0, last - wide))
    share = _share(note.y) if not arrow and note.yref == "paper" else 0.5
    side = note.yanchor or "auto"
    side = ("bottom" if share < 1 / 3 else "top" if share > 2 / 3 else "middle") if side == "auto" else side
    top = y + 2 if side == "top" else y - tall - 2 if side == "bottom" else y - tall / 2
    top = min(max(top, 2.0), frame.height - tall - 2)
    return left, top, left + wide, top + tall
