"""Memory that is used up at any moment of a run: it goes on, or ends with its last checkpoint and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.catalog import models
from workbench.recipe import Recipe
from workbench.training import worker
from workbench.training.folder import RunFolder
from workbench.training.launch import train
from workbench.training.run import Run

Make = Callable[..., Recipe]
Fails = Callable[[str, int, int], bool]
ON_A_CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Makes a run in this process, of whose passes some do not fit.

    What `fails` is told: the kind of a pass (training, looking, encoding), how many of that kind there were, its rows.
    """
    numbers = iter(range(9))

    def make(given: Recipe, fails: Fails = lambda *_: False, error: Exception | None = None) -> Run:
        seen = dict.fromkeys(("training", "looking", "encoding"), 0)

        def watch(_: Any, features: tuple[dict[str, Any]]) -> None:
            unlike = "encoding" if torch.is_inference_mode_enabled() else "looking"
            kind = "training" if torch.is_grad_enabled() else unlike
            seen[kind] += 1
            if fails(kind, seen[kind], len(features[0]["input_ids"])):
                raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        def base_model(recipe: Recipe, device: str) -> Any:
            model = models.load(recipe.model, device=device)
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            model[0].register_forward_pre_hook(watch)
            return model

        monkeypatch.setattr(worker, "base_model", base_model)
        monkeypatch.setattr("workbench.training.launch.start_worker", lambda place: None)
        run = train(given, folder=tmp_path / f"run-{next(numbers)}")
        worker.main([str(run.folder)])
        return run

    return make


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in run.events("step")]


def checkpoints(run: Run) -> list[str]:
    return [path.name for path in RunFolder(run.folder).complete_checkpoints()]


@pytest.mark.parametrize("error", [None, RuntimeError(ON_A_CPU), MemoryError()], ids=["cuda", "cpu", "python"])
def test_a_pass_in_the_midst_of_training_that_does_not_fit_changes_no_loss(
    error: Exception | None, recipe: Make, trained: Callable[..., Run]
) -> None:
    given = recipe(max_steps=6, logging_steps=1, batch_size=8, split_by_length=False)
    whole = trained(given)
    run = trained(given, lambda kind, number, rows: kind == "training" and number == 7, error)
    assert run.state == "finished", run.status.reason
    assert [event["step"] for event in run.events("split")] == [4]
    assert losses(run) == pytest.approx(losses(whole), abs=1e-5)


def test_a_way_back_that_does_not_fit_changes_no_loss(
    recipe: Make, trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(max_steps=5, logging_steps=1)
    whole, back, calls = trained(given), torch.Tensor.backward, list[int]()

    def backward(self: torch.Tensor, *rest: Any, **options: Any) -> None:
        back(self, *rest, **options)
        calls.append(len(calls))
        if len(calls) == 3:
            raise RuntimeError(ON_A_CPU)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    run = trained(given)
    assert run.state == "finished", run.status.reason
    assert [event["step"] for event in run.events("split")] == [3]
    assert losses(run) == pytest.approx(losses(whole), abs=1e-5)


def test_scores_are_taken_in_smaller_batches_where_they_do_not_fit(recipe: Make, trained: Callable[..., Run]) -> None:
    given = recipe(max_steps=4, eval_steps=2)
    whole = trained(given)
    run = trained(given, lambda kind, _, rows: kind == "encoding" and rows > 2)
    assert run.state == "finished", run.status.reason
    scores, expected = (
        [value for event in made.events("scores") for value in event["scores"].values()] for made in (run, whole)
    )
    assert scores == pytest.approx(expected, abs=1e-4) and len(scores) > 2


def test_scores_that_never_fit_end_the_run_with_what_to_do(recipe: Make, trained: Callable[..., Run]) -> None:
    run = trained(recipe(max_steps=2), lambda kind, *_: kind == "encoding")
    assert run.state == "failed"
    assert run.status.reason == (
        "expected room in memory for scoring the base model, but it is used up; start a new run with a smaller "
        "batch_size or max_seq_length, or with a cached loss"
    )


def test_what_fails_after_a_checkpoint_leaves_it_and_a_resume_goes_on(
    recipe: Make, trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = torch.optim.AdamW.step, list[int]()

    def full(self: Any, *given: Any, **options: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 8:
            raise RuntimeError(ON_A_CPU)
        return step(self, *given, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    run = trained(recipe(max_steps=10, save_steps=5))
    assert run.state == "failed" and "expected room in memory for training" in run.status.reason
    assert checkpoints(run) == ["checkpoint-5"]
    assert worker.main([str(run.folder)]) == 0 and run.state == "finished"


def test_looks_that_do_not_fit_are_left_out(recipe: Make, trained: Callable[..., Run]) -> None:
    run = trained(recipe(max_steps=4), lambda kind, _, rows: kind == "looking" and rows > 1)
    assert run.state == "finished" and not run.events("probe"), run.status.reason


def test_a_film_whose_texts_do_not_fit_ends_and_the_run_goes_on(
    recipe: Make, trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.film_plan.COST", 1e6)  # there is time for a film
    run = trained(recipe(max_steps=4, eval_share=0), lambda kind, *_: kind == "encoding")
    assert run.state == "finished" and not run.events("frame"), run.status.reason
    assert "none: its texts did not fit into memory beside the training" in run.card


def test_an_adapter_encodes_its_texts_in_smaller_batches(recipe: Make, trained: Callable[..., Run]) -> None:
    run = trained(recipe(max_steps=4, method="adapter"), lambda kind, _, rows: kind == "encoding" and rows > 2)
    assert run.state == "finished", run.status.reason
