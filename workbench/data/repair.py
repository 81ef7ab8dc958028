"""Mend texts that were read with the wrong encoding, and leave out rows that say nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from workbench.data.encodings import TABLES, undone
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError

WORD = re.compile(r"[^\W\d_]{2,}")
FOREIGN = re.compile(r"[^\x00-\x7f]{2,}")


def repaired(text: str) -> str:
    """The text as it was meant: UTF-8 that was read as Windows-1252 or Mac Roman put right, ligatures written out.

    A text that is right comes back as it is: hardly any two accented letters or signs in a row are also valid UTF-8.
    """
    if text.isascii():
        return text
    import ftfy

    meant = FOREIGN.sub(lambda found: undone(found[0], *TABLES), text)
    return ftfy.fix_text(meant, unescape_html=False, uncurl_quotes=False)


def words(text: str) -> int:
    """Words of at least two letters: none in "19", one in "Fig. 3"."""
    return len(WORD.findall(text))


@dataclass(frozen=True, eq=False)
class Repaired:
    """A table after `repair`.

    Attributes:
        examples: the rows that are left, with their texts mended.
        mended: rows with a text that was changed, row numbers of the table before from 0, int64, shape (n,).
        left_out: rows with a text that says too little, row numbers of the table before from 0, int64, shape (n,).
    """

    examples: Examples
    mended: np.ndarray
    left_out: np.ndarray

    def __repr__(self) -> str:
        return f"{self.examples.name}: {len(self.mended):,} rows mended, {len(self.left_out):,} left out, {len(self.examples):,} rows left"


def repair(data: Examples, *, least_words: int = 1) -> Repaired:
    """Mend the texts of a table, and leave out rows in which one has fewer than `least_words` words (see `words`).

    Raises:
        DataError: no row is left.
    """
    import datasets

    before = {name: data.column(name) for name in data.used}
    after = before | {name: [repaired(text) for text in before[name]] for name in data.texts}
    changed = np.zeros(len(data), dtype=bool)
    poor = np.zeros(len(data), dtype=bool)
    for name in data.texts:
        changed |= [old != new for old, new in zip(before[name], after[name], strict=True)]
        poor |= [words(text) < least_words for text in after[name]]
    if poor.all():
        raise DataError(
            f"expected rows in {data.name} whose texts have at least {least_words} word{'s' if least_words > 1 else ''}, got none; lower least_words, or look at the table"
        )
    kept = np.flatnonzero(~poor)
    table = datasets.Dataset.from_dict({name: [values[row] for row in kept] for name, values in after.items()})
    mended = replace(load(table, columns=data.used), name=f"{data.name}, repaired")
    return Repaired(mended, np.flatnonzero(changed), np.flatnonzero(poor))
