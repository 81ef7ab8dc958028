"""What every panel has: strict keywords, a message line, the line of code, work off the main thread, a static picture."""

from __future__ import annotations

import contextvars
import inspect
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from html import escape
from typing import Any, Literal, NoReturn
from urllib.parse import quote

import ipywidgets as W
import traitlets as t

from workbench.errors import WorkbenchError, did_you_mean
from workbench.widgets.latest import Latest

log = logging.getLogger(__name__)
Kind = Literal["", "busy", "good", "error"]
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_MARKS = {"": "", "busy": "↻ ", "good": "✓ ", "error": "⚠ "}

STYLE = """<style>
.wb-panel {width: 100%; box-sizing: border-box; padding: 4px 2px; color: var(--jp-ui-font-color1, #222)}
.wb-panel .wb-message {min-height: 1.5em; line-height: 1.5em}
.wb-panel .wb-error {color: var(--jp-error-color0, #b00020)}
.wb-panel .wb-code {font: 12px/1.5 var(--jp-code-font-family, monospace); white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--jp-layout-color2, #eee); padding: 2px 8px; border-radius: 2px}
.wb-panel .wb-soft {color: var(--jp-ui-font-color2, #595959)}
.wb-panel .wb-gone {color: var(--jp-ui-font-color2, #595959); text-decoration: line-through dotted}
.wb-panel .wb-scroll {overflow: auto}
.wb-panel table.wb-table {border-collapse: collapse; table-layout: auto; margin: 0; font-size: 13px; line-height: 1.4; width: 100%}
.wb-panel table.wb-table th, .wb-panel table.wb-table td {text-align: left; vertical-align: top; padding: 3px 8px;
  border-bottom: 1px solid var(--jp-border-color2, #ddd); overflow-wrap: anywhere}
.wb-panel table.wb-table .wb-number {text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums}
.wb-panel table.wb-table caption {text-align: left; padding: 2px 8px; color: var(--jp-ui-font-color2, #595959)}
.wb-panel .widget-html, .wb-panel .widget-html-content {height: auto; min-width: 0; line-height: 1.4; overflow-wrap: anywhere}
.wb-panel .jupyter-button {width: auto}
[data-jp-theme-light="false"] .wb-panel select {--jp-widgets-dropdown-arrow: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath fill='none' stroke='%23ddd' stroke-width='2' d='m4 6.5 5 5 5-5'/%3E%3C/svg%3E")}
.wb-panel.widget-vbox > .jupyter-button, .wb-panel .widget-vbox > .jupyter-button {align-self: flex-start}
.wb-panel .widget-tab > .lm-TabBar .lm-TabBar-content {flex-wrap: wrap}
.wb-panel .widget-tab > .lm-TabBar .lm-TabBar-tab {flex: 0 0 auto; max-width: 100%; padding: 0 10px}
.wb-panel .widget-tab > .lm-TabBar .lm-TabBar-tabLabel {overflow: visible}
.wb-panel :is(button, input, select, textarea, a, summary, [tabindex]):focus-visible {
  outline: 2px solid var(--jp-brand-color1, #0072B2) !important; outline-offset: 1px}
.wb-panel .js-plotly-plot .main-svg {background: transparent !important}
.wb-panel .js-plotly-plot {width: 100%; min-width: 0}
.wb-panel .js-plotly-plot :is([class*="axislayer"], [class*="overaxes"], .infolayer) text:not(.wb-keep) {
  fill: var(--jp-ui-font-color1, #222) !important}
.wb-panel .js-plotly-plot .gridlayer path {stroke: var(--jp-border-color2, #ddd) !important}
.wb-panel .js-plotly-plot .zerolinelayer path {stroke: var(--jp-border-color1, #bbb) !important; stroke-width: 1px !important}
.wb-panel .js-plotly-plot .shapelayer path[style*="stroke: rgb(42, 63, 95)"] {
  stroke: var(--jp-ui-font-color2, #595959) !important}
.wb-panel .js-plotly-plot .legend .bg {fill: transparent !important}
</style>"""

