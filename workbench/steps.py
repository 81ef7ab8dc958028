"""How many steps a recipe takes, counted as the trainer counts them; the run, the script and the checks all ask here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset


def batched_rows(recipe: Recipe, table: Dataset) -> int:
    """Rows of the training table, as the trainer gets it, that an epoch puts into batches."""
    target = next((name for name in ("label", "score") if name in table.column_names), None)
    if recipe.batch_sampler != "group_by_label" or target is None:
        return len(table)
    labels = table[target][:]
    # a list of scores is no class: the sampler fails on it
    return len(table) if isinstance(labels[0], list) else rows_in_groups(Counter(labels).values()) or len(table)


def rows_in_groups(sizes: Iterable[int]) -> int:
    """Rows that group_by_label uses of classes of such sizes: pairs in turns, until fewer than two classes are left."""
    pairs = sorted((size // 2 for size in sizes if size >= 2), reverse=True)
    return 2 * sum(min(count, pairs[1]) for count in pairs) if len(pairs) > 1 else 0


def steps_per_epoch(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of one epoch over so many rows (see `batched_rows`), at least 1."""
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
