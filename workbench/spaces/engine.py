"""One more process that holds torch, so that a notebook's kernel stays small and free.

Anything that encodes, scores or draws maps can be called in it; it ends itself when nothing was asked for a while.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from workbench.catalog import hub
from workbench.errors import RunError

T = TypeVar("T")
IDLE_S = 600.0
REPORT_S = 0.2  # between two reports of what is done
KEPT_VECTORS = 2000
# Measured with MiniLM on 2 cores that others use too, 95th percentile: 1 text 35 ms, not 53; 4 texts 91 ms, not 132
FEW = 4
# Threads that wait for each other sleep instead of spinning: on 2 cores with 2 busy neighbours a step took 1.1 s, not 5.2 s.
# Before that they spin a little: alone on 2 cores a step of groups of like length took 0.61 s, not 0.88 s.
QUIET_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "4000"}


class Engine:
    """A process for functions that load torch. It is started by the first call, and again after it has ended.

    Args:
        idle_s: it ends, and frees its memory, when nothing was asked for so many seconds.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._line: Connection | None = None
        self._numbers, self._told = count(1), dict[int, tuple[Any, ...]]()
        self._timer: threading.Timer | None = None
        self._working = 0

    def submit(self, function: Callable[..., T], *arguments: Any, **options: Any) -> Future[T]:
        """Call a function of a module in the process; arguments and result are copied (pickled)."""
        with self._lock:
            pool = self._pool or self._start()
            with _without_script():
                try:
                    job = pool.submit(function, *arguments, **options)
                except BrokenProcessPool:  # it was killed while nothing was asked of it
                    pool = self._start()
                    job = pool.submit(function, *arguments, **options)
            self._working += 1
            if self._timer is not None:
                self._timer.cancel()
        job.add_done_callback(lambda ended: self._done(ended, pool))
        return job

    def call(
        self, function: Callable[..., T], *arguments: Any, progress: Callable[..., None] | None = None, **options: Any
    ) -> T:
        """As `submit`, and wait for the result.

        Args:
            function: of a module.
            arguments: of the function.
            progress: called, while this waits, with the newest of what the function tells its own `progress`:
                [phase,] done and total. What it raises is raised here, and ends the work in the process at its next
                report, as an interrupt here does: the process and what others have asked of it stay.
            options: of the function.

        Raises:
            RunError: the process was killed, for instance for want of memory, or was ended meanwhile.
        """
        number = next(self._numbers)
        if progress is None:
            job = self.submit(function, *arguments, **options)
        else:
            job = self.submit(_reporting, number, function, *arguments, **options)
        try:
            while progress is not None and wait([job], REPORT_S).not_done:
                self._hear(number, progress)
            return job.result()
        except BrokenProcessPool:
            raise RunError(
                "expected the process that holds the models to answer, but it is gone (killed, perhaps for want of memory); try again with fewer texts or a smaller model"
            ) from None
        except CancelledError:
            raise RunError(
                "expected the process that holds the models to answer, but it was ended to free its memory; try again"
            ) from None
        finally:
            if not job.done() and not job.cancel():
                self._end(number)

    def _hear(self, number: int, progress: Callable[..., None]) -> None:
        with self._lock:
            while self._line is not None and self._line.poll():
                about, what = self._line.recv()
                self._told[about] = what
            newest = self._told.pop(number, None)
        if newest is not None:
            progress(*newest)

    def _end(self, number: int) -> None:
        """Let a piece of work end at its next report."""
        with self._lock:
            if self._line is not None:
                self._line.send(number)

    def kill(self) -> None:
        """End the process at once, in the middle of its work."""
        pid = self.pid
        self.close()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        """End the process and free its memory. The next call starts another."""
        with self._lock:
            pool, self._pool = self._pool, None
            if self._timer is not None:
                self._timer.cancel()
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        return next(iter(getattr(self._pool, "_processes", None) or ()), None)

    def _start(self) -> ProcessPoolExecutor:
        os.environ.update({**QUIET_THREADS, **os.environ})
        spawned = multiprocessing.get_context("spawn")
        self._line, its_end = spawned.Pipe()
        self._pool = ProcessPoolExecutor(1, spawned, initializer=_begin, initargs=(its_end,))
        return self._pool

    def _done(self, job: Future[Any], pool: ProcessPoolExecutor) -> None:
        with self._lock:
            self._working -= 1
            if self._pool is pool and not job.cancelled() and isinstance(job.exception(), BrokenProcessPool):
                self._pool = None
            if self._working == 0 and self._pool is not None:
                self._timer = threading.Timer(self._idle_s, self._rest)
                self._timer.daemon = True
                self._timer.start()

    def _rest(self) -> None:
        """Close, unless something was asked just now."""
        with self._lock:
            pool, self._pool = (self._pool, None) if self._working == 0 else (None, self._pool)
        if pool is not None:
            pool.shutdown(wait=False)


