"""The page of the demo, without its run."""

from __future__ import annotations

import json

from tests.plots.looking import HOSTILE
from tests.runs import MakeRun
from tests.widgets.test_run_panel_film import filmed
from workbench.demo import _film_section
from workbench.plots.report import page


def test_the_film_of_the_run_is_in_the_page_and_plays_without_a_kernel(make_run: MakeRun) -> None:
    section = _film_section(filmed(make_run, moments=4, text=HOSTILE))
    (drawn,) = section.figures
    assert [step.label for step in drawn.layout.sliders[0].steps] == ["0", "1", "2", "3"] and len(drawn.frames) == 4
    assert [button.label for button in drawn.layout.updatemenus[0].buttons] == ["▶ Play", "❚❚ Pause"]
    assert drawn.layout.title.text.startswith("Film of 8 held-out texts")
    made = page("t", "s", [section])
    assert made.count("plotly.js v") == 1 and "Plotly.addFrames" in made and "<img" not in made.split("</script>")[-1]
    assert len(made) < 5_500_000


def test_a_run_without_a_film_says_why_in_the_page(make_run: MakeRun) -> None:
    run = filmed(make_run)
    (run.files.film / "texts.json").write_text(json.dumps({}))
    section = _film_section(run)
    assert section.figures == () and "There is no film: expected the film of first, but no frame" in section.text
