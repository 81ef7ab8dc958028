"""The BERT of zeros loads as any sentence model does, and is zero through and through."""

from __future__ import annotations

import json

from workbench.catalog import models, weights
from workbench.data.tokenizer import counter
from workbench.gallery.zero_bert import zero_bert


def test_the_model_is_known_before_it_is_loaded() -> None:
    info = models.describe(zero_bert())
    assert (info.dimension, info.max_seq_length, info.normalized) == (50, 512, False)
    assert info.parameters == sum(count for count, *_ in weights.tensors(zero_bert()))


def test_it_takes_all_its_weights_from_the_file_and_all_vectors_are_exactly_zero() -> None:
    from safetensors import safe_open

    model = models.load(zero_bert(), device="cpu")
    with safe_open(str(zero_bert() / "model.safetensors"), framework="numpy") as file:
        assert set(file.keys()) == set(model[0].auto_model.state_dict()), "one that is missing would be a random one"
    vectors = model.encode(["a model", "of the data"])
    assert vectors.shape == (2, 50) and not vectors.any()


def test_a_word_that_is_not_frequent_costs_a_token_a_letter() -> None:
    count, limit = counter(zero_bert())
    assert limit == 512
    assert count(["the data", "xylograph"]).tolist() == [4, 11]


def test_a_second_call_takes_what_is_there_and_a_first_half_written_one_does_not_count() -> None:
    place = zero_bert()
    before = (place / "model.safetensors").stat().st_mtime_ns
    assert zero_bert() == place and (place / "model.safetensors").stat().st_mtime_ns == before
    (place / weights.CHECKSUMS).unlink()
    (place / "config.json").write_text("{")
    assert json.loads((zero_bert() / "config.json").read_text())["hidden_size"] == 50
