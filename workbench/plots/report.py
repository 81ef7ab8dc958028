"""One self-contained page of HTML: sections with text, tables and figures. It opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of plain values; everything is escaped when it is drawn."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A heading, a paragraph that says what to look at, and what there is to see."""

    title: str
    text: str = ""
    tables: Sequence[Table] = field(default_factory=tuple)
    figures: Sequence[go.Figure] = field(default_factory=tuple)
    code: str = ""


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page as text. All texts are escaped by the template."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    drawn = [{"section": section, "figures": [_draw(figure) for figure in section.figures]} for section in sections]
    script = get_plotlyjs() if any(section.figures for section in sections) else ""
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title, subtitle=subtitle, sections=drawn, script=script
    )


def _draw(figure: go.Figure) -> str:
    figure.update_layout(autosize=True, width=None)
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            config={"responsive": True, "displaylogo": False, "showSendToCloud": False},
            default_width="100%",
        )
    )
