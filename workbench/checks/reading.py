"""All texts of a table as numbers, in one go: every distinct text is looked at and its tokens are counted once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from xxhash import xxh3_64_intdigest

from workbench.data import ids, tokens
from workbench.data.encodings import suspicious
from workbench.data.examples import Examples
from workbench.data.tokenizer import counter, fast_tokenizer, place

Progress = Callable[[str, int, int | None], None]
KINDS = ("blank", "contentless", "question", "no text", "misread", "replaced", "control")
BITS = {kind: 1 << place for place, kind in enumerate(KINDS)}
# Two Latin letters side by side, or any other character beyond ASCII, which may be a word of its own.
CONTENT = re.compile(r"[A-Za-z]{2}|[^\x00-\x7f]")
PLACEHOLDERS = {"n/a", "na", "nan", "null", "none", "nil", "tbd", "todo", "<na>"}
NO_TEXT = re.compile(r"(https?://|www\.)\S+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{16,}|[\d.,:/-]+", re.IGNORECASE)  # fmt: skip
QUESTION = ("?", "？", "؟")
WORDS = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\s\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")
# Signs such as + and # tell words apart (C, C++, C#), and so do point, comma and hyphen in numbers.
PUNCTUATION = " \t\n\r\f\v;:!?'\"()[]{}_"
IN_NUMBERS = ".,-"
SIGNS = re.compile(rf"[\s{re.escape(PUNCTUATION)}\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb]+")
SIGNS_AND_POINTS = re.compile(rf"[\s{re.escape(PUNCTUATION + IN_NUMBERS)}\u2010-\u2026\u00ab\u00bb]+")
DIGIT = re.compile(r"\d")


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts of a table as numbers.

    Attributes:
        columns: names of the text columns.
        digests: 64-bit xxh3 of every text, uint64, shape (rows, columns): equal texts have equal digests.
        which: number of the distinct text in each cell, int64, shape (rows, columns).
        near_of: digest without case, white space and punctuation, uint64, shape (distinct,).
        tokens_of: tokens before truncation, special tokens and prompt included, int64, shape (distinct,).
        words_of: words, by white space; where a script does without, its characters. Prompt included. int64, (distinct,).
        unknown_of: tokens that the vocabulary does not have, int64, (distinct,); None where that cannot be told.
        flags_of: `BITS` of what a text is, uint8, (distinct,).
        special: tokens that are put around every text.
        highest: highest number of a token that occurs; None where that cannot be told.
        vocabulary: tokens that the tokenizer has; None where that cannot be told.
    """

    columns: tuple[str, ...]
    digests: np.ndarray
    which: np.ndarray
    near_of: np.ndarray
    tokens_of: np.ndarray
    words_of: np.ndarray
    unknown_of: np.ndarray | None
    flags_of: np.ndarray
    special: int
    highest: int | None
    vocabulary: int | None

    @cached_property
    def near(self) -> np.ndarray:
        """Digests without case, white space and punctuation, uint64, shape (rows, columns)."""
        return self.near_of[self.which]

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens before truncation, special tokens and prompt included, int64, shape (rows, columns)."""
        return self.tokens_of[self.which]

    @cached_property
    def whole(self) -> np.ndarray:
        """A digest of all texts of a row, in order, uint64, shape (rows,)."""
        mixed = np.zeros(len(self.digests), np.uint64)
        for column in self.digests.T:
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + column
        return mixed

    @cached_property
    def spellings(self) -> tuple[np.ndarray, np.ndarray]:
        """What is written in several ways: (digests as in `near`, uint64; how many ways, int64), each of shape (n,)."""
        written = np.zeros(len(self.near_of), np.uint64)
        written[self.which] = self.digests  # one text under two prompts is not written in two ways
        order = np.lexsort((written, self.near_of))
        near, written = self.near_of[order], written[order]
        new = np.ones(len(near), bool)
        new[1:] = (near[1:] != near[:-1]) | (written[1:] != written[:-1])
        names, counts = np.unique(near[new], return_counts=True)
        return names[counts > 1], counts[counts > 1]

    def are(self, kind: str) -> np.ndarray:
        """Which texts are of one of `KINDS`, bool, shape (rows, columns)."""
        return (self.flags_of & BITS[kind]).astype(bool)[self.which]


def read(examples: Examples, model: str, prompts: Mapping[str, str], tell: Progress, of: str = "") -> Texts:
    """Read a table.

    Args:
        examples: the table.
        model: whose tokenizer counts.
        prompts: column -> text that is put before its texts when tokens are counted.
        tell: told what is done.
        of: what the table is, for `tell`.

    Raises:
        ModelError: no tokenizer that can be read.
    """
    count = _Count(model)
    digests = _digests(examples, tell, of)
    salts = [xxh3_64_intdigest(prompts[name].encode()) if name in prompts else 0 for name in examples.texts]
    _, first, which = np.unique(digests ^ np.array(salts, np.uint64), return_index=True, return_inverse=True)
    which = which.reshape(digests.shape)
    new = np.zeros(digests.shape, bool)
    new.ravel()[first] = True
    near, flags = np.zeros((len(first),), np.uint64), np.zeros((len(first),), np.uint8)
    counts = np.zeros((3, len(first)), np.int64)
    plain = {name: ids.kept(examples, name, model) for name in examples.texts if name not in prompts}
    kept = {name: count.known(column) for name, column in plain.items() if column is not None}
    done = 0
    for chunk in tokens._chunks(examples):
        rows = slice(done, done + len(next(iter(chunk.values()))))
        for place_, (name, column) in enumerate(chunk.items()):
            at = np.flatnonzero(new[rows, place_])
            texts = [column[row] for row in at]
            numbers = which[rows, place_][at]
            near[numbers] = [_near(text) for text in texts]
            flags[numbers] = [_flags(text) for text in texts]
            if name in kept:
                counts[::2, numbers], counts[1, numbers] = kept[name][:, rows][:, at], list(map(_words, texts))
                continue
            prompt = prompts.get(name, "")
            counts[:, numbers] = count([prompt + text for text in texts] if prompt else texts)
        done = rows.stop
        tell(f"counting tokens{of}", done, len(examples))
    tokens_of, words_of, unknown_of = counts
    known = unknown_of if count.unknown is not None else None
    return Texts(examples.texts, digests, which, near, tokens_of, words_of, known, flags,
                 count.special, count.highest, count.vocabulary)  # fmt: skip


class _Count:
    """Counts tokens, words and unknown tokens; remembers the highest number of a token."""

    def __init__(self, model: str) -> None:
        here = place(model)
        self.unknown: int | None = None
        self.highest: int | None = None
        self.vocabulary: int | None = None
        self._slow = None if here.fast else counter(model)[0]
        if self._slow is None:
            self._fast, self._specials = fast_tokenizer(here), not here.static
            name = getattr(self._fast.model, "unk_token", None)
            self.unknown = None if name is None else self._fast.token_to_id(name)
            self.vocabulary = self._fast.get_vocab_size(with_added_tokens=True)
        self.special = int(self([""])[0][0])

    def __call__(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tokens, words, unknown tokens), each int64, shape (n,)."""
        words = np.fromiter(map(_words, texts), np.int64, len(texts))
        unknown = np.zeros(len(texts), np.int64)
        if self._slow is not None:
            return self._slow(texts), words, unknown
        lengths = np.zeros(len(texts), np.int64)
        for at, encoded in enumerate(self._fast.encode_batch_fast(texts, add_special_tokens=self._specials)):
            numbers = encoded.ids
            lengths[at] = len(numbers)
            if numbers:
                self.highest = max(self.highest or 0, *numbers)
            if self.unknown is not None:
                unknown[at] = numbers.count(self.unknown)
        return lengths, words, unknown

    def known(self, column: ids.Ids) -> np.ndarray:
        """Tokens and unknown tokens of a column that was tokenised before, int64, shape (2, rows)."""
        if len(column.ids):
            self.highest = max(self.highest or 0, int(column.ids.max()))
        unknown = np.zeros_like(column.lengths) if self.unknown is None else column.count(self.unknown)
        return np.stack([column.lengths, unknown])


