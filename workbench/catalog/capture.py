"""The source text of a class, with everything of its module that it needs, so that it runs alone elsewhere.

Worker processes, recipes and scripts cannot see the namespace of a notebook: they get this text instead.
"""

from __future__ import annotations

import __future__  # isort: skip

import ast
import builtins
import dis
import importlib.util
import inspect
import linecache
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

from workbench.errors import RecipeError

_LONGEST_CONSTANT = 10_000
_GLOBAL_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
_STRING_ANNOTATIONS = __future__.annotations.compiler_flag


def capture(cls: type) -> str:
    """Source text that defines `cls` in an empty namespace.

    A class of an installed package becomes one import line. For all others the text holds the class and,
    recursively, what it refers to: import lines, functions and classes by source, simple constants by value.

    Raises:
        RecipeError: the source cannot be found, or needs something that cannot be written down; it is named.
    """
    if _installed(cls.__module__):
        return f"from {cls.__module__} import {cls.__name__}\n"
    text = _Capture(cls.__name__)
    text.define(cls.__name__, cls)
    return text.finish()


class _Capture:
    """Collects lines in the order in which they have to run."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.values: dict[str, Any] = {}
        self.flags = 0
        self.imports: list[str] = []
        self.rest: list[str] = []

    def finish(self) -> str:
        future = ["from __future__ import annotations"] if self.flags else []
        head = "\n".join([*future, *sorted(self.imports)])
        return "\n\n\n".join(part for part in (head, *self.rest) if part) + "\n"

    def define(self, name: str, value: Any) -> None:
        """Add what `name` stands for, unless it is there."""
        if name in self.values:
            if self.values[name] is not value:
                raise self._refusal(name, "different things in different modules", "rename one of them")
            return
        self.values[name] = value
        plain = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, ModuleType):
            self._import(name, value)
        elif isinstance(plain, type | FunctionType) and not _installed(plain.__module__):
            self._include(name, value, plain)
        elif line := _import_line(name, value):
            self.imports.append(line)
        else:
            self._assign(name, value)

    def _import(self, name: str, module: ModuleType) -> None:
        if not _installed(module.__name__):
            raise self._refusal(name, "a module that is not installed", "copy what you need of it into the notebook")
        alias = "" if name == module.__name__ else f" as {name}"
        self.imports.append(f"import {module.__name__}{alias}")

    def _include(self, name: str, value: Any, plain: type | FunctionType) -> None:
        if plain.__name__ not in (name, "<lambda>"):
            self.define(plain.__name__, value)
            self.rest.append(f"{name} = {plain.__name__}")
            return
        text, scope, flags = _source(name, plain)
        self.flags |= flags
        for other in _global_names(compile(text, f"<{name}>", "exec", flags=flags, dont_inherit=True)):
            # Each module has a `__name__` and the like of its own.
            if other.startswith("__"):
                continue
            if other in scope:
                self.define(other, scope[other])
            elif not hasattr(builtins, other):
                raise self._refusal(other, "not defined", "define or import it, then the class again")
        self.rest.append(text)

    def _assign(self, name: str, value: Any) -> None:
        text = repr(value)
        try:
            same = ast.literal_eval(text) if len(text) <= _LONGEST_CONSTANT else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            same = None
        if value is not None and (type(same) is not type(value) or same != value):
            raise self._refusal(name, f"a {type(value).__name__}", "make it inside the class, or an argument of it")
        self.rest.append(f"{name} = {text}")

    def _refusal(self, name: str, got: str, advice: str) -> RecipeError:
        return RecipeError(
            f"loss: expected {self.wanted} to use only modules, functions, classes and simple constants, "
            f"but {name} is {got}; {advice}"
        )


def _source(name: str, value: type | FunctionType) -> tuple[str, dict[str, Any], int]:
    """Text, module namespace and compiler flags of what is defined at the top level of a file or cell.

    The text is looked up through the code of a function: unlike a class, it knows its notebook cell.
    """
    function = value if isinstance(value, FunctionType) else _own_function(value)
    code = function.__code__ if function else None
    lines = linecache.getlines(code.co_filename, function.__globals__) if code and function else []
    try:
        body = ast.parse("".join(lines)).body
    except SyntaxError:
        body = []
    for node in body:
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        last = node.end_lineno or node.lineno
        if code and function and first <= code.co_firstlineno <= last and name in _bound(node):
            text = "".join(lines[first - 1 : last]).replace("\r\n", "\n").rstrip()
            return text, function.__globals__, code.co_flags & _STRING_ANNOTATIONS
    raise RecipeError(
        f"loss: expected to find the source text of {name}, but there is none; "
        "define it at the top level of a notebook cell or in a .py file, not inside a function or a console"
    )


def _own_function(cls: type) -> FunctionType | None:
    members = [getattr(item, "fget", None) or getattr(item, "__func__", item) for item in vars(cls).values()]
    functions = [inspect.unwrap(item) for item in members if isinstance(item, FunctionType)]
    return next((item for item in functions if item.__module__ == cls.__module__), None)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _global_names(code: CodeType) -> list[str]:
    """Names that this code, or code inside it, looks up in its module or in builtins; in order, each once."""
    steps = list(dis.get_instructions(code))
    stored = {step.argval for step in steps if step.opname == "STORE_NAME"}
    names = [step.argval for step in steps if step.opname in _GLOBAL_READS and step.argval not in stored]
    inner = [name for item in code.co_consts if isinstance(item, CodeType) for name in _global_names(item)]
    return list(dict.fromkeys([*names, *inner]))


def _import_line(name: str, value: Any) -> str | None:
    """`from module import name` for what an installed module offers."""
    parts = str(getattr(value, "__module__", "")).split(".")
    # The outermost package that offers it is the one that stays; some, such as torch.relu, do not know theirs.
    homes = [".".join(parts[: n + 1]) for n in range(len(parts))]
    others = sorted((item for item in sys.modules if "._" not in f".{item}"), key=len) if callable(value) else []
    for module in [*homes, *others]:
        scope = getattr(sys.modules.get(module), "__dict__", {})
        for own in (getattr(value, "__name__", name), name):
            if scope.get(own) is value and _installed(module):
                return f"from {module} import {own}" + ("" if own == name else f" as {name}")
    return None


def _installed(module: str | None) -> bool:
    """Whether any process on this machine can import it: standard library, a package, or the workbench itself."""
    top = (module or "").partition(".")[0]
    if top in ("", "__main__", "__mp_main__"):
        return False
    if top in sys.stdlib_module_names or top == "workbench":
        return True
    known = sys.modules.get(top)
    spec = getattr(known, "__spec__", None) if known else importlib.util.find_spec(top)
    origin = (spec.origin or "") if spec else ""
    return "site-packages" in origin or "dist-packages" in origin
