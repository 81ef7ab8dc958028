"""The map as a person uses it: draw, colour, lasso, search, click."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.runs import MakeRun
from tests.spaces.standins import random_vector
from tests.widgets.doubles import HOSTILE, FakeEngine, marked, page_says
from workbench.data.load import load
from workbench.errors import DataError, ModelError, RunError
from workbench.plots import map as plots
from workbench.spaces import stages
from workbench.spaces.clusters import clusters
from workbench.spaces.encode import Space, embed
from workbench.widgets import embedding_map
from workbench.widgets.embedding_map import EmbeddingMap

TEXTS = ["a red cat", "a blue cat", "a red dog", "a green tree", "the old stone", "a river"]
Open = Callable[..., EmbeddingMap]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    monkeypatch.setattr(embedding_map, "engine", lambda: made)
    return made


@pytest.fixture
def open_map(engine: FakeEngine) -> Iterator[Open]:
    panels: list[EmbeddingMap] = []

    def make(data: Any = TEXTS, model: Any = "some/model", *, drawn: bool = True, **given: Any) -> EmbeddingMap:
        panel = EmbeddingMap(data, model, **given)
        panels.append(panel)
        if drawn and not isinstance(data, Space):
            panel._parts.draw.click()
        panel.settle(60)
        return panel

    yield make
    for panel in panels:
        panel.close()


def space(n: int = 6, labels: list[str] | None = None) -> Space:
    texts = tuple(f"text {row}" for row in range(n))
    vectors = np.array([random_vector(text) for text in texts], np.float32)
    return Space(texts, vectors, "a model", "0" * 16, labels=None if labels is None else tuple(labels))


def table(**more: Any) -> Any:
    columns = {"q": ["a", "b", "c"], "d": ["d", "a", "e"], "topic": ["x", "y", "x"], **more}
    return load(pd.DataFrame(columns), columns={"q": "anchor", "d": "positive"})


def names(panel: EmbeddingMap) -> list[str]:
    return [trace.name for trace in panel._points.figure.data]


# drawing


def test_nothing_is_encoded_before_the_click(open_map: Open, engine: FakeEngine) -> None:
    panel = open_map(drawn=False)
    assert engine.asked == [] and panel.space is None and panel._points.figure is None
    panel._parts.draw.click()
    panel.settle(60)
    assert engine.asked == ["embed", "project", "measures"] and engine.models == ["some/model"]
    assert panel.space.texts == tuple(TEXTS) and panel.projection.engine == "umap"
    assert panel.message == "Drawn: 6 texts" and "trustworthiness 0.987" in panel._parts.caption.value
    assert "trustworthiness 0.987" in panel._parts.caption.value


def test_a_space_is_drawn_at_once_and_not_encoded(open_map: Open, engine: FakeEngine) -> None:
    made = space()
    panel = open_map(made, None)
    assert engine.asked == ["project", "measures"] and panel.space is made
    assert panel._points.figure.layout.height == 520


def test_a_pca_stands_there_until_umap_is_done_and_says_so(open_map: Open, engine: FakeEngine) -> None:
    engine.gates["project"] = threading.Event()
    panel = EmbeddingMap(space(), None)
    assert engine.reached.wait(60)
    assert panel.projection.engine == "pca" and "PCA, first picture" in panel._points.figure.layout.title.text
    assert "PCA" in panel._points.figure.layout.xaxis.title.text and "UMAP" in panel.message
    first = panel._points.figure
    engine.gates["project"].set()
    panel.settle(60)
    assert panel._points.figure is first, "one figure for all pictures"
    assert panel.projection.engine == "umap" and "first picture" not in first.layout.title.text
    panel.close()


def test_the_distinct_texts_of_all_columns_of_a_table_are_drawn(open_map: Open) -> None:
    panel = open_map(table())
    assert panel.space.texts == ("a", "b", "c", "d", "e")


def test_a_run_is_a_model(open_map: Open, engine: FakeEngine, make_run: MakeRun) -> None:
    run = make_run()
    run.files.model.mkdir()
    panel = open_map(TEXTS, run)
    assert engine.models == [str(run.model_folder)]
    assert f"wb.attach({str(run.folder)!r})" in panel.code


def test_a_run_without_a_model_is_said_in_the_message_line(open_map: Open, make_run: MakeRun) -> None:
    panel = open_map(TEXTS, make_run())
    assert "expected a finished model" in panel.message and panel.space is None


def test_encoding_goes_in_pieces_that_are_counted_and_can_be_stopped(
    open_map: Open, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "PIECE", 2)
    engine.gates["embed"] = threading.Event()
    panel = open_map(drawn=False)
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    panel._parts.draw.click()
    assert engine.reached.wait(60)
    assert said == ["Encoding 6 texts, 0 done …"] and panel._parts.stop.disabled is False
    panel._parts.stop.click()
    engine.gates["embed"].set()
    panel.settle(60)
    assert engine.asked == ["embed"] and panel.space is None and panel._parts.stop.disabled is True
    assert panel.message.startswith("Stopped")


def test_the_layout_tells_how_far_it_is_and_the_button_ends_it(
    open_map: Open, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_map(drawn=False)
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    reached: list[str] = []

    def call(function: Any, *given: Any, progress: Any = None, **options: Any) -> Any:
        if function.__name__ == "project":
            for now in (("neighbours", 34, 100), ("layout", 120, 500), ("judging the map", 0, 1)):
                progress(*now)
                reached.append(now[0])
                if now[0] == "layout":
                    panel._parts.stop.click()
        return FakeEngine.call(engine, function, *given, **options)

    monkeypatch.setattr(engine, "call", call)
    panel.draw()
    panel.settle(60)
    assert [text for text in said if "Laying out" in text][1:] == [
        f"Laying out 6 texts with UMAP, {far}; until then the map is a PCA"
        for far in ("neighbours 34 %", "layout 120 of 500")
    ]
    assert reached == ["neighbours", "layout"] and panel.projection.engine == "pca"
    assert panel.message.startswith("Stopped") and panel._parts.stop.disabled is True


def test_the_first_picture_does_not_wait_for_clusters(open_map: Open, engine: FakeEngine) -> None:
    engine.gates["project"] = threading.Event()
    panel = EmbeddingMap(TEXTS, "some/model", colour="cluster")
    panel.draw()
    assert engine.reached.wait(60)
    assert "clusters" not in engine.asked and names(panel) == [""]
    engine.gates["project"].set()
    panel.settle(60)
    assert names(panel) == ["cluster 1", "cluster 2"]
    panel.close()


def test_one_picture_goes_over_into_the_next_without_being_drawn_anew(
    open_map: Open, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.gates["project"] = threading.Event()
    panel = EmbeddingMap(space(), None, selection=[2])
    assert engine.reached.wait(60)
    trace, before = panel._points.figure.data[0], panel._points.figure.data[0].x
    engine.gates["project"].set()
    panel.settle(60)
    assert panel._points.figure.data[0] is trace and not np.array_equal(trace.x, before)
    assert trace.selectedpoints == (2,) and "UMAP" in panel._points.figure.layout.xaxis.title.text
    panel.close()


def test_nothing_is_reserved_for_what_is_not_there(open_map: Open) -> None:
    panel = open_map(drawn=False)
    parts = panel._parts
    chosen, nearest = panel.children[-3].children
    assert parts.picture.layout.height is None and parts.more.layout.display == "none"
    assert (chosen.layout.display, nearest.layout.display) == ("none", "none")
    panel.draw()
    panel.settle(60)
    assert parts.picture.layout.height == "530px" and parts.more.layout.display == ""
    assert (chosen.layout.display, chosen.layout.height) == ("block", None) and nearest.layout.display == "none"
    panel.selection = (1,)
    page_says(panel._points.figure, "plotly_click", {"0": [0]})
    assert [box.layout.height for box in (chosen, nearest)] == ["260px", "260px"]
    panel.selection = ()
    assert chosen.layout.height == "260px", "what stands beside it does not move"


def test_a_newer_request_makes_the_older_one_void(open_map: Open, engine: FakeEngine) -> None:
    engine.gates["embed"] = threading.Event()
    panel = open_map(drawn=False)
    panel.draw()
    assert engine.reached.wait(60)
    panel.model = "other/model"
    panel.draw()
    engine.gates["embed"].set()
    panel.settle(60)
    assert panel.space.model == "other/model" and engine.models == ["some/model", "other/model"]
    assert engine.asked.count("project") == 1


def test_what_fails_is_said(open_map: Open, engine: FakeEngine) -> None:
    engine.fails = RunError("expected the process to answer, but it is gone")
    assert open_map().message == "expected the process to answer, but it is gone"


def test_above_the_limit_a_sample_is_drawn_and_stated(open_map: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MAP_UP_TO", 10)
    panel = open_map(space(25), None)
    assert len(panel.space) == 25 and np.isfinite(panel.projection.xy[:, 0]).sum() == 10
    assert "10 of 25 drawn, a sample with seed 0" in panel._parts.caption.value
    assert "10 of 25 drawn, a sample with seed 0" in panel._parts.caption.value


def test_without_webgl_fewer_points_are_drawn_and_it_is_stated(open_map: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "WEBGL_FROM", 10)
    monkeypatch.setattr(embedding_map, "SVG_UP_TO", 5)
    panel = open_map(space(25), None)
    assert panel._points.figure.data[0].type == "scattergl" and len(panel._points.figure.data[0].x) == 25
    panel._parts.svg.value = True
    panel.settle(60)
    assert panel._points.figure.data[0].type == "scatter" and len(panel._points.figure.data[0].x) == 5
    assert "5 of 25 drawn" in panel._parts.caption.value


def test_vectors_that_are_all_zero_leave_a_sentence(open_map: Open) -> None:
    panel = open_map(Space(("a", "b"), np.zeros((2, 3), np.float32), "m", "0" * 16), None)
    assert "There is nothing to draw" in panel._points.figure.layout.annotations[0].text
    page_says(panel._points.figure, "plotly_deselect", {})


# colours


def test_the_label_colours_first_and_the_dropdown_offers_the_rest(open_map: Open) -> None:
    panel = open_map(table())
    assert panel.colour == "topic" and panel._parts.colours.options[2:] == ("cluster", "one colour", "how faithful")
    assert panel._parts.colours.options[:2] == ("topic", "column")
    assert names(panel) == ["several values", "x", "y"]


def test_the_dropdown_and_the_trait_follow_each_other(open_map: Open, engine: FakeEngine) -> None:
    panel = open_map(table())
    panel._parts.colours.value = "column"
    panel.settle(60)
    assert panel.colour == "column" and names(panel) == ["d", "q", "q and d"]
    panel.colour = "one colour"
    panel.settle(60)
    assert panel._parts.colours.value == "one colour" and len(names(panel)) == 1
    assert engine.asked.count("embed") == 1, "another colour is no other map"


def test_clusters_are_found_once_for_a_space(open_map: Open, engine: FakeEngine) -> None:
    panel = open_map(colour="cluster")
    assert names(panel) == ["cluster 1", "cluster 2"]
    for colour in ("one colour", "cluster"):
        panel.colour = colour
        panel.settle(60)
    assert engine.asked.count("clusters") == 1


def test_labels_of_a_list_and_of_a_space_colour_it(open_map: Open) -> None:
    assert names(open_map(labels=[1, 2, 1, 2, 1, 2])) == ["1", "2"]
    panel = open_map(space(3, ["u", "v", "u"]), None)
    assert panel.colour == "label" and names(panel) == ["u", "v"]


def test_a_column_named_cluster_is_the_column(open_map: Open) -> None:
    panel = open_map(table(cluster=["1", "2", "1"]), colour="cluster")
    assert names(panel) == ["1", "2", "several values"]
    assert "cluster of the map" in panel._parts.colours.options


def test_a_colour_that_is_not_there_is_refused_with_those_that_are(open_map: Open) -> None:
    with pytest.raises(
        DataError, match=r"among topic, column, cluster, one colour, how faithful, got 'topik'; did you mean 'topic'"
    ):
        open_map(table(), drawn=False, colour="topik")


# selecting


def test_a_lasso_sets_the_selection_over_all_colours(open_map: Open) -> None:
    panel = open_map(labels=list("abcabc"))
    page_says(panel._points.figure, "plotly_selected", {"0": [1], "2": [0, 1]})
    assert panel.selection == (2, 3, 5)
    assert panel.message == "3 of 6 texts are selected"
    assert "a green tree" in panel._parts.chosen.value and "a blue cat" not in panel._parts.chosen.value


def test_the_selection_can_be_set_and_is_shown(open_map: Open) -> None:
    panel = open_map(labels=list("abcabc"))
    panel.selection = [4, np.int64(1), 4]
    assert panel.selection == (1, 4) and marked(panel._points.figure) == {1, 4}
    assert "2 selected" in panel._parts.chosen.value
    panel._parts.clear.click()
    assert panel.selection == () and marked(panel._points.figure) is None and panel.message == "Nothing is selected"


def test_the_selection_given_at_the_start_is_there_when_the_map_is(open_map: Open) -> None:
    panel = open_map(selection=(2, 0))
    assert panel.selection == (0, 2) and marked(panel._points.figure) == {0, 2}
    panel.colour = "cluster"
    panel.settle(60)
    assert marked(panel._points.figure) == {0, 2}, "another colour keeps it"


def test_rows_that_a_table_does_not_have_are_dropped_once_it_is_known(open_map: Open) -> None:
    assert open_map(table(), selection=(1, 4, 5, 99)).selection == (1, 4)


@pytest.mark.parametrize("wrong", [(6,), (-1,), ("a",), 5])
def test_rows_that_are_none_are_refused(open_map: Open, wrong: Any) -> None:
    panel = open_map()
    with pytest.raises(DataError, match="expected row numbers"):
        panel.selection = wrong
    assert panel.selection == ()


def test_words_select_the_texts_that_hold_them(open_map: Open) -> None:
    panel = open_map()
    panel._parts.search.value = " CAT "
    assert panel.selection == (0, 1) and marked(panel._points.figure) == {0, 1}
    assert panel.message == "2 of 6 texts hold 'CAT' and are selected"
    panel._parts.search.value = ""
    assert panel.selection == (0, 1)
    panel._parts.search.value = "no such"
    assert panel.selection == () and panel.message.startswith("0 of 6")


def test_there_is_nothing_to_search_before_the_map(open_map: Open) -> None:
    panel = open_map(drawn=False)
    panel._parts.search.value = "cat"
    assert "draw the map first" in panel.message


def test_the_selected_texts_are_a_table(open_map: Open) -> None:
    panel = open_map(labels=list("abcabc"), selection=(1, 3))
    frame = panel.selected
    assert frame.columns.tolist() == ["row", "text", "label", "x", "y"]
    assert frame[["row", "text", "label"]].to_numpy().tolist() == [[1, "a blue cat", "b"], [3, "a green tree", "a"]]
    np.testing.assert_array_equal(frame[["x", "y"]], panel.projection.xy[[1, 3]])
    assert EmbeddingMap(TEXTS, "m").selected.empty


def test_of_many_selected_texts_the_first_are_listed(open_map: Open) -> None:
    panel = open_map(space(80), None)
    panel.selection = range(80)
    assert "80 selected, the first 50" in panel._parts.chosen.value
    assert panel._parts.chosen.value.count("<tr>") == 51


# one point


def test_a_click_lists_the_nearest_texts_in_all_dimensions(open_map: Open) -> None:
    panel = open_map()
    page_says(panel._points.figure, "plotly_click", {"0": [2]})
    cosine = panel.space.unit @ panel.space.unit[2]
    order = [row for row in np.argsort(-cosine) if row != 2]
    shown = panel._parts.nearest.value
    places = [shown.index(TEXTS[row]) for row in order]
    assert places == sorted(places) and f"{cosine[order[0]]:.3f}" in shown
    assert "Nearest to row 2 (in 8 dimensions): a red dog" in shown


def test_among_very_many_points_a_line_tells_the_text_under_the_mouse(
    open_map: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "TEXTS_UP_TO", 3)
    panel = open_map()
    page_says(panel._points.figure, "plotly_hover", {"0": [4]})
    assert "row 4: the old stone" in panel._parts.hover.value


# other data


def test_other_data_and_another_model_have_to_be_drawn_again(open_map: Open) -> None:
    panel = open_map(selection=(5,))
    panel.model = "other/model"
    assert panel.message == "The model changed: draw the map again" and "'other/model'" in panel.code
    panel.data = table()
    assert (panel.space, panel.projection, panel.selection, panel.colour) == (None, None, (), "topic")
    assert panel.message == "The data changed: draw the map again"
    panel.draw()
    panel.settle(60)
    assert names(panel) == ["several values", "x", "y"]


def test_a_space_that_is_put_in_is_drawn(open_map: Open) -> None:
    panel = open_map()
    other = space(4)
    panel.data = other
    panel.settle(60)
    assert panel.space is other and len(panel._points.figure.data[0].x) == 4


@pytest.mark.parametrize(
    ("data", "model", "given", "error", "words"),
    [
        (TEXTS, None, {}, ModelError, "expected a model to encode the texts with, got None"),
        (TEXTS, 3, {}, ModelError, "expected a model name, a folder or a run, got int"),
        ([], "m", {}, DataError, "expected at least one text"),
        (["a", 3], "m", {}, DataError, "got int \\(3\\) as number 1"),
        (TEXTS, "m", {"labels": ["a"]}, DataError, "one label for each of 6 texts, got 1"),
        (pd.DataFrame({"text": ["a", "b"]}), "m", {"labels": ["a", "b"]}, DataError, "labels for a list of texts"),
        (TEXTS, "m", {"selection": (9,)}, DataError, "from 0 to 5, got 9"),
        (TEXTS, "m", {"selection": [1.7]}, DataError, "expected row numbers, got \\[1.7\\]"),
        (TEXTS, "m", {"selection": [True]}, DataError, "expected row numbers, got \\[True\\]"),
        (TEXTS, "m", {"selection": None}, DataError, "expected row numbers, got None"),
        (TEXTS, "m", {"labels": 3}, DataError, "expected one label for each .* got int"),
        (TEXTS, "m", {"labels": "abcdef"}, DataError, "expected one label for each .* got str"),
        (TEXTS, "m", {"colour": 3}, DataError, "expected a colour among .* got 3"),
        (None, "m", {}, DataError, "expected a path, a pandas DataFrame, .* got NoneType"),
        (TEXTS, "m", {"seed": -1}, DataError, "expected seed= a whole number from 0 to 4294967295, got -1"),
        (TEXTS, "m", {"seed": "x"}, DataError, "expected seed= .* got 'x'"),
        (TEXTS, "m", {"seed": 2.5}, DataError, "expected seed= .* got 2.5"),
        (TEXTS, "m", {"seed": 10**30}, DataError, "expected seed= .* got 1000"),
        (TEXTS, "m", {"seed": None}, DataError, "expected seed= .* got None"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(
    data: Any, model: Any, given: Any, error: type[Exception], words: str, open_map: Open
) -> None:
    with pytest.raises(error, match=words):
        open_map(data, model, drawn=False, **given)


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("selection", None, DataError, "expected row numbers, got None"),
        ("selection", [1.7], DataError, "expected row numbers, got"),
        ("data", None, DataError, "expected a path, a pandas DataFrame"),
        ("model", None, ModelError, "expected a model to encode the texts with, got None"),
        ("colour", 3, DataError, "expected a colour among"),
        ("colour", None, DataError, "expected a colour among"),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_it_is_set(
    name: str, value: Any, error: type[Exception], words: str, open_map: Open
) -> None:
    panel = open_map(drawn=False, selection=(1,))
    kept = getattr(panel, name)
    with pytest.raises(error, match=words):
        setattr(panel, name, value)
    assert getattr(panel, name) is kept


def test_texts_in_the_place_of_a_space_need_a_model_and_change_nothing_without(open_map: Open) -> None:
    made = space(labels=list("ababab"))
    panel = open_map(made, None)
    with pytest.raises(ModelError, match="expected a model to encode the texts with, got None"):
        panel.data = TEXTS
    panel.model = None
    panel.colour = "label"
    assert panel.data is made and names(panel) == ["a", "b"]


def test_a_closed_map_says_that_it_is_closed(open_map: Open, caplog: pytest.LogCaptureFixture) -> None:
    panel = open_map()
    panel.close()
    panel.draw()
    panel.colour = "cluster"
    assert panel.message == "This panel is closed; make a new one to go on" and caplog.records == []


# the same elsewhere


def test_the_colours_are_in_the_line_of_code(open_map: Open) -> None:
    panel = open_map(labels=list("ababab"), drawn=False)
    assert panel.code == "wb.map(wb.embed(texts, 'some/model', labels=labels))"
    panel.colour = "one colour"
    assert panel.code == "wb.map(wb.embed(texts, 'some/model'))"
    panel.colour = "cluster"
    assert panel.code == "wb.map(wb.embed(texts, 'some/model'), colour='cluster')"
    panel = open_map(space(labels=list("ababab")), None, seed=2)
    assert panel.code == "wb.map(space, seed=2)"
    for colour in ("one colour", "how faithful"):
        panel.colour = colour
        assert panel.code == f"wb.map(space, colour={colour!r}, seed=2)"
    assert open_map(space(), None, labels=list("ababab")).code == "wb.map(space, labels=labels)"


@pytest.mark.parametrize("colour", ["topic", "cluster", "column", "one colour", "cluster of the map"])
def test_the_line_of_code_colours_the_points_as_the_panel_does(
    colour: str, open_map: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    import workbench as wb

    data = table(q=["a", "b", "a"], cluster=["1", "1", "2"])
    panel = open_map(data, "m", colour=colour)
    monkeypatch.setattr(wb, "embed", lambda texts, model: FakeEngine().call(embed, texts, model), raising=False)
    monkeypatch.setattr(plots, "clusters", lambda made, seed: FakeEngine().call(clusters, made))
    drawn = eval(panel.code, {"wb": wb, "data": data})
    theirs, ours = ({trace.name: list(trace.text) for trace in of.data} for of in (drawn, panel._points.figure))
    assert theirs == ours


@pytest.mark.parametrize(
    ("data", "given", "expected"),
    [
        (TEXTS, {}, "wb.map(wb.embed(texts, 'some/model'))"),
        (space(), {"seed": 3}, "wb.map(space, seed=3)"),
        (
            "glossary/labelled",
            {},
            "wb.map(wb.embed([*dict.fromkeys(wb.load('glossary/labelled', split='train').column('text'))], 'some/model'), "
            "data=wb.load('glossary/labelled', split='train'), colour='topic')",
        ),
    ],
)
def test_the_line_of_code_draws_the_same(open_map: Open, data: Any, given: Any, expected: str) -> None:
    panel = open_map(data, drawn=False, **given)
    assert panel.code == expected == repr(panel)
    ast.parse(panel.code, mode="eval")


def test_the_texts_of_the_line_of_code_are_those_of_the_map(open_map: Open) -> None:
    import workbench as wb

    panel = open_map("glossary/qa", "m", drawn=False)
    call = ast.parse(panel.code, mode="eval").body.args[0].args[0]  # type: ignore[attr-defined]
    assert eval(ast.unparse(call), {"wb": wb}) == list(panel._what.texts())


def test_a_saved_notebook_shows_map_caption_and_selection(open_map: Open) -> None:
    panel = open_map(space(600, [str(row % 3) for row in range(600)]), None)
    panel.selection = range(30)
    still = panel.static()
    assert "<svg" in still and "400 of 600 drawn" in still and "30 selected, the first 20" in still
    assert len(still) < 150_000 and "<script" not in still
    assert "was not measured" in still and "The space has not collapsed" in still
    assert EmbeddingMap(TEXTS, "m").static() == "<p>The map is not drawn yet.</p>"


def test_hostile_words_are_only_words(open_map: Open) -> None:
    texts = [f"{HOSTILE} {n}" for n in range(4)]
    columns = {"text": texts, HOSTILE: [f"{HOSTILE} a", "b", f"{HOSTILE} a", "b"]}
    data = load(pd.DataFrame(columns), columns={"text": "anchor"})
    panel = open_map(data, HOSTILE, colour=HOSTILE, selection=(0, 1))
    page_says(panel._points.figure, "plotly_click", {"0": [0]})
    panel._show_text(0)
    html = "".join(
        part.value for part in (panel._parts.caption, panel._parts.hover, panel._parts.chosen, panel._parts.nearest)
    )
    for shown in (html, panel._line.value, panel._shown_code.value, panel.static(), panel._points.figure.to_json()):
        assert "<img" not in shown and "<script>alert" not in shown
    assert html.count(escape("<img src=x onerror=alert(1)>")) >= 5
    assert all("%{x}" not in trace.hovertemplate for trace in panel._points.figure.data)


def test_opening_loads_nothing_heavy_and_makes_no_figure() -> None:
    code = (
        "import sys\nfrom workbench.widgets.embedding_map import EmbeddingMap\n"
        "panel = EmbeddingMap('glossary/labelled', 'some/model')\npanel.static()\n"
        "print([m for m in ('torch', 'umap', 'sklearn', 'sentence_transformers', 'transformers', 'matplotlib', 'nbformat')"
        " if m in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="got the keyword 'color'; did you mean 'colour'"):
        EmbeddingMap(TEXTS, "m", color="cluster")


@pytest.mark.real
def test_a_real_map_of_the_packaged_model_in_the_engine() -> None:
    texts = [f"{text}, number {n}" for text in TEXTS for n in range(12)]
    panel = EmbeddingMap(texts, "sentence-transformers/all-MiniLM-L6-v2", colour="cluster")
    panel.draw()
    panel.settle(300)
    assert panel.message.startswith("Drawn: 72 texts") and panel.projection.trustworthiness > 0.7
    assert panel.space.vectors.shape == (72, 384) and names(panel)[0].startswith("cluster 1: ")
    panel.close()
    embedding_map.engine().close()
