"""Neighbours, ties and positions, beside what umap-learn and scikit-learn make of the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.spaces import layout
from workbench.spaces.layout import Graph, aligned, exact_neighbours, fuzzy_graph, lay_out
from workbench.spaces.neighbours import nearest


def groups(n: int = 300, d: int = 12, count: int = 4) -> np.ndarray:
    """Unit rows around a few far centres, row number modulo `count`; float32."""
    draw = np.random.default_rng(0)
    rows = 4 * np.eye(d)[np.arange(n) % count] + draw.normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ties(unit: np.ndarray, k: int = 15) -> Graph:
    return fuzzy_graph(*exact_neighbours(unit, k))


def turned(xy: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return xy @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


# neighbours


def test_neighbours_are_those_of_the_whole_matrix() -> None:
    unit = groups()
    rows, distances = exact_neighbours(unit, 9)
    expected, cosine = nearest(unit, unit, 9, exclude_self=True)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(distances, (1 - cosine).clip(0), atol=1e-6)


def test_no_row_is_its_own_neighbour_among_more_copies_than_neighbours() -> None:
    unit = np.repeat(np.eye(4, dtype=np.float32), [12, 1, 1, 1], axis=0)
    rows, distances = exact_neighbours(unit, 3)
    assert not (rows == np.arange(15)[:, None]).any()
    assert (rows[:12] < 12).all() and (distances[:12] == 0).all() and (distances[12:] == 1).all()


# ties


def test_ties_are_those_of_umap_learn() -> None:
    from scipy.sparse import coo_matrix
    from umap.umap_ import fuzzy_simplicial_set

    unit = groups()
    unit[7] = unit[3]
    unit[11:30] = unit[10]  # more copies than neighbours
    rows, distances = exact_neighbours(unit, 15)
    # umap-learn counts a row as its own first neighbour
    theirs = fuzzy_simplicial_set(
        unit,
        16,
        np.random.RandomState(0),
        "cosine",
        knn_indices=np.c_[np.arange(300), rows],
        knn_dists=np.c_[np.zeros(300, np.float32), distances],
    )[0].toarray()
    made = fuzzy_graph(rows, distances)
    mine = coo_matrix((made.weight, (made.head, made.tail)), shape=(300, 300)).toarray()
    np.testing.assert_allclose(mine, theirs, atol=2e-4)
    assert (np.count_nonzero(mine, axis=1) >= 15).all()


def test_each_row_is_tied_to_another_with_all_strength_and_both_ways() -> None:
    made = ties(groups(60), 5)
    strongest = np.zeros(60)
    np.maximum.at(strongest, made.head, made.weight)
    np.testing.assert_allclose(strongest, 1, atol=1e-6)
    there = dict(zip(zip(made.head.tolist(), made.tail.tolist(), strict=True), made.weight, strict=True))
    assert all(there[tail, head] == weight for (head, tail), weight in there.items())
    assert (np.diff(made.head) >= 0).all()


# positions


def test_groups_come_apart_and_keep_together() -> None:
    unit = groups()
    start = np.random.default_rng(1).normal(size=(300, 2))
    placed = lay_out(ties(unit), start, seed=0, rounds=200)
    assert placed.shape == (300, 2) and placed.dtype == np.float32
    centres = np.stack([placed[group::4].mean(axis=0) for group in range(4)])
    closest = np.linalg.norm(placed[:, None] - centres, axis=2).argmin(axis=1)
    assert (closest == np.arange(300) % 4).mean() > 0.98


def test_a_seed_gives_the_same_positions_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, start = ties(groups()), groups()[:, :2]
    first = lay_out(graph, start, seed=1, rounds=50)
    for cores, part in ((1, 500), (5, 500)):
        monkeypatch.setattr(layout, "cores", lambda cores=cores: cores)
        monkeypatch.setattr(layout, "PART", part)
        np.testing.assert_array_equal(lay_out(graph, start, seed=1, rounds=50), first)
    assert not np.array_equal(lay_out(graph, start, seed=2, rounds=50), first)


def test_copies_on_one_place_get_places_of_their_own() -> None:
    unit = np.repeat(groups(4), 6, axis=0)
    placed = lay_out(ties(unit), np.zeros((24, 2)), seed=0, rounds=100)
    assert np.isfinite(placed).all() and len(np.unique(placed, axis=0)) == 24


def test_rounds_are_reported() -> None:
    seen: list[tuple[int, int]] = []
    lay_out(ties(groups(20), 4), np.zeros((20, 2)), seed=0, rounds=3, progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]


# one frame


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_turned_mirrored_moved_and_larger_map_comes_back(mirror: int) -> None:
    onto = np.random.default_rng(0).normal(size=(50, 2))
    other = 7 * turned(onto * [1, mirror], 130) + [100, -3]
    np.testing.assert_allclose(aligned(other, onto), onto, atol=1e-4)


def test_a_map_is_turned_as_well_as_it_can_be() -> None:
    draw = np.random.default_rng(0)
    onto, other = draw.normal(size=(50, 2)), draw.normal(size=(50, 2))
    best = np.linalg.norm(aligned(other, onto) - onto)
    away = aligned(other, onto) - onto.mean(axis=0)
    assert all(np.linalg.norm(turned(away, by) + onto.mean(axis=0) - onto) >= best for by in range(5, 360, 5))
    assert np.linalg.norm(away) == pytest.approx(np.linalg.norm(onto - onto.mean(axis=0)), rel=1e-5)


def test_a_map_stays_as_large_as_it_is_beside_one_that_is_a_single_place() -> None:
    other = np.random.default_rng(0).normal(size=(9, 2))
    moved = aligned(other, np.full((9, 2), 5.0))
    np.testing.assert_allclose(moved.mean(axis=0), [5, 5], atol=1e-5)
    assert np.linalg.norm(moved - 5) == pytest.approx(np.linalg.norm(other - other.mean(axis=0)), rel=1e-5)
