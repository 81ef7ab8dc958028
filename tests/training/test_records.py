"""What a run writes down, also when it is killed while writing, and the state that follows from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from workbench.errors import RunError
from workbench.training.folder import CHECKPOINT_STATE, RunFolder, safe_name, step_of
from workbench.training.records import (
    STARTING_S,
    EventWriter,
    Status,
    alive,
    clean,
    read_events,
    read_status,
    rewind,
    state,
    write_status,
)

# state


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("said", ["finished", "stopped", "failed"])
@pytest.mark.parametrize("pid", [None, 7])
def test_an_end_that_was_told_stays(said: str, lives: bool, pid: int | None) -> None:
    assert state(Status(said=said, pid=pid, started=0), lives=lives, now=1e9) == said


@pytest.mark.parametrize(
    ("said", "pid", "lives", "seconds", "expected"),
    [
        ("starting", None, False, 0, "starting"),
        ("starting", None, False, STARTING_S - 1, "starting"),
        ("starting", None, False, STARTING_S + 1, "died"),
        ("starting", 7, True, STARTING_S + 1, "starting"),
        ("starting", 7, False, 0, "died"),
        ("running", 7, True, 0, "running"),
        ("running", 7, True, 10**7, "running"),
        ("running", 7, False, 0, "died"),
        ("running", None, False, STARTING_S + 1, "died"),
    ],
)
def test_the_state_follows_from_what_was_said_and_whether_it_lives(
    said: str, pid: int | None, lives: bool, seconds: float, expected: str
) -> None:
    assert state(Status(said=said, pid=pid, started=1000.0), lives=lives, now=1000.0 + seconds) == expected


def test_a_process_is_alive_under_its_number_and_start_time() -> None:
    here = psutil.Process()
    assert alive(Status(pid=here.pid, born=here.create_time()))
    assert alive(Status(pid=here.pid, born=None))


def test_another_process_with_the_same_number_is_not_the_worker() -> None:
    here = psutil.Process()
    assert not alive(Status(pid=here.pid, born=here.create_time() - 60))


def test_a_run_without_a_process_is_not_alive() -> None:
    assert not alive(Status(pid=None))


def test_a_process_that_ended_is_not_alive_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = psutil.Process(child.pid).create_time()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie
    assert not alive(Status(pid=child.pid, born=born))
    child.wait()
    assert not alive(Status(pid=child.pid, born=born))


# status


def test_a_status_comes_back_as_it_was(tmp_path: Path) -> None:
    status = Status(said="running", phase="grün 😀", step=3, total_steps=9, pid=7, born=1.5, left_s=2.5, attempt=2)
    write_status(tmp_path / "status.json", status)
    assert read_status(tmp_path / "status.json") == status
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_status_that_is_not_there_yet_is_the_first_one(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status.json") == Status()


def test_what_a_later_version_adds_to_a_status_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"said": "running", "step": 4, "new_in_9": [1]}')
    assert read_status(tmp_path / "status.json") == Status(said="running", step=4)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff", b'"x"'])
def test_a_file_that_is_no_status_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(content)
    with pytest.raises(RunError, match=r"expected the status of a run in .*status\.json.*is this a run folder"):
        read_status(tmp_path / "status.json")


@pytest.mark.parametrize("said", ["dancing", 3, ["running"], None])
def test_an_unknown_state_is_named(said: object, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"said": said}))
    with pytest.raises(RunError, match="expected a state in "):
        read_status(tmp_path / "status.json")


# events


def written(path: Path, *events: tuple[str, dict]) -> Path:
    writer = EventWriter(path)
    for kind, values in events:
        writer.write(kind, **values)
    writer.close()
    return path


def kinds(path: Path) -> list[tuple[str, int | None]]:
    return [(event["kind"], event.get("step")) for event in read_events(path)[0]]


def test_events_come_back_in_order_each_on_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("step", {"step": 1, "loss": 0.5}), ("note", {"text": "a\nb\u2028c\x85d\r\n😀"}))
    events, place = read_events(path)
    assert [event["kind"] for event in events] == ["step", "note"]
    assert events[0]["loss"] == 0.5
    assert events[1]["text"] == "a\nb\u2028c\x85d\r\n😀"
    assert events[0]["time"] > 1.6e9
    assert place == path.stat().st_size
    assert path.read_bytes().count(b"\n") == 2


def test_a_file_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "e") == ([], 0)
    assert read_events(tmp_path / "e", 7) == ([], 7)


def test_an_unfinished_last_line_waits_for_its_end(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("step", {"step": 1}))
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "st')
    events, place = read_events(path)
    assert [event["step"] for event in events] == [1]
    with path.open("ab") as file:
        file.write(b'ep": 2}\n')
    events, place = read_events(path, place)
    assert [event["step"] for event in events] == [2]
    assert read_events(path, place) == ([], place)


def test_a_reader_that_keeps_its_place_sees_each_event_once(tmp_path: Path) -> None:
    writer, seen, place = EventWriter(tmp_path / "e"), [], 0
    for step in range(5):
        writer.write("step", step=step)
        events, place = read_events(tmp_path / "e", place)
        seen += [event["step"] for event in events]
    writer.close()
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("line", [b"", b"junk", b"[1]", b"3", b"\xff\xfe", b'{"kind": "step"'])
def test_a_line_that_is_no_event_is_passed_over(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(b'{"kind": "a"}\n' + line + b'\n{"kind": "b"}\n')
    assert kinds(path) == [("a", None), ("b", None)]


def test_what_a_killed_worker_left_unfinished_does_not_swallow_the_next_event(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("step", {"step": 1}))
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "st')
    written(path, ("started", {"step": 1}))
    assert kinds(path) == [("step", 1), ("started", 1)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_null_and_named(value: float, tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("step", {"step": 1, "loss": value, "grad_norm": 2.0}))
    (event,) = read_events(path)[0]
    assert event["loss"] is None
    assert event["undefined"] == {"loss": str(value)}
    assert event["grad_norm"] == 2.0
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_numbers_that_are_not_finite_are_null_inside_too(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("scores", {"scores": {"mrr": float("nan"), "all": [1.0, float("inf")]}}))
    assert read_events(path)[0][0]["scores"] == {"mrr": None, "all": [1.0, None]}
    assert "NaN" not in path.read_text()


def test_clean_keeps_all_but_what_json_cannot_hold() -> None:
    value = {1: (float("nan"), 2.5), "b": {"c": [float("inf"), None, True, "nan"]}}
    assert clean(value) == {"1": [None, 2.5], "b": {"c": [None, None, True, "nan"]}}


# resuming


def test_rewind_forgets_what_came_after_the_step(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e",
        ("started", {}),
        ("scores", {"step": 0}),
        ("step", {"step": 5}),
        ("checkpoint", {"step": 5}),
        ("step", {"step": 6}),
        ("nonfinite", {"step": 6}),
        ("failed", {"reason": "grün"}),
    )
    rewind(path, 5)
    assert kinds(path) == [("started", None), ("scores", 0), ("step", 5), ("checkpoint", 5), ("failed", None)]
    assert "grün" in path.read_text(encoding="utf-8")


def test_rewind_forgets_the_final_scores_of_a_run_that_was_stopped(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("scores", {"step": 5}), ("scores", {"step": 5, "final": True}))
    rewind(path, 5)
    assert kinds(path) == [("scores", 5)]


def test_rewind_to_before_the_first_step_keeps_only_the_life_of_the_worker(tmp_path: Path) -> None:
    path = written(
        tmp_path / "e", ("scores", {"step": 0}), ("started", {"step": 0}), ("step", {"step": 1}), ("failed", {})
    )
    rewind(path, -1)
    assert kinds(path) == [("started", 0), ("failed", None)]


def test_rewind_drops_an_unfinished_line_and_writing_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "e", ("step", {"step": 1}))
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "step": 2, "lo')
    rewind(path, 1)
    written(path, ("step", {"step": 2}))
    assert kinds(path) == [("step", 1), ("step", 2)]


def test_a_reader_whose_place_was_rewound_begins_again(tmp_path: Path) -> None:
    path = written(tmp_path / "e", *[("step", {"step": step}) for step in range(9)])
    _, place = read_events(path)
    rewind(path, 1)
    events, place = read_events(path, place)
    assert [event["step"] for event in events] == [0, 1]
    written(path, ("step", {"step": 2}))
    assert [event["step"] for event in read_events(path, place)[0]] == [2]


def test_rewind_without_events_makes_an_empty_file(tmp_path: Path) -> None:
    rewind(tmp_path / "e", 3)
    assert read_events(tmp_path / "e") == ([], 0)


# folder


def test_every_path_of_a_run_is_inside_its_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    names = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    paths = [getattr(folder, name) for name in names]
    assert len(set(paths)) == len(paths) >= 13
    assert all(tmp_path in path.parents for path in paths)
    assert folder.card.parent == folder.model


def test_only_complete_checkpoints_count_and_they_are_in_order_of_steps(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in (100, 20, 3):
        (folder.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
        (folder.checkpoints / f"checkpoint-{step}" / CHECKPOINT_STATE).write_text("{}")
    (folder.checkpoints / "checkpoint-200").mkdir()
    (folder.checkpoints / "notes").mkdir()
    assert [step_of(path) for path in folder.complete_checkpoints()] == [3, 20, 100]


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).complete_checkpoints() == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        ("../../etc/passwd", "etc-passwd"),
        ("a b\x00c\n/d", "a-b-c-d"),
        ("..", "run"),
        ("", "run"),
        ("😀", "run"),
        ("ähnlich.csv", "hnlich.csv"),
        (".hidden", "hidden"),
        ("x" * 200, "x" * 60),
        ("x" * 59 + ".y", "x" * 59),
    ],
)
def test_a_safe_name_fits_any_file_system(text: str, name: str) -> None:
    assert safe_name(text) == name
