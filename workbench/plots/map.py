"""The map of a space."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.plots import theme as house
from workbench.spaces.encode import Space
from workbench.spaces.project import Projection, project
from workbench.spaces.stages import sample

WEBGL_FROM = 5000
SVG_UP_TO = 5000
SYMBOLS_UP_TO = 2000
TEXTS_UP_TO = 20_000
POINTS_UP_TO = 100_000
COLOURS = 20


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points that are drawn alike.

    Attributes:
        name: what the legend calls them; empty where there is one cloud only.
        rows: int64, shape (m,): their row numbers in the space.
        colour: as #rrggbb.
        symbol: plotly's name of it.
    """

    name: str
    rows: np.ndarray
    colour: str
    symbol: str


def map_figure(
    projection: Projection,
    *,
    title: str = "Map of the embedding space",
    theme: str = "light",
    labels: Sequence[str] | None = None,
    caption: bool = True,
    limit: int = POINTS_UP_TO,
    webgl: bool | None = None,
) -> go.Figure:
    """Points coloured by label; hover shows the escaped text, above 20,000 points the row number only.

    There are at most 20 colours: the 19 most frequent labels and one for all others. Each trace has the row numbers
    of its points in `customdata`.

    Args:
        projection: n texts with their places.
        title: any text; it is escaped.
        theme: light or dark.
        labels: n labels; None takes those of the space.
        caption: say under the map how it was made.
        limit: above so many points a seeded sample is drawn, and the caption says so.
        webgl: draw by the graphics card; None does so above 5,000 points.
    """
    rows = drawn_rows(projection, limit)
    if len(rows) == 0:
        return house.empty(title, f"There is nothing to draw: {projection.caption}", theme=theme)
    shown = house.figure(title, height=560, theme=theme)
    gl = len(rows) > WEBGL_FROM if webgl is None else webgl
    for cloud in clouds(rows, projection.space.labels if labels is None else labels):
        shown.add_trace(points(projection, cloud, len(rows), gl=gl))
    axis = {"showticklabels": False, "zeroline": False, "ticks": ""}
    shown.update_xaxes(title=f"{projection.engine.upper()} 1 (no unit)", **axis)
    shown.update_yaxes(title=f"{projection.engine.upper()} 2 (no unit)", **axis)
    shown.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 11}}, margin={"b": 84})
    if caption:
        add_caption(shown, map_caption(projection, len(rows)))
    return shown


def show_map(
    space: Space, *, seed: int = 0, title: str = "Map of the embedding space", theme: str = "light"
) -> go.Figure:
    """Project a space and draw it."""
    return map_figure(project(space, seed=seed), title=title, theme=theme)


def drawn_rows(projection: Projection, limit: int = POINTS_UP_TO) -> np.ndarray:
    """Rows that have a place, above `limit` a seeded sample of them. int64, shape (m,), ascending."""
    return sample(np.flatnonzero(np.isfinite(projection.xy).all(axis=1)), limit, projection.seed)


def map_caption(projection: Projection, drawn: int) -> str:
    """How the map was made, and how many of its points are drawn where it is not all."""
    usable = len(projection.space) - projection.left_out
    part = f"; {drawn:,} of {usable:,} drawn, a sample with seed {projection.seed}" if drawn < usable else ""
    return projection.caption + part


def clouds(rows: np.ndarray, labels: Sequence[str] | None) -> list[Cloud]:
    """At most 20 clouds: the 19 most frequent labels in the order of their names, then all others in one.

    Args:
        rows: int64, shape (m,): rows to draw, ascending.
        labels: a label for each row of the space, or None for one cloud.
    """
    if labels is None:
        return [Cloud("", rows, house.PALETTE[0], house.SYMBOLS[0])]
    names, place, sizes = np.unique(
        np.array([labels[row] for row in rows], dtype=object), return_inverse=True, return_counts=True
    )
    kept = np.argsort(-sizes, kind="stable")[: COLOURS - 1 if len(names) > COLOURS else COLOURS]
    ordered = sorted(kept, key=lambda number: _natural(str(names[number])))
    groups = [(str(names[number]) or "(empty)", rows[place == number]) for number in ordered]
    if len(names) > COLOURS:
        groups.append((f"others ({len(names) - len(kept)} labels)", rows[~np.isin(place, kept)]))
    return [Cloud(name, its, *_look(number)) for number, (name, its) in enumerate(groups)]


def points(projection: Projection, cloud: Cloud, total: int, *, gl: bool) -> go.Scatter | go.Scattergl:
    """The trace of a cloud in a figure with `total` points."""
    texts = projection.space.texts
    length = house.HOVER if total <= SYMBOLS_UP_TO else house.HOVER // 2  # 20,000 texts stay under 3 MB
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
    )


def add_caption(shown: go.Figure, text: str) -> None:
    """A sentence under the axes; any text, it is escaped."""
    shown.add_annotation(
        text=house.text(text, 300, width=130),
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
    """Colour and symbol number `place`: the palette, then its lighter and its darker shades."""
    turn, number = divmod(place, len(house.PALETTE))
    base = np.array([int(house.PALETTE[number][at : at + 2], 16) for at in (1, 3, 5)], dtype=float)
    mixed = base + (255 - base) * 0.5 if turn == 1 else base * 0.55 if turn == 2 else base
    colour = "#" + "".join(f"{round(part):02X}" for part in mixed)
    return colour, house.SYMBOLS[(turn + number) % len(house.SYMBOLS)]


def _natural(name: str) -> list[str | int]:
    """Sorts "cluster 2" before "cluster 10"."""
    return [int(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d{1,9})", name))]
