"""What a map can be drawn of: a space, a list of texts, or a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.distinct import colour_choices, distinct_texts, labels_of
from workbench.data.load import load
from workbench.errors import DataError
from workbench.plots.map import CLUSTER, FAITHFUL, LABEL, ONE_COLOUR
from workbench.spaces.encode import Space, label_texts
from workbench.widgets.code import load_code, model_code

if TYPE_CHECKING:
    from workbench.data.examples import Examples


@dataclass(frozen=True, eq=False)
class Drawable:
    """Texts to draw and what they can be coloured by.

    Attributes:
        given: a Space, texts, or a table.
        labels: a label for each text of a list or space, or None.
        choices: what the points can be coloured by, the usual one first.
        cluster, none, faithful: which of the choices stand for clusters, for one colour and for what the map has kept
            of a text's neighbours; a column may have those names.
        raw: what the user gave.
    """

    given: Space | tuple[str, ...] | Examples
    labels: tuple[str, ...] | None
    choices: tuple[str, ...]
    cluster: str
    none: str
    faithful: str
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

    @property
    def own(self) -> str:
        """The first choice that is a label of the texts; empty where there is none."""
        return "" if self.choices[0] in (self.cluster, self.none) else self.choices[0]

    def labels_for(self, texts: Sequence[str], choice: str) -> tuple[str, ...] | None:
        """A label for each of the texts by a choice that is a label; None for one colour and for no choice."""
        if choice in ("", self.none):
            return None
        return self.labels if isinstance(self.given, Space | tuple) else labels_of(self.given, texts, choice)

    def pairs(self, texts: Sequence[str]) -> np.ndarray | None:
        """Which texts belong together: int64, shape (rows, 2), the places of each row's anchor and positive.

        None where the data are no table with both.
        """
        if isinstance(self.given, Space | tuple):
            return None
        held = {role: name for name, role in self.given.roles.items()}
        if not {"anchor", "positive"} <= held.keys():
            return None
        place = {text: row for row, text in enumerate(texts)}
        both = (self.given.column(held[role]) for role in ("anchor", "positive"))
        return np.array([[place[text] for text in column] for column in both], dtype=np.int64).T

    def code(self, model: Any, seed: int, colour: str) -> str:
        """The line that draws the same map without a panel.

        Args:
            model: what encodes the texts.
            seed: of the layout.
            colour: one of the choices.
        """
        meant = {self.cluster: CLUSTER, self.none: ONE_COLOUR, self.faithful: FAITHFUL}.get(colour)
        last = f", seed={seed}" if seed else ""
        if meant not in (None, ONE_COLOUR):
            last = f", colour={meant!r}{last}"
        if isinstance(self.given, Space):
            if meant == ONE_COLOUR and self.given.labels is not None:
                last = f", colour={meant!r}{last}"
            return f"wb.map(space{'' if meant or self.labels == self.given.labels else ', labels=labels'}{last})"
        if isinstance(self.given, tuple):
            return f"wb.map(wb.embed(texts, {model_code(model)}{'' if meant else ', labels=labels'}){last})"
        table = load_code(self.given, given=self.raw)
        columns = " + ".join(f"{table}.column({name!r})" for name in self.given.texts)
        of_table = "" if meant else f", data={table}, colour={colour!r}"
        return f"wb.map(wb.embed([*dict.fromkeys({columns})], {model_code(model)}){of_table}{last})"


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
        labels = label_texts(labels, len(given))
        few = () if labels is None else (LABEL,)
    cluster, none, faithful = (
        name if name not in columns else f"{name} of the map" for name in (CLUSTER, ONE_COLOUR, FAITHFUL)
    )
    choices = (*few, *((cluster, none) if few else (none, cluster)), faithful)
    return Drawable(given, None if labels is None else tuple(labels), choices, cluster, none, faithful, data)


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
