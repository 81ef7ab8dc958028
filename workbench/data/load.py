"""One way into the workbench for every table: a file, a folder, a frame, a data set, a shipped name or a Hub id."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data import flaws, roles
from workbench.data.examples import Examples
from workbench.data.sources import Opened, choose, open_source
from workbench.errors import DataError
from workbench.recipe import DataSpec

if TYPE_CHECKING:
    import datasets
    import pandas as pd


def load(
    source: str | os.PathLike[str] | DataSpec | pd.DataFrame | datasets.Dataset | datasets.DatasetDict,
    *,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    rows: int | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    bad_rows: str = "raise",
) -> Examples:
    """Load a table of texts and find out what its columns mean.

    Files are copied once, in pieces, into a cached Arrow file that is memory-mapped, so that tables larger than the
    memory can be used; a second load of an unchanged file takes the copy.

    Args:
        source: a file (.csv .tsv .jsonl .json .parquet .arrow, text also .gz), a folder with train.* and test.*, a
            folder of save_to_disk, a DataFrame, a Dataset or DatasetDict, glossary/…, a Hub id, or a DataSpec.
        config: configuration of a Hub data set.
        split: part of the source; None takes train, or the only one.
        columns: column -> anchor, positive, negative, label, score or ignore; columns that are not named are ignored.
            None or nothing guesses from names and order; the result says why.
        rows: use the first so many rows.
        delimiter: what separates the cells of CSV and TSV; None finds out.
        encoding: of a text file.
        bad_rows: "raise" or "leave out" rows that cannot be used, such as rows that miss a text. What is left out is
            counted and listed in `.left_out`.

    Raises:
        DataError: the source cannot be used; the sentence names file, row and column and says what to do.
    """
    if isinstance(source, DataSpec):
        asked = {"config": config, "split": split, "columns": columns, "rows": rows, "delimiter": delimiter}
        asked |= {
            "encoding": None if encoding == "utf-8" else encoding,
            "bad_rows": None if bad_rows == "raise" else bad_rows,
        }
        fields = {**source.model_dump(), **{name: value for name, value in asked.items() if value is not None}}
        return load(fields.pop("source"), **fields)
    settings = {"config": config, "rows": rows, "delimiter": delimiter, "encoding": encoding, "bad_rows": bad_rows}
    _check(settings, columns)
    opened = open_source(source, config, delimiter, encoding)
    chosen = choose(opened, split)
    dataset, part = opened.read(chosen)
    where = f"{opened.name} ({chosen})" if chosen else opened.name
    kinds = {item.name: roles.kind_of(item.type) for item in dataset.features.arrow_schema}
    meant, why = _roles(columns, opened, kinds, where)
    _score_is_a_number(part, dataset, meant, kinds, where)
    kept, left_out = flaws.usable(part, dataset, meant, where, rows=rows, bad_rows=bad_rows)
    return Examples(
        kept, meant, opened.name, chosen, opened.parts, left_out, why, opened.source, settings, part.note, load=load
    )


def _check(settings: Mapping[str, Any], columns: object) -> None:
    if settings["bad_rows"] not in ("raise", "leave out"):
        raise DataError(f"expected bad_rows='raise' or bad_rows='leave out', got {settings['bad_rows']!r}")
    if columns is not None and not isinstance(columns, Mapping):
        raise DataError(f"expected columns={{'name': 'anchor', …}}, got {columns!r}; write the role of each column")
    rows, delimiter = settings["rows"], settings["delimiter"]
    if rows is not None and (not isinstance(rows, int) or rows < 1):
        raise DataError(f"expected a number of rows from 1, got rows={rows!r}; leave rows out to use all")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"'):
        raise DataError(f"expected one character as delimiter, got {delimiter!r}; for a tab write delimiter='\\t'")


def _roles(
    columns: Mapping[str, str] | None, opened: Opened, kinds: dict[str, str], where: str
) -> tuple[dict[str, str], dict[str, str]]:
    if "text" not in kinds.values():
        there = ", ".join(f"{name!r} with {roles.KINDS[kind]}" for name, kind in kinds.items()) or "no columns"
        raise DataError(f"expected at least one column of texts in {where}, got {there}; add the texts as a column")
    if columns:
        return roles.checked(columns, kinds, where), dict.fromkeys(kinds, "not named") | dict.fromkeys(columns, "given")
    if opened.roles is not None:
        return dict(opened.roles), dict.fromkeys(opened.roles, "shipped so")
    meant, why = roles.guess(kinds)
    if "anchor" not in meant.values():
        raise DataError(
            f"expected a column of texts in {where}, but none of {', '.join(kinds)} is named like one; say which with columns={{'name': 'anchor'}}"
        )
    return meant, why


def _score_is_a_number(
    part: flaws.Part, dataset: datasets.Dataset, meant: Mapping[str, str], kinds: Mapping[str, str], where: str
) -> None:
    column = next((name for name, role in meant.items() if role == "score" and kinds[name] == "text"), None)
    if column is None:
        return
    for at, value in enumerate(dataset[column]):
        try:
            float(value)
        except (TypeError, ValueError):
            row = int(flaws.row_numbers(np.array([at]), sorted(flaw.row for flaw in part.flaws if flaw.skipped))[0])
            comma = "; write decimals with a point" if "," in str(value) else ""
            raise DataError(
                f"{where}, row {row}, column {column!r}: expected a number, got {flaws.cut(value)}{comma}; mend it, or give the "
                "column another role with columns=…"
            ) from None
    raise DataError(f"expected numbers in column {column!r} of {where}, got texts; store them as numbers")
