"""Static pictures of figures, looked at as a browser would read them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from copy import deepcopy
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from tests.plots.test_map_figure import projection
from tests.plots.test_run_figures import EVENTS, both, score, stats, texts
from workbench.plots import theme
from workbench.plots.curves import course, loss_figure, score_figure
from workbench.plots.lengths import lengths_figure
from workbench.plots.map import map_figure
from workbench.plots.scores import scores_figure
from workbench.plots.similarity import change_figure, similarity_figure
from workbench.plots.svg import svg
from workbench.plots.svg_axes import Axis
from workbench.plots.svg_marks import thinned
from workbench.plots.svg_words import Settings, cut, number, plain, span, wrap
from workbench.spaces.similarity import Similarity

NAN = float("nan")
SCRIPTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onload='alert(1)",
    "</title></text></svg><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<<b>script>alert(1)<</b>/script>",
    "]]><!-- x",
    "\x00\x1b\ud800<b",
]


class Picture:
    """A picture taken apart; reading it fails where it is not well formed."""

    def __init__(self, figure: go.Figure, width: int = 640) -> None:
        self.source = svg(figure, width=width)
        self.root = ET.fromstring(self.source)
        self.size = tuple(float(side) for side in self.root.attrib["viewBox"].split()[2:])

    def all(self, tag: str) -> list[ET.Element]:
        return [node for node in self.root.iter() if node.tag.endswith("}" + tag)]

    @property
    def texts(self) -> list[str]:
        return [" ".join(node.itertext()) for node in self.all("text")]

    @property
    def titles(self) -> list[str]:
        return [node.text or "" for node in self.all("title")]

    def paths(self, colour: str) -> list[str]:
        return [node.attrib["d"] for node in self.all("path") if colour in node.attrib.values()]

    def place(self, text: str) -> tuple[float, float]:
        node = next(node for node in self.all("text") if " ".join(node.itertext()) == text)
        return float(node.attrib["x"]), float(node.attrib["y"])

    def extents(self) -> list[tuple[float, float, float, float]]:
        """Left, top, right and bottom of each text that is not turned, by the estimate of its width."""
        found = []
        sizes = {
            child: group.attrib["font-size"]
            for group in self.all("g")
            if "font-size" in group.attrib
            for child in group
        }
        for node in self.all("text"):
            if "transform" in node.attrib:
                continue
            lines = list(node.itertext())
            wide = max(span(line, float(node.attrib.get("font-size", sizes.get(node, 11)))) for line in lines) * 0.95
            x, y = float(node.attrib["x"]), float(node.attrib["y"])
            left = x - {"start": 0, "middle": wide / 2, "end": wide}[node.attrib.get("text-anchor", "start")]
            found.append((left, y - 8, left + wide, y + 15 * (len(lines) - 1)))
        return found


def numbers_of(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML ](-?[\d.]+) (-?[\d.]+)", path)]


def line(y: list, **layout: object) -> go.Figure:
    return go.Figure(go.Scatter(y=y, mode="lines", line={"color": "red"}), layout=layout)


def cloud(n: int, **trace: object) -> go.Scatter:
    rng = np.random.default_rng(0)
    return go.Scatter(x=rng.normal(size=n), y=rng.normal(size=n), mode="markers", **trace)


def similarity(n: int = 2) -> Similarity:
    matrix = np.eye(n, dtype=np.float32)
    return Similarity(tuple(f"text {row}" for row in range(n)), matrix, "a model")


HOUSE = {
    "loss": lambda: loss_figure(course(EVENTS, "mrr"), title="Mine"),
    "score": lambda: score_figure(course(EVENTS, "mrr"), title="Mine"),
    "lengths": lambda: lengths_figure(stats({"a": texts(2, 9, 12), "b": texts(1, 3)}), title="Mine"),
    "scores": lambda: scores_figure(both({"mrr": score(0.4, 0.3, 0.6)}, {"mrr": score(0.5, 0.4, 0.7)}), title="Mine"),
    "map": lambda: map_figure(projection(labels=list("abcabc")), title="Mine"),
    "similarity": lambda: similarity_figure(similarity(3), title="Mine"),
    "change": lambda: change_figure(similarity(3), similarity(3), title="Mine"),
    "empty": lambda: theme.empty("Mine", "There is nothing in it."),
}


@cache
def house(name: str) -> go.Figure:
    return HOUSE[name]()


# the whole


@pytest.mark.parametrize("name", HOUSE)
@pytest.mark.parametrize("width", [300, 640, 1000])
def test_the_figures_of_the_package_keep_their_words_apart_and_inside(name: str, width: int) -> None:
    made = Picture(house(name), width)
    assert made.root.attrib["role"] == "img"
    assert made.root.attrib["aria-label"].startswith("Mine")
    assert f"max-width:{width}px" in made.root.attrib["style"]
    extents = made.extents()
    assert all(left >= 0 and right <= made.size[0] and bottom <= made.size[1] for left, _, right, bottom in extents)
    for a, b in combinations(extents, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


def test_a_picture_takes_the_colours_of_its_page_and_asks_for_nothing() -> None:
    made = Picture(house("loss"))
    assert made.root.attrib["fill"] == "currentColor"
    assert {node.tag.split("}")[1] for node in made.root.iter()} <= {
        "svg",
        "g",
        "path",
        "rect",
        "text",
        "tspan",
        "title",
    }
    assert not re.search(r"href|url\(|@import|<style", made.source)


def test_drawing_leaves_the_figure_alone() -> None:
    figure = house("scores")
    before = deepcopy(figure)
    svg(figure)
    assert figure == before


def test_a_figure_that_came_from_json_is_drawn_like_itself() -> None:
    figure = go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3)))
    figure.add_trace(go.Scatter(x=np.arange(3), y=np.arange(3.0)))
    assert svg(go.Figure(figure.to_dict())) == svg(figure)


@pytest.mark.parametrize(
    "figure",
    [
        go.Figure(),
        go.Figure(go.Scatter()),
        go.Figure(go.Bar()),
        go.Figure(go.Heatmap()),
        go.Figure(go.Heatmap(z=[[]])),
        go.Figure(go.Scatter(x=[NAN, NAN], y=[None, None])),
        go.Figure(go.Scatter(x=[1, 2], y=[float("inf"), -float("inf")])),
        go.Figure(go.Scatter(x=[1, 2, 3], y=[None] * 3), layout={"yaxis": {"type": "log"}}),
    ],
)
def test_nothing_to_draw_is_said(figure: go.Figure) -> None:
    assert Picture(figure).texts == ["There is nothing to draw."]


def test_a_matrix_without_a_value_is_said_to_be_empty() -> None:
    assert "There is nothing to draw." in Picture(go.Figure(go.Heatmap(z=[[NAN, None]]))).texts


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1], [1]),
        ([2, 2, 2], [5, 5, 5]),
        ([0, 0], [0, 0]),
        ([1e300, -1e300], [1, 2]),
        ([0, 1], [1e15, 1e15 + 1]),
        ([0, 1], [-1e-300, 1e-300]),
        (["a", None, 3], [1, 2, 3]),
        (np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]"), [1, 2]),
        ([1, 2, 3], [1]),
    ],
)
@pytest.mark.parametrize("trace", [go.Scatter, go.Scattergl, go.Bar])
def test_odd_numbers_are_drawn_without_nan(trace: type, x: list, y: list) -> None:
    made = Picture(go.Figure(trace(x=x, y=y)))
    assert not re.search(r'[ "(MLhv]-?(nan|inf)', made.source)
    assert made.texts


def test_what_cannot_be_drawn_is_named() -> None:
    figure = go.Figure([go.Pie(values=[1, 2]), go.Bar(x=[1], y=["a"], orientation="h"), go.Scatter(y=[1, 2])])
    assert "not drawn here: bar trace, pie trace" in Picture(figure).texts


def test_a_picture_is_as_high_as_its_figure_or_higher_where_its_legend_needs_it() -> None:
    names = [go.Scatter(y=[1, 2], name=f"a rather long name number {n}") for n in range(9)]
    layout = {"height": 200, "legend": {"orientation": "h"}}
    assert Picture(go.Figure(names[:2], layout=layout)).size == (640, 200)
    assert Picture(go.Figure(names, layout=layout)).size[1] > 200


# axes


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 0.95, ["0", "0.2", "0.4", "0.6", "0.8"]),
        (0.0, 2e-5, ["0", "5e-6", "1e-5", "1.5e-5", "2e-5"]),
        (0.0, 50_000.0, ["0", "10k", "20k", "30k", "40k", "50k"]),
        (0.0, 2.2e6, ["0", "0.5M", "1.0M", "1.5M", "2.0M"]),
        (-3.0, 3.0, ["−3", "−2", "−1", "0", "1", "2", "3"]),
        (1.0, 4.0, ["1", "2", "3", "4"]),
    ],
)
def test_ticks_are_round_and_short(low: float, high: float, labels: list[str]) -> None:
    axis = Axis("y", Settings(), "x")
    axis.include(np.array([low, high]))
    axis.close()
    axis.place(200, 0)
    axis.mark(100)
    assert [label for _, label in axis.ticks] == labels
    assert axis.px(low) == 200 and axis.px(high) == 0


def test_a_log_axis_has_powers_of_ten_and_no_place_for_zero() -> None:
    made = Picture(go.Figure(go.Scatter(y=[0, 0.001, 1, 100], mode="lines"), layout={"yaxis": {"type": "log"}}))
    heights = [made.place(label)[1] for label in ("0.001", "0.01", "0.1")]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert {"10", "100"} <= set(made.texts)


def test_named_ticks_stand_in_their_place_and_a_reversed_axis_begins_on_top() -> None:
    figure = line([0, 2])
    figure.update_yaxes(tickvals=[0, 1, 2], ticktext=["zero", "one &lt;b&gt;", "two"], autorange="reversed")
    made = Picture(figure)
    assert made.place("zero")[1] < made.place("one <b>")[1] < made.place("two")[1]


def test_a_range_may_be_given_backwards() -> None:
    made = Picture(line([0, 30], yaxis={"range": [40, -10]}))
    assert made.place("10")[1] < made.place("20")[1]


def test_many_named_ticks_are_thinned_and_long_ones_cut_or_tilted() -> None:
    figure = go.Figure(go.Bar(x=[f"a loss with a long name, number {n}" for n in range(60)], y=list(range(60))))
    tilted = [node for node in Picture(figure).all("text") if "rotate(-40" in node.attrib.get("transform", "")]
    assert 10 < len(tilted) < 60
    assert all((node.text or "").endswith("…") for node in tilted)


def test_categories_keep_their_order_of_appearance() -> None:
    made = Picture(go.Figure(go.Bar(x=["b", "a", "c"], y=[1, 2, 3])))
    assert made.place("b")[0] < made.place("a")[0] < made.place("c")[0]


def test_a_missing_category_has_no_tick() -> None:
    made = Picture(go.Figure(go.Bar(x=["a", NAN, None, "b"], y=[1, 2, 3, 4])))
    assert len(made.all("rect")) == 2
    assert not {"nan", "None", ""} & set(made.texts)


def test_axes_that_match_share_a_range() -> None:
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True)
    figure.add_trace(go.Scatter(y=[0, 10], mode="lines", line={"color": "red"}), row=1, col=1)
    figure.add_trace(go.Scatter(y=[0, 5], mode="lines", line={"color": "blue"}), row=1, col=2)
    made = Picture(figure)
    (_, red_high), (_, blue_high) = (numbers_of(made.paths(colour)[0])[1] for colour in ("red", "blue"))
    foot = numbers_of(made.paths("red")[0])[0][1]
    assert foot - red_high == pytest.approx(2 * (foot - blue_high), abs=0.3)


# lines


@pytest.mark.parametrize("gap", [None, NAN])
def test_a_missing_value_is_a_gap_and_a_lone_value_a_dot(gap: float | None) -> None:
    assert Picture(line([1, 2, gap, 3, 4])).paths("red")[0].count("M") == 2
    assert "h0" in Picture(line([1, 2, gap, 3, gap, 4, 5])).paths("red")[0]


def test_a_long_line_is_thinned_and_keeps_its_highest_and_lowest_point() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    values[7_777], values[12_345] = 50, -50
    points = numbers_of(Picture(line(values)).paths("red")[0])
    assert len(points) <= 602
    rows = thinned(np.arange(20_000.0), values, most=600)
    assert {0, 7_777, 12_345, 19_999} <= set(rows.tolist())


def test_thinning_keeps_gaps() -> None:
    values = np.sin(np.arange(5_000.0))
    values[2_000:2_500] = NAN
    assert Picture(line(values)).paths("red")[0].count("M") == 2


def test_a_line_is_cut_where_it_leaves_the_range() -> None:
    made = Picture(line([0, 100, 0], yaxis={"range": [0, 1]}))
    assert all(0 < y < made.size[1] for path in made.paths("red") for _, y in numbers_of(path))
    assert made.paths("red")[0].count("M") == 2


def test_dashes_and_widths_are_those_of_the_trace() -> None:
    figure = go.Figure(go.Scatter(y=[1, 2], mode="lines", line={"dash": "dot", "width": 3, "color": "#abc"}))
    drawn = next(node for node in Picture(figure).all("path") if node.attrib.get("stroke") == "#abc")
    assert (drawn.attrib["stroke-dasharray"], drawn.attrib["stroke-width"]) == ("2 3", "3")


def test_traces_without_a_colour_take_that_of_the_layout_in_turn() -> None:
    figure = go.Figure([go.Scatter(y=[1, 2], mode="lines")] * 3, layout={"colorway": ["#010101", "#020202"]})
    made = Picture(figure)
    assert [len([d for d in made.paths(colour) if "L" in d]) for colour in ("#010101", "#020202")] == [2, 1]


# markers


def test_a_large_map_is_drawn_in_part_and_says_so() -> None:
    figure = go.Figure([cloud(60_000, marker={"color": "red"}), cloud(40_000, marker={"color": "blue"})])
    made = Picture(figure)
    red, blue = (made.paths(colour)[0].count("M") for colour in ("red", "blue"))
    assert red + blue == 3_000
    assert red == pytest.approx(1_800, abs=120)
    assert "3,000 of 100,000 points drawn" in made.texts
    assert svg(figure) == made.source


@pytest.mark.parametrize("symbol", theme.SYMBOLS)
def test_a_map_stays_small_with_every_symbol(symbol: str) -> None:
    assert len(svg(go.Figure(cloud(9_000, marker={"symbol": symbol, "size": 8})))) < 150_000


def test_symbols_differ() -> None:
    shapes = set()
    for symbol in theme.SYMBOLS:
        drawn = Picture(go.Figure(go.Scatter(x=[1], y=[1], mode="markers", marker={"symbol": symbol, "color": "red"})))
        node = next(n for n in drawn.all("g") if "red" in n.attrib.values())
        shapes.add(re.sub(r"^M\S+ [\d.]+", "", node[0].attrib["d"]))
    assert len(shapes) == len(theme.SYMBOLS)


def test_few_points_have_their_texts_as_tooltips_and_many_have_none() -> None:
    few = Picture(go.Figure(cloud(300, text=[f"<b>row</b> {n}<br>&lt;i&gt;" for n in range(300)])))
    assert few.titles[:2] == ["row 0\n<i>", "row 1\n<i>"]
    assert len(few.titles) == 300
    assert Picture(go.Figure(cloud(301, text=["t"] * 301))).titles == []


def test_a_tooltip_fills_in_its_template_once() -> None:
    figure = go.Figure(
        go.Scatter(
            x=[0.12345],
            y=[7],
            mode="markers",
            name="a name",
            customdata=[["%{x}", 2]],
            hovertemplate="%{x:.2f} and %{y}: %{customdata[0]}<extra>%{fullData.name}</extra>",
        )
    )
    assert Picture(figure).titles == ["0.12 and 7: %{x}\na name"]


def test_points_beyond_the_range_are_not_drawn() -> None:
    figure = go.Figure(go.Scatter(x=[0, 1, 9], y=[0, 1, 1], mode="markers", text=list("abc")))
    figure.update_xaxes(range=[-1, 2])
    assert Picture(figure).titles == ["a", "b"]


def test_points_may_have_their_own_colour_size_and_symbol() -> None:
    marker = {
        "color": [0, 1],
        "colorscale": [[0, "#ff0000"], [1, "#0000ff"]],
        "size": [4, 9],
        "symbol": ["circle", "star"],
    }
    made = Picture(go.Figure(go.Scatter(x=[1, 2], y=[1, 2], mode="markers", marker=marker)))
    first, second = (n.attrib for n in made.all("g"))
    assert (first["stroke"], first["stroke-width"], second["fill"]) == ("#ff0000", "4", "#0000ff")


def test_error_bars_reach_from_end_to_end() -> None:
    errors = {"type": "data", "symmetric": False, "array": [1, None], "arrayminus": [1, 2]}
    figure = go.Figure(go.Scatter(x=[1, 2], y=[0, 1], mode="markers", marker={"color": "red"}, error_x=errors))
    made = Picture(figure)
    bar = next(d for d in made.paths("red") if "H" in d)
    start, end = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", bar).groups()  # type: ignore[union-attr]
    assert (float(start) + float(end)) / 2 == pytest.approx(made.place("1")[0], abs=0.2)
    assert bar.count("H") == 1


# bars and heat maps


def test_bars_stand_on_zero_have_their_width_and_a_tooltip() -> None:
    figure = go.Figure(go.Bar(x=[1, 3], y=[4, 2], width=[2, 1], hovertemplate="%{y} texts<extra></extra>"))
    made = Picture(figure)
    first, second = (node.attrib for node in made.all("rect"))
    assert float(first["height"]) == pytest.approx(2 * float(second["height"]), abs=0.3)
    assert float(first["width"]) == pytest.approx(2 * float(second["width"]), abs=1.5)
    assert made.titles == ["4 texts", "2 texts"]


def test_bars_of_several_traces_stand_side_by_side() -> None:
    made = Picture(go.Figure([go.Bar(x=["a", "b"], y=[1, 1], showlegend=False) for _ in range(2)]))
    spans = sorted((float(n.attrib["x"]), float(n.attrib["width"])) for n in made.all("rect"))
    assert len(spans) == 4
    assert all(a + wide <= b for (a, wide), (b, _) in pairwise(spans))


def test_a_heat_map_colours_its_cells_by_the_scale_and_leaves_undefined_ones_open() -> None:
    trace = go.Heatmap(
        z=[[0, 1], [None, 0.5]],
        colorscale=[[0, "#ffffff"], [1, "#000000"]],
        text=[["a", "b"], ["c", "d"]],
        texttemplate="%{text}",
        showscale=False,
    )
    made = Picture(go.Figure(trace))
    cells = {node.attrib["fill"] for node in made.all("path") if "z" in node.attrib["d"]}
    assert cells == {"#ffffff", "#000000", "#808080"}
    colours = {node.text: node.attrib.get("fill") for node in made.all("text")}
    assert [colours[text] for text in "abc"] == ["#111", "#fff", "currentColor"]


def test_a_scale_of_colours_has_its_title_and_ends() -> None:
    made = Picture(go.Figure(go.Heatmap(z=[[0, 1]], zmin=0, zmax=1, colorbar={"title": "cosine"})))
    assert {"cosine", "0", "1.0"} <= set(made.texts)
    assert len(made.all("rect")) == 32


def test_numbers_that_have_no_room_are_left_out() -> None:
    figure = go.Figure(go.Heatmap(z=np.eye(20), texttemplate="%{z:.6f}", showscale=False))
    assert "1.000000" not in Picture(figure).texts


def test_a_large_heat_map_is_drawn_in_fewer_cells_and_says_so() -> None:
    made = Picture(go.Figure(go.Heatmap(z=np.random.default_rng(0).normal(size=(130, 97)))))
    assert "each cell is the mean of up to 3 × 3 values" in made.texts
    assert len(made.source) < 100_000


# words around


def test_a_line_across_has_its_words_beside_it() -> None:
    figure = line([1, 2, 3])
    figure.add_vline(x=1, line={"color": "#123456", "dash": "dash"}, annotation_text="limit")
    figure.add_hline(y=99, line={"color": "#654321"}, annotation_text="out of range")
    made = Picture(figure)
    ((x, _), (same, _)) = numbers_of(made.paths("#123456")[0])
    assert x == same
    assert 0 < made.place("limit")[0] - x < 40
    assert made.paths("#654321") == []


def test_words_that_would_cover_others_move_down() -> None:
    figure = line(list(range(50)))
    for x in (10, 11):
        figure.add_vline(x=x, annotation_text=f"not finite {x}")
    made = Picture(figure)
    assert made.place("not finite 11")[1] - made.place("not finite 10")[1] >= 12


def test_boxes_are_drawn_behind_their_words() -> None:
    figure = line(list(range(50)))
    figure.add_vrect(x0=10, x1=20, fillcolor="#E69F00", opacity=0.2, line_width=0, annotation_text="warm-up")
    made = Picture(figure)
    assert [node.attrib["fill"] for node in made.all("rect")] == ["#E69F00"]
    assert "warm-up" in made.texts


def test_panels_have_their_titles_over_them() -> None:
    figure = make_subplots(rows=1, cols=2, subplot_titles=["left", "right &amp; last"])
    figure.add_trace(go.Bar(x=[1, 2], y=[1, 2]), row=1, col=1)
    figure.add_trace(go.Bar(x=[1, 2], y=[1000, 2000]), row=1, col=2)
    made = Picture(figure)
    assert made.place("left")[0] < 320 < made.place("right & last")[0]
    assert made.place("left")[1] < 60


def test_a_legend_names_several_traces_only() -> None:
    one, two = go.Scatter(y=[1, 2], name="first"), go.Scatter(y=[2, 1], name="second")
    assert "first" not in Picture(go.Figure(one)).texts
    assert {"first", "second"} <= set(Picture(go.Figure([one, two])).texts)
    assert "first" not in Picture(go.Figure([one, two], layout={"showlegend": False})).texts


@pytest.mark.parametrize("orientation", ["h", "v"])
@pytest.mark.parametrize("width", [320, 640])
def test_a_long_legend_is_cut_and_covers_nothing(orientation: str, width: int) -> None:
    traces = [go.Scatter(y=[1, 2], name=f"{n} is a name that goes on and on and on and on and on") for n in range(80)]
    made = Picture(go.Figure(traces, layout={"legend": {"orientation": orientation}}), width)
    named = [text for text in made.texts if "is a name" in text]
    assert all(text.endswith("…") for text in named)
    assert f"… {80 - len(named)} more" in made.texts
    assert all(right <= width and bottom <= made.size[1] for _, _, right, bottom in made.extents())
    right_of_plot = max(x for path in made.paths("currentColor") for x, _ in numbers_of(path))
    foot_of_plot = max(y for path in made.paths("currentColor") for _, y in numbers_of(path))
    x, y = made.place(named[0])
    assert x > right_of_plot or y > foot_of_plot


def test_breaks_become_lines_and_other_tags_go() -> None:
    made = Picture(line([1, 2], title="one<br><b>two</b> &amp; three", yaxis={"title": "<i>loss</i>"}))
    assert made.root.attrib["aria-label"] == "one two & three"
    assert made.texts[:2] == ["one", "two & three"]
    assert "loss" in made.texts
    noted = theme.empty("Mine", "w" * 50 + " " + "v" * 50)
    assert [len(node) for node in Picture(noted).all("text")] == [0, 1]


def test_an_empty_figure_is_read_out_with_its_sentence() -> None:
    assert Picture(house("empty")).root.attrib["aria-label"] == "Mine: There is nothing in it."


def everywhere(text: str) -> go.Figure:
    figure = go.Figure(go.Scatter(x=[1, 2], y=[1, 2], mode="lines+markers", name=text, text=[text] * 2))
    figure.add_trace(go.Bar(x=[1, 2], y=[1, 2], name=text, hovertext=[text] * 2))
    figure.add_trace(
        go.Heatmap(z=[[1]], text=[[text]], texttemplate="%{text}", colorbar={"title": text}, xaxis="x2", yaxis="y2")
    )
    figure.add_vline(x=1, annotation_text=text)
    axis = {"title": text, "tickvals": [1, 2], "ticktext": [text, text], "ticksuffix": text}
    caption = {"text": text, "xref": "paper", "yref": "paper", "y": -0.2, "showarrow": False}
    figure.update_layout(
        title=text, xaxis={**axis, "domain": [0, 0.4]}, yaxis=axis, xaxis2={"domain": [0.6, 1]}, yaxis2={"anchor": "x2"}
    )
    figure.add_annotation(**caption)
    return figure


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
    assert escaped.titles == [shown] * 4
    assert any(shown in text for text in escaped.texts)


def test_a_text_is_unescaped_once() -> None:
    assert plain("&amp;lt;b&amp;gt;") == ["&lt;b&gt;"]
    assert plain("a < b and c > d") == ["a < b and c > d"]


@pytest.mark.parametrize(
    ("value", "spec", "shown"),
    [
        (0.123456, None, "0.1235"),
        (1234567, None, "1,234,567"),
        (1e-7, None, "1e-7"),
        (0.5, ".1%", "50.0%"),
        (1234.5, ",.0f", "1,234"),
        (3.0, "d", "3"),
        (2.5, "999999999d", "2.5"),
        (NAN, ".2f", "undefined"),
        (None, None, ""),
        ("word", ".2f", "word"),
    ],
)
def test_numbers_are_short(value: object, spec: str | None, shown: str) -> None:
    assert number(value, spec) == shown


def test_words_are_cut_and_wrapped_to_their_room() -> None:
    assert cut("short", 100) == "short"
    assert cut("a text that is too long for it", 80).endswith("…")
    assert span(cut("日本語" * 50, 80)) <= 80
    lines = wrap(["a sentence of several words that has to be broken"], 120, most=3)
    assert len(lines) == 3 and all(span(part) <= 120 for part in lines)
