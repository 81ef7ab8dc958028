"""A loss tried at once, as a person does it: change a parameter, look at scores and map, take the recipe."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.spaces.standins import Model, random_vector
from tests.widgets.doubles import HOSTILE, FakeEngine
from workbench.data.distinct import distinct_texts
from workbench.data.load import load
from workbench.data.prepare import prepare
from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.spaces.encode import Space
from workbench.spaces.evaluate import compare, evaluate
from workbench.training.adapter import Try
from workbench.widgets import try_panel
from workbench.widgets.bench import Bench
from workbench.widgets.try_panel import TryPanel

Open = Callable[..., TryPanel]


def table(word: str = "", rows: int = 40) -> Any:
    frame = pd.DataFrame(
        {"question": [f"{word}question {n}" for n in range(rows)], "reply": [f"{word}answer {n}" for n in range(rows)]}
    )
    return load(frame, columns={"question": "anchor", "reply": "positive"})


def recipe(word: str = "", **settings: Any) -> Recipe:
    loss = wb.Loss("MultipleNegativesRankingLoss", scale=15.0)
    return wb.Recipe(**{"loss": loss, "data": table(word), "eval_share": 0.3, **settings})


def a_try(made: Recipe, *, progress: Callable[[str, int, int], None]) -> Try:
    """What a try with such a recipe comes to: vectors that follow from loss and texts."""
    progress("training", 7, 7)
    _, evaluation = prepare(made)
    texts = distinct_texts(evaluation or prepare(made)[0])

    def space(word: str) -> Space:
        return Space(tuple(texts), np.stack([random_vector(f"{text}{word}") for text in texts]), word, "0" * 16)

    def scores(word: str) -> Any:
        held: Any = Model(lambda text: random_vector(f"{text}{word}"), word, 8)
        held.model_card_data = SimpleNamespace(base_model=word)
        return evaluate(held, evaluation, resamples=20)

    change = compare(scores("base"), scores(made.loss.code), resamples=20) if evaluation else None
    return Try(made, change, (1.0, 0.5), space("base"), space(made.loss.code), 7, 64, 0.5, 0.1)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    monkeypatch.setattr(try_panel, "engine", lambda: made)
    monkeypatch.setattr(try_panel, "try_adapter", a_try)
    return made


@pytest.fixture
def open_panel(engine: FakeEngine) -> Iterator[Open]:
    panels: list[TryPanel] = []

    def make(made: Recipe | None = None) -> TryPanel:
        panel = TryPanel(made or recipe())
        panels.append(panel)
        return panel

    yield make
    for panel in panels:
        panel.close()


def test_opening_tries_nothing_and_says_what_to_do(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    assert engine.asked == [] and panel.tries == ()
    assert "Change a parameter, or click Try" in panel._scores.value
    assert panel.list.layout.display == "none", "no empty list"
    assert panel.trial.method == "adapter" and panel.trial.learning_rate == 1e-3
    assert eval(panel.code.removeprefix("wb.try_adapter(")[:-1], {"wb": wb}) == panel.trial


def test_a_changed_parameter_is_tried_and_the_newest_comes_last(open_panel: Open) -> None:
    panel = open_panel()
    panel.form.controls["scale"].value = 30.0
    panel.settle(60)
    panel.form.controls["scale"].value = 60.0
    panel.settle(60)
    assert [made.recipe.loss.parameters["scale"] for made in panel.tries] == [30.0, 60.0]
    assert panel.list.index == 1 and panel.list.layout.display == "flex"
    assert panel.list.description == "Tries (cosine_ndcg@10), newest last", "the number is named"
    assert [line.split("(")[1].split(")")[0] for line, _ in panel.list.options] == ["scale 30.0", "scale 60.0"]
    assert "64 weights of a linear map" in panel._scores.value and "cosine_ndcg@10" in panel._scores.value
    assert panel.message.startswith("cosine_ndcg@10 ")


def test_rate_and_epochs_are_tried_too(open_panel: Open) -> None:
    panel = open_panel()
    controls = {control.description: control for control in panel._settings.children}
    controls["learning_rate"].value = 0.003
    controls["epochs"].value = 2.0
    panel.settle(60)
    assert (panel.tries[-1].recipe.learning_rate, panel.tries[-1].recipe.epochs) == (0.003, 2.0)


def test_every_control_has_a_name_and_none_is_a_slider(open_panel: Open) -> None:
    import ipywidgets as W

    panel, seen, waiting = open_panel(), [], []
    waiting.append(panel)
    while waiting:
        part = waiting.pop()
        waiting += getattr(part, "children", ())
        seen.append(part)
    controls = [part for part in seen if hasattr(part, "description") and not isinstance(part, W.HTML)]
    assert len(controls) > 8
    assert all(control.description for control in controls)
    assert not [part for part in seen if "Slider" in type(part).__name__]


def test_nothing_runs_by_itself_where_that_is_turned_off(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    panel.follow.value = False
    panel.form.controls["scale"].value = 30.0
    panel.settle(60)
    assert engine.asked == [] and panel.message == "Changed: click Try"
    panel.now.click()
    panel.settle(60)
    assert len(panel.tries) == 1


def test_a_newer_change_makes_the_one_that_is_trained_void(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    gate = engine.gates["a_try"] = threading.Event()
    panel.form.controls["scale"].value = 30.0
    panel._soon.flush()
    assert engine.reached.wait(60)
    panel.form.controls["scale"].value = 60.0
    panel._soon.flush()
    gate.set()
    panel.settle(60)
    assert [made.recipe.loss.parameters["scale"] for made in panel.tries] == [60.0]
    assert engine.asked.count("a_try") == 2 and engine.asked[:2] == ["a_try", "a_try"], "the first ended at its step"


def test_a_try_tells_its_texts_and_steps_and_a_newer_change_ends_it_at_its_next_step(
    open_panel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, said, made = open_panel(), [], []
    seventh, go_on = threading.Event(), threading.Event()

    def trying(trial: Recipe, *, progress: Callable[[str, int, int], None]) -> Try:
        progress("encoding texts", 512, 2048)
        said.append(panel.message)
        for step in range(1, 121):
            made.append((trial.loss.parameters["scale"], step))
            progress("training", step, 120)
            if step == 30 and not go_on.is_set():
                said.append(panel.message)
                seventh.set()
                assert go_on.wait(10)
        return a_try(trial, progress=progress)

    monkeypatch.setattr(try_panel, "try_adapter", trying)
    panel.form.controls["scale"].value = 30.0
    panel._soon.flush()
    assert seventh.wait(10)
    panel.form.controls["scale"].value = 60.0
    panel._soon.flush()
    go_on.set()
    panel.settle(10)
    assert said[:2] == [
        "Encoding the texts once, 512 of 2,048 …",
        "Training a linear adapter with MultipleNegativesRankingLoss, step 30 of 120 …",
    ]
    assert made == [(30.0, step) for step in range(1, 32)] + [(60.0, step) for step in range(1, 121)]
    assert [one.recipe.loss.parameters["scale"] for one in panel.tries] == [60.0]
    assert panel.message.startswith("cosine_ndcg@10")


def test_the_map_of_each_try_starts_from_the_last(open_panel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Any] = []
    laid_out = try_panel.laid_out
    monkeypatch.setattr(
        try_panel,
        "laid_out",
        lambda *given, **options: starts.append(options.get("start")) or laid_out(*given, **options),
    )
    panel = open_panel()
    for scale in (30.0, 60.0):
        panel.form.controls["scale"].value = scale
        panel.settle(60)
    assert starts[0] is None, "the base model first"
    assert np.array_equal(starts[2], panel._maps[0].xy)
    assert panel._pane.figure is not None


def test_an_older_try_can_be_looked_at_again_and_taken(open_panel: Open) -> None:
    panel = open_panel()
    for scale in (30.0, 60.0):
        panel.form.controls["scale"].value = scale
        panel.settle(60)
    panel.list.value = 0
    panel.settle(60)
    assert "scale 30.0" in panel._scores.value
    panel.take.click()
    assert panel.chosen == panel.tries[0].recipe
    panel.train.click()
    assert panel.chosen == panel.recipe.changed(loss=panel.tries[0].recipe.loss)
    assert panel.chosen.method == "full" and panel.chosen.learning_rate == 2e-5


def test_a_wrong_value_is_said_and_not_tried(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel(recipe(loss=wb.Loss("MatryoshkaLoss", loss="MultipleNegativesRankingLoss", matryoshka_dims=[8])))
    panel.form.controls["matryoshka_dims"].value = "many"
    panel.settle(60)
    assert "matryoshka_dims" in panel.message and engine.asked == []


def test_a_loss_that_needs_more_than_vectors_is_refused_in_the_panel(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel(recipe(loss=wb.Loss("GISTEmbedLoss", guide="all-MiniLM-L6-v2")))
    assert panel.trial is None and panel.now.disabled
    assert "GISTEmbedLoss reads the tokens with another model" in panel._form.children[0].value
    panel.run()
    panel.settle(60)
    assert engine.asked == []
    panel.recipe = recipe()
    assert panel.trial is not None and not panel.now.disabled


def test_other_data_forget_the_tries_and_the_same_keep_them(open_panel: Open) -> None:
    panel = open_panel()
    panel.run()
    panel.settle(60)
    panel.recipe = panel.recipe.changed(loss=wb.Loss("MultipleNegativesRankingLoss", scale=3.0))
    assert len(panel.tries) == 1 and panel.form.controls["scale"].value == 3.0
    panel.recipe = recipe("other ")
    assert panel.tries == () and panel.list.options == ()
    assert panel.static() == "<p>Nothing was tried yet.</p>"


def test_a_failure_is_a_sentence_and_the_panel_goes_on(open_panel: Open, engine: FakeEngine) -> None:
    panel = open_panel()
    engine.fails = RecipeError("expected this, got that; do so")
    panel.run()
    panel.settle(60)
    assert panel.message == "expected this, got that; do so" and panel.tries == ()
    engine.fails = None
    panel.run()
    panel.settle(60)
    assert len(panel.tries) == 1


def test_without_held_out_rows_the_map_is_there_and_the_reason_is_said(open_panel: Open) -> None:
    panel = open_panel(recipe(eval_share=0.0))
    panel.run()
    panel.settle(60)
    assert "no rows are held out" in panel.message and panel._pane.figure is not None
    assert "no rows are held out" in panel.static()


def test_hostile_texts_are_shown_as_texts(open_panel: Open) -> None:
    panel = open_panel(recipe(f"{HOSTILE} "))
    panel.run()
    panel.settle(60)
    shown = panel.static() + panel._scores.value
    assert "<script" not in shown and "<img" not in shown
    assert len(shown) < 300_000


def test_what_is_no_recipe_is_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match=r"expected a Recipe, got str .*; make one with wb.Recipe"):
        TryPanel("glossary/qa")


def test_the_bench_takes_what_was_chosen(engine: FakeEngine) -> None:
    bench = Bench(recipe=recipe())
    panel = bench.panel("Try")
    panel.form.controls["scale"].value = 30.0
    panel.settle(60)
    panel.take.click()
    assert bench.recipe.method == "adapter" and bench.recipe.loss.parameters["scale"] == 30.0
    assert bench.panel("Settings").settings["method"] == "adapter"
    assert len(panel.tries) == 1, "the tries stay"
    panel.train.click()
    assert bench.recipe.method == "full" and bench.recipe.learning_rate == 2e-5
    bench.recipe = bench.recipe.changed(loss=wb.Loss("MultipleNegativesRankingLoss", scale=7.0))
    assert panel.form.controls["scale"].value == 7.0
    bench.close()


def test_the_kernel_loads_no_torch() -> None:
    code = (
        "import sys, workbench as wb\n"
        "wb.TryPanel(wb.Recipe(loss=wb.Loss('TripletLoss'), data='glossary/triplets')).close()\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers', 'umap', 'sklearn') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    )
