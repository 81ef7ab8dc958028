"""What the numbers of a card give away of its run: settings, rows, steps and losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.cards.logs import FIT, fit_peak
from workbench.cards.read_recipe import built, roles
from workbench.cards.read_record import CardData, Doubt, Said, called
from workbench.cards.read_steps import LOGGING_STEPS, Steps, counted_rows, setting, version
from workbench.catalog import losses as catalog
from workbench.checks.finding import some
from workbench.errors import RecipeError

TRAINING = "Training Loss"
SIZE_BUG = ((3, 1), (4, 0))  # versions that print the size of the whole split for a part of it
STUCK = 3  # so many equal losses are no accident


def about_run(card: Said, counted: Steps) -> Iterator[Doubt]:
    """Doubts about settings, rows, steps and log."""
    if card.how == "fit":
        yield from _fit(card, counted)
    yield from _sizes(card, counted)
    outside = [row for row in card.log if row.get("Step") is not None and (row["Step"] or 0) < 0]
    if outside:
        yield Doubt(
            "log-outside",
            f"{some(len(outside), 'row')} of the log at step -1: scored outside the run, and when is not said.",
            {"rows": len(outside)},
        )
    if card.how != "unknown":
        yield from _length(card, counted)
    yield from _stuck(card)


def _fit(card: Said, counted: Steps) -> Iterator[Doubt]:
    rate, warmup = FIT["learning_rate"], FIT["warmup_steps"]
    evidence: dict[str, Any] = {
        "columns": [column.name for data in card.datasets for column in data.columns],
        "multi_dataset_batch_sampler": card.hyperparameters.get("multi_dataset_batch_sampler"),
        "max_grad_norm": card.hyperparameters.get("max_grad_norm"),
        "printed": {name: card.hyperparameters.get(name) for name in FIT},
        "unless_told_otherwise": dict(FIT),
        "steps": counted.total,
    }
    reached = ""
    if counted.total:
        evidence["peak_learning_rate"] = peak = fit_peak(counted.total)
        reached = f"; in {counted.total:,} steps the rate then reaches {rate:g} × {min(counted.total, warmup):,} / {warmup:,} = {peak:.3g} at most"
    yield Doubt(
        "fit-settings",
        f"The run was made by the old fit(), whose optimizer the card does not see: it prints learning rate {setting(card, 'learning_rate'):g}, warm-up {setting(card, 'warmup_steps')} and weight decay {setting(card, 'weight_decay'):g}, where fit() takes {rate:g}, {warmup:,} steps and {FIT['weight_decay']:g} unless told otherwise{reached}.",
        evidence,
    )


def _sizes(card: Said, counted: Steps) -> Iterator[Doubt]:
    train = [data for data in card.datasets if data.part == "train"]
    for data in train:
        if not data.rows:
            yield Doubt("size-unknown", f"The card does not say how many rows {called(data)} has.", {"rows": data.rows})
    sizes = sum(data.rows or 0 for data in train)
    tagged = next((tag.partition(":")[2] for tag in card.tags if tag.startswith("dataset_size:")), "")
    if sizes and tagged.isdecimal() and len(tagged) < 16 and int(tagged) != sizes:
        yield Doubt(
            "size-tag",
            f"The tags say {int(tagged):,} training rows, the card {sizes:,}.",
            {"tag": int(tagged), "rows": sizes},
        )
    if counted.implied == (1, 0):
        yield Doubt(
            "log-contradicts",
            "No number of rows fits all rows of the training log: their steps and epochs contradict each other.",
            {"log": [[row.get("Step"), row.get("Epoch")] for row in card.log][:20]},
        )
    if counted.agree or counted.implied is None or counted.implied == (1, 0):
        return
    low, high = counted.implied
    step, epoch = max(counted_rows(card))
    batch, gathered = setting(card, "per_device_train_batch_size"), setting(card, "gradient_accumulation_steps")
    evidence = {"rows": sizes, "batches": counted.batches, "implied_batches": [low, high], "step": step, "epoch": epoch,
                "batch": batch, "accumulation": gathered}  # fmt: skip
    meant = ""
    if len(train) == 1 and counted.rows:
        evidence["implied_rows"] = list(counted.rows)
        meant = f", which are {counted.rows[0]:,} to {counted.rows[1]:,} rows"
    if counted.devices:
        evidence["devices"] = counted.devices
        meant += f"; they would agree on {counted.devices} devices"
    elif SIZE_BUG[0] <= version(card.library_version) < SIZE_BUG[1]:
        meant += f"; Sentence Transformers {card.library_version} prints the size of the whole split where only a part of it was used"
    yield Doubt(
        "size-contradicts-steps",
        f"{sizes:,} rows in batches of {batch} make {counted.batches:,} batches, but step {step} at epoch {epoch} ({step}{f' × {gathered}' if gathered != 1 else ''} / {epoch}) means {low:,}{f' to {high:,}' if high != low else ''} batches{meant}.",
        evidence,
    )


def _length(card: Said, counted: Steps) -> Iterator[Doubt]:
    total = counted.total
    logged = [int(row["Step"] or 0) for row in card.log if row.get(TRAINING) is not None and row.get("Step")]
    of = f" of {total:,}" if total else ""
    if not logged:
        why = ""
        if total is not None and total < LOGGING_STEPS:
            why = f": the run has {some(total, 'step')}, and by default a loss is logged every {LOGGING_STEPS}"
        yield Doubt("no-log", f"The card logs no training loss{why}.", {"steps": total})
        return
    last = max(logged)
    hidden = total - last if total is not None else None
    if total is not None and last > total:
        yield Doubt(
            "steps-beyond",
            f"The log goes on to step {last:,}, but {'max_steps ends it after' if setting(card, 'max_steps') > 0 else 'rows, batch and epochs make'} {some(total, 'step')}.",
            {"last": last, "steps": total},
        )
    elif logged == [LOGGING_STEPS]:
        unseen = f"; the last {some(hidden, 'step')}{of} cannot be seen" if hidden else ""
        yield Doubt(
            "log-once",
            f"The one training loss is the mean of steps 1 to {LOGGING_STEPS}, where the library logs by default, and no course{unseen}.",
            {"steps": total, "hidden": hidden},
        )
    elif hidden:
        yield Doubt(
            "log-ends-early",
            f"The last training loss stands at step {last:,}{of}: the last {some(hidden, 'step')} cannot be seen, or {'was' if hidden == 1 else 'were'} not done.",
            {"last": last, "steps": total, "hidden": hidden},
        )


def _stuck(card: Said) -> Iterator[Doubt]:
    """Losses that stay the same to four digits, and what guessing would give."""
    names = dict.fromkeys(name for row in card.log for name in row if name.lower().endswith("loss"))
    for name in names:
        seen = [value for row in card.log if (value := row.get(name)) is not None]
        if len(seen) < STUCK or len({round(value, 4) for value in seen}) > 1:
            continue
        evidence: dict[str, Any] = {"column": name, "value": seen[0], "times": len(seen)}
        part = "train" if name == TRAINING else "eval"
        data = [data for data in card.datasets if data.part == part]
        chance = chance_loss(card, data, part) if len(data) == 1 else None
        guess = ""
        if chance:
            evidence["chance"] = chance[0]
            guess = f"; a model that gives all texts the same vector has {chance[0]:.4f} on full batches ({chance[1]})"
        yield Doubt("loss-stuck", f"{name} is {seen[0]:g} {len(seen)} times, so nothing was learnt{guess}.", evidence)


def chance_loss(card: Said, data: Sequence[CardData], part: str) -> tuple[float, str] | None:
    """(loss, its formula in words) of a model that tells no texts apart, on full batches; None where it is not known."""
    loss = data[0].loss
    if loss is None or loss.custom or loss.unread:
        return None
    said = (
        card.hyperparameters.get("per_device_eval_batch_size")
        if part == "eval"
        else setting(card, "per_device_train_batch_size")
    )
    texts = sum(role not in ("label", "score") for role in roles(data[0]).values())
    try:
        known = built(loss)
    except RecipeError:
        return None
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= 65536 or not texts:
        return None
    return catalog.reference(known.name, known.parameters, said, texts, normalized=bool(card.architecture.normalized))
