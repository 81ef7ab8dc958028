"""The course of a run: loss against its reference line, and scores against the score before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench.plots import theme as house


@dataclass(frozen=True)
class Course:
    """Numbers of a run by optimizer step, taken from its events.

    Attributes:
        steps, loss, reference, grad_norm, learning_rate, tokens_per_s: as recorded; None where undefined.
        score_steps, scores: steps at which scores were taken, and the primary score there.
        score: name of the primary score.
        undefined: steps at which the loss was not finite.
    """

    steps: tuple[int, ...]
    loss: tuple[float | None, ...]
    reference: tuple[float | None, ...]
    grad_norm: tuple[float | None, ...]
    learning_rate: tuple[float | None, ...]
    tokens_per_s: tuple[float | None, ...]
    score_steps: tuple[int, ...]
    scores: tuple[float | None, ...]
    score: str
    undefined: tuple[int, ...] = ()


def course(events: Sequence[Mapping[str, Any]], score: str) -> Course:
    """Pick the course of a run out of its events; `score` is the name of the score to follow."""
    steps = [event for event in events if event["kind"] == "step"]
    scored = [event for event in events if event["kind"] == "scores" and score in event["scores"]]

    def values(name: str) -> tuple[float | None, ...]:
        return tuple(event.get(name) for event in steps)

    return Course(
        steps=tuple(event["step"] for event in steps),
        loss=values("loss"),
        reference=values("reference"),
        grad_norm=values("grad_norm"),
        learning_rate=values("learning_rate"),
        tokens_per_s=values("tokens_per_s"),
        score_steps=tuple(event["step"] for event in scored),
        scores=tuple(event["scores"][score] for event in scored),
        score=score,
        undefined=tuple(event["step"] for event in events if event["kind"] == "nonfinite"),
    )


def loss_figure(record: Course, *, title: str = "Loss", theme: str = "light") -> go.Figure:
    """Mean loss between records, and the line that it has to beat."""
    if not record.steps:
        return house.empty(title, "No step has been recorded yet.", theme=theme)
    shown = house.figure(title, theme=theme)
    if any(value is not None for value in record.reference):
        shown.add_trace(
            go.Scatter(
                x=record.steps,
                y=record.reference,
                name="reference: nothing learnt",
                mode="lines",
                line={"color": house.REFERENCE, "dash": "dash"},
            )
        )
    shown.add_trace(
        go.Scatter(
            x=record.steps,
            y=record.loss,
            name="loss (mean since the last point)",
            mode="lines+markers",
            line={"color": house.AFTER},
            marker={"size": 4},
        )
    )
    for step in record.undefined:
        shown.add_vline(x=step, line={"color": house.REFERENCE}, annotation_text="not finite")
    shown.update_xaxes(title="optimizer step")
    shown.update_yaxes(title="loss", rangemode="tozero")
    return shown


def score_figure(record: Course, *, title: str = "Score", theme: str = "light") -> go.Figure:
    """The primary score during the run; the line is the score before the first step."""
    if not record.score_steps:
        return house.empty(title, "No rows were kept for evaluation.", theme=theme)
    shown = house.figure(title, theme=theme)
    shown.add_trace(
        go.Scatter(
            x=record.score_steps,
            y=record.scores,
            name=house.text(record.score, 40),
            mode="lines+markers",
            line={"color": house.AFTER},
        )
    )
    if record.scores[0] is not None:
        shown.add_hline(
            y=record.scores[0],
            line={"color": house.BEFORE, "dash": "dash"},
            annotation_text="before training",
            annotation_position="bottom right",
        )
    shown.update_xaxes(title="optimizer step")
    shown.update_yaxes(title=house.text(record.score, 40))
    return shown
