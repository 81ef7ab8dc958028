"""The whole workbench as one widget: the panels as tabs in the order of the work, wired here and nowhere else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.catalog import losses
from workbench.data.load import load
from workbench.errors import DataError, RecipeError, RunError
from workbench.recipe import DEFAULT_MODEL, Loss, Recipe
from workbench.training.run import Run, attach
from workbench.training.warm import waiting
from workbench.widgets import loss_choices
from workbench.widgets.data_preview import DataPreview
from workbench.widgets.panel import Panel, Refusing
from workbench.widgets.settings_form import ELSEWHERE, SettingsForm

TABS = ("From a card", "Data", "Model", "Loss", "Try", "Settings", "Check", "Run", "Map", "Compare", "Similarity")
# panels that are imported when their tab is first opened: with all of them the first control came 0.4 s later
PANELS = {
    "CardPanel": "card_panel",
    "CheckPanel": "check_panel",
    "ComparePanel": "compare_panel",
    "EmbeddingMap": "embedding_map",
    "LossPicker": "loss_picker",
    "ModelPicker": "model_picker",
    "RunPanel": "run_panel",
    "SimilarityMatrix": "similarity_matrix",
    "TryPanel": "try_panel",
}


class Bench(Panel):
    """From a table of texts to a tuned model, its map and its card.

    A tab is made when it is first opened; what the tabs share is here: a recipe, its data, and a run.

    Args:
        data: what `wb.load` takes, or loaded examples; with a recipe, its data.
        recipe: start from this recipe.
        run: a run, or its folder, to watch.
        runs: folder where runs are kept.

    Attributes:
        recipe: everything that was picked; set it to show another one.
        run: the run that is watched, None before there is one.

    Raises:
        WorkbenchError: data, recipe or run cannot be used.
    """

    recipe = Refusing(Recipe, RecipeError, "make one with wb.Recipe(...)")
    run = Refusing(Run, RunError, "give a run, as of wb.attach(folder)", allow_none=True)

    def __init__(
        self,
        data: Any = "glossary/qa",
        *,
        recipe: Recipe | None = None,
        run: Run | str | Path | None = None,
        runs: str | Path = "runs",
    ) -> None:
        super().__init__()
        if recipe is not None and not isinstance(recipe, Recipe):
            raise RecipeError(f"expected a Recipe, got {type(recipe).__name__}; make one with wb.Recipe(...)")
        self._examples = data if hasattr(data, "to_training") else load(data if recipe is None else recipe.data)
        if not isinstance(runs, str | Path):
            raise RunError(f"expected the folder where runs are kept, got {type(runs).__name__}; give a path")
        self._runs = runs
        self._panels: dict[str, Any] = {}
        self._spreading = False
        self._checked: Recipe | None = None
        self.recipe = recipe or self._first_recipe(data if isinstance(data, str | Path) else self._examples)
        self._spec = self.recipe.data
        self.run = attach(run) if isinstance(run, str | Path) else run
        self._tabs = W.Tab([W.Box(layout=W.Layout(width="100%")) for _ in TABS], titles=TABS)
        self._tabs.selected_index = TABS.index("Data")
        self.panel("Data")
        self._tabs.observe(self._opened, "selected_index")
        self._show(self._tabs)

    def panel(self, tab: str) -> Any:
        """The panel in a tab; it is made if it was not opened yet.

        Raises:
            KeyError: there is no such tab.
        """
        if tab not in self._panels:
            made = self._make(tab)
            self._panels[tab] = made
            self._tabs.children[TABS.index(tab)].children = (made,)
        return self._panels[tab]

    def _make(self, tab: str) -> Any:
        recipe, data = self.recipe, self._examples
        after = None if self.run is None or not self.run.files.model.is_dir() else str(self.run.folder)
        makers: Mapping[str, Any] = {
            "From a card": lambda: _panel("CardPanel")(),
            "Data": lambda: DataPreview(data, model=recipe.model),
            "Model": lambda: _panel("ModelPicker")(
                recipe.model, batch_size=recipe.batch_size, texts=max(1, len(data.texts))
            ),
            "Loss": lambda: self._loss_picker(data, recipe.loss),
            "Try": lambda: _panel("TryPanel")(recipe),
            "Settings": lambda: SettingsForm(_settings(recipe)),
            "Check": lambda: _panel("CheckPanel")(recipe),
            "Run": lambda: _panel("RunPanel")(recipe, self.run, runs=self._runs),
            "Map": lambda: _panel("EmbeddingMap")(data, after or recipe.model),
            "Compare": lambda: _panel("ComparePanel")(recipe.model, after, data),
            "Similarity": lambda: _panel("SimilarityMatrix")(base=recipe.model, tuned=after),
        }
        panel = makers[tab]()
        told = {
            "Data": "data",
            "Model": "model",
            "Loss": "loss",
            "Try": "chosen",
            "Settings": "settings",
            "Check": "recipe",
            "From a card": "recipe",
            "Run": "run",
        }
        if tab in told:
            panel.observe(lambda change: self._picked(tab, change["new"]), told[tab])
        if tab == "Run":
            panel.observe(lambda change: self._after_run(change["new"]), "state")
        return panel

    def _loss_picker(self, data: Any, loss: Loss) -> Any:
        """A recipe may bring a loss that does not suit its data; the picker then offers one that does."""
        try:
            return _panel("LossPicker")(data, loss)
        except RecipeError as error:
            picker = _panel("LossPicker")(data)
            picker.say(str(error), "error")
            return picker

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        waiting().shown(self._get_ready)

    def _get_ready(self) -> None:
        """While somebody looks at the first tab: import what the others need."""
        for name in PANELS:
            _panel(name)
        self._expect()

    def _expect(self) -> None:
        """A process may wait for what is picked, unless a run has the machine."""
        with self._guarded():
            if self.run is None or self.run.state not in ("starting", "running"):
                waiting().expect(self.recipe)

    # from a panel to the recipe

    def _picked(self, tab: str, value: Any) -> None:
        """Somebody has picked something in a tab."""
        with self._quietly() as first, self._guarded():
            if not first:
                return
            if tab == "Run":
                self.run = value
            elif tab in ("Check", "From a card", "Try"):
                self.recipe = value
            elif tab == "Data":
                self._examples, self._spec = value, value.spec
                loss = self.recipe.loss
                if loss_choices.refusal(loss, loss_choices.table_of(value)):
                    loss = _first_loss(value)
                self.recipe = self.recipe.changed(data=value, loss=loss, **_sampler(loss))
            elif tab == "Loss":
                self.recipe = self.recipe.changed(loss=value, **_sampler(value))
            elif tab == "Settings":
                kept = {name: getattr(self.recipe, name) for name in ELSEWHERE if name in self.recipe.model_fields_set}
                self.recipe = Recipe(**kept, **value)
            else:
                self.recipe = self.recipe.changed(model=value, revision=None)

    @t.validate("recipe")
    def _usable(self, proposal: Any) -> Recipe:
        """A recipe whose data cannot be read is refused, and the last one stays."""
        recipe: Recipe = proposal["value"]
        if self.children and self._spec != recipe.data:
            self._examples, self._spec = load(recipe.data), recipe.data
        return recipe

    @t.observe("recipe")
    def _recipe_set(self, change: Any) -> None:
        """Every open panel shows the recipe."""
        if not self.children:
            return
        recipe = change["new"]
        self.say("")
        with self._quietly():
            shown = {
                "Data": {"data": self._examples, "model": recipe.model},
                "Model": {
                    "model": recipe.model,
                    "batch_size": recipe.batch_size,
                    "texts": max(1, len(self._examples.texts)),
                },
                "Loss": {"data": self._examples, "loss": recipe.loss},
                "Try": {"recipe": recipe},
                "Settings": {"settings": _settings(recipe)},
                "Check": {"recipe": recipe},
                "Run": {"recipe": recipe},
                "Map": {"data": self._examples},
                "Compare": {"data": self._examples},
            }
            for tab, values in shown.items():
                self._set(tab, **values)
            if self.run is None:
                self._set("Map", model=recipe.model)
                self._set("Compare", before=recipe.model)
                self._set("Similarity", base=recipe.model)
        self._changed()
        self._expect()

    # the run, and what is looked at after it

    @t.observe("run")
    def _run_set(self, change: Any) -> None:
        with self._quietly():
            self._set("Run", run=change["new"])
        if self.children:
            self._changed()

    def _after_run(self, state: str) -> None:
        """A model has come out: it is what the last tabs look at."""
        run = self.panel("Run").run
        if state in ("finished", "stopped") and run is not None and run.files.model.is_dir():
            with self._guarded():
                base, tuned = run.recipe.model, str(run.folder)
                self._set("Map", model=tuned)
                self._set("Compare", before=base, after=tuned)
                self._set("Similarity", base=base, tuned=tuned)

    def _opened(self, change: Any) -> None:
        tab = TABS[change["new"] or 0]
        with self._guarded():
            panel = self.panel(tab)
            if tab in ("Check", "Run") and self._checked != self.recipe:
                self._checked = self.recipe
                self._later(self._look_first, panel)

    def _look_first(self, panel: Panel) -> None:
        """Say before the launch what will go wrong."""
        checks = self.panel("Check")
        checks.run_checks()
        wrong = [finding for finding in checks.findings if finding.severity == "error"]
        if wrong and panel is not checks:
            panel.say(f"This cannot work, see the tab Check: {wrong[0].message}", "error")

    # parts

    def _first_recipe(self, data: Any) -> Recipe:
        if not len(self._examples):
            raise DataError(f"expected rows in {self._examples.name}, got none; look at the rows that were left out")
        loss = _first_loss(self._examples)
        return Recipe(model=DEFAULT_MODEL, loss=loss, data=data, **_sampler(loss))

    def _set(self, tab: str, **values: Any) -> None:
        for name, value in values.items():
            if tab in self._panels and getattr(self._panels[tab], name) != value:
                with (
                    self._guarded()
                ):  # what one panel refuses, such as a loss that does not suit, the others still show
                    setattr(self._panels[tab], name, value)

    @contextmanager
    def _quietly(self) -> Iterator[bool]:
        """True for the outermost change; those that follow from it do not travel back."""
        first, self._spreading = not self._spreading, True
        try:
            yield first
        finally:
            if first:
                self._spreading = False

    def _code(self) -> str:
        run = "" if self.run is None else f", run={str(self.run.folder)!r}"
        return f"wb.Bench(recipe={self.recipe.code}{run})"

    def static(self) -> str:
        """What every open panel showed, one under another."""
        return "".join(f"<h3>{escape(tab)}</h3>{self._panels[tab].static()}" for tab in TABS if tab in self._panels)


def _panel(name: str) -> Any:
    """A panel's class."""
    return getattr(importlib.import_module(f"workbench.widgets.{PANELS[name]}"), name)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """All settings but model, loss and data, where they differ from the default."""
    return {name: getattr(recipe, name) for name in recipe.to_dict(defaults=False) if name not in ELSEWHERE}


def _sampler(loss: Loss) -> dict[str, Any]:
    """How rows should meet under a loss."""
    return {"batch_sampler": losses.describe(loss.innermost.name, loss.innermost.source).sampler}


def _first_loss(data: Any) -> Loss:
    table = loss_choices.table_of(data)
    loss = loss_choices.first(loss_choices.choices(table), table)
    if loss is None:
        raise DataError(
            f"expected columns that a loss can learn from in {data.name}, got {', '.join(data.used)}; set their roles with wb.load(..., columns={{...}})"
        )
    return loss
