"""Two maps of the same texts side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.plots import theme as house
from workbench.plots.map import WEBGL_FROM, clouds, drawn_rows, hover_cut, points
from workbench.spaces.project import Projection
from workbench.spaces.stages import sample

PAIR_UP_TO = 20_000


def pair_figure(
    before: Projection,
    after: Projection,
    *,
    names: tuple[str, str] = ("before", "after"),
    title: str = "The same texts before and after",
    theme: str = "light",
    labels: Sequence[str] | None = None,
    limit: int = PAIR_UP_TO,
    webgl: bool | None = None,
    hover_bytes: int | None = None,
) -> go.Figure:
    """Two maps of the same n texts with the same axis ranges and colours, and one legend for both.

    Texts that have a place in one map only are not drawn. The first half of the traces is the first map; each trace
    has the row numbers of its points in `customdata`.

    Args:
        before: the map on the left.
        after: the map on the right; best started from the first, so that what moves has moved for a reason.
        names: any texts, over the maps; they are escaped.
        title: any text; it is escaped.
        theme: light or dark.
        labels: n labels; None takes those of the space.
        limit: above so many texts a seeded sample is drawn, and the title says so.
        webgl: draw by the graphics card; None does so above 5,000 points of both maps together.
        hover_bytes: as for `map_figure`, for the texts of both maps together.

    Raises:
        DataError: the maps hold different texts.
    """
    if before.space.texts != after.space.texts:
        raise DataError("expected two maps of the same texts, got different texts; embed one list with both models")
    placed = np.intersect1d(drawn_rows(before, len(before.space)), drawn_rows(after, len(after.space)))
    rows = sample(placed, limit, after.seed)
    if len(rows) == 0:
        return house.empty(title, "There is nothing to draw: no text has a place in both maps.", theme=theme)
    part = f" of {len(placed):,} texts, a sample with seed {after.seed}" if len(rows) < len(placed) else " texts"
    title = f"{title} ({len(rows):,}{part})"
    over = [house.text(name, 40) for name in names]
    shown = make_subplots(rows=1, cols=2, subplot_titles=over, horizontal_spacing=0.03)
    shown.update_layout(house.figure(title, height=460, theme=theme).layout)
    shown.update_annotations(font={"size": 12})
    gl = 2 * len(rows) > WEBGL_FROM if webgl is None else webgl
    groups = clouds(rows, after.space.labels if labels is None else labels)
    cut = None if hover_bytes is None else hover_cut(after, rows, hover_bytes // 2)
    for column, projection in enumerate((before, after), 1):
        for cloud in groups:
            trace = points(projection, cloud, 2 * len(rows), gl=gl, hover=cut)
            trace.update(legendgroup=trace.name, showlegend=bool(cloud.name) and column == 1)
            shown.add_trace(trace, row=1, col=column)
    _same_axes(shown, np.concatenate([before.xy[rows], after.xy[rows]]))
    shown.update_layout(
        legend={"orientation": "v", "x": 1.01, "y": 1, "font": {"size": 11}}, margin={"l": 32, "t": 84, "b": 36}
    )
    return shown


def _same_axes(shown: go.Figure, xy: np.ndarray) -> None:
    low, high = xy.min(axis=0), xy.max(axis=0)
    pad = np.where(high > low, (high - low) * 0.05, 1)
    for update, number in ((shown.update_xaxes, 0), (shown.update_yaxes, 1)):
        ends = [float(low[number] - pad[number]), float(high[number] + pad[number])]
        update(range=ends, showticklabels=False, zeroline=False, ticks="")
    shown.update_xaxes(title={"text": "map axis 1 (no unit)", "font": {"size": 11}, "standoff": 4})
    shown.update_yaxes(title={"text": "map axis 2 (no unit)", "font": {"size": 11}, "standoff": 4}, col=1)
    shown.update_xaxes(matches="x", col=2)
    shown.update_yaxes(matches="y", col=2)
