"""A table of texts with roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.data import arrow, roles
from workbench.data.flaws import LeftOut, Part, cut, usable
from workbench.recipe import DataSpec

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """A table of texts with roles, as `load` gives it.

    Attributes:
        dataset: all columns, also those that are ignored; memory-mapped where the source is a file.
        roles: column -> anchor, positive, negative, label, score or ignore; several columns may be negative, in order.
        name: short name for people.
        split: the part of the source that this is, None where it has no parts.
        splits: all parts that the source has.
        left_out: rows of the source that are not in `dataset`.
        why: column -> why it got its role.
        source: what `load` was given, a path as an absolute one.
        settings: the other settings of `load`: config, rows, delimiter, encoding, bad_rows.
        note: what else a reader should know of how the source was read.
        picked: `select` was used.
        classes: names of the classes where they come from another table than this.
        load: the function that made it, which also gives its other parts and roles.
    """

    dataset: datasets.Dataset
    roles: Mapping[str, str]
    name: str
    split: str | None = None
    splits: tuple[str, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    why: Mapping[str, str] = field(default_factory=dict)
    source: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    picked: bool = False
    classes: tuple[str, ...] | None = None
    load: Callable[..., Examples] = field(kw_only=True)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns of texts in the order that a loss sees them: anchor, positive, negatives."""
        return tuple(name for role in roles.TEXT_ROLES for name, its in self.roles.items() if its == role)

    @property
    def label(self) -> str | None:
        """The column with the role label or score, None if there is none."""
        return next((name for name, role in self.roles.items() if role in ("label", "score")), None)

    @property
    def used(self) -> dict[str, str]:
        """Columns with a role other than ignore: texts in order, then the label or score."""
        return {name: self.roles[name] for name in (*self.texts, *([self.label] if self.label else []))}

    @cached_property
    def label_names(self) -> tuple[str, ...] | None:
        """Names of the classes, number 0 first; None where classes are numbers without names."""
        if self.classes is not None or self.label is None or self.roles[self.label] != "label":
            return self.classes
        feature = self.dataset.features[self.label]
        if names := getattr(feature, "names", None):
            return tuple(names)
        if roles.kind_of(self.dataset.features.arrow_schema.field(self.label).type) != "text":
            return None
        return tuple(sorted(set().union(*(set(batch[self.label]) for batch in self.batches([self.label])))))

    def part(self, split: str) -> Examples:
        """Another part of the same source with the same roles; a limit on rows does not apply to it.

        Raises:
            DataError: the source has no such part, or its rows cannot be used.
        """
        other = self.load(self.source, split=split, columns=self.used, **{**self.settings, "rows": None})
        if self.label_names is None or other.label_names is None:
            return other
        # a class has the same number in every part; classes that only the other part has come last
        return replace(other, classes=tuple(dict.fromkeys([*self.label_names, *other.label_names])))

    def with_roles(self, given: Mapping[str, str] | None = None, /, **named: str) -> Examples:
        """The same table with other roles; columns that are not named keep theirs.

        Raises:
            DataError: roles that the columns cannot have, or rows that cannot be used in their new role.
        """
        wanted = {**self.used, **(given or {}), **named}
        if not self.picked:
            return self.load(self.source, split=self.split, columns=wanted, **self.settings)
        kinds = {item.name: roles.kind_of(item.type) for item in self.dataset.features.arrow_schema}
        meant = roles.checked(wanted, kinds, self.name)
        bad_rows = self.settings.get("bad_rows", "raise")
        dataset, new = usable(Part(Path(self.name)), self.dataset, meant, self.name, bad_rows=bad_rows)
        why = dict.fromkeys(wanted, "given")
        left_out = replace(self.left_out, rows=(*self.left_out.rows, *new.rows))
        return replace(self, dataset=dataset, roles=meant, why=why, left_out=left_out, classes=None)

    def select(self, indices: Iterable[int]) -> Examples:
        """The rows at these positions, counted from 0, in this order. Numbers of classes stay what they are."""
        return replace(self, dataset=self.dataset.select(indices), picked=True, classes=self.label_names)

    def column(self, name: str) -> list[Any]:
        """All values of a column."""
        return [value for batch in self.batches([name]) for value in batch[name]]

    def batches(self, columns: Iterable[str] | None = None, size: int = arrow.BATCH) -> Iterator[dict[str, list[Any]]]:
        """Consecutive rows as column -> values, `size` rows at a time."""
        for batch in self.arrow(columns, size):
            yield batch.to_pydict()

    def arrow(self, columns: Iterable[str] | None = None, size: int = arrow.BATCH) -> Iterator[pa.Table]:
        """As `batches`, as Arrow tables."""
        return _arrow(self.dataset, self.used if columns is None else columns, size)

    @property
    def training_names(self) -> dict[str, str]:
        """Column -> its name in training, of the columns that a loss sees, in its order."""
        negatives = [name for name, role in self.used.items() if role == "negative"]
        return {
            name: role if role != "negative" or len(negatives) == 1 else f"negative_{negatives.index(name) + 1}"
            for name, role in self.used.items()
        }

    def to_training(self) -> datasets.Dataset:
        """The columns that a loss sees, in its order, named anchor, positive, negative (or negative_1, …), label or score.

        Named classes become whole numbers from 0 in the order of `label_names`; scores become floats.
        """
        names, dataset = self.training_names, self._with_numbers()
        dataset = dataset.select_columns(list(names))
        aside = {
            name: f"{place} {new}" for place, (name, new) in enumerate(names.items())
        }  # roles may be names of columns
        return dataset.rename_columns(aside).rename_columns({aside[name]: new for name, new in names.items()})

    def _with_numbers(self) -> datasets.Dataset:
        """The table with classes as whole numbers and scores as floats."""
        import datasets
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.label is None:
            return self.dataset
        role, table = self.roles[self.label], self.dataset.data
        kind = roles.kind_of(table.schema.field(self.label).type)
        if (role, kind) in (("label", "int"), ("score", "float"), ("score", "numbers")):
            return self.dataset
        cells = table.column(self.label)
        if kind == "text":
            numbers = pc.index_in(cells, value_set=pa.array(self.label_names, cells.type)).cast(pa.int64())
        else:
            # a whole number beyond 2**53 becomes the nearest float
            numbers = cells.cast(pa.float64() if role == "score" else pa.int64(), safe=role != "score")
        at = table.schema.get_field_index(self.label)
        changed = table.set_column(at, self.label, numbers).replace_schema_metadata(None)
        features = self.dataset.features.copy()
        features[self.label] = datasets.Value("float64" if role == "score" else "int64")
        # picked rows keep pointing into the table, so that texts are neither copied nor held in memory
        return datasets.Dataset(
            changed, info=datasets.DatasetInfo(features=features), indices_table=self.dataset._indices
        )

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits of the roles and the values in their columns, whatever the file's format or columns' names."""
        return digest(self.arrow(), self.used)

    @cached_property
    def spec(self) -> DataSpec:
        """What a recipe needs to load the same rows again; tables that are only in memory are written to the cache once.

        Raises:
            DataError: there is no room to write the table.
        """
        settings: dict[str, Any] = {"columns": self.used}
        if isinstance(self.source, str) and not self.picked:
            return DataSpec(source=self.source, split=self.split, **settings, **self.settings)
        if isinstance(self.source, Mapping) and not self.picked:
            parts = {f"{name}.parquet": table for name, table in self.source.items()}
            return DataSpec(source=str(_saved(parts)), split=self.split, **settings, **self.settings)
        return DataSpec(source=str(_saved({"": self.dataset})), **settings)

    def to_frame(self, rows: int | None = 20) -> pd.DataFrame:
        """The first rows, all columns; None for every row."""
        head = self.dataset if rows is None else self.dataset.select(range(min(rows, len(self))))
        return head.with_format("arrow")[:].to_pandas()

    def _title(self) -> str:
        part = f", part {self.split} of {', '.join(self.splits)}" if self.splits else ""
        left_out = f" ({self.left_out} left out)" if str(self.left_out) else ""
        return f"{self.name}{part}: {len(self):,} rows{left_out}" + (f"; {self.note}" if self.note else "")

    def __repr__(self) -> str:
        width = max([len(name) for name in self.roles] or [0])
        lines = [f"  {name:<{width}}  {role:<8}  {self.why.get(name, '')}" for name, role in self.roles.items()]
        return "\n".join([f"Examples {self._title()}", *lines])

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th>{escape(cut_text(name, 40))}<br><small>{escape(role)}: {escape(self.why.get(name, ''))}</small></th>"
            for name, role in self.roles.items()
        )
        shown = self.dataset.select(range(min(5, len(self)))).with_format("arrow")[:].to_pylist() if len(self) else []
        cells = ("".join(f"<td>{escape(cut_text(row[name]))}</td>" for name in self.roles) for row in shown)
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><caption>{escape(self._title())}</caption><tr>{head}</tr>{rows}</table>"


def cut_text(value: object, length: int = 160) -> str:
    """A cell for showing."""
    text = value if isinstance(value, str) else cut(value, length)
    return text if len(text) <= length else text[: length - 1] + "…"


def digest(batches: Iterable[pa.Table], columns: Mapping[str, str]) -> str:
    """32 hex digits of the values of columns and what the columns are called, whatever the batches.

    Lengths and bytes of the texts go into two running digests, so that neither batches nor offsets leave a trace.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from xxhash import xxh3_128

    running = {name: (xxh3_128(), xxh3_128()) for name in columns}
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for name, (lengths, content) in running.items():
            values = batch.column(name).combine_chunks()
            kind = roles.kind_of(values.type)
            lengths.update(pc.is_null(values).cast(pa.uint8()).to_numpy().tobytes())
            if kind == "numbers":
                lengths.update(pc.fill_null(pc.list_value_length(values), 0).cast(pa.int64()).to_numpy().tobytes())
                values = pc.list_flatten(values)
            if kind in ("int", "float", "decimal", "bool", "numbers"):
                content.update(pc.fill_null(values.cast(pa.float64(), safe=False), 0).to_numpy().tobytes())
                continue
            texts = values if kind == "text" else pa.array([cut(value, 10**9) for value in values.to_pylist()])
            raw = pc.fill_null(texts, "").cast(pa.large_binary())
            lengths.update(pc.binary_length(raw).to_numpy().tobytes())
            _, offsets, data = raw.buffers()
            ends = np.frombuffer(offsets, np.int64)[raw.offset :][[0, len(raw)]] if len(raw) else (0, 0)
            content.update(memoryview(data)[ends[0] : ends[1]] if data is not None else b"")
    whole = xxh3_128(repr(rows).encode())
    for name, parts in running.items():
        whole.update(repr((columns[name], *(part.hexdigest() for part in parts))).encode())
    return str(whole.hexdigest())


