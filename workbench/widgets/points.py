"""A live figure of points that knows the row behind each: what was lassoed, clicked or hovered comes as row numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as W
import numpy as np
import plotly.graph_objects as go

from workbench.widgets.figure import Pane

ANSWER_S = 30.0
# Plotly tells Python what the mouse does through one synchronised value, in which a selection that waits to be sent is
# lost when the mouse moves on, and then restyles trace by trace. As messages nothing is lost, and all traces come at once.
_MESSAGES = """
const told = (model) => {
  const key = "_js2py_pointsCallback";
  let timer;
  const tell = (value) => {
    const points = {};
    value.points.trace_indexes.forEach((trace, n) => (points[trace] ??= []).push(value.points.point_indexes[n]));
    model.send({workbench: value.event_type, points});
  };
  const set = (name, value) => {
    if (name !== key || !value) return model.set(name, value);
    clearTimeout(timer);
    if (value.event_type === "plotly_hover") timer = setTimeout(() => tell(value), 80);
    else if (value.event_type !== "plotly_unhover") tell(value);
  };
  const bound = (held, name) => typeof held[name] === "function" ? held[name].bind(held) : held[name];
  return new Proxy(model, {get: (held, name) => name === "set" ? set : bound(held, name)});
};
export default async () => {
  const inner = await plain();
  return {
    initialize: (ctx) => inner.initialize({...ctx, model: told(ctx.model)}),
    render: (ctx) => inner.render(ctx),
  };
};
"""


class Points:
    """One live figure in a box of fixed height. It is made when the first picture comes.

    Args:
        box: where the figure is put.
        selected: called with the row numbers in a lasso or box, ascending; with none after a double click.
        clicked: called with the row number of a clicked point.
        hovered: called with the row number under the mouse, where the figure has no texts of its own.
    """

    def __init__(
        self,
        box: W.Box,
        *,
        selected: Callable[[tuple[int, ...]], None],
        clicked: Callable[[int], None],
        hovered: Callable[[int], None] | None = None,
    ) -> None:
        self._selected, self._clicked, self._hovered = selected, clicked, hovered
        self._pane = Pane(box, self._on_message, around=_MESSAGES)
        self._lock = threading.RLock()
        self._marked: tuple[int, ...] = ()
        self._has_texts = False
        self._until = 0.0  # until then the page owes an answer

    @property
    def figure(self) -> go.FigureWidget | None:
        """The live figure, None before the first picture."""
        return self._pane.figure

    def draw(self, figure: go.Figure, marked: tuple[int, ...] = ()) -> None:
        """Show a figure whose traces have row numbers in `customdata`, with these rows marked."""
        with self._lock:
            self._until, self._marked = 0.0, marked
            figure.update_layout(dragmode="lasso")
            self._has_texts = any(trace.text is not None for trace in figure.data)
            for trace, places in zip(figure.data, self._places(figure), strict=True):
                trace.selectedpoints = places
            alike = _drawn_alike(self.figure, figure)
            self._pane.draw(figure, alike=alike)
            if alike:  # only places travelled
                self._apply()

    def mark(self, rows: tuple[int, ...]) -> None:
        """Show these rows as selected and all others pale; no rows: nothing is selected."""
        with self._lock:
            self._marked = rows
            if time.monotonic() >= self._until:
                self._apply()

    def _places(self, figure: go.Figure) -> list[list[int] | None]:
        """For each trace what is marked in it; None where nothing is marked in any."""
        if not self._marked:
            return [None] * len(figure.data)
        rows = np.asarray(self._marked, dtype=np.int64)
        # lists, since typed arrays do not count as a selection in the page
        return [np.flatnonzero(np.isin(trace.customdata, rows)).tolist() for trace in figure.data]

    def _apply(self, *, anew: bool = False) -> None:
        """Tell the page what is marked. `anew`: also what seems to be so already, since the page unmarked it by itself."""
        if self.figure is None:
            return
        places = self._places(self.figure)
        self._pane.changing()
        for final in (False, True) if anew else (True,):
            with self.figure.batch_update():
                for trace, wanted in zip(self.figure.data, places, strict=True):
                    trace.selectedpoints = wanted if final else [] if wanted is None else None

    def close(self) -> None:
        """Forget the figure; the page frees what it held."""
        self._pane.close()

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        event = content.get("workbench") if isinstance(content, dict) else None
        if event is None or self.figure is None:
            return
        rows = self._rows(content["points"])
        if event in ("plotly_selected", "plotly_deselect"):
            self._on_selection(rows, outlined=event == "plotly_selected")
        elif rows and event == "plotly_click":
            self._clicked(rows[0])
        elif rows and event == "plotly_hover" and self._hovered is not None and not self._has_texts:
            self._hovered(rows[0])

    def _rows(self, points: dict[str, list[int]]) -> tuple[int, ...]:
        """Row numbers of points that are given by trace and place in the trace."""
        assert self.figure is not None
        with self._lock:
            held = [np.asarray(trace.customdata) for trace in self.figure.data]
        # a message may speak of a figure that was redrawn since
        rows = {
            int(held[int(n)][at])
            for n, its in points.items()
            if int(n) < len(held)
            for at in its
            if at < len(held[int(n)])
        }
        return tuple(sorted(rows))

    def _on_selection(self, rows: tuple[int, ...], *, outlined: bool) -> None:
        with self._lock:
            if not rows and time.monotonic() < self._until:
                self._until = 0.0
                self._apply(anew=True)
                return
            self._marked = rows
            if outlined and self.figure is not None:
                # the page would select by its outline again, whatever is marked; it answers that nothing is selected
                self.figure._send_relayout_msg({"selections": []})
                self._until = time.monotonic() + ANSWER_S
            else:
                self._apply(anew=True)
        self._selected(rows)


def _drawn_alike(old: go.Figure | None, new: go.Figure) -> bool:
    """Whether the traces hold the same rows in the same look, so that one picture goes over into the other."""
    return (
        old is not None
        and len(old.data) == len(new.data)
        and all(
            (a.type, a.name, a.marker.color) == (b.type, b.name, b.marker.color)
            and np.array_equal(a.customdata, b.customdata)
            and _texts(a) == _texts(b)
            for a, b in zip(old.data, new.data, strict=True)
        )
    )


def _texts(trace: go.Scatter) -> tuple[str, ...]:
    return () if trace.text is None else tuple(trace.text)
