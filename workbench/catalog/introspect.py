"""Losses read from their source text: signatures, documentation, shapes and citations, without importing anything.

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
from workbench.catalog.loss_info import CUSTOM_MODULE, LIBRARY_MODULE, Kind, Label, LossInfo, Parameter, Sampler, Shape
from workbench.errors import RecipeError

ANY_TABLE = Shape(1, None, "any", "any")


def library_folder() -> Path:
    """The folder of losses of the installed Sentence Transformers, which is not imported.

    Raises:
        RecipeError: Sentence Transformers is missing or older than 5.4.
    """
    spec = importlib.util.find_spec("sentence_transformers")
    folder = Path(spec.origin).parent / "sentence_transformer" / "losses" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise RecipeError("expected Sentence Transformers 6, found none or an older one; run pip install -U sentence-transformers")
    return folder


@functools.lru_cache(maxsize=4)
def read_folder(folder: Path) -> Mapping[str, LossInfo]:
    """Every exported loss of a folder of losses, in the order of its ``__init__``; helpers and enums are left out."""
    classes = _classes(folder)
    exported = [
        name.asname or name.name
        for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    found = [name for name in exported if name in classes and _is_module(_chain(classes[name], classes))]
    return {name: _describe(classes[name], classes) for name in found}


@functools.lru_cache(maxsize=64)
def read_source(source: str, name: str) -> LossInfo:
    """A loss of your own, read from its source; nothing of it is run.

    Raises:
        RecipeError: the source is not Python, or does not define a class of that name.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise RecipeError(f"loss: expected Python source of {name}, got text that Python cannot read ({error}); register the loss again") from None
    own = _top_level_classes(tree)
    if name not in own:
        own |= _imported(tree, name)
    if name not in own:
        raise RecipeError(f"loss: expected source that defines the class {name}, got one without it; register the loss again")
    return _describe(own[name], {**_classes(library_folder()), **own}, source=source)


def _top_level_classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@functools.lru_cache(maxsize=4)
def _classes(folder: Path) -> dict[str, ast.ClassDef]:
    found: dict[str, ast.ClassDef] = {}
    for file in sorted(folder.glob("*.py")):
        found |= _top_level_classes(ast.parse(file.read_text(encoding="utf-8")))
    return found


def _imported(tree: ast.Module, name: str) -> dict[str, ast.ClassDef]:
    """The classes of the installed module that a source imports the loss from; its file is read, not imported."""
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and any(item.name == name for item in node.names)]
    for module in filter(None, modules):
        top, *rest = module.split(".")
        spec = importlib.util.find_spec(top)
        if spec is None or spec.origin is None:
            continue
        place = Path(spec.origin).parent.joinpath(*rest)
        files = (place.with_suffix(".py"), place / "__init__.py") if rest else (Path(spec.origin),)
        for file in filter(Path.is_file, files):
            return _top_level_classes(ast.parse(file.read_text(encoding="utf-8")))
    return {}


