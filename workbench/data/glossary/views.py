"""Views of the glossary: tables of the five usual shapes, built from `concepts.yaml` alone.

Every topic has 15 concepts; its 3rd, 7th, 11th and 15th belong to the test part and the others to the training part,
so that no concept is in both. Which texts meet follows from positions in the file, never from chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workbench.errors import DataError, did_you_mean

SOURCE = Path(__file__).with_name("concepts.yaml")
TEST_POSITIONS = (2, 6, 10, 14)
SAME_TOPIC = 0.4
SENTENCE_END = re.compile(r"(?:(?<=[.?!])|(?<=[.?!]['\")]))\s+(?=[A-Z\"'(0-9])")

Table = tuple[dict[str, list[object]], dict[str, str]]


@dataclass(frozen=True)
class Concept:
    """One entry of the glossary."""

    term: str
    topic: str
    question: str
    definitions: tuple[str, ...]
    passage: str
    abbreviation: str | None = None
    position: int = 0

    @property
    def split(self) -> str:
        """Either train or test."""
        return "test" if self.position in TEST_POSITIONS else "train"

    @property
    def sentences(self) -> list[str]:
        """The sentences of the passage; one of fewer than 4 words is joined to the one before, the first to the next."""
        joined: list[str] = []
        for part in SENTENCE_END.split(self.passage):
            if joined and min(len(part.split()), len(joined[-1].split())) < 4:
                joined[-1] += " " + part
            else:
                joined.append(part)
        return joined


@lru_cache(maxsize=1)
def concepts() -> tuple[Concept, ...]:
    """All concepts in the order of the file."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(SOURCE.read_text(encoding="utf-8"), Loader=loader)
    seen: dict[str, int] = {}
    built = []
    for entry in entries:
        position = seen.get(entry["topic"], 0)
        seen[entry["topic"]] = position + 1
        built.append(Concept(**{**entry, "definitions": tuple(entry["definitions"])}, position=position))
    return tuple(built)


def _triplets(part: list[Concept]) -> Table:
    """Passage, its term, another term: two of the same topic, two of other topics."""
    rows: list[tuple[str, str, str]] = []
    for place, concept in enumerate(part):
        near = _others(part, place, same_topic=True)
        far = _others(part, place, same_topic=False)
        rows += [
            (concept.passage, concept.term, other.term)
            for other in (near[0], far[0], near[len(near) // 2], far[len(far) // 2])
        ]
    return _table(rows, {"passage": "anchor", "term": "positive", "other_term": "negative"})


def _qa(part: list[Concept]) -> Table:
    """Question, each definition of the same concept."""
    rows = [(concept.question, text) for concept in part for text in concept.definitions]
    return _table(rows, {"question": "anchor", "definition": "positive"})


def _sentences(part: list[Concept]) -> Table:
    """Each sentence of a passage and the one after it."""
    rows = [pair for concept in part for pair in zip(concept.sentences, concept.sentences[1:], strict=False)]
    return _table(rows, {"sentence": "anchor", "next_sentence": "positive"})


def _graded(part: list[Concept]) -> Table:
    """Two definitions: 1.0 of one concept, 0.4 of two concepts of one topic, 0.0 of two topics."""
    rows: list[tuple[str, str, float]] = []
    for place, concept in enumerate(part):
        first, second, third = concept.definitions[:3]
        near, far = _others(part, place, same_topic=True), _others(part, place, same_topic=False)
        rows += [(first, second, 1.0), (first, near[0].definitions[1], SAME_TOPIC), (first, far[0].definitions[1], 0.0)]
        rows += [
            (second, third, 1.0),
            (second, near[len(near) // 2].definitions[2], SAME_TOPIC),
            (second, far[len(far) // 2].definitions[2], 0.0),
        ]
    return _table(rows, {"text_a": "anchor", "text_b": "positive", "score": "score"})


def _labelled(part: list[Concept]) -> Table:
    """Question and definitions of each concept with its topic."""
    rows = [(text, concept.topic) for concept in part for text in (concept.question, *concept.definitions)]
    return _table(rows, {"text": "anchor", "topic": "label"})


_BUILD: dict[str, Callable[[list[Concept]], Table]] = {
    "triplets": _triplets,
    "qa": _qa,
    "sentences": _sentences,
    "graded": _graded,
    "labelled": _labelled,
}
VIEWS: dict[str, str] = {name: (build.__doc__ or "").strip() for name, build in _BUILD.items()}


def rows(view: str, split: str) -> Table:
    """A view as columns and roles.

    Args:
        view: triplets, qa, sentences, graded or labelled.
        split: train or test.

    Returns:
        (column -> values, column -> role).

    Raises:
        DataError: unknown view or split.
    """
    if view not in _BUILD:
        raise DataError(
            f"expected one of glossary/{', glossary/'.join(_BUILD)}, got glossary/{view}{did_you_mean(view, _BUILD)}"
        )
    if split not in ("train", "test"):
        raise DataError(f"expected the split train or test of glossary/{view}, got {split!r}")
    return _BUILD[view]([concept for concept in concepts() if concept.split == split])


def _others(part: list[Concept], place: int, *, same_topic: bool) -> list[Concept]:
    """The other concepts of the same topic or of other topics, beginning after this one and going round.

    Other topics begin 7 topics further on, so that neighbours in the file, which are often related, seldom meet.
    """
    concept = part[place]
    turned = part[place + 1 :] + part[:place]
    found = [other for other in turned if (other.topic == concept.topic) == same_topic]
    shift = 0 if same_topic else (7 * len(found)) // 17
    return found[shift:] + found[:shift]


def _table(
    rows: list[tuple[str, str]] | list[tuple[str, str, str]] | list[tuple[str, str, float]], roles: dict[str, str]
) -> Table:
    return {name: [row[place] for row in rows] for place, name in enumerate(roles)}, roles
