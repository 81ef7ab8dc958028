"""What tokens add to a cosine: exact where it can be, and honest where it cannot."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import DataError, ModelError
from workbench.spaces.contributions import Contributions, Token, contributions
from workbench.spaces.encode import embed
from workbench.spaces.engine import vectors

CAT, DOG = "the cat sleeps in the house", "a small dog runs"
HOSTILE = "<img src=x onerror=alert(1)>"


def loaded(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def behind(folder: Path, *modules: Any, **options: Any) -> Any:
    """The model of a folder with more modules after its own."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=[*loaded(folder).children(), *modules], device="cpu", **options)


def dense(wide: int = 12, activation: Any = None, **options: Any) -> Any:
    import torch
    from sentence_transformers.base.modules import Dense

    torch.manual_seed(1)
    return Dense(32, wide, activation_function=activation, **options)


def cosine(model: Any, a: str, b: str) -> float:
    rows = model.encode([a, b], show_progress_bar=False).astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return float(rows[0] @ rows[1])


def shown(record: Contributions) -> list[str]:
    return [token.text for token in record.first.tokens]


def adds_up(record: Contributions) -> None:
    assert record.exact
    assert record.cosine == pytest.approx(record.first.total, abs=1e-5)
    assert record.cosine == pytest.approx(record.second.total, abs=1e-5)
    np.testing.assert_allclose(record.pairs.sum(axis=1), [t.value for t in record.first.tokens], atol=1e-5)
    np.testing.assert_allclose(record.pairs.sum(axis=0), [t.value for t in record.second.tokens], atol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "mean_sqrt_len_tokens", "weightedmean", ("mean", "weightedmean")])
def test_the_values_of_mean_pooling_add_up_to_the_cosine(tiny_bert: Path, mode: Any) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(modules=[loaded(tiny_bert)[0], Pooling(32, mode)], device="cpu")
    record = contributions(CAT, DOG, model)
    adds_up(record)
    assert record.cosine == pytest.approx(cosine(model, CAT, DOG), abs=1e-5)
    assert record.how.startswith("exact")


def test_a_value_is_the_share_of_the_token_vector(tiny_bert: Path) -> None:
    model = loaded(tiny_bert)
    record = contributions(CAT, DOG, model)
    a, b = model.encode([CAT, DOG], output_value="token_embeddings")
    a, b = a.double().numpy(), b.double().numpy()
    by_hand = (a / len(a)) @ b.mean(0) / (np.linalg.norm(a.mean(0)) * np.linalg.norm(b.mean(0)))
    np.testing.assert_allclose([token.value for token in record.first.tokens], by_hand, atol=1e-5)


def test_special_tokens_are_there_and_named(tiny_bert: Path) -> None:
    record = contributions(CAT, DOG, tiny_bert)
    assert shown(record) == ["[CLS]", *CAT.split(), "[SEP]"]
    assert [token.kind for token in record.first.tokens] == ["special", *["text"] * 6, "special"]
    assert record.first.tokens[0].start == -1
    assert all(CAT[t.start : t.end] == t.text for t in record.first.tokens if t.kind == "text")


def test_tokens_are_pieces_of_the_text_as_it_is_written(tiny_bert: Path) -> None:
    text = "  The CÁT,\n\nsleeps 🙂"
    record = contributions(text, DOG, tiny_bert)
    assert shown(record) == ["[CLS]", "The", "CÁT", ",", "sleeps", "🙂", "[SEP]"]
    assert all(text[t.start : t.end] == t.text for t in record.first.tokens if t.kind == "text")
    adds_up(record)


def test_tokens_that_share_a_character_are_one() -> None:
    from workbench.spaces.token_parts import _joined

    places = _joined("", "a🙂b", ["a", "x", "y", "z", "b"], [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], [0] * 5)
    assert [(place.text, place.tokens) for place in places] == [("a", (0,)), ("🙂", (1, 2, 3)), ("b", (4,))]


def test_static_vectors_are_exact(tiny_static: Path) -> None:
    record = contributions(CAT, DOG, tiny_static)
    adds_up(record)
    assert shown(record) == CAT.split()
    assert record.cosine == pytest.approx(cosine(loaded(tiny_static), CAT, DOG), abs=1e-5)
    one = contributions("cat", "dog", tiny_static)
    adds_up(one)
    assert len(one.first.tokens) == 1


