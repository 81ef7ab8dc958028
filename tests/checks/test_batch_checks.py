"""What meets in a batch, and how many batches there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.tables import codes, fires, pairs, recipe, text, triplets


def test_equal_texts_meet_as_often_as_chance_says(tiny_bert: Path) -> None:
    table = pairs(positive=[text(n // 2) + " burns" for n in range(240)])
    finding = fires(recipe(tiny_bert, table, eval_share=0), "equal-texts-in-batch")
    # a pair meets in a batch of 8 of 240 rows with a chance of 7 in 239
    assert finding.evidence["share_of_rows"] == pytest.approx(7 / 239, rel=0.15)
    assert finding.evidence["texts_in_several_rows"] == 120 and finding.evidence["most_rows_of_one_text"] == 2
    assert finding.to_json()["fix"] == {"batch_sampler": "no_duplicates"}
    assert "equal-texts-in-batch" not in codes(recipe(tiny_bert, table.assign(score=0.5), "CoSENTLoss"))


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
