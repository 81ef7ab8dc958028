"""Steps, warm-up, learning rate, and how often something is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator

from workbench.checks.case import Case
from workbench.checks.codes import finds
from workbench.checks.finding import Finding, Severity, some
from workbench.steps import steps_of, warmup_steps

SMALLEST_MOVE = 1e-4
EVERY: dict[str, tuple[float, Severity, str]] = {
    "logging_steps": (0.02, "warning", "the loss is recorded at the first and the last step only"),
    "eval_steps": (0.2, "note", "scores are taken only before and after the run"),
    "save_steps": (0.1, "note", "there is no checkpoint to resume from before the end"),
}


@finds(
    "warmup-too-long", "error", "warning", when="the warm-up does not end before the run; an error if the rate stays 0",
    why="The run ends while the rate still rises, and learns far less than its settings say.", fix="sets `warmup` to 0.1 of all steps",
)  # fmt: skip
def warmup_ends(case: Case) -> Iterator[Finding]:
    """The warm-up is shorter than the run."""
    recipe, steps = case.recipe, case.steps
    warmup = warmup_steps(recipe, steps)
    if recipe.scheduler == "constant" or warmup < steps:
        return
    peak = recipe.learning_rate * (steps - 1) / warmup
    yield case.finding(
        "warmup-too-long",
        "error" if peak == 0 else "warning",
        f"The warm-up takes {warmup:,} steps but the run has {steps:,}, so the learning rate reaches at most {peak:.2g} instead of {recipe.learning_rate:g}.",
        evidence={"warmup_steps": warmup, "steps": steps, "highest_rate": peak, "learning_rate": recipe.learning_rate},
        fixed="set warmup to 0.1 of all steps",
        warmup=0.1,
    )


@finds(
    "learning-rate-unusual", "warning", when="AdamW has a rate outside 1e-6 to 1e-3 for a transformer, 1e-5 to 1e-2 under LoRA, 1e-4 to 0.005 for a linear adapter, or 0.005 to 2 for static embeddings",
    why="Too low a rate changes nothing, too high a rate gives all texts the same vector.", fix="sets `learning_rate` to one that is known to work",
)  # fmt: skip
def rate_suits_the_model(case: Case) -> Iterator[Finding]:
    """The learning rate is of the size that is known to work for this kind of model."""
    recipe = case.recipe
    if recipe.optimizer != "adamw":
        return
    if recipe.method == "adapter":
        low, high, good, kind = 1e-4, 5e-3, 1e-3, "a linear adapter"
        why = "Measured on our glossary with rates of 3e-4 to 1e-2: 1e-3 was best or near it in every view, and 1e-2 lost scores in three of four."
    elif case.static:
        low, high, good, kind = 5e-3, 2.0, 0.2, "static embeddings"
        why = "Measured on a static model: 63 steps gave an accuracy of 0.016 at rates of 2e-05 and 0.002, and of 1.0 at 0.02 and 0.2; at 5 the vectors grew 13 times as long."
    elif recipe.lora:
        low, high, good, kind = 1e-5, 1e-2, 2e-4, "a transformer under LoRA"
        why = "LoRA trains few weights from zero, so it wants about ten times the rate of full training."
    else:
        low, high, good, kind = 1e-6, 1e-3, case.model.learning_rate, "a transformer"
        why = "Too high a rate gives all texts the same vector: measured on a BERT at 0.05, accuracy fell from 1.00 to 0.11 and the loss stayed at that of guessing; far too low a rate changes nothing."
    rate = recipe.learning_rate
    if low <= rate <= high:
        return
    times = good / rate if rate < low else rate / good
    result = f"{times:,.0f} times below what is known to work for {kind} (about {good:g}), so {case.steps:,} steps will change next to nothing"
    if rate > high:
        result = f"{times:,.0f} times above what is known to work for {kind} (about {good:g}), so the vectors will most likely fall into one place or grow without end"
    yield case.finding(
        "learning-rate-unusual",
        "warning",
        f"The learning rate {rate:g} is {result}.",
        why=why,
        evidence={
            "learning_rate": rate,
            "known_to_work": good,
            "from": low,
            "to": high,
            "kind": kind,
            "measured_on": f"the modules of {recipe.model}; bounds from our runs",
        },
        fixed=f"set learning_rate to {good:g}",
        learning_rate=good,
    )


@finds(
    "weights-hardly-move", "warning", when="rate, clipping and steps let all weights move by less than 0.0001 of their size",
    why="SGD moves by the rate times the clipped gradient, AdamW moves every weight by about the rate: at the same rate we measured 140 times the change with AdamW.",
    fix="takes AdamW with a rate that is known to work, where that is enough",
)  # fmt: skip
def steps_move_the_weights(case: Case) -> Iterator[Finding]:
    """Learning rate, clipping and steps let the weights move at all."""
    recipe, norm = case.recipe, case.stored.norm
    sgd = recipe.optimizer == "sgd"
    if not norm or not math.isfinite(norm) or recipe.lora or (sgd and not recipe.max_grad_norm):
        return
    each = math.sqrt(case.stored.weights) * case.steps / norm  # AdamW, for a rate of 1
    farthest = recipe.learning_rate * (recipe.max_grad_norm * case.steps / norm if sgd else each)
    if farthest >= SMALLEST_MOVE:
        return
    good = 0.2 if case.static else case.model.learning_rate
    limits = f"With SGD, clipping at {recipe.max_grad_norm:g}" if sgd else f"With AdamW at {recipe.learning_rate:g}"
    yield case.finding(
        "weights-hardly-move",
        "warning",
        f"{limits} and {some(case.steps, 'step')} the weights can move by at most {farthest:.1e} of their size, so the model will stay what it is.",
        evidence={
            "largest_relative_move": farthest,
            "weights_norm": norm,
            "learning_rate": recipe.learning_rate,
            "max_grad_norm": recipe.max_grad_norm,
            "steps": case.steps,
            "measured_on": f"all weights of {recipe.model}",
        },
        fixed=f"take adamw with learning_rate {good:g}",
        mends=good * each >= SMALLEST_MOVE,
        optimizer="adamw",
        learning_rate=good,
    )


SEEN = "A run that goes wrong is noticed only when it is over, or has to begin again from the start."


@finds(
    "logging-too-rare", "warning", when="the loss is recorded at the first and last step only",
    why=SEEN, fix="records it every 0.02 of all steps",
)  # fmt: skip
@finds(
    "eval-too-rare", "note", when="scores are taken only before and after the run",
    why=SEEN, fix="takes them every 0.2 of all steps",
)  # fmt: skip
@finds(
    "save-too-rare", "note", when="there is no checkpoint before the end",
    why=SEEN, fix="keeps one every 0.1 of all steps",
)  # fmt: skip
def something_is_seen(case: Case) -> Iterator[Finding]:
    """Loss, scores and checkpoints come before the end."""
    for setting, (share, severity, unseen) in EVERY.items():
        amount = getattr(case.recipe, setting)
        if steps_of(amount, case.steps) < case.steps or case.steps < 2:
            continue
        if setting == "eval_steps" and case.evaluation is None:
            continue
        yield case.finding(
            f"{setting.removesuffix('_steps')}-too-rare",
            severity,
            f"{setting} is {amount:g} but the run has {case.steps:,} steps, so {unseen}.",
            evidence={setting: amount, "steps": case.steps},
            fixed=f"set {setting} to {share:g} of all steps",
            **{setting: share},
        )


@finds(
    "precision-on-cpu", "warning", "note", when="`device` is cpu and `precision` is bf16 (a warning) or fp16 (a note)",
    why="Half precision pays where the hardware has it, as GPUs do; a card that says fp16 for an fp32 run misleads.", fix="sets `precision` to auto",
)  # fmt: skip
def precision_suits_the_device(case: Case) -> Iterator[Finding]:
    """On a CPU that the recipe names, half precision is ignored or slow."""
    recipe = case.recipe
    if recipe.device != "cpu" or recipe.precision not in ("fp16", "bf16"):
        return
    fp16 = recipe.precision == "fp16"
    result = "is silently ignored on a CPU" if fp16 else "most CPUs only emulate, slower than fp32"
    yield case.finding(
        "precision-on-cpu",
        "note" if fp16 else "warning",
        f"precision is {recipe.precision}, which {result}.",
        evidence={"precision": recipe.precision, "device": recipe.device, "measured_on": "the recipe"},
        fixed="set precision to auto",
        precision="auto",
    )


@finds(
    "fp16-in-few-steps", "warning", when="`precision` is fp16 and a run on a GPU has fewer than 20 steps",
    why="fp16 begins with the loss multiplied by 65,536 and leaves out steps until the gradient fits, so the first steps are usually lost.",
    fix="sets `precision` to auto, which is bf16 where the GPU has it",
)  # fmt: skip
def first_steps_count(case: Case) -> Iterator[Finding]:
    """A short run does not lose its first steps to the scaling of fp16."""
    recipe = case.recipe
    if recipe.precision != "fp16" or recipe.device == "cpu" or case.steps >= 20:
        return
    yield case.finding(
        "fp16-in-few-steps",
        "warning",
        f"The run has {some(case.steps, 'step')} in fp16, of which the first are usually left out until the gradient can be held.",
        evidence={"precision": "fp16", "steps": case.steps},
        fixed="set precision to auto",
        precision="auto",
    )
