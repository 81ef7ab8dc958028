"""The check panel as a person uses it, on findings made by hand and once on real ones."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as W
import pytest

from tests.checks.tables import pairs
from tests.checks.tables import recipe as small
from workbench.checks.finding import Finding, Findings
from workbench.errors import DataError, RecipeError
from workbench.recipe import Loss, Recipe
from workbench.widgets import check_panel
from workbench.widgets.check_panel import CheckPanel

HOSTILE = "<img src=x onerror=alert(1)>"
RECIPE = Recipe(loss=Loss("CoSENTLoss"), data="glossary/graded", max_seq_length=128)


def finding(recipe: Recipe, severity: str = "warning", **parts: Any) -> Finding:
    """A finding made by hand that raises max_seq_length."""
    given = {
        "code": "texts-cut",
        "message": "12% of the texts are cut at 128 tokens.",
        "why": "What is cut has no effect.",
        "evidence": {"limit": 128, "measured_on": "all 1,188 rows"},
        "fixed": "raise max_seq_length to 384",
        "changes": {"max_seq_length": 384},
    }
    return Finding(severity=severity, recipe=recipe, **{**given, **parts})  # type: ignore[arg-type]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """`check` finds cut texts below 384 tokens; the recipes that it was asked about."""
    asked: list[Recipe] = []

    def check(recipe: Recipe, *, progress: Any = None) -> Findings:
        asked.append(recipe)
        progress("counting tokens", 10, 100)
        found = [finding(recipe), finding(recipe, "error", code="worse", fixed="", changes={})]
        return Findings(found if (recipe.max_seq_length or 0) < 384 else [], about="25 checks on 1,188 training rows")

    monkeypatch.setattr(check_panel, "check", check)
    return asked


def widgets(part: Any) -> Iterator[Any]:
    """All widgets below one."""
    for child in getattr(part, "children", ()):
        yield child
        yield from widgets(child)


def html(panel: CheckPanel) -> str:
    """All HTML on screen."""
    return "\n".join(part.value for part in widgets(panel) if isinstance(part, W.HTML))


def button(panel: CheckPanel, words: str) -> W.Button:
    """The one button with these words."""
    (found,) = [part for part in widgets(panel) if isinstance(part, W.Button) and words in part.description]
    return found


def click(panel: CheckPanel, words: str) -> None:
    """Click a button and wait for what follows."""
    button(panel, words).click()
    panel.settle(60)


def test_findings_stand_in_groups_by_severity_with_symbol_word_numbers_and_reason(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    assert "Not checked yet" in html(panel) and panel.findings == ()
    click(panel, "Check")
    shown = html(panel)
    assert checked == [RECIPE]
    assert shown.index("✖ 1 error") < shown.index("✖ error:") < shown.index("▲ 1 warning") < shown.index("▲ warning:")
    assert "12% of the texts" in shown and "What is cut has no effect." in shown and "limit: 128" in shown
    assert panel.message == "1 error, 1 warning"
    assert [item.severity for item in panel.findings] == ["error", "warning"]


def test_a_fix_changes_the_recipe_shows_what_changed_and_checks_again(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    click(panel, "Check")
    click(panel, "Apply: raise max_seq_length to 384")
    assert panel.recipe == RECIPE.changed(max_seq_length=384)
    assert checked == [RECIPE, panel.recipe]
    assert panel.findings == () and panel.message == "No findings"
    plain = re.sub(" style='[^']*'", "", html(panel))
    assert "<td>max_seq_length</td><td>128</td><td>384</td>" in plain and "Applied: raise" in plain
    assert "No findings: 25 checks on 1,188 training rows" in html(panel)


def test_undo_takes_the_last_fix_back(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    click(panel, "Check")
    assert button(panel, "Undo").disabled
    click(panel, "Apply")
    assert not button(panel, "Undo").disabled
    click(panel, "Undo")
    assert panel.recipe == RECIPE and len(panel.findings) == 2
    assert "Undone: raise max_seq_length to 384" in html(panel) and button(panel, "Undo").disabled


def test_a_recipe_set_from_outside_greys_the_results_until_it_is_checked(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    click(panel, "Check")
    click(panel, "Apply")
    click(panel, "Undo")
    panel.recipe = RECIPE.changed(epochs=2)
    assert "recipe changed; check again" in html(panel) and "recipe changed; check again" in panel.static()
    assert button(panel, "Apply").disabled and button(panel, "Undo").disabled
    assert "Undone" not in html(panel)
    assert len(checked) == 3
    click(panel, "Check")
    assert "recipe changed" not in html(panel) and not button(panel, "Apply").disabled


def test_setting_an_equal_recipe_changes_nothing(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    click(panel, "Check")
    click(panel, "Apply")
    panel.recipe = RECIPE.changed(max_seq_length=384)
    assert "recipe changed" not in html(panel) and not button(panel, "Undo").disabled


def test_findings_can_be_given_and_set(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE, findings=(finding(RECIPE),))
    assert "▲ 1 warning" in html(panel) and checked == []
    panel.findings = (finding(RECIPE, "note"),)
    assert "○ 1 note" in html(panel) and "▲" not in html(panel)


def test_a_newer_check_makes_an_older_one_void(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def check(recipe: Recipe, *, progress: Any = None) -> Findings:
        if recipe.epochs == 1:
            begun.set()
            go_on.wait(60)
        return Findings([finding(recipe, code=f"epochs-{recipe.epochs:g}")])

    monkeypatch.setattr(check_panel, "check", check)
    panel = CheckPanel(RECIPE)
    panel.start()
    assert begun.wait(60)
    panel.recipe = RECIPE.changed(epochs=2)
    panel.run_checks()
    go_on.set()
    panel.settle(60)
    assert [item.code for item in panel.findings] == ["epochs-2"] and "recipe changed" not in html(panel)


def test_a_result_of_a_recipe_that_has_changed_meanwhile_is_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = CheckPanel(RECIPE)

    def check(recipe: Recipe, *, progress: Any = None) -> Findings:
        panel.recipe = RECIPE.changed(epochs=3)
        return Findings([finding(recipe)])

    monkeypatch.setattr(check_panel, "check", check)
    click(panel, "Check")
    assert "recipe changed; check again" in html(panel) and button(panel, "Apply").disabled
    with pytest.raises(RecipeError, match="of another; check again"):
        panel.apply(panel.findings[0])
    assert panel.recipe.epochs == 3


def test_unusable_input_ends_in_the_message_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(recipe: Recipe, *, progress: Any = None) -> Findings:
        raise DataError(f"expected a file, got {HOSTILE}")

    monkeypatch.setattr(check_panel, "check", check)
    panel = CheckPanel(RECIPE)
    click(panel, "Check")
    assert panel.message == f"expected a file, got {HOSTILE}"
    assert "<img" not in html(panel) and "role='alert'" in html(panel)
    with pytest.raises(DataError):
        panel.run_checks()


def test_hostile_texts_are_escaped_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = RECIPE.changed(name=HOSTILE)
    words = dict.fromkeys(("code", "message", "why", "fixed"), HOSTILE)
    found = Findings(
        [finding(evil, evidence={HOSTILE: HOSTILE}, changes={"name": HOSTILE * 2}, **words)], about=HOSTILE
    )
    monkeypatch.setattr(check_panel, "check", lambda recipe, progress=None: found)
    panel = CheckPanel(evil)
    click(panel, "Check")
    click(panel, "Apply")
    assert "&lt;img" in html(panel) and "<img" not in html(panel) and "<img" not in panel.static()


def test_the_line_of_code_is_python_that_makes_the_same_recipe(checked: list[Recipe]) -> None:
    import workbench as wb

    panel = CheckPanel(RECIPE)
    assert panel.code == ("wb.check(wb.Recipe(loss=wb.Loss('CoSENTLoss'), data='glossary/graded', max_seq_length=128))")
    click(panel, "Check")
    click(panel, "Apply")
    assert eval(panel.code.removeprefix("wb.check"), {"wb": wb}) == panel.recipe


@pytest.mark.parametrize("wrong", [None, "recipe.yaml", {"loss": "CoSENTLoss"}])
def test_what_is_no_recipe_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(RecipeError, match=r"expected a Recipe, got .*; make one with wb.Recipe"):
        CheckPanel(wrong)
    panel = CheckPanel(RECIPE)
    with pytest.raises(RecipeError, match="expected a Recipe"):
        panel.recipe = wrong
    assert panel.recipe == RECIPE


def test_a_finding_without_a_fix_has_no_button_and_is_not_applied(checked: list[Recipe]) -> None:
    bare = finding(RECIPE, fixed="", changes={})
    panel = CheckPanel(RECIPE, findings=(bare,))
    assert [part.description for part in widgets(panel) if isinstance(part, W.Button)] == ["Check", "Undo"]
    with pytest.raises(RecipeError, match="which no recipe mends"):
        panel.apply(bare)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [("x", "str"), (3, "int"), (["a"], "str among them"), ({}, "dict"), (b"x", "bytes"), ((3,), "int among them")],
)
def test_what_is_no_findings_is_refused_in_a_sentence(wrong: Any, got: str) -> None:
    with pytest.raises(RecipeError, match=f"^findings: expected what wb.check.recipe. gave, got {got}; "):
        CheckPanel(RECIPE, findings=wrong)
    panel = CheckPanel(RECIPE, findings=[finding(RECIPE)])
    with pytest.raises(RecipeError, match=f"^findings: expected .*, got {got}; "):
        panel.findings = wrong
    assert [item.code for item in panel.findings] == ["texts-cut"] and "12% of the texts" in html(panel)


def test_an_earlier_check_without_findings_is_shown() -> None:
    panel = CheckPanel(RECIPE, findings=Findings(about="25 checks"))
    assert "No findings: 25 checks" in html(panel) and "Not checked yet" not in html(panel)


def test_findings_of_another_recipe_are_refused() -> None:
    other = RECIPE.changed(max_seq_length=64)
    with pytest.raises(
        RecipeError, match=r"^findings: expected those of this recipe, got texts-cut of another; check "
    ):
        CheckPanel(RECIPE, findings=(finding(other),))
    panel = CheckPanel(RECIPE)
    with pytest.raises(RecipeError, match="expected those of this recipe"):
        panel.findings = (finding(RECIPE), finding(other, code="texts-cut"))
    assert panel.findings == () and "Not checked yet" in html(panel)
    panel.recipe = other
    panel.findings = (finding(other),)
    assert "12% of the texts" in html(panel)


def test_results_of_a_recipe_that_changed_meanwhile_are_shown_as_old(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = CheckPanel(RECIPE)

    def check(recipe: Recipe, *, progress: Any = None) -> Findings:
        panel.recipe = RECIPE.changed(max_seq_length=64)
        return Findings([finding(recipe)])

    monkeypatch.setattr(check_panel, "check", check)
    click(panel, "Check")
    assert len(panel.findings) == 1 and panel.message == "1 warning" and "recipe changed; check again" in html(panel)


@pytest.mark.parametrize("wrong", [3, None, "x", {}])
def test_what_is_no_recipe_is_refused_after_construction_too(wrong: Any) -> None:
    panel = CheckPanel(RECIPE)
    with pytest.raises(RecipeError, match="expected a Recipe, got"):
        panel.recipe = wrong
    assert panel.recipe == RECIPE


def test_the_static_picture_shows_the_findings_without_scripts(checked: list[Recipe]) -> None:
    panel = CheckPanel(RECIPE)
    assert "Not checked yet" in panel.static()
    click(panel, "Check")
    assert "<table" in panel.static() and "▲ warning" in panel.static() and "<script" not in panel.static()
    assert len(panel.static()) < 150_000


def test_progress_of_a_long_check_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def check(recipe: Recipe, *, progress: Callable[..., None]) -> Findings:
        progress("counting tokens", 2000, 100_000)
        return Findings()

    monkeypatch.setattr(check_panel, "check", check)
    monkeypatch.setattr(check_panel, "_TELL_EVERY_S", -1)
    panel = CheckPanel(RECIPE)
    panel.observe(lambda change: said.append(change["new"]), "message")
    click(panel, "Check")
    assert said == ["Checking …", "Checking: counting tokens, 2,000 of 100,000 rows …", "No findings"]


def test_real_findings_are_mended_one_after_another(tiny_bert: Path) -> None:
    panel = CheckPanel(small(tiny_bert, pairs(), warmup=5000, learning_rate=0.5))
    click(panel, "Check")
    assert {item.code for item in panel.findings} == {"warmup-too-long", "learning-rate-unusual"}
    click(panel, "Apply: set warmup")
    click(panel, "Apply: set learning_rate")
    assert panel.findings == () and panel.message == "No findings"
    assert (panel.recipe.warmup, panel.recipe.learning_rate) == (0.1, 2e-5)


def test_opening_the_panel_loads_no_heavy_library() -> None:
    code = """import sys
from workbench.recipe import Recipe
from workbench.widgets.check_panel import CheckPanel
CheckPanel(Recipe(loss="CoSENTLoss", data="no-such-table.csv"))
heavy = ("torch", "transformers", "sentence_transformers", "umap", "sklearn", "matplotlib", "datasets")
print([name for name in heavy if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
