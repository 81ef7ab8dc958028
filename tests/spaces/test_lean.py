"""The forward pass in groups of like length: the same loss and gradients, with less padding."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.test_losses_build import CASES, given_for, labels_for, load
from workbench.catalog import losses as catalog
from workbench.spaces import lean

torch = pytest.importorskip("torch")

WORDS = "the cat dog bird fish tree river stone house red green blue".split()
SIZES = [[3, 40, 5, 2, 9, 4, 55, 6], [4, 4, 30, 3, 3, 50, 5, 2], [60, 2, 3, 8, 3, 2, 4, 45], [2, 3, 4, 52, 2, 9, 5, 3]]
TEXTS = [
    [" ".join(itertools.islice(itertools.cycle(WORDS[shift + row :] + WORDS), size)) for row, size in enumerate(sizes)]
    for shift, sizes in enumerate(SIZES)
]


def without_dropout(model: Any) -> Any:
    """In training, as it would be without chance."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


def trained(name: str, parameters: Any, folder: Path, columns: list[list[str]], labels: Any, light: bool) -> Any:
    """(loss, gradient of every weight) of one pass."""
    torch.manual_seed(3)
    random.seed(3)
    model = load(folder)
    loss = without_dropout(catalog.build(name, parameters, without_dropout(model)))
    if light:
        model.forward = lean.Lean(model)
    found = loss([model.preprocess(column) for column in columns], labels)
    value: Any = sum(found.values()) if isinstance(found, dict) else found
    value.backward()
    gradients = {key: weight.grad for key, weight in loss.named_parameters() if weight.grad is not None}
    return float(value.detach()), gradients, model


@pytest.mark.parametrize(("name", "texts", "label"), dict.fromkeys(CASES))
def test_every_loss_and_its_gradients_are_those_of_the_whole_batch(
    name: str, texts: int, label: str, tiny_bert: Path
) -> None:
    torch.manual_seed(5)
    columns = TEXTS[: texts if label != "any" else 2]
    labels, parameters = labels_for(label, texts, name), given_for(name, tiny_bert)
    value, gradients, _ = trained(name, parameters, tiny_bert, columns, labels, light=False)
    light, light_gradients, model = trained(name, parameters, tiny_bert, columns, labels, light=True)
    assert light == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert light_gradients.keys() == gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for key, gradient in gradients.items():
        assert torch.allclose(light_gradients[key], gradient, rtol=1e-5, atol=1e-5 * max(1.0, largest)), key
    whole = sum(model.preprocess(column)["input_ids"].numel() for column in columns)
    assert 0 < model.forward.places < whole * 3  # a loss may look at a batch more than once


def test_a_batch_of_mixed_lengths_computes_far_fewer_places(tiny_bert: Path) -> None:
    model = load(tiny_bert).train()
    features = model.preprocess(TEXTS[0])
    model.forward = lean.Lean(model)
    model(features)
    real = int(features["attention_mask"].sum())
    assert real <= model.forward.places < 0.6 * features["input_ids"].numel()


def test_a_batch_of_equal_lengths_goes_through_whole(tiny_bert: Path) -> None:
    model = load(tiny_bert).train()
    model.forward = lean.Lean(model)
    assert model.forward.parts(model.preprocess([" ".join(WORDS)] * 8)) is None


def test_on_a_gpu_groups_are_made_only_where_they_pay_for_the_start_of_their_kernels(tiny_bert: Path) -> None:
    model = load(tiny_bert).train()
    features = model.preprocess(TEXTS[0])
    assert lean.Lean(model).parts(features) is not None
    assert lean.Lean(model, kind="cuda").parts(features) is None, "so narrow a model waits for kernels only"
    assert lean.Lean(model, kind="mps").parts(features) is None
    model[0].model.config.hidden_size = 4096
    parts = lean.Lean(model, kind="cuda").parts(features)
    assert parts is not None and len(parts) > 1
    widths, widest = [part["input_ids"].shape[1] for _, part in parts], features["input_ids"].shape[1]
    assert all(width % 8 == 0 or width == widest for width in widths)


def test_wider_models_pay_for_more_groups_and_one_of_unknown_width_counts_as_a_small_one() -> None:
    costs = [lean.overhead_on_gpu(SimpleNamespace(hidden_size=width)) for width in (384, 768, 1024)]
    assert costs == sorted(costs, reverse=True) and costs[2] > lean.OVERHEAD
    assert lean.overhead_on_gpu(None) == costs[0]


def test_groups_of_a_gpu_have_the_vectors_and_gradients_of_the_whole_batch(tiny_bert: Path) -> None:
    found = []
    for light in (False, True):
        model = without_dropout(load(tiny_bert))
        if light:
            model.forward = lean.Lean(model, kind="cuda")
            model.forward.overhead = 0
        vectors = model(model.preprocess(TEXTS[0]))["sentence_embedding"]
        vectors.square().sum().backward()
        found.append((vectors.detach(), next(model.parameters()).grad.clone()))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)


