"""A panel in Voila, which shows a notebook without its code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.page import notebook
from tests.lab.server import Server
from tests.lab.test_panel_live import PANEL

pytestmark = pytest.mark.browser
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def voila(context: Any, tmp_path: Any) -> Iterator[Server]:
    (tmp_path / "panel.ipynb").write_text(notebook([PANEL]), encoding="utf-8")
    started = Server(tmp_path, "voila")
    yield started
    started.stop()


def test_voila_shows_the_live_panel_and_hides_its_picture(voila: Server, context: Any) -> None:
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{voila.base}/voila/render/panel.ipynb?token={voila.token}")
    page.get_by_role("button", name="One more").click()
    page.locator(".wb-message").get_by_text("1 counted").wait_for()
    assert page.get_by_text("for $5 or $6").is_hidden()
    page.close()


@pytest.mark.real
def test_voila_serves_the_first_notebook_with_a_bench_that_answers(voila: Server, context: Any) -> None:
    source = (NOTEBOOKS / "01_quickstart.ipynb").read_text(encoding="utf-8")
    assert source.count("learning_rate=5e-5") == 1
    shorter = source.replace("learning_rate=5e-5", "max_steps=1")  # as it is it runs in test_notebooks
    (voila.root / "01_quickstart.ipynb").write_text(shorter, encoding="utf-8")
    page = context.new_page()
    page.set_default_timeout(300_000)
    page.goto(f"{voila.base}/voila/render/01_quickstart.ipynb?token={voila.token}")
    page.get_by_role("tab", name="Settings", exact=True).first.click()
    size = page.get_by_label("batch_size (rows)").first
    size.fill("32")
    size.press("Tab")
    page.get_by_text("batch_size=32").first.wait_for()
    page.close()
