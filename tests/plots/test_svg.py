"""Static pictures of figures, looked at as a browser would read them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.plots.test_map_figure import projection
from tests.plots.test_run_figures import EVENTS, both, score, stats, texts
from workbench.plots import theme
from workbench.plots.curves import course, curves_figure, loss_figure, score_figure
from workbench.plots.lengths import lengths_figure
from workbench.plots.loss_shape import loss_shape, loss_shape_figure
from workbench.plots.map import map_figure
from workbench.plots.pair import pair_figure
from workbench.plots.scores import scores_figure
from workbench.plots.similarity import change_figure
from workbench.plots.svg import svg
from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import thinned
from workbench.plots.svg_words import plain, span, wrap
from workbench.spaces.similarity import Similarity

NAN = float("nan")
SCRIPTS = ["<script>alert(1)</script>", '"><svg/onload=alert(1)>', "' onload='alert(1)", "]]><!-- x", "\x00\ud800<b"]
SCRIPTS += ["</title></text></svg><script>x()</script>", "&lt;script&gt;x()&lt;/script&gt;", "<<b>script>x<</b>/a>"]


class Picture:
    """A picture taken apart; reading it fails where it is not well formed."""

    def __init__(self, figure: go.Figure, width: int = 640) -> None:
        self.source = svg(figure, width=width)
        self.root = ET.fromstring(self.source)
        self.size = tuple(float(side) for side in self.root.attrib["viewBox"].split()[2:])
        self.texts = [" ".join(node.itertext()) for node in self.all("text")]
        self.titles = [node.text for node in self.all("title")]

    def all(self, tag: str) -> list[ET.Element]:
        return [node for node in self.root.iter() if node.tag.endswith("}" + tag)]

    def paths(self, colour: str) -> list[str]:
        return [node.attrib["d"] for node in self.all("path") if colour in node.attrib.values()]

    def place(self, text: str) -> tuple[float, float]:
        return tuple(float(self.all("text")[self.texts.index(text)].attrib[key]) for key in "xy")

    def extents(self) -> list[tuple[float, float, float, float]]:
        """Left, top, right and bottom of each text that is not turned, by the estimate of its width."""
        found = []
        moved = {child: g.attrib["transform"] for g in self.all("g") if "transform" in g.attrib for child in g}
        for node in (node for node in self.all("text") if "transform" not in node.attrib):
            dx, dy = map(float, re.findall(r"-?[\d.]+", moved.get(node, "0 0")))
            lines = list(node.itertext())
            wide = max(span(line, float(node.attrib.get("font-size", 11))) for line in lines) * 0.95
            x, y = float(node.attrib["x"]) + dx, float(node.attrib["y"]) + dy
            left = x - {"start": 0, "middle": wide / 2, "end": wide}[node.attrib.get("text-anchor", "start")]
            found.append((left, y - 8, left + wide, y + 15 * (len(lines) - 1)))
        return found


def line(y: list) -> go.Figure:
    return go.Figure(go.Scatter(y=y, mode="lines", line={"color": "red"}))


def cloud(n: int, **trace: object) -> go.Scatter:
    xy = np.random.default_rng(0).normal(size=(2, n))
    return go.Scatter(x=xy[0], y=xy[1], mode="markers", **trace)


@cache
def house() -> list[go.Figure]:
    run, place = course(EVENTS, "mrr"), projection(labels=list("abcabc"))
    same = Similarity(("text 1", "text 2", "text 3"), np.eye(3, dtype=np.float32), "a model")
    return [
        loss_figure(run),
        score_figure(run),
        curves_figure({"a": run, "b": course([], "mrr")}),
        lengths_figure(stats({"a": texts(2, 9, 12), "b": texts(1, 3)})),
        scores_figure(both({"mrr": score(0.4, 0.3, 0.6)}, {"mrr": score(0.5, 0.4, 0.7)})),
        loss_shape_figure(loss_shape("TripletLoss", {})),
        map_figure(place),
        pair_figure(place, place),
        change_figure(same, same),
        theme.empty("Mine", "There is nothing in it."),
    ]


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("width", [480, 640, 1000])
def test_the_figures_of_the_package_keep_their_words_apart_and_inside(number: int, width: int) -> None:
    figure = house()[number]
    before = figure.to_json()
    made = Picture(figure, width)
    assert figure.to_json() == before
    assert made.root.attrib["fill"] == "currentColor" and f"max-width:{width}px" in made.root.attrib["style"]
    assert made.root.attrib["aria-label"] and not re.search(r"href|url\(|@import|<style", made.source)
    extents = made.extents()
    assert all(left >= 0 and right <= made.size[0] and bottom <= made.size[1] for left, _, right, bottom in extents)
    for a, b in combinations(extents, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


NOTHING = [go.Scatter(), go.Bar(), go.Heatmap(), go.Heatmap(z=[[]]), go.Heatmap(z=[[NAN, None]]), go.Pie(values=[1])]
NOTHING += [go.Scatter(x=[NAN] * 2, y=[None] * 2), go.Scatter(y=[float("inf")]), go.Scatter(x=["a", "b"], y=[1, 2])]


@pytest.mark.parametrize("traces", [[], *NOTHING])
def test_nothing_to_draw_is_said(traces: object) -> None:
    assert "There is nothing to draw." in Picture(go.Figure(traces)).texts


ODD = [([1], [1]), ([0, 0], [0, 0]), ([2, 2, 2], [5, 5, 5]), ([1e300, 1], [1, 2]), ([0, 1], [1e15, 1e15 + 1])]
ODD += [([0, 1], [-1e-300, 1e-300]), ([1, 2, 3], [1]), (None, [1, None, NAN, 3])]


@pytest.mark.parametrize(("x", "y"), ODD)
@pytest.mark.parametrize("trace", [go.Scatter, go.Scattergl, go.Bar])
def test_odd_numbers_are_drawn_without_nan(trace: type, x: list, y: list) -> None:
    made = Picture(go.Figure(trace(x=x, y=y)))
    assert not re.search(r'[ "(MLHhv]-?(nan|inf)', made.source)
    assert made.texts and "There is nothing to draw." not in made.texts


@pytest.mark.parametrize(
    ("high", "labels"),
    [(0.95, "0 0.2 0.4 0.6 0.8"), (2e-5, "0 5e-6 1e-5 1.5e-5 2e-5"), (3e4, "0 10,000 20,000 30,000"), (2.0, "0 1 2")],
)
def test_ticks_are_round_and_short(high: float, labels: str) -> None:
    axis = Axis(sideways=False)
    axis.include(np.array([0.0, high]))
    axis.close()
    axis.place(150, 0, 100)
    assert " ".join(label for _, label in axis.ticks) == labels


def test_an_axis_may_have_named_ticks_and_run_backwards_and_nothing_is_drawn_beyond_its_range() -> None:
    figure = go.Figure(go.Scatter(x=[0, 1, 9], y=[0, 1, 1], mode="markers", hovertemplate="%{x}"))
    figure.update_xaxes(range=[2, -1], tickvals=[0, 1])
    figure.update_yaxes(tickvals=[0, 1], ticktext=["zero", "one &lt;b&gt;"], autorange="reversed")
    made = Picture(figure)
    assert made.titles == ["0", "1"]
    assert made.place("1")[0] < made.place("0")[0] and made.place("zero")[1] < made.place("one <b>")[1]


def test_a_long_line_is_thinned_and_keeps_its_ends_its_extremes_and_its_gaps() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    values[7_777], values[12_345], values[2_000:2_500] = 50, -50, NAN
    assert {0, 7_777, 12_345, 19_999} <= set(thinned(values).tolist())
    (path,) = Picture(line(values)).paths("red")
    assert path.count("M") == 2 and len(path.split()) <= 2 * 602
    assert "h0" in Picture(line([1, 2, None, 3, NAN, 4, 5])).paths("red")[0]


def test_a_large_map_is_drawn_in_part_and_says_so() -> None:
    figure = go.Figure([cloud(60_000, marker={"color": "red"}), cloud(40_000, marker={"color": "blue"}), cloud(1)])
    made = Picture(figure)
    assert [made.paths(colour)[0].count("M") for colour in ("red", "blue")] == [1_799, 1_199]
    assert "2,999 of 100,001 points drawn" in made.texts
    assert svg(figure) == made.source and len(made.source) < 150_000


def test_few_points_have_tooltips_filled_in_once_and_many_have_none() -> None:
    hover = {"hovertemplate": "%{y:.2f}: %{text}<extra>%{fullData.name}</extra>", "name": "%{x}"}
    few = Picture(go.Figure(cloud(300, text=["<b>row</b> %{x}<br>&lt;i&gt;"] * 300, **hover)))
    assert len(few.titles) == 300
    assert re.fullmatch(r"-?\d\.\d\d: row %\{x\}\n<i>\n%\{x\}", few.titles[0])
    assert Picture(go.Figure(cloud(301, text=["t"] * 301, **hover))).titles == []


def test_error_bars_reach_from_end_to_end() -> None:
    errors = {"type": "data", "symmetric": False, "array": [1, None], "arrayminus": [1, 0]}
    made = Picture(go.Figure(go.Scatter(x=[1, 2], y=[0, 1], mode="markers", line={"color": "red"}, error_x=errors)))
    ((start, end),) = re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", " ".join(made.paths("red")))
    assert (float(start) + float(end)) / 2 == pytest.approx(made.place("1")[0], abs=0.2)


def test_bars_stand_on_zero_and_have_their_width_and_a_tooltip() -> None:
    made = Picture(go.Figure(go.Bar(x=[1, 3], y=[4, 2], width=[2, 1], hovertemplate="%{y} texts<extra></extra>")))
    first, second = (node.attrib for node in made.all("rect"))
    assert float(first["height"]) == pytest.approx(2 * float(second["height"]), abs=0.3)
    assert float(first["width"]) == pytest.approx(2 * float(second["width"]), abs=1.5)
    assert made.titles == ["4 texts", "2 texts"]


def test_a_heat_map_colours_its_cells_by_the_scale_and_leaves_undefined_ones_open() -> None:
    look = {"texttemplate": "%{text}", "colorscale": [[0, "#ffffff"], [1, "#000000"]], "colorbar": {"title": "cosine"}}
    made = Picture(go.Figure(go.Heatmap(z=[[0, 1], [None, 0.3]], text=[["a", "b"], ["c", "d"]], **look)))
    assert {node.attrib.get("fill") for node in made.all("path")} == {"#ffffff", "#000000", "#b2b2b2"}
    colours = {node.text: node.attrib.get("fill") for node in made.all("text")}
    assert [colours[text] for text in "ab–"] == ["#111", "#fff", "currentColor"]
    assert {"cosine 0", "cosine 1"} <= set(colours)
    crowded = go.Figure(go.Heatmap(z=np.eye(40), text=np.full((40, 40), "1.000000"), **look))
    assert "1.000000" not in Picture(crowded).texts


def test_a_line_across_has_its_words_beside_it_and_the_range_holds_it() -> None:
    figure = line([1, 2, 3])
    for x in (5, 5.01):
        figure.add_vline(x=x, line={"color": "#123456", "dash": "dash"}, annotation_text="limit")
    made = Picture(figure)
    assert made.texts.count("limit") == 1
    x, same = (float(at) for at in re.findall(r"[ML](\d+) ", made.paths("#123456")[0]))
    assert x == same and 0 < x - made.place("limit")[0] < 40


@pytest.mark.parametrize("orientation", ["h", "v"])
def test_the_picture_grows_with_its_legend(orientation: str) -> None:
    traces = [go.Scatter(y=[1, 2], name=f"{n} is a name that goes on and on and on and on") for n in range(30)]
    made = Picture(go.Figure(traces, layout={"height": 200, "legend": {"orientation": orientation}}))
    assert sum("is a name" in text for text in made.texts) == 30
    assert made.size[1] > 200 and all(right <= 640 and low <= made.size[1] for _, _, right, low in made.extents())


def everywhere(text: str) -> go.Figure:
    look = {"name": text, "text": [text] * 2, "hovertemplate": "%{text}"}
    figure = go.Figure([go.Scatter(y=[1, 2], mode="lines+markers", **look), go.Bar(x=[1, 2], y=[1, 2], **look)])
    look = {"text": [[text]], "texttemplate": "%{text}", "colorbar": {"title": text}}
    figure.add_trace(go.Heatmap(z=[[1]], xaxis="x2", yaxis="y2", **look))
    figure.add_vline(x=1, annotation_text=text)
    axis = {"title": text, "tickvals": [1, 2], "ticktext": [text, text]}
    figure.update_layout(title=text, xaxis={**axis, "domain": [0, 0.4]}, yaxis=axis, xaxis2={"domain": [0.6, 1]})
    return figure.add_annotation(text=text, xref="paper", yref="paper", y=-0.2, yanchor="top", showarrow=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_hostile_text_is_text_wherever_it_stands(script: str) -> None:
    escaped, raw = Picture(everywhere(theme.text(script, 300, width=300)), 1200), Picture(everywhere(script), 1200)
    harmless = {node.tag for node in Picture(everywhere("harmless")).root.iter()}
    for made in (escaped, raw):
        assert {node.tag for node in made.root.iter()} <= harmless
        assert not {name for node in made.root.iter() for name in node.attrib if name.startswith("on")}
        made.source.encode()
    shown = re.sub(r"[\x00-\x1f\ud800-\udfff]", "", script)
    assert escaped.root.attrib["aria-label"] == shown
    assert escaped.titles == [shown] * 4 and shown in escaped.texts


def test_a_text_is_unescaped_once_cut_and_wrapped() -> None:
    assert plain("&amp;lt;b&amp;gt;<br><i>a < b</i>") == ["&lt;b&gt;", "a < b"]
    lines = wrap(["a sentence of several words that has to be broken", "日本語" * 50], 120, most=3)
    assert len(lines) == 3 and lines[-1].endswith("…") and all(span(part) <= 120 for part in lines)
