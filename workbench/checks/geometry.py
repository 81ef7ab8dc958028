"""Margins, scales and similarities: can the parameters of the loss work with the vectors of this model?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from workbench.checks.case import Case
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.checks.fitting import GOOD_MARGIN

FARTHEST = 2.0  # the largest cosine distance, and the largest distance of unit vectors
# How a parameter of a loss spells a way of comparing; "eucledian" stands in the library.
SPELLINGS = {"cos": "cosine", "dot": "dot", "eucl": "euclidean", "manhattan": "manhattan"}


@finds(
    "margin-out-of-reach", "warning", when="the margin is not below the largest distance that the vectors can have",
    why="Any margin above the largest distance is only a constant in the loss: in our measurement margins 5 and 1 gave the same vectors, with every easy triplet still pulling, while 0.3 ended with none.",
    fix=f"sets the margin to {GOOD_MARGIN:g}",
)  # fmt: skip
@finds(
    "margin-is-zero", "warning", when="the margin of a loss of triplets is 0",
    why="Nothing then asks for a distance: equal vectors for all texts are a perfect answer.", fix=f"sets the margin to {GOOD_MARGIN:g}",
)  # fmt: skip
def margin_can_be_met(case: Case) -> Iterator[Finding]:
    """A margin is smaller than the largest difference of distances that the model can make."""
    name = next((name for name in ("triplet_margin", "margin") if name in case.values), None)
    metric = str(case.values.get("distance_metric", "")).lower()
    # "eucledian" is how the library spells it in one place
    bounded = "cosine" in metric or (case.model.normalized and ("euclidean" in metric or "eucledian" in metric))
    if case.info.custom or name is None:
        return
    margin = float(case.values[name])
    fixed = f"set {name} to {GOOD_MARGIN:g}"
    mended = case.with_parameters(**{name: GOOD_MARGIN})
    if margin == 0 and "Triplet" in case.loss.name:
        message = f"The margin of {case.loss.name} is 0, so a model that gives all texts the same vector has no loss."
        yield case.finding("margin-is-zero", "warning", message, evidence={name: margin, "measured_on": "parameters of the loss"}, fixed=fixed, loss=mended)  # fmt: skip
    if not bounded or margin < FARTHEST:
        return
    triplet = "Triplet" in case.loss.name
    result = f"the loss stays above {margin - FARTHEST:g}" if triplet else "every negative keeps pulling"
    yield case.finding(
        "margin-out-of-reach",
        "warning",
        f"The margin of {margin:g} of {case.loss.name} can never be met, since the {metric.removesuffix('_distance')} distance of this model "
        f"ends at {FARTHEST:g}: {result}.",
        evidence={
            name: margin,
            "largest_distance": FARTHEST,
            "distance": metric,
            "unit_vectors": "yes" if case.model.normalized else "no",
            "measured_on": f"parameters of the loss and the modules of {case.recipe.model}",
        },
        fixed=fixed,
        loss=mended,
    )


@finds(
    "dot-product-scaled", "warning", when="dot products of vectors that are not of unit length are multiplied by 5 or more",
    why="Measured on a small model: loss 9.4 and gradient norm 346 with dot products at scale 20, against 2.1 and 21 with cosines.",
    fix="compares by cosine, or sets the scale to 1 where the model compares by dot products",
)  # fmt: skip
@finds(
    "scale-too-small", "warning", when="even a perfect model keeps half of the loss of guessing, by scale or temperature",
    why="Cosines end at 1: without a scale of about 20 the right candidate can hardly stand out, and the gradients tell little.",
    fix="sets the scale to 20, or the temperature to 0.01",
)  # fmt: skip
def scale_can_tell_apart(case: Case) -> Iterator[Finding]:
    """With cosines, which end at 1, the scale lets the right candidate stand out; without, it does not blow up."""
    name, good = ("scale", 20.0) if "scale" in case.values else ("temperature", 0.01)
    similarity = case.values.get("similarity_fct", "cos_sim")
    if case.info.custom or not case.info.in_batch_negatives or case.values.get(name) is None:
        return
    given = float(case.values[name])
    scale = given if name == "scale" else 1 / given
    candidates = min(case.recipe.batch_size, case.rows) * max(1, len(case.train.texts) - 1)
    measured = f"parameters of the loss, batches of {case.recipe.batch_size}, and the modules of {case.recipe.model}"
    own = case.habits.similarity == "dot"
    mend: dict[str, Any] = {name: 1.0} if own else {"similarity_fct": "cos_sim"}
    if similarity == "dot_score" and not case.model.normalized and scale >= 5:
        yield case.finding(
            "dot-product-scaled",
            "warning",
            f"Dot products of vectors that are not of unit length are multiplied by {scale:g}, so the first losses and gradients will be many times too large.",
            evidence={"scale": scale, "similarity_fct": "dot_score", "unit_vectors": "no", "measured_on": measured},
            fixed=f"set {name} to 1" if own else "set similarity_fct to cos_sim",
            loss=case.with_parameters(**mend),
        )
    if similarity != "cos_sim" or candidates < 2:
        return
    # negatives at right angles, the positive identical
    least = math.log1p((candidates - 1) * math.exp(-scale))
    share = least / math.log(candidates)
    if share >= 0.5:
        yield case.finding(
            "scale-too-small",
            "warning",
            f"With {name} {given:g} even a perfect model keeps a loss of {least:.2f} among {candidates} candidates, where pure guessing has {math.log(candidates):.2f}.",
            evidence={name: given, "candidates": candidates, "least_loss": least, "guessing_loss": math.log(candidates), "measured_on": measured},
            fixed=f"set {name} to {good:g}",
            loss=case.with_parameters(**{name: good}),
        )  # fmt: skip


@finds(
    "similarity-differs", "note", when="the loss compares vectors in another way than the model says they are compared, and they are not of unit length",
    why="What is pulled together by one measure can stay apart by another; for vectors of unit length all of them rank alike.",
    fix="lets the loss compare as the model does",
)  # fmt: skip
def similarities_agree(case: Case) -> Iterator[Finding]:
    """The loss compares vectors as the model and the scores do."""
    name = next((name for name in ("similarity_fct", "distance_metric") if case.values.get(name)), None)
    if name is None or case.info.custom or case.model.normalized:
        return
    given = str(case.values[name]).lower()
    own = next((way for spelling, way in SPELLINGS.items() if spelling in given), None)
    similarity = case.habits.similarity
    if own is None or own == similarity:
        return
    parameter = case.info.parameter(name)
    wanted = next(
        (choice for choice in (parameter.choices if parameter else ()) if similarity[:3] in choice.lower()), None
    )
    # with them, what suited the other measure would be out of reach or blow up
    known = {"cosine": (("triplet_margin", "margin"), GOOD_MARGIN), "dot": (("scale",), 1.0)}
    keys, good = known.get(similarity, ((), 0.0))
    more: dict[str, float] = {key: good for key in keys if key in case.values}
    mends = wanted is not None and case.loss.name not in ("MarginMSELoss", "DistillKLDivLoss")
    yield case.finding(
        "similarity-differs",
        "note",
        f"{case.loss.name} compares by {own}, but vectors of {case.recipe.model} are compared by {similarity} and are not of unit length, so training and use measure different things.",
        evidence={name: case.values[name], "similarity_of_the_model": similarity, "unit_vectors": "no", "measured_on": f"parameters of the loss and the files of {case.recipe.model}"},
        fixed=f"set {name} to {wanted}" + "".join(f" and {key} to {value:g}" for key, value in more.items()),
        mends=mends,
        loss=case.with_parameters(**{name: wanted}, **more) if mends else None,
    )  # fmt: skip
