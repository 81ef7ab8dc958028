"""Rows that cannot be used: finding them, naming them, keeping count of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.data import arrow
from workbench.data.roles import TEXT_ROLES, kind_of
from workbench.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa


class Flaw(NamedTuple):
    """One thing wrong with one row.

    Attributes:
        row: data row, counted from 1; the header is not a row.
        line: line of the file where the row begins, counted from 1; None where it is not known.
        column: name of the column, None where the whole row is meant.
        reason: a few words, the same for all rows of this kind.
        detail: what was expected and what came.
        skipped: the row could not be read at all, so it is not in the table.
    """

    row: int
    line: int | None
    column: str | None
    reason: str
    detail: str
    skipped: bool = False

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line else ""
        column = f", column {self.column!r}" if self.column is not None else ""
        return f"row {self.row}{line}{column}: {self.detail}"


@dataclass(frozen=True)
class LeftOut:
    """The rows that were left out, one entry a row, and the number of blank lines between rows."""

    rows: tuple[Flaw, ...] = ()
    blank_lines: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> number of rows, the most frequent first."""
        return dict(Counter(flaw.reason for flaw in self.rows).most_common())

    def __str__(self) -> str:
        parts = [f"{count:,} with {reason}" for reason, count in self.counts.items()]
        parts += [f"{self.blank_lines:,} blank lines"] if self.blank_lines else []
        return ", ".join(parts)

    def to_frame(self) -> pd.DataFrame:
        """One line a row that was left out: row, line, column, reason, detail."""
        import pandas as pd

        return pd.DataFrame([flaw[:5] for flaw in self.rows], columns=list(Flaw._fields[:5]))


