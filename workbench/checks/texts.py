"""Texts: cut, empty, equal within a row, without the model's prompt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, listed, percent
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text

OFTEN_CUT = 0.05
STEP_TOKENS = 8
# They learn from the same text twice.
TAKE_EQUAL_TEXTS = ("ContrastiveTensionLoss", "DenoisingAutoEncoderLoss")
QUERY, DOCUMENT = ("query", "queries"), ("document", "passage", "corpus", "documents")


def limit_is_possible(case: Case) -> Iterator[Finding]:
    """max_seq_length is at most what the model has positions for."""
    wanted, positions = case.recipe.max_seq_length, case.model.positions
    if wanted is None:
        return
    evidence = {
        "max_seq_length": wanted,
        "positions": positions or "no limit",
        "measured_on": f"the files of {case.recipe.model}",
    }
    why = "A transformer has no vectors for positions that it was not built with."
    if case.model.max_seq_length is None:
        message = f"max_seq_length is {wanted}, but {case.recipe.model} has no limit to set, so the run will not start."
        yield case.finding("limit-not-possible", "error", message, why="A static model reads texts of any length.", evidence=evidence, fixed="leave out max_seq_length", max_seq_length=None)  # fmt: skip
    elif positions and wanted > positions:
        message = (
            f"max_seq_length is {wanted}, but {case.recipe.model} has {positions} positions, so the run will not start."
        )
        yield case.finding("limit-not-possible", "error", message, why=why, evidence=evidence, fixed=f"set max_seq_length to {positions}", max_seq_length=positions)  # fmt: skip


def texts_fit(case: Case) -> Iterator[Finding]:
    """Texts are not longer than the limit in tokens."""
    limit = case.limit
    if limit is None:
        return
    cut = {name: float((counts > limit).mean()) for name, counts in case.lengths.items()}
    if not any(cut.values()):
        return
    worst = max(cut, key=lambda name: cut[name])
    # numpy interpolates between two counts; the next whole one covers 95 %
    p95 = {name: int(np.ceil(np.quantile(counts, 0.95))) for name, counts in case.lengths.items()}
    tokens = sum(int(counts.sum()) for counts in case.lengths.values())
    lost = sum(int(np.maximum(counts - limit, 0).sum()) for counts in case.lengths.values()) / tokens
    wanted = min(-(-max(p95.values()) // STEP_TOKENS) * STEP_TOKENS, case.model.positions or limit)
    looked = len(case.lengths[worst])
    evidence: dict[str, object] = {
        "limit": limit,
        "positions": case.model.positions or "unknown",
        "share_of_tokens_lost": lost,
    }
    for name, counts in case.lengths.items():
        column = cut_text(name, 40)
        evidence |= {
            f"share_cut_{column}": cut[name],
            f"p95_{column}": p95[name],
            f"longest_{column}": int(counts.max()),
        }
    whose = "all" if looked == case.rows else f"{looked:,} evenly spaced rows of"
    evidence["measured_on"] = (
        f"{whose} {case.rows:,} training rows of {case.name}, tokens of {case.recipe.model}, special tokens and prompts included"
    )
    yield case.finding(
        "texts-cut",
        "warning" if cut[worst] >= OFTEN_CUT else "note",
        f"{percent(cut[worst])} of the texts in {cut_text(worst, 40)!r} are cut at {limit} tokens; {percent(lost)} of all tokens are never read.",
        why="What is cut has no effect on a vector; the library cuts without saying so.",
        evidence=evidence,
        fixed=f"raise max_seq_length to {wanted}" if wanted > limit else "",
        **({"max_seq_length": wanted} if wanted > limit else {}),
    )


def texts_are_not_empty(case: Case) -> Iterator[Finding]:
    """No text is empty or only white space."""
    for name, blank in case.texts.blank.items():
        if blank:
            yield case.finding(
                "empty-texts",
                "warning",
                f"{len(blank):,} of {case.rows:,} texts in {cut_text(name, 40)!r} are empty or only white space; they are trained on like any other (row {listed(blank)}).",
                why="All empty texts have the same vector, which is pulled to whatever they are paired with: leave such rows out of the table.",
                evidence={"empty": len(blank), "share": len(blank) / case.rows, "column": cut_text(name, 40)},
            )


def texts_of_a_row_differ(case: Case) -> Iterator[Finding]:
    """No text stands twice in a row."""
    if case.label_kind is not None or case.loss.name in TAKE_EQUAL_TEXTS:
        return
    columns = case.texts.columns
    for right in range(1, len(columns)):
        for left in range(right):
            same = np.flatnonzero(case.texts.digests[:, left] == case.texts.digests[:, right])
            if not len(same):
                continue
            negative = case.train.roles[columns[right]] == "negative"
            result = (
                "what is wanted and what is not are the same" if negative else "there is nothing to learn from them"
            )
            yield case.finding(
                "same-text-in-row",
                "warning",
                f"In {len(same):,} of {case.rows:,} rows {cut_text(columns[left], 40)!r} and {cut_text(columns[right], 40)!r} are the same text (row {listed(same)}), so {result}.",
                why="Such rows are usually a mistake in how the table was made: leave them out.",
                evidence={"rows": len(same), "share": len(same) / case.rows},
            )


def prompts_are_used(case: Case) -> Iterator[Finding]:
    """A model that was trained with prompts is trained on with prompts."""
    prompts = case.model_prompts
    if case.recipe.prompts or not prompts or len(case.train.texts) < 2:
        return
    query = next((prompts[name] for name in QUERY if name in prompts), "")
    document = next((prompts[name] for name in DOCUMENT if name in prompts), "")
    anchor, *others = case.train.texts
    given = {name: text for name, text in [(anchor, query), *((other, document) for other in others)] if text}
    shown = ", ".join(f"{name} {cut_text(text, 40)!r}" for name, text in prompts.items())
    yield case.finding(
        "prompts-not-used",
        "note",
        f"{case.recipe.model} brings prompts ({shown}), but the recipe trains without them.",
        why="The library puts a model's prompts before queries and documents when it encodes them, but not in training.",
        evidence={"prompts": shown, "measured_on": f"the files of {case.recipe.model}"},
        fixed="put its prompts for queries and documents before the columns" if given else "",
        **({"prompts": given} if given else {}),
    )
