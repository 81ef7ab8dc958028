"""Does the loss suit the table and the model, and can its parameters work?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from workbench.catalog import losses as catalog
from workbench.checks.case import Case
from workbench.checks.finding import Finding
from workbench.checks.fitting import GOOD_MARGIN, suited_loss
from workbench.data.prepare import fit
from workbench.errors import WorkbenchError
from workbench.recipe import Loss

FARTHEST = 2.0  # the largest cosine distance, and the largest distance of unit vectors
DULL = 0.5  # share of the loss of pure guessing that a perfect model may keep


def suits_the_table(case: Case) -> Iterator[Finding]:
    """The columns are those that the loss takes."""
    if case.misfit is None:
        return
    evidence = {"loss": case.loss.name, "text_columns": len(case.train.texts), "label": case.label_kind or "none"}
    new = suited_loss(case.recipe.loss, case.train)
    fixed, changes = "", {}
    if new is not None:
        fixed, changes = f"take {new.innermost.name}", _with_sampler(case, new)
    elif case.train.label is not None and _suits_without_label(case):
        columns = {**case.train.used, case.train.label: "ignore"}
        fixed = f"ignore the column {case.train.label!r}"
        changes = {"data": case.recipe.data.model_copy(update={"columns": columns})}
    why = "The run would stop with an error, or silently ignore or misread a column."
    yield case.finding("loss-does-not-fit", "error", case.misfit, why=why, evidence=evidence, fixed=fixed, **changes)


def _with_sampler(case: Case, new: Loss) -> dict[str, object]:
    sampler = catalog.describe(new.innermost.name, new.innermost.source).sampler
    size = case.recipe.batch_size
    even = {"batch_size": max(4, size + size % 2)} if sampler == "group_by_label" and (size < 4 or size % 2) else {}
    return {"loss": new, "batch_sampler": sampler, **even}


def _suits_without_label(case: Case) -> bool:
    try:
        fit(case.recipe.loss, case.train.with_roles({str(case.train.label): "ignore"}))
    except WorkbenchError:
        return False
    return True


def margin_can_be_met(case: Case) -> Iterator[Finding]:
    """A margin is smaller than the largest difference of distances that the model can make."""
    name = next((name for name in ("triplet_margin", "margin") if name in case.values), None)
    metric = str(case.values.get("distance_metric", "")).lower()
    # "eucledian" is how the library spells it in one place
    bounded = "cosine" in metric or (case.model.normalized and ("euclidean" in metric or "eucledian" in metric))
    if case.info.custom or name is None or not bounded or (margin := float(case.values[name])) < FARTHEST:
        return
    yield case.finding(
        "margin-out-of-reach",
        "warning",
        f"The margin of {margin:g} of {case.loss.name} can never be met, since the {metric.removesuffix('_distance')} distance of this model "
        f"ends at {FARTHEST:g}: "
        + (
            f"the loss stays above {margin - FARTHEST:g}."
            if "Triplet" in case.loss.name
            else "every negative keeps pulling."
        ),
        why="Any margin above the largest distance is only a constant in the loss: in our measurement margins 5 and 1 gave the same vectors, with every easy triplet still pulling, while 0.3 ended with none.",
        evidence={
            name: margin,
            "largest_distance": FARTHEST,
            "distance": metric,
            "unit_vectors": "yes" if case.model.normalized else "no",
            "measured_on": f"parameters of the loss and the modules of {case.recipe.model}",
        },
        fixed=f"set {name} to {GOOD_MARGIN:g}",
        loss=case.with_loss(case.loss.name, **{**case.loss.parameters, name: GOOD_MARGIN}),
    )


def scale_can_tell_apart(case: Case) -> Iterator[Finding]:
    """With cosines, which end at 1, the scale lets the right candidate stand out; without, it does not blow up."""
    scale, similarity = case.values.get("scale"), case.values.get("similarity_fct")
    if case.info.custom or not case.info.in_batch_negatives or scale is None:
        return
    candidates = min(case.recipe.batch_size, case.rows) * max(1, len(case.train.texts) - 1)
    measured = f"parameters of the loss, batches of {case.recipe.batch_size}, and the modules of {case.recipe.model}"
    if similarity == "dot_score" and not case.model.normalized and scale >= 5:
        yield case.finding(
            "dot-product-scaled",
            "warning",
            f"Dot products of vectors that are not of unit length are multiplied by {scale:g}, so the first losses and gradients will be many times too large.",
            why="Measured on a small model: loss 9.4 and gradient norm 346 with dot products at scale 20, against 2.1 and 21 with cosines.",
            evidence={"scale": scale, "similarity_fct": "dot_score", "unit_vectors": "no", "measured_on": measured},
            fixed="set similarity_fct to cos_sim",
            loss=case.with_loss(case.loss.name, **{**case.loss.parameters, "similarity_fct": "cos_sim"}),
        )
    if similarity != "cos_sim" or candidates < 2:
        return
    # negatives at right angles, the positive identical
    least = math.log1p((candidates - 1) * math.exp(-scale))
    share = least / math.log(candidates)
    if share >= DULL:
        yield case.finding(
            "scale-too-small",
            "warning",
            f"With scale {scale:g} even a perfect model keeps a loss of {least:.2f} among {candidates} candidates, where pure guessing has {math.log(candidates):.2f}.",
            why="Cosines end at 1: without a scale of about 20 the right candidate can hardly stand out, and the gradients tell little.",
            evidence={"scale": scale, "candidates": candidates, "least_loss": least, "guessing_loss": math.log(candidates), "measured_on": measured},
            fixed="set scale to 20",
            loss=case.with_loss(case.loss.name, **{**case.loss.parameters, "scale": 20.0}),
        )  # fmt: skip


def dimensions_are_there(case: Case) -> Iterator[Finding]:
    """Matryoshka dimensions are at most those of the model."""
    dims, have = case.recipe.loss.parameters.get("matryoshka_dims") or [], case.model.dimension
    kept = [place for place, dim in enumerate(dims) if have is None or dim <= have]
    if have is None or len(kept) == len(dims):
        return
    parameters = dict(case.recipe.loss.parameters)
    for name in ("matryoshka_dims", "matryoshka_weights"):
        if parameters.get(name):
            parameters[name] = [parameters[name][place] for place in kept]
    new = Loss(case.recipe.loss.name, source=case.recipe.loss.source, **parameters) if kept else None
    yield case.finding(
        "too-many-dimensions",
        "error",
        f"matryoshka_dims asks for {max(dims)} dimensions, but vectors of {case.recipe.model} have {have}, so the run will not start.",
        why="A vector cannot be cut to more numbers than it has.",
        evidence={"largest": max(dims), "dimension": have, "measured_on": f"the modules of {case.recipe.model}"},
        fixed=f"leave out dimensions above {have}" if new else "",
        **({"loss": new} if new else {}),
    )
