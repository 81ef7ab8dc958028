"""The controls of the map and the tables under it."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as W
import numpy as np

from workbench.plots.map import SVG_UP_TO
from workbench.spaces.compare import neighbours_of
from workbench.spaces.encode import Space
from workbench.widgets.table import cut, table

HEIGHT_PX = 520
LISTED = 50
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
        self.clear = W.Button(description="Clear selection", tooltip="Select nothing")
        self.svg = W.Checkbox(
            description=f"without WebGL (SVG, at most {SVG_UP_TO:,} points)",
            indent=False,
            layout=W.Layout(width="auto"),
            **NAMED,
        )
        buttons = [self.draw, self.stop, self.colours, self.search, self.clear, self.svg]
        waiting = W.HTML("<div class='wb-soft'>The map appears here.</div>")
        self.picture = W.VBox([waiting], layout=W.Layout(height=f"{HEIGHT_PX + 10}px", width="100%", overflow="hidden"))
        self.caption = W.HTML(layout=W.Layout(min_height="24px"))
        self.hover = W.HTML(layout=W.Layout(height="24px"))
        self.chosen, self.nearest = W.HTML(), W.HTML()
        half = W.Layout(flex="1 1 380px", height="260px", overflow="auto", display="block")
        lists = [W.Box([part], layout=half) for part in (self.chosen, self.nearest)]
        self.rows = (
            W.HBox(buttons, layout=W.Layout(**WRAPPED)),
            self.picture,
            self.caption,
            self.hover,
            W.HBox(lists, layout=W.Layout(**WRAPPED)),
        )


def chosen_table(
    space: Space | None, rows: Sequence[int], labels: Sequence[str] | None, name: str, *, listed: int = LISTED
) -> str:
    """The first of the selected texts as HTML. `labels` has one for each text of the space, `name` says of what kind."""
    if space is None or not rows:
        return "<div class='wb-soft'>Selected texts are listed here: draw around points, or search.</div>"
    more = f", the first {listed}" if len(rows) > listed else ""
    head = ["row", "text", *([name] if labels else [])]
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
    return table(["row", "text", "cosine"], cells, caption=about)
