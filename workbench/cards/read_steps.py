"""How many steps a card's run took, from its rows and from its log, and whether the two agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from workbench.cards.read_record import Said

# What the trainer does where nobody says otherwise; the same in all versions since 3.0.
TRAINER: dict[str, Any] = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_train_epochs": 3, "max_steps": -1,
    "learning_rate": 5e-5, "weight_decay": 0.0, "optim": "adamw_torch", "lr_scheduler_type": "linear",
    "warmup_steps": 0, "max_grad_norm": 1.0, "fp16": False, "bf16": False, "gradient_checkpointing": False,
    "seed": 42, "dataloader_drop_last": False, "batch_sampler": "batch_sampler",
}  # fmt: skip
LOGGING_STEPS = 500
WHOLE_STEPS = (4, 52)  # before it, Transformers counted no step for the batches that are left at the end of an epoch
HALF_DIGIT = 5e-5  # epochs are logged with four decimals
DEVICES = (2, 3, 4, 5, 6, 7, 8, 16, 32, 64)


def setting(card: Said, name: str) -> Any:
    """A hyperparameter as printed; where it is missing or of another kind, the trainer's default."""
    default, said = TRAINER[name], card.hyperparameters.get(name)
    if isinstance(default, bool | str):
        return said if isinstance(said, type(default)) else default
    return said if isinstance(said, int | float) and not isinstance(said, bool) else default


@dataclass(frozen=True)
class Steps:
    """The steps of a run.

    Attributes:
        batches: of an epoch, as the printed rows give them; None where they are not known.
        implied: smallest and largest number of batches that the log allows; None without a usable log, and (1, 0)
            where its rows contradict each other.
        rows: smallest and largest number of rows that the log allows, for one data set on one device.
        devices: the number of devices with which rows and log agree, where they do not with one.
        per_epoch, total: optimizer steps.
    """

    batches: int | None
    implied: tuple[int, int] | None
    rows: tuple[int, int] | None
    devices: int | None
    per_epoch: int | None
    total: int | None

    @property
    def agree(self) -> bool:
        """Whether rows and log agree, as far as both are known."""
        return self.batches is None or self.implied is None or self.implied[0] <= self.batches <= self.implied[1]


def steps(card: Said) -> Steps:
    """Work out the steps of a card's run."""
    limit, epochs = setting(card, "max_steps"), setting(card, "num_train_epochs")
    end = int(limit) if limit > 0 else None
    batch, gathered = setting(card, "per_device_train_batch_size"), setting(card, "gradient_accumulation_steps")
    if not all(count >= 1 and count == int(count) for count in (batch, gathered)):
        return Steps(None, None, None, None, None, end)  # no such run was done, and nothing follows from its numbers
    batch, gathered = int(batch), int(gathered)
    drop = setting(card, "dataloader_drop_last")
    batches, implied = _batches(card, batch, drop), _implied(card, gathered)
    rows = devices = None
    if implied and implied[0] <= implied[1]:
        low, high = implied
        rows = (low * batch, (high + 1) * batch - 1) if drop else ((low - 1) * batch + 1, high * batch)
        if batches and not low <= batches <= high:
            devices = next((count for count in DEVICES if low <= math.ceil(batches / count) <= high), None)
    known = batches
    if implied and implied[0] <= implied[1] and not (batches and implied[0] <= batches <= implied[1]):
        known = implied[0] if implied[0] == implied[1] else None
    per_epoch = math.ceil(known / gathered) if known else None
    if known and () < version(card.versions.get("Transformers")) < WHOLE_STEPS:
        per_epoch = max(1, known // gathered)
    total = end or (math.ceil(epochs * per_epoch) if per_epoch and epochs > 0 else None)
    return Steps(batches, implied, rows, devices, per_epoch, total)


def version(said: str | None) -> tuple[int, ...]:
    """The first two numbers of a version; empty where it has none."""
    parts = (said or "").split(".")[:2]
    return tuple(map(int, parts)) if len(parts) == 2 and all(p.isdecimal() and len(p) < 6 for p in parts) else ()


def _batches(card: Said, batch: int, drop: bool) -> int | None:
    """Batches of an epoch; group_by_label leaves rows out that no card counts."""
    sizes = [data.rows for data in card.datasets if data.part == "train"]
    if not sizes or not all(sizes) or setting(card, "batch_sampler") == "group_by_label":
        return None
    each = [rows // batch if drop else math.ceil(rows / batch) for rows in sizes if rows]
    turns = card.hyperparameters.get("multi_dataset_batch_sampler") == "round_robin"
    return (min(each) * len(each) if turns else sum(each)) or None


def counted_rows(card: Said) -> list[tuple[float, float]]:
    """(step, epoch) of the log's rows from which batches can be counted.

    Samplers that keep equal texts apart make more or fewer batches than they say: only their first epoch counts.
    """
    apart = str(setting(card, "batch_sampler")).startswith("no_duplicates")
    rows = [(row.get("Step") or 0, row.get("Epoch") or 0) for row in card.log]
    return [(step, epoch) for step, epoch in rows if step > 0 and 2 * HALF_DIGIT < epoch <= (1 if apart else math.inf)]


def _implied(card: Said, gathered: int) -> tuple[int, int] | None:
    """Batches of an epoch that each row (step, epoch) of the log allows: step × accumulation / epoch.

    A step at the end of an epoch may gather fewer batches than the others.
    """
    low, high = 1, 0
    for step, epoch in counted_rows(card):
        fewest = (step * gathered - math.ceil(epoch) * (gathered - 1)) / (epoch + HALF_DIGIT)
        most = step * gathered / (epoch - HALF_DIGIT)
        bounds = max(1, math.ceil(fewest)), math.floor(most)
        low, high = bounds if (low, high) == (1, 0) else (max(low, bounds[0]), min(high, bounds[1]))
        if low > high:
            return 1, 0
    return (low, high) if (low, high) != (1, 0) else None
