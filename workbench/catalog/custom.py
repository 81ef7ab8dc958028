"""Losses of your own: registered from a notebook, carried as source text, run only where somebody trusts them."""

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

    The class is a `torch.nn.Module` whose first argument is the model, with ``forward(self, sentence_features,
    labels)``. A table under ``Inputs:`` in its docstring and a ``citation`` property are read as those of Sentence
    Transformers are. Registering the same name again replaces; a class of Sentence Transformers is only looked up.

    Raises:
        RecipeError: it is no loss, its name is taken by the library, or its source cannot be carried elsewhere.
    """
    if not isinstance(cls, type):
        raise RecipeError(
            f"loss: expected a class derived from torch.nn.Module, got {type(cls).__name__}; write a class"
        )
    library = registry.library()
    if cls.__name__ in library:
        if cls.__module__.startswith("sentence_transformers."):
            return library[cls.__name__]
        raise RecipeError(f"loss: expected a name of its own, got the library's {cls.__name__}; rename the class")
    _check_class(cls)
    source = capture(cls)
    info = read_source(source, cls.__name__)
    trust(source)
    registry.add(info)
    return info


def _check_class(cls: type) -> None:
    owner = next((item for item in cls.__mro__ if "forward" in vars(item)), None)
    if owner is None or owner.__module__ == "torch.nn.modules.module" or not hasattr(cls, "named_parameters"):
        raise RecipeError(
            f"loss: expected a torch.nn.Module with forward(self, sentence_features, labels), got {cls.__name__}; "
            "derive it from torch.nn.Module and write that method"
        )
    first = next(iter([*inspect.signature(cls).parameters.values()]), None)
    if first is None or (first.name != "model" and "SentenceTransformer" not in str(first.annotation)):
        got = first.name if first else "none"
        raise RecipeError(
            f"loss: expected the model as the first argument of {cls.__name__}, got {got}; "
            "write def __init__(self, model, ...)"
        )


def trust(source: str) -> None:
    """Allow exactly this source to run on this machine, in this and later processes."""
    files.replace_text(_mark(source), source)


def is_trusted(source: str) -> bool:
    """Whether this source may run: it was registered here, or somebody called `trust`."""
    return _mark(source).is_file()


def _mark(source: str) -> Path:
    return files.home() / "trusted-losses" / _digest(source)


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def run_source(name: str, source: str) -> type:
    """Run a trusted source in a module of its own and return the class `name`; tracebacks show its lines.

    Raises:
        RecipeError: the source is not trusted, does not run here, or does not define the class.
    """
    if not is_trusted(source):
        raise RecipeError(
            f"loss: expected source that is trusted on this machine, got {name} from a recipe; "
            "read it, then call trust(source) of workbench.catalog.losses"
        )
    found = vars(_module(source)).get(name)
    if not isinstance(found, type):
        raise RecipeError(f"loss: expected source of the class {name}, got some without it; register the loss again")
    return found


def _module(source: str) -> ModuleType:
    digest = _digest(source)
    # Cards print the name of the module, so the first loss gets the plain one; a second must not displace it.
    for name in (CUSTOM_MODULE, f"{CUSTOM_MODULE}_{digest[:8]}"):
        taken = sys.modules.get(name)
        if taken is None:
            break
        if vars(taken).get("source_digest") == digest:
            return taken
    module = ModuleType(name)
    file = f"<{name}>"
    vars(module).update(__file__=file, source_digest=digest)
    # Without a modification time linecache does not look for a file of that name.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    sys.modules[name] = module
    try:
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, ImportError | NameError | AttributeError):
            raise
        raise RecipeError(
            f"loss: expected its source to run, got {type(error).__name__}: {error}; install or define what is missing"
        ) from error
    return module
