"""Choose a base model, and see what it is and what training it takes before anything is loaded."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.catalog import models
from workbench.catalog.memory import LARGEST, MemoryEstimate, training_memory
from workbench.catalog.models import ModelInfo
from workbench.errors import ModelError, RecipeError
from workbench.recipe import DEFAULT_MODEL
from workbench.widgets.model_facts import NOT_HERE, facts
from workbench.widgets.panel import Panel
from workbench.widgets.table import cut, table

_WIDE = {"description_width": "initial"}


class _Name(t.Unicode[str, str | Path]):
    """A model name that can be seen to be wrong without a network is refused."""

    def validate(self, obj: Any, value: Any) -> str:
        if not isinstance(value, str | Path):
            raise ModelError(
                f"expected a model folder, a run folder or a Hub id, got {type(value).__name__}; give its name"
            )
        models.check_name(value)
        return str(value)


class _Count(t.Int[int, int]):
    """A whole number that a batch can have."""

    def validate(self, obj: Any, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
            raise RecipeError(
                f"{self.name}: expected a whole number from 1 to {LARGEST:,}, got {value!r:.60}; choose another"
            )
        return value


class ModelPicker(Panel):
    """Choose a base model. Nothing is fetched and nothing is loaded.

    Args:
        model: what to begin with: a Hub id, a folder or a run folder.
        batch_size: rows of one forward pass, for the estimate of memory.
        texts: text columns of a row, for the estimate of memory.
        tokens: length that the texts of a batch are padded to, for the estimate of memory.

    Attributes:
        model: what was chosen, as it was given.
        batch_size: as above.
        texts: as above.
        tokens: as above.

    Raises:
        ModelError: `model` is neither a folder with a model nor shaped like a Hub id, or may not be loaded.
        RecipeError: a number is out of bounds.
    """

    model = _Name(DEFAULT_MODEL)
    batch_size = _Count(16)
    texts = _Count(2)
    tokens = _Count(128)

    def __init__(
        self, model: str | Path = DEFAULT_MODEL, *, batch_size: int = 16, texts: int = 2, tokens: int = 128
    ) -> None:
        super().__init__()
        self._moving = False
        self._seen: tuple[str, ModelInfo] | None = None
        self._good = DEFAULT_MODEL
        self._listed = list(models.KNOWN.values())
        self._located = False
        self._more: dict[str, ModelInfo] = {}
        self.model, self.batch_size, self.texts, self.tokens = model, batch_size, texts, tokens
        self._build()
        self.observe(self._model_set, "model")
        self.observe(self._numbers_set, ["batch_size", "texts", "tokens"])
        self._fill()
        self._draw()
        self._show(self._top, self._named, self._numbers, self._facts)
        self._later(self._locate)
        self._later(self._look, self.model, self._turn)

    def _build(self) -> None:
        self._search = W.Text(
            description="Search", placeholder="a word of name or note", style=_WIDE, layout=W.Layout(width="auto")
        )
        self._found = W.HTML(layout=W.Layout(min_height="1.5em"))
        self._list = W.Select(description="Models", rows=8, style=_WIDE, layout=W.Layout(width="auto"))
        self._top = W.VBox([self._search, self._found, self._list], layout=W.Layout(width="98%"))
        # a change arrives with Enter, or when another control is entered
        self._other = W.Text(
            description="Or another: a folder, a run folder or a Hub id",
            placeholder="owner/name",
            continuous_update=False,
            style=_WIDE,
            layout=W.Layout(flex="1 1 320px", width="auto"),
        )
        self._use = W.Button(description="Use", tooltip="Use the model that is named beside")
        row = W.Layout(flex_flow="row wrap", width="98%")
        self._named = W.HBox([self._other, self._use], layout=row)
        self._counts = {
            "batch_size": _box("Batch size (rows)", self.batch_size, "Rows of one forward pass"),
            "texts": _box("Texts per row", self.texts, "Text columns; each is a forward pass of its own"),
            "tokens": _box("Longest text (tokens)", self.tokens, "All texts of a batch are padded to the longest"),
        }
        self._numbers = W.HBox([*self._counts.values()], layout=row)
        self._facts = W.HTML(layout=W.Layout(min_height="300px", width="98%"))
        self._search.observe(lambda _: self._fill(), "value")
        self._list.observe(self._picked, "value")
        self._other.observe(lambda _: self._submit(), "value")
        self._use.on_click(lambda _: self._submit())
        for name, box in self._counts.items():
            box.observe(lambda change, name=name: self._counted(name, change["new"]), "value")

    # what is known

    @property
    def info(self) -> ModelInfo:
        """What is known of the chosen model, read from its files where they are on this machine (about 0.1 s, once)."""
        seen = self._seen
        return seen[1] if seen and seen[0] == self.model else models.describe(self.model, fetch=False)

    @property
    def memory(self) -> MemoryEstimate:
        """Memory that training the chosen model takes at the chosen batch."""
        return self._memory(self.info)

    def _memory(self, info: ModelInfo) -> MemoryEstimate:
        tokens = min(self.tokens, info.max_seq_length or self.tokens)  # longer texts are cut
        return training_memory(info, batch_size=self.batch_size, texts=self.texts, tokens=tokens)

    def _known(self) -> ModelInfo:
        """What is known without reading a file."""
        name = models.full_name(self.model)
        seen = self._seen
        return seen[1] if seen and seen[0] == self.model else models.KNOWN.get(name, ModelInfo(name))

    # controls to traits; no lock is held while a trait is set, since others answer to that

    def _picked(self, change: Any) -> None:
        with self._guarded():
            with self._lock:  # waits for a list that is being filled on another thread
                by_user = not self._moving
            if by_user and change["new"] not in (None, models.full_name(self.model)):
                self.model = change["new"]

    def _counted(self, name: str, value: int) -> None:
        with self._guarded():
            if getattr(self, name) != value:
                setattr(self, name, value)

    def _submit(self) -> None:
        with self._guarded():
            if name := self._other.value.strip():
                self.say(f"Looking at {cut(name, 120)} …", "busy")
                self._later(self._take, name, self._void())

    def _take(self, name: str, turn: int) -> None:
        """Choose what was typed if it is a model; else the last one stays."""
        try:
            info = models.describe(name, fetch=False)
        except ModelError:
            if turn == self._turn:
                raise
            return
        if turn != self._turn:
            return
        if self.model == name:
            self._arrived(name, info)
        else:
            self._seen = (name, info)
            self.model = name
        self.say(f"Chosen: {name}" if info.where else f"Chosen: {name}. It is {NOT_HERE}", "good")

    # traits to controls

    def _model_set(self, _: Any) -> None:
        with self._guarded():
            self._void()
            self.say("")
            if self._seen and self._seen[0] == self.model:
                self._arrived(*self._seen)
                return
            self._fill()
            self._draw()
            self._changed()
            self._later(self._look, self.model, self._turn)

    def _numbers_set(self, change: Any) -> None:
        with self._guarded():
            self._counts[change["name"]].value = change["new"]
            self._draw()
            self._changed()

    def _look(self, name: str, turn: int) -> None:
        """Read the files of the chosen model; where they are damaged, go back to the last good one."""
        try:
            info = models.describe(name, fetch=False)
        except ModelError as error:
            if turn == self._turn:
                if name != self._good:
                    self.model = self._good
                self.say(str(error), "error")
            return
        if turn == self._turn:
            self._arrived(name, info)

    def _arrived(self, name: str, info: ModelInfo) -> None:
        self._seen, self._good = (name, info), name
        if info.name not in models.KNOWN:
            self._more[info.name] = info
        self._fill()
        self._draw()
        self._changed()

    def _locate(self) -> None:
        """Look which models of the catalogue are on this machine."""
        self._listed, self._located = models.models(), True
        self._fill()

    def _fill(self) -> None:
        """The list: the catalogue and what else was used here, as far as the search finds it."""
        with self._lock:
            everything = [*self._listed, *self._more.values()]
            words = self._search.value.casefold().split()
            found = [
                info for info in everything if all(word in f"{info.name} {info.note}".casefold() for word in words)
            ]
            self._moving = True
            try:
                self._list.options = [(self._line_of(info), info.name) for info in found]
                name = models.full_name(self.model)
                self._list.value = name if name in [info.name for info in found] else None
            finally:
                self._moving = False
            self._found.value = f"<span class='wb-soft' role='status'>{len(found)} of {len(everything)} models</span>"

    def _line_of(self, info: ModelInfo) -> str:
        size = f"{info.parameters / 1e6:,.1f} M parameters" if info.parameters else "size unknown"
        here = "on this machine" if info.where else "to be fetched" if self._located or info.name in self._more else "…"
        return f"{cut(info.name, 80)} · {size} · {here}"

    # the table

    def _draw(self) -> None:
        self._facts.value = f"<div class='wb-scroll'>{self._table()}</div>"

    def _table(self) -> str:
        info = self._known()
        reading = self._seen is None or self._seen[0] != self.model
        return table(("Model", cut(info.name)), facts(info, self._memory(info), reading=reading))

    def _code(self) -> str:
        return f"model = {self.model!r}"

    def static(self) -> str:
        """What is known of the chosen model, and the memory that training it takes."""
        return f"<p>{escape(self.code)}</p>{self._table()}"


def _box(description: str, value: int, tooltip: str) -> W.BoundedIntText:
    return W.BoundedIntText(
        value, min=1, max=LARGEST, description=description, tooltip=tooltip, style=_WIDE, layout=W.Layout(width="250px")
    )
