"""Symptoms of a run that is not well: one small function each, over what the watch has seen and the newest event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median

from workbench.checks.finding import Finding
from workbench.checks.seen import SLOW_POINTS, Event, Seen

# Batches of real texts under a model that learns are farther from the line than that even by accident.
CHANCE_WITHIN = 0.01
# One point at the line, or two alike, may be an accident.
STUCK_POINTS = 3
# A model that had learnt something began at least so far below the line.
BELOW_CHANCE = 0.95
# Measured on a BERT at a learning rate of 0.05: mean cosine 0.98, and an effective rank that fell from 20 to 1.3.
COLLAPSED_COSINE = 0.95
RANK_FALLS = 5.0
# The rank of a base model whose cosines are high already cannot fall so far; what is left between its texts can.
SPREAD_FALLS = 20.0
CLIPPED_SHARE = 0.9
# Norms are large at the start of many healthy runs.
CLIPPED_STEPS = 20
# An evaluation goes up and down by itself; three without a better one are a course.
FLAT_EVALUATIONS = 3
SAME_SCORE = 5e-4
# A neighbour on the machine easily takes half of it.
SLOWER = 2.0
SLOW_LEAST_S = 0.1


# what is looked at when a point of the loss is recorded


def loss_leaves_chance(watch: Seen, event: Event) -> Iterator[Finding]:
    """After the warm-up the loss is not that of a model which tells nothing apart."""
    last = list(watch.recent)[-STUCK_POINTS:]
    pairs = [(point.get("loss"), point.get("reference")) for point in last]
    if not _after_warmup(watch, last) or not all(_at_chance(*pair) for pair in pairs):
        return
    first, line, step = watch.started[0], event["reference"], event["step"]
    fell = bool(first.get("loss") and first.get("reference")) and first["loss"] < BELOW_CHANCE * first["reference"]
    why = "It was there from the start, so neither the base model nor the steps so far tell the rows apart; a longer run alone seldom helps."
    if fell:
        why = f"The loss began at {first['loss']:.4g}, so what the base model knew is lost: the learning rate was too high for it."
    yield watch.finding(
        "loss-at-chance",
        "warning",
        f"The loss was within {CHANCE_WITHIN:.0%} of {line:.4g} at the last {STUCK_POINTS} points up to step {step}: that is the loss of a model which tells nothing apart.",
        why=why,
        evidence={"step": step, "loss": event["loss"], "chance": line, "first_loss": first.get("loss"), "measured_on": _steps_of(last)},
        **(watch.slower_rate() if fell else {}),
    )  # fmt: skip


def loss_varies(watch: Seen, event: Event) -> Iterator[Finding]:
    """After the warm-up the loss differs from point to point."""
    last = list(watch.recent)[-STUCK_POINTS:]
    losses = [point.get("loss") for point in last]
    if not _after_warmup(watch, last) or None in losses or len({f"{loss:.4g}" for loss in losses}) > 1:
        return
    if all(_at_chance(point["loss"], point.get("reference")) for point in last):
        return  # said better by the check above
    step, learnt = event["step"], losses[-1] == 0
    message = f"The loss was {losses[-1]:.4g} at each of the last {STUCK_POINTS} points up to step {step}"
    why = "Batches differ, so their losses do, unless the vectors no longer depend on the texts or the steps change nothing."
    if learnt:
        why = "The loss asks no more of these rows: what is left of the run changes little."
    yield watch.finding(
        "loss-constant",
        "note" if learnt else "warning",
        f"{message}: {'nothing is left to learn' if learnt else 'the run learns nothing'}.",
        why=why,
        evidence={"step": step, "loss": losses[-1], "points": len(last), "measured_on": _steps_of(last)},
    )


def gradient_fits_the_limit(watch: Seen, event: Event) -> Iterator[Finding]:
    """The gradient is clipped now and then, not all the time."""
    step, limit = event["step"], watch.recipe.max_grad_norm
    if not limit or step < CLIPPED_STEPS or not watch.norms or watch.clipped <= CLIPPED_SHARE * step:
        return
    norm = median(watch.norms)
    effect = "With AdamW this changes little, since it divides by the size of the gradient; it tells that the scale of the loss makes gradients long."
    if watch.recipe.optimizer == "sgd":
        effect = f"With plain gradient descent the limit then sets the length of every step: the rate that counts is about {watch.recipe.learning_rate * limit / norm:.2g}, not {watch.recipe.learning_rate:g}."
    yield watch.finding(
        "gradient-clipped",
        "note",
        f"The gradient was clipped in {watch.clipped:,} of {step:,} steps: the median of its norms is {norm:.3g}, the limit {limit:g}.",
        why=effect,
        evidence={
            "step": step,
            "clipped_share": watch.clipped / step,
            "median_norm": norm,
            "max_grad_norm": limit,
            "measured_on": f"steps 1 to {step:,}",
        },
    )


def steps_keep_their_time(watch: Seen, event: Event) -> Iterator[Finding]:
    """A step takes about as long as at the start."""
    if len(watch.recent) <= SLOW_POINTS or watch.recent[0]["step"] < watch.started[-1]["step"]:
        return
    (then_s, then_tokens), (now_s, now_tokens) = _pace(watch.started), _pace(list(watch.recent))
    if now_s < SLOW_LEAST_S or now_s <= SLOWER * then_s:
        return
    longer = now_tokens > 1.5 * then_tokens
    yield watch.finding(
        "steps-slower",
        "note",
        f"A step takes {now_s:.2g} s at step {event['step']:,}, at the start {then_s:.2g} s, with {now_tokens:,.0f} tokens a step now and {then_tokens:,.0f} then.",
        why="The batches hold longer texts now."
        if longer
        else "The batches are no longer than before, so the machine has less to spare: other work, heat or memory.",
        evidence={
            "step": event["step"],
            "seconds_a_step": now_s,
            "seconds_a_step_at_the_start": then_s,
            "tokens_a_step": now_tokens,
            "tokens_a_step_at_the_start": then_tokens,
            "measured_on": f"the first and the last {SLOW_POINTS} points",
        },
    )


# what is looked at when scores are taken


def score_follows_the_loss(watch: Seen, event: Event) -> Iterator[Finding]:
    """While the loss falls, the score has not stopped rising."""
    known = [(step, score, loss) for step, score, loss in watch.scored if score is not None]
    if len(known) <= FLAT_EVALUATIONS:
        return
    best = max(range(len(known)), key=lambda place: known[place][1])
    # a rise within rounding is none: the first that was as good counts
    best = next(place for place in range(best + 1) if known[place][1] >= known[best][1] - SAME_SCORE)
    since = known[best + 1 :]
    first, last = (since[0][2], since[-1][2]) if since else (None, None)
    perfect = known[best][1] >= 1 - SAME_SCORE
    if len(since) < FLAT_EVALUATIONS or perfect or first is None or last is None or last >= first:
        return
    at, value, name = known[best][0], known[best][1], next(iter(event["scores"]))
    mend = {"fixed": f"end after {at} steps", "max_steps": at} if at else watch.slower_rate()
    yield watch.finding(
        "overfitting",
        "warning",
        f"{name} was best at step {at:,} ({value:.4f}) and not better in {len(since)} evaluations since ({since[-1][1]:.4f} at step {event['step']:,}), while the loss fell from {first:.4g} to {last:.4g}.",
        why="What is still learnt holds for the training rows only; more steps make the model worse on other texts.",
        evidence={
            "step": event["step"],
            "best_step": at,
            "best": value,
            "now": since[-1][1],
            "loss_then": first,
            "loss_now": last,
            "measured_on": f"{len(known)} evaluations",
        },
        **mend,
    )


def scores_are_defined(watch: Seen, event: Event) -> Iterator[Finding]:
    """Every score has a value."""
    without = [name for name, value in event["scores"].items() if value is None]
    if not without:
        return
    primary = next(iter(event["scores"])) in without
    reason = (event.get("why") or {}).get(without[0]) or "the evaluation gave no number"
    yield watch.finding(
        "score-undefined",
        "warning" if primary else "note",
        f"{len(without)} of {len(event['scores'])} scores have no value at step {event['step']:,}: {without[0]} is undefined, since {reason}.",
        why="What has no value cannot tell whether the run helps or harms; a chart or a table leaves it out without a word.",
        evidence={"step": event["step"], "undefined": ", ".join(without), "measured_on": "the evaluation rows"},
    )


# what is looked at when the probe texts were encoded


def vectors_are_there(watch: Seen, event: Event) -> Iterator[Finding]:
    """The model gives vectors at all."""
    if not event["texts"] or event["zero"] < event["texts"]:
        return
    when = f"at step {event['step']:,}" if event["step"] else "before the first step"
    yield watch.finding(
        "zero-vectors",
        "error",
        f"All {event['texts']} probe texts have the vector 0 {when}, so no gradient flows and every cosine is undefined.",
        why="The weights are zero or damaged: no score has a value, and the loss stays at that of guessing however long it runs.",
        evidence={"step": event["step"], "zero_vectors": event["zero"], "measured_on": _probed(event)},
    )


def vectors_stay_apart(watch: Seen, event: Event) -> Iterator[Finding]:
    """Different texts keep different vectors."""
    first = watch.first_probe
    if first is None or first is event or None in (event["cosine"], event["rank"], first["cosine"], first["rank"]):
        return
    ranks, cosines = (first["rank"], event["rank"]), (first["cosine"], event["cosine"])
    # vectors that were one from the start have not fallen; cosines are known to the sixth place
    narrow = (1 - cosines[0]) >= SPREAD_FALLS * max(1 - cosines[1], 1e-6)
    if cosines[1] < COLLAPSED_COSINE or (ranks[0] < RANK_FALLS * ranks[1] and not narrow):
        return
    yield watch.finding(
        "collapse",
        "error",
        f"All texts have fallen into nearly one vector at step {event['step']:,}: mean cosine {cosines[1]:.3f} ({cosines[0]:.3f} at the start), effective rank {ranks[1]:.1f} ({ranks[0]:.1f}).",
        why="Vectors that are alike tell nothing apart, and hardly ever part again: too high a learning rate does this, or a loss that only pulls together.",
        evidence={
            "step": event["step"],
            "mean_cosine": cosines[1],
            "mean_cosine_at_the_start": cosines[0],
            "effective_rank": ranks[1],
            "effective_rank_at_the_start": ranks[0],
            "measured_on": _probed(event),
        },
        **watch.slower_rate(),
    )


# what is looked at when a batch did not fit into memory


def batch_fits(watch: Seen, event: Event) -> Iterator[Finding]:
    """A batch goes through the model at once."""
    yield watch.finding(
        "batch-split",
        "note",
        f"The batch of step {event['step']:,} did not fit into memory, so batches of its size go through the model in parts of at most {event['part_places']:,} tokens of {event['places']:,}, padding included; loss and gradients stay the same.",
        why="Each part is computed forward once more, so that a step takes up to a third longer; a smaller batch, shorter texts or a cached loss would fit whole.",
        evidence={
            "step": event["step"],
            "places": event["places"],
            "part_places": event["part_places"],
            "said": event["why"],
            "measured_on": f"the batch of step {event['step']}",
        },
    )


Look = Callable[[Seen, Event], Iterator[Finding]]
LOOKS: dict[str, tuple[Look, ...]] = {
    "step": (loss_leaves_chance, loss_varies, gradient_fits_the_limit, steps_keep_their_time),
    "scores": (score_follows_the_loss, scores_are_defined),
    "probe": (vectors_are_there, vectors_stay_apart),
    "split": (batch_fits,),
}


def _after_warmup(watch: Seen, points: list[Event]) -> bool:
    return len(points) == STUCK_POINTS and points[0]["step"] > watch.warmup


def _at_chance(loss: float | None, line: float | None) -> bool:
    return loss is not None and bool(line) and abs(loss - (line or 0)) <= CHANCE_WITHIN * abs(line or 0)


def _pace(points: list[Event]) -> tuple[float, float]:
    """(seconds, tokens) of a step between points, in the middle."""
    gaps = [
        (b["step"] - a["step"], b["seconds"] - a["seconds"], b["tokens"] - a["tokens"]) for a, b in pairwise(points)
    ]
    return median(seconds / steps for steps, seconds, _ in gaps), median(tokens / steps for steps, _, tokens in gaps)


def _steps_of(points: list[Event]) -> str:
    return f"points at the steps {', '.join(str(point['step']) for point in points)}"


def _probed(event: Event) -> str:
    return f"{event['texts']} texts of the training rows, drawn by the seed, without dropout"
