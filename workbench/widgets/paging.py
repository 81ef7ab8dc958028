"""Controls for a long table: which rows, and which page of them. Text on every button."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets as W

WRAP = {"flex_flow": "row wrap", "align_items": "center"}


class Pager(W.HBox):
    """First, Previous, Page … of N, Next, Last.

    Args:
        turned: called with the number of the page that somebody wants, counted from 1.
    """

    def __init__(self, turned: Callable[[int], None]) -> None:
        self._page, self._last = 1, 1
        self._turned = turned
        self._go = {name: W.Button(description=name) for name in ("First", "Previous", "Next", "Last")}
        for name, button in self._go.items():
            button.on_click(lambda _, name=name: turned(self._target(name)))
        self._number = W.BoundedIntText(1, min=1, max=1, description="Page", layout=W.Layout(width="130px"))
        self._number.style.description_width = "initial"
        self._number.observe(self._typed, "value")
        self._of, self._said = W.HTML(), W.HTML(layout=W.Layout(flex="1 1 260px"))
        first, previous, following, last = self._go.values()
        parts = [first, previous, self._number, self._of, following, last, self._said]
        super().__init__(parts, layout=W.Layout(**WRAP))

    def _target(self, name: str) -> int:
        return {"First": 1, "Previous": max(1, self._page - 1), "Next": min(self._last, self._page + 1)}.get(
            name, self._last
        )

    def _typed(self, change: dict[str, int]) -> None:
        if change["new"] != self._page:
            self._turned(change["new"])

    def move(self, page: int, last: int, said: str) -> None:
        """Show where one is, and a sentence, as plain text."""
        self._page, self._last = page, last
        if last >= self._number.value:
            self._number.max = last
        self._number.value = page
        self._number.max = last
        for name, end in (("First", 1), ("Previous", 1), ("Next", last), ("Last", last)):
            self._go[name].disabled = page == end
        box = "display:flex; align-items:center; min-height:3em"  # two lines, so that nothing moves
        self._of.value, self._said.value = f"of {last:,}", f"<div style='{box}'>{escape(said)}</div>"


class Choice(W.HBox):
    """Buttons of which one is pressed.

    Args:
        widths: name of a choice -> width of its button in px; what is written on it comes later and does not move others.
        picked: called with the choice that somebody pressed, also when it is pressed already.
    """

    def __init__(self, widths: Mapping[str, int], picked: Callable[[str], None]) -> None:
        self._pressed = ""
        self._picked = picked
        self.buttons = {name: W.ToggleButton(layout=W.Layout(width=f"{width}px")) for name, width in widths.items()}
        for name, button in self.buttons.items():
            button.observe(lambda change, name=name: self._clicked(name, change["new"]), "value")
        super().__init__([*self.buttons.values()], layout=W.Layout(**WRAP))

    def _clicked(self, name: str, down: bool) -> None:
        if down != (name == self._pressed):
            self._picked(name)
            self.buttons[name].value = name == self._pressed

    def move(self, pressed: str, words: Mapping[str, tuple[str, str]]) -> None:
        """Press a button, and write on all of them: name of a choice -> (text, tooltip)."""
        self._pressed = pressed
        for name, button in self.buttons.items():
            button.description, button.tooltip = words[name]
            button.value = name == pressed
