"""The measures of one or more spaces, each on a scale of its own beside what random and collapsed vectors give."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.plots import theme as house
from workbench.spaces.measures import UNTUNED_ON, Measures

BESIDE = (("even", "random directions", "diamond"), ("collapsed", "collapsed", "x"), ("untuned", "untuned", "cross"))
ROW = 84  # px


def measures_figure(
    *records: Measures,
    names: Sequence[str] | None = None,
    title: str = "Measures of the space",
    theme: str = "light",
) -> go.Figure:
    """One strip a measure: the value of each space, and the stand-ins of the last one.

    Args:
        records: of one or more spaces, such as before and after.
        names: what the legend calls them; None takes the models. Any texts, they are escaped.
        title: any text; it is escaped.
        theme: light or dark.

    Raises:
        DataError: there is not one name for each space.
    """
    if not records:
        return house.empty(title, "There is no space to measure.", theme=theme)
    called = names or [record.model for record in records]
    if len(called) != len(records):
        raise DataError(
            f"expected one name for each of {len(records)} spaces, got {len(called)}; give both in one order"
        )
    last = records[-1]
    shown = make_subplots(
        rows=len(last),
        cols=1,
        vertical_spacing=0.5 / len(last),
        subplot_titles=[_title(name, records) for name in last],
    )
    shown.update_layout(house.figure(title, height=150 + ROW * len(last), theme=theme).layout)
    for field, name, symbol in BESIDE:  # first, so that the values lie on top of them
        _traces(shown, [getattr(measure, field) for measure in last.measures], name, house.BEFORE, symbol)
    for number, (record, name) in enumerate(zip(records, called, strict=True)):
        colour, symbol = house.PALETTE[number % 8], house.SYMBOLS[number % 2]
        _traces(shown, [measure.value for measure in record.measures], name, colour, symbol)
    shown.update_yaxes(range=[-1, 1], showticklabels=False, zeroline=False, showgrid=False)
    shown.update_annotations(font={"size": 12}, x=0, xanchor="left")
    about = "; ".join(dict.fromkeys([record.about for record in records]))
    shown.add_annotation(
        text=house.text(f"{about}. Untuned: {UNTUNED_ON}", 400, width=130),
        x=0,
        y=0,
        yshift=-34,
        xref="paper",
        yref="paper",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        align="left",
        font={"size": 11},
    )
    shown.update_layout(
        margin={"t": 88, "l": 24, "b": 90}, legend={"y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"}
    )
    return shown


def _title(name: str, records: Sequence[Measures]) -> str:
    """The measure with its numbers, or why it has none."""
    return house.text(
        f"{name.replace('_', ' ')}: {' → '.join(str(record[name]) for record in records)}", 160, width=160
    )


def _traces(shown: go.Figure, values: Sequence[float | None], name: str, colour: str, symbol: str) -> None:
    """A marker in each strip, and one entry in the legend."""
    group = str(len(shown.data))
    defined = [(row, value) for row, value in enumerate(values, 1) if value is not None]
    for number, (row, value) in enumerate(defined):
        trace = go.Scatter(
            x=[value],
            y=[0],
            mode="markers",
            name=house.text(name, 40),
            legendgroup=group,
            showlegend=number == 0,
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{x:.4g}<extra>%{fullData.name}</extra>",
        )
        shown.add_trace(trace, row=row, col=1)
