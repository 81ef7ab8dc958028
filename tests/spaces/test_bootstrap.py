"""Intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.spaces.bootstrap import Metric, interval, paired_interval


def metric(
    values: np.ndarray | list, kind: str = "mean", groups: np.ndarray | None = None, gold: object = None
) -> Metric:
    values = np.asarray(values, dtype=float)
    groups = np.arange(len(values)) if groups is None else groups
    return Metric(kind, values, groups, None if gold is None else np.asarray(gold, dtype=float))


def width(bounds: tuple[float | None, float | None, str]) -> float:
    low, high, why = bounds
    assert low is not None, why
    assert high is not None, why
    return high - low


def test_an_interval_of_a_mean_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(200):
        low, high, _ = interval(metric(rng.normal(1, 2, size=40)), seed=seed, resamples=200)
        covered.append(low <= 1 <= high)
    assert 0.86 < np.mean(covered) < 0.99


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_an_interval_of_a_correlation_covers_the_truth_about_as_often_as_it_says(kind: str) -> None:
    rng, truth = np.random.default_rng(1), 0.6
    # Spearman's correlation of two normal variables with Pearson's correlation `truth`
    truth = truth if kind == "pearson" else 6 / np.pi * np.arcsin(truth / 2)
    covered = []
    for seed in range(60):
        gold = rng.normal(size=60)
        values = 0.6 * gold + 0.8 * rng.normal(size=60)
        low, high, _ = interval(metric(values, kind, gold=gold), seed=seed, resamples=100)
        covered.append(low <= truth <= high)
    assert 0.83 < np.mean(covered) <= 1


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly() -> None:
    values = metric(np.random.default_rng(0).normal(size=50))
    first = interval(values, seed=1, resamples=500)
    assert first == interval(values, seed=1, resamples=500)
    other = interval(values, seed=2, resamples=500)
    assert first != other
    assert np.allclose(first[:2], other[:2], atol=0.1)


def test_more_rows_give_a_narrower_interval() -> None:
    values = np.random.default_rng(0).normal(size=1600)
    few, many = (width(interval(metric(values[:n]), seed=0, resamples=400)) for n in (100, 1600))
    assert few / many == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("kind", ["mean", "pearson", "spearman"])
def test_rows_of_one_group_are_resampled_together(kind: str) -> None:
    rng = np.random.default_rng(0)
    values, gold = rng.normal(size=30), rng.normal(size=30)
    alone = interval(metric(values, kind, gold=gold), seed=0, resamples=200)
    tripled = metric(np.repeat(values, 3), kind, np.repeat(np.arange(30), 3), np.repeat(gold, 3))
    np.testing.assert_allclose(interval(tripled, seed=0, resamples=200)[:2], alone[:2], atol=1e-12)
    independent = metric(np.repeat(values, 3), kind, gold=np.repeat(gold, 3))
    assert width(interval(independent, seed=0, resamples=200)) < 0.8 * width(alone)


def test_groups_may_be_unordered_and_of_any_numbers() -> None:
    rng = np.random.default_rng(0)
    values, gold, groups = rng.normal(size=40), rng.normal(size=40), rng.integers(0, 12, 40)
    turned = rng.permutation(40)
    for kind in ("mean", "pearson"):
        one = interval(metric(values, kind, groups, gold), seed=0, resamples=100)
        other = metric(values[turned], kind, groups[turned] * 100 - 7, gold[turned])
        np.testing.assert_allclose(interval(other, seed=0, resamples=100)[:2], one[:2], atol=1e-12)


def test_the_interval_of_a_paired_difference_is_narrower_than_of_each_score() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=80)
    after = before + rng.normal(0.2, 0.1, size=80)
    low, high, _ = paired_interval(metric(before), metric(after), seed=0, resamples=300)
    assert low < np.mean(after - before) < high
    assert low > 0
    assert high - low < width(interval(metric(before), seed=0, resamples=300)) / 3


@pytest.mark.parametrize("kind", ["mean", "pearson", "spearman"])
def test_a_model_does_not_differ_from_itself(kind: str) -> None:
    rng = np.random.default_rng(0)
    one = metric(rng.normal(size=40), kind, gold=rng.normal(size=40))
    assert paired_interval(one, one, seed=0, resamples=100)[:2] == (0, 0)


def test_a_difference_turns_its_sign_around() -> None:
    rng = np.random.default_rng(0)
    gold = rng.normal(size=40)
    before, after = (metric(rng.normal(size=40), "spearman", gold=gold) for _ in range(2))
    low, high, _ = paired_interval(before, after, seed=0, resamples=100)
    again_low, again_high, _ = paired_interval(after, before, seed=0, resamples=100)
    np.testing.assert_allclose([low, high], [-again_high, -again_low])


@pytest.mark.parametrize(
    ("values", "resamples", "why"),
    [
        ([1.0] * 4, 100, "4 independent groups are too few to resample, 5 are needed"),
        ([], 100, "0 independent groups are too few"),
        ([1.0] * 9, 0, "none was asked for"),
    ],
)
def test_an_interval_that_cannot_be_is_explained(values: list, resamples: int, why: str) -> None:
    low, high, reason = interval(metric(values), seed=0, resamples=resamples)
    assert (low, high) == (None, None)
    assert why in reason


@pytest.mark.parametrize("resamples", [1, 50])
def test_resamples_without_a_score_give_no_interval(resamples: int) -> None:
    lonely = metric([0, 0, 0, 0, 0, 0, 1e-9], "pearson", gold=[1, 1, 1, 1, 1, 1, 2])
    seeds = [interval(lonely, seed=seed, resamples=resamples) for seed in range(20)]
    assert all(bound is None or np.isfinite(bound) for low, high, _ in seeds for bound in (low, high))
    constant = metric([1] * 6, "pearson", gold=[1] * 6)
    assert interval(constant, seed=0, resamples=resamples) == (None, None, "most resamples have no defined score")


@pytest.mark.parametrize(
    ("kind", "values", "gold", "why"),
    [
        ("mean", [], None, "there are no rows"),
        ("pearson", [1, 2], [1, 2], "2 pairs are too few for a correlation, which needs 3"),
        ("spearman", [1, 2, 3], [1, 1, 1], "all given scores are equal"),
        ("spearman", [1, 1, 1], [1, 2, 3], "the model gives all pairs the same similarity"),
        ("spearman", [1, 1 + 1e-7, 1 - 1e-7], [1, 2, 3], "the model gives all pairs the same similarity"),
        ("pearson", [0, 0, 0], [1, 2, 3], "the model gives all pairs the same similarity"),
        ("pearson", [1, np.inf, 3], [1, 2, 3], "the similarities are too large or too small"),
        ("pearson", [1e-200, 2e-200, 3e-200], [1, 2, 3], "the similarities are too large or too small"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_undefined_score_has_a_reason(kind: str, values: list, gold: list | None, why: str) -> None:
    value, reason = metric(values, kind, gold=gold).statistic()
    assert value is None
    assert why in reason


def test_a_reason_that_is_known_before_comes_first() -> None:
    known = Metric("mean", np.ones(9), np.arange(9), why="nothing to choose from")
    assert known.statistic() == (None, "nothing to choose from")
