"""Texts: empty, without content, wrongly decoded, equal within a row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, listed
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text

FEW = 0.01
# They learn from the same text twice.
TAKE_EQUAL_TEXTS = ("ContrastiveTensionLoss", "DenoisingAutoEncoderLoss")


@finds(
    "empty-texts", "warning", when="texts are empty or only white space",
    why="All empty texts have the same vector, which is pulled to whatever they are paired with: leave such rows out of the table.",
)  # fmt: skip
def texts_are_not_empty(case: Case) -> Iterator[Finding]:
    """No text is empty or only white space."""
    for name, blank in _where(case, "blank"):
        if len(blank):
            yield case.finding(
                "empty-texts",
                "warning",
                f"{len(blank):,} of {case.rows:,} texts in {cut_text(name, 40)!r} are empty or only white space; they are trained on like any other (row {listed(blank)}).",
                evidence={"empty": len(blank), "share": len(blank) / case.rows, "column": cut_text(name, 40)},
            )


@finds(
    "texts-without-content", "warning", "note", when="texts are numbers, signs, single letters or stand-ins such as n/a; a warning from 1% of a column",
    why="They say nothing that their vector could hold, and as right answers they teach noise: leave such rows out, unless numbers are what it is about.",
)  # fmt: skip
def texts_say_something(case: Case) -> Iterator[Finding]:
    """Texts hold a word."""
    for name, rows in _where(case, "contentless"):
        if len(rows):
            yield case.finding(
                "texts-without-content",
                "warning" if len(rows) >= FEW * case.rows else "note",
                f"{len(rows):,} of {case.rows:,} texts in {cut_text(name, 40)!r} hold no word, only numbers, signs, single letters or a stand-in such as n/a (row {listed(rows)}).",
                evidence={"texts": len(rows), "share": len(rows) / case.rows, "column": cut_text(name, 40)},
            )


@finds(
    "wrong-encoding", "warning", "note", when="texts were read with another encoding than they were written in, or carry control characters; a warning from 1% of a column",
    why="Such characters split into rare tokens that the model has no use for: read the file with its own encoding, or repair the texts.",
)  # fmt: skip
def texts_are_decoded(case: Case) -> Iterator[Finding]:
    """Texts were read with the encoding that they were written in."""
    for at, name in enumerate(case.texts.columns):
        found = {kind: case.texts.are(kind)[:, at] for kind in ("misread", "replaced", "control")}
        rows = np.flatnonzero(np.logical_or.reduce([*found.values()]))
        if len(rows):
            yield case.finding(
                "wrong-encoding",
                "warning" if len(rows) >= FEW * case.rows else "note",
                f"{len(rows):,} of {case.rows:,} texts in {cut_text(name, 40)!r} look wrongly decoded or carry control characters (row {listed(rows)}).",
                evidence={**{kind: int(where.sum()) for kind, where in found.items()}, "share": len(rows) / case.rows, "column": cut_text(name, 40)},
            )  # fmt: skip


@finds(
    "same-text-in-row", "warning", "note", when="a text stands twice in a row, where the loss compares them; a warning for a negative, and from 1% of the rows",
    why="Such rows are usually a mistake in how the table was made: leave them out.",
)  # fmt: skip
@finds(
    "nearly-same-text-in-row", "warning", "note", when="two texts of a row differ only in case, white space or punctuation; a warning for a negative, and from 1% of the rows",
    why="The model sees next to no difference: such rows teach nothing, or the opposite of what is wanted.",
)  # fmt: skip
def texts_of_a_row_differ(case: Case) -> Iterator[Finding]:
    """No text stands twice in a row."""
    if case.label_kind is not None or case.loss.name in TAKE_EQUAL_TEXTS:
        return
    texts = case.texts
    for right in range(1, len(texts.columns)):
        for left in range(right):
            same = texts.digests[:, left] == texts.digests[:, right]
            near = (texts.near[:, left] == texts.near[:, right]) & ~same
            for rows, nearly in ((np.flatnonzero(same), False), (np.flatnonzero(near), True)):
                if len(rows):
                    yield _twice(case, left, right, rows, nearly=nearly)


def _twice(case: Case, left: int, right: int, rows: np.ndarray, *, nearly: bool) -> Finding:
    columns = case.texts.columns
    negatives = [case.train.roles[columns[at]] == "negative" for at in (left, right)]
    negative = negatives == [False, True]
    result = "what is wanted and what is not are the same" if negative else "there is nothing to learn from them"
    if all(negatives):
        result = "one of them adds nothing"
    how = "differ only in case, white space or punctuation" if nearly else "are the same text"
    return case.finding(
        "nearly-same-text-in-row" if nearly else "same-text-in-row",
        "note" if not negative and len(rows) < FEW * case.rows else "warning",
        f"In {len(rows):,} of {case.rows:,} rows {cut_text(columns[left], 40)!r} and {cut_text(columns[right], 40)!r} {how} (row {listed(rows)}), so {result}.",
        evidence={"rows": len(rows), "share": len(rows) / case.rows},
    )


def _where(case: Case, kind: str) -> list[tuple[str, np.ndarray]]:
    """Column -> rows whose text is of a kind."""
    return [(name, np.flatnonzero(rows)) for name, rows in zip(case.texts.columns, case.texts.are(kind).T, strict=True)]
