"""Which rows are trained on, and which are only scored."""

from __future__ import annotations

import pandas
import pytest

from workbench.data.load import load
from workbench.data.prepare import hold_out, label_kind, prepare
from workbench.errors import DataError
from workbench.recipe import Loss, Recipe


def frame(rows: int = 60) -> pandas.DataFrame:
    return pandas.DataFrame(
        {
            "anchor": [f"question {row // 3}" for row in range(rows)],
            "positive": [f"answer {row}" for row in range(rows)],
        }
    )


def recipe(data: object, **settings: object) -> Recipe:
    return Recipe(**{"loss": Loss("MultipleNegativesRankingLoss"), "data": data, **settings})


def test_rows_with_the_same_anchor_stay_on_one_side() -> None:
    train, held = hold_out(load(frame()), 0.2, seed=1)
    assert held is not None
    assert len(train) + len(held) == 60
    assert len(held) == 12
    assert not set(train.column("anchor")) & set(held.column("anchor"))


def test_the_same_seed_holds_out_the_same_rows() -> None:
    first, second, other = (hold_out(load(frame()), 0.2, seed=seed)[1] for seed in (1, 1, 2))
    assert first is not None and second is not None and other is not None
    assert first.column("positive") == second.column("positive") != other.column("positive")


def test_one_group_is_never_split_up_for_evaluation() -> None:
    train, held = hold_out(load(pandas.DataFrame({"anchor": ["same"] * 9, "positive": list("abcdefghi")})), 0.3, seed=0)
    assert held is None
    assert len(train) == 9


def test_a_test_part_of_the_data_is_taken_before_rows_are_held_out() -> None:
    train, held = prepare(recipe("glossary/qa"))
    assert (train.split, held.split if held else None) == ("train", "test")


def test_no_share_means_no_evaluation() -> None:
    assert prepare(recipe(load(frame()), eval_share=0))[1] is None


def test_a_loss_that_does_not_suit_the_table_is_refused_with_those_that_do() -> None:
    with pytest.raises(DataError, match=r"TripletLoss does not suit .*take MultipleNegativesRankingLoss"):
        prepare(recipe(load(frame()), loss=Loss("TripletLoss")))


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("score", [0.0, 0.5, 1.0], "score"),
        ("score", [0.0, 1.0, 1.0], "binary"),
        ("label", [0, 1, 1], "binary"),
        ("label", [0, 1, 2], "class"),
        ("label", ["x", "y", "z"], "class"),
        ("score", [[0.1, 0.2]] * 3, "scores"),
        ("score", [[0.1] * 16] * 3, "embedding"),
    ],
)
def test_what_a_label_column_holds_is_seen(column: str, values: list[object], kind: str) -> None:
    data = load(pandas.DataFrame({"anchor": list("abc"), "positive": list("def"), column: values}))
    assert label_kind(data) == kind
