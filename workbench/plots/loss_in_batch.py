"""What losses compute that hold a positive against the rest of its batch, as curves.

The formulas are those of Sentence Transformers; the tests hold them against its losses.
"""

from __future__ import annotations

import math

import numpy as np

from workbench.catalog.reference import reference
from workbench.plots.loss_formulas import LossShape, Values, curve, grid, level, upright

BATCHES = (4, 16, 64)

# similarity -> (axis, from, to, similarity of the negatives)
_LIKENESS = {
    "cos_sim": ("cosine of anchor and positive", 0.0, 1.0, 0.2),
    "dot_score": ("dot product of anchor and positive (unit vectors: their cosine)", 0.0, 1.0, 0.2),
    "euclidean_sim": ("minus the Euclidean distance of anchor and positive", -1.6, 0.0, -1.25),
    "manhattan_sim": ("minus the Manhattan distance of anchor and positive", -24.0, 0.0, -20.0),
}


def ranking(name: str, values: Values) -> LossShape:
    """Cross entropy of the positive among the texts of the batch."""
    if "Symmetric" in name:
        values = {**values, "directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
    likeness = _LIKENESS[values["similarity_fct"]]
    negative = values["scale"] * likeness[3]
    # Without columns of hard negatives there is nothing for the mode hard_negatives to weigh.
    weighed = values.get("hardness_mode") in ("in_batch_negatives", "all_negatives")
    harder = values["hardness_strength"] * likeness[3] if weighed else 0.0
    parts = [
        (direction in ("query_to_doc", "doc_to_query"), negative + (harder if direction == "query_to_doc" else 0.0))
        for direction in dict.fromkeys(values.get("directions", ("query_to_doc",)))
    ]
    groups = [parts] if values.get("partition_mode", "joint") == "joint" else [[part] for part in parts]
    about = "The higher the scale, the less a pair teaches that is already ahead."
    return _in_batch(name, values, likeness, values["scale"], groups, about)


def gist(name: str, values: Values) -> LossShape:
    """The same, where a guide chooses the candidates."""
    scale = 1 / values["temperature"]
    negative = scale * _LIKENESS["cos_sim"][3]
    more = values["contrast_anchors"] + values["contrast_positives"]
    parts = [(True, negative)] + [(False, negative)] * more
    about = "Candidates that the guide finds more alike than the pair are left out, which lowers the curve."
    return _in_batch(name, values, _LIKENESS["cos_sim"], scale, [parts], about)


def tension(name: str, values: Values) -> LossShape:
    """The same, where a text is its own positive under a copy of the model."""
    axis, low, high, negative = _LIKENESS[values["similarity_fct"]]
    parts = [(True, values["scale"] * negative)]
    likeness = axis.replace("anchor and positive", "a text under both copies of the model"), low, high, negative
    return _in_batch(name, values, likeness, values["scale"], [parts], "The scale is learnt from here on.")


def _in_batch(
    name: str,
    values: Values,
    likeness: tuple[str, float, float, float],
    scale: float,
    groups: list[list[tuple[bool, float]]],
    about: str,
) -> LossShape:
    """Cross entropy of the positive: mean over groups, each of (holds the positive, logit of a negative) parts."""
    axis, low, high, negative = likeness
    xs = grid(low, high)
    curves, lines = [], []
    for rows in BATCHES:
        sums = [
            np.logaddexp.reduce(
                [scale * xs for positive, _ in parts if positive]
                + [np.full_like(xs, logit + math.log(rows - 1)) for _, logit in parts]
            )
            for parts in groups
        ]
        curves.append(curve(f"{rows} rows", xs, np.mean(sums, axis=0) - scale * xs))
        line = reference(name, values, rows, 2, normalized=True)
        if line is not None:
            what = "rows" if line[0] == math.log(rows) else "candidates"
            lines.append(level(f"ln({what}): all alike", line[0], xs))
    caption = (
        f"One curve for each batch of pairs in which all other similarities are {negative:g}; it meets its dotted line "
        f"where the positive is no more alike than the others. {about}"
    )
    y = "loss of a row"
    return LossShape("The positive against the rest of the batch", axis, y, tuple(curves), caption, tuple(lines))


def mega_batch(name: str, values: Values) -> LossShape:
    """Loss of the positive and of the hardest negative."""
    above, below = values["positive_margin"], values["negative_margin"]
    xs = grid(-1, 1, above, below)
    curves = (
        curve("positive", xs, np.maximum(0, above - xs)),
        curve("hardest negative", xs, np.maximum(0, xs - below)),
    )
    references = tuple(upright("margins", x, curves) for x in (above, below))
    caption = (
        "The loss of a row is the sum of both; the hardest negative is the positive of another row that is closest."
    )
    title = f"Positive above {above:g}, negative below {below:g}"
    return LossShape(title, "cosine with the anchor (−1 to 1)", "part of the loss", curves, caption, references)
