"""Batches without padding: the same loss and gradients as with it, and everybody who looks at a batch can."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalog.test_losses_build import CASES, given_for, labels_for
from tests.kernel import install
from tests.spaces.test_lean import TEXTS, WORDS, without_dropout
from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.checks.trial_batch import try_batch
from workbench.recipe import Loss, Recipe
from workbench.spaces import packed
from workbench.spaces.encoding import encoded

torch = pytest.importorskip("torch")

MNRL = Loss("MultipleNegativesRankingLoss")


def recipe(loss: Loss = MNRL, **settings: Any) -> Recipe:
    return Recipe(**{"model": "owner/base", "loss": loss, "data": "pairs.csv", "device": "cuda", **settings})


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that computes in float32, so that results can be held against those with padding."""
    install(monkeypatch, torch.float32)


def gradients(folder: Path, loss: Loss, columns: list[list[str]], labels: Any, *, pack: bool) -> Any:
    """(loss, gradient of every weight) of one pass."""
    torch.manual_seed(3)
    random.seed(3)
    model = models.load(folder, device="cpu")
    assert packed.pack(model, recipe(loss)) is pack
    built = without_dropout(catalog.build(loss.name, loss.parameters, without_dropout(model)))
    parts = [model.preprocess(column) for column in columns]
    assert all(("attention_mask" in part) is not pack for part in parts)
    found = built(parts, labels)
    value: Any = sum(found.values()) if isinstance(found, dict) else found
    value.backward()
    return float(value.detach()), {key: one.grad for key, one in built.named_parameters() if one.grad is not None}


PACKED = [case for case in dict.fromkeys(CASES) if packed.may_pack(recipe(Loss(case[0], **given_for(case[0], Path()))))]


