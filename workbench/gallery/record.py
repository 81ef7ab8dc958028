"""One entry of the gallery: a real fine-tune on data of ours, what it means, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from workbench.checks.before import check
from workbench.checks.finding import Findings
from workbench.checks.reading import Progress
from workbench.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """A fine-tune that somebody ran, repeated on the glossary.

    Attributes:
        name: of the entry.
        title: what went wrong, in a few words.
        card: what the card says, name -> plain value.
        stand_ins: what is other here than it was there, a sentence each.
        recipe: the same settings on our data.
        mended: the recipe with what went wrong put right.
        remedy: what was put right, in words.
        meaning: sentences on what the log means, with computed numbers.
        steps: optimizer steps that `run` takes at most, so that it takes half a minute and not half an hour.
        tokens: tokens at which `run` cuts texts; None keeps the recipe's limit.
    """

    name: str
    title: str
    card: Mapping[str, Any]
    stand_ins: tuple[str, ...]
    recipe: Recipe
    mended: Recipe
    remedy: str
    meaning: Callable[[Entry], tuple[str, ...]]
    steps: int
    tokens: int | None = None

    def findings(self, *, progress: Progress | None = None) -> Findings:
        """What `check` says of the recipe before anything is trained."""
        return check(self.recipe, progress=progress)

    def log_meaning(self) -> tuple[str, ...]:
        """What the log of the card means: sentences whose numbers are computed from it, and from our rows where they say so."""
        return self.meaning(self)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What the mended recipe has otherwise: dotted setting -> (as the card did it, mended)."""
        return self.recipe.diff(self.mended)

    def to_json(self) -> dict[str, Any]:
        """Plain values of all but the findings."""
        return {
            "name": self.name,
            "title": self.title,
            "card": dict(self.card),
            "stand_ins": list(self.stand_ins),
            "log_meaning": list(self.log_meaning()),
            "remedy": self.remedy,
            "recipe": self.recipe.to_dict(defaults=False),
            "mended": self.mended.to_dict(defaults=False),
        }

    def _parts(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("The card", tuple(f"{name}: {_shown(value)}" for name, value in self.card.items())),
            ("What differs here", self.stand_ins),
            ("What its log means", self.log_meaning()),
            ("Mended", (f"{self.remedy}.",)),
        )

    def __repr__(self) -> str:
        lines = [f"{self.name} · {self.title}"]
        for head, said in self._parts():
            lines += [f"{head}:", *(f"  {sentence}" for sentence in said)] if said else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = "".join(
            f"<h4>{head}</h4><ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in said)}</ul>"
            for head, said in self._parts()
            if said
        )
        return f"<h3>{escape(self.name)} · {escape(self.title)}</h3>{parts}"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
