"""Limits and prompts: how much of a text the model sees, and what stands before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text

STEP_TOKENS = 8


@finds(
    "limit-not-possible", "error", when="`max_seq_length` is more than the model has positions for, or the model has no limit",
    why="A transformer has no vectors for positions that it was not built with.", fix="sets `max_seq_length` to the positions, or leaves it out",
)  # fmt: skip
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
    if case.model.max_seq_length is None:
        message = f"max_seq_length is {wanted}, but {case.recipe.model} has no limit to set, so the run will not start."
        why = (
            "A static model reads texts of any length."
            if case.static
            else "Its files name no limit, so none can be lowered."
        )
        yield case.finding("limit-not-possible", "error", message, why=why, evidence=evidence, fixed="leave out max_seq_length", max_seq_length=None)  # fmt: skip
    elif positions and wanted > positions:
        message = (
            f"max_seq_length is {wanted}, but {case.recipe.model} has {positions} positions, so the run will not start."
        )
        yield case.finding("limit-not-possible", "error", message, evidence=evidence, fixed=f"set max_seq_length to {positions}", max_seq_length=positions)  # fmt: skip


@finds(
    "texts-never-cut", "warning", when="a transformer has no limit that is known, and a text has over 1,024 tokens",
    why="Memory for attention grows with the square of the longest text of a batch: shorten the texts, or set a limit in the model's own files.",
)  # fmt: skip
def a_limit_is_known(case: Case) -> Iterator[Finding]:
    """Where texts are long, the model has a limit."""
    longest = int(case.texts.tokens.max(initial=0))
    if case.limit is None and not case.static and longest > 1024:
        message = f"{case.recipe.model} names no limit, so the longest text of {longest:,} tokens is read whole, and its batch is padded to that."
        yield case.finding("texts-never-cut", "warning", message, evidence={"longest": longest})


@finds(
    "texts-cut", "warning", "note", when="texts are longer than the limit; a warning from 5% of a column",
    why="What is cut has no effect on a vector; the library cuts without saying so.",
    fix="raises `max_seq_length` to cover 95% of the texts, as far as the model has positions",
)  # fmt: skip
def texts_fit(case: Case) -> Iterator[Finding]:
    """Texts are not longer than the limit in tokens."""
    limit = case.limit
    if limit is None:
        return
    cut = {name: float((counts > limit).mean()) for name, counts in case.lengths.items()}
    if not any(cut.values()):
        return
    worst = max(cut, key=lambda name: cut[name])
    # of two counts the higher one, which leaves fewer than 5 % above it
    p95 = {name: int(np.quantile(counts, 0.95, method="higher")) for name, counts in case.lengths.items()}
    tokens = sum(int(counts.sum()) for counts in case.lengths.values())
    lost = sum(int(np.maximum(counts - limit, 0).sum()) for counts in case.lengths.values()) / tokens
    wanted = min(-(-max(p95.values()) // STEP_TOKENS) * STEP_TOKENS, case.model.positions or limit)
    evidence: dict[str, object] = {"limit": limit, "positions": case.model.positions or "unknown", "share_of_tokens_lost": lost}  # fmt: skip
    for name, counts in case.lengths.items():
        column, longest = cut_text(name, 40), int(counts.max())
        evidence |= {f"share_cut_{column}": cut[name], f"p95_{column}": p95[name], f"longest_{column}": longest}
    evidence["measured_on"] = (
        f"all {case.rows:,} training rows of {case.name}, tokens of {case.recipe.model}, special tokens and prompts included"
    )
    yield case.finding(
        "texts-cut",
        "warning" if cut[worst] >= 0.05 else "note",
        f"{percent(cut[worst])} of the texts in {cut_text(worst, 40)!r} are cut at {limit} tokens; {percent(lost)} of all tokens are never read.",
        evidence=evidence,
        fixed=f"raise max_seq_length to {wanted}",
        mends=wanted > limit,
        max_seq_length=wanted,
    )


PUT_BEFORE = (
    "The library puts a model's prompts before queries and documents when it encodes them, but not in training."
)


@finds(
    "prompts-not-used", "note", when="the model brings prompts and the recipe has none",
    why=PUT_BEFORE, fix="puts the model's prompts before the columns",
)  # fmt: skip
@finds(
    "prompts-differ", "note", when="the recipe has other prompts than the model brings",
    why=PUT_BEFORE, fix="puts the model's prompts before the columns",
)  # fmt: skip
def prompts_are_used(case: Case) -> Iterator[Finding]:
    """A model that was trained with prompts is trained on with prompts."""
    prompts = case.habits.prompts
    several, default = len(case.train.texts) > 1, case.habits.default_prompt
    if not prompts or not (several or default):
        return
    query = next((prompts[name] for name in ("query", "queries") if name in prompts and several), default)
    document = next(
        (prompts[name] for name in ("document", "passage", "corpus", "documents") if name in prompts), default
    )
    anchor, *others = case.train.texts
    given = {name: text for name, text in [(anchor, query), *((other, document) for other in others)] if text}
    given_now = case.recipe.prompts or {}
    now = {given_now} if isinstance(given_now, str) else {*given_now.values()}
    if now and now <= {*prompts.values()}:
        return
    shown = ", ".join(f"{name} {cut_text(text, 40)!r}" for name, text in prompts.items())
    result = f"with {', '.join(repr(cut_text(text, 40)) for text in sorted(now))}" if now else "without them"
    yield case.finding(
        "prompts-differ" if now else "prompts-not-used",
        "note",
        f"{case.recipe.model} brings prompts ({shown}), but the recipe trains {result}.",
        evidence={"prompts": shown, "measured_on": f"the files of {case.recipe.model}"},
        fixed="put its prompts for queries and documents before the columns",
        mends=given,
        prompts=given,
    )
