"""The shipped data set: its texts, and the tables that are built from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from workbench.data.glossary import views
from workbench.data.glossary.views import Concept, concepts, rows
from workbench.errors import DataError

VIEWS = ("triplets", "qa", "sentences", "graded", "labelled")


def texts_of(view: str, split: str) -> dict[str, list]:
    table, roles = rows(view, split)
    return {name: table[name] for name, role in roles.items() if role in ("anchor", "positive", "negative")}


def begins(texts: Iterable[str]) -> Counter[str]:
    return Counter(" ".join(text.lower().split()[:5]) for text in texts)


def test_there_are_270_concepts_15_in_each_of_18_topics() -> None:
    assert len(concepts()) == 270
    assert set(Counter(concept.topic for concept in concepts()).values()) == {15}
    assert len({concept.topic for concept in concepts()}) == 18


@pytest.mark.parametrize("field", ["term", "question", "passage"])
def test_no_two_concepts_share_a_text(field: str) -> None:
    values = [getattr(concept, field).casefold() for concept in concepts()]
    assert [value for value, count in Counter(values).items() if count > 1] == []


def test_no_definition_is_written_twice_and_none_is_another_text() -> None:
    definitions = [text.casefold() for concept in concepts() for text in concept.definitions]
    assert [text for text, count in Counter(definitions).items() if count > 1] == []
    others = {text.casefold() for concept in concepts() for text in (concept.term, concept.question, concept.passage)}
    assert others.isdisjoint(definitions)


def test_every_concept_has_three_definitions_and_a_question() -> None:
    for concept in concepts():
        assert len(concept.definitions) >= 3, concept.term
        assert concept.question.rstrip("\"')").endswith("?"), concept.question


def test_every_text_is_whole_and_clean() -> None:
    for concept in concepts():
        for text in (concept.term, concept.question, concept.passage, *concept.definitions):
            assert text == " ".join(text.split()), concept.term
            assert text
        for text in concept.definitions:
            assert text.rstrip("\"')")[-1] in ".?!", f"{concept.term}: {text[-40:]}"


def test_passages_have_60_to_300_words() -> None:
    lengths = {concept.term: len(concept.passage.split()) for concept in concepts()}
    assert {term: words for term, words in lengths.items() if not 60 <= words <= 300} == {}


def test_texts_begin_in_different_ways() -> None:
    assert max(begins(text for concept in concepts() for text in concept.definitions).values()) <= 2
    assert max(begins(concept.passage for concept in concepts()).values()) <= 2


def test_about_a_third_of_the_passages_never_name_their_term() -> None:
    silent = [concept for concept in concepts() if concept.term.casefold() not in concept.passage.casefold()]
    assert 0.2 < len(silent) / len(concepts()) < 0.5


# views


def test_the_views_are_known_and_described() -> None:
    assert tuple(views.VIEWS) == VIEWS
    assert all(views.VIEWS.values())


def test_four_of_fifteen_concepts_of_each_topic_are_for_tests() -> None:
    parts = Counter((concept.topic, concept.split) for concept in concepts())
    assert {count for (_, split), count in parts.items() if split == "test"} == {4}
    assert {count for (_, split), count in parts.items() if split == "train"} == {11}


def owners(view: str, split: str) -> set[str]:
    """Terms of all concepts that a text of this part comes from."""
    home: dict[str, str] = {}
    for concept in concepts():
        for text in (concept.term, concept.question, concept.passage, *concept.definitions, *concept.sentences):
            home[text] = concept.term
    return {home[text] for column in texts_of(view, split).values() for text in column}


@pytest.mark.parametrize("view", VIEWS)
def test_no_concept_is_in_both_parts(view: str) -> None:
    train, test = owners(view, "train"), owners(view, "test")
    assert train & test == set()
    assert len(train) == 18 * 11
    assert len(test) == 18 * 4


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_of_the_test_part_is_trained_on(view: str) -> None:
    train = {text for column in texts_of(view, "train").values() for text in column}
    test = {text for column in texts_of(view, "test").values() for text in column}
    assert train.isdisjoint(test)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_a_full_table_without_equal_rows(view: str, split: str) -> None:
    table, roles = rows(view, split)
    assert list(table) == list(roles)
    lengths = {len(column) for column in table.values()}
    assert len(lengths) == 1
    assert min(lengths) >= 200
    together = list(zip(*table.values(), strict=True))
    assert len(set(together)) == len(together)
    assert all(isinstance(text, str) and text for column in texts_of(view, split).values() for text in column)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_same_each_time(view: str) -> None:
    assert rows(view, "test") == rows(view, "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_negative_of_a_triplet_is_another_concept(split: str) -> None:
    table, _ = rows("triplets", split)
    by_passage = {concept.passage: concept for concept in concepts()}
    by_term = {concept.term: concept for concept in concepts()}
    topics = Counter()
    for passage, term, other in zip(*table.values(), strict=True):
        assert by_passage[passage].term == term
        assert other != term
        topics[by_term[other].topic == by_term[term].topic] += 1
    assert topics[True] == topics[False]


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_answer_belongs_to_its_question(split: str) -> None:
    table, _ = rows("qa", split)
    by_question = {concept.question: concept for concept in concepts()}
    for question, definition in zip(*table.values(), strict=True):
        assert definition in by_question[question].definitions


@pytest.mark.parametrize("split", ["train", "test"])
def test_scores_follow_from_concept_and_topic(split: str) -> None:
    table, _ = rows("graded", split)
    home = {text: concept for concept in concepts() for text in concept.definitions}
    counts = Counter(table["score"])
    assert set(counts) == {0.0, 0.4, 1.0}
    assert len(set(counts.values())) == 1
    for a, b, score in zip(*table.values(), strict=True):
        assert a != b
        same = 1.0 if home[a] is home[b] else 0.4 if home[a].topic == home[b].topic else 0.0
        assert score == same


def test_no_pair_of_definitions_is_scored_twice() -> None:
    table, _ = rows("graded", "train")
    pairs = [frozenset(pair) for pair in zip(table["text_a"], table["text_b"], strict=True)]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("split", ["train", "test"])
def test_sentences_follow_each_other_in_their_passage(split: str) -> None:
    table, _ = rows("sentences", split)
    passages = [concept.passage for concept in concepts() if concept.split == split]
    whole = " ¶ ".join(passages)
    for first, second in zip(*table.values(), strict=True):
        assert f"{first} {second}" in whole


def test_labelled_texts_have_the_topic_of_their_concept() -> None:
    table, roles = rows("labelled", "train")
    assert roles == {"text": "anchor", "topic": "label"}
    assert set(Counter(table["topic"]).values()) == {44}
    assert len(set(table["topic"])) == 18


def test_short_sentences_are_joined_and_none_is_lost() -> None:
    passage = (
        'It began. Then "all of it stopped." Why? Nobody in the room could say so! (Later they could tell us.) End.'
    )
    concept = Concept("x", "t", "?", ("a", "b", "c"), passage)
    assert " ".join(concept.sentences) == passage
    assert concept.sentences == [
        'It began. Then "all of it stopped." Why?',
        "Nobody in the room could say so!",
        "(Later they could tell us.) End.",
    ]


def test_all_sentences_of_a_passage_make_the_passage() -> None:
    for concept in concepts():
        assert " ".join(concept.sentences) == concept.passage
        assert len(concept.sentences) >= 2, concept.term


def test_an_unknown_view_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        DataError, match=r"glossary/triplets, glossary/qa.*got glossary/triplet; did you mean 'triplets'"
    ):
        rows("triplet", "train")


def test_an_unknown_part_is_answered_with_those_there_are() -> None:
    with pytest.raises(DataError, match="expected the split train or test of glossary/qa, got 'dev'"):
        rows("qa", "dev")
