"""A form for the parameters of a loss, made from the catalogue: one control for each parameter."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as W

from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.catalog.losses import LossInfo, Parameter
from workbench.errors import ModelError
from workbench.recipe import Loss

LEFT_OUT = object()
# A Dropdown shows nothing at all where its value is None.
_EMPTY = ""
_UNITS = {
    "mini_batch_size": "texts",
    "mini_batch_num_tokens": "tokens",
    "matryoshka_dims": "dimensions",
    "projection_dim": "dimensions",
    "embedding_dimension": "dimensions",
    "num_labels": "classes",
}
_LARGEST = 1.7e308
_MOST = 2**53 - 1


@dataclass(frozen=True)
class Draft:
    """What stands in a form, finished or not.

    Attributes:
        name: of the loss.
        parameters: those that are good, as plain values; a wrapped loss is a draft too.
        source: Python source of a loss of your own.
        loss: the loss, once nothing is missing or wrong.
        missing: a sentence that asks for what is missing; else empty.
        problem: a sentence that says what is wrong; else empty.
    """

    name: str
    parameters: Mapping[str, Any]
    source: str | None = None
    loss: Loss | None = None
    missing: str = ""
    problem: str = ""


def draft(info: LossInfo, given: Mapping[str, Any]) -> Draft:
    """Check what is given for a loss; parameters that are at their default stay out of the result."""
    problems, clean = catalog.checked(info.name, given, source=info.source)
    problems = [*problems, *no_models(info, clean)]
    needed = [item for item in info.parameters if item.required and item.name not in given]
    # What nobody has given yet is asked for, and not called wrong.
    wrong = [text for text in problems if not any(text.startswith(f"loss.{item.name}: ") for item in needed)]
    asked = [f"{info.name} needs {item.name}{_colon(_first_sentence(item.help))}" for item in needed]
    inner = given.get("loss")
    if isinstance(inner, Draft):
        wrong, asked = [inner.problem, *wrong], [inner.missing, *asked]
    problem = next((text.removeprefix("loss.") for text in wrong if text), "")
    missing = next((text for text in asked if text), "")
    if problem or missing:
        return Draft(info.name, clean, info.source, None, missing, problem)
    order = [item.name for item in info.parameters if item.name in clean]
    said = {name: clean[name] for name in dict.fromkeys([*order, *clean])}
    final = {
        name: value.loss if isinstance(value, Draft) else value
        for name, value in said.items()
        if not _is_default(info.parameter(name), value)
    }
    return Draft(info.name, clean, info.source, Loss(info.name, source=info.source, **final))


def no_models(info: LossInfo, clean: Mapping[str, Any]) -> list[str]:
    """A sentence for each parameter that names what can be no model; no network, no weights read."""
    found = []
    for item in info.parameters:
        if item.kind == "model" and clean.get(item.name):
            try:
                models.check_name(clean[item.name])
            except ModelError as error:
                found.append(f"loss.{item.name}: {error}")
    return found


class LossForm(W.VBox):
    """The parameters of one loss.

    Args:
        info: the loss.
        given: values that differ from the defaults; a wrapped loss is a `Loss`.
        inner: the losses that a wrapper can take, best first.
        changed: called after each change.

    Attributes:
        controls: parameter -> its control.
        nested: the form of the loss inside, None where there is none.
    """

    def __init__(
        self,
        info: LossInfo,
        given: Mapping[str, Any],
        inner: Callable[[LossInfo], Sequence[LossInfo]],
        changed: Callable[[], None],
    ) -> None:
        super().__init__()
        self.info = info
        self.controls: dict[str, Any] = {}
        self.nested: LossForm | None = None
        self._given, self._inner, self._tell = dict(given), inner, changed
        self._wrapped: Loss | None = self._given.pop("loss", None) if info.wraps else None
        fields = [self._field(item) for item in info.parameters if item.kind != "loss"]
        grid = W.HBox(fields, layout=W.Layout(flex_flow="row wrap"))
        nested = [self._choice_of_inner(item) for item in info.parameters if item.kind == "loss"]
        nothing = [] if info.parameters else [W.HTML("<div class='wb-soft'>This loss has no parameters.</div>")]
        self.children = (*nested, *([grid] if fields else []), *nothing)

    def draft(self) -> Draft:
        """What stands in the form."""
        return draft(self.info, {**self._given, **({"loss": self.nested.draft()} if self.nested else {})})

    def close(self) -> None:
        """Close the form and all its controls."""
        waiting: list[W.Widget] = list(self.children)
        while waiting:
            part = waiting.pop()
            waiting += getattr(part, "children", ())
            part.close()
        super().close()

    def _field(self, parameter: Parameter) -> W.VBox:
        control, read = make_control(parameter, self._given.get(parameter.name, parameter.default))

        def moved(change: Any) -> None:
            value = read(change["new"])
            self._given.pop(parameter.name, None)
            if value is not LEFT_OUT:
                self._given[parameter.name] = value
            self._tell()

        control.observe(moved, "value")
        self.controls[parameter.name] = control
        return W.VBox([control, W.HTML(_help_line(parameter))], layout=W.Layout(flex="1 1 300px", margin="0 8px 6px 0"))

    def _choice_of_inner(self, parameter: Parameter) -> W.VBox:
        known = {info.name: info for info in self._inner(self.info)}
        given = self._wrapped
        if given is not None:
            # Its own source counts, though another may be registered under its name.
            known = {given.name: catalog.describe(given.name, given.source)} | {
                name: info for name, info in known.items() if name != given.name
            }
        control = W.Dropdown(
            options=[(name, name) for name in known] or [("none suits this table", _EMPTY)],
            description="loss inside",
            tooltip=parameter.help,
            style={"description_width": "initial"},
            layout=W.Layout(width="98%"),
        )
        place = W.VBox(layout=W.Layout(margin="0 0 6px 12px"))

        def take(name: str) -> None:
            old, self.nested = self.nested, None
            if name != _EMPTY:
                info = known[name]
                values = given.parameters if given is not None and given.name == name else {}
                values = catalog.checked(name, values, source=info.source)[1]
                self.nested = LossForm(info, values, self._inner, self._tell)
            place.children = (self.nested,) if self.nested else ()
            if old is not None:
                old.close()

        def moved(change: Any) -> None:
            # A loss of your own may have been registered anew since.
            known.update({info.name: info for info in self._inner(self.info)})
            take(change["new"])
            self._tell()

        take(control.value)
        control.observe(moved, "value")
        self.controls[parameter.name] = control
        return W.VBox([control, W.HTML(_help_line(parameter)), place])


def make_control(parameter: Parameter, value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(a control that shows a value, what turns the value of the control into that of the parameter)."""
    unit = _UNITS.get(parameter.name)
    look: dict[str, Any] = {
        "description": f"{parameter.name} ({unit})" if unit else parameter.name,
        "tooltip": parameter.help or parameter.name,
        "style": {"description_width": "initial"},
        "layout": W.Layout(width="98%"),
    }
    plain = value is not None and not parameter.optional
    if parameter.kind == "bool" and plain:
        return W.Checkbox(value=value, indent=False, **look), bool
    if parameter.kind == "choice" and isinstance(parameter.default, tuple):
        rows = len(parameter.choices)
        return W.SelectMultiple(options=parameter.choices, value=tuple(value), rows=rows, **look), list
    if parameter.kind == "bool" or parameter.choices:
        return _dropdown(parameter, value, look)
    if parameter.kind == "int" and plain:
        return W.BoundedIntText(value=value, **_bounds(parameter, _MOST, int), **look), int
    # A loss of your own with `k=5` and no annotation may count with k.
    if parameter.kind == "float" and plain and type(value) is type(parameter.default) is float:
        return W.BoundedFloatText(value=value, step=_step(value), **_bounds(parameter, _LARGEST, float), **look), float
    shown = W.Text(value=_shown(parameter, value), placeholder=_placeholder(parameter), continuous_update=False, **look)
    return shown, lambda text: _from_text(parameter, text)


