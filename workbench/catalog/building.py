"""From a name and plain values to the loss itself. The only part of the catalogue of losses that imports torch."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.catalog import loss_facts as facts
from workbench.catalog import models
from workbench.catalog.custom import run_source
from workbench.catalog.loss_info import LossInfo, Parameter
from workbench.catalog.loss_values import checked, describe
from workbench.catalog.registry import registered
from workbench.errors import RecipeError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


def build(name: str, parameters: Mapping[str, Any], model: SentenceTransformer, *, source: str | None = None) -> nn.Module:
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
    loaded = {key: value for key, value in parameters.items() if hasattr(value, "encode") and not isinstance(value, str)}
    problems, clean = checked(name, {**parameters, **dict.fromkeys(loaded, "a model in memory")}, source=source)
    if problems:
        raise RecipeError(problems)
    info = describe(name, source)
    cls = _class(info)
    arguments = {
        parameter.name: parameter.default if clean[parameter.name] is None else _argument(parameter, clean[parameter.name], cls, model)
        for parameter in info.parameters
        if parameter.name in clean and parameter.name not in loaded
    }
    # None is a value of its own where it is allowed, and only there does it get this far.
    arguments |= {key: None for key, value in clean.items() if value is None}
    arguments |= {key: value for key, value in clean.items() if info.parameter(key) is None}
    for key in facts.FROM_MODEL:
        if info.parameter(key) is not None and key not in arguments:
            arguments[key] = model.get_embedding_dimension()
    return _construct(info, cls, model, arguments | loaded)


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
            # Whoever picked it has read in the catalogue that it is deprecated.
            warnings.filterwarnings("ignore", message=re.escape(info.deprecated))
        try:
            loss = cls(model, **arguments)
        except (ValueError, AssertionError) as error:
            reason = str(error) or "it needs another kind of model, such as a Transformer"
            raise RecipeError(f"loss: expected a model and settings that {info.name} takes, but: {reason}") from error
    if not isinstance(loss, nn.Module):
        raise RecipeError(f"loss: expected {info.name} to be a torch.nn.Module, got {type(loss).__name__}; derive it from torch.nn.Module")
    return loss


def _argument(parameter: Parameter, value: Any, cls: type, model: SentenceTransformer) -> Any:
    if parameter.kind == "function":
        return _function(parameter, value, cls)
    if parameter.kind == "loss":
        return build(value.name, value.parameters, model, source=getattr(value, "source", None))
    if parameter.kind == "model":
        return str(models.files(value)) if parameter.name.endswith("name_or_path") else models.load(value, device=str(model.device))
    return tuple(value) if isinstance(parameter.default, tuple) else value


def _function(parameter: Parameter, name: str, cls: type) -> Any:
    """A function by name: of the loss's own modules, of a class there (enum members), of ST's util, or a torch module."""
    from sentence_transformers import util
    from torch import nn

    for module in dict.fromkeys(sys.modules.get(item.__module__) for item in cls.__mro__ if not item.__module__.startswith(("torch", "builtins"))):
        scope = vars(module) if module else {}
        owners = [item for item in scope.values() if isinstance(item, type) and name in vars(item)]
        if name in scope or owners:
            return _ready(scope[name] if name in scope else getattr(owners[0], name))
    for place in (util, nn):
        if hasattr(place, name):
            return _ready(getattr(place, name))
    raise RecipeError(f"loss.{parameter.name}: expected the name of a function, got {name!r}, which is nowhere to be found; {parameter.help or 'check the spelling'}")


def _ready(found: Any) -> Any:
    return found() if isinstance(found, type) else found
