"""Which loss suits which table. Strict where the library would silently ignore or misuse a column."""

from __future__ import annotations

from workbench.catalog import loss_facts as facts
from workbench.catalog.loss_info import LossInfo, Shape
from workbench.catalog.registry import losses

# What a column holds -> the kinds of label it can serve as. Nought and one are classes and scores too.
_SERVES_AS = {
    None: ("none", "any"),
    "class": ("class", "any"),
    "binary": ("binary", "class", "score", "any"),
    "score": ("score", "any"),
    "scores": ("scores", "any"),
    "embedding": ("embedding", "any"),
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
            return f"{info.name} does not wrap {wrapped.name}, which caches gradients; use {wrapped.name.removeprefix('Cached')}."
        return fits(wrapped, texts, label)
    serves_as = _SERVES_AS[label]
    enough = [shape for shape in info.shapes if _counts(shape, texts)]
    if any(shape.label in serves_as for shape in enough):
        return None
    takes = " or ".join(dict.fromkeys(f"{shape.columns} with {_IN_WORDS[shape.label]}" for shape in info.shapes))
    table = f"{texts} text column{'' if texts == 1 else 's'} and {_IN_WORDS[label or 'none']}"
    return f"{info.name} takes {takes}; this table has {table}: {_reason(info, enough, texts, label)}."


def _counts(shape: Shape, texts: int) -> bool:
    return shape.texts_min <= texts and (shape.texts_max is None or texts <= shape.texts_max)


def _reason(info: LossInfo, enough: list[Shape], texts: int, label: str | None) -> str:
    if enough:
        wanted = " or ".join(dict.fromkeys(_IN_WORDS[shape.label] for shape in enough))
        if wanted == _IN_WORDS["none"]:
            return "the label would have no effect"
        return f"it needs {wanted}" if label is None else f"the label should be {wanted}"
    low = min(shape.texts_min for shape in info.shapes)
    if texts < low:
        return f"it needs {low - texts} more"
    return "the text columns that are too many would be ignored or misread"


def fitting(texts: int, label: str | None) -> list[tuple[LossInfo, str | None]]:
    """All losses with the verdict of `fits`: those that suit the table first, in the order in which to try them."""
    order = {name: place for place, name in enumerate(facts.RECOMMENDED)}
    # Your own losses, and those of a newer release, stand before wrappers and regularizers.
    middle = order["MatryoshkaLoss"] - 0.5

    def rank(item: tuple[LossInfo, str | None]) -> tuple[bool, bool, float, str]:
        info, reason = item
        return reason is not None, info.deprecated is not None, order.get(info.name, middle), info.name

    return sorted(((info, fits(info, texts, label)) for info in losses().values()), key=rank)