def _last(node: ast.expr | None) -> str:
    """`nn.Module` -> Module, `Enum` -> Enum, `nn.MSELoss()` -> MSELoss."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _chain(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], seen: tuple[str, ...] = ()) -> list[ast.ClassDef]:
    """The class and those of its base classes whose source is known, nearest first."""
    chain = [node]
    for base in node.bases:
        known = classes.get(_last(base))
        if known is not None and known is not node and known.name not in seen:
            chain += _chain(known, classes, (*seen, node.name))
    return chain


def _is_module(chain: list[ast.ClassDef]) -> bool:
    return any(_last(base) == "Module" for node in chain for base in node.bases)


def _methods(chain: list[ast.ClassDef], name: str) -> Iterator[ast.FunctionDef]:
    for node in chain:
        yield from (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name)


def _describe(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], source: str | None = None) -> LossInfo:
    chain = _chain(node, classes)
    name, custom = node.name, source is not None
    docs = [doc for item in chain for doc in (*(ast.get_docstring(m) for m in _methods([item], "__init__")), ast.get_docstring(item)) if doc]
    parameters, open_ended = _parameters(chain, classes, docs, "" if custom else name)
    sampler = _sampler(docs)
    return LossInfo(
        name=name,
        module=CUSTOM_MODULE if custom else LIBRARY_MODULE,
        summary=_summary(docs[0]) if docs else "",
        shapes=(_shapes(docs) + facts.MORE_SHAPES.get(name, ())) or (ANY_TABLE,),
        parameters=parameters,
        citation=_citation(chain, facts.CITES.get(name, "")),
        sampler=sampler,
        wraps=any(parameter.kind == "loss" for parameter in parameters),
        in_batch_negatives=sampler == "no_duplicates" or name in facts.IN_BATCH,
        cached=_is_cached(chain),
        deprecated=_deprecated(node),
        help=_bullets(_section(docs, "Requirements")),
        caveats=() if custom else facts.CAVEATS.get(name, ()),
        custom=custom,
        source=source,
        open_ended=open_ended,
    )


def _parameters(
    chain: list[ast.ClassDef], classes: Mapping[str, ast.ClassDef], docs: list[str], loss: str
) -> tuple[tuple[Parameter, ...], bool]:
    init = next(_methods(chain, "__init__"), None)
    if init is None:
        return (), False
    help_texts = _arguments(docs)
    args = [*init.args.posonlyargs, *init.args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(args) - len(init.args.defaults)), *init.args.defaults]
    # The first two are self and the model.
    pairs = list(zip(args, defaults, strict=True))[2:] + list(zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True))
    return tuple(_parameter(arg, default, classes, help_texts.get(arg.arg, ""), loss) for arg, default in pairs), init.args.kwarg is not None


def _parameter(arg: ast.arg, default: ast.expr | None, classes: Mapping[str, ast.ClassDef], text: str, loss: str) -> Parameter:
    words = ast.unparse(arg.annotation) if arg.annotation else ""
    kind = _kind(arg, words, default)
    choices: tuple[str, ...] = ()
    if kind == "choice":
        choices = _literals(arg.annotation)
    elif kind == "function":
        choices = _family(default, classes)
    value = _last(default) or None if kind == "function" else _plain(default)
    if kind == "float" and words and type(value) is int:
        value = float(value)
    low, high = facts.BOUNDS.get(f"{loss}.{arg.arg}", facts.BOUNDS.get(arg.arg, (None, None))) if loss else (None, None)
    return Parameter(
        name=arg.arg,
        kind=kind,
        default=value,
        required=default is None and arg.arg not in facts.FROM_MODEL,
        low=low,
        high=high,
        choices=choices,
        help=text,
        optional=bool(re.search(r"\bNone\b", words)) or (isinstance(default, ast.Constant) and default.value is None),
        whole=kind == "numbers" and "float" not in words,
    )


def _kind(arg: ast.arg, words: str, default: ast.expr | None) -> Kind:
    bare = re.sub(r"\s*\|\s*None$|^Optional\[(.*)\]$", r"\1", words)
    if arg.arg == "loss":
        return "loss"
    if "Literal[" in words:
        return "choice"
    if "SentenceTransformer" in words or arg.arg.endswith("name_or_path"):
        return "model"
    if re.match(r"(typing\.)?(Sequence|[Ll]ist|[Tt]uple|Iterable)\[", bare) and re.search(r"\b(int|float)\b", bare):
        return "numbers"
    if bare in ("float", "int", "bool", "str"):
        return "text" if bare == "str" else cast(Kind, bare)
    if "Callable" in words or "Module" in words or isinstance(default, ast.Name | ast.Attribute | ast.Call | ast.Lambda):
        return "function"
    value = _plain(default)
    if isinstance(value, list | tuple) and value and all(type(item) in (int, float) for item in value):
        return "numbers"
    # `margin=5` without an annotation does not mean that 0.3 is wrong.
    return "bool" if isinstance(value, bool) else "float" if isinstance(value, int | float) else "text"


def _plain(default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except ValueError:
        return None


def _literals(annotation: ast.expr | None) -> tuple[str, ...]:
    nodes = [node for node in ast.walk(annotation) if isinstance(node, ast.Subscript) and _last(node.value) == "Literal"] if annotation else []
    values = [item.value for node in nodes for item in ast.walk(node.slice) if isinstance(item, ast.Constant)]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str)))


def _family(default: ast.expr | None, classes: Mapping[str, ast.ClassDef]) -> tuple[str, ...]:
    """What may stand for a function: the members of the class that the default is taken from, or its relatives."""
    owner = classes.get(_last(default.value)) if isinstance(default, ast.Attribute) else None
    if owner is not None:
        named = [node.name for node in owner.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        # An alias of an older, misspelt name is assigned from a bare name: not a member of its own.
        assigned = [_last(node.targets[0]) for node in owner.body if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Name)]
        return (*named, *assigned)
    return next((family for family in facts.FAMILIES if _last(default) in family), ())


def _is_cached(chain: list[ast.ClassDef]) -> bool:
    mixed_in = any(_last(base) == "CachedLossMixin" for node in chain for base in node.bases)
    return mixed_in or any(
        isinstance(item, ast.Assign) and _last(item.targets[0]) == "uses_gradient_cache" and _plain(item.value) is True
        for node in chain
        for item in node.body
    )


def _deprecated(node: ast.ClassDef) -> str | None:
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call) and _last(item) == "deprecated" and item.args]
    return str(_plain(calls[0].args[0])) if calls else None


def _citation(chain: list[ast.ClassDef], word: str) -> str | None:
    for method in _methods(chain, "citation"):
        returns = sorted((item for item in ast.walk(method) if isinstance(item, ast.Return)), key=lambda item: item.lineno)
        entries = [text.strip() for item in returns if isinstance(text := _plain(item.value), str)]
        return next((entry for entry in entries if word and word in entry), entries[-1] if entries else None)
    return None


def _section(docs: list[str], title: str) -> list[str]:
    """The indented lines under `title:` in the first documentation that has them."""
    for doc in docs:
        lines = doc.splitlines()
        if f"{title}:" in lines:
            rest = lines[lines.index(f"{title}:") + 1 :]
            end = next((n for n, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
            return rest[:end]
    return []


def _words(text: str) -> str:
    """Documentation markup to plain words."""
    text = re.sub(r":\w+:`~?(?:[^`<]*<)?([^`>]*)>?`", lambda match: match[1].split(".")[-1], text)
    text = re.sub(r"`([^`<]+) <[^>]*>`_+", r"\1", text)
    return " ".join(text.replace("`", "").replace("\\_", "_").split())


def _summary(doc: str) -> str:
    blocks = [block for block in doc.split("\n\n") if not block.startswith((" ", ".."))]
    first, *rest = re.split(r"(?<=[.!?])\s+(?=[A-Z])", _words(blocks[0]) if blocks else "")
    # "Contrastive loss." says too little.
    return " ".join([first, *rest[:1]]) if len(first) < 70 else first


def _arguments(docs: list[str]) -> dict[str, str]:
    """Name -> first paragraph of its description."""
    found: dict[str, str] = {}
    for doc in reversed(docs):
        blocks = re.split(r"^ {4}(?=\w+(?: \([^)]*\))?:)", "\n".join(_section([doc], "Args")), flags=re.MULTILINE)
        for block in blocks[1:]:
            name, _, text = block.partition(":")
            found[name.split(" ")[0]] = _words(text.split("\n\n")[0])
    return found


def _bullets(lines: list[str]) -> tuple[str, ...]:
    items = re.split(r"^ {4}(?:\d+\.|[-*]) ", "\n".join(lines), flags=re.MULTILINE)[1:]
    return tuple(_words(item.split("\n\n")[0]) for item in items)


def _sampler(docs: list[str]) -> Sampler:
    match = re.search(r"BatchSamplers\.(NO_DUPLICATES|GROUP_BY_LABEL)", "\n".join(_section(docs, "Recommendations")))
    return cast(Sampler, match[1].lower()) if match else "batch_sampler"


def _shapes(docs: list[str]) -> tuple[Shape, ...]:
    rows = [[cell.strip() for cell in line.strip().split("|")[1:-1]] for line in _section(docs, "Inputs") if line.strip().startswith("|")]
    shapes: dict[tuple[int, int | None, str], Shape] = {}
    for row in rows:
        texts = _texts(_words(row[0])) if len(row) == 2 and row[0] != "Inputs" else None
        if texts is not None:
            shape = Shape(*texts, _label(_words(row[1])), _words(row[0]))
            shapes.setdefault((*texts, shape.label), shape)
    return tuple(shapes.values())


def _texts(cell: str) -> tuple[int, int | None] | None:
    """Smallest and largest number of text columns that a cell such as "(anchor, positive) pairs" means."""
    if cell.lower() == "any":
        return 1, None
    inside = re.search(r"\(([^)]*)\)", cell)
    names = [name.strip() for name in (inside[1] if inside else cell).split(",")]
    if "..." in names:
        return names.index("..."), None
    if inside or len(names) > 1 or re.fullmatch(r"(single )?(input|sentence|text)s?", cell.lower()):
        return len(names), len(names)
    return None


def _label(cell: str) -> Label:
    word = cell.lower()
    if word.startswith("[") or "probabilities" in word:
        return "scores"
    if "1 if positive" in word or "0/1" in word or word == "binary":
        return "binary"
    if "embedding" in word:
        return "embedding"
    if "score" in word or re.search(r"\w\(.*\) - \w\(", word):
        return "score"
    return cast(Label, word) if word in ("none", "class", "scores") else "any"
