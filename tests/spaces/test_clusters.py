"""Clusters for colouring, and the words that they are called by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.spaces.standins import angle, space
from workbench.errors import DataError
from workbench.spaces import clusters as module
from workbench.spaces.clusters import clusters, typical_words, words_of


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


def called(texts: list[str], *sizes: int) -> list[str]:
    """Names of the clusters of far groups of so many texts, in order."""
    made = replace(space(groups(*sizes)), texts=tuple(texts))
    return list(dict.fromkeys(clusters(made, count=len(sizes))))


def test_a_cluster_is_called_by_the_words_that_are_typical_of_it() -> None:
    cats = ["the cat purrs in the sun", "a cat and the milk it purrs for", "the milk of the cat", "one cat"]
    cars = ["the road and a car", "the car brakes on the road", "a car it is"]
    assert called([*cats, *cars], 4, 3) == ["cluster 1: milk, purrs, cat", "cluster 2: car, road"]


def test_words_that_are_everywhere_are_typical_of_nothing_in_any_language() -> None:
    texts = [f"der die das und {word}" for word in ("katze", "katze", "katze", "auto", "auto")]
    assert called(texts, 3, 2) == ["cluster 1: katze", "cluster 2: auto"]


def test_a_word_of_one_text_is_not_typical_of_a_cluster_of_many() -> None:
    words = typical_words(["red one", "red two", "blue three", "blue four"], np.array([0, 0, 1, 1]))
    assert words == [["red"], ["blue"]]
    assert typical_words(["red one", "blue"], np.array([0, 1])) == [["one", "red"], ["blue"]]


def test_one_word_stands_for_those_that_begin_alike() -> None:
    texts = ["gradient gradients step", "gradient gradients step", "tree trees leaf", "tree trees leaf"]
    assert typical_words(texts, np.array([0, 0, 1, 1])) == [["gradient", "step"], ["leaf", "tree"]]


@pytest.mark.parametrize("text", ["", "1 2 3", "!?", "same words", "x" * 100, "<img src=x onerror=alert(1)>"])
def test_where_no_word_is_typical_the_number_is_the_name(text: str) -> None:
    assert called([text] * 5, 3, 2) == ["cluster 1", "cluster 2"]


def test_one_cluster_has_nothing_to_differ_from() -> None:
    assert called(["cat", "cat", "dog"], 3) == ["cluster 1"]


def test_names_differ_also_where_the_words_are_the_same() -> None:
    texts = ["cat", "cat", "cat", "cat", "cat", "dog", "dog", "dog", "dog", "dog", "dog"]
    assert len(set(called(texts, 3, 2, 6))) == 3


def test_names_hold_letters_and_digits_of_the_texts_only() -> None:
    names = called(["<b>cat</b>&quot;"] * 3 + ["dog' onclick="] * 2, 3, 2)
    assert names == ["cluster 1: cat, quot", "cluster 2: dog, onclick"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("الْكِتَابُ جديد", ["الْكِتَابُ", "جديد"]),
        ("รถยนต์", ["รถยนต์"]),
        ("می\u200cروم", ["می\u200cروم"]),
        ("cafe\u0301", ["café"]),
        ("don't 'quote' l’école", ["don't", "quote", "l’école"]),
        ("a 1st snake_case x2", ["x2"]),
    ],
)
def test_words_are_whole_in_all_scripts(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("count", [2.5, "2", True])
def test_a_count_that_is_no_whole_number_is_refused(count: object) -> None:
    with pytest.raises(DataError, match=r"expected count= a whole number of at least 1 cluster, got"):
        clusters(space(np.eye(3)), count=count)  # type: ignore[arg-type]


def test_of_many_texts_a_sample_is_read_for_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORDS_FROM", 30)
    texts = ["cat milk"] * 100 + ["car road"] * 100
    assert typical_words(texts, np.repeat([0, 1], 100)) == [["cat", "milk"], ["car", "road"]]
    drawn = [typical_words([*texts[:100], "rare"], np.array([0] * 100 + [1]), seed=seed)[1] for seed in range(8)]
    assert {tuple(words) for words in drawn} == {(), ("rare",)}
