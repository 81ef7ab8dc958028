"""What meets in a batch, and how many batches there are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas
import pytest

from tests.checks.tables import codes, fires, pairs, recipe, text, triplets
from workbench.checks.batches import meetings


def test_equal_texts_meet_as_often_as_chance_says(tiny_bert: Path) -> None:
    table = pairs(positive=[text(n // 2) + " burns" for n in range(240)])
    finding = fires(recipe(tiny_bert, table, eval_share=0), "equal-texts-in-batch")
    # a pair meets in a batch of 8 of 240 rows with a chance of 7 in 239
    assert finding.evidence["share_of_rows"] == pytest.approx(7 / 239, rel=0.15)
    assert finding.evidence["texts_in_several_rows"] == 120 and finding.evidence["most_rows_of_one_text"] == 2
    assert finding.to_json()["fix"] == {"batch_sampler": "no_duplicates"}
    assert "equal-texts-in-batch" not in codes(recipe(tiny_bert, table.assign(score=0.5), "CoSENTLoss"))


def test_the_floor_is_ln_k_where_k_rows_repeat_each_other(tiny_bert: Path) -> None:
    table = pandas.concat([pairs(60)] * 4)
    finding = fires(recipe(tiny_bert, table, eval_share=0, batch_size=240), "equal-texts-in-batch")
    assert finding.evidence["least_loss"] == pytest.approx(math.log(4))
    assert "the loss cannot fall below 1.386" in finding.message


def test_the_floor_is_what_the_best_logits_reach() -> None:
    # one anchor with two answers, one answer of two anchors, and a row of its own
    digests = np.array([[1, 11], [1, 12], [2, 13], [3, 13], [4, 14]], np.uint64)
    # by anchor and answer: each of two answers has half the chance, each of two copies too
    assert meetings(digests, 5, 0).floor == pytest.approx(4 / 5 * math.log(2))
    hard = np.array([[1, 11, 21], [2, 21, 22]], np.uint64)
    assert meetings(hard, 2, 0).floor == pytest.approx(math.log(2) / 2)
    assert meetings(digests, 1, 0).floor == 0


def test_texts_that_differ_in_signs_only_are_named(tiny_bert: Path) -> None:
    table = pairs()
    table.loc[7, "positive"] = table.loc[3, "positive"].upper() + " ."
    finding = fires(recipe(tiny_bert, table, eval_share=0), "near-equal-texts")
    assert (
        finding.severity == "note" and "2 texts in 2 of 240 rows" in finding.message and "(row 4, 8)" in finding.message
    )
    table.loc[7, "positive"] = table.loc[3, "positive"]
    assert "near-equal-texts" not in codes(recipe(tiny_bert, table, eval_share=0))


def test_a_text_that_is_anchor_here_and_positive_there_counts_as_equal(tiny_bert: Path) -> None:
    chain = pairs(anchor=[text(n) for n in range(240)], positive=[text(n + 1) for n in range(240)])
    assert (
        fires(recipe(tiny_bert, chain, eval_share=0), "equal-texts-in-batch").evidence["texts_in_several_rows"] == 239
    )


def test_a_text_in_more_rows_than_there_are_batches_leaves_batches_unfilled(tiny_bert: Path) -> None:
    table = pairs(positive=["the cat sleeps"] * 60 + [text(n) for n in range(5000, 5180)])
    finding = fires(recipe(tiny_bert, table, eval_share=0, batch_sampler="no_duplicates"), "batches-not-filled")
    assert "One text is in 60 of 240 rows" in finding.message and finding.fixed == "set batch_size to 4"
    same = recipe(tiny_bert, pairs(positive=["the cat"] * 240), batch_sampler="no_duplicates")
    assert fires(same, "batches-not-filled").fix() is None


def test_a_batch_larger_than_the_table_is_made_smaller(tiny_bert: Path) -> None:
    large = recipe(tiny_bert, pairs(), batch_size=512)
    finding = fires(large, "batch-larger-than-data")
    assert "1 step in all, 1 in an epoch" in finding.message and finding.fixed == "set batch_size to 16"
    assert fires(large.changed(drop_last=True), "no-full-batch").severity == "error"
    tiny = fires(recipe(tiny_bert, pairs(6), eval_share=0), "batch-larger-than-data")
    assert tiny.fixed == "set batch_size to 4"


def test_a_run_of_a_few_steps_is_made_longer(tiny_bert: Path) -> None:
    assert fires(recipe(tiny_bert, pairs(), batch_size=64), "few-steps").fixed == "set batch_size to 16"
    assert fires(recipe(tiny_bert, pairs(12), batch_size=4, eval_share=0), "few-steps").fixed == "set epochs to 4"
    assert fires(recipe(tiny_bert, pairs(), max_steps=3), "few-steps").fixed == "leave out max_steps"
    many = recipe(tiny_bert, pairs(), batch_size=64, epochs=20)
    assert fires(many, "short-epochs").severity == "note"


def test_a_row_alone_in_its_batch_teaches_nothing(tiny_bert: Path) -> None:
    assert fires(recipe(tiny_bert, pairs(), batch_size=1), "batch-of-one").severity == "error"
    finding = fires(recipe(tiny_bert, pairs(241), eval_share=0), "last-batch-of-one")
    assert finding.severity == "note" and finding.fixed == "set drop_last to true"
    assert "last-batch-of-one" not in codes(recipe(tiny_bert, triplets(241), eval_share=0))
