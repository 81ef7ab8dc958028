"""How many processor cores there are, and array products that keep to one of them each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_limit: Any = None


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_core_each() -> Iterator[None]:
    """Inside, NumPy's products (BLAS) run on the core that asks for them, so that our own threads can share the work.

    BLAS's own threads wait for each other by spinning: on 2 cores that other programs use too, the axes of 10,000
    vectors took 1.0 s and not 0.1 s. The limit holds for the whole process until the last one inside has left.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            from threadpoolctl import threadpool_limits

            _limit = threadpool_limits(1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()
