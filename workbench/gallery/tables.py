"""The glossary in the shapes of five real training tables, flaws included. What meets follows from positions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench import files
from workbench.data.encodings import TABLES, misread
from workbench.data.examples import Examples
from workbench.data.glossary.views import Concept, concepts
from workbench.data.load import load

Columns = dict[str, list[Any]]
TYPESET = {"'": "’", " - ": " — ", ", and ": " — and ", "fi": "ﬁ", "fl": "ﬂ"}  # as PDF files write them
FRAGMENTS = ("{n}", "(A.{n})", "[{n}]", "Fig. {n}", "p. {n}", "{n}.1")
PASSAGES_IN_A_DOCUMENT = 3


def _part(split: str) -> list[Concept]:
    return [concept for concept in concepts() if concept.split == split]


def _columns(rows: Sequence[tuple[Any, ...]], *names: str) -> Columns:
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def documents(split: str, *, passages: int) -> Examples:
    """Two documents with the label 1 where they are of one topic and 0 where not, both equally often.

    Args:
        split: train or test.
        passages: passages of one topic that make a document; several are too long for most models.
    """
    by_topic: dict[str, list[str]] = {}
    for concept in _part(split):
        by_topic.setdefault(concept.topic, []).append(concept.passage)
    topics = list(by_topic.values())
    made = [
        ["\n\n".join(texts[at : at + passages]) for at in range(0, len(texts) - passages + 1, passages)]
        for texts in topics
    ]
    rows = []
    for place, own in enumerate(made):
        other = made[(place + len(made) // 2) % len(made)]
        for at, document in enumerate(own[:-1]):
            rows += [(document, own[at + 1], 1), (document, other[at + 1], 0)]
    return kept(f"documents-{split}-{passages}", _columns(rows, "text_a", "text_b", "label"))


def definitions() -> Examples:
    """Triplets of short texts: a definition, another one of the same concept, one of another concept of the topic."""
    part = _part("train")
    rows: list[tuple[str, str, str]] = []
    for place, concept in enumerate(part):
        own = concept.definitions
        near = [other for other in part if other.topic == concept.topic and other is not concept]
        rows += [
            (first, second, near[(place + at) % len(near)].definitions[at])
            for at, (first, second) in enumerate(zip(own, (*own[1:], own[0]), strict=True))
        ]
    return kept("definitions", _columns(rows, "anchor", "positive", "negative"))


def broken_sentences() -> Examples:
    """Sentences and the ones after them, as if taken from PDF files by a careless program.

    Every 4th row has typographic signs that were read in another encoding, by turns Windows-1252 and Mac Roman; after
    every 8th comes a row with a fragment; in every 100th no end of a sentence was found.
    """
    part = _part("train")
    pairs = [
        (first, second)
        for concept in part
        for first, second in zip(concept.sentences, concept.sentences[1:], strict=False)
    ]
    rows: list[tuple[str, str]] = []
    for place, (first, second) in enumerate(pairs):
        if place % 4 == 0:
            table = list(TABLES)[place // 4 % 2]
            first, second = misread(_typeset(first), table), misread(_typeset(second), table)
        if place % 100 == 50:
            second = " ".join(concept.passage for concept in part[place % 90 : place % 90 + 3])
        rows.append((first, second))
        if place % 8 == 0:
            fragment = FRAGMENTS[place // 8 % len(FRAGMENTS)].format(n=place // 8 + 2)
            rows.append((second, fragment) if place % 16 else (fragment, first))
    return kept("broken-sentences", _columns(rows, "sentence", "next_sentence"))


def _typeset(text: str) -> str:
    for plain, typeset in TYPESET.items():
        text = text.replace(plain, typeset)
    return text


def kept(name: str, columns: Columns) -> Examples:
    """The table as a file of that name among the cached ones, which runs copy into their folders; written if it is new."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, buffer = files.home() / "tables" / "gallery" / f"{name}.parquet", pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer)
    content = buffer.getvalue().to_pybytes()
    if not path.is_file() or path.read_bytes() != content:
        files.replace_bytes(path, content)
    return load(path)
