"""What is selected on the map, and what is told of single points."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from workbench.widgets.map_parts import MapParts, chosen_table, nearest_table
from workbench.widgets.map_state import MapState
from workbench.widgets.points import Points
from workbench.widgets.table import cut

if TYPE_CHECKING:
    import pandas


class MapSelecting(MapState):
    """The map as far as texts are selected, listed and looked at; see `EmbeddingMap`."""

    _parts: MapParts
    _points: Points
    _labels: tuple[str, ...] | None
    _unit: np.ndarray  # float32, shape (n, d): vectors of the space with length 1

    @property
    def selected(self) -> pandas.DataFrame:
        """The selected texts: row, text, label (where there are colours), x and y (in units of the map)."""
        import pandas

        space, projection, labels = self.space, self.projection, self._labels
        rows = [] if space is None or projection is None else list(self.selection)
        xy = np.zeros((0, 2), dtype=np.float32) if projection is None else projection.xy[rows]
        named = {} if labels is None else {"label": [labels[row] for row in rows]}
        texts = [] if space is None else [space.texts[row] for row in rows]
        return pandas.DataFrame({"row": rows, "text": texts, **named, "x": xy[:, 0], "y": xy[:, 1]})

    @t.observe("selection")
    def _selection_set(self, _: Any) -> None:
        if self._ready:
            with self._guarded():
                self._points.mark(self.selection)
                self._list()
                self._changed()

    def _fit_selection(self, count: int) -> None:
        """Row numbers that were given before the texts were known."""
        if self.selection and self.selection[-1] >= count:
            self.selection = tuple(row for row in self.selection if row < count)

    def _select(self, rows: tuple[int, ...]) -> None:
        with self._guarded():
            self.selection = rows
            total = 0 if self.space is None else len(self.space)
            self.say(f"{len(rows):,} of {total:,} texts are selected" if rows else "Nothing is selected")

    def _search(self, change: Any) -> None:
        wanted = change["new"].strip()
        with self._guarded():
            if wanted and self.space is None:
                self.say("There is nothing to select from yet: draw the map first")
            elif wanted and self.space is not None:
                texts = self.space.texts
                self.selection = tuple(row for row, text in enumerate(texts) if wanted.casefold() in text.casefold())
                self.say(f"{len(self.selection):,} of {len(texts):,} texts hold {wanted!r:.60} and are selected")

    def _list(self) -> None:
        self._parts.chosen.value = chosen_table(self.space, self.selection, self._labels, self.colour)

    # one point

    def _show_nearest(self, row: int) -> None:
        with self._guarded():
            if self.space is not None and row < len(self._unit):
                self._parts.nearest.value = nearest_table(self.space, self._unit, row)

    def _show_text(self, row: int) -> None:
        with self._guarded():
            if self.space is not None:
                self._parts.hover.value = f"<div>row {row}: {escape(cut(self.space.texts[row], 160))}</div>"
