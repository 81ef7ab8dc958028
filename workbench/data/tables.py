"""Files to Arrow: every table is copied once, in pieces, into a cached Arrow stream that is memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.data import textfile
from workbench.data.flaws import Flaw, cut
from workbench.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

FORMATS = {".csv": "delimited", ".tsv": "delimited", ".tab": "delimited", ".jsonl": "json", ".ndjson": "json",
           ".json": "json", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".ipc": "arrow",
           ".feather": "arrow"}  # fmt: skip
BATCH = 10_000
VERSION = "1"


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


def tables(path: Path, *, delimiter: str | None, encoding: str) -> dict[str, Part]:
    """The tables of a file: part name -> table; the name is empty where the file is one table.

    Raises:
        DataError: the file cannot be read as what its suffix says, or there is no room for the cached copy.
    """
    format_ = FORMATS.get(textfile.suffix_of(path))
    if format_ is None:
        raise DataError(
            f"expected a table ({', '.join(FORMATS)}), got {path.name!r}; convert it, or give it its suffix"
        )
    try:
        stat = path.stat()
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"expected to read {path}, got {error.strerror}; check who may read the file") from None
    if stat.st_size == 0:
        raise DataError(f"expected a table in {path}, but the file is empty; write a header and rows into it")
    keys = str(path), f"{VERSION} {stat.st_size} {stat.st_mtime_ns}", f"{delimiter} {encoding}"
    place = files.home() / "tables" / "-".join(hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys)
    if not (place / "info.json").is_file():
        with writing(place.parent) as beside:
            _convert(format_, path, beside, delimiter, encoding)
            _finish(beside, place)
    info = json.loads((place / "info.json").read_text(encoding="utf-8"))
    return {
        name: Part(place / file, [Flaw(*flaw) for flaw in flaws], *rest) for name, (file, flaws, *rest) in info.items()
    }


def _convert(format_: str, path: Path, folder: Path, delimiter: str | None, encoding: str) -> None:
    from workbench.data import delimited, records

    if format_ == "delimited":
        parts = {"": delimited.convert(path, folder / "0.arrow", delimiter=delimiter, encoding=encoding)}
    elif format_ == "json":
        parts = records.convert(path, folder, encoding=encoding)
    else:
        parts = {"": _copy(path, folder / "0.arrow", _parquet if format_ == "parquet" else _arrow)}
    info = {
        name: (part.path.name, part.flaws, part.blank_lines, part.first_line, part.note) for name, part in parts.items()
    }
    (folder / "info.json").write_text(json.dumps(info), encoding="utf-8")


def _finish(beside: Path, place: Path) -> None:
    try:
        beside.rename(place)
    except OSError:
        if not (place / "info.json").is_file():  # else another process was quicker
            raise
    # copies of the same file as it was before it changed
    source, state, _ = place.name.split("-")
    for old in place.parent.glob(f"{source}-*"):
        if old.name.split("-")[1] != state:
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A new folder in `folder` to write into; removed on leaving if it still lies there.

    Raises:
        DataError: the disk is full or the folder is read-only.
    """
    beside = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        yield beside
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(
            f"expected room for a copy of the table in {folder}, got {why!r}; make room, or set {files.HOME_VARIABLE} "
            "to a folder on a disk that has it"
        ) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def write_stream(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as an Arrow stream; the number of rows written."""
    import pyarrow as pa

    rows = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as out:
        for batch in batches:
            rows += batch.num_rows
            out.write_batch(batch)
    return rows


def _copy(path: Path, target: Path, read: Any) -> Part:
    """Copy Parquet or Arrow batch by batch, with plain strings instead of views and dictionaries."""
    import pyarrow as pa

    kind = "Parquet" if read is _parquet else "Arrow"

    def sound() -> Iterator[Any]:
        try:
            yield from read(path)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError, EOFError) as error:
            with path.open("rb") as file:
                head = file.read(8)
            looks = next(
                (what for magic, what in textfile.MAGIC.items() if head.startswith(magic) and kind not in what), None
            )
            why = f"it looks like {looks}" if looks else f"it is cut off or damaged ({cut(_first_line(error), 120)})"
            raise DataError(f"expected {kind} in {path}, but {why}; write the file again") from None

    source = sound()
    stored = next(source)
    names(stored.names, path)
    plain = pa.schema([item.with_type(plain_type(item.type)) for item in stored])
    metadata = {key: value for key, value in (stored.metadata or {}).items() if key == b"huggingface"}
    plain = plain.with_metadata(metadata or None)
    if write_stream(target, plain, (batch.cast(plain) for batch in source)) == 0:
        raise DataError(f"expected rows in {path}, got none; write at least one row")
    return Part(target)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type without dictionary or view."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    return pa.string() if type_ == pa.string_view() else type_


def _parquet(path: Path) -> Iterator[Any]:
    """The schema, then the batches."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=1 << 20) as file:  # else whole column chunks are held
        yield file.schema_arrow
        yield from file.iter_batches(BATCH)


def _arrow(path: Path) -> Iterator[Any]:
    """The schema, then the batches, of the file or the stream format."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            yield reader.schema
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            file.seek(0)
            stream = pa.ipc.open_stream(file)
            yield stream.schema
            yield from stream


def names(found: list[str], path: Path | str) -> None:
    """Raise a DataError where a column name comes twice."""
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise DataError(
            f"expected every column of {path} to have a name of its own, got {twice[0]!r} twice; rename one"
        )
