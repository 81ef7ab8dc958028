"""The map of a space."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.data.distinct import COLUMN, colour_choices, labels_of
from workbench.data.load import load
from workbench.errors import DataError, did_you_mean
from workbench.plots import theme as house
from workbench.spaces.clusters import clusters
from workbench.spaces.encode import Space, check_space, label_texts
from workbench.spaces.project import Projection, check_seed, project
from workbench.spaces.stages import sample

if TYPE_CHECKING:
    from workbench.data.examples import Examples

WEBGL_FROM = 5000
SVG_UP_TO = 5000
SYMBOLS_UP_TO = 2000
TEXTS_UP_TO = 20_000
POINTS_UP_TO = 100_000
COLOURS = 20
LABEL, CLUSTER, ONE_COLOUR, FAITHFUL = "label", "cluster", "one colour", "how faithful"
UNKNOWN = "not measured"
OTHERS, OTHERS_RANK = "#9A9A9A", 1001  # the last in the legend: entries rank 1000 as they come
# neither end is lost on a white or a black ground, and they differ for every eye
SCALE = [[0, house.REFERENCE], [0.5, "#9A9A9A"], [1, house.AFTER]]
HOVERS = (house.HOVER, house.HOVER // 2, 60, 36, 20, 10)  # characters, for a page of limited size


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points that are drawn alike.

    Attributes:
        name: what the legend calls them; empty where there is one cloud only.
        rows: int64, shape (m,): their row numbers in the space.
        colour: as #rrggbb.
        symbol: plotly's name of it.
        last: it stands last in the legend.
    """

    name: str
    rows: np.ndarray
    colour: str
    symbol: str
    last: bool = False


def map_figure(
    projection: Projection,
    *,
    title: str = "Map of the embedding space",
    theme: str = "light",
    labels: Sequence[str] | None = None,
    faithful: bool = False,
    caption: bool = True,
    limit: int = POINTS_UP_TO,
    webgl: bool | None = None,
    hover_bytes: int | None = None,
) -> go.Figure:
    """Points coloured by label; hover shows the escaped text, above 20,000 points the row number only.

    There are at most 20 colours: the 19 most frequent labels and one for all others. Each trace has the row numbers
    of its points in `customdata`.

    Args:
        projection: n texts with their places.
        title: any text; it is escaped.
        theme: light or dark.
        labels: n labels; None takes those of the space.
        faithful: colour by the share of a text's nearest texts that are near on the map, and not by label.
        caption: say under the map how it was made.
        limit: above so many points a seeded sample is drawn, and the caption says so.
        webgl: draw by the graphics card; None does so above 5,000 points.
        hover_bytes: texts are cut until all together are no longer than this in a page; None cuts each after 200
            characters, above 2,000 points after 100.
    """
    rows = drawn_rows(projection, limit)
    if len(rows) == 0:
        return house.empty(title, f"There is nothing to draw: {projection.caption}", theme=theme)
    shown = house.figure(title, height=560, theme=theme)
    gl = len(rows) > WEBGL_FROM if webgl is None else webgl
    names = kept_labels(projection) if faithful else projection.space.labels if labels is None else labels
    cut = None if hover_bytes is None else hover_cut(projection, rows, hover_bytes)
    for cloud in clouds(rows, names, projection.kept if faithful else None):
        shown.add_trace(points(projection, cloud, len(rows), gl=gl, hover=cut))
    axis = {"showticklabels": False, "zeroline": False, "ticks": ""}
    shown.update_xaxes(title=f"{projection.engine.upper()} 1 (no unit)", **axis)
    shown.update_yaxes(title=f"{projection.engine.upper()} 2 (no unit)", **axis)
    shown.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 11}}, margin={"b": 84})
    if faithful:
        shown.update_layout(legend_title={"text": "nearest texts kept", "font": {"size": 11}})
    if caption:
        add_caption(shown, map_caption(projection, len(rows), faithful=faithful))
        shown.update_layout(margin={"b": 70 + 14 * (1 + shown.layout.annotations[-1].text.count("<br>"))})
    return shown


