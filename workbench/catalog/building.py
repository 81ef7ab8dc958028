"""From a name and plain values to the loss itself, or to the code that makes it.

`build` is the one function of the catalogue of losses that imports torch.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.catalog import loss_facts as facts
from workbench.catalog import models
from workbench.catalog.custom import run_source
from workbench.catalog.introspect import owner_of
from workbench.catalog.loss_info import LossInfo, Parameter
from workbench.catalog.loss_values import checked, describe
from workbench.catalog.registry import registered
from workbench.errors import RecipeError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


def build(
    name: str, parameters: Mapping[str, Any], model: SentenceTransformer, *, source: str | None = None
) -> nn.Module:
    """The loss, ready for a trainer. Imports torch and Sentence Transformers (about 9 s).

    Args:
        name: a loss of the library, or one of your own.
        parameters: as `checked` takes them; a guide may also be a loaded SentenceTransformer.
        model: the model to train; what a loss needs to know of it is filled in.
        source: source of a loss of your own; None takes the registered one.

    Raises:
        RecipeError: parameters are wrong, the source is not trusted, or the loss refuses this model.
        ModelError: a guide or decoder cannot be loaded.
    """
    if source is None and name in registered():
        source = registered()[name].source
    loaded = {key: value for key, value in parameters.items() if callable(getattr(value, "preprocess", None))}
    problems, clean = checked(name, {**parameters, **dict.fromkeys(loaded, "a loaded model")}, source=source)
    if problems:
        raise RecipeError(problems)
    info = describe(name, source)
    cls = _class(info)
    given = {key: value for key, value in clean.items() if key not in loaded}
    arguments = {key: _argument(info.parameter(key), value, cls, model) for key, value in given.items()}
    cut, model.truncate_dim = model.truncate_dim, None  # training sees whole vectors
    try:
        for key in facts.FROM_MODEL:
            if info.parameter(key) is not None:
                arguments.setdefault(key, model.get_embedding_dimension())
        return _construct(info, cls, model, arguments | loaded)
    finally:
        model.truncate_dim = cut


def _class(info: LossInfo) -> type:
    if info.source is not None:
        return run_source(info.name, info.source)
    from sentence_transformers.sentence_transformer import losses

    found: type = getattr(losses, info.name)
    return found


def _construct(info: LossInfo, cls: type, model: SentenceTransformer, arguments: dict[str, Any]) -> nn.Module:
    from torch import nn

    with warnings.catch_warnings():
        if info.deprecated:
            # Whoever picks it reads in the catalogue that it is deprecated.
            warnings.filterwarnings("ignore", message=re.escape(info.deprecated))
        try:
            loss = cls(model, **arguments)
        except (ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())[:200] or "it needs another kind of model, such as a Transformer"
            raise RecipeError(
                f"loss: expected settings and a model that {info.name} takes, got a refusal: {reason}"
            ) from error
    if not isinstance(loss, nn.Module):
        got = type(loss).__name__
        raise RecipeError(f"loss: expected {info.name} to be a torch.nn.Module, got a {got}; derive it from that")
    return loss


def _argument(parameter: Parameter | None, value: Any, cls: type, model: SentenceTransformer) -> Any:
    if parameter is None or value is None:
        return value
    if parameter.kind == "function":
        return _function(parameter, value, cls)
    if parameter.kind == "loss":
        return build(value.name, value.parameters, model, source=getattr(value, "source", None))
    if parameter.kind == "model" and parameter.name.endswith("name_or_path"):
        return str(models.files(value))
    if parameter.kind == "model":
        return models.load(value, device=str(model.device))
    return tuple(value) if isinstance(parameter.default, tuple) else value


def _function(parameter: Parameter, name: str, cls: type) -> Any:
    """A function by name: from where the loss or a class beside it defines it, from ST's util, or a torch module."""
    from sentence_transformers import util
    from torch import nn

    modules = [sys.modules[item.__module__] for item in cls.__mro__ if item.__module__ not in ("builtins", nn.__name__)]
    owners = [item for module in modules for item in vars(module).values() if isinstance(item, type)]
    for place in (*modules, *(owner for owner in owners if name in vars(owner)), util, nn):
        if hasattr(place, name):
            found = getattr(place, name)
            return found() if isinstance(found, type) else found
    raise RecipeError(
        f"loss.{parameter.name}: expected a function of {cls.__name__}'s module, of sentence_transformers.util or of "
        f"torch.nn, got {name!r}; check the spelling"
    )


def model_as_code(name: object) -> str:
    """A model that a loss brings, as `build` loads it, as an expression of a plain script."""
    return f"SentenceTransformer({name!r}, device=model.device, model_kwargs={{'dtype': torch.float32}}).float()"


def as_code(name: str, key: str, value: Any) -> str:
    """A parameter of a library loss as an expression of a plain script.

    The script needs the names torch, sentence_transformers, SentenceTransformer and losses. A wrapped loss is not
    written here.
    """
    parameter = describe(name, None).parameter(key)
    if parameter is None or value is None:
        return repr(value)
    if parameter.kind == "model" and not key.endswith("name_or_path"):
        return model_as_code(value)
    if parameter.kind != "function":
        return repr(tuple(value) if isinstance(parameter.default, tuple) else value)
    if owner := owner_of(parameter.choices):
        return f"losses.{owner}.{value}"
    return f"sentence_transformers.util.{value}" if value.endswith(("_sim", "_score")) else f"torch.nn.{value}()"
