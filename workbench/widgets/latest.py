"""Updates from any thread, at most one a period; the last one always arrives.

A notebook server drops messages above a rate for good, so that a page could stay on an old value.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Latest:
    """Call a function with the newest arguments only.

    Args:
        function: called from a timer's thread.
        period_s: shortest time between two calls.
    """

    def __init__(self, function: Callable[..., None], period_s: float = 0.1) -> None:
        self._function, self._period = function, period_s
        self._lock, self._calling = threading.Lock(), threading.RLock()
        self._waiting: tuple[Any, ...] | None = None
        self._timer: threading.Timer | None = None
        self._last = 0.0

    def __call__(self, *arguments: Any) -> None:
        """Ask for a call; it is made when the period is over, with the arguments that came last."""
        with self._lock:
            self._waiting = arguments
            if self._timer is None:
                self._timer = threading.Timer(max(0.0, self._last + self._period - time.monotonic()), self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Make the call that waits, if there is one, now; one that is under way on another thread is waited for."""
        with self._calling:
            with self._lock:
                arguments, self._waiting, self._last = self._waiting, None, time.monotonic()
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = None
            if arguments is not None:
                self._function(*arguments)
