"""Pictures of every panel in a real JupyterLab, for people to look at.

    python -m tests.lab.looks OUT [panel ...]

writes OUT/<panel>-<theme>-<width>.png in both themes and at two widths, and OUT/<panel>-still-<theme>.png: what stands
in the panel's place where there is no kernel. It prints what does not fit into its place.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.page import Lab, browser
from tests.lab.server import Server
from tests.runs import maker, outcome, scored, step
from tests.widgets.test_run_panel_film import filmed
from workbench.recipe import DEFAULT_MODEL, Loss
from workbench.widgets.bench import TABS

CARD = Path(__file__).parents[1] / "cards" / "made" / "3.4.1-fit-mnrl.md"
THEMES = ("light", "dark")
WIDTHS = (1280, 800)


@dataclass(frozen=True)
class Look:
    """How a panel comes to show something.

    Attributes:
        cell: makes `panel`; TUNED stands for the folder of a second model, RUNS for a folder of runs.
        then: what is done in the kernel once it is shown.
        tabs: names of tabs to open one after another, each for pictures of its own.
    """

    cell: str
    then: str = ""
    tabs: tuple[str, ...] = ()


RECIPE = "wb.Recipe(loss=wb.Loss('MultipleNegativesRankingLoss'), data='glossary/qa', batch_size=16)"
PANELS: dict[str, Look] = {
    "ModelPicker": Look("panel = wb.ModelPicker()"),
    "LossPicker": Look(
        "panel = wb.LossPicker(wb.load('glossary/triplets'), wb.Loss('TripletLoss', triplet_margin=0.3))"
    ),
    "TryPanel": Look(
        f"panel = wb.TryPanel({RECIPE})", "panel.run(); panel.settle(300); panel.form.controls['scale'].value = 40.0"
    ),
    "DataPreview": Look("panel = wb.DataPreview('glossary/triplets')"),
    "SettingsForm": Look(
        "from workbench.widgets.settings_form import SettingsForm\npanel = SettingsForm({'epochs': 2.0})"
    ),
    "CardPanel": Look(f"panel = wb.CardPanel({str(CARD)!r})"),
    "CardPanel-run": Look("panel = wb.CardPanel(example='000')"),
    "CheckPanel": Look(f"panel = wb.CheckPanel({RECIPE})", "panel.start()"),
    "RunPanel": Look(f"panel = wb.RunPanel({RECIPE}, run=RUNS + '/first', runs=RUNS)"),
    "RunPanel-film": Look(
        "panel = wb.RunPanel(run=RUNS + '/filmed', runs=RUNS)", "panel._film.show.click(); panel.settle(60)"
    ),
    "RunPanel-two": Look(
        f"panel = wb.RunPanel({RECIPE}, run=RUNS + '/second', runs=RUNS)",
        "panel.compare([wb.attach(RUNS + '/first'), wb.attach(RUNS + '/second')])",
    ),
    "RunPanel-new": Look(f"panel = wb.RunPanel({RECIPE}, runs=RUNS + '/none')"),
    "EmbeddingMap-new": Look(f"panel = wb.EmbeddingMap('glossary/labelled', {DEFAULT_MODEL!r})"),
    "EmbeddingMap": Look(f"panel = wb.EmbeddingMap('glossary/labelled', {DEFAULT_MODEL!r})", "panel.draw()"),
    "SimilarityMatrix": Look("panel = wb.SimilarityMatrix(tuned=TUNED)"),
    "ComparePanel": Look(f"panel = wb.ComparePanel({DEFAULT_MODEL!r}, TUNED, 'glossary/qa')", "panel.draw()"),
    "Bench": Look(
        "panel = wb.Bench('glossary/qa', runs=RUNS)",
        tabs=TABS,
    ),
}
# what sticks out of its place, and is therefore cut off or makes a scroll bar
TIGHT = """output => [...output.querySelectorAll('.wb-panel, .wb-panel *')]
  .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 2 && !e.closest('svg, .js-plotly-plot, .wb-code, select'))
  .filter(e => e.classList.contains('wb-panel') || !['auto', 'scroll'].includes(getComputedStyle(e).overflowX))
  .filter(e => !['INPUT', 'TEXTAREA'].includes(e.tagName))
  .map(e => `${e.tagName.toLowerCase()}.${e.className}: ${e.scrollWidth} px in ${e.clientWidth}: `
    + (e.textContent || e.title).slice(0, 60))
  .slice(0, 8)"""


def main(out: Path, names: list[str]) -> None:
    """Take the pictures of some panels, all where none is named."""
    from playwright.sync_api import Error

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "notebooks"
        root.mkdir()
        make_runs(root / "runs")
        chosen = {name: look for name, look in PANELS.items() if not names or name in names}
        if any("TUNED" in look.cell for look in chosen.values()):
            make_tuned(root / "tuned")
        server = Server(root)
        try:
            with browser(Path(folder) / "profile") as context:
                for name, look in chosen.items():
                    try:
                        with Lab(server, context, name) as lab:
                            take(lab, name, look, out)
                    # the others are taken all the same
                    except (AssertionError, Error) as error:
                        print(f"{name}: {error}")
        finally:
            server.stop()


def take(lab: Lab, name: str, look: Look, out: Path) -> None:
    """Pictures of one panel."""
    first = (
        f"import workbench as wb\nTUNED, RUNS = {str(lab.server.root / 'tuned')!r}, {str(lab.server.root / 'runs')!r}\n"
    )
    still = "HTML(panel._still().replace(panel._id, 'wb-elsewhere'))"
    lab.open(f"{first}{look.cell}\npanel", f"from IPython.display import HTML\n{still}")
    lab.run(0)
    settle(lab, look.then)
    for tab in look.tabs or ("",):
        if tab:
            lab.output().get_by_role("tab", name=tab, exact=True).first.click()
            settle(lab)
        for theme in THEMES:
            lab.set_theme(theme)
            for width in WIDTHS:
                picture(lab, out / f"{name}{'-' * bool(tab)}{tab}-{theme}-{width}.png", width)
    lab.run(1)
    for theme in THEMES:
        lab.set_theme(theme)
        picture(lab, out / f"{name}-still-{theme}.png", WIDTHS[0], cell=1)


def settle(lab: Lab, code: str = "") -> None:
    """Do something in the kernel and wait until the panel and the page have nothing left to do."""
    said = lab.py(f"{code}\nimport time\ntime.sleep(1)\npanel.settle(300)\ntime.sleep(1)")
    if said:
        print(said)
    lab.wait_idle()
    lab.page.wait_for_function(
        "![...document.querySelectorAll('.wb-message')].some(e => e.offsetParent && /^[↻⏳]|…$/.test(e.textContent))"
    )
    lab.page.wait_for_timeout(700)


def picture(lab: Lab, path: Path, width: int, cell: int = 0) -> None:
    """One picture of all that a cell shows, on a page so wide and as high as it takes."""
    lab.resize(width, 900)
    # long enough for a figure that follows its width
    lab.page.wait_for_timeout(600)
    output = lab.output(cell)
    box = output.bounding_box()
    assert box is not None, f"{path.stem}: the cell shows nothing"
    lab.resize(width, min(6000, max(900, int(box["height"]) + 400)))
    output.scroll_into_view_if_needed()
    lab.page.wait_for_timeout(400)
    output.screenshot(path=path)
    print(path.name, *output.evaluate(TIGHT), sep="\n    ")


def make_runs(folder: Path) -> None:
    """Two finished runs with curves."""
    make = maker(folder)
    for name, rate in (("first", 0.05), ("second", 0.09)):
        events: list[dict[str, Any]] = []
        for number in range(1, 77):
            if number in (1, 26, 51, 76):
                events.append(scored(number - 1, 0.62 + 0.2 * (1 - math.exp(-rate * number))))
            wave = 1 + 0.15 * math.sin(number)
            events.append(
                step(
                    number,
                    loss=2.6 * math.exp(-rate * number) * wave + 0.2,
                    learning_rate=2e-5 * min(number / 8, (77 - number) / 69),
                    grad_norm=3 * wave,
                    tokens_per_s=2200 * wave,
                )
            )
        log = "\n".join(f"step {number} of 76" for number in range(1, 77))
        make(
            name,
            events=events,
            scores=outcome(0.62, 0.81),
            log=log,
            loss=Loss("MultipleNegativesRankingLoss", scale=20 / rate / 20),
        )

    filmed(make, "filmed", moments=8)


def make_tuned(folder: Path) -> None:
    """A second model: the base model with some noise on its last layer."""
    import torch

    from workbench.catalog import models

    model: Any = models.load(models.files(DEFAULT_MODEL))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model[0].auto_model.encoder.layer[-1].parameters():
            weight += 0.3 * weight.std() * torch.randn_like(weight) if weight.ndim > 1 else 0
    model.save_pretrained(str(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
