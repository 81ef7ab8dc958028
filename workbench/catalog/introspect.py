"""Losses read from their source text: signatures, documentation, tables and citations, without importing anything.

A new loss of a new release appears by itself. Only `ast` looks at the files, so neither torch nor
Sentence Transformers is loaded, and nothing of a source that nobody has trusted yet is run.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from workbench.catalog import loss_facts as facts
from workbench.catalog.loss_docs import describe_arguments, requirements, sampler, shapes, summary
from workbench.catalog.loss_info import CUSTOM_MODULE, LIBRARY_MODULE, Kind, LossInfo, Parameter, Shape
from workbench.errors import RecipeError

_ANY_TABLE = Shape(1, None, "any", "any")
Classes = Mapping[str, ast.ClassDef]


def library_folder() -> Path:
    """The folder of losses of the installed Sentence Transformers, which is not imported.

    Raises:
        RecipeError: Sentence Transformers is missing or older than 5.4.
    """
    spec = importlib.util.find_spec("sentence_transformers")
    folder = Path(spec.origin).parent / "sentence_transformer" / "losses" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise RecipeError("expected Sentence Transformers 6, found none; run pip install -U sentence-transformers")
    return folder


@functools.lru_cache(maxsize=4)
def read_folder(folder: Path) -> Mapping[str, LossInfo]:
    """Every exported loss of a folder, in the order of its ``__init__``; enums and helpers are left out."""
    classes = _folder_classes(folder)
    imports = [node for node in _parse(folder / "__init__.py").body if isinstance(node, ast.ImportFrom)]
    exported = [item.asname or item.name for node in imports for item in node.names]
    found = [name for name in exported if name in classes and "Module" in _bases(_chain(classes[name], classes))]
    return {name: _describe(classes[name], classes) for name in found}


@functools.lru_cache(maxsize=64)
def read_source(source: str, name: str) -> LossInfo:
    """A loss of your own, read from its source; nothing of it is run.

    Raises:
        RecipeError: the source is not Python, or does not define a class of that name.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RecipeError(
            f"loss: expected Python source of {name}, got text that Python cannot read ({error}); register it again"
        ) from None
    own = _module_classes(tree)
    own = own if name in own else _imported_classes(tree, name)
    if name not in own:
        raise RecipeError(f"loss: expected source of the class {name}, got some without it; register the loss again")
    return _describe(own[name], {**_folder_classes(library_folder()), **own}, source=source)


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _module_classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@functools.lru_cache(maxsize=4)
def _folder_classes(folder: Path) -> Classes:
    return {name: node for file in sorted(folder.glob("*.py")) for name, node in _module_classes(_parse(file)).items()}


def _imported_classes(tree: ast.Module, name: str) -> dict[str, ast.ClassDef]:
    """The classes of the installed module that a source imports the loss from; its file is read, not imported."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    modules = [node.module for node in imports if node.module and any(item.name == name for item in node.names)]
    top, *rest = modules[0].split(".") if modules else [""]
    spec = importlib.util.find_spec(top) if top else None
    if spec is None or spec.origin is None:
        return {}
    place = Path(spec.origin).parent.joinpath(*rest)
    files = (place.with_suffix(".py"), place / "__init__.py") if rest else (Path(spec.origin),)
    return next((_module_classes(_parse(file)) for file in files if file.is_file()), {})


def _last(node: ast.expr | None) -> str:
    """`nn.Module` -> Module, `Enum` -> Enum, `nn.MSELoss()` -> MSELoss."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _chain(node: ast.ClassDef, classes: Classes, seen: tuple[str, ...] = ()) -> list[ast.ClassDef]:
    """The class and those of its base classes whose source is known, nearest first."""
    bases = [classes[_last(base)] for base in node.bases if _last(base) in classes]
    seen = (*seen, node.name)
    return [node] + [item for base in bases if base.name not in seen for item in _chain(base, classes, seen)]


def _bases(chain: list[ast.ClassDef]) -> set[str]:
    return {_last(base) for node in chain for base in node.bases}


def _methods(chain: list[ast.ClassDef], name: str) -> Iterator[ast.FunctionDef]:
    for node in chain:
        yield from (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name)


def _describe(node: ast.ClassDef, classes: Classes, source: str | None = None) -> LossInfo:
    chain = _chain(node, classes)
    name, custom = node.name, source is not None
    documented: list[ast.FunctionDef | ast.ClassDef] = []
    for owner in chain:
        documented += [*_methods([owner], "__init__"), owner]
    docs = [doc for item in documented if (doc := ast.get_docstring(item))]
    init = next(_methods(chain, "__init__"), None)
    parameters = _parameters(init, classes, docs, "" if custom else name) if init else ()
    return LossInfo(
        name=name,
        module=CUSTOM_MODULE if custom else LIBRARY_MODULE,
        summary=summary(docs),
        shapes=(shapes(docs) + facts.MORE_SHAPES.get(name, ())) or (_ANY_TABLE,),
        parameters=parameters,
        citation=_citation(chain, facts.CITES.get(name, "")),
        sampler=sampler(docs),
        wraps=any(parameter.kind == "loss" for parameter in parameters),
        in_batch_negatives=sampler(docs) == "no_duplicates" or name in facts.IN_BATCH,
        cached="CachedLossMixin" in _bases(chain) or any(_sets_cache(item) for owner in chain for item in owner.body),
        deprecated=_deprecated(node),
        help=requirements(docs),
        caveats=() if custom else facts.CAVEATS.get(name, ()),
        custom=custom,
        source=source,
        open_ended=bool(init and init.args.kwarg),
    )


