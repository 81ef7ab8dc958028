"""Which loss suits which table. Strict where the library would silently ignore or misuse a column."""

from __future__ import annotations

from workbench.catalog import loss_facts as facts
from workbench.catalog.loss_info import LossInfo
from workbench.catalog.registry import losses

# What a label column holds -> what it can serve as: nought and one are classes and scores too.
_SERVES_AS = {
    "none": ("none",),
    "class": ("class",),
    "binary": ("binary", "class", "score"),
    "score": ("score",),
    "scores": ("scores",),
    "embedding": ("embedding",),
}
_IN_WORDS = {
    "none": "no label",
    "class": "a class label",
    "binary": "a 0/1 label",
    "score": "a score",
    "scores": "a list of scores",
    "embedding": "a vector as label",
    "any": "any label",
}


def fits(info: LossInfo, texts: int, label: str | None, wrapped: LossInfo | None = None) -> str | None:
    """None if a table suits a loss, else one sentence that says why not.

    Args:
        info: the loss.
        texts: number of text columns.
        label: what the label column holds: class, binary, score, scores or embedding; None for no label column.
        wrapped: the loss inside, where `info` wraps one; without it a wrapper suits every table.
    """
    if info.wraps and wrapped is not None:
        if info.name in facts.NO_CACHED_INSIDE and wrapped.cached and not wrapped.parameter("use_mini_batched_version"):
            plain = wrapped.name.removeprefix("Cached")
            return f"{info.name} does not wrap {wrapped.name}, which caches gradients; use {plain}."
        return fits(wrapped, texts, label)
    held = label or "none"
    counted = [shape for shape in info.shapes if shape.texts_min <= texts <= (shape.texts_max or texts)]
    wanted = dict.fromkeys(shape.label for shape in counted)
    if "any" in wanted or any(kind in wanted for kind in _SERVES_AS[held]):
        return None
    if not counted:
        fewest = min(shape.texts_min for shape in info.shapes)
        reason = f"it needs {fewest - texts} more" if texts < fewest else "it would ignore or misread some of them"
    elif list(wanted) == ["none"]:
        reason = "the label would have no effect"
    else:
        reason = f"it needs {' or '.join(_IN_WORDS[kind] for kind in wanted)}"
    kinds = dict.fromkeys(shape.label for shape in info.shapes)
    columns = {kind: " or ".join(shape.columns for shape in info.shapes if shape.label == kind) for kind in kinds}
    takes = ", or ".join(f"{columns[kind]} with {_IN_WORDS[kind]}" for kind in kinds)
    table = f"{texts} text column{'' if texts == 1 else 's'} and {_IN_WORDS[held]}"
    return f"{info.name} takes {takes}; this table has {table}: {reason}."


def fitting(texts: int, label: str | None) -> list[tuple[LossInfo, str | None]]:
    """All losses with the verdict of `fits`: those that suit the table first, in the order in which to try them."""
    order = {name: place for place, name in enumerate(facts.RECOMMENDED)}
    order |= {name: place for place, name in enumerate(facts.LAST, len(order) + 1)}

    def rank(item: tuple[LossInfo, str | None]) -> tuple[bool, bool, int, str]:
        info, reason = item
        return reason is not None, info.deprecated is not None, order.get(info.name, len(facts.RECOMMENDED)), info.name

    return sorted(((info, fits(info, texts, label)) for info in losses().values()), key=rank)
