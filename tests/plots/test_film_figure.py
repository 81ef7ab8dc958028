"""The film as a figure and as a page."""

from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.films import film
from tests.plots.looking import HOSTILE, annotations, is_escaped
from tests.runs import MakeRun, step
from workbench.errors import DataError, RunError
from workbench.plots import report
from workbench.plots.film import film_figure, film_page, moment_figure, show_film
from workbench.plots.svg import svg
from workbench.spaces.film import film_maps


def placed(figure: go.Figure) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    return [(tuple(trace.x), tuple(trace.y)) for trace in figure.data]


def test_there_is_a_frame_and_a_place_of_the_slider_for_each_moment_and_buttons_to_play_and_pause() -> None:
    figure = film_figure(film_maps(film()))
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3"]
    (slider,) = figure.layout.sliders
    assert [place.label for place in slider.steps] == ["0", "10", "20", "30"]
    assert [place.args[0] for place in slider.steps] == [("0",), ("1",), ("2",), ("3",)]
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["▶ Play", "❚❚ Pause"]
    assert figure.layout.title.text == "Film of the run"


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_frame_leads_to_the_figure_of_its_moment(place: int) -> None:
    maps = film_maps(film())
    playing, still = film_figure(maps), moment_figure(maps, place)
    frame = playing.frames[place]
    for number, part in zip(frame.traces, frame.data, strict=True):
        playing.data[number].x, playing.data[number].y = part.x, part.y
    assert placed(playing) == placed(still)
    marks = [trace for trace in still.data if trace.meta == "mark"]
    assert [tuple(mark.x) for mark in marks] == [(10 * place, 10 * place)] * 2


def test_all_moments_lie_within_ranges_that_stay() -> None:
    maps = film_maps(film())
    figures = [moment_figure(maps, place) for place in range(4)]
    ranges = [(figure.layout.xaxis.range, figure.layout.yaxis.range, figure.layout.yaxis2.range) for figure in figures]
    assert len(set(ranges)) == 1
    for figure in figures:
        for trace in figure.data[:2]:
            assert all(figure.layout.xaxis.range[0] < x < figure.layout.xaxis.range[1] for x in trace.x)
            assert all(figure.layout.yaxis.range[0] < y < figure.layout.yaxis.range[1] for y in trace.y)


def test_texts_stand_in_the_figure_once_and_frames_hold_places_only() -> None:
    figure = film_figure(film_maps(film(texts=[f"unmistakable {row}" for row in range(30)])))
    plain = json.dumps(figure.to_plotly_json(), default=list)
    assert plain.count("unmistakable") == 30
    assert all(set(part.to_plotly_json()) == {"type", "x", "y"} for frame in figure.frames for part in frame.data)
    assert all(isinstance(part.x, tuple) for frame in figure.frames for part in frame.data), "no packed arrays"


def test_labels_have_colours_and_forms_and_hover_names_row_and_column() -> None:
    first, second = film_figure(film_maps(film())).data[:2]
    assert (first.name, second.name) == ("a", "b")
    assert first.marker.color != second.marker.color and first.marker.symbol != second.marker.symbol
    assert first.text[0] == "text 0<br>row 0, anchor"
    assert first.type == "scatter"


def test_the_caption_says_what_was_drawn_and_what_it_took() -> None:
    words = annotations(film_figure(film_maps(film()))).replace("<br>", " ")
    assert "one projection for all moments" in words and "took 2 s (2.0% of the time in training steps)" in words


def test_hostile_texts_labels_columns_and_names_are_only_words() -> None:
    made = film(
        texts=[HOSTILE] * 30,
        labels=(HOSTILE, "b") * 15,
        columns=(HOSTILE,) * 30,
        name=HOSTILE,
        model=HOSTILE,
        of=HOSTILE,
    )
    maps = film_maps(made)
    assert is_escaped(film_figure(maps, title=HOSTILE))
    assert "<img" not in film_page(maps)
    assert "<img" not in svg(moment_figure(maps, -1, title=HOSTILE))


@pytest.mark.parametrize("vectors", [np.zeros((3, 5, 4)), np.ones((3, 1, 4)), np.ones((2, 6, 4))])
def test_a_film_of_nothing_is_still_a_titled_figure(vectors: np.ndarray) -> None:
    maps = film_maps(film(vectors, steps=(), losses=()))
    figure = film_figure(maps, title="Film")
    assert figure.layout.title.text == "Film" and len(figure.frames) == len(vectors)
    assert "all vectors are alike" in annotations(figure).replace("<br>", " ")
    assert svg(moment_figure(maps, 0)).startswith("<svg")


def test_a_loss_without_a_value_leaves_a_gap() -> None:
    figure = film_figure(film_maps(film(steps=(1, 2, 3), losses=(1.0, None, 0.5))))
    (curve,) = [trace for trace in figure.data if str(trace.name).startswith("loss")]
    assert tuple(curve.y) == (1.0, None, 0.5)


def test_many_labels_stand_in_a_column_beside_the_picture() -> None:
    figure = film_figure(film_maps(film(labels=tuple(f"label {row}" for row in range(30)))))
    assert figure.layout.legend.orientation == "v" and figure.layout.legend.x > 1
    assert len([trace for trace in figure.data if trace.xaxis == "x"]) == 20


def test_a_page_plays_alone_begins_still_and_lists_the_moments_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "/* the whole of plotly */")
    made = film()
    page = film_page(film_maps(made))
    assert "Plotly.addFrames" in page and "default-src 'none'" in page
    assert "Plotly.animate(" not in page, "it waits until it is asked to play"
    for its in made.numbers:
        assert f"<td>{its.mean_cosine:.4g}</td>" in page and f"<td>{its.effective_rank:.4g}</td>" in page
    assert "Colour: the column that a text stands in." in page


def test_a_page_of_the_most_texts_and_moments_stays_under_six_megabytes() -> None:
    vectors = np.random.default_rng(0).normal(size=(21, 2000, 4))
    made = film(vectors, texts=[f"a text of some length about the matter number {row} " * 6 for row in range(2000)])
    numbers = film().numbers[:1] * 21
    object.__setattr__(made, "numbers", numbers)
    assert len(film_page(film_maps(made)).encode()) < 6 * 2**20


def test_a_run_a_folder_and_a_film_are_all_taken(make_run: MakeRun) -> None:
    assert len(show_film(film(), theme="dark").frames) == 4
    run = make_run(events=[step(1)])
    for given in (run, run.folder):
        with pytest.raises(RunError, match="no frame of it has been kept"):
            show_film(given)
    with pytest.raises(DataError, match="expected engine= pca or umap"):
        show_film(film(), engine="x")  # type: ignore[arg-type]