def _bounds(parameter: Parameter, most: float, kind: type) -> dict[str, Any]:
    low, high = parameter.low, parameter.high
    return {"min": kind(-most if low is None else low), "max": kind(most if high is None else high)}


def _step(value: float) -> float:
    """A tenth of the order of magnitude, for the arrows of the control."""
    return 10.0 ** max(-9, math.floor(math.log10(abs(value))) - 1) if value else 0.1


def _dropdown(parameter: Parameter, value: Any, look: dict[str, Any]) -> tuple[Any, Callable[[Any], Any]]:
    options: list[tuple[str, Any]] = [(name, name) for name in parameter.choices] or [("yes", True), ("no", False)]
    if parameter.optional or value is None:
        options.insert(0, ("choose one" if parameter.required else "none", _EMPTY))
    if value is not None and value not in [item for _, item in options]:
        options.append((str(value), value))
    shown = W.Dropdown(options=options, value=_EMPTY if value is None else value, **look)
    return shown, lambda item: _none(parameter) if item == _EMPTY else item


def _none(parameter: Parameter) -> Any:
    """What an empty control means: none where that is said, else the default."""
    return None if parameter.optional and parameter.default is not None else LEFT_OUT


def _shown(parameter: Parameter, value: Any) -> str:
    if value is None:
        return ""
    if parameter.kind == "numbers":
        return ", ".join(map(str, value))
    # A text that reads like a number needs its quotes.
    ambiguous = parameter.kind == "text" and not isinstance(parameter.default, str) and _literal(value) != value
    return repr(value) if ambiguous else str(value)


def _placeholder(parameter: Parameter) -> str:
    if parameter.kind == "numbers":
        return "such as 768, 512, 256" if parameter.whole else "such as 1, 0.5, 0.25"
    if parameter.kind == "model":
        return "name or folder of a model"
    return "needed" if parameter.required else in_words(parameter.default)


def _from_text(parameter: Parameter, text: str) -> Any:
    """A value from what is written; what cannot be read stays text, for the catalogue to refuse."""
    text = text.strip()
    if not text:
        return _none(parameter)
    if parameter.kind == "numbers":
        parts = [part for part in re.split(r"[\s,;]+", text.strip("[]()")) if part]
        try:
            return [float(part) for part in parts]
        except ValueError:
            return text
    if parameter.kind == "float" and type(parameter.default) is int:
        return _literal(text)
    return _literal(text) if parameter.kind == "text" and not isinstance(parameter.default, str) else text


def _literal(text: Any) -> Any:
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _is_default(parameter: Parameter | None, value: Any) -> bool:
    if parameter is None or parameter.required:
        return False
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return bool(value == default and isinstance(value, bool) == isinstance(default, bool))


def in_words(value: Any) -> str:
    """A value for people: none, yes, no, lists with commas."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _first_sentence(text: str) -> str:
    first = re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s", text, maxsplit=1)[0] if text else ""
    return first if len(first) <= 160 else f"{first[:159]}…"


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _help_line(parameter: Parameter) -> str:
    default = "Needed." if parameter.required else f"Default: {in_words(parameter.default)}."
    return f"<div class='wb-soft'>{escape(_first_sentence(parameter.help))} {escape(default)}</div>"
