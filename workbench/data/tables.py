"""Files to Arrow: every table is copied once, in pieces, into a cached Arrow stream that is memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import files
from workbench.data import arrow, delimited, records, textfile
from workbench.data.flaws import Flaw, Part, cut
from workbench.errors import DataError

FORMATS = {".csv": "delimited", ".tsv": "delimited", ".tab": "delimited", ".jsonl": "json", ".ndjson": "json",
           ".json": "json", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".ipc": "arrow",
           ".feather": "arrow"}  # fmt: skip
VERSION = "1"


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
        with arrow.writing(place.parent) as beside:
            _convert(format_, path, beside, delimiter, encoding)
            _finish(beside, place)
    info = json.loads((place / "info.json").read_text(encoding="utf-8"))
    return {
        name: Part(place / file, [Flaw(*flaw) for flaw in flaws], *rest) for name, (file, flaws, *rest) in info.items()
    }


def _convert(format_: str, path: Path, folder: Path, delimiter: str | None, encoding: str) -> None:
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
            said = cut(str(error).partition("\n")[0], 120)
            why = f"it looks like {looks}" if looks else f"it is cut off or damaged ({said})"
            raise DataError(f"expected {kind} in {path}, but {why}; write the file again") from None

    source = sound()
    stored = next(source)
    arrow.names(stored.names, path)
    plain = pa.schema([item.with_type(arrow.plain_type(item.type)) for item in stored])
    metadata = {key: value for key, value in (stored.metadata or {}).items() if key == b"huggingface"}
    plain = plain.with_metadata(metadata or None)
    if arrow.write_stream(target, plain, (batch.cast(plain) for batch in source)) == 0:
        raise DataError(f"expected rows in {path}, got none; write at least one row")
    return Part(target)


def _parquet(path: Path) -> Iterator[Any]:
    """The schema, then the batches."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=1 << 20) as file:  # else whole column chunks are held
        yield file.schema_arrow
        yield from file.iter_batches(arrow.BATCH)


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
