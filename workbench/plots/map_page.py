"""One page of HTML with a map, what it has kept of its space, the measures of the space, and how to draw it again."""

from __future__ import annotations

from workbench.data.distinct import colour_words
from workbench.plots.map import drawn_rows, map_caption, map_figure, sentences, settings_of
from workbench.plots.report import Section, Table, page
from workbench.spaces.measures import UNTUNED_ON, Measures
from workbench.spaces.project import Projection

HOVER_BYTES = 800_000  # plotly's script takes nearly 5 of the 6 MB of a page with 10,000 points


def map_page(projection: Projection, measured: Measures, *, name: str, by: str = "") -> str:
    """The whole page as text.

    Args:
        projection: the map; its space holds the labels that colour it.
        measured: the measures of its space.
        name: of the table that the texts are from.
        by: what the labels are; empty for none.
    """
    title = f"{name}, {projection.space.model}"
    figure = map_figure(projection, title=title, caption=False, hover_bytes=HOVER_BYTES)
    drawn = len(drawn_rows(projection))
    kept = Table([], [[sentence] for sentence in sentences(projection)])
    purity = f" Neighbour purity is that of: {by}." if by else ""
    record = [[name.replace("_", " "), value] for name, value in settings_of(projection).items()]
    sections = [
        Section("Map", colour_words(by), figures=[figure]),
        Section("What the map has kept of the space", tables=[kept]),
        Section("Measures of the space", measured.verdict + purity, tables=[measures_table(measured)]),
        Section("How to draw it again", tables=[Table(["setting", "value"], record)]),
    ]
    return page(f"Map of {name}", map_caption(projection, drawn), sections)


def measures_table(measured: Measures) -> Table:
    """One row a measure: its value, what it was measured on, what stands beside it, and how to read it."""
    head = ["measure", "value", "n", "random directions", "collapsed", "untuned", "what it says"]
    rows = [
        [
            measure.name.replace("_", " "),
            str(measure),
            f"{measure.n:,}",
            *(
                "–" if number is None else f"{number:.4g}"
                for number in (measure.even, measure.collapsed, measure.untuned)
            ),
            measure.meaning,
        ]
        for measure in measured.measures
    ]
    return Table(head, rows, f"{measured.about}. Untuned: {UNTUNED_ON}.")
