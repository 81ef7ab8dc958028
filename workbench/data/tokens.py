"""Token statistics over all rows of a table, before truncation, counted as Sentence Transformers counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data import ids
from workbench.data.examples import Examples, cut_text
from workbench.data.load import load
from workbench.data.tokenizer import counter, place
from workbench.recipe import DEFAULT_MODEL

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 2000
CHUNK_CHARACTERS = 1_000_000
FIRST_CHUNK_ROWS = 128
PROGRESS_S = 0.25
MOST_SHARES = 50
REST = "(all others)"
BINS = 40


@dataclass(frozen=True)
class Histogram:
    """Bins of token counts: bin i holds `counts[i]` texts with at least `edges[i]` and fewer than `edges[i + 1]` tokens."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ColumnStats:
    """One column. Numbers that are undefined are None, and `why` says why.

    Attributes:
        type: text, label or score.
        rows: number of rows.
        min, mean, median, p95, max: tokens of a text, special tokens included; for scores the scores themselves. The
            95th percentile is interpolated as numpy does it.
        truncated_share: share of texts that are longer than the model's limit, 0 to 1.
        empty: texts that are empty or only white space.
        duplicates: rows whose exact text was in an earlier row of the column.
        shares: class -> share of rows, the most frequent first; beyond 50 classes the rest is one entry.
        histogram: of token counts, None for labels and scores.
        why: name of a number that is None -> the reason.
    """

    type: str
    rows: int
    min: float | None = None
    mean: float | None = None
    median: float | None = None
    p95: float | None = None
    max: float | None = None
    truncated_share: float | None = None
    empty: int | None = None
    duplicates: int | None = None
    shares: Mapping[str, float] | None = None
    histogram: Histogram | None = None
    why: Mapping[str, str] = field(default_factory=dict)


NUMBERS = ("type", "min", "mean", "median", "p95", "max", "truncated_share", "empty", "duplicates")


@dataclass(frozen=True)
class TokenStats:
    """Statistics of every column with a role, under the names of the table.

    Attributes:
        rows: number of rows.
        max_seq_length: limit of the model in tokens, special tokens included; None where it has none.
        model: name of the model whose tokenizer counted.
        seconds: time that counting took.
        columns: column -> statistics, texts first.
    """

    rows: int
    max_seq_length: int | None
    model: str
    seconds: float
    columns: Mapping[str, ColumnStats]

    def to_json(self) -> dict[str, Any]:
        """Plain values: rows, max_seq_length, seconds, columns."""
        columns = {
            name: {"type": column.type, "shares": dict(column.shares)} if column.shares is not None
            else {key: getattr(column, key) for key in NUMBERS}
            for name, column in self.columns.items()
        }  # fmt: skip
        return {"rows": self.rows, "max_seq_length": self.max_seq_length, "seconds": self.seconds, "columns": columns}

    def to_frame(self) -> pd.DataFrame:
        """One line a column; an undefined number is None."""
        import pandas as pd

        keys = (*NUMBERS, "shares", "why")
        cells = {
            key: pd.Series([getattr(column, key) for column in self.columns.values()], dtype=object) for key in keys
        }
        return pd.DataFrame(cells).set_axis(list(self.columns), axis=0)

    def __repr__(self) -> str:
        return f"{self._title()}\n{self.to_frame()[list(NUMBERS)].to_string(na_rep='-')}"

    def _title(self) -> str:
        limit = f"limit {self.max_seq_length}" if self.max_seq_length else "no limit"
        return f"Tokens of {self.rows:,} rows under {self.model} ({limit}), before truncation, {self.seconds:.1f} s"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(key)}</th>" for key in ("column", *NUMBERS))
        rows = "".join(
            f"<tr><td>{escape(cut_text(name, 40))}</td>{_cells(column)}</tr>" for name, column in self.columns.items()
        )
        return f"<table><caption>{escape(self._title())}</caption><tr>{head}</tr>{rows}</table>"


