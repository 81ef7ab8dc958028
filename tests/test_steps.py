"""How many steps a recipe takes."""

from __future__ import annotations

import datasets
import pytest

from workbench.recipe import Recipe
from workbench.steps import batched_rows, steps_of, steps_per_epoch, total_steps, warmup_steps


@pytest.mark.parametrize(
    ("settings", "an_epoch", "in_all", "warmup"),
    [
        ({}, 3, 3, 0),
        ({"epochs": 2.5}, 3, 8, 0),
        ({"epochs": 4, "drop_last": True}, 2, 8, 0),
        ({"epochs": 5, "gradient_accumulation_steps": 2}, 2, 10, 1),
        ({"max_steps": 70, "warmup": 7}, 3, 70, 7),
        ({"batch_size": 64, "drop_last": True}, 1, 1, 0),
    ],
)
def test_steps_follow_from_rows_batches_and_epochs(
    settings: dict[str, float], an_epoch: int, in_all: int, warmup: int
) -> None:
    recipe = Recipe(loss="TripletLoss", data="rows.csv", **{"batch_size": 16, **settings})
    assert steps_per_epoch(recipe, 33) == an_epoch
    assert total_steps(recipe, 33) == in_all
    assert warmup_steps(recipe, in_all) == warmup


def test_an_amount_below_one_is_a_share_of_all_steps() -> None:
    assert [steps_of(amount, 21) for amount in (0.02, 0.5, 1, 30)] == [1, 11, 1, 30]


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        (["a"] * 7 + ["b"] * 4 + ["c"], 8),
        (["a"] * 6 + ["b"] * 2 + ["c"] * 3, 6),
        (["a"] * 9, 9),
        ([0.5, 0.5, 1.0, 1.0], 4),
    ],
)
def test_group_by_label_puts_pairs_of_two_classes_or_more_into_batches(labels: list[object], rows: int) -> None:
    column = "label" if isinstance(labels[0], str) else "score"
    table = datasets.Dataset.from_dict({"anchor": ["text"] * len(labels), column: labels})
    grouped = Recipe(loss="BatchAllTripletLoss", data="rows.csv", batch_sampler="group_by_label")
    assert batched_rows(grouped, table) == rows
    assert batched_rows(grouped.changed(batch_sampler="no_duplicates"), table) == len(labels)
    assert batched_rows(grouped, table.select_columns(["anchor"])) == len(labels)
