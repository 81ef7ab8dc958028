"""Neighbours among the rows themselves are those of a search for each, whatever the tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.spaces.standins import when_cancelled
from tests.spaces.test_neighbours import unit
from workbench.spaces import mutual
from workbench.spaces.mutual import nearest_others
from workbench.spaces.neighbours import nearest


def same_as_nearest(rows: np.ndarray, k: int) -> None:
    for mine, plain in zip(nearest_others(rows, k), nearest(rows, rows, k, exclude_self=True), strict=True):
        np.testing.assert_array_equal(mine, plain)
        assert mine.dtype == plain.dtype


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(20, 400), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_neighbours_and_ties_are_those_of_a_search_for_each(
    monkeypatch: pytest.MonkeyPatch, n: int, k: int, values: int, seed: int
) -> None:
    monkeypatch.setattr(mutual, "TILE", 20)
    # products of small whole numbers are exact: what is equal is equal in both
    same_as_nearest(np.random.default_rng(seed).integers(-values, values + 1, (n, 4)).astype(np.float32), k)


@pytest.mark.parametrize("tile", [7, 64, 1000])
def test_any_tiles_give_the_same(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutual, "TILE", tile)
    rows, values = nearest_others(unit(300), 3)
    expected, cosines = nearest(unit(300), unit(300), 3, exclude_self=True)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(values, cosines, atol=1e-6)


def test_rows_that_are_all_the_same_are_neighbours_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutual, "TILE", 20)
    same_as_nearest(np.tile(np.eye(1, 4, dtype=np.float32), (200, 1)), 5)


def test_what_is_done_is_reported_and_who_stops_it_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutual, "TILE", 20)
    seen: list[tuple[int, int]] = []
    nearest_others(unit(300), 3, progress=lambda *now: seen.append(now))
    assert seen == sorted(seen) and len(seen) == 105 and seen[-1] == (300, 300)
    offers, offer, cancelled = [], mutual._Top.offer, when_cancelled(monkeypatch, mutual)

    def slow(top: Any, products: np.ndarray, start: int) -> None:
        offers.append(start)
        first_pair = {int(top._rows.min()) // 20, start // 20} == {0, 1}
        assert first_pair or cancelled.wait(60)  # so that what is reported is reported before all the rest is done
        offer(top, products, start)

    monkeypatch.setattr(mutual._Top, "offer", slow)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nearest_others(unit(300), 3, progress=stop)
    assert len(offers) < 2 * 105