def _saved(parts: Mapping[str, datasets.Dataset]) -> Path:
    """Parquet of tables that are only in memory, under a name that follows from all their columns.

    A file for one table without a name, a folder for a mapping of file names to tables.
    """
    import pyarrow.parquet as pq

    prints = []
    for name, table in parts.items():
        columns = {item.name: str(item.type) for item in table.features.arrow_schema}
        prints.append(f"{name} {columns} {digest(_arrow(table, columns), columns)}")
    folder = files.home() / "tables"
    single = list(parts) == [""]
    target = folder / (sha256("\n".join(prints).encode()).hexdigest()[:32] + (".parquet" if single else ""))
    if target.exists():
        return target
    with arrow.writing(folder) as beside:
        inside = beside / "0"
        if not single:
            inside.mkdir()
        for name, table in parts.items():
            schema = table.features.arrow_schema
            with pq.ParquetWriter(inside / name if name else inside, schema) as out:
                for batch in _arrow(table, schema.names):
                    out.write_table(batch.cast(schema))
        try:
            inside.replace(target)
        except OSError:
            if not target.exists():  # else another process was quicker
                raise
    return target


def _arrow(table: datasets.Dataset, columns: Iterable[str], size: int = arrow.BATCH) -> Iterator[pa.Table]:
    yield from table.select_columns(list(columns)).with_format("arrow").iter(size) if len(table) else ()
