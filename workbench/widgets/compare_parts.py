"""The controls of a comparison, and its tables as escaped HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as W

from workbench.plots.compare import short_names
from workbench.plots.scores import scores_figure
from workbench.spaces.comparison import Comparison
from workbench.spaces.evaluate import IN_BRACKETS, score_rows
from workbench.widgets.matrices import Matrices, content_of
from workbench.widgets.table import cut, table

HEIGHT_PX = 460
SECTIONS = ("Scores", "Flipped", "Maps", "Neighbours", "Similarities")
ORDERS = ("changed their neighbours most", "moved farthest on the map")
LISTED = 100
MOST = 20
NAMED = {"style": {"description_width": "initial"}}
WRAPPED = {"flex_flow": "row wrap"}
Unit = tuple[tuple[str, ...], float, float]


class CompareParts:
    """All widgets of a comparison, without what they do. A section is there once there is something in it."""

    def __init__(self) -> None:
        wide = W.Layout(flex="1 1 340px", width="auto", max_width="98%")
        shared: dict[str, Any] = {"continuous_update": False, "placeholder": "name or folder", "layout": wide, **NAMED}
        self.before = W.Text(description="Model before", **shared)
        self.after = W.Text(description="Model after", **shared)
        self.draw = W.Button(
            description="Compare", button_style="primary", tooltip="Score both models, draw both maps, see what moved"
        )
        self.stop = W.Button(description="Stop", disabled=True, tooltip="End the comparison; what is shown stays")
        self.short = W.HTML("<div class='wb-soft'>Click Compare: what differs between the models appears here.</div>")
        self.scores, self.caption, self.noise = W.HTML(), W.HTML(), W.HTML()
        self.picture = W.VBox([], layout=W.Layout(height=f"{HEIGHT_PX + 10}px", width="100%", overflow="hidden"))
        self.gained, self.lost = (_select(f"{name} (difference, text)") for name in ("Gained", "Lost"))
        self.unit, self.changed, self.detail, self.pair = W.HTML(), W.HTML(), W.HTML(), W.HTML()
        self.order = W.Dropdown(options=ORDERS, description="Texts that", **NAMED)
        self.most = _select("1 − Jaccard, units moved, text")
        self.most.layout = W.Layout(width="98%")
        self.matrices = Matrices(content=content_of((), (), ()))
        flipped = W.HBox([self.gained, self.lost], layout=W.Layout(**WRAPPED))
        parts = (
            [self.scores],
            [flipped, _scrolling(self.unit)],
            [self.picture, self.caption],
            [self.order, self.most, self.noise, _scrolling(self.changed)],
            [self.matrices, self.pair],
        )
        self._sections = {name: W.VBox(its) for name, its in zip(SECTIONS, parts, strict=True)}
        self._counts: dict[str, str] = {}
        self.tabs = W.Tab([], layout=W.Layout(display="none"))
        self.below = _scrolling(self.detail)
        self.below.layout.display = "none"
        buttons = W.HBox([self.before, self.after, self.draw, self.stop], layout=W.Layout(**WRAPPED))
        self.rows = (buttons, self.short, self.tabs, self.below)
        self.filling = False

    def show(self, **counts: str | None) -> None:
        """Show sections, each with what there is in it as its title; those with None go, those not named stay."""
        at = self.tabs.selected_index
        looked_at = [*self._counts][at] if self._counts and at is not None else None
        held = self._counts | {name.capitalize(): count for name, count in counts.items() if count is not None}
        gone = {name.capitalize() for name, count in counts.items() if count is None}
        self._counts = {name: held[name] for name in SECTIONS if name in held and name not in gone}
        shown = tuple(self._sections[name] for name in self._counts)
        if self.tabs.children != shown:
            self.tabs.children = shown
        self.tabs.titles = tuple(f"{name} ({count})" if count else name for name, count in self._counts.items())
        self.tabs.layout.display = "flex" if shown else "none"
        if shown:
            self.tabs.selected_index = [*self._counts].index(looked_at) if looked_at in self._counts else 0

    def look(self, detail: str) -> None:
        """Show one text under the sections, or nothing."""
        self.detail.value = detail
        self.below.layout.display = "block" if detail else "none"

    def say(self, which: str, model: str) -> None:
        """Show a model in its box."""
        box = self.before if which == "before" else self.after
        if box.value != model:
            box.value = model

    def fill(self, chooser: W.Select, options: list[tuple[str, int]]) -> None:
        """Offer other options, none of them chosen; `filling` is true meanwhile. A list without any is not there."""
        self.filling = True
        try:
            chooser.options = options
            chooser.index = None
            chooser.layout.display = "flex" if options else "none"
        finally:
            self.filling = False


def _select(description: str) -> W.Select:
    layout = W.Layout(flex="1 1 380px", width="auto", min_width="0")
    return W.Select(description=description, options=[], rows=8, layout=layout, **NAMED)


def _scrolling(part: W.Widget) -> W.Box:
    return W.Box([part], layout=W.Layout(max_height="340px", overflow="auto", display="block"))


def short_html(made: Comparison) -> str:
    """What changed in a few sentences, and what it was measured on."""
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in made.sentences)
    return f"<ul style='margin: 4px 0; padding-left: 20px'>{said}</ul><div class='wb-soft'>{escape(made.about)}</div>"


def scores_html(made: Comparison) -> str:
    """Both models' scores with intervals and differences, and the picture of them."""
    from workbench.plots.svg import svg

    kept = made.kept(0)
    names = (cut(name, 60) for name in short_names(made))
    caption = f"Both models on {made.after.note}. {IN_BRACKETS}"
    drawn = svg(scores_figure(kept, title=f"Scores before and after, {made.after.rows:,} rows"), width=760)
    return table(["score", *names, "difference", "n"], score_rows(kept), caption=caption) + drawn


