"""What a user compares and looks at, as traits that refuse what cannot be."""

from __future__ import annotations

from operator import index
from pathlib import Path
from typing import Any

import traitlets as t

from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import DataError, ModelError
from workbench.spaces.compare import NeighbourChange, held_out_part
from workbench.spaces.evaluate import Change
from workbench.spaces.stages import check_model, model_source, run_folder
from workbench.training.run import Run, attach
from workbench.widgets.code import load_code, model_code
from workbench.widgets.panel import Panel


class CompareState(Panel):
    """Traits of the comparison; see `ComparePanel`."""

    before = t.Any(None, allow_none=True)
    after = t.Any(None, allow_none=True)
    data = t.Any(None, allow_none=True)
    row = t.Any(None, allow_none=True)  # always an int or None
    change = t.Instance(Change, allow_none=True)
    maps = t.Tuple()
    moved = t.Instance(NeighbourChange, allow_none=True)

    _scored: Examples | None
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

    def _models(self) -> tuple[str, str]:
        run = run_of(self.after)
        before = run.recipe.model if self.before is None and run is not None else self.before
        for model, which in ((before, "before"), (self.after, "after")):
            if model is None:
                raise ModelError(
                    f"expected two models to compare, got none for {which}; give a name, a folder or a run"
                )
        return model_source(before), model_source(self.after)

    def _names(self) -> tuple[str, str]:
        assert self.change is not None
        before, after = (made.model.rpartition("/")[2] for made in (self.change.before, self.change.after))
        return f"before: {before}", f"after: {after}"

    def _code(self) -> str:
        run = run_of(self.after)
        before = run.recipe.model if self.before is None and run is not None else self.before
        known = self.data is not None and not (self._scored is not None and self._scored.picked)
        data = load_code(self.data, held_out_part(self.data), given=self._raw) if known else "data"
        return f"wb.compare(wb.evaluate({model_code(before)}, {data}), wb.evaluate({model_code(self.after)}, {data}))"


def run_of(model: Any) -> Run | None:
    """The run behind a model, None where it is only a model."""
    if isinstance(model, Run):
        return model
    folder = run_folder(model) if isinstance(model, str | Path) else None
    return None if folder is None else attach(folder)
