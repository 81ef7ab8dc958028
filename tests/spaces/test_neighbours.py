"""Nearest neighbours are exact, also in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spaces.standins import angle, when_cancelled
from workbench.spaces import neighbours
from workbench.spaces.neighbours import best, nearest


def unit(n: int, d: int = 6, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_hand(queries: np.ndarray, corpus: np.ndarray, k: int, *, exclude_self: bool = False) -> np.ndarray:
    found = []
    for number, query in enumerate(queries):
        scored = [(-float(query @ row), place) for place, row in enumerate(corpus)]
        if exclude_self:
            scored.pop(number)
        found.append([place for _, place in sorted(scored)[:k]])
    return np.array(found)


@pytest.mark.parametrize("k", [1, 3, 39, 40, 100])
@pytest.mark.parametrize("block_bytes", [1, 4 * 40 * 7, 2**20])
def test_neighbours_are_those_of_a_full_search_whatever_the_block(
    k: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", block_bytes)
    queries, corpus = unit(23, seed=1), unit(40, seed=2)
    rows, scores = nearest(queries, corpus, k)
    np.testing.assert_array_equal(rows, by_hand(queries, corpus, k))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ corpus.T, rows, axis=1), rtol=1e-5)
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("block_bytes", [1, 4 * 40 * 7, 2**20])
def test_no_row_is_its_own_neighbour_when_asked_for(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", block_bytes)
    rows = unit(40)
    found, _ = nearest(rows, rows, 10, exclude_self=True)
    np.testing.assert_array_equal(found, by_hand(rows, rows, 10, exclude_self=True))
    assert nearest(rows, rows, 100, exclude_self=True)[0].shape == (40, 39)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 2500), st.integers(1, 40), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_the_best_are_those_of_a_stable_sort_whatever_is_equal(b: int, n: int, k: int, values: int, seed: int) -> None:
    block = np.random.default_rng(seed).integers(-values, values, (b, n)).astype(np.float32)
    k = min(k, n)
    columns, found = best(block, k)
    expected = np.argsort(-block, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(columns, expected)
    np.testing.assert_array_equal(found, np.take_along_axis(block, expected, axis=1))


def test_the_best_are_found_beside_what_is_excluded_and_where_everything_is_equal() -> None:
    block = np.full((3, 1500), 0.5, dtype=np.float32)
    block[0, 7] = -np.inf
    block[2, 1400] = 0.75
    assert best(block, 1499)[0][0].tolist() == [*range(7), *range(8, 1500)]
    assert [row.tolist() for row in best(block, 3)[0]] == [[0, 1, 2], [0, 1, 2], [1400, 0, 1]]


def test_what_is_done_is_reported_and_who_stops_it_does_not_wait_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS", 1)
    rows, looked_up = unit(300), []
    seen: list[tuple[int, int]] = []
    nearest(rows[:4], rows, 3, progress=lambda *now: seen.append(now))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    cancelled = when_cancelled(monkeypatch, neighbours)

    def slow(block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        looked_up.append(1)
        assert block.argmax() == 0 or cancelled.wait(60)  # the first row is its own nearest; the others come later
        return best(block, k)

    monkeypatch.setattr(neighbours, "best", slow)
    with pytest.raises(KeyboardInterrupt):
        nearest(rows, rows, 3, progress=stop)
    assert len(looked_up) < 300


@pytest.mark.parametrize("n", [20, 300])
def test_ties_go_to_the_lower_row_also_at_the_last_place(n: int) -> None:
    corpus = np.array([angle(90), angle(0), *[angle(45)] * n, angle(0)], dtype=np.float32)
    rows, _ = nearest(np.array([angle(0)], dtype=np.float32), corpus, 6)
    assert rows[0].tolist() == [1, n + 2, 2, 3, 4, 5]


def test_a_copy_of_a_row_is_its_neighbour() -> None:
    rows = np.array([angle(0), angle(90), angle(0), angle(90)], dtype=np.float32)
    assert nearest(rows, rows, 1, exclude_self=True)[0].ravel().tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("queries", "corpus", "k", "exclude_self", "shape"),
    [
        (0, 5, 3, False, (0, 3)),
        (5, 0, 3, False, (5, 0)),
        (0, 0, 3, True, (0, 0)),
        (1, 1, 3, True, (1, 0)),
        (4, 4, 0, False, (4, 0)),
        (2, 2, 9, True, (2, 1)),
    ],
)
def test_few_rows_give_few_neighbours(
    queries: int, corpus: int, k: int, exclude_self: bool, shape: tuple[int, int]
) -> None:
    rows, scores = nearest(unit(queries), unit(corpus), k, exclude_self=exclude_self)
    assert rows.shape == scores.shape == shape
