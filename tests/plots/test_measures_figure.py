"""Measures as strips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped
from tests.spaces.standins import space
from workbench.errors import DataError
from workbench.plots.measures import measures_figure
from workbench.plots.svg import svg
from workbench.spaces.measures import MEASURES, Measures, measures


def record(n: int = 30) -> Measures:
    rows = np.random.default_rng(0).normal(size=(n, 6))
    return measures(space(rows, labels=["a", "b"] * (n // 2)), pairs=[(0, 1)] if n else None)


def test_each_measure_has_a_strip_with_its_value_and_what_to_compare_it_with() -> None:
    made = record()
    figure = measures_figure(made)
    assert len(figure.data) == 4 * len(MEASURES)
    values = {trace.xaxis: trace.x[0] for trace in figure.data if trace.name == "a model"}
    assert list(values.values()) == [measure.value for measure in made.measures]
    assert f"effective rank: {made['effective_rank']}" in annotations(figure)
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "random directions",
        "collapsed",
        "untuned",
        "a model",
    ]
    assert "a model on 30 texts" in annotations(figure)


def test_several_spaces_stand_beside_each_other() -> None:
    figure = measures_figure(record(), record(40), names=["before", "after"])
    assert {trace.name for trace in figure.data} >= {"before", "after"}
    assert len({(t.marker.color, t.marker.symbol) for t in figure.data if t.name in ("before", "after")}) == 2
    assert " → " in annotations(figure)


def test_an_undefined_measure_says_why_in_its_place() -> None:
    figure = measures_figure(record(0))
    assert [trace.name for trace in figure.data] == ["untuned"] * len(MEASURES)
    assert "uniformity: undefined: there is no text with a usable vector" in annotations(figure)


def test_no_space_is_a_titled_figure() -> None:
    figure = measures_figure(title="Mine")
    assert figure.layout.title.text == "Mine"
    assert "no space to measure" in annotations(figure)


def test_hostile_names_are_escaped_and_fill_in_nothing() -> None:
    figure = measures_figure(replace(record(), model=HOSTILE), title=HOSTILE)
    assert is_escaped(figure)
    assert {trace.hovertemplate for trace in figure.data} == {"%{x:.4g}<extra>%{fullData.name}</extra>"}


def test_it_can_be_drawn_without_a_browser() -> None:
    drawn = svg(measures_figure(record()))
    assert drawn.count("hubness") >= 1


def test_one_name_for_each_space_is_needed() -> None:
    with pytest.raises(DataError, match="one name for each of 1 spaces, got 2"):
        measures_figure(record(), names=["a", "b"])
