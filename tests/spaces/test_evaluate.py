"""Scores with values worked out by hand, and reasons where there is no value."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from tests.spaces.standins import Model, Table, angle, random_vector
from workbench.errors import DataError
from workbench.spaces import evaluate as module
from workbench.spaces.evaluate import Delta, compare, evaluate

HOSTILE = "<img src=x onerror=alert(1)>"
LETTERS = list("abcdef")


def at(**degrees: float) -> Model:
    """A model that puts each text at an angle on the plane."""
    return Model({text: angle(value) for text, value in degrees.items()}, name=str(sorted(degrees.items())))


def values(made: module.Evaluation) -> dict[str, float | None]:
    return {name: score.value for name, score in made.scores.items()}


# triplets


def test_a_triplet_is_right_when_the_positive_is_nearer() -> None:
    table = Table(anchor=["a", "a"], positive=["p", "q"], negative=["n", "n"])
    made = evaluate(at(a=0, p=10, q=80, n=60), table)
    assert made.task == "triplets"
    assert made.primary == "cosine_accuracy"
    assert made.scores["cosine_accuracy"].value == 0.5
    expected = (np.cos(np.radians(10)) + np.cos(np.radians(80))) / 2 - 0.5
    assert made.scores["cosine_margin"].value == pytest.approx(expected, abs=1e-6)
    assert (made.scores["cosine_accuracy"].n, made.scores["cosine_accuracy"].groups) == (2, 1)


def test_a_tie_is_wrong() -> None:
    table = Table(anchor=["a", "a", "b"], positive=["p", "p", "p"], negative=["p", "n", "b"])
    assert evaluate(at(a=0, p=30, n=-30, b=5), table).scores["cosine_accuracy"].value == 0


def test_all_negatives_have_to_be_farther() -> None:
    table = Table(anchor=["a", "a"], positive=["p", "p"], negative_1=["f", "f"], negative_2=["n", "f"])
    made = evaluate(at(a=0, p=20, n=10, f=90), table)
    assert made.scores["cosine_accuracy"].value == 0.5


def test_length_of_the_vectors_does_not_matter_for_cosine() -> None:
    table = Table(anchor=["a"], positive=["p"], negative=["n"])
    model = Model({"a": angle(0), "p": np.array(angle(20)) * 1e-3, "n": np.array(angle(40)) * 1e3})
    assert evaluate(model, table).scores["cosine_accuracy"].value == 1


def test_triplets_with_the_same_anchor_are_one_group() -> None:
    table = Table(anchor=["a", "b", "a", "c"], positive=["p"] * 4, negative=["n"] * 4)
    made = evaluate(at(a=0, b=10, c=20, p=30, n=90), table)
    assert made.scores["cosine_accuracy"].groups == 3


# retrieval


def test_retrieval_with_several_positives_is_scored_as_by_hand() -> None:
    table = Table(anchor=["q", "r", "q", "s"], positive=["p1", "p3", "p2", "p4"])
    made = evaluate(at(q=0, r=90, s=180, p1=10, p2=50, p3=35, p4=165), table)
    # q finds p1 p3 p2 p4 and wants p1, p2; r finds p2 p3 and wants p3; s finds p4
    ndcg = ((1 + 1 / 2) / (1 + 1 / math.log2(3)) + 1 / math.log2(3) + 1) / 3
    assert made.task == "retrieval"
    assert made.primary == "cosine_ndcg@10"
    assert values(made) == pytest.approx(
        {"cosine_mrr@10": 2.5 / 3, "cosine_ndcg@10": ndcg, "cosine_recall@10": 1, "cosine_accuracy@1": 2 / 3}
    )
    assert "3 queries over 4 texts" in made.note
    assert made.scores["cosine_mrr@10"].n == 3


def test_only_the_first_ten_count() -> None:
    names = [f"p{n}" for n in range(12)]
    table = Table(anchor=["q"] * 12 + ["far"], positive=[*names, "p11"])
    made = evaluate(at(q=0, far=-20, **{name: 2.0 * n for n, name in enumerate(names)}), table)
    first, second = (made.metrics["cosine_recall@10"].values[n] for n in (0, 1))
    assert first == pytest.approx(10 / 12)
    assert second == 0
    assert made.metrics["cosine_ndcg@10"].values.tolist() == pytest.approx([1, 0])
    assert made.metrics["cosine_mrr@10"].values.tolist() == [1, 0]


def test_a_pair_that_comes_twice_counts_once() -> None:
    once = evaluate(at(q=0, r=90, p=40, o=100), Table(anchor=["q", "r"], positive=["p", "o"]))
    twice = evaluate(at(q=0, r=90, p=40, o=100), Table(anchor=["q", "r", "q"], positive=["p", "o", "p"]))
    assert values(once) == values(twice)


def test_a_corpus_of_one_text_leaves_nothing_to_choose_from() -> None:
    made = evaluate(at(q=0, r=10, p=20), Table(anchor=["q", "r"], positive=["p", "p"]))
    assert set(values(made).values()) == {None}
    assert made.scores["cosine_mrr@10"].why == "a corpus of 1 text leaves nothing to choose from"


def test_a_query_does_not_find_itself() -> None:
    table = Table(anchor=["s1", "s2", "s3"], positive=["s2", "s3", "s4"])
    made = evaluate(at(s1=0, s2=10, s3=19, s4=27), table)
    assert made.scores["cosine_accuracy@1"].value == 1


# graded pairs


def graded(n: int = 40) -> Table:
    scores = np.random.default_rng(0).uniform(size=n).round(2).tolist()
    return Table(anchor=[f"a{k}" for k in range(n)], positive=[f"b{k}" for k in range(n)], score=scores)


def test_graded_scores_agree_with_scipy() -> None:
    table = graded()
    made = evaluate(Model(random_vector, d=8), table, resamples=0)
    a, b = (np.array([random_vector(text) for text in table.columns[name]]) for name in ("anchor", "positive"))
    similarities = {
        "cosine": (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1),
        "dot": (a * b).sum(1),
        "euclidean": -np.linalg.norm(a - b, axis=1),
        "manhattan": -np.abs(a - b).sum(1),
    }
    gold = table.columns["score"]
    expected = {}
    for name, similarity in similarities.items():
        expected[f"spearman_{name}"] = stats.spearmanr(similarity, gold).statistic
        expected[f"pearson_{name}"] = stats.pearsonr(similarity, gold).statistic
    assert made.task == "graded"
    assert made.primary == "spearman_cosine"
    assert values(made) == pytest.approx(expected, abs=1e-5)


def test_whole_numbers_are_scores_too_and_ties_are_averaged() -> None:
    table = graded(6)
    table.columns["score"] = [0, 1, 1, 2, 2, 2]
    made = evaluate(Model(random_vector, d=8), table, resamples=0)
    similarity = made.metrics["spearman_dot"].values
    assert made.scores["spearman_dot"].value == pytest.approx(stats.spearmanr(similarity, [0, 1, 1, 2, 2, 2]).statistic)


def test_equal_given_scores_have_no_correlation() -> None:
    table = graded()
    table.columns["score"] = [0.5] * 40
    made = evaluate(Model(random_vector, d=8), table, resamples=50)
    assert {score.why for score in made.scores.values()} == {"all given scores are equal"}


def test_equal_similarities_have_no_correlation() -> None:
    table = Table(anchor=LETTERS, positive=LETTERS, score=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    made = evaluate(Model(random_vector, d=8), table, resamples=50)
    assert made.scores["pearson_cosine"].why == "the model gives all pairs the same similarity"
    assert made.scores["spearman_cosine"].value is None
    assert made.scores["spearman_euclidean"].value is None
    assert made.scores["pearson_dot"].value is not None


def test_pairs_whose_given_score_is_not_a_number_are_left_out_and_counted() -> None:
    table = graded(12)
    table.columns["score"][3] = float("nan")
    table.columns["score"][7] = float("inf")
    made = evaluate(Model(random_vector, d=8), table, resamples=50)
    assert made.scores["pearson_cosine"].n == 10
    assert "2 pairs left out: the given score is not a number" in made.note
    assert all(math.isfinite(score.value) for score in made.scores.values())


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_very_small_or_large_vectors_are_scored_like_others(scale: float) -> None:
    big = Model(lambda text: random_vector(text) * scale, name="scaled", d=8)
    made, usual = evaluate(big, graded(), resamples=0), evaluate(Model(random_vector, d=8), graded(), resamples=0)
    assert made.scores["spearman_cosine"].value == pytest.approx(usual.scores["spearman_cosine"].value, abs=1e-4)
    assert all(score.value is not None or score.why for score in made.scores.values())


# labels


def test_purity_is_the_share_of_neighbours_with_the_same_label() -> None:
    table = Table(anchor=LETTERS, label=["x", "x", "x", "y", "y", "x"])
    made = evaluate(at(a=0, b=10, c=20, d=90, e=100, f=95), table)
    # all five others are neighbours: an x meets 3 of 5, a y 1 of 5
    assert made.task == "labels"
    assert values(made) == pytest.approx({"neighbour_purity@5": (4 * 3 / 5 + 2 * 1 / 5) / 6})
    assert "chance 0.556 with 2 labels" in made.note


def test_purity_looks_at_ten_neighbours() -> None:
    places = {f"x{n}": n for n in range(11)} | {f"y{n}": 100 + n for n in range(11)}
    table = Table(anchor=list(places), label=[text[0] for text in places])
    assert values(evaluate(at(**places), table)) == {"neighbour_purity@10": 1.0}


@pytest.mark.parametrize(
    ("labels", "why"),
    [(["x"] * 6, "all texts have the same label"), (["x"], "1 text has no neighbour")],
)
def test_purity_is_undefined_without_a_choice(labels: list[str], why: str) -> None:
    table = Table(anchor=LETTERS[: len(labels)], label=labels)
    (score,) = evaluate(Model(random_vector, d=8), table).scores.values()
    assert (score.value, score.why) == (None, why)


# what is no use


TABLES = {
    "triplets": Table(anchor=LETTERS, positive=list("ghijkl"), negative=list("mnopqr")),
    "retrieval": Table(anchor=LETTERS, positive=list("ghijkl")),
    "graded": Table(anchor=LETTERS, positive=list("ghijkl"), score=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    "labels": Table(anchor=LETTERS, label=[0, 1, 0, 1, 0, 1]),
}


def first_rows(table: Table, n: int) -> Table:
    return Table(**{name: column[:n] for name, column in table.columns.items()})


@pytest.mark.parametrize("task", TABLES)
@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ([0.0, 0.0], "vectors are zero or not finite"),
        ([math.nan, 1.0], "vectors are zero or not finite"),
        ([3.0, 1.0], "vectors are alike (a collapsed model): their order is rounding noise"),
    ],
)
def test_a_model_without_any_difference_has_no_score(task: str, vector: list[float], why: str) -> None:
    made = evaluate(Model(lambda text: vector, name=str(vector)), TABLES[task])
    assert made.task == task
    for score in made.scores.values():
        assert (score.value, score.low, score.high) == (None, None, None)
        assert why in score.why
    assert "nan" not in repr(made)


@pytest.mark.parametrize("task", TABLES)
def test_a_model_that_is_collapsed_up_to_rounding_has_no_score(task: str) -> None:
    nearly = Model(lambda text: [1, *random_vector(text) * 1e-7], name="nearly", d=9)
    assert all("collapsed" in score.why for score in evaluate(nearly, TABLES[task]).scores.values())


@pytest.mark.parametrize("task", TABLES)
@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_few_rows_have_a_score_or_a_reason_and_never_nan(task: str, rows: int) -> None:
    made = evaluate(Model(random_vector, d=8), first_rows(TABLES[task], rows))
    assert (made.task, made.rows) == (task, rows)
    for score in made.scores.values():
        assert score.why
        assert score.value is None or math.isfinite(score.value)
        assert (score.low, score.high) == (None, None)
    if rows == 0:
        assert {score.why for score in made.scores.values()} == {"there are no rows"}
    json.dumps(made.to_json(), allow_nan=False)
    assert str(made.scores[made.primary]) in made._repr_html_().replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("task", "note", "n"),
    [
        ("triplets", "2 triplets left out: a vector is zero or not finite", 4),
        ("retrieval", "2 pairs left out: a vector is zero or not finite", 4),
        ("graded", "2 pairs left out: a vector is zero or not finite", 4),
        ("labels", "1 texts left out: a vector is zero or not finite", 5),
    ],
)
def test_rows_with_a_zero_or_nan_vector_are_left_out_and_counted(task: str, note: str, n: int) -> None:
    bad = {"b": np.zeros(8), "k": np.full(8, np.nan)}
    model = Model(lambda text: bad.get(text, random_vector(text)), name="holes", d=8)
    made = evaluate(model, TABLES[task])
    assert note in made.note
    assert {score.n for score in made.scores.values()} == {n}
    assert all(math.isfinite(score.value) for score in made.scores.values())
    assert len(made.texts) == n


# settings


def test_prompts_go_before_the_texts_of_their_column() -> None:
    model = Model(random_vector, d=8)
    evaluate(model, first_rows(TABLES["retrieval"], 2), prompts={"anchor": "query: ", "positive": "passage: "})
    assert sorted(model.asked) == ["passage: g", "passage: h", "query: a", "query: b"]
    model.asked.clear()
    evaluate(model, first_rows(TABLES["retrieval"], 2), prompts="all: ")
    assert sorted(model.asked) == ["all: a", "all: b", "all: g", "all: h"]


def test_the_same_seed_gives_the_same_intervals() -> None:
    model = Model(random_vector, d=8)
    made = [evaluate(model, graded(), seed=seed, resamples=100).to_json() for seed in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0]["scores"] != made[2]["scores"]


def test_no_resamples_give_no_interval_and_say_so() -> None:
    made = evaluate(Model(random_vector, d=8), graded(), resamples=0)
    assert str(made.scores["pearson_dot"]).endswith("(no interval: none was asked for)")


def test_a_large_table_is_sampled_by_its_seed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    model = Model(random_vector, d=8)
    made = [evaluate(model, graded(), seed=seed, resamples=0) for seed in (3, 3, 4)]
    assert made[0].rows == made[0].scores["pearson_dot"].n == 10
    assert "a sample of 10 of 40 rows, seed 3" in made[0].note
    assert made[0].texts == made[1].texts != made[2].texts


@pytest.mark.parametrize(
    "columns",
    [
        {"anchor": ["a"]},
        {"anchor": ["a"], "positive": ["b"], "label": ["x"]},
        {"anchor": ["a"], "positive": ["b"], "negative": ["c"], "label": ["x"]},
    ],
)
def test_a_table_that_cannot_be_scored_is_named_with_its_columns(columns: dict) -> None:
    with pytest.raises(DataError, match=r"got the columns anchor.* of my rows; set the roles with load"):
        evaluate(Model(random_vector, d=8), Table(**columns))


def test_scores_are_plain_json_and_read_as_sentences() -> None:
    made = evaluate(Model(random_vector, d=8), graded(), resamples=50)
    plain = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert plain["scores"]["spearman_cosine"]["n"] == plain["rows"] == 40
    assert repr(made).startswith("graded on 40 rows, a loaded model (40 rows)\n  spearman_cosine: ")
    score = made.scores["pearson_dot"]
    assert f"pearson_dot: {score.value:.4f} [{score.low:.4f}, {score.high:.4f}]" in repr(made)


def test_hostile_names_are_escaped_in_the_notebook() -> None:
    model = Model(random_vector, d=8)
    model.model_card_data = type("Card", (), {"base_model": HOSTILE})
    made = evaluate(model, graded(), resamples=0)
    change = compare(made, made, resamples=0)
    for html in (made._repr_html_(), change._repr_html_()):
        assert "&lt;img" in html
        assert "<img" not in html


# compare


def test_compare_lists_the_triplets_that_flipped() -> None:
    table = Table(anchor=["a", "b", "c"], positive=["p", "p", "p"], negative=["n", "n", "n"])
    before = evaluate(at(a=0, b=90, c=10, p=30, n=60), table)
    after = evaluate(at(a=70, b=20, c=10, p=30, n=60), table)
    change = compare(before, after)
    assert change.gained == [(("b", "p", "n"), 0.0, 1.0)]
    assert change.lost == [(("a", "p", "n"), 1.0, 0.0)]
    assert change.delta["cosine_accuracy"].mid == 0
    assert "1 gained, 1 lost on cosine_accuracy" in repr(change)


def test_the_largest_change_comes_first() -> None:
    table = Table(anchor=["q", "r", "s"], positive=["p1", "p2", "p3"])
    before = evaluate(at(q=0, r=85, s=100, p1=60, p2=20, p3=99), table)
    after = evaluate(at(q=60, r=20, s=100, p1=60, p2=20, p3=99), table)
    change = compare(before, after)
    assert [(row[0], row[1:]) for row in change.gained] == [
        (("r", "p2"), (pytest.approx(1 / 2), 1.0)),
        (("q", "p1"), (pytest.approx(1 / math.log2(3)), 1.0)),
    ]
    assert change.lost == []


def test_a_model_compared_with_itself_is_within_noise() -> None:
    made = evaluate(Model(random_vector, d=8), graded(), resamples=0)
    change = compare(made, made, resamples=50)
    assert (change.gained, change.lost) == ([], [])
    for delta in change.delta.values():
        assert (delta.low, delta.mid, delta.high) == (0, 0, 0)
        assert delta.within_noise
        assert str(delta) == "+0.0000 [+0.0000, +0.0000] within noise"


def test_a_clear_gain_is_not_within_noise() -> None:
    names = [f"q{n}" for n in range(12)]
    table = Table(anchor=names, positive=[f"p{n}" for n in range(12)])
    places = {f"p{n}": 30.0 * n for n in range(12)}
    good = at(**places, **{f"q{n}": 30.0 * n + 1 for n in range(12)})
    bad = at(**places, **{f"q{n}": 30.0 * n + 181 for n in range(12)})
    change = compare(evaluate(bad, table), evaluate(good, table))
    delta = change.delta["cosine_accuracy@1"]
    assert (delta.low, delta.mid, delta.high) == (1, 1, 1)
    assert not delta.within_noise
    assert len(change.gained) == 12


def test_the_paired_difference_is_narrower_than_the_scores() -> None:
    nearly = Model(lambda text: random_vector(text) + random_vector(text + "'") * 0.1, name="nearly", d=8)
    before = evaluate(Model(random_vector, d=8), graded(), resamples=0)
    after = evaluate(nearly, graded(), resamples=200)
    delta = compare(before, after, resamples=200).delta["pearson_cosine"]
    score = after.scores["pearson_cosine"]
    assert delta.low < delta.mid < delta.high
    assert delta.high - delta.low < (score.high - score.low) / 2


def test_a_difference_to_an_undefined_score_has_its_reason() -> None:
    table = TABLES["graded"]
    before = evaluate(Model(random_vector, d=8), table)
    after = evaluate(Model(lambda text: np.ones(8), name="collapsed", d=8), table)
    delta = compare(before, after).delta["spearman_cosine"]
    assert (delta.low, delta.mid, delta.high) == (None, None, None)
    assert "collapsed" in str(delta)
    assert delta.within_noise
    json.dumps(compare(before, after).to_json(), allow_nan=False)


def test_too_few_groups_give_a_difference_without_interval() -> None:
    assert str(Delta(None, 0.25, None, "3 groups are too few")) == "+0.2500 (no interval: 3 groups are too few)"


@pytest.mark.parametrize(
    "other", [first_rows(TABLES["retrieval"], 3), Table(anchor=list("fedcba"), positive=list("ghijkl")), graded()]
)
def test_only_evaluations_of_one_table_can_be_compared(other: Table) -> None:
    model = Model(random_vector, d=8)
    with pytest.raises(
        DataError, match="of the same table, got different texts; evaluate both models on the same rows"
    ):
        compare(evaluate(model, TABLES["retrieval"], resamples=0), evaluate(model, other, resamples=0))


def test_changed_rows_are_cut_for_a_file_but_counted_in_full() -> None:
    long = [f"{n} " + "x" * 1000 for n in range(9)]
    table = Table(anchor=long, positive=["p"] * 9, negative=["n"] * 9)
    near = Model(lambda text: angle({"p": 10, "n": 40}.get(text, 0)), name="near")
    far = Model(lambda text: angle({"p": 40, "n": 10}.get(text, 0)), name="far")
    plain = compare(evaluate(far, table), evaluate(near, table)).to_json(rows=2)
    assert (plain["gained"], plain["lost"], len(plain["gained_rows"])) == (9, 0, 2)
    cut = [row["texts"][0] for row in plain["gained_rows"]]
    assert {(len(text), text[-1]) for text in cut} == {(300, "…")}
