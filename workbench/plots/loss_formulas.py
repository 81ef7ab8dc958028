"""What losses compute from a triplet, a pair with its label, or a teacher, as curves.

The formulas are those of Sentence Transformers; the tests hold them against its losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Curve = tuple[str, tuple[float, ...], tuple[float, ...]]
Values = Mapping[str, Any]
POINTS = 121
DIMENSIONS = 384


@dataclass(frozen=True)
class LossShape:
    """The course of a loss.

    Attributes:
        title: a short sentence.
        x: what the loss is drawn against, with its unit or range.
        y: what is drawn: the loss of what.
        curves: (name, xs, ys), xs ascending.
        caption: a sentence or two that say how to read it.
        references: lines to compare with, as curves of two points.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    caption: str
    references: tuple[Curve, ...] = ()


def curve(name: str, xs: np.ndarray, ys: np.ndarray) -> Curve:
    """A curve of plain numbers; xs and ys float, shape (points,)."""
    return name, tuple(xs.tolist()), tuple(ys.tolist())


def grid(low: float, high: float, *kinks: float) -> np.ndarray:
    """Evenly spaced numbers and the kinks between them; float, ascending, shape (about POINTS,)."""
    return np.unique([*np.linspace(low, high, POINTS), *(kink for kink in kinks if low <= kink <= high)])


def upright(name: str, x: float, curves: tuple[Curve, ...]) -> Curve:
    """An upright line as high as the curves."""
    return name, (x, x), (0.0, max(max(ys) for _, _, ys in curves))


def level(name: str, y: float, xs: np.ndarray) -> Curve:
    """A level line as long as xs."""
    return name, (float(xs[0]), float(xs[-1])), (y, y)


def softplus(xs: np.ndarray) -> np.ndarray:
    """ln(1 + e^x) without overflow."""
    return np.logaddexp(0, xs)


# one anchor, one positive, one negative

PER_TRIPLET = {
    "TripletLoss": "Mean over the rows.",
    "BatchAllTripletLoss": "Mean over all triplets of the batch that are still above 0.",
    "BatchHardTripletLoss": "Each text's furthest positive and closest negative of the batch.",
    "BatchSemiHardTripletLoss": "For each pair, the closest negative that is further away than the positive.",
    "BatchHardSoftMarginTripletLoss": "Each text's furthest positive and closest negative of the batch.",
}


def _distance(metric: str) -> tuple[str, float, bool]:
    """(in words, largest for unit vectors, largest for all vectors too)."""
    kind = metric.lower().partition("_")[0]
    return {"cosine": ("cosine distance", 2.0, True), "euclidean": ("Euclidean distance", 2.0, False)}.get(
        kind, (f"{kind.capitalize()} distance", math.inf, False)
    )


def triplet(name: str, values: Values) -> LossShape:
    """Loss of an anchor, its positive and a negative."""
    words, limit, hard = _distance(str(values["distance_metric"]))
    x, y = f"distance to negative − to positive ({words})", "loss of a triplet"
    margin = values.get("triplet_margin", values.get("margin"))
    if margin is None:
        xs = grid(-2, 2)
        drawn = curve("loss", xs, softplus(-xs))
        caption = (
            f"Further apart is always better, ever more slowly; ln 2 where both are equally far. {PER_TRIPLET[name]}"
        )
        return LossShape("Never quite zero", x, y, (drawn,), caption, (level("ln 2: equally far", math.log(2), xs),))
    top = limit if hard else math.inf
    xs = grid(-min(max(0.5, 1.5 * margin), top), min(max(0.5, 2 * margin), top), margin)
    curves = (curve("loss", xs, np.maximum(0, margin - xs)),)
    references: tuple[Curve, ...] = (upright(f"margin {margin:g}", margin, curves),) if margin <= xs[-1] else ()
    title = f"Zero once the negative is {margin:g} further away"
    caption = f"Triplets right of the margin teach nothing more; left of it all pull alike. {PER_TRIPLET[name]}"
    if margin > limit:
        which = "Cosine distances" if hard else "Distances of unit vectors"
        caption = f"{which} end at {limit:g}, so the loss stays above {margin - limit:g}: take a smaller margin. {PER_TRIPLET[name]}"
        title = f"The margin of {margin:g} is out of reach{'' if hard else ' for unit vectors'}"
        references += () if hard else (upright(f"unit vectors end at {limit:g}", limit, curves),)
    return LossShape(title, x, y, curves, caption, references)