@pytest.mark.parametrize("which", ["tiny_bert", "tiny_static"])
def test_linear_layers_are_exact_and_the_bias_has_its_own_share(which: str, request: pytest.FixtureRequest) -> None:
    from sentence_transformers.base.modules import Normalize

    folder = request.getfixturevalue(which)
    for modules in ([dense(), Normalize()], [Normalize(), dense()], [dense(32, use_residual=True), dense(9)]):
        model = behind(folder, *modules, truncate_dim=8)
        record = contributions(CAT, DOG, model)
        adds_up(record)
        assert record.cosine == pytest.approx(cosine(model, CAT, DOG), abs=1e-5)
        assert [token.kind for token in record.first.tokens].count("bias") == 1
        assert record.first.tokens[-1].kind == "bias"
    plain = contributions(CAT, DOG, behind(folder, dense(bias=False)))
    adds_up(plain)
    assert "bias" not in {token.kind for token in plain.first.tokens}


@pytest.mark.parametrize("mode", ["cls", "max", "lasttoken", ("mean", "cls")])
def test_other_poolings_are_approximated_and_said(tiny_bert: Path, mode: Any) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    model = SentenceTransformer(modules=[loaded(tiny_bert)[0], Pooling(32, mode)], device="cpu")
    record = contributions(CAT, DOG, model)
    assert not record.exact and record.pairs is None
    assert record.cosine == pytest.approx(cosine(model, CAT, DOG), abs=1e-5)
    assert record.how.startswith("approximation (its pooling is ")
    assert [token.value is None for token in record.first.tokens] == [True, *[False] * 6, True]
    assert record.residual == pytest.approx((record.cosine - record.first.total, record.cosine - record.second.total))
    assert f"not shared out: {record.residual[0]:+.4f} of the first" in record.caption


@pytest.mark.parametrize("which", ["tiny_bert", "tiny_static"])
def test_a_layer_that_is_not_linear_is_approximated(which: str, request: pytest.FixtureRequest) -> None:
    from torch import nn

    model = behind(request.getfixturevalue(which), dense(activation=nn.Tanh()))
    record = contributions(CAT, DOG, model)
    assert not record.exact
    assert "after the pooling comes a Dense that is not linear" in record.how
    assert all(token.value is not None for token in record.first.tokens if token.kind == "text")


def test_an_approximation_is_what_the_cosine_falls_by(tiny_static: Path) -> None:
    from torch import nn

    model = behind(tiny_static, dense(activation=nn.Tanh()))
    record = contributions(CAT, DOG, model)
    without = [" ".join(words) for n in range(6) if (words := [w for m, w in enumerate(CAT.split()) if m != n])]
    by_hand = [cosine(model, CAT, DOG) - cosine(model, text, DOG) for text in without]
    assert [token.value for token in record.first.tokens] == pytest.approx(by_hand, abs=1e-5)


