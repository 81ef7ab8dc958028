"""The bytes of a card as text: decoded, and mended where UTF-8 was once read with another table."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any

import yaml

from workbench.data.encodings import TABLES, misread, suspicious, undone
from workbench.errors import ModelError

MAX_BYTES = 10_000_000
MAX_LINES = 100_000  # some ten seconds of parsing
MAX_FRONT = 200_000  # characters of front matter; PyYAML takes some seconds for so many
LONGEST_NUMBER = 40  # characters
# Every card of the library holds this face, so what became of it tells what was done to the whole text.
FACE = "\N{HUGGING FACE}"
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class Repair:
    """What was mended in a card's text.

    Attributes:
        count: how many pieces were mended.
        table: the table that UTF-8 was read with, in words; None where it differs from piece to piece.
        before, after: the first piece.
        whole: the card itself was misread, and not only texts in it.
    """

    count: int
    table: str | None
    before: str
    after: str
    whole: bool


def decoded(content: bytes, where: str) -> tuple[str, bool]:
    """(text, whether it was valid UTF-8 or UTF-16); a character that is cut at the end is left out.

    Raises:
        ModelError: too large, or no text.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(
            f"expected a model card of at most {MAX_BYTES:,} bytes, got {len(content):,} in {where}; give the README.md of a model"
        )
    valid = True
    try:
        encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        text = codecs.getincrementaldecoder(encoding)().decode(content, final=False)
    except UnicodeDecodeError:
        valid, text = False, content.decode("utf-8", errors="replace")
        lost = text.count("\ufffd")
        if lost * 2 > sum(map(len, _FOREIGN.findall(text))):
            text = content.decode("cp1252", errors="replace")
    if len(_CONTROL.findall(text)) + text.count("\ufffd") > len(text) // 20:
        raise ModelError(f"expected a model card, got bytes that are no text in {where}; give the README.md of a model")
    # A lone carriage return stands inside a sample of the data; only where there is nothing else it ends lines.
    text = text.replace("\r\n", "\n")
    text = text.replace("\r", " " if "\n" in text else "\n")
    if text.count("\n") > MAX_LINES:
        raise ModelError(
            f"expected a model card of at most {MAX_LINES:,} lines, got {text.count(chr(10)):,} in {where}; give the README.md of a model"
        )
    return text, valid


def repaired(text: str, *, pieces: bool = True) -> tuple[str, Repair | None]:
    """The text with its wrong encodings undone, and what was undone; None where nothing was wrong.

    Args:
        text: a card.
        pieces: whether single lines are mended in a card that is sound as a whole.
    """
    table = next((name for name in TABLES if misread(FACE, name) in text), None)
    mended: list[tuple[str, str]] = []

    def mend(before: str, after: str) -> str:
        if after != before:
            mended.append((before, after))
        return after

    if table:
        text = _FOREIGN.sub(lambda found: mend(found[0], undone(found[0], table)), text)
    elif pieces:
        from ftfy import fix_encoding

        lines = text.split("\n")
        text = "\n".join(
            mend(line, fix_encoding(line)) if not line.isascii() and "misread" in suspicious(line) else line
            for line in lines
        )
    if not mended:
        return text, None
    before, after = _excerpt(*mended[0])
    return text, Repair(len(mended), TABLES.get(table or ""), before, after, table is not None)


def _excerpt(before: str, after: str, width: int = 40) -> tuple[str, str]:
    """The places around the first difference."""
    start = next((place for place, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    start = max(0, start - width // 4)
    return before[start : start + width], after[start : start + width]


class _Loader(yaml.SafeLoader):
    """YAML without merge keys, with which a few lines can stand for more values than memory holds."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave merge keys as they are: constructing one is then refused."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Half characters that escapes spell out are lost: no file can hold them."""
        return str(super().construct_scalar(node)).encode("utf-8", errors="replace").decode("utf-8")

    def construct_whole(self, node: yaml.ScalarNode) -> int | str:
        """A number of more digits than anything is counted with stays text: Python neither prints nor divides it."""
        return self.construct_yaml_int(node) if len(node.value) <= LONGEST_NUMBER else self.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)


def front_matter(text: str) -> tuple[dict[str, Any], str, str]:
    """(front matter, body, what is wrong with the front matter in words; empty where nothing is)."""
    lines = text.lstrip("\n").split("\n")
    if lines[0].rstrip() != "---":
        return {}, text, "there is none"
    end = next((place for place, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    front, body = "\n".join(lines[1:end]), "\n".join(lines[1:] if end is None else lines[end + 1 :])
    wrong = "it has no end" if end is None else ""
    if len(front) > MAX_FRONT:
        return {}, body, f"it has {len(front):,} characters, and at most {MAX_FRONT:,} are read"
    try:
        read = yaml.load(front, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError):
        # All but the first come from depth, and from values that only look like dates or numbers.
        return {}, body, wrong or "it is no YAML"
    if not isinstance(read, dict):
        return {}, body, wrong or "it holds no settings"
    return {key: value for key, value in read.items() if isinstance(key, str)}, body, wrong
