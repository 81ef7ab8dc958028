"""The process that holds torch: there when asked, gone when not, and never in the way of the notebook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from workbench.errors import ModelError, RunError
from workbench.spaces.encode import embed
from workbench.spaces.engine import Ended, Engine, Vectors, vectors

HOSTILE = ["the red cat", "", "<img src=x onerror=alert(1)>", "\u202eabc", "😀" * 50, "a\nb", "bird " * 500]


@pytest.fixture(scope="module")
def held() -> Iterator[Engine]:
    """One engine for all tests that leave it whole: it takes seconds to start."""
    engine = Engine()
    yield engine
    engine.close()


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_starts_once_and_gives_the_vectors_that_embed_gives(held: Engine, tiny_bert: Path) -> None:
    assert Engine().pid is None
    np.testing.assert_allclose(held.call(vectors, HOSTILE, tiny_bert), embed(HOSTILE, tiny_bert).vectors, atol=1e-5)
    pid = held.pid
    alone = np.concatenate([held.call(vectors, [text], str(tiny_bert)) for text in HOSTILE])
    np.testing.assert_allclose(alone, embed(HOSTILE, tiny_bert).vectors, atol=1e-5)
    assert alone.dtype == np.float32
    assert held.pid == pid == held.call(os.getpid) != os.getpid()


def test_a_mistake_in_it_arrives_as_the_sentence_that_it_is(held: Engine) -> None:
    with pytest.raises(ModelError, match="no such model' is not on this machine"):
        held.call(vectors, ["a"], "no such model")
    assert held.call(os.getpid) == held.pid


def test_other_weights_in_the_same_folder_give_other_vectors(held: Engine, tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_bert.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(tiny_bert)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    before = held.call(vectors, ["the red cat"], folder)
    from safetensors.numpy import load_file, save_file

    weights = folder / "model.safetensors"
    save_file({name: values * 1.1 for name, values in load_file(weights).items()}, weights, {"format": "pt"})
    assert np.abs(held.call(vectors, ["the red cat"], folder) - before).max() > 1e-3


def test_an_interrupt_of_the_notebook_does_not_reach_it(held: Engine) -> None:
    pid = held.call(os.getpid)
    os.kill(pid, signal.SIGINT)
    assert held.call(os.getpid) == pid


def test_a_killed_process_is_one_sentence_for_all_who_wait_and_the_next_call_works() -> None:
    engine = Engine()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(engine.call, time.sleep, 60) for _ in range(2)]
        until(lambda: engine.pid and engine._working == 2)
        first = engine.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        for job in waiting:
            with pytest.raises(RunError, match=r"it is gone \(killed.*try again with fewer texts"):
                job.result()
    second = engine.call(os.getpid)
    assert second != first
    os.kill(second, signal.SIGKILL)
    until(lambda: engine._pool._broken)
    assert gone(second)
    assert engine.call(os.getpid) not in (first, second)
    engine.close()


def hold(until_there: Path) -> int:
    """Runs in the process: goes on until a file is there."""
    while not until_there.exists():
        time.sleep(0.01)
    return os.getpid()


def test_what_waits_while_it_is_closed_ends_in_a_sentence(tmp_path: Path) -> None:
    engine = Engine()
    engine.call(os.getpid)
    said: list[str] = []

    def ask() -> None:
        try:
            engine.call(os.getpid)
        except RunError as error:
            said.append(str(error))

    engine.submit(hold, tmp_path / "closed")
    # the pool hands one call more to the process than it works on, so the last of several waits outside
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: engine._working == 5)
    engine.close()
    (tmp_path / "closed").touch()
    for thread in threads:
        thread.join()
    assert said and all("ended to free its memory; try again" in text for text in said)


def counted(steps: int, reached: Path | None = None, *, progress: Callable[[str, int, int], None]) -> int:
    """Runs in the process: tells each step for as long as it is let, and writes down how far it came."""
    step = 0
    try:
        for step in range(steps):
            progress("counting", step, steps)
            time.sleep(0.01)
    finally:
        if reached is not None:
            reached.write_text(str(step))
    return steps


def test_what_is_done_arrives_while_one_waits(held: Engine) -> None:
    seen: list[tuple[str, int, int]] = []
    assert held.call(counted, 80, progress=lambda *now: seen.append(now)) == 80
    assert seen and seen == sorted(seen) and {(phase, total) for phase, _, total in seen} == {("counting", 80)}


@pytest.mark.parametrize("raised", [Ended, KeyboardInterrupt])
def test_what_a_progress_raises_ends_the_call_alone_and_the_process_with_all_else_goes_on(
    held: Engine, tmp_path: Path, raised: type[BaseException]
) -> None:
    def stop(*now: object) -> None:
        raise raised

    pid = held.call(os.getpid)
    with pytest.raises(raised):
        held.call(counted, 10_000, tmp_path / "reached", progress=stop)
    assert held.call(os.getpid) == pid
    assert int((tmp_path / "reached").read_text()) < 9_999


def test_what_still_waits_for_its_turn_can_be_ended_and_disturbs_nobody(held: Engine) -> None:
    busy = held.submit(time.sleep, 1.0)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(held.call, counted, 60, progress=lambda *now: None)
        second = threads.submit(held.call, counted, 70, progress=lambda *now: None)
        assert (busy.result(), first.result(), second.result()) == (None, 60, 70)


def test_an_interrupt_of_a_command_ends_the_process_at_once() -> None:
    code = """if __name__ == "__main__":
    import os, signal, sys, threading, time
    from concurrent.futures import Future
    from workbench.cli import _progress
    from workbench.spaces.engine import engine
    pid, result = engine().call(os.getpid), Future.result
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    def waited_for(job):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return result(job)
    Future.result = waited_for
    try:
        with _progress():
            engine().call(time.sleep, 600)
    except KeyboardInterrupt:
        print(pid)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    until(lambda: gone(int(ran.stdout)))


