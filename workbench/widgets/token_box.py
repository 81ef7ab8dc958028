"""Why two sentences are similar: their tokens coloured by what each adds, in a place that then stays as high."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as W

from workbench.spaces.contributions import Contributions

HINT = (
    "Choose a cell to see what each token adds to the similarity of its two sentences: click it, or go to it with the "
    "arrow keys and press Enter. The same again closes it."
)
# characters of HTML: some thousand tokens on the page, some sentences in a saved notebook
LONGEST, LONGEST_STILL = 600_000, 30_000


class TokenBox(W.HTML):
    """The place on the page.

    Args:
        pair: as `rest` takes it.

    Attributes:
        key: what stands for the sentences and models that are shown; None while there are none.
        still: the same for a saved notebook, empty while there is none.
    """

    def __init__(self, pair: tuple[int, int] | None) -> None:
        super().__init__()
        self.rest(pair)

    def rest(self, pair: tuple[int, int] | None) -> None:
        """Show no tokens, but what to do, or which rows (from 0) are not explained yet."""
        self.key, self.still = None, ""
        self._put(HINT if pair is None else f"{_named(pair)} are not explained yet.", high=pair is not None)

    def fill(self, key: Any, pair: tuple[int, int], records: Sequence[Contributions]) -> None:
        """Show two sentences under the base model, and under the tuned one where there is one."""
        self.still = shares(pair, records, LONGEST_STILL)
        self._put(shares(pair, records, LONGEST), high=True)
        self.key = key

    def _put(self, html: str, *, high: bool) -> None:
        look = f"wb-scroll wb-shares {'wb-high' if high else ''}"
        self.value = f"<div class='{look}' tabindex='0' role='region' aria-label='What each token adds'>{html}</div>"


def _named(pair: tuple[int, int]) -> str:
    return f"Sentences {pair[0] + 1} and {pair[1] + 1}"


def shares(pair: tuple[int, int], records: Sequence[Contributions], limit: int) -> str:
    """Two sentences with their tokens coloured by what each adds to the cosine, as escaped HTML.

    Args:
        pair: which sentences they are, from 0.
        records: under the base model, and under the tuned one where there is one.
        limit: characters; where the tokens take more, only their sums are given.
    """
    from workbench.plots.tokens import tokens_html  # takes plotly with it

    sums = "; ".join(
        f"{role}: {record.first.total:+.4f} and {record.second.total:+.4f}"
        for role, record in zip(("base", "tuned"), records, strict=False)
        if record.cosine is not None
    )
    tokens = tokens_html(records)
    if len(tokens) > limit:
        lines = "".join(f"<p>{escape(record.headline)}; {escape(record.caption)}</p>" for record in records)
        tokens = f"{lines}<p>There are too many tokens to be shown here; wb.show_tokens shows them all.</p>"
    return f"<p>{_named(pair)}{f', sums of their tokens: {sums}' if sums else ''}</p>{tokens}"
