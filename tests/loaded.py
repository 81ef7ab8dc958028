"""Runs of tests begin in forks of one process that has the libraries loaded, instead of each loading them for seconds.

From there on a run is what it always is: `waiter.become_worker` in a session, folder and environment of its own. Where
the environment has changed, the cache folder apart, there is a new such process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workbench.training import records, waiter, warm
from workbench.training.folder import RunFolder

ROOT = Path(__file__).parents[1]
PATIENCE_S = 240.0
OF_ONE_TEST = ("WORKBENCH_HOME", "PYTEST_CURRENT_TEST")


class Loaded:
    """Stands where the process that waits for the next run of a kernel stands, and is never used up."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._made_in: dict[str, str] = {}
        self._at: tuple[str, int] | None = None
        self._off = sys.platform != "linux"

    def hand_over(self, place: RunFolder) -> bool:
        """Begin the run in a folder; False where it must be started plainly."""
        if self._off:
            return False
        environment = warm.environment()
        here = {name: value for name, value in environment.items() if name not in OF_ONE_TEST}
        if here != self._made_in:
            self.close()
            words, self._made_in = [sys.executable, "-m", "tests.loaded"], here
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, cwd=ROOT, env=environment, text=True)
        assert self._process is not None and self._process.stdin is not None
        order = {"run": str(place.path), "in": os.getcwd(), "environment": environment, "at": self._at}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return True

    @contextmanager
    def held_at(self, step: int) -> Iterator[None]:
        """Runs that are started here do not go on after this step, which they must record, before they are asked to stop."""
        with self._changed("hold", step):
            yield

    @contextmanager
    def killed_at(self, step: int) -> Iterator[None]:
        """Runs that are started here are killed at this step, which they must record."""
        with self._changed("kill", step):
            yield

    @contextmanager
    def _changed(self, how: str, step: int) -> Iterator[None]:
        if self._off:
            pytest.skip("a run is held or killed at a step only in a fork")
        self._at = how, step
        try:
            yield
        finally:
            self._at = None

    def close(self) -> None:
        """End the process; runs that it began go on."""
        if self._process is not None:
            self._process.communicate()


def serve() -> None:
    """Load the libraries, then fork once for each line."""
    for name in waiter.LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no child stays a zombie
    for line in sys.stdin:
        if os.fork() == 0:
            sys.exit(_become(**json.loads(line)))


def _become(run: str, environment: dict[str, str], at: tuple[str, int] | None, **rest: str) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(rest["in"])
    os.environ.clear()
    os.environ.update(environment)
    place = RunFolder(Path(run))
    if at is not None:
        _end_at(place, *at)
    return waiter.become_worker(place)


def _end_at(place: RunFolder, how: str, step: int) -> None:
    write = records.EventWriter.write

    def written(events: records.EventWriter, kind: str, **values: Any) -> None:
        write(events, kind, **values)
        if kind == "step" and values["step"] == step:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            end = time.monotonic() + PATIENCE_S
            while not place.stop.exists() and time.monotonic() < end:
                time.sleep(0.01)

    records.EventWriter.write = written


if __name__ == "__main__":
    serve()
