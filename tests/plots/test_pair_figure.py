"""Two maps of the same texts in one frame."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped
from tests.plots.test_map_figure import projection
from workbench.errors import DataError
from workbench.plots.pair import pair_figure
from workbench.spaces.project import Projection


def pair(n: int = 6, **given: object) -> tuple[Projection, Projection]:
    first, second = projection(n, **given), projection(n, **given)  # type: ignore[arg-type]
    second.xy[:] = second.xy * 3 + 5
    return first, second


def test_both_maps_have_the_same_colours_and_one_legend() -> None:
    made = pair_figure(*pair(labels=list("abaccb")))
    left, right = made.data[:3], made.data[3:]
    assert [cloud.name for cloud in left] == [cloud.name for cloud in right] == ["a", "b", "c"]
    for a, b in zip(left, right, strict=True):
        assert a.marker == b.marker and a.legendgroup == b.legendgroup
        assert (a.showlegend, b.showlegend) == (True, False)
        assert a.customdata.tolist() == b.customdata.tolist()
    assert {cloud.xaxis for cloud in left} == {"x"} and {cloud.xaxis for cloud in right} == {"x2"}


def test_both_maps_have_the_same_ranges_that_hold_all_points() -> None:
    first, second = pair()
    made = pair_figure(first, second)
    assert made.layout.xaxis.range == made.layout.xaxis2.range
    assert made.layout.yaxis.range == made.layout.yaxis2.range
    for number, axis in enumerate((made.layout.xaxis, made.layout.yaxis)):
        values = np.concatenate([first.xy[:, number], second.xy[:, number]])
        assert axis.range[0] < values.min() and values.max() < axis.range[1]


def test_texts_with_a_place_in_one_map_only_are_not_drawn() -> None:
    first, second = pair()
    first.xy[0], second.xy[1] = np.nan, np.nan
    made = pair_figure(first, second)
    assert [cloud.customdata.tolist() for cloud in made.data] == [[2, 3, 4, 5]] * 2


def test_above_the_limit_both_show_the_same_stated_sample() -> None:
    made = pair_figure(*pair(40), limit=10)
    assert made.data[0].customdata.tolist() == made.data[1].customdata.tolist()
    assert len(made.data[0].x) == 10
    assert "10 of 40 texts, a sample with seed 3" in made.layout.title.text


def test_a_single_point_has_room_around_it() -> None:
    first, _ = pair(1)
    made = pair_figure(first, first)
    assert made.layout.xaxis.range[0] < first.xy[0, 0] < made.layout.xaxis.range[1]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_is_a_titled_sentence(n: int) -> None:
    first, second = pair(n)
    first.xy[:] = np.nan
    made = pair_figure(first, second, title="Mine")
    assert len(made.data) == 0 and made.layout.title.text == "Mine"
    assert "no text has a place in both maps" in annotations(made)


def test_other_texts_are_refused() -> None:
    with pytest.raises(DataError, match="two maps of the same texts"):
        pair_figure(projection(3), projection(4))


@pytest.mark.parametrize("where", ["text", "label", "title", "names"])
def test_hostile_text_is_escaped(where: str) -> None:
    first, second = pair(
        3, labels=[HOSTILE if where == "label" else "a"] * 3, texts=[HOSTILE if where == "text" else "t"] * 3
    )
    names = (HOSTILE, "b") if where == "names" else ("a", "b")
    assert is_escaped(pair_figure(first, second, title=HOSTILE if where == "title" else "t", names=names))