def test_a_vector_that_is_no_sum_of_its_tokens_is_found_out(tiny_bert: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    first, pooling = loaded(tiny_bert).children()

    class Twisted(type(pooling)):
        def forward(self, features: dict, **options: Any) -> dict:
            made = super().forward(features, **options)
            return {**made, "sentence_embedding": torch.tanh(made["sentence_embedding"])}

    Twisted.__name__ = "Pooling"
    pooling.__class__ = Twisted
    record = contributions(CAT, DOG, SentenceTransformer(modules=[first, pooling], device="cpu"))
    assert not record.exact
    assert "no weighted sum of what it has for each token" in record.how


def test_a_model_without_tokens_gives_no_numbers() -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    model = SentenceTransformer(modules=[BoW([*CAT.split(), *DOG.split()])], device="cpu")
    record = contributions(CAT, CAT, model)
    assert record.cosine == pytest.approx(1)
    assert record.first.tokens == ()
    assert record.how.startswith("no token has a share (it has no pooling, but BoW)")


def test_what_the_model_does_not_see_is_said(tiny_bert: Path) -> None:
    model = loaded(tiny_bert)
    model.max_seq_length = 6
    record = contributions(CAT, DOG, model)
    adds_up(record)
    assert shown(record) == ["[CLS]", "the", "cat", "sleeps", "in", "[SEP]"]
    assert (record.first.unseen, record.second.unseen, record.first.limit) == (2, 0, 6)
    assert "2 tokens of the first text are beyond the limit of 6 and not seen" in record.caption
    assert record.cosine == pytest.approx(cosine(model, CAT, DOG), abs=1e-5)


def test_a_prompt_is_a_part_of_its_own(tiny_bert: Path) -> None:
    model = loaded(tiny_bert)
    record = contributions(CAT, DOG, model, prompt="red tree: ")
    adds_up(record)
    kinds = [token.kind for token in record.first.tokens]
    assert kinds == ["special", "prompt", "prompt", "prompt", *["text"] * 6, "special"]
    assert all(CAT[t.start : t.end] == t.text for t in record.first.tokens if t.kind == "text")
    assert record.cosine == pytest.approx(cosine(model, "red tree: " + CAT, "red tree: " + DOG), abs=1e-5)


@pytest.mark.parametrize("included", [True, False])
def test_a_prompt_means_what_it_means_for_vectors(tiny_bert: Path, included: bool) -> None:
    model = loaded(tiny_bert)
    model.prompts, model.default_prompt_name = {"query": "blue star "}, "query"
    model[1].include_prompt = included
    record = contributions(CAT, DOG, model, prompt="red tree: ")
    adds_up(record)
    a, b = embed([CAT, DOG], model, prompt="red tree: ").unit
    assert record.cosine == pytest.approx(a @ b, abs=1e-5)
    assert [token.text for token in record.first.tokens if token.kind == "prompt"] == ["red", "tree", ":"]


@pytest.mark.parametrize("included", [True, False])
def test_the_default_prompt_of_the_model_is_put_before(tiny_bert: Path, included: bool) -> None:
    model = loaded(tiny_bert)
    model.prompts, model.default_prompt_name = {"query": "red tree: "}, "query"
    model[1].include_prompt = included
    record = contributions(CAT, DOG, model)
    adds_up(record)
    assert record.cosine == pytest.approx(cosine(model, CAT, DOG), abs=1e-5)
    shares = [token.value for token in record.first.tokens if token.kind == "prompt"]
    assert len(shares) == 3
    assert any(shares) == included


def test_an_empty_text_has_what_the_model_puts_in(tiny_bert: Path, tiny_static: Path) -> None:
    record = contributions("", DOG, tiny_bert)
    adds_up(record)
    assert shown(record) == ["[CLS]", "[SEP]"]
    nothing = contributions(CAT, "", tiny_static)
    assert nothing.cosine is None and not nothing.exact
    assert nothing.why == "the vector of the second text is zero or not finite"
    assert "undefined: the vector of the second text" in repr(nothing)
    assert nothing.residual == (None, None)
    assert nothing.second.tokens == ()


def test_a_text_of_one_token_loses_all_without_it(tiny_static: Path) -> None:
    from torch import nn

    record = contributions("cat", DOG, behind(tiny_static, dense(activation=nn.Tanh(), bias=False)))
    assert record.first.total == pytest.approx(record.cosine, abs=1e-5)


def test_a_name_a_folder_a_run_and_a_loaded_model_give_the_same(tiny_bert: Path) -> None:
    class Run:
        model_folder = tiny_bert

    records = [contributions(CAT, DOG, model) for model in (tiny_bert, str(tiny_bert), Run(), loaded(tiny_bert))]
    assert len({round(record.cosine, 6) for record in records}) == 1
    assert [record.model for record in records[:3]] == ["tiny-bert"] * 3
    a, b = vectors([CAT, DOG], tiny_bert)
    assert records[0].cosine == pytest.approx(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), abs=1e-5)


def test_what_is_no_text_or_no_model_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(DataError, match=r"expected texts, got list \(\['a'\]\) as first; convert it to str"):
        contributions(["a"], "b", tiny_bert)
    with pytest.raises(DataError, match=r"expected texts, got NoneType \(None\) as prompt"):
        contributions("a", "b", tiny_bert, prompt=None)
    with pytest.raises(DataError, match=r"got half a character in .* as first; mend it"):
        contributions("\ud800 cat", "b", tiny_bert)
    with pytest.raises(ModelError, match="got int"):
        contributions("a", "b", 3)


def test_a_record_is_a_table_in_four_forms_and_travels_between_processes(tiny_bert: Path) -> None:
    record = contributions(f"cat {HOSTILE}", DOG, tiny_bert)
    frame = record.to_frame()
    assert frame["value"].groupby(frame["side"]).sum().tolist() == pytest.approx([record.cosine] * 2, abs=1e-5)
    plain = record.to_json()
    assert plain["first"]["tokens"][1] == {**vars(Token("cat", 0, 3, plain["first"]["tokens"][1]["value"]))}
    assert "[CLS] (special)" in repr(record)
    assert "<img" not in record._repr_html_()
    assert pickle.loads(pickle.dumps(record)).to_json() == plain


@pytest.mark.real
def test_the_packaged_model_is_exact() -> None:
    record = contributions("The cat sat on the mat.", "A kitten rests on a rug.", "all-MiniLM-L6-v2")
    adds_up(record)
    best = max((t for t in record.first.tokens if t.kind == "text"), key=lambda token: token.value)
    assert best.text == "cat"
