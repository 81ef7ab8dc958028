"""CSV and TSV to Arrow: every cell is read as text first, and no row is lost without a word."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.data import arrow, textfile
from workbench.data.flaws import Flaw, Part, cut
from workbench.data.roles import TEXT_ROLES, hint
from workbench.errors import DataError

DELIMITERS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
LONGEST_CELL = 1 << 24
CLOSED_QUOTES = re.compile(r'"(?:[^"]|"")*"')
NUMBERS = {"int": r"^\s*-?(0|[1-9]\d{0,17})\s*$",
           "float": r"(?i)^\s*[-+]?(((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)(e[-+]?\d+)?|nan|inf|infinity)\s*$"}  # fmt: skip


def convert(path: Path, target: Path, *, delimiter: str | None, encoding: str) -> Part:
    """Write a CSV or TSV file as an Arrow stream. Columns of numbers become int64 or float64, all others string.

    Raises:
        DataError: no table, another delimiter, a column name twice, a cell without end.
    """
    quotes = textfile.survey(path, encoding)
    chosen = delimiter or _detect(path, encoding)
    try:
        part = _read(path, target, chosen, encoding, literal=False)
    except DataError:
        if not (quotes and _quotes_are_literal(path, encoding, chosen)):
            raise
    else:
        if not (part.flaws and quotes and _quotes_are_literal(path, encoding, chosen)):
            return part
    return _read(path, target, chosen, encoding, literal=True)


def _read(path: Path, target: Path, delimiter: str, encoding: str, *, literal: bool) -> Part:
    with textfile.text(path, encoding, newline="") as file, _long_cells():
        quoting: Any = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
        reader = csv.reader(file, delimiter=delimiter, strict=True, quoting=quoting)
        rows = _Rows(reader, path, delimiter)
        header_lines = reader.line_num
        part = Part(target, rows.flaws, note="quotation marks are taken as part of the texts" if literal else "")
        strings = target.with_suffix(".strings")
        kinds = _write_strings(rows, strings)
        part.blank_lines = rows.blank_lines
        if reader.line_num == header_lines + rows.number:
            part.first_line = header_lines + 1
    _write_typed(strings, target, kinds)
    return part


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module's limit of 131,072 characters a cell is for the whole process; raise it only while reading."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@dataclass
class _Rows:
    """Batches of rows with as many cells as the header; all others become flaws."""

    reader: Any
    path: Path
    delimiter: str
    flaws: list[Flaw] = field(default_factory=list)
    blank_lines: int = 0
    number: int = 0
    header: list[str] = field(init=False)

    def __post_init__(self) -> None:
        try:
            first = next(row for row in self.reader if row)
        except csv.Error as error:
            raise DataError(
                f"expected a header in line 1 of {self.path}, got {error}; close the quotation mark"
            ) from None
        self.header = [name.strip() or f"unnamed_{place}" for place, name in enumerate(first, 1)]
        arrow.names(self.header, self.path)
        other = next((mark for mark in DELIMITERS if mark != self.delimiter and mark in first[0]), None)
        if len(first) == 1 and other:
            raise DataError(
                f"expected cells separated by {DELIMITERS.get(self.delimiter, repr(self.delimiter))} in {self.path}, but "
                f"the whole header {cut(first[0])} is one cell; load it with delimiter={other!r}"
            )

    def __iter__(self) -> Iterator[list[list[str]]]:
        width = len(self.header)
        while True:
            rows: list[list[str]] = []
            line, failed = self.reader.line_num + 1, None
            try:
                rows.extend(islice(self.reader, arrow.BATCH))  # rows before an error stay in the list
            except csv.Error as error:
                failed = str(error)
            if not rows and not failed:
                break
            if set(map(len, rows)) <= {width}:
                self.number += len(rows)
                good = rows
            else:
                good = list(self._with_all_cells(rows, line))
            if failed:
                self._broken(failed, line + sum(map(_lines, rows)))
            yield good
        if self.number == 0:
            raise DataError(f"expected rows below the header of {self.path}, got none; write at least one row")

    def _with_all_cells(self, rows: list[list[str]], line: int) -> Iterator[list[str]]:
        width = len(self.header)
        for row in rows:
            self.number += bool(row)
            if len(row) == width:
                yield row
            elif row:
                detail = f"expected {width} cell{'s' * (width > 1)} as in the header, got {len(row)} ({cut(self.delimiter.join(row))})"
                self.flaws.append(Flaw(self.number, line, None, "another number of cells", detail, True))
            else:
                self.blank_lines += 1
            line += _lines(row)

    def _broken(self, failed: str, line: int) -> None:
        self.number += 1
        where = f"row {self.number} (line {line}) of {self.path}"
        if "field limit" in failed or "unexpected end" in failed:
            raise DataError(
                f"expected every cell of {where} to end, but one runs on "
                + (
                    f"to the end of the file (line {self.reader.line_num})"
                    if "end" in failed
                    else f"for more than {LONGEST_CELL:,} characters"
                )
                + "; close its quotation mark, and write a quotation mark inside a quoted cell twice"
            )
        detail = "expected the cell to end after its closing quotation mark, got more text; write a quotation mark inside a quoted cell twice"
        self.flaws.append(Flaw(self.number, line, None, "a broken quotation", detail, True))


def _lines(row: list[str]) -> int:
    """Lines of the file that a row takes up."""
    return 1 + sum(cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in row)


def _detect(path: Path, encoding: str) -> str:
    """The delimiter that cuts the first rows most evenly; the suffix's own where it cuts all of them alike."""
    usual = "," if textfile.suffix_of(path) == ".csv" else "\t"
    with textfile.text(path, encoding, newline="") as file:
        sample = file.read(1 << 18)
    whole = sample[: sample.rfind("\n") + 1] or sample
    best, best_score = usual, (0.0, 1)
    with _long_cells():
        for mark in dict.fromkeys([usual, *DELIMITERS]):
            try:
                rows = [row for row in islice(csv.reader(io.StringIO(whole, newline=""), delimiter=mark), 50) if row]
            except csv.Error:
                continue
            width = len(rows[0])
            score = (sum(len(row) == width for row in rows) / len(rows), width)
            if width > 1 and (score > best_score or (mark == usual and score[0] == 1)):
                best, best_score = mark, score
            if best == usual and best_score[0] == 1:
                break
    return best


