"""A process that waits for the next run with its libraries loaded, so that the run begins at once instead of after 9 s.

A panel that is shown starts it; a script, the command line and a plain import never do. It takes about 0.5 GB while it
waits, so that it is started only where 1.5 GB are free, limits of a container included. Told a recipe that will probably
be run, it loads the model once and encodes the evaluation rows, which are kept on disk; the run then finds them there.

`hand_over` gives it a run folder: it answers, puts its output into the folder's log and becomes the worker of that run.
Whatever is off (no answer, another working folder, other environment variables or paths than when it was started)
ends it, and the caller starts a plain worker. What it does meanwhile is in `waiter`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from workbench.recipe import Recipe
from workbench.spaces.engine import QUIET_THREADS
from workbench.training.folder import RunFolder

ANSWER_S = 2.0
AFTER_SHOWN_S = 3.0  # the panel first gets the processor for itself
ROOM_BYTES = 1_500_000_000
TAKEN = b"taken\n"
# the settings that what is done ahead depends on
COUNTS = ("model", "revision", "loss", "data", "eval_data", "eval_share", "seed", "prompts", "max_seq_length", "device", "eval_batch_size")  # fmt: skip


def environment() -> dict[str, str]:
    """Environment variables of a worker."""
    return {"TOKENIZERS_PARALLELISM": "true", **QUIET_THREADS, **os.environ, "PYTHONUNBUFFERED": "1"}


class Waiting:
    """The process that waits for the next run of this one; `waiting()` is the only one of a kernel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._made_in: Any = None
        self._expected: str | None = None
        self._shown = False

    @property
    def pid(self) -> int | None:
        """Number of the process, None while none waits."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def shown(self, expect: Callable[[], None]) -> None:
        """A panel that can start runs is on the page now: from here on a process may wait. `expect` is called soon after."""
        self._shown = True
        later = threading.Timer(AFTER_SHOWN_S, expect)
        later.daemon = True
        later.start()

    def expect(self, recipe: Recipe | None) -> None:
        """See to it that a process waits for this recipe. Returns at once; does nothing before a panel was shown."""
        if not self._shown or recipe is None or os.name != "posix":
            return
        with self._lock:
            if self.pid is None or self._made_in != _surroundings():
                self._end()
                self._start()
            known = recipe.to_dict(defaults=False)
            words = json.dumps({"expect": {name: known[name] for name in COUNTS if name in known}})
            if self._process is not None and words != self._expected:
                self._expected = words
                self._tell(words)

    def hand_over(self, place: RunFolder) -> bool:
        """Let the waiting process run what is in the folder; False, and no process waits, where it must be done plainly."""
        with self._lock:
            process, self._process = self._process, None
            made_in, self._made_in, self._expected = self._made_in, None, None
        if process is None or made_in is None or made_in[0] != os.getpid():
            return False  # none, or that of the process that this one is a fork of
        if made_in == _surroundings() and _asked(process, json.dumps({"run": str(place.path)})):
            _close_pipes(process)
            return True
        _kill(process)
        return False

    def close(self) -> None:
        """End the process and free its memory."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        from workbench.checks.cost import free_memory

        if free_memory() < ROOM_BYTES:
            return
        self._made_in = _surroundings()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workbench.training.waiter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment(),
        )

    def _tell(self, words: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(words.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self._end()

    def _end(self) -> None:
        process, self._process, self._expected = self._process, None, None
        if process is not None and self._made_in[0] == os.getpid():
            _kill(process)


def _surroundings() -> tuple[Any, ...]:
    """What a process takes over when it is started."""
    here = None
    with contextlib.suppress(OSError):
        here = os.getcwd()
    return os.getpid(), here, environment(), sys.executable, tuple(sys.path)


def _asked(process: subprocess.Popen[bytes], words: str) -> bool:
    """Whether the process has said that it does what it was told."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(words.encode() + b"\n")
        process.stdin.flush()
        answered = select.select([process.stdout], [], [], ANSWER_S)[0]
        return bool(answered) and os.read(process.stdout.fileno(), len(TAKEN)) == TAKEN
    except OSError:
        return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not read any more
            assert pipe is not None
            pipe.close()


@lru_cache(maxsize=1)
def waiting() -> Waiting:
    """The waiting process that all panels of this kernel share."""
    return Waiting()
