"""One way into the workbench for every table: a file, a folder, a frame, a data set, a shipped name or a Hub id."""

from __future__ import annotations

import difflib
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.catalog import models
from workbench.data import flaws, records, roles, tables
from workbench.data.examples import Examples
from workbench.data.flaws import Flaw, LeftOut
from workbench.errors import DataError, did_you_mean
from workbench.recipe import DataSpec

if TYPE_CHECKING:
    import datasets
    import pandas as pd

PARTS = ("train", "training", "validation", "valid", "val", "dev", "eval", "test", "testing")
SHIPPED = "glossary/"
SHAPES = "a path, a pandas DataFrame, a datasets.Dataset or DatasetDict, a name such as glossary/triplets, or a Hub id"


@dataclass(frozen=True)
class _Opened:
    """A source whose parts are known; `read` gives the table of one part with what is known of its rows."""

    source: Any
    name: str
    parts: tuple[str, ...]
    read: Callable[[str | None], tuple[datasets.Dataset, tables.Part]]
    roles: Mapping[str, str] | None = None


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
        fields = {**source.model_dump(), **{name: value for name, value in asked.items() if value is not None}}
        return load(fields.pop("source"), **fields)
    settings = {"config": config, "rows": rows, "delimiter": delimiter, "encoding": encoding, "bad_rows": bad_rows}
    _check(settings, columns)
    opened = _open(source, config, delimiter, encoding)
    chosen = _choose(opened, split)
    dataset, part = opened.read(chosen)
    where = f"{opened.name} ({chosen})" if chosen else opened.name
    kinds = {item.name: roles.kind_of(item.type) for item in dataset.features.arrow_schema}
    meant, why = _roles(columns, opened, kinds, where)
    _score_is_a_number(dataset, meant, kinds, where)
    kept, left_out = usable(part, dataset, meant, where, rows=rows, bad_rows=bad_rows)
    return Examples(kept, meant, opened.name, chosen, opened.parts, left_out, why, opened.source, settings)


def usable(
    part: tables.Part,
    dataset: datasets.Dataset,
    meant: Mapping[str, str],
    where: str,
    *,
    rows: int | None = None,
    bad_rows: str = "raise",
) -> tuple[datasets.Dataset, LeftOut]:
    """The first `rows` rows without those that their roles cannot use, and what was left out.

    Raises:
        DataError: there are such rows and `bad_rows` is "raise", or no row is left.
    """
    import numpy as np

    found = [flaw for flaw in part.flaws if rows is None or flaw.row <= rows]
    skipped = sorted(flaw.row for flaw in found if flaw.skipped)
    if rows is not None:
        dataset = dataset.select(range(min(len(dataset), rows - bisect_right(skipped, rows))))
    used = {name: role for name, role in meant.items() if role != "ignore"}
    bad = {flaw.row: flaw for flaw in reversed(found) if flaw.skipped or flaw.column in used}
    # position in the table -> row of the file: rows that could not be read are not in the table
    gaps = np.array(skipped, dtype=np.int64) - np.arange(1, len(skipped) + 1)
    keep = np.ones(len(dataset), dtype=bool)
    names = next(
        (getattr(dataset.features[name], "names", None) for name, role in used.items() if role == "label"), None
    )
    batches = dataset.select_columns(list(used)).with_format("arrow").iter(tables.BATCH) if len(dataset) else iter(())
    for at, column, reason, detail in flaws.find(batches, used, names):
        row = at + 1 + int(np.searchsorted(gaps, at, side="right"))
        line = None if part.first_line is None else part.first_line + row - 1
        bad.setdefault(row, Flaw(row, line, column, reason, detail))
        keep[at] = False
    total = len(dataset) + len(skipped)
    if bad and bad_rows == "raise":
        more = f"{len(bad):,} of {total:,} rows cannot be used" if len(bad) > 1 else "mend it"
        advice = f"{more}; mend them" if len(bad) > 1 else more
        raise DataError(f"{where}, {bad[min(bad)]}; {advice}, or load the rest with bad_rows='leave out'")
    if not keep.any():
        first = f"; the first: {bad[min(bad)]}" if bad else ""
        raise DataError(f"expected rows that can be used in {where}, but all {total:,} were left out{first}")
    left_out = LeftOut(tuple(bad[row] for row in sorted(bad)), part.blank_lines)
    return (dataset if keep.all() else dataset.select(np.flatnonzero(keep))), left_out


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


