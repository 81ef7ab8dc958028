"""Choose a loss that suits the data, set its parameters, and see what it does."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.catalog import losses as catalog
from workbench.catalog.losses import LossInfo
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import RecipeError
from workbench.plots.loss_shape import loss_shape, loss_shape_figure
from workbench.plots.svg import svg
from workbench.recipe import Loss, to_loss
from workbench.widgets.loss_choices import (
    Choice,
    Table,
    begin,
    choices,
    first,
    no_model,
    refusal,
    renewed,
    table_of,
    wrappable,
)
from workbench.widgets.loss_facts import facts_html, parameters_html
from workbench.widgets.loss_form import Draft, LossForm
from workbench.widgets.panel import Panel

# The labels of so many rows are read in well under 50 ms.
QUICK_ROWS = 10_000
_PICTURE_PX = 480


class _ExamplesTrait(t.Instance[Examples]):
    """Examples, or what `wb.load` makes them from."""

    def validate(self, obj: Any, value: Any) -> Any:
        return value if value is None or isinstance(value, Examples) else load(value)


class _LossTrait(t.Instance[Loss]):
    """A loss, or what one is made from."""

    def validate(self, obj: Any, value: Any) -> Any:
        return to_loss(value)


class LossPicker(Panel):
    """Choose a loss and its parameters.

    Args:
        data: the table to train on, as `wb.load` gives or takes it; losses that suit it come first.
        loss: what to begin with: a `Loss`, a name, or a class of your own. None takes the first that suits the data.

    Attributes:
        loss: what was chosen; always a loss that can be built and suits the data.
        data: the table. Another one may change the loss, and the message line says so.

    Raises:
        DataError: the table cannot be used.
        RecipeError: the loss is unknown, has wrong parameters or does not suit the table.
    """

    loss = _LossTrait(Loss)
    data = _ExamplesTrait(Examples, allow_none=True)

    def __init__(self, data: Any = None, loss: Any = None) -> None:
        super().__init__()
        self._table: Table | None = None
        self._offered: dict[str, Choice] = {}
        # as they were when `loss` was last set from Python or the list read again
        self._known = catalog.registered()
        self._busy = False
        self.form: LossForm | None = None
        self._build()
        self.data = data
        if self.data is not None:
            self._table = table_of(self.data)
        given = None if loss is None else to_loss(loss)
        found = given or first(choices(self._table), self._table)
        if found is not None:
            self.loss = found
        self._refresh()
        self._open(self.loss.name)
        if found is None and self._table is not None:
            self.say(_none_suits(self._table), "error")
        self.select.observe(self._picked, "value")
        self.observe(self._loss_set, "loss")
        self.observe(self._data_set, "data")
        row = W.Layout(flex_flow="row wrap", width="100%")
        self._show(W.HBox([self.select, self._about], layout=row), W.HBox([self.picture, self._place], layout=row))

    def _build(self) -> None:
        wide = {"description_width": "initial"}
        self.select = W.Select(
            description="Loss (✗: unsuited)", rows=15, style=wide, layout=W.Layout(flex="1 1 320px", height="300px")
        )
        self.facts = W.HTML()
        self._about = W.Box([self.facts], layout=W.Layout(flex="2 1 380px", height="300px", overflow="auto"))
        self._about.layout.padding = "0 8px"
        self._place = W.Box(layout=W.Layout(flex="1 1 380px", max_height="420px", overflow="auto"))
        self.picture = W.HTML(layout=W.Layout(flex="1 1 380px", max_height="420px", overflow="auto"))

    @t.default("loss")
    def _usual(self) -> Loss:
        return Loss("MultipleNegativesRankingLoss")

    @t.validate("loss")
    def _suits(self, proposal: Any) -> Loss:
        wrong = no_model(proposal["value"])
        if wrong:
            raise RecipeError(wrong)
        reason = refusal(proposal["value"], self._table)
        if reason:
            raise RecipeError(f"loss: {reason.removesuffix('.')}; {self._advice()}")
        found: Loss = proposal["value"]
        return found

    def refresh(self) -> None:
        """Read the list of losses again, as after `wb.register_loss` in another cell.

        If the loss is one of your own that was registered anew, its new source is taken, and the message line says so.
        """
        with self._guarded():
            with self._lock:
                before, self._known = self._known, catalog.registered()
                self._refresh()
                shown = self.select.value
                if self.form is None or self.form.info != self._at_hand(shown).info:
                    self._open(shown)
                new, words = renewed(self.loss, before)
            if new is not None:
                self.loss = new
            if words:
                self.say(words, "error" if new is None else "")

    def _refresh(self) -> None:
        """List the losses for the table; which one is shown does not change."""
        offered = choices(self._table, self.loss)
        self._offered = {choice.info.name: choice for choice in offered}
        shown = self.select.value or self.loss.name
        options = [(choice.label, name) for name, choice in self._offered.items()]
        self._show_choice(shown if shown in self._offered else self.loss.name, options)

    def _show_choice(self, name: str, options: list[tuple[str, str]] | None = None) -> None:
        busy, self._busy = self._busy, True
        try:
            if options is not None and options != list(self.select.options):
                self.select.options = options
            self.select.value = name
        finally:
            self._busy = busy

    # What people and programs do. Other panels listen to `loss`: it is set while no lock is held, or two panels could wait for each other.

    def _picked(self, change: Any) -> None:
        with self._guarded():
            name = change["new"]
            with self._lock:
                if self._busy or name is None:
                    return
                self._open(name)
                reason = self._offered[name].reason
            if reason:
                self.say(f"{reason.removesuffix('.')}; the loss stays {self.loss.name}", "error")
            else:
                self._edited()

    def _edited(self) -> None:
        """Something changed in the form: take it over if it is whole, else say what is not."""
        with self._guarded():
            with self._lock:
                if self.form is None:
                    return
                drafted = self.form.draft()
                self.picture.value = picture_html(drafted)
            if drafted.loss is not None:
                self.say("")
                self.loss = drafted.loss
            elif drafted.problem:
                self.say(f"{drafted.problem.removesuffix('.')}; the loss stays as it was", "error")
            else:
                self.say(f"{drafted.missing.removesuffix('.')}. Until then the loss stays {self.loss.name}.")

    def _loss_set(self, change: Any) -> None:
        loss = change["new"]
        with self._guarded():
            with self._lock:
                here = self.form is not None and self.form.info.name == loss.name and self.form.draft().loss == loss
                if not here:
                    self._known = catalog.registered()
                    self._refresh()
                    self._show_choice(loss.name)
                    self._open(loss.name)
            if not here:
                self.say("")
            self._changed()

    def _data_set(self, change: Any) -> None:
        data = change["new"]
        with self._guarded():
            if data is not None and data.label is not None and len(data) > QUICK_ROWS:
                self.say(f"Reading the labels of {len(data):,} rows …", "busy")
                self._later(self._look, data)
            else:
                self._look(data)

    def _look(self, data: Examples | None) -> None:
        """List the losses for another table, and change the loss if it does not suit that."""
        table = None if data is None else table_of(data)
        with self._lock:
            # Another table may have come while this one was read.
            if data is not self.data:
                return
            self._table = table
            before, reason = self.loss, refusal(self.loss, table)
            found = first(choices(table), table) if reason else None
            self._refresh()
            if found is None:
                self._show_choice(before.name)
                self._open(before.name)
        if found is not None and table is not None:
            self.loss = found
            self.say(f"{before.name} does not suit {table.name}, so the loss is {found.name} now: {reason}")
        else:
            self.say(_none_suits(table) if reason and table else "", "error" if reason else "")
        self._changed()

    # what is shown

    def _open(self, name: str) -> None:
        """Show facts, form and picture of a loss of the list."""
        choice = self._at_hand(name)
        self.facts.value = facts_html(choice.info, self._verdict(choice))
        old, self.form = self.form, None
        if choice.reason is None or name == self.loss.name:
            inner = self._inner(choice.info)
            chosen = name == self.loss.name
            given = self.loss.parameters if chosen else begin(choice.info, self._table, inner, self.loss)
            self.form = LossForm(choice.info, given, self._inner, self._edited)
            self._place.children = (self.form,)
            drafted = self.form.draft()
        else:
            words = "Its parameters can be set once the columns suit it."
            self._place.children = (W.HTML(f"<div class='wb-soft'>{words}</div>"),)
            drafted = Draft(name, {}, choice.info.source)
        self.picture.value = picture_html(drafted)
        if old is not None:
            old.close()

    def _inner(self, info: LossInfo) -> list[LossInfo]:
        return wrappable(info, [self._at_hand(name).info for name in self._offered], self._table)

    def _at_hand(self, name: str) -> Choice:
        """A loss of the list; the chosen one with its own source, another with the source registered last."""
        now, loss = catalog.registered().get(name), self.loss
        if name == loss.name:
            now = catalog.describe(name, loss.source)
        return replace(self._offered[name], info=now) if now else self._offered[name]

    def _verdict(self, choice: Choice) -> str:
        if choice.reason:
            return f"✗ {choice.reason}"
        if self._table is None:
            return ""
        return (
            f"✓ It suits {self._table.name}." if not choice.info.custom else "It is yours: its columns are not checked."
        )

    def _advice(self) -> str:
        names = [choice.info.name for choice in choices(self._table) if choice.reason is None and not choice.info.wraps]
        return (
            f"take {' or '.join(names[:2])}, or set the roles of the columns"
            if names
            else "set the roles of the columns"
        )

    def _code(self) -> str:
        return self.loss.code

    def static(self) -> str:
        """The loss, its parameters, its picture, and which others suit the data."""
        loss = self.loss
        info = catalog.describe(loss.name, loss.source)
        fit = [choice.info.name for choice in self._offered.values() if choice.reason is None]
        others = ""
        if self._table is not None:
            others = f"<p>Losses that suit {escape(self._table.name)}: {escape(', '.join(fit) or 'none')}.</p>"
        inner = loss.parameters.get("loss")
        nested = ""
        if isinstance(inner, Loss):
            described = catalog.describe(inner.name, inner.source)
            nested = f"<p>{escape(inner.name)}</p>{parameters_html(described, inner.parameters)}"
        body = facts_html(info, "") + parameters_html(info, loss.parameters) + nested
        drawn = picture_html(Draft(loss.name, loss.parameters, loss.source, loss))
        return f"<div>{body}{drawn}{others}<pre>{escape(self.code)}</pre></div>"


def picture_html(drafted: Draft) -> str:
    """The picture of a loss with its caption, or why there is none. Escaped."""
    shape = loss_shape(drafted.name, drafted.parameters)
    if shape is None:
        chain = [drafted.name]
        inner = drafted.parameters.get("loss")
        while inner is not None:
            chain.append(inner.name)
            inner = inner.parameters.get("loss")
        known = all(name in catalog.losses() and not catalog.losses()[name].custom for name in chain)
        why = "There is no picture of it with these values." if known else "There is no picture of a loss of one's own."
        return f"<div class='wb-soft'>{why}</div>"
    drawn = svg(loss_shape_figure(shape), width=_PICTURE_PX)
    return f"{drawn}<div class='wb-soft'>{escape(shape.caption)}</div>"


def _none_suits(table: Table) -> str:
    columns = f"{table.texts} text column{'' if table.texts == 1 else 's'}"
    label = "no label" if table.label is None else f"a label that holds {table.label}"
    return f"No loss suits {table.name} with {columns} and {label}; set the roles of its columns"
