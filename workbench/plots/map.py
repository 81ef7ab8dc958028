"""The map of a space."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.plots import theme as house
from workbench.spaces.encode import Space
from workbench.spaces.project import Projection, project

WEBGL_FROM = 5000


def map_figure(projection: Projection, *, title: str = "Map of the embedding space", theme: str = "light") -> go.Figure:
    """Points coloured by label where the space has labels; hover shows the escaped text."""
    placed = np.flatnonzero(np.isfinite(projection.xy).all(axis=1))
    if len(placed) == 0:
        return house.empty(title, f"There is nothing to draw: {projection.caption}", theme=theme)
    shown = house.figure(title, height=560, theme=theme)
    labels = projection.space.labels
    names = sorted({labels[row] for row in placed}) if labels else [""]
    draw = go.Scattergl if len(placed) > WEBGL_FROM else go.Scatter
    for place, name in enumerate(names):
        rows = [row for row in placed if not labels or labels[row] == name]
        shown.add_trace(
            draw(
                x=projection.xy[rows, 0],
                y=projection.xy[rows, 1],
                mode="markers",
                name=house.text(name, 30),
                text=[house.text(projection.space.texts[row]) for row in rows],
                # not the name itself, in which a %{x} would be filled in
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
                marker={
                    "size": 6 if len(placed) > 500 else 8,
                    "opacity": 0.8,
                    "color": house.PALETTE[place % len(house.PALETTE)],
                    "symbol": house.SYMBOLS[(place // len(house.PALETTE) + place) % len(house.SYMBOLS)],
                },
                showlegend=bool(labels),
            )
        )
    axis = {"showticklabels": False, "zeroline": False, "ticks": ""}
    shown.update_xaxes(title=f"{projection.engine.upper()} 1 (no unit)", **axis)
    shown.update_yaxes(title=f"{projection.engine.upper()} 2 (no unit)", **axis)
    shown.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 11}}, margin={"b": 84})
    shown.add_annotation(
        text=house.text(projection.caption, 300, width=130),
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
    return shown


def show_map(
    space: Space, *, seed: int = 0, title: str = "Map of the embedding space", theme: str = "light"
) -> go.Figure:
    """Project a space and draw it."""
    return map_figure(project(space, seed=seed), title=title, theme=theme)
