"""Text files that are what they seem: their encoding, their compression, and whether they are text at all."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import Any

from workbench.errors import DataError

MAGIC = {b"PAR1": "a Parquet file", b"ARROW1": "an Arrow file", b"PK\x03\x04": "a zip archive or a spreadsheet",
         b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF", b"\x89PNG": "a picture",
         b"\x28\xb5\x2f\xfd": "a zstd file"}  # fmt: skip


def suffix_of(path: Path) -> str:
    """The suffix that tells the format: of ``a.csv.gz`` it is ``.csv``."""
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def binary(path: Path) -> Any:
    """The bytes of a file, unpacked where it ends in .gz."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def text(path: Path, encoding: str, *, newline: str) -> io.TextIOWrapper:
    """A text file without its byte order mark; see `survey`, which makes sure that it can be read."""
    plain = codecs.lookup(encoding).name
    return io.TextIOWrapper(binary(path), encoding="utf-8-sig" if plain == "utf-8" else plain, newline=newline)


def survey(path: Path, encoding: str) -> bool:
    """Read a text file once; whether there is a quotation mark in it.

    Raises:
        DataError: not text, not in this encoding (line and byte are named), cut off, or nothing but white space.
    """
    try:
        "".encode(encoding)  # refuses codecs that are not of text
        decoder = codecs.getincrementaldecoder(encoding)()
    except (LookupError, UnicodeError):
        raise DataError(f"expected the name of an encoding such as utf-8, cp1252 or utf-16, got {encoding!r}") from None
    quotes, empty, lines, done, wide = False, True, 1, 0, codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    try:
        with binary(path) as file:
            while True:
                chunk = file.read(1 << 20)
                if done == 0:
                    _text_at_all(chunk, path, wide)
                if not wide and (at := chunk.find(b"\0")) >= 0:
                    line = lines + chunk.count(b"\n", 0, at)
                    raise DataError(
                        f"expected text in {path}, got a zero byte in line {line} (byte {done + at + 1} of the file); it is a "
                        "binary file, or is to be loaded with encoding='utf-16'"
                    )
                kept = len(decoder.getstate()[0])
                try:
                    decoded = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    line = lines + chunk.count(b"\n", 0, max(0, error.start - kept))
                    raise _wrong_encoding(path, encoding, error, line, done - kept + error.start + 1) from None
                empty = empty and not decoded.strip("\ufeff \t\r\n")
                if not chunk:
                    break
                quotes = quotes or b'"' in chunk
                lines, done = lines + chunk.count(b"\n"), done + len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"expected a gzip file in {path}, but it is cut off or damaged; compress it again") from None
    if empty:
        raise DataError(f"expected a table in {path}, but it holds no text; write a header and rows into it")
    return quotes


def _text_at_all(head: bytes, path: Path, wide: bool) -> None:
    looks = next((what for magic, what in MAGIC.items() if head.startswith(magic)), None)
    if looks:
        raise DataError(
            f"expected text in {path}, but it looks like {looks}; give it the suffix of what it is, or export it as CSV"
        )
    if not wide and head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"expected UTF-8 text in {path}, but it begins like UTF-16; load it with encoding='utf-16'")


def _wrong_encoding(path: Path, encoding: str, error: UnicodeDecodeError, line: int, byte: int) -> DataError:
    bad = error.object[error.start : error.start + 1]
    around = error.object[max(0, error.start - 2000) : error.start + 2000]
    try:
        around.decode("cp1252")
        advice = "encoding='cp1252' (Windows) or encoding='latin-1'"
    except UnicodeDecodeError:
        advice = "encoding='latin-1', or in the encoding that it was written in"
    if codecs.lookup(encoding).name != "utf-8":
        advice = "encoding='utf-8', or in the encoding that it was written in"
    return DataError(
        f"expected {encoding} text in {path}, got the byte 0x{bad.hex()} in line {line} (byte {byte} of the file); load it with {advice}"
    )
