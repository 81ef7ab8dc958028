"""The rows that are only scored: are there enough, and are they new?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, listed, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding, some
from workbench.data.prepare import EVALUATION_PARTS, task_of

FEW = 30
NEARLY = 0.01


@finds(
    "few-evaluation-rows", "warning", when="there are fewer than 30 different first texts to score on",
    why="The 95 % interval of a share narrows with the square root of the number of independent rows.", fix="holds out a larger share, where rows are held out",
)  # fmt: skip
@finds(
    "no-evaluation", "warning", when="no rows are kept for scoring",
    why="The training loss falls also when a model only learns its rows by heart.", fix="holds out 10% of the rows, where they can be scored",
)  # fmt: skip
def there_is_an_evaluation(case: Case) -> Iterator[Finding]:
    """Some rows are kept out of training, and enough for an interval that says something."""
    if case.evaluation is None:
        yield _none(case)
        return
    groups = len(np.unique(case.evaluation_texts.digests[:, 0]))
    if groups >= FEW:
        return
    half = 0.98 / math.sqrt(groups)
    everything = groups + len(np.unique(case.texts.digests[:, 0]))
    # a little more than needed, since whole groups of rows are held out
    share = math.ceil(20 * 1.3 * FEW / everything) / 20
    held_out = case.recipe.eval_data is None and case.evaluation.split == case.train.split
    yield case.finding(
        "few-evaluation-rows",
        "warning",
        f"There are only {some(groups, 'different first text')} to score on, so a score such as an accuracy is uncertain by about ±{half:.2f}, and a difference of two models hardly shows.",
        evidence={"evaluation_rows": len(case.evaluation), "independent_rows": groups, "half_interval": half, "measured_on": _measured(case)},
        fixed=f"hold out {share:.0%} of the rows",
        mends=held_out and case.recipe.eval_share < share <= 0.5,
        eval_share=share,
    )  # fmt: skip


def _none(case: Case) -> Finding:
    scorable = task_of(case.train) is not None
    off = scorable and case.recipe.eval_share == 0 and len(np.unique(case.texts.digests[:, 0])) > 1
    reason = "eval_share is 0" if off else "no group of rows can be spared" if scorable else "such a table has no score"
    return case.finding(
        "no-evaluation",
        "warning",
        f"No rows are kept for scoring ({reason}), so nothing will say whether the run helped or harmed.",
        evidence={"evaluation_rows": 0, "eval_share": case.recipe.eval_share},
        fixed="hold out 10 % of the rows",
        mends=off,
        eval_share=0.1,
    )


BY_HEART = "A score on rows that were trained on says how well they were learnt by heart, and nothing about new texts."


@finds(
    "evaluation-seen-in-training", "warning", "note", when="first texts or whole rows that are scored also occur in training, or 20% of the other texts; a warning from 1% of the rows",
    why=BY_HEART, fix="holds out training rows, where the evaluation rows came from a table of their own",
)  # fmt: skip
def evaluation_is_new(case: Case) -> Iterator[Finding]:
    """Rows that are scored do not occur in training."""
    if case.evaluation is None:
        return
    trained, scored = case.texts.digests, case.evaluation_texts.digests
    seen = np.isin(scored, trained)
    first, others = seen[:, 0], seen[:, 1:]
    same_width = trained.shape[1] == scored.shape[1]
    whole = np.isin(case.evaluation_texts.whole, case.texts.whole) & same_width
    shared = float(others.mean()) if others.size else 0.0
    if not first.any() and not whole.any() and shared < 0.2:
        return
    rows = np.flatnonzero(first | whole)
    message = f"{percent(float(first.mean()))} of the first texts and {percent(float(whole.mean()))} of the whole rows that are scored also occur in training, so the scores flatter."
    if not len(rows):
        message = f"{percent(shared)} of the other texts that are scored also occur in training, though none of the first ones does."
    own = case.recipe.eval_data is not None and not set(EVALUATION_PARTS) & set(case.train.splits)
    often = len(rows) >= NEARLY * len(first)
    yield case.finding(
        "evaluation-seen-in-training",
        "warning" if often else "note",
        message,
        evidence={
            "share_of_first_texts": float(first.mean()),
            "share_of_whole_rows": float(whole.mean()),
            "share_of_other_texts": shared,
            **({"evaluation_rows_seen": listed(rows)} if len(rows) else {}),
            "measured_on": _measured(case),
        },
        fixed=f"score on {case.recipe.eval_share:.0%} of the training rows, held out",
        mends=often and own and case.recipe.eval_share > 0,
        eval_data=None,
    )


@finds(
    "evaluation-nearly-seen", "warning", "note", when="first texts that are scored also occur in training but for case, white space or punctuation; a warning from 1%",
    why=BY_HEART,
)  # fmt: skip
def evaluation_is_not_nearly_seen(case: Case) -> Iterator[Finding]:
    """First texts that are scored do not occur in training, written a little differently."""
    if case.evaluation is None:
        return
    trained, scored = case.texts, case.evaluation_texts
    near = np.isin(scored.near[:, 0], trained.near[:, 0]) & ~np.isin(scored.digests[:, 0], trained.digests[:, 0])
    rows = np.flatnonzero(near)
    if not len(rows):
        return
    yield case.finding(
        "evaluation-nearly-seen",
        "warning" if len(rows) >= NEARLY * len(near) else "note",
        f"{len(rows):,} of the {len(near):,} first texts that are scored also occur in training but for case, white space or punctuation (evaluation row {listed(rows)}).",
        evidence={"rows": len(rows), "share": len(rows) / len(near), "measured_on": _measured(case)},
    )


def _measured(case: Case) -> str:
    assert case.evaluation is not None
    part = f" ({case.evaluation.split})" if case.evaluation.split else ""
    return f"all {len(case.evaluation):,} evaluation rows of {case.evaluation.name[:60]}{part} and {case.rows:,} training rows"
