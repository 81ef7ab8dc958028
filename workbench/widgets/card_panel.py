"""Begin from a model card, or from one of five real runs: what it says, what it does not, and the recipe that repeats it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench import gallery
from workbench.cards.read import README, Card, read_card
from workbench.cards.read_recipe import UNNAMED
from workbench.checks.finding import some
from workbench.errors import ModelError, RecipeError
from workbench.gallery.record import Entry
from workbench.recipe import Recipe
from workbench.widgets.given import Given
from workbench.widgets.panel import Panel, Refusing
from workbench.widgets.table import cut, table

HEIGHT_PX = 560
_WIDE = {"description_width": "initial"}
_FIRST = "Read a card to see what it says, what it does not say or says wrongly, and to take the recipe that repeats its run; or look at a real run that went wrong, and why."


class CardPanel(Panel):
    """Read a model card of Sentence Transformers, and take the recipe that repeats its run.

    Args:
        card: path of a card, a model folder, a run folder, a Hub id, or the card's text.
        example: instead of a card, one of the five real runs, see `workbench.gallery.names()`.
        data: what to train on instead of what the card names; what `wb.load` takes.

    Attributes:
        card: as given.
        example: name of the real run that is looked at, None for none.
        data: as given; None takes what the card names.
        read: what the card says; None before one was read.
        recipe: the recipe that was taken; None before.

    Raises:
        ModelError: `card` is neither text nor a path.
        RecipeError: there is no such real run.
    """

    card = Given(None)
    example = t.Unicode(None, allow_none=True)
    data = t.Unicode(None, allow_none=True)
    recipe = Refusing(Recipe, RecipeError, "make one with wb.Recipe(...)", allow_none=True)

    def __init__(
        self, card: str | Path | None = None, *, example: str | None = None, data: str | Path | None = None
    ) -> None:
        super().__init__()
        self.read: Card | None = None
        self._entry: Entry | None = None
        self._taken = ""
        self._place = README  # of the card that was read, as the line of code says it
        self._build()
        self._show(self._from, self._box, self._take_row)
        self.data = None if data is None else str(data)
        if example is not None:
            self.example = example
        elif card is not None:
            self.card = card

    def _build(self) -> None:
        row = W.Layout(flex_flow="row wrap", width="98%")
        self._named = W.Text(
            description="Model card",
            placeholder="README.md, a model folder, a run folder or owner/name",
            continuous_update=False,
            style=_WIDE,
            layout=W.Layout(flex="1 1 320px", width="auto"),
        )
        self._read = W.Button(description="Read", tooltip="Read the card that is named beside")
        self._upload = W.FileUpload(
            accept=".md,.markdown,.txt", description="Upload a card", tooltip="Read a card from this computer"
        )
        self._examples = W.Dropdown(
            description="Or a real run",
            options=[
                ("choose one of five", ""),
                *((f"{name} · {title}", name) for name, title in gallery.titles().items()),
            ],
            style=_WIDE,
            layout=W.Layout(flex="1 1 260px", width="auto"),
        )
        self._from = W.HBox([self._named, self._read, self._upload, self._examples], layout=row)
        self._html = W.HTML(f"<div class='wb-soft'>{_FIRST}</div>", layout=W.Layout(width="98%"))
        self._box = W.Box([self._html], layout=W.Layout(max_height=f"{HEIGHT_PX}px", overflow="auto", display="block"))
        self._data = W.Text(
            description="Train it on",
            placeholder="what the card names; or a file, a shipped name such as glossary/qa, a Hub id",
            continuous_update=False,
            style=_WIDE,
            layout=W.Layout(flex="1 1 320px", width="auto"),
        )
        self._use = W.Button(description="Take its recipe", tooltip="Go on with this recipe", disabled=True)
        self._use_mended = W.Button(
            description="Take the mended recipe", tooltip="Go on with what went wrong put right", disabled=True
        )
        self._take_row = W.HBox([self._data, self._use, self._use_mended], layout=row)
        self._read.on_click(lambda _: self._submit(again=True))
        self._named.observe(lambda _: self._submit(), "value")
        self._upload.observe(self._uploaded, "value")
        self._examples.observe(self._chosen, "value")
        self._data.observe(lambda change: setattr(self, "data", change["new"].strip() or None), "value")
        self._use.on_click(lambda _: self._later(self.take))
        self._use_mended.on_click(lambda _: self._later(partial(self.take, mended=True)))

    # what can be done

    def take(self, *, mended: bool = False) -> Recipe:
        """Take the recipe of the card or of the real run; `recipe` then holds it.

        Args:
            mended: of a real run, the recipe with what went wrong put right.

        Raises:
            RecipeError: nothing was read, the card's recipe cannot be built, or it names no data.
        """
        if self._entry is not None:
            recipe = self._entry.mended if mended else self._entry.recipe
            self._taken = f"gallery.entry({self._entry.name!r}).{'mended' if mended else 'recipe'}"
        elif self.read is not None:
            recipe = self.read.to_recipe(**({} if self.data is None else {"data": self.data}))
            if recipe.data.source == UNNAMED:
                raise RecipeError(
                    "expected data to train on, but the card names none; say under 'Train it on' what to take, such as glossary/qa"
                )
            given = "" if self.data is None else f"data={self.data!r}"
            self._taken = f"{self._reading()}.to_recipe({given})"
        else:
            raise RecipeError("expected a card to take the recipe of, got none yet; read one first")
        self.recipe = recipe
        self._changed()
        self.say(f"Taken: {recipe.loss.name} on {cut(recipe.data.source, 80)} from {cut(recipe.model, 80)}", "good")
        return recipe

    @t.observe("data")
    def _data_set(self, change: Any) -> None:
        self._data.value = change["new"] or ""

    # a card

    @t.observe("card")
    def _card_set(self, change: Any) -> None:
        card = change["new"]
        if card is not None and not isinstance(card, str | Path):
            raise ModelError(f"expected a path, a Hub id or the text of a card, got {type(card).__name__}; give one")
        if card is not None:
            if self._named.value != _source(card):
                self._named.value = _source(card)
            self._begin(card)

    def _begin(self, card: str | Path) -> None:
        self.say(f"Reading {cut(_source(card), 120)} …", "busy")
        self._later(self._look, card, self._void())

    def _look(self, card: str | Path, turn: int) -> None:
        read = read_card(card)
        if turn == self._turn:
            self._have(read, str(card))
            self.say(f"Read: {some(len(read.doubts), 'doubt')}", "good" if not read.doubts else "")

    def _have(self, read: Card, place: str) -> None:
        """Show a card in the place of what was shown before."""
        self.example, self._examples.value = None, ""
        self.read, self._entry, self._taken, self._place = read, None, "", place
        self._draw()

    def _submit(self, *, again: bool = False) -> None:
        with self._guarded():
            name = self._named.value.strip()
            if name and (self.card is None or name != _source(self.card)):
                self.card = name
            elif name and again and not self._jobs:
                self._begin(self.card)

    def _uploaded(self, change: Any) -> None:
        with self._guarded():
            if change["new"]:
                self._later(self._read_upload, change["new"][0], self._void())

    def _read_upload(self, file: Any, turn: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / README
            path.write_bytes(bytes(file["content"]))
            read = read_card(path)
        if turn == self._turn:
            self.set_trait("card", None)
            self._named.value = ""
            self._have(read, README)
            self.say(f"Read {cut(file['name'], 120)}: {some(len(read.doubts), 'doubt')}")

    # a real run

    def _chosen(self, change: Any) -> None:
        with self._guarded():
            if change["new"] and change["new"] != self.example:
                self.example = change["new"]

    @t.observe("example")
    def _example_set(self, change: Any) -> None:
        name = change["new"]
        if name is None:
            return
        if name not in gallery.names():
            raise RecipeError(
                f"expected one of the real runs {', '.join(gallery.names())}, got {name!r:.60}; choose another"
            )
        self._examples.value = name
        self.say(f"Preparing {name} …", "busy")
        self._later(self._look_at, name, self._void())

    def _look_at(self, name: str, turn: int) -> None:
        entry = gallery.entry(name)
        if turn == self._turn:
            self.read, self._entry, self._taken = None, entry, ""
            self._draw()
            self.say("")

    # showing

    def _draw(self) -> None:
        self._html.value = self._shown()
        self._use.disabled = self.read is None and self._entry is None
        self._use_mended.disabled = self._entry is None
        self._data.disabled = self._entry is not None
        self._changed()

    def _shown(self) -> str:
        if self._entry is not None:
            kept = gallery.kept(self._entry.name)
            return f"{self._entry._repr_html_()}{'' if kept is None else kept._repr_html_()}"
        return f"<div class='wb-soft'>{_FIRST}</div>" if self.read is None else card_html(self.read)

    def _code(self) -> str:
        if self._taken:
            return self._taken
        if self._entry is not None:
            return f"gallery.entry({self._entry.name!r})"
        return self._reading()

    def _reading(self) -> str:
        return f"wb.read_card({self._place!r})"

    def static(self) -> str:
        """What the card says, and what is doubtful in it."""
        return self._shown()


def card_html(card: Card) -> str:
    """What a card says, and its doubts, as escaped HTML."""
    said = table(["the card", "says"], [[name, cut(value, 400)] for name, value in card.facts.items()])
    if not card.doubts:
        return said + "<p>Nothing in it is doubtful.</p>"
    doubts = table(
        ["", "what it does not say, or says wrongly"],
        [[doubt.code, cut(doubt.sentence, 900)] for doubt in card.doubts],
        caption=some(len(card.doubts), "doubt"),
    )
    return said + doubts


def _source(card: object) -> str:
    """A card as it stands in a text box: of a text its first line."""
    text = str(card)
    return text.strip().splitlines()[0][:60] if "\n" in text else text
