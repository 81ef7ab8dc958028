"""Symbols and colours of a static picture."""

from __future__ import annotations

import itertools
import math
import re
from html import escape
from typing import Any

import numpy as np

from workbench.plots.svg_words import Settings

_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_RGB = re.compile(r"rgba?\(\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)")
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def decimal(value: float) -> str:
    """A length in px with one decimal."""
    return f"{round(value, 1) + 0.0:g}"


def _corners(symbol: str) -> list[tuple[float, float]]:
    """Corners of a symbol of radius 1, clockwise; the star crosses itself, which fills its middle."""
    if symbol == "square":
        return [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    if symbol == "diamond":
        return [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)]
    if symbol in ("triangle-up", "triangle-down"):
        up = 1 if symbol == "triangle-up" else -1
        return [(0, -1.15 * up), (1.15, 0.75 * up), (-1.15, 0.75 * up)]
    if symbol in ("star", "pentagon"):
        skip, far = (2, 1.5) if symbol == "star" else (1, 1.15)
        turns = [2 * math.pi * skip * corner / 5 for corner in range(5)]
        return [(far * math.sin(turn), -far * math.cos(turn)) for turn in turns]
    return []


def glyph(symbol: str, size: float, *, hollow: bool = False) -> tuple[float, float, str, str]:
    """How to draw a symbol: where its path starts beside the point, the rest of the path, and how it is painted."""
    r = size / 2
    if symbol == "cross":
        a = decimal(2.2 * r)
        return -1.1 * r, 0, f"h{a}m-{decimal(1.1 * r)}-{decimal(1.1 * r)}v{a}", "stroke"
    if symbol == "x":
        a = decimal(1.7 * r)
        return -0.85 * r, -0.85 * r, f"l{a} {a}m0-{a}l-{a} {a}", "stroke"
    corners = [(x * r, y * r) for x, y in _corners(symbol)]
    if corners:
        steps = (f"{decimal(x - a)} {decimal(y - b)}" for (a, b), (x, y) in itertools.pairwise(corners))
        return *corners[0], f"l{' '.join(steps)}z", "fill"
    if hollow:
        a, b = decimal(r), decimal(size)
        return -r, 0, f"a{a} {a} 0 1 0 {b} 0a{a} {a} 0 1 0-{b} 0", "fill"
    return 0, 0, "h0", "round"


def paint(marker: Settings, opacity: float, symbol: str, size: float, colour: str) -> tuple[str, float, float, str]:
    """Attributes of a marker, where its path starts beside the point, and the rest of the path."""
    edge = marker.line
    wide = edge.width if isinstance(edge.width, int | float) else 0
    ring = edge.color if isinstance(edge.color, str) else colour
    hollow = "-open" in symbol
    dx, dy, tail, way = glyph(symbol.removesuffix("-dot").removesuffix("-open"), size, hollow=hollow or wide > 0)
    shade = escape(colour)
    if way == "fill":
        stroke = f' stroke="{escape(ring)}" stroke-width="{wide or 1.5:g}"' if wide or hollow else ""
        style = f'fill="{"none" if hollow else shade}"{stroke}'
    else:
        cap, width = (' stroke-linecap="round"', size) if way == "round" else ("", size * 0.4)
        style = f'fill="none" stroke="{shade}" stroke-width="{decimal(width)}"{cap}'
    dim = opacity * (marker.opacity if isinstance(marker.opacity, int | float) else 1)
    return style + (f' fill-opacity="{dim:g}" stroke-opacity="{dim:g}"' if dim < 1 else ""), dx, dy, tail


def bounds(values: np.ndarray, low: float | None, high: float | None, middle: float | None) -> tuple[float, float]:
    """Values at both ends of a colour scale: those that are set, else those of the data; never alike."""
    held = values[np.isfinite(values)]
    first = float(low) if low is not None else float(held.min(initial=math.inf))
    last = float(high) if high is not None else float(held.max(initial=-math.inf))
    if not (math.isfinite(first) and math.isfinite(last)):
        return 0.0, 1.0
    if middle is not None and low is None and high is None:
        far = max(last - middle, middle - first)
        first, last = middle - far, middle + far
    return (first, last) if last > first else (first - 0.5, first + 0.5)


def shades(scale: Any, shares: np.ndarray) -> np.ndarray:
    """Colours of a scale, float64, shape (n, 3) in [0, 255]; `shares` in [0, 1], NaN gives NaN."""
    places = [float(place) for place, _ in scale]
    colours = np.array([_rgb(str(colour)) for _, colour in scale], dtype=float)
    return np.stack([np.interp(shares, places, colours[:, channel]) for channel in range(3)], axis=-1)


def css(rgb: np.ndarray) -> str:
    """A colour as CSS; grey where it is undefined."""
    return "#888888" if np.isnan(rgb).any() else "#" + "".join(f"{round(channel):02x}" for channel in rgb)


def _rgb(colour: str) -> tuple[float, ...]:
    if found := _HEX.match(colour):
        each = len(found[1]) // 3
        parts = (found[1][at : at + each] for at in (0, each, 2 * each))
        return tuple(int(part * (3 - each), 16) for part in parts)
    if found := _RGB.match(colour):
        return tuple(float(part) for part in found.groups())
    return _NAMED.get(colour.lower(), (128, 128, 128))
