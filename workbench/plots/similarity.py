"""Similarity matrices before, after and their difference, side by side."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.plots import theme as house
from workbench.spaces.similarity import Similarity


def change_figure(
    before: Similarity, after: Similarity, *, title: str = "Cosine similarity before and after", theme: str = "light"
) -> go.Figure:
    """Base, tuned and difference in one row, by the numbers of the texts. Both records hold the same texts."""
    if not before.texts:
        return house.empty(title, "There are no texts to compare.", theme=theme)
    shown = make_subplots(rows=1, cols=3, subplot_titles=["before", "after", "after − before"], horizontal_spacing=0.04)
    shown.update_layout(house.figure(title, height=186 + 38 * len(before.texts), theme=theme).layout)
    widest = max(0.1, float(np.nanmax(np.abs(after.matrix - before.matrix), initial=0)))
    shown.add_trace(_heat(before.matrix, before.texts, lowest=0.0, highest=1.0, scale="Blues"), row=1, col=1)
    shown.add_trace(_heat(after.matrix, after.texts, lowest=0.0, highest=1.0, scale="Blues"), row=1, col=2)
    shown.add_trace(
        _heat(after.matrix - before.matrix, after.texts, lowest=-widest, highest=widest, scale=house.DIVERGING),
        row=1,
        col=3,
    )
    _axes(shown, len(before.texts))
    for column in (2, 3):
        shown.update_yaxes(showticklabels=False, row=1, col=column)
    models = (f"before: {before.model}", f"after: {after.model}")
    shown.add_annotation(
        text="<br>".join(house.text(line, 70) for line in models),
        align="left",
        x=0,
        y=0,
        yshift=-34,
        xref="paper",
        yref="paper",
        showarrow=False,
        xanchor="left",
        yanchor="top",
    )
    shown.update_layout(margin={"t": 84, "l": 32, "b": 92})
    return shown


def _heat(matrix: np.ndarray, texts: tuple[str, ...], *, lowest: float, highest: float, scale: str) -> go.Heatmap:
    hover = [[f"{house.text(a, 80)}<br>and<br>{house.text(b, 80)}" for b in texts] for a in texts]
    return go.Heatmap(
        z=matrix.astype(float),
        zmin=lowest,
        zmax=highest,
        colorscale=scale,
        showscale=False,
        text=np.where(np.isfinite(matrix), np.char.mod("%.2f", np.nan_to_num(matrix).round(2) + 0.0), "undefined"),
        texttemplate="%{text}" if len(texts) <= 16 else None,
        customdata=hover,
        hovertemplate="%{customdata}<br>%{text}<extra></extra>",
    )


def _axes(shown: go.Figure, count: int) -> None:
    places = list(range(count))
    shown.update_xaxes(tickvals=places, ticktext=[str(n + 1) for n in places], side="bottom")
    shown.update_yaxes(
        tickvals=places, ticktext=[str(n + 1) for n in places], autorange="reversed", ticklabelstandoff=6
    )
