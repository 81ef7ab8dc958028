"""Several runs side by side: what was asked of them differently, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.training.run import Run

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side.

    Attributes:
        runs: names of the runs.
        settings: dotted setting -> its value in each run; only those that differ.
        scores: name -> (before, after) of each run; None where a run has no such score.
        measured_on: what each run's scores were measured on, in words.
    """

    runs: tuple[str, ...]
    settings: dict[str, tuple[Any, ...]]
    scores: dict[str, tuple[tuple[float | None, float | None] | None, ...]]
    measured_on: tuple[str, ...]

    def to_frame(self) -> pandas.DataFrame:
        """One line a setting or score, one column a run."""
        import pandas

        lines: dict[str, Sequence[Any]] = {**self.settings, "measured on": self.measured_on}
        for name, pairs in self.scores.items():
            lines[name] = [_pair(pair) for pair in pairs]
        return pandas.DataFrame.from_dict(lines, orient="index", columns=list(self.runs), dtype=object)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.runs)
        rows = [
            f"<tr><th>{escape(str(name))}</th>{''.join(f'<td>{escape(str(value))[:200]}</td>' for value in values)}</tr>"
            for name, values in zip(self.to_frame().index, self.to_frame().to_numpy().tolist(), strict=True)
        ]
        caption = "Settings that differ, and scores before → after"
        return f"<table class='wb-table'><caption>{caption}</caption><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def compare_runs(runs: Sequence[Run]) -> RunComparison:
    """Put runs side by side.

    Raises:
        RunError: fewer than two runs, or a folder that holds none.
    """
    if len(runs) < 2:
        raise RunError(f"expected at least two runs to compare, got {len(runs)}; pick another")
    flat = [run.recipe.flat() for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    values = {key: tuple(settings.get(key) for settings in flat) for key in keys}
    different = {key: found for key, found in values.items() if any(value != found[0] for value in found[1:])}
    scores = [run.scores or {} for run in runs]
    names = dict.fromkeys(name for its in scores for name in its.get("after", {}).get("scores", {}))
    pairs = {name: tuple(_scored(its, name) for its in scores) for name in names}
    where = tuple(f"{its['after']['rows']:,} rows of {its['data']}" if its else "no scores yet" for its in scores)
    return RunComparison(tuple(run.folder.name for run in runs), different, pairs, where)


def _scored(scores: dict[str, Any], name: str) -> tuple[float | None, float | None] | None:
    if name not in scores.get("after", {}).get("scores", {}):
        return None
    return scores["before"]["scores"][name]["value"], scores["after"]["scores"][name]["value"]


def _pair(pair: tuple[float | None, float | None] | None) -> str:
    if pair is None:
        return "not measured"
    return " → ".join("undefined" if value is None else f"{value:.4f}" for value in pair)