def show_map(
    space: Space,
    *,
    seed: int = 0,
    colour: str | None = None,
    labels: Sequence[object] | None = None,
    data: Any = None,
    title: str = "Map of the embedding space",
    theme: str = "light",
) -> go.Figure:
    """Project a space and draw it.

    Args:
        space: n texts with their vectors.
        seed: of the layout, the clusters and of samples.
        colour: "label", "cluster", "one colour" or "how faithful" (the share of a text's nearest texts that are near
            on the map); None takes the labels where there are some.
        labels: n labels; None takes those of the space.
        data: the table that the texts are from, or anything that `load` takes. The colour is then a column of it, or
            "column", the names of the columns that a text stands in; None takes the label or the first that fits.
        title: any text; it is escaped.
        theme: light or dark.

    Raises:
        DataError: there is no such colour, not one label for each text, or the space or the seed is none.
    """
    check_space(space)
    coloured = replace(space, labels=_labels(space, colour, labels, data, check_seed(seed)))
    return map_figure(
        project(coloured, seed=seed), title=title, theme=theme, faithful=colour == FAITHFUL and data is None
    )


def _labels(
    space: Space, colour: str | None, labels: Sequence[object] | None, data: Any, seed: int
) -> tuple[str, ...] | None:
    """A label for each text, None for one colour and for a scale."""
    if data is not None:
        table: Examples = data if hasattr(data, "to_training") else load(data)
        return labels_of(table, space.texts, next(iter(colour_choices(table)), COLUMN) if colour is None else colour)
    named = label_texts(space.labels if labels is None else labels, len(space))
    if colour == CLUSTER:
        return clusters(space, seed=seed)
    if colour == LABEL and named is None:
        raise DataError(f"expected labels for colour={LABEL!r}, got none; give labels=")
    known = (LABEL, CLUSTER, ONE_COLOUR, FAITHFUL)
    if colour is not None and colour not in known:
        meant = did_you_mean(colour, known) if isinstance(colour, str) else ""
        raise DataError(
            f"expected colour= {', '.join(known)}, or a column of data=, got {colour!r:.60}{meant}; for a column give data="
        )
    return named if colour in (None, LABEL) else None


def drawn_rows(projection: Projection, limit: int = POINTS_UP_TO) -> np.ndarray:
    """Rows that have a place, above `limit` a seeded sample of them. int64, shape (m,), ascending."""
    return sample(np.flatnonzero(np.isfinite(projection.xy).all(axis=1)), limit, projection.seed)


def map_caption(projection: Projection, drawn: int, *, faithful: bool = False) -> str:
    """How the map was made, how many of its points are drawn where it is not all, and what a scale of colours says."""
    usable = len(projection.space) - projection.left_out
    part = f"; {drawn:,} of {usable:,} drawn, a sample with seed {projection.seed}" if drawn < usable else ""
    return projection.caption + part + (f". Colour: {_scale_means(projection)}" if faithful else "")


def sentences(projection: Projection) -> tuple[str, ...]:
    """What the map has kept of the space: each number with what it was measured on, or why there is none."""
    if projection.faithfulness is None:
        return (f"How much of the space the map has kept was not measured: {projection.why or 'nobody asked for it'}.",)
    return projection.faithfulness.sentences


def settings_of(projection: Projection) -> dict[str, Any]:
    """How the map was made, a name and a value each, without what was measured on it."""
    record = {**projection.record, **projection.record["parameters"]}
    return {name: it for name, it in record.items() if name not in ("faithfulness", "parameters") and it != ""}


def kept_labels(projection: Projection) -> tuple[str, ...]:
    """For each text the share of its nearest texts that are near on the map, in words."""
    return tuple(UNKNOWN if np.isnan(share) else f"{share:.0%}" for share in projection.kept)


def _scale_means(projection: Projection) -> str:
    if projection.faithfulness is None or not projection.faithfulness.shown:
        return f"none, since what the map has kept was not measured ({projection.why or 'too few texts'})"
    k = projection.faithfulness.shown
    return (
        f"the share of a text's {k} nearest texts in the space that are among its {k} nearest on the map, from orange (0%) "
        "over grey to blue (100%); triangles are below half"
    )


