"""The similarity matrix as a person uses it: sentences are typed, numbers follow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workbench.errors import DataError, ModelError, RecipeError, RunError
from workbench.spaces.encode import embed
from workbench.spaces.engine import engine
from workbench.spaces.similarity import similarity
from workbench.widgets import similarity_matrix
from workbench.widgets.similarity_matrix import EXAMPLES, SimilarityMatrix

HOSTILE = "<img src=x onerror=alert(1)> $5 & $10 </td><script>alert(1)</script>"
SLOW = 10_000


class Fake:
    """An engine that answers at once, and keeps what it was asked. Vectors are unit vectors by the first letter."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.asked: list[tuple[str, list[str]]] = []
        self.fails: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def call(self, function: Callable[..., Any], texts: list[str], model: str) -> np.ndarray:
        self.asked.append((model, list(texts)))
        self.entered.set()
        assert self.gate.wait(60)
        if self.fails:
            raise self.fails
        self.pid = 1
        return np.array([self.vector(text, model) for text in texts], dtype=np.float32)

    def vector(self, text: str, model: str) -> list[float]:
        if text == "zero":
            return [0.0, 0.0]
        angle = np.radians((ord(text[0]) - ord("a")) * (10 if model == "tuned" else 20))
        return [float(np.cos(angle)), float(np.sin(angle))]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(similarity_matrix, "engine", lambda: made)
    return made


@pytest.fixture
def open_panel(fake: Fake) -> Iterator[Callable[..., SimilarityMatrix]]:
    """Makes panels that wait long after typing, so that only `settle` ends the wait; closes them."""
    panels: list[SimilarityMatrix] = []

    def make(texts: Any = ("a", "b", "c"), base: Any = "base", tuned: Any = None, **options: Any) -> SimilarityMatrix:
        panels.append(SimilarityMatrix(texts, base, tuned, **{"pause_ms": SLOW, **options}))
        return panels[-1]

    yield make
    fake.gate.set()
    for panel in panels:
        panel.close()


def look(panel: SimilarityMatrix) -> SimilarityMatrix:
    """As the page does when the tables come into view."""
    panel._matrices.seen = True
    panel.settle(60)
    return panel


def type_in(panel: SimilarityMatrix, text: str) -> None:
    panel._sentences.value = text


def tables(panel: SimilarityMatrix) -> list[dict[str, Any]]:
    return list(panel._matrices.content["tables"])


