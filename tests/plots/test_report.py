"""The page that opens without a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from tests.plots.looking import HOSTILE
from workbench.plots import report
from workbench.plots.report import Fold, Section, Table, page


@pytest.fixture(autouse=True)
def short_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for plotly's four megabytes."""
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "/* the whole of plotly */")


class Tags(HTMLParser):
    """Counts tags and collects text outside scripts, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_its_sections_in_order_with_links_to_them() -> None:
    html = page("Report", "on 3 rows", [Section("One", "first"), Section("Two", "second")])
    assert "<title>Report</title>" in html
    assert re.findall(r'<section id="(s\d)">\s*<h2>(\w+)</h2>', html) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'href="#(s\d)">(\w+)<', html) == [("s1", "One"), ("s2", "Two")]


def test_a_page_without_sections_is_still_a_page() -> None:
    assert "<h1>Report</h1>" in page("Report", "", [])


def test_tables_and_text_are_shown() -> None:
    html = page("R", "", [Section("S", tables=[Table(["a", "b"], [[1, None], ["x", 0.5]], "caption")], code="k: v")])
    assert re.findall(r"<td>(.*?)</td>", html) == ["1", "None", "x", "0.5"]
    assert "<caption>caption</caption>" in html
    assert "<pre>k: v</pre>" in html


def test_plotly_comes_along_once_and_only_for_figures() -> None:
    figure = go.Figure(go.Scatter(x=[1], y=[2]))
    assert "whole of plotly" not in page("R", "", [Section("S")])
    html = page("R", "", [Section("S", figures=[figure, figure]), Section("T", figures=[figure])])
    assert html.count("whole of plotly") == 1
    assert html.count("Plotly.newPlot") == 3


def test_a_page_asks_the_network_for_nothing() -> None:
    html = page("R", "", [Section("S", figures=[go.Figure(go.Scatter(x=[1], y=[2]))])])
    assert "default-src 'none'" in html
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", html)


def test_only_a_page_with_webgl_may_write_programs_without_which_plotly_draws_none() -> None:
    flat, gl = (go.Figure(trace(x=[1], y=[2])) for trace in (go.Scatter, go.Scattergl))
    assert "script-src 'unsafe-inline';" in page("R", "", [Section("S", figures=[flat])])
    assert "script-src 'unsafe-inline' 'unsafe-eval';" in page("R", "", [Section("S", figures=[flat, gl])])


def test_a_table_without_rows_is_its_caption_alone() -> None:
    html = page("R", "", [Section("S", tables=[Table(["h"], [], "Nothing was found.")])])
    assert '<p class="soft">Nothing was found.</p>' in html and "<table>" not in html


def test_a_line_opens_to_its_tables_without_a_script() -> None:
    html = page("R", "", [Section("S", folds=[Fold("a <line>", [Table(["h"], [["cell"]], "caption")])])])
    assert "<details><summary>a &lt;line&gt;</summary>" in html and "<script" not in html
    assert html.index("<summary>") < html.index("<td>cell</td>") < html.index("</details>")


@pytest.mark.parametrize("hostile", [HOSTILE, "</script><script>alert(1)</script>", "{{ 7 * 7 }}", "</pre></section>"])
def test_hostile_text_is_text_wherever_it_stands(hostile: str) -> None:
    def whole(text: str) -> str:
        table = Table([text], [[text]], text)
        figure = go.Figure(go.Scatter(x=[1], y=[2], name=text, text=[text]), layout={"title": {"text": text}})
        return page(text, text, [Section(text, text, [table], [figure], text)])

    harmless, read = Tags(whole("harmless")), Tags(whole(hostile))
    assert read.tags == harmless.tags
    assert read.text.count(hostile) >= 10  # and three times inside the figure, where tags are escaped for JSON
