"""The picture of a map."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped, shown
from workbench.errors import DataError
from workbench.plots import map as module
from workbench.plots.map import map_figure, show_map
from workbench.spaces.encode import Space
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
