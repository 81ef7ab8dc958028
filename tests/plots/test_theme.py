"""Texts from outside become harmless; figures have a title in either theme."""

from __future__ import annotations

import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped
from workbench.errors import DataError
from workbench.plots import theme


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HOSTILE, "&lt;img src=x onerror=alert(1)&gt;"),
        ("a & b \"c\" 'd'", "a &amp; b &quot;c&quot; &#x27;d&#x27;"),
        ("</script><script>", "&lt;/script&gt;&lt;script&gt;"),
        ("a\n\n b\tc", "a b c"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("$\\href{x}{y}$", "&#36;\\href{x}{y}&#36;"),
        (3, "3"),
        (None, "None"),
        ("", ""),
    ],
)
def test_a_text_is_escaped_and_on_one_line(given: object, expected: str) -> None:
    assert theme.text(given) == expected


def test_a_long_text_is_wrapped_between_words_and_cut() -> None:
    lines = theme.text("word " * 100).split("<br>")
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert lines[-1].endswith("…")
    assert len(" ".join(lines)) <= theme.HOVER


def test_a_text_is_cut_before_it_is_escaped_so_that_no_entity_breaks() -> None:
    assert theme.text("<" * 300, 10) == "&lt;" * 9 + "…"


def test_a_word_longer_than_a_line_is_broken_since_some_scripts_have_no_spaces() -> None:
    assert theme.text("a " + "x" * 90 + " b") == "a<br>" + "x" * 60 + "<br>" + "x" * 30 + " b"
    assert theme.text("信用卡" * 30, width=45) == "信用卡" * 15 + "<br>" + "信用卡" * 15


@pytest.mark.parametrize("name", ["light", "dark"])
def test_titles_are_escaped_in_both_themes(name: str) -> None:
    made = theme.figure(HOSTILE, theme=name)
    assert is_escaped(made)
    assert made.layout.title.text == "&lt;img src=x onerror=alert(1)&gt;"


def test_a_theme_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="expected theme= light or dark, got 'blue'"):
        theme.figure("t", theme="blue")


def test_dark_and_light_differ() -> None:
    paper = {name: theme.figure("t", theme=name).layout.template.layout.paper_bgcolor for name in ("light", "dark")}
    assert paper["light"] != paper["dark"]


def test_an_empty_figure_has_a_title_and_a_sentence() -> None:
    made = theme.empty("The map", f"There is nothing: {HOSTILE}")
    assert len(made.data) == 0
    assert made.layout.title.text == "The map"
    assert annotations(made) == "There is nothing: &lt;img src=x onerror=alert(1)&gt;"
    assert made.layout.xaxis.visible is False


def test_there_are_as_many_symbols_as_colours_and_none_twice() -> None:
    assert len(set(theme.PALETTE)) == len(theme.PALETTE) == len(set(theme.SYMBOLS)) == len(theme.SYMBOLS)


@pytest.mark.parametrize("ground", ["#FFFFFF", "#111111"])
def test_the_colours_of_many_kinds_are_seen_on_light_and_on_dark(ground: str) -> None:
    def light(colour: str) -> float:
        parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for colour in theme.MORE:
        dark, bright = sorted((light(colour), light(ground)))
        assert (bright + 0.05) / (dark + 0.05) >= 3, colour