def unit_options(units: Sequence[Unit]) -> list[tuple[str, int]]:
    """What a list of flipped rows offers: (line, place), the largest change first."""
    return [
        (f"{after - before:+.3f}  {cut(' '.join(texts[0].split()), 120)}", place)
        for place, (texts, before, after) in enumerate(units[:LISTED])
    ]


def unit_html(made: Comparison, unit: Unit) -> str:
    """The full texts of a flipped row and all its scores under both models."""
    texts, before, after = unit
    words = [["text" if place == 0 else "belongs to it", text] for place, text in enumerate(texts)]
    rows = [[name, a, b, f"{b - a:+.3f}"] for name, (a, b) in made.unit_scores(texts).items()]
    caption = f"{made.after.primary} of this row: {before:.3f} before, {after:.3f} after"
    return table(["", ""], words, caption=caption) + table(["score of this row", "before", "after", "difference"], rows)


def flipped_table(units: Sequence[Unit], what: str, score: str, listed: int) -> str:
    """The first rows that gained or lost."""
    rows = [[cut(texts[0]), cut(" | ".join(texts[1:])), before, after] for texts, before, after in units[:listed]]
    head = ["text", "belongs to it", f"{score} before", "after"]
    return table(head, rows, caption=f"{len(units):,} {what}, {len(rows)} of them listed")


def rows_by(made: Comparison, order: str, count: int = MOST) -> tuple[int, ...]:
    """The rows that changed most in the one or the other way."""
    if order == ORDERS[1]:
        return made.farthest(count)
    return () if made.neighbours is None else made.neighbours.most(count)


def most_options(made: Comparison, rows: Sequence[int]) -> list[tuple[str, int]]:
    """What the list of most changed texts offers: (line, row)."""
    return [
        (f"{_number(row['change'])}, {_number(row['moved'])}  {cut(' '.join(row['text'].split()), 120)}", row["row"])
        for row in made.to_frame(tuple(rows)).to_dict("records")
    ]


def changed_html(made: Comparison, rows: Sequence[int]) -> str:
    """Texts with the change of their neighbours and of their place, and the neighbours that came and went."""
    assert made.neighbours is not None
    if not rows:
        return f"<p>{escape(made.neighbours.why) or 'No text has other neighbours than before.'}</p>"
    cells = [
        [
            row["row"],
            cut(row["text"], 160),
            _number(row["change"]),
            _number(row["moved"]),
            row["noise"],
            _few(row["came"]),
            _few(row["went"]),
        ]
        for row in made.to_frame(tuple(rows)).to_dict("records")
    ]
    way = made.displacement
    level = "" if way is None or way.level is None else f"; {way.level:.2f} units is the noise on the map"
    caption = f"{len(rows)} of {len(made.texts):,} texts; 1 − Jaccard of their {made.neighbours.k} nearest texts is 0 for the same and 1 for none in common{level}"
    return table(
        ["row", "text", "1 − Jaccard", "moved (units)", "beside the noise", "came", "went"], cells, caption=caption
    )


def detail_html(made: Comparison, row: int) -> str:
    """One text in full with the neighbours that went, stayed and came."""
    moved, texts = made.neighbours, made.texts
    assert moved is not None
    move = moved.moved(row)
    lists = move.went, move.stayed, move.came
    parts = [[f"• {cut(texts[place], 200)}" for place in places] or ["none"] for places in lists]
    change = float(moved.change[row])
    how = f"1 − Jaccard {change:.3f}" if change == change else f"undefined: {moved.why}"
    if made.displacement is not None and made.displacement.said(row) != "undefined":
        how += f"; moved {made.displacement.distance[row]:.2f} units on the map, {made.displacement.said(row)}"
    head = ["went (near before only)", "stayed", "came (near after only)"]
    return table(head, [parts], caption=f"Row {row}, its {moved.k} nearest neighbours ({how}): {cut(texts[row], 2000)}")


def matrix_of(made: Comparison) -> dict[str, Any]:
    """The matrices before, after and of the difference, as the page draws them."""
    assert made.similarity is not None
    return content_of(made.similarity[0].texts, [side.model for side in made.similarity], made.similarity)


def pair_html(made: Comparison, pair: Sequence[int]) -> str:
    """Both texts of a cell in full and their cosine under both models."""
    if made.similarity is None or len(pair) != 2:
        return ""
    texts, values = made.similarity[0].texts, [float(side.matrix[tuple(pair)]) for side in made.similarity]
    said = ", ".join(
        f"{value:.3f} {when}" if value == value else f"undefined {when}"
        for value, when in zip(values, ("before", "after"), strict=True)
    )
    return table(["", ""], [[place + 1, texts[place]] for place in pair], caption=f"Cosine {said}")


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"


def _few(texts: Sequence[str], shown: int = 4) -> list[str]:
    more = [f"and {len(texts) - shown} more"] if len(texts) > shown else []
    return [f"• {cut(' '.join(text.split()), 70)}" for text in texts[:shown]] + more
