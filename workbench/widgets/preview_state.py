"""What a user looks at in a table, as traits that refuse what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import traitlets as t

from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError, did_you_mean
from workbench.recipe import DEFAULT_MODEL
from workbench.spaces.stages import check_model, model_source
from workbench.widgets.code import load_code
from workbench.widgets.counting import Counting
from workbench.widgets.given import Count, Given
from workbench.widgets.panel import Panel

WIDTHS = {"all": 130, "duplicates": 160, "empty": 130, "encoding": 230, "too long": 230}


@dataclass(frozen=True)
class Again:
    """The table that was given, read with other roles or in another part."""

    data: Examples


class _Table(Given):
    """Examples; anything else is loaded."""

    def validate(self, obj: Any, value: Any) -> Examples:
        if isinstance(value, Again):
            return value.data
        table = value if isinstance(value, Examples) else load(value)
        obj._given = value
        return table


class PreviewState(Panel):
    """Traits of the preview; see `DataPreview`."""

    data = _Table()
    model = Given(DEFAULT_MODEL)
    show = Given("all")
    rows = t.Tuple(read_only=True)
    page = Count(1)
    rows_per_page = Count(10)

    _counts: Counting
    _given: Any  # the table as the user gave it

    @t.validate("show")
    def _known_show(self, proposal: Any) -> str:
        value = proposal["value"]
        if not isinstance(value, str) or value not in WIDTHS:
            meant = did_you_mean(value, WIDTHS) if isinstance(value, str) else ""
            raise DataError(f"expected show= one of {', '.join(WIDTHS)}, got {value!r:.60}{meant}")
        return value

    @t.validate("model")
    def _known_model(self, proposal: Any) -> str:
        value = proposal["value"]
        check_model(value)
        return str(value) if isinstance(value, str | Path) else model_source(value)

    @t.validate("page")
    def _known_page(self, proposal: Any) -> int:
        last = self._last_page()
        if proposal["value"] < 1 or (last is not None and proposal["value"] > last):
            raise DataError(f"expected a page from 1 to {last or 'the last'}, got page={proposal['value']}")
        return proposal["value"]

    @t.validate("rows_per_page")
    def _known_size(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= 100:
            raise DataError(f"expected rows_per_page= from 1 to 100, got {proposal['value']}")
        return proposal["value"]

    def _shown(self) -> Sequence[int] | None:
        """Row numbers of all pages, None while they are not known."""
        if self.show == "all":
            return range(len(self.data))
        return self.rows if self._counts.knows(self.show) else None

    def _last_page(self) -> int | None:
        shown = self._shown()
        return None if shown is None else max(1, -(-len(shown) // self.rows_per_page))

    def _code(self) -> str:
        code, data = load_code(self.data, given=self._given), self.data
        if code != "data":
            return code
        part = "" if data.split == self._given.split else f".part({data.split!r})"
        dropped = {name: "ignore" for name in self._given.used if name not in data.used}
        return f"data{part}.with_roles({data.used | dropped!r})"