def test_vectors_come_back_in_the_order_of_the_texts(tiny_bert: Path) -> None:
    model = without_dropout(load(tiny_bert))
    whole = model(model.preprocess(TEXTS[1]))["sentence_embedding"].detach()
    model.forward = lean.Lean(model)
    assert torch.allclose(model(model.preprocess(TEXTS[1]))["sentence_embedding"], whole, atol=1e-6)


def test_scoring_static_models_and_padding_on_the_left_are_left_alone(tiny_bert: Path, tiny_static: Path) -> None:
    model = load(tiny_bert)
    model.forward = lean.Lean(model)
    features = model.preprocess(TEXTS[0])
    assert lean.Lean(model.train()).parts(features) is not None
    assert "token_embeddings" in model.eval()(model.preprocess(TEXTS[0]))
    left = {key: value.flip(1) for key, value in features.items() if isinstance(value, torch.Tensor)}
    assert lean.Lean(model.train()).parts(left) is None
    static = load(tiny_static).train()
    static.forward = lean.Lean(static)
    assert static(static.preprocess(TEXTS[0]))["sentence_embedding"].shape == (8, 32)


def test_prompts_and_checkpointing_change_nothing(tiny_bert: Path) -> None:
    vectors = []
    for light in (False, True):
        model = without_dropout(load(tiny_bert))
        model.gradient_checkpointing_enable()
        if light:
            model.forward = lean.Lean(model)
        features = model.preprocess([f"the house {text}" for text in TEXTS[0]])
        features["prompt_length"] = 3
        found = model(features)["sentence_embedding"]
        found.sum().backward()
        vectors.append((found.detach(), next(model.parameters()).grad.clone()))
    assert torch.allclose(vectors[0][0], vectors[1][0], atol=1e-6)
    assert torch.allclose(vectors[0][1], vectors[1][1], atol=1e-5)


class Mixed(torch.nn.Module):
    """A layer that mixes a text with the padding beside it, as transformers without a mask do."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        tokens = features["token_embeddings"]
        features["token_embeddings"] = tokens + tokens.mean(dim=1, keepdim=True)
        return features


def like(folder: Path, *modules: Any) -> Any:
    """The tiny model with these modules before its pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    first = load(folder)[0]
    return without_dropout(SentenceTransformer(modules=[first, *modules, Pooling(32)], device="cpu"))


def test_a_model_whose_vectors_depend_on_padding_sees_the_batches_that_the_library_makes(tiny_bert: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import CNN, Dense

    convolved = [CNN(32, 8, kernel_sizes=[1, 3]), Dense(16, 32, module_input_name="token_embeddings")]
    for modules in ([Mixed()], convolved):
        model = like(tiny_bert, *modules)
        whole = model(model.preprocess(TEXTS[0]))["sentence_embedding"]
        model.forward = lean.Lean(model)
        state = torch.get_rng_state()
        assert torch.equal(model(model.preprocess(TEXTS[0]))["sentence_embedding"], whole)
        assert model.training and torch.equal(torch.get_rng_state(), state), "it was tried, and left no trace"
    known = like(tiny_bert, Dense(32, 32, module_input_name="token_embeddings"))
    assert lean.Lean(known).parts(known.preprocess(TEXTS[0])) is not None


def test_attention_that_becomes_another_one_in_a_narrow_batch_is_left_alone(tiny_bert: Path) -> None:
    model = like(tiny_bert)
    model[0].model.config.attention_type = "block_sparse"
    assert lean.Lean(model).parts(model.preprocess(TEXTS[0])) is None


def _best(lengths: list[int], most: int, overhead: int) -> int:
    """The least cost by trying every way to cut the ordered rows."""
    ordered = sorted(lengths, reverse=True)
    costs = []
    for count in range(most):
        for cuts in itertools.combinations(range(1, len(ordered)), count):
            edges = [0, *cuts, len(ordered)]
            parts = [ordered[low:high] for low, high in itertools.pairwise(edges)]
            costs.append(sum(len(part) * part[0] + overhead for part in parts))
    return min(costs)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 4), st.integers(0, 40))
def test_groups_hold_every_row_once_and_no_cut_is_cheaper(lengths: list[int], most: int, overhead: int) -> None:
    found = lean.groups(np.array(lengths), most=most, overhead=overhead)
    assert sorted(int(row) for rows in found for row in rows) == list(range(len(lengths)))
    assert len(found) <= most
    cost = sum(len(rows) * max(lengths[row] for row in rows) + overhead for rows in found)
    assert cost == _best(lengths, most, overhead)
