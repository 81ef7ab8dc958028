"""The controls of the map and the tables under it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as W
import numpy as np

from workbench.plots.map import SVG_UP_TO, TEXTS_UP_TO, sentences
from workbench.plots.map_page import measures_table
from workbench.spaces.compare import neighbours_of
from workbench.spaces.encode import Space
from workbench.spaces.measures import Measures
from workbench.spaces.project import Projection
from workbench.spaces.search import Hits
from workbench.widgets.table import cut, table

HEIGHT_PX = 520
LISTED = 50
LIST_PX = "260px"
ROW = "row (from 0)"
NAMED = {"style": {"description_width": "initial"}}
WRAPPED = {"flex_flow": "row wrap"}


class MapParts:
    """All widgets of the map, without what they do."""

    def __init__(self, choices: Sequence[str]) -> None:
        self.draw = W.Button(
            description="Draw the map", button_style="primary", tooltip="Encode the texts and lay them out"
        )
        self.stop = W.Button(
            description="Stop", disabled=True, tooltip="End the drawing; texts that are encoded stay on disk"
        )
        self.colours = W.Dropdown(options=choices, description="Colour by", **NAMED)
        self.search = W.Text(
            description="Select texts with", placeholder="words, then Enter", continuous_update=False, **NAMED
        )
        self.ask = W.Text(
            description="Nearest to", placeholder="a sentence, then Enter", continuous_update=False, **NAMED
        )
        self.clear = W.Button(description="Clear selection", tooltip="Select nothing")
        self.svg = W.Checkbox(
            description=f"without WebGL (SVG, at most {SVG_UP_TO:,} points)",
            indent=False,
            layout=W.Layout(width="auto"),
            **NAMED,
        )
        buttons = [self.draw, self.stop, self.colours, self.search, self.ask, self.clear, self.svg]
        waiting = W.HTML("<div class='wb-soft'>The map appears here.</div>")
        self.picture = W.VBox([waiting], layout=W.Layout(width="100%", overflow="hidden"))
        self.caption, self.hover = W.HTML(), W.HTML(layout=W.Layout(height="24px", display="none"))
        self.chosen, self.nearest, self.judged = W.HTML(), W.HTML(), W.HTML(judged_html(None, None))
        lists = [_appears(part) for part in (self.chosen, self.nearest)]
        judged = W.Box([self.judged], layout=W.Layout(max_height="320px", overflow="auto", display="block"))
        self.more = W.Accordion(
            [judged],
            titles=("How far to believe the map, and measures of the space",),
            layout=W.Layout(display="none"),
        )
        self.rows = (
            W.HBox(buttons, layout=W.Layout(**WRAPPED)),
            self.picture,
            self.caption,
            self.hover,
            self.more,
            W.HBox(lists, layout=W.Layout(**WRAPPED)),
        )

    def drawn(self, projection: Projection) -> None:
        """Make room for a map and what belongs to it; once made it stays, so that nothing under it jumps."""
        self.picture.layout.height = f"{HEIGHT_PX + 10}px"
        self.more.layout.display = ""
        if len(projection.space) > TEXTS_UP_TO:  # fewer have their texts at the points
            self.hover.layout.display = ""


def _appears(part: W.HTML) -> W.Box:
    """A box that is there once there is something in it, and then always of one height."""
    box = W.Box([part], layout=W.Layout(flex="1 1 380px", overflow="auto", display="none"))

    def fits(change: Any) -> None:
        listed = "<table" in change["new"]
        box.layout.display = "block" if change["new"] else "none"
        box.layout.height = LIST_PX if listed or box.layout.height else None

    part.observe(fits, "value")
    return box


def chosen_table(
    space: Space | None, rows: Sequence[int], labels: Sequence[str] | None, name: str, *, listed: int = LISTED
) -> str:
    """The first of the selected texts as HTML. `labels` has one for each text of the space, `name` says of what kind."""
    if space is None:
        return ""
    if not rows:
        return "<div class='wb-soft'>Selected texts are listed here: draw around points, or search.</div>"
    more = f", the first {listed}" if len(rows) > listed else ""
    head = [ROW, "text", *([name] if labels else [])]
    cells = [[row, cut(space.texts[row]), *([cut(labels[row], 60)] if labels else [])] for row in rows[:listed]]
    return table(head, cells, caption=f"{len(rows):,} selected{more}")


def nearest_table(space: Space, unit: np.ndarray, row: int) -> str:
    """The nearest neighbours of a text as HTML.

    Args:
        space: n texts.
        unit: float32, shape (n, d), their vectors with length 1.
        row: whose neighbours.
    """
    cells = [[place, cut(space.texts[place]), cosine] for place, cosine in neighbours_of(unit, row)]
    about = f"Nearest to row {row} (in {unit.shape[1]} dimensions): {cut(space.texts[row])}"
    return table([ROW, "text", "cosine"], cells, caption=about)


def hits_table(hits: Hits) -> str:
    """The texts nearest to a sentence as HTML."""
    found = zip(hits.rows[0].tolist(), hits.cosines[0].tolist(), strict=True)
    cells = [[row, cut(hits.space.texts[row]), cosine] for row, cosine in found]
    about = f"Nearest to “{cut(hits.queries[0])}” ({hits.space.model}, {hits.how})"
    return table([ROW, "text", "cosine"], cells, caption=about)


def judged_html(projection: Projection | None, measured: Measures | None, labels: str = "") -> str:
    """What the map has kept, and the measures of its space, as HTML.

    Args:
        projection: the map; None before there is one.
        measured: of its space; None while they are not known.
        labels: what the neighbour purity is of, empty for nothing.
    """
    if projection is None:
        return "<div class='wb-soft'>What the map has kept of the space stands here once it is drawn.</div>"
    listed = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences(projection))
    if measured is None:
        return f"<ul>{listed}</ul><div class='wb-soft'>The space is not measured yet.</div>"
    purity = f" Neighbour purity is that of: {labels}." if labels else ""
    rows = measures_table(measured)
    return (
        f"<ul>{listed}</ul><div>{escape(measured.verdict)}{escape(purity)}</div>"
        f"{table(rows.head, rows.rows, caption=rows.caption)}"
    )
