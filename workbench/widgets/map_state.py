"""What a user has done on the map, as traits that refuse what cannot be."""

from __future__ import annotations

from operator import index
from typing import Any

import traitlets as t

from workbench.errors import DataError, ModelError, did_you_mean
from workbench.spaces.encode import Space
from workbench.spaces.measures import Measures
from workbench.spaces.project import Projection
from workbench.spaces.stages import check_model
from workbench.widgets.drawable import Drawable, drawable
from workbench.widgets.given import Given
from workbench.widgets.panel import Panel


class MapState(Panel):
    """Traits of the map; see `EmbeddingMap`."""

    data = Given()
    model = Given()  # None for a space
    colour = Given("")
    selection = Given(())  # always a tuple of int
    space = t.Instance(Space, allow_none=True)
    projection = t.Instance(Projection, allow_none=True)
    measures = t.Instance(Measures, allow_none=True)

    _what: Drawable
    _ready: bool

    @t.validate("data")
    def _check_data(self, proposal: Any) -> Any:
        if proposal["value"] is not self._what.given:
            found = drawable(proposal["value"])
            if self._ready:
                _check_both(found.given, self.model)
            self._what = found
        return self._what.given

    @t.validate("model")
    def _check_model(self, proposal: Any) -> Any:
        if proposal["value"] is not None:
            check_model(proposal["value"])
        _check_both(self.data, proposal["value"])
        return proposal["value"]

    @t.validate("colour")
    def _check_colour(self, proposal: Any) -> str:
        colour, choices = proposal["value"], self._what.choices
        if not isinstance(colour, str) or colour not in choices:
            meant = did_you_mean(colour, choices) if isinstance(colour, str) else ""
            raise DataError(f"expected a colour among {', '.join(choices)}, got {colour!r:.60}{meant}")
        return colour

    @t.validate("selection")
    def _check_selection(self, proposal: Any) -> tuple[int, ...]:
        try:
            given = list(proposal["value"])
            if any(isinstance(row, bool) for row in given):
                raise TypeError
            rows = tuple(sorted({index(row) for row in given}))
        except TypeError:
            raise DataError(
                f"expected row numbers, got {proposal['value']!r:.80}; give a tuple such as (0, 5)"
            ) from None
        count = self._what.count if self.space is None else len(self.space)
        wrong = next((row for row in rows if row < 0 or (count is not None and row >= count)), None)
        if wrong is not None:
            last = "" if count is None else f" to {count - 1}"
            raise DataError(f"expected row numbers from 0{last}, got {wrong}; leave it out")
        return rows


def _check_both(data: Any, model: Any) -> None:
    if model is None and not isinstance(data, Space):
        raise ModelError(
            "expected a model to encode the texts with, got None; give its name, a folder or a run, or a Space instead of texts"
        )
