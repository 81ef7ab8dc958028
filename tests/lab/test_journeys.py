"""What people do with the workbench from end to end, in a real JupyterLab."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.page import Lab
from tests.lab.server import Server

pytestmark = pytest.mark.browser
WAIT_MS = 300_000


def until(what: Callable[[], Any], seconds: float = 120.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


class Clicks:
    """Clicks on what a cell shows, counted."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.count = lab, 0

    def on(self, role: Any, name: str) -> None:
        """Click the control with this role and name, once it can be clicked; headings have no role."""
        self.count += 1
        shown = self.lab.output()
        found = shown.get_by_role(role, name=name, exact=True) if role else shown.get_by_text(name, exact=True)
        found.first.click()


@pytest.mark.real
def test_six_clicks_lead_from_nothing_to_a_tuned_model_its_card_and_its_map(lab: Lab) -> None:
    lab.open("import workbench as wb\nbench = wb.Bench('glossary/qa')\nbench", "print(sum(range(10)), bench.run.state)")
    lab.run(0)
    clicks = Clicks(lab)
    clicks.on("tab", "Run")
    clicks.on("button", "Start")
    lab.expect(lab.output().get_by_text("training, step").first).to_be_visible(timeout=WAIT_MS)
    lab.run(1)
    assert lab.output(1).inner_text().strip() == "45 running", "another cell runs at once while a fine-tune is going"
    lab.expect(lab.output().get_by_text("difference +").first).to_be_visible(timeout=WAIT_MS)
    clicks.on(None, "Model card")
    lab.expect(lab.output().get_by_text("SentenceTransformer based on").first).to_be_visible()
    clicks.on("tab", "Map")
    clicks.on("button", "Draw the map")
    lab.expect(lab.output().get_by_text("trustworthiness").first).to_be_visible(timeout=WAIT_MS)
    assert clicks.count <= 6
    drawn = "[...[...document.querySelectorAll('.js-plotly-plot')].at(-1)._fullData].reduce((sum, trace) => sum + trace._length, 0)"
    lab.page.wait_for_function(f"{drawn} === 792")
    assert not [line for line in lab.console if "Error setting state" in line]
    scores = json.loads(lab.py("import json; print(json.dumps(bench.run.scores['change']['delta']['cosine_ndcg@10']))"))
    assert scores["mid"] > 0
    assert (
        lab.py("print(bench.panel('Map').model == str(bench.run.folder), len(bench.panel('Map').space))") == "True 792"
    )


def test_a_run_goes_on_through_a_restart_and_is_shown_again_in_two_notebooks(
    server: Server, context: Any, lab: Lab, tiny_bert: Path
) -> None:
    table = server.root / "pairs.jsonl"
    rows = [{"anchor": f"the {a} {b} sings", "positive": f"a {a} {b} runs"} for a in "bcdefghijk" for b in "lmnopqrstu"]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = f"wb.Recipe(model={str(tiny_bert)!r}, loss='MultipleNegativesRankingLoss', data={str(table)!r}, epochs=1000, batch_size=2, eval_share=0, device='cpu', save_steps=50)"
    lab.open(
        f"import workbench as wb\npanel = wb.RunPanel({recipe}, runs='restart')\npanel",
        "import workbench as wb\nfrom pathlib import Path\nrun = wb.attach(next(Path('restart').iterdir()))\nagain = wb.RunPanel(run=run)\nagain",
    )
    lab.run(0)
    lab.output().get_by_role("button", name="Start", exact=True).click()
    lab.expect(lab.output().get_by_text("training, step").first).to_be_visible(timeout=WAIT_MS)
    lab.restart_kernel()
    lab.run(1)
    lab.expect(lab.output(1).get_by_text("training, step").first).to_be_visible(timeout=WAIT_MS)
    lab.page.wait_for_function(
        "document.querySelectorAll('.jp-Cell')[1].querySelector('.js-plotly-plot')?._fullData?.[0]?._length > 1"
    )
    with Lab(server, context, "other-notebook") as other:
        other.open(
            "import workbench as wb\nfrom pathlib import Path\npanel = wb.RunPanel(run=next(Path('restart').iterdir()))\npanel"
        )
        other.run(0)
        other.expect(other.output().get_by_text("training, step").first).to_be_visible(timeout=WAIT_MS)
        other.output().get_by_role("button", name="Stop", exact=True).click()
        other.expect(other.output().get_by_text("stopped (stopped as asked)").first).to_be_visible(timeout=WAIT_MS)
    lab.expect(lab.output(1).get_by_text("stopped (stopped as asked)").first).to_be_visible(timeout=WAIT_MS)
    assert lab.py("print(run.state, run.status.step > 1, run.files.model.is_dir())") == "stopped True True"


