"""JSON and other plain Python rows to Arrow: cells of mixed types are named, not guessed at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data import arrow, textfile
from workbench.data.flaws import Flaw, Part, cut
from workbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Row = tuple[int, int | None, dict[str, Any]]
"""Number of the row from 1, line of the file, cells by column."""
Source = Callable[[Part], Iterator[Row]]
"""Gives the rows from the first one on each call, and adds to the part what cannot be read."""
MOST_FLAWS = 100_000
TYPES: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "text", list: "numbers"}


class _SurpriseError(Exception):
    """A column or a type that the first rows did not have."""


def convert(path: Path, folder: Path, *, encoding: str) -> dict[str, Part]:
    """Write JSON or JSON lines as Arrow streams into a folder: part name -> table.

    Raises:
        DataError: not JSON (with the line), of no known shape, or without rows.
    """
    textfile.survey(path, encoding)
    if textfile.suffix_of(path) != ".json" or _one_a_line(path, encoding):
        return {"": write(lambda part: _lines(path, encoding, part), folder / "0.arrow", str(path))}
    try:
        with textfile.text(path, encoding, newline="\n") as file:
            value = json.load(file)
    except json.JSONDecodeError as error:
        raise DataError(
            f"expected JSON in {path}, but line {error.lineno}, character {error.colno} breaks its rules ({error.msg}); mend it there"
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"expected records in {path}, but the JSON cannot be read ({error.__class__.__name__}); write one flat object a row"
        ) from None
    parts = {}
    shapes = _parts(value, path)
    names = _names([row for rows in shapes.values() for row in rows])
    for place, (name, rows) in enumerate(shapes.items()):
        where = f"{path} ({name})" if name else str(path)
        parts[name] = write(lambda part, rows=rows: _items(rows, names, part), folder / f"{place}.arrow", where)  # type: ignore[misc]
    return parts


def _one_a_line(path: Path, encoding: str) -> bool:
    with textfile.text(path, encoding, newline="\n") as file:
        first, second = (*islice((line for line in file if line.strip()), 2), "")[:2]
    try:
        return second.lstrip()[:1] == "{" and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _lines(path: Path, encoding: str, part: Part) -> Iterator[Row]:
    number = line = 0
    scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    with textfile.text(path, encoding, newline="\n") as file:
        for line, content in enumerate(file, 1):
            if content.isspace():
                continue
            number += 1
            try:
                row = _object(content, scan)
            except (ValueError, RecursionError) as error:
                why = f"expected one JSON object a line, got {cut(content.strip())} ({str(error).split(': line')[0]})"
                part.flaws.append(Flaw(number, line, None, "broken JSON", why, True))
                continue
            if type(row) is dict:
                yield number, line, row
            else:
                why = f'expected an object such as {{"text": "…"}}, got {cut(row)}'
                part.flaws.append(Flaw(number, line, None, "no record", why, True))
    part.first_line = 1 if line == number else None


def _object(content: str, scan: Callable[[str, int], tuple[Any, int]]) -> Any:
    try:
        row, end = scan(content, 0)  # half the time of json.loads
    except StopIteration:
        end = 0
    return row if end and content[end:] in ("\n", "\r\n", "") else json.loads(content)


def _items(rows: list[Any], names: dict[int, list[str]], part: Part) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            yield number, None, row
        elif isinstance(row, list) and len(row) in names:
            yield number, None, dict(zip(names[len(row)], row, strict=True))
        else:
            part.flaws.append(
                Flaw(
                    number,
                    None,
                    None,
                    "no record",
                    f"expected an object or a list like the others, got {cut(row)}",
                    True,
                )
            )


def _names(rows: list[Any]) -> dict[int, list[str]]:
    """Names for rows that are bare lists, by their most frequent length: [text, class] or [text, text, …]."""
    lists = [row for row in rows if isinstance(row, list)]
    if not lists:
        return {}
    lengths = [len(row) for row in lists]
    width = max(sorted(set(lengths)), key=lengths.count)
    second = [row[1] for row in lists if len(row) == width and width == 2]
    few = len({str(value) for value in second}) * 2 <= len(second)
    if width == 2 and (few or not all(isinstance(value, str) for value in second)):
        return {2: ["text", "label"]}
    return {width: [f"sentence{place}" for place in range(1, width + 1)] if width > 1 else ["text"]}


def _parts(value: Any, path: Path) -> dict[str, list[Any]]:
    """Part name -> rows, from a list of rows, a mapping of columns, or a mapping of parts to either."""
    if isinstance(value, list):
        return {"": value}
    if isinstance(value, dict) and value and all(isinstance(item, list | dict) for item in value.values()):
        items = list(value.values())
        if all(isinstance(item, list) and all(isinstance(row, list | dict) for row in item) for item in items):
            return dict(value)
        if all(isinstance(item, dict) and all(isinstance(cells, list) for cells in item.values()) for item in items):
            return {name: _rows(item, path) for name, item in value.items()}
        if all(isinstance(item, dict) for item in items):  # as pandas writes a frame: column -> index -> cell
            return {"": _rows({name: list(item.values()) for name, item in value.items()}, path)}
        if all(isinstance(item, list) for item in items):
            return {"": _rows(value, path)}
    if isinstance(value, dict) and value:
        return {"": [value]}
    raise DataError(
        f'expected a list of records or a mapping of columns in {path}, got {cut(value)}; write [{{"text": "…"}}, …]'
    )


def _rows(columns: Mapping[str, list[Any]], path: Path) -> list[Any]:
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise DataError(
            f"expected columns of one length in {path}, got {lengths[short]} in {short!r} and {lengths[long]} in {long!r}; add or remove cells"
        )
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def write(source: Source, target: Path, where: str) -> Part:
    """Write rows as an Arrow stream; the types of columns follow from all rows.

    Raises:
        DataError: there is no row that can be read.
    """
    part = Part(target)
    types = _seen(_cells(list(islice(source(part), arrow.BATCH))))
    if not types:
        flaw = f"; {part.flaws[0]}" if part.flaws else "; write at least one row"
        raise DataError(f"expected rows in {where}, got none{flaw}")
    try:
        _write(source, part, types)
    except _SurpriseError:
        rows = source(Part(target))
        while chunk := list(islice(rows, arrow.BATCH)):
            for name, found in _seen(_cells(chunk)).items():
                types[name] = types.get(name, set()) | found
        _write(source, part, types)
    return part


def _write(source: Source, part: Part, types: dict[str, set[str]]) -> None:
    import pyarrow as pa

    part.flaws.clear()
    kinds = {name: _kind(found) for name, found in types.items()}
    schema = pa.schema([(name, _arrow_types()[kind]) for name, kind in kinds.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        rows = source(part)
        while chunk := list(islice(rows, arrow.BATCH)):
            cells = _cells(chunk)
            if any(name not in kinds or _kind(types[name] | new) != kinds[name] for name, new in _seen(cells).items()):
                raise _SurpriseError
            places = [(number, line) for number, line, _ in chunk]
            arrays = [
                _array(name, cells.get(name) or [None] * len(chunk), kind, places, part.flaws)
                for name, kind in kinds.items()
            ]
            yield pa.record_batch(arrays, schema=schema)

    arrow.write_stream(part.path, schema, batches())


def _cells(chunk: list[Row]) -> dict[str, list[Any]]:
    alike = dict.fromkeys(tuple(row) for _, _, row in chunk)
    names = dict.fromkeys(name for keys in alike for name in keys)
    return {name: [row.get(name) for _, _, row in chunk] for name in names}


def _seen(cells: Mapping[str, list[Any]]) -> dict[str, set[str]]:
    return {name: _types(values) for name, values in cells.items()}


def _types(values: list[Any]) -> set[str]:
    types = set(map(type, values)) - {type(None)}
    found = {next((kind for known, kind in TYPES.items() if issubclass(type_, known)), "other") for type_ in types}
    if "int" in found and any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values):
        found.add("other")
    if "numbers" in found and any(
        type(item) not in (int, float) for value in values if isinstance(value, list) for item in value
    ):
        found.add("other")
    return found


def _kind(types: set[str]) -> str:
    """One kind for a column. Text wins, so that what is no text can be named cell by cell."""
    if "text" in types:
        return "text"
    if types == {"int", "float"}:
        return "float"
    return next(iter(types)) if len(types) == 1 else "other" if types else "null"


def _arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "numbers": pa.list_(pa.float64()),
            "other": pa.binary(), "null": pa.null()}  # fmt: skip


def _array(
    name: str, values: list[Any], kind: str, places: list[tuple[int, int | None]], flaws: list[Flaw]
) -> pa.Array:
    import pyarrow as pa

    if kind == "other":
        values = [None if value is None else json.dumps(value, default=str).encode() for value in values]
    if kind == "text":
        mixed = not set(map(type, values)) <= {str, type(None)}
        odd = {at: f"expected a text, got {cut(value)} ({type(value).__name__})"
               for at, value in enumerate(values if mixed else ()) if value is not None and not isinstance(value, str)}  # fmt: skip
        try:
            return pa.array(
                [None if at in odd else value for at, value in enumerate(values)] if odd else values, pa.string()
            )
        except UnicodeEncodeError:  # JSON can hold half of a character pair
            odd |= {at: f"expected a text, got half a character in {cut(value)}"
                    for at, value in enumerate(values) if isinstance(value, str) and not _encodes(value)}  # fmt: skip
            return pa.array([None if at in odd else value for at, value in enumerate(values)], pa.string())
        finally:
            room = MOST_FLAWS - len(flaws)
            flaws += [
                Flaw(*places[at], name, "a cell that is no text", why) for at, why in islice(odd.items(), max(0, room))
            ]
    return pa.array(values, _arrow_types()[kind])


def _encodes(value: str) -> bool:
    try:
        return bool(value.encode()) or True
    except UnicodeEncodeError:
        return False


def _python(value: Any) -> Any:
    """The cell without numpy, and None for what pandas takes for missing."""
    import pandas as pd

    plain = value.tolist() if hasattr(value, "tolist") else value
    return None if pd.api.types.is_scalar(plain) and pd.isna(plain) else plain


def frame_to_arrow(frame: pd.DataFrame) -> tuple[pa.Table, list[Flaw]]:
    """A DataFrame as an Arrow table, and the cells that are no text in columns of texts; the index is left behind."""
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    arrow.names(names, "the DataFrame")
    flaws: list[Flaw] = []
    arrays = []
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        if series.dtype == object:
            values = [_python(value) for value in series]
            places: list[tuple[int, int | None]] = [(number, None) for number in range(1, len(values) + 1)]
            arrays.append(_array(name, values, _kind(_types(values)), places, flaws))
        else:
            array = pa.Array.from_pandas(series)
            whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
            arrays.append(whole.cast(arrow.plain_type(whole.type)))
    return pa.table(arrays, names=names), flaws
