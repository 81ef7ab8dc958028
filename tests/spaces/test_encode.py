"""Vectors: in the order of the texts, made once, and honest about those that are no use."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.spaces.standins import Model, random_vector, space
from workbench.errors import DataError, ModelError
from workbench.spaces import engine, kept
from workbench.spaces.encode import embed

HOSTILE = ["", " ", "\x00", "<img src=x onerror=alert(1)>", "\u202eabc", "😀" * 50, "a\nb", "x" * 5000]


def test_vectors_come_in_the_order_of_the_texts() -> None:
    texts = ["a", "bbb", "cc", "a", *HOSTILE]
    made = embed(texts, Model(random_vector), batch_size=2)
    assert made.texts == tuple(texts)
    assert made.vectors.dtype == np.float32
    np.testing.assert_allclose(made.vectors, [random_vector(text) for text in texts], rtol=1e-6)


def test_equal_texts_are_encoded_once() -> None:
    model = Model(random_vector)
    made = embed(["b", "a", "b", "b"], model)
    assert sorted(model.asked) == ["a", "b"]
    assert (made.vectors[0] == made.vectors[2]).all()


def test_vectors_are_made_once_and_then_read_from_the_disk() -> None:
    model = Model(random_vector)
    first = embed(["a", "b"], model)
    again = embed(["a", "b"], model)
    assert sorted(model.asked) == ["a", "b"]
    np.testing.assert_array_equal(first.vectors, again.vectors)


@pytest.mark.parametrize("other", [["b", "a"], ["ab"], ["a", "b", "c"], ["a", "b "]])
def test_other_texts_are_encoded_anew(other: list[str]) -> None:
    model = Model(random_vector)
    embed(["a", "b"], model)
    made = embed(other, model)
    np.testing.assert_allclose(made.vectors, [random_vector(text) for text in other], rtol=1e-6)


def test_another_model_or_prompt_is_encoded_anew() -> None:
    embed(["a"], Model(random_vector, "one"))
    other = embed(["a"], Model(lambda text: random_vector(text + "!"), "two"))
    np.testing.assert_allclose(other.vectors[0], random_vector("a!"), rtol=1e-6)
    prompted = embed(["a"], Model(random_vector, "one"), prompt="query: ")
    np.testing.assert_allclose(prompted.vectors[0], random_vector("query: a"), rtol=1e-6)
    assert (prompted.texts, prompted.prompt) == (("a",), "query: ")


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"\x80\x04.", b"junk" * 100])
def test_a_damaged_file_of_vectors_is_made_again(damage: bytes, workbench_home: Path) -> None:
    model = Model(random_vector)
    first = embed(["a", "b"], model)
    (kept,) = workbench_home.rglob("*.npy")
    kept.write_bytes(damage)
    np.testing.assert_array_equal(embed(["a", "b"], model).vectors, first.vectors)
    assert len(model.asked) == 4


@pytest.mark.parametrize("wrong", [np.zeros((3, 8), np.float32), np.zeros((2, 8)), np.zeros(2, np.float32)])
def test_vectors_of_another_shape_or_type_are_made_again(wrong: np.ndarray, workbench_home: Path) -> None:
    model = Model(random_vector)
    first = embed(["a", "b"], model)
    (kept,) = workbench_home.rglob("*.npy")
    np.save(kept, wrong)
    np.testing.assert_array_equal(embed(["a", "b"], model).vectors, first.vectors)


def test_a_full_disk_costs_only_the_cache(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "_reserve", full)
    assert len(embed(["a", "b"], Model(random_vector))) == 2
    assert "vectors are not kept for next time" in caplog.text


def test_progress_counts_distinct_texts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    embed([str(n % 20) for n in range(50)], Model(random_vector), batch_size=1, progress=lambda *at: seen.append(at))
    assert seen == [(n, 20) for n in range(1, 21)]


def test_no_texts_give_no_vectors_of_the_right_dimension() -> None:
    made = embed([], Model(random_vector, d=8))
    assert made.vectors.shape == (0, 8)
    assert made.usable.shape == (0,)
    assert made.unit.shape == (0, 8)


def test_labels_travel_as_text() -> None:
    assert embed(["a", "b"], Model(random_vector), labels=[1, None]).labels == ("1", "no value")
    odd = [float("nan"), "nan", True, np.float32("nan"), 2.5]
    labelled = embed(list("abcde"), Model(random_vector), labels=odd)
    assert labelled.labels == ("no value", "nan", "True", "no value", "2.5")
    assert embed(["a", "b"], Model(random_vector), labels=(n for n in range(2))).labels == ("0", "1")


@pytest.mark.parametrize(
    ("texts", "row", "kind"), [(["a", None], 2, "NoneType"), ([3.5], 1, "float"), ([b"a"], 1, "bytes")]
)
def test_what_is_no_text_is_named_with_its_number(texts: list, row: int, kind: str) -> None:
    with pytest.raises(DataError, match=rf"expected texts, got {kind} \(.*\) as number {row}; convert it to str"):
        embed(texts, Model(random_vector))


def test_half_a_character_is_named_since_no_tokenizer_takes_it() -> None:
    with pytest.raises(DataError, match=r"got half a character in 'a \\ud800' as number 2; mend it or leave it out"):
        embed(["fine 🙂", "a \ud800"], Model(random_vector))
    with pytest.raises(DataError, match=r"expected texts, got int \(3\) as prompt"):
        embed(["a"], Model(random_vector), prompt=3)  # type: ignore[arg-type]


def test_a_single_text_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(DataError, match=r"expected a list of texts, got one text \('hello'\); put it into a list"):
        embed("hello", Model(random_vector))


@pytest.mark.parametrize(("labels", "got"), [("ab", "str"), (3, "int")])
def test_labels_are_a_list(labels: object, got: str) -> None:
    with pytest.raises(DataError, match=f"one label for each of 2 texts, got {got} .*; give a list of labels"):
        embed(["a", "b"], Model(random_vector), labels=labels)  # type: ignore[arg-type]


def test_labels_must_be_as_many_as_texts() -> None:
    with pytest.raises(DataError, match="one label for each of 2 texts, got 1"):
        embed(["a", "b"], Model(random_vector), labels=["x"])


@pytest.mark.parametrize("model", [3, None, object(), ["all-MiniLM-L6-v2"]])
def test_what_is_no_model_is_named(model: object) -> None:
    with pytest.raises(ModelError, match="expected a model name, a folder, a run or a SentenceTransformer, got "):
        embed(["a"], model)


def test_usable_is_false_for_zero_and_not_finite_vectors() -> None:
    made = space([[1, 0], [0, 0], [np.nan, 1], [np.inf, 1], [0, -1e-30]])
    assert made.usable.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("scale", [1, 1e-30, 1e-42, 1e25, 3e38])
def test_unit_vectors_have_length_one_whatever_the_scale(scale: float) -> None:
    made = space(np.array([[0.6, -0.8], [1, 1], [0, 0], [np.nan, 0]]) * scale)
    lengths = np.linalg.norm(made.unit, axis=1)
    assert made.unit.dtype == np.float32
    np.testing.assert_allclose(lengths, [1, 1, 0, 0], rtol=1e-3)


def test_a_space_says_what_it_is() -> None:
    assert repr(space([[1, 2, 3]])) == "Space(1 texts × 3 dimensions, a model)"


# real models


def test_a_run_is_named_by_its_folder_and_not_by_the_model_folder_in_it(tiny_bert: Path, tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    run.mkdir()
    (run / "model").symlink_to(tiny_bert)
    assert embed(["the cat"], SimpleNamespace(model_folder=run / "model"), device="cpu").model == "my-run"


def test_a_model_by_folder_text_run_or_loaded_gives_the_same_vectors(tiny_bert: Path) -> None:
    from workbench.catalog import models

    texts = ["the red cat", "a small river", "the red cat sleeps in the old house"]
    run = SimpleNamespace(model_folder=tiny_bert)
    loaded = models.load(tiny_bert, device="cpu")
    spaces = [embed(texts, model, device="cpu") for model in (tiny_bert, str(tiny_bert), run, loaded)]
    for made in spaces[1:]:
        np.testing.assert_allclose(made.vectors, spaces[0].vectors, atol=1e-6)
    assert spaces[0].vectors.shape == (3, 32)
    assert {made.model for made in spaces[:3]} == {"tiny-bert"}
    assert len({made.model_fingerprint for made in spaces[:3]}) == 1


def test_loaded_models_that_differ_only_in_settings_do_not_share_vectors(tiny_bert: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(str(tiny_bert))
    texts = ["the red cat sleeps"]

    def vectors(*modules: object, truncate_dim: int | None = None) -> np.ndarray:
        model = SentenceTransformer(modules=[transformer, *modules], device="cpu", truncate_dim=truncate_dim)
        return embed(texts, model).vectors[0]

    mean = vectors(Pooling(32))
    assert not np.allclose(vectors(Pooling(32, pooling_mode="cls")), mean)
    assert np.linalg.norm(vectors(Pooling(32), Normalize())) == pytest.approx(1)
    assert vectors(Pooling(32), truncate_dim=8).shape == (8,)


def test_a_loaded_model_that_was_trained_on_is_encoded_anew(tiny_static: Path) -> None:
    import torch

    from workbench.catalog import models

    model = models.load(tiny_static, device="cpu")
    before = embed(["the red cat"], model)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    after = embed(["the red cat"], model)
    assert after.model_fingerprint != before.model_fingerprint
    np.testing.assert_allclose(after.vectors, before.vectors * 2, rtol=1e-5)


def test_a_model_in_bfloat16_can_be_embedded_with(tiny_bert: Path) -> None:
    from workbench.catalog import models

    model = models.load(tiny_bert, device="cpu").bfloat16()
    made = embed(["the red cat"], model)
    assert made.vectors.dtype == np.float32
    assert made.usable.all()


def test_the_process_that_panels_share_loads_a_model_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.catalog import models

    load, loads = models.load, list[object]()
    monkeypatch.setattr(models, "load", lambda *given, **options: (loads.append(given), load(*given, **options))[1])
    engine.loaded.cache_clear()
    embed(["a cat"], tiny_bert)
    embed(["a dog"], tiny_bert)
    assert len(loads) == 2, "elsewhere no model stays in memory"
    monkeypatch.setattr("multiprocessing.parent_process", object)
    for text in ("a tree", "a river", "a stone"):
        embed([text], tiny_bert)
    assert len(loads) == 3
    engine.loaded.cache_clear()
