"""The picture of a map."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped, shown
from workbench.data.load import load
from workbench.errors import DataError
from workbench.plots import map as module
from workbench.plots.map import map_figure, sentences, show_map
from workbench.plots.svg import svg
from workbench.plots.theme import AFTER, REFERENCE
from workbench.spaces.encode import Space
from workbench.spaces.faithful import Faithfulness
from workbench.spaces.project import Projection


def projection(
    n: int = 6, labels: list[str] | None = None, texts: list[str] | None = None, **changes: object
) -> Projection:
    vectors = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    names = tuple(texts or [f"text {row}" for row in range(n)])
    space = Space(names, vectors, "a model", "0" * 16, labels=None if labels is None else tuple(labels))
    given = {"engine": "umap", "version": "0.5", "seed": 3, "neighbours": 15, "trustworthiness": 0.987, **changes}
    return Projection(space, vectors[:, :2].copy(), **given)


def test_a_map_without_labels_is_one_cloud_without_a_legend() -> None:
    made = map_figure(projection(), title="Mine")
    assert len(made.data) == 1
    assert made.layout.title.text == "Mine"
    assert made.data[0].showlegend is False
    assert list(made.data[0].text) == [f"text {row}" for row in range(6)]
    assert made.layout.xaxis.title.text == "UMAP 1 (no unit)"


def test_each_label_is_a_cloud_of_its_own_points() -> None:
    made = map_figure(projection(labels=["b", "a", "b", "c", "a", "b"]))
    assert [(cloud.name, list(cloud.text)) for cloud in made.data] == [
        ("a", ["text 1", "text 4"]),
        ("b", ["text 0", "text 2", "text 5"]),
        ("c", ["text 3"]),
    ]
    assert all(cloud.showlegend for cloud in made.data)


def test_twenty_labels_differ_in_colour_or_symbol() -> None:
    made = map_figure(projection(20, labels=[str(n) for n in range(20)]))
    assert len({(cloud.marker.color, cloud.marker.symbol) for cloud in made.data}) == 20


def test_the_caption_says_how_the_map_was_made_and_how_far_to_trust_it() -> None:
    note = annotations(map_figure(projection())).replace("<br>", " ")
    assert note == "6 texts, a model; UMAP 0.5, 15 neighbours, seed 3; trustworthiness 0.987"


def test_texts_without_a_place_are_not_drawn_but_counted() -> None:
    record = projection(labels=list("aabbbb"))
    record.space.vectors[:2] = 0
    record.xy[:2] = np.nan
    made = map_figure(record)
    assert [cloud.name for cloud in made.data] == ["b"]
    assert "2 left out" in annotations(made)


@pytest.mark.parametrize("n", [0, 4])
def test_a_map_of_nothing_is_a_titled_sentence(n: int) -> None:
    record = projection(n)
    record.xy[:] = np.nan
    made = map_figure(record, title="Mine")
    assert len(made.data) == 0
    assert made.layout.title.text == "Mine"
    assert "There is nothing to draw" in annotations(made)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_space_of_few_texts_is_drawn(n: int) -> None:
    made = show_map(projection(n).space)
    assert len(made.data[0].x) == n
    assert made.layout.xaxis.title.text == "PCA 1 (no unit)"
    assert f"{n} distinct usable vectors, UMAP needs 4" in annotations(made).replace("<br>", " ")


def test_many_points_are_drawn_by_the_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEBGL_FROM", 5)
    assert map_figure(projection(5)).data[0].type == "scatter"
    assert map_figure(projection(6)).data[0].type == "scattergl"


@pytest.mark.parametrize("where", ["text", "label", "title", "model"])
def test_hostile_text_is_escaped_wherever_it_stands(where: str) -> None:
    record = projection(
        3, labels=[HOSTILE if where == "label" else "a"] * 3, texts=[HOSTILE if where == "text" else "t"] * 3
    )
    if where == "model":
        space = Space(record.space.texts, record.space.vectors, HOSTILE, "0" * 16)
        record = Projection(space, record.xy, "umap", "0.5", 0, 15, 0.9)
    assert is_escaped(map_figure(record, title=HOSTILE if where == "title" else "t"))


def test_a_label_cannot_fill_in_a_template() -> None:
    made = map_figure(projection(3, labels=["%{x}"] * 3, texts=["%{y}"] * 3))
    assert "%{x}" not in made.data[0].hovertemplate
    assert "%{y}" not in made.data[0].hovertemplate
    assert "%{y}" in shown(made)


@pytest.mark.parametrize("seed", [-1, "x", 2.5, 2**32, None, True])
def test_a_seed_that_is_none_is_refused_before_anything_is_drawn(seed: object) -> None:
    with pytest.raises(DataError, match="expected seed= a whole number from 0 to 4294967295, got"):
        show_map(projection().space, seed=seed)  # type: ignore[arg-type]


def faithful(kept: list[float]) -> Projection:
    measured = Faithfulness(0.9, 0.8, 0.5, 0.4, np.array(kept, np.float32), 15, 10, len(kept), len(kept), 20_000, 3)
    return projection(len(kept), faithfulness=measured)


def test_how_faithful_a_point_is_follows_one_scale_of_colours() -> None:
    made = map_figure(faithful([1.0, 0.0, 0.5, 0.0]), faithful=True)
    assert [(cloud.name, cloud.customdata.tolist()) for cloud in made.data] == [
        ("0%", [1, 3]),
        ("50%", [2]),
        ("100%", [0]),
    ]
    assert [cloud.marker.color for cloud in made.data] == [REFERENCE, "#9A9A9A", AFTER]
    assert [cloud.marker.symbol for cloud in made.data] == ["triangle-down", "circle", "circle"]
    assert {cloud.legendrank for cloud in made.data} == {None}, "the scale stands in its order"
    assert made.layout.legend.title.text == "nearest texts kept"
    assert "10 nearest texts in the space that are among its 10 nearest on the map" in annotations(made).replace(
        "<br>", " "
    )


def test_a_map_that_was_not_judged_says_so_instead_of_a_scale() -> None:
    made = map_figure(projection(5, why="the first picture"), faithful=True)
    assert [cloud.name for cloud in made.data] == ["not measured"]
    assert "was not measured (the first picture)" in annotations(made).replace("<br>", " ")
    assert sentences(projection(5, why="the first picture")) == (
        "How much of the space the map has kept was not measured: the first picture.",
    )


@pytest.mark.parametrize("sign", ["x", "ж", "<", "&"])
def test_the_texts_of_a_page_of_limited_size_are_cut(sign: str) -> None:
    record = projection(50, texts=[sign * 300] * 50)

    def size(**given: int) -> int:
        page, bare = (map_figure(of, **given) for of in (record, projection(50, texts=[""] * 50)))  # type: ignore[arg-type]
        return len(page.to_html(include_plotlyjs=False)) - len(bare.to_html(include_plotlyjs=False))

    assert 2_000 < size(hover_bytes=9_500) <= 9_500 < size() == size(hover_bytes=10**6)
    assert map_figure(record, hover_bytes=9_500).data[0].text[0].endswith("…")


def test_a_space_is_coloured_by_what_is_asked_for() -> None:
    space = projection(8, labels=list("abababab")).space

    def names(**given: object) -> list[str]:
        return [cloud.name for cloud in show_map(space, **given).data]  # type: ignore[arg-type]

    assert names() == names(colour="label") == ["a", "b"]
    assert names(labels=[1, 2, 3, 3, 3, 3, 3, 3]) == ["1", "2", "3"]
    assert names(colour="one colour") == [""]
    assert all(name.startswith("cluster ") for name in names(colour="cluster"))
    assert all(name.endswith("%") for name in names(colour="how faithful"))


def test_a_space_is_coloured_by_a_column_of_its_table() -> None:
    space = projection(3).space
    frame = pd.DataFrame({"text": ["text 0", "text 1", "text 1", "text 2"], "topic": ["x", "x", "y", "y"]})
    made = show_map(space, data=load(frame), colour="topic")
    assert {cloud.name: list(cloud.text) for cloud in made.data} == {
        "several values": ["text 1"],
        "x": ["text 0"],
        "y": ["text 2"],
    }
    assert [cloud.name for cloud in show_map(space, data=frame).data] == ["several values", "x", "y"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"colour": "clusters"},
            "expected colour= label, cluster, one colour, how faithful, or a column of data=, got 'clusters'; did you mean 'cluster'",
        ),
        ({"colour": 3}, "got 3; for a column give data="),
        ({"colour": "label"}, "expected labels for colour='label', got none; give labels="),
        ({"labels": ["a"]}, "expected one label for each of 6 texts, got 1"),
        ({"data": pd.DataFrame({"text": ["a", "b"]}), "colour": "topik"}, "to colour by, got 'topik'"),
    ],
)
def test_a_colour_that_is_none_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        show_map(projection().space, **given)  # type: ignore[arg-type]


def test_labels_beyond_twenty_lie_under_those_that_are_named_and_are_the_last_in_the_legend() -> None:
    made = map_figure(projection(60, labels=[f"label {n % 30}" for n in range(60)]))
    assert made.data[0].name == "others (11 labels)" and len(made.data) == 20
    assert made.data[0].legendrank > 1000 and all(trace.legendrank is None for trace in made.data[1:])
    drawn = svg(made, width=960)
    assert drawn.rindex("others (11 labels)") > drawn.rindex("label 18")
