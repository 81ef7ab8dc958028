"""What is said of a map, beside what scikit-learn and SciPy say of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.spaces.test_layout import groups
from workbench.spaces.faithful import PAIRS, faithfulness


def blurred(unit: np.ndarray) -> np.ndarray:
    """A poor map: two of the dimensions and noise."""
    return unit[:, :2] + np.random.default_rng(3).normal(scale=0.1, size=(len(unit), 2))


def arc(n: int) -> np.ndarray:
    """Unit rows along half a circle, no two steps alike."""
    turn = np.cumsum(np.random.default_rng(5).uniform(0.5, 1.5, size=n)) / n * 2
    return np.c_[np.cos(turn), np.sin(turn)].astype(np.float32)


def test_trustworthiness_and_continuity_are_those_of_scikit_learn() -> None:
    from sklearn.manifold import trustworthiness

    unit = groups(200)
    made = faithfulness(unit, blurred(unit), k=12)
    assert made.trustworthiness == pytest.approx(trustworthiness(unit, blurred(unit), n_neighbors=12, metric="cosine"))
    assert made.continuity == pytest.approx(trustworthiness(blurred(unit), unit, n_neighbors=12))
    assert made.trustworthiness < 0.95 and made.continuity != pytest.approx(made.trustworthiness, abs=1e-4)


def test_a_sample_of_rows_comes_near_to_all_of_them_and_is_stated() -> None:
    unit = groups(600)
    whole = faithfulness(unit, blurred(unit))
    part = faithfulness(unit, blurred(unit), ranked_up_to=150, seed=4)
    assert part.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.02)
    assert part.trustworthiness != whole.trustworthiness
    assert part.continuity == pytest.approx(whole.continuity, abs=0.02)
    np.testing.assert_array_equal(part.kept, whole.kept)
    assert "15 nearest on the map of 150 of 600 texts, seed 4" in part.sentences[0]
    assert "15 nearest in the space of 150 of 600 texts, seed 4" in part.sentences[1]


def test_the_correlation_of_distances_is_that_of_scipy() -> None:
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    unit = groups(200)
    unit[:40] = unit[0]  # equal distances
    expected = spearmanr(pdist(unit, "cosine").round(6), pdist(blurred(unit))).statistic
    assert faithfulness(unit, blurred(unit)).rank_correlation == pytest.approx(expected, abs=0.02)
    assert faithfulness(arc(60), 5 * arc(60)).rank_correlation == pytest.approx(1, abs=1e-4)


def test_a_faithful_map_has_kept_everything() -> None:
    made = faithfulness(arc(101), 3 * arc(101) + 8, k=10)
    assert (made.trustworthiness, made.continuity, made.overlap) == (1, 1, 1)
    assert (made.kept == 1).all() and made.kept.dtype == np.float32


def test_places_drawn_at_random_keep_what_chance_keeps() -> None:
    unit = groups(500)
    made = faithfulness(unit, np.random.default_rng(0).normal(size=(500, 2)))
    assert made.trustworthiness == pytest.approx(0.5, abs=0.03)
    assert made.continuity == pytest.approx(0.5, abs=0.03)
    assert made.overlap == pytest.approx(10 / 499, abs=0.01)
    assert abs(made.rank_correlation) < 0.05


def test_a_text_that_was_torn_away_has_kept_nothing_and_the_others_nearly_all() -> None:
    xy = arc(60).copy()
    xy[7] *= -1  # to the other side of the circle
    kept = faithfulness(arc(60), xy, k=5).kept
    assert kept[7] == 0
    assert kept[[20, 50]].tolist() == [1, 1] and np.delete(kept, 7).mean() > 0.95


@pytest.mark.parametrize("n", [0, 1, 2])
def test_up_to_two_texts_have_no_neighbourhoods_to_keep(n: int) -> None:
    made = faithfulness(arc(5)[:n], arc(5)[:n])
    assert (made.trustworthiness, made.continuity, made.overlap, made.rank_correlation) == (None,) * 4
    assert made.kept.shape == (n,) and np.isnan(made.kept).all()
    assert "undefined: fewer than 3 texts" in made.sentences[2]


def test_with_few_texts_half_of_the_others_are_neighbours_and_ranks_are_undefined() -> None:
    made = faithfulness(arc(7), arc(7))
    assert (made.shown, made.overlap, made.trustworthiness) == (3, pytest.approx(1), None)
    assert "undefined: 7 texts are fewer than 3 neighbourhoods of 6" in made.sentences[0]


def test_a_map_of_one_place_has_no_order_of_distances() -> None:
    made = faithfulness(arc(40), np.zeros((40, 2)))
    assert made.rank_correlation is None
    assert "undefined: all distances are the same" in made.sentences[3]


def test_each_number_says_what_it_was_measured_on_and_what_it_means() -> None:
    trust, continuity, overlap, rho = faithfulness(arc(80), arc(80), seed=9).sentences
    assert trust.startswith("Trustworthiness 1.000 (15 nearest on the map of 80 of 80 texts, seed 9): 1 where no text")
    assert continuity.startswith(
        "Continuity 1.000 (15 nearest in the space of 80 of 80 texts, seed 9): 1 where no text"
    )
    assert overlap.startswith("Neighbour overlap 1.000 (all 80 texts): the share of the 10 nearest texts")
    assert rho.startswith(f"Rank correlation of distances 1.000 ({PAIRS:,} pairs, seed 9, Spearman): 1 where far")
