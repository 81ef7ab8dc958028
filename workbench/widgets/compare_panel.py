"""Two models on the same rows: scores, rows that flipped, maps, neighbours that came and went, similarities."""

from __future__ import annotations

from html import escape
from typing import Any

import traitlets as t

from workbench.data.distinct import colour_words
from workbench.plots.compare import maps_figure, noise_figure
from workbench.spaces.comparing import comparing
from workbench.spaces.comparison import Comparison
from workbench.spaces.engine import engine
from workbench.spaces.project import check_seed
from workbench.widgets import compare_parts as parts
from workbench.widgets.compare_state import MAP_UP_TO, CompareState
from workbench.widgets.matrices import still
from workbench.widgets.points import Points

STILL = 200


class ComparePanel(CompareState):
    """Two models compared on rows that neither was trained on. Nothing is scored before the click.

    Args:
        before: name, folder or run; None takes the base model of the run given as `after`.
        after: name, folder or run.
        data: a table, of which the test part is taken where there is one; None takes the rows that the run held out.
        row: the text that is looked at.
        seed: seed of maps and samples.

    Attributes:
        before, after, data: as given; setting one has the same effect.
        row: row number, in `maps`, of the text that is looked at; None for none.
        change: all that was found by now, as `wb.compare` gives it; None before the comparison.
        maps: both maps; empty before the comparison.
        moved: neighbours that came and went; None before the comparison.

    Raises:
        DataError: the data, the seed or the row cannot be used.
        ModelError: a model is no name, folder or run.
    """

    def __init__(
        self, before: Any = None, after: Any = None, data: Any = None, *, row: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self._seed, self._ready = check_seed(seed), False
        self._parts = parts.CompareParts()
        self._points = Points(self._parts.picture, selected=self._lassoed, clicked=self._look_at)
        self.data, self.after, self.before = data, after, before
        self.row = row
        self._ready = True
        self._listen()
        self._show(*self._parts.rows)

    def _listen(self) -> None:
        own = self._parts
        own.draw.on_click(lambda _: self.draw())
        own.stop.on_click(lambda _: self.stop())
        for name, box in (("before", own.before), ("after", own.after)):
            box.observe(lambda change, name=name: self._typed(name, change["new"].strip()), "value")
        own.gained.observe(lambda change: self._flipped(change["new"], gained=True), "value")
        own.lost.observe(lambda change: self._flipped(change["new"], gained=False), "value")
        own.most.observe(lambda change: self._chosen(change["new"]), "value")
        own.order.observe(lambda _: self._ordered(), "value")
        own.matrices.observe(lambda change: self._paired(change["new"]), "pair")

    # what can be done

    def draw(self) -> None:
        """Score both models and draw what changed. Returns at once; `settle` waits."""
        self._later(self._draw, self._void())

    def stop(self) -> None:
        """End the comparison; what is shown stays."""
        self._void()
        self.say("Stopped; what is shown stays")

    # the comparison, on the panel's own thread

    def _draw(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._parts.stop.disabled = False
        try:
            steps = comparing(
                self.before,
                self.after,
                self.data,
                seed=self._seed,
                limit=MAP_UP_TO,
                call=engine().call,
                tell=lambda phase, done, total: self._tell(turn, phase, done, total),
                goes_on=lambda: turn == self._turn,
            )
            made = None
            for made in steps:
                if turn != self._turn:
                    return
                self._put(made)
            if made is not None and turn == self._turn:
                self.say("Compared", "good")
        finally:
            self._parts.stop.disabled = True

    def _tell(self, turn: int, phase: str, done: int, total: int | None) -> None:
        if turn == self._turn:
            self.say(phase + (f", {done:,} done" if total else "") + " …", "busy")

    def _put(self, made: Comparison) -> None:
        """Show what has been found by now."""
        self.change = made
        self._parts.short.value = parts.short_html(made)
        if made.maps is None:
            self._put_scores(made)
        elif made.neighbours is None:
            self._put_maps(made)
        else:
            self.moved = made.neighbours
            self._put_texts()
            if made.similarity is not None and made.displacement is None:
                self._put_matrix(made)
        self._changed()

    def _put_scores(self, made: Comparison) -> None:
        own = self._parts
        self.maps, self.moved = (), None
        own.scores.value = parts.scores_html(made) if made.delta else ""
        own.fill(own.gained, parts.unit_options(made.gained))
        own.fill(own.lost, parts.unit_options(made.lost))
        own.unit.value = ""
        own.look("")
        flipped = f"{len(made.gained):,} gained, {len(made.lost):,} lost" if made.gained or made.lost else None
        own.show(scores="" if made.delta else None, flipped=flipped, maps=None, neighbours=None, similarities=None)

    def _put_maps(self, made: Comparison) -> None:
        assert made.maps is not None
        self.row = None if self.row is not None and self.row >= len(made.texts) else self.row
        self.maps = made.maps
        self._points.draw(self._figure(), () if self.row is None else (self.row,))
        hint = "Draw around points to find them in both maps; click one for its neighbours."
        self._parts.caption.value = f"<div class='wb-soft'>{hint} {escape(self._drawn())}</div>"
        self._parts.show(maps=f"{len(made.texts):,} texts")

    def _put_matrix(self, made: Comparison) -> None:
        assert made.similarity is not None
        self._parts.matrices.pair = []
        self._parts.matrices.content = parts.matrix_of(made)
        count = len(made.similarity[0].texts)
        self._parts.show(similarities=f"{count} texts" if count else None)

    def _put_texts(self) -> None:
        """The list of texts in the chosen order, and the one that is looked at."""
        from workbench.plots.svg import svg

        own, made = self._parts, self.change
        if made is None or made.neighbours is None:
            return
        rows = parts.rows_by(made, own.order.value)
        own.fill(own.most, parts.most_options(made, rows))
        own.changed.value = parts.changed_html(made, rows)
        way = made.displacement
        own.noise.value = svg(noise_figure(way), width=760) if way is not None and way.level is not None else ""
        own.show(neighbours=f"{int((made.neighbours.change > 0).sum()):,} of {len(made.texts):,} changed")
        self._show_row()

    def _drawn(self) -> str:
        made = self.change
        assert made is not None and made.maps is not None
        first, second = made.maps
        return f"{colour_words(made.colour)}Before: {first.caption}. After, started from the first: {second.caption}."

    def _figure(self, limit: int = MAP_UP_TO, webgl: bool | None = None) -> Any:
        made = self.change
        assert made is not None and made.maps is not None
        return maps_figure(made, limit=limit, webgl=webgl).update_layout(height=parts.HEIGHT_PX)

    # what is compared

    @t.observe("before", "after", "data")
    def _given(self, change: Any) -> None:
        if change["name"] != "data":
            self._parts.say(change["name"], _said(change["new"]))
        if self._ready:
            self._void()
            self.say(f"{change['name']!r} changed: compare again" if self.change else "")
            self._changed()

    def _typed(self, name: str, text: str) -> None:
        with self._guarded():
            if text != _said(getattr(self, name)):
                setattr(self, name, text or None)

    # one text

    @t.observe("row")
    def _row_set(self, _: Any) -> None:
        if self._ready:
            with self._guarded():
                self._show_row()
                self._changed()

    def _show_row(self) -> None:
        row, made = self.row, self.change
        if row is None or made is None or made.neighbours is None or row >= len(made.texts):
            self._parts.look("")
            return
        self._parts.look(parts.detail_html(made, row))
        self._points.mark((row,))

    def _look_at(self, row: int) -> None:
        with self._guarded():
            self.row = row

    def _lassoed(self, rows: tuple[int, ...]) -> None:
        with self._guarded():
            self._points.mark(rows)
            self.say(f"{len(rows):,} texts are marked in both maps" if rows else "")

    def _flipped(self, place: int | None, *, gained: bool) -> None:
        made = self.change
        if place is None or made is None or self._parts.filling:
            return
        with self._guarded():
            unit = (made.gained if gained else made.lost)[place]
            self._parts.unit.value = parts.unit_html(made, unit)
            if unit[0][0] in made.texts:
                self.row = made.texts.index(unit[0][0])

    def _chosen(self, row: int | None) -> None:
        if row is not None and not self._parts.filling:
            self._look_at(row)

    def _ordered(self) -> None:
        with self._guarded():
            self._put_texts()

    def _paired(self, pair: list[int]) -> None:
        made = self.change
        if made is not None:
            with self._guarded():
                self._parts.pair.value = parts.pair_html(made, pair)

    # the same elsewhere

    def static(self) -> str:
        """Scores, both maps with at most 200 texts, the rows that flipped most, and the texts that changed most."""
        from workbench.plots.svg import svg

        made = self.change
        if made is None:
            return "<p>Nothing is compared yet.</p>"
        primary = made.after.primary
        shown = [
            parts.short_html(made),
            parts.scores_html(made) if made.delta else "",
            parts.flipped_table(made.gained, "gained", primary, 8) if made.gained else "",
            parts.flipped_table(made.lost, "lost", primary, 8) if made.lost else "",
        ]
        if made.maps is not None:
            shown += [svg(self._figure(STILL, webgl=False), width=960), f"<p>{escape(self._drawn())}</p>"]
        if made.neighbours is not None:
            shown.append(parts.changed_html(made, parts.rows_by(made, self._parts.order.value, 8)))
        if made.similarity is not None:
            shown.append(still(parts.matrix_of(made)))
        return "".join(shown)

    def close(self) -> None:
        """Close the panel and its figure."""
        self._void()
        self._points.close()
        super().close()


def _said(model: Any) -> str:
    """A model as it stands in a text box."""
    return "" if model is None else str(getattr(model, "folder", model))
