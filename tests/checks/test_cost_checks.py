"""What a run costs: padding, memory, scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from transformers import AutoTokenizer

from tests.checks.tables import codes, fires, labelled, pairs, recipe, text, triplets
from workbench.catalog import memory, models
from workbench.checks import cost
from workbench.checks.case import Case
from workbench.data.load import load
from workbench.data.tokens import token_stats
from workbench.recipe import Loss


def uneven(rows: int = 960, every: int = 120) -> pandas.DataFrame:
    """Pairs of short texts with a long one now and then."""
    return pairs(rows, positive=[text(n, 40 if n % every == 0 else 4) for n in range(rows)])


def test_padding_is_counted_batch_by_batch() -> None:
    tokens = np.array([[2, 3], [4, 3], [2, 9]])
    alone = cost.padding(tokens, 1, 0, merged=False)
    assert alone.waste == 0 and alone.widest == (4, 9)
    together = cost.padding(tokens, 3, 0, merged=False)
    assert (together.tokens, together.padded) == (23, 3 * (4 + 9))


def test_columns_after_the_first_are_padded_to_one_width() -> None:
    tokens = np.array([[9, 2, 6], [9, 2, 6]])
    merged = cost.padding(tokens, 2, 0, merged=True)
    assert merged.padded == 2 * (9 + 6 + 6) and merged.apart == 2 * (9 + 2 + 6) and merged.widest == (9, 6, 6)


def test_much_padding_is_split_on_a_cpu_and_the_limit_lowered_on_a_gpu(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "has_gpu", lambda: False)
    whole = recipe(tiny_bert, uneven(), batch_size=64, eval_share=0, split_by_length=False)
    finding = fires(whole, "much-padding")
    assert finding.severity == "note" and finding.to_json()["fix"] == {"split_by_length": True}
    assert "seed 42" in finding.evidence["measured_on"]
    assert "much-padding" not in codes(whole.changed(split_by_length=True))
    monkeypatch.setattr(cost, "has_gpu", lambda: True)
    assert fires(whole, "much-padding").fixed == "set max_seq_length to 8, which cuts at most 1% of the texts"
    often = recipe(tiny_bert, uneven(every=5), batch_size=64, eval_share=0)
    assert fires(often, "much-padding").fix() is None
    assert "much-padding" not in codes(recipe(tiny_bert, pairs(), batch_size=64))
    monkeypatch.setattr(cost, "find_spec", lambda name: object() if name == "flash_attn" else None)
    assert "much-padding" not in codes(often), "its batches are packed"
    assert "much-padding" in codes(often.changed(precision="fp32"))


def test_negatives_of_another_width_are_named(tiny_bert: Path) -> None:
    table = triplets().assign(negative=[text(n, 30) for n in range(240)])
    finding = fires(recipe(tiny_bert, table, split_by_length=False), "columns-of-unequal-width")
    # 8, 8 and 32 tokens a row: 8 + 32 + 32 instead of 8 + 8 + 32
    assert finding.evidence["more_computed"] == pytest.approx(72 / 48 - 1)
    assert "columns-of-unequal-width" not in codes(recipe(tiny_bert, triplets()))
    assert "columns-of-unequal-width" not in codes(recipe(tiny_bert, table, "CachedMultipleNegativesRankingLoss"))


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without a GPU where 740 MB are free."""
    monkeypatch.setattr(cost, "free_memory", lambda: 740_000_000)
    monkeypatch.setattr(cost, "has_gpu", lambda: False)


@pytest.mark.usefixtures("small_machine")
def test_a_batch_that_does_not_fit_is_cached_or_made_smaller(tiny_bert: Path) -> None:
    long = pairs(1200, positive=[text(n + 10_000, 60) for n in range(1200)])
    finding = fires(recipe(tiny_bert, long, batch_size=256), "not-enough-memory")
    assert "0.74 GB are free" in finding.message and finding.fixed == "take CachedMultipleNegativesRankingLoss with mini_batch_size 32"  # fmt: skip
    loss = Loss("CosineSimilarityLoss")
    scored = recipe(tiny_bert, long.assign(score=[n / 1200 for n in range(1200)]), loss, batch_size=256)
    assert fires(scored, "not-enough-memory").to_json()["fix"] == {"batch_size": 32, "gradient_accumulation_steps": 8}
    assert "not-enough-memory" not in codes(recipe(tiny_bert, pairs()))


