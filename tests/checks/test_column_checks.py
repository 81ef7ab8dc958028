"""Columns that were given the wrong role."""

from __future__ import annotations

from pathlib import Path

from tests.checks.tables import codes, fires, pairs, recipe, text, triplets


def test_answers_as_anchors_of_questions_are_swapped_back(tiny_bert: Path) -> None:
    table = pairs(anchor=[text(n, 20) + "." for n in range(240)], positive=[f"is {text(n, 4)}?" for n in range(240)])
    finding = fires(recipe(tiny_bert, table), "columns-swapped")
    assert "100% of the positives in 'positive' are questions, but 0.0% of the anchors" in finding.message
    assert finding.to_json()["fix"]["data"]["columns"] == {"anchor": "positive", "positive": "anchor"}


def test_no_order_is_guessed_without_evidence(tiny_bert: Path) -> None:
    right = pairs(anchor=[f"is {text(n, 4)}?" for n in range(240)], positive=[text(n, 20) for n in range(240)])
    assert "columns-swapped" not in codes(recipe(tiny_bert, right))
    longer = pairs(anchor=[text(n, 20) for n in range(240)])
    assert "columns-swapped" not in codes(recipe(tiny_bert, longer))
    short = pairs(positive=[f"is {text(n, 6)}?" for n in range(240)])
    assert "columns-swapped" not in codes(recipe(tiny_bert, short))


def test_a_column_of_addresses_is_ignored(tiny_bert: Path) -> None:
    table = triplets().assign(negative=[f"https://example.org/{n}" for n in range(240)])
    finding = fires(recipe(tiny_bert, table), "column-of-no-texts")
    assert "its role is negative" in finding.message and finding.fixed == "ignore the column 'negative'"
    numbers = pairs(positive=[f"2024-01-{n:03}" for n in range(240)])
    assert fires(recipe(tiny_bert, numbers), "column-of-no-texts").fix() is None


def test_a_category_as_a_negative_is_ignored(tiny_bert: Path) -> None:
    table = triplets().assign(negative=["the red", "the blue", "the green"] * 80)
    finding = fires(recipe(tiny_bert, table), "few-different-negatives")
    assert "only 3 different texts in 168 rows" in finding.message
    # the loss needs its negative
    assert fires(recipe(tiny_bert, table, "TripletLoss"), "few-different-negatives").fix() is None
    assert "few-different-negatives" not in codes(recipe(tiny_bert, triplets()))
