"""Every code that a finding can have, declared by the check that emits it: what it means stands once, here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from workbench.checks.finding import SYMBOLS, Severity

Look = TypeVar("Look", bound=Callable[..., Any])


@dataclass(frozen=True)
class Code:
    """One thing that a check can find.

    Attributes:
        name: stable name, such as ``texts-cut``.
        severities: those that it can have, the worst first.
        when: the condition, as a part of a sentence.
        why: one sentence: why it matters.
        fix: what the changed recipe does; empty where no recipe mends it.
        check: name of the function that looks for it.
    """

    name: str
    severities: tuple[Severity, ...]
    when: str
    why: str
    fix: str
    check: str


CODES: dict[str, Code] = {}


def finds(name: str, *severities: Severity, when: str, why: str, fix: str = "") -> Callable[[Look], Look]:
    """Declare a code above the function that emits it; several of them may stand there."""

    def declare(look: Look) -> Look:
        assert name not in CODES and severities, name
        worst_first = tuple(sorted(severities, key=list(SYMBOLS).index))
        CODES[name] = Code(name, worst_first, when, why, fix, look.__name__)
        return look

    return declare
