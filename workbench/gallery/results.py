"""What running an entry gave: scores of the runs as the card did it and mended, a seed each, and their differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from workbench import files
from workbench.errors import RunError
from workbench.spaces.evaluate import Delta, Score

KEPT = Path(__file__).with_name("results.json")
AT_ONCE = "stopped before the first step"


@dataclass(frozen=True)
class Trained:
    """One run.

    Attributes:
        seed: of the run.
        state: finished or stopped, or that it was stopped before the first step.
        reason: why it was stopped; empty where it was not.
        steps: optimizer steps.
        losses: training loss of the first and of the last recorded step; None where there was no step.
        lowest, highest: least and largest training loss of a step; None where there was no step.
        moved: length of the change of all weights as a share of their length; None where it was not trained.
        before, after: the score of the base model and of the trained one.
    """

    seed: int
    state: str
    reason: str
    steps: int
    losses: tuple[float, float] | None
    lowest: float | None
    highest: float | None
    moved: float | None
    before: Score
    after: Score


@dataclass(frozen=True)
class Result:
    """Both ways of an entry, each with the same seeds, scored on the same rows.

    Attributes:
        name, title: of the entry.
        model: base model of the run as the card did it.
        score: name of the score.
        measured_on: rows and seeds, in words.
        shortened: how these runs are shorter than their recipes, in words.
        card: runs as the card did it.
        mended: runs of the mended recipe.
        gains: score mended minus as the card did it, for each seed, with its paired interval over the rows.
        made: what it was measured with: versions, device, processors, date, seconds.
    """

    name: str
    title: str
    model: str
    score: str
    measured_on: str
    shortened: str
    card: tuple[Trained, ...]
    mended: tuple[Trained, ...]
    gains: tuple[Delta, ...]
    made: Mapping[str, Any]

    @property
    def gain(self) -> Delta:
        """Mean over the seeds of the differences and of the ends of their intervals; None where one is undefined."""
        low, mid, high = _means(self.gains, ("low", "mid", "high"))
        return Delta(low, mid, high, next((gain.why for gain in self.gains if gain.why), ""))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` takes them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """The result that `to_json` gave."""
        runs = {name: tuple(_trained(run) for run in values[name]) for name in ("card", "mended")}
        return cls(**{**values, **runs, "gains": tuple(Delta(**gain) for gain in values["gains"])})

    @property
    def _rows(self) -> list[tuple[str, str, str, str, str, str]]:
        rows = []
        for name, runs in (("as the card did it", self.card), ("mended", self.mended)):
            for run in runs:
                losses = "–" if run.losses is None else f"{run.losses[0]:.3f} → {run.losses[1]:.3f}"
                moved = "–" if run.moved is None else f"{run.moved:.1e}"
                state = f"{run.state}: {run.reason}" if run.reason else run.state
                before = "" if run.before.value is None else f"{run.before.value:.4f} → "
                rows.append((name, str(run.seed), losses, moved, f"{before}{run.after}", f"{state}, {run.steps} steps"))
        return rows

    @property
    def _summary(self) -> str:
        return "; ".join(
            f"{name} {_mean_score(runs)}" for name, runs in (("as the card did it", self.card), ("mended", self.mended))
        )

    @property
    def _notes(self) -> tuple[str, ...]:
        made = ", ".join(f"{name} {value}" for name, value in self.made.items())
        return (
            f"Means over seeds: {self._summary}; difference {self.gain}.",
            f"{self.score} on {self.measured_on}. In brackets 95% bootstrap intervals over the rows; of a mean over seeds the means of their ends, which is no narrower than its own.",
            f"Shortened: {self.shortened}.",
            f"Measured with {made}.",
        )

    def __repr__(self) -> str:
        lines = [" | ".join(row) for row in self._rows]
        return "\n  ".join([f"{self.name} · {self.title}, both ways", *lines, *self._notes])

    def _repr_html_(self) -> str:
        heads = ("run", "seed", "training loss", "weights moved", self.score, "state")
        head = "".join(f"<th>{escape(name)}</th>" for name in heads)
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows)
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self._notes)
        caption = escape(f"{self.name} · {self.title}, both ways")
        return f'<table class="wb-table"><caption>{caption}</caption><tr>{head}</tr>{rows}</table>{notes}'


def read(path: Path = KEPT) -> dict[str, Result]:
    """Name -> result, of a file that `write` made; nothing where there is none.

    Raises:
        RunError: the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: Result.from_json(values) for name, values in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RunError(
            f"expected results of the gallery in {path}, but the file is damaged ({error.__class__.__name__}); remove it"
        ) from None


def write(result: Result, folder: Path) -> None:
    """Write results.json and, for reading, results.txt into a folder; what is there of other entries stays.

    Raises:
        RunError: what is there is damaged.
    """
    kept = read(folder / KEPT.name) | {result.name: result}
    every = [kept[name] for name in sorted(kept)]
    plain = {result.name: result.to_json() for result in every}
    files.replace_text(folder / KEPT.name, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    files.replace_text(folder / "results.txt", "\n\n".join(map(repr, every)) + "\n")


def _trained(values: Mapping[str, Any]) -> Trained:
    scores = {name: Score(**values[name]) for name in ("before", "after")}
    return Trained(**{**values, **scores, "losses": values["losses"] and tuple(values["losses"])})


def _means(records: Sequence[object], names: Sequence[str]) -> list[float | None]:
    columns = [[getattr(record, name) for record in records] for name in names]
    return [None if None in values else sum(values) / len(values) for values in columns]


def _mean_score(runs: Sequence[Trained]) -> str:
    value, low, high = _means([run.after for run in runs], ("value", "low", "high"))
    if value is None or low is None or high is None:
        return str(next((run.after for run in runs if run.after.value is None), runs[0].after))
    ends = [run.after.value or 0.0 for run in runs]
    return f"{value:.4f} [{low:.4f}, {high:.4f}] (seeds from {min(ends):.4f} to {max(ends):.4f})"
