"""Similarities as numbered tables with a coloured cell for each pair, which can be chosen; still where no kernel is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets as t

from workbench.spaces.similarity import Similarity
from workbench.widgets.table import cut

SPANS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)


class Matrices(anywidget.AnyWidget):
    """The tables on the page.

    Attributes:
        content: what `content_of` makes.
        pair: row and column of the chosen cell, from 0; empty for none. Set by the page too.
        seen: set by the page once somebody looks at the tables.
    """

    _esm = Path(__file__).with_name("matrix.js")
    _css = Path(__file__).with_name("matrix.css")
    content = t.Dict().tag(sync=True)
    pair = t.List(t.Int()).tag(sync=True)
    seen = t.Bool(False).tag(sync=True)


def content_of(texts: Sequence[str], models: Sequence[str], records: Sequence[Similarity | None]) -> dict[str, Any]:
    """All that the page draws: plain values, ready for JSON.

    Args:
        texts: n sentences.
        models: the base model, and the tuned one where there is one.
        records: their similarities, or None for each as long as there are none: the tables are then empty.
    """
    roles = zip(("Base", "Tuned"), models, records, strict=False) if texts else ()
    tables = [_side(role, model, record) for role, model, record in roles]
    if len(tables) == 2:
        before, after = records
        tables.append(_between(None if before is None or after is None else after.matrix - before.matrix, tables))
    return {"texts": [cut(text) for text in texts], "tables": tables}


def still(content: dict[str, Any]) -> str:
    """The same as HTML without scripts; all texts are escaped."""
    texts = "".join(f"<li>{escape(text)}</li>" for text in content["texts"])
    tables = "".join(_html(table) for table in content["tables"] if table["values"] is not None)
    return f"<ol>{texts}</ol>{tables or '<p>Not compared yet.</p>'}"


def short_name(model: str) -> str:
    """A model for people: the run, the folder without the way to it, or the name without its owner."""
    path = Path(model)
    return path.parent.name if path.name == "model" and path.parent.name else path.name or model


def _side(role: str, model: str, record: Similarity | None) -> dict[str, Any]:
    name = short_name(model)
    why = {
        str(row): f"undefined: the vector of sentence {row + 1} is zero or not finite under {name}"
        for row in (record.undefined if record else ())
    }
    return {
        "name": f"{role}: {name}",
        "note": "cosine similarity; orange below 0",
        "span": 1.0,
        "signed": False,
        "values": None if record is None else _plain(record.matrix),
        "why": why,
    }


def _between(difference: np.ndarray | None, sides: list[dict[str, Any]]) -> dict[str, Any]:
    """The table of differences. Its colours keep one of a few spans, so that they stay while one number changes."""
    widest = 0.0 if difference is None else float(np.abs(np.nan_to_num(difference)).max(initial=0))
    span = next(step for step in SPANS if widest <= step or step == SPANS[-1])
    return {
        "name": "Difference: tuned − base",
        "note": f"blue closer, orange farther apart; full colour at ±{span:g}",
        "span": span,
        "signed": True,
        "values": None if difference is None else _plain(difference),
        "why": sides[0]["why"] | sides[1]["why"],
    }


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    """Numbers for JSON, which has no NaN."""
    return [[round(value, 4) if value == value else None for value in row] for row in matrix.astype(float).tolist()]


def _html(table: dict[str, Any]) -> str:
    """One table without scripts; colours as short as can be, since there may be 900 cells."""
    head = "".join(f"<th>{number}</th>" for number in range(1, len(table["values"]) + 1))
    rows = "".join(
        f"<tr><th>{number}</th>{''.join(_cell(value, table) for value in row)}</tr>"
        for number, row in enumerate(table["values"], 1)
    )
    caption = f"{escape(table['name'])} ({escape(table['note'])})"
    why = "".join(f"<p>{escape(reason)}</p>" for reason in table["why"].values() if not table["signed"])
    return (
        f"<div style='overflow:auto'><table class='wb-table'><caption style='text-align:left;white-space:nowrap'>{caption}</caption>"
        f"<tr><th></th>{head}</tr>{rows}</table>{why}</div>"
    )


def _cell(value: float | None, table: dict[str, Any]) -> str:
    if value is None:
        return "<td>–</td>"
    # half covered at most, so that the number stays readable on a light and on a dark page
    shade = f"{'#D50' if value < 0 else '#07B'}{round(min(1.0, abs(value) / table['span']) * 8):x}"
    number = round(value, 2) + 0.0  # no minus before 0.00
    return f"<td style=background:{shade}>{number:{'+.2f' if table['signed'] else '.2f'}}</td>"
