"""What logged losses mean: the sums behind the sentences, against brute force where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.cards import logs


def test_a_triplet_loss_on_unit_vectors_lies_within_two_of_its_margin() -> None:
    random = np.random.default_rng(0)
    anchor, positive, negative = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in random.normal(size=(3, 500, 2))
    )
    near, far = (np.linalg.norm(anchor - other, axis=1) for other in (positive, negative))
    for margin in (0.3, 5.0):
        low, high = logs.triplet_range(margin)
        losses = np.maximum(0, near - far + margin)
        assert low <= losses.min() and losses.max() <= high
    assert logs.triplet_range(5) == (3, 7)
    assert logs.triplet_range(0.3) == (0, 2.3)


def test_a_margin_beyond_all_distances_tells_the_mean_gap() -> None:
    assert logs.triplet_gap(4.3399, 5) == pytest.approx(0.6601)
    near, far = np.array([0.5, 1.0]), np.array([1.5, 0.8])
    loss = float(np.maximum(0, near - far + 5).mean())
    assert logs.triplet_gap(loss, 5) == pytest.approx(float((far - near).mean()))


def test_a_margin_that_can_be_met_does_not_tell_the_gap() -> None:
    assert logs.triplet_gap(0.01, 0.3) is None


def test_the_floor_of_repeats_is_the_mean_of_ln_k_over_shuffled_batches() -> None:
    counts, batch = [1, 2, 5, 12], 8
    anchors = np.repeat(np.arange(len(counts)), counts)
    random, seen = np.random.default_rng(0), []
    for _ in range(4000):
        drawn = random.permutation(anchors)[:batch]
        _, place, times = np.unique(drawn, return_inverse=True, return_counts=True)
        seen.append(np.log(times[place]).mean())
    assert logs.repeat_floor(counts, batch) == pytest.approx(np.mean(seen), rel=0.02)


def test_one_anchor_throughout_leaves_ln_of_the_batch_and_no_repeat_leaves_nothing() -> None:
    assert logs.repeat_floor([64], 16) == pytest.approx(math.log(16))
    assert logs.repeat_floor([5], 16) == pytest.approx(math.log(5)), "a batch holds at most all rows"
    assert logs.repeat_floor([1] * 40, 16) == 0
    assert logs.repeat_floor([], 16) == 0


def test_guessing_on_seven_full_batches_and_two_short_ones_logs_5_2666() -> None:
    logged = logs.chance_loss([128] * 7 + [95, 9], batch_size=128, per_row=2)
    assert logged == pytest.approx((7 * 128 * math.log(256) + 128 * math.log(190) + 104 * math.log(18)) / 1128)
    assert f"{logged:.4f}" == "5.2666"


def test_no_other_two_short_batches_give_5_2666() -> None:
    assert logs.tails_that_give(5.2666, rows=1000, batch_size=128, per_row=2) == [(95, 9)]
    assert logs.tails_that_give(5.4, rows=1000, batch_size=128, per_row=2) == []


def test_full_batches_alone_log_ln_of_their_candidates() -> None:
    assert logs.chance_loss([32] * 4, batch_size=32) == pytest.approx(math.log(32))
    assert logs.of_guessing(math.log(32), 32) == pytest.approx(1)


def test_a_short_run_reaches_a_part_of_the_rate_of_a_long_warm_up() -> None:
    assert logs.fit_peak(666) == pytest.approx(1.332e-6)
    assert logs.fit_peak(20_000) == 2e-5
