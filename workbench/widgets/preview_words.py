"""What a preview says of a table: its title, its filters, the rows on a page."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.data.examples import Examples, cut_text
from workbench.widgets.counting import Counting

MEANT = {
    "duplicates": "with a text that an earlier row has in the same column",
    "empty": "with an empty text",
    "encoding": "with a text whose encoding is suspicious",
    "too long": "with a text that is cut",
}


def headline(data: Examples) -> str:
    """Name, part, number of rows, and what was left out."""
    part = f", part {data.split}" if data.split else ""
    left_out = f" ({data.left_out} left out)" if str(data.left_out) else ""
    return f"{data.name}{part}: {len(data):,} rows{left_out}" + (f"; {data.note}" if data.note else "")


def filter_words(kind: str, counts: Counting, rows: int) -> tuple[str, str]:
    """What is written on a filter, and its tooltip."""
    if kind == "all":
        return f"all: {rows:,}", "Show all rows"
    limit = f"over {counts.limit:,} tokens" if counts.limit else "over the limit"
    words = {"encoding": "suspicious encoding", "too long": limit}.get(kind, kind)
    if kind == "too long" and counts.failure:
        return f"{words}: not counted", counts.failure
    if kind == "too long" and counts.cut and not counts.limit:
        return f"{words}: none", "The model has no limit"
    count = None if counts.quality is None else counts.quality.counts[kind]
    return f"{words}: {'…' if count is None else f'{count:,}'}", f"Show rows {MEANT[kind]}"


def caption(kind: str, counts: Counting, shown: Sequence[int] | None, first: int, here: int) -> str:
    """Which rows stand on a page, and how the columns share in them.

    Args:
        kind: which rows are shown.
        counts: what is known of the table.
        shown: row numbers of all pages; None while they are not known.
        first: place of the first row of the page in `shown`, from 0.
        here: number of rows on the page.
    """
    meant = MEANT.get(kind, "")
    if shown is None:
        return "No tokens were counted" if counts.failure else "These rows are not known yet"
    if not here:
        return f"There are no rows {meant}".strip()
    said = f"Rows {first + 1:,} to {first + here:,} of {len(shown):,} {meant}".strip()
    if counts.quality is None or kind == "all":
        return said
    columns = counts.quality.columns.items()
    shares = [f"{cut_text(name, 40)} {len(getattr(odd, kind.replace(' ', '_'))):,}" for name, odd in columns]
    if kind == "duplicates":
        shares.append(f"whole rows {len(counts.quality.repeated):,}")
    return f"{said} ({', '.join(shares)})"
