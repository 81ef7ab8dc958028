"""The body of a card as sections with items, tables and fences; and its cells as plain values."""

from __future__ import annotations

import ast
import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Table = list[list[str]]
LARGEST = 1e15  # larger numbers are no counts and no rates, and overflow arithmetic
_NUMBER = re.compile(r"[-+]?(([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
_RULE = re.compile(r"\s*\|(:?-+:?\|)+\s*")
_BARE = re.compile(r"(?<!\\)\|")
_WHOLE = re.compile(r"[-+]?\d+")


@dataclass
class Item:
    """One item of a list: its first lines as they stand in the card, its text, and what is inside it."""

    line: str = ""
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)


@dataclass
class Section:
    """What stands between a heading and the next; `above` are the headings over it, the outermost first."""

    level: int
    title: str
    above: tuple[str, ...]
    items: list[Item] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def under(self, start: str) -> bool:
        """Whether it is, or stands under, a heading that begins so."""
        return any(title.lower().startswith(start.lower()) for title in (*self.above, self.title))

    def item(self, start: str) -> Item | None:
        """The first item whose text begins so, its markup aside."""
        return next((item for item in self.items if bare(item.text).lower().startswith(start.lower())), None)


def outline(body: str, *, unescape: bool) -> list[Section]:
    """Sections of a Markdown text in their order; the first has no heading.

    Args:
        body: Markdown without front matter.
        unescape: whether HTML entities stand for characters; the library writes texts unescaped.
    """
    from markdown_it import MarkdownIt

    # Texts inside a block are not parsed: only few of them are needed, and those by their first words.
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    lines = body.split("\n")
    tokens = parser.parse("\n".join(_escaped_rows(lines)))
    sections, heads = [Section(0, "", ())], [(0, "")]
    items: list[Item] = []
    cells: Table | None = None
    for place, token in enumerate(tokens):
        now = sections[-1]
        if token.type == "heading_open":
            level, title = int(token.tag[1]), tokens[place + 1].content.strip()
            heads = [head for head in heads if head[0] < level]
            sections.append(Section(level, html.unescape(title) if unescape else title, tuple(t for _, t in heads)))
            heads.append((level, sections[-1].title))
        elif token.type == "list_item_open":
            items.append(Item())
            now.items.append(items[-1])
        elif token.type == "list_item_close":
            items.pop()
        elif token.type == "table_open":
            cells = []
        elif token.type == "tr_open" and cells is not None:
            cells.append([])
        elif token.type == "table_close" and cells is not None:
            now.tables.append(cells)
            for item in items[-1:]:
                item.tables.append(cells)
            cells = None
        elif token.type in ("fence", "code_block"):
            now.fences.append(token.content)
            for item in items[-1:]:
                item.fences.append(token.content)
        elif token.type == "inline" and tokens[place - 1].type != "heading_open":
            text = html.unescape(token.content) if unescape else token.content
            if cells is not None:
                cells[-1].append(text.strip())
            elif items:
                _say(items[-1], text, "\n".join(lines[slice(*token.map)]) if token.map else text)
            else:
                now.texts.append(text)
    return sections


def _escaped_rows(lines: list[str]) -> Iterator[str]:
    """Lines of which table rows have the bars inside their cells escaped.

    Older versions leave such bars bare, but pad all cells of a column, so that the rule below the head tells where
    the cells end.
    """
    bars: list[int] = []
    for line in lines:
        if _RULE.fullmatch(line):
            bars = [place for place, letter in enumerate(line) if letter == "|"]
        elif "|" not in line:
            bars = []
        aligned = bars and len(line.rstrip()) == bars[-1] + 1 and all(line[place] == "|" for place in bars)
        if aligned:
            cells = [line[start + 1 : end] for start, end in pairwise(bars)]
            if any(_BARE.search(cell) for cell in cells):
                line = line[: bars[0] + 1] + "".join(cell.replace("|", "\\|") + "|" for cell in cells)
        yield line


def _say(item: Item, text: str, line: str) -> None:
    if not item.text:
        item.line, item.text = line, text.split("\n")[0]


def bare(text: str) -> str:
    """A line without the markup of emphasis and code at its ends and around its first words."""
    return text.replace("**", "").replace("`", "").strip()


def after_colon(text: str) -> str:
    """What an item says: the part after its first colon."""
    return bare(text).partition(":")[2].strip()


def tagged(text: str, tag: str) -> list[str]:
    """The contents of an HTML tag without attributes in one line, in time that grows with the line only."""
    pieces = text.split(f"<{tag}>")[1:]
    return [piece.partition(f"</{tag}>")[0] for piece in pieces if f"</{tag}>" in piece]


def number(text: str) -> float | int | None:
    """A number as cards print them (``1,234``, ``**0.5**``, ``5e-05``, ``~40%``); None for nan, inf, ``-`` and words."""
    plain = text.strip().strip("*~%`").strip()
    if len(plain) > 40 or not plain.isascii() or not _NUMBER.fullmatch(plain):
        return None
    plain = plain.replace(",", "")
    value = int(plain) if _WHOLE.fullmatch(plain) else float(plain)
    return value if math.isfinite(value) and abs(value) <= LARGEST else None


def whole(text: str) -> int | None:
    """A number of rows, tokens or steps in a line: the first whole number in it; None where there is none."""
    words = [*text.split(), ""]
    counts = ((re.fullmatch(r"\(?(-?[\d,]{1,20})\W*", word), after) for word, after in pairwise(words))
    found, after = next(filter(lambda count: count[0], counts), (None, ""))
    value = number(found[1]) if found and not after[:1].isdigit() else None  # 1 234 is neither 1 nor 234
    return value if isinstance(value, int) and value >= 0 else None


def value(text: str) -> Any:
    """A setting as Python printed it: None, a truth value, a number, a list or mapping of them, else the text."""
    plain = text.strip()
    if plain in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[plain]
    found = number(plain) if not plain.endswith("%") else None
    if found is not None:
        return found
    return literal(plain) if plain[:1] in ("{", "[", "(") else text


def literal(text: str) -> Any:
    """JSON, or what Python prints for plain values; the text itself where it is neither."""
    if len(text) > 20_000:
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return plain_value(read(text.strip()))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return text


def plain_value(value: Any) -> Any:
    """A value that JSON can hold; numbers that are none become text.

    Raises:
        ValueError: it holds something else, or a whole number beyond all counts.
    """
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")  # an escape can spell out half a character
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(plain_value(key)): plain_value(item) for key, item in value.items()}
    raise ValueError


def named_lines(section: Section) -> Iterator[tuple[str, str]]:
    """(name, value) of items such as ``- `seed`: 42``, with further lines and spaces at the end as they stand."""
    for item in section.items:
        found = re.fullmatch(r"\s*[-*+] `(\w+)`:(?: (.*))?", item.line, re.DOTALL)
        if found:
            yield found[1], found[2] or ""
