"""The tables that the made cards are trained on, from the glossary's own file; for `make_cards.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset, DatasetInfo, SplitDict, SplitInfo

SOURCE = Path(__file__).resolve().parents[2] / "workbench" / "data" / "glossary" / "concepts.yaml"
TEST_POSITIONS = (2, 6, 10, 14)
DATA, DATA_REVISION = "example/glossary", "89abcdef0123456789abcdef0123456789abcdef"
# Texts that break tables, fences and pages; the last is longer than any model here reads.
NASTY = [
    "a | b || c \\| d | ---|--- |",
    "<script>alert('no')</script> <b>bold</b> &amp; </code></td></details> <!-- half a comment",
    "first line\nsecond line\r\n\n## A heading\n- `learning_rate`: 1\n```\nfence",
    "\U0001f917 \U0001f469\u200d\U0001f52c \u202eright to left\u202c \u00a0 z\u0301",
    "--- {{ jinja }} {% raw %} ${shell} `code` $x^2$ [link](https://example.org) *a* _b_",
    "long " * 300,
]


def concepts(split: str) -> list[dict[str, Any]]:
    """The concepts of the train or the test part, as in the views of the glossary."""
    seen: dict[str, int] = {}
    part = []
    for entry in yaml.safe_load(SOURCE.read_text(encoding="utf-8")):
        place = seen[entry["topic"]] = seen.get(entry["topic"], -1) + 1
        if (place in TEST_POSITIONS) == (split == "test"):
            part.append(entry)
    return part


def pairs(split: str) -> dict[str, list[Any]]:
    rows = [(entry["question"], text) for entry in concepts(split) for text in entry["definitions"][:3]]
    return {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}


def triplets(split: str, typeset: bool = False) -> dict[str, list[Any]]:
    """Term, its definition, a definition of the concept seven further; typeset: as a word processor would write it."""
    part = concepts(split)
    rows = [
        (entry["term"], entry["definitions"][turn], part[(place + 7) % len(part)]["definitions"][turn])
        for place, entry in enumerate(part)
        for turn in (0, 1)
    ]
    if typeset:
        rows = [
            (f"the pupil\u2019s \u201c{a} \u2013 caf\u00e9 \u2026", b.replace("'", "\u2019"), c) for a, b, c in rows
        ]
    return {name: [row[place] for row in rows] for place, name in enumerate(("anchor", "positive", "negative"))}


def graded(split: str) -> dict[str, list[Any]]:
    part = concepts(split)
    rows = []
    for place, entry in enumerate(part):
        first, second = entry["definitions"][:2]
        rows += [(first, second, 1.0), (first, part[(place + 7) % len(part)]["definitions"][0], 0.0)]
        rows += [(second, part[(place + 1) % len(part)]["definitions"][1], 0.4)]
    return {name: [row[place] for row in rows] for place, name in enumerate(("text_a", "text_b", "score"))}


def labelled(split: str) -> dict[str, list[Any]]:
    topics = sorted({entry["topic"] for entry in concepts(split)})
    rows = [(text, topics.index(entry["topic"])) for entry in concepts(split) for text in entry["definitions"][:2]]
    return {"text": [row[0] for row in rows], "label": [row[1] for row in rows]}


def from_hub(columns: dict[str, list[Any]], split: str, rows: int) -> Dataset:
    """The first rows of a table that says it was downloaded: the split it was cut from was longer."""
    whole = len(next(iter(columns.values())))
    info = DatasetInfo(
        dataset_name=DATA.split("/")[1],
        splits=SplitDict({split: SplitInfo(split, num_examples=whole)}),
        download_checksums={f"hf://datasets/{DATA}@{DATA_REVISION}/{split}.json": {"num_bytes": 1, "checksum": None}},
    )
    return Dataset.from_dict(columns, info=info, split=split).select(range(rows))
