"""Runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import MakeRun, outcome
from workbench.errors import RunError
from workbench.training.comparison import compare_runs


def test_only_settings_that_differ_and_all_scores_are_shown(make_run: MakeRun) -> None:
    first = make_run("first", scores=outcome(0.5, 0.6), prompts="<b>")
    second = make_run("second", epochs=2)
    record = compare_runs([first, second])
    assert record.settings == {"epochs": (1.0, 2.0), "prompts": ("<b>", None)}
    assert record.scores == {"cosine_ndcg@10": ((0.5, 0.6), None)}
    assert record.measured_on == ("216 rows of glossary/qa test", "no scores yet")
    table = record.to_frame()
    assert table.loc["cosine_ndcg@10", "second"] == "not measured"
    assert "&lt;b&gt;" in record._repr_html_() and "<b>" not in record._repr_html_()


def test_one_run_alone_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected at least two runs to compare, got 1"):
        compare_runs([make_run()])
