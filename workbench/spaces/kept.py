"""Vectors on disk by model, prompt and texts: read where they were made before, gone on with where they were begun."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from types import TracebackType

import filelock
import numpy as np

from workbench import files

log = logging.getLogger(__name__)
# Vectors of more bytes stay on disk and are only mapped into memory
LARGE = 256 * 2**20
# What all vectors together may take on disk
MOST_BYTES = 8 * 2**30
BLOCK_ROWS = 16_384


def place(texts: list[str], fingerprint: str, prompt: str) -> Path:
    """Where the vectors of these texts lie, in this order, under the model with this fingerprint."""
    digest = hashlib.sha256(b"2" + prompt.encode("utf-8", "surrogatepass"))
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return files.home() / "vectors" / fingerprint / f"{digest.hexdigest()[:32]}.npy"


def read(path: Path, rows: int) -> np.ndarray | None:
    """float32 (rows, d), mapped where it is large; None where there are none that can be read."""
    try:
        large = path.stat().st_size > LARGE
        vectors: np.ndarray = np.load(path, allow_pickle=False, mmap_mode="r" if large else None)
    except (OSError, ValueError, EOFError):
        return None
    if vectors.ndim != 2 or len(vectors) != rows or vectors.dtype != np.float32:
        return None
    files.used(path)
    return vectors


def room(rows: int, width: int) -> np.ndarray:
    """float32 zeros, shape (rows, width); in a nameless file on disk where they are large."""
    size = rows * width * 4
    if size > LARGE:
        folder = files.home() / "vectors"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                _reserve(file.fileno(), size)
                return np.memmap(file, np.float32, "r+", shape=(rows, width))
        except OSError as error:
            log.warning("vectors are held in memory: %s", error)
    return np.zeros((rows, width), np.float32)


def take(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """These rows of vectors; the vectors themselves where it is all of them in order."""
    if len(rows) == len(vectors) and (rows == np.arange(len(rows))).all():
        return vectors
    taken = room(len(rows), vectors.shape[1])
    for start in range(0, len(rows), BLOCK_ROWS):
        taken[start : start + BLOCK_ROWS] = vectors[rows[start : start + BLOCK_ROWS]]
    return taken


class Making:
    """Vectors that are being made. They grow in a file, and what is in it counts the next time.

    Args:
        path: where they belong when they are whole.
        rows: how many there will be.

    Attributes:
        done: which are made, bool, shape (rows,).
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.done = path, np.zeros(rows, bool)
        self._begun, self._marks = path.with_suffix(".begun"), path.with_suffix(".done")
        self._lock = filelock.FileLock(path.with_suffix(".lock"))
        self._vectors: np.ndarray | None = None
        self._on_disk = False

    def __enter__(self) -> Making:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._go_on()
        except filelock.Timeout:
            pass  # another process makes the same ones: it will keep them
        except OSError as error:
            log.warning("vectors are not kept for next time: %s", error)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._lock.is_locked:
            self._lock.release()
            if error is None:
                self._lock_file.unlink(missing_ok=True)

    @property
    def _lock_file(self) -> Path:
        return Path(self._lock.lock_file)

    def put(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Take in vectors, float32, shape (b, d), of these rows."""
        if self._vectors is None:
            self._begin(vectors.shape[1])
        assert self._vectors is not None
        self._vectors[rows] = vectors
        self.done[rows] = True  # after the vectors: a row that is marked is there

    def whole(self) -> np.ndarray:
        """All vectors, float32, shape (rows, d), moved to where they belong."""
        assert self._vectors is not None and self.done.all()
        if not self._on_disk:
            return self._vectors
        self._vectors.flush()  # type: ignore[attr-defined]
        self._vectors, self.done = None, np.array(self.done)  # a file that is mapped cannot be moved everywhere
        try:
            files.used(self._begun)
            os.replace(self._begun, self.path)
        except OSError as error:
            log.warning("vectors are not kept for next time: %s", error)
            return np.asarray(np.load(self._begun))
        self._marks.unlink(missing_ok=True)
        files.sweep(self.path.parent.parent, MOST_BYTES)
        made = read(self.path, len(self.done))
        assert made is not None
        return made

    def _go_on(self) -> None:
        """Take up what an earlier process has left; what is damaged is made anew."""
        try:
            vectors, done = np.load(self._begun, mmap_mode="r+"), np.load(self._marks, mmap_mode="r+")
        except (OSError, ValueError, EOFError):
            return
        rows = len(self.done)
        if vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == rows and done.shape == (rows,):
            if done.dtype == bool:
                self._vectors, self.done, self._on_disk = vectors, done, True

    def _begin(self, width: int) -> None:
        rows = len(self.done)
        self._vectors = np.zeros((rows, width), np.float32)
        if not self._lock.is_locked:
            return
        try:
            mapped = _mapped(self._begun, (rows, width), np.float32)
            self.done = _mapped(self._marks, (rows,), bool)
            self._vectors, self._on_disk = mapped, True
        except OSError as error:
            log.warning("vectors are not kept for next time: %s", error)
            for path in (self._begun, self._marks):
                path.unlink(missing_ok=True)


def _mapped(path: Path, shape: tuple[int, ...], kind: type) -> np.ndarray:
    """A new file of zeros that has all its room: one that grows into a full disk would end the process."""
    made = np.lib.format.open_memmap(path, "w+", np.dtype(kind), shape)
    with path.open("r+b") as file:
        _reserve(file.fileno(), path.stat().st_size)
    return made


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, max(1, size))
    else:
        os.truncate(file, size)
