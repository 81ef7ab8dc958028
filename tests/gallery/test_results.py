"""Results are kept whole, add up, and say what is undefined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workbench import gallery
from workbench.errors import RunError
from workbench.gallery.results import AT_ONCE, Result, Trained, read, write
from workbench.spaces.evaluate import Delta, Score


def trained(seed: int, value: float) -> Trained:
    """A run that ended well."""
    before, after = Score(0.5, 0.4, 0.6, 72, 72), Score(value, value - 0.1, value + 0.1, 72, 72)
    return Trained(seed, "finished", "", 30, (2.5, 0.5), 0.4, 2.6, 0.01, before, after)


def result(**changes: object) -> Result:
    """Two seeds both ways."""
    whole = Result(
        name="000",
        title="A <margin>",
        model="some/model",
        score="cosine_accuracy",
        measured_on="72 rows, seeds 1, 2",
        shortened="30 of 150 steps",
        card=(trained(1, 0.5), trained(2, 0.6)),
        mended=(trained(1, 0.6), trained(2, 0.8)),
        gains=(Delta(0.0, 0.1, 0.2), Delta(0.1, 0.2, 0.3)),
        made={"torch": "2.13.0", "date": "2026-11-21"},
    )
    return replace(whole, **changes)


def test_the_gain_is_the_mean_over_seeds() -> None:
    gain = result().gain
    assert (gain.low, gain.mid, gain.high) == pytest.approx((0.05, 0.15, 0.25))
    assert "Means over seeds: as the card did it 0.5500 [0.4500, 0.6500] (seeds from 0.5000 to 0.6000)" in repr(
        result()
    )
    assert "difference +0.1500 [+0.0500, +0.2500]." in repr(result())


def test_an_undefined_score_says_why_and_is_never_nan() -> None:
    none = Score(None, None, None, 0, 0, "all 10 vectors are zero or not finite")
    stopped = replace(
        trained(1, 0.5), state=AT_ONCE, reason="all vectors are zero", steps=0, losses=None, moved=None, after=none
    )
    said = repr(result(card=(stopped,), mended=(trained(1, 0.6),), gains=(Delta(None, None, None, none.why),)))
    assert "stopped before the first step: all vectors are zero, 0 steps" in said
    assert "difference undefined: all 10 vectors are zero" in said
    assert "nan" not in said.lower()


def test_html_is_escaped() -> None:
    assert "A &lt;margin&gt;" in result()._repr_html_() and "<margin>" not in result()._repr_html_()


def test_what_is_written_is_read_back_and_other_entries_stay(tmp_path: Path) -> None:
    write(result(), tmp_path)
    write(result(name="001"), tmp_path)
    assert read(tmp_path / "results.json") == {"000": result(), "001": result(name="001")}
    assert (tmp_path / "results.txt").read_text().count("both ways") == 2
    assert read(tmp_path / "none.json") == {}


def test_damaged_results_are_one_sentence(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"000": {"name": "000"}}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(RunError, match=r"the file is damaged .*; remove it"):
            read(tmp_path / "results.json")


@pytest.mark.parametrize("name", gallery.names())
def test_every_entry_has_results_that_say_what_they_were_measured_with(name: str) -> None:
    found = gallery.kept(name)
    assert found is not None and found.name == name
    assert {"sentence-transformers", "torch", "device", "processors", "date", "seconds"} <= set(found.made)
    assert len(found.card) == len(found.mended) == len(found.gains) == 3
    assert "/" not in found.measured_on.replace("glossary/", "")
    assert [run.seed for run in found.card] == [run.seed for run in found.mended]
