"""A table on its way into a cached Arrow stream: what every reader of files shares."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import files
from workbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 10_000  # rows


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


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type without dictionary or view."""
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return plain_type(type_.value_type)
    return pa.string() if type_ == pa.string_view() else type_


def names(found: list[str], path: Path | str) -> None:
    """Raise a DataError where a column name comes twice."""
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise DataError(
            f"expected every column of {path} to have a name of its own, got {twice[0]!r} twice; rename one"
        )
