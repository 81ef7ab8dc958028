"""Stored weights and tokenizers: can anything be learnt from where they start, and do they belong together?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file

from tests.checks.tables import codes, fires, pairs, recipe, text
from workbench.checks import tensors
from workbench.errors import RecipeError
from workbench.training.launch import train

Weights = dict[str, np.ndarray]


def edited(model: Path, place: Path, edit: Callable[[Weights], Weights]) -> Path:
    """A copy of a model with other weights."""
    folder = place / "edited"
    shutil.copytree(model, folder)
    save_file(edit(load_file(model / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def settings(model: Path, place: Path, name: str, **changes: Any) -> Path:
    """A copy of a model with other settings in one of its files; None takes one out."""
    folder = place / "edited"
    shutil.copytree(model, folder)
    read = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: value for key, value in read.items() if value is not None}))
    return folder


def test_weights_that_are_no_numbers_are_named(tiny_bert: Path, tmp_path: Path) -> None:
    def edit(weights: Weights) -> Weights:
        weights["encoder.layer.1.output.dense.weight"][3, 3] = np.nan
        return weights

    finding = fires(recipe(edited(tiny_bert, tmp_path, edit), pairs()), "weights-not-finite")
    assert finding.severity == "error" and "(encoder.layer.1.output.dense.weight)" in finding.message


def test_a_model_with_ways_for_each_kind_of_text_is_named_in_the_words_of_its_refusal(
    tiny_bert: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "routed")
    routed = {"path": "", "type": "sentence_transformers.base.modules.Router"}
    (folder / "modules.json").write_text(json.dumps([routed]))
    (folder / "tokenizer.json").rename(folder / "elsewhere.json")
    given = recipe(folder, pairs())
    assert codes(given) == ["model-is-a-router"]
    with pytest.raises(RecipeError, match="has a way for each kind of text") as refused:
        train(given, folder=tmp_path / "run")
    assert fires(given, "model-is-a-router").message == f"{refused.value}."


def test_weights_that_are_all_zero_make_a_run_senseless(tiny_bert: Path, tmp_path: Path) -> None:
    zeroed = edited(tiny_bert, tmp_path, lambda weights: {name: np.zeros_like(part) for name, part in weights.items()})
    finding = fires(recipe(zeroed, pairs()), "weights-all-zero")
    assert finding.severity == "error" and "nothing can be learnt" in finding.message


def test_a_revision_that_is_not_here_is_told_and_left_out(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--owner--tiny"
    shutil.copytree(tiny_bert, cached / "snapshots" / ("a" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40)
    given = recipe("owner/tiny", pairs(), revision="b" * 40)
    finding = fires(given, "revision-not-here")
    assert finding.severity == "note" and "owner/tiny" in finding.message and "b" * 40 in finding.message
    assert finding.fixed == "leave the revision out"
    for sound in (finding.fix(), given.changed(revision="main"), given.changed(revision="a" * 40)):
        assert "revision-not-here" not in codes(sound)


@pytest.mark.parametrize(("which", "severity"), [("LayerNorm.weight", "error"), ("layer.0.output.LayerNorm.weight", "warning")])  # fmt: skip
def test_layer_norms_of_zero_are_counted(tiny_bert: Path, tmp_path: Path, which: str, severity: str) -> None:
    flat = edited(tiny_bert, tmp_path, lambda weights: {name: part * (not name.endswith(which)) for name, part in weights.items()})  # fmt: skip
    finding = fires(recipe(flat, pairs()), "norms-all-zero")
    assert finding.severity == severity and finding.evidence["normalisations"] == 5
    assert finding.evidence["zero"] == (5 if severity == "error" else 1)


def test_weights_in_half_precision_are_noted(tiny_bert: Path, tmp_path: Path) -> None:
    half = edited(tiny_bert, tmp_path, lambda weights: {name: part.astype(np.float16) if part.dtype == np.float32 else part for name, part in weights.items()})  # fmt: skip
    assert codes(recipe(half, pairs())) == ["stored-in-half"]
    fires(recipe(half, pairs()), "stored-in-half")


def test_large_weights_are_still_numbers(tmp_path: Path) -> None:
    save_file({"a.weight": np.array([3e30, 4e30], np.float32), "b": np.array([300.0], np.float16)}, tmp_path / "model.safetensors")  # fmt: skip
    stored = tensors.look(tmp_path)
    assert stored.not_finite == () and stored.norm == pytest.approx(5e30) and stored.weights == 3


def test_what_numpy_does_not_read_is_told(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save

    save({"a": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    assert tensors.look(tmp_path).unread == ("BF16",) and tensors.look(tmp_path).norm is None


def test_words_that_the_tokenizer_does_not_know_are_counted(tiny_bert: Path) -> None:
    table = pairs()
    table["positive"] = [f"{text(n, 4)} \u732b" for n in range(240)]
    finding = fires(recipe(tiny_bert, table), "unknown-words")
    assert "20% of the tokens in 'positive'" in finding.message
    assert finding.evidence["unknown"] == 168


def test_words_that_are_split_into_letters_are_named(tiny_bert: Path) -> None:
    table = pairs(positive=[f"xylophone quokka {text(n, 3)}" for n in range(240)])
    finding = fires(recipe(tiny_bert, table), "words-in-pieces")
    assert "split into 3.6 tokens" in finding.message and "unknown-words" not in codes(recipe(tiny_bert, table))


def test_a_token_without_a_vector_stops_a_run(tiny_bert: Path, tmp_path: Path) -> None:
    def cut(rows: int) -> Callable[[Weights], Weights]:
        name = "embeddings.word_embeddings.weight"
        return lambda weights: weights | {name: weights[name][:rows]}

    finding = fires(recipe(edited(tiny_bert, tmp_path, cut(20)), pairs()), "tokens-without-vector")
    assert "has vectors for 20 tokens only" in finding.message and finding.severity == "error"
    few = recipe(edited(tiny_bert, tmp_path / "few", cut(60)), pairs())
    assert "knows 88 tokens, but the model has vectors for 60" in fires(few, "vocabulary-differs").message


def test_a_tokenizer_that_cannot_pad_stops_a_run(tiny_bert: Path, tmp_path: Path) -> None:
    folder = settings(tiny_bert, tmp_path, "tokenizer_config.json", pad_token=None)
    assert "TokenizersBackend" in fires(recipe(folder, pairs()), "no-padding-token").message
    # a class that pads by [PAD] of its own accord
    own = settings(folder, tmp_path / "own", "tokenizer_config.json", tokenizer_class="BertTokenizer")
    assert "no-padding-token" not in codes(recipe(own, pairs()))
