"""Token ids of the text columns of a table, kept on disk by text and tokenizer so that a column is tokenised once.

A file holds the ids of the texts one after the other, then where each row's ids start, how many they are, and what else
is known of the column; it ends with a digest of all that. Equal texts that stand near each other share their ids.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.data.examples import digest
from workbench.data.tokenizer import Place, fast_tokenizer, place

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# What all files together may take on disk, and what a column may
MOST_BYTES = 2 * 2**30
MOST_OF_ONE = MOST_BYTES // 4
MAGIC = 0x31_73_64_49_62_57  # changes with the layout of the file
END = 6  # numbers at the end: magic, ids, rows, empty, duplicates, digest
SETTINGS = ("tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json")


@dataclass(frozen=True, eq=False)
class Ids:
    """Tokens of a column before truncation, special tokens included.

    Attributes:
        ids: of all texts, int32, shape (tokens,), mapped into memory.
        starts: where those of a row begin, int64, shape (rows,).
        lengths: how many they are, int64, shape (rows,).
        empty: texts that are empty or only white space; None where these are some rows of the table that is kept.
        duplicates: rows whose exact text was in an earlier row; None as for `empty`.
    """

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    empty: int | None
    duplicates: int | None

    def of(self, row: int) -> np.ndarray:
        """Ids of one text, int32, shape (tokens,)."""
        start = self.starts[row]
        return self.ids[start : start + self.lengths[row]]

    def count(self, token: int) -> np.ndarray:
        """How often a token occurs in each text, int64, shape (rows,)."""
        places = np.flatnonzero(self.ids == token)
        return np.searchsorted(places, self.starts + self.lengths) - np.searchsorted(places, self.starts)


def kept(examples: Examples, column: str, model: str | Path) -> Ids | None:
    """The ids of a column under the tokenizer of a model; None where they are not kept, or no longer whole.

    Those of picked rows, such as the training rows without the held-out ones, are found in the table they are from.

    Raises:
        ModelError: there is no such model.
    """
    here, table = place(model), whole(examples)
    found = _of(table, column, here)
    if table is examples:
        return found
    if found is None:
        return _of(examples, column, here)
    rows = examples.dataset._indices.column(0).to_numpy()
    return Ids(found.ids, found.starts[rows], found.lengths[rows], None, None)


def whole(examples: Examples) -> Examples:
    """The table that these rows were picked from, or the same where they were not."""
    from datasets import Dataset, DatasetInfo

    rows = examples.dataset
    if rows._indices is None:
        return examples
    # a name saves the library from making one out of all its parts
    return replace(examples, dataset=Dataset(rows.data, DatasetInfo(features=rows.features), fingerprint="whole"))


class Keeper:
    """Tokenises the texts of a column one chunk after the other, and keeps their ids once all were there.

    Args:
        examples: the table.
        column: one of its columns of texts.
        here: where the tokenizer lies; a fast one.
    """

    def __init__(self, examples: Examples, column: str, here: Place) -> None:
        self._tokenizer, self._special = fast_tokenizer(here), not here.static
        self._path = _path(examples, column, here)
        self._starts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._total = 0
        self._file: Any = None

    def __enter__(self) -> Keeper:
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=".", delete=False)
            except OSError:
                self._file = None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._drop()

    def add(self, texts: list[str]) -> np.ndarray:
        """Number of tokens of each of the next texts, int64, shape (n,)."""
        number = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        encoded = self._tokenizer.encode_batch_fast(list(number), add_special_tokens=self._special)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        which = np.fromiter(map(number.__getitem__, texts), np.int64, len(texts))
        if self._file is not None:
            starts = self._total + np.cumsum(lengths) - lengths
            self._total += int(lengths.sum())
            self._starts.append(starts[which])
            self._lengths.append(lengths[which])
            ids = np.fromiter(chain.from_iterable(text.ids for text in encoded), np.int32, int(lengths.sum()))
            self._write(ids)
        return lengths[which]

    def finish(self, *, empty: int, duplicates: int) -> None:
        """Put the file into its place; a full disk costs only the file."""
        if self._file is None or self._path is None:
            return
        rows = sum(map(len, self._starts))
        for part in (
            np.zeros(self._total % 2, np.int32),
            *self._starts,
            *self._lengths,
            np.array([MAGIC, self._total, rows, empty, duplicates], np.int64),
        ):
            self._write(part)
        if self._file is None:
            return
        name = Path(self._file.name)
        try:
            self._file.flush()
            self._write(np.array([_digest(np.memmap(name, np.uint8, "r"))], np.uint64))
            if self._file is None:
                return
            self._file.close()
            os.chmod(name, 0o644)
            os.replace(name, self._path)
            self._file = None
            files.sweep(self._path.parent.parent, MOST_BYTES)
        except OSError:
            self._drop()

    def _write(self, values: np.ndarray) -> None:
        if self._file is None:
            return
        try:
            self._file.write(values.tobytes())
            if self._file.tell() > MOST_OF_ONE:
                self._drop()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None


def _of(examples: Examples, column: str, here: Place) -> Ids | None:
    path = _path(examples, column, here)
    return None if path is None else _read(path, len(examples))


def _path(examples: Examples, column: str, here: Place) -> Path | None:
    if not here.fast:
        return None
    tokenizer = hashlib.sha256(repr(here.static).encode())
    for name in SETTINGS:
        file = here.folder / name
        tokenizer.update(file.read_bytes() if file.is_file() else b"")
    texts = digest(examples.arrow([column]), {column: "text"})
    return files.home() / "ids" / tokenizer.hexdigest()[:16] / f"{texts}.ids"


def _read(path: Path, rows: int) -> Ids | None:
    try:
        whole = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    if len(whole) < END * 8:
        return None
    end = whole[-END * 8 :].view(np.int64)
    magic, total, count, empty, duplicates = (int(number) for number in end[:-1])
    size = (total + total % 2) * 4
    if magic != MAGIC or count != rows or len(whole) != size + 16 * rows + END * 8:
        return None
    if int(end[-1:].view(np.uint64)[0]) != _digest(whole[:-8]):
        return None
    files.used(path)
    starts, lengths = whole[size : size + 16 * rows].view(np.int64).reshape(2, rows)
    return Ids(whole[: total * 4].view(np.int32), starts, lengths, empty, duplicates)


def _digest(content: np.ndarray) -> int:
    from xxhash import xxh3_64_intdigest

    return int(xxh3_64_intdigest(content.data))
