"""The tables of the gallery have the flaws that they are made for, and are the same each time."""

from __future__ import annotations

from collections import Counter

from workbench.data.encodings import suspicious
from workbench.data.glossary.views import concepts
from workbench.data.load import load
from workbench.data.prepare import task_of
from workbench.data.repair import repair, words
from workbench.gallery import tables

TEST = {text for concept in concepts() if concept.split == "test" for text in (concept.question, *concept.definitions)}


def test_documents_of_one_topic_and_of_two_are_equally_many() -> None:
    for split, passages in (("train", 3), ("train", 1), ("test", 1)):
        data = tables.documents(split, passages=passages)
        assert task_of(data) == "graded"
        assert Counter(data.column("label")) == dict.fromkeys((0, 1), len(data) // 2)
        assert all(first != second for first, second in zip(*(data.column(name) for name in data.texts), strict=True))


def test_definitions_are_triplets_of_short_texts_that_all_differ() -> None:
    data = tables.definitions()
    rows = list(zip(*(data.column(name) for name in data.texts), strict=True))
    assert data.texts == ("anchor", "positive", "negative")
    assert all(len(set(row)) == 3 for row in rows)
    assert not TEST & {text for row in rows for text in row}


def test_broken_sentences_are_misread_in_both_ways_and_have_fragments_and_run_ons() -> None:
    data = tables.broken_sentences()
    texts = [text for name in data.texts for text in data.column(name)]
    assert any("â€™" in text for text in texts), "UTF-8 read as Windows-1252"
    assert any("‚Äô" in text for text in texts), "UTF-8 read as Mac Roman"
    assert {"2", "(A.3)", "p. 6"} <= set(texts)
    assert sum(words(text) == 0 for text in texts) > 100
    assert sum(len(text) > 1500 for text in texts) >= 10


def test_broken_sentences_come_back_as_they_were() -> None:
    whole = load("glossary/sentences").column("sentence")
    typeset = {text.replace(", and ", " — and ").replace("'", "’").replace(" - ", " — ") for text in whole}
    mended = repair(tables.broken_sentences(), least_words=3)
    back = mended.examples.column("sentence")
    assert len(mended.mended) > 250 and len(mended.left_out) >= 168
    assert not [text for text in back if suspicious(text)]
    assert {text for text in back if not text.isascii()} <= {*typeset, *whole}


def test_a_table_is_written_once_and_again_when_it_changes() -> None:
    first = tables.kept("some", {"anchor": ["a", "b"], "positive": ["c", "d"]})
    written = first.spec.source
    assert tables.kept("some", {"anchor": ["a", "b"], "positive": ["c", "d"]}).fingerprint == first.fingerprint
    assert tables.kept("some", {"anchor": ["a", "x"], "positive": ["c", "d"]}).column("anchor") == ["a", "x"]
    assert written.endswith("some.parquet")
