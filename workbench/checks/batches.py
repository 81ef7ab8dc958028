"""What meets in a batch, and how many batches there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from workbench.checks.case import Case, percent
from workbench.checks.finding import Finding, Severity

SHUFFLED_ROWS = 400_000
MOST_SHUFFLES = 50
OFTEN = 0.05
FEW_STEPS = 10
APART = ("no_duplicates", "no_duplicates_hashed")


@dataclass(frozen=True)
class Meetings:
    """How often rows that share a text meet in a batch, in shuffles of all rows.

    Attributes:
        batches: share of batches with at least one text in two rows or more.
        rows: share of rows that meet another row with one of their texts.
        shuffles: number of epochs that were shuffled.
    """

    batches: float
    rows: float
    shuffles: int


def repeated(digests: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts that are in several rows, in whichever column.

    Args:
        digests: uint64, shape (rows, columns).

    Returns:
        (rows of each such text, which text it is: both int64, one entry a row and text; rows per text, int64).
    """
    texts = np.unique(digests, return_inverse=True)[1].reshape(digests.shape)
    # one number for each text and row, so that a text twice in one row counts once
    pairs = np.unique(texts * len(digests) + np.arange(len(digests))[:, None])
    text_of, row_of = np.divmod(pairs, len(digests))
    counts = np.bincount(text_of)
    several = counts[text_of] > 1
    return row_of[several], np.unique(text_of[several], return_inverse=True)[1], counts[counts > 1]


