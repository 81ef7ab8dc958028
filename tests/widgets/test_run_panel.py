"""The run panel as a person uses it, on run folders without a worker, and once with a real one."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs import MakeRun, outcome, scored, step
from workbench.errors import RecipeError, RunError
from workbench.recipe import Loss, Recipe
from workbench.training import records
from workbench.training.run import Run
from workbench.widgets.run_panel import RunPanel


def until(what: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that lives whatever its command line says."""
    monkeypatch.setattr(records, "alive", lambda status, folder=None: status.pid is not None and status.born != 1.0)


def test_a_finished_run_shows_its_outcome_curves_card_and_recipe(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(scores=outcome(0.5, 0.6), log="loading <b>libraries</b>")
    (run.folder / "model").mkdir()
    (run.folder / "model" / "README.md").write_text("# A <script>card</script>")
    panel = RunPanel(run=run, runs=tmp_path / "runs")
    until(lambda: "0.600" in panel.message)
    assert panel.message == (
        "finished: cosine_ndcg@10 0.500 → 0.600, difference +0.100 [+0.080, +0.120], on glossary/qa test (216 rows; 72 queries over 216 texts)"
    )
    assert {trace.name for trace in panel._pane.figure.data} >= {"first", "score before training"}
    assert list(panel._pane.figure.data[0].y) == [2.0, 1.0]
    assert "&lt;script&gt;card" in panel._card.value and "<script>" not in panel._card.value
    assert "&lt;b&gt;" in panel._log.value
    assert "MultipleNegativesRankingLoss" in panel._asked.value
    assert panel.code == f"wb.attach({str(run.folder)!r})"
    assert (panel._start.disabled, panel._stop.disabled, panel._resume.disabled, panel._zip.disabled) == (
        True,
        True,
        True,
        False,
    )
    assert "0.600" in panel.static() and "<svg" in panel.static() and "<script" not in panel.static()
    panel.close()


def test_a_live_run_is_followed_with_its_time_left_and_new_points(make_run: MakeRun, lives: None) -> None:
    run = make_run(said="running", lives=True, events=[scored(0, 0.5), step(1)])
    panel = RunPanel(run=run)
    until(lambda: "1 min 15 s left" in panel._state.value and panel._pane.figure is not None)
    assert (panel._bar.value, panel._bar.max) == (2, 4)
    assert not panel._stop.disabled and panel._resume.disabled and panel._zip.disabled
    with run.files.events.open("a") as file:
        file.write(json.dumps(step(2)) + "\n")
    until(lambda: len(panel._pane.figure.data[0].x) == 2)
    panel._stop.click()
    until(lambda: run.files.stop.exists())
    run.files.status.write_text(
        json.dumps({"said": "stopped", "reason": "stopped as asked", "step": 2, "total_steps": 4})
    )
    until(lambda: panel.message.startswith("stopped (stopped as asked): no rows were kept"))
    assert not panel._resume.disabled
    panel.close()


def found(number: int, **values: Any) -> dict[str, Any]:
    """An event of a finding."""
    known = {"code": "collapse", "severity": "error", "message": "All fell.", "why": "Why.", "fixed": "set it lower"}
    return {"kind": "finding", "step": number, "stops": True, **known, **values}


def test_what_is_found_appears_while_the_run_goes_on_and_marks_its_step(make_run: MakeRun, lives: None) -> None:
    looked = {"kind": "probe", "step": 0, "texts": 64}
    run = make_run(said="running", lives=True, events=[looked, step(1)])
    panel = RunPanel(run=run)
    until(lambda: "Nothing was found so far" in panel._health.value and panel._pane.figure is not None)
    calm = panel._health.value
    with run.files.events.open("a") as file:
        file.write(json.dumps(found(2, message="All <b>fell</b>.")) + "\n" + json.dumps(step(3)) + "\n")
    until(lambda: "All &lt;b&gt;fell&lt;/b&gt;. Why." in panel._health.value)
    assert "✖ error at step 2; the run was stopped:" in panel._health.value
    assert "To mend it: set it lower." in panel._health.value
    assert "role='log'" in panel._health.value and "height: 84px" in calm and "height: 84px" in panel._health.value
    until(lambda: len(panel._pane.figure.layout.shapes) == 1)
    assert panel._pane.figure.layout.shapes[0].x0 == 2
    assert "All &lt;b&gt;fell" in panel.static()
    panel.close()


def test_findings_of_a_past_run_are_shown_the_newest_first_and_none_hides_the_rest(make_run: MakeRun) -> None:
    events = [step(1), found(1, code="early", message="Early.", severity="note", stops=False), found(2, fixed=""), {
        "kind": "finding", "step": 3, "code": "<x>", "severity": "<y>"}]  # fmt: skip
    run = make_run(events=events, log="")
    run.files.status.write_text(json.dumps({"said": "finished", "step": 3, "total_steps": 3, "health_s": 0.25}))
    panel = RunPanel(run=run)
    panel.settle(60)
    shown = panel._health.value
    assert shown.index("&lt;y&gt; at step 3") < shown.index("All fell.") < shown.index("○ note at step 1:")
    assert "<x>" not in shown and "<y>" not in shown
    assert "health checks took 0.25 s" in panel._state.value
    assert [finding.code for finding in run.findings] == ["collapse", "early"], "one that is no finding is left out"
    assert "1 error, 1 note" in repr(run) and "All fell." in run._repr_html_()
    panel.close()


def test_a_run_that_was_never_watched_says_nothing_of_its_health(make_run: MakeRun) -> None:
    panel = RunPanel(run=make_run(scores=outcome(0.5, 0.6)))
    until(lambda: "0.600" in panel.message)
    assert "What is found while a run trains appears here" in panel._health.value
    panel.close()


def test_events_that_a_resume_took_back_leave_the_curves(make_run: MakeRun, lives: None) -> None:
    run = make_run(said="running", lives=True, events=[step(1), step(2), step(3)])
    panel = RunPanel(run=run)
    until(lambda: panel._pane.figure is not None and len(panel._pane.figure.data[0].x) == 3)
    records.rewind(run.files.events, 1)
    with run.files.events.open("a") as file:
        file.write(json.dumps(step(2, loss=0.25)) + "\n")
    until(lambda: list(panel._pane.figure.data[0].y) == [2.0, 0.25])
    panel.close()


def test_a_run_whose_process_is_gone_says_so_and_can_be_resumed(make_run: MakeRun) -> None:
    panel = RunPanel(run=make_run(said="running"))
    until(lambda: "is gone" in panel.message)
    assert "Resume goes on" in panel.message and not panel._resume.disabled
    panel.close()


def test_a_run_that_was_followed_before_shows_nothing_after_the_one_that_is_followed_now(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_run("first"), make_run("second", events=[step(7)])
    began, go_on, other, read = threading.Event(), threading.Event(), threading.Event(), records.read_events

    def slowly(path: Path, place: int = 0) -> Any:
        if path == second.files.events:
            other.set()
        elif not began.is_set():
            began.set()
            assert go_on.wait(60)
        return read(path, place)

    monkeypatch.setattr(records, "read_events", slowly)
    panel = RunPanel(run=first)
    assert began.wait(60)
    panel.run = second
    assert not other.wait(0.1), "the first is still to be shown"
    go_on.set()
    panel.settle(60)
    assert list(panel._courses) == ["second"]
    panel.close()


def test_a_failed_run_says_why(make_run: MakeRun) -> None:
    run = make_run(said="failed")
    run.files.status.write_text(json.dumps({"said": "failed", "reason": "expected <b>rows</b>, got none"}))
    panel = RunPanel(run=run.folder)
    until(lambda: "expected <b>rows</b>, got none" in panel.message)
    assert "<b>rows" not in panel._line.value
    panel.close()


def test_past_runs_are_listed_compared_and_opened(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("first", scores=outcome(0.5, 0.6))
    make_run("second", scores=outcome(0.5, 0.7), epochs=2)
    panel = RunPanel(runs=tmp_path / "runs")
    assert {name for _, name in panel._past.options} == {"first", "second"}
    assert any("0.500 → 0.700" in line for line, _ in panel._past.options)
    buttons = {child.description: child for child in panel._more.children[0].children[1].children}
    panel._past.value = ("first",)
    buttons["Compare chosen runs"].click()
    panel.settle(60)
    assert "at least two runs" in panel.message
    panel._past.value = ("first", "second")
    buttons["Compare chosen runs"].click()
    panel.settle(60)
    assert "epochs" in panel._compared.value and "0.5000 → 0.7000" in panel._compared.value
    assert "batch_size" not in panel._compared.value, "only settings that differ"
    assert [trace.name for trace in panel._pane.figure.data if trace.name in ("first", "second")].count("second") == 5
    panel._past.value = ("second",)
    buttons["Watch this run"].click()
    panel.settle(60)
    assert panel.run is not None and panel.run.folder.name == "second"
    panel.close()


def test_wrong_arguments_are_refused_in_a_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected a Recipe, got dict"):
        RunPanel({"epochs": 1})
    with pytest.raises(RunError, match=r"holds no recipe\.yaml"):
        RunPanel(run=tmp_path)
    with pytest.raises(TypeError, match="did you mean 'recipe'"):
        RunPanel(recip=None)


def test_a_mistake_in_the_recipe_is_told_in_the_message_line_and_leaves_no_folder(tmp_path: Path) -> None:
    recipe = Recipe(loss=Loss("CoSENTLoss"), data="glossary/qa")
    panel = RunPanel(recipe, runs=tmp_path / "runs")
    assert panel.code == "wb.train(wb.Recipe(loss=wb.Loss('CoSENTLoss'), data='glossary/qa'))"
    panel._start.click()
    panel.settle(60)
    assert "CoSENTLoss" in panel.message and panel.run is None
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


def test_a_run_is_started_followed_and_packed(tiny_bert: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.jsonl"
    table.write_text(
        "".join(json.dumps({"anchor": f"the {a} sings", "positive": f"a {a} runs"}) + "\n" for a in "bcdefghijklmnopq")
    )
    recipe = Recipe(
        model=str(tiny_bert), loss=Loss("MultipleNegativesRankingLoss"), data=str(table), batch_size=4, device="cpu"
    )
    panel = RunPanel(recipe, runs=tmp_path / "runs")
    panel._start.click()
    until(lambda: panel.run is not None, 60)
    until(lambda: panel.message.startswith("finished"), 240)
    assert panel._bar.value == panel._bar.max > 1 and not panel._zip.disabled
    sent: list[Any] = []
    panel._zip.send = lambda content, buffers=None: sent.append((content, buffers))
    panel._zip._begin()
    panel._zip._hear(None, {"kind": "piece", "number": 0}, None)
    assert sent[0][0] == {"kind": "begin"} and sent[1][0]["of"] == 1
    assert sent[1][0]["name"].endswith(".zip")
    (tmp_path / "got.zip").write_bytes(sent[1][1][0])
    assert "model/model.safetensors" in zipfile.ZipFile(tmp_path / "got.zip").namelist()
    assert isinstance(panel.run, Run)
    panel.close()


@pytest.mark.parametrize("damage", ["", "[1, 2]", '{"before": 3}', "\xff junk"])
def test_one_damaged_run_hides_no_other(make_run: MakeRun, tmp_path: Path, damage: str) -> None:
    make_run("good", scores=outcome(0.5, 0.6))
    bad = make_run("bad")
    bad.files.scores.write_text(damage, encoding="latin-1")
    panel = RunPanel(runs=tmp_path / "runs")
    lines = dict((name, line) for line, name in panel._past.options)
    assert "unreadable" in lines["bad"] and "0.600" in lines["good"]
    panel.run = bad
    panel.settle(60)
    until(lambda: "the file is damaged" in panel.message)
    panel.close()


def test_a_finished_run_without_its_card_is_shown_all_the_same(make_run: MakeRun) -> None:
    run = make_run(scores=outcome(0.5, 0.6))
    (run.folder / "model").mkdir()
    panel = RunPanel(run=run)
    until(lambda: "0.600" in panel.message)
    assert "There is no card" in panel._card.value
    panel.close()


def test_stopping_what_has_ended_says_so(make_run: MakeRun) -> None:
    panel = RunPanel(run=make_run())
    panel.settle(60)
    panel._stop.click()
    panel.settle(60)
    until(lambda: "nothing to stop" in panel.message)
    panel.close()


def test_wrong_values_of_traits_are_refused_in_a_sentence(tmp_path: Path) -> None:
    panel = RunPanel(runs=tmp_path)
    with pytest.raises(RecipeError, match="expected a Recipe, got int"):
        panel.recipe = 3
    with pytest.raises(RunError, match="expected a Run, got int"):
        RunPanel(run=3)
    with pytest.raises(RunError, match="expected the folder where runs are kept, got int"):
        RunPanel(runs=3)
    with pytest.raises(RunError, match="expected the path of a run folder"):
        RunPanel(run="a\0b")
