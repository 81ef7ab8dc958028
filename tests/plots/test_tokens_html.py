"""Coloured tokens: each with its number, escaped, on one scale."""

from __future__ import annotations

import re

from workbench.plots.tokens import tokens_html
from workbench.spaces.contributions import Contributions, Side, Token

HOSTILE = "<img src=x onerror='alert(1)'>"


def record(first: Side, second: Side | None = None, model: str = "a model", **options: object) -> Contributions:
    return Contributions(model, first, second or first, 0.5, True, "exact", **options)


def side(text: str, *values: float | None) -> Side:
    words = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    return Side(text, tuple(Token(text[a:b], a, b, v) for (a, b), v in zip(words, values, strict=False)))


def tags(html: str) -> list[tuple[str, str]]:
    """(attributes, text) of each token."""
    return re.findall(r"<span class='wb-token([^>]*)>(.*?)</span>", html)


def test_every_token_says_its_number_to_mouse_and_screen_reader() -> None:
    found = tags(tokens_html([record(side("red cat", 0.25, -0.5))]))
    assert [text for _, text in found] == ["red", "cat"] * 2
    assert "title='red: +0.2500'" in found[0][0] and "aria-label='red: +0.2500' title" in found[0][0]
    assert "title='cat: -0.5000'" in found[1][0]


def test_what_takes_away_differs_by_more_than_colour() -> None:
    more, less = tags(tokens_html([record(side("red cat", 0.25, -0.5))]))[:2]
    assert "wb-less" in less[0] and "wb-less" not in more[0]
    assert "rgba(0,114,178,0.300)" in more[0]
    assert "rgba(213,94,0,0.600)" in less[0]


def test_all_records_share_one_scale() -> None:
    html = tokens_html([record(side("red", 0.1)), record(side("red", 0.4))])
    assert [re.search(r",([\d.]+)\)", found)[1] for found, _ in tags(html)] == ["0.150"] * 2 + ["0.600"] * 2
    assert "the strongest colour is 0.400" in html


def test_the_text_stays_whole_between_and_around_its_tokens() -> None:
    text = "  red,\n cat  "
    tokens = Token("red", 2, 5, 0.1), Token(",", 5, 6, 0.1), Token("cat", 8, 11, 0.1)
    html = tokens_html([record(Side(text, tokens))])
    assert re.sub(r"<[^>]*>", "", re.search(r"<p>(.*?)</p>", html, re.DOTALL)[1]) == text


def test_tokens_that_the_model_puts_in_are_boxed_and_named() -> None:
    made = Side(
        "cat", (Token("[CLS]", -1, -1, 0.1, "special"), Token("cat", 0, 3, None), Token("b", -1, -1, 0, "bias"))
    )
    first, second, third = tags(tokens_html([record(made)]))[:3]
    assert "wb-put-in" in first[0] and "[CLS], special: +0.1000" in first[0]
    assert "cat: no number" in second[0] and "background" not in second[0]
    assert "wb-put-in" in third[0]


def test_what_is_beyond_the_limit_is_struck_out_at_either_end() -> None:
    right = Side("red cat runs", (Token("red", 0, 3, 0.1), Token("cat", 4, 7, 0.1)), 1, 4)
    left = Side("red cat runs", (Token("cat", 4, 7, 0.1), Token("runs", 8, 12, 0.1)), 1, 4)
    html = tokens_html([record(right, left)])
    assert re.findall(r"wb-unseen' title='[^']*'>(.*?)</span>", html) == [" runs", "red "]


def test_hostile_texts_tokens_and_names_are_escaped() -> None:
    html = tokens_html([record(side(HOSTILE, 0.1), model=HOSTILE)])
    assert "<img" not in html
    assert "'alert" not in html
    assert html.count("&lt;img") >= 5


def test_nothing_to_compare_and_no_numbers_are_ordinary() -> None:
    assert tokens_html([]) == "<p>There are no texts to compare.</p>"
    none = Contributions("m", side("cat", None), Side("", ()), None, False, "no token has a share", why="zero")
    html = tokens_html([none])
    assert "m: cosine undefined: zero" in html
    assert "nan" not in html and "background:rgba" not in html


def test_it_needs_no_script_and_nothing_from_outside() -> None:
    html = tokens_html([record(side("red", 0.1))])
    assert "<script" not in html and "http" not in html
