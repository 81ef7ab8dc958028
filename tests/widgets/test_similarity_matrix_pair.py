"""Why two sentences are similar: a cell of the matrix is chosen, and the tokens of its sentences follow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.widgets import test_similarity_matrix as matrix
from tests.widgets.test_similarity_matrix import HOSTILE, SLOW, look, type_in
from workbench.errors import DataError, ModelError, WorkbenchError
from workbench.spaces.contributions import Contributions, Side, Token, contributions
from workbench.widgets import similarity_matrix
from workbench.widgets.similarity_matrix import SimilarityMatrix
from workbench.widgets.token_box import HINT

Open = Callable[..., SimilarityMatrix]


def explained(text_a: str, text_b: str, model: str) -> Contributions:
    """0.25 and 0.5 for the two texts, all of it in one token."""
    sides = [Side(text, (Token(text, 0, len(text), value),)) for text, value in ((text_a, 0.25), (text_b, 0.5))]
    if "zero" in (text_a, text_b):
        return Contributions(model, *sides, None, False, "no token has a share", why="the vector is zero")
    return Contributions(model, *sides, 0.75, model == "base", "exact" if model == "base" else "approximation (CLS)")


class Fake(matrix.Fake):
    """As that of the matrix; it also explains, and keeps the order of all it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[Any, ...]] = []
        self.refusal: WorkbenchError | None = None
        self.explaining, self.open = threading.Event(), threading.Event()
        self.open.set()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if function is not contributions:
            self.order.append(("vectors", arguments[1]))
            return super().call(function, *arguments)
        self.order.append(arguments)
        self.explaining.set()
        assert self.open.wait(60)
        if self.refusal:
            raise self.refusal
        return explained(*arguments)

    @property
    def pairs(self) -> list[tuple[Any, ...]]:
        """What was explained since the last look."""
        found, self.order = [asked for asked in self.order if len(asked) == 3], []
        return found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(similarity_matrix, "engine", lambda: made)
    return made


@pytest.fixture
def open_panel(fake: Fake) -> Iterator[Open]:
    panels: list[SimilarityMatrix] = []

    def make(texts: Any = ("a", "b", "c"), tuned: Any = "tuned", **options: Any) -> SimilarityMatrix:
        panels.append(SimilarityMatrix(texts, "base", tuned, **{"pause_ms": SLOW, **options}))
        return panels[-1]

    yield make
    for each in (fake.gate, fake.open):
        each.set()
    for panel in panels:
        panel.close()


def click(panel: SimilarityMatrix, *pair: int) -> None:
    """As the page does for a click, Enter or Space on a cell; without a pair, on the chosen one again."""
    panel._matrices.pair = list(pair)


def box(panel: SimilarityMatrix) -> str:
    return str(panel._tokens.value)


def test_a_click_on_a_cell_shows_the_tokens_of_its_sentences_under_both_models(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel())
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    click(panel, 0, 2)
    panel.settle(60)
    assert panel.pair == (0, 2)
    assert fake.pairs == [("a", "c", "base"), ("a", "c", "tuned")]
    assert "Sentences 1 and 3, sums of their tokens: base: +0.2500 and +0.5000; tuned: +0.2500 and +0.5000" in box(
        panel
    )
    assert "base: cosine 0.7500" in box(panel) and "tuned: cosine 0.7500" in box(panel)
    assert "exact" in box(panel) and "approximation (CLS)" in box(panel)
    assert said == ["Finding what each token adds …", "3 sentences compared"]


def test_a_second_click_on_the_chosen_cell_ends_it(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel())
    assert HINT in box(panel)
    click(panel, 0, 2)
    panel.settle(60)
    click(panel)
    panel.settle(60)
    assert panel.pair is None and HINT in box(panel) and "wb-tokens" not in panel.static()
    assert panel.code.startswith("[wb.similarity(") and panel.message == "3 sentences compared"


