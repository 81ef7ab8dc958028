"""The Bench: one shared state behind its tabs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.runs import MakeRun, outcome
from tests.widgets.test_run_panel import until
from workbench.errors import DataError, RecipeError, RunError
from workbench.recipe import Loss, Recipe
from workbench.widgets.bench import TABS, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("glossary/qa", runs=tmp_path / "runs")


def test_it_opens_on_the_data_with_a_recipe_that_can_run(bench: Bench) -> None:
    assert bench.recipe == Recipe(
        loss=Loss("MultipleNegativesRankingLoss"), data="glossary/qa", batch_sampler="no_duplicates"
    )
    assert list(bench._panels) == ["Data"], "the other tabs are made when they are opened"
    again: Bench = eval(bench.code, {"wb": wb})
    assert again.recipe == bench.recipe


def test_each_tab_shows_its_panel_when_it_is_opened(bench: Bench) -> None:
    for place, tab in enumerate(TABS):
        bench._tabs.selected_index = place
        assert bench._tabs.children[place].children == (bench.panel(tab),), bench.message
    bench.settle(60)
    assert bench.message == ""
    for tab in TABS:
        assert tab in bench.static()


def test_what_is_picked_in_a_tab_is_in_the_recipe(bench: Bench) -> None:
    bench.panel("Loss").loss = Loss("MultipleNegativesSymmetricRankingLoss")
    bench.panel("Settings").settings = {**bench.panel("Settings").settings, "epochs": 3}
    assert bench.recipe.loss.name == "MultipleNegativesSymmetricRankingLoss"
    assert (bench.recipe.epochs, bench.recipe.batch_sampler) == (3.0, "no_duplicates")
    assert bench.panel("Run").recipe == bench.panel("Check").recipe == bench.recipe


def test_other_roles_bring_a_loss_that_suits_them(bench: Bench) -> None:
    before = bench.recipe.loss
    bench.panel("Loss")
    bench.panel("Data").data = wb.load("glossary/graded")
    assert bench.recipe.data.source == "glossary/graded"
    assert bench.recipe.loss != before
    assert bench.panel("Loss").loss == bench.recipe.loss
    assert not [finding for finding in wb.check(bench.recipe) if finding.severity == "error"]


def test_a_recipe_from_python_is_shown_in_every_open_tab(bench: Bench) -> None:
    for tab in TABS:
        bench.panel(tab)
    bench.recipe = Recipe(loss=Loss("TripletLoss", triplet_margin=0.3), data="glossary/triplets", epochs=2)
    assert bench.panel("Data").data.name == "glossary/triplets"
    assert bench.panel("Loss").loss == Loss("TripletLoss", triplet_margin=0.3)
    assert bench.panel("Settings").settings == {"epochs": 2.0}
    assert bench.panel("Check").recipe == bench.panel("Run").recipe == bench.recipe
    assert bench.panel("Model").texts == 3
    assert bench.message == ""


def test_a_fix_of_the_checks_reaches_the_other_tabs(tmp_path: Path) -> None:
    bench = Bench(recipe=Recipe(loss=Loss("TripletLoss"), data="glossary/triplets"), runs=tmp_path)
    checks = bench.panel("Check")
    checks.run_checks()
    margin = next(finding for finding in checks.findings if finding.code == "margin-out-of-reach")
    bench.panel("Loss")
    checks.apply(margin)
    checks.settle(60)
    assert bench.recipe.loss == Loss("TripletLoss", triplet_margin=0.3) == bench.panel("Loss").loss


def test_opening_the_run_warns_of_what_cannot_work(tmp_path: Path) -> None:
    bench = Bench(recipe=Recipe(loss=Loss("CoSENTLoss"), data="glossary/qa"), runs=tmp_path)
    bench._tabs.selected_index = TABS.index("Run")
    bench.settle(60)
    assert "This cannot work" in bench.panel("Run").message and "CoSENTLoss" in bench.panel("Run").message


def test_a_finished_run_is_what_the_last_tabs_look_at(bench: Bench, make_run: MakeRun, tiny_bert: Path) -> None:
    run = make_run(scores=outcome(0.5, 0.6))
    (run.folder / "model").symlink_to(tiny_bert)
    for tab in TABS:
        bench.panel(tab)
    bench.run = run
    until(lambda: bench.panel("Run").state == "finished")
    until(lambda: bench.panel("Similarity").tuned == str(run.folder))
    assert bench.panel("Map").model == str(run.folder)
    assert (bench.panel("Compare").before, bench.panel("Compare").after) == (run.recipe.model, str(run.folder))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"data": "glossary/nothing"}, DataError, "glossary/nothing"),
        ({"recipe": {"epochs": 1}}, RecipeError, "expected a Recipe, got dict"),
        ({"run": "nowhere"}, RunError, "expected a run folder"),
        ({"dat": "glossary/qa"}, TypeError, "did you mean 'data'"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(arguments: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        Bench(**arguments)


def test_opening_every_tab_loads_no_torch() -> None:
    code = """
import json, sys
import workbench as wb
from workbench.widgets.bench import TABS
bench = wb.Bench("glossary/qa")
for tab in TABS:
    bench.panel(tab)
heavy = ("torch", "transformers", "sentence_transformers", "umap", "sklearn", "numba", "matplotlib")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_recipe_that_does_not_fit_is_shown_everywhere_and_one_without_data_is_refused(bench: Bench) -> None:
    for tab in ("Loss", "Settings", "Check", "Run"):
        bench.panel(tab)
    misfit = Recipe(loss=Loss("TripletLoss"), data="glossary/qa", batch_size=99)
    bench.recipe = misfit
    assert bench.panel("Run").recipe == bench.panel("Check").recipe == misfit
    assert bench.panel("Settings").settings == {"batch_size": 99}
    assert "TripletLoss" in bench.message
    with pytest.raises(DataError, match=r"gone\.csv"):
        bench.recipe = misfit.changed(data="gone.csv")
    assert bench.recipe == misfit
    bench.panel("Settings").settings = {"batch_size": 8}
    assert bench.recipe.batch_size == 8


def test_closing_closes_every_panel_and_widget_in_it(bench: Bench) -> None:
    from ipywidgets.widgets.widget import _instances

    for tab in TABS:
        bench.panel(tab)
    bench.settle(60)
    panels = [bench.panel(tab) for tab in TABS]
    before = len(_instances)
    bench.close()
    assert all(panel.comm is None for panel in panels)
    assert before - len(_instances) > 500


def test_a_refused_panel_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    import gc

    for arguments in ({"run": 3}, {"recipe": 3}, {"runn": 1}):
        with pytest.raises((TypeError, RunError, RecipeError)):
            wb.RunPanel(**arguments)
    gc.collect()
    assert "Exception ignored" not in capfd.readouterr().err


def test_the_code_names_the_run(bench: Bench, make_run: MakeRun) -> None:
    bench.run = make_run(scores=outcome(0.5, 0.6))
    assert f"run={str(bench.run.folder)!r}" in bench.code


def test_a_recipe_is_spread_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(bench, "_changed", lambda: told.append(bench.recipe.name or ""))
    bench.recipe = bench.recipe.changed(name="once")
    assert told == ["once"]
