"""What a map can be drawn of: a space, a list of texts, or a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.distinct import colour_choices, distinct_texts, labels_of
from workbench.data.load import load
from workbench.errors import DataError
from workbench.spaces.encode import Space
from workbench.widgets.code import load_code, model_code

if TYPE_CHECKING:
    from workbench.data.examples import Examples

LABEL, CLUSTER, NONE = "label", "cluster", "one colour"


@dataclass(frozen=True, eq=False)
class Drawable:
    """Texts to draw and what they can be coloured by.

    Attributes:
        given: a Space, texts, or a table.
        labels: a label for each text of a list or space, or None.
        choices: what the points can be coloured by, the usual one first.
        cluster, none: which of the choices stand for clusters and for one colour; a column may have those names.
        raw: what the user gave.
    """

    given: Space | tuple[str, ...] | Examples
    labels: tuple[str, ...] | None
    choices: tuple[str, ...]
    cluster: str
    none: str
    raw: Any = None

    @property
    def name(self) -> str:
        """What to call it in a title."""
        return "" if isinstance(self.given, Space | tuple) else self.given.name

    @property
    def count(self) -> int | None:
        """Number of texts, None where it is not known before they are read."""
        return len(self.given) if isinstance(self.given, Space | tuple) else None

    def texts(self) -> Sequence[str]:
        """All texts; of a table, the distinct ones."""
        if isinstance(self.given, Space):
            return self.given.texts
        return self.given if isinstance(self.given, tuple) else distinct_texts(self.given)

    def labels_for(self, texts: Sequence[str], choice: str) -> tuple[str, ...] | None:
        """A label for each of the texts by a choice other than clusters; None for one colour."""
        if choice == self.none:
            return None
        return self.labels if isinstance(self.given, Space | tuple) else labels_of(self.given, texts, choice)

    def code(self, model: Any, seed: int, colour: str, count: int | None) -> str:
        """The line that draws the same map without a panel.

        Args:
            model: what encodes the texts.
            seed: of the layout.
            colour: one of the choices. Clusters are not in the line, nor are labels of a space.
            count: number of points that are drawn, None before they are.
        """
        last = f", seed={seed}" if seed else ""
        if isinstance(self.given, Space):
            return f"wb.map(space{last})"
        texts, labels = "texts", ", labels=labels" if self.labels is not None and colour == LABEL else ""
        if not isinstance(self.given, tuple):
            table = load_code(self.given, given=self.raw)
            # where a text stands in two rows, or columns, no column has the labels of the points
            if count == len(self.given) and len(self.given.texts) == 1 and colour in self.given.roles:
                labels = f", labels={table}.column({colour!r})"
            columns = " + ".join(f"{table}.column({name!r})" for name in self.given.texts)
            texts = f"[*dict.fromkeys({columns})]"
        return f"wb.map(wb.embed({texts}, {model_code(model)}{labels}){last})"


def drawable(data: Any, labels: Sequence[object] | None = None) -> Drawable:
    """Find out what there is to draw.

    Args:
        data: a Space, a list of texts, or anything that `load` takes.
        labels: a label for each text of a list or space.

    Raises:
        DataError: there is nothing to draw, or the labels do not fit.
    """
    given = _given(data)
    if not isinstance(given, Space | tuple):
        if labels is not None:
            raise DataError(
                f"expected labels for a list of texts, got a table ({given.name}); name one of its columns as colour"
            )
        columns = given.roles
        few = colour_choices(given)
    else:
        columns = {}
        if labels is None and isinstance(given, Space):
            labels = given.labels
        if labels is not None and (isinstance(labels, str) or not isinstance(labels, Collection | np.ndarray)):
            raise DataError(
                f"expected one label for each of {len(given):,} texts, got {type(labels).__name__} ({labels!r:.60}); "
                "give a list of labels"
            )
        if labels is not None and len(labels) != len(given):
            raise DataError(
                f"expected one label for each of {len(given):,} texts, got {len(labels):,}; give both in the same order"
            )
        few = () if labels is None else (LABEL,)
    cluster, none = (name if name not in columns else f"{name} of the map" for name in (CLUSTER, NONE))
    own = (cluster, none) if few else (none, cluster)
    return Drawable(given, None if labels is None else tuple(map(str, labels)), (*few, *own), cluster, none, data)


def _given(data: Any) -> Space | tuple[str, ...] | Examples:
    if isinstance(data, Space) or hasattr(data, "to_training"):
        return data
    if isinstance(data, list | tuple):
        for row, text in enumerate(data):
            if not isinstance(text, str):
                raise DataError(
                    f"expected texts, got {type(text).__name__} ({text!r:.60}) as number {row}; convert it to str"
                )
        if not data:
            raise DataError("expected at least one text, got an empty list; give the texts to draw")
        return tuple(data)
    return load(data)
