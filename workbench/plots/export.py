"""Figures as files that need no script: SVG as it is, PNG through resvg, which is one small library and no browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import plotly.graph_objects as go

from workbench.errors import MissingPackage, WorkbenchError
from workbench.files import replace_bytes, replace_text
from workbench.plots.svg import svg

KINDS = (".svg", ".png")
WIDEST, FINEST = 3000, 5  # a PNG that memory cannot hold would end the whole process
# resvg draws no text at all in a family that is not installed
FAMILIES = (
    *("DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial", "Helvetica", "Segoe UI"),
    *("Verdana", "Roboto", "Open Sans", "Ubuntu", "Cantarell", "Carlito", "FreeSans"),
)


def drawn_kind(path: str | Path, others: Sequence[str] = ("", ".html", ".htm")) -> str:
    """The ending of a file if it is that of a picture, else empty; tells at once, not after the work, what cannot be written.

    Args:
        path: where something is to be saved.
        others: endings of what is no picture.

    Raises:
        MissingPackage: it is a PNG, and the library that draws it is not installed.
        WorkbenchError: it ends in something else.
    """
    kind = Path(path).suffix.lower()
    if kind not in (*KINDS, *others):
        known = " or ".join([*others[1:2], *KINDS])
        raise WorkbenchError(f"expected a file that ends in {known}, got {Path(path).name!r:.80}; name it so")
    if kind == ".png" and find_spec("resvg_py") is None:
        raise MissingPackage("resvg-py", "png", "Saving a PNG")
    return kind if kind in KINDS else ""


def save(path: Path, figure: Callable[[], go.Figure], page: Callable[[], str]) -> None:
    """Save the figure where the path ends in .svg or .png, else the page of HTML."""
    if drawn_kind(path):
        save_figure(figure(), path)
    else:
        replace_text(path, page())


def save_figure(figure: go.Figure, path: str | Path, *, width: int = 960, scale: float = 2.0) -> Path:
    """Save a figure as a picture on white ground, without a browser or a network.

    Clouds are thinned to 3,000 points and lines to 600, which the picture then says.

    Args:
        figure: any figure of this package; it is not changed.
        path: ends in .svg or .png; a file there is replaced whole.
        width: in px of the screen, at most 3,000.
        scale: pixels of a PNG for each px of the screen, at most 5.

    Returns:
        The path.

    Raises:
        MissingPackage: a PNG needs resvg-py (the extra `png`).
        WorkbenchError: it is no figure, the path ends in something else, width or scale are out of bounds, or no font
            is installed that a PNG's words can be drawn in.
    """
    if not hasattr(figure, "layout"):
        raise WorkbenchError(f"expected a figure, got {type(figure).__name__}; make one, such as with map(space)")
    for name, value, most in (("width", width, WIDEST), ("scale", scale, FINEST)):
        if not isinstance(value, int | float) or not 0 < value <= most:
            raise WorkbenchError(
                f"expected {name}= a number above 0 and at most {most}, got {value!r:.60}; leave it out"
            )
    kind, path = drawn_kind(path, ()), Path(path).expanduser()
    drawn = svg(figure, width=width).replace(">", '><rect width="100%" height="100%" fill="#fff"/>', 1)
    drawn = drawn.replace('fill="currentColor"', 'color="#222" fill="currentColor"', 1)
    if kind == ".svg":
        replace_text(path, drawn)
    else:
        replace_bytes(path, _png(drawn, scale, _family()))
    return path


@lru_cache(1)
def _family() -> str:
    """A family of letters that is installed."""
    word = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="16" font-size="18">{}</text></svg>'
    empty = _png(word.format(""), 1, FAMILIES[0])
    for family in FAMILIES:
        if _png(word.format("A"), 1, family) != empty:
            return family
    raise WorkbenchError(
        f"expected one of the fonts {', '.join(FAMILIES)} to write the words of a PNG, got none; install one (Debian: fonts-dejavu-core), or save as .svg"
    )


def _png(drawn: str, scale: float, family: str) -> bytes:
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=drawn, background="#ffffff", zoom=scale, font_family=family, sans_serif_family=family
        )
    )
