"""Figures saved as pictures without a browser."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.plots.looking import HOSTILE
from workbench.errors import MissingPackage, WorkbenchError
from workbench.plots import export
from workbench.plots import theme as house
from workbench.plots.export import drawn_kind, save, save_figure


def figure(title: str = "A title") -> go.Figure:
    return house.figure(title).add_scatter(x=[1, 2, 3], y=[3, 1, 2], mode="markers")


def size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def test_an_svg_is_whole_and_stands_on_white(tmp_path: Path) -> None:
    path = save_figure(figure(HOSTILE), tmp_path / "a.svg", width=500)
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    assert root.attrib["viewBox"].startswith("0 0 500 ") and root[0].attrib["fill"] == "#fff"
    assert HOSTILE in "".join(root.itertext()) and not root.findall(".//{*}img")


def test_a_png_has_the_pixels_that_are_asked_for_and_words(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason="needs the extra png")
    pil = pytest.importorskip("PIL.Image")
    first = save_figure(figure(), tmp_path / "a.png", width=400)
    assert size(first)[0] == 800
    assert size(save_figure(figure(), tmp_path / "b.PNG", width=400, scale=1))[0] == 400
    pixels = np.asarray(pil.open(first).convert("L"))
    assert pixels[0, 0] == 255 and (pixels[10:60, 10:200] < 100).sum() > 100, "the title is written"


def test_a_figure_is_not_changed_by_being_saved(tmp_path: Path) -> None:
    made = figure()
    before = made.to_json()
    save_figure(made, tmp_path / "a.svg")
    assert made.to_json() == before


def test_without_the_library_a_png_is_refused_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r'Saving a PNG needs the package resvg-py.*"embedding-workbench\[png\]"'):
        drawn_kind("map.png")
    assert drawn_kind("map.svg") == ".svg" and drawn_kind("map.html") == drawn_kind("page") == ""


@pytest.mark.parametrize("name", ["a.pdf", "a.jpg"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=f"expected a file that ends in .html or .svg or .png, got '{name}'"):
        drawn_kind(tmp_path / name)
    with pytest.raises(WorkbenchError, match=r"expected a file that ends in .svg or .png"):
        save_figure(figure(), tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_no_font_is_said_and_not_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "_png", lambda drawn, scale, family: b"empty")
    export._family.cache_clear()
    with pytest.raises(WorkbenchError, match=r"expected one of the fonts .* got none; install one"):
        export._family()


def test_the_ending_says_whether_a_picture_or_the_page_is_saved(tmp_path: Path) -> None:
    save(tmp_path / "a.svg", figure, lambda: pytest.fail("no page was asked for"))
    save(tmp_path / "a.html", lambda: pytest.fail("no picture was asked for"), lambda: "<p>page")
    assert (tmp_path / "a.html").read_text() == "<p>page" and "<svg" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 1000}, "expected scale= a number above 0 and at most 5, got 1000"),
        ({"scale": float("nan")}, "got nan; leave it out"),
        ({"width": 0}, "expected width= a number above 0 and at most 3000, got 0"),
        ({"width": "960"}, "got '960'"),
    ],
)
def test_a_size_that_memory_may_not_hold_is_refused(tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(WorkbenchError, match=words):
        save_figure(figure(), tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="expected a figure, got str; make one"):
        save_figure("a", tmp_path / "a.svg")  # type: ignore[arg-type]
