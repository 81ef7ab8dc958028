"""What is odd about the texts of a table: repeated, empty, wrongly decoded, too long. Rows by number, from 0.

Rows that miss a cell are never here: `load` refuses them or leaves them out and counts them in `Examples.left_out`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from workbench.data import tokens
from workbench.data.encodings import suspicious
from workbench.data.examples import Examples, cut_text
from workbench.data.flaws import row_numbers
from workbench.data.load import load
from workbench.data.tokenizer import counter
from workbench.data.tokens import TokenStats
from workbench.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["duplicates", "empty", "encoding", "too long"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class ColumnQuality:
    """The odd texts of one column: row numbers from 0, ascending, int64, shape (n,).

    Attributes:
        duplicates: rows whose exact text was in an earlier row of this column.
        earlier: for each of `duplicates` the first row with the same text.
        empty: texts without characters, or with white space only.
        misread: texts that look as if they were read with another encoding than they were written in, by ftfy.
        replaced: texts with U+FFFD, which stands for bytes that could not be read.
        control: texts with control characters other than white space.
        too_long: texts over the model's limit; None where no tokens were counted.
    """

    duplicates: np.ndarray
    earlier: np.ndarray
    empty: np.ndarray
    misread: np.ndarray
    replaced: np.ndarray
    control: np.ndarray
    too_long: np.ndarray | None = None

    @property
    def encoding(self) -> np.ndarray:
        """Rows with any of `misread`, `replaced`, `control`."""
        return np.union1d(np.union1d(self.misread, self.replaced), self.control)


@dataclass(frozen=True, eq=False)
class Quality:
    """What is odd about the texts of a table.

    Attributes:
        name: of the table.
        rows: number of rows.
        columns: column of texts -> its odd rows, in the order that a loss sees them.
        repeated: rows that are equal to an earlier one in every column with a role, row numbers from 0, int64.
        left_out: what `load` had left out before, in words.
        tokens: statistics of the columns of texts as by `token_stats`; None where no model was given.
    """

    name: str
    rows: int
    columns: Mapping[str, ColumnQuality]
    repeated: np.ndarray
    left_out: str = ""
    tokens: TokenStats | None = None

    def where(self, kind: Kind) -> np.ndarray:
        """Rows that are odd in at least one column, row numbers from 0, ascending, int64, shape (n,).

        Args:
            kind: duplicates, empty, encoding or "too long".

        Raises:
            DataError: there is no such kind, or no tokens were counted.
        """
        if kind not in KINDS:
            raise DataError(f"expected one of {', '.join(KINDS)}, got {kind!r}{did_you_mean(str(kind), KINDS)}")
        found = [getattr(column, kind.replace(" ", "_")) for column in self.columns.values()]
        if any(rows is None for rows in found):
            raise DataError("expected token counts to find texts that are too long, got none; use quality(…, model=…)")
        return np.unique(np.concatenate([*found, np.zeros(0, np.int64)]))

    @property
    def counts(self) -> dict[str, int | None]:
        """Kind -> number of rows that are odd in at least one column; None where it was not counted."""
        return {kind: len(self.where(kind)) if kind != "too long" or self.tokens else None for kind in KINDS}

    def to_frame(self) -> pd.DataFrame:
        """One line a column of texts: how many texts are odd in which way; None where it was not counted."""
        import pandas as pd

        lines = {name: [None if rows is None else len(rows) for rows in _kinds(column).values()]
                 for name, column in self.columns.items()}  # fmt: skip
        heads = list(_kinds(next(iter(self.columns.values()))))
        return pd.DataFrame.from_dict(lines, orient="index", columns=heads, dtype=object)

    def __repr__(self) -> str:
        return f"{self._title()}\n{self.to_frame().to_string(na_rep='-')}"

    def _title(self) -> str:
        before = f" ({self.left_out} left out before)" if self.left_out else ""
        counted = "no tokens counted"
        if self.tokens:
            limit = f"over {self.tokens.max_seq_length} tokens" if self.tokens.max_seq_length else "no limit"
            counted = f"too long for {self.tokens.model}: {limit}"
        return f"Quality of {self.name}, {self.rows:,} rows{before}; {len(self.repeated):,} whole rows repeat an earlier one; {counted}"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        head = "".join(f"<th>{escape(name)}</th>" for name in ("column", *frame.columns))
        rows = "".join(
            f"<tr><td>{escape(cut_text(name, 40))}</td>"
            + "".join(f"<td>{'not counted' if value is None else f'{value:,}'}</td>" for value in line)
            + "</tr>"
            for name, line in zip(frame.index, frame.to_numpy().tolist(), strict=True)
        )
        return f"<table><caption>{escape(self._title())}</caption><tr>{head}</tr>{rows}</table>"


def _kinds(column: ColumnQuality) -> dict[str, np.ndarray | None]:
    return {
        "duplicates": column.duplicates,
        "empty": column.empty,
        "wrong encoding": column.misread,
        "replacement characters": column.replaced,
        "control characters": column.control,
        "too long": column.too_long,
    }


Progress = Callable[[int, int], None]


def quality(data: Any, *, model: str | Path | None = None, progress: Progress | None = None) -> Quality:
    """Find the odd rows of a table.

    Texts are read in chunks; memory holds one chunk, 16 bytes a text for duplicates (128-bit digests, as
    `token_stats`), and the numbers of the odd rows. Without a model 2 million pairs took 8 s on two shared cores.

    Args:
        data: the result of `load`, or anything that `load` takes.
        model: count tokens too, with the tokenizer of this model, and find texts over its limit.
        progress: called with rows done and rows in all, first within a second, then about four times a second. An
            exception that it raises stops the search.

    Raises:
        DataError: the data cannot be used.
        ModelError: the model or its tokenizer cannot be found or read.
    """
    examples = data if isinstance(data, Examples) else load(data)
    count, limit = counter(model) if model is not None else (None, None)
    started = time.perf_counter()
    total, done, told = len(examples), 0, 0.0
    columns = {name: _Column(limit) for name in examples.texts}
    for chunk in tokens._chunks(examples):
        for name, texts in chunk.items():
            columns[name].add(done, texts, count(texts) if count else None)
        done += len(texts)
        if progress and (told == 0 or time.perf_counter() - told > tokens.PROGRESS_S):
            progress(done, total)
            told = time.perf_counter()
    groups = {name: column.groups() for name, column in columns.items()}
    found = {name: column.result(groups[name], counted=count is not None) for name, column in columns.items()}
    stats = None
    if count:
        seconds = round(time.perf_counter() - started, 3)
        texts_only = {name: column.stats(found[name]) for name, column in columns.items()}
        stats = TokenStats(total, limit, str(model), seconds, texts_only)
    if progress:
        progress(total, total)
    return Quality(
        examples.name, total, found, _repeated(examples, list(groups.values())), str(examples.left_out), stats
    )


class _Column:
    """The odd rows of one column so far."""

    def __init__(self, limit: int | None) -> None:
        self.counted = tokens._Count(limit)
        self.rows: dict[str, list[int]] = {"empty": [], "misread": [], "replaced": [], "control": []}
        self.too_long: list[np.ndarray] = []

    def add(self, start: int, texts: list[str], lengths: np.ndarray | None) -> None:
        self.counted.add(texts, np.zeros(len(texts), np.int64) if lengths is None else lengths)
        if lengths is not None and self.counted.limit:
            self.too_long.append(start + np.flatnonzero(lengths > self.counted.limit))
        for at, text in enumerate(texts):
            if not text or text.isspace():
                self.rows["empty"].append(start + at)
            if not (text.isascii() and text.isprintable()):
                for what in suspicious(text):
                    self.rows[what].append(start + at)

    def groups(self) -> np.ndarray:
        """For each row the first one with the same text, itself where it is new. int64, shape (rows,)."""
        pairs = np.frombuffer(b"".join(self.counted.digests), np.uint64).reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # stable: within a group rows ascend
        ordered = pairs[order]
        places = np.arange(len(order))
        new = np.ones(len(order), bool)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        groups = np.empty(len(order), np.int64)
        groups[order] = order[np.maximum.accumulate(np.where(new, places, 0))]
        return groups

    def result(self, groups: np.ndarray, *, counted: bool) -> ColumnQuality:
        duplicates = np.flatnonzero(groups != np.arange(len(groups)))
        odd = {name: np.array(rows, np.int64) for name, rows in self.rows.items()}
        too_long = np.concatenate([*self.too_long, np.zeros(0, np.int64)]) if counted else None
        return ColumnQuality(duplicates, groups[duplicates], **odd, too_long=too_long)

    def stats(self, found: ColumnQuality) -> tokens.ColumnStats:
        known = self.counted.stats(last=False)  # which leaves out the duplicates, sorted for above
        why = {name: reason for name, reason in known.why.items() if name != "duplicates" or not known.rows}
        return replace(known, duplicates=len(found.duplicates) if known.rows else None, why=why)


def _repeated(examples: Examples, groups: Sequence[np.ndarray]) -> np.ndarray:
    from xxhash import xxh3_64_intdigest

    if any((group == np.arange(len(group))).all() for group in groups):
        return np.zeros(0, np.int64)  # a column without duplicates
    keys = list(groups)
    if examples.label:
        values = (value for batch in examples.batches([examples.label]) for value in batch[examples.label])
        keys.append(
            np.fromiter((xxh3_64_intdigest(repr(value).encode()) for value in values), np.uint64, len(examples))
        )
    order = np.lexsort(keys)
    same = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    return np.sort(order[1:][same])


def source_rows(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """What the source calls these rows: counted from 1, the header not, those that were left out too, as in `Flaw.row`.

    Args:
        examples: a table; after `select` there is no way back to the source, and its own rows are counted from 1.
        rows: row numbers of the table from 0, int64, shape (n,).

    Returns:
        int64, shape (n,).
    """
    if examples.picked:
        return rows + 1
    return row_numbers(rows, [flaw.row for flaw in examples.left_out.rows])
