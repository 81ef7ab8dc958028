"""Bars and heat maps of a static picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import Mark
from workbench.plots.svg_symbols import bounds, css, decimal, shades
from workbench.plots.svg_words import FIELD, Settings, listed, number, numbers, plain, span, tips, words

SINGLE = 1000  # bars up to which all are drawn
CELLS = 48  # a side of a heat map; more are drawn as means


def arrange(bars: Sequence[Mark]) -> None:
    """Put the bars of one panel beside each other: fixes their places and widths."""
    places = np.concatenate([mark.xs for mark in bars])
    steps = np.diff(np.unique(places[np.isfinite(places)]))
    slot = 0.8 * float(steps.min()) if len(steps) else 0.8
    for turn, mark in enumerate(bars):
        own = None if mark.trace.width is None else numbers(np.atleast_1d(listed(mark.trace.width)))
        if own is None:
            mark.half = np.full(len(mark.xs), slot / len(bars) / 2)
            mark.xs = mark.xs + (turn - (len(bars) - 1) / 2) * slot / len(bars)
        else:
            mark.half = np.resize(own, len(mark.xs)) / 2


def bars(mark: Mark, *, titled: bool) -> str:
    """Upright bars with their tooltips."""
    tip, shapes = tips(mark.trace), []
    own = listed(mark.marker.color)
    each = own if own is not None and not isinstance(own, str) and numbers(own) is None else ()
    left, top, right, bottom = mark.box
    first, last = (np.clip(mark.x.px(mark.xs + sign * mark.half), left, right) for sign in (-1, 1))
    heads = np.clip(mark.y.px(mark.ys), top, bottom)
    foot = min(max(float(mark.y.px(0.0 if not mark.y.log else mark.y.low)), top), bottom)
    rows = np.flatnonzero(np.isfinite(first + last + heads))
    if len(rows) > SINGLE:  # of several bars on one px only the tallest can be seen
        rows = rows[np.argsort(-np.abs(heads[rows] - foot), kind="stable")]
        rows = rows[np.unique([np.round(first[rows]), heads[rows] < foot], axis=1, return_index=True)[1]]
    for row in rows.tolist():
        a, b, head = float(first[row]), float(last[row]), float(heads[row])
        gap = 0.5 if abs(b - a) > 4 else 0.0
        x, y = decimal(min(a, b) + gap), decimal(min(foot, head))
        wide, tall = decimal(abs(b - a) - 2 * gap), decimal(abs(foot - head))
        fill = f' fill="{escape(str(each[row]))}"' if row < len(each) else ""
        title = tip(row) if titled else ""
        shapes.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}"{fill}>{title}</rect>')
    dim = f' fill-opacity="{mark.opacity:g}"' if mark.opacity < 1 else ""
    return f'<g fill="{escape(own if isinstance(own, str) else mark.colour)}"{dim}>{"".join(shapes)}</g>'


def edges(middles: np.ndarray, count: int) -> np.ndarray:
    """Edges of `count` cells, shape (count + 1,), from their middles; edges that are given stay."""
    if len(middles) == count + 1:
        return middles
    if len(middles) < 2:
        return np.concatenate([middles - 0.5, middles + 0.5])
    between = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[2 * middles[0] - between[0]], between, [2 * middles[-1] - between[-1]]])


def coarse(values: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of `step` by `step` cells; NaN where a block holds nothing."""
    tall, wide = (-side % step for side in values.shape)
    padded = np.pad(values, ((0, tall), (0, wide)), constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // step, step, -1, step).swapaxes(1, 2).reshape(-1, step * step)
    count = np.isfinite(blocks).sum(axis=1)
    means = np.where(count > 0, np.nansum(blocks, axis=1) / np.maximum(count, 1), np.nan)
    return means.reshape(padded.shape[0] // step, -1)


def heat_note(mark: Mark) -> str:
    """What to say of a heat map that is drawn in fewer cells than it has."""
    step = math.ceil(max(mark.cells.shape) / CELLS)
    return f"each cell is the mean of up to {step} × {step} values" if step > 1 else ""


def heat(mark: Mark) -> str:
    """A heat map with its numbers, where those have room."""
    values = mark.cells
    across, down = edges(mark.xs, values.shape[1]), edges(mark.ys, values.shape[0])
    fits = (len(down) - 1, len(across) - 1) == values.shape and np.isfinite(across).all() and np.isfinite(down).all()
    if not values.size or not fits:
        return ""
    step = math.ceil(max(values.shape) / CELLS)
    low, high = scale_ends(mark)
    if step > 1:
        values = coarse(values, step)
        across, down = (np.append(side[:-1:step], side[-1]) for side in (across, down))
    rgb = shades(mark.scale, np.clip((values - low) / (high - low), 0, 1))
    xs = np.clip(mark.x.px(across), *mark.x.edges).tolist()
    ys = np.clip(mark.y.px(down), *mark.y.edges).tolist()
    fills: dict[str, list[str]] = {}
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        x, y = min(xs[column : column + 2]), min(ys[row : row + 2])
        wide, tall = abs(xs[column + 1] - xs[column]), abs(ys[row + 1] - ys[row])
        path = f"M{decimal(x)} {decimal(y)}h{decimal(wide)}v{decimal(tall)}h-{decimal(wide)}z"
        fills.setdefault(css(rgb[row, column]), []).append(path)
    drawn = "".join(f'<path fill="{fill}" d="{"".join(paths)}"/>' for fill, paths in fills.items())
    body = f'<g shape-rendering="crispEdges">{drawn}</g>'
    return body + (_texts(mark, values, rgb, xs, ys) if step == 1 else "")


def _texts(mark: Mark, values: np.ndarray, rgb: np.ndarray, xs: list[float], ys: list[float]) -> str:
    """The numbers in the cells, in the largest size at which all have room."""
    template, text = mark.trace.texttemplate, listed(mark.trace.text)
    if not isinstance(template, str) or values.size > 900:
        return ""

    def fill(row: int, column: int) -> str:
        line = text[row] if text is not None and row < len(text) else ()
        held = {"z": values[row, column], "text": line[column] if line is not None and column < len(line) else ""}
        return " ".join(plain(FIELD.sub(lambda found: number(held.get(found[1], ""), found[3]), template)))

    labels = {(row, column): fill(row, column) for row, column in np.ndindex(*values.shape)}
    wide, tall = float(np.abs(np.diff(xs)).min()), float(np.abs(np.diff(ys)).min())
    widest = max((span(label, 1) for cell, label in labels.items() if np.isfinite(values[cell])), default=0)
    size = next((size for size in (11, 10, 9, 8, 7) if widest * size + 2 <= wide and size + 2 <= tall), 0)
    parts = []
    for (row, column), label in labels.items() if size else ():
        label = label if np.isfinite(values[row, column]) or span(label, size) <= wide else "–"
        light = rgb[row, column] @ (0.299, 0.587, 0.114)
        colour = "currentColor" if math.isnan(light) else "#111" if light > 140 else "#fff"
        x, y = (xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2 + size * 0.36
        parts.append(f'<text x="{decimal(x)}" y="{decimal(y)}" fill="{colour}">{escape(label)}</text>')
    return f'<g text-anchor="middle" font-size="{size}">{"".join(parts)}</g>' if parts else ""


def scale_ends(mark: Mark) -> tuple[float, float]:
    """Values at both ends of the colour scale of a heat map or of coloured markers."""
    trace = mark.trace
    if mark.kind == "heatmap":
        return bounds(mark.cells, trace.zmin, trace.zmax, trace.zmid)
    spec, held = mark.marker, numbers(listed(mark.marker.color))
    return bounds(np.empty(0) if held is None else held, spec.cmin, spec.cmax, spec.cmid)


def has_scale(mark: Mark) -> bool:
    """Whether a scale of colours belongs beside the plot."""
    if mark.kind == "heatmap":
        return mark.trace.showscale is not False and not mark.blank
    return bool(mark.kind == "scatter" and mark.marker.showscale)


def colour_bar(mark: Mark, x: float, top: float, bottom: float) -> str:
    """The scale of colours with its numbers, 12 px wide from x."""
    low, high = scale_ends(mark)
    axis = Axis("y", Settings(), "x", low=low, high=high, found=True, whole=False)
    axis.place(bottom, top)
    axis.mark(40)
    owner = mark.trace if mark.kind == "heatmap" else mark.marker
    title = " ".join(plain(owner.colorbar.title.text))
    each = (bottom - top) / 32
    steps = enumerate(shades(mark.scale, (np.arange(32) + 0.5) / 32))
    boxes = (
        f'<rect x="{decimal(x)}" y="{decimal(bottom - (n + 1) * each)}" width="12" height="{decimal(each + 0.5)}" fill="{css(rgb)}"/>'
        for n, rgb in steps
    )
    labels = (words(x + 16, axis.px(at) + 4, [text]) for at, text in axis.ticks)
    return "".join(boxes) + "".join(labels) + words(x, top - 8, [title[:12]] if title else [])


def own_scale(mark: Mark) -> Any:
    """The scale of colours that a trace brings, in the direction that it asks for; None for the usual one."""
    owner = mark.trace if mark.kind == "heatmap" else mark.marker
    scale = owner.colorscale
    if not owner.reversescale:
        return scale
    return [(1 - place, colour) for place, colour in reversed(scale or mark.scale)]
