"""Files that are whole or absent, and the folder where the workbench keeps what it can make again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

HOME_VARIABLE = "WORKBENCH_HOME"


def home() -> Path:
    """The folder for cached tables and vectors: $WORKBENCH_HOME, else ``~/.cache/embedding-workbench``."""
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "embedding-workbench"


def replace_bytes(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all: beside it first, then renamed into place.

    Raises:
        OSError: the disk is full or the folder is read-only; `path` is then what it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """As `replace_bytes`, for UTF-8 text."""
    replace_bytes(path, text.encode("utf-8"))


def replace_folder(finished: Path, path: Path) -> None:
    """Rename the finished folder to `path`; an older folder there is removed only after the swap."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    swapped = path.exists()
    if swapped:
        os.replace(path, old)
    try:
        os.replace(finished, path)
    except OSError:
        if swapped:
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_missing(source: Path, target: Path) -> None:
    """Copy the files of a folder into another; files that are there already stay as they are."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and not (target / path.name).exists():
            replace_bytes(target / path.name, path.read_bytes())


def used(path: Path) -> None:
    """Note that a cached file was of use, so that `sweep` keeps it longer."""
    with contextlib.suppress(OSError):
        os.utime(path)


def sweep(folder: Path, most: int) -> None:
    """Remove files of a cache, those first that were of no use for longest, until it has at most `most` bytes."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if total <= most:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            total -= size
