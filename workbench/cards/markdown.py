"""Texts from outside in Markdown: escaped, in tables, cells and fences."""

from __future__ import annotations

import re

CELL = 300


def fenced(text: str, language: str) -> str:
    """Text in a fence that is longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}{fence}"


def table_of(head: list[str], rows: list[list[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    return "\n".join([lines[0], "|" + "|".join(":---" for _ in head) + "|", *lines[1:]])


def indented(text: str) -> str:
    """Each line as part of a list item."""
    return "".join(f"  {line}\n" for line in text.splitlines())


def cell_of(value: object) -> str:
    """A sample for a table cell: cut, escaped, in one line."""
    text = str(value)
    text = text[:CELL] + "…" if len(text) > CELL else text
    return f"<code>{'<br>'.join(escaped(line) for line in text.splitlines())}</code>"


def plain(text: str) -> str:
    """A name from outside in running Markdown: one line of at most 200 letters, escaped, no markup."""
    return escaped(" ".join(str(text).split())[:200])


def code_of(text: str) -> str:
    """A name from outside between backticks and in the front matter, where nothing but a backtick is markup."""
    return " ".join(text.split())[:200].replace("`", "'")


def escaped(text: str) -> str:
    """Text in which neither HTML nor Markdown finds markup; an underscore inside a word is none."""
    return re.sub(r"[&<>\[\]`|*~\\]|(?<![^\W_])_|_(?![^\W_])", lambda found: f"&#{ord(found[0])};", text)
