"""One notebook in one page of a real browser: open it, run it, ask its kernel, and notice what went wrong unseen."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.server import THEMES, Server

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

CHROMIUM = os.environ.get("CHROMIUM", "chromium")
# quiet, without a sandbox (containers forbid it), and with WebGL in software where there is no GPU
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --enable-unsafe-swiftshader"
).split()
PATIENCE_MS = 120_000
# the notebook that is open, found by what it can do: class names of widgets are minified
_OPEN = """(() => { const app = window.jupyterapp; if (!app) return null;
  const notebook = w => w && w.sessionContext && w.context;
  return notebook(app.shell.currentWidget) ? app.shell.currentWidget : [...app.shell.widgets('main')].find(notebook) })()"""


def missing() -> str:
    """What is not installed, as a sentence; empty where all is."""
    packages = [name for name in ("jupyterlab", "playwright", "ipykernel") if importlib.util.find_spec(name) is None]
    absent = packages + ([] if shutil.which(CHROMIUM) else [f"the program {CHROMIUM}"])
    return f"browser tests need {', '.join(absent)}: install the extra lab,test and Debian's chromium" if absent else ""


@contextmanager
def browser(folder: Path, *, width: int = 1280, height: int = 900) -> Iterator[BrowserContext]:
    """Headless Chromium with its profile in a folder; pages of one profile share the cache of Lab's own files."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder,
            executable_path=shutil.which(CHROMIUM),
            args=FLAGS,
            chromium_sandbox=False,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            # as people see it: a bar shows what does not fit
            ignore_default_args=["--hide-scrollbars"],
        )
        yield context
        context.close()


def notebook(cells: Sequence[str]) -> str:
    """The text of a notebook with these code cells."""
    import nbformat

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return str(nbformat.writes(made))


class Lab:
    """A notebook in a page.

    Attributes:
        page: Playwright's page.
        path: the notebook's file.
        errors: uncaught errors of the page; a widget that breaks says nothing anywhere else.
        outside: addresses outside the server that the page asked for.
        received: bytes that came through web sockets.
    """

    def __init__(self, server: Server, context: BrowserContext, name: str) -> None:
        self.server, self.path = server, server.root / f"{name}.ipynb"
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.errors: list[str] = []
        self.console: list[str] = []
        self.outside: list[str] = []
        self.received = 0
        self.page.on("pageerror", lambda error: self.errors.append(getattr(error, "stack", None) or str(error)))
        self.page.on("console", lambda line: self.console.append(line.text) if line.type == "error" else None)
        self.page.on("request", self._watch)
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, *cells: str) -> Lab:
        """Write a notebook with these cells and open it, alone on the page; its kernel is ready on return."""
        self.path.write_text(notebook(cells), encoding="utf-8")
        return self.show()

    def show(self) -> Lab:
        """Open the notebook's file as it stands."""
        self.page.goto(f"{self.server.base}/doc/tree/{self.path.name}?token={self.server.token}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_idle()
        return self

    def reload(self) -> Lab:
        """Reload the page, as a user would."""
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_idle()
        return self

    def wait_idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(
            f"(() => {{ const session = {_OPEN}?.sessionContext.session; return session?.kernel?.status === 'idle' }})()"
        )

    def run_all(self) -> Lab:
        """Run all cells; every one has answered on return, and none with an error."""
        return self._command("notebook:run-all-cells")

    def run(self, cell: int) -> Lab:
        """Run one cell, counted from 0."""
        self.page.evaluate(f"{_OPEN}.content.activeCellIndex = {cell}; 0")
        return self._command("notebook:run-cell")

    def save(self) -> Lab:
        """Save the notebook; the file is written on return."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        return self

    def py(self, code: str) -> str:
        """What a piece of code prints in the notebook's kernel, beside all cells."""
        return str(
            self.page.evaluate(
                f"""async code => {{ const kernel = {_OPEN}.sessionContext.session.kernel;
                const future = kernel.requestExecute({{code, store_history: false, stop_on_error: false}});
                let printed = '';
                future.onIOPub = ({{header, content}}) => {{
                  if (header.msg_type === 'stream') printed += content.text;
                  if (header.msg_type === 'error') printed += content.ename + ': ' + content.evalue }};
                await future.done; return printed }}""",
                code,
            )
        ).strip()

    def end_kernel(self) -> None:
        """Shut the notebook's kernel down, as servers do with idle ones."""
        self.server.end_kernel(self.path.name)

    def restart_kernel(self) -> None:
        """Restart the kernel; the page stays."""
        self.page.evaluate(f"{_OPEN}.sessionContext.session.kernel.restart()")
        self.wait_idle()
        self.errors[:] = [error for error in self.errors if "Canceled future" not in error]

    def set_theme(self, theme: str) -> None:
        """Change the theme of the page, light or dark, as its menu does."""
        self.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{THEMES[theme]}'}})")
        light = "true" if theme == "light" else "false"
        self.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{light}'")
        # two changes while its splash fades are an error of Lab's own
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def resize(self, width: int, height: int = 900) -> None:
        """Make the page so many px wide and high."""
        self.page.set_viewport_size({"width": width, "height": height})

    def output(self, cell: int = 0) -> Locator:
        """All that one cell shows below itself."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")

    def expect(self, found: Locator | str) -> Any:
        """Playwright's assertion about something on the page, which waits until it holds."""
        from playwright.sync_api import expect

        return expect(self.page.locator(found) if isinstance(found, str) else found)

    def cell_errors(self) -> list[str]:
        """Errors that cells ended with, from the notebook itself: a long output may not be drawn."""
        found: list[str] = self.page.evaluate(
            f"""(() => [...{_OPEN}.content.model.cells].filter(cell => cell.type === 'code')
            .flatMap(cell => cell.toJSON().outputs).filter(output => output.output_type === 'error')
            .map(output => output.ename + ': ' + output.evalue))()"""
        )
        return found

    def close(self) -> None:
        """Close the page and end its kernel; fails where the page broke or asked for something outside."""
        self.page.close()
        self.end_kernel()
        assert self.outside == [], f"the page asked for something outside the server: {self.outside}"
        assert self.errors == [], (
            f"errors in the page, which shows none of them: {self.errors}; console: {self.console}"
        )

    def _command(self, name: str) -> Lab:
        self.page.evaluate(
            f"window.__done = false; window.jupyterapp.commands.execute('{name}').then(() => window.__done = true); 0"
        )
        self.page.wait_for_function("window.__done", timeout=2 * PATIENCE_MS)
        wrong = self.cell_errors()
        assert wrong == [], f"a cell ended with an error: {wrong}"
        return self

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.server.base, "blob:", "data:", "about:")):
            self.outside.append(request.url)

    def _count(self, frame: str | bytes) -> None:
        self.received += len(frame)