def test_a_gpu_is_asked_what_is_free_and_a_batch_that_does_not_fit_is_no_error_there(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = pairs(1200, positive=[text(n + 10_000, 60) for n in range(1200)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not-enough-memory" not in codes(recipe(tiny_bert, long, batch_size=256, device="cuda")), "nothing is known"
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 300\necho 80000\n")
    tool.chmod(0o755)
    assert cost.free_gpu_memory() == 300 * 2**20
    finding = fires(recipe(tiny_bert, long, batch_size=256, device="cuda"), "not-enough-memory")
    assert finding.severity == "warning" and "0.31 GB are free on the GPU" in finding.message
    tool.write_text("#!/bin/sh\necho '[N/A]'\n")
    assert cost.free_gpu_memory() is None


def test_groups_of_like_length_need_less_memory_than_padded_batches(tiny_bert: Path) -> None:
    grouped, whole = (
        cost.memory_of(case, case.recipe)
        for case in (
            Case.of(recipe(tiny_bert, uneven(), batch_size=64, device="cpu", split_by_length=split), lambda *_: None)
            for split in (True, False)
        )
    )
    assert grouped < whole


def need(**settings: Any) -> int:
    """Bytes that a recipe on texts of mixed length is expected to need."""
    model = settings.pop("model")
    case = Case.of(recipe(model, uneven(), batch_size=64, device="cpu", **settings), lambda *_: None)
    return cost.memory_of(case, case.recipe)


def test_an_adapter_needs_the_model_and_its_table_whatever_the_batch(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sum(path.stat().st_size for path in tiny_bert.rglob("*.safetensors"))
    small, large = (need(model=tiny_bert, method="adapter", max_seq_length=size) for size in (4, 64))
    assert small == large < need(model=tiny_bert)
    assert small == pytest.approx(memory.LIBRARY_BYTES + weights + 4 * uneven().size * 32, rel=1e-3)
    monkeypatch.setattr(cost, "free_memory", lambda: 600_000_000)
    finding = fires(recipe(tiny_bert, pairs(), method="adapter", device="cpu"), "not-enough-memory")
    assert finding.message.startswith("Training on kept vectors of all texts needs about 0.65 GB of memory")


def test_a_guide_brings_its_weights(tiny_bert: Path) -> None:
    weights = models.describe(tiny_bert).parameters or 0
    guided = need(model=tiny_bert, loss=Loss("GISTEmbedLoss", guide=str(tiny_bert)))
    assert guided - need(model=tiny_bert) == 4 * weights
    missing = need(model=tiny_bert, loss=Loss("GISTEmbedLoss", guide=str(tiny_bert / "nothing")))
    assert missing == need(model=tiny_bert)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_copy_that_is_trained_too_brings_all_of_a_model_and_its_whole_batches(
    optimizer: str, tiny_bert: Path
) -> None:
    table = pandas.DataFrame({"text": [text(n, 40 if n % 120 == 0 else 4) for n in range(960)]})
    one, two = (
        cost.memory_of(case, case.recipe)
        for name in ("MultipleNegativesRankingLoss", "ContrastiveTensionLossInBatchNegatives")
        for case in [Case.of(recipe(tiny_bert, table, name, batch_size=64, device="cpu", optimizer=optimizer), lambda *_: None)]
    )  # fmt: skip
    model = models.describe(tiny_bert)
    assert model.architecture is not None
    kept = memory.activations(model.architecture, batch_size=64, texts=1, tokens=42, dropout=False)
    assert two - one == {"adamw": 16, "sgd": 8}[optimizer] * (model.parameters or 0) + kept


def test_a_decoder_brings_its_batches_and_scores_of_all_words(tiny_bert: Path) -> None:
    given: dict[str, Any] = {"model": tiny_bert, "max_seq_length": 16}
    one, two, untied = (
        need(loss=loss, **given)
        for loss in (
            Loss("ContrastiveTensionLossInBatchNegatives"),
            Loss("DenoisingAutoEncoderLoss"),
            Loss("DenoisingAutoEncoderLoss", decoder_name_or_path=str(tiny_bert), tie_encoder_decoder=False),
        )
    )
    model, words = models.describe(tiny_bert), len(AutoTokenizer.from_pretrained(tiny_bert))
    assert model.architecture is not None
    kept = {width: memory.activations(model.architecture, batch_size=64, texts=1, tokens=width, dropout=False) for width in (8, 16)}  # fmt: skip
    copy = 16 * (model.parameters or 0)
    assert two - one == kept[16] - kept[8] + 3 * 4 * 64 * 16 * words - copy and untied - two == copy


def test_tokens_are_remembered_unless_they_lie_on_disk(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pairs(400)
    monkeypatch.setattr(cost, "LEAST_ROWS", 100)
    whole = recipe(tiny_bert, table, max_steps=1000)
    case = Case.of(whole, lambda *_: None)
    before = cost.memory_of(case, whole)
    short = Case.of(whole.changed(max_steps=1), lambda *_: None)
    assert before > cost.memory_of(short, short.recipe), "an epoch of one batch meets few texts"
    token_stats(load(table), tiny_bert)
    assert before - cost.memory_of(case, whole) == 800 * (4 * 8 + 200), "six words and two special tokens each"


def test_a_loss_that_reads_tokens_cannot_be_taken_in_parts(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "class Own:\n    def forward(self, parts, labels):\n        return parts[0]['token_embeddings'].sum()"
    monkeypatch.setattr(cost, "free_gpu_memory", lambda: 1_000_000)
    for loss, severity in ((Loss("MultipleNegativesRankingLoss"), "warning"), (Loss("Own", source=source), "error")):
        case = Case.of(recipe(tiny_bert, pairs(), loss, device="cuda"), lambda *_: None)
        (finding,) = cost.memory_is_enough(case)
        assert finding.severity == severity
        told = "a batch cannot be taken in parts, since the loss reads tokens" in finding.message
        assert told == (severity == "error")


def test_plain_descent_keeps_no_moments(tiny_bert: Path) -> None:
    weights = models.describe(tiny_bert).parameters or 0
    assert need(model=tiny_bert) - need(model=tiny_bert, optimizer="sgd") == pytest.approx(8 * weights, abs=2)


def test_a_model_that_pads_on_the_left_needs_what_whole_batches_need(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "left")
    place = tmp_path / "left" / "tokenizer_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "padding_side": "left"}))
    whole = need(model=tiny_bert, split_by_length=False)
    assert need(model=tmp_path / "left") == whole > need(model=tiny_bert)


def test_the_fullest_batch_is_that_which_keeps_most() -> None:
    tokens = np.array([[2, 3], [4, 3], [2, 9], [2, 2]])
    given = {"seed": 0, "merged": False, "even": 0.0}
    assert cost.fullest_batch(tokens, 1, groups=4, **given) == [(1, 2), (1, 9)]
    assert cost.fullest_batch(tokens, 4, groups=1, **given) == [(4, 4), (4, 9)]
    assert cost.fullest_batch(tokens, 4, groups=2, **given) == [(2, 4), (2, 9), (2, 2), (2, 3)]
    three = np.array([[9, 2, 6], [9, 2, 6]])
    assert cost.fullest_batch(three, 9, seed=0, merged=True, groups=1, even=0.0) == [(2, 9), (2, 6), (2, 6)]
    assert cost.fullest_batch(three[:, :1], 9, seed=0, merged=True, groups=1, even=0.0) == [(2, 9)]


def test_a_machine_without_room_for_the_model_is_an_error(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "free_memory", lambda: 100_000_000)
    finding = fires(recipe(tiny_bert, pairs(), device="cpu"), "not-enough-memory")
    assert finding.severity == "error" and finding.fix() is None


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("", {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 5\ninactive_file 200\n"}),
        ("memory", {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "700", "memory.stat": "total_inactive_file 200"}),
    ],
)  # fmt: skip
def test_the_limit_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, files: dict[str, str]
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, content in files.items():
        (tmp_path / folder / name).write_text(content)
    monkeypatch.setattr(cost, "CGROUP", tmp_path)
    assert cost.free_memory() == 500


def test_a_container_without_a_limit_has_what_the_system_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(cost, "CGROUP", tmp_path)
    assert cost.free_memory() > 1_000_000


def test_scores_that_compute_more_than_training_are_named(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "WORTH_SAYING", 1000)
    costly = recipe(tiny_bert, pairs(), eval_share=0.5, eval_steps=1)
    finding = fires(costly, "scores-cost-more")
    # 15 steps: before, after, and after each but the last
    assert "Scores are taken 16 times on 120 rows" in finding.message and finding.fixed == "set eval_steps to 0.5 of all steps"  # fmt: skip
    assert fires(recipe(tiny_bert, pairs(), eval_share=0.5, max_steps=2), "scores-cost-more").fix() is None
    assert "scores-cost-more" not in codes(recipe(tiny_bert, pairs()))


def test_scores_of_a_small_table_are_not_worth_a_word(tiny_bert: Path) -> None:
    assert "scores-cost-more" not in codes(recipe(tiny_bert, pairs(), eval_share=0.5, eval_steps=1))


def test_one_column_has_nothing_to_be_padded_with(tiny_bert: Path) -> None:
    loss = Loss("BatchHardSoftMarginTripletLoss", distance_metric="cosine_distance")
    assert codes(recipe(tiny_bert, labelled(["x", "y"] * 120), loss)) == []