def _choose(opened: _Opened, split: str | None) -> str | None:
    parts = opened.parts
    if split is None and parts:
        if "train" not in parts and len(parts) > 1:
            raise DataError(
                f"expected the name of a part of {opened.name}, got none; choose with split= one of {', '.join(parts)}"
            )
        return "train" if "train" in parts else parts[0]
    if split is not None and split not in parts:
        there = (
            f"its parts are {', '.join(parts)}{did_you_mean(split, parts)}"
            if parts
            else "it is one table without parts; leave split out"
        )
        raise DataError(f"expected a part of {opened.name}, got split={split!r}; {there}")
    return split


def _roles(
    columns: Mapping[str, str] | None, opened: _Opened, kinds: dict[str, str], where: str
) -> tuple[dict[str, str], dict[str, str]]:
    if "text" not in kinds.values():
        there = ", ".join(f"{name!r} with {roles.KINDS[kind]}" for name, kind in kinds.items()) or "no columns"
        raise DataError(f"expected at least one column of texts in {where}, got {there}; add the texts as a column")
    if columns:
        return roles.checked(columns, kinds, where), dict.fromkeys(columns, "given")
    if opened.roles is not None:
        return dict(opened.roles), dict.fromkeys(opened.roles, "shipped so")
    meant, why = roles.guess(kinds)
    if "anchor" not in meant.values():
        raise DataError(
            f"expected a column of texts in {where}, but none of {', '.join(kinds)} is named like one; say which with columns={{'name': 'anchor'}}"
        )
    return meant, why


def _score_is_a_number(
    dataset: datasets.Dataset, meant: Mapping[str, str], kinds: Mapping[str, str], where: str
) -> None:
    column = next((name for name, role in meant.items() if role == "score" and kinds[name] == "text"), None)
    if column is None:
        return
    for row, value in enumerate(dataset[column], 1):
        try:
            float(value)
        except (TypeError, ValueError):
            comma = "; write decimals with a point" if "," in str(value) else ""
            raise DataError(
                f"{where}, row {row}, column {column!r}: expected a number, got {flaws.cut(value)}{comma}; mend it, or give the "
                "column another role with columns=…"
            ) from None
    raise DataError(f"expected numbers in column {column!r} of {where}, got texts; store them as numbers")


# sources


def _open(source: Any, config: str | None, delimiter: str | None, encoding: str) -> _Opened:
    import datasets

    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        path = Path(os.path.abspath(Path(name).expanduser()))
        if path.is_dir():
            return _folder(path, delimiter, encoding)
        if path.exists():
            return _file(path, delimiter, encoding)
        if name.startswith(SHIPPED):
            return _shipped(name)
        hub = (
            name.count("/") == 1
            and name[0] not in "./~"
            and not path.parent.is_dir()
            and tables.suffix_of(path) not in tables.FORMATS
        )
        return _hub(name, config) if hub else _not_there(path, name)
    if isinstance(source, datasets.DatasetDict):
        return _in_memory(source, dict(source), "DatasetDict")
    if isinstance(source, datasets.Dataset):
        return _in_memory(source, {"": source}, "Dataset")
    if type(source).__module__.startswith("pandas.") and hasattr(source, "columns"):
        return _Opened(source, "DataFrame", (), lambda _: _frame(source))
    raise DataError(
        f"expected {SHAPES}, got {type(source).__name__}; for plain lists: pandas.DataFrame({{'text': [...]}})"
    )


def _not_there(path: Path, name: str) -> _Opened:
    folder = next(parent for parent in path.parents if parent.is_dir())
    close = difflib.get_close_matches(path.name, os.listdir(folder), n=3, cutoff=0.5) if folder == path.parent else []
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else f"; expected is {SHAPES}"
    there = (
        f"there is no such file in {folder}" if folder == path.parent else f"the folder {path.parent} does not exist"
    )
    raise DataError(f"expected a table at {name!r}, but {there}{hint}")


