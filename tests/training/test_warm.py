"""A process that waits for a run: what it becomes, and when there is none."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.training.conftest import weights
from workbench import files
from workbench.checks import cost
from workbench.recipe import Recipe
from workbench.training import waiter, warm
from workbench.training.folder import RunFolder
from workbench.training.launch import train
from workbench.training.records import Status, alive

Make = Callable[..., Recipe]
WAIT_S = 240
pytestmark = pytest.mark.skipif(os.name != "posix", reason="a process waits only where pipes can be waited for")


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[warm.Waiting]:
    """The waiting process of a kernel that has shown a panel."""
    mine = warm.Waiting()
    mine._shown = True
    monkeypatch.setattr(warm, "waiting", lambda: mine)
    monkeypatch.setattr(cost, "free_memory", lambda: 4_000_000_000)
    monkeypatch.setattr(warm, "ANSWER_S", WAIT_S)  # it may have begun just now on a machine that is busy
    yield mine
    mine.close()


def test_a_run_of_the_waiting_process_gives_bitwise_the_weights_of_a_plain_one(
    waiting: warm.Waiting, recipe: Make, tmp_path: Path
) -> None:
    plain = train(recipe(), folder=tmp_path / "plain")
    assert waiting.pid is None, "a script starts nothing"
    waiting.expect(recipe())
    pid = waiting.pid
    run = train(recipe(), folder=tmp_path / "warm")
    assert waiting.pid is None, "it is the worker of that run now"
    run.wait(WAIT_S), plain.wait(WAIT_S)
    assert run.status.pid == pid != plain.status.pid
    assert weights(run) == weights(plain)
    assert run.scores == plain.scores
    assert [event["kind"] for event in run.events()] == [event["kind"] for event in plain.events()]
    assert run.log(), "what the libraries print stands in the log of the run"


def test_nothing_waits_before_a_panel_was_shown(recipe: Make) -> None:
    never = warm.Waiting()
    never.expect(recipe())
    assert never.pid is None


def test_nothing_waits_where_little_memory_is_free(
    waiting: warm.Waiting, recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "free_memory", lambda: 1_400_000_000)
    waiting.expect(recipe())
    assert waiting.pid is None


@pytest.mark.parametrize("what", ["variable", "folder", "path"])
def test_a_process_of_other_surroundings_is_ended_and_not_used(
    what: str, waiting: warm.Waiting, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting.expect(recipe())
    first = waiting.pid
    assert first is not None
    if what == "variable":
        monkeypatch.setenv("SOME_SETTING", "1")
    elif what == "folder":
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.syspath_prepend(tmp_path)
    assert not waiting.hand_over(RunFolder(tmp_path))
    assert not psutil.pid_exists(first)
    waiting.expect(recipe())
    assert waiting.pid not in (None, first), "the next one has the new surroundings"


def test_a_process_that_does_not_answer_is_ended(
    waiting: warm.Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "ANSWER_S", 0.05)
    silent = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiting._process, waiting._made_in = silent, warm._surroundings()
    assert not waiting.hand_over(RunFolder(tmp_path))
    assert silent.returncode is not None and waiting.pid is None


def test_the_same_recipe_is_told_once(waiting: warm.Waiting, recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(waiting, "_tell", told.append)
    waiting.expect(recipe())
    waiting.expect(recipe(learning_rate=0.5))
    waiting.expect(recipe(max_seq_length=9))
    assert [("max_seq_length" in words, "learning_rate" in words) for words in told] == [(False, False), (True, False)]


LISTEN = "import sys; from workbench.training import waiter; {}; waiter.listen(waiter.Orders()); sys.exit(3)"


def listener(settings: str = "pass") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", LISTEN.format(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_it_ends_with_the_process_that_started_it() -> None:
    child = listener()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(60) == 0


def test_it_ends_where_its_parent_was_killed_though_another_holds_its_pipe_open() -> None:
    say = "waiter.select.select = lambda *given: (print('it listens', flush=True), look(*given))[1]"
    inner = LISTEN.format(f"waiter.LOOK_S = 0.05; look = waiter.select.select; {say}")
    outer = f"import os, subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {inner!r}]).pid, flush=True); sys.stdin.read()"
    ours, theirs = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", outer], stdin=ours, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == b"it listens\n"
    parent.kill()
    parent.wait()
    end = time.monotonic() + WAIT_S
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.05)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    os.close(theirs), os.close(ours)


def test_it_ends_after_a_while_without_an_order() -> None:
    assert listener("waiter.IDLE_S = waiter.LOOK_S = 0.05").wait(60) == 0


def test_it_answers_before_it_becomes_a_worker() -> None:
    child = listener()
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b'{"run": "/nowhere"}\n')
    child.stdin.flush()
    assert select.select([child.stdout], [], [], 60)[0] and child.stdout.read() == warm.TAKEN
    assert child.wait(60) == 3


def test_the_rows_of_the_expected_recipe_are_encoded_ahead(recipe: Make) -> None:
    from workbench.catalog import models
    from workbench.data.prepare import prepare
    from workbench.training import worker

    waiter.do_ahead(recipe(), waiter.Orders())
    kept = sorted(files.home().rglob("*.npy"))
    assert kept
    _, evaluation = prepare(recipe())
    assert evaluation is not None
    worker.score(models.load(recipe().model, device="cpu"), evaluation, recipe())
    assert sorted(files.home().rglob("*.npy")) == kept, "the run finds them and makes none"


def test_a_newer_recipe_makes_the_one_before_void(recipe: Make) -> None:
    orders = waiter.Orders()
    orders.give({"expect": {}})
    with pytest.raises(waiter.Void):
        waiter.do_ahead(recipe(), orders)


@pytest.mark.parametrize(("changes", "wanted"), [({"learning_rate": 0.5}, True), ({"max_seq_length": 8}, False)])
def test_a_run_that_comes_meanwhile_waits_for_the_vectors_only_if_it_wants_them(
    changes: dict[str, Any], wanted: bool, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.launch.start_worker", lambda place: None)
    run = train(recipe(**changes), folder=tmp_path / "run")
    orders = waiter.Orders()
    orders.give({"run": str(run.folder)})
    if wanted:
        waiter.do_ahead(recipe(), orders)
    else:
        with pytest.raises(waiter.Void):
            waiter.do_ahead(recipe(), orders)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_work_ahead_that_does_not_fit_into_memory_leaves_the_run_to_its_worker(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise error

    orders: Iterator[dict[str, Any]] = iter([{"expect": {"data": "glossary/qa"}}, {"run": "a folder"}])
    monkeypatch.setattr(waiter, "listen", lambda _: None)
    monkeypatch.setattr(waiter.Orders, "take", lambda _: next(orders))
    monkeypatch.setattr(waiter, "LIBRARIES", ())
    monkeypatch.setattr(waiter, "do_ahead", full)
    monkeypatch.setattr(waiter.gc, "freeze", lambda: None)
    monkeypatch.setattr(waiter, "become_worker", lambda place: place.path.name)
    assert waiter.main() == "a folder"


def test_nothing_is_fetched_ahead(recipe: Make) -> None:
    waiter.do_ahead(recipe(model="nobody/nothing"), waiter.Orders())
    waiter.do_ahead(recipe(data="nobody/nothing"), waiter.Orders())
    assert not sorted(files.home().rglob("*.npy"))


def test_a_process_works_on_the_folder_that_its_status_names(tmp_path: Path) -> None:
    here = psutil.Process()
    status = Status(pid=here.pid, born=here.create_time(), folder=str(tmp_path / "run"))
    assert alive(status, tmp_path / "run")
    assert not alive(status, tmp_path / "copy")
