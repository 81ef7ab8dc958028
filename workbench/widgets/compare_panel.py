"""Two models on the same rows: scores, maps, rows that flipped, neighbours that came and went."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import traitlets as t

from workbench.data.distinct import COLUMN, colour_choices, distinct_texts, labels_of
from workbench.data.examples import Examples
from workbench.plots.pair import pair_figure
from workbench.spaces.compare import neighbour_change, rows_to_score
from workbench.spaces.encode import Space
from workbench.spaces.engine import engine
from workbench.spaces.evaluate import compare, evaluate
from workbench.spaces.project import check_seed
from workbench.spaces.stages import embed_in_pieces, laid_out, sampled
from workbench.widgets import compare_parts as parts
from workbench.widgets.compare_state import CompareState, run_of
from workbench.widgets.points import Points

MAP_UP_TO = 5000
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
        change: scores and rows that flipped; None before the comparison.
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
        self._scored: Examples | None = None
        self._labels: tuple[str, ...] | None = None
        self._pair = ("", "")
        self._about = self._drawn = ""
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
            for done in (self._score, self._draw_maps, self._find_moved):
                done(turn)
                if turn != self._turn:
                    return
            assert self.change is not None
            primary = self.change.after.primary
            self.say(f"Compared: {primary} changed by {self.change.delta[primary]}", "good")
        finally:
            self._parts.stop.disabled = True

    def _score(self, turn: int) -> None:
        self._pair = models = self._models()
        run = run_of(self.after) or run_of(self.before)
        examples, note = rows_to_score(self.data, run.recipe if run else None)
        scored = []
        for model in models:
            self.say(f"Scoring {_name(model)} on {len(examples):,} rows of {examples.name} …", "busy")
            scored.append(engine().call(evaluate, model, examples))
            if turn != self._turn:
                return
        change = engine().call(compare, *scored)
        if turn != self._turn:
            return
        part = f" ({examples.split})" if examples.split else ""
        about = ", ".join(filter(None, [f"{change.after.rows:,} rows of {examples.name}{part}", note]))
        self._scored, self.maps, self.moved = examples, (), None
        self.change = change
        self._parts.scores.value = parts.scores_html(change, self._names(), about)
        self._about = about
        self._parts.title(2, f"{len(change.gained):,} gained, {len(change.lost):,} lost")
        self._parts.fill(self._parts.gained, parts.unit_options(change.gained))
        self._parts.fill(self._parts.lost, parts.unit_options(change.lost))
        self._parts.unit.value = ""
        self._changed()

    def _draw_maps(self, turn: int) -> None:
        assert self._scored is not None
        everything = distinct_texts(self._scored)
        texts = sampled(everything, MAP_UP_TO, self._seed)
        spaces: list[Space] = []
        for model in self._pair:

            def goes_on(done: int, total: int, model: str = model) -> bool:
                if turn == self._turn:
                    self.say(f"Encoding {total:,} texts with {_name(model)}, {done:,} done …", "busy")
                return turn == self._turn

            space = embed_in_pieces(engine().call, texts, model, goes_on=goes_on)
            if space is None:
                return
            spaces.append(space)
        self.say(f"Laying out {len(texts):,} texts of both models with UMAP …", "busy")
        first = laid_out(engine().call, spaces[0], seed=self._seed)
        second = laid_out(engine().call, spaces[1], seed=self._seed, start=first.xy)
        if turn != self._turn:
            return
        choice = next(iter(colour_choices(self._scored)), COLUMN)
        self._labels = labels_of(self._scored, texts, choice)
        self.row = None if self.row is not None and self.row >= len(texts) else self.row
        self.maps = (first, second)
        self._points.draw(self._figure(), () if self.row is None else (self.row,))
        part = "" if len(texts) == len(everything) else f"A sample of {len(everything):,} texts, seed {self._seed}. "
        self._drawn = (
            f"{part}Colour: {choice}. Before: {first.caption}. After, started from the first: {second.caption}."
        )
        hint = "Draw around points to find them in both maps; click one for its neighbours."
        self._parts.caption.value = f"<div class='wb-soft'>{hint} {escape(self._drawn)}</div>"
        self._parts.title(1, f"{len(texts):,} texts")
        self._changed()

    def _find_moved(self, turn: int) -> None:
        self.say("Comparing neighbours …", "busy")
        first, second = (made.space for made in self.maps)
        moved = engine().call(neighbour_change, first, second)
        if turn != self._turn:
            return
        self.moved = moved
        self._parts.changed.value = parts.changed_html(moved)
        self._parts.fill(self._parts.most, parts.most_options(moved))
        self._parts.title(3, f"{int((moved.change > 0).sum()):,} of {len(moved):,}")
        self._show_row()
        self._changed()

    def _figure(self, limit: int = MAP_UP_TO, webgl: bool | None = None) -> Any:
        first, second = self.maps
        figure = pair_figure(
            first,
            second,
            names=self._names(),
            labels=self._labels,
            limit=limit,
            webgl=webgl,
        )
        return figure.update_layout(height=parts.HEIGHT_PX)

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
        row, moved = self.row, self.moved
        if row is None or moved is None or row >= len(moved):
            self._parts.detail.value = (
                "<div class='wb-soft'>Choose a text in a list or on a map to see its neighbours.</div>"
            )
            return
        self._parts.detail.value = parts.detail_html(moved, row)
        self._points.mark((row,))

    def _look_at(self, row: int) -> None:
        with self._guarded():
            self.row = row

    def _lassoed(self, rows: tuple[int, ...]) -> None:
        with self._guarded():
            self._points.mark(rows)
            self.say(f"{len(rows):,} texts are marked in both maps" if rows else "")

    def _flipped(self, place: int | None, *, gained: bool) -> None:
        change = self.change
        if place is None or change is None or self._parts.filling:
            return
        with self._guarded():
            unit = (change.gained if gained else change.lost)[place]
            self._parts.unit.value = parts.unit_html(unit, change.after.primary)
            texts = self.maps[0].space.texts if self.maps else ()
            if unit[0][0] in texts:
                self.row = texts.index(unit[0][0])

    def _chosen(self, row: int | None) -> None:
        if row is not None and not self._parts.filling:
            self._look_at(row)

    # the same elsewhere

    def static(self) -> str:
        """Scores, both maps with at most 200 texts, the rows that flipped most, and the neighbours that changed most."""
        from workbench.plots.svg import svg

        if self.change is None:
            return "<p>Nothing is compared yet.</p>"
        primary = self.change.after.primary
        shown = [
            parts.scores_html(self.change, self._names(), self._about),
            svg(self._figure(STILL, webgl=False), width=960) if self.maps else "",
            f"<p>{escape(self._drawn)}</p>" if self.maps else "",
            parts.flipped_table(self.change.gained, "gained", primary, 8),
            parts.flipped_table(self.change.lost, "lost", primary, 8),
            parts.changed_html(self.moved, 8) if self.moved is not None else "",
        ]
        return "".join(shown)

    def close(self) -> None:
        """Close the panel and its figure."""
        self._void()
        self._points.close()
        super().close()


def _said(model: Any) -> str:
    """A model as it stands in a text box."""
    return "" if model is None else str(getattr(model, "folder", model))


def _name(model: str) -> str:
    """A model in a sentence."""
    path = Path(model)
    return path.parent.name if path.name == "model" else model
