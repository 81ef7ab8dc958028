"""Values for the parameters of a loss: checked, and coerced to what YAML can hold."""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from workbench.catalog import loss_facts as facts
from workbench.catalog.introspect import read_source
from workbench.catalog.loss_info import LIBRARY_MODULE, LossInfo, Parameter
from workbench.catalog.registry import get, library
from workbench.errors import RecipeError, did_you_mean


class _UnfitError(Exception):
    """The value is not what the parameter takes."""


def checked(name: str, parameters: Mapping[str, Any], *, source: str | None = None) -> tuple[list[str], dict[str, Any]]:
    """All problems of these parameters, and the parameters as plain YAML values.

    Args:
        name: a loss of the library, or one of your own that is registered or comes with its source.
        parameters: what is given; a wrapped loss is anything with `.name` and `.parameters`.
        source: Python source of a loss of your own; it is read, not run.

    Returns:
        Problems as sentences; and what was given, and nothing else: numbers from numeric text, lists from tuples,
        names from functions and enum members.
    """
    try:
        info = describe(name, source)
    except RecipeError as error:
        return list(error.problems), {}
    problems: list[str] = []
    clean: dict[str, Any] = {}
    for key, value in parameters.items():
        parameter = info.parameter(key) or (Parameter(key, "text", optional=True) if info.open_ended else None)
        if parameter is None:
            problems.append(_unknown(info, key))
            continue
        try:
            clean[key] = _value(parameter, value)
        except _UnfitError:
            advice = parameter.help if parameter.required else f"leave it out for {parameter.default!r}"
            wanted = _wanted(parameter)
            problems.append(f"loss.{key}: expected {wanted}, got {reprlib.repr(value)}; {advice or 'change it'}")
    for parameter in info.parameters:
        if parameter.required and parameter.name not in parameters:
            advice = parameter.help or "it has no default"
            problems.append(f"loss.{parameter.name}: expected {_wanted(parameter)}, got nothing; {advice}")
    return problems or _together(info, clean), clean


def describe(name: str, source: str | None) -> LossInfo:
    """The loss of that name, from its source if there is one.

    Raises:
        RecipeError: unknown, unreadable, or a source under the name of a library loss.
    """
    if source is None:
        return get(name)
    if name in library():
        raise RecipeError(
            f"loss: expected a name of its own for a loss that comes with source, got the library's {name}; rename it"
        )
    return read_source(source, name)


def _unknown(info: LossInfo, key: str) -> str:
    if key == "loss":
        wrappers = ", ".join(name for name, other in library().items() if other.wraps)
        return f"loss.loss: expected nothing, as {info.name} wraps no loss, got one; wrap with {wrappers} instead"
    known = [parameter.name for parameter in info.parameters]
    listed = f"{info.name} has {', '.join(known) or 'no parameters'}"
    return f"loss.{key}: expected the name of a parameter, got {key!r}{did_you_mean(str(key), known)}; {listed}"


def _wanted(parameter: Parameter) -> str:
    low, high = parameter.low, parameter.high
    bounds = "" if low is None else f" of at least {low:g}" if high is None else f" from {low:g} to {high:g}"
    if parameter.choices:
        return ("one or more of " if isinstance(parameter.default, tuple) else "one of ") + ", ".join(parameter.choices)
    return {
        "float": f"a number{bounds}",
        "int": f"a whole number{bounds}",
        "bool": "true or false",
        "loss": "a loss to wrap",
        "numbers": f"a list of {'whole ' if parameter.whole else ''}numbers{',' if bounds else ''}{bounds}",
        "model": "the name or folder of a model",
        "function": "the name of a function",
    }.get(parameter.kind, "a plain value: text, a number, true or false, or a list of them")


def _value(parameter: Parameter, value: Any) -> Any:
    if value is None and parameter.optional:
        return None
    converters: dict[str, Callable[[Parameter, Any], Any]] = {
        "float": _number,
        "int": _number,
        "bool": lambda _, given: _must(isinstance(given, bool), given),
        "choice": _choices,
        "loss": lambda _, given: _must(hasattr(given, "name") and hasattr(given, "parameters"), given),
        "numbers": _numbers,
        "model": lambda _, given: str(_must(isinstance(given, str | Path) and str(given).strip(), given)),
        "function": _function,
        "text": _text,
    }
    return converters[parameter.kind](parameter, value)


def _must(fits: object, value: Any) -> Any:
    if not fits:
        raise _UnfitError
    return value


def _number(parameter: Parameter, value: Any) -> float | int:
    whole = parameter.kind == "int" or parameter.whole
    if isinstance(value, str):
        # YAML reads 1e-3, without a point, as text.
        try:
            value = float(value)
        except ValueError:
            raise _UnfitError from None
    _must(isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value), value)
    _must(parameter.low is None or value >= parameter.low, value)
    _must(parameter.high is None or value <= parameter.high, value)
    _must(not whole or value == int(value), value)
    # A loss of your own with `k=5` and no annotation may count with k.
    return int(value) if whole or (type(parameter.default) is int and isinstance(value, Integral)) else float(value)