def test_a_pair_set_from_python_marks_the_page_and_waits_until_somebody_looks(fake: Fake, open_panel: Open) -> None:
    panel = open_panel(pair=[1, 1])
    assert (panel.pair, panel._matrices.pair) == ((1, 1), [1, 1])
    panel.pair = np.array([2, 0])
    panel.settle(60)
    assert (panel.pair, panel._matrices.pair, fake.order) == ((2, 0), [2, 0], [])
    assert "Sentences 3 and 1 are not explained yet" in box(panel)
    look(panel)
    assert fake.pairs == [("c", "a", "base"), ("c", "a", "tuned")] and "Sentences 3 and 1, sums" in box(panel)
    again = open_panel(panel.texts, panel.tuned, pair=panel.pair)
    assert again.code == panel.code


def test_the_tokens_follow_their_sentences_and_models_and_nothing_else(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel(pair=(0, 2)))
    assert len(fake.pairs) == 2
    type_in(panel, "a\nbird\nc")
    panel.settle(60)
    assert fake.pairs == [] and "Sentences 1 and 3, sums" in box(panel)
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    type_in(panel, "a\nbird\ncat")
    panel.settle(60)
    assert fake.pairs == [("a", "cat", "base"), ("a", "cat", "tuned")] and ">cat</span>" in box(panel)
    assert said == []
    panel.tuned = None
    panel.settle(60)
    assert fake.pairs == [("a", "cat", "base")] and "tuned" not in box(panel)


