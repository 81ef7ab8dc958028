"""The texts nearest to a typed query, among up to a million stored vectors: exact, and quick enough to type along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DataError
from workbench.spaces.encode import Progress, Space, check_space, embed
from workbench.spaces.neighbours import nearest
from workbench.spaces.project import check_count

if TYPE_CHECKING:
    import pandas

CODED_FROM = 50_000  # below, one float32 product takes a few milliseconds
ROWS = 4096  # of one step: they stay in the processor's cache
CODE = 127
ROUNDING = 1e-5  # more than float32 loses in a sum of a few thousand products of unit vectors


@dataclass(frozen=True, eq=False)
class Hits:
    """The nearest texts of each query.

    Attributes:
        space: what was searched.
        queries: q queries as they are called: their text, or "query 1".
        rows: int64, shape (q, k): row numbers in the space, nearest first; ties by row number.
        cosines: float32, shape (q, k).
        how: how it was searched, in words.
    """

    space: Space
    queries: tuple[str, ...]
    rows: np.ndarray
    cosines: np.ndarray
    how: str

    def to_frame(self) -> pandas.DataFrame:
        """One line a hit: query, rank, row, text, label (where the space has labels), cosine."""
        import pandas

        frame = pandas.DataFrame(self.to_json()["hits"], columns=["query", "rank", "row", "text", "label", "cosine"])
        return frame if self.space.labels is not None else frame.drop(columns="label")

    def to_json(self) -> dict[str, Any]:
        """Plain values: model, how, and the hits in order."""
        labels = self.space.labels
        hits = [
            {
                "query": query,
                "rank": rank,
                "row": int(row),
                "text": self.space.texts[row],
                "label": None if labels is None else labels[row],
                "cosine": float(cosine),
            }
            for query, rows, cosines in zip(self.queries, self.rows, self.cosines, strict=True)
            for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True), 1)
        ]
        return {"model": self.space.model, "how": self.how, "hits": hits}

    def __repr__(self) -> str:
        lines = [f"{self.space.model}, {self.how}"]
        for query, rows, cosines in zip(self.queries, self.rows, self.cosines, strict=True):
            lines.append(query[:100])
            lines += [
                f"  {cosine:.3f}  {self.space.texts[row][:100]}" for row, cosine in zip(rows, cosines, strict=True)
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        hits = self.to_json()["hits"]
        rows = "".join(
            f"<tr><td>{escape(hit['query'][:80])}</td><td>{hit['rank']}</td><td>{hit['cosine']:.3f}</td>"
            f"<td>{escape(hit['text'][:300])}</td></tr>"
            for hit in hits
        )
        caption = escape(f"{self.space.model}, {self.how}")
        head = "<tr><th>query</th><th>rank</th><th>cosine</th><th>text</th></tr>"
        return f"<table class='wb-table'><caption>{caption}</caption>{head}{rows}</table>"


class Search:
    """Exact neighbours (cosine) in a space that is asked more than once.

    From 50,000 vectors on, a copy with one byte a number is made once and read for each query instead of the vectors.
    How far its cosines can be wrong is known for every vector, so the vectors that may be among the nearest are known
    too; only these are compared in full. So nothing is missed, whatever the vectors are; where very many are about
    equally near, more are compared and it takes longer.

    Args:
        space: n texts with their vectors; the vectors may be a memory map. Those that are zero or not finite are
            never found.
        progress: called with (vectors done, vectors to do) while the copy is made.
    """

    def __init__(self, space: Space, *, progress: Progress | None = None) -> None:
        check_space(space)
        self.space = space
        self._coded = len(space) >= CODED_FROM
        if self._coded:
            self._encode(progress)
        else:
            self._usable = space.usable
            self._unit = space.unit[self._usable]

    def near(self, queries: np.ndarray, k: int = 10, *, names: Sequence[str] | None = None) -> Hits:
        """The k nearest texts of each query.

        Args:
            queries: float, shape (q, d) or (d,), of any length but zero.
            k: how many; fewer come where there are fewer.
            names: q names of the queries; None numbers them.

        Raises:
            DataError: k is no whole number from 1 on, there is not one name for each query, or a query is no vector, has
                other dimensions, is zero or is not finite.
        """
        k, unit = check_count(k, "k", "neighbour", "10 is usual"), self._queries(queries)
        if names is not None and len(names) != len(unit):
            raise DataError(f"expected one name for each of {len(unit)} queries, got {len(names)}; None numbers them")
        rows, cosines, how = (self._scanned if self._coded else self._product)(unit, min(k, int(self._usable.sum())))
        called = tuple(names) if names is not None else tuple(f"query {n}" for n in range(1, len(unit) + 1))
        return Hits(self.space, called, rows, cosines, how)

    def _queries(self, queries: np.ndarray) -> np.ndarray:
        """float32, shape (q, d), of length 1."""
        wide = self.space.vectors.shape[1]
        try:
            rows = np.atleast_2d(np.asarray(queries, dtype=float))  # a number that float32 cannot hold has a direction
        except (TypeError, ValueError) as error:
            raise DataError(
                f"expected queries as vectors, got {queries!r:.60} ({error}); search() takes texts"
            ) from error
        if rows.ndim != 2 or rows.shape[1] != wide:
            raise DataError(
                f"expected queries of {wide} dimensions, got {rows.shape[1] if rows.ndim == 2 else f'shape {rows.shape}'}; encode them with {self.space.model}"
            )
        made = Space((), rows, "", "")
        if not made.usable.all():
            raise DataError(
                f"expected queries with a direction, got a zero or not finite vector as number {int(np.argmin(made.usable)) + 1}; leave it out"
            )
        return made.unit

    def _product(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, str]:
        rows, cosines = nearest(unit, self._unit, k)
        return np.flatnonzero(self._usable)[rows], cosines, f"exact: compared with {len(self._unit):,} vectors"

    # the copy: x of length 1 is about middle + step * code, and `off` is the length of what is missing

    def _encode(self, progress: Progress | None) -> None:
        n, wide = self.space.vectors.shape
        self._usable = np.ones(n, dtype=bool)
        total = np.zeros(wide)
        for start in range(0, n, ROWS):
            part = self._part(slice(start, start + ROWS))
            self._usable[start : start + ROWS] = part.usable
            total += part.unit.sum(axis=0, dtype=float)
            if progress:
                progress(start // 2, n)
        self._middle = (total / max(1, self._usable.sum())).astype(np.float32)
        self._codes = np.empty((n, wide), dtype=np.int8)
        self._step, self._off = (np.empty(n, dtype=np.float32) for _ in range(2))
        for start in range(0, n, ROWS):
            rows = slice(start, start + ROWS)
            rest = self._part(rows).unit - self._middle
            step = np.maximum(np.abs(rest).max(axis=1, initial=0), 1e-12) / CODE
            codes = np.rint(rest / step[:, None])
            self._codes[rows], self._step[rows] = codes, step
            missing = np.linalg.norm(rest - codes * step[:, None], axis=1)
            self._off[rows] = np.where(self._usable[rows], missing, -1)
            if progress:
                progress((n + min(start + ROWS, n)) // 2, n)
        if self._usable.any():
            self._candidates(np.ones(wide, dtype=np.float32) / wide**0.5, 1)  # compiles the loop now

    def _part(self, rows: slice | np.ndarray) -> Space:
        return replace(self.space, texts=(), vectors=np.asarray(self.space.vectors[rows]))

    def _scanned(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, str]:
        rows, cosines = np.zeros((len(unit), k), dtype=np.int64), np.zeros((len(unit), k), dtype=np.float32)
        most = 0
        for number, query in enumerate(unit if k else ()):
            near = self._candidates(query, k)
            most = max(most, len(near))
            exact = np.concatenate(
                [self._part(near[start : start + ROWS]).unit @ query for start in range(0, len(near), ROWS)]
            )
            best = np.lexsort((near, -exact))[:k]
            rows[number], cosines[number] = near[best], exact[best]
        how = f"exact: one-byte copies of {len(self.space):,} vectors read, up to {most:,} vectors compared in full"
        return rows, cosines, how

    def _candidates(self, query: np.ndarray, k: int) -> np.ndarray:
        """int64, ascending: all rows that can be among the k nearest of a query of length 1."""
        n, wide = self._codes.shape
        highest = min(2**15 - 1, (2**31 - 1) // (CODE * wide))  # the sum stays below 2^31
        step = float(np.abs(query).max()) / highest
        code = np.rint(query / step)
        rounded = float(np.linalg.norm(query - code * step))
        high, low = np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)
        # |q·x - about| <= |q - q'|·|x - middle| + |q'|·off, and |x - middle| <= 2
        _scan()(
            self._codes,
            code.astype(np.int16),
            step,
            self._step,
            self._off,
            1 + rounded,
            2 * rounded + ROUNDING,
            high,
            low,
        )
        # the k-th best of the best of each group is no better than the k-th best of all, and quicker to find
        group = max(1, min(256, n // (16 * k)))
        whole = n - n % group
        best = np.concatenate([low[:whole].reshape(-1, group).max(axis=1), low[whole:]])
        found = np.flatnonzero(high >= np.partition(best, len(best) - k)[len(best) - k])
        return found[self._usable[found]]


@lru_cache(maxsize=1)
def _scan() -> Any:
    """A compiled loop over rows of int8: the most and the least that each dot product with an int16 vector can be.

    NumPy has no quick product of integers. One thread: two are not quicker, since memory is what it waits for.
    """
    from numba import njit

    @njit(nogil=True)
    def scan(
        codes: np.ndarray,
        query: np.ndarray,
        unit: float,
        step: np.ndarray,
        off: np.ndarray,
        longer: float,
        more: float,
        high: np.ndarray,
        low: np.ndarray,
    ) -> None:
        for row in range(codes.shape[0]):
            total = np.int32(0)
            for column in range(codes.shape[1]):
                total = np.int32(total + np.int32(codes[row, column]) * np.int32(query[column]))
            about, wrong = total * unit * step[row], off[row] * longer + more
            high[row], low[row] = about + wrong, about - wrong
            if off[row] < 0:  # a vector without a direction
                high[row] = low[row] = -np.inf

    return scan


def search(
    space: Space,
    queries: str | Sequence[str] | np.ndarray,
    k: int = 10,
    *,
    model: Any = None,
    prompt: str | None = None,
) -> Hits:
    """The texts of a space that are nearest to some queries; make a `Search` to ask more than once.

    Args:
        space: n texts with their vectors.
        queries: texts, or float vectors of shape (q, d).
        k: how many for each query.
        model: for texts: the model that made the space, as for `embed`.
        prompt: put before every query; None takes that of the space.

    Raises:
        DataError: texts without a model, another model than that of the space, or as `Search.near`.
    """
    check_space(space)
    if hasattr(queries, "dtype") and getattr(queries.dtype, "kind", "f") in "fiu":  # a tensor's has no kind
        return Search(space).near(np.asarray(queries), k)
    texts = [queries] if isinstance(queries, str) else list(queries) if isinstance(queries, Iterable) else queries
    if model is None:
        raise DataError(f"expected the model that encodes the queries, got None; give model=, here {space.model}")
    asked = embed(texts, model, prompt=space.prompt if prompt is None else prompt)
    if asked.model_fingerprint != space.model_fingerprint:
        raise DataError(
            f"expected queries of the model that made the space ({space.model}), got {asked.model}, or other weights of that name; embed both with one model"
        )
    return Search(space).near(asked.vectors, k, names=texts)
