"""The columns of a batch in one pass: the same loss and the same gradients, for the losses that ask for each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.catalog.test_losses_build import given_for, labels_for
from tests.kernel import install
from tests.spaces.test_lean import Mixed, like, without_dropout
from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.recipe import Loss, Recipe
from workbench.spaces.joined import AROUND, ASK_ONCE, Joined, asks_once
from workbench.spaces.lean import Lean
from workbench.spaces.packed import pack

COLUMNS = [
    ["the cat runs", "a dog sleeps in the old stone house of the small green tree", "a bird", "the blue fish", "star", "red", "green", "river"],
    ["cat", "dog", "the bird sings and the bird sleeps and the bird runs", "fish", "a star burns", "blue", "tree", "stone"],
    ["house", "tree", "old river", "stone", "the", "a", "blue blue blue blue", "small"],
]  # fmt: skip
CASES = [
    (info.name, texts, shape.label)
    for info in catalog.losses().values()
    for shape in info.shapes
    for texts in (2, 3)
    if shape.texts_min <= texts <= (shape.texts_max or texts) and (texts, shape.label) != (2, "scores")
]


class Watched:
    """A model, and how often it was asked for each of the columns that a loss was given."""

    def __init__(self, folder: Path, *, joined: bool, way: str = "whole") -> None:
        self.model = without_dropout(models.load(folder, device="cpu"))
        self.model.train()
        self.passes = self.others = 0
        self.model[0].register_forward_pre_hook(self._pass)
        if way == "packed":
            assert pack(self.model, Recipe(model="owner/base", loss=Loss("TripletLoss"), data="pairs.csv"))
        if way == "in groups":
            self.model.forward = Lean(self.model, kind="cuda")
            self.model.forward.overhead = 10  # so narrow a model would wait for kernels only
        self.joined = Joined(self.model) if joined else None
        if self.joined:
            self.model.forward = self.joined
        self.asked: list[int] = []

    def _pass(self, *_: Any) -> None:
        self.passes += torch.is_grad_enabled()

    def gradients(self, name: str, texts: int, label: str, guide: Path) -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(3)
        loss = catalog.build(name, given_for(name, guide), self.model)
        features = [dict(self.model.preprocess(column)) for column in COLUMNS[:texts]]
        self.asked = [0] * texts
        stands = self.model.forward

        def watched(given: Any, **options: Any) -> Any:
            known = [number for number, column in enumerate(features) if column is given and not options]
            for number in known:
                self.asked[number] += 1
            self.others += not known
            return stands(given, **options)

        self.model.forward = watched
        if self.joined:
            with self.joined.expected():
                self.joined.expect(features)
                found = loss(features, labels_for(label, texts, name))
        else:
            found = loss(features, labels_for(label, texts, name))
        value = sum(found.values()) if isinstance(found, dict) else found
        value.backward()
        self.model.forward = stands
        return value.item(), {
            name: weight.grad.clone() for name, weight in self.model.named_parameters() if weight.grad is not None
        }


@pytest.mark.parametrize("way", ["whole", "in groups", "packed"])
@pytest.mark.parametrize(
    ("name", "texts", "label"), dict.fromkeys(case for case in CASES if case[0] in ASK_ONCE | AROUND)
)
def test_one_pass_over_all_columns_has_the_loss_and_the_gradients_of_one_over_each(
    name: str, texts: int, label: str, way: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    separate = Watched(tiny_bert, joined=False)
    expected, wanted = separate.gradients(name, texts, label, tiny_bert)
    install(monkeypatch, torch.float32)
    if way == "packed" and name == "GISTEmbedLoss":
        return  # its guide does not know packed batches
    together = Watched(tiny_bert, joined=True, way=way)
    value, found = together.gradients(name, texts, label, tiny_bert)
    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert found.keys() == wanted.keys() and found
    for weight, gradient in wanted.items():
        assert torch.allclose(found[weight], gradient, atol=1e-5, rtol=1e-4), weight
    assert together.asked == [1] * texts and together.others == 0
    assert way == "in groups" or together.passes == 1 < separate.passes


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - ASK_ONCE - AROUND))
def test_losses_that_are_not_named_do_something_else_with_their_columns(name: str, tiny_bert: Path) -> None:
    _, texts, label = next(case for case in CASES if case[0] == name)
    watched = Watched(tiny_bert, joined=True)
    assert watched.joined is not None
    watched.joined.expect = lambda columns: None  # type: ignore[method-assign]
    watched.gradients(name, texts, label, tiny_bert)
    assert watched.asked != [1] * texts or watched.others


def test_columns_that_cannot_be_one_batch_go_through_one_by_one(tiny_bert: Path) -> None:
    watched = Watched(tiny_bert, joined=True)
    model, joined = watched.model, watched.joined
    assert joined is not None
    plain, prompted = dict(model.preprocess(COLUMNS[0])), dict(model.preprocess(COLUMNS[1], prompt="the "))
    with joined.expected():
        joined.expect([plain, prompted])
        vectors = [model(features)["sentence_embedding"] for features in (plain, prompted)]
    assert watched.passes == 2
    for columns, prompt, found in zip(COLUMNS, ("", "the "), vectors, strict=False):
        wanted = model(dict(model.preprocess(columns, prompt=prompt or None)))["sentence_embedding"]
        assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("why", ["padded on the left", "padding counts"])
def test_columns_are_not_padded_to_each_other_where_that_changes_a_vector(why: str, tiny_bert: Path) -> None:
    model = like(tiny_bert, *([Mixed()] if why == "padding counts" else []))
    if why == "padded on the left":
        model.tokenizer.padding_side = "left"
    alone = [model(dict(model.preprocess(column)))["sentence_embedding"] for column in COLUMNS]
    stands = Joined(model)
    for _ in range(2):
        columns = [dict(model.preprocess(column)) for column in COLUMNS]
        with stands.expected():
            stands.expect(columns)
            found = [stands(features)["sentence_embedding"] for features in columns]
        assert all(torch.equal(ours, wanted) for ours, wanted in zip(found, alone, strict=True))


def test_only_losses_of_the_library_with_columns_once_are_known() -> None:
    ranking = Loss("MultipleNegativesRankingLoss")
    assert asks_once(ranking) and asks_once(Loss("MatryoshkaLoss", loss=ranking, matryoshka_dims=[8]))
    cached = Loss("CachedMultipleNegativesRankingLoss")
    assert not asks_once(cached) and not asks_once(Loss("MatryoshkaLoss", loss=cached, matryoshka_dims=[8]))
