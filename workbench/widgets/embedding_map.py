"""A map of texts: select with a lasso or by words, click for the nearest neighbours, colour by what the table knows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from workbench.plots.map import POINTS_UP_TO, SVG_UP_TO, drawn_rows, map_caption, map_figure
from workbench.spaces.clusters import clusters
from workbench.spaces.encode import Space
from workbench.spaces.engine import engine
from workbench.spaces.project import check_seed
from workbench.spaces.stages import FIRST, embed_in_pieces, first_picture, laid_out, model_source
from workbench.widgets.drawable import drawable
from workbench.widgets.map_parts import HEIGHT_PX, MapParts, chosen_table, nearest_table
from workbench.widgets.map_state import MapState
from workbench.widgets.points import Points
from workbench.widgets.table import cut

if TYPE_CHECKING:
    import pandas

STILL = 400


class EmbeddingMap(MapState):
    """A map of texts under a model. Nothing is encoded before the button is clicked or `draw` is called.

    Args:
        data: a `Space`, which is drawn at once; or texts, or a table (anything that `wb.load` takes), of which all
            distinct texts are drawn.
        model: name, folder or run to encode the texts with; not needed for a `Space`.
        labels: a label for each text, where `data` is a list of texts.
        colour: what the points are coloured by: "cluster", "one colour", "label" of a list or space, "column" (which
            column a text stands in) or the name of a column of the table; None takes the label where there is one.
        seed: seed of the layout, the clusters and of samples.
        selection: row numbers to begin with.

    Attributes:
        data, model, colour: as given; setting one has the same effect.
        selection: what is selected: row numbers in `space`, ascending.
        space: the vectors that are drawn; None before the first drawing.
        projection: their places; None before the first drawing.

    Raises:
        DataError: the data, the labels, the colour, the seed or the selection cannot be used.
        ModelError: there are texts and no model.
    """

    def __init__(
        self,
        data: Any,
        model: Any = None,
        *,
        labels: Sequence[object] | None = None,
        colour: str | None = None,
        seed: int = 0,
        selection: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self._seed, self._ready = check_seed(seed), False
        self._what = drawable(data, labels)
        self._clustered: tuple[Space, tuple[str, ...]] | None = None
        self._labels: tuple[str, ...] | None = None
        self._unit = np.zeros((0, 0), dtype=np.float32)
        self._parts = MapParts(self._what.choices)
        self._points = Points(
            self._parts.picture, selected=self._select, clicked=self._show_nearest, hovered=self._show_text
        )
        self.data, self.model = self._what.given, model
        self.colour = self._what.choices[0] if colour is None else colour
        self.selection = selection
        self._ready = True
        self._listen()
        self._list()
        self._show(*self._parts.rows)
        if isinstance(self.data, Space):
            self.draw()

    def _listen(self) -> None:
        self._parts.draw.on_click(lambda _: self.draw())
        self._parts.stop.on_click(lambda _: self.stop())
        self._parts.clear.on_click(lambda _: self._select(()))
        self._parts.colours.observe(self._colour_moved, "value")
        self._parts.search.observe(self._search, "value")
        self._parts.svg.observe(lambda _: self._later(self._paint), "value")

    # what can be done

    def draw(self) -> None:
        """Encode the texts where they are not a space already, and lay them out. Returns at once; `settle` waits."""
        self._later(self._draw, self._void())

    def stop(self) -> None:
        """End the drawing. Texts that are encoded stay on disk."""
        self._void()
        self.say("Stopped; texts that were encoded need not be encoded again")

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

    # drawing, on the panel's own thread

    def _draw(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._parts.stop.disabled = False
        try:
            space = self._embedded(turn)
            if space is None or turn != self._turn:
                return
            self.say(f"Laying out {len(space):,} texts with UMAP; until then the map is a PCA …", "busy")
            self._unit, self._labels = space.unit, None
            self.space, self.projection = space, first_picture(space, seed=self._seed)
            self._fit_selection(len(space))
            self._paint()
            projection = laid_out(engine().call, space, seed=self._seed, start=self.projection.xy)
            if turn != self._turn:
                return
            self.projection = projection
            self._paint()
            self.say(f"Drawn: {self._caption(self._limit)}", "good")
        finally:
            self._parts.stop.disabled = True

    def _embedded(self, turn: int) -> Space | None:
        if isinstance(self.data, Space):
            return self.data
        texts, model = self._what.texts(), model_source(self.model)

        def goes_on(done: int, total: int) -> bool:
            if turn == self._turn:
                self.say(f"Encoding {total:,} texts, {done:,} done …", "busy")
            return turn == self._turn

        return embed_in_pieces(engine().call, texts, model, labels=self._what.labels, goes_on=goes_on)

    def _paint(self) -> None:
        """Draw the places that there are, by the colour and the way of drawing that are chosen."""
        projection = self.projection
        if projection is None:
            return
        self._labels = self._labels_for(projection.space)
        figure = map_figure(
            projection,
            title=self._title(),
            labels=self._labels,
            caption=False,
            limit=self._limit,
            webgl=False if self._parts.svg.value else None,
        )
        figure.update_layout(height=HEIGHT_PX, margin={"l": 32, "r": 16, "t": 44, "b": 36})
        self._points.draw(figure, self.selection)
        self._parts.caption.value = f"<div class='wb-soft'>{escape(self._caption(self._limit))}</div>"
        self._list()
        self._changed()

    def _labels_for(self, space: Space) -> tuple[str, ...] | None:
        """A label for each text, None for one colour."""
        if self.colour != self._what.cluster:
            return self._what.labels_for(space.texts, self.colour)
        if self._clustered is None or self._clustered[0] is not space:
            self._clustered = space, engine().call(clusters, space, seed=self._seed)
        return self._clustered[1]

    @property
    def _limit(self) -> int:
        return SVG_UP_TO if self._parts.svg.value else POINTS_UP_TO

    # what is drawn

    @t.observe("data")
    def _data_set(self, _: Any) -> None:
        if self._ready:
            self._void()
            self.space, self.projection, self.selection, self._labels = None, None, (), None
            self._parts.colours.options = self._what.choices  # the colour follows
            self._stale("data")
            if isinstance(self.data, Space):
                self.draw()

    @t.observe("model")
    def _model_set(self, _: Any) -> None:
        if self._ready:
            self._void()
            self._stale("model")

    def _stale(self, what: str) -> None:
        self.say(f"The {what} changed: draw the map again" if self._points.figure else "")
        self._changed()

    @t.observe("colour")
    def _colour_set(self, change: Any) -> None:
        if self._parts.colours.value != change["new"]:
            self._parts.colours.value = change["new"]
        if self._ready:
            self._changed()
            self._later(self._paint)

    def _colour_moved(self, change: Any) -> None:
        if change["new"] is not None and self.colour != change["new"]:
            self.colour = change["new"]

    # selecting

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

    # the same elsewhere

    def _title(self) -> str:
        about = " of ".join(filter(None, ["Map", self._what.name]))
        first = "PCA, first picture" if self.projection is not None and self.projection.why == FIRST else ""
        return ", ".join(filter(None, [about, self.space.model if self.space else "", first]))

    def _caption(self, limit: int) -> str:
        assert self.projection is not None
        return map_caption(self.projection, len(drawn_rows(self.projection, limit)))

    def _code(self) -> str:
        return self._what.code(self.model, self._seed, self.colour, None if self.space is None else len(self.space))

    def static(self) -> str:
        """The map as a picture of at most 400 points, its caption, and the first selected texts."""
        from workbench.plots.svg import svg

        if self.projection is None or self.space is None:
            return "<p>The map is not drawn yet.</p>"
        shown = map_figure(
            self.projection, title=self._title(), labels=self._labels, caption=False, limit=STILL, webgl=False
        )
        listed = chosen_table(self.space, self.selection, self._labels, self.colour, listed=20)
        return f"{svg(shown, width=720)}<p>{escape(self._caption(STILL))}</p>{listed if self.selection else ''}"

    def close(self) -> None:
        """Close the panel and its figure."""
        self._void()
        self._points.close()
        super().close()
