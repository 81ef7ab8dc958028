"""The five entries: what the checks find in each is what went wrong, and the sentences hold the sums."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench import gallery
from workbench.catalog import hub
from workbench.checks.before import check
from workbench.checks.cost import has_gpu
from workbench.checks.finding import Findings
from workbench.data.prepare import prepare
from workbench.errors import RecipeError
from workbench.gallery.record import Entry
from workbench.recipe import DEFAULT_MODEL, Recipe


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> object:
    """One cache for all tests of this file: building an entry writes its tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def workbench_home(home: object) -> None:
    """In the place of the home that each test has for itself."""


@pytest.fixture(scope="module")
def found(home: object) -> dict[str, Findings]:
    """Findings of the entries that were asked for."""
    if hub.on_this_machine(DEFAULT_MODEL, None) is None:
        pytest.skip("the default model is not on this machine")
    return {name: gallery.entry(name).findings() for name in gallery.names()}


def said(entry: Entry) -> str:
    """All that an entry says of its log."""
    return " ".join(entry.log_meaning())


def evidence(findings: Findings, code: str) -> dict[str, object]:
    """Evidence of the finding of that code."""
    return dict(next(finding for finding in findings if finding.code == code).evidence)


def test_there_are_five_and_another_is_refused_with_their_names() -> None:
    assert gallery.names() == ("000", "001", "002", "003", "004")
    with pytest.raises(
        RecipeError, match="expected one of 000, 001, 002, 003, 004, the entries of the gallery, got 'x'"
    ):
        gallery.entry("x")


@pytest.mark.parametrize("name", ["000", "001", "003", "004"])
def test_both_recipes_of_an_entry_can_be_run_and_share_their_evaluation(name: str) -> None:
    entry = gallery.entry(name)
    tables = [prepare(recipe) for recipe in (entry.recipe, entry.mended)]
    assert tables[0][1] is not None and tables[1][1] is not None
    assert tables[0][1].fingerprint == tables[1][1].fingerprint
    assert "eval_data" not in entry.changes()


def test_a_model_that_is_not_here_has_a_stand_in_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "on_this_machine", lambda *_: None)
    entry = gallery.entry("000")
    assert entry.recipe.model == DEFAULT_MODEL and entry.recipe.max_seq_length == 384
    assert "all-mpnet-base-v2 is not on this machine" in entry.stand_ins[0]


def test_a_model_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch, tiny_bert: object) -> None:
    monkeypatch.setattr(hub, "on_this_machine", lambda *_: (tiny_bert, "folder"))
    entry = gallery.entry("000")
    assert entry.recipe.model == entry.card["model"] == "sentence-transformers/all-mpnet-base-v2"
    assert not any("stands in" in sentence for sentence in entry.stand_ins)


def test_a_loss_beyond_the_margin_is_told_in_distances() -> None:
    entry = gallery.entry("000")
    assert "the loss lies in [3, 7]" in said(entry) and "is 0.66:" in said(entry) and "33% of the way" in said(entry)


@pytest.mark.real
def test_the_margin_is_found_and_its_fix_is_the_mended_loss(found: dict[str, Findings]) -> None:
    finding = next(finding for finding in found["000"] if finding.code == "margin-out-of-reach")
    fixed = finding.fix()
    assert fixed is not None and fixed.loss == gallery.entry("000").mended.loss


@pytest.mark.real
def test_the_repeats_are_found_and_their_fix_is_the_mended_sampler(found: dict[str, Findings]) -> None:
    entry = gallery.entry("001")
    finding = next(finding for finding in found["001"] if finding.code == "equal-texts-in-batch")
    assert finding.evidence["share_of_batches"] > 0.3
    fixed = finding.fix()
    assert fixed is not None and fixed.batch_sampler == entry.mended.batch_sampler == "no_duplicates"
    assert f"a floor of {finding.evidence['least_loss']:.3f}, however good" in said(entry)


@pytest.mark.real
def test_a_step_that_changes_nothing_is_found_with_its_size(found: dict[str, Findings]) -> None:
    codes = {finding.code for finding in found["002"]}
    assert {"weights-hardly-move", "texts-cut", "few-steps"} <= codes
    move = float(str(evidence(found["002"], "weights-hardly-move")["largest_relative_move"]))
    assert move == pytest.approx(5e-5 * 2 / float(str(evidence(found["002"], "weights-hardly-move")["weights_norm"])))
    assert f"at most {move:.1e} of it" in said(gallery.entry("002"))
    assert "the loss is first multiplied by 65,536" in said(gallery.entry("002"))


def test_a_loss_near_that_of_guessing_is_said_to_be_so() -> None:
    assert "ln 16 = 2.7726" in said(gallery.entry("003")) and "is 98.6% of it" in said(gallery.entry("003"))


@pytest.mark.real
def test_mended_sentences_have_none_of_what_is_found_in_the_broken_ones(found: dict[str, Findings]) -> None:
    mended = check(gallery.entry("003").mended)
    flaws = {"wrong-encoding", "texts-without-content", "much-padding", "equal-texts-in-batch"}
    assert {*flaws, "texts-cut"} <= {finding.code for finding in found["003"]}
    if not has_gpu():
        assert not flaws & {finding.code for finding in mended}, "on a GPU padding is not split off"


@pytest.mark.real
def test_weights_of_zero_are_an_error_before_the_run_and_none_mended(found: dict[str, Findings]) -> None:
    assert [finding.code for finding in found["004"] if finding.severity == "error"] == ["weights-all-zero"]
    assert check(gallery.entry("004").mended).worst != "error"


def test_zero_vectors_are_the_reason_of_5_2666_and_the_sizes_of_the_batches_come_out() -> None:
    text = said(gallery.entry("004"))
    assert "two short ones of 95 and 9" in text and "which gives 5.266575" in text and "No other two sizes" in text


@pytest.mark.parametrize("name", gallery.names())
def test_an_entry_is_shown_as_text_and_as_escaped_html(name: str) -> None:
    if name in ("001", "002") and hub.on_this_machine(DEFAULT_MODEL, None) is None:
        pytest.skip("the default model is not on this machine")
    entry = gallery.entry(name)
    assert repr(entry).startswith(f"{name} · {entry.title}\nThe card:\n  model: ")
    assert "Mended:" in repr(entry) and entry._repr_html_().count("<h4>") >= 3
    assert "<i>" not in Entry(**{**vars(entry), "title": "<i>"})._repr_html_()
    assert Recipe(**entry.to_json()["mended"]) == entry.mended


def test_the_gallery_loads_nothing_heavy() -> None:
    code = "import sys, workbench.gallery.running; print([m for m in ('torch', 'transformers', 'umap') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