# two texts and a label


def contrastive(name: str, values: Values) -> LossShape:
    """Loss of a pair with the label 0 or 1."""
    words, limit, hard = _distance(str(values["distance_metric"]))
    margin, online = values["margin"], name == "OnlineContrastiveLoss"
    top = max(1.0, 1.5 * margin)
    xs = grid(0, min(top, limit) if hard else top, margin)
    factor = 1.0 if online else 0.5
    curves = (
        curve("alike (1)", xs, factor * xs**2),
        curve("not alike (0)", xs, factor * np.maximum(0, margin - xs) ** 2),
    )
    references = (upright(f"margin {margin:g}", margin, curves),) if margin <= xs[-1] else ()
    caption = f"Pairs that are alike are pulled to distance 0; others are pushed until they are {margin:g} apart. "
    caption += (
        "Only hard pairs count: alike but further than the closest other pair, or the reverse; they are summed."
        if online
        else f"{'Mean' if values['size_average'] else 'Sum'} over the rows."
    )
    if margin > limit:
        caption += f" Distances of unit vectors end at {limit:g}, so the margin is out of reach."
    x = f"{words} of the pair" + (" (0 to 2)" if hard else "")
    return LossShape(f"Together at 0, apart from {margin:g}", x, "loss of a pair", curves, caption, references)


_ERRORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "MSELoss": np.square,
    "L1Loss": np.abs,
    "SmoothL1Loss": lambda error: np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5),
    "HuberLoss": lambda error: np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5),
}
_TRANSFORMED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda cosine: cosine,
    "ReLU": lambda cosine: np.maximum(0, cosine),
    "Sigmoid": lambda cosine: 1 / (1 + np.exp(-cosine)),
    "Tanh": np.tanh,
}


def cosine(name: str, values: Values) -> LossShape:
    """Loss of a pair with a gold score."""
    xs = grid(-1, 1)
    change = values["cos_score_transformation"]
    output, error = _TRANSFORMED[change](xs), _ERRORS[values["loss_fct"]]
    curves = tuple(curve(f"gold score {gold:g}", xs, error(output - gold)) for gold in (0.0, 0.5, 1.0))
    caption = "Each pair is pulled to the cosine that is its gold score, whatever the other pairs of the batch are."
    if change != "Identity":
        caption += f" The cosine goes through {change} before it is compared."
    x = "cosine of the pair (−1 to 1)"
    return LossShape("The cosine itself has to be right", x, "loss of a pair", curves, caption)


def order(name: str, values: Values) -> LossShape:
    """Loss of two pairs with different gold scores."""
    measure = "pairwise_angle_sim" if name == "AnglELoss" else values["similarity_fct"]
    words = {
        "pairwise_cos_sim": "cosine",
        "pairwise_dot_score": "dot product",
        "pairwise_euclidean_sim": "minus distance",
        "pairwise_manhattan_sim": "minus Manhattan distance",
        "pairwise_angle_sim": "angle similarity",
    }[measure]
    xs = grid(-1, 1)
    drawn = curve(f"scale {values['scale']:g}", xs, softplus(-values["scale"] * xs))
    caption = (
        "Two pairs with different gold scores: only their order counts, not how far the scores are apart. In a batch "
        "all such twos enter one sum, ln(1 + …), so its loss is higher."
    )
    x = f"{words}: pair with the higher score − other pair"
    line = level("ln 2: both alike", math.log(2), xs)
    return LossShape("Only the order of the pairs counts", x, "loss of two pairs", (drawn,), caption, (line,))


def tension_pairs(name: str, values: Values) -> LossShape:
    """Loss of a pair that is the same text twice, or not."""
    xs = grid(-5, 5)
    curves = (curve("same text twice", xs, softplus(-xs)), curve("different texts", xs, softplus(xs)))
    caption = "Summed over the rows. Unit vectors have dot products from −1 to 1 only, so they hardly move it."
    x = "dot product of both vectors"
    return LossShape("Same texts up, different texts down", x, "loss of a pair", curves, caption)


# a teacher, or classes