def _parameters(init: ast.FunctionDef, classes: Classes, docs: list[str], loss: str) -> tuple[Parameter, ...]:
    texts = describe_arguments(docs)
    args = [*init.args.posonlyargs, *init.args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(args) - len(init.args.defaults)), *init.args.defaults]
    # The first two are self and the model.
    pairs = [*zip(args[2:], defaults[2:], strict=True), *zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)]
    return tuple(_parameter(arg, default, classes, texts.get(arg.arg, ""), loss) for arg, default in pairs)


def _parameter(arg: ast.arg, default: ast.expr | None, classes: Classes, text: str, loss: str) -> Parameter:
    words = ast.unparse(arg.annotation) if arg.annotation else ""
    kind = _kind(arg, words, default)
    value = (_last(default) or None) if kind == "function" else _plain(default)
    low, high = facts.BOUNDS.get(f"{loss}.{arg.arg}", facts.BOUNDS.get(arg.arg, (None, None))) if loss else (None, None)
    return Parameter(
        name=arg.arg,
        kind=kind,
        default=float(value) if words == "float" and type(value) is int else value,
        required=default is None and arg.arg not in facts.FROM_MODEL,
        low=low,
        high=high,
        choices={"choice": _literals(arg.annotation), "function": _family(default, classes)}.get(kind, ()),
        help=text,
        optional="None" in re.findall(r"\w+", words) or (default is not None and value is None and kind != "function"),
        whole=kind == "numbers" and "float" not in words,
    )


def _kind(arg: ast.arg, words: str, default: ast.expr | None) -> Kind:
    bare = re.sub(r"^Optional\[(\w+)\]$|^(\w+) \| None$", r"\1\2", words)
    if arg.arg == "loss":
        return "loss"
    if "Literal[" in words:
        return "choice"
    if "SentenceTransformer" in words or arg.arg.endswith("name_or_path"):
        return "model"
    if re.match(r"(typing\.)?(Sequence|[Ll]ist|[Tt]uple|Iterable)\[.*\b(int|float)\b", words):
        return "numbers"
    if bare in ("float", "int", "bool", "str"):
        return "text" if bare == "str" else cast(Kind, bare)
    if "Callable" in words or "Module" in words:
        return "function"
    if isinstance(default, ast.Name | ast.Attribute | ast.Call | ast.Lambda):
        return "function"
    value = _plain(default)
    if isinstance(value, list | tuple) and value and all(type(item) in (int, float) for item in value):
        return "numbers"
    # `margin=5` without an annotation does not mean that 0.3 is wrong.
    return "bool" if isinstance(value, bool) else "float" if isinstance(value, int | float) else "text"


def _plain(default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except (ValueError, TypeError):
        return None


def _literals(annotation: ast.expr | None) -> tuple[str, ...]:
    found: list[Any] = []
    for node in ast.walk(annotation) if annotation else ():
        if isinstance(node, ast.Subscript) and _last(node.value) == "Literal":
            found += [item.value for item in ast.walk(node.slice) if isinstance(item, ast.Constant)]
    return tuple(dict.fromkeys(value for value in found if isinstance(value, str)))


def _family(default: ast.expr | None, classes: Classes) -> tuple[str, ...]:
    """What may stand for a function: the members of the class that the default is taken from, or its relatives."""
    owner = classes.get(_last(default.value)) if isinstance(default, ast.Attribute) else None
    if owner is None:
        return next((family for family in facts.FAMILIES if _last(default) in family), ())
    return _members(owner)


def _members(owner: ast.ClassDef) -> tuple[str, ...]:
    functions = [node.name for node in owner.body if isinstance(node, ast.FunctionDef)]
    # The alias of an older, misspelt name is assigned from a bare name: it is no member of its own.
    assigned = [node for node in owner.body if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Name)]
    return (*functions, *(_last(node.targets[0]) for node in assigned))


def owner_of(choices: tuple[str, ...]) -> str | None:
    """The library class, such as TripletDistanceMetric, whose members these choices are; None for plain functions."""
    classes = _folder_classes(library_folder())
    return next((name for name, node in classes.items() if choices and _members(node) == choices), None)


def _sets_cache(item: ast.stmt) -> bool:
    return isinstance(item, ast.Assign) and _last(item.targets[0]) == "uses_gradient_cache" and bool(_plain(item.value))


def _deprecated(node: ast.ClassDef) -> str | None:
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call) and _last(item) == "deprecated"]
    return str(_plain(calls[0].args[0])) if calls and calls[0].args else None


def _citation(chain: list[ast.ClassDef], word: str) -> str | None:
    method = next(_methods(chain, "citation"), None)
    returns = [item for item in ast.walk(method) if isinstance(item, ast.Return)] if method else []
    values = [_plain(item.value) for item in sorted(returns, key=lambda item: item.lineno)]
    entries = [value.strip() for value in values if isinstance(value, str)]
    return next((entry for entry in entries if word and word in entry), entries[-1] if entries else None)
