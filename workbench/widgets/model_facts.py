"""What is known of a base model, in words."""

from __future__ import annotations

from workbench.catalog.memory import MemoryEstimate
from workbench.catalog.models import ModelInfo
from workbench.widgets.table import cut

NOT_HERE = "not on this machine; it will be fetched from the Hub (needs a network) when it is first used"


def facts(info: ModelInfo, memory: MemoryEstimate, *, reading: bool = False) -> list[tuple[str, object]]:
    """What is known of a model as rows of a table: name of the fact, value; plain text.

    Args:
        info: what is known.
        memory: what training takes.
        reading: its files have not been looked at yet.
    """
    unknown = "not yet known" if reading else "unknown" if info.where else "unknown until it is fetched"
    where = "looking …" if reading and not info.where else info.where or NOT_HERE
    rows = [
        ("Parameters", f"{info.parameters / 1e6:,.1f} million" if info.parameters else unknown),
        ("Dimension", f"{info.dimension:,} numbers per vector" if info.dimension else unknown),
        ("Limit", _limit(info, unknown)),
        ("Licence", cut(info.licence) if info.licence else "none stated" if info.where else unknown),
        ("Weights", cut(where)),
        ("Learning rate to begin with", f"{info.learning_rate:g}"),
        ("Memory for training", [str(memory), "an estimate, which may be 30 % off"]),
    ]
    return [*rows, *([("Note", info.note)] if info.note else [])]


def _limit(info: ModelInfo, unknown: str) -> str:
    if info.architecture is not None and info.architecture.layers == 0:
        return "none: texts of any length"
    if not info.max_seq_length:
        return unknown
    room = f" (it has positions for {info.positions:,})" if (info.positions or 0) > info.max_seq_length else ""
    return f"{info.max_seq_length:,} tokens; longer texts are cut{room}"
