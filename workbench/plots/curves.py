"""The course of a run: loss against its reference line, and scores against the score before training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.checks.finding import SYMBOLS
from workbench.plots import theme as house


@dataclass(frozen=True)
class Course:
    """Numbers of a run by optimizer step, taken from its events.

    Attributes:
        steps, loss, reference, grad_norm, learning_rate, tokens_per_s: as recorded; None where undefined.
        score_steps, scores: steps at which scores were taken, and the primary score there.
        score: name of the primary score.
        marks: step -> findings there, a symbol and a code each.
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
    marks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def course(events: Sequence[Mapping[str, Any]], score: str | None = None) -> Course:
    """Pick the course of a run out of its events; `score` is the name of the score to follow, None for the primary one."""
    steps = [event for event in events if event["kind"] == "step"]
    if score is None:  # scores are recorded with the primary one first
        score = next((next(iter(event["scores"]), "") for event in events if event["kind"] == "scores"), "")
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
        marks=_marks(event for event in events if event["kind"] == "finding"),
    )


def _marks(findings: Iterable[Mapping[str, Any]]) -> dict[int, tuple[str, ...]]:
    marks: dict[int, tuple[str, ...]] = {}
    for finding in findings:
        step = finding["step"]
        marks[step] = (*marks.get(step, ()), f"{SYMBOLS.get(finding['severity'], '')} {finding['code']}")
    return marks


def _draw_marks(shown: go.Figure, record: Course, *, colour: str = house.REFERENCE, **place: int) -> None:
    """A line at each step at which something was found; its words stand where the curve leaves room."""
    end = max([*record.steps, *record.marks, 1])
    for number, (step, found) in enumerate(record.marks.items()):
        shown.add_vline(
            x=step,
            line={"color": colour, "dash": "dot", "width": 1.5},
            annotation={
                "text": "<br>".join(house.text(words, 40) for words in found),
                "xanchor": "left" if step < end / 2 else "right",
                "yanchor": "top",
                "y": max(0.3, 0.88 - 0.14 * number),
                "align": "left",
            },
            **place,
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
    _draw_marks(shown, record)
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


PARTS = (
    ("loss", "loss"),
    ("scores", "score"),
    ("learning_rate", "learning rate"),
    ("grad_norm", "gradient norm"),
    ("tokens_per_s", "tokens a second"),
)


def curves_figure(courses: Mapping[str, Course], *, theme: str = "light") -> go.Figure:
    """All that a run records, by optimizer step, in one figure; several runs lie over one another.

    There is a trace for each part and run even where nothing is recorded yet, so that a live figure can be filled.
    """
    score = next((record.score for record in courses.values() if record.score), "") or "score"
    shown = make_subplots(
        rows=2,
        cols=3,
        specs=[[{"colspan": 2}, None, {}], [{}, {}, {}]],
        subplot_titles=[house.text(score, 30) if unit == "score" else unit for _, unit in PARTS],
        horizontal_spacing=0.08,
        vertical_spacing=0.2,
    )
    places = ((1, 1), (1, 3), (2, 1), (2, 2), (2, 3))
    shown.update_layout(house.figure("", height=460, theme=theme).layout)
    for number, (run, record) in enumerate(courses.items()):
        colour = house.PALETTE[number % len(house.PALETTE)]
        # the second colour is that of the second run
        line = {"color": house.REFERENCE if len(courses) == 1 else colour, "dash": "dash"}
        for (part, unit), (row, column) in zip(PARTS, places, strict=True):
            trace = go.Scatter(
                x=record.score_steps if part == "scores" else record.steps,
                y=getattr(record, part),
                name=house.text(run, 40),
                legendgroup=str(number),
                showlegend=part == "loss",
                mode="lines+markers" if part == "scores" or len(record.steps) <= 60 else "lines",
                line={"color": colour},
                marker={"size": 4, "symbol": house.SYMBOLS[number % len(house.SYMBOLS)]},
                hovertemplate=f"step %{{x}}: %{{y:.4g}} {unit}<extra></extra>",
            )
            shown.add_trace(trace, row=row, col=column)
        shown.add_trace(
            _dashed(record.steps, record.reference, "loss of a model that has learnt nothing", line, number),
            row=1,
            col=1,
        )
        _draw_marks(shown, record, colour=colour, row=1, col=1)
        before = [record.scores[0]] * 2 if record.scores else []
        ends = [0, max([*record.steps[-1:], *record.score_steps[-1:], 1])] if before else []
        shown.add_trace(_dashed(ends, before, "score before training", line, number), row=1, col=3)
    for row, column in places:
        # a rate that never changes would stand between -1 and 1
        shown.update_yaxes(exponentformat="e", rangemode="tozero" if row == 2 else None, row=row, col=column)
        shown.update_xaxes(title="optimizer step" if row == 2 else None, row=row, col=column, rangemode="tozero")
    shown.update_xaxes(title_font={"size": 12})
    base = next((record.scores[0] for record in courses.values() if record.scores), None)
    if base is not None:  # else the axis of the one score that there is at first would reach from below 0 to over 1
        shown.update_yaxes(autorangeoptions={"include": [base - 0.02, base + 0.02]}, row=1, col=3)
    if not any(record.score_steps for record in courses.values()):
        shown.add_annotation(text="none so far", x=0.5, y=0.5, xref="x2 domain", yref="y2 domain", showarrow=False)
    shown.update_annotations(font={"size": 12})
    shown.update_layout(margin={"l": 48, "r": 12, "t": 24, "b": 84}, legend={"y": -0.2})
    return shown


def _dashed(x: Sequence[int], y: Sequence[float | None], name: str, line: Mapping[str, str], number: int) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        legendgroup=name,
        legendrank=1001,  # after the runs
        showlegend=number == 0,
        mode="lines",
        line=dict(line),
        hovertemplate=f"{name}: %{{y:.4g}}<extra></extra>",
    )
