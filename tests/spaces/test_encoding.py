"""The forward pass over many texts: what the library's own `encode` gives, from batches of like length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.kernel import install
from workbench.recipe import Loss, Recipe
from workbench.spaces import encoding, kept
from workbench.spaces.encode import embed
from workbench.spaces.encoding import encoded
from workbench.spaces.packed import pack
from workbench.spaces.tokens_once import once

MIXED = [
    "",
    " ",
    "cat",
    "the red cat",
    "😀 the 你好 cat 😀",
    "\u202eabc\x00",
    "the red cat sleeps in the old house " * 40,
    *(" ".join(["the small river flows"] * (n % 9 + 1)) + f" {'abcde'[n % 5]}" for n in range(40)),
]
Make = Callable[..., Any]


@pytest.fixture(scope="session")
def transformers_of(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random transformers of several families, by name."""
    import torch
    from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, RobertaConfig, RobertaModel

    torch.manual_seed(3)
    size = {
        "vocab_size": len(tiny_tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 70,
        "initializer_range": 0.2,
    }
    made = {
        "bert": BertModel(BertConfig(**size)),
        "roberta": RobertaModel(RobertaConfig(**size, type_vocab_size=1, pad_token_id=0)),
        "mpnet": MPNetModel(MPNetConfig(**size, pad_token_id=0)),
    }
    folders = {}
    for name, model in made.items():
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        tiny_tokenizer.save_pretrained(folders[name])
    return folders


@pytest.fixture
def make(transformers_of: dict[str, Path]) -> Make:
    """A sentence model of a family with these modules behind the transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    def built(family: str = "bert", *modules: Any, **options: Any) -> SentenceTransformer:
        behind = modules or (Pooling(32),)
        return SentenceTransformer(
            modules=[Transformer(str(transformers_of[family])), *behind], device="cpu", **options
        )

    return built


def through(model: Any, texts: list[str], **options: Any) -> tuple[np.ndarray, list[int]]:
    """All vectors in the order of the texts, and the sizes of the batches."""
    sizes, rows, parts = [], [], []
    for numbers, vectors in encoded(model, texts, np.arange(len(texts)), **options):
        sizes.append(len(numbers))
        rows.append(numbers)
        parts.append(vectors)
    order = np.argsort(np.concatenate(rows))
    assert sorted(np.concatenate(rows)) == list(range(len(texts)))
    return np.concatenate(parts)[order], sizes


def fits(model: Any) -> bool:
    """It is encoded from its tokens, in batches of like length."""
    known = once(model)
    return known is not None and encoding._fits(model, known.way)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
@pytest.mark.parametrize("prompt", ["", "the old: "])
def test_features_are_exactly_those_of_the_library(family: str, prompt: str, make: Make) -> None:
    model = make(family)
    model.max_seq_length = 20
    known = once(model)
    assert known
    piece = encoding._tokens(known, np.arange(len(MIXED)), MIXED, prompt)
    seen = 0
    for rows, features in piece.batches(60, 7):
        wanted = model.preprocess([MIXED[row] for row in rows], prompt=prompt or None)
        assert list(features) and set(features) == set(wanted)
        for name, value in wanted.items():
            same = (value == features[name]).all() if hasattr(value, "shape") else value == features[name]
            assert same, name
            assert getattr(value, "dtype", None) == getattr(features[name], "dtype", None)
        seen += len(rows)
    assert seen == len(MIXED)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet"])
def test_vectors_are_those_of_the_library_on_texts_of_mixed_length(family: str, make: Make) -> None:
    model = make(family)
    assert fits(model)
    vectors, sizes = through(model, MIXED)
    np.testing.assert_allclose(vectors, model.encode(MIXED), atol=1e-5)
    assert max(sizes) <= encoding.BUDGET["cpu"]


def test_what_follows_the_transformer_and_a_cut_dimension_count(make: Make) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    for modules in ([Pooling(32), Normalize()], [Pooling(32, pooling_mode="cls"), Dense(32, 8)]):
        model = make("bert", *modules, truncate_dim=6)
        assert fits(model)
        np.testing.assert_allclose(through(model, MIXED)[0], model.encode(MIXED), atol=1e-5)


@pytest.mark.parametrize("included", [True, False])
def test_a_prompt_is_pooled_or_left_out_as_the_model_says(included: bool, make: Make) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = make("bert", Pooling(32, include_prompt=included))
    wanted = model.encode(MIXED, prompt="the old: ")
    np.testing.assert_allclose(through(model, MIXED, prompt="the old: ")[0], wanted, atol=1e-5)
    assert not np.allclose(wanted, model.encode(MIXED), atol=1e-3)


def test_the_default_prompt_of_a_model_is_put_before_texts_without_one(make: Make) -> None:
    model = make("bert", prompts={"query": "the old: "}, default_prompt_name="query")
    np.testing.assert_allclose(through(model, MIXED)[0], model.encode(MIXED), atol=1e-5)
    np.testing.assert_allclose(through(model, MIXED, prompt="a ")[0], model.encode(MIXED, prompt="a "), atol=1e-5)


def test_static_models_go_through_in_whole_pieces(tiny_static: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.catalog import models

    monkeypatch.setattr(encoding, "PIECE", 20)
    model = models.load(tiny_static, device="cpu")
    for prompt in ("", "the old: "):
        vectors, sizes = through(model, MIXED, prompt=prompt)
        np.testing.assert_allclose(vectors, model.encode(MIXED, prompt=prompt or None), atol=1e-5)
        assert sizes == [20, 20, len(MIXED) - 40]


def test_models_that_are_not_known_go_through_their_own_encode(make: Make, transformers_of: dict[str, Path]) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import CNN, Pooling, Transformer

    def path() -> list[Any]:
        return [Transformer(str(transformers_of["bert"])), Pooling(32)]

    router = Router.for_query_document(query_modules=path(), document_modules=path())
    routed = SentenceTransformer(modules=[router], device="cpu")
    convolved = make("bert", CNN(32, 8), Pooling(24))
    left = make("bert")
    left.tokenizer.padding_side = "left"
    assert not any(map(fits, (routed, convolved, left)))
    vectors, sizes = through(routed, MIXED, prompt="the ", most=4)
    np.testing.assert_allclose(vectors, routed.encode(MIXED, prompt="the ", batch_size=4), atol=1e-5)
    assert max(sizes) == 4


@pytest.mark.parametrize("of", ["the transformer", "a module behind it"])
def test_where_padding_counts_the_batches_are_those_of_the_library(of: str, make: Make) -> None:
    from sentence_transformers.sentence_transformer.modules import CNN, Pooling

    model = make("bert") if of == "the transformer" else make("bert", CNN(32, 8), Pooling(24))
    if of == "the transformer":  # as one that looks at all places of a batch
        embeddings = model[0].model.embeddings
        embeddings.register_forward_hook(lambda _, __, made: made + made.mean(dim=1, keepdim=True))
    texts = [*dict.fromkeys(MIXED), *(f"{MIXED[-1]} {letter}" for letter in "abcdef")]
    np.testing.assert_array_equal(through(model, texts)[0], model.encode(texts))


def test_a_packed_model_takes_its_texts_in_batches_under_the_budget_too(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from workbench.catalog import models

    wanted = models.load(tiny_bert, device="cpu").encode(MIXED, prompt="the old: ")
    install(monkeypatch, torch.float32)
    monkeypatch.setitem(encoding.BUDGET, "cpu", 64)
    model = models.load(tiny_bert, device="cpu")
    assert pack(model, Recipe(model="a/b", loss=Loss("MultipleNegativesRankingLoss"), data="pairs.csv", device="cuda"))
    vectors, sizes = through(model, MIXED, prompt="the old: ", most=5)
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert max(sizes) == 5 and min(sizes) == 1


def test_batches_keep_to_the_budget_of_tokens_and_to_the_most_texts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoding.BUDGET, "cpu", 64)
    known = once(make("bert"))
    assert known
    piece = encoding._tokens(known, np.arange(len(MIXED)), MIXED, "")
    shapes = [features["input_ids"].shape for _, features in piece.batches(64, 5)]
    assert all(rows == 1 or rows * width <= 64 for rows, width in shapes)
    assert max(rows for rows, _ in shapes) == 5
    assert [width for _, width in shapes] == sorted((width for _, width in shapes), reverse=True)


def test_pieces_are_put_together_whatever_their_size(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "PIECE", 3)
    model = make("bert")
    np.testing.assert_allclose(through(model, MIXED)[0], model.encode(MIXED), atol=1e-5)


def test_a_text_that_is_no_unicode_ends_as_in_the_library(make: Make) -> None:
    model = make("bert")
    texts = [*MIXED[:3], "\ud800"]
    with pytest.raises(Exception) as library:
        model.encode(texts)
    with pytest.raises(type(library.value)):
        through(model, texts)


def test_one_text_and_equal_texts_keep_their_places(make: Make) -> None:
    model = make("bert")
    np.testing.assert_allclose(embed(["the cat"], model).vectors, model.encode(["the cat"]), atol=1e-5)
    texts = ["the cat", "a dog", "the cat", *MIXED]
    np.testing.assert_allclose(embed(texts, model).vectors, model.encode(texts), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "own"])
def test_batches_that_do_not_fit_into_memory_get_smaller_and_no_text_is_computed_twice(
    kind: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, texts, sizes = make("bert"), list(dict.fromkeys(MIXED)), list[int]()
    if kind == "own":
        monkeypatch.setattr(encoding, "_fits", lambda *_: False)
    expected = model.encode(texts)

    def full(_: Any, given: tuple[dict[str, Any]]) -> None:
        if (rows := len(given[0]["input_ids"])) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        sizes.append(rows)

    model[0].register_forward_pre_hook(full)
    np.testing.assert_allclose(embed(texts, model).vectors, expected, atol=1e-5)
    computed = sum(sizes) - (2 if kind == "bert" else 0)  # whether padding counts is tried on one row
    assert computed == len(texts)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_where_not_one_text_fits_into_memory_the_error_goes_up(error: Exception, make: Make) -> None:
    model = make("bert")

    def full(*_: Any) -> None:
        if torch.is_inference_mode_enabled():
            raise error

    model[0].register_forward_pre_hook(full)
    with pytest.raises(type(error)):
        embed(MIXED, model)


class Stop(Exception):
    """Somebody has pressed a button."""


def test_what_was_done_before_a_stop_counts_the_next_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoding.BUDGET, "cpu", 64)
    model, seen, computed = make("bert"), list[int](), list[int]()
    texts = list(dict.fromkeys(MIXED))
    forward = encoding._forward

    def counted(model: Any, features: Any) -> np.ndarray:
        computed.append(len(features["input_ids"]))
        return forward(model, features)

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done > 20:
            raise Stop

    monkeypatch.setattr(encoding, "_forward", counted)
    with pytest.raises(Stop):
        embed(texts, model, progress=stop)
    assert sum(computed) == seen[-1] < len(texts)
    again: list[int] = []
    made = embed(texts, model, progress=lambda done, total: again.append(done))
    assert sum(computed) == len(texts), "nothing is computed twice"
    assert again[0] > seen[-1] and again[-1] == len(texts)
    np.testing.assert_allclose(made.vectors, model.encode(texts), atol=1e-5)


@pytest.mark.parametrize("file", ["*.begun", "*.done"])
def test_what_was_begun_and_is_damaged_is_made_anew(file: str, make: Make, workbench_home: Path) -> None:
    model, texts = make("bert"), list(dict.fromkeys(MIXED))

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        embed(texts, model, batch_size=4, progress=stop)
    (begun,) = workbench_home.rglob(file)
    begun.write_bytes(begun.read_bytes()[:40])
    np.testing.assert_allclose(embed(texts, model).vectors, model.encode(texts), atol=1e-5)
    assert [path.suffix for path in workbench_home.rglob("vectors/*/*")] == [".npy"]


def test_large_vectors_are_mapped_and_the_same(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = make("bert"), ["the cat", *MIXED]  # one text twice, so that rows have to be copied
    small = embed(texts, model)
    monkeypatch.setattr(kept, "LARGE", 100)
    monkeypatch.setattr("workbench.spaces.encode.BLOCK_ROWS", 7)
    monkeypatch.setattr(kept, "BLOCK_ROWS", 7)
    for chosen in (texts, list(dict.fromkeys(texts))):
        large = embed(chosen, model)
        assert isinstance(large.vectors, np.memmap) and isinstance(large.unit, np.memmap)
        rows = [texts.index(text) for text in chosen]
        np.testing.assert_allclose(large.vectors, small.vectors[rows], atol=1e-5)
        np.testing.assert_allclose(large.unit, small.unit[rows], atol=1e-5)
        np.testing.assert_array_equal(large.usable, small.usable[rows])


def test_vectors_of_no_use_for_longest_go_when_there_are_too_many(
    make: Make, monkeypatch: pytest.MonkeyPatch, workbench_home: Path
) -> None:
    import os

    model = make("bert")
    for number, texts in enumerate((["a"], ["b"])):
        embed(texts, model)
        newest = max(workbench_home.rglob("*.npy"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (number + 1, number + 1))
    embed(["a"], model)  # it is of use again
    monkeypatch.setattr(kept, "MOST_BYTES", 600)  # each takes 256
    embed(["c"], model)
    assert len(list(workbench_home.rglob("*.npy"))) == 2
    calls: list[Any] = []
    monkeypatch.setattr(encoding, "_forward", lambda *given: calls.append(given) or np.zeros((1, 32), np.float32))
    embed(["a"], model)
    assert not calls
    embed(["b"], model)
    assert calls