def _numbers(parameter: Parameter, value: Any) -> list[float | int]:
    _must(isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping), value)
    numbers = [_number(parameter, item) for item in value]
    return list(_must(numbers, numbers))


def _choices(parameter: Parameter, value: Any) -> str | list[str]:
    if not isinstance(parameter.default, tuple):
        return _choice(parameter, value)
    given = [value] if isinstance(value, str | Enum) else value
    _must(isinstance(given, Iterable) and given, given)
    return [_choice(parameter, item) for item in given]


def _choice(parameter: Parameter, value: Any) -> str:
    names = (value.name, value.value) if isinstance(value, Enum) else (value,)
    found = [name for name in names if isinstance(name, str) and name in parameter.choices]
    return str(_must(found, found)[0])


def _function(parameter: Parameter, value: Any) -> str:
    """A name, from a name, a card's TripletDistanceMetric.EUCLIDEAN, a function, a torch module or an enum member."""
    name = (value if isinstance(value, str) else _name_of(value)).rpartition(".")[2].removesuffix("()")
    if not parameter.choices:
        return str(_must(name.isidentifier(), name))
    found = [choice for choice in parameter.choices if choice.lower() == name.lower()]
    return str(_must(found, found)[0])


def _name_of(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    # The members of TripletDistanceMetric are nameless functions: only their class knows what they are called.
    module = sys.modules.get(LIBRARY_MODULE)
    owners = [item for item in vars(module).values() if isinstance(item, type)] if module else []
    members = {id(member): name for owner in owners for name, member in vars(owner).items()}
    return members.get(id(value)) or str(getattr(value, "__name__", type(value).__name__))


def _text(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(parameter, item) for item in value]
    return _must(isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)), value)


def _together(info: LossInfo, clean: dict[str, Any]) -> list[str]:
    """What each value allows alone but not with the others; only asked when every value is fine by itself."""
    values = info.settings(clean)
    problems: list[str] = []

    def need(fits: object, name: str, wanted: str, got: str, advice: str) -> None:
        if name in values and not fits:
            problems.append(f"loss.{name}: expected {wanted}, got {got}; {advice}")

    dims, weights = values.get("matryoshka_dims") or (), values.get("matryoshka_weights") or ()
    got = f"{weights} for {dims}"
    same = not weights or len(weights) == len(dims)
    need(same, "matryoshka_weights", "one weight for each dimension", got, "leave it out for 1 each")
    directions = values.get("directions") or ()
    got = ", ".join(directions)
    need("query_to_doc" in directions, "directions", "query_to_doc among them", got, "add it: it has the positives")
    whole = values.get("partition_mode") == "joint" or not {"query_to_query", "doc_to_doc"} & set(directions)
    need(whole, "partition_mode", f"'joint' with {got}", "'per_direction'", "not all of them have the positives")
    weighted = values.get("mean_weight") or values.get("second_moment_weight")
    need(weighted, "mean_weight", "this or second_moment_weight above 0", "neither", "leave one of them out for 1.0")
    parts = [name for name in values if name.startswith("concatenation_sent_")]
    some = any(values[part] for part in parts)
    need(some, "concatenation_sent_rep", f"one of {', '.join(parts)} to be true", "none", "leave it out for true")
    decodes = values.get("tie_encoder_decoder") or values.get("decoder_name_or_path")
    need(decodes, "decoder_name_or_path", "a model, as tie_encoder_decoder is false", "none", "name one, or tie them")
    return problems + _nesting(info, values)


def _nesting(info: LossInfo, values: dict[str, Any]) -> list[str]:
    """Which losses a wrapper does not take."""
    chain: list[Any] = []
    inner = values.get("loss") if info.wraps else None
    while inner is not None:
        chain.append(inner)
        inner = inner.parameters.get("loss")
    problems: list[str] = []
    cached = [loss.name for loss in chain if info.name in facts.NO_CACHED_INSIDE and _caches(loss)]
    for name in cached:
        advice = f"use {name[6:]}" if name.startswith("Cached") else "set its use_mini_batched_version to false"
        problems.append(f"loss.loss: expected a loss that caches no gradients in {info.name}, got {name}; {advice}")
    twice = [loss.name for loss in chain if "matryoshka_dims" in values and "matryoshka_dims" in loss.parameters]
    if twice:
        problems.append(f"loss.loss: expected a loss that cuts no dimensions, got {twice[0]}; leave one of the two out")
    return problems


def _caches(loss: Any) -> bool:
    info = describe(loss.name, getattr(loss, "source", None))
    return info.cached and info.settings(loss.parameters).get("use_mini_batched_version") is not False
