"""Measures of a space agree with their definitions, and say why where they are undefined."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.spaces.standins import angle, space
from workbench.data.load import load
from workbench.errors import DataError
from workbench.spaces import measures as module
from workbench.spaces.encode import Space, embed
from workbench.spaces.measures import MEASURES, UNTUNED, measures

HOSTILE = "<img src=x onerror=alert(1)>"


def even(n: int = 60, d: int = 8) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, d)).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    rows = even() + 1
    by_hand = np.mean([a @ b for a, b in combinations(unit(rows), 2)])
    assert measures(space(rows))["mean_cosine"].value == pytest.approx(by_hand, abs=1e-6)


def test_the_effective_rank_is_that_of_the_singular_values() -> None:
    for rows in (even(), even(6, 30)):
        sizes = np.linalg.svd(unit(rows), compute_uv=False)
        share = sizes / sizes.sum()
        by_hand = np.exp(-(share * np.log(share)).sum())
        assert measures(space(rows))["effective_rank"].value == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("used", [1, 2, 5])
def test_as_many_directions_are_counted_as_are_used_alike(used: int) -> None:
    rows = np.tile(np.eye(8)[:used], (4, 1))
    assert measures(space(rows))["effective_rank"].value == pytest.approx(used, rel=1e-5)


def test_uniformity_is_that_of_all_pairs_also_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    rows = even()
    by_hand = np.log(np.mean([np.exp(-2 * np.sum((a - b) ** 2)) for a, b in combinations(unit(rows), 2)]))
    assert measures(space(rows))["uniformity"].value == pytest.approx(by_hand, abs=1e-5)


def test_alignment_is_the_mean_squared_distance_of_the_pairs() -> None:
    made = space([angle(0), angle(90), angle(180), angle(180)])
    found = measures(made, pairs=[(0, 1), (0, 2), (2, 3)])["alignment"]
    assert found.value == pytest.approx((2 + 4 + 0) / 3, abs=1e-6)
    assert found.n == 3
    assert measures(made, pairs=np.array([[2, 3]]))["alignment"].value == pytest.approx(0, abs=1e-6)


def test_neighbour_purity_is_the_share_of_neighbours_with_the_same_label() -> None:
    rows = np.vstack([np.eye(4)[0] + even(12, 4) * 0.01, np.eye(4)[1] + even(12, 4) * 0.01])
    made = space(rows)
    assert measures(made, ["a"] * 12 + ["b"] * 12)["neighbour_purity"].value == 1
    mixed = measures(replace(made, labels=("a", "b") * 12))["neighbour_purity"]
    assert mixed.value == pytest.approx(0.5, abs=0.1)
    assert "0.500 by chance" in mixed.meaning


def test_hubness_is_high_where_one_text_is_near_to_all() -> None:
    spokes = np.hstack([np.ones((40, 1)), np.eye(40)])
    hub = np.eye(41)[:1]
    with_hub, without = measures(space(np.vstack([spokes, hub]))), measures(space(even(41, 40)))
    times = np.zeros(41)
    made = unit(np.vstack([spokes, hub])).astype(np.float32)
    for row, cosines in enumerate(made @ made.T):
        order = [n for n in np.lexsort((np.arange(41), -cosines)) if n != row]
        times[order[:10]] += 1
    by_hand = np.mean(((times - times.mean()) / times.std()) ** 3)
    assert with_hub["hubness"].value == pytest.approx(by_hand, rel=1e-6)
    assert with_hub["hubness"].value > without["hubness"].value + 0.3


def test_length_does_not_matter() -> None:
    rows = even()
    stretched = rows * np.linspace(1e-3, 1e3, len(rows))[:, None].astype(np.float32)
    a, b = measures(space(rows)), measures(space(stretched))
    for name in ("mean_cosine", "effective_rank", "uniformity", "hubness"):
        assert a[name].value == pytest.approx(b[name].value, rel=1e-4, abs=1e-5)


def test_stand_ins_are_what_such_vectors_give() -> None:
    rows = even(400, 16)
    found = measures(space(rows), ["a", "b"] * 200, pairs=[(0, 1)])
    for measure in found.values():
        if measure.name != "alignment":
            assert measure.value == pytest.approx(measure.even, abs=0.15 * abs(measure.even) + 0.15)
    same = np.eye(16)[:1] + 0.01 * unit(rows)
    collapsed = measures(space(same), ["a", "b"] * 200, pairs=[*combinations(range(20), 2)])
    for name in ("mean_cosine", "effective_rank", "uniformity", "alignment"):
        assert collapsed[name].value == pytest.approx(collapsed[name].collapsed, rel=0.1, abs=1e-3)
    assert found["alignment"].even == pytest.approx(2, abs=0.05)


def test_a_collapsed_space_is_called_so() -> None:
    assert not measures(space(even())).collapsed
    assert "has not collapsed: two texts have a mean cosine of" in measures(space(even())).verdict
    for rows in (np.ones((60, 8)), even() * 1e-3 + 1, np.vstack([np.eye(8)[:1], -np.eye(8)[:1]] * 30)):
        found = measures(space(rows))
        assert found.collapsed
        assert found.verdict.startswith("The space has collapsed: ")


def test_a_space_in_a_wide_cone_has_not_collapsed() -> None:
    found = measures(space(even(200, 32) + 1.7))
    assert 0.7 < found["mean_cosine"].value < 0.85
    assert not found.collapsed


def test_neighbours_of_vectors_that_are_all_alike_are_no_neighbours() -> None:
    found = measures(space(np.ones((30, 4))), ["a", "b"] * 15)
    assert found["mean_cosine"].value == pytest.approx(1)
    assert found["effective_rank"].value == pytest.approx(1)
    assert found["uniformity"].value == pytest.approx(0, abs=1e-6)
    for name in ("neighbour_purity", "hubness"):
        assert found[name].value is None
        assert "all 30 vectors are alike (a collapsed model)" in found[name].why


@pytest.mark.parametrize(
    ("rows", "why"), [(np.zeros((0, 3)), "no text with a usable vector"), (np.eye(3)[:1], "one text has no other")]
)
def test_too_few_texts_have_no_measures_and_say_why(rows: np.ndarray, why: str) -> None:
    found = measures(space(rows))
    assert [*found] == [*MEASURES]
    assert all(measure.value is None and measure.why for measure in found.values())
    assert why in found["mean_cosine"].why
    assert not found.collapsed
    assert why in found.verdict
    assert "nan" not in (repr(found) + found._repr_html_()).lower()


@pytest.mark.parametrize(("n", "undefined"), [(2, True), (11, True), (12, False)])
def test_hubness_takes_more_texts_than_neighbours(n: int, undefined: bool) -> None:
    found = measures(space(even(n)))["hubness"]
    assert (found.value is None) == undefined
    if undefined:
        assert "nearest of as many others" in found.why


def test_purity_without_or_with_one_label_is_undefined() -> None:
    assert measures(space(even()))["neighbour_purity"].why == "there are no labels"
    assert measures(space(even()), ["a"] * 60)["neighbour_purity"].why == "all texts have the same label"


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_vectors_without_direction_are_left_out_and_counted(bad: float) -> None:
    rows = np.vstack([even(), np.full((3, 8), bad)])
    found, whole = measures(space(rows), pairs=[(0, 1), (0, 61)]), measures(space(even()), pairs=[(0, 1)])
    assert {m.name: m.value for m in found.values()} == {m.name: m.value for m in whole.values()}
    assert (found.left_out, found.measured, found.texts) == (3, 60, 63)
    assert "3 left out (their vector is zero or not finite)" in repr(found)
    assert found["alignment"].n == 1
    only = measures(space(rows), pairs=[(60, 61)])["alignment"]
    assert only.value is None and only.why == "in each pair a vector is zero or not finite"


def test_above_a_limit_a_seeded_sample_is_measured_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UP_TO", 40)
    made = space(even(), labels=["a", "b"] * 30)
    first, again, other = measures(made, seed=1), measures(made, seed=1), measures(made, seed=2)
    assert first.to_json() == again.to_json()
    assert first["mean_cosine"].value != other["mean_cosine"].value
    assert first["mean_cosine"].n == 40
    assert "a sample of 40 of 60 texts, seed 1" in repr(first)


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        ([(0, 60)], "row numbers from 0 to 59 in pairs, got 60"),
        ([(-1, 2)], "row numbers from 0 to 59 in pairs, got -1"),
        ([(0, 1, 2)], r"shape \(m, 2\), got int64 of shape \(1, 3\)"),
        ([(0.5, 1.0)], "got float64"),
    ],
)
def test_pairs_that_are_no_row_numbers_are_refused(pairs: list, match: str) -> None:
    with pytest.raises(DataError, match=match):
        measures(space(even()), pairs=pairs)


def test_no_pairs_are_no_mistake() -> None:
    assert measures(space(even()), pairs=[])["alignment"].why == "there are no pairs"
    assert "give pairs=" in measures(space(even()))["alignment"].why


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="one label for each of 60 texts, got 1"):
        measures(space(even()), ["a"])


def test_a_record_is_a_table_in_four_forms() -> None:
    found = measures(Space(("a", "b"), np.eye(2, dtype=np.float32), HOSTILE, "0" * 16))
    assert list(found.to_frame().index) == [*MEASURES]
    assert found.to_json()["measures"]["mean_cosine"]["value"] == 0
    assert "mean_cosine: 0 (n = 2)" in repr(found)
    assert found._repr_html_().count("<tr>") == len(MEASURES) + 2
    assert "<img" not in found._repr_html_()
    with pytest.raises(KeyError):
        found["trust"]


@pytest.mark.real
def test_the_numbers_of_the_untuned_model_are_as_they_are_said() -> None:
    labelled, pairs = load("glossary/labelled"), load("glossary/qa")
    n, m = len(labelled), len(pairs)
    texts = [*labelled.column("text"), *pairs.column("question"), *pairs.column("definition")]
    both = embed(texts, "all-MiniLM-L6-v2")
    alone = replace(both, texts=both.texts[:n], vectors=both.vectors[:n])
    values = {name: measure.value for name, measure in measures(alone, labelled.column("topic")).items()}
    rows = np.arange(n, n + m)
    values["alignment"] = measures(both, pairs=np.stack([rows, rows + m], axis=1))["alignment"].value
    assert (n, m) == (792, 594)
    assert values == pytest.approx(UNTUNED, rel=2e-3)


def test_equal_texts_count_once_and_are_no_collapse() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    once = space(rows)
    often = replace(once, texts=once.texts * 5, vectors=np.tile(rows, (5, 1)))
    assert measures(often)["mean_cosine"].value == pytest.approx(measures(once)["mean_cosine"].value)
    assert measures(often).about == "a model on 6 distinct texts"
    same = replace(once, texts=("same",) * 6, vectors=np.ones((6, 8), dtype=np.float32))
    assert not measures(same).collapsed
    assert "not known: one text has no other to be compared with" in measures(same).verdict


@pytest.mark.parametrize("pairs", [[(0, 1), (2,)], 5, ["ab"]])
def test_pairs_of_another_shape_are_refused(pairs: object) -> None:
    with pytest.raises(DataError, match=r"expected pairs of row numbers, shape \(m, 2\), got"):
        measures(space(np.eye(4)), pairs=pairs)  # type: ignore[arg-type]


def test_what_is_no_space_or_no_seed_is_refused() -> None:
    with pytest.raises(DataError, match="expected a space, got ndarray"):
        measures(np.eye(3))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected seed= a whole number"):
        measures(space(np.eye(3)), seed=-1)
