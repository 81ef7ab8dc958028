"""What the logs of the five cards mean: every sentence is made from numbers of the card, or measured on our rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.cards import logs
from workbench.checks.before import check
from workbench.data.load import load
from workbench.gallery.record import Entry

EVERY = 500  # steps between two entries of the log where nobody says otherwise
RETURNS = 20  # rows of a question, for an example
SCALER_START = 65_536  # factor by which mixed precision in fp16 begins to scale the loss


def of_margin(entry: Entry) -> tuple[str, ...]:
    """A mean triplet loss, told in distances."""
    margin, loss, step = entry.card["margin"], entry.card["logged loss"], entry.card["logged at step"]
    low, high = logs.triplet_range(margin)
    gap = logs.triplet_gap(loss, margin)
    assert gap is not None
    return (
        f"Vectors of unit length are at most {logs.FARTHEST:g} apart, so with a margin of {margin:g} the loss lies in [{low:g}, {high:g}] and no triplet ever counts as done.",
        f"The logged {loss} is a mean over steps 1 to {step}, and {margin:g} minus it is {gap:.2f}: so much farther was the other term than the right one on average, of {logs.FARTHEST:g} that are possible.",
        f"A loss of {margin:g} means that both are equally far, {low:g} is the best there is: the run had gone {gap / logs.FARTHEST:.0%} of the way, which the number {loss} hides.",
    )


def of_repeats(entry: Entry) -> tuple[str, ...]:
    """How much of a loss is the floor that repeated questions leave."""
    batch, loss, rows = entry.card["batch size"], entry.card["logged loss"], entry.card["rows"]
    ours, found = load(entry.recipe.data), _evidence(entry, "equal-texts-in-batch")
    mean = len(ours) / len(set(ours.column("question")))
    small, large = (logs.repeat_floor([RETURNS] * (rows // RETURNS), size) for size in (batch, 8 * batch))
    return (
        f"Where a question is in k rows of a batch, its k answers share the certainty, and the mean loss of these rows cannot fall below ln k: {math.log(2):.3f} for 2, {math.log(3):.3f} for 3.",
        f"On our {len(ours):,} rows a question is in {mean:.1f} on average: {found['share_of_batches']:.0%} of the batches of {batch} hold one twice, which leaves a floor of {found['least_loss']:.3f}, however good the model is.",
        f"How often a question returned in the card's {rows:,} rows it does not say. If {RETURNS} times, {small:.3f} of the logged {loss} were this floor ({small / loss:.0%}); in batches of {8 * batch} the floor alone would be {large:.3f}, since a larger batch holds more of its answers.",
        f"Guessing would log ln {batch} = {math.log(batch):.3f}: {loss} is {logs.of_guessing(loss, batch):.0%} of it.",
    )


def of_one_step(entry: Entry) -> tuple[str, ...]:
    """How far a single clipped step can move."""
    rate, clip, steps = entry.card["learning rate"], entry.card["clip"], entry.card["steps"]
    norm = _evidence(entry, "weights-hardly-move")["weights_norm"]
    return (
        f"The log is empty: the run had {steps} step, and the library logs every {EVERY}.",
        f"SGD moves the weights by the rate times the gradient, which is clipped to a length of {clip:g}: {rate:g} times {clip:g} is {rate * clip:.0e} at most.",
        f"The weights of {entry.recipe.model} together have a length of {norm:.1f}, so the step changes them by at most {rate * clip * steps / norm:.1e} of it: the model is what it was.",
        f"fp16 does nothing on a CPU; on a GPU the loss is first multiplied by {SCALER_START:,}, and a step whose gradients overflow is left out: of {steps} step perhaps the only one.",
    )


def of_broken_texts(entry: Entry) -> tuple[str, ...]:
    """How near a loss is to that of guessing."""
    batch, loss, step = entry.card["batch size"], entry.card["logged loss"], entry.card["logged at step"]
    return (
        f"A model that cannot tell which of the {batch} sentences of a batch comes next has a loss of ln {batch} = {math.log(batch):.4f}.",
        f"The logged {loss}, a mean over steps 1 to {step}, is {logs.of_guessing(loss, batch):.1%} of it: for most rows nothing told the model which sentence comes next, and little was learnt.",
        f"If the run warmed up over fit()'s default of {logs.FIT['warmup_steps']:,} steps, its rate at step {step} was {logs.fit_peak(step):.0e}.",
    )


def of_zero_weights(entry: Entry) -> tuple[str, ...]:
    """Which batches give the evaluation loss that a model of zeros logs."""
    rows, batch, loss = entry.card["evaluation rows"], entry.card["batch size"], entry.card["logged evaluation loss"]
    full, left = divmod(rows, batch)
    tails = logs.tails_that_give(loss, rows=rows, batch_size=batch, per_row=2)
    said = [
        f"To a model whose vectors are all zero, every candidate has the similarity 0, so the loss of a batch of r triplets is ln 2r: ln {2 * batch} = {math.log(2 * batch):.4f} for {batch}.",
        f"A correlation with similarities that are all equal is undefined: every score is NaN, and was so before the first step. The {entry.card['logged how often']} equal losses are one number, since zero vectors have no gradient.",
    ]
    for first, second in tails:
        value = logs.chance_loss([batch] * full + [first, second], batch_size=batch, per_row=2)
        said.append(
            f"The logged {loss} is no ln 2r but their mean over {full} evaluation batches of {batch} and two short ones of {first} and {second}, since no_duplicates puts rows off: the library weights each with {batch}, the last with {rows} mod {batch} = {left}, which gives {value:.6f}. No other two sizes give {loss}."
            if len(tails) == 1
            else f"Short batches of {first} and {second} would give {value:.6f}."
        )
    return tuple(said)


def _evidence(entry: Entry, code: str) -> Mapping[str, Any]:
    """The numbers of what the checks find in the recipe as the card did it."""
    return next(finding.evidence for finding in check(entry.recipe, batch=False) if finding.code == code)
