"""The estimate of memory: its arithmetic, its bounds, and what it says where something is unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.catalog import memory, models, weights
from workbench.catalog.memory import activations, gigabytes, training_memory
from workbench.catalog.models import KNOWN, ModelInfo
from workbench.catalog.weights import Architecture
from workbench.errors import RecipeError

MINILM = KNOWN["sentence-transformers/all-MiniLM-L6-v2"]
STATIC = KNOWN["sentence-transformers/static-retrieval-mrl-en-v1"]


def test_activations_are_those_of_the_published_formula_twice_for_float32() -> None:
    sizes = Architecture(layers=24, hidden_size=1024, heads=16, intermediate_size=4096)
    s, b, h, a = 512, 8, 1024, 16
    assert activations(sizes, batch_size=b, texts=1, tokens=s) == 2 * 24 * s * b * h * (34 + 5 * a * s // h)


def test_a_wider_feed_forward_part_keeps_more() -> None:
    narrow, wide = Architecture(1, 64, 2, 64), Architecture(1, 64, 2, 256)
    given: dict[str, Any] = {"batch_size": 1, "texts": 1, "tokens": 1}
    assert activations(wide, **given) - activations(narrow, **given) == 2 * 4 * (256 - 64)


@pytest.mark.parametrize("setting", ["batch_size", "texts"])
def test_activations_grow_in_step_with_rows_and_texts(setting: str) -> None:
    one, three = (training_memory(MINILM, **{setting: n}).activations_bytes for n in (1, 3))
    assert three == pytest.approx(3 * (one or 0))


def test_activations_grow_faster_than_the_length_of_texts() -> None:
    short, long = (training_memory(MINILM, tokens=n).activations_bytes or 0 for n in (64, 128))
    assert 2 * short < long < 4 * short


def test_weights_gradients_and_moments_take_16_bytes_a_weight_together() -> None:
    estimate = training_memory(MINILM)
    assert (estimate.weights_bytes, estimate.optimizer_bytes) == (4 * 22_713_216, 12 * 22_713_216)


def test_the_total_is_the_sum_of_its_parts() -> None:
    estimate = training_memory(MINILM, batch_size=16, texts=2, tokens=128)
    kept = 2 * 2 * 6 * 128 * 16 * 384 * (34 + 5 * 12 * 128 // 384)
    assert estimate.activations_bytes == round(memory.PEAK_SHARE * kept)
    assert estimate.total_bytes == memory.LIBRARY_BYTES + 16 * 22_713_216 + round(memory.PEAK_SHARE * kept)
    assert not estimate.is_lower_bound


def test_the_sentence_says_total_parts_and_what_is_assumed() -> None:
    assert str(training_memory(MINILM, batch_size=16, texts=2, tokens=128)) == (
        "about 2.5 GB (libraries 0.65 GB, weights 91 MB, gradients and AdamW 0.27 GB, activations 1.5 GB) "
        "for a batch of 16 rows of 2 texts, padded to 128 tokens; float32 on a CPU with AdamW"
    )


def test_the_sentence_names_one_row_and_the_ways_to_save_memory() -> None:
    estimate = training_memory(MINILM, batch_size=1, texts=1, gradient_checkpointing=True, lora_rank=8)
    assert "a batch of 1 row of 1 text, padded" in str(estimate)
    assert str(estimate).endswith("with AdamW, gradient checkpointing, LoRA of rank 8")


def test_gradient_checkpointing_keeps_less_than_half_of_the_activations() -> None:
    full, less = (training_memory(MINILM, gradient_checkpointing=on) for on in (False, True))
    assert 0 < (less.activations_bytes or 0) < (full.activations_bytes or 0) / 2
    assert less.optimizer_bytes == full.optimizer_bytes


def test_lora_needs_gradients_and_moments_of_its_own_weights_only() -> None:
    estimate = training_memory(MINILM, lora_rank=16)
    # peft counts 147,456 trainable weights for rank 16 on all-MiniLM-L6-v2
    assert estimate.optimizer_bytes == 12 * 147_456
    assert estimate.weights_bytes == 4 * 22_713_216


def test_a_static_model_keeps_only_the_vectors_of_the_batch() -> None:
    estimate = training_memory(STATIC, batch_size=16, texts=3, tokens=500)
    assert estimate.activations_bytes == round(memory.PEAK_SHARE * 4 * 3 * 16 * 1024)
    assert estimate == replace(
        training_memory(STATIC, batch_size=16, texts=3, tokens=5, gradient_checkpointing=True),
        assumes=estimate.assumes,
    )


def test_without_the_sizes_of_the_layers_the_total_is_a_lower_bound_and_says_so() -> None:
    estimate = training_memory(ModelInfo("owner/name", parameters=1_000_000))
    assert estimate.activations_bytes is None
    assert estimate.is_lower_bound
    assert estimate.total_bytes == memory.LIBRARY_BYTES + 16_000_000
    assert str(estimate).startswith("at least 0.67 GB (libraries 0.65 GB, weights 4 MB, gradients and AdamW 12 MB) for")
    assert "a lower bound: the sizes of the layers (and so the activations) cannot be known" in str(estimate)
    assert "the weights are not on this machine" in estimate.why


def test_a_name_of_which_nothing_is_known_still_gets_the_libraries() -> None:
    estimate = training_memory(ModelInfo("owner/name"), lora_rank=4)
    assert estimate.total_bytes == memory.LIBRARY_BYTES
    assert (estimate.weights_bytes, estimate.optimizer_bytes, estimate.activations_bytes) == (None, None, None)
    assert "the number of weights and the sizes of the layers" in estimate.why


def test_files_that_say_nothing_are_told_from_files_that_are_not_here(tmp_path: Path) -> None:
    estimate = training_memory(ModelInfo("x", parameters=5, path=tmp_path))
    assert estimate.why.endswith("since its files do not say")


@pytest.mark.parametrize("wrong", [0, -1, 10**6 + 1, 10**400, True, 2.0, "16", None])
def test_a_wrong_number_is_refused_by_name(wrong: object) -> None:
    with pytest.raises(
        RecipeError, match=r"^tokens: expected a whole number from 1 to 1,000,000, got .*choose another"
    ):
        training_memory(MINILM, tokens=wrong)  # type: ignore[arg-type]


def test_all_wrong_numbers_are_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        training_memory(MINILM, batch_size=0, texts=0, tokens=0, lora_rank=0)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "batch_size",
        "texts",
        "tokens",
        "lora_rank",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 MB"), (230_000, "0.23 MB"), (91_000_000, "91 MB"), (650_000_000, "0.65 GB"), (2_750_000_000, "2.8 GB")],
)
def test_sizes_are_given_in_the_unit_that_suits_them(size: int, text: str) -> None:
    assert gigabytes(size) == text


# where the sizes come from


def test_the_sizes_of_a_bert_are_read_from_its_settings(tiny_bert: Path) -> None:
    info = models.describe(tiny_bert)
    assert info.architecture == Architecture(layers=2, hidden_size=32, heads=2, intermediate_size=64)
    assert not training_memory(info).is_lower_bound


def test_attention_that_scores_distances_too_keeps_more(tmp_path: Path) -> None:
    config = '{"num_hidden_layers": 2, "hidden_size": 384, "num_attention_heads": 12, "model_type": "deberta-v2"}'
    (tmp_path / "config.json").write_text(config)
    sizes = weights.architecture(tmp_path, [])
    assert sizes is not None
    given: dict[str, Any] = {"batch_size": 16, "texts": 1, "tokens": 128}
    bert = activations(Architecture(2, 384, 12, 1536), **given)
    assert weights.DEBERTA_SHARE > 2 and activations(sizes, **given) == pytest.approx(weights.DEBERTA_SHARE * bert)


def test_a_static_model_has_no_layers(tiny_static: Path) -> None:
    info = models.describe(tiny_static)
    assert info.architecture == Architecture(0, 32)
    assert info.learning_rate == 0.2


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ('{"n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072}', Architecture(6, 768, 12, 3072)),
        ('{"n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": null}', Architecture(12, 768, 12, 3072)),
        ('{"num_layers": 6, "d_model": 512, "num_heads": 8, "d_ff": 1024}', Architecture(6, 512, 8, 1024)),
        ('{"num_hidden_layers": 6, "hidden_size": 384}', None),
        ('{"num_hidden_layers": true, "hidden_size": 384, "num_attention_heads": 12}', None),
        ('{"num_hidden_layers": -6, "hidden_size": "384", "num_attention_heads": 1e400}', None),
        (f'{{"num_hidden_layers": {10**400}, "hidden_size": 384, "num_attention_heads": 12}}', None),
        ("{}", None),
    ],
)
def test_sizes_are_found_under_the_names_of_other_families_or_not_at_all(
    settings: str, sizes: Architecture | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(settings)
    assert weights.architecture(tmp_path, []) == sizes


def test_sizes_are_found_in_the_folder_of_a_part(tmp_path: Path) -> None:
    part = tmp_path / "0_Transformer"
    part.mkdir()
    (part / "config.json").write_text('{"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2}')
    assert weights.architecture(tmp_path, [{"path": "0_Transformer"}]) == Architecture(1, 8, 2, 32)


def test_every_model_of_the_catalogue_has_an_estimate_before_it_is_fetched() -> None:
    for info in KNOWN.values():
        assert not training_memory(info).is_lower_bound


@pytest.mark.real
def test_the_sizes_in_the_catalogue_are_those_of_the_packaged_model() -> None:
    info = models.describe(MINILM.name, fetch=False)
    if info.where is None:
        pytest.skip("its weights are not on this machine")
    assert info.architecture == MINILM.architecture
