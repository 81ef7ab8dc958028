"""Columns that were given the wrong role: swapped, no texts at all, or categories."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, percent, without_column
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text


@finds(
    "columns-swapped", "warning", when="80% of the positives or more are questions, at most 5% of the anchors are, and anchors have twice their tokens",
    why="The anchor is what is asked and ranks the positives; scores of retrieval search for positives with anchors.",
    fix="swaps the roles of the two columns",
)  # fmt: skip
def questions_are_anchors(case: Case) -> Iterator[Finding]:
    """Questions are anchors and their answers positives."""
    columns = case.train.texts
    if len(columns) < 2 or case.label_kind is not None:
        return
    asked = case.texts.are("question").mean(axis=0)
    median = np.median(case.texts.tokens, axis=0)
    if asked[1] < 0.8 or asked[0] > 0.05 or median[0] < 2 * median[1]:
        return
    anchor, positive = columns[:2]
    roles = {**case.train.used, anchor: "positive", positive: "anchor"}
    yield case.finding(
        "columns-swapped",
        "warning",
        f"{percent(float(asked[1]))} of the positives in {cut_text(positive, 40)!r} are questions, but {percent(float(asked[0]))} of the anchors in {cut_text(anchor, 40)!r}, which are longer (median {median[0]:g} and {median[1]:g} tokens): the two seem to be swapped.",
        evidence={
            "anchors_with_question_mark": float(asked[0]),
            "positives_with_question_mark": float(asked[1]),
            "median_tokens_anchor": float(median[0]),
            "median_tokens_positive": float(median[1]),
        },
        fixed="swap the roles of the two columns",
        data=case.recipe.data.model_copy(update={"columns": roles}),
    )


@finds(
    "column-of-no-texts", "warning", when="90% of a text column or more are addresses, numbers, dates or long codes",
    why="Whatever has the role of a text is trained on: every further column is a negative, and a positive of codes teaches codes.",
    fix="ignores the column, where the loss does without it",
)  # fmt: skip
@finds(
    "few-different-negatives", "warning", when="a column of negatives holds at most 20 different texts, each in 20 rows or more",
    why="It looks like a category: as a negative the same few texts are pushed away from everything.",
    fix="ignores the column, where the loss does without it",
)  # fmt: skip
def text_columns_hold_texts(case: Case) -> Iterator[Finding]:
    """What has the role of a text is one."""
    codes, texts = case.texts.are("no text").mean(axis=0), case.texts
    for at, name in enumerate(texts.columns):
        column, role = cut_text(name, 40), case.train.roles[name]
        different = len(np.unique(texts.digests[:, at]))
        evidence = {"role": role, "different_texts": different, "share_of_codes": float(codes[at])}
        changes = without_column(case, name) if role == "negative" else {}
        fixed = {"fixed": f"ignore the column {name!r}", "mends": changes, **changes}
        if codes[at] >= 0.9:
            message = f"{percent(float(codes[at]))} of the texts in {column!r} are addresses, numbers, dates or codes, but its role is {role}."
            yield case.finding("column-of-no-texts", "warning", message, evidence=evidence, **fixed)
        elif role == "negative" and different <= 20 and case.rows >= 20 * different:
            message = f"{column!r} holds only {different} different text{'s' * (different > 1)} in {case.rows:,} rows, and each counts as a negative."
            yield case.finding("few-different-negatives", "warning", message, evidence=evidence, **fixed)