def test_a_reload_of_the_page_keeps_the_bench_alive(lab: Lab) -> None:
    lab.open("import workbench as wb\nbench = wb.Bench('glossary/triplets')\nbench").run_all()
    lab.output().get_by_role("tab", name="Settings", exact=True).first.click()
    lab.expect(lab.output().get_by_label("batch_size (rows)").first).to_be_visible()
    lab.save()
    until(lambda: "wb.Bench" in lab.path.read_text())
    lab.reload()
    size = lab.output().get_by_label("batch_size (rows)").first
    lab.expect(size).to_be_visible()
    size.fill("32")
    size.press("Tab")
    lab.expect(lab.output().get_by_text("batch_size=32").first).to_be_visible()
    assert lab.py("print(bench.recipe.batch_size)") == "32"


def test_a_hundred_thousand_points_are_drawn_and_can_be_selected(lab: Lab) -> None:
    lab.open(
        """
import numpy as np, workbench as wb
from workbench.spaces.encode import Space
from workbench.spaces.engine import engine
points = np.random.default_rng(0).normal(size=(100_000, 8)).astype(np.float32)
texts = tuple(f"text {row}" for row in range(len(points)))
panel = wb.EmbeddingMap(Space(texts, points, "made up", "0" * 16, labels=tuple("abcd"[row % 4] for row in range(len(points)))))
panel
"""
    ).run_all()
    drawn = "[...(document.querySelector('.js-plotly-plot')?._fullData ?? [])].reduce((sum, trace) => sum + (trace._length ?? 0), 0)"
    lab.page.wait_for_function(f"{drawn} === 100000", timeout=WAIT_MS)
    search = lab.output().get_by_label("Select texts with").first
    search.fill("text 4242")
    search.press("Enter")
    until(lambda: lab.py("print(len(panel.selection))") == "11")
    lab.expect(lab.output().get_by_text("text 42420").first).to_be_visible()
    lab.py("panel.stop(); engine().close()")


NAMELESS = """output => [...output.querySelectorAll('.wb-panel :is(input, select, textarea, button, [role=tab], summary)')]
  .filter(control => control.checkVisibility())
  .filter(control => ![control.getAttribute('aria-label'), control.title, control.textContent,
    ...[...(control.labels ?? [])].map(label => label.textContent)].some(name => name && name.trim()))
  .map(control => control.outerHTML.slice(0, 200))"""


def test_every_control_of_the_bench_has_a_name_and_shows_that_it_has_the_focus(lab: Lab) -> None:
    lab.open(
        "import workbench as wb\nfrom workbench.widgets.bench import TABS\nbench = wb.Bench('glossary/triplets')\nbench"
    ).run_all()
    for tab in json.loads(lab.py("import json; print(json.dumps(TABS))")):
        lab.output().get_by_role("tab", name=tab, exact=True).first.click()
        lab.wait_idle()
        assert lab.output().evaluate(NAMELESS) == [], tab
    lab.output().get_by_role("tab", name="Run", exact=True).first.click()
    start = lab.output().get_by_role("button", name="Start", exact=True).first
    lab.expect(start).to_be_enabled()
    start.focus()
    lab.page.keyboard.press("Shift+Tab")
    lab.page.keyboard.press("Tab")
    lab.expect(start).to_be_focused()
    assert start.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
