"""The map judged: how faithful it is, the measures of its space, and sentences that are looked for in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.spaces.standins import random_vector
from tests.widgets.doubles import HOSTILE, FakeEngine, marked
from workbench.catalog import models
from workbench.data.load import load
from workbench.errors import ModelError
from workbench.spaces import project as layout
from workbench.spaces.encode import Space
from workbench.spaces.engine import vectors
from workbench.widgets import embedding_map
from workbench.widgets.embedding_map import EmbeddingMap

Open = Callable[..., EmbeddingMap]


class Engine(FakeEngine):
    """Lays out for real, and encodes a sentence as the texts are."""

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if function is layout.project:
            self.asked.append("project")
            return layout.project(*arguments, **options)
        if function is vectors:
            super().call(lambda: None)
            self.asked[-1] = "vectors"
            return np.array([self.vector(text, arguments[1]) for text in arguments[0]], np.float32)
        return super().call(function, *arguments, **options)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    made.vector = lambda text, model: random_vector(text)
    monkeypatch.setattr(embedding_map, "engine", lambda: made)
    monkeypatch.setattr(models, "fingerprint", lambda name: "0" * 16)
    return made


@pytest.fixture
def open_map(engine: Engine) -> Iterator[Open]:
    panels: list[EmbeddingMap] = []

    def make(data: Any, model: Any = None, **given: Any) -> EmbeddingMap:
        panel = EmbeddingMap(data, model, **given)
        panels.append(panel)
        if not isinstance(data, Space):
            panel.draw()
        panel.settle(60)
        return panel

    yield make
    for panel in panels:
        panel.close()


def space(n: int = 60, **more: Any) -> Space:
    texts = tuple(f"text {row}" for row in range(n))
    return Space(texts, np.array([random_vector(text) for text in texts], np.float32), "a/model", "0" * 16, **more)


# what the map has kept


def test_points_are_coloured_by_how_much_of_their_neighbourhood_was_kept(open_map: Open) -> None:
    panel = open_map(space(), colour="how faithful")
    traces = panel._points.figure.data
    held = {trace.name: np.asarray(trace.customdata) for trace in traces}
    assert sum(len(rows) for rows in held.values()) == 60
    for name, rows in held.items():
        np.testing.assert_allclose(panel.projection.kept[rows], float(name.rstrip("%")) / 100, atol=0.005)
    assert len({trace.marker.color for trace in traces}) == len(traces) > 2
    assert "nearest texts in the space that are among its 10 nearest on the map" in panel._parts.caption.value
    panel.selection = (7,)
    assert f"<td style='overflow-wrap: break-word'>{panel.projection.kept[7]:.0%}</td>" in panel._parts.chosen.value


def test_what_was_not_measured_has_one_colour_and_a_reason(open_map: Open) -> None:
    panel = open_map(space(3), colour="how faithful")
    assert [trace.name for trace in panel._points.figure.data] == ["not measured"]
    assert "was not measured (3 distinct usable vectors, UMAP needs 4)" in panel._parts.caption.value
    assert "was not measured: 3 distinct usable vectors" in panel._parts.judged.value


def test_a_column_of_that_name_is_the_column(open_map: Open) -> None:
    frame = pd.DataFrame({"text": [f"t {n}" for n in range(6)], "how faithful": list("ababab")})
    panel = open_map(load(frame, columns={"text": "anchor"}), "a/model", colour="how faithful")
    assert [trace.name for trace in panel._points.figure.data] == ["a", "b"]
    assert "how faithful of the map" in panel._parts.colours.options and "data=" in panel.code


def test_the_sentences_stand_under_the_map_and_in_the_saved_notebook(open_map: Open) -> None:
    panel = open_map(space())
    for shown in (panel._parts.judged.value, panel.static()):
        for words in ("Trustworthiness 0.", "Continuity 0.", "Neighbour overlap 0.", "Rank correlation of distances "):
            assert words in shown
        assert "The space has not collapsed" in shown and "effective rank" in shown


# measures


def test_the_space_is_measured_after_the_map_with_its_labels(open_map: Open, engine: Engine) -> None:
    panel = open_map(space(labels=tuple("abc"[row % 3] for row in range(60))), colour="one colour")
    assert engine.asked == ["project", "measures"]
    assert panel.measures["neighbour_purity"].value is not None and panel.measures["alignment"].value is None
    assert "Neighbour purity is that of: label" in panel._parts.judged.value
    assert panel.message.startswith("Drawn: 60 texts")


def test_pairs_of_a_table_are_what_alignment_is_measured_on(open_map: Open) -> None:
    frame = pd.DataFrame({"q": ["a", "b", "c", "a"], "d": ["d", "e", "f", "g"]})
    panel = open_map(load(frame, columns={"q": "anchor", "d": "positive"}), "a/model")
    unit = panel.space.unit
    place = {text: row for row, text in enumerate(panel.space.texts)}
    apart = [np.square(unit[place[q]] - unit[place[d]]).sum() for q, d in frame.to_numpy()]
    assert panel.measures["alignment"].n == 4
    assert panel.measures["alignment"].value == pytest.approx(np.mean(apart))


def test_a_collapsed_space_is_said_in_words(open_map: Open) -> None:
    made = space(20)
    made.vectors[:] = made.vectors[0] + 0.01 * made.vectors
    panel = open_map(made)
    assert panel.message.startswith("Drawn: 20 texts") and "The space has collapsed: " in panel.message


def test_other_data_have_no_measures_yet(open_map: Open) -> None:
    panel = open_map(space())
    panel.model = "a/model"
    panel.data = ["other", "texts"]
    assert panel.measures is None and "Trustworthiness" not in panel._parts.judged.value


def test_measures_of_a_drawing_that_was_stopped_are_dropped(open_map: Open, engine: Engine) -> None:
    panel = open_map(space())
    panel.measures = None
    engine.gates["measures"], engine.reached = threading.Event(), threading.Event()
    panel.draw()
    assert engine.reached.wait(60)
    panel.stop()
    engine.gates["measures"].set()
    panel.settle(60)
    assert panel.measures is None and panel.message.startswith("Stopped")


# typed sentences


def test_a_typed_sentence_selects_and_lists_the_texts_nearest_to_it(open_map: Open, engine: Engine) -> None:
    panel = open_map(space(), "some/model")
    panel._parts.ask.value = "text 17"
    panel.settle(60)
    order = np.argsort(-(panel.space.unit @ random_vector("text 17")), kind="stable")[:10]
    assert panel.selection == tuple(sorted(order)) and marked(panel._points.figure) == set(order)
    shown = panel._parts.nearest.value
    assert [shown.index(f">text {row}<") for row in order] == sorted(shown.index(f">text {row}<") for row in order)
    assert "1.000" in shown and "exact: compared with 60 vectors" in shown
    assert panel.message == "The 10 texts nearest to 'text 17' are selected and listed"
    assert engine.asked[-1] == "vectors"


def test_the_prompt_of_the_space_is_put_before_the_sentence(open_map: Open) -> None:
    panel = open_map(space(prompt="text "))
    panel.find("5")
    panel.settle(60)
    assert panel._parts.nearest.value.index(">text 5<") < panel._parts.nearest.value.index("0.")
    assert "1.000" in panel._parts.nearest.value


def test_there_is_nothing_to_look_in_before_the_map(engine: Engine) -> None:
    panel = EmbeddingMap(["a", "b"], "some/model")
    panel.find("a")
    assert panel.message == "There is nothing to search yet: draw the map first" and engine.asked == []


def test_another_model_than_that_of_the_space_is_refused(open_map: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = open_map(space(), "some/model")
    monkeypatch.setattr(models, "fingerprint", lambda name: "1" * 16)
    panel.find("text 1")
    panel.settle(60)
    assert "expected the model that made the space (a/model), got some/model" in panel.message
    assert panel.selection == ()


def test_a_space_whose_model_is_not_found_says_how_to_give_it(open_map: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: Any) -> str:
        raise ModelError(f"model {name!r} is not on this machine")

    panel = open_map(space())
    monkeypatch.setattr(models, "fingerprint", missing)
    panel.find("text 1")
    panel.settle(60)
    assert "model 'a/model' is not on this machine" in panel.message
    assert "wb.EmbeddingMap(space, model)" in panel.message


def test_of_two_sentences_only_the_newer_is_looked_for(open_map: Open, engine: Engine) -> None:
    panel = open_map(space())
    gate = threading.Event()
    panel._later(gate.wait, 10)
    panel.find("text 1")
    panel.find("text 2")
    gate.set()
    panel.settle(60)
    assert engine.asked.count("vectors") == 1 and "text 2" in panel.message


def test_hostile_sentences_and_models_are_only_words(open_map: Open) -> None:
    made = space(20)
    made = Space((HOSTILE, *made.texts[1:]), made.vectors, HOSTILE, "0" * 16, labels=(HOSTILE,) * 10 + ("b",) * 10)
    panel = open_map(made, "some/model", colour="how faithful")
    panel.find(HOSTILE)
    panel.settle(60)
    assert len(panel.selection) == 10
    parts = panel._parts
    for shown in (parts.nearest, parts.chosen, parts.judged, parts.caption, panel._line):
        assert "<img" not in shown.value and "<script" not in shown.value
    assert "&lt;img" in parts.nearest.value and "<img" not in panel.static()
