"""What plotly hands over, made plain: settings, numbers, and texts as lines that are measured, cut and escaped."""

from __future__ import annotations

import base64
import math
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from html import escape, unescape
from typing import Any

import numpy as np

SIZE = 11  # px, of all words but the title
LINE = 15  # px from line to line
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
FIELD = re.compile(r"%\{([\w.]+)(?:\[(\d+)\])?(?::([^}|]*))?(?:\|[^}]*)?\}")
_FORMAT = re.compile(r"[+,]?(\.\d{1,2})?[%efgd]?")


class Settings:
    """Settings of a plotly object, read once: each look into plotly's own takes 20 µs. None where nothing is set."""

    PARTS = ("title", "font", "line", "legend", "colorbar")

    def __init__(self, given: Any = None) -> None:
        self._held = {} if given is None else given.to_plotly_json()

    def __getattr__(self, name: str) -> Any:
        value = self._held.get(name)
        if name not in self.PARTS:
            return value
        part = Settings()
        part._held = value if isinstance(value, dict) else {"text": value}
        return part


def plain(text: object) -> list[str]:
    """The lines that plotly would show for a text: breaks split it, other tags go, entities become characters."""
    if text is None:
        return []
    lines = (_NOT_TEXT.sub("", unescape(_TAG.sub("", part))).strip() for part in _BREAK.split(str(text)))
    return [line for line in lines if line]


def number(value: object, spec: str | None = None) -> str:
    """A number in few characters, by a format such as ``.2f`` where one is given; other values as they are."""
    if isinstance(value, str) or not isinstance(value, int | float | np.number):
        return "" if value is None else str(value)
    real = float(value)
    if not math.isfinite(real):
        return "undefined"
    spec = (spec or "").replace("~", "")
    if spec and _FORMAT.fullmatch(spec):
        return format(round(real) if spec.endswith("d") else real, spec)
    if real.is_integer() and abs(real) < 1e9:
        return f"{real:,.0f}"
    return f"{real:.4g}".replace("e+", "e").replace("e-0", "e-").replace("e0", "e")


@lru_cache(maxsize=4096)
def span(text: str, size: float = SIZE) -> float:
    """About how many px a line of text is wide; no font is at hand, so it is counted rather too wide."""
    wide = 0.0
    for sign in text:
        if sign in "iljtfrI.,:;'|!()[] ":
            wide += 0.36
        elif ord(sign) < 0x1100:
            wide += 0.9 if sign in "mwMW@%<>=+~#" else 0.75 if sign.isupper() else 0.63
        else:
            wide += 1.1 if unicodedata.east_asian_width(sign) in "WF" else 0.7
    return wide * size


def cut(text: str, room: float, size: float = SIZE) -> str:
    """A line that is at most `room` px wide."""
    text = text[:400]
    if span(text, size) <= room:
        return text
    while text and span(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def wrap(lines: list[str], room: float, *, size: float = SIZE, most: int = 3) -> list[str]:
    """Lines that are at most `room` px wide, broken anew if one is wider; what is left after `most` lines is cut off."""
    if any(span(line[:1000], size) > room for line in lines):
        lines = [" ".join(lines)]
    wrapped: list[str] = []
    for line in lines:
        held = ""
        for word in line[:1000].split(" "):
            if held and span(f"{held} {word}", size) > room:
                wrapped.append(held)
                held = ""
            held = f"{held} {word}".strip()
        wrapped.append(held)
    if len(wrapped) > most:
        wrapped = [*wrapped[: most - 1], " ".join(wrapped[most - 1 :])]
    return [cut(line, room, size) for line in wrapped]


def words(x: float, y: float, lines: list[str], *, size: float = SIZE, anchor: str = "start", more: str = "") -> str:
    """A `<text>` whose first base line is at y. This is where texts are escaped, once."""
    if not lines:
        return ""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    big = f' font-size="{size:g}"' if size != SIZE else ""
    inner = escape(lines[0]) + "".join(f'<tspan x="{x:.1f}" dy="{LINE}">{escape(line)}</tspan>' for line in lines[1:])
    return f'<text x="{x:.1f}" y="{y:.1f}"{big}{at}{more}>{inner}</text>'


def listed(values: Any) -> Any:
    """The values of a plotly array attribute: as they are, or unpacked from base64."""
    if isinstance(values, dict) and "bdata" in values:
        flat = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
        shape = str(values.get("shape", "")).replace(",", " ").split()
        return flat.reshape([int(side) for side in shape]) if shape else flat
    return values


def numbers(values: Any) -> np.ndarray | None:
    """float64, shape (n,), NaN where a value is missing or beyond all scales; None if there are words among them."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        floats = values.astype(float).ravel()
    elif isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return None
    else:
        try:
            floats = np.array([math.nan if value is None else float(value) for value in values], dtype=float)
        except (TypeError, ValueError, OverflowError):
            return None
    return np.where(np.abs(floats) < 1e100, floats, np.nan)


def tips(trace: Any) -> Callable[[int], str]:
    """A function from row to `<title>`: the hover text as plain lines."""
    held = {name: listed(trace[name]) for name in ("hovertext", "text", "customdata", "x", "y")}
    template = trace.hovertemplate if isinstance(trace.hovertemplate, str) else ""
    template = template.replace("<extra>", "<br>")

    def value(name: str, row: int, part: str | None = None, spec: str | None = None) -> str:
        if name in ("fullData.name", "name"):
            return trace.name or ""
        column = held.get(name)
        if column is None or isinstance(column, str):
            return column or (str(row) if name in ("x", "y") else "")
        cell = column[row] if row < len(column) else ""
        cell = cell[int(part)] if part and not isinstance(cell, str) and int(part) < len(cell) else cell
        return number(cell, spec)

    def tip(row: int) -> str:
        text = FIELD.sub(lambda found: value(found[1], row, found[2], found[3]), template)
        text = text or value("hovertext", row) or value("text", row) or f"{value('x', row)}, {value('y', row)}"
        lines = plain(text)
        return f"<title>{escape(chr(10).join(lines)[:200])}</title>" if trace.hoverinfo not in ("skip", "none") else ""

    return tip