def test_it_ends_when_nothing_is_asked_and_starts_again(tmp_path: Path) -> None:
    engine = Engine(idle_s=0.2)
    first = engine.call(os.getpid)
    until(lambda: engine.pid is None and gone(first))
    working = engine.submit(hold, tmp_path / "rested")
    engine._rest()  # a pause that ends while it works
    (tmp_path / "rested").touch()
    assert working.result() != first
    engine.close()


def test_it_ends_when_the_notebook_is_killed_and_the_notebook_loads_no_torch() -> None:
    code = """if __name__ == "__main__":
    import json, os, sys, time
    from workbench.spaces.engine import engine, vectors
    pid = engine().call(os.getpid)
    heavy = sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules))
    print(json.dumps([pid, heavy]), flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, heavy = json.loads(parent.stdout.readline())
    assert heavy == []
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(pid))


class Counting:
    """Stands for `Engine.call` and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, function: object, texts: list[str], model: str) -> np.ndarray:
        assert function is vectors
        self.asked.append((model, list(texts)))
        return np.array([[len(model), len(text)] for text in texts], dtype=np.float32)


def test_only_texts_that_are_new_to_a_model_are_asked_for() -> None:
    call, kept = Counting(), Vectors()
    kept.of(call, ["a", "bb", "a"], "m")
    assert kept.missing(["a", "c", "c"], "m") == ["c"]
    np.testing.assert_array_equal(kept.of(call, ["bb", "ccc", "a"], "m"), [[1, 2], [1, 3], [1, 1]])
    kept.of(call, ["a"], "other")
    kept.of(call, ["a"], "other")
    assert call.asked == [("m", ["a", "bb"]), ("m", ["ccc"]), ("other", ["a"])]


def test_the_vectors_unused_for_longest_are_dropped() -> None:
    call, kept = Counting(), Vectors(limit=2)
    assert len(kept.of(call, ["a", "b", "c"], "m")) == 3
    assert kept.missing(["a", "b", "c"], "m") == ["a"]
    kept.of(call, ["b"], "m")
    kept.of(call, ["d"], "m")
    assert kept.missing(["b", "c", "d"], "m") == ["c"]


def test_vectors_of_a_folder_are_asked_for_again_when_its_weights_change(tmp_path: Path) -> None:
    call, kept, weights = Counting(), Vectors(), tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    kept.of(call, ["a"], str(tmp_path))
    assert kept.missing(["a"], str(tmp_path)) == []
    os.utime(weights, ns=(1, 1))
    assert kept.missing(["a"], str(tmp_path)) == ["a"]


def test_a_name_that_can_be_no_path_is_only_a_name() -> None:
    assert Vectors().missing(["a"], "x" * 5000) == ["a"]


def test_a_script_that_guards_nothing_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('the script runs')\nimport os\nfrom workbench.spaces.engine import engine\n"
        "print(engine().call(os.getpid) != os.getpid())\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.split("\n")[:2] == ["the script runs", "True"]
