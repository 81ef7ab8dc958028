"""What a figure would show, without drawing it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

HOSTILE = "<img src=x onerror=alert(1)>"


def strings(value: Any) -> Iterator[str]:
    """All texts of a figure: titles, labels, hovers, annotations."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def shown(figure: go.Figure) -> list[str]:
    plain = json.loads(figure.to_json())
    plain["layout"].pop("template", None)
    return list(strings(plain))


def annotations(figure: go.Figure) -> str:
    return " | ".join(note.text for note in figure.layout.annotations)


def is_escaped(figure: go.Figure) -> bool:
    """The hostile text is shown, and nowhere as a tag."""
    texts = shown(figure)
    return any("&lt;img" in text for text in texts) and not any("<img" in text for text in texts)
