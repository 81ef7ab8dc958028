"""How a run differs on a GPU, as far as a CPU can show: batches without padding, and batches made ahead."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.kernel import install
from tests.training.conftest import NOUNS, VERBS, weights
from tests.training.test_split import trained
from workbench.recipe import Loss, Recipe
from workbench.training import loop, worker
from workbench.training.launch import train
from workbench.training.run import Run

Make = Callable[..., Recipe]
ROOMY = 10**9


def here(given: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in this process, with dropout."""
    monkeypatch.setattr("workbench.training.launch.start_worker", lambda place: None)
    run = train(given, folder=folder)
    worker.main([str(run.folder)])
    return run


def stopped(given: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in this process that was asked to stop at its first checkpoint."""
    save = loop.Recorder.on_save

    def stopping(self: Any, *given: Any, **others: Any) -> None:
        save(self, *given, **others)
        self.folder.stop.touch()

    with monkeypatch.context() as patch:
        patch.setattr(loop.Recorder, "on_save", stopping)
        return here(given, folder, monkeypatch)


def close(run: Run, wanted: Run) -> None:
    """The same course, as far as rounding allows."""
    steps, expected = run.events("step"), wanted.events("step")
    for name in ("loss", "grad_norm"):
        assert [event[name] for event in steps] == pytest.approx([event[name] for event in expected], rel=1e-4), name
    assert [event["tokens"] for event in steps] == [event["tokens"] for event in expected]


def mixed() -> str:
    """48 pairs of 1 to 12 words, as JSON lines."""
    words = "the cat dog bird fish tree river stone house red green blue".split()
    rows = [
        (" ".join(words[row % 11 :][: 1 + row * row % 12]), words[row % 12] + " runs" * (row // 12))
        for row in range(48)
    ]
    return "".join(json.dumps({"anchor": one, "positive": other}) + "\n" for one, other in rows)


ADAPTED = {"lora": {"r": 4, "dropout": 0.0}, "prompts": {"anchor": "the "}}


@pytest.mark.parametrize(
    ("fits", "others"),
    [(ROOMY, {}), (30, {}), (ROOMY, ADAPTED), (ROOMY, {"gradient_checkpointing": True})],
    ids=["whole", "in parts", "adapted", "computed twice"],
)
def test_a_run_without_padding_has_the_losses_and_gradients_of_one_with_it(
    fits: int, others: dict[str, Any], recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mixed.jsonl"
    table.write_text(mixed())
    given = recipe(
        data=str(table), max_steps=6, batch_size=8, logging_steps=1, eval_steps=3, eval_share=0.25, optimizer="sgd",
        **others,
    )  # fmt: skip
    padded = trained(given.changed(split_by_length=False), tmp_path / "padded", monkeypatch, fits=ROOMY)
    install(monkeypatch, torch.float32)
    monkeypatch.setattr(loop, "JOIN_ON", {"cpu"})
    run = trained(given, tmp_path / "packed", monkeypatch, fits=fits)
    assert (padded.state, run.state) == ("finished", "finished"), run.status.reason
    close(run, padded)
    assert bool(run.events("split")) is (fits < ROOMY)
    assert all(event["tokens"] == event["padded_tokens"] for event in run.events("step"))
    assert any(event["tokens"] < event["padded_tokens"] for event in padded.events("step"))
    for mine, its in zip(run.events("scores"), padded.events("scores"), strict=True):
        assert mine["scores"] == pytest.approx(its["scores"], abs=1e-4)
    assert {event["step"] for event in run.events("probe")} >= {0, 6}  # others as time allows
    assert "flash" not in "".join(path.read_text() for path in run.model_folder.rglob("*.json"))


@pytest.mark.parametrize("sampler", ["batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label"])
def test_batches_made_ahead_lead_to_the_same_weights_bit_by_bit(
    sampler: str, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(batch_sampler=sampler, max_steps=14, eval_share=0.25, eval_steps=4, gradient_accumulation_steps=2)
    if sampler == "group_by_label":
        table = tmp_path / "labelled.jsonl"
        rows = [{"text": f"the {noun} {verb}", "label": verb} for noun in NOUNS for verb in VERBS]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = given.changed(data=str(table), loss=Loss("BatchAllTripletLoss"))
    plain = here(given, tmp_path / "plain", monkeypatch)
    monkeypatch.setattr(loop, "AHEAD_ON", {"cpu"})
    run = here(given, tmp_path / "ahead", monkeypatch)
    assert (plain.state, run.state) == ("finished", "finished"), run.status.reason
    assert weights(run) == weights(plain)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "AHEAD_ON", {"cpu"})
    given = recipe(max_steps=16)
    whole = here(given, tmp_path / "whole", monkeypatch)
    run = stopped(given, tmp_path / "stopped", monkeypatch)
    assert run.state == "stopped" and 0 < run.status.step < 16
    run.resume()
    worker.main([str(run.folder)])
    assert run.state == "finished" and weights(run) == weights(whole)


def test_of_several_cards_one_is_used_so_that_a_batch_is_what_the_recipe_says(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = loop.SentenceTransformerTrainingArguments.__post_init__

    def two_cards(self: Any) -> None:
        settle(self)
        self._n_gpu = 2

    monkeypatch.setattr(loop.SentenceTransformerTrainingArguments, "__post_init__", two_cards)
    given = recipe(max_steps=3, batch_size=4, logging_steps=1, eval_share=0)
    run = here(given, tmp_path / "run", monkeypatch)
    assert run.state == "finished", run.status.reason
    shares = [event["epoch"] * 48 for event in run.events("step")]
    assert shares == pytest.approx([4, 8, 12], abs=0.01)


def test_an_error_on_the_other_thread_ends_the_run_with_its_reason(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "AHEAD_ON", {"cpu"})
    threads = []
    collate = loop.RunTrainer.get_train_dataloader

    def failing(self: Any) -> Any:
        loader, calls = collate(self), []
        whole = loader.base_dataloader.collate_fn

        def wrong(rows: Any) -> Any:
            calls.append(rows)
            threads.append(threading.current_thread())
            if len(calls) == 4:
                raise ValueError("a batch that nobody can make")
            return whole(rows)

        loader.base_dataloader.collate_fn = wrong
        return loader

    monkeypatch.setattr(loop.RunTrainer, "get_train_dataloader", failing)
    run = here(recipe(), tmp_path / "run", monkeypatch)
    assert run.state == "failed" and "a batch that nobody can make" in run.status.reason
    assert threads[3] is not threading.current_thread()
