"""Two models on one table: what is told apart from noise, what is undefined, and odd models and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.runs import MakeRun
from tests.spaces.standins import Model, random_vector, space
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError, ModelError
from workbench.spaces import evaluate as scoring
from workbench.spaces.compare import NeighbourChange, neighbour_change
from workbench.spaces.comparing import base_of, compare, comparing, name_of
from workbench.spaces.displacement import Displacement, displacement
from workbench.spaces.encode import Space
from workbench.spaces.evaluate import Change
from workbench.spaces.project import Projection, project
from workbench.spaces.stages import recipe_of

TOPICS = 6


def call(function: Any, *given: Any, **options: Any) -> Any:
    return function(*given, **options)


def pairs(n: int = 60) -> Examples:
    rows = {"anchor": [f"question {row}" for row in range(n)], "positive": [f"answer {row}" for row in range(n)]}
    return load(pd.DataFrame(rows))


def topical(text: str, shift: int = 0, d: int = 8) -> np.ndarray:
    """Texts lie around the middle of their topic; a shift gives every fourth text another topic."""
    number = int(text.split()[-1])
    topic = (number + (shift if number % 4 == 0 else 0)) % TOPICS
    return 3 * random_vector(f"topic {topic}", d) + random_vector(text, d)


def base() -> Model:
    return Model(topical, "base", 8)


def moved(d: int = 8) -> Model:
    return Model(lambda text: topical(text, 3, d), f"moved {d}", d)


def test_two_models_are_compared_in_all_ways_at_once() -> None:
    made = compare(base(), moved(), pairs(), resamples=100)
    assert {"before", "after", "delta", "gained", "lost"} <= vars(made).keys() and isinstance(made, Change)
    assert made.neighbours is not None and made.displacement is not None and made.similarity is not None
    assert [len(side.space) for side in made.maps or ()] == [120, 120] and len(made.labels or ()) == 120
    assert made.about.endswith("60 rows of DataFrame; maps and neighbours of 120 distinct texts")
    assert made.sentences[0].startswith("cosine_ndcg@10 changed by") and "of 60 queries" in made.sentences[0]
    assert all(sentence in made._repr_html_() for sentence in made.sentences[1:])


def test_texts_that_changed_their_topic_moved_more_than_the_noise_and_farther_than_the_others() -> None:
    made = compare(base(), moved(), pairs(150), resamples=0)
    way = made.displacement
    assert way is not None and not way.within_noise and "more than the noise" in way.sentence
    went = np.array([int(text.split()[-1]) % 4 == 0 for text in made.texts])
    assert way.beyond[went].mean() > 0.6 and way.beyond[~went].mean() < way.beyond[went].mean()
    assert np.median(way.distance[went]) > np.median(way.distance[~went])
    assert way.said(int(np.flatnonzero(way.beyond)[0])) == "more than the noise"
    assert set(made.farthest(5)) <= set(np.flatnonzero(way.beyond))


def test_the_same_model_moves_no_more_than_the_noise_and_changes_no_neighbour() -> None:
    made = compare(base(), base(), pairs(), resamples=100)
    assert made.neighbours is not None and made.neighbours.mean.value == 0
    assert made.displacement is not None and made.displacement.within_noise
    assert made.sentences[2].endswith("within the noise.") and "within noise; of 60" in made.sentences[0]
    assert (made.gained, made.lost) == ([], [])


def test_the_noise_is_that_of_other_seeds_of_the_first_model() -> None:
    made = compare(base(), moved(), pairs(), seed=4, resamples=0)
    way = made.displacement
    assert made.maps is not None and way is not None
    first = made.maps[0]
    again = project(first.space, seed=5, start=first.xy)
    np.testing.assert_allclose(way.noise[0], np.linalg.norm(again.xy - first.xy, axis=1), rtol=1e-5)
    assert way.seeds == (4, 5, 6, 7, 8, 9, 10, 11) and way.noise.shape == (7, 120)
    assert way.level == pytest.approx(np.quantile(way.noise, 0.95))
    assert "at most" in way.sentence and "(noise from 7 layouts)" in way.sentence
    assert made.to_json()["displacement"]["noise_from"] == "noise from 7 layouts"


@pytest.mark.parametrize(("texts", "layouts"), [(3, 7), (571, 7), (572, 6), (1999, 2), (2000, 1), (9000, 1)])
def test_a_small_table_is_laid_out_more_often_for_a_steady_noise(texts: int, layouts: int) -> None:
    seeds = []

    def flat(function: Any, given: Space, **options: Any) -> Projection:
        seeds.append(options["seed"])
        return Projection(given, np.zeros((texts, 2), np.float32), "umap", "", options["seed"], 15, None)

    held = space(np.ones((texts, 2)))
    first = flat(None, held, seed=2**32 - 1)
    nothing = np.zeros((texts, 1), np.int64)
    way = displacement((first, first), NeighbourChange(held, held, 1, np.zeros(texts), nothing, nothing), call=flat)
    assert len(way.noise) == layouts and seeds == [2**32 - 1, *range(layouts)] == [*way.seeds]
    assert way.noise_from == f"noise from {layouts} layout{'s' if layouts > 1 else ''}"


def test_no_more_texts_than_moved_in_one_layout_of_the_same_model_are_within_the_noise() -> None:
    noise = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (7, 1))
    noise[3, :30] = noise[4, :5] = 3.0
    distance = np.repeat(np.array([2.0, 0.1], np.float32), [20, 80])
    way = Displacement(distance, noise, tuple(range(8)))
    assert way.share.low is not None and 0.05 < way.share.low < way.most == 0.3 and way.within_noise
    assert "5% do, at most 30% (noise from 7 layouts): within the noise." in way.sentence
    assert not Displacement(distance, np.delete(noise, 3, axis=0), tuple(range(7))).within_noise


def test_models_of_other_dimensions_have_one_frame_too() -> None:
    made = compare(base(), moved(5), pairs(), resamples=0)
    assert made.maps is not None and made.maps[1].space.vectors.shape == (120, 5)
    assert made.neighbours is not None and made.neighbours.mean.value is not None and made.displacement is not None
    spread = [np.linalg.norm(side.xy - side.xy.mean(axis=0)) for side in made.maps]
    assert spread[0] == pytest.approx(spread[1], rel=1e-3), "turned onto the first map and scaled to its size"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_texts_are_compared_as_far_as_that_goes(n: int) -> None:
    texts = load(pd.DataFrame({"text": [f"answer {row}" for row in range(n)]}))
    made = compare(base(), moved(), texts)
    assert made.displacement is not None and made.displacement.level is None
    assert "undefined" in made.sentences[-1] and made.farthest() == ()
    assert len(made.to_frame()) == n and json.dumps(made.to_json(), allow_nan=False)


def test_no_texts_have_no_place_and_no_neighbours() -> None:
    nothing = space(np.zeros((0, 2)))
    maps = project(nothing), project(nothing)
    found = neighbour_change(nothing, nothing)
    way = displacement(maps, found, call=call)
    assert way.level is None and way.share.value is None and len(way.beyond) == 0


def test_a_collapsed_model_says_that_nothing_can_be_told() -> None:
    made = compare(base(), Model(lambda text: np.ones(8), "flat", 8), pairs(), resamples=50)
    assert made.sentences[0].startswith("The change of cosine_ndcg@10 is undefined: all 120 vectors are alike")
    assert "collapsed" in made.sentences[1] and "collapsed" in made.sentences[2]
    assert json.loads(json.dumps(made.to_json(), allow_nan=False))["displacement"]["noise_level"] is None


def test_texts_without_a_vector_under_one_model_are_undefined_and_the_others_are_not() -> None:
    broken = Model(lambda text: topical(text) * (np.nan if text == "answer 3" else 1), "broken", 8)
    made = compare(base(), broken, pairs(), resamples=50)
    row = made.texts.index("answer 3")
    assert made.displacement is not None and made.displacement.said(row) == "undefined"
    line = made.to_frame((row, 0)).to_dict("records")
    assert line[0]["came"] == [] and np.isnan(line[0]["change"]) and line[1]["change"] is not None
    assert "1 texts have a zero or not finite vector" in made.sentences[1].lower()
    assert json.dumps(made.to_json(), allow_nan=False)


def test_texts_that_are_all_alike_have_nothing_to_compare() -> None:
    made = compare(base(), moved(), load(pd.DataFrame({"text": ["answer 1"] * 9})))
    assert len(made.texts) == 1 and "undefined" in made.sentences[1]


def test_hostile_words_are_escaped_where_a_notebook_shows_them() -> None:
    bad = "<script>alert(1)</script> %{x} 7"
    made = compare(base(), moved(), load(pd.DataFrame({"anchor": [bad, "a 1"], "positive": ["b 2", "c 3"]})))
    changed = replace(made, about=bad)
    assert "<script>" not in changed._repr_html_() and bad in made.texts


def test_a_table_without_scores_is_compared_by_its_texts_alone() -> None:
    made = compare(base(), moved(), load(pd.DataFrame({"text": [f"answer {row}" for row in range(30)]})))
    assert (made.delta, len(made.gained), made.after.primary) == ({}, 0, "")
    assert made.sentences[0].startswith("No score: ") and made.neighbours is not None
    assert "delta" in made.to_json()


def test_rows_and_maps_of_labelled_texts_have_the_names_of_their_labels() -> None:
    names = [f"topic {row % 60}" for row in range(120)]
    table = load(pd.DataFrame({"text": [f"answer {row}" for row in range(120)], "category": names}),
                 columns={"text": "anchor", "category": "label"})  # fmt: skip
    made = compare(base(), moved(), table, resamples=0)
    assert made.colour == "category" and made.labels is not None and made.labels[:2] == ("topic 0", "topic 1")
    (text, label), *_ = made.lost[0]
    assert label == names[int(text.split()[-1])] and made.unit_scores((text, label))


def test_of_many_texts_a_stated_sample_is_drawn() -> None:
    made = compare(base(), moved(), pairs(), seed=2, limit=50, resamples=0)
    assert len(made.texts) == 50 and made.sampled
    assert "maps and neighbours of 50 distinct texts, a sample of 120 with seed 2" in made.about


def test_the_matrix_holds_rows_that_changed_with_what_belongs_to_them() -> None:
    made = compare(base(), moved(), pairs(), resamples=0)
    assert made.similarity is not None
    texts = made.similarity[0].texts
    (anchor, positive), _, _ = made.gained[0]
    assert texts[:2] == (anchor, positive) and len(texts) == 8 == len(set(texts))


def test_every_score_of_a_row_can_be_asked_for() -> None:
    made = compare(base(), moved(), pairs(), resamples=0)
    texts, before, after = made.gained[0]
    found = made.unit_scores(texts)
    assert found.keys() == made.after.scores.keys()
    assert found[made.after.primary] == pytest.approx((before, after))


def test_the_json_holds_rows_numbers_and_both_maps() -> None:
    plain = json.loads(json.dumps(compare(base(), moved(), pairs(), resamples=50).to_json(3), allow_nan=False))
    assert set(plain["delta"]["cosine_mrr@10"]) == {"low", "mid", "high", "why", "within_noise"}
    assert len(plain["neighbours"]["rows"]) == 3 == len(plain["displacement"]["rows"])
    assert set(plain["neighbours"]["rows"][0]) == {"row", "text", "change", "moved", "noise", "came", "went"}
    assert [side["texts"] for side in plain["maps"]] == [120, 120]
    assert len(plain["similarity"]["before"]) == 8 and plain["similarity"]["after"][0][0] == pytest.approx(1, abs=1e-5)


def test_two_evaluations_are_compared_by_their_scores_as_ever() -> None:
    sides = [scoring.evaluate(model, pairs(), resamples=50) for model in (base(), moved())]
    made = compare(*sides, resamples=50)
    assert type(made) is Change and made.delta == scoring.compare(*sides, resamples=50).delta
    with pytest.raises(DataError, match="expected two evaluations, got Evaluation and str"):
        compare(sides[0], "a model")


def test_two_models_and_a_table_are_needed() -> None:
    with pytest.raises(ModelError, match="expected two models to compare, got none for after"):
        compare(base(), None, pairs())
    with pytest.raises(DataError, match="expected a table to compare the models on, got None"):
        compare(base(), moved())
    with pytest.raises(DataError, match="expected seed= a whole number"):
        compare(base(), moved(), pairs(), seed=-1)


def test_it_comes_in_steps_and_can_be_ended_between_them() -> None:
    told: list[str] = []
    steps = [*comparing(base(), moved(), pairs(), resamples=0, tell=lambda phase, *_: told.append(phase))]
    assert [(s.maps is None, s.neighbours is None, s.displacement is None) for s in steps] == [
        (True, True, True),
        (False, True, True),
        (False, False, True),
        (False, False, False),
    ]
    assert told[0] == "Scoring Model on 60 rows of DataFrame" and told[-1].startswith("Laying out the first model")
    left = iter([True] * 3 + [False] * 99)
    assert len([*comparing(base(), moved(), pairs(), resamples=0, goes_on=lambda: next(left))]) == 1


def test_the_recipe_of_a_run_gives_the_model_to_compare_with(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(model="the base")
    assert recipe_of(run) == run.recipe == recipe_of(run.folder) and recipe_of("no run") is None
    assert base_of(None, run) == "the base" and base_of("mine", run) == "mine" and base_of(None, "m") is None
    assert name_of(run.folder / "model") == run.folder.name and name_of("org/m") == "org/m"
