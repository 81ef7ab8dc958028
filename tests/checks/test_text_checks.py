"""Texts: cut, empty, equal within a row, without the model's prompt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.checks.tables import codes, fires, look, pairs, recipe, text, triplets


def test_cut_texts_are_counted_and_the_limit_is_raised_to_cover_most(tiny_bert: Path) -> None:
    table = pairs(positive=[text(n + 10_000, 30) for n in range(240)])
    finding = fires(recipe(tiny_bert, table, max_seq_length=16, eval_share=0), "texts-cut")
    assert finding.severity == "warning"
    assert "100% of the texts in 'positive' are cut at 16 tokens" in finding.message
    assert finding.evidence["p95_positive"] == 32 and finding.evidence["share_cut_anchor"] == 0
    # of 8 and 32 tokens in each row the last 16 are lost
    assert finding.evidence["share_of_tokens_lost"] == pytest.approx(16 / 40)
    assert finding.fixed == "raise max_seq_length to 32"
    assert "texts-cut" not in codes(recipe(tiny_bert, table))


def test_a_limit_is_raised_no_further_than_there_are_positions(tiny_bert: Path) -> None:
    table = pairs(positive=[text(n + 10_000, 70) for n in range(240)])
    found = look(recipe(tiny_bert, table, max_seq_length=32))
    assert [finding.fixed for finding in found if finding.code == "texts-cut"] == ["raise max_seq_length to 64"]
    assert fires(recipe(tiny_bert, table), "texts-cut").fix() is None


def test_a_few_cut_texts_are_only_noted_and_static_models_cut_none(tiny_bert: Path, tiny_static: Path) -> None:
    table = pairs(positive=[text(n + 10_000, 70 if n < 4 else 6) for n in range(240)])
    assert fires(recipe(tiny_bert, table, eval_share=0), "texts-cut").severity == "note"
    assert "texts-cut" not in codes(recipe(tiny_static, table))


def test_a_prompt_counts_as_part_of_the_text(tiny_bert: Path) -> None:
    long = {"anchor": text(1, 60)}
    assert "'anchor' are cut" in fires(recipe(tiny_bert, pairs(), prompts=long), "texts-cut").message


def test_every_row_is_counted(tiny_bert: Path) -> None:
    table = pairs(6000)
    table.loc[5999, "positive"] = text(1, 70)
    finding = fires(recipe(tiny_bert, table, eval_share=0), "texts-cut")
    assert finding.evidence["share_cut_positive"] == pytest.approx(1 / 6000)
    assert str(finding.evidence["measured_on"]).startswith("all 6,000 training rows")


def test_a_limit_that_the_model_cannot_have_is_refused(tiny_bert: Path, tiny_static: Path) -> None:
    assert (
        fires(recipe(tiny_bert, pairs(), max_seq_length=512), "limit-not-possible").fixed == "set max_seq_length to 64"
    )
    assert (
        fires(recipe(tiny_static, pairs(), max_seq_length=64), "limit-not-possible").fixed == "leave out max_seq_length"
    )
    assert "limit-not-possible" not in codes(recipe(tiny_bert, pairs(), max_seq_length=64))


def test_positions_before_the_padding_do_not_count(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "roberta"
    shutil.copytree(tiny_bert, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta", "pad_token_id": 1}))
    long = pairs(positive=[text(n, 70) for n in range(240)])
    assert "are cut at 62 tokens" in fires(recipe(folder, long), "texts-cut").message
    assert "are cut at 64 tokens" in fires(recipe(tiny_bert, long), "texts-cut").message


def test_a_transformer_that_never_cuts_is_named_where_texts_are_long(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(tiny_bert, folder)
    for name, settings in (("config.json", ["max_position_embeddings"]), ("tokenizer_config.json", ["model_max_length"]),
                           ("sentence_bert_config.json", ["max_seq_length"])):  # fmt: skip
        read = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: value for key, value in read.items() if key not in settings}))
    table = pairs()
    assert "texts-never-cut" not in codes(recipe(folder, table))
    table.loc[0, "positive"] = text(1, 1100)
    assert "1,102 tokens" in fires(recipe(folder, table, eval_share=0), "texts-never-cut").message


def test_texts_without_a_word_are_counted(tiny_bert: Path) -> None:
    table = pairs()
    table.loc[[1, 2, 3], "positive"] = ["19", "(A.1)", " n/a"]
    finding = fires(recipe(tiny_bert, table, eval_share=0), "texts-without-content")
    assert "3 of 240 texts in 'positive'" in finding.message and "(row 2, 3, 4)" in finding.message
    table.loc[[1, 2, 3], "positive"] = ["\u732b", "ML", "x of y"]
    assert "texts-without-content" not in codes(recipe(tiny_bert, table))


def test_wrongly_decoded_texts_are_counted_by_what_is_wrong(tiny_bert: Path) -> None:
    table = pairs()
    table.loc[[0, 5], "anchor"] = ["the cat\u00e2\u20ac\u2122s fish", "a dog\ufffd"]
    finding = fires(recipe(tiny_bert, table, eval_share=0), "wrong-encoding")
    assert (finding.evidence["misread"], finding.evidence["replaced"], finding.evidence["control"]) == (1, 1, 0)
    assert finding.severity == "note"
    table.loc[[0, 5], "anchor"] = ["the cat\u2019s fish", "caf\u00e9"]
    assert "wrong-encoding" not in codes(recipe(tiny_bert, table, eval_share=0))


def test_empty_texts_are_counted_with_their_rows(tiny_bert: Path) -> None:
    table = pairs()
    table.loc[[3, 8], "positive"] = ["", "  "]
    finding = fires(recipe(tiny_bert, table, eval_share=0), "empty-texts")
    assert "2 of 240 texts in 'positive'" in finding.message and "(row 4, 9)" in finding.message


def test_a_text_that_stands_twice_in_a_row_is_named(tiny_bert: Path) -> None:
    table = triplets()
    table.loc[0, "positive"] = table.loc[0, "anchor"]
    assert (
        "(row 1), so there is nothing to learn"
        in fires(recipe(tiny_bert, table, eval_share=0), "same-text-in-row").message
    )
    other = triplets()
    other.loc[4, "negative"] = other.loc[4, "positive"]
    assert "what is wanted and what is not are the same" in fires(recipe(tiny_bert, other, eval_share=0), "same-text-in-row").message  # fmt: skip


def test_texts_of_a_row_that_differ_in_signs_only_are_named(tiny_bert: Path) -> None:
    table = triplets()
    table.loc[2, "negative"] = table.loc[2, "positive"].upper() + "!"
    finding = fires(recipe(tiny_bert, table, eval_share=0), "nearly-same-text-in-row")
    assert (
        finding.severity == "warning" and "(row 3), so what is wanted and what is not are the same" in finding.message
    )
    other = triplets()
    other.loc[2, "positive"] = other.loc[2, "anchor"] + "?"
    assert fires(recipe(tiny_bert, other, eval_share=0), "nearly-same-text-in-row").severity == "note"


def test_the_prompts_of_a_model_are_offered_by_column(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with-prompts"
    shutil.copytree(tiny_bert, folder)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "is the ", "document": ""}})
    )
    finding = fires(recipe(folder, pairs()), "prompts-not-used")
    assert finding.to_json()["fix"] == {"prompts": {"anchor": "is the "}}
    other = fires(recipe(folder, pairs(), prompts={"anchor": "search: "}), "prompts-differ")
    assert "trains with 'search: '" in other.message and other.to_json()["fix"] == {"prompts": {"anchor": "is the "}}
