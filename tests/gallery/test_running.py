"""Both ways of an entry as real runs: the one whose vectors are zero, mended with a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from workbench import gallery
from workbench.errors import RecipeError
from workbench.gallery.results import AT_ONCE, Result
from workbench.gallery.running import run_entry, short
from workbench.spaces.engine import engine


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int | None]]:
    """What was told while the entry ran."""
    return []


@pytest.fixture(scope="module")
def result(
    told: list[tuple[str, int, int | None]], tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Result]:
    """The entry with zero weights, one seed, a few steps, tiny weights in the place of those that mend it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        engine().close()  # one that runs already has another home
        entry = gallery.entry("004")
        mended = entry.mended.changed(model=str(tiny_bert), learning_rate=1e-3)
        entry = replace(entry, mended=mended, steps=4, tokens=32)
        yield run_entry(
            entry, seeds=(3,), folder=tmp_path_factory.mktemp("runs"), progress=lambda *said: told.append(said)
        )
        engine().close()


def test_a_model_of_zeros_is_stopped_before_the_first_step_and_says_why(result: Result) -> None:
    (run,) = result.card
    assert run.state == AT_ONCE and run.steps == 0 and run.losses is None and run.moved is None
    assert "zero" in run.reason and "/" not in run.reason.replace("and/or", "")
    assert run.after.value is None and "zero" in run.after.why


def test_a_model_with_weights_learns_and_is_scored(result: Result) -> None:
    (run,) = result.mended
    assert run.state == "finished" and run.steps == 4 and run.seed == 3
    assert run.lowest is not None and run.highest is not None and run.losses is not None
    assert run.lowest <= min(run.losses) <= max(run.losses) <= run.highest
    assert run.moved is not None and 0 < run.moved < 1
    assert run.before.value is not None and run.after.value is not None
    assert result.gain.mid is None and "zero" in result.gain.why


def test_a_result_says_what_it_was_measured_on_and_how_it_is_shortened(result: Result) -> None:
    assert result.measured_on.startswith("432 rows of glossary/graded") and result.measured_on.endswith("seeds 3")
    assert "mended 4 of 38 steps of the recipe; texts cut at 32 tokens" in result.shortened
    assert result.model == "bert-50-zero" and result.made["processors"] >= 1
    assert Result.from_json(result.to_json()) == result


def test_progress_counts_runs(result: Result, told: list[tuple[str, int, int | None]]) -> None:
    assert [said[1:] for said in told] == [(0, 2), (1, 2), (2, 2)]


def test_a_run_takes_no_more_steps_than_its_recipe() -> None:
    entry = gallery.entry("004")
    assert short(entry, entry.recipe).max_steps == 5, "594 rows in batches of 128, one epoch"
    assert short(replace(entry, steps=2), entry.recipe, 7).max_steps == 2
    assert short(entry, entry.mended, 7).seed == 7


def test_no_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="seeds: expected at least one, got none"):
        gallery.run("004", seeds=(), folder=tmp_path)