def _digests(examples: Examples, tell: Progress, of: str) -> np.ndarray:
    digests = np.zeros((len(examples), len(examples.texts)), np.uint64)
    done = 0
    for batch in examples.batches(examples.texts):
        size = len(next(iter(batch.values())))
        for at, texts in enumerate(batch.values()):
            digests[done : done + size, at] = np.fromiter(
                map(xxh3_64_intdigest, map(str.encode, texts)), np.uint64, size
            )
        done += size
        tell(f"comparing texts{of}", done, len(examples))
    return digests


def _near(text: str) -> int:
    """Digest without case, white space and punctuation; of the text itself where nothing else is in it."""
    plain, number = text.lower(), DIGIT.search(text)
    if plain.isascii():
        bare = plain.encode().translate(None, (PUNCTUATION if number else PUNCTUATION + IN_NUMBERS).encode())
    else:
        bare = (SIGNS if number else SIGNS_AND_POINTS).sub("", plain).encode()
    return xxh3_64_intdigest(bare or text.encode())


def _words(text: str) -> int:
    return text.count(" ") + 1 if text.isascii() else len(WORDS.findall(text))


def _flags(text: str) -> int:
    if not text or text.isspace():
        return BITS["blank"]
    found = 0
    if not CONTENT.search(text) or (len(text) < 10 and text.strip().lower() in PLACEHOLDERS):
        found |= BITS["contentless"]
    if text.endswith(QUESTION):
        found |= BITS["question"]
    if " " not in text and NO_TEXT.fullmatch(text):
        found |= BITS["no text"]
    if not (text.isascii() and text.isprintable()):
        for what in suspicious(text):
            found |= BITS[what]
    return found
