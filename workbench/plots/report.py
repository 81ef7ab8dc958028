"""One self-contained page of HTML: sections with text, tables and figures. It opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

CLEAR = "rgba(0,0,0,0)"
TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of plain values; everything is escaped when it is drawn."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Fold:
    """A line that opens to tables; it needs no script."""

    line: str
    tables: Sequence[Table]


@dataclass(frozen=True, eq=False)
class Section:
    """A heading, a paragraph that says what to look at, and what there is to see."""

    title: str
    text: str = ""
    tables: Sequence[Table] = field(default_factory=tuple)
    figures: Sequence[go.Figure] = field(default_factory=tuple)
    code: str = ""
    folds: Sequence[Fold] = field(default_factory=tuple)


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page as text. All texts are escaped by the template."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    drawn = [{"section": section, "figures": [_draw(figure) for figure in section.figures]} for section in sections]
    figures = [figure for section in sections for figure in section.figures]
    script = get_plotlyjs() if figures else ""
    # plotly writes the programs of its WebGL traces while it draws, and draws nothing where that is forbidden
    webgl = any(trace.type.endswith("gl") for figure in figures for trace in figure.data)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title, subtitle=subtitle, sections=drawn, script=script, webgl=webgl
    )


def _draw(figure: go.Figure) -> str:
    # on the page's own ground, which may be dark
    figure.update_layout(autosize=True, width=None, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR)
    figure.update_layout(modebar={"bgcolor": CLEAR, "color": "#888888"})
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            auto_play=False,
            config={"responsive": True, "displaylogo": False, "showSendToCloud": False},
            default_width="100%",
        )
    )
