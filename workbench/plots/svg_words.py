"""Texts and numbers of a static picture: made plain, measured, cut, and escaped once."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Any

import numpy as np

SIZE = 11  # px, of all words but the title
LINE = 15  # px from line to line
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_FIELD = re.compile(r"%\{([\w.]+)(?::([^}]*))?\}")
# widths of letters as shares of the size; no font is at hand, so they are rather too large
_WIDTHS = dict.fromkeys("iljtfrI.,:;'|!()[] ", 0.36) | dict.fromkeys("mwMW@%<>=+~#−–…", 0.9)


def look(held: Any, path: str, usual: Any = None) -> Any:
    """A setting of plotly's by its path, such as ``line.color``; `usual` where it is not set."""
    for key in path.split("."):
        held = held.get(key) if isinstance(held, dict) else None
    return usual if held is None else held


def numbers(values: Any) -> np.ndarray:
    """float64, in the shape of the values; NaN where one is missing or beyond all scales, and for words."""
    try:
        floats = np.asarray(() if values is None else values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        floats = np.full(len(values), np.nan)
    return np.where(np.abs(floats) < 1e100, floats, np.nan)


def plain(text: object) -> list[str]:
    """The lines that plotly would show for a text: breaks split it, other tags go, entities become characters."""
    parts = _BREAK.split("" if text is None else str(text))
    lines = (_NOT_TEXT.sub("", unescape(_TAG.sub("", part))).strip() for part in parts)
    return [line for line in lines if line]


def number(value: Any, form: str | None = None) -> str:
    """A number in few characters, by a format such as ``.2f`` where one is given; other values as they are."""
    if not isinstance(value, int | float | np.number):
        return "" if value is None else str(value)
    if form:
        return format(float(value), form)
    if float(value).is_integer() and abs(float(value)) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.4g}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")


def span(text: str, size: float = SIZE) -> float:
    """About how many px a line of text is wide."""
    usual = ((0.75 if sign.isupper() else 0.63) if ord(sign) < 0x1100 else 1.1 for sign in text)
    return size * sum(_WIDTHS.get(sign, share) for sign, share in zip(text, usual, strict=True))


def cut(text: str, room: float, size: float = SIZE) -> str:
    """A line that is at most `room` px wide."""
    short = text[:400]
    while short and span(short, size) > room:
        short = short.removesuffix("…")[:-1].rstrip() + "…" if len(short) > 2 else ""
    return short


def wrap(lines: list[str], room: float, *, size: float = SIZE, most: int = 3) -> list[str]:
    """Lines that are at most `room` px wide; what is left after `most` lines is cut off."""
    if all(span(line[:400], size) <= room for line in lines) and len(lines) <= most:
        return lines
    wrapped: list[str] = []
    for word in " ".join(lines)[:1000].split(" "):
        if wrapped and (len(wrapped) == most or span(f"{wrapped[-1]} {word}", size) <= room):
            wrapped[-1] += f" {word}"
        else:
            wrapped.append(word)
    return [cut(line, room, size) for line in wrapped]


def words(x: float, y: float, lines: list[str], *, size: float = SIZE, anchor: str = "start", more: str = "") -> str:
    """A `<text>` whose first base line is at y. This is where texts are escaped, once."""
    if not any(lines):
        return ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    big = f' font-size="{size:g}"' if size != SIZE else ""
    inner = escape(lines[0]) + "".join(f'<tspan x="{x:.1f}" dy="{LINE}">{escape(line)}</tspan>' for line in lines[1:])
    return f'<text x="{x:.1f}" y="{y:.1f}"{big}{at}{more}>{inner}</text>'


def tips(trace: dict[str, Any]) -> Callable[[int], str]:
    """A function from row to `<title>`: the hover text as plain lines."""
    template = str(trace.get("hovertemplate") or "%{x}, %{y}").replace("<extra>", "<br>")

    def tip(row: int) -> str:
        def fill(found: re.Match[str]) -> str:
            column = trace.get(found[1].removeprefix("fullData."))
            if column is None or isinstance(column, str):
                return column or ""
            return number(column[row], found[2]) if row < len(column) else ""

        # all fields are filled in at once, so that a text cannot bring a field of its own
        return f"<title>{escape(chr(10).join(plain(_FIELD.sub(fill, template)))[:200])}</title>"

    return tip
