"""What the waiting process does: `python -m workbench.training.waiter`, started and told by `warm`.

It reads orders, a JSON object a line: `expect` names a recipe that will probably be run, `run` a folder that it becomes
the worker of. It ends itself with the process that started it, and after `IDLE_S` seconds without an order.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.recipe import Recipe
from workbench.training.folder import RunFolder
from workbench.training.warm import TAKEN

IDLE_S = 600.0
LOOK_S = 2.0
LIBRARIES = ("torch", "workbench.training.loop", "workbench.training.worker", "workbench.cards.write", "pandas")


class Void(Exception):
    """What is done ahead is not wanted any more."""


class Orders:
    """What the process was told last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: dict[str, Any] | None = None

    def give(self, order: dict[str, Any]) -> None:
        """A newer order makes an older one void."""
        with self._changed:
            self._newest = order
            self._changed.notify()

    def take(self) -> dict[str, Any]:
        """Wait for the next order."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None)
            order, self._newest = self._newest, None
            assert order is not None
            return order

    def next_run(self) -> RunFolder | None:
        """The folder of a run that waits for this process.

        Raises:
            Void: another recipe is expected now.
        """
        newest = self._newest
        if newest is not None and "expect" in newest:
            raise Void
        return None if newest is None else RunFolder(Path(newest["run"]))


def listen(orders: Orders) -> None:
    """Read orders until there is a run; end the process with its parent, or after a while without an order."""
    parent, end, rest = os.getppid(), time.monotonic() + IDLE_S, b""
    while True:
        if not select.select([0], [], [], LOOK_S)[0]:
            if os.getppid() != parent or time.monotonic() > end:
                os._exit(0)
            continue
        part = os.read(0, 65536)
        if not part:
            os._exit(0)
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "run" in order:
                os.write(1, TAKEN)  # before the output goes elsewhere
                orders.give(order)
                return
            orders.give(order)
            end = time.monotonic() + IDLE_S


def do_ahead(recipe: Recipe, orders: Orders) -> None:
    """What the run of a recipe does first and finds done when it comes: model files read, evaluation rows encoded."""
    from workbench.catalog import hub, models
    from workbench.checks.cost import has_gpu
    from workbench.data.prepare import prepare, settled
    from workbench.training import worker

    if not hub.on_this_machine(models.full_name(recipe.model), recipe.revision) or _is_away(recipe):
        return  # nothing is fetched unasked
    data, evaluation = prepare(recipe)
    recipe = settled(recipe, data)
    model = worker.base_model(recipe, "cpu")
    if evaluation is None or recipe.device not in ("auto", "cpu") or (recipe.device == "auto" and has_gpu()):
        return  # a GPU encodes them soon enough

    def still_wanted(*_: int) -> None:
        place = orders.next_run()
        if place is not None and not _same(place, recipe, evaluation.fingerprint):
            raise Void

    worker.score(model, evaluation, recipe, progress=still_wanted)


def _is_away(recipe: Recipe) -> bool:
    sources = [spec.source for spec in (recipe.data, recipe.eval_data) if spec is not None]
    return not all(source.startswith("glossary/") or Path(source).expanduser().exists() for source in sources)


def _same(place: RunFolder, recipe: Recipe, evaluation: str) -> bool:
    """Whether a run begins with the vectors that are being made."""
    run = Recipe.from_yaml(place.recipe)
    alike = all(getattr(run, name) == getattr(recipe, name) for name in ("model", "revision", "max_seq_length", "prompts"))  # fmt: skip
    return alike and json.loads(place.data.read_text(encoding="utf-8"))["evaluation_fingerprint"] == evaluation


def become_worker(place: RunFolder) -> int:
    """Run what is in the folder, with the output in its log as a worker of its own start has it."""
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
    from workbench.training import worker

    return worker.main([str(place.path)])


def main() -> int:
    """Load the libraries, wait for a run and be its worker."""
    orders = Orders()
    threading.Thread(target=listen, args=[orders], daemon=True).start()
    with contextlib.suppress(ImportError):  # the run itself says what is missing
        for name in LIBRARIES:
            importlib.import_module(name)
    while "run" not in (order := orders.take()):
        # the run itself says what is wrong; torch says by a RuntimeError that memory is used up
        with contextlib.suppress(WorkbenchError, MemoryError, RuntimeError, Void):
            do_ahead(Recipe(**order["expect"]), orders)
        gc.collect()
        gc.freeze()  # what is loaded stays: the trainer's own collection at its begin then takes no half second
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)  # what the work ahead needed goes back to the system
    return become_worker(RunFolder(Path(order["run"])))


if __name__ == "__main__":
    sys.exit(main())
