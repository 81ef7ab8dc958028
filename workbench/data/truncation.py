"""Which part of a text a model sees: where its tokenizer cuts what is over the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.data.tokenizer import Place, counter, fast_tokenizer, place


@dataclass(frozen=True)
class Piece:
    """One text, split at the character where the model's cut falls.

    A character of several tokens that the cut divides counts as lost.

    Attributes:
        tokens: of the whole text, special tokens included.
        kept: what the model sees.
        lost: what it does not see; None where that is not known.
        side: the end at which `lost` was, right or left.
        why: why `lost` is None.
    """

    tokens: int
    kept: str
    lost: str | None = ""
    side: Literal["right", "left"] = "right"
    why: str = ""


Cutter = Callable[[Sequence[str]], list[Piece]]


def pieces(texts: Sequence[str], model: str | Path) -> list[Piece]:
    """Split each text into what a model sees and what it does not, as Sentence Transformers truncates.

    Args:
        texts: n texts, for instance one page of a table.
        model: whose tokenizer and limit: a folder, a run folder, a Hub id, or a short name.

    Returns:
        n pieces.

    Raises:
        ModelError: the model or its tokenizer cannot be found or read.
    """
    return cutter(model)[0](texts)


def cutter(model: str | Path) -> tuple[Cutter, int | None]:
    """As `pieces` for many calls: a function from texts to pieces, and the model's limit in tokens.

    Raises:
        ModelError: the model or its tokenizer cannot be found or read.
    """
    here = place(model)
    return (_fast(here) if here.fast else _slow(model, here.limit)), here.limit


def _fast(here: Place) -> Cutter:
    tokenizer = fast_tokenizer(here)
    special = 0 if here.static else tokenizer.num_special_tokens_to_add(False)
    room = None if here.limit is None else max(0, here.limit - special)
    left = here.side == "left"

    def cut(texts: Sequence[str]) -> list[Piece]:
        found = []
        for text, encoded in zip(texts, tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True):
            tokens = len(encoded)
            if room is None or tokens <= room:
                found.append(Piece(tokens + special, text))
                continue
            # at the start of the token after the cut: accents that no token stands for stay with their letter
            after = tokens - room if left else room
            at = encoded.offsets[after][0] if after < tokens else len(text)
            if left:
                found.append(Piece(tokens + special, text[at:], text[:at], "left"))
            else:
                found.append(Piece(tokens + special, text[:at], text[at:]))
        return found

    return cut


def _slow(model: str | Path, limit: int | None) -> Cutter:
    """For folders without tokenizer.json. Imports transformers."""
    count, _ = counter(model)

    def cut(texts: Sequence[str]) -> list[Piece]:
        found = []
        for text, tokens in zip(texts, count(list(texts)).tolist(), strict=True):
            over = limit is not None and tokens > limit
            why = "the tokenizer does not say which characters a token stands for" if over else ""
            found.append(Piece(tokens, text, None if over else "", why=why))
        return found

    return cut