def clouds(rows: np.ndarray, labels: Sequence[str] | None, shares: np.ndarray | None = None) -> list[Cloud]:
    """At most 20 clouds: all but the 19 most frequent labels in one, under those, in the order of their names.

    Args:
        rows: int64, shape (m,): rows to draw, ascending.
        labels: a label for each row of the space, or None for one cloud.
        shares: float, one for each row of the space: the share in [0, 1] that its label stands for, NaN for none.
            Colours then follow a scale.
    """
    if labels is None:
        return [Cloud("", rows, house.PALETTE[0], house.SYMBOLS[0])]
    names, place, sizes = np.unique(
        np.array([labels[row] for row in rows], dtype=object), return_inverse=True, return_counts=True
    )
    kept = np.argsort(-sizes, kind="stable")[: COLOURS - 1 if len(names) > COLOURS else COLOURS]
    ordered = sorted(kept, key=lambda number: _natural(str(names[number])))
    groups = [(str(names[number]) or "(empty)", rows[place == number]) for number in ordered]
    if shares is not None:
        return [Cloud(name, its, *_shade(float(shares[its[0]]))) for name, its in groups]
    made = [Cloud(name, its, *_look(number)) for number, (name, its) in enumerate(groups)]
    if len(names) > COLOURS:  # in grey and below, where they do not drown the labels that are named
        others = f"others ({len(names) - len(kept)} labels)"
        made.insert(0, Cloud(others, rows[~np.isin(place, kept)], OTHERS, house.SYMBOLS[0], last=True))
    return made


def points(
    projection: Projection, cloud: Cloud, total: int, *, gl: bool, hover: int | None = None
) -> go.Scatter | go.Scattergl:
    """The trace of a cloud in a figure with `total` points; `hover` is the most characters of a text."""
    texts = projection.space.texts
    usual = house.HOVER if total <= SYMBOLS_UP_TO else house.HOVER // 2  # 20,000 texts stay under 3 MB
    length = min(usual, hover or usual)
    with_texts = total <= TEXTS_UP_TO
    marker = {
        "size": 8 if total <= 500 else 6 if total <= 5000 else 4 if total <= TEXTS_UP_TO else 3,
        "opacity": 0.8,
        "color": cloud.colour,
    }
    if total <= SYMBOLS_UP_TO:
        marker["symbol"] = cloud.symbol
    return (go.Scattergl if gl else go.Scatter)(
        x=projection.xy[cloud.rows, 0],
        y=projection.xy[cloud.rows, 1],
        customdata=cloud.rows.astype(np.int32),
        mode="markers",
        name=house.text(cloud.name, 30),
        text=[house.text(texts[row], length) for row in cloud.rows] if with_texts else None,
        # not the texts and names themselves, in which a %{x} would be filled in
        hovertemplate=("%{text}" if with_texts else "row %{customdata}") + "<extra>%{fullData.name}</extra>",
        marker=marker,
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.12}},
        showlegend=bool(cloud.name),
        legendrank=OTHERS_RANK if cloud.last else None,
    )


def add_caption(shown: go.Figure, text: str) -> None:
    """A sentence under the axes; any text, it is escaped."""
    shown.add_annotation(
        text=house.text(text, 420, width=86),  # has room in a page of 700 px
        x=0,
        y=-0.13,
        xref="paper",
        yref="paper",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        align="left",
        font={"size": 11},
    )


def _look(place: int) -> tuple[str, str]:
    """Colour and symbol number `place`: every pair of them is another one."""
    colours = (*house.PALETTE, *house.MORE)
    turn, number = divmod(place, len(house.PALETTE))
    return colours[place % len(colours)], house.SYMBOLS[(turn + number) % len(house.SYMBOLS)]


def _shade(share: float) -> tuple[str, str]:
    """Colour and symbol of a share in [0, 1]; grey for NaN."""
    if np.isnan(share):
        return house.BEFORE, "circle"
    parts = sample_colorscale(SCALE, min(1.0, max(0.0, share)), colortype="tuple")[0]
    colour = "#" + "".join(f"{round(255 * part):02X}" for part in parts)
    return colour, "triangle-down" if share < 0.5 else "circle"


def hover_cut(projection: Projection, rows: np.ndarray, most: int) -> int:
    """Characters after which each text has to be cut, so that all together take at most so many bytes in a page."""
    if len(rows) > TEXTS_UP_TO:
        return HOVERS[0]
    texts = [projection.space.texts[row] for row in rows]

    def size(cut: int) -> int:
        shown = json.dumps([house.text(text, cut) for text in texts])
        return len(shown) + 5 * (shown.count("<") + shown.count(">"))  # in a page these are \u003c and \u003e

    return next((cut for cut in HOVERS if size(cut) <= most), HOVERS[-1])


def _natural(name: str) -> list[str | int]:
    """Sorts "cluster 2" before "cluster 10"."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d{1,9})", name))]
