"""What the docstring of a loss says: its summary, arguments, requirements, tables and sampler."""

from __future__ import annotations

import re
from typing import cast

from workbench.catalog.loss_info import Label, Sampler, Shape


def summary(docs: list[str]) -> str:
    """The first sentence, or the first two where the first says as little as "Contrastive loss."."""
    blocks = [block for block in (docs[0] if docs else "").split("\n\n") if not block.startswith((" ", ".."))]
    first, *rest = re.split(r"(?<=[.!?])\s+(?=[A-Z])", _words(blocks[0]) if blocks else "")
    return " ".join([first, *rest[:1]]) if len(first) < 70 else first


def describe_arguments(docs: list[str]) -> dict[str, str]:
    """Name -> first paragraph of its description; nearer classes win."""
    found: dict[str, str] = {}
    for doc in reversed(docs):
        text = "\n".join(_section([doc], "Args"))
        for block in re.split(r"^ {4}(?=\w+(?: \([^)]*\))?:)", text, flags=re.MULTILINE)[1:]:
            name, _, meaning = block.partition(":")
            found[name.split(" ")[0]] = _words(meaning.split("\n\n")[0])
    return found


def requirements(docs: list[str]) -> tuple[str, ...]:
    """What the data must be."""
    items = re.split(r"^ {4}(?:\d+\.|[-*]) ", "\n".join(_section(docs, "Requirements")), flags=re.MULTILINE)[1:]
    return tuple(_words(item.split("\n\n")[0]) for item in items)


def sampler(docs: list[str]) -> Sampler:
    """The batch sampler that is recommended."""
    match = re.search(r"BatchSamplers\.(NO_DUPLICATES|GROUP_BY_LABEL)", "\n".join(_section(docs, "Recommendations")))
    return cast(Sampler, match[1].lower()) if match else "batch_sampler"


def shapes(docs: list[str]) -> tuple[Shape, ...]:
    """The rows of the table under ``Inputs:``, each different one once."""
    lines = [line.strip() for line in _section(docs, "Inputs") if line.strip().startswith("|")]
    rows = [[_words(cell) for cell in line.split("|")[1:-1]] for line in lines]
    found: dict[tuple[int, int | None, str], Shape] = {}
    for columns, label in (row for row in rows if len(row) == 2 and row[0] != "Inputs"):
        texts = _texts(columns)
        if texts is not None:
            found.setdefault((*texts, _label(label)), Shape(*texts, _label(label), columns))
    return tuple(found.values())


def _section(docs: list[str], title: str) -> list[str]:
    """The indented lines under `title:` in the first documentation that has them."""
    for doc in docs:
        lines = doc.splitlines()
        if f"{title}:" in lines:
            rest = lines[lines.index(f"{title}:") + 1 :]
            end = next((n for n, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
            return rest[:end]
    return []


def _words(text: str) -> str:
    """Documentation markup to plain words."""
    text = re.sub(r":\w+:`~?(?:[^`<]*<)?([^`>]*)>?`", lambda match: match[1].split(".")[-1], text)
    text = re.sub(r"`([^`<]+) <[^>]*>`_+", r"\1", text)
    return " ".join(text.replace("`", "").replace("\\_", "_").split())


def _texts(cell: str) -> tuple[int, int | None] | None:
    """Smallest and largest number of text columns that a cell such as "(anchor, positive) pairs" means."""
    if cell.lower() == "any":
        return 1, None
    inside = re.search(r"\(([^)]*)\)", cell)
    names = [name.strip() for name in (inside[1] if inside else cell).split(",")]
    if "..." in names:
        return names.index("..."), None
    single = re.fullmatch(r"(single )?(input|sentence|text)s?", cell.lower())
    return (len(names), len(names)) if inside or single or len(names) > 1 else None


def _label(cell: str) -> Label:
    word = cell.lower()
    if word.startswith("[") or "probabilities" in word:
        return "scores"
    if "1 if positive" in word or "0/1" in word:
        return "binary"
    if "embedding" in word:
        return "embedding"
    if "score" in word or re.search(r"\w\(.*\) - \w\(", word):
        return "score"
    return cast(Label, word) if word in ("none", "class", "binary") else "any"
