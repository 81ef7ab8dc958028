"""What a check finds: one sentence, the numbers behind it, and a changed recipe that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from workbench.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]
# The worst first; a symbol each, so that colour is never all that tells them apart.
SYMBOLS: dict[str, str] = {"error": "✖", "warning": "▲", "note": "○"}
PLURALS: dict[str, str] = {"error": "errors", "warning": "warnings", "note": "notes"}


@dataclass(frozen=True)
class Finding:
    """One thing that is or will be wrong.

    Attributes:
        code: stable name of what was found, such as ``texts-cut``.
        severity: ``error``: the run fails, or cannot learn what it is meant to learn; ``warning``: the result will be
            worse than it need be, or its scores mislead; ``note``: worth knowing.
        message: one sentence: what will happen, with the measured numbers.
        why: one sentence: why it matters.
        evidence: name -> plain number or text; ``measured_on`` says what was looked at.
        fixed: what the fix changes, in words; empty where no recipe mends it.
        changes: setting -> new value, of the fix; empty where there is none.
        recipe: the recipe that was checked.
    """

    code: str
    severity: Severity
    message: str
    why: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fixed: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = field(default=None, repr=False)

    def fix(self) -> Recipe | None:
        """The recipe with what mends this finding changed; None where a recipe cannot mend it.

        Raises:
            RecipeError: the changed recipe is not valid.
        """
        return self.recipe.changed(**self.changes) if self.recipe is not None and self.changes else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: code, severity, message, evidence, and fix as setting -> new value, or None."""
        mended = self.fix()
        settings = None if mended is None else mended.to_dict()
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "evidence": dict(self.evidence),
            "fix": None if settings is None else {name: settings[name] for name in self.changes},
        }

    @property
    def numbers(self) -> str:
        """The evidence in one line."""
        return "; ".join(f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in self.evidence.items())


class Findings(tuple[Finding, ...]):
    """Findings, the worst first.

    Args:
        findings: in any order.
        about: what was looked at, in words.

    Attributes:
        about: what was looked at, in words: how many checks, on how many rows.
    """

    about: str

    def __new__(cls, findings: Iterable[Finding] = (), *, about: str = "") -> Findings:
        """Sort them; those of one severity stay in their order."""
        order = list(SYMBOLS)
        new = super().__new__(cls, sorted(findings, key=lambda finding: order.index(finding.severity)))
        new.about = about
        return new

    @property
    def worst(self) -> Severity | None:
        """The worst severity among them; None where there are none."""
        return self[0].severity if self else None

    @property
    def counts(self) -> str:
        """How many there are of each severity, in words."""
        numbers = {name: sum(finding.severity == name for finding in self) for name in SYMBOLS}
        parts = [f"{number} {name if number == 1 else PLURALS[name]}" for name, number in numbers.items() if number]
        return ", ".join(parts) or "No findings"

    @property
    def summary(self) -> str:
        """How many there are of each severity, and what was looked at."""
        return f"{self.counts}: {self.about}" if self.about else self.counts

    def to_frame(self) -> pd.DataFrame:
        """One line a finding: code, severity, message, why, numbers, fix (in words, None where there is none)."""
        import pandas as pd

        names = ["code", "severity", "message", "why", "numbers"]
        rows = [[*(getattr(finding, name) for name in names), finding.fixed or None] for finding in self]
        return pd.DataFrame(rows, columns=[*names, "fix"], dtype=object)

    def to_json(self) -> list[dict[str, Any]]:
        """`Finding.to_json` of each."""
        return [finding.to_json() for finding in self]

    def __repr__(self) -> str:
        lines = [self.summary]
        for finding in self:
            lines.append(f"{SYMBOLS[finding.severity]} {finding.severity} {finding.code}: {finding.message}")
            lines += [f"    fix: {finding.fixed}"] if finding.fixed else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{escape(self.summary)}</p>"
        whole = ' style="overflow-wrap: break-word"'  # short words are not squeezed to single letters
        head = "".join(f"<th{whole}>{name}</th>" for name in ("severity", "finding", "numbers", "fix"))
        rows = "".join(
            f"<tr><td{whole}>{SYMBOLS[finding.severity]} {finding.severity}</td>"
            f"<td>{escape(finding.message)}<br><small>{escape(finding.why)}</small></td>"
            f"<td><small>{escape(finding.numbers)}</small></td><td{whole}>{escape(finding.fixed)}</td></tr>"
            for finding in self
        )
        return f'<table class="wb-table"><caption>{escape(self.summary)}</caption><tr>{head}</tr>{rows}</table>'


def some(count: int, noun: str) -> str:
    """A number of things: 1 step, 2 steps."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
