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


class _Unfit(Exception):
    """What was expected instead."""


def checked(name: str, parameters: Mapping[str, Any], *, source: str | None = None) -> tuple[list[str], dict[str, Any]]:
    """All problems of these parameters, and those parameters as plain YAML values.

    Args:
        name: a loss of the library, or one of your own that is registered or comes with its source.
        parameters: what is given; a wrapped loss is anything with `.name` and `.parameters`.
        source: Python source of a loss of your own; it is read, not run.

    Returns:
        Problems as sentences, empty if there are none; and only what was given: numbers from numeric text, lists
        from tuples, names from functions and enum members.
    """
    try:
        info = describe(name, source)
    except RecipeError as error:
        return list(error.problems), {}
    problems: list[str] = []
    clean: dict[str, Any] = {}
    for key, value in parameters.items():
        parameter = info.parameter(key)
        if parameter is None and not info.open_ended:
            problems.append(_unknown(info, key))
            continue
        try:
            clean[key] = _value(parameter or Parameter(key, "text", optional=True), value)
        except _Unfit as unfit:
            problems.append(f"loss.{key}: expected {unfit}, got {reprlib.repr(value)}; {_next(parameter)}")
    for parameter in info.parameters:
        if parameter.required and parameter.name not in parameters:
            problems.append(f"loss.{parameter.name}: expected {_wanted(parameter)}, got nothing; {parameter.help or 'it has no default'}")
    return (problems or _together(info, clean)), clean


def describe(name: str, source: str | None) -> LossInfo:
    """The loss of that name, from its source if there is one.

    Raises:
        RecipeError: unknown, unreadable, or the name of a library loss.
    """
    if source is None:
        return get(name)
    if name in library():
        raise RecipeError(f"loss: expected a name of its own for a loss with a source, got {name!r}, which is the library's; rename the class")
    return read_source(source, name)


def _unknown(info: LossInfo, key: str) -> str:
    if key == "loss":
        wrappers = ", ".join(name for name, other in library().items() if other.wraps)
        return f"loss.loss: expected no inner loss, got one, but {info.name} wraps none; leave it out, or wrap with one of {wrappers}"
    known = [parameter.name for parameter in info.parameters]
    listed = f"{info.name} has {', '.join(known)}" if known else f"{info.name} has no parameters"
    return f"loss.{key}: expected the name of a parameter, got {key!r}{did_you_mean(str(key), known)}; {listed}"


def _next(parameter: Parameter | None) -> str:
    if parameter is None or parameter.required:
        return (parameter.help if parameter else "") or "give such a value"
    return f"leave it out for {parameter.default!r}"


def _wanted(parameter: Parameter) -> str:
    low, high = parameter.low, parameter.high
    bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else f" of at least {low:g}" if low is not None else ""
    words = {
        "float": f"a number{bounds}",
        "int": f"a whole number{bounds}",
        "bool": "true or false",
        "loss": "a loss, such as Loss('MultipleNegativesRankingLoss')",
        "numbers": f"a list of {'whole ' if parameter.whole else ''}numbers{', each' if bounds else ''}{bounds}",
        "model": "the name or folder of a model",
        "text": "a plain value: text, a number, true or false, or a list of them",
    }
    if parameter.choices:
        several = "one or more of " if isinstance(parameter.default, tuple) else "one of " if len(parameter.choices) > 1 else ""
        return several + ", ".join(parameter.choices)
    return words.get(parameter.kind, "the name of a function")


def _value(parameter: Parameter, value: Any) -> Any:
    if value is None:
        if parameter.optional:
            return None
        raise _Unfit(_wanted(parameter))
    converters: dict[str, Callable[[Parameter, Any], Any]] = {
        "float": _number,
        "int": _number,
        "bool": _bool,
        "choice": _choices,
        "loss": _loss,
        "numbers": _numbers,
        "model": _model,
        "function": _function,
        "text": _text,
    }
    return converters[parameter.kind](parameter, value)


def _number(parameter: Parameter, value: Any, *, whole: bool = False) -> float | int:
    if isinstance(value, str):
        # YAML reads 1e-3 without a point as text.
        try:
            value = float(value)
        except ValueError:
            raise _Unfit(_wanted(parameter)) from None
    whole = whole or parameter.kind == "int"
    fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and not (whole and value != int(value))
    in_bounds = fits and (parameter.low is None or value >= parameter.low) and (parameter.high is None or value <= parameter.high)
    if not in_bounds:
        raise _Unfit(_wanted(parameter))
    # A custom loss with `k=5` and no annotation may count with k.
    as_given = type(parameter.default) is int and isinstance(value, Integral)
    return int(value) if whole or as_given else float(value)


def _numbers(parameter: Parameter, value: Any) -> list[float | int]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _Unfit(_wanted(parameter))
    numbers = [_number(parameter, item, whole=parameter.whole) for item in value]
    if not numbers:
        raise _Unfit(_wanted(parameter))
    return numbers


