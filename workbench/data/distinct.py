"""The distinct texts of a table, and what they can be coloured by on a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.data.flaws import cut
from workbench.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from workbench.data.examples import Examples

FEW = 50
LOOKED_AT = 10_000
COLUMN = "column"
SEVERAL = "several values"
NEGATIVE = "only a negative"
NOTHING = "no value"


def distinct_texts(examples: Examples) -> list[str]:
    """All texts of a table, each once, in the order of its columns and rows."""
    found: dict[str, None] = {}
    for name in examples.texts:
        for batch in examples.batches([name]):
            found.update(dict.fromkeys(batch[name]))
    return list(found)


def colour_choices(examples: Examples) -> tuple[str, ...]:
    """What the texts of a table can be coloured by.

    The label first, then other columns with 2 to 50 different values in their first 10,000 rows, then "column"
    (which column a text stands in) where there are several columns of texts. A label of classes may have more, as
    long as texts share them.
    """
    others = [name for name in examples.roles if name not in examples.texts]
    few = [name for name in others if _groups(examples, name)]
    few.sort(key=lambda name: name != examples.label)
    return tuple(few) + ((COLUMN,) if len(examples.texts) > 1 and COLUMN not in few else ())


def colour_words(by: str) -> str:
    """What a colour stands for as a sentence, empty for none."""
    return f"Colour: {'the column that a text stands in' if by == COLUMN else by}. " if by else ""


def labels_of(examples: Examples, texts: Sequence[str], by: str) -> tuple[str, ...]:
    """A label for each of the texts.

    Args:
        examples: the table that the texts are from.
        texts: n texts of the table.
        by: a column, or "column" for the names of the columns that a text stands in.

    Returns:
        n labels. A text with several values is labelled "several values"; the value of a row says nothing about its
        negatives, so that a text that stands nowhere else is labelled "only a negative".

    Raises:
        DataError: the table has no such column.
    """
    if by not in examples.roles:
        if by != COLUMN:
            known = (*examples.roles, COLUMN)
            raise DataError(
                f"expected a column of {examples.name} to colour by, got {by!r}{did_you_mean(by, known)}; there are {', '.join(known)}"
            )
        return _columns(examples, texts)
    names = examples.label_names if by == examples.label else None
    told = [name for name in examples.texts if examples.roles[name] != "negative"]
    found: dict[str, str] = {}
    for batch in examples.batches([*dict.fromkeys((by, *told))]):
        values = [_shown(value, names) for value in batch[by]]
        for column in told:
            for text, value in zip(batch[column], values, strict=True):
                if found.setdefault(text, value) != value:
                    found[text] = SEVERAL
    return tuple(found.get(text, NEGATIVE) for text in texts)


def _columns(examples: Examples, texts: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, dict[str, None]] = {}
    for name in examples.texts:
        for batch in examples.batches([name]):
            for text in batch[name]:
                found.setdefault(text, {})[name] = None
    return tuple(" and ".join(found[text]) for text in texts)


def _groups(examples: Examples, name: str) -> bool:
    """The values of a column put texts into groups."""
    head: dict[str, list[Any]] = next(examples.batches([name], LOOKED_AT), {name: []})
    values = {_shown(value, None) for value in head[name]}
    classes = name == examples.label and examples.roles[name] == "label"
    return 2 <= len(values) and (len(values) <= FEW or (classes and len(values) < len(head[name])))


def _shown(value: Any, names: Sequence[str] | None) -> str:
    if value is None:
        return NOTHING
    if names is not None and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else cut(value, 40)
