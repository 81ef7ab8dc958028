"""The rows that are only scored: are there enough, and are they new?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, listed, percent
from workbench.checks.finding import Finding
from workbench.data.prepare import task_of

FEW = 30
SHARED_TEXTS = 0.2


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
    better = held_out and case.recipe.eval_share < share <= 0.5
    yield case.finding(
        "few-evaluation-rows",
        "warning",
        f"There are only {groups} different first texts to score on, so a score such as an accuracy is uncertain by about ±{half:.2f}, and a difference of two models hardly shows.",
        why="The 95 % interval of a share narrows with the square root of the number of independent rows.",
        evidence={"evaluation_rows": len(case.evaluation), "independent_rows": groups, "half_interval": half, "measured_on": _measured(case)},
        fixed=f"hold out {share:.0%} of the rows" if better else "",
        **({"eval_share": share} if better else {}),
    )  # fmt: skip


def _none(case: Case) -> Finding:
    scorable = task_of(case.train) is not None
    off = scorable and case.recipe.eval_share == 0 and len(np.unique(case.texts.digests[:, 0])) > 1
    reason = "eval_share is 0" if off else "no group of rows can be spared" if scorable else "such a table has no score"
    return case.finding(
        "no-evaluation",
        "warning",
        f"No rows are kept for scoring ({reason}), so nothing will say whether the run helped or harmed.",
        why="The training loss falls also when a model only learns its rows by heart.",
        evidence={"evaluation_rows": 0, "eval_share": case.recipe.eval_share},
        fixed="hold out 10 % of the rows" if off else "",
        **({"eval_share": 0.1} if off else {}),
    )


def evaluation_is_new(case: Case) -> Iterator[Finding]:
    """Rows that are scored do not occur in training."""
    if case.evaluation is None:
        return
    trained, scored = case.texts.digests, case.evaluation_texts.digests
    seen = np.isin(scored, trained)
    first, others = seen[:, 0], seen[:, 1:]
    whole = _whole_rows(trained, scored)
    shared = float(others.mean()) if others.size else 0.0
    if not first.any() and not whole.any() and shared < SHARED_TEXTS:
        return
    rows = np.flatnonzero(first | whole)
    message = f"{percent(float(first.mean()))} of the first texts and {percent(float(whole.mean()))} of the whole rows that are scored also occur in training, so the scores will flatter."
    if not len(rows):
        message = f"{percent(shared)} of the other texts that are scored also occur in training, though none of the first ones does."
    own = case.recipe.eval_data is not None and not any(
        name in case.train.splits for name in ("validation", "dev", "valid", "test", "eval")
    )
    mendable = bool(len(rows)) and own and case.recipe.eval_share > 0
    yield case.finding(
        "evaluation-seen-in-training",
        "warning" if len(rows) else "note",
        message,
        why="A score on rows that were trained on says how well they were learnt by heart, and nothing about new texts.",
        evidence={
            "share_of_first_texts": float(first.mean()),
            "share_of_whole_rows": float(whole.mean()),
            "share_of_other_texts": shared,
            **({"evaluation_rows_seen": listed(rows)} if len(rows) else {}),
            "measured_on": _measured(case),
        },
        fixed=f"score on {case.recipe.eval_share:.0%} of the training rows, held out" if mendable else "",
        **({"eval_data": None} if mendable else {}),
    )


def _whole_rows(trained: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """Which rows occur whole in training. Bool, shape (scored rows,)."""
    if trained.shape[1] != scored.shape[1]:
        return np.zeros(len(scored), dtype=bool)
    rows = {row.tobytes() for row in np.ascontiguousarray(trained)}
    return np.fromiter((row.tobytes() in rows for row in np.ascontiguousarray(scored)), bool, len(scored))


def _measured(case: Case) -> str:
    assert case.evaluation is not None
    part = f" ({case.evaluation.split})" if case.evaluation.split else ""
    return f"all {len(case.evaluation):,} evaluation rows of {case.evaluation.name[:60]}{part} and {case.rows:,} training rows"
