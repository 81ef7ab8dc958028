"""The roles of the columns of a table, chosen together: on the way from one choice to another roles need not fit."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as W

from workbench.data.examples import Examples, cut_text
from workbench.recipe import ROLES
from workbench.widgets.paging import WRAP


class RoleForm(W.HBox):
    """A drop-down a column, and a button that uses them all.

    Args:
        use: called with column -> role when the button is pressed.
    """

    def __init__(self, use: Callable[[dict[str, str]], None]) -> None:
        self.controls: dict[str, W.Dropdown] = {}
        self._data: Examples | None = None
        self.button = W.Button(description="Use these roles", tooltip="Read the table with these roles")
        self.button.on_click(lambda _: use(self.roles))
        super().__init__([self.button], layout=W.Layout(**WRAP, max_height="150px", overflow="auto"))

    @property
    def roles(self) -> dict[str, str]:
        """Column -> role as the controls say."""
        return {name: control.value for name, control in self.controls.items()}

    def move(self, data: Examples) -> None:
        """Show the roles of a table."""
        self._data = data
        if list(self.controls) != data.dataset.column_names:
            style = {"description_width": "initial"}
            self.controls = {
                name: W.Dropdown(options=ROLES, description=cut_text(name, 40), style=style)
                for name in data.dataset.column_names
            }
            for control in self.controls.values():
                control.layout.width, control.layout.margin = "auto", "2px 12px 2px 2px"
                control.observe(self._touched, "value")
            self.children = (*self.controls.values(), self.button)
        for name, control in self.controls.items():
            control.value = data.roles[name]
        self._touched()

    def _touched(self, _: object = None) -> None:
        self.button.disabled = self._data is not None and self.roles == dict(self._data.roles)
