"""Clusters for colouring."""

from __future__ import annotations

import numpy as np
import pytest

from tests.spaces.standins import angle, space
from workbench.errors import DataError
from workbench.spaces.clusters import clusters


def groups(*sizes: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    middles = 10 * np.eye(8)
    return np.vstack([middles[n] + rng.normal(size=(size, 8)) for n, size in enumerate(sizes)])


def test_far_groups_are_clusters_and_the_largest_is_the_first() -> None:
    assert clusters(space(groups(5, 20, 10)), count=3) == (*["cluster 3"] * 5, *["cluster 1"] * 20, *["cluster 2"] * 10)


def test_the_same_seed_gives_the_same_clusters() -> None:
    made = space(np.random.default_rng(0).normal(size=(200, 8)))
    assert clusters(made, seed=1) == clusters(made, seed=1)


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 1), (8, 2), (50, 5), (1000, 12)])
def test_their_number_follows_from_the_number_of_texts(n: int, expected: int) -> None:
    assert len(set(clusters(space(np.random.default_rng(0).normal(size=(n, 6)))))) == expected


def test_length_does_not_matter() -> None:
    rows = np.array([angle(0), angle(2), angle(90), angle(92)]) * np.array([[1], [1000], [1], [1000]])
    names = clusters(space(rows), count=2)
    assert names[0] == names[1] != names[2] == names[3]


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_text_without_a_direction_is_in_no_cluster(bad: float) -> None:
    assert clusters(space(np.vstack([np.eye(2), np.full((1, 2), bad)])), count=1) == (
        "cluster 1",
        "cluster 1",
        "no vector",
    )


def test_fewer_come_where_fewer_vectors_differ() -> None:
    assert set(clusters(space(np.tile(np.eye(2), (5, 1))), count=4)) == {"cluster 1", "cluster 2"}


def test_nothing_has_no_clusters() -> None:
    assert clusters(space(np.zeros((0, 3)))) == ()
    assert clusters(space(np.zeros((2, 3)))) == ("no vector", "no vector")


def test_no_clusters_at_all_is_an_odd_wish() -> None:
    with pytest.raises(DataError, match="at least 1 cluster, got 0"):
        clusters(space(np.eye(3)), count=0)
