"""The controls of a comparison, and its tables as escaped HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as W

from workbench.plots.scores import scores_figure
from workbench.spaces.compare import NeighbourChange
from workbench.spaces.evaluate import Change
from workbench.widgets.table import cut, table

HEIGHT_PX = 460
TITLES = ("Scores", "Maps", "Flipped", "Neighbours")
LISTED = 100
MOST = 20
NAMED = {"style": {"description_width": "initial"}}
Unit = tuple[tuple[str, ...], float, float]


class CompareParts:
    """All widgets of a comparison, without what they do."""

    def __init__(self) -> None:
        wide = W.Layout(width="340px", max_width="98%")
        shared: dict[str, Any] = {"continuous_update": False, "placeholder": "name or folder", "layout": wide, **NAMED}
        self.before = W.Text(description="Model before", **shared)
        self.after = W.Text(description="Model after", **shared)
        self.draw = W.Button(
            description="Compare", button_style="primary", tooltip="Score both models, draw both maps, see what moved"
        )
        self.stop = W.Button(description="Stop", disabled=True, tooltip="End the comparison; what is shown stays")
        self.scores = W.HTML("<div class='wb-soft'>Click Compare: scores of both models appear here.</div>")
        waiting = W.HTML("<div class='wb-soft'>Both maps appear here.</div>")
        self.picture = W.VBox([waiting], layout=W.Layout(height=f"{HEIGHT_PX + 10}px", width="100%", overflow="hidden"))
        self.caption = W.HTML()
        self.gained, self.lost = (_select(f"{name} (difference, text)") for name in ("Gained", "Lost"))
        self.unit, self.changed, self.detail = W.HTML(), W.HTML(), W.HTML()
        self.most = _select("Changed most (1 − Jaccard, text)")
        self.most.layout = W.Layout(width="98%")
        flipped = W.HBox([self.gained, self.lost], layout=W.Layout(flex_flow="row wrap"))
        sections = [
            _scrolling(self.scores, 660),
            W.VBox([self.picture, self.caption]),
            W.VBox([flipped, _scrolling(self.unit, 180)]),
            W.VBox([self.most, _scrolling(self.changed, 320)]),
        ]
        self.tabs = W.Tab(sections, titles=TITLES)
        buttons = W.HBox([self.before, self.after, self.draw, self.stop], layout=W.Layout(flex_flow="row wrap"))
        self.rows = (buttons, self.tabs, _scrolling(self.detail, 220))

        self.filling = False

    def title(self, section: int, count: str) -> None:
        """Name a section with what there is in it."""
        self.tabs.set_title(section, f"{TITLES[section]} ({count})")

    def say(self, which: str, model: str) -> None:
        """Show a model in its box."""
        box = self.before if which == "before" else self.after
        if box.value != model:
            box.value = model

    def fill(self, chooser: W.Select, options: list[tuple[str, int]]) -> None:
        """Offer other options, none of them chosen; `filling` is true meanwhile."""
        self.filling = True
        try:
            chooser.options = options
            chooser.index = None
        finally:
            self.filling = False


def _select(description: str) -> W.Select:
    return W.Select(
        description=description,
        options=[],
        rows=8,
        style={"description_width": "initial"},
        layout=W.Layout(flex="1 1 380px", width="auto", min_width="0"),
    )


def _scrolling(part: W.Widget, height_px: int = HEIGHT_PX) -> W.Box:
    return W.Box([part], layout=W.Layout(height=f"{height_px}px", overflow="auto", display="block"))


def scores_html(change: Change, names: tuple[str, str], note: str) -> str:
    """Both models' scores with intervals and differences, and the picture of them."""
    from workbench.plots.svg import svg

    scores = {"before": change.before.to_json(), "after": change.after.to_json(), "change": change.to_json(0)}
    rows = [
        [name, str(change.before.scores[name]), str(score), str(change.delta[name]), score.n]
        for name, score in change.after.scores.items()
    ]
    caption = f"On the same {note} ({change.after.note}). In brackets 95% bootstrap intervals; a difference whose interval holds zero is within the noise."
    drawn = svg(scores_figure(scores), width=760)
    return table(["score", *(cut(name, 60) for name in names), "difference", "n"], rows, caption=caption) + drawn


def unit_options(units: Sequence[Unit]) -> list[tuple[str, int]]:
    """What a list of flipped rows offers: (line, place), the largest change first."""
    return [
        (f"{after - before:+.3f}  {cut(' '.join(texts[0].split()), 120)}", place)
        for place, (texts, before, after) in enumerate(units[:LISTED])
    ]


def unit_html(unit: Unit, score: str) -> str:
    """The full texts of a flipped row and its score under both models."""
    texts, before, after = unit
    rows = [["text" if place == 0 else "belongs to it", text] for place, text in enumerate(texts)]
    return table(["", ""], rows, caption=f"{score} of this row: {before:.3f} before, {after:.3f} after")


def flipped_table(units: Sequence[Unit], what: str, score: str, listed: int) -> str:
    """The first rows that gained or lost."""
    rows = [[cut(texts[0]), cut(" | ".join(texts[1:])), before, after] for texts, before, after in units[:listed]]
    head = ["text", "belongs to it", f"{score} before", "after"]
    return table(head, rows, caption=f"{len(units):,} {what}, {len(rows)} of them listed")


def most_options(moved: NeighbourChange) -> list[tuple[str, int]]:
    """What the list of most changed texts offers: (line, row)."""
    texts = moved.after.texts
    return [(f"{moved.change[row]:.3f}  {cut(' '.join(texts[row].split()), 120)}", row) for row in moved.most(MOST)]


def changed_html(moved: NeighbourChange, listed: int = MOST) -> str:
    """The texts whose neighbours changed most, with those that came and went."""
    why = f"<p>{escape(moved.why)}</p>" if moved.why else ""
    frame = moved.to_frame(listed)
    if frame.empty:
        return why or "<p>No text has other neighbours than before.</p>"
    rows = [
        [row["row"], cut(row["text"], 160), row["change"], _few(row["came"]), _few(row["went"])]
        for row in frame.to_dict("records")
    ]
    caption = f"Of {len(moved):,} texts the {len(rows)} whose {moved.k} nearest neighbours changed most; 1 − Jaccard is 0 for the same neighbours and 1 for none in common"
    return why + table(["row", "text", "1 − Jaccard", "came", "went"], rows, caption=caption)


def detail_html(moved: NeighbourChange, row: int) -> str:
    """One text in full with the neighbours that went, stayed and came."""
    texts, move = moved.after.texts, moved.moved(row)
    parts = [[cut(texts[place], 200) for place in places] or ["none"] for places in (move.went, move.stayed, move.came)]
    change = float(moved.change[row])
    how = f"1 − Jaccard {change:.3f}" if change == change else f"undefined: {moved.why}"
    head = ["went (near before only)", "stayed", "came (near after only)"]
    return table(head, [parts], caption=f"Row {row}, its {moved.k} nearest neighbours ({how}): {cut(texts[row], 2000)}")


def _few(texts: Sequence[str], shown: int = 4) -> list[str]:
    more = [f"and {len(texts) - shown} more"] if len(texts) > shown else []
    return [f"• {cut(' '.join(text.split()), 70)}" for text in texts[:shown]] + more
