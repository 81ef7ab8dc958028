"""Maps of any space, however small or broken."""

from __future__ import annotations

import numpy as np
import pytest

from tests.spaces.standins import random_vector, space
from workbench.errors import DataError
from workbench.spaces import project as module
from workbench.spaces.encode import Space
from workbench.spaces.project import Projection, pca, project

Calls = list[tuple[np.ndarray, int, int, np.ndarray]]


def clusters(n: int = 15) -> Space:
    """Three far clusters, an equal vector twice, a zero and a NaN vector."""
    rng = np.random.default_rng(0)
    rows = np.vstack([10 * np.eye(6)[place] + rng.normal(size=(n, 6)) for place in range(3)])
    rows[1] = rows[0]
    rows[2], rows[3] = 0, np.nan
    return space(rows, labels=[str(place) for place in range(3) for _ in range(n)])


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Replaces UMAP, whose compilation takes many seconds; holds what it was asked for."""
    asked: Calls = []

    def stand_in(unit: np.ndarray, k: int, seed: int, start: np.ndarray) -> tuple[np.ndarray, str]:
        asked.append((unit, k, seed, start))
        return start.astype(np.float32), "0.0"

    monkeypatch.setattr(module, "_umap", stand_in)
    return asked


@pytest.fixture(scope="module")
def drawn() -> tuple[Projection, Projection, Projection]:
    """The same space drawn twice with one seed and once with another, by the real UMAP."""
    return project(clusters(), seed=3), project(clusters(), seed=3), project(clusters(), seed=4)


def test_umap_keeps_neighbours_together_and_repeats_itself(drawn: tuple[Projection, ...]) -> None:
    first, again, other = drawn
    np.testing.assert_array_equal(first.xy, again.xy)
    assert not np.array_equal(first.xy[4:], other.xy[4:])
    assert (first.engine, first.seed, first.neighbours) == ("umap", 3, 15)
    assert first.xy.dtype == np.float32
    # texts without a direction have no place, all others have one
    assert np.flatnonzero(np.isnan(first.xy).any(axis=1)).tolist() == [2, 3]
    assert first.left_out == 2
    labels = np.array(first.space.labels)
    centres = {name: np.nanmean(first.xy[labels == name], axis=0) for name in "012"}
    placed = np.isfinite(first.xy[:, 0])
    nearest = [min(centres, key=lambda name: float(np.linalg.norm(centres[name] - at))) for at in first.xy[placed]]
    assert nearest == labels[placed].tolist()


def test_small_spaces_with_copies_are_drawn_by_umap_too(drawn: tuple[Projection, ...]) -> None:
    for rows in (np.eye(4), np.vstack([np.eye(4)] * 5), np.vstack([np.eye(5), np.zeros((2, 5))])):
        made = project(space(rows))
        assert made.engine == "umap"
        assert np.isfinite(made.xy[made.space.usable]).all()


# without UMAP


@pytest.mark.parametrize(("n", "distinct"), [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_up_to_three_texts_are_drawn_by_pca(n: int, distinct: int, layouts: Calls) -> None:
    made = project(space(np.eye(5)[:n] if n else np.zeros((0, 5))))
    assert layouts == []
    assert (made.engine, made.neighbours, made.trustworthiness) == ("pca", 0, None)
    assert made.xy.shape == (n, 2)
    assert np.isfinite(made.xy).all()
    assert made.why == f"{distinct} distinct usable vectors, UMAP needs 4"
    assert made.why in made.caption


def test_texts_that_are_all_alike_lie_on_one_place(layouts: Calls) -> None:
    rows = np.tile(random_vector("a", 40), (50, 1)) * np.linspace(0.1, 9, 50)[:, None]
    made = project(space(rows))
    assert layouts == []
    assert (made.xy == 0).all()
    assert "1 distinct usable vectors" in made.caption


def test_copies_of_three_texts_are_drawn_by_pca_at_three_places(layouts: Calls) -> None:
    made = project(space(np.vstack([np.eye(3)] * 10)))
    assert made.engine == "pca"
    assert len(np.unique(made.xy.round(4), axis=0)) == 3


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_texts_without_a_direction_have_no_place_and_are_counted(bad: float, layouts: Calls) -> None:
    rows = np.vstack([np.eye(3), np.full((2, 3), bad)])
    made = project(space(rows))
    assert np.isnan(made.xy).any(axis=1).tolist() == [False, False, False, True, True]
    assert ", 2 left out (zero or not finite vectors)" in made.caption


def test_a_space_without_any_direction_is_an_empty_map(layouts: Calls) -> None:
    made = project(space(np.full((6, 3), np.nan)))
    assert np.isnan(made.xy).all()
    assert (made.engine, made.left_out) == ("pca", 6)


# what UMAP is asked for


def test_only_usable_vectors_are_laid_out_with_fewer_neighbours_where_there_are_few(layouts: Calls) -> None:
    project(space(np.vstack([np.eye(6), np.zeros((3, 6))])), seed=5, neighbours=15)
    ((unit, k, seed, start),) = layouts
    assert (unit.shape, k, seed, start.shape) == ((6, 6), 5, 5, (6, 2))


def test_a_map_starts_from_the_positions_of_another_map(layouts: Calls) -> None:
    made = clusters()
    positions = np.arange(2.0 * len(made)).reshape(-1, 2)
    project(made, start=positions)
    np.testing.assert_array_equal(layouts[0][3], positions[made.usable])


def test_texts_that_had_no_place_before_start_from_pca(layouts: Calls) -> None:
    made = clusters()
    positions = np.zeros((len(made), 2))
    positions[[0, 2, 5]] = np.nan
    project(made, start=positions)
    start = layouts[0][3]
    assert np.isfinite(start).all()
    assert (start == 0).all(axis=1).sum() == made.usable.sum() - 2


@pytest.mark.parametrize(
    ("n", "limit", "why"),
    [(30, 20_000, "fewer than 3 neighbourhoods of texts"), (60, 50, "not measured above 50 texts")],
)
def test_trustworthiness_that_is_not_measured_says_why(
    n: int, limit: int, why: str, layouts: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRUST_UP_TO", limit)
    made = project(space(np.random.default_rng(0).normal(size=(n, 6))), neighbours=15)
    assert (made.trustworthiness, made.why) == (None, why)
    assert made.caption.endswith(f"trustworthiness undefined: {why}")


def test_trustworthiness_is_high_for_a_faithful_map(layouts: Calls) -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    made = project(space(np.c_[np.cos(turn), np.sin(turn)]), neighbours=5)
    assert made.trustworthiness > 0.99
    trust = f"trustworthiness {made.trustworthiness:.3f}"
    assert made.caption == f"60 texts, a model; UMAP 0.0, 5 neighbours, seed 0; {trust}"


def test_a_neighbourhood_has_at_least_one_neighbour() -> None:
    with pytest.raises(DataError, match="expected at least 1 neighbour, got 0; 15 is usual"):
        project(clusters(), neighbours=0)


# PCA


def test_pca_agrees_with_scikit_learn_up_to_sign_and_size() -> None:
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32) * np.arange(1, 8)
    mine, theirs = pca(rows), PCA(2).fit_transform(rows)
    assert np.abs(mine).max() == pytest.approx(10)
    for axis in range(2):
        assert abs(np.corrcoef(mine[:, axis], theirs[:, axis])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_pca_of_vectors_with_one_dimension_is_a_line() -> None:
    made = pca(np.array([[1.0], [2.0], [4.0]], dtype=np.float32))
    assert (made[:, 1] == 0).all()
    assert np.ptp(made[:, 0]) > 0


def test_pca_of_the_same_rows_is_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    np.testing.assert_array_equal(pca(rows), pca(rows.copy()))
