"""Runs that are not well, and that watching changes nothing of a run that is: real worker processes on tiny models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import NOUNS, VERBS, weights
from workbench.data.load import load
from workbench.recipe import Recipe
from workbench.training.health import PROBED, Health, Unhealthy, probe_texts
from workbench.training.launch import train
from workbench.training.records import EventWriter, read_events
from workbench.training.run import Run

Make = Callable[..., Recipe]
WAIT_S = 240


@pytest.fixture(scope="module")
def zeros(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with all weights zero."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "zeros"
    shutil.copytree(tiny_bert, folder)
    path = folder / "model.safetensors"
    save_file({name: np.zeros_like(value) for name, value in load_file(path).items()}, path, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def watched(recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that is well."""
    return train(recipe(), folder=tmp_path_factory.mktemp("runs") / "watched").wait(WAIT_S)


def probes(run: Run) -> list[dict[str, Any]]:
    return run.events("probe")


def test_a_run_that_is_well_is_looked_at_from_start_to_end_and_says_what_that_took(watched: Run) -> None:
    assert watched.state == "finished"
    assert [finding.code for finding in watched.findings if finding.severity != "note"] == []
    assert (probes(watched)[0]["step"], probes(watched)[-1]["step"]) == (0, 20)
    assert all(event["texts"] == 64 and event["zero"] == 0 for event in probes(watched))
    assert watched.status.health_s == pytest.approx(sum(event["seconds"] for event in probes(watched)), abs=0.01)
    assert f"with {len(probes(watched))} looks at up to 64 probe texts" in watched.card
    assert "- **Health:** " in watched.card


def test_the_steps_of_a_run_are_those_of_the_rows_that_grouping_leaves(tmp_path: Path) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("text,label\n" + "".join(f"text {n},{'many' if n < 36 else 'few'}\n" for n in range(48)))
    grouped = Recipe(loss="BatchAllTripletLoss", data=str(table), batch_size=4, batch_sampler="group_by_label")
    assert Health(grouped, load(table), EventWriter(tmp_path / "events.jsonl")).steps == 6


def test_watching_changes_no_bit_of_the_weights(watched: Run, recipe: Make, tmp_path: Path) -> None:
    alone = train(recipe(watch_off=sorted(PROBED)), folder=tmp_path / "alone").wait(WAIT_S)
    assert probes(alone) == [] and alone.status.health_s == 0
    assert weights(alone) == weights(watched)
    assert "turned off: collapse, zero-vectors" in alone.card


def test_a_model_of_zeros_is_stopped_before_its_first_step(zeros: Path, recipe: Make, tmp_path: Path) -> None:
    run = train(recipe(model=str(zeros)), folder=tmp_path / "zeros").wait(WAIT_S)
    assert (run.state, run.status.step) == ("stopped", 0)
    assert run.status.reason == (
        "All 64 probe texts have the vector 0 before the first step, so no gradient flows and every cosine is undefined; "
        "the weights of step 0 are kept, and watch_off: [zero-vectors] would let it go on"
    )
    assert run.events("step") == []
    assert "stopped early at step 0 of 20: All 64 probe texts" in run.card
    assert {finding.code for finding in run.findings} == {"zero-vectors", "score-undefined"}
    assert "error" in repr(run) and "All 64 probe texts" in run._repr_html_()


def test_what_stops_a_run_can_be_turned_off_by_name(zeros: Path, recipe: Make, tmp_path: Path) -> None:
    off = ["zero-vectors"]
    run = train(recipe(model=str(zeros), watch_off=off), folder=tmp_path / "one").wait(WAIT_S)
    assert (run.state, run.status.step) == ("stopped", 10)
    assert "The gradient was exactly 0 in 10 steps up to step 10 while the loss is 1.386" in run.status.reason
    run.resume().wait(WAIT_S)
    assert (run.state, run.status.step) == ("finished", 20), "a resume goes on in spite of what was told"
    assert [event["code"] for event in run.events("finding")].count("zero-gradient") == 1
    whole = train(recipe(model=str(zeros), watch_off=[*off, "zero-gradient"]), folder=tmp_path / "two").wait(WAIT_S)
    assert (whole.state, whole.status.step) == ("finished", 20)
    assert "loss-at-chance" in {finding.code for finding in whole.findings}