def _bool(parameter: Parameter, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit(_wanted(parameter))
    return value


def _choices(parameter: Parameter, value: Any) -> str | list[str]:
    if not isinstance(parameter.default, tuple):
        return _choice(parameter, value)
    given = [value] if isinstance(value, str | Enum) else list(value) if isinstance(value, Iterable) else []
    if not given:
        raise _Unfit(_wanted(parameter))
    return [_choice(parameter, item) for item in given]


def _choice(parameter: Parameter, value: Any) -> str:
    for name in (value, value.name, value.value) if isinstance(value, Enum) else (value,):
        if isinstance(name, str) and name in parameter.choices:
            return name
    raise _Unfit(_wanted(parameter))


def _function(parameter: Parameter, value: Any) -> str:
    """A name, from a name, a card's ``TripletDistanceMetric.EUCLIDEAN``, a function, a torch module or an enum member."""
    name = value if isinstance(value, str) else _name_of(value)
    name = name.rpartition(".")[2].removesuffix("()")
    if not parameter.choices and name.isidentifier():
        return name
    for choice in parameter.choices:
        if name.lower() == choice.lower():
            return choice
    raise _Unfit(_wanted(parameter))


def _name_of(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    # The members of TripletDistanceMetric are nameless functions: only their class knows what they are called.
    module = sys.modules.get(LIBRARY_MODULE)
    owners = [item for item in vars(module).values() if isinstance(item, type)] if module else []
    members = {id(member): name for owner in owners for name, member in vars(owner).items() if not name.startswith("_")}
    return members.get(id(value)) or getattr(value, "__name__", type(value).__name__)


def _model(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise _Unfit(_wanted(parameter))
    return str(value)


def _loss(parameter: Parameter, value: Any) -> Any:
    if not (hasattr(value, "name") and isinstance(getattr(value, "parameters", None), Mapping)):
        raise _Unfit(_wanted(parameter))
    return value


def _text(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(parameter, item) for item in value]
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise _Unfit(_wanted(parameter))


def _together(info: LossInfo, clean: dict[str, Any]) -> list[str]:
    """What each value allows alone but not with the others. Only asked when every value is fine."""
    all_of = info.settings(clean)
    problems: list[str] = []
    dims, weights = all_of.get("matryoshka_dims"), all_of.get("matryoshka_weights")
    if dims and weights and len(dims) != len(weights):
        problems.append(f"loss.matryoshka_weights: expected {len(dims)} weights, one for each dimension, got {len(weights)}; leave them out for 1 each")
    directions = all_of.get("directions")
    if directions and "query_to_doc" not in directions:
        problems.append(f"loss.directions: expected query_to_doc among them, got {', '.join(directions)}; add it, it holds the positive pair")
    lopsided = sorted({"query_to_query", "doc_to_doc"} & set(directions or ()))
    if all_of.get("partition_mode") == "per_direction" and lopsided:
        problems.append(f"loss.partition_mode: expected 'joint' with {' and '.join(lopsided)}, got 'per_direction'; they never hold the positive pair")
    if info.parameter("mean_weight") and not all_of["mean_weight"] and not all_of["second_moment_weight"]:
        problems.append("loss.mean_weight: expected this or second_moment_weight above 0, got neither; leave one out for 1.0")
    parts = [name for name in all_of if name.startswith("concatenation_sent_")]
    if parts and not any(all_of[part] for part in parts):
        problems.append(f"loss.{parts[0]}: expected at least one of {', '.join(parts)} to be true, got none; leave one out")
    if all_of.get("tie_encoder_decoder") is False and not all_of.get("decoder_name_or_path"):
        problems.append("loss.decoder_name_or_path: expected a decoder, got none, while tie_encoder_decoder is false; name one, or tie them")
    return problems + ([reason] if info.wraps and (reason := _nesting(info, all_of.get("loss"))) else [])


def _nesting(info: LossInfo, inner: Any) -> str | None:
    chain = []
    while inner is not None and len(chain) < 10:
        chain.append(inner)
        inner = inner.parameters.get("loss")
    cached = next((loss.name for loss in chain if _caches(loss)), None)
    if info.name in facts.NO_CACHED_INSIDE and cached:
        plain = cached.removeprefix("Cached")
        advice = f"use {plain}" if plain != cached else "set its use_mini_batched_version to false"
        return f"loss.loss: expected a loss that does not cache gradients inside {info.name}, got {cached}; {advice}"
    twice = next((loss.name for loss in chain if loss.name.startswith("Matryoshka")), None)
    if info.name.startswith("Matryoshka") and twice:
        return f"loss.loss: expected a loss that does not cut dimensions itself inside {info.name}, got {twice}; leave out one of the two"
    return None


def _caches(loss: Any) -> bool:
    info = describe(loss.name, getattr(loss, "source", None))
    return info.cached and info.settings(dict(loss.parameters)).get("use_mini_batched_version", True) is not False
