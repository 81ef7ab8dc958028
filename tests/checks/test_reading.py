"""All texts of a table as numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from tests.checks.tables import pairs, text
from workbench.checks import reading
from workbench.checks.reading import Texts, read
from workbench.data.load import load
from workbench.data.tokenizer import counter
from workbench.data.tokens import token_stats


def numbers(model: Path, table: pandas.DataFrame, **prompts: str) -> Texts:
    """The texts of a table."""
    return read(load(table), str(model), prompts, lambda *_: None)


def test_tokens_are_those_of_every_text(tiny_bert: Path) -> None:
    table = pairs(50, positive=[text(n % 7, 3 + n % 5) for n in range(50)])
    texts = numbers(tiny_bert, table, positive="is the ")
    count = counter(tiny_bert)[0]
    assert texts.tokens[:, 0].tolist() == count(list(table["anchor"])).tolist()
    assert texts.tokens[:, 1].tolist() == count(["is the " + one for one in table["positive"]]).tolist()
    assert texts.special == 2 and (texts.words_of[texts.which[:, 1]] == texts.tokens[:, 1] - 2).all()


def test_every_distinct_text_is_counted_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    plain = reading._words
    monkeypatch.setattr(reading, "_words", lambda one: (seen.append(one), plain(one))[1])
    numbers(tiny_bert, pairs(100, anchor=["a cat"] * 100, positive=["a cat", "a dog"] * 50))
    assert sorted(filter(None, seen)) == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The cat.", "the  CAT", True),
        ("k-means", "K means", True),
        ("k-means", "k-means++", False),
        ("C#", "C", False),
        ("1.5", "15", False),
        ("-5 K", "5 K", False),
        ("It\u2019s caf\u00e9", "its Caf\u00e9\u2026", True),
        ("caf\u00e9", "cafe", False),
        ("?", "!", False),
    ],
)
def test_what_says_the_same_has_the_same_digest(one: str, other: str, same: bool) -> None:
    assert (reading._near(one) == reading._near(other)) == same


@pytest.mark.parametrize(
    ("one", "kinds"),
    [
        (" \t", {"blank"}),
        ("(A.1)", {"contentless"}),
        ("19", {"contentless", "no text"}),
        ("N/A", {"contentless"}),
        ("is it?", {"question"}),
        ("\u662f\u5417\uff1f", {"question"}),
        ("https://example.org/a", {"no text"}),
        ("a\u0000b cat", {"control"}),
        ("\u732b", set()),
        ("the cat", set()),
    ],
)
def test_what_a_text_is(one: str, kinds: set[str]) -> None:
    assert {kind for kind, bit in reading.BITS.items() if reading._flags(one) & bit} == kinds


def test_rows_with_the_same_texts_in_order_are_equal(tiny_bert: Path) -> None:
    texts = numbers(tiny_bert, pandas.DataFrame({"anchor": ["a", "b", "a"], "positive": ["b", "a", "b"]}))
    assert texts.whole[0] == texts.whole[2] != texts.whole[1]
    assert len(np.unique(texts.which)) == 2


def test_words_of_scripts_without_white_space_are_their_characters() -> None:
    assert reading._words("\u732b\u306f\u7720\u308b") == 4 and reading._words("caf\u00e9 \u732b") == 2
    assert reading._words("a small cat") == 3


def test_a_table_whose_tokens_are_kept_reads_as_one_whose_are_not(tiny_bert: Path) -> None:
    table = pairs(60, positive=[["zz 你好", "", text(n % 7, 3 + n % 5)][n % 3] for n in range(60)])
    fresh, prompted = numbers(tiny_bert, table), numbers(tiny_bert, table, anchor="the ")
    token_stats(table, tiny_bert)
    assert fresh.unknown_of is not None and fresh.unknown_of.sum() > 0
    for before, after in (fresh, numbers(tiny_bert, table)), (prompted, numbers(tiny_bert, table, anchor="the ")):
        assert (after.highest, after.special, after.vocabulary) == (before.highest, before.special, before.vocabulary)
        for name in ("tokens_of", "words_of", "unknown_of", "flags_of", "near_of", "which", "digests"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name), name)


def test_what_is_kept_is_not_tokenised_again(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pairs(20)
    token_stats(table, tiny_bert)
    counted: list[str] = []
    monkeypatch.setattr(reading._Count, "__call__", lambda self, texts: (counted.extend(texts), np.zeros((3, 1)))[1])
    numbers(tiny_bert, table)
    assert counted == [""], "only how many special tokens there are is asked for"
