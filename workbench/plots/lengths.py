"""How long the texts are, with the model's limit drawn in."""

from __future__ import annotations

from itertools import pairwise

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.data.tokens import TokenStats
from workbench.plots import theme as house

MOST_BESIDE = 4


def lengths_figure(stats: TokenStats, *, title: str = "Length of the texts", theme: str = "light") -> go.Figure:
    """One histogram a text column, in tokens before truncation."""
    columns = {name: column.histogram for name, column in stats.columns.items() if column.histogram is not None}
    if not columns or stats.rows == 0:
        return house.empty(title, "There are no texts to measure.", theme=theme)
    wide = min(len(columns), MOST_BESIDE)
    high = -(-len(columns) // wide)
    shown = make_subplots(
        rows=high,
        cols=wide,
        subplot_titles=[house.text(name, 30) for name in columns],
        horizontal_spacing=0.08,
        vertical_spacing=0.4 / high,
    )
    height = 320 + 240 * (high - 1)
    shown.update_layout(house.figure(f"{title}, {stats.rows:,} rows", height=height, theme=theme).layout)
    for place, histogram in enumerate(columns.values()):
        row, col = place // wide + 1, place % wide + 1
        edges, counts = histogram.edges, histogram.counts
        middles = [(low + high) / 2 for low, high in pairwise(edges)]
        widths = [high - low for low, high in pairwise(edges)]
        hover = "%{y} texts of about %{x} tokens<extra></extra>"
        bars = go.Bar(
            x=middles,
            y=list(counts),
            width=widths,
            marker={"color": house.AFTER},
            showlegend=False,
            hovertemplate=hover,
        )
        shown.add_trace(bars, row=row, col=col)
        if stats.max_seq_length and edges[-1] > stats.max_seq_length * 0.6:
            shown.add_vline(
                x=stats.max_seq_length,
                line={"color": house.REFERENCE, "dash": "dash"},
                annotation_text=f"limit {stats.max_seq_length}",
                row=row,
                col=col,
            )
        shown.update_xaxes(title="tokens", row=row, col=col)
    shown.update_yaxes(title="texts", col=1)
    shown.update_layout(margin={"t": 84})
    return shown
