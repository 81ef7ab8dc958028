"""The page with a map and what is known of it."""

from __future__ import annotations

from typing import get_args

import numpy as np

from tests.plots.looking import HOSTILE
from workbench.cli import Layout
from workbench.plots.map_page import map_page
from workbench.spaces.encode import Space
from workbench.spaces.measures import measures
from workbench.spaces.project import Engine, project


def space(n: int, text: str = "text", model: str = "m", labels: tuple[str, ...] | None = None) -> Space:
    vectors = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    return Space(tuple(f"{text} {row}" for row in range(n)), vectors, model, "0" * 16, labels=labels)


def test_a_page_says_what_was_kept_what_was_measured_and_how_to_repeat_it() -> None:
    made = space(60, labels=("a", "b") * 30)
    drawn = project(made, seed=7)
    page = map_page(drawn, measures(made), name="mine", by="topic")
    for sentence in drawn.faithfulness.sentences:
        assert sentence in page
    assert measures(made).verdict in page and "Neighbour purity is that of: topic." in page
    for name in ("model", "model fingerprint", "engine", "version", "seed", "neighbours", "min dist"):
        assert f"<td>{name}</td>" in page
    assert f"<td>{drawn.record['texts_fingerprint']}</td>" in page and "<td>7</td>" in page


def test_the_figure_of_a_page_does_not_say_again_what_the_page_says() -> None:
    made = space(60)
    drawn = project(made)
    page = map_page(drawn, measures(made), name="mine")
    assert page.count(drawn.caption) == 1


def test_a_page_of_very_few_texts_says_why_it_has_no_numbers() -> None:
    made = space(1)
    page = map_page(project(made), measures(made), name="mine")
    assert "was not measured: 1 distinct usable vectors" in page
    assert "undefined: one text has no other to be compared with" in page


def test_hostile_words_are_only_words() -> None:
    made = space(6, HOSTILE, HOSTILE, (HOSTILE, "b") * 3)
    page = map_page(project(made), measures(made), name=HOSTILE, by=HOSTILE)
    assert HOSTILE not in page and "<img src=x" not in page


def test_the_command_line_offers_all_engines() -> None:
    assert tuple(Layout) == get_args(Engine)
