"""A browser keeps only so many WebGL drawings: of maps of many points four are live."""

from __future__ import annotations

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go

from workbench.widgets.figure import MOST_WEBGL, Pane


def cloud(points: int = 5200, *, webgl: bool = True) -> go.Figure:
    kind = go.Scattergl if webgl else go.Scatter
    return go.Figure(kind(x=np.arange(points), y=np.arange(points), mode="markers", customdata=np.arange(points)))


def panes(count: int, *, webgl: bool = True) -> list[tuple[W.VBox, Pane]]:
    made = []
    for _ in range(count):
        box = W.VBox()
        made.append((box, Pane(box)))
        made[-1][1].draw(cloud(webgl=webgl))
    return made


def live(made: list[tuple[W.VBox, Pane]]) -> list[bool]:
    return [pane.figure is not None for _, pane in made]


def test_the_map_that_was_drawn_first_rests_as_a_picture_and_comes_back_when_asked_for() -> None:
    made = panes(MOST_WEBGL + 1)
    assert live(made) == [False, *[True] * MOST_WEBGL]
    line, picture = made[0][0].children
    assert "<svg" in picture.value and "At rest" in line.children[1].value
    line.children[0].click()
    assert live(made) == [True, False, *[True] * (MOST_WEBGL - 1)]
    assert made[0][0].children == (made[0][1].figure,)
    assert list(made[0][1].figure.data[0].customdata[:3]) == [0, 1, 2]
    for _, pane in made:
        pane.close()


def test_a_map_that_is_drawn_again_is_the_newest() -> None:
    made = panes(MOST_WEBGL)
    made[0][1].draw(cloud())
    made += panes(1)
    assert live(made) == [True, False, *[True] * (MOST_WEBGL - 1)]
    for _, pane in made:
        pane.close()


def test_small_figures_are_all_live() -> None:
    made = panes(MOST_WEBGL + 3, webgl=False)
    assert all(live(made))
