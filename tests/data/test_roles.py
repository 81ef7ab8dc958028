"""What columns are taken for."""

from __future__ import annotations

import pytest

from workbench.data.roles import guess

T, I, F, B, N, O = "text", "int", "float", "bool", "numbers", "other"  # noqa: E741
TABLES = [
    ({"anchor": T, "positive": T, "negative": T}, "anchor positive negative"),
    ({"negative": T, "positive": T, "anchor": T}, "negative positive anchor"),
    ({"query": T, "pos": T, "negative_1": T, "hard_negative_2": T}, "anchor positive negative negative"),
    ({"question": T, "answer": T}, "anchor positive"),
    ({"answer": T, "question": T}, "positive anchor"),
    ({"term": T, "definition": T}, "anchor positive"),
    ({"question": T, "passage": T}, "anchor positive"),
    ({"passage": T, "term": T, "other_term": T}, "anchor positive negative"),
    ({"premise": T, "hypothesis": T, "label": I}, "anchor positive label"),
    ({"sentence1": T, "sentence2": T, "score": F}, "anchor positive score"),
    ({"sentence_0": T, "sentence_1": T, "sentence_2": T}, "anchor positive negative"),
    ({"Sentence_A": T, "Sentence_B": T, "label": F}, "anchor positive score"),
    ({"text": T, "category": T}, "anchor label"),
    ({"text": T, "intent": I}, "anchor label"),
    ({"label": B, "text": T}, "label anchor"),
    ({"a": T, "b": T, "c": T, "d": T}, "anchor positive negative negative"),
    ({"id": T, "url": T, "text": T, "n": I}, "ignore ignore anchor ignore"),
    ({"pair_id": T, "q": T, "p": T}, "ignore anchor positive"),
    ({"query": T, "positive": T, "negative": T, "scores": N}, "anchor positive negative score"),
    ({"text": T, "label": I, "score": F}, "anchor label ignore"),
    ({"text": T, "label": T, "category": T}, "anchor label ignore"),
    ({"topic": T}, "anchor"),
    ({"text": T, "meta": O}, "anchor ignore"),
    ({"document": T, "label": I}, "anchor label"),
]


@pytest.mark.parametrize(("kinds", "roles"), TABLES)
def test_roles_follow_from_names_then_from_order(kinds: dict[str, str], roles: str) -> None:
    assert list(guess(kinds)[0].values()) == roles.split()


@pytest.mark.parametrize("kinds", [kinds for kinds, _ in TABLES])
def test_every_column_has_a_reason_for_its_role(kinds: dict[str, str]) -> None:
    roles, why = guess(kinds)
    assert roles.keys() == kinds.keys() == why.keys() and all(why.values())


def test_the_reasons_tell_names_from_order() -> None:
    assert guess({"query": T, "b": T, "c": T, "label": I, "n": I})[1] == {
        "query": "named like anchor",
        "b": "next text column",
        "c": "further text column",
        "label": "named like a label",
        "n": "holds whole numbers, and there is a target already",
    }
