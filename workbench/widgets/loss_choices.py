"""Which losses a picker offers for a table, in which order, and with which values each begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.catalog import losses as catalog
from workbench.catalog.losses import LossInfo
from workbench.data.examples import Examples
from workbench.data.prepare import label_kind
from workbench.recipe import Loss
from workbench.widgets.loss_form import Draft, draft, no_models


@dataclass(frozen=True)
class Table:
    """What counts of a table for the choice of a loss.

    Attributes:
        name: for people.
        texts: number of text columns.
        label: what the label column holds, None for no label column.
        classes: number of classes, None where the label is none.
    """

    name: str
    texts: int
    label: str | None = None
    classes: int | None = None


@dataclass(frozen=True)
class Choice:
    """A loss, and why it does not suit the table; None if it does."""

    info: LossInfo
    reason: str | None = None

    @property
    def label(self) -> str:
        """What a list shows."""
        info = self.info
        marks = (" (yours)" if info.custom else "") + (" (deprecated)" if info.deprecated else "")
        return f"{'✗ ' if self.reason else ''}{info.name}{marks}"


def table_of(data: Examples) -> Table:
    """Look at the columns of a table; labels are read once, which takes a while for millions of rows."""
    kind = label_kind(data)
    classes = None
    if kind in ("class", "binary") and data.label is not None and data.roles[data.label] == "label":
        classes = 1 + max(data.to_training()["label"], default=0)
    return Table(data.name, len(data.texts), kind, classes)


def choices(table: Table | None, current: Loss | None = None) -> tuple[Choice, ...]:
    """All losses: those that suit the table first, in the order in which to try them.

    A loss of your own is never refused, as training does not refuse it. Without a table the order is that for pairs,
    and nothing is refused.

    Args:
        table: the table; None for none yet.
        current: a loss that has to be among them, though it may come from a recipe and not be registered here.
    """
    ranked = catalog.fitting(table.texts, table.label) if table else catalog.fitting(2, None)
    carried = catalog.describe(current.name, current.source) if current is not None and current.source else None
    infos = [carried if carried and info.name == carried.name else info for info, _ in ranked]
    if carried and carried not in infos:
        infos.insert(0, carried)
    reasons = {info.name: reason for info, reason in ranked if table and not info.custom}
    for info in infos if table else ():
        if info.wraps and not info.custom and not wrappable(info, infos, table):
            reasons[info.name] = f"{info.name} wraps another loss, and none suits this table."
    found = [Choice(info, reasons.get(info.name)) for info in infos]
    return tuple(sorted(found, key=lambda choice: choice.reason is not None))


def wrappable(wrapper: LossInfo, infos: Sequence[LossInfo], table: Table | None) -> list[LossInfo]:
    """The losses that a wrapper can take for this table, in the same order; wrappers are left out."""

    def suits(info: LossInfo) -> bool:
        if table is not None and not info.custom:
            return catalog.fits(wrapper, table.texts, table.label, info) is None
        # On its own table a loss is only refused for what it is.
        shape = info.shapes[0]
        return (
            catalog.fits(wrapper, shape.texts_min, None if shape.label in ("none", "any") else shape.label, info)
            is None
        )

    return [info for info in infos if not info.wraps and suits(info)]


def no_model(loss: Loss) -> str | None:
    """Why a loss, or one inside it, cannot have the models that it names; None if it can."""
    for part in _chain(loss):
        for problem in no_models(catalog.describe(part.name, part.source), part.parameters):
            return problem
    return None


def renewed(loss: Loss, before: Mapping[str, LossInfo]) -> tuple[Loss | None, str]:
    """A loss with the new source of what was registered anew since `before`, and a sentence about it.

    Returns:
        The loss, None where its new source cannot take its place; and what to say, nothing where nothing is new.
    """
    now = catalog.registered()
    anew = [
        part.name
        for part in _chain(loss)
        if part.source is not None
        and part.name in now
        and now[part.name].source not in (part.source, before[part.name].source if part.name in before else None)
    ]
    if not anew:
        return None, ""
    drafted, dropped = _renew(loss, {name: now[name] for name in anew})
    what = f"{' and '.join(anew)} was registered anew"
    if drafted.loss is None:
        why = (drafted.problem or drafted.missing).removesuffix(".")
        return None, f"{what}, but its new source cannot be taken: {why}; choose it again to set that."
    without = f", without {', '.join(dropped)}" if dropped else ""
    return drafted.loss, f"{what}: its new source is taken{without}."


def _renew(loss: Loss, anew: Mapping[str, LossInfo]) -> tuple[Draft, list[str]]:
    """A draft of the loss from the new sources, and the parameters that these do not take."""
    given = dict(loss.parameters)
    dropped: list[str] = []
    inner = given.get("loss")
    if isinstance(inner, Loss):
        given["loss"], dropped = _renew(inner, anew)
    info = anew.get(loss.name) or catalog.describe(loss.name, loss.source)
    clean = catalog.checked(info.name, given, source=info.source)[1]
    return draft(info, clean), dropped + [name for name in given if name not in clean]


def _chain(loss: Loss) -> list[Loss]:
    """A loss and those inside it."""
    inner = loss.parameters.get("loss")
    return [loss, *(_chain(inner) if isinstance(inner, Loss) else ())]


def refusal(loss: Loss, table: Table | None) -> str | None:
    """Why a loss does not suit the table, as training decides it; None if it does."""
    inner = loss.innermost
    if table is None or inner.source is not None:
        return None
    return catalog.fits(catalog.get(inner.name), table.texts, table.label)


def begin(info: LossInfo, table: Table | None, inner: Sequence[LossInfo], current: Loss) -> Mapping[str, Any]:
    """Values with which a form begins: what the table tells, and for a wrapper the loss that was chosen before."""
    given: dict[str, Any] = {}
    if table is not None and table.classes and info.parameter("num_labels"):
        given["num_labels"] = table.classes
    if info.wraps and current.innermost.name in [item.name for item in inner]:
        given["loss"] = current.innermost
    return given


def first(offered: Sequence[Choice], table: Table | None) -> Loss | None:
    """The first loss that suits the table and needs nothing that only a person knows; None if there is none."""
    nothing = Loss("MultipleNegativesRankingLoss")
    for choice in offered:
        if choice.reason is None and not choice.info.wraps:
            made = draft(choice.info, begin(choice.info, table, (), nothing)).loss
            if made is not None:
                return made
    return None
