"""The page and the figures of a comparison."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped
from tests.spaces.test_comparing import base, moved, pairs
from workbench.data.load import load
from workbench.plots import report
from workbench.plots.compare import compare_page, maps_figure, noise_figure
from workbench.spaces.comparing import compare
from workbench.spaces.comparison import Comparison
from workbench.spaces.displacement import Displacement


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        return compare(base(), moved(), pairs(40), resamples=50)


@pytest.fixture(autouse=True)
def short_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for plotly's five megabytes."""
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "/* plotly */")


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


class Tags(HTMLParser):
    """Tags of a page, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_the_page_has_a_section_for_all_that_was_found(made: Comparison) -> None:
    page = compare_page(made)
    assert headings(page) == [
        "In short",
        "Scores",
        "Rows that gained",
        "Rows that lost",
        "Maps",
        "Texts that moved farthest",
        "Neighbours that came and went",
        "Similarities",
        "How the maps were made",
    ]
    assert page.count("Plotly.newPlot") == 4, "scores, maps, noise, similarities"
    assert page.count("noise from 7 layouts") >= 3, "in short, at the texts that moved, in the figure"


def test_each_row_opens_to_its_texts_without_a_script(made: Comparison) -> None:
    page = compare_page(made)
    texts, before, after = made.gained[0]
    opened = page.split(f"<summary>{after - before:+.3f}  {texts[0]}</summary>")[1].split("</details>")[0]
    assert all(text in opened for text in texts) and "came (near after only)" in opened
    assert all(name in opened for name in made.after.scores)
    assert page.count("<details>") > 20


def test_rows_say_whether_they_moved_more_than_the_noise(made: Comparison) -> None:
    page = compare_page(made)
    row = made.farthest(1)[0]
    assert made.displacement is not None
    said = f"moved {made.displacement.distance[row]:.2f} units ({made.displacement.said(row)}): {made.texts[row]}"
    assert said in page and made.displacement.sentence in page


def test_the_page_says_how_each_map_was_made_and_what_it_has_kept(made: Comparison) -> None:
    page = compare_page(made)
    rows = dict(re.findall(r"<td>([a-z ]+)</td><td>(.*?)</td></tr>", page.split("<h2>How the maps were made</h2>")[1]))
    assert rows["min dist"] == "0.1</td><td>0.1" and rows["start"] == "pca</td><td>given" and "rounds" in rows
    for side in made.maps or ():
        assert all(sentence in page for sentence in side.faithfulness.sentences)


def test_what_there_is_nothing_of_has_no_section(made: Comparison) -> None:
    bare = replace(made, maps=None, neighbours=None, displacement=None, similarity=None, gained=[], lost=[])
    assert headings(compare_page(bare)) == ["In short", "Scores"]
    unscored = compare(base(), moved(), load(pd.DataFrame({"text": ["answer 1", "answer 2"]})))
    page = compare_page(unscored)
    assert "Scores" not in headings(page) and "undefined" in page and "nan" not in page.lower().split("<body>")[1]


def test_hostile_words_are_words_on_the_page(made: Comparison) -> None:
    bad = f"{HOSTILE}</details></script><script>alert(1)</script>"
    texts = (*made.texts[:-1], bad)
    maps = tuple(replace(side, space=replace(side.space, texts=texts)) for side in made.maps or ())
    similar = tuple(replace(side, texts=(bad, *side.texts[1:]), model=bad) for side in made.similarity or ())
    sides = {name: replace(getattr(made, name), model=bad) for name in ("before", "after")}
    neighbours = replace(made.neighbours, before=maps[0].space, after=maps[1].space)
    bad_one = replace(made, maps=maps, similarity=similar, neighbours=neighbours, about=bad, colour=bad, **sides)
    page = compare_page(bad_one)
    assert Tags(page).tags == Tags(compare_page(made)).tags
    assert page.count("&lt;img") > 5


def test_the_figure_of_the_noise_has_both_curves_and_where_the_noise_ends(made: Comparison) -> None:
    assert made.displacement is not None
    drawn = noise_figure(made.displacement)
    noise, way = drawn.data
    assert "noise" in noise.name and noise.line.dash != way.line.dash, "not by colour alone"
    assert way.x[0] == pytest.approx(made.displacement.distance.min()) and way.y[-1] == 100
    assert drawn.layout.shapes[0].x0 == pytest.approx(made.displacement.level)
    assert "(80 texts)" in drawn.layout.title.text and "%" in drawn.layout.yaxis.title.text


def test_no_way_is_a_titled_sentence() -> None:
    nothing = np.full(3, np.nan, dtype=np.float32)
    drawn = noise_figure(Displacement(nothing, nothing, (0, 1), HOSTILE), title="Mine")
    assert drawn.layout.title.text == "Mine" and "Undefined: " in annotations(drawn) and is_escaped(drawn)


def test_both_maps_say_their_units_and_sample(made: Comparison) -> None:
    drawn = maps_figure(made)
    assert {trace.type for trace in drawn.data} == {"scatter"}, "few points are drawn as SVG"
    assert "(80 texts)" in drawn.layout.title.text and "no unit" in drawn.layout.xaxis.title.text
    assert "no unit" in drawn.layout.yaxis.title.text
    assert "No maps were drawn." in annotations(maps_figure(replace(made, maps=None)))


def test_many_points_are_one_webgl_figure_with_short_texts() -> None:
    from tests.plots.test_map_figure import projection
    from workbench.plots.pair import pair_figure

    first = projection(2600, texts=["a long text " * 20] * 2600)
    drawn = pair_figure(first, first, hover_bytes=400_000)
    assert {trace.type for trace in drawn.data} == {"scattergl"}
    assert sum(len(text) for trace in drawn.data for text in trace.text) < 400_000
