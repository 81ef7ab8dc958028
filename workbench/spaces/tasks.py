"""What each kind of table is scored by: per-unit values of every score, and the texts of each unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.spaces.bootstrap import Metric
from workbench.spaces.encode import Space
from workbench.spaces.neighbours import nearest

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
Built = tuple[dict[str, Metric], Sequence[tuple[str, ...]], str]


def triplets(spaces: Mapping[str, Space], label: list[Any] | None) -> Built:
    """A triplet is right when the positive is strictly closer to the anchor than every negative."""
    anchor, positive, *negatives = spaces.values()
    good = np.logical_and.reduce([space.usable for space in spaces.values()])
    near = (anchor.unit * positive.unit).sum(axis=1)
    far = np.max([(anchor.unit * negative.unit).sum(axis=1) for negative in negatives], axis=0)
    groups = np.unique(anchor.texts, return_inverse=True)[1] if len(anchor) else np.zeros(0, dtype=int)
    metrics = {
        "cosine_accuracy": Metric("mean", (near > far + 1e-7)[good].astype(float), groups[good]),
        "cosine_margin": Metric("mean", (near - far)[good].astype(float), groups[good]),
    }
    texts = [
        texts
        for texts, ok in zip(zip(*(space.texts for space in spaces.values()), strict=True), good, strict=True)
        if ok
    ]
    return metrics, texts, _left_out(good, "triplets")


def retrieval(spaces: Mapping[str, Space], label: list[Any] | None) -> Built:
    """Each distinct anchor looks for its positives among all distinct positives."""
    anchor, positive = spaces.values()
    good = anchor.usable & positive.usable
    questions = {text: row for row, text in reversed([*enumerate(anchor.texts)]) if good[row]}
    answers = {text: row for row, text in reversed([*enumerate(positive.texts)]) if good[row]}
    asked, held = sorted(questions, key=questions.__getitem__), sorted(answers, key=answers.__getitem__)
    number = {text: place for place, text in enumerate(held)}
    relevant: dict[str, set[int]] = {text: set() for text in asked}
    for row in np.flatnonzero(good):
        relevant[anchor.texts[row]].add(number[positive.texts[row]])
    found, _ = nearest(
        anchor.unit[[questions[text] for text in asked]], positive.unit[[answers[text] for text in held]], 11
    )
    # a query that is also an answer of another query is no candidate of its own
    own = [number.get(text, -1) if number.get(text, -1) not in relevant[text] else -1 for text in asked]
    width = min(10, len(held))
    kept = [[*(place for place in row if place != its), -1][:width] for row, its in zip(found, own, strict=True)]
    found = np.array(kept, dtype=int).reshape(len(asked), width)
    hits = np.array(
        [[place in relevant[text] for place in row] for text, row in zip(asked, found, strict=True)], dtype=float
    ).reshape(found.shape)
    gain = 1 / np.log2(np.arange(2, found.shape[1] + 2))
    ideal = np.array([gain[: len(relevant[text])].sum() for text in asked])
    sizes = np.array([len(relevant[text]) for text in asked], dtype=float)
    first = np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0) if hits.size else np.zeros(len(asked))
    values = {
        "cosine_ndcg@10": (hits @ gain) / np.where(ideal > 0, ideal, 1),
        "cosine_mrr@10": first,
        "cosine_recall@10": hits.sum(axis=1) / np.where(sizes > 0, sizes, 1),
    }
    values |= {"cosine_accuracy@1": hits[:, 0] if hits.size else first}
    why = f"a corpus of {len(held)} text leaves nothing to choose from" if len(held) < 2 else ""
    metrics = {name: Metric("mean", value, np.arange(len(asked)), why=why) for name, value in values.items()}
    texts = [(text, " | ".join(held[place] for place in sorted(relevant[text]))) for text in asked]
    return (
        metrics,
        texts,
        "; ".join(filter(None, [f"{len(asked):,} queries over {len(held):,} texts", _left_out(good, "pairs")])),
    )


def graded(spaces: Mapping[str, Space], label: list[Any] | None) -> Built:
    """Correlation of four similarities with the given scores."""
    first, second = spaces.values()
    good = first.usable & second.usable
    scored = np.asarray(label, dtype=float)
    remarks = [_left_out(good, "pairs"), _left_out(np.isfinite(scored), "pairs", "the given score is not a number")]
    good &= np.isfinite(scored)
    gold = scored[good]
    # float64: squares of large float32 values overflow
    a, b = first.vectors[good].astype(float), second.vectors[good].astype(float)
    values = {
        "cosine": (first.unit * second.unit).sum(axis=1)[good],
        "dot": (a * b).sum(axis=1),
        "euclidean": -np.linalg.norm(a - b, axis=1),
        "manhattan": -np.abs(a - b).sum(axis=1),
    }
    groups = np.arange(len(gold))
    metrics = {
        f"{kind}_{name}": Metric(kind, values[name].astype(float), groups, gold)
        for name in SIMILARITIES
        for kind in ("spearman", "pearson")
    }
    texts = [pair for pair, ok in zip(zip(first.texts, second.texts, strict=True), good, strict=True) if ok]
    return metrics, texts, "; ".join(filter(None, remarks))


def labels(spaces: Mapping[str, Space], label: list[Any] | None) -> Built:
    """Share of the 10 nearest texts with the same label."""
    (space,) = spaces.values()
    good = space.usable
    names = np.asarray([str(name) for name in label or []])[good]
    rows, _ = nearest(space.unit[good], space.unit[good], 10, exclude_self=True)
    why = (
        f"{len(names)} text has no neighbour"
        if len(names) < 2
        else ("all texts have the same label" if len(set(names)) < 2 else "")
    )
    value = (names[rows] == names[:, None]).mean(axis=1) if rows.size else np.zeros(len(names))
    chance = float(sum((np.mean(names == name)) ** 2 for name in set(names)))
    metrics = {f"neighbour_purity@{rows.shape[1] or 10}": Metric("mean", value, np.arange(len(names)), why=why)}
    texts = [(text, name) for text, name in zip(np.asarray(space.texts, dtype=object)[good], names, strict=True)]
    return (
        metrics,
        texts,
        "; ".join(filter(None, [f"chance {chance:.3f} with {len(set(names))} labels", _left_out(good, "texts")])),
    )


def _left_out(good: np.ndarray, what: str, why: str = "a vector is zero or not finite") -> str:
    count = int((~good).sum())
    return f"{count} {what} left out: {why}" if count else ""
