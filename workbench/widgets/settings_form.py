"""The settings of a recipe as a form, made from its fields: name, bounds, unit and help stand there."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Literal, Union, get_args, get_origin

import ipywidgets as W
import traitlets as t

from workbench.catalog.loss_info import Kind, Parameter
from workbench.errors import RecipeError, did_you_mean
from workbench.recipe import Lora, Loss, Recipe
from workbench.widgets.loss_form import LEFT_OUT, make_control
from workbench.widgets.panel import Panel

ELSEWHERE = ("model", "revision", "loss", "data", "eval_data")
FIRST = ("epochs", "batch_size", "learning_rate", "batch_sampler", "max_seq_length", "warmup", "seed")


class SettingsForm(Panel):
    """All settings of a recipe but model, loss and data.

    Args:
        settings: those that differ from the recipe's defaults.

    Attributes:
        settings: name -> value of those that differ from the recipe's defaults; always valid.

    Raises:
        RecipeError: an unknown setting, or a value out of its bounds.
    """

    settings = t.Dict()

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._moving = False
        self._read: dict[str, Callable[[Any], Any]] = {}
        self._controls: dict[str, Any] = {}
        self.settings = dict(settings or {})
        names = [name for name in Recipe.model_fields if name not in ELSEWHERE]
        first = W.HBox([self._field(name) for name in FIRST], layout=W.Layout(flex_flow="row wrap"))
        rest = W.HBox([self._field(name) for name in names if name not in FIRST], layout=W.Layout(flex_flow="row wrap"))
        self._more = W.Accordion([rest], titles=("More settings",))
        self._show(first, self._more)

    def _field(self, name: str) -> W.VBox:
        parameter, unit = described(name)
        value = self.settings.get(name, Recipe.model_fields[name].default)
        if name == "lora":
            control: Any = W.Checkbox(value=value is not None, indent=False, style={"description_width": "initial"})
            read: Callable[[Any], Any] = lambda on: (self.settings.get("lora") or Lora()) if on else None  # noqa: E731
        else:
            control, read = make_control(parameter, value)
        control.description = f"{name} ({unit})" if unit not in ("", name) else name
        control.tooltip = parameter.help
        control.observe(lambda change: self._moved(name, change["new"]), "value")
        self._controls[name], self._read[name] = control, read
        help_line = f"<div class='wb-soft'>{escape(parameter.help)}</div>"
        return W.VBox([control, W.HTML(help_line)], layout=W.Layout(flex="1 1 300px", margin="0 8px 6px 0"))

    def _moved(self, name: str, value: Any) -> None:
        if self._moving:
            return
        with self._guarded():
            given = self._read[name](value)
            rest = {key: old for key, old in self.settings.items() if key != name}
            self.settings = rest if given is LEFT_OUT else {**rest, name: given}
            self.say("")

    @t.validate("settings")
    def _valid(self, proposal: Any) -> dict[str, Any]:
        given = dict(proposal["value"])
        for name in given:
            if name not in Recipe.model_fields or name in ELSEWHERE:
                raise RecipeError(
                    f"expected a setting of a recipe, got {name!r}{did_you_mean(name, Recipe.model_fields)}"
                )
        recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data="glossary/qa", **given)
        kept = recipe.to_dict(defaults=False)
        return {name: getattr(recipe, name) for name in given if name in kept}

    @t.observe("settings")
    def _follow(self, _: Any) -> None:
        self._moving = True
        try:
            for name, control in self._controls.items():
                value = self.settings.get(name, Recipe.model_fields[name].default)
                if name == "lora":
                    control.value = value is not None
                elif self._read[name](control.value) != value:
                    fresh, _ = make_control(described(name)[0], value)
                    control.value = fresh.value
                    fresh.close()
        finally:
            self._moving = False
        if self.children:
            self._changed()

    def _code(self) -> str:
        return f"settings = {self.settings!r}"

    def static(self) -> str:
        """The settings that differ from the defaults."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in self.settings.items()
        )
        return f"<table class='wb-table'><caption>Settings that differ from the defaults</caption>{rows}</table>"


def described(name: str) -> tuple[Parameter, str]:
    """A field of the recipe as a parameter for a form, and its unit."""
    field = Recipe.model_fields[name]
    kinds = _members(field.annotation)
    choices: tuple[str, ...] = tuple(
        str(choice) for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)
    )
    several = any(get_origin(kind) is tuple for kind in kinds)
    if several:
        choices = tuple(
            str(choice) for kind in kinds if get_origin(kind) is tuple for choice in get_args(get_args(kind)[0])
        )
    kind: Kind = (
        "choice"
        if choices
        else "bool"
        if bool in kinds
        else "float"
        if float in kinds
        else "int"
        if int in kinds
        else "text"
    )
    low, high = _bound(field.metadata, "ge", "gt"), _bound(field.metadata, "le", "lt")
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    parameter = Parameter(
        name,
        kind,
        default=field.default,
        low=low,
        high=high,
        choices=choices,
        help=field.description or "",
        optional=type(None) in kinds,
    )
    return parameter, str(extra.get("unit", ""))


def _members(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) in (Union, types.UnionType) else [annotation]


def _bound(metadata: list[Any], *names: str) -> float | None:
    found = [getattr(item, name) for item in metadata for name in names if getattr(item, name, None) is not None]
    return float(found[0]) if found else None
