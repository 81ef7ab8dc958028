"""Traits that a panel checks whatever is given, and panels that take no more work once they are closed."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import traitlets as t

from workbench.errors import DataError
from workbench.widgets.panel import Panel


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


class Ending(Panel):
    """A panel that says so when something is asked of it after it was closed."""

    _ended = False

    def _later(self, function: Callable[..., None], *arguments: Any) -> None:
        with self._lock:
            if self._ended:
                self.say("This panel is closed; make a new one to go on")
            else:
                super()._later(function, *arguments)

    def close(self) -> None:
        """Close the panel; from now on no work begins."""
        with self._lock:
            self._ended = True
        super().close()
