"""Two models compared as a person does it: scores, maps, what flipped, whose neighbours changed."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.runs import MakeRun
from tests.spaces.standins import angle, random_vector
from tests.widgets.doubles import HOSTILE, FakeEngine, marked, page_says
from workbench.data.load import load
from workbench.errors import DataError, ModelError, RunError
from workbench.widgets import compare_panel
from workbench.widgets.compare_panel import ComparePanel

N = 12
Open = Callable[..., ComparePanel]


def vector(text: str, model: str) -> Any:
    """The base model knows nothing, the tuned one puts question n beside answer n, but for the last, which it spoils."""
    number = int(text.split()[-1])
    if model == "base":
        return random_vector(text if number < N - 1 else f"number {number}")
    return np.concatenate([angle(number * 360 / N + (180 if number == N - 1 and "answer" in text else 0)), np.zeros(6)])


def table(word: str = "") -> Any:
    rows = {"question": [f"{word}question {n}" for n in range(N)], "reply": [f"{word}answer {n}" for n in range(N)]}
    return load(
        pd.DataFrame({**rows, "topic": list("xy") * (N // 2)}), columns={"question": "anchor", "reply": "positive"}
    )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    made.vector = vector
    monkeypatch.setattr(compare_panel, "engine", lambda: made)
    return made


@pytest.fixture
def open_panel(engine: FakeEngine) -> Iterator[Open]:
    panels: list[ComparePanel] = []

    def make(
        before: Any = "base", after: Any = "org/tuned", data: Any = None, *, drawn: bool = True, **given: Any
    ) -> ComparePanel:
        panel = ComparePanel(before, after, table() if data is None else data, **given)
        panels.append(panel)
        if drawn:
            panel._parts.draw.click()
            panel.settle(60)
        return panel

    yield make
    for panel in panels:
        panel.close()


# what is compared


def test_nothing_is_scored_before_the_click(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel(drawn=False)
    assert engine.asked == [] and panel.change is None and panel._points.figure is None
    assert panel._parts.tabs.children == () and panel._parts.tabs.layout.display == "none", "no empty boxes"
    assert panel._parts.below.layout.display == "none"
    panel._parts.draw.click()
    panel.settle(60)
    assert engine.asked == [
        "evaluate",
        "evaluate",
        "compare",
        "embed",
        "embed",
        "project",
        "project",
        "neighbour_change",
        *["project"] * 7,
    ], "the last seven are the noise"
    assert engine.models == ["base", "org/tuned"] * 2
    assert panel.message == "Compared"
    assert panel._parts.tabs.layout.display == "flex"


def test_each_stage_is_told(open_panel: Open) -> None:
    panel = open_panel(drawn=False)
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    panel.draw()
    panel.settle(60)
    told = " ".join(said)
    for words in (
        f"Scoring base on {N} rows",
        f"Scoring org/tuned on {N} rows",
        f"Encoding {2 * N} texts with org/tuned, 0 done",
        "with UMAP",
        "Comparing neighbours",
    ):
        assert words in told


def test_scores_stand_side_by_side_with_their_difference(open_panel: Open) -> None:
    panel = open_panel()
    shown = panel._parts.scores.value
    for name, score in panel.change.after.scores.items():
        assert name in shown and escape(str(score)) in shown and escape(str(panel.change.delta[name])) in shown
    assert "before: base" in shown and "after: tuned" in shown and "<svg" in shown
    assert f"{N} rows of" in panel._parts.short.value and panel.change.sentences[1][:20] in panel._parts.short.value


def test_both_maps_are_one_figure_and_the_second_starts_from_the_first(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    first, second = panel.maps
    assert first.space.model == "base" and second.space.model == "org/tuned"
    assert [trace.name for trace in panel._points.figure.data] == ["x", "y"] * 2
    assert panel._parts.picture.children == (panel._points.figure,)
    assert "Colour: topic." in panel._parts.caption.value and "trustworthiness 0.987" in panel._parts.caption.value


def test_titles_of_the_sections_count_what_is_in_them(open_panel: Open) -> None:
    panel = open_panel()
    gained, lost = len(panel.change.gained), len(panel.change.lost)
    assert gained > 0 and lost > 0
    assert panel._parts.tabs.titles == (
        "Scores",
        f"Flipped ({gained} gained, {lost} lost)",
        f"Maps ({2 * N} texts)",
        f"Neighbours ({int((panel.moved.change > 0).sum())} of {2 * N} changed)",
        "Similarities (8 texts)",
    )


def test_of_many_texts_a_stated_sample_is_mapped(open_panel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_panel, "MAP_UP_TO", 10)
    panel = open_panel()
    assert len(panel.maps[0].space) == 10 == len(panel.moved)
    assert f"10 distinct texts, a sample of {2 * N} with seed 0" in panel._parts.short.value
    assert ", limit=" in panel.code


def test_a_run_alone_is_compared_with_its_base_on_what_it_held_out(
    open_panel: Open, engine: FakeEngine, make_run: MakeRun, tmp_path: Path
) -> None:
    rows = pd.DataFrame(
        {"anchor": [f"question {n}" for n in range(20)], "positive": [f"answer {n}" for n in range(20)]}
    )
    rows.to_csv(tmp_path / "rows.csv", index=False)
    run = make_run(data=str(tmp_path / "rows.csv"), eval_share=0.3, model="base")
    run.files.model.mkdir()
    panel = ComparePanel(after=run)
    panel.draw()
    panel.settle(60)
    assert engine.models[:2] == ["base", str(run.model_folder)]
    assert panel.change.after.rows == 6 and "the rows that the run held out" in panel._parts.short.value
    assert panel._parts.after.value == str(run.folder) and panel._parts.before.value == ""
    assert panel.code == f"wb.compare('base', wb.attach({str(run.folder)!r}))"
    panel.before = "other"
    panel.data = str(tmp_path / "rows.csv")
    panel.after = str(run.folder)
    panel.draw()
    panel.settle(60)
    assert panel.change.after.rows == 6 and "trained on the others" in panel._parts.short.value
    panel.close()


def test_the_test_part_is_taken_where_there_is_one(open_panel: Open) -> None:
    panel = open_panel(data="glossary/qa", drawn=False)
    made = "wb.load('glossary/qa', split='test')"
    assert panel.code == f"wb.compare('base', 'org/tuned', {made})"
    ast.parse(panel.code, mode="eval")


def test_models_can_be_typed(open_panel: Open) -> None:
    panel = open_panel(drawn=False)
    panel._parts.after.value = " third/model "
    assert panel.after == "third/model" and "'third/model'" in panel.code
    panel.before = "fourth"
    assert panel._parts.before.value == "fourth"
    panel._parts.before.value = ""
    assert panel.before is None


def test_two_models_are_needed(open_panel: Open) -> None:
    assert "got none for after; give a name" in open_panel(after=None).message
    assert "got none for before" in open_panel(before=None).message


@pytest.mark.parametrize("wrong", [3, "", ["a"]])
def test_what_is_no_model_is_refused(open_panel: Open, wrong: Any) -> None:
    with pytest.raises(ModelError, match="expected a model name, a folder or a run"):
        open_panel(wrong, drawn=False)


@pytest.mark.parametrize("seed", [-1, "x", 2.5, 10**30, None, True])
def test_a_seed_that_is_none_is_refused(open_panel: Open, seed: Any) -> None:
    with pytest.raises(DataError, match="expected seed= a whole number from 0 to 4294967295, got"):
        open_panel(drawn=False, seed=seed)


def test_the_code_loads_a_table_from_memory(open_panel: Open) -> None:
    frame = pd.DataFrame({"anchor": ["a"], "positive": ["b"]})
    panel = open_panel(data=frame, drawn=False)
    call = ast.parse(panel.code, mode="eval").body.args[2]  # type: ignore[attr-defined]
    assert eval(ast.unparse(call), {"wb": wb, "data": frame}).used == panel.data.used


def test_a_closed_panel_says_that_it_is_closed(open_panel: Open, caplog: pytest.LogCaptureFixture) -> None:
    panel = open_panel(drawn=False)
    panel.close()
    panel.draw()
    assert "is closed" in panel.message and caplog.records == []


def test_without_data_and_run_the_message_line_says_so(engine: FakeEngine) -> None:
    panel = ComparePanel("base", "org/tuned")
    panel.draw()
    panel.settle(60)
    assert "expected a table to compare the models on" in panel.message
    ast.parse(panel.code, mode="eval")
    panel.close()


def test_a_table_without_a_score_is_compared_by_its_maps_and_neighbours(open_panel: Open) -> None:
    panel = open_panel(data=load(pd.DataFrame({"text": [f"answer {n}" for n in range(6)]})))
    assert "to score a model on" in panel._parts.short.value and panel.change.delta == {}
    assert panel._parts.tabs.titles == (
        "Maps (6 texts)",
        f"Neighbours ({int((panel.moved.change > 0).sum())} of 6 changed)",
        "Similarities (6 texts)",
    )
    assert panel.static().count("<svg") == 1


def test_what_fails_is_said_and_what_is_shown_stays(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    engine.fails = RunError("the process is gone")
    panel.draw()
    panel.settle(60)
    assert panel.message == "the process is gone" and panel.change is not None


def test_a_comparison_can_be_stopped(open_panel: Open, engine: FakeEngine) -> None:
    engine.gates["evaluate"] = threading.Event()
    panel = open_panel(drawn=False)
    panel.draw()
    assert engine.reached.wait(60) and panel._parts.stop.disabled is False
    panel._parts.stop.click()
    engine.gates["evaluate"].set()
    panel.settle(60)
    assert engine.asked == ["evaluate"] and panel.change is None and panel._parts.stop.disabled


def test_a_changed_model_has_to_be_compared_again(open_panel: Open) -> None:
    panel = open_panel()
    panel.after = "base"
    assert panel.message == "'after' changed: compare again"
    panel.draw()
    panel.settle(60)
    assert panel.change.gained == [] and panel._parts.tabs.titles[1].startswith("Maps"), "no row flipped"
    assert panel.moved.most() == () and "No text has other neighbours" in panel._parts.changed.value


# looking at one text


def test_a_flipped_row_shows_its_full_texts_and_is_found_on_the_maps(open_panel: Open) -> None:
    panel = open_panel()
    assert panel.row is None and panel._parts.lost.value is None
    texts, before, after = panel.change.lost[0]
    panel._parts.lost.index = 0
    assert f"{before:.3f} before, {after:.3f} after" in panel._parts.unit.value and texts[1] in panel._parts.unit.value
    assert panel.maps[0].space.texts[panel.row] == texts[0]
    assert marked(panel._points.figure) == {panel.row}
    assert f"Row {panel.row}" in panel._parts.detail.value


def test_a_point_that_is_clicked_shows_its_neighbours_then_and_now(open_panel: Open) -> None:
    panel = open_panel()
    page_says(panel._points.figure, "plotly_click", {"3": [0]})
    row = int(panel._points.figure.data[3].customdata[0])
    assert panel.row == row
    move, texts = panel.moved.moved(row), panel.maps[0].space.texts
    assert all(texts[place] in panel._parts.detail.value for place in (*move.came, *move.went, *move.stayed))
    assert f"1 − Jaccard {panel.moved.change[row]:.3f}" in panel._parts.detail.value


def test_the_most_changed_texts_are_listed_and_can_be_chosen(open_panel: Open) -> None:
    panel = open_panel()
    most = panel.moved.most(20)
    assert [row for _, row in panel._parts.most.options] == list(most)
    assert panel._parts.tabs.selected_index == 0, "what is looked at does not change while more comes"
    assert panel.row is None
    panel._parts.most.value = most[1]
    assert panel.row == most[1]
    assert panel._parts.changed.value.count("<tr>") == len(most) + 1


def test_texts_can_be_listed_by_their_way_on_the_map(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    way, (_, farthest) = panel.change.displacement, panel._parts.order.options
    panel._parts.order.value = farthest
    rows = [row for _, row in panel._parts.most.options]
    assert rows == list(panel.change.farthest(20)) and (np.diff(way.distance[rows]) <= 0).all()
    assert "more than the noise" in panel._parts.changed.value and "<svg" in panel._parts.noise.value
    assert (
        "noise from 7 layouts" in panel._parts.noise.value and "(noise from 7 layouts): " in panel.change.sentences[2]
    )
    panel.row = rows[0]
    assert "on the map, more than the noise" in panel._parts.detail.value


def test_a_cell_of_the_matrix_shows_both_texts_in_full(open_panel: Open) -> None:
    panel = open_panel()
    first, second = panel.change.similarity
    assert [table["name"] for table in panel._parts.matrices.content["tables"]] == [
        "Base: base",
        "Tuned: tuned",
        "Difference: tuned − base",
    ]
    panel._parts.matrices.pair = [0, 3]
    shown = panel._parts.pair.value
    assert all(first.texts[place] in shown for place in (0, 3))
    assert f"Cosine {first.matrix[0, 3]:.3f} before, {second.matrix[0, 3]:.3f} after" in shown


def test_a_collapsed_model_is_said_to_be_so(open_panel: Open, engine: FakeEngine) -> None:
    engine.vector = lambda text, model: vector(text, "base") if model == "base" else np.ones(8)
    panel = open_panel()
    assert "collapsed" in panel._parts.short.value and "nan" not in panel.static()
    assert "are alike" in panel._parts.changed.value and panel._parts.noise.value == ""


def test_a_lasso_marks_the_texts_in_both_maps(open_panel: Open) -> None:
    panel = open_panel()
    page_says(panel._points.figure, "plotly_selected", {"0": [0, 2]})
    page_says(panel._points.figure, "plotly_selected", {})
    rows = {int(panel._points.figure.data[0].customdata[place]) for place in (0, 2)}
    assert marked(panel._points.figure) == rows
    assert [len(trace.selectedpoints) for trace in panel._points.figure.data] == [2, 0, 2, 0]
    assert panel.message == "2 texts are marked in both maps"


def test_the_row_can_be_set_also_before_the_comparison(open_panel: Open) -> None:
    panel = open_panel(row=3)
    assert panel.row == 3 and marked(panel._points.figure) == {3} and "Row 3" in panel._parts.detail.value
    panel.row = None
    assert panel._parts.detail.value == "" and panel._parts.below.layout.display == "none"
    assert open_panel(row=999).row is None


@pytest.mark.parametrize("wrong", [-1, "a", 2.5, 2 * N])
def test_a_row_that_is_none_is_refused(open_panel: Open, wrong: Any) -> None:
    panel = open_panel()
    with pytest.raises(DataError, match=f"expected a row number from 0 to {2 * N - 1}, got"):
        panel.row = wrong


# the same elsewhere


def test_a_saved_notebook_shows_scores_maps_and_rows(open_panel: Open) -> None:
    panel = open_panel()
    still = panel.static()
    assert still.count("<svg") == 2 and "Difference: tuned" in still and "gained" in still and "1 − Jaccard" in still
    assert len(still) < 150_000 and "<script" not in still
    assert ComparePanel().static() == "<p>Nothing is compared yet.</p>"


def test_hostile_words_are_only_words(open_panel: Open, engine: FakeEngine) -> None:
    engine.vector = lambda text, model: vector(text, "base" if "before" in model else "tuned")
    panel = open_panel(f"{HOSTILE} before", f"{HOSTILE} after", table(f"{HOSTILE} "), row=1)
    panel._parts.gained.index = 0
    own = panel._parts
    own.matrices.pair = [0, 1]
    html = [part.value for part in (own.scores, own.caption, own.unit, own.changed, own.detail, own.pair)]
    for shown in (*html, panel._line.value, panel._shown_code.value, panel.static(), panel._points.figure.to_json()):
        assert "<img" not in shown and "<script>alert" not in shown
    assert all("&lt;img" in shown for shown in html[1:])
    assert "before: script&gt; %{x} before" in html[0], "of a model's name the part after the last slash"


def test_opening_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom workbench.widgets.compare_panel import ComparePanel\n"
        "panel = ComparePanel('a', 'b', 'glossary/qa')\npanel.static()\n"
        "print([m for m in ('torch', 'umap', 'sklearn', 'sentence_transformers', 'transformers', 'matplotlib', 'nbformat')"
        " if m in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
