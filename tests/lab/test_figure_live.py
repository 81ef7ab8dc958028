"""Live figures in JupyterLab: what they weigh, whether they can be read and how wide they are. One notebook for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import plotly
import pytest

from tests.lab.hostile import STRINGS
from tests.lab.page import Lab
from tests.lab.server import Server

pytestmark = pytest.mark.browser

FIGURES = f"""
import ipywidgets as W
import threading
from workbench.plots import theme
from workbench.widgets.figure import live, redraw
from workbench.widgets.panel import Panel

def drawn(title):
    figure = theme.figure(title, height=300)
    figure.add_scatter(x=[0, 1, 2], y=[3, 1, 2], name="a name", showlegend=True, mode="markers+lines", hovertemplate="%{{text}}<extra></extra>",
                       text=[theme.text(text) for text in {STRINGS[:3]!r}])
    figure.add_heatmap(x=[0, 1, 2], y=[5, 6], z=[[0, 1, 2], [3, 4, 5]], colorbar_title="cosine")
    figure.add_hline(y=4, annotation_text="reference")
    return figure.update_xaxes(title="step").update_yaxes(title="loss")

class Figures(Panel):
    def __init__(self):
        super().__init__()
        self.figures = [live(drawn(f"Figure {{k}}")) for k in range(3)]
        self.tabs = W.Tab([W.HTML("empty"), self.figures[2]], titles=["First", "Second"])
        self._show(W.HBox(self.figures[:2]), self.tabs)

    def _code(self):
        return "Figures()"

    def static(self):
        return ""

panel = Figures()
panel
"""
# colours of texts and lines, each with the ground that it stands on, as [r, g, b, alpha]
CONTRAST = """() => {
  const read = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a] };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const ground = element => { for (let e = element; e; e = e.parentElement) {
    const colour = read(getComputedStyle(e).backgroundColor); if (colour[3] === 1) return colour } return [255, 255, 255, 1] };
  const light = colour => colour.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const figure = document.querySelector('.js-plotly-plot');
  const found = {};
  for (const [what, property] of [['.gtitle', 'fill'], ['.xtitle', 'fill'], ['.ytitle', 'fill'], ['.xtick text', 'fill'],
      ['.ytick text', 'fill'], ['.legendtext', 'fill'], ['.annotation-text', 'fill'], ['.cbaxis text', 'fill'],
      ['.cbtitle text', 'fill'], ['.shapelayer path', 'stroke']]) {
    const below = ground(figure), colour = read(getComputedStyle(figure.querySelector(what))[property]);
    const [a, b] = [light(over(colour, below)), light(below.slice(0, 3))];
    found[what] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found }"""
WIDTHS = "() => [...document.querySelectorAll('.js-plotly-plot')].map(e => Math.round(e._fullLayout?.width ?? 0))"
ROOM = "() => Math.round(document.querySelector('.wb-panel .widget-hbox').getBoundingClientRect().width)"


@pytest.fixture(scope="module")
def shown(server: Server, context: Any) -> Iterator[Lab]:
    with Lab(server, context, "figures") as lab:
        lab.open(FIGURES)
        before = lab.received
        lab.run_all()
        lab.page.wait_for_function("document.querySelectorAll('.js-plotly-plot .xtitle').length >= 3")
        lab.received -= before
        yield lab


def test_three_figures_carry_one_bundle(shown: Lab) -> None:
    assert 4.5e6 < shown.received < 6e6


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_texts_and_lines_can_be_read_in_both_themes(shown: Lab, theme: str) -> None:
    shown.set_theme(theme)
    ratios = shown.page.evaluate(CONTRAST)
    assert {what: ratio for what, ratio in ratios.items() if ratio < 4.5} == {}


def test_figures_share_the_width_of_their_row_and_follow_it(shown: Lab) -> None:
    for width in (1280, 800):
        shown.resize(width)
        shown.page.wait_for_function(f"({ROOM})() > {width - 200} && ({ROOM})() < {width}")
        half = f"Math.abs(width - ({ROOM})() / 2) < 8"
        shown.page.wait_for_function(f"({WIDTHS})().slice(0, 2).every(width => {half})")
    shown.resize(1280)


def test_a_figure_in_a_tab_gets_its_width_when_the_tab_is_opened(shown: Lab) -> None:
    shown.page.get_by_role("tab", name="Second").click()
    shown.page.wait_for_function(f"(({WIDTHS})()[2] - ({ROOM})()) > -60")


def test_hovering_a_hostile_text_shows_it_and_runs_nothing(shown: Lab) -> None:
    for place in range(3):
        point = shown.page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").nth(place)
        point.scroll_into_view_if_needed()
        point.hover(force=True)
        label = shown.page.locator(".js-plotly-plot").first.locator(".hoverlayer .hovertext")
        shown.expect(label).to_contain_text("__pwned")
    assert shown.page.evaluate("window.__pwned") is None
    assert shown.page.locator(".js-plotly-plot").locator("img, script, iframe, a[href^=javascript]").count() == 0


def test_an_update_from_a_thread_reaches_the_page(shown: Lab) -> None:
    shown.py(
        "def work():\n"
        "    panel.figures[0].data[0].y = [9, 8, 7]\n"
        "    redraw(panel.figures[1], drawn('Another title'))\n"
        "threading.Thread(target=work).start()"
    )
    shown.page.wait_for_function("document.querySelector('.js-plotly-plot')._fullData[0].y[0] === 9")
    shown.expect(shown.page.locator(".js-plotly-plot").nth(1).locator(".gtitle")).to_have_text("Another title")


def test_no_figure_offers_to_send_its_data_away(shown: Lab) -> None:
    titles = shown.page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(button => button.dataset.title)")
    assert "Download plot as a PNG" in titles
    assert [title for title in titles if "Share" in title or "Plotly" in title] == []


def test_a_figure_has_its_points_where_plotly_takes_longer_to_arrive_than_anywidget_waits(
    server: Server, context: Any
) -> None:
    with Lab(server, context, "late") as lab:
        lab.open(
            "from workbench.plots import theme\nfrom workbench.widgets.figure import live\n"
            "live(theme.figure('Late').add_scatter(x=[0, 1], y=[3, 1]))"
        )
        # the module comes 3 s after it was asked for
        lab.page.evaluate(
            """version => { let late; Object.defineProperty(globalThis, "__workbench_plotly_" + version, {
              get: () => late,
              set: module => { late = new Promise(done => setTimeout(() => done(module), 3000)) } }) }""",
            plotly.__version__,
        )
        lab.run_all()
        lab.page.wait_for_function("document.querySelectorAll('.js-plotly-plot .scatterlayer .point').length === 2")