def cut(value: object, length: int = 60) -> str:
    """`repr` of a value, not longer than `length` characters and something."""
    shown = repr(value[: length + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= length + 2 else shown[:length] + "…" + shown[0]


@dataclass
class Part:
    """One table of a file: the cached Arrow stream, and what was wrong with rows on the way there.

    `first_line` is the line of row 1 where every row takes up one line and no line is blank, else None.
    """

    path: Path
    flaws: list[Flaw] = field(default_factory=list)
    blank_lines: int = 0
    first_line: int | None = None
    note: str = ""

    def open(self) -> datasets.Dataset:
        """The table, memory-mapped."""
        import datasets

        return datasets.Dataset.from_file(str(self.path))


def find(
    batches: Iterator[pa.Table], roles: Mapping[str, str], classes: Sequence[str] | None
) -> Iterator[tuple[int, str, str, str]]:
    """(position from 0, column, reason, detail) of every cell that its role cannot use."""
    start = 0
    width: dict[str, int] = {}
    for batch in batches:
        for column, role in roles.items():
            chunks = batch.column(column)
            if role in TEXT_ROLES and not chunks.null_count:
                continue  # nothing to see, and the texts themselves need not be read
            array = chunks.combine_chunks()
            for at, reason, detail in _faults(array, column, role, classes, width):
                yield start + at, column, reason, detail
        start += batch.num_rows


def _faults(
    array: Any, column: str, role: str, classes: Sequence[str] | None, width: dict[str, int]
) -> Iterator[tuple[int, str, str]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = {"label": "a class", "score": "a number"}.get(role, "a text")
    missing = pc.is_null(array)
    if role == "label" and kind_of(array.type) == "text":
        missing = pc.or_kleene(missing, pc.equal(array, ""))
    yield from ((at, "a missing cell", f"expected {wanted}, got nothing") for at in _where(missing))
    if role == "label" and pa.types.is_integer(array.type):
        high = len(classes) - 1 if classes else 2**62
        wide = pa.uint64() if pa.types.is_uint64(array.type) else pa.int64()
        outside = pc.or_(pc.less(array, pa.scalar(0, wide)), pc.greater(array, pa.scalar(high, wide)))
        bound = f"0 to {high}" if classes else "0, 1, 2, …"
        for at in _where(outside):
            yield at, "a class out of range", f"expected one of the classes {bound}, got {array[at]}"
    elif role == "score" and pa.types.is_floating(array.type):
        for at in _where(pc.invert(pc.is_finite(array))):
            yield at, "a score that is not finite", f"expected a finite number, got {array[at]}"
    elif role == "score" and kind_of(array.type) == "numbers":
        yield from _list_faults(array, column, width)


def _list_faults(array: Any, column: str, width: dict[str, int]) -> Iterator[tuple[int, str, str]]:
    import pyarrow.compute as pc

    lengths = pc.list_value_length(array)
    if column not in width and len(known := lengths.drop_null()):
        width[column] = known[0].as_py()
    for at in _where(pc.not_equal(lengths, width.get(column, 0))):
        yield at, "another number of scores", f"expected {width[column]} scores as in the first row, got {lengths[at]}"
    flat = pc.list_flatten(array)
    bad = pc.fill_null(pc.invert(pc.is_finite(flat)), True)
    for at in dict.fromkeys(pc.list_parent_indices(array).filter(bad).to_pylist()):
        yield at, "a score that is not finite", f"expected finite numbers, got {cut(array[at].as_py())}"


def _where(mask: Any) -> list[int]:
    import pyarrow.compute as pc

    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found


def usable(
    part: Part,
    dataset: datasets.Dataset,
    meant: Mapping[str, str],
    where: str,
    *,
    rows: int | None = None,
    bad_rows: str = "raise",
) -> tuple[datasets.Dataset, LeftOut]:
    """The first `rows` rows without those that their roles cannot use, and what was left out.

    Raises:
        DataError: there are such rows and `bad_rows` is "raise", or no row is left.
    """
    found = [flaw for flaw in part.flaws if rows is None or flaw.row <= rows]
    skipped = sorted(flaw.row for flaw in found if flaw.skipped)
    if rows is not None:
        dataset = dataset.select(range(min(len(dataset), rows - bisect_right(skipped, rows))))
    used = {name: role for name, role in meant.items() if role != "ignore"}
    bad = {flaw.row: flaw for flaw in reversed(found) if flaw.skipped or flaw.column in used}
    numbers = row_numbers(np.arange(len(dataset)), skipped)
    keep = np.ones(len(dataset), dtype=bool)
    names = next(
        (getattr(dataset.features[name], "names", None) for name, role in used.items() if role == "label"), None
    )
    batches = dataset.select_columns(list(used)).with_format("arrow").iter(arrow.BATCH) if len(dataset) else iter(())
    for at, column, reason, detail in find(batches, used, names):
        row = int(numbers[at])
        line = None if part.first_line is None else part.first_line + row - 1
        bad.setdefault(row, Flaw(row, line, column, reason, detail))
        keep[at] = False
    total = len(dataset) + len(skipped)
    if bad and bad_rows == "raise":
        advice = f"{len(bad):,} of {total:,} rows cannot be used; mend them" if len(bad) > 1 else "mend it"
        raise DataError(f"{where}, {bad[min(bad)]}; {advice}, or load the rest with bad_rows='leave out'")
    if not keep.any():
        first = f"; the first: {bad[min(bad)]}" if bad else ""
        raise DataError(f"expected rows that can be used in {where}, but all {total:,} were left out{first}")
    left_out = LeftOut(tuple(bad[row] for row in sorted(bad)), part.blank_lines)
    return (dataset if keep.all() else dataset.select(np.flatnonzero(keep))), left_out


def row_numbers(positions: np.ndarray, gone: Sequence[int]) -> np.ndarray:
    """Positions in a table, from 0, as rows of its source, from 1, of which some are not in the table.

    Args:
        positions: int64, shape (n,).
        gone: rows of the source that are not in the table, ascending.

    Returns:
        int64, shape (n,).
    """
    before = np.array(gone, np.int64) - np.arange(1, len(gone) + 1)
    return positions + 1 + np.searchsorted(before, positions, side="right")
