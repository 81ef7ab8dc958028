"""Does the loss suit the table and the model?"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.checks.case import Case, without_column
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.checks.fitting import suited_loss, with_innermost
from workbench.data.examples import cut_text
from workbench.errors import ModelError
from workbench.recipe import Loss

LAYERED = ("AdaptiveLayerLoss", "Matryoshka2dLoss")
MEGA_BATCH = 100  # its documentation asks for 500


@finds(
    "loss-does-not-fit", "error", when="the loss does not take such columns or such a label",
    why="The run would stop with an error, or silently ignore or misread a column.",
    fix="takes the first loss that suits the table, or ignores the label",
)  # fmt: skip
def suits_the_table(case: Case) -> Iterator[Finding]:
    """The columns are those that the loss takes."""
    if case.misfit is None:
        return
    evidence = {"loss": case.loss.name, "text_columns": len(case.train.texts), "label": case.label_kind or "none"}
    new = suited_loss(case.recipe.loss, case.train)
    fixed, changes = "", {}
    if new is not None:
        fixed, changes = f"take {new.innermost.name}", _with_sampler(case, new)
    elif case.train.label is not None and (without := without_column(case, case.train.label)):
        fixed, changes = f"ignore the column {case.train.label!r}", without
    yield case.finding("loss-does-not-fit", "error", case.misfit, evidence=evidence, fixed=fixed, **changes)


def _with_sampler(case: Case, new: Loss) -> dict[str, object]:
    sampler = catalog.describe(new.innermost.name, new.innermost.source).sampler
    size = case.recipe.batch_size
    even = {"batch_size": max(4, size + size % 2)} if sampler == "group_by_label" and (size < 4 or size % 2) else {}
    return {"loss": new, "batch_sampler": sampler, **even}


@finds(
    "too-many-dimensions", "error", when="`matryoshka_dims` asks for more dimensions than the model has",
    why="A vector cannot be cut to more numbers than it has.", fix="leaves those dimensions out",
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
        evidence={"largest": max(dims), "dimension": have, "measured_on": f"the modules of {case.recipe.model}"},
        fixed=f"leave out dimensions above {have}",
        mends=new,
        loss=new,
    )


@finds(
    "teacher-dimension", "error", when="the teacher's vectors in the label have another dimension than the model",
    why="The loss subtracts the two vectors number by number.", fix="sets `projection_dim` to the teacher's dimension",
)  # fmt: skip
def teacher_has_the_dimension(case: Case) -> Iterator[Finding]:
    """Vectors to be imitated are as long as those of the model, or are projected."""
    if case.label_kind != "embedding" or case.info.parameter("projection_dim") is None or not case.model.dimension:
        return
    width, have = case.labels.shape[-1], case.loss.parameters.get("projection_dim") or case.model.dimension
    if width == have:
        return
    yield case.finding(
        "teacher-dimension",
        "error",
        f"The label holds vectors of {width} numbers, but {case.loss.name} compares them with vectors of {have}, so the run will stop at its first step.",
        evidence={"label": width, "compared_with": have, "dimension": case.model.dimension},
        fixed=f"set projection_dim to {width}",
        loss=case.with_parameters(projection_dim=width),
    )


@finds(
    "loss-needs-a-transformer", "error", when="the loss splits batches, cuts layers or decodes, and the model is a table of word vectors",
    why="A static model has no layers, and its inputs cannot be split into smaller batches.",
    fix="takes the loss that does the same without that, where there is one",
)  # fmt: skip
def loss_suits_the_model(case: Case) -> Iterator[Finding]:
    """A static model gets no loss that needs a transformer."""
    if not case.static:
        return
    loss, inner = case.recipe.loss, case.loss
    splits = case.info.cached and case.values.get("use_mini_batched_version") is not False
    new: Loss | None = None
    if loss.name in LAYERED:
        needs, new = loss.name, loss.parameters["loss"]
        cuts = {name: value for name, value in loss.parameters.items() if name.startswith("matryoshka_")}
        new = Loss("MatryoshkaLoss", loss=new, **cuts) if cuts else new
    elif splits and case.info.parameter("use_mini_batched_version"):
        needs, new = inner.name, Loss(inner.name, **{**inner.parameters, "use_mini_batched_version": False})
    elif splits and not case.info.custom:
        plain = inner.name.removeprefix("Cached")
        known = catalog.get(plain)
        kept = {name: value for name, value in inner.parameters.items() if known.parameter(name)}
        needs, new = inner.name, Loss(plain, **kept)
    elif inner.name == "DenoisingAutoEncoderLoss":
        needs = inner.name
    else:
        return
    if new is not None and needs == inner.name:
        new = with_innermost(loss, new)
    yield case.finding(
        "loss-needs-a-transformer",
        "error",
        f"{needs} does not work with {case.recipe.model}, which is a table of word vectors, so the run will not start.",
        evidence={"loss": needs, "layers": 0, "measured_on": f"the modules of {case.recipe.model}"},
        fixed=f"take {new.name if needs in LAYERED else new.innermost.name}" + (" without mini-batches" if new.innermost.name == needs else "") if new else "",
        mends=new,
        loss=new,
    )  # fmt: skip


@finds(
    "lora-needs-a-transformer", "error", when="LoRA is on and the model is a table of word vectors",
    why="LoRA changes the layers of a transformer, and a static model has none.", fix="turns LoRA off",
)  # fmt: skip
def lora_suits_the_model(case: Case) -> Iterator[Finding]:
    """A static model is trained without LoRA."""
    if case.static and case.recipe.lora:
        message = (
            f"LoRA is on, but {case.recipe.model} is a table of word vectors without layers, so the run will not start."
        )
        measured = {"layers": 0, "measured_on": f"the modules of {case.recipe.model}"}
        yield case.finding("lora-needs-a-transformer", "error", message, evidence=measured, fixed="turn LoRA off", lora=None)  # fmt: skip


@finds(
    "other-model-missing", "error", when="the loss names a guide or decoder that is no model",
    why="The loss loads it when the run begins.",
)  # fmt: skip
def other_models_are_there(case: Case) -> Iterator[Finding]:
    """A guide or decoder that the loss loads has the shape of a model."""
    for parameter in case.info.parameters:
        name = case.loss.parameters.get(parameter.name)
        if parameter.kind != "model" or not name:
            continue
        try:
            models.check_name(name)
        except ModelError as error:
            message = f"{case.loss.name} cannot have {cut_text(name, 80)!r} as its {parameter.name}: {str(error).rstrip('.')}."
            yield case.finding("other-model-missing", "error", message, evidence={parameter.name: cut_text(name, 80), "measured_on": "the recipe"})  # fmt: skip


@finds(
    "batches-too-small-for-the-loss", "warning", when="MegaBatchMarginLoss gets fewer than 100 rows at a time",
    why="It takes only the hardest negative of a batch, and in a small batch the hardest one is easy.",
    fix="sets `batch_size` to 500, or to all rows where they are fewer",
)  # fmt: skip
def batches_suit_the_loss(case: Case) -> Iterator[Finding]:
    """MegaBatchMarginLoss has batches with hard negatives in them."""
    size, good = min(case.recipe.batch_size, case.rows), min(500, case.rows)
    if case.loss.name != "MegaBatchMarginLoss" or size >= MEGA_BATCH:
        return
    yield case.finding(
        "batches-too-small-for-the-loss",
        "warning",
        f"{case.loss.name} looks for the hardest of {size} rows, where its documentation asks for about 500.",
        evidence={"batch_size": size, "rows": case.rows},
        fixed=f"set batch_size to {good}",
        mends=good >= MEGA_BATCH,
        batch_size=good,
    )
