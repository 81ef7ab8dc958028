"""The film inside the run panel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.plots.looking import HOSTILE
from tests.runs import MakeRun, step
from tests.widgets.test_run_panel import until
from workbench.training.run import Run
from workbench.widgets import run_panel_film
from workbench.widgets.run_panel import RunPanel


def filmed(make_run: MakeRun, name: str = "first", moments: int = 3, text: str = "text", **status: Any) -> Run:
    """A run folder with a film of eight texts."""
    frames = [{"kind": "frame", "step": place, "epoch": 0.1, "texts": 8, "seconds": 0.5} for place in range(moments)]
    run = make_run(name, events=[step(1, seconds=10.0), step(2, seconds=20.0), *frames], **status)
    run.files.film.mkdir()
    kept = {
        "texts": [f"{text} {row}" for row in range(8)],
        "columns": ["anchor", "positive"] * 4,
        "rows": list(range(8)),
        "labels": [text, "b"] * 4,
        "by": "column",
        "of": "the evaluation rows of t",
        "distinct": 8,
        "looks": moments,
        "why": "",
    }
    (run.files.film / "texts.json").write_text(json.dumps(kept))
    for place in range(moments):
        np.save(
            run.files.film / f"step-{place}.npy",
            np.random.default_rng(place).normal(size=(8, 4)).astype(np.float16) / np.float16(4),
        )
    return run


def shown(run: Run) -> RunPanel:
    """A panel on a run that has ended, with its film drawn."""
    panel = RunPanel(run=run)
    panel.settle(60)
    panel._film.show.click()
    panel.settle(60)
    assert panel._film.maps is not None, panel.message
    return panel


def test_the_film_appears_with_the_second_moment_and_says_what_it_took(make_run: MakeRun) -> None:
    for name, moments, display in (("one", 1, "none"), ("two", 2, "flex")):
        run = filmed(make_run, name, moments)
        run.files.status.write_text(json.dumps({"said": "finished", "step": 2, "total_steps": 2, "film_s": 1.25}))
        panel = RunPanel(run=run)
        panel.settle(60)
        assert panel._film.box.layout.display == display
        assert "the film 1.2 s" in panel._state.value
        assert panel._film._pane.figure is None, "nothing is drawn before it is asked for"
        panel.close()
    assert "2 moments kept; keeping them took 1 s" in panel._film._head.value


def test_a_moment_is_picked_and_only_places_change(make_run: MakeRun) -> None:
    panel = shown(filmed(make_run))
    film, figure = panel._film, panel._film._pane.figure
    assert [label for label, _ in film.moment.options] == ["base model", "step 1", "step 2"]
    assert panel.message == "3 frames of 8 texts took 1.5 s (7.5% of the time in training steps)"
    before, words = list(figure.data[0].x), figure.data[0].text
    film.moment.value = 2
    assert film._pane.figure is figure and list(figure.data[0].x) != before and figure.data[0].text == words
    marks = [trace for trace in figure.data if trace.meta == "mark"]
    assert [list(mark.x) for mark in marks] == [[2, 2], [2, 2]]
    panel.close()


def test_it_plays_to_the_end_pauses_and_begins_anew(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_panel_film, "MOMENT_S", 0.02)
    film = (panel := shown(filmed(make_run)))._film
    film.play.click()
    until(lambda: film.moment.value == 2 and film.play.description == "Play")
    monkeypatch.setattr(run_panel_film, "MOMENT_S", 30.0)
    film.play.click()
    until(lambda: film.moment.value == 0)
    assert film.play.description == "Pause"
    film.play.click()
    assert film.play.description == "Play"
    panel.close()


def test_umap_is_laid_out_in_the_other_process(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dict[str, Any]] = []

    class Inline:
        def call(self, function: Any, *arguments: Any, **options: Any) -> Any:
            called.append(options)
            return function(*arguments, **options)

    monkeypatch.setattr(run_panel_film, "engine", Inline)
    panel = shown(filmed(make_run))
    assert called == []
    panel._film.engine.value = "umap"
    panel._film.show.click()
    panel.settle(60)
    assert called == [{"engine": "umap"}] and panel._film.maps.engine == "umap"
    panel.close()


def test_the_picture_for_no_kernel_holds_the_first_and_the_last_moment(make_run: MakeRun) -> None:
    panel = RunPanel(run=filmed(make_run))
    panel.settle(60)
    assert "Film, step" not in panel.static()
    panel._film.show.click()
    panel.settle(60)
    static = panel.static()
    assert "Film, step 0" in static and "Film, step 2" in static and "<script" not in static
    assert len(static) < 150_000
    panel.close()


def test_hostile_texts_are_only_words(make_run: MakeRun) -> None:
    panel = shown(filmed(make_run, text=HOSTILE))
    assert "<img" not in panel.static() and "<img" not in panel._film._head.value
    assert "<img" not in str(panel._film._pane.figure.data[0].text)
    panel.close()


def test_a_damaged_film_says_so_and_hides_nothing_else(make_run: MakeRun) -> None:
    run = filmed(make_run)
    (run.files.film / "texts.json").write_text("{")
    panel = RunPanel(run=run)
    panel.settle(60)
    panel._film.show.click()
    panel.settle(60)
    assert "no frame of it has been kept" in panel.message and panel._pane.figure is not None
    panel.close()


def test_another_run_takes_the_film_away(make_run: MakeRun) -> None:
    panel = shown(filmed(make_run))
    panel.run = make_run("second")
    until(lambda: panel._film.maps is None and panel._film.box.layout.display == "none")
    assert panel._film.moment.disabled and panel._film._pane.figure is None
    panel.close()


def test_new_moments_of_a_run_are_told(make_run: MakeRun) -> None:
    panel = shown(filmed(make_run))
    assert panel.run is not None
    events = [*panel.run.events(), {"kind": "frame", "step": 9, "epoch": 1, "texts": 8, "seconds": 0.5}]
    panel._film.follow(panel.run, events)
    assert "4 moments kept, 1 of them new: show the film again" in panel._film._head.value
    panel.close()


def test_the_film_is_packed_into_one_page(make_run: MakeRun) -> None:
    panel = shown(filmed(make_run))
    path: Path = panel._film._page()
    assert path.name == "first-film.html" and "Plotly.addFrames" in path.read_text(encoding="utf-8")
    panel.close()