@pytest.mark.parametrize(("name", "texts", "label"), PACKED)
def test_every_loss_has_the_value_and_the_gradients_of_batches_with_padding(
    name: str, texts: int, label: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Loss(name, **given_for(name, tiny_bert))
    columns = TEXTS[: texts if label != "any" else 2]
    torch.manual_seed(5)
    labels = labels_for(label, texts, name)
    value, wanted = gradients(tiny_bert, loss, columns, labels, pack=False)
    install(monkeypatch, torch.float32)
    found, ours = gradients(tiny_bert, loss, columns, labels, pack=True)
    assert found == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert ours.keys() == wanted.keys()
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for key, gradient in wanted.items():
        assert torch.allclose(ours[key], gradient, rtol=1e-5, atol=1e-5 * max(1.0, largest)), key


@pytest.mark.parametrize(
    "given",
    [
        recipe(split_by_length=False),
        recipe(precision="fp32"),
        recipe(method="adapter"),
        recipe(Loss("GISTEmbedLoss", guide="owner/guide")),
        recipe(Loss("MatryoshkaLoss", loss=Loss("CachedGISTEmbedLoss", guide="owner/guide"), matryoshka_dims=[8])),
        recipe(Loss("DenoisingAutoEncoderLoss")),
        recipe(Loss("ContrastiveTensionLoss")),
    ],
    ids=["turned off", "in float32", "adapter", "guide", "guide inside", "decoder", "reads tokens"],
)
def test_a_recipe_whose_batches_others_read_or_that_says_no_keeps_its_padding(
    given: Recipe, tiny_bert: Path, full: None
) -> None:
    model = models.load(tiny_bert, device="cpu")
    assert not packed.pack(model, given)
    assert "attention_mask" in model.preprocess(TEXTS[0]) and "forward" not in vars(model)


def test_a_machine_without_the_kernel_keeps_the_padding(tiny_bert: Path, tiny_static: Path) -> None:
    for folder in (tiny_bert, tiny_static):
        model = models.load(folder, device="cpu")
        assert not packed.pack(model, recipe()) and "forward" not in vars(model)


def test_a_static_model_and_one_whose_transformer_cannot_keep_their_padding(
    tiny_bert: Path, tiny_static: Path, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not packed.pack(models.load(tiny_static, device="cpu"), recipe())
    model = models.load(tiny_bert, device="cpu")
    model[0].unpad_inputs = False  # as its own settings say
    assert not packed.pack(model, recipe())
    model[0].unpad_inputs = None
    monkeypatch.setattr(type(model[0].model), "_supports_flash_attn", False)
    assert not packed.pack(model, recipe()) and model[0].model.config._attn_implementation == "sdpa"


def test_an_architecture_that_mixes_texts_keeps_their_padding(
    tiny_bert: Path, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.load(tiny_bert, device="cpu")
    model[0].model.embeddings.register_forward_hook(lambda _, __, out: out + out.mean(dim=1, keepdim=True))
    assert not packed.pack(model, recipe())
    assert "attention_mask" in model.preprocess(TEXTS[0]) and "forward" not in vars(model)


def test_a_kernel_that_does_not_load_is_told_of_and_left_out(
    tiny_bert: Path, full: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import modeling_flash_attention_utils as flash

    def broken(*_: Any, **__: Any) -> Any:
        raise ImportError("undefined symbol: _ZN3c105ErrorC2E")

    monkeypatch.setattr(flash, "_lazy_imports", broken)
    model = models.load(tiny_bert, device="cpu")
    assert not packed.pack(model, recipe())
    assert "keep their padding" in caplog.text and "undefined symbol" in caplog.text
    assert model[0].model.config._attn_implementation == "sdpa" and "forward" not in vars(model)


def test_where_the_library_does_not_pack_all_is_as_before(
    tiny_bert: Path, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.load(tiny_bert, device="cpu")
    monkeypatch.setattr(type(model[0]), "_can_flatten_inputs", lambda self: False)
    assert not packed.pack(model, recipe())
    assert model[0].model.config._attn_implementation == "sdpa" and "forward" not in vars(model)


def test_vectors_outside_of_a_training_are_computed_in_half_precision(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS[0]
    plain = models.load(tiny_bert, device="cpu").encode(texts)
    install(monkeypatch, torch.bfloat16)
    model, seen = models.load(tiny_bert, device="cpu"), []
    assert packed.pack(model, recipe())
    model[0].model.encoder.layer[0].attention.self.query.register_forward_hook(
        lambda *given: seen.append(given[2].dtype)
    )
    made = np.zeros_like(plain)
    for rows, vectors in encoded(model, texts, np.arange(len(texts))):
        made[rows] = vectors
    assert set(seen) == {torch.bfloat16} and made.dtype == np.float32
    assert min((made * plain).sum(1) / np.linalg.norm(made, axis=1) / np.linalg.norm(plain, axis=1)) > 0.99


def test_what_a_training_has_set_is_left_as_it_is(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch.float16)
    model, seen = models.load(tiny_bert, device="cpu"), []
    assert packed.pack(model, recipe())
    model[0].model.encoder.layer[0].attention.self.query.register_forward_hook(
        lambda *given: seen.append(given[2].dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(model.preprocess(TEXTS[0]))
    assert seen == [torch.bfloat16]


def test_a_saved_model_knows_nothing_of_the_kernel(tiny_bert: Path, tmp_path: Path, full: None) -> None:
    model = models.load(tiny_bert, device="cpu")
    assert packed.pack(model, recipe())
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    written = {path.name: path.read_text() for path in (tmp_path / "saved").rglob("*.json")}
    assert "config.json" in written and all(json.loads(text) is not None for text in written.values())
    assert not any("flash" in text or "unpad" in text for text in written.values())
    again = models.load(tmp_path / "saved", device="cpu")
    assert again[0].model.config._attn_implementation == "sdpa" and not again[0].can_flatten_inputs


def test_texts_taken_out_of_a_packed_batch_are_what_the_library_packs_of_them(tiny_bert: Path, full: None) -> None:
    model = models.load(tiny_bert, device="cpu")
    assert packed.pack(model, recipe())
    texts = [*TEXTS[0], " ".join(WORDS)]
    rows = np.array([8, 0, 5])
    found = packed.take_packed(model.preprocess(texts, prompt="the "), rows)
    wanted = model.preprocess([texts[row] for row in rows], prompt="the ")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        same = torch.equal(found[name], value) if torch.is_tensor(value) else found[name] == value
        assert same and getattr(found[name], "dtype", None) == getattr(value, "dtype", None), name
    assert packed.packed_lengths(wanted).tolist() == [len(ids) for ids in model.tokenizer(["the " + texts[row] for row in rows])["input_ids"]]  # fmt: skip


def test_a_batch_that_is_tried_is_packed_as_in_the_run(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "pairs.jsonl"
    rows = [{"anchor": f"the {word}", "positive": " ".join(WORDS[: row + 1])} for row, word in enumerate(WORDS)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = recipe(model=str(tiny_bert), data=str(table), device="cpu", batch_size=12, eval_share=0)
    padded = try_batch(given)
    install(monkeypatch, torch.float32)
    trial = try_batch(given)
    assert padded is not None and trial is not None
    assert (trial.rows, trial.tokens) == (padded.rows, padded.tokens) and max(trial.tokens) > 12
    assert [trial.loss, trial.gradient] == pytest.approx([padded.loss, padded.gradient], rel=1e-4)
    assert trial.accuracy == padded.accuracy
