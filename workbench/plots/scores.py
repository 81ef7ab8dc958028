"""Scores before and after with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.plots import theme as house


def scores_figure(
    scores: Mapping[str, Any], *, title: str = "Scores before and after", theme: str = "light"
) -> go.Figure:
    """Each score of both models with its 95% interval. `scores` is what a run keeps: before, after and change."""
    names = [
        name
        for name, score in scores.get("after", {}).get("scores", {}).items()
        if score["value"] is not None and scores["before"]["scores"][name]["value"] is not None
    ]
    if not names:
        return house.empty(title, "No score is defined for both models.", theme=theme)
    shown = house.figure(title, height=150 + 56 * len(names), theme=theme)
    for part, colour, symbol, shift in (
        ("before", house.BEFORE, "diamond", -0.13),
        ("after", house.AFTER, "circle", 0.13),
    ):
        values = [scores[part]["scores"][name] for name in names]
        middle = [value["value"] for value in values]
        shown.add_trace(
            go.Scatter(
                x=middle,
                y=[place + shift for place in range(len(names))],
                customdata=[house.text(name, 60) for name in names],
                name=part,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [
                        (value["high"] if value["high"] is not None else value["value"]) - value["value"]
                        for value in values
                    ],
                    "arrayminus": [
                        value["value"] - (value["low"] if value["low"] is not None else value["value"])
                        for value in values
                    ],
                },
                hovertemplate="%{customdata}: %{x:.4f}<extra>" + part + "</extra>",
            )
        )
    n = scores["after"]["scores"][names[0]]["n"]
    shown.update_xaxes(title=f"score (no unit), 95% bootstrap interval, n = {n:,}")
    labels = [house.text(name, 40) for name in names]
    shown.update_yaxes(
        range=[len(names) - 0.4, -0.6], tickvals=list(range(len(names))), ticktext=labels, zeroline=False
    )
    shown.update_layout(margin={"l": 150}, legend={"y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"})
    return shown
