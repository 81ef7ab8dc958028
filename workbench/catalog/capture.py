"""The source text of a class, with everything of its module that it needs, so that it runs alone elsewhere.

Worker processes, recipes and scripts cannot see a notebook's namespace: they get this text instead.
"""

from __future__ import annotations

import __future__

import ast
import builtins
import dis
import importlib.util
import linecache
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

from workbench.errors import RecipeError

_LONGEST_CONSTANT = 10_000
_GLOBAL_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
_FEATURES = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}
# Where a class without a body of functions hides what its module can see.
_NOT_FOUND = "its source text cannot be found; define it at the top level of a notebook cell or in a .py file"


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

    def __init__(self, name: str) -> None:
        self.wanted = name
        self.values: dict[str, Any] = {}
        self.features: set[str] = set()
        self.imports: list[str] = []
        self.rest: list[str] = []

    def finish(self) -> str:
        future = [f"from __future__ import {', '.join(sorted(self.features))}"] if self.features else []
        head = "\n".join([*future, *sorted(self.imports)])
        text = "\n\n\n".join(part for part in (head, *self.rest) if part) + "\n"
        compile(text, f"<{self.wanted}>", "exec", dont_inherit=True)
        return text

    def define(self, name: str, value: Any) -> None:
        """Add what `name` stands for, unless it is there."""
        if name in self.values:
            if self.values[name] is not value:
                raise self._refusal(name, "two things of that name in different modules", "rename one of them")
            return
        self.values[name] = value
        if isinstance(value, ModuleType):
            self._import_module(name, value)
        elif isinstance(value, type | FunctionType) and not _installed(value.__module__):
            self._include(name, value)
        elif (line := _import_line(name, value)) is not None:
            self.imports.append(line)
        else:
            self._assign(name, value)

    def _import_module(self, name: str, module: ModuleType) -> None:
        if not _installed(module.__name__):
            raise self._refusal(name, "a module that is not installed", "copy what you need of it into the notebook")
        self.imports.append(f"import {module.__name__}" if name == module.__name__ else f"import {module.__name__} as {name}")

    def _include(self, name: str, value: type | FunctionType) -> None:
        plain = value.__name__ if value.__name__ != "<lambda>" else name
        if plain != name:
            self.define(plain, value)
            self.rest.append(f"{name} = {plain}")
            return
        text, scope, flags = self._source(name, value)
        self.features |= {feature for feature, flag in _FEATURES.items() if flags & flag}
        for other in _global_names(compile(text, f"<{name}>", "exec", flags=flags, dont_inherit=True)):
            if other in scope:
                self.define(other, scope[other])
            elif not hasattr(builtins, other) and not other.startswith("__"):
                raise self._refusal(other, "nothing of that name", "define or import it first, then the class again")
        self.rest.append(text)

    def _assign(self, name: str, value: Any) -> None:
        text = repr(value)
        try:
            simple = len(text) <= _LONGEST_CONSTANT and ast.literal_eval(text) == value and type(ast.literal_eval(text)) is type(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            simple = False
        if not simple:
            raise self._refusal(name, f"a {type(value).__name__}", "make it inside the class, or an argument of it")
        self.rest.append(f"{name} = {text}")

    def _source(self, name: str, value: type | FunctionType) -> tuple[str, dict[str, Any], int]:
        """Text, module namespace and compiler flags of a class or function defined at the top level of a file or cell."""
        code_of = value if isinstance(value, FunctionType) else _own_function(value)
        if code_of is None or value.__qualname__ not in (value.__name__, name):
            place = "it is not defined at the top level" if code_of else _NOT_FOUND
            raise RecipeError(f"loss: expected to find the source of {name}, but {place}; move it to the top level of a notebook cell")
        code = code_of.__code__
        lines = linecache.getlines(code.co_filename, code_of.__globals__)
        flags = code.co_flags & sum(_FEATURES.values())
        try:
            body = ast.parse("".join(lines)).body
        except SyntaxError:
            body = []
        for node in body:
            decorators = getattr(node, "decorator_list", [])
            first, last = min([node.lineno, *(item.lineno for item in decorators)]), node.end_lineno or node.lineno
            if first <= code.co_firstlineno <= last and _binds(node, name):
                return "".join(lines[first - 1 : last]).rstrip().replace("\r\n", "\n"), code_of.__globals__, flags
        raise RecipeError(f"loss: expected to find the source of {name}, but {_NOT_FOUND}")

    def _refusal(self, name: str, got: str, advice: str) -> RecipeError:
        return RecipeError(
            f"loss: expected {self.wanted} to use only modules, functions, classes and simple constants of its module, "
            f"but {name} is {got}; {advice}"
        )


def _own_function(cls: type) -> FunctionType | None:
    members = [getattr(item, "fget", None) or getattr(item, "__func__", item) for item in vars(cls).values()]
    return next((item for item in members if isinstance(item, FunctionType) and item.__module__ == cls.__module__), None)


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == name
    return isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _global_names(code: CodeType) -> list[str]:
    """Names that this code, or code inside it, looks up in its module or in builtins; in order, without repeats."""
    steps = list(dis.get_instructions(code))
    stored = {step.argval for step in steps if step.opname == "STORE_NAME"}
    names = [step.argval for step in steps if step.opname in _GLOBAL_READS and step.argval not in stored]
    inner = [name for item in code.co_consts if isinstance(item, CodeType) for name in _global_names(item)]
    return list(dict.fromkeys([*names, *inner]))


def _import_line(name: str, value: Any) -> str | None:
    """`from module import name` for something that an installed module offers under a public name."""
    own = getattr(value, "__name__", None)
    names = [item for item in (own, name) if isinstance(item, str)]
    home = getattr(value, "__module__", None)
    # Some things, such as torch.relu, do not know the module that offers them.
    others = sorted((item for item in sys.modules if not any(part.startswith("_") for part in item.split("."))), key=len)
    callables_only = others if callable(value) else []
    for module in [*([home] if isinstance(home, str) else []), *callables_only]:
        for item in names:
            if _offers(module, item, value) and _installed(module):
                return f"from {module} import {item}" + ("" if item == name else f" as {name}")
    return None


def _offers(module: str, name: str, value: Any) -> bool:
    found = sys.modules.get(module)
    return isinstance(found, ModuleType) and vars(found).get(name) is value


def _installed(module: str | None) -> bool:
    """Whether a fresh process can import it: standard library, an installed package, or the workbench itself."""
    top = (module or "__main__").partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top == "workbench":
        return True
    if getattr(sys.modules.get(top), "__spec__", True) is None:
        return False
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return False
    return any(part in spec.origin for part in ("site-packages", "dist-packages")) or top in _distributed()


def _distributed() -> set[str]:
    # Slow, so only asked for packages outside site-packages: those installed in editable mode.
    from importlib.metadata import packages_distributions

    return set(packages_distributions())
