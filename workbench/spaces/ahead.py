"""What comes next is made on another thread, while the model works on what is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def ahead(source: Iterator[T], *, depth: int = 1) -> Iterator[T]:
    """The same things in the same order, up to `depth` of them made before they are asked for.

    The first is made on the caller's thread, since what draws random numbers from the common ones does so when it
    begins. An error is raised where the thing was asked for that it stopped. Nothing more is made once this iterator
    is closed or let go.

    Args:
        source: an iterator that only the other thread asks from then on.
        depth: things that wait at most, at least 1.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as other:
        made: T | object = next(source, end)
        coming = deque(other.submit(next, source, end) for _ in range(depth))
        try:
            while made is not end:
                yield made  # type: ignore[misc]
                made = coming.popleft().result()
                coming.append(other.submit(next, source, end))
        finally:
            for future in coming:
                future.cancel()


def one_at_a_time(function: Callable[P, T]) -> Callable[P, T]:
    """The same function for several threads: who calls it waits until no other call is under way."""
    lock = Lock()

    @wraps(function)
    def alone(*given: P.args, **options: P.kwargs) -> T:
        with lock:
            return function(*given, **options)

    return alone
