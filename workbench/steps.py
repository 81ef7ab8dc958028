"""How many steps a recipe takes, counted as the trainer counts them; the run, the script and the checks all ask here."""

from __future__ import annotations

import math

from workbench.recipe import Recipe


def steps_per_epoch(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of one epoch over so many rows, at least 1."""
    batches = rows // recipe.batch_size if recipe.drop_last else math.ceil(rows / recipe.batch_size)
    return max(1, math.ceil(batches / recipe.gradient_accumulation_steps))


def total_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of a run over so many rows."""
    return recipe.max_steps or max(1, math.ceil(recipe.epochs * steps_per_epoch(recipe, rows)))


def steps_of(amount: float, total: int) -> int:
    """A share of all steps, or a number of steps, as a whole number of steps of at least 1."""
    return max(1, math.ceil(amount * total) if amount < 1 else int(amount))


def warmup_steps(recipe: Recipe, total: int) -> int:
    """Steps of the warm-up; rounded down: its first step has rate 0, and a run of a few steps cannot spare one."""
    return int(recipe.warmup * total) if recipe.warmup < 1 else int(recipe.warmup)
