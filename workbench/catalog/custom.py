"""Losses of your own: registered from a notebook, carried as source text, run only when somebody trusts them."""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
from pathlib import Path
from types import ModuleType

from workbench import files
from workbench.catalog import registry
from workbench.catalog.capture import capture
from workbench.catalog.introspect import read_source
from workbench.catalog.loss_info import CUSTOM_MODULE, LossInfo
from workbench.errors import RecipeError


def register_loss(cls: type) -> LossInfo:
    """Make a loss of your own known by its class name, and trust its source.

    The class is a `torch.nn.Module` whose first argument is the model, with
    ``forward(self, sentence_features, labels)``. An ``Inputs:`` table in its docstring and a ``citation``
    property are read as in Sentence Transformers. A class of Sentence Transformers is only looked up.

    Raises:
        RecipeError: it is no loss, its name is taken by the library, or its source cannot be carried elsewhere.
    """
    known = registry.library()
    if cls.__module__.startswith("sentence_transformers.") and cls.__name__ in known:
        return known[cls.__name__]
    if cls.__name__ in known:
        raise RecipeError(f"loss: expected a name of its own, got {cls.__name__}, which is a loss of Sentence Transformers; rename the class")
    _check_class(cls)
    source = capture(cls)
    info = read_source(source, cls.__name__)
    trust(source)
    registry.add(info)
    return info


def _check_class(cls: type) -> None:
    owner = next((item for item in cls.__mro__ if "forward" in vars(item)), None)
    if owner is None or owner.__module__ == "torch.nn.modules.module" or not hasattr(cls, "named_parameters"):
        raise RecipeError(f"loss: expected a torch.nn.Module with forward(sentence_features, labels), got {cls.__name__}; derive it from torch.nn.Module")
    arguments = list(inspect.signature(cls.__init__).parameters.values())[1:]
    first = arguments[0] if arguments else None
    if first is None or not (first.name == "model" or "SentenceTransformer" in str(first.annotation)):
        got = f"'{first.name}'" if first else "none"
        raise RecipeError(f"loss: expected the first argument of {cls.__name__} to be the model, got {got}; write __init__(self, model, ...)")


def trust(source: str) -> None:
    """Allow this exact source to run on this machine, for this and later processes."""
    files.replace_text(_mark(source), source)


def is_trusted(source: str) -> bool:
    """Whether this exact source may run: it was registered here, or somebody called `trust`."""
    return _mark(source).is_file()


def _mark(source: str) -> Path:
    return files.home() / "trusted-losses" / _digest(source)


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def run_source(name: str, source: str) -> type:
    """Run a trusted source in a module of its own and return the class `name`; tracebacks show its lines.

    Raises:
        RecipeError: the source is not trusted, cannot run here, or does not define the class.
    """
    if not is_trusted(source):
        raise RecipeError(f"loss: expected a source that is trusted here, got one of {name} that is not; read it, then call trust(source) of workbench.catalog.losses")
    module = _module(source)
    found = vars(module).get(name)
    if not isinstance(found, type):
        raise RecipeError(f"loss: expected the source to define the class {name}, got one without it; register the loss again")
    return found


def _module(source: str) -> ModuleType:
    digest = _digest(source)
    name = CUSTOM_MODULE
    taken = sys.modules.get(name)
    # The card prints the module's name, so the first loss has the plain one; a second source must not displace it.
    if taken is not None and taken.__dict__.get("source_digest") != digest:
        name = f"{CUSTOM_MODULE}_{digest[:8]}"
        taken = sys.modules.get(name)
    if taken is not None:
        return taken
    module = ModuleType(name)
    module.__file__ = f"<{name}>"
    module.__dict__["source_digest"] = digest
    # No modification time: linecache then never looks for a file of that name.
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    try:
        exec(compile(source, module.__file__, "exec", dont_inherit=True), module.__dict__)
    except (ImportError, NameError, AttributeError, SyntaxError, TypeError) as error:
        raise RecipeError(f"loss: expected the source of a loss to run, got {type(error).__name__}: {error}; install what it imports, or register it again") from error
    finally:
        if sys.exc_info()[0] is not None:
            del sys.modules[name]
    return module
