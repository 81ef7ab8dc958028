"""What a run is watched for while it trains; each can be turned off by name with the recipe's `watch_off`."""

from __future__ import annotations

from workbench.checks.codes import Code

STOPS = "ends the run with the weights of the last good step"
LOWER = "lowers `learning_rate` to a tenth"
WATCHED: tuple[Code, ...] = (
    Code(
        "not-finite", ("error",), "the loss or the gradient norm is NaN or infinite; the step is not made",
        f"One such step spoils every weight; it {STOPS}.", LOWER, "not_finite",
    ),
    Code(
        "zero-vectors", ("error",), "all probe texts have the vector 0, before the first step or later",
        f"No gradient flows and every cosine is undefined; it {STOPS}.", "", "vectors_are_there",
    ),
    Code(
        "zero-gradient", ("error", "warning"), "the gradient is exactly 0 ten steps in a row; a warning where the loss is 0 too",
        f"No weight moves; as an error it {STOPS}.", "", "still",
    ),
    Code(
        "collapse", ("error",), "the mean cosine of the probe texts nears 1 and their effective rank falls to a fifth or less",
        f"The model gives all texts nearly one vector before scores show it; it {STOPS}.", LOWER, "vectors_stay_apart",
    ),
    Code(
        "loss-at-chance", ("warning",), "after the warm-up three points of the loss lie within 1% of that of a model which tells nothing apart",
        "The run learns nothing, or has lost what the base model knew.", f"{LOWER}, where the loss began lower", "loss_leaves_chance",
    ),
    Code(
        "loss-constant", ("warning", "note"), "after the warm-up three points of the loss are the same to four digits; a note where they are 0",
        "Batches differ, so their losses do, unless the vectors no longer depend on the texts.", "", "loss_varies",
    ),
    Code(
        "overfitting", ("warning",), "the primary score has not risen for three evaluations while the loss fell",
        "The model learns its rows by heart; later steps make it no better.", "ends the run where the score was best", "score_follows_the_loss",
    ),
    Code(
        "score-undefined", ("warning", "note"), "a score has no value; a warning for the primary one",
        "What cannot be scored cannot be compared, and the best checkpoint cannot be told.", "", "scores_are_defined",
    ),
    Code(
        "gradient-clipped", ("note",), "the gradient was clipped in over 90% of at least 20 steps",
        "Plain gradient descent then moves by the limit and not by the gradient; AdamW hardly notices.", "", "gradient_fits_the_limit",
    ),
    Code(
        "steps-slower", ("note",), "a step takes over twice as long as at the start",
        "Longer texts, a filling memory, or something else on the machine; the time left is no longer true.", "", "steps_keep_their_time",
    ),
    Code(
        "batch-split", ("note",), "a batch did not fit into memory, and goes through the model in parts",
        "Loss and gradients stay the same; a step takes up to a third longer.", "", "batch_fits",
    ),
)  # fmt: skip
