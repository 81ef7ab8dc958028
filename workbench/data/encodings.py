"""Texts that were read with the wrong encoding, lost characters on the way, or carry control characters."""

from __future__ import annotations

import re
from functools import lru_cache

REPLACEMENT = "\ufffd"
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")  # line ends, tabs and form feeds are white space
AROUND = 30  # characters on either side of what is shown of a wrong encoding
# With what UTF-8 is read by mistake, as Python calls it -> in words.
TABLES = {"sloppy-windows-1252": "Windows-1252", "mac_roman": "Mac Roman"}


def misread(text: str, table: str) -> str:
    """What a text becomes when its UTF-8 is read with one of `TABLES`."""
    import ftfy.bad_codecs  # noqa: F401  registers the table with all 256 bytes

    return text.encode("utf-8").decode(table)


def undone(piece: str, *tables: str) -> str:
    """The exact inverse of `misread` by the first of these tables that has one; else the piece itself."""
    import ftfy.bad_codecs  # noqa: F401

    for table in tables:
        try:
            return piece.encode(table).decode("utf-8")
        except UnicodeError:
            continue
    return piece


def suspicious(text: str) -> tuple[str, ...]:
    """Which of misread, replaced and control a text is."""
    found = []
    whole = text.replace(REPLACEMENT, " ")
    if not whole.isascii() and _maybe_misread().search(whole):
        from ftfy.badness import is_bad

        found += ["misread"] if is_bad(whole) else []
    found += ["replaced"] if REPLACEMENT in text else []
    return (*found, "control") if CONTROL.search(text) else tuple(found)


def explain(text: str) -> str:
    """What is suspicious about the encoding of a text, in words; empty where nothing is."""
    found, said = suspicious(text), []
    if "misread" in found:
        from ftfy import fix_encoding
        from ftfy.badness import BADNESS_RE

        place = BADNESS_RE.search(text)
        part = text[max(0, place.start() - AROUND) : place.end() + AROUND] if place else text[: 2 * AROUND]
        mended = fix_encoding(part)
        said.append("looks like a wrong encoding" + (f", perhaps meant: {mended}" if mended != part else ""))
    if "replaced" in found:
        said.append(f"{text.count(REPLACEMENT):,} characters could not be read (U+FFFD)")
    if "control" in found:
        codes = dict.fromkeys(f"U+{ord(character):04X}" for character in CONTROL.findall(text))
        said.append(f"control characters {', '.join(list(codes)[:5])}{' …' if len(codes) > 5 else ''}")
    return "; ".join(said)


@lru_cache(maxsize=1)
def _maybe_misread() -> re.Pattern[str]:
    """What every text has in which `ftfy.badness.is_bad` finds something, and few others have; ten times as quick.

    Its patterns are about neighbours in a set of 450 characters, nearly always with a sign among them.
    """
    from ftfy.badness import MOJIBAKE_CATEGORIES as sets

    letters = {"lower_common", "upper_common", "lower_accented", "upper_accented", "kaomoji"}
    signs = "".join(characters for name, characters in sets.items() if name not in (letters | {"common", "c1"}))
    every, upper = "".join(sets.values()), sets["upper_accented"]
    pairs = [
        f"[{signs}][{every}]",
        f"[{every}][{signs}]",
        f"[{sets['lower_accented']}{sets['lower_common']}][{upper}]",
        f"[ÎÐØÙ][{sets['common']}ŠšŸž]",
        f"[{upper}{sets['upper_common']}]°",
    ]
    return re.compile(f"(?=[^\\x00-\\x7f])(?:[{sets['c1']}ŒœÂÃ]|{'|'.join(pairs)}|вЂ|ГўВЂВ)")
