"""The course of a run, its scores, and the lengths of its texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped
from workbench.data.tokens import ColumnStats, Histogram, TokenStats
from workbench.plots.curves import course, curves_figure, loss_figure, score_figure
from workbench.plots.lengths import lengths_figure
from workbench.plots.scores import scores_figure
from workbench.plots.svg import svg
from workbench.plots.theme import REFERENCE

EVENTS: list[dict[str, Any]] = [
    {"kind": "started", "attempt": 1},
    {"kind": "scores", "step": 0, "scores": {"mrr": 0.4, "recall": 0.1}},
    {"kind": "step", "step": 1, "loss": 2.0, "reference": 2.5, "grad_norm": 1.0, "learning_rate": 1e-5},
    {"kind": "finding", "step": 2, "code": "loss-constant", "severity": "warning"},
    {"kind": "finding", "step": 2, "code": "collapse", "severity": "error"},
    {"kind": "step", "step": 2, "loss": None, "reference": 2.5},
    {"kind": "scores", "step": 2, "scores": {"mrr": None}},
    {"kind": "scores", "step": 3, "scores": {"other": 0.9}},
    {"kind": "step", "step": 4, "loss": 1.0, "reference": None, "tokens_per_s": 900.0},
    {"kind": "scores", "step": 4, "scores": {"mrr": 0.6}, "final": True},
]


# course


def test_a_course_is_picked_out_of_the_events() -> None:
    made = course(EVENTS, "mrr")
    assert made.steps == (1, 2, 4)
    assert made.loss == (2.0, None, 1.0)
    assert made.reference == (2.5, 2.5, None)
    assert made.tokens_per_s == (None, None, 900.0)
    assert (made.score_steps, made.scores) == ((0, 2, 4), (0.4, None, 0.6))
    assert made.marks == {2: ("▲ loss-constant", "✖ collapse")}


def test_loss_is_drawn_with_its_reference_and_where_something_was_found() -> None:
    made = loss_figure(course(EVENTS, "mrr"), title="Mine")
    assert [line.name for line in made.data] == ["reference: nothing learnt", "loss (mean since the last point)"]
    assert list(made.data[1].y) == [2.0, None, 1.0]
    assert made.layout.title.text == "Mine"
    assert annotations(made) == "▲ loss-constant<br>✖ collapse"
    assert made.layout.shapes[0].x0 == 2
    picture = svg(made)
    assert "loss-constant" in picture and "collapse" in picture


def test_a_loss_without_reference_is_one_line() -> None:
    events = [{"kind": "step", "step": 1, "loss": 2.0}]
    assert [line.name for line in loss_figure(course(events, "mrr")).data] == ["loss (mean since the last point)"]


def test_scores_are_drawn_against_the_score_before_training() -> None:
    made = score_figure(course(EVENTS, "mrr"))
    assert list(made.data[0].x) == [0, 2, 4]
    assert made.layout.shapes[0].y0 == 0.4
    assert annotations(made) == "before training"
    assert made.layout.yaxis.title.text == "mrr"


def test_an_undefined_score_before_training_is_no_line() -> None:
    made = score_figure(course([{"kind": "scores", "step": 0, "scores": {"mrr": None}}], "mrr"))
    assert len(made.layout.shapes) == 0


@pytest.mark.parametrize("events", [[], [{"kind": "started"}]])
def test_a_run_that_has_just_begun_is_two_titled_sentences(events: list) -> None:
    begun = course(events, "mrr")
    assert annotations(loss_figure(begun)) == "No step has been recorded yet."
    assert annotations(score_figure(begun)) == "No rows were kept for evaluation."
    assert loss_figure(begun).layout.title.text == "Loss"
    assert score_figure(begun).layout.title.text == "Score"


def test_a_hostile_score_name_or_title_is_escaped() -> None:
    events = [{"kind": "scores", "step": 0, "scores": {HOSTILE: 0.4}}]
    assert is_escaped(score_figure(course(events, HOSTILE)))
    assert is_escaped(loss_figure(course(EVENTS, "mrr"), title=HOSTILE))
    found = {"kind": "finding", "step": 1, "code": HOSTILE, "severity": "note"}
    assert is_escaped(curves_figure({"run": course([*EVENTS, found])}))


def test_curves_of_a_run_are_marked_in_the_panel_of_the_loss_only() -> None:
    plain = [event for event in EVENTS if event["kind"] != "finding"]
    before, after = (curves_figure({"run": course(events)}) for events in (plain, EVENTS))
    assert (len(before.layout.shapes), len(after.layout.shapes)) == (0, 1)
    assert after.layout.shapes[0].xref == "x" and after.layout.shapes[0].x0 == 2
    assert [trace.name for trace in before.data] == [trace.name for trace in after.data]
    assert "✖ collapse" in annotations(after)


def test_the_lines_to_beat_of_two_runs_have_the_colours_of_the_runs() -> None:
    made = curves_figure({"a": course(EVENTS), "b": course(EVENTS)})
    own = {trace.name: trace.line.color for trace in made.data if trace.name in "ab"}
    beaten = [trace.line.color for trace in made.data if trace.line.dash == "dash"]
    assert beaten == [own["a"], own["a"], own["b"], own["b"]]
    assert [trace.name for trace in curves_figure({"a": course(EVENTS)}).data if trace.line.color == REFERENCE] == [
        "loss of a model that has learnt nothing",
        "score before training",
    ]


def test_a_run_without_scores_says_so_in_their_place() -> None:
    steps = [event for event in EVENTS if event["kind"] == "step"]
    assert "none so far" in annotations(curves_figure({"run": course(steps)}))
    assert "none so far" not in annotations(curves_figure({"run": course(EVENTS)}))


def test_the_one_score_before_training_is_not_lost_on_its_axis() -> None:
    made = curves_figure({"run": course(EVENTS[:3])})
    assert made.layout.yaxis2.autorangeoptions.include == pytest.approx((0.38, 0.42))


# scores


def score(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": 1200, "groups": 9, "why": "" if value else "x"}


def both(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {"before": {"scores": before}, "after": {"scores": after}}


def test_scores_are_drawn_for_both_models_with_their_intervals() -> None:
    made = scores_figure(both({"mrr": score(0.4, 0.3, 0.6)}, {"mrr": score(0.5, 0.45, 0.7)}))
    assert [points.name for points in made.data] == ["before", "after"]
    assert [list(points.x) for points in made.data] == [[0.4], [0.5]]
    assert made.data[0].error_x.array == pytest.approx((0.2,))
    assert made.data[0].error_x.arrayminus == pytest.approx((0.1,))
    assert made.layout.xaxis.title.text == "score (no unit), 95% bootstrap interval, n = 1,200"


def test_an_interval_that_ends_at_zero_is_drawn_to_zero() -> None:
    made = scores_figure(both({"r": score(-0.4, -0.6, 0.0)}, {"r": score(0.4, 0.0, 0.6)}))
    assert made.data[0].error_x.array == pytest.approx((0.4,))
    assert made.data[1].error_x.arrayminus == pytest.approx((0.4,))


def test_a_score_without_interval_has_no_bar() -> None:
    made = scores_figure(both({"mrr": score(0.4)}, {"mrr": score(0.5)}))
    assert made.data[0].error_x.array == (0,)
    assert made.data[0].error_x.arrayminus == (0,)


def test_scores_that_one_model_does_not_have_are_left_out() -> None:
    made = scores_figure(both({"a": score(0.1), "b": score(None)}, {"a": score(0.2), "b": score(0.3)}))
    assert [list(points.x) for points in made.data] == [[0.1], [0.2]]
    assert list(made.layout.yaxis.ticktext) == ["a"]


@pytest.mark.parametrize("scores", [{}, both({}, {}), both({"a": score(None)}, {"a": score(0.3)})])
def test_no_common_score_is_a_titled_sentence(scores: dict) -> None:
    made = scores_figure(scores, title="Mine")
    assert (len(made.data), made.layout.title.text) == (0, "Mine")
    assert annotations(made) == "No score is defined for both models."


def test_hostile_names_of_scores_are_escaped() -> None:
    assert is_escaped(scores_figure(both({HOSTILE: score(0.1)}, {HOSTILE: score(0.2)})))


# lengths


def stats(columns: dict[str, ColumnStats], rows: int = 9, limit: int | None = 10) -> TokenStats:
    return TokenStats(rows=rows, max_seq_length=limit, model="m", seconds=0.1, columns=columns)


def texts(*edges: int) -> ColumnStats:
    return ColumnStats("text", 9, histogram=Histogram(edges, tuple(range(1, len(edges)))))


def test_each_text_column_is_a_histogram_in_the_middle_of_its_bins() -> None:
    made = lengths_figure(stats({"a": texts(2, 4, 10), "b": texts(1, 3), "y": ColumnStats("label", 9)}))
    assert len(made.data) == 2
    assert (list(made.data[0].x), list(made.data[0].y), list(made.data[0].width)) == ([3, 7], [1, 2], [2, 6])
    assert made.layout.title.text == "Length of the texts, 9 rows"
    assert "a | b" in annotations(made)


def test_the_limit_is_drawn_where_texts_come_near_it() -> None:
    assert annotations(lengths_figure(stats({"a": texts(2, 9)}))) == "a | limit 10"
    assert annotations(lengths_figure(stats({"a": texts(2, 4)}))) == "a"
    assert annotations(lengths_figure(stats({"a": texts(2, 900)}, limit=None))) == "a"


@pytest.mark.parametrize("empty", [stats({}), stats({"y": ColumnStats("label", 9)}), stats({"a": texts(1, 2)}, rows=0)])
def test_no_texts_are_a_titled_sentence(empty: TokenStats) -> None:
    made = lengths_figure(empty)
    assert (len(made.data), made.layout.title.text) == (0, "Length of the texts")
    assert annotations(made) == "There are no texts to measure."


def test_hostile_column_names_are_escaped() -> None:
    assert is_escaped(lengths_figure(stats({HOSTILE: texts(2, 4)})))
