"""Script-injection strings as texts, labels, names of columns, files, folders, models and scores, in every panel."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hostile import STRINGS, names, ran, traces
from tests.lab.page import Lab
from tests.lab.server import Server
from tests.runs import maker, outcome, scored, step
from workbench.plots import report, theme
from workbench.plots.report import Section, Table
from workbench.recipe import DEFAULT_MODEL, DataSpec, Loss

pytestmark = pytest.mark.browser

# names of the table's columns, values of the last of them, and names of folders and files
MADE = Path(__file__).parents[1] / "cards" / "made"
COLUMNS = (STRINGS[1], STRINGS[6], STRINGS[36])
TOPICS = STRINGS[:9]
FOLDER, FILE, RUN = names()[0], names()[1], names()[2]


@dataclass(frozen=True)
class Case:
    """A panel with hostile things in it.

    Attributes:
        cell: makes `panel`.
        then: what is done in the kernel when it is shown.
        seen: strings that the panel then shows as they are, at least their first 30 characters.
    """

    cell: str
    then: str = ""
    seen: tuple[str, ...] = ()


RECIPE = "wb.Recipe(model=MODEL, loss=wb.Loss('MultipleNegativesRankingLoss'), data=SPEC)"
CASES = {
    "ModelPicker": Case("panel = wb.ModelPicker(MODEL)", seen=(FOLDER,)),
    "ModelPicker, the usual model": Case(f"panel = wb.ModelPicker({DEFAULT_MODEL!r})"),
    "LossPicker": Case("panel = wb.LossPicker(wb.load(SPEC))", seen=(FILE,)),
    "DataPreview": Case("panel = wb.DataPreview(wb.load(SPEC), model=MODEL)", seen=(*STRINGS[:10], *COLUMNS, FILE)),
    "DataPreview, the rest": Case(
        "panel = wb.DataPreview(wb.load(SPEC), model=MODEL, rows_per_page=100)", seen=STRINGS
    ),
    "CardPanel": Case("panel = wb.CardPanel(CARD)"),
    "CheckPanel": Case(f"panel = wb.CheckPanel({RECIPE})", "panel._check.click()"),
    "RunPanel": Case("panel = wb.RunPanel(run=RUNS / RUN, runs=RUNS)", seen=(RUN, *STRINGS)),
    "EmbeddingMap": Case(
        "panel = wb.EmbeddingMap(wb.load(SPEC), MODEL, colour=COLUMNS[2])",
        "panel.draw(); panel.settle(120); panel.selection = tuple(range(12)); panel._show_nearest(3)",
        seen=(*TOPICS, STRINGS[3]),
    ),
    "EmbeddingMap of texts": Case(
        "panel = wb.EmbeddingMap(wb.embed(STRINGS, MODEL))", "panel.selection = (60,)", seen=(STRINGS[60],)
    ),
    "SimilarityMatrix": Case("panel = wb.SimilarityMatrix(STRINGS[:30], MODEL, MODEL)", seen=STRINGS[:30]),
    "SimilarityMatrix, the next": Case("panel = wb.SimilarityMatrix(STRINGS[30:60], MODEL)", seen=STRINGS[30:60]),
    "ComparePanel": Case("panel = wb.ComparePanel(MODEL, MODEL, wb.load(SPEC))", "panel.draw()", seen=(FOLDER,)),
    "Bench": Case("panel = wb.Bench(wb.load(SPEC), runs=RUNS)", seen=COLUMNS),
}


@pytest.fixture(scope="module")
def hostile(server: Server, context: Any, tiny_bert: Path) -> Iterator[Lab]:
    """A notebook whose kernel knows a hostile table, model and run; a cell makes a panel, in the order of CASES."""
    root = server.root / "hostile"
    model, table, runs = root / FOLDER, root / f"{FILE}.csv", root / "runs"
    shutil.copytree(tiny_bert, model)
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = [(text, STRINGS[place - 1], TOPICS[place % len(TOPICS)]) for place, text in enumerate(STRINGS)]
        csv.writer(file).writerows([COLUMNS, *rows])
    card = (MADE / "6.2.0-trainer-triplets.md").read_text(encoding="utf-8")
    lines = [" ".join(text.split()) for text in STRINGS]
    for name, text in (
        ("Tiny BERT on the glossary", " ".join(lines)),
        ("anchor", lines[1]),
        ("cosine_accuracy", lines[5]),
    ):
        card = card.replace(name, text)
    (root / "README.md").write_text(card, encoding="utf-8")
    columns = dict(zip(COLUMNS, ("anchor", "positive", "ignore"), strict=True))
    run = maker(runs)(
        RUN,
        said="failed",
        model=str(model),
        loss=Loss("MultipleNegativesRankingLoss"),
        data=DataSpec(source=str(table), columns=columns),
        events=[scored(0, 0.5), step(1), {"kind": "scores", "step": 1, "scores": dict.fromkeys(STRINGS[:5], 0.7)}],
        scores=outcome(0.5, 0.7),
        log="\n".join(STRINGS),
    )
    run.files.model.mkdir()
    (run.files.model / "README.md").write_text("\n\n".join(STRINGS), encoding="utf-8")
    status = json.loads(run.files.status.read_text())
    run.files.status.write_text(json.dumps({**status, "reason": STRINGS[1], "phase": STRINGS[0], "device": STRINGS[2]}))
    known = (
        "import workbench as wb\nfrom pathlib import Path\nfrom workbench.recipe import DataSpec\n"
        f"MODEL, RUNS, RUN, COLUMNS, STRINGS = {str(model)!r}, Path({str(runs)!r}), {RUN!r}, {COLUMNS!r}, {STRINGS!r}\n"
        f"CARD = {str(root / 'README.md')!r}\n"
        f"SPEC = DataSpec(source={str(table)!r}, columns={columns!r})\n"
    )
    with Lab(server, context, "hostile") as lab:
        lab.open(known, *(f"{case.cell}\npanel" for case in CASES.values())).run(0)
        yield lab


# all that a panel shows, with what stands in its boxes
SHOWN = """output => [output.textContent, ...[...output.querySelectorAll('input, textarea')].map(e => e.value),
  ...[...output.querySelectorAll('[title]')].map(e => e.title)].join(' ')"""


def bare(text: str) -> str:
    """A text without spaces, for a page breaks and joins lines as it likes; its first 30 characters."""
    return "".join(text.split())[:30]


@pytest.mark.parametrize("name", CASES)
def test_hostile_strings_are_shown_as_text_and_do_nothing(hostile: Lab, name: str) -> None:
    case = CASES[name]
    cell = 1 + list(CASES).index(name)
    hostile.run(cell)
    said = hostile.py(f"{case.then}\npanel.settle(180)")
    assert said == ""
    assert "should not happen" not in hostile.py("print(panel.message)")
    hostile.page.wait_for_function(
        "![...document.querySelectorAll('.wb-message')].some(e => e.offsetParent && /^↻|…$/.test(e.textContent))"
    )
    shown = "".join(hostile.output(cell).evaluate(SHOWN).split())
    assert [text for text in case.seen if bare(text) not in shown] == []
    assert traces(hostile.page) == []
    assert not ran(hostile.page)


def shown_alone(context: Any, file: Path) -> Any:
    """A page with nothing but an HTML file, and no network."""
    page = context.new_page()
    page.route("http*://**", lambda route: route.abort())
    page.goto(file.as_uri())
    return page


def test_the_notebook_as_html_runs_none_of_them(hostile: Lab, context: Any, tmp_path: Path) -> None:
    (tmp_path / "hostile.ipynb").write_text(hostile.save().path.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(tmp_path / "hostile.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    page = shown_alone(context, tmp_path / "hostile.html")
    assert "__pwned" in page.locator("body").inner_text()
    assert traces(page) == []
    assert not ran(page)
    page.close()


def test_the_report_shows_them_as_text(context: Any, tmp_path: Path) -> None:
    figure = theme.figure(STRINGS[1]).add_scatter(
        x=[theme.text(text) for text in STRINGS[:9]], y=list(range(9)), name=theme.text(STRINGS[2])
    )
    table = Table(STRINGS[:2], [[text, text] for text in STRINGS], caption=STRINGS[0])
    section = Section(STRINGS[0], STRINGS[1], tables=[table], figures=[figure], code=STRINGS[35])
    (tmp_path / "report.html").write_text(report.page(STRINGS[0], STRINGS[36], [section]), encoding="utf-8")
    page = shown_alone(context, tmp_path / "report.html")
    page.wait_for_selector(".js-plotly-plot .xtick")
    shown = "".join(page.locator("body").inner_text().split())
    assert [text for text in STRINGS if bare(text) not in shown] == []
    assert traces(page, "header, nav, table, pre, section > p, .main-svg") == []
    assert not ran(page)
    page.close()