def _quotes_are_literal(path: Path, encoding: str, delimiter: str) -> bool:
    """Whether quotation marks are part of the texts, asked where reading them as those of CSV did not go well.

    They are if cutting at delimiters alone gives every line as many cells, some cell begins with a quotation mark and
    does not end with one that closes it, and no such cell holds a doubled mark, as a writer of CSV would double it.
    """
    width, found = None, False
    with textfile.text(path, encoding, newline="") as file:
        for line in file:
            plain = line.rstrip("\r\n")
            if not plain:
                continue
            count = plain.count(delimiter)
            if count == 0 or (width is not None and count != width):
                return False
            width = count
            for cell in plain.split(delimiter) if '"' in plain else ():
                if cell[:1] == '"':
                    if '""' in cell[1:-1]:
                        return False
                    found = found or not CLOSED_QUOTES.fullmatch(cell)
    return found


def _write_strings(rows: _Rows, path: Path) -> dict[str, str]:
    """All cells as text; returns column -> int, float or text as far as the cells allow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = pa.schema([(name, pa.string()) for name in rows.header])
    # a column that is named like a text stays text even if every cell is a number
    kinds = {name: "text" if hint(name) in (*TEXT_ROLES, "numbered") else "" for name in rows.header}

    def batches() -> Iterator[pa.RecordBatch]:
        for good in rows:
            arrays = [pa.array(cells, pa.string()) for cells in zip(*good, strict=True)] if good else []
            if not arrays:
                continue
            for name, array in zip(rows.header, arrays, strict=True):
                if kinds[name] != "text" and len(cells := array.filter(pc.not_equal(array, ""))):
                    kinds[name] = _kind(cells, kinds[name])
            yield pa.record_batch(arrays, schema=schema)

    arrow.write_stream(path, schema, batches())
    return {name: kind or "text" for name, kind in kinds.items()}


def _kind(cells: Any, so_far: str) -> str:
    import pyarrow.compute as pc

    for kind in ("int", "float") if so_far != "float" else ("float",):
        if pc.all(pc.match_substring_regex(cells, NUMBERS[kind])).as_py():
            return kind
    return "text"


def _write_typed(strings: Path, target: Path, kinds: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    if set(kinds.values()) == {"text"}:
        strings.rename(target)
        return
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])

    def cast(array: Any, kind: str) -> Any:
        trimmed = array if kind == "text" else pc.utf8_trim_whitespace(array)
        return array if kind == "text" else pc.if_else(pc.equal(trimmed, ""), None, trimmed).cast(types[kind])

    with pa.OSFile(str(strings)) as file, pa.ipc.open_stream(file) as source:  # not mapped: it is read once
        batches = (
            pa.record_batch([cast(batch.column(name), kind) for name, kind in kinds.items()], schema=schema)
            for batch in source
        )
        arrow.write_stream(target, schema, batches)
    strings.unlink()
