"""What a user has done on the map, as traits that refuse what cannot be."""

from __future__ import annotations

from typing import Any

import traitlets as t

from workbench.errors import DataError, did_you_mean
from workbench.spaces.encode import Space
from workbench.spaces.project import Projection
from workbench.spaces.stages import check_model
from workbench.widgets.drawable import Drawable, drawable
from workbench.widgets.panel import Panel


class MapState(Panel):
    """Traits of the map; see `EmbeddingMap`."""

    data = t.Any()
    model = t.Any(None, allow_none=True)
    colour = t.Unicode()
    selection = t.Any(())  # always a tuple of int
    space = t.Instance(Space, allow_none=True)
    projection = t.Instance(Projection, allow_none=True)

    _what: Drawable

    @t.validate("data")
    def _check_data(self, proposal: Any) -> Any:
        if proposal["value"] is not self._what.given:
            self._what = drawable(proposal["value"])
        return self._what.given

    @t.validate("model")
    def _check_model(self, proposal: Any) -> Any:
        if proposal["value"] is not None:
            check_model(proposal["value"])
        return proposal["value"]

    @t.validate("colour")
    def _check_colour(self, proposal: Any) -> str:
        colour, choices = str(proposal["value"]), self._what.choices
        if colour not in choices:
            raise DataError(
                f"expected a colour among {', '.join(choices)}, got {colour!r}{did_you_mean(colour, choices)}"
            )
        return colour

    @t.validate("selection")
    def _check_selection(self, proposal: Any) -> tuple[int, ...]:
        try:
            rows = tuple(sorted({int(row) for row in proposal["value"]}))
        except (TypeError, ValueError):
            raise DataError(
                f"expected row numbers, got {proposal['value']!r:.80}; give a tuple such as (0, 5)"
            ) from None
        count = self._what.count if self.space is None else len(self.space)
        wrong = next((row for row in rows if row < 0 or (count is not None and row >= count)), None)
        if wrong is not None:
            last = "" if count is None else f" to {count - 1}"
            raise DataError(f"expected row numbers from 0{last}, got {wrong}; leave it out")
        return rows