def test_nothing_is_asked_before_somebody_looks_and_the_empty_tables_are_there(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = open_panel(tuned="tuned")
    panel.base = "other"
    panel.settle(60)
    assert fake.asked == []
    assert [(table["name"], table["values"]) for table in tables(panel)] == [
        ("Base: other", None),
        ("Tuned: tuned", None),
        ("Difference: tuned − base", None),
    ]
    look(panel)
    assert fake.asked == [("other", ["a", "b", "c"]), ("tuned", ["a", "b", "c"])]
    assert panel.message == "3 sentences compared"


def test_the_numbers_are_those_of_similarity_and_their_difference(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel(tuned="tuned"))
    assert panel.before is not None and panel.after is not None and panel.difference is not None
    cosine = np.cos(np.radians(20 * np.subtract.outer(np.arange(3), np.arange(3))))
    np.testing.assert_allclose(panel.before.matrix, cosine, atol=1e-6)
    assert (panel.before.texts, panel.before.model, panel.after.model) == (("a", "b", "c"), "base", "tuned")
    np.testing.assert_array_equal(panel.difference, panel.after.matrix - panel.before.matrix)
    assert list(panel.difference.index) == list(panel.difference.columns) == ["a", "b", "c"]
    base, tuned, difference = tables(panel)
    np.testing.assert_allclose(base["values"], cosine, atol=1e-4)
    np.testing.assert_allclose(difference["values"], np.subtract(tuned["values"], base["values"]), atol=2e-4)
    assert (base["span"], base["signed"], difference["span"], difference["signed"]) == (1.0, False, 0.2, True)


def test_only_the_sentence_that_changed_is_encoded_again(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = look(open_panel(tuned="tuned"))
    fake.asked.clear()
    type_in(panel, "a\nbird\nc")
    panel.settle(60)
    assert fake.asked == [("base", ["bird"]), ("tuned", ["bird"])]
    fake.asked.clear()
    type_in(panel, "c\na\nbird\nb\n")
    panel.settle(60)
    assert fake.asked == []
    assert panel.texts == panel.before.texts == ("c", "a", "bird", "b")


def test_what_is_typed_stays_as_typed_and_is_read_row_by_row(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel())
    type_in(panel, "  a \n\n  \nb and\t c\n")
    assert panel.texts == ("a", "b and\t c")
    panel.settle(60)
    assert panel._sentences.value == "  a \n\n  \nb and\t c\n"
    assert panel.message == "2 sentences compared"


def test_traits_set_from_python_move_the_controls_and_the_numbers(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel())
    panel.texts, panel.tuned = ["x", "", "y\nz"], Path("tuned")
    assert (panel.texts, panel.tuned) == (("x", "y z"), "tuned")
    assert (panel._sentences.value, panel._tuned.value) == ("x\ny z", "tuned")
    panel.settle(60)
    assert panel.before.texts == ("x", "y z") and len(tables(panel)) == 3
    panel._tuned.value = " "
    panel.settle(60)
    assert (panel.tuned, panel.after, panel.difference, len(tables(panel))) == ("", None, None, 1)


def test_a_run_is_taken_by_its_model_folder(open_panel: Callable[..., SimilarityMatrix], fake: Fake) -> None:
    class Run:
        model_folder = Path("runs/first/model")

    panel = look(open_panel(tuned=Run()))
    assert panel.tuned == os.path.join("runs", "first", "model")
    assert panel.after.model == "first"
    assert tables(panel)[1]["name"] == "Tuned: first"


def test_the_numbers_follow_by_themselves_after_the_pause(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel, come = look(open_panel(pause_ms=20)), threading.Event()
    panel.observe(lambda change: come.set(), "before")
    type_in(panel, "a\nd")
    assert come.wait(60)
    assert panel.before.texts == ("a", "d")


def test_who_settles_as_a_pause_ends_waits_for_the_numbers(
    open_panel: Callable[..., SimilarityMatrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = look(open_panel())
    begun, go_on, later = threading.Event(), threading.Event(), panel._later

    def slow(*given: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        later(*given)

    monkeypatch.setattr(panel, "_later", slow)
    type_in(panel, "a\nd")
    over = threading.Thread(target=panel.compute)  # as the timer does
    over.start()
    assert begun.wait(60)
    settled = threading.Thread(target=panel.settle, args=[60])
    settled.start()
    settled.join(0.05)
    assert settled.is_alive(), "the numbers are still to come"
    go_on.set()
    settled.join(60)
    assert panel.before.texts == ("a", "d")


def test_of_what_is_typed_meanwhile_only_the_newest_is_encoded(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = look(open_panel(tuned="tuned"))
    shown = panel.before
    fake.asked.clear()
    fake.entered.clear()
    fake.gate.clear()
    type_in(panel, "a\nd")
    panel.compute()
    assert fake.entered.wait(60)
    for text in ("a\nde", "a\ndef", "a\ndefg"):
        type_in(panel, text)
        panel.compute()
    assert len(panel._jobs) == 2  # the one that runs, and one that will take the newest
    seen: list[Any] = []
    panel.observe(lambda change: seen.append(change["new"].texts), "before")
    fake.gate.set()
    panel.settle(60)
    assert fake.asked == [("base", ["d"]), ("base", ["defg"]), ("tuned", ["defg"])]
    assert shown is not panel.before and seen == [("a", "defg")]


def test_sentences_typed_while_others_are_encoded_do_not_mix_with_their_numbers(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = look(open_panel())
    fake.entered.clear()
    fake.gate.clear()
    type_in(panel, "a\nd")
    panel.compute()
    assert fake.entered.wait(60)
    type_in(panel, "a\nd\ne")  # its pause has not ended
    come = threading.Event()
    panel.observe(lambda change: come.set(), "before")
    fake.gate.set()
    assert come.wait(60)
    assert panel.before.texts == ("a", "d")
    assert panel._matrices.content["texts"] == ["a", "d"]
    assert len(tables(panel)[0]["values"]) == 2
    panel.settle(60)
    assert panel._matrices.content["texts"] == ["a", "d", "e"]


@pytest.mark.parametrize("error", [ModelError("model 'nope' is unknown"), RunError("it is gone; try again")])
def test_after_a_failure_there_are_no_numbers_of_other_texts_or_models(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix], error: Exception
) -> None:
    panel = look(open_panel(tuned="tuned"))
    fake.fails = error
    panel._tuned.value = "<b>nope"
    panel.settle(60)
    assert panel.message == str(error) and "role='alert'" in panel._line.value
    assert (panel.before, panel.after, panel.difference) == (None, None, None)
    assert [(table["name"], table["values"]) for table in tables(panel)][:2] == [
        ("Base: base", None),
        ("Tuned: <b>nope", None),
    ]
    assert "Not compared yet" in panel.static() and "1.00" not in panel.static()
    fake.fails = None
    type_in(panel, "a\nb")
    panel.settle(60)
    assert panel.message == "2 sentences compared" and len(tables(panel)) == 3 and panel.before is not None


def test_a_closed_panel_says_that_it_is_closed(
    open_panel: Callable[..., SimilarityMatrix], caplog: pytest.LogCaptureFixture
) -> None:
    panel = look(open_panel())
    panel.close()
    panel.compute()
    assert "is closed" in panel.message and caplog.records == []


def test_loading_is_said_once_for_each_model_and_again_when_the_engine_is_another(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = open_panel(base="owner/first", tuned="second")
    said: list[str] = []
    panel.observe(lambda change: said.append(change["new"]), "message")
    look(panel)
    assert said == ["Loading first … (once)", "Loading second … (once)", "3 sentences compared"]
    said.clear()
    type_in(panel, "a\nb\nd")
    panel.settle(60)
    assert said == []
    fake.pid = None  # it has ended meanwhile
    type_in(panel, "a\nb\ne")
    panel.settle(60)
    assert said[0] == "Loading first … (once)"
    said.clear()
    type_in(panel, "\n".join("ghijklmnopq"))
    panel.settle(60)
    assert said[0] == "Encoding 11 sentences with first …"


def test_more_than_thirty_sentences_are_said_and_the_first_thirty_shown(
    fake: Fake, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    panel = look(open_panel([f"a{n}" for n in range(31)], tuned="tuned"))
    assert panel.message == "The first 30 of 31 sentences are compared; take some out to see the others"
    assert len(panel.texts) == 31 and panel.before.matrix.shape == (30, 30)
    assert len(fake.asked[0][1]) == 30
    assert "a29" in panel.code and "a30" not in panel.code
    assert len(panel.static()) < 150_000


@pytest.mark.parametrize("texts", [(), ("a",)])
def test_few_sentences_give_small_tables(texts: tuple[str, ...], open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel(texts, tuned="tuned"))
    assert panel.message == ("1 sentence compared" if texts else "Type sentences, one per line")
    assert [len(table["values"]) for table in tables(panel)] == ([1, 1, 1] if texts else [])
    assert "alert" not in panel._line.value
    panel.static()


def test_an_undefined_similarity_says_why(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel(("a", "zero"), tuned="tuned"))
    base, tuned, difference = tables(panel)
    assert base["values"] == [[1.0, None], [None, None]] == tuned["values"]
    assert base["why"] == {"1": "undefined: the vector of sentence 2 is zero or not finite under base"}
    assert difference["values"] == [[0.0, None], [None, None]]
    assert "sentence 2" in difference["why"]["1"]
    assert panel.static().count("<td>–</td>") == 9
    assert "zero or not finite under tuned" in panel.static() and "nan" not in panel.static()
    type_in(panel, "zero")
    panel.settle(60)
    assert [table["values"] for table in tables(panel)] == [[[None]]] * 3


def test_hostile_sentences_and_names_are_only_text(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel(["a", HOSTILE, "\u202ea", "😀" * 2000, "\ud800 half", "a\x00b"], base=f"x/{HOSTILE}"))
    assert panel.message == "6 sentences compared"
    for shown in (panel.static(), panel._line.value, panel._shown_code.value):
        assert "<img" not in shown and "<script" not in shown
    assert "&lt;img src=x" in panel.static()
    assert panel._matrices.content["texts"][1] == HOSTILE
    assert max(map(len, panel._matrices.content["texts"])) <= 300
    assert panel.texts[4] == "? half"
    source = Path(similarity_matrix.__file__).with_name("matrix.js").read_text()
    assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(") if word in source]


def test_the_code_does_the_same(open_panel: Callable[..., SimilarityMatrix], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], str]] = []
    wb = SimpleNamespace(similarity=lambda texts, model: asked.append((texts, model)))
    texts = ['it\'s "so"', "b\\"]
    panel = open_panel(texts, tuned="tuned")
    eval(panel.code, {"wb": wb})
    assert asked == [(texts, "base"), (texts, "tuned")]
    panel.tuned = ""
    assert panel.code == repr(panel) == f"wb.similarity({texts!r}, 'base')"
    ast.parse(panel.code)


def test_the_constructor_takes_the_traits_back(open_panel: Callable[..., SimilarityMatrix]) -> None:
    first = open_panel(EXAMPLES, tuned="tuned")
    again = open_panel(first.texts, first.base, first.tuned)
    assert (again.texts, again.base, again.tuned, again.code) == (EXAMPLES, "base", "tuned", first.code)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"texts": "one sentence"}, DataError, "expected a list of sentences, got str"),
        ({"texts": ["a", 7]}, DataError, r"got int \(7\) as number 2"),
        ({"texts": None}, DataError, "got NoneType"),
        ({"base": ""}, ModelError, "expected a model name, a folder or a run"),
        ({"base": None}, ModelError, "got NoneType"),
        ({"tuned": 7}, ModelError, "got int"),
        ({"pause_ms": -1}, RecipeError, "0 to 10000 milliseconds, got -1"),
        ({"pause_ms": "x"}, RecipeError, "got 'x'"),
    ],
)
def test_wrong_values_end_in_one_sentence(
    given: dict[str, Any], error: type[Exception], words: str, open_panel: Callable[..., SimilarityMatrix]
) -> None:
    with pytest.raises(error, match=words):
        open_panel(**given)


def test_an_empty_base_is_said_and_the_old_one_stays(open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel())
    panel._base.value = "  "
    assert "expected a model name" in panel.message and panel.base == "base"


def test_misspelt_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="did you mean 'tuned'"):
        SimilarityMatrix(tunde="x")


def test_a_closed_panel_asks_for_nothing_more(fake: Fake, open_panel: Callable[..., SimilarityMatrix]) -> None:
    panel = look(open_panel())
    fake.asked.clear()
    type_in(panel, "a\nd")
    pause = panel._timer
    panel.close()
    pause.join(60)
    panel.compute()  # what a pause does that ends as the panel is closed
    panel.settle(60)
    assert fake.asked == [] and panel._timer is None


def test_opening_it_loads_no_library_for_models() -> None:
    code = (
        "import sys; from workbench.widgets.similarity_matrix import SimilarityMatrix; SimilarityMatrix().static(); "
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'umap', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.real
def test_with_the_engine_itself_the_numbers_are_those_of_wb_similarity_and_the_tokens_add_up_to_them(
    tiny_bert: Path, tiny_static: Path
) -> None:
    texts = ["the red cat", "a blue bird sings", "old stone house"]
    panel = SimilarityMatrix(texts, tiny_bert, tiny_static, pair=(0, 2))
    panel.compute()
    panel.settle(60)
    for record, model in ((panel.before, tiny_bert), (panel.after, tiny_static)):
        np.testing.assert_allclose(record.matrix, similarity(embed(texts, model)).matrix, atol=1e-5)
    for role, record in (("base", panel.before), ("tuned", panel.after)):
        assert f"{role}: {record.matrix[0, 2]:+.4f} and {record.matrix[0, 2]:+.4f}" in panel.static()
    assert "exact: the vector of a text is a sum over its tokens" in panel.static()
    assert panel.message == "3 sentences compared"
    panel.close()
    engine().close()
