"""Scores of a model on a table, with bootstrap intervals; the same for any two models, so that they can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.examples import cut_text
from workbench.data.load import load
from workbench.data.prepare import task_of, unscorable
from workbench.errors import DataError
from workbench.recipe import prompt_of
from workbench.spaces import tasks
from workbench.spaces.bootstrap import Metric, interval, paired_interval
from workbench.spaces.encode import Progress, Space, embed

if TYPE_CHECKING:
    from workbench.data.examples import Examples

MAX_ROWS = 20_000
ALIKE = 1e-5


@dataclass(frozen=True)
class Score:
    """One score with its 95 % bootstrap interval.

    Attributes:
        value, low, high: None where undefined; `why` then says the reason.
        n: number of queries, triplets, pairs or texts behind it.
        groups: number of independent groups that were resampled (rows that share an anchor move together).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    why: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined: {self.why}"
        if self.low is None:
            return f"{self.value:.4f} (no interval: {self.why})"
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one model on one table.

    Attributes:
        task: triplets, retrieval, graded or labels: follows from the columns of the table.
        model: name of the model.
        rows: rows of the table that were scored.
        scores: name -> score; names as Sentence Transformers gives them where it has the same score.
        primary: the score to look at first.
        note: what has to be known to read the scores, in words.
        metrics: per-unit values behind each score, for paired comparison.
        texts: the texts of each unit, in the unit order of the primary score.
        table: fingerprint of the rows that were scored.
    """

    task: str
    model: str
    rows: int
    scores: Mapping[str, Score]
    primary: str
    note: str
    metrics: Mapping[str, Metric]
    texts: Sequence[tuple[str, ...]]
    table: str

    def to_json(self) -> dict[str, Any]:
        """Plain values: task, model, rows, primary, note and scores."""
        return {
            "task": self.task,
            "model": self.model,
            "rows": self.rows,
            "primary": self.primary,
            "note": self.note,
            "scores": {name: vars(score) for name, score in self.scores.items()},
        }

    def __repr__(self) -> str:
        lines = [f"{self.task} on {self.rows:,} rows, {self.model} ({self.note})"]
        return "\n  ".join(lines + [f"{name}: {score}" for name, score in self.scores.items()])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(str(score))}</td><td>{score.n:,}</td></tr>"
            for name, score in self.scores.items()
        )
        return f"<table><caption>{escape(self.task)}, {escape(self.model)}: {escape(self.note)}</caption><tr><th>score</th><th>value [95 %]</th><th>n</th></tr>{rows}</table>"


def evaluate(
    model: Any,
    examples: Examples | Any,
    *,
    prompts: str | Mapping[str, str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    batch_size: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on a table. Which scores follows from its columns.

    anchor + positive + negative: accuracy of triplets. anchor + positive: retrieval (MRR@10, nDCG@10, recall).
    Two texts + score: Pearson and Spearman for four similarities. Text + label: neighbour purity.

    Args:
        model: as for `embed`, or a model that gives its own `space(texts, prompt=...)`.
        examples: the table, or anything that `load` takes; above 20,000 rows a seeded sample is scored, and the note says so.
        prompts: text put before every text, or a mapping from column (anchor, positive, ...) to such a text.
        seed: seed of the sample and of the bootstrap.
        resamples: bootstrap resamples; 0 gives no intervals.
        batch_size: texts of one forward pass at most; None leaves it to their tokens.
        device: torch device; None lets Sentence Transformers choose.
        progress: called with (texts done, texts to do).

    Raises:
        DataError: the table has no columns that can be scored.
    """
    examples = examples if hasattr(examples, "to_training") else load(examples)
    task = task_of(examples)
    if task is None:
        raise DataError(f"{unscorable(examples)}; set the roles with load(..., columns=...)")
    columns, label, note = _table(examples, seed)
    spaces = _spaces(model, columns, prompts, batch_size, device, progress)
    alike = _alike(spaces)
    build = {"triplets": tasks.triplets, "retrieval": tasks.retrieval, "graded": tasks.graded, "labels": tasks.labels}[
        task
    ]
    metrics, texts, remark = build(spaces, label)
    scores = {name: _score(metric, alike, seed, resamples) for name, metric in metrics.items()}
    name = next(iter(spaces.values())).model
    rows = len(next(iter(columns.values())))
    table = hashlib.sha256(json.dumps([columns, label]).encode()).hexdigest()[:16]
    remarks = "; ".join(filter(None, [note, remark]))
    return Evaluation(task, name, rows, scores, next(iter(metrics)), remarks, metrics, texts, table)


