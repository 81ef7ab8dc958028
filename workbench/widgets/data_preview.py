"""Look at a table before training on it: roles, odd rows, tokens, and what the model cuts off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.data.examples import Examples
from workbench.data.quality import KINDS
from workbench.data.tokens import TokenStats
from workbench.data.truncation import Cutter, Piece
from workbench.errors import WorkbenchError
from workbench.recipe import DEFAULT_MODEL
from workbench.widgets.counting import Counting
from workbench.widgets.page_table import Page, page_html, read_page
from workbench.widgets.paging import WRAP, Choice, Pager
from workbench.widgets.panel import Kind
from workbench.widgets.preview_state import WIDTHS, Again, PreviewState
from workbench.widgets.preview_words import caption, filter_words, headline
from workbench.widgets.role_form import RoleForm

STATIC_ROWS, STATIC_CHARACTERS = 10, 12_000


class DataPreview(PreviewState):
    """Page through a table, choose the roles of its columns, and see which rows are odd.

    Args:
        data: the result of `wb.load`, or anything that it takes.
        model: whose tokenizer counts, and whose limit is drawn.
        page: counted from 1.
        rows_per_page: 1 to 100.
        show: all, duplicates, empty, encoding or "too long".

    Attributes:
        data: the table with the roles as chosen. Set it to look at another one.
        model: name or folder of the model.
        show: which rows are shown.
        rows: row numbers from 0 that `show` leaves; empty while all rows are shown, and while they are not known yet.
        page: the page that is shown.
        rows_per_page: rows on a page.

    Raises:
        DataError: the data cannot be used, or there is no such page or filter.
    """

    def __init__(
        self,
        data: Any,
        *,
        model: str | Path = DEFAULT_MODEL,
        page: int = 1,
        rows_per_page: int = 10,
        show: str = "all",
    ) -> None:
        super().__init__()
        self._counts = Counting(self._refresh, self._split, self._tell)
        self._kind = ""
        self._drawn: tuple[TokenStats | None, str] = None, ""
        self._page: Page | None = None
        self._pieces: tuple[Page | None, Cutter | None, dict[str, list[Piece]]] = None, None, {}
        self._build()
        self.data, self.model, self.rows_per_page = data, model, rows_per_page
        self.show, self.page = show, page
        self._new_controls()
        self._draw()
        self.observe(self._data_changed, "data")
        self.observe(self._model_changed, "model")
        self.observe(self._show_changed, "show")
        self.observe(lambda _: self._draw(), ["page", "rows_per_page"])
        self._show(self._top, self._roles, self._filters, self._pager, self._table, self._lengths)
        self._recount()

    # controls

    def _build(self) -> None:
        self._title = W.HTML()
        self._top = W.HBox([self._title], layout=W.Layout(**WRAP))
        self._roles = RoleForm(self._use_roles)
        self._filters = Choice(WIDTHS, self._filter_picked)
        self._pager = Pager(self._page_turned)
        self._table = W.HTML()
        self._lengths = W.HTML()

    def _new_controls(self) -> None:
        """Controls that depend on the table: its parts and its columns."""
        self._roles.move(self.data)
        splits = self.data.splits
        self._parts = W.Dropdown(options=splits, value=self.data.split, description="Part") if splits[1:] else None
        if self._parts:
            self._parts.style.description_width, self._parts.layout.margin = "initial", "2px 2px 2px 16px"
            self._parts.observe(lambda change: self._part_picked(change["new"]), "value")
        self._top.children = (self._title, self._parts) if self._parts else (self._title,)
        self._title.value = f"<b>{escape(headline(self.data))}</b>"

    def _use_roles(self, given: dict[str, str]) -> None:
        self._replace("Reading the table with these roles …", lambda: self.data.with_roles(given))

    def _part_picked(self, split: str) -> None:
        if split != self.data.split:
            self._replace(f"Reading the part {split} …", lambda: self.data.part(split))

    def _replace(self, doing: str, load: Callable[[], Examples]) -> None:
        """Take another table for this one; if it cannot be used, all stays as it was."""

        def work() -> None:
            try:
                self.data = Again(load())
            except WorkbenchError as error:
                self._new_controls()
                self.say(str(error), "error")
                self._recount()

        self._counts.stop()
        self.say(doing, "busy")
        self._later(work)

    def _filter_picked(self, kind: str) -> None:
        with self._guarded():
            self.show = kind
            if kind == "too long" and self._counts.failure and not self._counts.fetch:
                self._counts.fetch = True
                self.say("Fetching the model …", "busy")
                self._recount()

    def _page_turned(self, page: int) -> None:
        with self._guarded():
            self.page = page

    # what changed

    def _data_changed(self, _: Any) -> None:
        with self._lock:
            self._counts.forget(table=True)
            self._new_controls()
            self.page = 1
            self._refresh()
        self.say("")
        self._recount()

    def _model_changed(self, _: Any) -> None:
        self._counts.forget(table=False)
        self._refresh()
        self.say("")
        self._recount()

    def _show_changed(self, _: Any) -> None:
        with self._lock:
            self.page = 1
            self._refresh()

    def _refresh(self) -> None:
        """Find the rows that are shown, and show a page of them."""
        with self._lock:
            found = self._counts.quality if self.show in KINDS and self._counts.knows(self.show) else None
            self.set_trait("rows", tuple(found.where(self.show).tolist()) if found else ())
            self.page = min(self.page, self._last_page() or self.page)
            self._draw()

    def _recount(self) -> None:
        self._later(self._counts.run, self._counts.stop(), self.data, self.model)

    def _split(self) -> None:
        """Count and cut the texts of the page that is shown; on the panel's own thread."""
        page, cut = self._page, self._counts.cut
        if page is None or cut is None or self._pieces[:2] == (page, cut):
            return
        pieces = {name: cut(texts) for name, texts in page.texts.items()}
        with self._lock:
            if page is self._page and cut is self._counts.cut:
                self._pieces = page, cut, pieces
                self._draw_table()
                self._changed()

    def _tell(self, text: str, kind: Kind) -> None:
        """As `say`, but an error stays until something is done about it."""
        if self._kind != "error":
            self.say(text, kind)

    def say(self, text: str, kind: Kind = "") -> None:
        """Show a sentence in the message line, as plain text."""
        self._kind = kind
        super().say(text, kind)

    def close(self) -> None:
        """Close the panel; counting stops."""
        self._counts.stop()
        super().close()

    # drawing

    def _draw(self) -> None:
        with self._lock:
            at = (self.page - 1) * self.rows_per_page
            numbers = tuple((self._shown() or ())[at : at + self.rows_per_page])
            if self._page is None or self._page.data is not self.data or self._page.numbers != numbers:
                self._page = read_page(self.data, numbers)
            said = caption(self.show, self._counts, self._shown(), at, len(numbers))
            self._pager.move(self.page, self._last_page() or self.page, said)
            self._filters.move(self.show, {kind: filter_words(kind, self._counts, len(self.data)) for kind in WIDTHS})
            self._draw_table()
            self._lengths.value = self._picture_of_lengths()
            self._changed()
        if self._pieces[0] is not self._page and numbers:
            self._later(self._split)

    def _draw_table(self) -> None:
        label = "class='wb-scroll' tabindex='0' role='region' aria-label='Rows of the table'"
        self._table.value = f"<div {label} style='height:440px'>{self._table_html(1000)}</div>"

    def _table_html(self, room: int, most: int = 100) -> str:
        if self._page is None or not self._page.numbers:
            return ""
        counts, (page, cut, pieces) = self._counts, self._pieces
        current = pieces if page is self._page and cut is counts.cut else {}
        pending = "" if counts.failure else "… tokens"
        said = counts.quality if self.show == "duplicates" else None
        shown = replace(self._page, numbers=self._page.numbers[:most])
        return page_html(shown, current, limit=counts.limit, pending=pending, quality=said, room=room)

    def _picture_of_lengths(self) -> str:
        stats = self._counts.quality.tokens if self._counts.quality else None
        if stats is None:
            why = "No tokens were counted." if self._counts.failure else "The lengths of the texts come here."
            return f"<div class='wb-soft'>{why}</div>"
        if self._drawn[0] is not stats:
            from workbench.plots.lengths import lengths_figure
            from workbench.plots.svg import svg

            self._drawn = stats, svg(lengths_figure(stats), width=900)
        return self._drawn[1]

    # picture

    def static(self) -> str:
        """Title, the first rows of the page with their texts cut short, and the histograms."""
        room = max(40, min(300, STATIC_CHARACTERS // (STATIC_ROWS * len(self.data.texts))))
        table = self._table_html(room, STATIC_ROWS)
        return f"<p><b>{escape(headline(self.data))}</b></p>{table}{self._picture_of_lengths()}"
