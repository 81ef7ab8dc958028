"""What the numbers of one batch say: a model without use, a loss that guesses, a gradient that is none, a long run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from workbench.checks.case import Case, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.checks.trial_batch import ALIKE, Trial

FEW_TEXTS = 8  # below, alike vectors may be the texts' doing
# A BERT with random weights, which learns well, has 1.4 to 1.5 at a mean cosine of 0.95
ONE_RANK = 1.01
# Above this mean cosine, two texts of a high one need not say the same
TELLING_COSINE = 0.5
NOTHING_LEFT = 0.01
LONG_S = 30 * 60.0
USELESS = "The scores of such vectors are NaN, or noise that looks like a number: vectors that are constant up to rounding give a finite Spearman correlation that means nothing. Nothing in a run mends it; take another model, or fetch this one again."


@finds("vectors-not-finite", "error", when="the base model gives a vector with NaN or infinity", why=USELESS)
@finds("vectors-zero", "error", "warning", when="the base model gives texts the vector 0", why=USELESS)
@finds(
    "vectors-alike", "error", "warning",
    when="the base model gives different texts nearly the same vector or direction", why=USELESS,
)  # fmt: skip
def vectors_tell_apart(case: Case, trial: Trial) -> Iterator[Finding]:
    """Different texts have different vectors, and all are numbers."""
    sample, name = trial.sample, case.recipe.model
    numbers = {"deviation": sample.deviation, "mean_cosine": sample.cosine, "effective_rank": sample.rank}
    evidence = {
        "texts": sample.texts,
        "not_finite": sample.not_finite,
        "zero_vectors": sample.zero,
        **{key: "undefined" if value is None else value for key, value in numbers.items()},
        "measured_on": _sampled(case, trial),
    }
    if sample.not_finite:
        message = f"{name} gives {sample.not_finite} of {sample.texts} texts a vector with NaN or infinity, so every score comes out as NaN."
        yield case.finding("vectors-not-finite", "error", message, evidence=evidence)
    elif sample.zero:
        every = sample.zero == sample.texts
        message = f"{name} gives {sample.zero} of {sample.texts} texts the vector 0, so their cosines are undefined and count as 0."
        why = "A model has no vector for a text of which it knows no word: look at those texts, or take a model that knows their language."
        if every:
            message, why = f"{name} gives all {sample.texts} texts the vector 0, so no gradient flows and correlations come out as NaN.", ""  # fmt: skip
        yield case.finding("vectors-zero", "error" if every else "warning", message, evidence=evidence, why=why)
    elif sample.texts < FEW_TEXTS or sample.deviation is None or sample.cosine is None or sample.rank is None:
        return
    elif sample.deviation < 1e-6 or sample.rank < ONE_RANK:
        message = f"{name} gives {sample.texts} different texts nearly the same vector: standard deviation {sample.deviation:.1e}, mean cosine {sample.cosine:.4f}, effective rank {sample.rank:.2f}, so scores come out as NaN or as rounding noise."
        yield case.finding("vectors-alike", "error", message, evidence=evidence)
    elif sample.cosine > 0.99:
        message = f"{name} gives {sample.texts} different texts nearly one direction: mean cosine {sample.cosine:.4f}, effective rank {sample.rank:.2f}."
        why = "Such a model tells little apart before it is trained, and may need many steps; a language model that was never trained on whole texts can be like that, a finished embedding model is not."
        yield case.finding("vectors-alike", "warning", message, evidence=evidence, why=why)


@finds(
    "positives-alike", "note",
    when=f"by the base model, 5% of the sampled rows or more have a positive that says the same as another row's (cosine above {ALIKE:g})",
    why="In a batch they count as wrong answers though they say the same; samplers see equal texts only. Join such rows, or take GISTEmbedLoss, which leaves out what its guide finds alike.",
)  # fmt: skip
def positives_differ(case: Case, trial: Trial) -> Iterator[Finding]:
    """In-batch negatives: the right answers of different rows do not say the same in other words."""
    sample = trial.sample
    if not case.info.in_batch_negatives or "GIST" in case.loss.name or sample.alike < 0.05 * sample.rows:
        return
    if sample.cosine is None or sample.cosine > TELLING_COSINE:
        return
    yield case.finding(
        "positives-alike",
        "note",
        f"In {sample.alike} of {sample.rows} sampled rows ({percent(sample.alike / sample.rows)}) the positive says nearly the same as that of a row with another anchor (cosine above {ALIKE:g}).",
        evidence={
            "rows": sample.alike,
            "share": sample.alike / sample.rows,
            "cosine_above": ALIKE,
            "mean_cosine": sample.cosine,
            "measured_on": _sampled(case, trial),
        },
    )


@finds(
    "loss-of-guessing", "warning",
    when="the first loss is within 1% of ln(candidates), and no more right answers are nearest than by chance",
    why="The base model tells these rows no better apart than by throwing dice, so all has to be learnt from them: take a model that was trained on such texts, or make sure that the columns belong together.",
)  # fmt: skip
@finds(
    "nothing-to-learn", "note", when="the loss of the first batch is below 0.01 before any step",
    why="The base model tells these rows apart already, perhaps by the words that the right texts share: what is left to learn is little. Harder negatives teach more.",
)  # fmt: skip
def loss_leaves_room(case: Case, trial: Trial) -> Iterator[Finding]:
    """The first loss is neither that of guessing nor nearly 0."""
    if trial.line is None or trial.rows < 2 or not math.isfinite(trial.loss):
        return
    evidence = {"loss": trial.loss, "loss_of_guessing": trial.line, "measured_on": _batch(case, trial)}
    if trial.loss < NOTHING_LEFT < trial.line:
        message = f"The loss of the first batch is {trial.loss:.2g} before any step ({trial.line:.2f} is that of guessing), so there is little to learn."
        yield case.finding("nothing-to-learn", "note", message, evidence=evidence)
    elif (
        case.info.in_batch_negatives
        and trial.accuracy is not None
        and abs(trial.loss / trial.line - 1) < 0.01
        and trial.accuracy <= chance_of(trial) + 2 * math.sqrt(chance_of(trial) / trial.rows)
    ):
        message = f"The loss of the first batch is {trial.loss:.3f} where guessing has {trial.line:.3f}, and {percent(trial.accuracy)} of its rows have their own text nearest where chance has {percent(chance_of(trial))}: the base model tells these rows nothing apart."
        yield case.finding(
            "loss-of-guessing",
            "warning",
            message,
            evidence={**evidence, "accuracy": trial.accuracy, "chance": chance_of(trial)},
        )


def chance_of(trial: Trial) -> float:
    """Share of right answers of a model that guesses among all second and later texts of the batch."""
    return 1 / (trial.rows * max(1, len(trial.tokens) - 1))


@finds(
    "gradient-not-finite", "error", when="the loss or the gradient of the first batch is NaN or infinite",
    why="One such step makes all weights NaN: lower the scale of the loss, turn half precision off, or look at the labels of the table.",
)  # fmt: skip
@finds(
    "gradient-zero", "warning", when="the gradient of the first batch is exactly 0, and its loss is not",
    why="Such a step changes nothing: the labels of the batch are all alike, or the vectors do not depend on the weights.",
)  # fmt: skip
@finds(
    "gradient-huge", "warning", when="the gradient of the first batch is over 100 times max_grad_norm",
    why="Clipping then sets the length of every step. With AdamW a constant factor cancels, but the loss is scaled far beyond what is usual; dot products of long vectors do this.",
)  # fmt: skip
def gradient_can_be_followed(case: Case, trial: Trial) -> Iterator[Finding]:
    """The gradient of the first batch is a number, not 0 and not huge."""
    limit = case.recipe.max_grad_norm
    evidence = {
        "gradient_norm": trial.gradient if math.isfinite(trial.gradient) else str(trial.gradient),
        "loss": trial.loss if math.isfinite(trial.loss) else str(trial.loss),
        "max_grad_norm": limit,
        "measured_on": _batch(case, trial),
    }
    if not math.isfinite(trial.loss) or not math.isfinite(trial.gradient):
        message = f"The first batch has the loss {trial.loss:.4g} and a gradient of norm {trial.gradient:.4g}, so the run stops at its first step."
        yield case.finding("gradient-not-finite", "error", message, evidence=evidence)
    elif trial.gradient == 0 and abs(trial.loss) >= NOTHING_LEFT:
        message = (
            f"The gradient of the first batch is exactly 0 at a loss of {trial.loss:.4g}, so its step changes nothing."
        )
        yield case.finding("gradient-zero", "warning", message, evidence=evidence)
    elif limit and trial.gradient > 100 * limit:
        message = f"The gradient of the first batch has norm {trial.gradient:,.0f}, {trial.gradient / limit:,.0f} times the {limit:g} that it is clipped to."
        yield case.finding("gradient-huge", "warning", message, evidence=evidence)


@finds(
    "long-run", "note", when="by one measured pass, the training steps take over 30 minutes on this machine",
    why="Fewer steps, shorter texts (max_seq_length), a smaller model or a GPU shorten it; a run can be stopped at any time and keeps what it has learnt.",
    fix="sets max_steps to what 30 minutes hold",
)  # fmt: skip
def run_ends_soon(case: Case, trial: Trial) -> Iterator[Finding]:
    """The training steps take less than half an hour."""
    seconds, step = forecast(case, trial), seconds_of_a_step(case, trial)
    if seconds <= LONG_S:
        return
    fits = int(LONG_S / step)
    yield case.finding(
        "long-run",
        "note",
        f"At {duration(step)} a step the {case.steps:,} training steps take about {duration(seconds)} on {trial.device}.",
        evidence={
            "seconds_a_step": round(step, 4),
            "steps": case.steps,
            "seconds": round(seconds),
            "measured_on": _batch(case, trial),
        },
        fixed=f"set max_steps to {fits:,}",
        mends=fits,
        max_steps=fits,
    )


LOOKS: tuple[Callable[[Case, Trial], Iterator[Finding]], ...] = (
    positives_differ,
    loss_leaves_room,
    gradient_can_be_followed,
)


def findings_of(case: Case, trial: Trial) -> list[Finding]:
    """All that the numbers say; where the vectors are of no use, what follows from that is left out."""
    vectors = list(vectors_tell_apart(case, trial))
    rest = [] if vectors else [finding for look in LOOKS for finding in look(case, trial)]
    return [*vectors, *rest, *run_ends_soon(case, trial)]


def seconds_of_a_step(case: Case, trial: Trial) -> float:
    """Seconds of an optimizer step: one pass for each batch that is accumulated."""
    return trial.seconds * case.recipe.gradient_accumulation_steps


def forecast(case: Case, trial: Trial) -> float:
    """Seconds of all training steps, scores and checkpoints not counted."""
    return seconds_of_a_step(case, trial) * case.steps


def duration(seconds: float) -> str:
    """Seconds for a sentence, in the unit that suits them."""
    if seconds < 1:
        return f"{max(seconds, 1e-3):.1g} s"
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _sampled(case: Case, trial: Trial) -> str:
    return f"{trial.sample.texts} different texts of {trial.sample.rows} evenly spaced rows of {case.name}, with {case.recipe.model}"


def _batch(case: Case, trial: Trial) -> str:
    return f"the first batch ({trial.rows} rows, seed {case.recipe.seed}) of {case.name}, without dropout, on {trial.device}"