def _cells(column: ColumnStats) -> str:
    if column.shares is not None:
        top = ", ".join(f"{cut_text(name, 40)} {share:.1%}" for name, share in list(column.shares.items())[:5])
        return f'<td>{column.type}</td><td colspan="{len(NUMBERS) - 1}">{escape(top)}{" …" if len(column.shares) > 5 else ""}</td>'
    shown = []
    for key in NUMBERS:
        value = getattr(column, key)
        what = (
            f"undefined: {column.why.get(key, 'does not apply')}"
            if value is None
            else f"{value:.2%}"
            if key.endswith("share")
            else f"{value:,.6g}"
            if isinstance(value, float)
            else str(value)
        )
        shown.append(f"<td>{escape(what)}</td>")
    return "".join(shown)


Progress = Callable[[int, int, TokenStats], None]


def token_stats(
    data: Any, model: str | Path = DEFAULT_MODEL, *, limit: int | None = None, progress: Progress | None = None
) -> TokenStats:
    """Count the tokens of every text of a table, before truncation, special tokens included.

    Texts are read and counted in chunks, so that memory holds one chunk, and 32 bytes a text: duplicates are found by
    128-bit xxh3 digests, which for a billion texts take two different ones for equal once in 10^20 tables. The ids of a
    column are kept on disk: the next time its texts are neither read nor tokenised.

    Args:
        data: the result of `load`, or anything that `load` takes.
        model: whose tokenizer: a folder, a run folder, a Hub id, or a short name.
        limit: tokens at which texts are cut; None is the model's own.
        progress: called with rows done, rows in all and the statistics so far, first within a second, then about four
            times a second. An exception that it raises stops the counting.

    Raises:
        DataError: the data cannot be used.
        ModelError: the model or its tokenizer cannot be found or read.
    """
    examples = data if isinstance(data, Examples) else load(data)
    here = place(model)
    limit = limit or here.limit
    started = time.perf_counter()
    total, done, told = len(examples), 0, 0.0
    counts = {name: _Count(limit) for name in examples.texts}

    def so_far(*, last: bool) -> TokenStats:
        columns = {name: counted.stats(last=last) for name, counted in counts.items()}
        if last and examples.label:
            columns[examples.label] = _target(examples)
        return TokenStats(done, limit, str(model), round(time.perf_counter() - started, 3), columns)

    found = {name: ids.kept(examples, name, model) for name in counts}
    complete = {name: column for name, column in found.items() if column and column.duplicates is not None}
    for name, column in complete.items():
        counts[name].take(column)
    with ExitStack() as stack:
        new = [name for name, column in found.items() if column is None]
        keepers = {name: stack.enter_context(ids.Keeper(examples, name, here)) for name in new if here.fast}
        slow = counter(model)[0] if len(keepers) < len(new) else None
        for chunk in _chunks(examples, [name for name in counts if name not in complete]):
            for name, texts in chunk.items():
                if (known := found[name]) is not None:
                    lengths = known.lengths[done : done + len(texts)]
                else:
                    lengths = slow(texts) if slow else keepers[name].add(texts)
                counts[name].add(texts, lengths)
            done += len(texts)
            if progress and (told == 0 or time.perf_counter() - told > PROGRESS_S) and done < total:
                progress(done, total, so_far(last=False))
                told = time.perf_counter()
        done = total
        stats = so_far(last=True)
        for name, keeper in keepers.items():
            keeper.finish(empty=counts[name].empty, duplicates=counts[name].duplicates)
    if progress:
        progress(done, total, stats)
    return stats


