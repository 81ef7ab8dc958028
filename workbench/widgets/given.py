"""Traits that a panel checks whatever is given."""

from __future__ import annotations

from operator import index
from typing import Any

import traitlets as t

from workbench.errors import DataError


class Given(t.Any):
    """Checked by the panel whatever it is; traitlets alone would let None through."""

    allow_none = False


class Count(Given):
    """A whole number from 1; anything else is refused in a sentence."""

    def validate(self, obj: Any, value: Any) -> int:
        """The number as int."""
        try:
            return index(value)
        except TypeError:
            raise DataError(
                f"expected {self.name}= a whole number from 1, got {type(value).__name__} ({value!r:.60})"
            ) from None