def _file(path: Path, delimiter: str | None, encoding: str) -> _Opened:
    found = tables.tables(path, delimiter=delimiter, encoding=encoding)

    def read(split: str | None) -> tuple[datasets.Dataset, tables.Part]:
        return found[split or ""].open(), found[split or ""]

    return _Opened(str(path), path.name, tuple(name for name in found if name), read)


def _folder(path: Path, delimiter: str | None, encoding: str) -> _Opened:
    import datasets

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        try:
            saved = datasets.load_from_disk(str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"expected a folder of save_to_disk in {path}, but it is damaged ({error.__class__.__name__}); save it again"
            ) from None
        return _in_memory(str(path), dict(saved) if isinstance(saved, datasets.DatasetDict) else {"": saved}, path.name)
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        stem = file.name.split(".")[0].lower()
        if tables.suffix_of(file) in tables.FORMATS and stem in PARTS:
            if stem in found:
                raise DataError(
                    f"expected one file a part in {path}, got {found[stem].name} and {file.name}; move one away"
                )
            found[stem] = file
    if not found:
        there = ", ".join(sorted(file.name for file in path.iterdir())[:5]) or "nothing"
        raise DataError(
            f"expected files named train, validation or test ({', '.join(tables.FORMATS)}) in {path}, got {there}; give the path of one file"
        )

    def read(split: str | None) -> tuple[datasets.Dataset, tables.Part]:
        inner = _file(found[split or ""], delimiter, encoding)
        return inner.read(_choose(inner, None))

    return _Opened(str(path), path.name, tuple(name for name in PARTS if name in found), read)


def _in_memory(source: Any, parts: Mapping[str, datasets.Dataset], name: str) -> _Opened:
    if not parts:
        raise DataError(f"expected at least one part in {name}, got none; put a table into it")
    for part in parts.values():
        tables.names(part.column_names, name)
        if len(part) == 0:
            raise DataError(f"expected rows in {name}, got none; put rows into every part of it")

    def read(split: str | None) -> tuple[datasets.Dataset, tables.Part]:
        return parts[split or ""].with_format(None), tables.Part(Path(name))

    return _Opened(source, name, tuple(part for part in parts if part), read)


def _frame(frame: pd.DataFrame) -> tuple[datasets.Dataset, tables.Part]:
    import datasets

    if len(frame) == 0:
        raise DataError("expected rows in the DataFrame, got none; put rows into it")
    table, found = records.frame_to_arrow(frame)
    return datasets.Dataset(table), tables.Part(Path("DataFrame"), found)


def _shipped(name: str) -> _Opened:
    import datasets

    from workbench.data.glossary import views

    view = name.removeprefix(SHIPPED)
    if view not in views.VIEWS:
        known = [SHIPPED + known for known in views.VIEWS]
        raise DataError(f"expected one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")

    def read(split: str | None) -> tuple[datasets.Dataset, tables.Part]:
        return datasets.Dataset.from_dict(views.rows(view, split or "train")[0]), tables.Part(Path(name))

    return _Opened(name, name, ("train", "test"), read, views.rows(view, "train")[1])


def _hub(name: str, config: str | None) -> _Opened:
    import datasets
    from datasets.naming import camelcase_to_snakecase
    from huggingface_hub import constants

    owner, _, own = name.partition("/")
    cached = (Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(own)}").is_dir()
    away = constants.HF_HUB_OFFLINE or not models._reachable(constants.ENDPOINT)
    if away and not cached:
        raise DataError(
            f"expected a file or a data set of the Hub, got {name!r}: there is no such path, it is not in the local cache, and the "
            "Hub cannot be reached; check the spelling, give the path of a file, or load it once with a network"
        )
    try:
        with _offline(away):
            loaded = datasets.load_dataset(name, config)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        why = flaws.cut(" ".join(str(error).split()), 200)
        raise DataError(
            f"expected the data set {name!r} from the Hub, got {error.__class__.__name__}: {why}; check name and config"
        ) from error
    return _in_memory(name, dict(loaded), name)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep `datasets` to its cache: without a network it would knock at the Hub again and again first."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if wanted:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
