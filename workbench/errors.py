"""The error tree: every mistake that a person can make ends in one of these, as one sentence.

    WorkbenchError
    ├── DataError        the table is unusable: file, row and column are named
    ├── RecipeError      the settings are wrong: all problems at once, in `.problems`
    ├── ModelError       the base model is unknown, damaged or not trusted
    ├── RunError         a run folder is busy, unreadable or failed
    └── MissingPackage   an extra has to be installed first

A message has three parts: what was expected, what came, what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class WorkbenchError(Exception):
    """Top of the tree. Catch this to catch everything that the workbench raises on purpose."""


class DataError(WorkbenchError):
    """The data cannot be used as asked."""


class RecipeError(WorkbenchError, ValueError):
    """One or more settings are wrong.

    Args:
        problems: each a full sentence; all that were found, not only the first.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        rows = "".join(f"\n  {n}. {problem}" for n, problem in enumerate(self.problems, 1))
        return f"The recipe has {len(self.problems)} problems:{rows}"


class ModelError(WorkbenchError):
    """A base model is unknown, damaged, or of a kind that is refused."""


class RunError(WorkbenchError):
    """A run cannot be started, read or resumed."""


class MissingPackage(WorkbenchError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed; "
            f'install it with: pip install "embedding-workbench[{extra}]"'
        )


# how torch and numpy say on a CPU, on a Mac and on older cards that memory is used up
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


def no_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error).lower() for words in _NO_MEMORY)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'epochs'?``, or an empty string when nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