def scored_rows(rows: int, seed: int = 0) -> np.ndarray:
    """Numbers of those that are scored of so many rows: int64, ascending."""
    if rows <= MAX_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))


@dataclass(frozen=True)
class Delta:
    """Difference of a score, after minus before, with its paired 95 % bootstrap interval."""

    low: float | None
    mid: float | None
    high: float | None
    why: str = ""

    @property
    def within_noise(self) -> bool:
        """The interval holds zero, or there is none."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high

    def __str__(self) -> str:
        if self.mid is None:
            return f"undefined: {self.why}"
        if self.low is None:
            return f"{self.mid:+.4f} (no interval: {self.why})"
        return f"{self.mid:+.4f} [{self.low:+.4f}, {self.high:+.4f}]" + (" within noise" if self.within_noise else "")


@dataclass(frozen=True, eq=False)
class Change:
    """What differs between two evaluations of the same table.

    Attributes:
        before, after: the two evaluations.
        delta: score name -> difference with interval.
        gained, lost: units whose primary score rose or fell: (texts, before, after), largest change first.
    """

    before: Evaluation
    after: Evaluation
    delta: Mapping[str, Delta]
    gained: Sequence[tuple[tuple[str, ...], float, float]]
    lost: Sequence[tuple[tuple[str, ...], float, float]]

    def to_json(self, rows: int = 200) -> dict[str, Any]:
        """Plain values; of the changed units at most `rows` each, with their full numbers beside."""
        return {
            "delta": {name: vars(delta) for name, delta in self.delta.items()},
            "gained": len(self.gained),
            "lost": len(self.lost),
            **{
                name: [
                    {"texts": [cut_text(text, 300) for text in texts], "before": a, "after": b}
                    for texts, a, b in changed[:rows]
                ]
                for name, changed in (("gained_rows", self.gained), ("lost_rows", self.lost))
            },
        }

    def kept(self, rows: int = 200) -> dict[str, Any]:
        """Both evaluations and what differs in plain values, as a run keeps them; see `to_json`."""
        return {"before": self.before.to_json(), "after": self.after.to_json(), "change": Change.to_json(self, rows)}

    def __repr__(self) -> str:
        primary = self.after.primary
        said = f"{len(self.gained)} gained, {len(self.lost)} lost on {primary}" if primary else "not scored"
        lines = [f"{self.before.model} -> {self.after.model}: {said}"]
        return "\n  ".join(lines + [f"{name}: {delta}" for name, delta in self.delta.items()])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(str(self.before.scores[name]))}</td><td>{escape(str(self.after.scores[name]))}</td><td>{escape(str(delta))}</td></tr>"
            for name, delta in self.delta.items()
        )
        return f"<table><tr><th>score</th><th>{escape(self.before.model)}</th><th>{escape(self.after.model)}</th><th>difference [95 %]</th></tr>{rows}</table>"


IN_BRACKETS = "In brackets 95% bootstrap intervals; a difference whose interval holds zero is within the noise."


def score_rows(kept: Mapping[str, Any]) -> list[list[Any]]:
    """[name, before, after, difference, n] of each score that was kept, all but n in words; see `Change.kept`."""
    before, delta = kept["before"]["scores"], kept["change"]["delta"]
    return [
        [name, str(Score(**before[name])), str(Score(**score)), str(Delta(**delta[name])), score["n"]]
        for name, score in kept["after"]["scores"].items()
    ]


def compare(before: Evaluation, after: Evaluation, *, seed: int = 0, resamples: int = 1000) -> Change:
    """Differences between two models on the same table, with paired intervals and the rows that changed.

    Raises:
        DataError: the two evaluations are not of the same table.
    """
    if not isinstance(before, Evaluation) or not isinstance(after, Evaluation):
        raise DataError(
            f"expected two evaluations, got {type(before).__name__} and {type(after).__name__}; make them with wb.evaluate(model, data)"
        )
    if before.task != after.task or before.table != after.table:
        raise DataError(
            "expected two evaluations of the same table, got different texts; evaluate both models on the same rows"
        )
    if [*before.texts] != [*after.texts]:
        why = "the vectors that are zero or not finite differ between the models, so their rows cannot be paired"
        return Change(before, after, {name: Delta(None, None, None, why) for name in after.scores}, [], [])
    delta = {name: _delta(before, after, name, seed, resamples) for name in after.scores}
    a, b = before.metrics[after.primary].by_unit(), after.metrics[after.primary].by_unit()
    order = np.argsort(-np.abs(b - a), kind="stable")
    rows = [(after.texts[row], float(a[row]), float(b[row])) for row in order]
    return Change(
        before, after, delta, [row for row in rows if row[2] > row[1]], [row for row in rows if row[2] < row[1]]
    )


def _delta(before: Evaluation, after: Evaluation, name: str, seed: int, resamples: int) -> Delta:
    first, second = before.scores[name], after.scores[name]
    if first.value is None or second.value is None:
        return Delta(None, None, None, first.why if first.value is None else second.why)
    low, high, why = paired_interval(before.metrics[name], after.metrics[name], seed=seed, resamples=resamples)
    return Delta(low, second.value - first.value, high, why)


def _table(examples: Examples, seed: int) -> tuple[dict[str, list[str]], list[Any] | None, str]:
    """({anchor, positive, negative…: texts}, labels or scores, note)."""
    data = examples.to_training()
    note = f"{len(data):,} rows"
    if len(data) > MAX_ROWS:
        note = f"a sample of {MAX_ROWS:,} of {len(data):,} rows, seed {seed}"
        data = data.select(scored_rows(len(data), seed))
    label = next((name for name in ("label", "score") if name in data.column_names), None)
    columns = {name: list(data[name]) for name in data.column_names if name != label}
    return columns, None if label is None else list(data[label]), note


def _spaces(
    model: Any,
    columns: Mapping[str, list[str]],
    prompts: str | Mapping[str, str] | None,
    batch_size: int | None,
    device: str | None,
    progress: Progress | None,
) -> dict[str, Space]:
    """One space a column; columns with the same prompt are encoded together."""
    wanted = {name: prompt_of(prompts, name) for name in columns}
    spaces: dict[str, Space] = {}
    for prompt in dict.fromkeys(wanted.values()):
        names = [name for name in columns if wanted[name] == prompt]
        texts = [text for name in names for text in columns[name]]
        joint = (
            model.space(texts, prompt=prompt)
            if hasattr(model, "space")
            else embed(texts, model, prompt=prompt, batch_size=batch_size, device=device, progress=progress)
        )
        size = len(columns[names[0]])
        for place, name in enumerate(names):
            part = slice(place * size, (place + 1) * size)
            spaces[name] = Space(joint.texts[part], joint.vectors[part], joint.model, joint.model_fingerprint, prompt)
    return {name: spaces[name] for name in columns}


def _alike(spaces: Mapping[str, Space]) -> str:
    """Why no score means anything for these vectors, or an empty string."""
    usable = np.concatenate([space.usable for space in spaces.values()])
    if not usable.any():
        return f"all {len(usable)} vectors are zero or not finite" if len(usable) else "there are no rows"
    unit = np.concatenate([space.unit for space in spaces.values()])[usable]
    if (
        len(unit) > 1
        and float(np.abs(unit - unit[0]).max()) < ALIKE
        and len({text for space in spaces.values() for text in space.texts}) > 1
    ):
        return f"all {len(unit)} vectors are alike (a collapsed model): their order is rounding noise"
    return ""


def _score(metric: Metric, alike: str, seed: int, resamples: int) -> Score:
    groups = len(np.unique(metric.groups))
    value, why = (None, alike) if alike else metric.statistic()
    if value is None:
        return Score(None, None, None, len(metric.values), groups, why)
    low, high, why = interval(metric, seed=seed, resamples=resamples)
    return Score(value, low, high, len(metric.values), groups, why)
