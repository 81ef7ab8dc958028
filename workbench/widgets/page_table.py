"""One page of a table of texts as escaped HTML: each text with its number of tokens and the part that the model cuts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from workbench.data.encodings import explain
from workbench.data.examples import Examples, cut_text
from workbench.data.quality import Quality, source_rows
from workbench.data.truncation import Piece

# control characters that HTML would swallow: pictures of the old ones, codes of the others
VISIBLE = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10, 13)}
VISIBLE |= {0x7F: "␡", **{code: f"⟨{code:02X}⟩" for code in range(0x80, 0xA0)}}
MIDDLE = " … "


@dataclass(frozen=True)
class Page:
    """Some rows of a table.

    Attributes:
        data: the table.
        numbers: row numbers from 0.
        values: column with a role -> its cells in these rows.
    """

    data: Examples
    numbers: tuple[int, ...] = ()
    values: Mapping[str, list[Any]] | None = None

    @property
    def texts(self) -> dict[str, list[str]]:
        """Column of texts -> texts."""
        return {name: (self.values or {}).get(name, []) for name in self.data.texts}


def read_page(data: Examples, numbers: Sequence[int]) -> Page:
    """Read these rows, and no others, from the memory-mapped table."""
    head = data.dataset.select_columns(list(data.used)).with_format("arrow")[list(numbers)]
    return Page(data, tuple(numbers), head.to_pydict())


def page_html(
    page: Page,
    pieces: Mapping[str, Sequence[Piece]],
    *,
    limit: int | None,
    pending: str,
    quality: Quality | None = None,
    room: int = 1000,
) -> str:
    """HTML of a page.

    Args:
        page: the rows.
        pieces: column -> its texts as the model cuts them; columns that are not there are not counted yet.
        limit: of the model in tokens.
        pending: what stands where a number of tokens is not known.
        quality: say of which row a text is a duplicate.
        room: longest text that is shown whole, in characters.
    """
    data = page.data
    what = "of the selection" if data.picked else "of the source, the header is not a row"
    numbered = f"counted from 1 in the order {what}"
    widths = {**_widths(page.texts), **({data.label: "7em"} if data.label else {})}
    heads = "".join(
        f"<th scope='col' style='width:{widths.get(name, 'auto')}'>{escape(cut_text(name, 60))}<br><small class='wb-soft'>{escape(role)}</small></th>"
        for name, role in data.used.items()
    )
    first = f"<th scope='col' style='width:5em' title='{escape(numbered)}'>row<br><small class='wb-soft'>from 1</small></th>"
    rows = []
    for at, number in enumerate(source_rows(data, np.array(page.numbers, np.int64)).tolist()):
        cells = [f"<th scope='row'>{number:,}</th>"]
        for name, texts in page.texts.items():
            piece = pieces[name][at] if name in pieces else None
            count = tokens_note(piece) if piece else pending
            said = [*([count] if count else []), *notes(texts[at], name, page.numbers[at], data, quality)]
            small = f"<small class='wb-soft'><bdi>{escape(_visible('; '.join(said)))}</bdi></small>"
            cells.append(f"<td>{_text(piece or Piece(0, texts[at]), limit, room)}<br>{small}</td>")
        if data.label and page.values:
            shown = _visible(target(data, page.values[data.label][at]))
            cells.append(f"<td><bdi>{escape(shown)}</bdi></td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    style = f"table-layout:fixed; min-width:{120 + 130 * len(data.texts)}px"
    return f"<table class='wb-table' style='{style}'><thead><tr>{first}{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _widths(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Widths of the columns whose texts are far shorter than those of others; coarse, so that pages are alike."""
    means = {name: max(8.0, sum(map(len, texts)) / max(1, len(texts))) for name, texts in columns.items()}
    shares = {name: 1 + min(2, int(math.log(mean / min(means.values()), 4))) for name, mean in means.items()}
    widest, total = max(shares.values(), default=0), sum(shares.values())
    return {name: f"{100 * share // total}%" for name, share in shares.items() if share < widest}


def target(data: Examples, value: Any) -> str:
    """A class with its name, or a score."""
    names = data.classes or getattr(data.dataset.features[data.label], "names", None)
    if names and isinstance(value, int) and not isinstance(value, bool):
        return cut_text(f"{value}: {names[value]}")
    return cut_text(value)


def notes(text: str, column: str, row: int, data: Examples, quality: Quality | None) -> list[str]:
    """What is odd about a text, in words."""
    said = [] if text and not text.isspace() else ["only white space" if text else "empty"]
    said += [odd] if (odd := explain(text)) else []
    if quality is not None:
        found = quality.columns[column]
        at = int(np.searchsorted(found.duplicates, row))
        if at < len(found.duplicates) and found.duplicates[at] == row:
            said.append(f"same text as row {source_rows(data, found.earlier[at : at + 1])[0]:,}")
    return said


def _text(piece: Piece, limit: int | None, room: int) -> str:
    why = f"cut: over the limit of {limit:,} tokens" if limit else "cut"
    parts = [(piece.kept, ""), (piece.lost or "", why)]
    (first, before), (second, after) = parts if piece.side == "right" else parts[::-1]
    first, second, end = excerpt(first, second, room)
    return f"<bdi>{_part(first, before)}{_part(second, after)}{escape(end)}</bdi>"


def _part(text: str, why: str) -> str:
    shown = escape(_visible(text))
    return f"<span class='wb-gone' title='{escape(why)}'>{shown}</span>" if why and shown else shown


def tokens_note(piece: Piece) -> str:
    """How many tokens, and whether some are cut."""
    count = f"{piece.tokens:,} token{'' if piece.tokens == 1 else 's'}"
    if piece.lost is None:
        return f"{count}, over the limit; where it is cut is not known: {piece.why}"
    return f"{count}, {'end' if piece.side == 'right' else 'beginning'} cut" if piece.lost else count


def excerpt(first: str, second: str, room: int) -> tuple[str, str, str]:
    """Both parts of a text with what stands on either side of where they meet, and what to write after them."""
    length = len(first) + len(second)
    if length <= room:
        return first, second, ""
    if not second:
        return first[:room], "", f"{MIDDLE}({length:,} characters)"
    ahead, tail = room * 7 // 10, room // 5
    if len(first) > ahead:
        first = first[: ahead - tail] + MIDDLE + first[-tail:]
    shown = second[: room - len(first)]
    return first, shown, f"{' ' if shown == second else MIDDLE}({length:,} characters)"


def _visible(text: str) -> str:
    return text.translate(VISIBLE)
