"""Try a loss at once: change a parameter, and scores and map of a linear adapter follow in a second or two."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.catalog import losses as catalog
from workbench.catalog.losses import LossInfo
from workbench.data.distinct import COLUMN, colour_choices, labels_of
from workbench.data.prepare import prepare
from workbench.errors import RecipeError
from workbench.plots.map import map_figure
from workbench.plots.svg import svg
from workbench.recipe import Recipe
from workbench.spaces.engine import Ended, engine
from workbench.spaces.project import Projection
from workbench.spaces.stages import Call, laid_out
from workbench.training.adapter import Try, as_adapter, try_adapter
from workbench.widgets import loss_choices
from workbench.widgets.figure import Pane
from workbench.widgets.latest import Latest
from workbench.widgets.loss_form import LossForm, make_control
from workbench.widgets.panel import Panel, Refusing
from workbench.widgets.settings_form import described
from workbench.widgets.table import table
from workbench.widgets.try_parts import doing, line, result, scores_html, words

PAUSE_S = 0.4
KEPT = 20
MAP_PX = 500
SETTINGS = ("learning_rate", "epochs", "batch_size")
NOTHING = "<div class='wb-soft'>Change a parameter, or click Try: scores and map of a linear adapter appear here. The model stays frozen, so a try takes a second or two once its texts are encoded.</div>"


class TryPanel(Panel):
    """Parameters of a loss, and at each change a linear adapter on vectors of the frozen base model.

    Args:
        recipe: where to begin: its model, data, loss and settings.

    Attributes:
        recipe: as given; set it to try another one. Tries of other data or another model are forgotten.
        trial: what the next try trains: the recipe as an adapter with what stands in the form.
        tries: the last 20 tries, the newest last.
        chosen: the recipe that was taken by one of the buttons; None before.

    Raises:
        RecipeError: it is no recipe.
    """

    recipe = Refusing(Recipe, RecipeError, "make one with wb.Recipe(...)")
    trial = t.Instance(Recipe, allow_none=True, read_only=True)
    tries = t.Tuple(read_only=True)
    chosen = t.Instance(Recipe, allow_none=True, read_only=True)

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._maps: tuple[Projection, ...] = ()  # one for each try
        self._filling = False
        self.form: LossForm | None = None
        self._soon = Latest(self._ask, PAUSE_S)
        self._build()
        self.recipe = recipe
        self._open()
        shown = W.HBox([self._scores, self._place], layout=W.Layout(flex_flow="row wrap"))
        self._show(self._controls, self.list, shown)

    def _build(self) -> None:
        named: dict[str, Any] = {"style": {"description_width": "initial"}}
        self._form = W.Box(layout=W.Layout(flex="2 1 420px", max_height="400px", overflow="auto", display="block"))
        self._settings = W.VBox(layout=W.Layout(flex="1 1 260px"))
        self.now = W.Button(description="Try", button_style="primary", tooltip="Train and score a linear adapter now")
        self.follow = W.Checkbox(value=True, description="Try at every change", indent=False, **named)
        self.list = W.Select(
            description="Tries", options=[], rows=6, layout=W.Layout(width="98%", display="none"), **named
        )
        self.take = W.Button(
            description="Take as adapter", tooltip="The recipe of the chosen try, trained as a linear adapter"
        )
        self.train = W.Button(
            description="Take for full training", tooltip="The loss of the chosen try, with all weights trained"
        )
        half = W.Layout(flex="1 1 420px", width="auto", min_width="0")
        self._scores = W.HTML(NOTHING, layout=half)
        self._map = W.VBox(layout=W.Layout(width="100%", overflow="hidden"))
        self._pane, self._caption = Pane(self._map), W.HTML()
        wrapped = W.Layout(flex_flow="row wrap")
        buttons = W.HBox([self.now, self.follow, self.take, self.train], layout=wrapped)
        self._controls = W.VBox([W.HBox([self._form, self._settings], layout=wrapped), buttons])
        self._place = W.VBox([self._map, self._caption], layout=half)
        self.now.on_click(lambda _: self.run())
        self.take.on_click(lambda _: self._choose(full=False))
        self.train.on_click(lambda _: self._choose(full=True))
        self.list.observe(self._picked, "value")

    # what can be done

    def run(self) -> None:
        """Try what stands in the form. Returns at once; `settle` waits."""
        self._soon()
        self._soon.flush()

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until what was asked for last is done."""
        self._soon.flush()
        super().settle(timeout_s)

    # the form

    @t.observe("recipe")
    def _recipe_set(self, change: Any) -> None:
        if not self.children:
            return
        with self._guarded():
            old, new = change["old"], change["new"]
            if (old.model, old.revision, old.data, old.eval_data) != (new.model, new.revision, new.data, new.eval_data):
                self._forget()
            if self.trial is None or self.trial.loss != new.loss or _apart(old, new):
                self._open()
            self._changed()

    def _open(self) -> None:
        """The form for the recipe, or why there can be none."""
        self._void()
        old, self.form = [*([self.form] if self.form else []), *self._settings.children], None
        try:
            begin = as_adapter(self.recipe)
        except RecipeError as error:
            self.set_trait("trial", None)
            self._form.children = (W.HTML(f"<div>{escape(str(error))}</div>"),)
            self._settings.children = ()
        else:
            self.set_trait("trial", begin)
            info = catalog.describe(begin.loss.name, begin.loss.source)
            self.form = LossForm(info, begin.loss.parameters, _inner, self._edited)
            title = W.HTML(f"<b>{escape(begin.loss.name)}</b>")
            self._form.children = (title, self.form)
            self._settings.children = tuple(self._setting(name, begin) for name in SETTINGS)
        self.now.disabled = self.trial is None
        for part in old:
            part.close()

    def _setting(self, name: str, begin: Recipe) -> Any:
        parameter, unit = described(name)
        control, _ = make_control(parameter, getattr(begin, name))
        control.description = f"{name} ({unit})" if unit not in ("", name) else name
        control.observe(lambda change: self._set(**{name: change["new"]}), "value")
        return control

    def _edited(self) -> None:
        """Something changed in the form of the loss."""
        with self._guarded():
            drafted = self.form.draft() if self.form else None
            if drafted is None:
                return
            if drafted.loss is None:
                self.say(drafted.problem or drafted.missing, "error" if drafted.problem else "")
                return
            self._set(loss=drafted.loss)

    def _set(self, **changes: Any) -> None:
        with self._guarded():
            if self.trial is None:
                return
            self.set_trait("trial", self.trial.changed(**changes))
            self._changed()
            self.say("" if self.follow.value else "Changed: click Try")
            if self.follow.value:
                self._soon()

    # a try, on the panel's own thread

    def _ask(self) -> None:
        """A newer request makes the older one void."""
        if self.trial is not None:
            self._later(self._try, self._void(), self.trial)

    def _try(self, turn: int, trial: Recipe) -> None:
        if turn != self._turn:
            return
        first = "" if self.tries else "Encoding the texts once, then training "
        self.say(f"{first or 'Training '}a linear adapter with {trial.loss.name} …", "busy")

        def tell(phase: str, done: int, total: int) -> None:
            if turn != self._turn:
                raise Ended
            if said := doing(phase, done, total, trial):
                self.say(said, "busy")

        call = partial(engine().call, progress=tell)
        try:
            made = call(try_adapter, trial)
            tell("", 0, 0)
            self.say("Moving the map …", "busy")
            drawn = self._laid_out(made, call)
            tell("", 0, 0)
        except Ended:  # by a newer request, which has said so
            return
        self._maps = (*self._maps, drawn)[-KEPT:]
        self.set_trait("tries", (*self.tries, made)[-KEPT:])
        self._list()
        self._show_try(len(self.tries) - 1)
        self.say(result(made), "good")
        self._changed()

    def _laid_out(self, made: Try, call: Call) -> Projection:
        """The map of a try, started from that of the last one, the first from that of the base model."""
        seed = made.recipe.seed
        last = self._maps[-1] if self._maps else None
        if last is None or last.space.texts != made.after.texts:
            last = laid_out(call, made.before, seed=seed)
        return laid_out(call, made.after, seed=seed, start=last.xy)

    # what is shown

    def _list(self) -> None:
        self._filling = True
        try:
            self.list.options = [(line(n, made), n) for n, made in enumerate(self.tries)]
            self.list.index = len(self.tries) - 1 if self.tries else None
            change = self.tries[-1].change if self.tries else None
            self.list.description = f"Tries ({change.after.primary}), newest last" if change else "Tries, newest last"
            self.list.layout.display = "flex" if self.tries else "none"
        finally:
            self._filling = False

    def _picked(self, change: Any) -> None:
        if not self._filling and change["new"] is not None:
            self._later(self._show_try, change["new"])

    def _show_try(self, place: int) -> None:
        self._scores.value = scores_html(self.tries[place])
        self._caption.value = f"<div class='wb-soft'>{escape(self._maps[place].caption)}</div>"
        self._map.layout.height = f"{MAP_PX + 10}px"
        self._pane.draw(self._figure(place).update_layout(height=MAP_PX, margin={"b": 48}), alike=True)

    def _figure(self, place: int) -> Any:
        made, drawn = self.tries[place], self._maps[place]
        train, evaluation = prepare(made.recipe)
        rows = evaluation or train
        labels = labels_of(rows, drawn.space.texts, next(iter(colour_choices(rows)), COLUMN))
        return map_figure(drawn, labels=labels, title="Held-out texts" if evaluation else "Texts", caption=False)

    def _forget(self) -> None:
        self._void()
        self._maps = ()
        self.set_trait("tries", ())
        self._list()
        self._scores.value, self._caption.value = NOTHING, ""
        self._map.layout.height = None
        self._pane.close()

    # from a try to the recipe

    def _choose(self, *, full: bool) -> None:
        with self._guarded():
            place = self.list.value
            made = self.tries[place].recipe if place is not None and self.tries else self.trial
            if made is None:
                raise RecipeError("expected a try to take the recipe of, but there is none; click Try first")
            if full:
                rate = (
                    {}
                    if self.recipe.method == "full"
                    else {"learning_rate": Recipe.model_fields["learning_rate"].default}
                )
                made = self.recipe.changed(loss=made.loss, method="full", **rate)
            self.set_trait("chosen", made)
            self.say(f"Taken: {made.loss.name} " + ("for full training" if full else "as a linear adapter"), "good")

    def _code(self) -> str:
        return f"wb.try_adapter({(self.trial or self.recipe).code})"

    def static(self) -> str:
        """All tries, and scores and map of the last one."""
        if not self.tries:
            return "<p>Nothing was tried yet.</p>"
        rows = [[words(made), result(made), made.steps, f"{made.seconds:.1f}"] for made in self.tries]
        caption = "Linear adapters on vectors of the frozen base model"
        drawn = f"{svg(self._figure(len(self.tries) - 1), width=640)}<p>{escape(self._maps[-1].caption)}</p>"
        return table(["try", "result", "steps", "seconds"], rows, caption=caption) + scores_html(self.tries[-1]) + drawn

    def close(self) -> None:
        """Close the panel and its figure."""
        self._void()
        self._pane.close()
        super().close()


def _inner(info: LossInfo) -> list[LossInfo]:
    """Losses that a wrapper can take and an adapter can be trained with."""
    known = [loss for loss in catalog.losses().values() if not catalog.no_adapter(loss.name, {}, loss.source)]
    return loss_choices.wrappable(info, known, None)


def _apart(old: Recipe, new: Recipe) -> bool:
    """Something else than loss and method differs, so that the form has to begin anew."""
    return bool({key.split(".")[0] for key in old.diff(new)} - {"loss", "method", "learning_rate"})
