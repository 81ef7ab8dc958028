"""Colours, sizes and text rules of every figure."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from workbench.errors import DataError

# Okabe & Ito 2008: distinguishable with the usual colour-vision deficiencies
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#5E4FA2", "#666666")
# for more kinds than nine: as far from a white ground as from a black one
MORE = ("#2A8C96", "#B5483B", "#7A8B1E", "#B04A9E", "#A9702F", "#4F7DBB", "#5B9A3C", "#9467BD", "#C2557F")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon")
BEFORE, AFTER, REFERENCE = PALETTE[8], PALETTE[0], PALETTE[1]
DIVERGING = "RdBu"
SEQUENTIAL = "Viridis"
HOVER = 200


def text(value: object, limit: int = HOVER, *, width: int = 60) -> str:
    """A text from outside for a title, label or hover: cut, escaped, wrapped; plotly reads some HTML, and $TeX$."""
    plain = " ".join(str(value).split())
    plain = plain[: limit - 1] + "…" if len(plain) > limit else plain
    words = (word[at : at + width] for word in plain.split(" ") for at in range(0, max(1, len(word)), width))
    lines, line = list[str](), ""  # some scripts have no spaces, so that a whole text is one word
    for word in words:
        if line and len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "<br>".join(escape(part).replace("$", "&#36;") for part in [*lines, line])


def figure(title: str, *, height: int = 380, theme: str = "light") -> go.Figure:
    """An empty figure in house style. `title` is escaped; theme is light or dark.

    Raises:
        DataError: there is no such theme.
    """
    if theme not in ("light", "dark"):
        raise DataError(f"expected theme= light or dark, got {theme!r:.60}; light is usual")
    shown = go.Figure()
    shown.update_layout(
        template="plotly_dark" if theme == "dark" else "plotly_white",
        title={
            "text": text(title, 160, width=160),
            "font": {"size": 15},
            "x": 0.01,
            "xanchor": "left",
            "y": 0.98,
            "yanchor": "top",
        },
        height=height,
        margin={"l": 64, "r": 16, "t": 64, "b": 52},
        colorway=list(PALETTE),
        legend={"orientation": "h", "y": -0.18, "x": 0},
        font={"size": 12},
    )
    return shown


def empty(title: str, why: str, *, theme: str = "light") -> go.Figure:
    """A titled figure that says in a sentence why there is nothing to draw."""
    shown = figure(title, height=200, theme=theme)
    shown.add_annotation(text=text(why), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    shown.update_xaxes(visible=False)
    shown.update_yaxes(visible=False)
    return shown