def meetings(rows: np.ndarray, texts: np.ndarray, total: int, batch: int, seed: int) -> Meetings:
    """How often such texts meet: `rows` and `texts` as `repeated` gives them, of `total` rows in batches of `batch`."""
    rng = np.random.default_rng(seed)
    shuffles = max(1, min(MOST_SHUFFLES, SHUFFLED_ROWS // total))
    full = -(-total // batch)
    hit_batches = hit_rows = 0
    for _ in range(shuffles):
        in_batch = rng.permutation(total)[rows] // batch
        keys = in_batch * (int(texts.max(initial=0)) + 1) + texts
        _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
        meet = counts[place] > 1
        hit_batches += len(np.unique(in_batch[meet]))
        hit_rows += len(np.unique(rows[meet]))
    return Meetings(hit_batches / (full * shuffles), hit_rows / (total * shuffles), shuffles)


def equal_texts_stay_apart(case: Case) -> Iterator[Finding]:
    """In-batch negatives: no text is in two rows of a batch, where it would be right and wrong at once."""
    recipe = case.recipe
    if not case.info.in_batch_negatives or recipe.batch_sampler in APART:
        return
    rows, texts, counts = repeated(case.texts.digests)
    met = meetings(rows, texts, case.rows, recipe.batch_size, recipe.seed)
    if met.batches == 0:
        return
    yield case.finding(
        "equal-texts-in-batch",
        "warning" if met.batches >= OFTEN else "note",
        f"About {percent(met.batches)} of the batches of {recipe.batch_size} will hold a text in two rows or more, so for {percent(met.rows)} of the rows a right answer, or the very same text, counts as a wrong one.",
        why="The other rows of a batch serve as negatives: where k rows share a text, the loss cannot fall below ln k, and the model is pushed away from what is right.",
        evidence={
            "share_of_batches": met.batches,
            "share_of_rows": met.rows,
            "texts_in_several_rows": len(counts),
            "most_rows_of_one_text": int(counts.max()),
            "batch_size": recipe.batch_size,
            "measured_on": f"{met.shuffles} shuffle{'' if met.shuffles == 1 else 's'} of all {case.rows:,} training rows of {case.name}, seed {recipe.seed}",
        },
        fixed="set batch_sampler to no_duplicates",
        batch_sampler="no_duplicates",
    )


def batches_can_be_filled(case: Case) -> Iterator[Finding]:
    """no_duplicates: no text is in more rows than there are batches to spread them over."""
    size = case.recipe.batch_size
    if case.recipe.batch_sampler not in APART or case.rows <= size:
        return
    counts = repeated(case.texts.digests)[2]
    most = int(counts.max(initial=1))
    if most <= case.rows / size:
        return
    fits = case.rows // most
    yield case.finding(
        "batches-not-filled",
        "warning",
        f"One text is in {most:,} of {case.rows:,} rows, but {case.recipe.batch_sampler} puts it into a batch of {size} only once: at the end of each epoch batches get small, down to a single row.",
        why="Small batches have few negatives, and a batch of one row teaches nothing.",
        evidence={"most_rows_of_one_text": most, "full_batches": case.rows // size, "batch_size": size},
        fixed=f"set batch_size to {fits}" if fits > 1 else "",
        **({"batch_size": fits} if fits > 1 else {}),
    )


def enough_steps(case: Case) -> Iterator[Finding]:
    """The batch is smaller than the table, and the run has more than a handful of steps."""
    recipe, steps = case.recipe, case.steps
    whole = recipe.batch_size > case.rows
    if not whole and min(case.steps_per_epoch, steps) >= FEW_STEPS:
        return
    in_all = f"{steps} step{'' if steps == 1 else 's'} in all, {case.steps_per_epoch} in an epoch"
    code, message = "few-steps", f"The run has {in_all}, so little can change."
    severity: Severity = "warning"
    if whole and recipe.drop_last:
        code, severity = "no-full-batch", "error"
        message = f"drop_last leaves out every batch, since batch_size is {recipe.batch_size} and there are {case.rows:,} rows, so the run will not start."
    elif whole:
        code = "batch-larger-than-data"
        message = f"A batch of {recipe.batch_size} is larger than the {case.rows:,} rows, so an epoch is a single batch: {in_all}."
    elif steps >= FEW_STEPS:
        code, severity = "short-epochs", "note"
        message = f"The rows are few for batches of {recipe.batch_size}: {in_all}."
    fixed, changes = _smaller_batches(case)
    if not whole and replace(case, recipe=recipe.changed(**changes)).steps < FEW_STEPS:
        fixed, changes = _longer(case)
    yield case.finding(
        code,
        severity,
        message,
        why="Each step moves the weights by about the learning rate: what a handful of steps change is lost in the noise of the scores.",
        evidence={
            "rows": case.rows,
            "batch_size": recipe.batch_size,
            "steps_per_epoch": case.steps_per_epoch,
            "steps": steps,
        },
        fixed=fixed,
        **changes,
    )


def _smaller_batches(case: Case) -> tuple[str, dict[str, object]]:
    """Ten steps in an epoch where batches then still hold 4 rows; else at least batches that the rows can fill."""
    size = case.rows // (FEW_STEPS * case.recipe.gradient_accumulation_steps)
    if size < 4:
        size = case.rows if case.recipe.batch_size > case.rows else 1
    size = 2 ** (size.bit_length() - 1)
    return (f"set batch_size to {size}", {"batch_size": size}) if 1 < size < case.recipe.batch_size else ("", {})


def _longer(case: Case) -> tuple[str, dict[str, object]]:
    """Ten steps in the run."""
    epochs = max(case.recipe.epochs, float(-(-FEW_STEPS // case.steps_per_epoch)))
    more: dict[str, object] = {"epochs": epochs} if epochs > case.recipe.epochs else {}
    if case.recipe.max_steps is None:
        return f"set epochs to {epochs:g}", more
    return f"leave out max_steps{f' and set epochs to {epochs:g}' if more else ''}", {"max_steps": None, **more}


def batches_hold_negatives(case: Case) -> Iterator[Finding]:
    """In-batch negatives of pairs: a batch has two rows at least."""
    recipe = case.recipe
    if not case.info.in_batch_negatives or len(case.train.texts) > 2:
        return
    why = "The other rows of the batch are the only negatives: a row alone has loss 0 and no gradient."
    evidence = {"batch_size": recipe.batch_size, "rows": case.rows}
    if recipe.batch_size == 1:
        message = "Batches of one row hold no negatives, so the loss is 0 throughout and nothing is learnt."
        yield case.finding("batch-of-one", "error", message, why=why, evidence=evidence, fixed="set batch_size to 16", batch_size=16)  # fmt: skip
    elif case.rows % recipe.batch_size == 1 and not recipe.drop_last and case.rows > 1:
        message = f"The last batch of each epoch has a single row ({case.rows:,} rows in batches of {recipe.batch_size}), so it teaches nothing."
        yield case.finding("last-batch-of-one", "note", message, why=why, evidence=evidence, fixed="set drop_last to true", drop_last=True)  # fmt: skip
