"""Two models compared: the way of the texts on the map beside the noise, and all of it as one page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import plotly.graph_objects as go

from workbench.data.distinct import colour_words
from workbench.plots import theme as house
from workbench.plots.map import sentences, settings_of
from workbench.plots.pair import PAIR_UP_TO, pair_figure
from workbench.plots.report import Fold, Section, Table, page
from workbench.plots.scores import scores_figure
from workbench.plots.similarity import change_figure
from workbench.spaces.comparison import Comparison
from workbench.spaces.displacement import CHANCE, Displacement
from workbench.spaces.evaluate import IN_BRACKETS, score_rows

HOVER_BYTES = 450_000  # plotly's script takes nearly 5 of the 6 MB of a page with 10,000 points
LISTED = 25
LONG, SHORT = 600, 120  # characters of a text that is opened, and of one beside others
QUANTILES = 101


def short_names(made: Comparison) -> tuple[str, str]:
    """Both models without their owners and folders, marked before and after."""
    before, after = (side.model.rpartition("/")[2] for side in (made.before, made.after))
    return f"before: {before}", f"after: {after}"


def noise_figure(way: Displacement, *, title: str = "How far the texts moved", theme: str = "light") -> go.Figure:
    """Share of the texts that moved at most so far: between the models, and with nothing but other seeds."""
    if way.level is None:
        return house.empty(title, f"Undefined: {way.share.why}.", theme=theme)
    shown = house.figure(f"{title} ({way.share.n:,} texts)", height=320, theme=theme)
    share = np.linspace(0, 1, QUANTILES)
    for values, name, colour, dash in (
        (way.noise, f"the same model, other seeds ({way.noise_from})", house.BEFORE, "dot"),
        (way.distance, "the other model", house.AFTER, "solid"),
    ):
        known = values[np.isfinite(values)]
        shown.add_trace(
            go.Scatter(
                x=np.quantile(known, share),
                y=100 * share,
                name=name,
                mode="lines",
                line={"color": colour, "dash": dash, "width": 2.5},
                hovertemplate="%{y:.0f}% moved at most %{x:.2f} units<extra>" + name + "</extra>",
            )
        )
    shown.add_vline(x=way.level, line={"color": house.REFERENCE, "dash": "dash", "width": 1.5})
    shown.update_xaxes(
        title=f"distance on the map, in its units; dashed: {1 - CHANCE:.0%} of the noise is below {way.level:.2f}",
        rangemode="tozero",
    )
    shown.update_yaxes(title="share of the texts, %", range=[0, 101])
    shown.update_layout(legend={"y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"})
    return shown


def maps_figure(
    made: Comparison,
    *,
    theme: str = "light",
    limit: int = PAIR_UP_TO,
    webgl: bool | None = None,
    hover_bytes: int | None = None,
) -> go.Figure:
    """Both maps of a comparison in one frame, with the colours that it has found; the rest is as for `pair_figure`."""
    if made.maps is None:
        return house.empty("The same texts before and after", "No maps were drawn.", theme=theme)
    return pair_figure(
        *made.maps,
        names=short_names(made),
        labels=made.labels,
        theme=theme,
        limit=limit,
        webgl=webgl,
        hover_bytes=hover_bytes,
    )


def compare_page(made: Comparison) -> str:
    """The whole page as text. What there is nothing of has no section."""
    summary = Section("In short", tables=[Table([], [[sentence] for sentence in made.sentences])])
    found = [summary, _scores(made), *_flipped(made), *_maps(made), *_neighbours(made), *_matrix(made), *_made(made)]
    sections = [section for section in found if section is not None]
    return page(f"{made.before.model} and {made.after.model}", made.about, sections)


def _scores(made: Comparison) -> Section | None:
    if not made.delta:
        return None
    names = short_names(made)
    kept = made.kept(0)
    rows = [[*said, f"{n:,}"] for *said, n in score_rows(kept)]
    note = f"Both models on {made.after.note}. {IN_BRACKETS}"
    title = f"Scores before and after, {made.after.rows:,} rows"
    return Section(
        "Scores", note, [Table(["score", *names, "difference", "n"], rows)], [scores_figure(kept, title=title)]
    )


def _flipped(made: Comparison) -> list[Section]:
    sections = []
    for title, units in (("Rows that gained", made.gained), ("Rows that lost", made.lost)):
        if units:
            listed = f"the {LISTED} that changed most are listed" if len(units) > LISTED else "all are listed"
            about = f"{len(units):,} rows on {made.after.primary}; {listed}. Open a line for its texts, its other scores and its neighbours."
            sections.append(Section(title, about, folds=[_unit(made, unit) for unit in units[:LISTED]]))
    return sections


def _unit(made: Comparison, unit: tuple[tuple[str, ...], float, float]) -> Fold:
    texts, before, after = unit
    words = [["text" if place == 0 else "belongs to it", _cut(text, LONG)] for place, text in enumerate(texts)]
    values = [[name, f"{a:.3f}", f"{b:.3f}", f"{b - a:+.3f}"] for name, (a, b) in made.unit_scores(texts).items()]
    tables = [Table([], words), Table(["score of this row", "before", "after", "difference"], values)]
    if texts[0] in made.texts:
        tables.append(_around(made, made.texts.index(texts[0])))
    return Fold(f"{after - before:+.3f}  {_cut(texts[0], SHORT)}", tables)


def _maps(made: Comparison) -> list[Section]:
    if made.maps is None:
        return []
    first, second = made.maps
    text = f"{colour_words(made.colour)}Both maps have one frame: the second starts from the first. Before: {first.caption}. After: {second.caption}."
    figure = maps_figure(made, hover_bytes=HOVER_BYTES).update_traces(customdata=None)  # for clicks, which nobody hears
    sections = [Section("Maps", text, figures=[figure])]
    if made.displacement is not None:
        rows = made.farthest(LISTED)
        about = f"{made.displacement.sentence} The noise is what other seeds do to the first model's map, from the same start."
        sections.append(
            Section("Texts that moved farthest", about, (), [noise_figure(made.displacement)], folds=_texts(made, rows))
        )
    return sections


def _neighbours(made: Comparison) -> list[Section]:
    found = made.neighbours
    if found is None:
        return []
    return [Section("Neighbours that came and went", found.sentence, folds=_texts(made, found.most(LISTED)))]


def _texts(made: Comparison, rows: Sequence[int]) -> list[Fold]:
    folds = []
    for row in made.to_frame(tuple(rows)).to_dict("records"):
        change = "undefined" if row["change"] is None else f"{row['change']:.2f}"
        moved = "" if row["moved"] is None else f", moved {row['moved']:.2f} units ({row['noise']})"
        line = f"1 − Jaccard {change}{moved}: {_cut(row['text'], SHORT)}"
        folds.append(Fold(line, [Table([], [["text", _cut(row["text"], LONG)]]), _around(made, row["row"])]))
    return folds


def _around(made: Comparison, row: int) -> Table:
    """The neighbours of a text then and now, in three columns."""
    found = made.neighbours
    if found is None:
        return Table([], [], "its neighbours were not compared")
    move = found.moved(row)
    lists = move.went, move.stayed, move.came
    if not any(lists):
        return Table([], [], "its neighbours are undefined")
    cells = ["\n".join(f"• {_cut(made.texts[place], SHORT)}" for place in places) or "none" for places in lists]
    head = ["went (near before only)", "stayed", "came (near after only)"]
    return Table(head, [cells], f"Its {found.k} nearest texts")


def _matrix(made: Comparison) -> list[Section]:
    if made.similarity is None or not made.similarity[0].texts:
        return []
    first, second = made.similarity
    count = len(first.texts)
    text = f"Cosines of {count} texts: of rows that gained and lost in turn, each with one that belongs to it, then of those whose neighbours changed most. Blue in the difference: closer than before; red: farther apart."
    rows = [[place, _cut(words, LONG)] for place, words in enumerate(first.texts, 1)]
    title = f"Cosine similarity of {count} texts before and after"
    figure = change_figure(first, second, title=title)
    return [Section("Similarities", text, [Table(["", "text"], rows)], [figure])]


def _made(made: Comparison) -> list[Section]:
    if made.maps is None:
        return []
    sides = [settings_of(projection) for projection in made.maps]
    rows = [[name.replace("_", " "), *(side.get(name, "–") for side in sides)] for name in dict.fromkeys(chain(*sides))]
    kept = [
        Fold(f"What the map {when} has kept of its space", [Table([], [[said] for said in sentences(projection)])])
        for when, projection in zip(("before", "after"), made.maps, strict=True)
    ]
    return [Section("How the maps were made", tables=[Table(["setting", "before", "after"], rows)], folds=kept)]


def _cut(text: str, length: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"