@contextmanager
def _without_script() -> Iterator[None]:
    """A process that is spawned would first run the script of its parent once more, which nothing here needs."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine that all panels of this kernel share."""
    shared = Engine()
    atexit.register(shared.close)
    return shared


class Vectors:
    """Vectors of single texts that were asked for once, so that only what changed is encoded. For one thread.

    Args:
        limit: vectors that are kept; those unused for longest go first.
    """

    def __init__(self, limit: int = KEPT_VECTORS) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, int, str], np.ndarray] = OrderedDict()

    def missing(self, texts: Sequence[str], model: str) -> list[str]:
        """Texts that would have to be encoded, each once."""
        stamp = stamp_of(model)
        return [text for text in dict.fromkeys(texts) if (model, stamp, text) not in self._kept]

    def of(self, call: Callable[..., Any], texts: Sequence[str], model: str) -> np.ndarray:
        """Vectors of texts; those that are missing are asked for in one call.

        Args:
            call: calls a function somewhere else and waits for the result: `Engine.call`.
            texts: n texts, at least one.
            model: a name or folder.

        Returns:
            float32, shape (n, d), as the model gives them.
        """
        stamp, wanted = stamp_of(model), self.missing(texts, model)
        if wanted:
            made = call(vectors, wanted, model)
            self._kept.update({(model, stamp, text): row for text, row in zip(wanted, made, strict=True)})
        keys = [(model, stamp, text) for text in texts]
        rows = np.stack([self._kept[key] for key in keys])
        for key in keys:
            self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return rows


def stamp_of(model: str) -> int:
    """Changes when the weights in a model folder do; 0 for what is no folder."""
    folder = hub.folder_of(model)
    weights = [] if folder is None else [*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")]
    return max((path.stat().st_mtime_ns for path in weights), default=0)


# what runs inside

_line: Connection | None = None
_ended: set[int] = set()


class Ended(Exception):
    """Raised from a progress, it ends the work that reports to it."""


def _reporting(number: int, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call a function with a `progress` that tells the parent, and hears from it when to end."""
    last, phase = 0.0, None

    def progress(*what: Any) -> None:
        nonlocal last, phase
        assert _line is not None
        while _line.poll():
            _ended.add(_line.recv())
        if number in _ended:
            raise Ended
        if time.monotonic() >= last + REPORT_S or what[:-2] != phase:
            last, phase = time.monotonic(), what[:-2]
            _line.send((number, what))

    return function(*arguments, progress=progress, **options)


def vectors(texts: Sequence[str], model: str | Path) -> np.ndarray:
    """Encode a few texts with a model that stays loaded; for answers while somebody types.

    Args:
        texts: n texts.
        model: a name or folder.

    Returns:
        float32, shape (n, d), as the model gives them.
    """
    from workbench.catalog import models

    folder = models.files(model)
    kept = loaded(str(folder), stamp_of(str(folder)))
    # one thread for a few texts: as quick as two, and it waits for no other thread where a core has more to do
    with torch_threads(1 if len(texts) <= FEW else None):
        encoded: np.ndarray = kept.encode(list(texts), show_progress_bar=False)
    return encoded


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads for torch in this process; None leaves them as they are. What was set before comes back."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(count or usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


@lru_cache(maxsize=2)
def loaded(folder: str, stamp: int) -> Any:
    """The model in a folder, kept for the next call; `stamp` is `stamp_of(folder)`, so that a changed one is read anew."""
    from workbench.catalog import models

    return models.load(folder)


def _begin(line: Connection) -> None:
    """An interrupt of the notebook is not meant for this process; the end of the notebook is."""
    global _line
    _line = line
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from transformers.utils import logging

    logging.disable_progress_bar()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # a killed parent leaves nobody who could end this process in order
        os._exit(1)