def _chunks(examples: Examples, columns: Sequence[str] | None = None) -> Iterator[dict[str, list[str]]]:
    """Rows in pieces that take about as long as one another; the first one is small, so that something shows at once."""
    step, columns = FIRST_CHUNK_ROWS, examples.texts if columns is None else columns
    for batch in examples.batches(columns, CHUNK_ROWS) if columns else ():
        rows, start = len(next(iter(batch.values()))), 0
        while start < rows:
            longest = max(sum(map(len, texts[start : start + step])) for texts in batch.values())
            if longest > CHUNK_CHARACTERS and step > 1:
                step = max(1, min(step - 1, step * CHUNK_CHARACTERS // longest))
                continue
            yield {name: texts[start : start + step] for name, texts in batch.items()}
            start, step = start + step, CHUNK_ROWS


class _Count:
    """Running counts of one column."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.lengths, self.empty = limit, np.zeros(0, np.int64), 0
        self.digests: list[bytes] = []

    def add(self, texts: list[str], lengths: np.ndarray) -> None:
        from xxhash import xxh3_128_digest

        counted = np.bincount(lengths, minlength=len(self.lengths))
        counted[: len(self.lengths)] += self.lengths
        self.lengths = counted
        self.empty += sum(not text or text.isspace() for text in texts)
        self.digests.append(b"".join([xxh3_128_digest(text.encode()) for text in texts]))

    def take(self, column: ids.Ids) -> None:
        """All of a column at once."""
        assert column.empty is not None and column.duplicates is not None
        self.lengths, self.empty, self.duplicates = np.bincount(column.lengths), column.empty, column.duplicates

    def stats(self, *, last: bool) -> ColumnStats:
        rows = int(self.lengths.sum())
        if rows == 0:
            none = "there are no rows"
            return ColumnStats("text", 0, why=dict.fromkeys(NUMBERS[1:], none))
        values = np.flatnonzero(self.lengths)
        ends = np.cumsum(self.lengths[values])
        why = {} if self.limit else {"truncated_share": "the model has no limit"}
        why |= {} if last else {"duplicates": "not all rows are counted yet"}
        return ColumnStats(
            "text",
            rows,
            int(values[0]),
            float((values * self.lengths[values]).sum() / rows),
            _quantile(values, ends, 0.5),
            _quantile(values, ends, 0.95),
            int(values[-1]),
            float(self.lengths[self.limit + 1 :].sum() / rows) if self.limit else None,
            self.empty,
            self.duplicates if last else None,
            histogram=self._histogram(values),
            why=why,
        )

    @cached_property
    def duplicates(self) -> int:
        """Once all rows are there."""
        pairs = np.frombuffer(b"".join(self.digests), np.uint64).reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        ordered = pairs[order]
        return int((ordered[1:] == ordered[:-1]).all(axis=1).sum())

    def _histogram(self, values: np.ndarray) -> Histogram:
        low, high = int(values[0]), int(values[-1])
        width = -(-(high - low + 1) // BINS)
        edges = tuple(range(low, high + width + 1, width))
        starts = np.array(edges[:-1])
        return Histogram(edges, tuple(np.add.reduceat(self.lengths[: high + 1], starts).tolist()))


def _quantile(values: np.ndarray, ends: np.ndarray, share: float) -> float:
    """As np.quantile of the values repeated; `ends` are running counts."""
    place = share * (int(ends[-1]) - 1)
    low, high = values[np.searchsorted(ends, [np.floor(place), np.ceil(place)], side="right")]
    return float(low + (high - low) * (place - np.floor(place)))


def _target(examples: Examples) -> ColumnStats:
    """Classes or scores."""
    column = str(examples.label)
    if examples.roles[column] == "label":
        found: Counter[Any] = Counter()
        for batch in examples.batches([column]):
            found.update(batch[column])
        names = examples.label_names
        shares = {
            str(names[value]) if names and isinstance(value, int) else str(value): number / found.total()
            for value, number in found.most_common()
        }
        top = dict(list(shares.items())[:MOST_SHARES])
        if len(shares) > MOST_SHARES:
            top[REST] = 1 - sum(top.values())
        return ColumnStats("label", len(examples), shares=top)
    values = np.concatenate(
        [np.asarray(batch[column], dtype=float).ravel() for batch in examples.batches([column])] or [np.zeros(0)]
    )
    not_texts = dict.fromkeys(("truncated_share", "empty", "duplicates"), "scores are no texts")
    if not len(values):
        return ColumnStats("score", 0, why=dict.fromkeys(NUMBERS[1:], "there are no rows"))
    low, median, p95, high = (float(number) for number in np.quantile(values, [0, 0.5, 0.95, 1]))
    return ColumnStats("score", len(examples), low, float(values.mean()), median, p95, high, why=not_texts)
