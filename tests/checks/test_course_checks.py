"""Steps, warm-up, learning rate, and how often something is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.tables import codes, fires, pairs, recipe
from workbench.checks.before import check


def test_a_warmup_longer_than_the_run_tells_the_rate_that_is_reached(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), warmup=10_000), "warmup-too-long")
    assert "takes 10,000 steps but the run has 21" in finding.message and "at most 4e-08" in finding.message
    assert fires(recipe(tiny_bert, pairs(), warmup=1, max_steps=1), "warmup-too-long").severity == "error"
    assert "warmup-too-long" not in codes(recipe(tiny_bert, pairs(), warmup=10_000, scheduler="constant"))


def test_each_kind_of_model_wants_a_rate_of_its_size(tiny_bert: Path, tiny_static: Path) -> None:
    low = fires(recipe(tiny_static, pairs()), "learning-rate-unusual")
    assert low.to_json()["fix"] == {"learning_rate": 0.2} and "10,000 times below" in low.message
    assert codes(recipe(tiny_static, pairs(), learning_rate=0.2)) == []
    high = fires(recipe(tiny_bert, pairs(), learning_rate=0.05), "learning-rate-unusual")
    assert high.to_json()["fix"] == {"learning_rate": 2e-5} and "2,500 times above" in high.message
    assert (
        fires(recipe(tiny_bert, pairs(), learning_rate=1e-8), "learning-rate-unusual").fixed
        == "set learning_rate to 2e-05"
    )
    assert codes(recipe(tiny_bert, pairs(), learning_rate=2e-3, lora={"r": 4})) == []


def test_plain_descent_at_a_small_rate_does_not_move_the_weights(tiny_bert: Path) -> None:
    import torch
    from safetensors.torch import load_file

    finding = fires(recipe(tiny_bert, pairs(), optimizer="sgd"), "weights-hardly-move")
    weights = load_file(tiny_bert / "model.safetensors").values()
    norm = float(torch.stack([weight.double().norm() for weight in weights if weight.is_floating_point()]).norm())
    assert finding.evidence["weights_norm"] == pytest.approx(norm)
    assert finding.evidence["largest_relative_move"] == pytest.approx(2e-5 * 21 / norm)
    assert codes(recipe(tiny_bert, pairs(), optimizer="sgd", learning_rate=0.5)) == []


def test_what_is_recorded_too_rarely_is_named(tiny_bert: Path) -> None:
    rare = recipe(tiny_bert, pairs(), logging_steps=500, eval_steps=500, save_steps=500)
    assert fires(rare, "logging-too-rare").severity == "warning"
    assert "only before and after the run" in fires(rare, "eval-too-rare").message
    assert fires(rare, "save-too-rare").severity == "note"
    assert codes(recipe(tiny_bert, pairs(), logging_steps=5, eval_steps=10, save_steps=20)) == []


def test_half_precision_on_a_cpu_is_named(tiny_bert: Path) -> None:
    assert (
        "silently ignored"
        in fires(recipe(tiny_bert, pairs(), device="cpu", precision="fp16"), "precision-on-cpu").message
    )
    assert fires(recipe(tiny_bert, pairs(), device="cpu", precision="bf16"), "precision-on-cpu").severity == "warning"
    assert codes(recipe(tiny_bert, pairs(), precision="bf16")) == []


def test_a_handful_of_small_steps_of_adamw_does_not_move_the_weights(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), learning_rate=1e-6, max_steps=2), "weights-hardly-move")
    assert "With AdamW at 1e-06 and 2 steps" in finding.message and finding.to_json()["fix"]["learning_rate"] == 2e-5
    assert "weights-hardly-move" not in codes(recipe(tiny_bert, pairs(), learning_rate=1e-5))


def test_a_short_run_in_fp16_loses_its_first_steps(tiny_bert: Path) -> None:
    short = recipe(tiny_bert, pairs(), precision="fp16", device="cuda", max_steps=10)
    assert fires(short, "fp16-in-few-steps").fixed == "set precision to auto"
    assert "fp16-in-few-steps" not in codes(short.changed(max_steps=20))


def test_a_linear_adapter_wants_a_rate_of_its_own_and_nothing_is_said_of_memory_or_one_batch(tiny_bert: Path) -> None:
    made = recipe(tiny_bert, pairs(), method="adapter", learning_rate=2e-5)
    finding = fires(made, "learning-rate-unusual")
    assert "50 times below what is known to work for a linear adapter (about 0.001)" in finding.message
    found = check(made.changed(learning_rate=1e-3), batch=True)
    assert "no batch was tried, since only a linear adapter on vectors of the frozen model is trained" in found.about
    assert not {finding.code for finding in found} & {"not-enough-memory", "much-padding", "weights-hardly-move"}
