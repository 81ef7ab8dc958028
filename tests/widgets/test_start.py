"""What is loaded and started when panels open: as little as the first control needs, and a process for the next run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import MakeRun
from workbench.recipe import Loss, Recipe
from workbench.widgets import bench, run_panel
from workbench.widgets.bench import PANELS, Bench
from workbench.widgets.run_panel import RunPanel

RECIPE = Recipe(loss=Loss("TripletLoss"), data="glossary/triplets")


class Waiting:
    """Remembers what it was told; a panel that was shown is looked at at once."""

    def __init__(self) -> None:
        self.expected: list[Recipe | None] = []
        self.open = False

    def shown(self, expect: Callable[[], None]) -> None:
        self.open = True
        expect()

    def expect(self, recipe: Recipe | None) -> None:
        if self.open:
            self.expected.append(recipe)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    told = Waiting()
    for module in (bench, run_panel):
        monkeypatch.setattr(module, "waiting", lambda: told)
    return told


def test_a_process_waits_for_the_recipe_of_a_panel_that_is_on_the_page(waiting: Waiting, tmp_path: Path) -> None:
    panel = RunPanel(RECIPE, runs=tmp_path)
    panel.recipe = RECIPE.changed(seed=1)
    assert not waiting.expected, "a panel that nobody sees starts nothing"
    panel._ipython_display_()
    panel.recipe = RECIPE.changed(seed=2)
    assert [recipe.seed for recipe in waiting.expected if recipe] == [1, 2]


def test_no_process_waits_while_a_run_goes_on(waiting: Waiting, make_run: MakeRun) -> None:
    panel = RunPanel(RECIPE, make_run(said="starting"))
    panel._ipython_display_()
    panel.recipe = RECIPE.changed(seed=1)
    assert panel.run is not None and panel.run.state == "starting"
    assert not waiting.expected
    panel.close()


def test_the_bench_has_a_process_wait_for_what_was_picked_though_its_run_tab_is_closed(
    waiting: Waiting, tmp_path: Path
) -> None:
    shown = Bench("glossary/triplets", runs=tmp_path)
    shown._ipython_display_()
    shown.recipe = shown.recipe.changed(seed=9)
    assert [recipe.seed for recipe in waiting.expected if recipe] == [42, 9]
    shown.close()


def test_the_bench_opens_without_the_panels_of_closed_tabs() -> None:
    code = (
        "import sys, workbench as wb\nwb.Bench('glossary/qa')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('plotly', 'torch', 'transformers') or name in "
        f"{[f'workbench.widgets.{module}' for module in PANELS.values()]}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "[]"
