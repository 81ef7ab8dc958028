"""Similarity of every text with every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.spaces.encode import Space, embed

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosine similarities of a list of texts under one model.

    Attributes:
        texts: n texts.
        matrix: float32, shape (n, n), in [-1, 1]; NaN where a vector is zero or not finite (see `undefined`).
        model: name of the model.
        undefined: positions of the texts whose similarity is undefined since their vector is zero or not finite.
    """

    texts: tuple[str, ...]
    matrix: np.ndarray
    model: str
    undefined: tuple[int, ...] = ()

    def to_frame(self) -> pandas.DataFrame:
        """The matrix with the texts as index and columns."""
        import pandas

        return pandas.DataFrame(self.matrix, index=list(self.texts), columns=list(self.texts))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{n}</th>" for n in range(1, len(self.texts) + 1))
        rows = "".join(
            f"<tr><th style='text-align:left'>{n} {escape(text[:80])}</th>{''.join(_cell(value) for value in row)}</tr>"
            for n, (text, row) in enumerate(zip(self.texts, self.matrix, strict=True), 1)
        )
        return (
            f"<table><caption>Cosine similarity, {escape(self.model)}</caption><tr><th></th>{head}</tr>{rows}</table>"
        )


def _cell(value: float) -> str:
    if not np.isfinite(value):
        return "<td title='the vector of one of the texts is zero or not finite'>undefined</td>"
    shade = max(0.0, float(value)) * 0.6
    return f"<td style='background:rgba(0,114,178,{shade:.2f})'>{value:.2f}</td>"


def similarity(texts: Sequence[str] | Space, model: Any = None, **options: Any) -> Similarity:
    """Cosine similarity of each text with each other.

    Args:
        texts: n texts, or a `Space` whose vectors are used.
        model: as for `embed`; not needed for a `Space`.
        options: passed on to `embed`.

    Returns:
        A record with a float32 matrix of shape (n, n), a notebook repr and `.to_frame()`.
    """
    space = texts if isinstance(texts, Space) else embed(texts, model, **options)
    matrix = (space.unit @ space.unit.T).clip(-1, 1)
    bad = np.flatnonzero(~space.usable)
    matrix[bad, :] = np.nan
    matrix[:, bad] = np.nan
    return Similarity(space.texts, matrix, space.model, tuple(int(row) for row in bad))
