"""What every panel does in JupyterLab, shown with the smallest of panels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.page import Lab
from tests.lab.server import Server

pytestmark = pytest.mark.browser

PANEL = """
import ipywidgets as W
from workbench.widgets.latest import Latest
from workbench.widgets.panel import Panel

class Counter(Panel):
    def __init__(self):
        super().__init__()
        self.count = 0
        self.more = W.Button(description="One more")
        self.more.on_click(lambda _: self.add())
        self.number = W.HTML("0")
        self.number.add_class("number")
        self._show(self.more, self.number)

    def add(self):
        self.count += 1
        self.number.value = str(self.count)
        self.say(f"{self.count} counted", "good")
        self._changed()

    def _code(self):
        return f"Counter().count == {self.count}"

    def static(self):
        drawn = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 60 20'><rect width='60' height='20'/></svg>"
        return f"<table class='wb-table'><tr><td>Seen {self.count} for $5 or $6</td></tr></table>{drawn}"

panel = Counter()
panel
"""
PICTURE = "Seen 1 for $5 or $6"


@pytest.fixture(scope="module")
def live(server: Server, context: Any) -> Iterator[Lab]:
    """The panel after one click, its picture renewed, the notebook saved."""
    with Lab(server, context, "live") as lab:
        lab.open(PANEL).run_all()
        lab.page.get_by_role("button", name="One more").click()
        lab.expect(lab.output().get_by_text(PICTURE)).to_be_attached()
        yield lab.save()


@pytest.fixture(scope="module")
def saved(live: Lab) -> str:
    """The text of the saved notebook."""
    return live.path.read_text(encoding="utf-8")


def is_shown_by_picture(lab: Lab) -> None:
    """The picture stands in the output, its text as it is, and nothing beside it."""
    lab.expect(lab.output().get_by_text(PICTURE)).to_be_visible()
    lab.expect(lab.output().locator("img.wb-picture")).to_be_visible()
    assert "Error" not in lab.output().inner_text()


def test_a_click_reaches_python_and_its_answer_the_page(live: Lab) -> None:
    live.expect(".wb-message").to_have_text("✓ 1 counted")
    assert live.py("print(panel.count, panel.code, sep='; ')") == "1; Counter().count == 1"


def test_a_live_panel_hides_its_picture(live: Lab) -> None:
    live.expect(live.output().get_by_text(PICTURE)).to_be_hidden()


def test_a_button_is_as_wide_as_its_words(live: Lab) -> None:
    box = live.page.get_by_role("button", name="One more").bounding_box()
    assert box is not None
    assert box["width"] < 200


def test_of_thousands_of_updates_from_a_thread_the_last_one_is_seen(live: Lab) -> None:
    live.py(
        "import threading\n"
        "tell = Latest(lambda value: setattr(panel.number, 'value', str(value)))\n"
        "threading.Thread(target=lambda: [tell(value) for value in range(5001)]).start()"
    )
    live.expect(".number").to_have_text("5000")


def test_after_a_reload_the_panel_lives_on(live: Lab, saved: str) -> None:
    live.reload()
    live.page.get_by_role("button", name="One more").click()
    live.expect(".number").to_have_text("2")
    assert live.py("print(panel.count)") == "2"


def test_without_its_kernel_a_saved_panel_is_a_picture(lab: Lab, saved: str) -> None:
    # trusted, for Lab has signed the same outputs when it saved them
    lab.path.write_text(saved, encoding="utf-8")
    lab.show()
    # Lab looks for the panel's model, finds none, and would say so
    lab.expect(lab.page.locator(".jp-OutputArea-output.jupyter-widgets")).to_be_attached()
    is_shown_by_picture(lab)


def test_a_notebook_from_elsewhere_that_is_not_trusted_shows_the_picture(lab: Lab, saved: str) -> None:
    lab.path.write_text(saved.replace(PICTURE, f"{PICTURE}."), encoding="utf-8")
    lab.show()
    lab.expect(lab.page.locator(".jp-mod-trusted")).to_have_count(0)
    is_shown_by_picture(lab)


def test_exported_html_shows_the_picture(context: Any, saved: str, tmp_path: Path) -> None:
    (tmp_path / "saved.ipynb").write_text(saved, encoding="utf-8")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(tmp_path / "saved.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    page = context.new_page()
    page.route("http*://**", lambda route: route.abort())
    page.goto((tmp_path / "saved.html").as_uri())
    text = page.locator(".jp-OutputArea").inner_text()
    drawn = page.locator("img.wb-picture").evaluate("image => image.complete && image.naturalWidth > 0")
    page.close()
    assert PICTURE in text
    assert drawn
