"""Sentences to compare: examples, and what is typed or given, checked."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

from workbench.errors import DataError

# four subjects, two sentences each: some say the same in other words, some say another thing in the same words
EXAMPLES = (
    "Dropout switches random units off while a network trains.",
    "Disabling some neurons by chance during training prevents overfitting.",
    "A learning rate that is too high makes the loss diverge.",
    "With too large a step size, training becomes unstable.",
    "Recall is the share of relevant documents that were found.",
    "Precision is the share of found documents that are relevant.",
    "Each token attends to all other tokens of the sequence.",
    "A transformer mixes the words of a sentence by self-attention.",
)


def checked(texts: Any) -> tuple[str, ...]:
    """Sentences without empty ones, each in one row.

    Raises:
        DataError: it is no list of texts.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise DataError(
            f"expected a list of sentences, got {type(texts).__name__} ({texts!r:.60}); put one sentence into a list too"
        )
    listed = list(texts)
    for number, text in enumerate(listed, 1):
        if not isinstance(text, str):
            raise DataError(
                f"expected sentences, got {type(text).__name__} ({text!r:.60}) as number {number}; convert it to str or leave it out"
            )
    # half a surrogate pair is no character: neither the page nor a tokenizer takes it
    whole = [" ".join(text.splitlines()).encode("utf-8", "replace").decode().strip() for text in listed]
    return tuple(text for text in whole if text)


def typed_rows(typed: str) -> tuple[str, ...]:
    """Sentences as they stand in the box, one per line."""
    return checked(typed.splitlines())


def checked_pair(pair: Any, count: int) -> tuple[int, int]:
    """Two row numbers of `count` sentences.

    Raises:
        DataError: it is something else.
    """
    try:
        first, second = map(index, pair)
        fits = 0 <= min(first, second) and max(first, second) < count
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise DataError(
            f"expected pair= two row numbers from 0 and below {count}, got {pair!r:.60}; give rows of two of the {count} sentences, or None"
        )
    return first, second