def test_weights_that_changed_in_a_folder_are_explained_anew(
    fake: Fake, open_panel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = look(open_panel(pair=(0, 1), tuned=None))
    panel.compute()
    panel.settle(60)
    assert len(fake.pairs) == 1
    monkeypatch.setattr(similarity_matrix, "stamp_of", lambda model: 7)
    panel.compute()
    panel.settle(60)
    assert fake.pairs == [("a", "b", "base")]


def test_numbers_that_are_waited_for_come_before_the_tokens(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel(pair=(0, 1)))
    fake.order.clear()
    fake.explaining.clear()
    fake.open.clear()
    type_in(panel, "ab\nb\nc")
    panel.compute()
    assert fake.explaining.wait(60)
    assert panel.before.texts == ("ab", "b", "c")  # the numbers are there already
    type_in(panel, "abc\nb\nc")  # its pause has not ended, and yet the second model is not asked
    fake.open.set()
    panel.settle(60)
    vectors = [("vectors", "base"), ("vectors", "tuned")]
    wanted = [("abc", "b", "base"), ("abc", "b", "tuned")]
    assert fake.order == [*vectors, ("ab", "b", "base"), *vectors, *wanted]
    assert ">abc</span>" in box(panel)


def test_a_newer_pair_makes_an_older_void(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel())
    shown: list[str] = []
    fake.order.clear()
    fake.open.clear()
    click(panel, 0, 1)
    assert fake.explaining.wait(60)
    panel._tokens.observe(lambda change: shown.append(change["new"]), "value")
    click(panel, 0, 2)
    click(panel, 1, 2)
    fake.open.set()
    panel.settle(60)
    assert fake.pairs == [("a", "b", "base"), ("b", "c", "base"), ("b", "c", "tuned")]
    assert [value for value in shown if "sums" in value] == [box(panel)] and "Sentences 2 and 3" in box(panel)
    click(panel, 0, 1)
    click(panel)
    panel.settle(60)
    assert HINT in box(panel) and panel.message == "3 sentences compared"


def test_a_pair_ends_with_its_row_but_not_while_that_is_typed_anew(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel(pair=(0, 2)))
    type_in(panel, "a\nb\n")
    assert panel.pair == (0, 2) and panel.code.startswith("[wb.similarity(")
    type_in(panel, "a\nb\nd")
    panel.settle(60)
    assert panel.pair == (0, 2) and ">d</span>" in box(panel)
    type_in(panel, "a\nb")
    panel.settle(60)
    assert (panel.pair, panel._matrices.pair) == (None, []) and HINT in box(panel)
    panel.pair = (0, 1)
    type_in(panel, "")
    panel.settle(60)
    assert panel.pair is None and HINT in box(panel) and panel.message == "Type sentences, one per line"


def test_after_a_failure_there_are_no_tokens_of_other_sentences(fake: Fake, open_panel: Open) -> None:
    panel = look(open_panel(pair=(0, 1)))
    fake.refusal = ModelError("model 'base' is damaged")
    type_in(panel, "ab\nb\nc")
    panel.settle(60)
    assert panel.message == "model 'base' is damaged" and panel.before is not None
    assert "not explained yet" in box(panel) and "wb-tokens" not in panel.static()
    fake.refusal, fake.fails = None, ModelError("model 'base' is gone")
    type_in(panel, "abc\nb\nc")
    panel.settle(60)
    assert panel.message == "model 'base' is gone" and "not explained yet" in box(panel)
    panel.pair = (1, 2)
    panel.settle(60)
    assert panel.message == "model 'base' is gone"
    fake.fails = None
    panel.compute()
    panel.settle(60)
    assert "Sentences 2 and 3, sums" in box(panel) and panel.message == "3 sentences compared"


def test_an_undefined_cosine_says_why_and_has_no_sums(open_panel: Open) -> None:
    panel = look(open_panel(("a", "zero"), pair=(0, 1)))
    assert "cosine undefined: the vector is zero" in box(panel)
    assert "<p>Sentences 1 and 2</p>" in box(panel) and "sums" not in box(panel)


def test_hostile_sentences_are_only_text_in_the_tokens(open_panel: Open) -> None:
    panel = look(open_panel(["a", HOSTILE], pair=(0, 1)))
    for shown in (box(panel), panel.static()):
        assert "wb-tokens" in shown and "&lt;img src=x" in shown
        assert "<img" not in shown and "<script" not in shown


def test_of_too_many_tokens_only_the_sums_are_kept(open_panel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(text_a: str, text_b: str, model: str) -> Contributions:
        side = Side(text_a, tuple(Token(f"{n} ", -1, -1, 0.01, "special") for n in range(200)))
        return Contributions(model, side, side, 0.5, True, "exact")

    monkeypatch.setitem(globals(), "explained", long)
    panel = look(open_panel([f"a{n}" for n in range(30)], pair=(0, 29)))
    assert "too many" not in box(panel) and box(panel).count("<span") == 800
    assert "sums of their tokens: base: +2.0000" in panel.static() and "base: cosine 0.5000; exact" in panel.static()
    assert "wb.show_tokens shows them all" in panel.static() and "<span" not in panel.static()
    assert len(panel.static()) < 150_000


def test_the_code_of_a_pair_does_the_same(open_panel: Open) -> None:
    asked: list[tuple[str, ...]] = []
    wb = SimpleNamespace(show_tokens=lambda *given: asked.append(given))
    panel = open_panel(['it\'s "so"', "b\\"], pair=(1, 0))
    eval(panel.code, {"wb": wb})
    panel.tuned = None
    eval(panel.code, {"wb": wb})
    assert asked == [("b\\", 'it\'s "so"', "base", "tuned"), ("b\\", 'it\'s "so"', "base")]


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0), (0,), (0, 1, 2), "ab", 1, (0.5, 1), ()])
def test_what_is_no_pair_of_rows_is_refused_in_one_sentence(pair: Any, open_panel: Open) -> None:
    words = "expected pair= two row numbers from 0 and below 3, got .*; give rows of two of the 3 sentences, or None"
    with pytest.raises(DataError, match=words):
        open_panel(pair=pair)
    panel = open_panel(pair=(0, 1))
    with pytest.raises(DataError, match=words):
        panel.pair = pair
    assert panel.pair == (0, 1)


def test_a_click_on_a_row_that_is_just_gone_is_said_and_the_mark_goes_back(open_panel: Open) -> None:
    panel = look(open_panel(pair=(0, 1)))
    type_in(panel, "a\nb")
    click(panel, 0, 2)
    assert "below 2, got (0, 2)" in panel.message
    assert (panel.pair, panel._matrices.pair) == ((0, 1), [0, 1])
