"""A map of texts: select with a lasso or by words, click for the nearest neighbours, colour by what the table knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from workbench.plots.map import POINTS_UP_TO, SVG_UP_TO, drawn_rows, kept_labels, map_caption, map_figure
from workbench.spaces.clusters import clusters
from workbench.spaces.encode import Space
from workbench.spaces.engine import Ended, engine
from workbench.spaces.measures import measures
from workbench.spaces.project import Projection, check_seed
from workbench.spaces.stages import FIRST, embed_in_pieces, first_picture, laid_out, model_source
from workbench.widgets.drawable import drawable
from workbench.widgets.figure import prepare
from workbench.widgets.map_parts import HEIGHT_PX, MapParts, chosen_table, hits_table, judged_html
from workbench.widgets.map_search import SentenceSearch
from workbench.widgets.map_selecting import MapSelecting
from workbench.widgets.points import Points

if TYPE_CHECKING:
    import plotly.graph_objects as go

STILL = 400


class EmbeddingMap(MapSelecting):
    """A map of texts under a model. Nothing is encoded before the button is clicked or `draw` is called.

    Args:
        data: a `Space`, which is drawn at once; or texts, or a table (anything that `wb.load` takes), of which all
            distinct texts are drawn.
        model: name, folder or run to encode the texts with; a `Space` needs it only for typed sentences, where no
            model is found by the name that the space holds.
        labels: a label for each text, where `data` is a list of texts.
        colour: what the points are coloured by: "cluster", "one colour", "how faithful" (the share of a text's nearest
            texts that are near on the map), "label" of a list or space, "column" (which column a text stands in) or
            the name of a column of the table; None takes the label where there is one.
        seed: seed of the layout, the clusters and of samples.
        selection: row numbers to begin with.

    Attributes:
        data, model, colour: as given; setting one has the same effect.
        selection: what is selected: row numbers in `space`, ascending.
        space: the vectors that are drawn; None before the first drawing.
        projection: their places; None before the first drawing.
        measures: of the space; None until they are taken, after the drawing.

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
        self._sentences, self._asked = SentenceSearch(), ""
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
        self._parts.ask.observe(lambda change: self.find(change["new"]), "value")
        self._parts.svg.observe(lambda _: self._later(self._paint), "value")

    # what can be done

    def draw(self) -> None:
        """Encode the texts where they are not a space already, and lay them out. Returns at once; `settle` waits."""
        prepare()
        self._later(self._draw, self._void())

    def stop(self) -> None:
        """End the drawing. Texts that are encoded stay on disk."""
        self._void()
        self.say("Stopped; texts that were encoded need not be encoded again")

    def find(self, sentence: str) -> None:
        """Select and list the texts nearest to a sentence, which the model encodes. Returns at once; `settle` waits."""
        self._asked = sentence.strip()
        if self._asked and self.space is None:
            self.say("There is nothing to search yet: draw the map first")
        elif self._asked:
            self._later(self._find, self._asked)

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
            self._unit, self._labels, self.measures = space.unit, None, None
            self.space, self.projection = space, first_picture(space, seed=self._seed)
            self._fit_selection(len(space))
            self._paint(soon=True)
            call = partial(engine().call, progress=self._laying_out(turn, len(space)))
            projection = laid_out(call, space, seed=self._seed, start=self.projection.xy)
            if turn != self._turn:
                return
            self.projection = projection
            self._paint()
            self._measure(turn, space)
        except Ended:  # by a newer request or the button, which have said so
            return
        finally:
            self._parts.stop.disabled = True

    def _laying_out(self, turn: int, count: int) -> Callable[[str, int, int], None]:
        """Tells how far the map is, until something else is asked for."""

        def tell(phase: str, done: int, total: int) -> None:
            if turn != self._turn:
                raise Ended
            far = (
                f"{100 * done // total} %" if phase == "neighbours" else f"{done:,} of {total:,}" if total > 1 else "…"
            )
            self.say(f"Laying out {count:,} texts with UMAP, {phase} {far}; until then the map is a PCA", "busy")

        return tell

    def _measure(self, turn: int, space: Space) -> None:
        self.say(f"Drawn; measuring the space of {len(space):,} texts …", "busy")
        labels, pairs = self._what.labels_for(space.texts, self._what.own), self._what.pairs(space.texts)
        measured = engine().call(measures, space, labels, pairs, seed=self._seed)
        if turn != self._turn:
            return
        self.measures = measured
        self._judge()
        self._changed()
        warning = f". {measured.verdict}" if measured.collapsed else ""
        self.say(f"Drawn: {len(space):,} texts{warning}", "" if warning else "good")

    def _embedded(self, turn: int) -> Space | None:
        if isinstance(self.data, Space):
            return self.data
        texts, model = self._what.texts(), model_source(self.model)

        def goes_on(done: int, total: int) -> bool:
            if turn == self._turn:
                self.say(f"Encoding {total:,} texts, {done:,} done …", "busy")
            return turn == self._turn

        return embed_in_pieces(engine().call, texts, model, labels=self._what.labels, goes_on=goes_on)

    def _paint(self, *, soon: bool = False) -> None:
        """Draw the places that there are, by the colour and the way of drawing that are chosen.

        Args:
            soon: without waiting for clusters that are not known yet.
        """
        projection = self.projection
        if projection is None:
            return
        self._labels = None if soon and self._must_cluster(projection.space) else self._labels_for(projection)
        figure = self._figure(projection, self._limit, False if self._parts.svg.value else None)
        figure.update_layout(height=HEIGHT_PX, margin={"l": 32, "r": 16, "t": 44, "b": 36})
        self._parts.drawn(projection)
        self._points.draw(figure, self.selection)
        self._parts.caption.value = f"<div class='wb-soft'>{escape(self._caption(self._limit))}</div>"
        self._list()
        self._judge()
        self._changed()

    def _figure(self, projection: Projection, limit: int, webgl: bool | None) -> go.Figure:
        return map_figure(
            projection,
            title=self._title(),
            labels=self._labels,
            faithful=self._faithful,
            caption=False,
            limit=limit,
            webgl=webgl,
        )

    def _judge(self) -> None:
        self._parts.judged.value = judged_html(self.projection, self.measures, self._what.own)

    @property
    def _faithful(self) -> bool:
        return bool(self.colour == self._what.faithful)

    def _labels_for(self, projection: Projection) -> tuple[str, ...] | None:
        """A label for each text, None for one colour."""
        space = projection.space
        if self._faithful:
            return kept_labels(projection)
        if self.colour != self._what.cluster:
            return self._what.labels_for(space.texts, self.colour)
        if self._clustered is None or self._must_cluster(space):
            self._clustered = space, engine().call(clusters, space, seed=self._seed)
        return self._clustered[1]

    def _must_cluster(self, space: Space) -> bool:
        known = self._clustered is not None and self._clustered[0] is space
        return bool(self.colour == self._what.cluster) and not known

    @property
    def _limit(self) -> int:
        return SVG_UP_TO if self._parts.svg.value else POINTS_UP_TO

    # what is drawn

    @t.observe("data")
    def _data_set(self, _: Any) -> None:
        if self._ready:
            self._void()
            self.space, self.projection, self.measures, self.selection, self._labels = None, None, None, (), None
            self._judge()
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

    # typed sentences

    def _find(self, sentence: str) -> None:
        space, shared = self.space, engine()
        if space is None or sentence != self._asked:
            return
        self.say(f"Looking for the texts nearest to {sentence!r:.60} …", "busy")
        hits = self._sentences.hits(shared.call, sentence, space, self.model)
        if sentence != self._asked or space is not self.space:
            return
        self.selection = tuple(hits.rows[0].tolist())
        self._parts.nearest.value = hits_table(hits)
        self.say(f"The {len(self.selection)} texts nearest to {sentence!r:.60} are selected and listed", "good")

    # the same elsewhere

    def _title(self) -> str:
        about = " of ".join(filter(None, ["Map", self._what.name]))
        first = "PCA, first picture" if self.projection is not None and self.projection.why == FIRST else ""
        return ", ".join(filter(None, [about, self.space.model if self.space else "", first]))

    def _caption(self, limit: int) -> str:
        assert self.projection is not None
        drawn = len(drawn_rows(self.projection, limit))
        return map_caption(self.projection, drawn, faithful=self._faithful)

    def _code(self) -> str:
        return self._what.code(self.model, self._seed, self.colour)

    def static(self) -> str:
        """The map as a picture of at most 400 points, its caption, what it has kept, and the first selected texts."""
        from workbench.plots.svg import svg

        if self.projection is None or self.space is None:
            return "<p>The map is not drawn yet.</p>"
        shown = self._figure(self.projection, STILL, False)
        listed = chosen_table(self.space, self.selection, self._labels, self.colour, listed=20)
        judged = judged_html(self.projection, self.measures, self._what.own)
        return f"{svg(shown, width=720)}<p>{escape(self._caption(STILL))}</p>{judged}{listed if self.selection else ''}"

    def close(self) -> None:
        """Close the panel and its figure."""
        self._void()
        self._points.close()
        super().close()
