"""Tokenizer and texts: does it know their words, and does it belong to the model?"""

from __future__ import annotations

import json
from collections.abc import Iterator

from workbench.checks.case import Case, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text
from workbench.data.tokenizer import place

# Classes that pad by nothing unless their files say by what.
WITHOUT_PADDING = ("PreTrainedTokenizer", "TokenizersBackend", "GPT2Tokenizer", "LlamaTokenizer")


@finds(
    "unknown-words", "warning", when="1% of the tokens of a column or more stand for words that the tokenizer does not know",
    why="All unknown words have one and the same vector: take a model that was made for this language or script.",
)  # fmt: skip
@finds(
    "words-in-pieces", "warning", when="words of a column are split into over 2.5 tokens on average",
    why="A tokenizer that splits ordinary words was made for other texts: sequences get long, and the pieces mean little. Usual for code and formulas; otherwise take a model for this language.",
)  # fmt: skip
def words_are_known(case: Case) -> Iterator[Finding]:
    """The tokenizer was made for such texts."""
    texts = case.texts
    for at, name in enumerate(texts.columns):
        which = texts.which[:, at]
        tokens = int((texts.tokens_of[which] - texts.special).sum())
        words, column = int(texts.words_of[which].sum()), cut_text(name, 40)
        unknown = None if texts.unknown_of is None else int(texts.unknown_of[which].sum())
        evidence = {"tokens": tokens, "words": words, "column": column}
        if unknown and unknown >= 0.01 * tokens:
            message = f"{percent(unknown / tokens)} of the tokens in {column!r} are words or signs that {case.recipe.model} does not know."
            share = {"unknown": unknown, "share": unknown / tokens}
            yield case.finding("unknown-words", "warning", message, evidence={**share, **evidence})
        if words >= 100 and tokens > 2.5 * words:
            message = f"Words in {column!r} are split into {tokens / words:.1f} tokens on average, where 1.2 to 1.6 are usual for the language of a model."
            evidence = {"tokens_a_word": tokens / words, **evidence}
            yield case.finding("words-in-pieces", "warning", message, evidence=evidence)


@finds(
    "tokens-without-vector", "error", when="a token of the texts has a number that the model has no vector for",
    why="The tokenizer belongs to another model, or got tokens that the model did not get.",
)  # fmt: skip
@finds(
    "vocabulary-differs", "warning", when="tokenizer and model differ by over 5% in how many tokens they know",
    why="A tokenizer of another model gives every word the vector of another word; a table with rows to spare does no harm.",
)  # fmt: skip
def tokenizer_belongs_to_the_model(case: Case) -> Iterator[Finding]:
    """There is a vector for every token."""
    rows, known, highest = case.stored.token_rows, case.texts.vocabulary, case.texts.highest
    if rows is None or known is None or highest is None:
        return
    evidence = {"tokens_known": known, "token_vectors": rows, "highest_token": highest, "measured_on": f"the files of {case.recipe.model} and all training rows of {case.name}"}  # fmt: skip
    if highest >= rows:
        message = f"The texts hold token number {highest:,}, but {case.recipe.model} has vectors for {rows:,} tokens only, so the run will stop with an index error."
        yield case.finding("tokens-without-vector", "error", message, evidence=evidence)
    elif abs(rows - known) > 0.05 * max(rows, known):
        message = f"The tokenizer of {case.recipe.model} knows {known:,} tokens, but the model has vectors for {rows:,}, so they may not belong together."
        yield case.finding("vocabulary-differs", "warning", message, evidence=evidence)


@finds(
    "no-padding-token", "error", when="the tokenizer of a transformer has no token to pad with",
    why="Texts of one batch are padded to one length: name a `pad_token` in the model's tokenizer_config.json.",
)  # fmt: skip
def texts_can_be_padded(case: Case) -> Iterator[Finding]:
    """The tokenizer has a token to pad with."""
    here = place(case.base)
    settings: dict[str, object] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        try:
            settings |= json.loads((here.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            continue  # a folder without the file, or with one that the library would refuse itself
    kind = str(settings.get("tokenizer_class", ""))
    if here.static or settings.get("pad_token") or kind.removesuffix("Fast") not in WITHOUT_PADDING:
        return
    yield case.finding(
        "no-padding-token",
        "error",
        f"The tokenizer of {case.recipe.model} ({kind}) has no pad_token, so the run will stop at its first batch.",
        evidence={"tokenizer_class": kind, "measured_on": f"the files of {case.recipe.model}"},
    )
