"""The record of what was found, and how it is shown."""

from __future__ import annotations

import pickle

import pytest

from workbench.checks.finding import Finding, Findings
from workbench.errors import RecipeError
from workbench.recipe import Loss, Recipe

RECIPE = Recipe(loss=Loss("CoSENTLoss"), data="glossary/graded")
HOSTILE = "<img src=x onerror=alert(1)>$x$"


def finding(severity: str = "warning", **parts: object) -> Finding:
    return Finding(
        **{"code": "made-up", "severity": severity, "message": f"{HOSTILE} will happen.", "recipe": RECIPE, **parts}
    )


def test_a_fix_is_a_changed_recipe_and_plain_settings() -> None:
    found = finding(changes={"batch_size": 4, "loss": Loss("AnglELoss", scale=10)}, fixed="less")
    assert found.fix() == RECIPE.changed(batch_size=4, loss=Loss("AnglELoss", scale=10))
    assert found.to_json() == {
        "code": "made-up",
        "severity": "warning",
        "message": f"{HOSTILE} will happen.",
        "evidence": {},
        "fix": {"batch_size": 4, "loss": {"name": "AnglELoss", "scale": 10.0}},
    }


def test_without_a_fix_there_is_none() -> None:
    assert finding().fix() is None and finding().to_json()["fix"] is None


def test_a_fix_is_validated_like_any_recipe() -> None:
    with pytest.raises(RecipeError, match="batch_size"):
        finding(changes={"batch_size": 0}).fix()


def test_the_worst_come_first_and_the_others_keep_their_order() -> None:
    found = Findings(
        [finding("note"), finding("warning", code="first"), finding("error"), finding("warning", code="second")]
    )
    assert [item.severity for item in found] == ["error", "warning", "warning", "note"]
    assert [item.code for item in found[1:3]] == ["first", "second"]
    assert found.worst == "error" and found.counts == "1 error, 2 warnings, 1 note"
    assert Findings().worst is None


def test_all_texts_are_escaped_where_html_is_made() -> None:
    found = Findings([finding(why=HOSTILE, fixed=HOSTILE, evidence={HOSTILE: HOSTILE})], about=HOSTILE)
    assert "<img" not in found._repr_html_() and "▲ warning" in found._repr_html_()
    assert '<td style="overflow-wrap: break-word">▲ warning' in found._repr_html_(), "no column of single letters"
    assert "<img" not in Findings(about=HOSTILE)._repr_html_()


def test_a_frame_has_one_line_a_finding() -> None:
    frame = Findings([finding(evidence={"share_of_rows": 0.12345, "rows": 1200})]).to_frame()
    assert list(frame.columns) == ["code", "severity", "message", "why", "numbers", "fix"]
    assert frame.loc[0, "numbers"] == "share of rows: 0.1235; rows: 1,200" and frame.loc[0, "fix"] is None
    assert len(Findings().to_frame()) == 0


def test_a_fix_is_printed_below_its_finding() -> None:
    found = Findings([finding(fixed="set batch_size to 4", changes={"batch_size": 4}), finding("note", code="bare")])
    lines = repr(found).splitlines()
    assert lines[1].startswith("▲ warning made-up:") and lines[2] == "    fix: set batch_size to 4"
    assert len(lines) == 4 and lines[3].startswith("○ note bare:")


def test_findings_travel_between_processes() -> None:
    found = Findings([finding(changes={"batch_size": 4})], about="two rows")
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.about == "two rows" and again[0].fix() == found[0].fix()
