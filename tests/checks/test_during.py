"""What a run records while it goes on, and what that shows: each finding fires on its series and on no healthy one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
import pytest

from workbench.checks.during import PROBE_SHARE, STILL_STEPS, Watch, in_a_line, probe_is_due, recorded
from workbench.checks.finding import Finding
from workbench.checks.spread import spread
from workbench.errors import RecipeError
from workbench.recipe import HealthCheck, Loss, Recipe

LINE = math.log(16)
Event = dict[str, Any]


def recipe(**settings: Any) -> Recipe:
    return Recipe(loss=Loss("MultipleNegativesRankingLoss"), data="glossary/qa", learning_rate=1e-3, **settings)


def point(step: int, loss: float | None, **values: Any) -> Event:
    """A recorded point of the loss: two steps of 0.5 s and 200 tokens each since the last."""
    known = {"reference": LINE, "grad_norm": 0.7, "clipped": 0, "seconds": step * 0.5, "tokens": step * 200}
    return {"kind": "step", "step": step, "loss": loss, **known, **values}


def scores(step: int, value: float | None, **values: Any) -> Event:
    return {"kind": "scores", "step": step, "scores": {"ndcg": value, "mrr": 0.5}, **values}


def probe(step: int, cosine: float | None, rank: float | None, zero: int = 0) -> Event:
    return {"kind": "probe", "step": step, "texts": 64, "cosine": cosine, "rank": rank, "zero": zero, "seconds": 0.1}


def seen(events: Iterable[Event], *, steps: int = 100, **settings: Any) -> list[Finding]:
    watch = Watch(recipe(**settings), steps)
    return [finding for event in events for finding in watch.see(event)]


def healthy() -> list[Event]:
    """A loss that falls by and by, scores that rise, vectors that part, some gradients that are clipped."""
    events: list[Event] = [scores(0, 0.4), probe(0, 0.3, 20.0), point(1, 2.6)]
    for step in range(2, 101, 2):
        events.append(point(step, 2.5 * 0.97**step + 0.01 * (step % 3), clipped=step % 4 // 2))
        if step % 20 == 0:
            events += [scores(step, 0.4 + step / 250), probe(step, 0.3 - step / 500, 20.0 + step / 10)]
    return events


def test_a_healthy_run_is_told_nothing() -> None:
    assert seen(healthy()) == []
    assert {event["kind"] for event in healthy()} == {"step", "scores", "probe"}


def test_every_check_that_can_be_turned_off_is_one_that_fires() -> None:
    """The names in the recipe are those of the findings; the tests below fire each of them."""
    fired = {
        *(finding.code for events, _ in SICK.values() for finding in seen(events)),
        *(finding.code for finding in Watch(recipe(), 100).not_finite(3, "loss", math.nan)),
        *(finding.code for finding in Watch(recipe(), 100).still(STILL_STEPS, STILL_STEPS, 2.7)),
    }
    assert fired == set(get_args(HealthCheck))


SICK: dict[str, tuple[list[Event], str]] = {
    "loss-at-chance": (
        [point(1, 1.0), *(point(step, LINE * (1 + 0.004 * (step % 3 - 1))) for step in range(12, 20, 2))],
        "within 1% of 2.773 at the last 3 points up to step 16",
    ),
    "loss-constant": ([point(step, 5.26661, reference=None) for step in (12, 14, 16)], "learns nothing"),
    "gradient-clipped": (
        [point(step, 2.0 / step, grad_norm=15.0, clipped=2) for step in range(2, 24, 2)],
        "clipped in 20 of 20 steps: the median of its norms is 15, the limit 1",
    ),
    "overfitting": (
        [
            *(event for place, value in enumerate((0.4, 0.5, 0.5, 0.49, 0.47)) for event in
              (point(10 * place + 1, 2.0 - 0.3 * place), scores(10 * place + 2, value))),
        ],
        "ndcg was best at step 12 (0.5000) and not better in 3 evaluations since (0.4700 at step 42), while the loss fell from 1.4 to 0.8",
    ),
    "score-undefined": ([scores(0, None, why={"ndcg": "all labels are equal"})], "ndcg is undefined, since all labels are equal"),
    "steps-slower": (
        [point(step, 1 / step, seconds=step * 0.5 + max(0, step - 12) * 1.0) for step in range(2, 60, 2)],
        "A step takes 1.5 s",
    ),
    "batch-split": (
        [{"kind": "split", "step": 3, "places": 8192, "part_places": 2048, "why": "CUDA out of memory"}],
        "in parts of at most 2,048 tokens of 8,192",
    ),
    "zero-vectors": ([probe(0, None, None, zero=64)], "All 64 probe texts have the vector 0 before the first step"),
    "collapse": ([probe(0, 0.3, 20.0), probe(8, 0.98, 1.3)], "mean cosine 0.980 (0.300 at the start), effective rank 1.3 (20.0)"),
}  # fmt: skip


@pytest.mark.parametrize("code", SICK)
def test_a_series_that_is_not_well_is_told_once_with_its_numbers(code: str) -> None:
    events, words = SICK[code]
    found = seen([*events, {**events[-1], "step": events[-1]["step"] + 2}])
    assert [finding.code for finding in found] == [code]
    assert words in found[0].message
    assert found[0].why and found[0].evidence["measured_on"]
    assert found[0].evidence["step"] == next(
        event["step"] for place, event in enumerate(events) if seen(events[: place + 1])
    )


@pytest.mark.parametrize("code", SICK)
def test_a_check_that_is_turned_off_stays_silent(code: str) -> None:
    assert seen(SICK[code][0], watch_off=[code]) == []


@pytest.mark.parametrize("code", SICK)
def test_a_run_that_goes_on_after_a_resume_is_not_told_again(code: str) -> None:
    events = SICK[code][0]
    watch = Watch(recipe(), 100)
    for event in ({"kind": "finding", "code": code, "severity": "error"}, *events):
        assert watch.see(event) == []


# the loss


def test_the_line_of_guessing_counts_only_after_the_warmup() -> None:
    early = [point(step, LINE) for step in (2, 4, 6, 8, 10)]
    assert seen(early, warmup=0.1) == []
    assert [finding.code for finding in seen(early, warmup=3)] == ["loss-at-chance"]


def test_a_loss_that_was_at_the_line_from_the_start_is_not_laid_on_the_rate() -> None:
    (fell,) = seen(SICK["loss-at-chance"][0])
    (always,) = seen([point(1, LINE), *SICK["loss-at-chance"][0][1:]])
    assert fell.changes == {"learning_rate": 1e-4} and "what the base model knew is lost" in fell.why
    assert (fell.fix() or recipe()).learning_rate == 1e-4
    assert always.fix() is None and "from the start" in always.why


def test_a_loss_of_zero_is_an_end_and_no_fault() -> None:
    (found,) = seen([point(step, 0.0, reference=None) for step in (12, 14, 16)])
    assert (found.severity, found.code) == ("note", "loss-constant")
    assert "nothing is left to learn" in found.message


def test_points_without_a_loss_or_a_line_are_passed_over() -> None:
    assert seen([point(step, None) for step in range(12, 30)]) == []
    assert seen([point(step, 1 / step, reference=None) for step in range(12, 30)]) == []


# the gradient


def test_plain_gradient_descent_is_told_the_rate_that_counts() -> None:
    (adamw,) = seen(SICK["gradient-clipped"][0])
    (sgd,) = seen(SICK["gradient-clipped"][0], optimizer="sgd")
    assert "AdamW this changes little" in adamw.why
    assert "about 6.7e-05, not 0.001" in sgd.why
    assert adamw.severity == sgd.severity == "note"


def test_without_a_limit_nothing_is_clipped() -> None:
    assert seen(SICK["gradient-clipped"][0], max_grad_norm=0) == []


def test_no_gradient_in_ten_steps_stops_a_run_and_in_nine_does_not() -> None:
    watch = Watch(recipe(), 100)
    assert watch.still(9, STILL_STEPS - 1, 2.7) == []
    (found,) = watch.still(10, STILL_STEPS, 2.7)
    assert found.severity == "error" and "exactly 0 in 10 steps up to step 10 while the loss is 2.7" in found.message
    assert watch.still(11, STILL_STEPS + 1, 2.7) == []


def test_no_gradient_of_no_loss_is_no_error_until_there_is_a_loss_again() -> None:
    watch = Watch(recipe(), 100)
    (learnt,) = watch.still(10, STILL_STEPS, 0.0)
    assert learnt.severity == "warning" and "nothing left to learn" in learnt.message
    (worse,) = watch.still(11, STILL_STEPS + 1, 0.5)
    assert worse.severity == "error", "told again since it is worse"


@pytest.mark.parametrize(("what", "words"), [("loss", "look at the texts"), ("gradient", "the scale of the loss")])
def test_what_is_no_number_is_named_with_a_lower_rate(what: str, words: str) -> None:
    (found,) = Watch(recipe(), 100).not_finite(7, what, math.inf)
    assert f"The {what} is inf at step 7" in found.message and words in found.message
    assert found.evidence[what] == "inf" and found.changes == {"learning_rate": 1e-4}
    assert Watch(recipe(watch_off=["not-finite"]), 100).not_finite(7, what, math.inf) == []


# scores


def evaluations(*values: float | None, losses: Iterable[float] = (2.0, 1.8, 1.6, 1.4, 1.2, 1.0)) -> list[Event]:
    pairs = zip(values, losses, strict=False)
    return [
        event
        for place, (value, loss) in enumerate(pairs)
        for event in (point(10 * place + 1, loss), scores(10 * place + 2, value))
    ]


def test_overfitting_is_mended_by_ending_at_the_best_step() -> None:
    (found,) = seen(evaluations(0.4, 0.5, 0.49, 0.49, 0.48))
    assert found.severity == "warning" and found.changes == {"max_steps": 12}
    assert (found.fix() or recipe()).max_steps == 12


@pytest.mark.parametrize(
    ("label", "events"),
    [
        ("a score that still rises", evaluations(0.4, 0.41, 0.42, 0.43, 0.44)),
        ("only two evaluations without a better one", evaluations(0.4, 0.5, 0.49, 0.49)),
        ("a loss that does not fall either", evaluations(0.4, 0.5, 0.49, 0.49, 0.48, losses=[2.0, 1.0, 1.0, 1.1, 1.2])),
        ("a score that cannot rise any more", evaluations(0.9, 1.0, 1.0, 1.0, 1.0)),
        ("scores without a value", evaluations(0.4, None, None, None, None)),
    ],
)
def test_what_is_no_overfitting(label: str, events: list[Event]) -> None:
    assert [finding.code for finding in seen(events, watch_off=["score-undefined"])] == [], label


def test_a_score_that_only_falls_from_the_start_wants_a_lower_rate() -> None:
    (found,) = seen([scores(0, 0.6), *evaluations(0.5, 0.4, 0.3)])
    assert found.changes == {"learning_rate": 1e-4}


def test_a_secondary_score_without_a_value_is_only_a_note() -> None:
    (found,) = seen([{"kind": "scores", "step": 5, "scores": {"ndcg": 0.5, "mrr": None}}])
    assert found.severity == "note" and "mrr is undefined, since the evaluation gave no number" in found.message


# time


def test_longer_texts_are_told_from_a_slower_machine() -> None:
    slower = SICK["steps-slower"][0]
    longer = [{**event, "tokens": event["seconds"] * 400} for event in slower]
    (machine,), (texts,) = seen(slower), seen(longer)
    assert "the machine has less to spare" in machine.why
    assert "200 tokens a step now and 200 then" in machine.message
    assert "longer texts" in texts.why


def test_short_steps_may_take_as_long_as_they_like() -> None:
    quick = [{**event, "seconds": event["seconds"] / 100} for event in SICK["steps-slower"][0]]
    assert seen(quick) == []


# vectors


@pytest.mark.parametrize(
    ("label", "first", "then"),
    [
        ("few classes, each in one place", (0.3, 20.0), (0.45, 2.0)),
        ("a model whose cosines are high by nature", (0.96, 2.5), (0.97, 2.2)),
        ("a little closer", (0.5, 12.0), (0.9, 3.0)),
        ("not measurable", (0.3, 20.0), (None, None)),
        ("not measurable at the start", (None, None), (0.99, 1.1)),
    ],
)
def test_what_is_no_collapse(label: str, first: tuple[Any, Any], then: tuple[Any, Any]) -> None:
    assert seen([probe(0, *first), probe(8, *then)]) == [], label


def test_a_collapse_is_seen_where_the_rank_was_small_from_the_start() -> None:
    (found,) = seen([probe(0, 0.9, 2.1), probe(8, 0.9999, 1.0)])
    assert found.code == "collapse" and found.severity == "error"
    assert found.changes == {"learning_rate": 1e-4}


def test_spread_is_that_of_directions_whatever_their_length() -> None:
    cosine, rank, zero = spread(np.diag([1.0, 5.0, 0.1]).astype(np.float32))
    assert (cosine, zero) == (0.0, 0) and rank == pytest.approx(3)
    cosine, rank, zero = spread(np.array([[1, 1], [2, 2], [0, 0]], dtype=np.float32))
    assert (cosine, rank, zero) == (pytest.approx(1), pytest.approx(1), 1)


@pytest.mark.parametrize("vectors", [[[0.0, 0], [0, 0]], [[1.0, 0], [0, 0]], [[math.nan, 0], [1, 0], [0, 1]]])
def test_without_two_directions_there_is_no_spread(vectors: list[list[float]]) -> None:
    assert spread(np.array(vectors, dtype=np.float32))[:2] == (None, None)


# how often it is looked


@pytest.mark.parametrize(
    ("spent", "cost", "trained", "due"),
    [
        (0.1, 0.1, 10.0, False),
        (0.1, 0.1, 13.3, False),
        (0.1, 0.1, 13.4, True),
        (0.2, 0.1, 19.9, False),
        (0.2, 0.1, 20.1, True),
        (0.2, 5.0, 100.0, False),
        (0.0, 0.0, 0.0, True),
    ],
)
def test_a_look_is_due_when_all_looks_stay_within_their_share(
    spent: float, cost: float, trained: float, due: bool
) -> None:
    assert probe_is_due(spent, cost, trained) is due


@pytest.mark.parametrize("cost", [0.001, 0.1, 2.0])
def test_looks_never_take_more_than_their_share_however_much_one_costs(cost: float) -> None:
    spent, trained, looks = cost, 0.0, 1
    while trained < 300:
        trained += 0.5
        if probe_is_due(spent, cost, trained):
            spent, looks = spent + cost, looks + 1
    assert spent <= max(PROBE_SHARE * trained, cost)
    assert looks > 100 or cost > 0.01
    assert spent + cost <= 0.02 * trained or cost == 2.0, "the look at the end comes on top"


# what was recorded


def told(**values: Any) -> Event:
    return {"kind": "finding", "step": 8, "code": "collapse", "severity": "error", "message": "All fell.", **values}


def test_findings_come_back_from_the_events_with_their_fix() -> None:
    events = [*healthy(), told(why="Why.", evidence={"rank": 1.3}, fixed="lower it", changes={"learning_rate": 1e-4})]
    found = recorded(events, recipe())
    assert [finding.code for finding in found] == ["collapse"]
    assert (found[0].fix() or recipe()).learning_rate == 1e-4
    assert found.about == "watched over 100 steps, with 6 looks at up to 64 probe texts"
    assert found.to_json()[0]["fix"] == {"learning_rate": 1e-4}


def test_what_got_worse_counts_once() -> None:
    found = recorded([told(severity="warning"), told(severity="error")])
    assert [finding.severity for finding in found] == ["error"]


def test_a_run_that_was_not_watched_has_no_findings_and_says_nothing_of_them() -> None:
    found = recorded([point(1, 2.0)])
    assert (len(found), found.about) == (0, "")


@pytest.mark.parametrize(
    "damage",
    [
        {"severity": "fatal"},
        {"severity": None},
        {"severity": ["error"]},
        {"message": 3},
        {"evidence": "much"},
        {"changes": [1]},
    ],
)
def test_a_damaged_finding_is_passed_over(damage: dict[str, Any]) -> None:
    assert len(recorded([told(**damage), told(code="ok")], recipe())) == 1


def test_a_change_that_no_recipe_takes_is_no_fix() -> None:
    (found,) = recorded([told(fixed="break it", changes={"learning_rate": -1})], recipe())
    assert found.fix() is None and not found.fixed


def test_a_finding_for_a_terminal_is_one_line() -> None:
    assert in_a_line(told(message="All\nfell.")) == "✖ error at step 8: All fell."


# the setting


def test_an_unknown_name_of_a_check_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RecipeError, match=r"watch_off\.0: expected .*'collapse'.*got 'colapse'"):
        recipe(watch_off=["colapse"])


def test_turning_a_check_off_is_another_run_and_comes_back_from_a_file() -> None:
    off = recipe(watch_off=["collapse", "overfitting"])
    assert off.fingerprint != recipe().fingerprint
    assert Recipe.from_yaml(off.to_yaml()) == off
    assert "watch_off:\n- collapse\n- overfitting" in off.to_yaml()
