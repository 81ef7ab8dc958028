"""From points in a picture to row numbers, and back."""

from __future__ import annotations

from typing import Any

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go
import pytest

from tests.widgets.doubles import marked, page_says
from workbench.widgets import points as module
from workbench.widgets.points import Points

ROWS = ([1, 4], [0, 2, 5], [3])


def picture(rows: Any = ROWS, **given: Any) -> go.Figure:
    return go.Figure([go.Scatter(x=its, y=its, customdata=np.array(its, dtype=np.int32), **given) for its in rows])


class Heard:
    def __init__(self, marks_back: bool = True) -> None:
        self.selected: list[tuple[int, ...]] = []
        self.clicked: list[int] = []
        self.hovered: list[int] = []
        self.box = W.VBox()
        self.points = Points(self.box, selected=self._select, clicked=self.clicked.append, hovered=self.hovered.append)

    def _select(self, rows: tuple[int, ...]) -> None:
        self.selected.append(rows)
        self.points.mark(rows)

    @property
    def figure(self) -> go.FigureWidget:
        assert self.points.figure is not None
        return self.points.figure


@pytest.fixture
def heard() -> Heard:
    made = Heard()
    made.points.draw(picture())
    return made


def test_the_figure_is_made_with_the_first_picture_and_stays() -> None:
    made = Heard()
    made.points.mark((1,))
    assert made.box.children == ()
    made.points.draw(picture())
    first = made.figure
    made.points.draw(picture([[7], [8]]))
    assert made.box.children == (first,) and made.figure is first
    assert [trace.customdata.tolist() for trace in first.data] == [[7], [8]]


def test_a_lasso_over_several_traces_is_one_selection_of_rows(heard: Heard) -> None:
    page_says(heard.figure, "plotly_selected", {"1": [2, 0], "2": [0]})
    assert heard.selected == [(0, 3, 5)]


def test_marks_wait_until_the_page_has_given_up_its_outline(heard: Heard) -> None:
    sent: list[Any] = []
    heard.figure._send_relayout_msg = lambda layout, **_: sent.append(layout)
    page_says(heard.figure, "plotly_selected", {"0": [0]})
    assert sent == [{"selections": []}] and marked(heard.figure) is None
    page_says(heard.figure, "plotly_selected", {})
    assert marked(heard.figure) == {1}
    assert heard.selected == [(1,)], "the answer of the page is no selection"
    heard.points.mark((2, 3))
    assert marked(heard.figure) == {2, 3}


def test_what_the_page_unmarked_is_marked_again_although_it_is_the_same(heard: Heard) -> None:
    heard.points.mark((1,))
    sent: list[Any] = []
    heard.figure._send_update_msg = lambda restyle_data, *a, **k: sent.append(restyle_data)
    heard.figure._send_restyle_msg = lambda restyle_data, *a, **k: sent.append(restyle_data)
    page_says(heard.figure, "plotly_selected", {"0": [0]})
    page_says(heard.figure, "plotly_selected", {})
    assert sent and marked(heard.figure) == {1}


def test_without_an_answer_for_long_an_empty_lasso_is_one(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", -1.0)
    page_says(heard.figure, "plotly_selected", {"0": [0]})
    page_says(heard.figure, "plotly_selected", {})
    assert heard.selected == [(1,), ()] and marked(heard.figure) is None


def test_a_double_click_selects_nothing(heard: Heard) -> None:
    heard.points.mark((1, 2))
    page_says(heard.figure, "plotly_deselect", {})
    assert heard.selected == [()] and marked(heard.figure) is None


def test_marks_are_those_points_and_all_others_pale(heard: Heard) -> None:
    heard.points.mark((3, 4))
    assert [trace.selectedpoints for trace in heard.figure.data] == [(1,), (), (0,)]
    heard.points.mark(())
    assert marked(heard.figure) is None


def test_a_new_picture_comes_with_its_marks(heard: Heard) -> None:
    heard.points.draw(picture([[3, 1], [0]]), (1,))
    assert marked(heard.figure) == {1}


def test_a_click_is_a_row(heard: Heard) -> None:
    page_says(heard.figure, "plotly_click", {"1": [1]})
    page_says(heard.figure, "plotly_click", {})
    assert heard.clicked == [2] and heard.selected == []


def test_the_mouse_over_a_point_is_told_where_the_picture_has_no_texts(heard: Heard) -> None:
    page_says(heard.figure, "plotly_hover", {"2": [0]})
    heard.points.draw(picture(text="words"))
    page_says(heard.figure, "plotly_hover", {"2": [0]})
    assert heard.hovered == [3]


def test_messages_about_an_older_picture_do_no_harm(heard: Heard) -> None:
    page_says(heard.figure, "plotly_selected", {"9": [0], "0": [50, 1]})
    assert heard.selected == [(4,)]
    heard.figure._handle_custom_msg("something else", [])
    heard.figure._handle_custom_msg({"other": 1}, [])


def test_the_page_is_told_to_send_messages(heard: Heard) -> None:
    source = heard.figure._esm
    assert source.count("export default") == 1
    assert "_js2py_pointsCallback" in source and "model.send({workbench: value.event_type" in source


def test_closing_frees_the_figure(heard: Heard) -> None:
    figure = heard.figure
    heard.points.close()
    heard.points.close()
    assert heard.points.figure is None and heard.box.children == () and figure.comm is None
