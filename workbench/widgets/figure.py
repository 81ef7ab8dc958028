"""Live plotly figures whose 5 MB of JavaScript travel once per kernel instead of once per figure."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import ipywidgets as W
import numpy as np
import pandas  # noqa: F401  plotly looks it up while a figure is made, and must not find it half imported by another thread
import plotly
import plotly.graph_objects as go
import traitlets as t

_BUNDLE = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
# The page keeps the module; every figure of a page asks for the same one.
_SHIM = """
const load = async (model) => {
  const key = "__workbench_plotly_" + model.get("_bundle_version");
  globalThis[key] ??= (async () => {
    const ref = model.get("_bundle");
    const held = typeof ref === "string" ? await model.widget_manager.get_model(ref.slice(10)) : ref;
    const url = URL.createObjectURL(new Blob([held.get("source")], {type: "text/javascript"}));
    const module = await import(/* webpackIgnore: true */ url);
    URL.revokeObjectURL(url);
    return module.default;
  })();
  return globalThis[key];
};
export default async () => {
  let inner;
  const begin = async (ctx) => {
    const module = await load(ctx.model), w = typeof module === "function" ? await module() : module;
    return [w, await w.initialize?.(ctx)];
  };
  return {
    // not waited for: anywidget gives up after 2 s, and all that the figure is told then is lost, its points too
    initialize(ctx) {
      inner = begin(ctx);
      return () => inner.then(([, end]) => end?.());
    },
    async render(ctx) {
      const [w] = await inner, el = ctx.el;
      // plotly measures its width when it draws: not before the page has the element
      for (let k = 0; k < 50 && !el.isConnected; k++) await new Promise(done => setTimeout(done, 20));
      let remove;
      try { remove = await w.render(ctx) } finally { ctx.model.send({workbench: "drawn"}) }
      // and again whenever it changes: a tab is opened, a side bar is closed
      const watch = new ResizeObserver(([{contentRect: {width}}]) => {
        if (width && Math.abs(width - (el._fullLayout?.width ?? width)) > 1) el._responsiveChartHandler?.();
      });
      watch.observe(el);
      // not while it is still being drawn
      return () => { watch.disconnect(); setTimeout(() => remove?.(), 1000) };
    },
  };
};
"""
_NONE = "rgba(0,0,0,0)"
# The tool bar's ground is a shade of the paper's colour, which is black where the paper is transparent
_CLEAR = {
    "paper_bgcolor": _NONE,
    "plot_bgcolor": _NONE,
    "autosize": True,
    "modebar": {"bgcolor": _NONE, "color": "#888888", "activecolor": "#0072B2"},
}
# plotly 7 offers to send a figure with all its texts to its makers' cloud: not here
_CONFIG = {"responsive": True, "displaylogo": False, "showSendToCloud": False}


class _Bundle(anywidget.AnyWidget):
    _esm = "export default {render() {}}"
    source = t.Unicode().tag(sync=True)


_held: list[_Bundle] = []


def _bundle() -> _Bundle:
    if not _held or _held[0].comm is None:
        _held[:] = [_Bundle(source=_BUNDLE.read_text(encoding="utf-8"))]
    return _held[0]


@lru_cache
def _live_class(around: str) -> type[go.FigureWidget]:
    """Made on first use: plotly's own class takes one to two seconds to import (it loads nbformat and jsonschema).

    What is `around` belongs to the class: the page would draw a figure anew whose script changes.
    """

    class LiveFigure(go.FigureWidget):
        _esm = _SHIM.replace("export default", "const plain =") + around if around else _SHIM
        _bundle = t.Instance(W.Widget).tag(sync=True, **W.widget_serialization)
        _bundle_version = t.Unicode(plotly.__version__).tag(sync=True)

        @t.default("_bundle")
        def _default_bundle(self) -> _Bundle:
            return _bundle()

    return LiveFigure


def prepare() -> None:
    """Load what a live figure needs, on a thread of its own while something else is waited for."""
    threading.Thread(target=lambda: go.FigureWidget, daemon=True).start()


def live(figure: go.Figure, *, around: str = "") -> go.FigureWidget:
    """A live copy of a figure: as wide as its place, as high as its layout says, on the page's own ground.

    Args:
        figure: what to show.
        around: script of another widget around the plain one, which it finds under the name `plain`.
    """
    shown = _live_class(around)(figure.update_layout(_CLEAR))
    shown._config = dict(_CONFIG)
    return shown


def redraw(shown: go.FigureWidget, figure: go.Figure) -> None:
    """Put another figure's content in the place of a live one's; the widget stays the same."""
    figure.update_layout(_CLEAR)
    with shown.batch_update():
        shown.data = ()
        shown.layout = figure.layout
        shown.add_traces(figure.data)


def refill(shown: go.FigureWidget, figure: go.Figure) -> None:
    """Give a live figure the points and titles of another one; where their traces are alike only these travel."""
    if _words(shown) != _words(figure):
        redraw(shown, figure)
        return
    with shown.batch_update():
        for part in ("title", "xaxis.title", "yaxis.title"):
            if shown.layout[part].text != figure.layout[part].text:
                shown.layout[part].text = figure.layout[part].text
        for old, new in zip(shown.data, figure.data, strict=True):
            if not (np.array_equal(old.x, new.x) and np.array_equal(old.y, new.y)):
                old.x, old.y = new.x, new.y


def _words(figure: go.Figure) -> list[str | None]:
    return [trace.name for trace in figure.data] + [note.text for note in figure.layout.annotations]


# A browser keeps some eight WebGL drawings and lets the oldest one go blank; other widgets of the page need theirs
MOST_WEBGL = 4


class Pane:
    """A box with one live figure, made when the first picture comes.

    Of figures of many points, which are drawn by WebGL, the four that were drawn last are live; an older one rests as a
    static picture until it is asked for.

    What is told to a figure while the page still loads plotly is lost there. So the page says when it has drawn; if the
    figure changed before, a new one takes its place, which brings all that it has to show.

    Args:
        box: where the figure is put.
        heard: called with each figure and what the page says of it.
        around: as for `live`.
    """

    def __init__(self, box: W.Box, heard: Callable[[Any, Any, Any], None] | None = None, *, around: str = "") -> None:
        self._box, self._heard, self._around = box, heard, around
        self._lock = threading.RLock()
        self._drawn = self._stale = False
        self.figure: go.FigureWidget | None = None

    _webgl: ClassVar[list[weakref.ref[Pane]]] = []  # the one drawn last is the last

    def draw(self, figure: go.Figure, *, alike: bool = False) -> None:
        """Show a figure. `alike`: where it has the words of the one shown, only x and y travel."""
        with self._lock:
            if self.figure is None:
                self._put(figure)
            else:
                self.changing()
                (refill if alike else redraw)(self.figure, figure)
        self._others_rest()

    def changing(self) -> None:
        """The figure is about to be changed by somebody else."""
        self._stale = not self._drawn

    def close(self) -> None:
        """Forget the figure; the page frees what it held."""
        with self._lock:
            if self.figure is not None:
                _forget(self.figure)
                self.figure = None
                self._box.children = ()

    def _others_rest(self) -> None:
        """With this figure there are at most four that are drawn by WebGL."""
        others = [
            pane for held in Pane._webgl if (pane := held()) is not None and pane is not self and pane._by_webgl()
        ]
        mine = [self] if self._by_webgl() else []
        Pane._webgl[:] = [weakref.ref(pane) for pane in [*others, *mine][-MOST_WEBGL:]]
        for pane in [*others, *mine][:-MOST_WEBGL]:
            pane._rest()

    def _by_webgl(self) -> bool:
        return self.figure is not None and any(trace.type.endswith("gl") for trace in self.figure.data)

    def _rest(self) -> None:
        """A static picture in the place of the live figure, which can be asked for again."""
        from workbench.plots.svg import svg

        with self._lock:
            if self.figure is None:
                return
            kept = go.Figure(self.figure)
            _forget(self.figure)
            self.figure = None
            again = W.Button(description="Show it live again", layout=W.Layout(width="auto"))
            again.on_click(lambda _: self.draw(kept))
            about = W.HTML(f"<span class='wb-soft'>At rest: {MOST_WEBGL} newer maps of many points are live.</span>")
            self._box.children = (W.HBox([again, about]), W.HTML(svg(kept)))

    def _put(self, figure: go.Figure) -> None:
        shown = live(figure, around=self._around)
        old, self.figure = self.figure, shown
        self._drawn = self._stale = False
        shown.on_msg(self._told)
        if self._heard is not None:
            shown.on_msg(self._heard)
        self._box.children = (shown,)
        if old is not None:
            _forget(old)

    def _told(self, shown: Any, content: Any, _: Any) -> None:
        if not isinstance(content, dict) or content.get("workbench") != "drawn":
            return
        with self._lock:
            if shown is self.figure:
                self._drawn = True
                if self._stale:
                    self._put(go.Figure(self.figure))


def _forget(shown: Any) -> None:
    with contextlib.suppress(Exception):
        shown.close()