# Where no kernel is, JupyterLab puts "model not found" in the place of the live panel: the picture below says enough
STILL = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .wb-still) > .jp-OutputArea-output:not(:has(*)) {display: none}
.wb-still .wb-picture {display: block; max-width: 100%; margin: 4px 0}
</style>"""


class Refusing(t.Instance):
    """An instance of a class; anything else is refused in a sentence.

    Args:
        klass: the class.
        error: what is raised.
        advice: what to do instead.
    """

    def __init__(self, klass: type, error: type[WorkbenchError], advice: str, **options: Any) -> None:
        super().__init__(klass, **options)
        self._refusal, self._advice = error, advice

    def error(self, obj: Any, value: Any, error: Any = None, info: Any = None) -> NoReturn:
        """Say what was expected, what came and what to do."""
        name = getattr(self.klass, "__name__", "value")
        raise self._refusal(f"expected a {name}, got {type(value).__name__} ({value!r:.60}); {self._advice}")


class Panel(W.VBox):
    """Base of all panels.

    A subclass builds its widgets in `__init__` and ends with `self._show(...)`; it overrides `_code` and `static`.

    Attributes:
        message: the sentence in the message line, plain text.
        code: the line of Python that does what was clicked.
    """

    message = t.Unicode("", read_only=True)
    code = t.Unicode("", read_only=True)

    _ended = False
    _turn = 0

    def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
        """Refuse misspelt keywords, which ipywidgets would take silently."""
        known = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
        for name in keywords:
            if name not in known:
                raise TypeError(
                    f"{cls.__name__}: expected {', '.join(known)}, got the keyword {name!r}{did_you_mean(name, known)}"
                )
        return super().__new__(cls)

    def __init__(self) -> None:
        self._line = W.HTML(_message("", ""))
        self._shown_code = W.HTML()
        self._lock = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: set[Future[Any]] = set()
        self._id = f"wb-{uuid.uuid4().hex[:12]}"
        self._handle: Any = None
        self._cell = contextvars.Context()
        self._picture = Latest(self._renew, 2.0)
        super().__init__()
        self.add_class("wb-panel")

    def _show(self, *parts: W.Widget) -> None:
        """Lay the parts out above the line of code and the message line."""
        style = W.HTML(
            f"{STYLE}<style>.{self._id} {{display: none}}\n"
            f".jp-OutputArea-child:has(> .jp-OutputArea-output > .{self._id}) {{display: none}}</style>",
            layout={"display": "flex", "height": "0", "margin": "0"},
        )
        self.children = (style, *parts, self._line, self._shown_code)
        self._whole = True
        self._changed()

    # for subclasses to override

    def _code(self) -> str:
        """The line of Python that does what was clicked."""
        raise NotImplementedError

    def static(self) -> str:
        """HTML without scripts that stands for the panel where there is no kernel. All texts are escaped."""
        raise NotImplementedError

    # the message line

    def say(self, text: str, kind: Kind = "") -> None:
        """Show a sentence in the message line, as plain text."""
        self._line.value = _message(text, kind)
        self.set_trait("message", text)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Failures end in the message line, and unforeseen ones in the log too."""
        try:
            yield
        except WorkbenchError as error:
            self.say(str(error), "error")
        except Exception as error:
            log.exception("%s failed", type(self).__name__)
            self.say(f"{type(error).__name__}: {error}. This should not happen; the log has the details", "error")

    def _changed(self) -> None:
        """The state changed: renew the line of code and the static picture."""
        self.set_trait("code", self._code())
        self._shown_code.value = f"<div class='wb-code' title='The same in Python'>{escape(self.code)}</div>"
        if self._handle is not None:
            self._picture()

    # work off the main thread

    def _later(self, function: Callable[..., object], *arguments: Any) -> None:
        """Do something that takes time on the panel's own thread, one thing after another."""

        def work() -> None:
            with self._guarded():
                function(*arguments)

        with self._lock:
            if self._ended:
                self.say("This panel is closed; make a new one to go on")
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix=type(self).__name__)
            job = self._pool.submit(work)
            self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _void(self) -> int:
        """Make what was asked for before void; returns the number of what is asked for now, which `_turn` then is."""
        with self._lock:
            self._turn += 1
            return self._turn

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until all work that was asked for is done; for scripts and tests."""
        while jobs := set(self._jobs):
            if wait(jobs, timeout_s).not_done:
                raise TimeoutError(f"expected {type(self).__name__} to be done in {timeout_s} s; it still works")

    def close(self) -> None:
        """Close the panel and all its widgets; work that has not begun is dropped, and no other begins."""
        with self._lock:
            self._ended = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for child in self.children:
            _close(child)
        super().close()

    def __del__(self) -> None:
        """A panel whose arguments were refused has nothing to close yet."""
        if self.__dict__.get("_whole"):
            super().__del__()

    # showing

    def _ipython_display_(self) -> None:
        """The live panel, and beside it a static picture that the live one hides: it is seen where no kernel is."""
        from IPython.display import HTML, display

        live = {
            "text/plain": repr(self),
            "text/html": "",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._model_id,
            },
        }
        display(live, raw=True)
        # what is sent later belongs to this cell: the page drops renewed pictures that answer a click
        self._cell = contextvars.copy_context()
        self._handle = display(HTML(self._still()), display_id=self._id)

    def _still(self) -> str:
        # no maths is set in foreign texts; drawings become images
        drawn = _SVG.sub(_picture, self.static())
        return f"<div class='wb-panel wb-still {self._id} tex2jax_ignore mathjax_ignore'>{STYLE}{STILL}{drawn}</div>"

    def _renew(self) -> None:
        from IPython.display import HTML

        with self._guarded():
            self._cell.copy().run(self._handle.update, HTML(self._still()))

    def __repr__(self) -> str:
        return self.code


def _message(text: str, kind: Kind) -> str:
    role = "alert" if kind == "error" else "status"
    return f"<div class='wb-message {'wb-error' if kind == 'error' else ''}' role='{role}'>{_MARKS[kind]}{escape(text)}</div>"


def _close(widget: Any) -> None:
    """Close a widget and all in it, and how they look."""
    for child in getattr(widget, "children", ()):
        _close(child)
    looks = [getattr(widget, name, None) for name in ("layout", "style")]
    widget.close()
    for look in looks:
        if isinstance(look, W.Widget):
            look.close()


def _picture(found: re.Match[str]) -> str:
    """A drawing as an image on white: JupyterLab takes `<svg>` out of a notebook that it does not trust, images stay."""
    label, wide = re.search(r'aria-label="([^"]*)"', found[0]), re.search(r'viewBox="0 0 (\d+)', found[0])
    drawn = found[0].replace(">", '><rect width="100%" height="100%" fill="#fff"/>', 1)
    return (
        f'<img class="wb-picture" alt="{label[1] if label else "Picture of the panel"}" width="{wide[1] if wide else 640}" '
        f'src="data:image/svg+xml,{quote(drawn, safe=" /:;,=()")}">'
    )
