"""What a user compares and looks at, as traits that refuse what cannot be."""

from __future__ import annotations

from operator import index
from typing import Any

import traitlets as t

from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError
from workbench.spaces.compare import NeighbourChange, held_out_part
from workbench.spaces.comparing import base_of
from workbench.spaces.comparison import Comparison
from workbench.spaces.stages import check_model
from workbench.widgets.code import load_code, model_code
from workbench.widgets.panel import Panel

MAP_UP_TO = 5000


class CompareState(Panel):
    """Traits of the comparison; see `ComparePanel`."""

    before = t.Any(None, allow_none=True)
    after = t.Any(None, allow_none=True)
    data = t.Any(None, allow_none=True)
    row = t.Any(None, allow_none=True)  # always an int or None
    change = t.Instance(Comparison, allow_none=True)
    maps = t.Tuple()
    moved = t.Instance(NeighbourChange, allow_none=True)

    _seed: int = 0
    _raw: Any = None  # the table as it was given

    @t.validate("before", "after")
    def _check_model(self, proposal: Any) -> Any:
        if proposal["value"] is not None:
            check_model(proposal["value"])
        return proposal["value"]

    @t.validate("data")
    def _check_data(self, proposal: Any) -> Any:
        given = proposal["value"]
        table = given if given is None or isinstance(given, Examples) else load(given)
        self._raw = given
        return table

    @t.validate("row")
    def _check_row(self, proposal: Any) -> int | None:
        row, count = proposal["value"], len(self.maps[0].space) if self.maps else None
        if row is None:
            return None
        try:
            number = index(row)
        except TypeError:
            number = -1
        if number < 0 or (count is not None and number >= count):
            last = "" if count is None else f" to {count - 1}"
            raise DataError(f"expected a row number from 0{last}, got {row!r:.60}; None looks at no text")
        return number

    def _code(self) -> str:
        models = f"{model_code(base_of(self.before, self.after))}, {model_code(self.after)}"
        data = "" if self.data is None else f", {load_code(self.data, held_out_part(self.data), given=self._raw)}"
        seed = f", seed={self._seed}" if self._seed else ""
        made = self.change
        limit = f", limit={MAP_UP_TO}" if made is not None and made.sampled else ""
        return f"wb.compare({models}{data}{seed}{limit})"
