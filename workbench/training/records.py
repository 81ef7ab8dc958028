"""What a run writes down and how it is read: status, events, and the state that follows from them."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from workbench import files
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.training.folder import RunFolder

State = Literal["starting", "running", "finished", "stopped", "failed", "died"]
STATUS_EVERY_S = 0.5
STARTING_S = 120.0


@dataclass(frozen=True)
class Status:
    """Where a run is, as its worker last said.

    Attributes:
        said: what the worker said of itself: starting, running, finished, stopped or failed.
        phase: what it is doing, in words.
        step, total_steps: optimizer steps done and planned.
        pid, born: process number and its start time in seconds since 1970, to tell it from a later process.
        folder: the run folder that this process works on, to tell it from a copy.
        started, updated: seconds since 1970.
        left_s: estimated seconds to the end, None while unknown.
        reason: why it stopped or failed, in one sentence.
        device: where it computes, such as cpu or cuda:0 (name).
        attempt: 1, and one more for each resume.
        health_s: seconds that the looks at probe texts have taken.
        film_s: seconds that the looks for the film have taken.
    """

    said: State = "starting"
    phase: str = "starting"
    step: int = 0
    total_steps: int | None = None
    epoch: float = 0.0
    pid: int | None = None
    born: float | None = None
    folder: str = ""
    started: float = 0.0
    updated: float = 0.0
    left_s: float | None = None
    reason: str = ""
    device: str = ""
    attempt: int = 1
    health_s: float = 0.0
    film_s: float = 0.0

    def changed(self, **changes: Any) -> Status:
        """A copy with some values changed."""
        return replace(self, **changes)


def read_run_recipe(folder: RunFolder) -> Recipe:
    """The recipe of a run; rows that the run keeps itself are found wherever the folder lies now."""
    recipe = Recipe.from_yaml(folder.recipe)
    changes = {}
    for name in ("data", "eval_data"):
        spec = getattr(recipe, name)
        if spec is not None and not Path(spec.source).is_absolute() and (folder.path / spec.source).exists():
            changes[name] = spec.model_copy(update={"source": str(folder.path / spec.source)})
    return recipe.changed(**changes) if changes else recipe


def write_status(path: Path, status: Status) -> None:
    """Replace the status file whole."""
    files.replace_text(path, json.dumps(asdict(status), indent=1))


def read_status(path: Path) -> Status:
    """The status; a `Status` of its own kind when the file is not there yet.

    Raises:
        RunError: the file is not a status.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Status)}
        status = Status(**{key: value for key, value in raw.items() if key in known})
    except FileNotFoundError:
        return Status()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"expected the status of a run in {path}, got something else ({error.__class__.__name__}); is this a run folder?"
        ) from None
    if status.said not in get_args(State):
        raise RunError(f"expected a state in {path}, got {status.said!r}; is this a run folder?")
    return status


def alive(status: Status, folder: Path | None = None) -> bool:
    """Whether the worker that wrote this status still lives: its pid exists and is the same process.

    With `folder` it must also work on that folder, and not on the one that this is a copy of.
    """
    import psutil

    if status.pid is None:
        return False
    try:
        process = psutil.Process(status.pid)
        same = status.born is None or abs(process.create_time() - status.born) < 2.0
        here = folder is None or str(folder) in (status.folder, *process.cmdline())
        return same and here and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def state(status: Status, *, lives: bool, now: float) -> State:
    """The state of a run: what its worker said last, corrected by whether it still lives.

    A worker that has not yet said its pid gets `STARTING_S` seconds of trust.
    """
    if status.said in ("finished", "stopped", "failed"):
        return status.said
    if lives:
        return status.said
    if status.pid is None and now - status.started < STARTING_S:
        return "starting"
    return "died"


class EventWriter:
    """Appends events to a file, each one whole line in one write."""

    def __init__(self, path: Path) -> None:
        before = path.read_bytes() if path.exists() else b""
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if before and not before.endswith(b"\n"):
            # a worker was killed while it wrote: its last line must not swallow the next one
            os.write(self._handle, b"\n")

    def write(self, kind: str, **values: Any) -> None:
        """Append one event. Numbers that are not finite are written as null and named in `undefined`."""
        event: dict[str, Any] = {"kind": kind, "time": round(time.time(), 3), **values}
        odd = {key: str(value) for key, value in event.items() if isinstance(value, float) and not math.isfinite(value)}
        if odd:
            event |= {"undefined": odd}
        os.write(self._handle, (json.dumps(clean(event), ensure_ascii=False, allow_nan=False) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_events(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `start` on, and the place to go on from. An unfinished last line waits for the next call.

    After `rewind` the file is shorter; a place beyond its end begins again with the first event.
    """
    try:
        with path.open("rb") as file:
            start = 0 if start > file.seek(0, os.SEEK_END) else start
            file.seek(start)
            raw = file.read()
    except FileNotFoundError:
        return [], start
    end = raw.rfind(b"\n") + 1
    return list(_parsed(raw[:end])), start + end


def _parsed(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in raw.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


# what tells of the worker and not of the training
LIFE = ("started", "stopped", "failed", "finished")


def rewind(path: Path, step: int) -> None:
    """Forget what was recorded after `step`: a resumed run does and records it again. -1 forgets all steps."""
    events, _ = read_events(path)
    kept = [
        event for event in events if event["kind"] in LIFE or (event.get("step", 0) <= step and not event.get("final"))
    ]
    files.replace_text(path, "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in kept))


def clean(value: Any) -> Any:
    """The same value fit for JSON: numbers that are not finite become None, mappings and sequences are followed."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
