"""What meets in a batch, and how many batches there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from workbench.checks.case import Case, listed, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding, Severity, some

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
        floor: mean over all rows of what the logarithm of the best answer's chance cannot fall below.
    """

    batches: float
    rows: float
    shuffles: int
    floor: float


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


def meetings(digests: np.ndarray, batch: int, seed: int) -> Meetings:
    """How often rows of a table (uint64 digests, shape (rows, columns)) meet that share a text, in random batches."""
    rng = np.random.default_rng(seed)
    total = len(digests)
    rows, texts, _ = repeated(digests)
    names = np.unique(digests, return_inverse=True)[1].reshape(digests.shape)
    shuffles = max(1, min(50, 400_000 // total))
    full = -(-total // batch)
    hit_batches = hit_rows = 0
    floor = 0.0
    for _ in range(shuffles):
        batch_of = rng.permutation(total) // batch
        in_batch = batch_of[rows]
        keys = in_batch * (int(texts.max(initial=0)) + 1) + texts
        _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
        meet = counts[place] > 1
        hit_batches += len(np.unique(in_batch[meet]))
        hit = np.unique(rows[meet])
        hit_rows += len(hit)
        floor += _floor(names, batch_of, hit)
    return Meetings(
        hit_batches / (full * shuffles), hit_rows / (total * shuffles), shuffles, floor / (total * shuffles)
    )


def _floor(names: np.ndarray, batch_of: np.ndarray, hit: np.ndarray) -> float:
    """Sum over the rows `hit` of the least loss that any model of texts can have among the candidates of their batch.

    k copies of the right answer share its chance, which costs ln k; m rows of a batch that ask the same, n of them with
    the same answer, can only be answered by the share n / m, which costs ln(m / n).
    """
    if names.shape[1] < 2 or not len(hit):
        return 0.0
    most = int(names.max()) + 1
    own = batch_of[hit]
    asked = own * most + names[hit, 0]
    right = own * most + names[hit, 1]
    offered = (own[:, None] * most + names[hit, 1:]).ravel()
    copies = _times(np.concatenate([right, offered]))[: len(hit)] - _times(right)
    same = np.unique(asked, return_inverse=True)[1] * most + names[hit, 1]
    return float(np.log(copies).sum() + np.log(_times(asked) / _times(same)).sum())


def _times(keys: np.ndarray) -> np.ndarray:
    """How often each key occurs. int64, shape (keys,)."""
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[place]


@finds(
    "equal-texts-in-batch", "warning", "note", when="rows of a random batch share a text, with in-batch negatives; a warning from 5% of the batches",
    why="The other rows of a batch serve as negatives: where k rows share a text, the loss cannot fall below ln k, and the model is pushed away from what is right.",
    fix="sets `batch_sampler` to no_duplicates",
)  # fmt: skip
def equal_texts_stay_apart(case: Case) -> Iterator[Finding]:
    """In-batch negatives: no text is in two rows of a batch, where it would be right and wrong at once."""
    recipe = case.recipe
    if not case.info.in_batch_negatives or recipe.batch_sampler in APART:
        return
    digests = case.texts.digests
    counts = repeated(digests)[2]
    met = meetings(digests, recipe.batch_size, recipe.seed) if len(counts) else None
    if met is None or met.batches == 0:
        return
    # only these losses are the logarithm of a chance among the candidates
    ranks = "NegativesRanking" in case.loss.name and [*(case.values.get("directions") or ())] == ["query_to_doc"]
    said = f", and the loss cannot fall below {met.floor:.3f}" if ranks and met.floor >= 0.001 else ""
    yield case.finding(
        "equal-texts-in-batch",
        "warning" if met.batches >= OFTEN else "note",
        f"About {percent(met.batches)} of the batches of {recipe.batch_size} will hold a text in two rows or more, so for {percent(met.rows)} of the rows a right answer, or the very same text, counts as a wrong one{said}.",
        evidence={
            "share_of_batches": met.batches,
            "share_of_rows": met.rows,
            "texts_in_several_rows": len(counts),
            "most_rows_of_one_text": int(counts.max()),
            "batch_size": recipe.batch_size,
            **({"least_loss": met.floor} if ranks else {}),
            "measured_on": f"{some(met.shuffles, 'shuffle')} of all {case.rows:,} training rows of {case.name}, seed {recipe.seed}",
        },
        fixed="set batch_sampler to no_duplicates",
        batch_sampler="no_duplicates",
    )


@finds(
    "near-equal-texts", "warning", "note", when="texts of different rows differ only in case, white space or punctuation, with in-batch negatives; a warning from 5% of the rows",
    why="They say the same, but in a batch one counts as a wrong answer for the other, and no sampler sees it: write them alike, and no_duplicates keeps them apart.",
)  # fmt: skip
def near_texts_are_written_alike(case: Case) -> Iterator[Finding]:
    """In-batch negatives: texts that say the same are the same."""
    if not case.info.in_batch_negatives:
        return
    names, counts = case.texts.spellings
    rows = np.flatnonzero(np.isin(case.texts.near, names).any(axis=1))
    if not len(rows):
        return
    yield case.finding(
        "near-equal-texts",
        "warning" if len(rows) >= OFTEN * case.rows else "note",
        f"{int(counts.sum()):,} texts in {len(rows):,} of {case.rows:,} rows differ from another one only in case, white space or punctuation (row {listed(rows)}).",
        evidence={"texts": int(counts.sum()), "rows": len(rows), "share": len(rows) / case.rows},
    )


@finds(
    "batches-not-filled", "error", "warning", when="no_duplicates is on, and one text is in more rows than an epoch has full batches; an error if `drop_last` then leaves none",
    why="Small batches have few negatives, and a batch of one row teaches nothing.", fix="lowers `batch_size`",
)  # fmt: skip
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
    none = False
    result = "at the end of each epoch batches get small, down to a single row"
    if case.recipe.drop_last:
        result = "rows that fill no batch are left out of each epoch"
        none = min(len(np.unique(column)) for column in case.texts.digests.T) < size
        result = "no batch gets full, so the run will not start" if none else result
    yield case.finding(
        "batches-not-filled",
        "error" if none else "warning",
        f"One text is in {most:,} of {case.rows:,} rows, but {case.recipe.batch_sampler} puts it into a batch of {size} only once: {result}.",
        evidence={"most_rows_of_one_text": most, "full_batches": case.rows // size, "batch_size": size},
        fixed=f"set batch_size to {fits}",
        mends=fits > 1,
        batch_size=fits,
    )


HANDFUL = "Each step moves the weights by about the learning rate: what a handful of steps change is lost in the noise of the scores."


@finds(
    "few-steps", "warning", when="the run has fewer than 10 steps",
    why=HANDFUL, fix="lowers `batch_size`, or raises `epochs` to 10 steps",
)  # fmt: skip
@finds(
    "short-epochs", "note", when="an epoch has fewer than 10 steps, though the run has more",
    why=HANDFUL, fix="lowers `batch_size`",
)  # fmt: skip
@finds(
    "batch-larger-than-data", "warning", when="a batch is larger than the table",
    why=HANDFUL, fix="lowers `batch_size`, or raises `epochs`",
)  # fmt: skip
@finds(
    "no-full-batch", "error", when="`drop_last` is on and the table does not fill one batch",
    why=HANDFUL, fix="lowers `batch_size`",
)  # fmt: skip
def enough_steps(case: Case) -> Iterator[Finding]:
    """The batch is smaller than the table, and the run has more than a handful of steps."""
    recipe, steps, rows = case.recipe, case.steps, case.batched_rows
    whole = recipe.batch_size > rows
    these = f"{some(rows, 'row')}{' that group_by_label uses' if rows < case.rows else ''}"
    if not whole and min(case.steps_per_epoch, steps) >= FEW_STEPS:
        return
    in_all = f"{some(steps, 'step')} in all, {case.steps_per_epoch} in an epoch"
    code, message = "few-steps", f"The run has {in_all}, so little can change."
    severity: Severity = "warning"
    if whole and recipe.drop_last:
        code, severity = "no-full-batch", "error"
        message = f"drop_last leaves out every batch, since batch_size is {recipe.batch_size} and there are {these}, so the run will not start."
    elif whole:
        code = "batch-larger-than-data"
        message = f"A batch of {recipe.batch_size} is larger than the {these}, so an epoch is a single batch: {in_all}."
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
        evidence={
            "rows": rows,
            "batch_size": recipe.batch_size,
            "steps_per_epoch": case.steps_per_epoch,
            "steps": steps,
        },
        fixed=fixed,
        **changes,
    )


def _smaller_batches(case: Case) -> tuple[str, dict[str, object]]:
    """Ten steps in an epoch where batches then still hold 4 rows; else at least batches that the rows can fill."""
    size = case.batched_rows // (FEW_STEPS * case.recipe.gradient_accumulation_steps)
    if size < 4:
        size = case.batched_rows if case.recipe.batch_size > case.batched_rows else 1
    size = 2 ** (size.bit_length() - 1)
    least = 4 if case.recipe.batch_sampler == "group_by_label" else 2
    return (f"set batch_size to {size}", {"batch_size": size}) if least <= size < case.recipe.batch_size else ("", {})


def _longer(case: Case) -> tuple[str, dict[str, object]]:
    """Ten steps in the run."""
    epochs = max(case.recipe.epochs, float(-(-FEW_STEPS // case.steps_per_epoch)))
    more: dict[str, object] = {"epochs": epochs} if epochs > case.recipe.epochs else {}
    if case.recipe.max_steps is None:
        return f"set epochs to {epochs:g}", more
    return f"leave out max_steps{f' and set epochs to {epochs:g}' if more else ''}", {"max_steps": None, **more}


ALONE = "The other rows of the batch are the only negatives: a row alone has loss 0 and no gradient."


@finds(
    "batch-of-one", "error", when="`batch_size` is 1 and the other rows are the only negatives",
    why=ALONE, fix="sets `batch_size` to 16",
)  # fmt: skip
@finds(
    "last-batch-of-one", "note", when="the last batch of an epoch has one row, and the other rows are the only negatives",
    why=ALONE, fix="turns `drop_last` on",
)  # fmt: skip
def batches_hold_negatives(case: Case) -> Iterator[Finding]:
    """In-batch negatives of pairs: a batch has two rows at least."""
    recipe = case.recipe
    if not case.info.in_batch_negatives or len(case.train.texts) > 2:
        return
    evidence = {"batch_size": recipe.batch_size, "rows": case.rows}
    if recipe.batch_size == 1:
        message = "Batches of one row hold no negatives, so the loss is 0 throughout and nothing is learnt."
        yield case.finding("batch-of-one", "error", message, evidence=evidence, fixed="set batch_size to 16", batch_size=16)  # fmt: skip
    elif case.rows % recipe.batch_size == 1 and not recipe.drop_last and case.rows > 1:
        message = f"The last batch of each epoch has a single row ({case.rows:,} rows in batches of {recipe.batch_size}), so it teaches nothing."
        yield case.finding("last-batch-of-one", "note", message, evidence=evidence, fixed="set drop_last to true", drop_last=True)  # fmt: skip
