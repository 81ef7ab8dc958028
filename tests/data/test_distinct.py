"""The texts of a table for a map, and what they can be coloured by."""

from __future__ import annotations

import pandas as pd
import pytest

from workbench.data.distinct import NEGATIVE, NOTHING, SEVERAL, colour_choices, distinct_texts, labels_of
from workbench.data.load import load
from workbench.errors import DataError

PAIRS = {"anchor": ["a", "b", "a"], "positive": ["c", "a", "d"], "topic": ["x", "y", None], "n": [1, 1, 1]}


def table(columns: dict, **roles: str):
    return load(pd.DataFrame(columns), columns=roles or None)


def test_each_text_comes_once_in_the_order_of_columns_and_rows() -> None:
    assert distinct_texts(table(PAIRS, anchor="anchor", positive="positive")) == ["a", "b", "c", "d"]


def test_colours_are_the_label_first_then_columns_with_few_values_then_the_columns_themselves() -> None:
    data = table({**PAIRS, "label": [0, 1, 0]}, anchor="anchor", positive="positive", label="label")
    assert colour_choices(data) == ("label", "topic", "column")


def test_columns_with_one_or_with_many_values_are_no_colours() -> None:
    many = {"text": [f"t{n}" for n in range(60)], "id": list(range(60)), "same": ["x"] * 60, "few": [0.5, 1.0] * 30}
    assert colour_choices(table(many, text="anchor")) == ("few",)


def test_a_label_of_many_classes_is_a_colour_and_one_that_no_two_texts_share_is_none() -> None:
    texts = [f"t{n}" for n in range(120)]
    classes = table({"text": texts, "label": [f"c{n % 60}" for n in range(120)]}, text="anchor", label="label")
    assert colour_choices(classes) == ("label",)
    assert colour_choices(table({"text": texts, "label": texts}, text="anchor", label="label")) == ()


def test_a_column_of_the_table_named_column_goes_before_ours() -> None:
    data = table(
        {"anchor": ["a", "b"], "positive": ["c", "d"], "column": ["x", "y"]}, anchor="anchor", positive="positive"
    )
    assert colour_choices(data) == ("column",)
    assert labels_of(data, ["a", "d"], "column") == ("x", "y")


def test_texts_are_labelled_by_their_value_and_those_with_several_say_so() -> None:
    data = table(PAIRS, anchor="anchor", positive="positive")
    assert labels_of(data, ["b", "c", "d", "a"], "topic") == ("y", "x", NOTHING, SEVERAL)


def test_texts_are_labelled_by_the_columns_they_stand_in() -> None:
    data = table(PAIRS, anchor="anchor", positive="positive")
    assert labels_of(data, ["a", "b", "c"], "column") == ("anchor and positive", "anchor", "positive")


def test_the_value_of_a_row_says_nothing_about_its_negative() -> None:
    data = table(
        {"a": ["p", "q"], "b": ["r", "s"], "c": ["q", "z"], "topic": ["x", "y"]}, a="anchor", b="positive", c="negative"
    )
    assert labels_of(data, ["p", "q", "z"], "topic") == ("x", "y", NEGATIVE)


def test_numbers_and_truths_are_shown_as_words() -> None:
    data = table({"text": ["a", "b"], "half": [0.5, 2.0], "yes": [True, False]}, text="anchor")
    assert labels_of(data, ["a", "b"], "half") == ("0.5", "2")
    assert labels_of(data, ["a", "b"], "yes") == ("True", "False")


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(
        DataError, match=r"got 'topik'; did you mean 'topic'\?; there are anchor, positive, topic, n, column"
    ):
        labels_of(table(PAIRS, anchor="anchor", positive="positive"), ["a"], "topik")
