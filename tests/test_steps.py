"""How many steps a recipe takes."""

from __future__ import annotations

import pytest

from workbench.recipe import Recipe
from workbench.steps import steps_of, steps_per_epoch, total_steps, warmup_steps


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
