"""The weights as they are stored: can anything be learnt from where they start?"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.catalog import hub
from workbench.catalog.weights import routed
from workbench.checks.case import Case
from workbench.checks.codes import finds
from workbench.checks.finding import Finding

BROKEN = "Nothing in a run mends such weights; take another model, or fetch this one again."


@finds(
    "model-is-a-router", "error", when="texts go different ways in the model, by their kind (a Router); nothing else is looked at then",
    why="No recipe says which column goes which way, so the run will not start.",
)  # fmt: skip
def texts_go_one_way(case: Case) -> Iterator[Finding]:
    """The model takes all texts in one way."""
    if problem := routed(case.recipe.model, case.model.path):
        measured = {"model": case.recipe.model, "measured_on": f"the modules of {case.recipe.model}"}
        yield case.finding("model-is-a-router", "error", f"model: {problem}.", evidence=measured)


@finds("weights-not-finite", "error", when="stored weights are NaN or infinite", why=BROKEN)
@finds(
    "weights-all-zero", "error", when="all stored weights are 0",
    why="Every vector is 0, no gradient flows, and every score is NaN; take another model, or fetch this one again.",
)  # fmt: skip
@finds(
    "norms-all-zero", "error", "warning", when="scales of layer normalisations are 0; an error if all of them are",
    why=BROKEN,
)  # fmt: skip
def weights_can_work(case: Case) -> Iterator[Finding]:
    """Weights are numbers, not all 0, and no layer is cut off."""
    stored, name = case.stored, case.recipe.model
    evidence = {"weights": stored.weights, "measured_on": f"all weights of {name}"}
    if stored.not_finite:
        where = f"{stored.not_finite[0]}" + (f" and {len(stored.not_finite) - 1} more" if stored.not_finite[1:] else "")
        message = f"Weights of {name} are NaN or infinite ({where}), so the run will not start."
        yield case.finding("weights-not-finite", "error", message, evidence={"tensors": len(stored.not_finite), **evidence})  # fmt: skip
    elif stored.norm == 0 and stored.weights:
        message = (
            f"All {stored.weights:,} weights of {name} are 0, so every text has the vector 0 and nothing can be learnt."
        )
        yield case.finding("weights-all-zero", "error", message, evidence={"norm": 0.0, **evidence})
    elif stored.zero_norms:
        zero, every = len(stored.zero_norms), len(stored.zero_norms) == len(stored.norms)
        result = (
            "every text has the same vector and a run makes no sense" if every else "what passes through them is lost"
        )
        message = f"The scales of {zero} of {len(stored.norms)} layer normalisations of {name} are 0 ({stored.zero_norms[0]}), so {result}."
        yield case.finding("norms-all-zero", "error" if every else "warning", message, evidence={"zero": zero, "normalisations": len(stored.norms), **evidence})  # fmt: skip


@finds(
    "revision-not-here", "note", when="the recipe names a revision of the model that is not on this machine, though the model is",
    why="A run has to fetch it from the model hub, and without a network does not start; cards name the revision that was newest when they were made.",
    fix="leaves `revision` out",
)  # fmt: skip
def revision_is_here(case: Case) -> Iterator[Finding]:
    """The revision of the model is the one whose files are read here."""
    wanted, model = case.recipe.revision, case.model
    if wanted is None or hub.on_this_machine(model.name, wanted):
        return
    yield case.finding(
        "revision-not-here",
        "note",
        f"Revision {wanted:.50} of {model.name} is not on this machine; without it, the weights of {model.where} are taken.",
        evidence={"revision": wanted, "here": str(model.where), "measured_on": "the places where models lie"},
        fixed="leave the revision out",
        revision=None,
    )


@finds(
    "stored-in-half", "note", when="the weights are stored in half precision",
    why="A run here loads them in float32, which doubles their size; elsewhere they load as they are stored, and AdamW on pure fp16 weights diverged when we measured it (loss 2.27 to 3.96, against 2.3).",
)  # fmt: skip
def weights_are_whole(case: Case) -> Iterator[Finding]:
    """Weights are stored in float32."""
    if case.model.dtype in ("F16", "BF16"):
        message = f"{case.recipe.model} is stored in half precision ({case.model.dtype}); it is trained in float32, and the model of the run takes twice the room."
        yield case.finding("stored-in-half", "note", message, evidence={"stored": case.model.dtype, "measured_on": f"the weights of {case.recipe.model}"})  # fmt: skip
