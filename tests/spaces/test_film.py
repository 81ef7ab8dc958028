"""A film in numbers and on one plane."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.films import film
from workbench.errors import DataError
from workbench.spaces.film import film_maps


def test_the_share_of_variance_is_that_of_the_two_largest_singular_values_of_all_moments_together() -> None:
    made = film()
    units = np.concatenate([made.space(place).unit for place in range(len(made))]).astype(float)
    values = np.linalg.svd(units - units.mean(axis=0), compute_uv=False) ** 2
    assert film_maps(made).shown == pytest.approx(values[:2].sum() / values.sum(), rel=1e-3)


def test_one_projection_places_equal_vectors_alike_at_every_moment() -> None:
    vectors = np.repeat(np.random.default_rng(1).normal(size=(1, 12, 6)), 3, axis=0)
    vectors[2, 5] = -vectors[2, 5]
    maps = film_maps(film(vectors)).maps
    assert np.allclose(maps[0].xy, maps[1].xy)
    moved = np.flatnonzero(np.abs(maps[2].xy - maps[0].xy).max(axis=1) > 1e-4)
    assert moved.tolist() == [5]


def test_places_are_a_linear_image_of_the_vectors() -> None:
    made = film()
    drawn = film_maps(made)
    units = np.concatenate([made.space(place).unit for place in range(len(made))]).astype(float)
    xy = np.concatenate([its.xy for its in drawn.maps]).astype(float)
    with_one = np.hstack([units, np.ones((len(units), 1))])
    fitted = with_one @ np.linalg.lstsq(with_one, xy, rcond=None)[0]
    assert np.abs(fitted - xy).max() < 1e-3


def test_umap_starts_each_moment_from_the_next_so_that_little_change_moves_little() -> None:
    vectors = np.random.default_rng(1).normal(size=(1, 60, 16)).repeat(3, axis=0)
    vectors[0] += 0.01 * np.random.default_rng(2).normal(size=(60, 16))
    told: list[tuple[int, int]] = []
    drawn = film_maps(film(vectors), engine="umap", progress=lambda done, total: told.append((done, total)))
    assert drawn.engine == "umap" and told == [(1, 3), (2, 3), (3, 3)]
    (left, right), (low, high) = drawn.spans
    moved = np.linalg.norm(drawn.maps[0].xy - drawn.maps[2].xy, axis=1)
    assert np.median(moved) < 0.2 * np.hypot(right - left, high - low)
    assert "trustworthiness at the first and the last moment 0." in drawn.caption


def test_the_caption_says_how_it_was_drawn_of_what_and_what_it_took() -> None:
    caption = film_maps(film()).caption
    assert caption.startswith("PCA: one projection for all moments, so that what moves has moved; it shows ")
    assert (
        "% of the variance. base, 30 of 400 distinct texts of the evaluation rows of glossary/qa, seed 42." in caption
    )
    assert caption.endswith("4 frames of 30 texts took 2 s (2.0% of the time in training steps)")
    assert "all 30 texts of the evaluation rows" in film_maps(film(distinct=30)).caption


def test_the_numbers_begin_unchanged_and_follow_the_space() -> None:
    numbers = film().numbers
    assert numbers[0].changed == 0 and numbers[-1].changed > numbers[1].changed > 0
    assert all(-1 <= its.mean_cosine <= 1 and 1 <= its.effective_rank <= 8 for its in numbers)


@pytest.mark.parametrize("engine", ["pca", "umap"])
@pytest.mark.parametrize(
    ("vectors", "why"),
    [
        (np.zeros((3, 5, 4)), "0 texts with a vector are too few"),
        (np.ones((3, 1, 4)), "1 texts with a vector are too few"),
        (np.ones((3, 6, 4)), "alike"),
    ],
)
def test_where_there_is_nothing_to_draw_it_says_why(vectors: np.ndarray, why: str, engine: str) -> None:
    made = film(vectors)
    drawn = film_maps(made, engine=engine)
    assert drawn.engine == "pca" and drawn.shown is None and drawn.why
    assert drawn.why in drawn.caption and why in made.numbers[-1].why
    assert np.isfinite(drawn.spans).all()
    json.dumps(drawn.to_json(), allow_nan=False)


def test_texts_without_a_vector_at_one_moment_have_no_place_there_only() -> None:
    vectors = np.random.default_rng(1).normal(size=(2, 8, 4))
    vectors[1, 3] = 0
    maps = film_maps(film(vectors)).maps
    assert np.isnan(maps[1].xy[3]).all() and np.isfinite(maps[0].xy).all()
    assert np.isfinite(np.delete(maps[1].xy, 3, axis=0)).all()


def test_the_loss_of_a_moment_is_the_last_one_recorded_before_it() -> None:
    made = film(steps=(1, 12), losses=(3.0, 1.0))
    assert [made.loss_at(place) for place in range(4)] == [None, 3.0, 1.0, 1.0]


def test_the_record_is_plain_and_holds_no_text() -> None:
    record = film_maps(film(texts=["<secret>"] * 30)).to_json()
    plain = json.dumps(record, allow_nan=False)
    assert "secret" not in plain and len(record["moments"]) == 4
    assert record["share"] == 0.02 and record["engine"] == "pca" and record["moments"][1]["step"] == 10


def test_another_engine_or_seed_is_refused() -> None:
    with pytest.raises(DataError, match="expected engine= pca or umap, got 'tsne'"):
        film_maps(film(), engine="tsne")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="whole number from 0"):
        film_maps(film(), seed=-1)
