"""A table as escaped HTML in the style of the panels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# a column of short words is not squeezed to single letters
WHOLE = "overflow-wrap: break-word"
SHORT = 30
NUMBER = " class='wb-number'"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """HTML of a table; every cell is escaped, numbers stand on the right.

    Args:
        head: names of the columns.
        rows: cells; an int is shown with thousands separators, a float with 3 decimals, a list as one line an item.
        caption: a sentence above the table.
    """
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    rows = [*rows]
    numbers = {at for row in rows[:1] for at, cell in enumerate(row) if _is_number(cell)}
    names = "".join(
        f"<th scope='col'{NUMBER if at in numbers else ''} style='{WHOLE}'>{escape(name)}</th>"
        for at, name in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<table class='wb-table'>{top}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def cut(text: str, length: int = 300) -> str:
    """A text for a cell, not longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cell(cell: object) -> str:
    if _is_number(cell):
        return f"<td{NUMBER}>{f'{cell:,}' if isinstance(cell, int) else f'{cell:.3f}'}</td>"
    lines = cell if isinstance(cell, list | tuple) else [cell]
    style = f" style='{WHOLE}'" if all(len(str(line)) <= SHORT for line in lines) else ""
    return f"<td{style}>{'<br>'.join(escape(str(line)) for line in lines)}</td>"
