"""Neighbours that came and went, and the rows that two models are scored on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.spaces.standins import angle, space
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError
from workbench.recipe import Loss, Recipe
from workbench.spaces import compare as module
from workbench.spaces.compare import (
    Moved,
    held_out_part,
    neighbour_change,
    neighbours_of,
    rows_to_score,
)

BEFORE = np.array([angle(a) for a in (0, 10, 25, 90, 100, 115)])
# the first text moves over to the other three
AFTER = np.array([angle(a) for a in (95, 10, 25, 90, 100, 115)])


def test_change_is_one_minus_jaccard_of_the_nearest_texts() -> None:
    made = neighbour_change(space(BEFORE), space(AFTER), k=2)
    # text 0: {1, 2} before, {3, 4} after; text 3: {4, 5} and {0, 4}; text 5: {4, 3} and {4, 0}
    assert made.change[[0, 3, 5]].tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    assert made.change.dtype == np.float32
    assert (made.k, made.why, len(made)) == (2, "", 6)
    assert made.nearest_before[0].tolist() == [1, 2] and made.nearest_after[0].tolist() == [3, 4]


def test_it_says_which_neighbours_came_went_and_stayed_nearest_first() -> None:
    made = neighbour_change(space(BEFORE), space(AFTER), k=2)
    assert made.moved(0) == Moved(came=(3, 4), went=(1, 2), stayed=())
    assert made.moved(3) == Moved(came=(0,), went=(5,), stayed=(4,))


def test_the_most_changed_come_first_and_the_unchanged_not_at_all() -> None:
    made = neighbour_change(space(BEFORE), space(AFTER), k=2)
    assert made.most(1) == (0,)
    assert set(made.most()) == set(np.flatnonzero(made.change > 0))
    frame = made.to_frame(1)
    assert frame.to_dict("records") == [
        {"row": 0, "text": "text 0", "change": 1.0, "came": ["text 3", "text 4"], "went": ["text 1", "text 2"]}
    ]


def test_the_same_model_changes_nothing() -> None:
    made = neighbour_change(space(BEFORE), space(BEFORE * 7))
    assert (made.change == 0).all() and made.most() == ()
    assert made.k == 4, "of 5 others one has to be outside, or all would always be the same"
    assert "4 nearest neighbours of 6 texts, mean change 0.000" in repr(made)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = space(rng.normal(size=(50, 6))), space(rng.normal(size=(50, 6)))
    whole = neighbour_change(first, second).change
    monkeypatch.setattr(module, "BLOCK", 7)
    np.testing.assert_array_equal(neighbour_change(first, second).change, whole)
    expected = [
        1 - len(set(a) & set(b)) / len(set(a) | set(b))
        for a, b in zip(*(_nearest(made.unit, 10) for made in (first, second)), strict=True)
    ]
    np.testing.assert_allclose(whole, expected, rtol=1e-6)


def _nearest(unit: np.ndarray, k: int) -> list[list[int]]:
    scores = unit @ unit.T - 9 * np.eye(len(unit))
    return np.argsort(-scores, axis=1)[:, :k].tolist()


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_text_without_a_vector_under_one_model_is_undefined_and_nobodys_neighbour(bad: float) -> None:
    broken = AFTER.copy()
    broken[1] = bad
    made = neighbour_change(space(BEFORE), space(broken), k=2)
    assert np.flatnonzero(np.isnan(made.change)).tolist() == [1]
    assert "1 texts have a zero or not finite vector" in made.why
    assert 1 not in made.nearest_before[0]
    assert made.moved(1) == Moved((), (), ())


def test_a_collapsed_model_has_no_neighbours_worth_comparing() -> None:
    made = neighbour_change(space(BEFORE), space(np.tile(angle(3), (6, 1))))
    assert np.isnan(made.change).all()
    assert "are alike (a collapsed model)" in made.why and "undefined" in repr(made)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_texts_are_undefined(n: int) -> None:
    made = neighbour_change(space(BEFORE[:n].reshape(n, 2)), space(AFTER[:n].reshape(n, 2)))
    assert np.isnan(made.change).all() and made.change.shape == (n,)
    assert "3 are needed" in made.why
    assert made.to_frame().empty


def test_other_texts_and_no_neighbours_are_refused() -> None:
    with pytest.raises(DataError, match="expected the same texts under both models, got 6 and 5"):
        neighbour_change(space(BEFORE), space(AFTER[:5]))
    with pytest.raises(DataError, match="at least 1 neighbour, got 0"):
        neighbour_change(space(BEFORE), space(AFTER), k=0)


def test_the_neighbours_of_one_text_leave_out_itself_and_what_has_no_vector() -> None:
    unit = space(np.vstack([BEFORE, np.zeros((3, 2))])).unit
    found = neighbours_of(unit, 0, k=2)
    assert [row for row, _ in found] == [1, 2]
    assert found[0][1] == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert len(neighbours_of(unit, 0, k=50)) == 5
    assert neighbours_of(unit, 7) == []


# rows to score


def parts(folder: Path, *names: str) -> Examples:
    folder.mkdir()
    for name in names:
        texts = {role: [f"{folder.name} {name} {role} {n}" for n in range(20)] for role in ("anchor", "positive")}
        rows = pd.DataFrame(texts)
        rows.to_csv(folder / f"{name}.csv", index=False)
    return load(folder)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("train", "test", "validation"), "test"), (("train", "validation"), "validation"), (("train",), None)],
)
def test_the_held_out_part_is_scored_where_there_is_one(
    names: tuple[str, ...], expected: str | None, tmp_path: Path
) -> None:
    data = parts(tmp_path / "d", *names)
    assert held_out_part(data) == expected
    rows, note = rows_to_score(data)
    assert rows.split == (expected or "train") and note == ""


def test_rows_that_were_picked_are_scored_as_they_are(tmp_path: Path) -> None:
    data = parts(tmp_path / "d", "train", "test").select([3, 4])
    assert rows_to_score(data)[0] is data


def test_of_the_table_that_a_run_was_trained_on_only_the_rows_it_held_out_are_scored(tmp_path: Path) -> None:
    data = parts(tmp_path / "d", "train")
    recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data=data, eval_share=0.25)
    rows, note = rows_to_score(data, recipe)
    assert len(rows) == 5 and "held out" in note and "trained on the others" in note
    assert rows_to_score(None, recipe)[0].fingerprint == rows.fingerprint
    nothing = recipe.changed(eval_share=0)
    assert rows_to_score(data, nothing) == (data, "the run was trained on these rows, which flatters it")


def test_another_table_than_that_of_the_run_is_scored_whole(tmp_path: Path) -> None:
    recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data=parts(tmp_path / "d", "train"))
    other = parts(tmp_path / "e", "train")
    assert rows_to_score(other, recipe) == (other, "")


def test_a_run_whose_table_is_gone_does_not_hinder(tmp_path: Path) -> None:
    data = parts(tmp_path / "d", "train")
    recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data=data)
    (tmp_path / "d" / "train.csv").unlink()
    (tmp_path / "d").rmdir()
    assert rows_to_score(data, recipe) == (data, "")


def test_without_a_table_and_a_run_there_is_nothing_to_score() -> None:
    with pytest.raises(DataError, match="expected a table to compare the models on, got None"):
        rows_to_score(None)