def test_a_collapse_stops_the_run_with_the_weights_as_they_are_then(recipe: Make, tmp_path: Path) -> None:
    run = train(recipe(learning_rate=0.5, max_steps=200, logging_steps=1), folder=tmp_path / "fast").wait(WAIT_S)
    assert run.state == "stopped" and run.status.step < 200
    assert "All texts have fallen into nearly one vector at step" in run.status.reason
    assert f"the weights of step {run.status.step} are kept" in run.status.reason
    (found,) = [finding for finding in run.findings if finding.code == "collapse"]
    assert found.evidence["mean_cosine"] > 0.95
    mended = found.fix()
    assert mended is not None and mended.learning_rate == 0.05
    assert [event["stops"] for event in run.events("finding") if event["code"] == "collapse"] == [True]
    assert "collapse" in run.card
    from workbench.spaces.encode import embed

    vectors = embed([f"the {noun} sings" for noun in NOUNS], run).unit
    assert (vectors @ vectors.T).mean() > 0.9, "the model that is kept is the one that fell"


# without a worker


@pytest.fixture
def writer(tmp_path: Path) -> EventWriter:
    return EventWriter(tmp_path / "events.jsonl")


def test_an_error_at_the_last_step_stops_nothing(
    recipe: Make, pairs: Path, writer: EventWriter, tmp_path: Path
) -> None:
    health = Health(recipe(), load(pairs), writer)
    health.tell(health.watch.still(20, 10, 2.0), 20)
    assert health.reason == ""
    (event,) = read_events(tmp_path / "events.jsonl")[0]
    assert (event["code"], event["severity"], event["stops"]) == ("zero-gradient", "error", False)


def test_a_value_that_is_no_number_stops_before_the_step_is_made(
    recipe: Make, pairs: Path, writer: EventWriter, tmp_path: Path
) -> None:
    health = Health(recipe(), load(pairs), writer)
    with pytest.raises(Unhealthy, match=r"The loss is nan at step 20; lower .*the weights of step 19 are kept"):
        health.not_finite(20, "loss", float("nan"))
    assert "NaN" not in (tmp_path / "events.jsonl").read_text()
    off = Health(recipe(watch_off=["not-finite"]), load(pairs), writer)
    off.not_finite(20, "loss", float("nan"))
    assert off.reason == ""


def test_what_was_recorded_before_a_resume_is_known_and_not_told_again(
    recipe: Make, pairs: Path, writer: EventWriter, tmp_path: Path
) -> None:
    first = Health(recipe(), load(pairs), writer)
    first.write("probe", step=0, texts=64, cosine=0.3, rank=20.0, zero=0, seconds=0.25)
    first.write("probe", step=4, texts=64, cosine=0.99, rank=1.1, zero=0, seconds=0.5)
    assert "effective rank 1.1" in first.reason
    events, place = read_events(tmp_path / "events.jsonl")
    again = Health(recipe(), load(pairs), writer, events)
    assert (again.reason, again.seconds, again.cost) == ("", 0.75, 0.5)
    again.write("probe", step=8, texts=64, cosine=0.99, rank=1.1, zero=0, seconds=0.5)
    assert [event["kind"] for event in read_events(tmp_path / "events.jsonl", place)[0]] == ["probe"]


def test_what_follows_from_the_final_scores_is_forgotten_with_them(
    recipe: Make, pairs: Path, writer: EventWriter, tmp_path: Path
) -> None:
    health = Health(recipe(), load(pairs), writer)
    health.write("scores", step=8, scores={"ndcg": None}, final=True)
    scores, finding = read_events(tmp_path / "events.jsonl")[0]
    assert scores["final"] is finding["final"] is True


# the probe texts


def test_probe_texts_are_different_the_same_for_a_seed_and_short(tmp_path: Path) -> None:
    rows = [{"anchor": f"text {place % 200} " + "long " * 50, "positive": "the same"} for place in range(400)]
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load(table)
    texts = probe_texts(data, 1)
    assert len(texts) == len(set(texts)) == 64
    assert texts == probe_texts(data, 1) != probe_texts(data, 2)
    assert {len(text) for text in texts} == {64, len("the same")}


def test_texts_that_begin_alike_are_cut_later(tmp_path: Path) -> None:
    rows = [{"anchor": "x" * 100 + f" {place}", "positive": f"y {place}"} for place in range(3)]
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(probe_texts(load(table), 1)) == 6


def test_a_rare_class_is_among_the_probe_texts(tmp_path: Path) -> None:
    rows = [{"text": f"the {noun} {verb} {place}", "label": "rare" if place < 3 else "usual"} for place in range(100)
            for noun in NOUNS[:1] for verb in VERBS[:1]]  # fmt: skip
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = probe_texts(load(table), 5)
    assert {"the cat runs 0", "the cat runs 1", "the cat runs 2"} <= set(texts[:6])
