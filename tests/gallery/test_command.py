"""The command: a list, one entry with what was kept, and what a run gives written for others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.gallery.test_results import result
from workbench import cli, gallery
from workbench.errors import RecipeError
from workbench.gallery.results import read


def call(*words: str) -> tuple[str, str]:
    """Standard output and standard error of a command that ends well."""
    done = CliRunner().invoke(cli.app, ["gallery", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout, done.stderr


def test_without_a_name_the_entries_are_listed() -> None:
    out, err = call()
    assert out == "" and all(name in err for name in gallery.names())
    assert [entry["name"] for entry in json.loads(call("--json")[0])["entries"]] == list(gallery.names())


def test_an_entry_is_shown_at_once_with_its_findings_and_what_was_kept() -> None:
    (entry,) = json.loads(call("004", "--json")[0])["entries"]
    assert entry["findings"][0]["code"] == "weights-all-zero"
    assert entry["result"]["card"][0]["state"] == "stopped before the first step"
    assert "5.266575" in " ".join(entry["log_meaning"])
    err = call("004")[1]
    assert "004 · Weights that are not there\n" in err and "weights-all-zero" in err and "Measured with" in err


def test_a_run_is_written_beside_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "run", lambda name, progress: result(name=name))
    call("004", "--run", "--out", str(tmp_path))
    assert read(tmp_path / "results.json") == {"004": result(name="004")}
    assert "Measured with torch 2.13.0" in (tmp_path / "results.txt").read_text()


def test_an_unknown_entry_is_one_sentence() -> None:
    with pytest.raises(RecipeError, match="expected one of 000, 001"):
        call("margin")