def embedding(name: str, values: Values) -> LossShape:
    """Loss of a vector with that of a teacher."""
    metric = values.get("distance_metric", "mse")
    to_teacher = "The vector has to become the teacher's; mean over the texts."
    if metric == "cosine":
        xs = grid(-1, 1)
        drawn = curve("1 − cosine", xs, 1 - xs)
        x, title = "cosine with the teacher's vector (−1 to 1)", "Towards the teacher's direction"
    elif metric == "l2":
        xs = grid(0, 2)
        drawn = curve("distance", xs, xs)
        x, title = "Euclidean distance to the teacher's vector", "Towards the teacher's vector"
    else:
        xs = grid(-0.2, 0.2)
        drawn = curve("squared error", xs, xs**2)
        x, title = "one number of the vector − the teacher's", "Towards the teacher's vector"
        to_teacher = "Mean over all numbers of all vectors, so with unit vectors of many dimensions the loss is small."
    return LossShape(title, x, "loss", (drawn,), to_teacher)


def margin_mse(name: str, values: Values) -> LossShape:
    """Loss of a negative with the margin that a teacher gives it."""
    xs = grid(-1, 2)
    curves = tuple(curve(f"teacher's margin {gold:g}", xs, (xs - gold) ** 2) for gold in (0.0, 0.5, 1.0))
    caption = "The difference of the two similarities has to become the teacher's, not each similarity by itself."
    x = "similarity to positive − to negative"
    return LossShape("The teacher's margin has to be met", x, "loss of a negative", curves, caption)


def divergence(name: str, values: Values) -> LossShape:
    """Loss of a positive and a negative with the scores of a teacher."""
    xs = grid(-3, 6)
    student, teacher = (values[f"{who}_temperature"] or values["temperature"] for who in ("student", "teacher"))
    curves = []
    for gold in (0.0, 1.0, 5.0):
        log_gold = [-softplus(np.array(sign * gold / teacher)) for sign in (-1, 1)]
        log_mine = [-softplus(sign * xs / student) for sign in (-1, 1)]
        parts = [np.exp(theirs) * (theirs - mine) for theirs, mine in zip(log_gold, log_mine, strict=True)]
        curves.append(curve(f"teacher's difference {gold:g}", xs, student**2 * np.sum(parts, axis=0)))
    caption = (
        "One positive and one negative: zero where the student spreads its probability as the teacher does. "
        "Similarities of unit vectors differ by 2 at most."
    )
    x = "similarity to positive − to negative"
    return LossShape("The teacher's probabilities have to be met", x, "loss of a row", tuple(curves), caption)


def softmax(name: str, values: Values) -> LossShape:
    """Loss of a class or a token by its probability."""
    classes = values.get("num_labels")
    if values.get("loss_fct", "CrossEntropyLoss") == "MultiMarginLoss":
        among = classes or 2
        xs = grid(-2, 3)
        curves = (curve(f"{among} classes", xs, (among - 1) / among * np.maximum(0, 1 - xs)),)
        caption = "All wrong classes at the same output: zero once the right one is 1 ahead."
        x = "output of the right class − of the others"
        return LossShape("Zero once the right class is ahead", x, "loss of a row", curves, caption)
    xs = np.geomspace(0.01, 1, POINTS)
    what = "token" if name == "DenoisingAutoEncoderLoss" else "class"
    drawn = curve("−ln(probability)", xs, -np.log(xs))
    lines = (level(f"ln {classes}: all classes alike", math.log(classes), xs),) if classes else ()
    caption = f"Cross entropy: what it costs to give the right {what} only so much probability."
    if what == "class":
        caption += " The classifier on top of the vectors is learnt along."
    x = f"probability of the right {what} (0 to 1)"
    return LossShape(
        f"The right {what} has to be likely",
        x,
        "loss of a token" if what == "token" else "loss of a row",
        (drawn,),
        caption,
        lines,
    )


def spread(name: str, values: Values) -> LossShape:
    """Loss of texts that are all equally alike."""
    xs = grid(-0.5, 1)
    weights = values["mean_weight"], values["second_moment_weight"]
    found = (("mean", xs**2), ("second moment", np.maximum(0, xs**2 - 1 / DIMENSIONS)))
    curves = tuple(curve(name, xs, weight * ys) for weight, (name, ys) in zip(weights, found, strict=True) if weight)
    caption = f"All texts of a batch equally alike, {DIMENSIONS} dimensions: zero where they are unrelated. Both are added up."
    x = "similarity of any two texts of a column"
    return LossShape("Unrelated texts have to be unlike", x, "part of the loss", curves, caption)
