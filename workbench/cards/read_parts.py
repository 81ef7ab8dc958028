"""Sections of a card as records. Structure is relied on more than words, since those change with each version."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from workbench.cards.read_outline import (
    Item,
    Section,
    Table,
    after_colon,
    bare,
    literal,
    named_lines,
    number,
    tagged,
    value,
    whole,
)
from workbench.cards.read_record import Architecture, CardData, CardLoss, CardScores, Column
from workbench.catalog import losses as catalog

_LINK = re.compile(r"\[([^\]]*)\]\((\S*?)\)")
_MODULE = re.compile(r"\s*\([\w-]+\): (\w+)\((.*)\)(?: with Transformer model: (\w+))?\s*")
_REVISION = re.compile(r"<!-- at revision (\w+) -->")
_COUNTED = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
DATASETS: dict[str, Literal["train", "eval"]] = {"Training Dataset": "train", "Evaluation Dataset": "eval"}


def first(sections: Iterable[Section], start: str) -> Section | None:
    """The first section whose heading begins so."""
    return next((section for section in sections if section.title.lower().startswith(start.lower())), None)


def item_of(sections: Sequence[Section], start: str) -> str | None:
    """The first line of a list, in any section, that begins so."""
    found = next((item for section in sections if (item := section.item(start))), None)
    return found.text if found else None


def base_model(sections: Sequence[Section], front: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """(names of the base model, the same one each time in a sound card; revision)."""
    names: list[str] = []
    line = item_of(sections, "Base model:") or ""
    revision = _REVISION.search(line)
    said = after_colon(line.partition("<!--")[0])
    link = _LINK.fullmatch(said)
    if said:
        names.append(link[1] if link else said.partition(", a folder of")[0])
    told = front.get("base_model")
    names += [name for name in (told if isinstance(told, list) else [told]) if isinstance(name, str) and name][:1]
    title = next((section.title for section in sections if section.level == 1), "")
    if " based on " in title:
        names.append(title.partition(" based on ")[2].strip())
    return list(dict.fromkeys(names)), revision[1] if revision else None


def architecture(sections: Sequence[Section]) -> Architecture:
    """What the model description and the printed modules say."""
    found = first(sections, "Full Model Architecture")
    lines = [line for line in (found.fences[0] if found and found.fences else "").split("\n") if line.strip()]
    modules = [(match, line.strip()) for line in lines[1:] if (match := _MODULE.fullmatch(line))]
    flags = [literal(match[2]) for match, _ in modules if match[1] == "Pooling"]
    shape = [
        whole(after_colon(item_of(sections, f"{name}:") or ""))
        for name in ("Maximum Sequence Length", "Output Dimensionality")
    ]
    networks = [
        match[3] or _named(literal(match[2]), "architecture") for match, _ in modules if match[1] == "Transformer"
    ]
    return Architecture(
        max_seq_length=shape[0] or None,
        dimension=shape[1] or None,
        similarity=after_colon(item_of(sections, "Similarity Function:") or "") or None,
        pooling=tuple(mode for said in flags if isinstance(said, dict) for mode in _pooling(said)),
        transformer=networks[0] if networks else None,
        normalized=any(match[1] == "Normalize" for match, _ in modules) if modules else None,
        modules=tuple(line for _, line in modules),
    )


def _named(settings: Any, name: str) -> str | None:
    found = settings.get(name) if isinstance(settings, dict) else None
    return found if isinstance(found, str) else None


def _pooling(settings: Mapping[str, Any]) -> list[str]:
    """Names of the modes: from one setting, or from the flags that older versions print."""
    mode = settings.get("pooling_mode")
    if mode is not None:
        return [str(item) for item in (mode if isinstance(mode, list) else [mode])]
    start = "pooling_mode_"
    return [
        key.removeprefix(start).removesuffix("_tokens").removesuffix("_token")
        for key, on in settings.items()
        if key.startswith(start) and on is True
    ]


def datasets(sections: Sequence[Section], tags: Sequence[str]) -> tuple[CardData, ...]:
    """The data sets that were trained and evaluated on."""
    return tuple(
        _dataset(section, part, tags)
        for section in sections
        for start, part in DATASETS.items()
        if section.under(start) and any(section.item(name) for name in ("Size:", "Columns:", "Loss:"))
    )


def _dataset(section: Section, part: Literal["train", "eval"], tags: Sequence[str]) -> CardData:
    named = section.level >= 4 and section.title != "Unnamed Dataset"
    link = section.item("Dataset:")
    said = bare(link.text) if link else ""
    hub = re.search(r"\]\(https://huggingface\.co/datasets/([\w.-]+(?:/[\w.-]+)?)\)", said)
    commit = re.search(r"/tree/(\w{7,40})\)", said)
    size, columns, loss = section.item("Size:"), section.item("Columns:"), section.item("Loss:")
    names = tagged(columns.text, "code") if columns else []
    tables = [item for item in section.items if item.tables]
    counted = next((item for item in tables if ["type"] in [row[:1] for row in item.tables[0][1:]]), None)
    shown = next((item for item in tables if item is not counted), None)
    # "Statistics over all rows" has no number
    first_rows = whole(bare(counted.text).rpartition("first")[2]) if counted and "first" in counted.text else None
    return CardData(
        part=part,
        name=section.title if named else None,
        hub_id=hub[1] if hub else None,
        revision=commit[1] if commit else None,
        rows=whole(after_colon(size.text)) if size else None,
        columns=_columns(names, counted.tables[0] if counted else []),
        statistics_rows=first_rows,
        samples=tuple(tuple(_sample(cell) for cell in row) for row in shown.tables[0][1:]) if shown else (),
        loss=_loss(loss, tags) if loss else None,
    )


def _sample(cell: str) -> str:
    return cell.removeprefix("<code>").removesuffix("</code>").replace("<br>", "\n")


def _columns(names: Sequence[str], table: Table) -> tuple[Column, ...]:
    """Columns in the order of the card, with their statistics where the table has them."""
    if not names and table:
        names = table[0][1:]
    rows = {row[0]: row[1:] for row in table[1:] if row}
    cells = {name: rows.get(name, []) for name in ("type", "details")}
    if any(len(row) != len(names) for row in cells.values()):
        return tuple(Column(name) for name in names)
    return tuple(_column(*cell) for cell in zip(names, cells["type"], cells["details"], strict=True))


def _column(name: str, type_: str, details: str) -> Column:
    said = dict(part.partition(": ")[::2] for part in tagged(details, "li"))
    sizes = {key: said[key].partition(" ") for key in ("min", "mean", "max") if key in said}
    if "size" in said:
        sizes = dict.fromkeys(("min", "mean", "max"), said["size"].partition(" "))
    numbers = {key: number(size[0]) for key, size in sizes.items()}
    unit = next((size[2] for size in sizes.values()), "")
    return Column(name, type_ or None, **numbers, unit=unit, details=said)


def _loss(item: Item, tags: Sequence[str]) -> CardLoss:
    said = bare(item.text)
    path = (tagged(said, "code") or [after_colon(said).partition(" with ")[0]])[0]
    name = path.rpartition(".")[2]
    read = literal(item.fences[0]) if item.fences else {}
    parameters = read if isinstance(read, dict) else {}
    custom = "." in path and not path.startswith("sentence_transformers.")
    return _wrapping(
        CardLoss(name, path, parameters, custom=custom, unread="" if read == parameters else str(read)),
        [tag.partition(":")[2] for tag in tags if tag.startswith("loss:")],
    )


def _wrapping(loss: CardLoss, named: Sequence[str]) -> CardLoss:
    """A loss with the one that it wraps: named in its parameters; what that one wraps stands only in the tags."""
    known = catalog.losses()
    parameters = dict(loss.parameters)
    inner = parameters.pop("loss", None)
    if loss.custom or loss.name not in known or not known[loss.name].wraps:
        return loss
    later = named[named.index(loss.name) + 1 :] if loss.name in named else []
    called = re.match(r"\w+", inner) if isinstance(inner, str) else None
    name = called[0] if called else next(iter(later), None)
    if name is None:
        return CardLoss(loss.name, loss.path, parameters, unread=loss.unread)
    unread = inner if isinstance(inner, str) and inner != name else ""
    wrapped = _wrapping(CardLoss(name, name, custom=name not in known, unread=unread), later)
    return CardLoss(loss.name, loss.path, parameters, inner=wrapped, unread=loss.unread)


def settings(sections: Sequence[Section]) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """(all hyperparameters, those that were changed, those that are printed with more than one value)."""
    every: dict[str, str] = {}
    changed: dict[str, str] = {}
    apart: dict[str, list[str]] = {}
    for section in sections:
        if not (section.under("Training Hyperparameters") or section.title.endswith("Hyperparameters")):
            continue
        here = changed if section.title.startswith("Non-Default") else every
        for name, said in named_lines(section):
            before = every.get(name, changed.get(name))
            if before is not None and before.strip() != said.strip():
                apart[name] = [*apart.get(name, [before.strip()]), said.strip()]
            here.setdefault(name, said)
    read = [{name: _setting(name, said) for name, said in part.items()} for part in ({**changed, **every}, changed)]
    return read[0], read[1], apart


def _setting(name: str, said: str) -> Any:
    # A prompt is a text, and the space at its end counts.
    return said if name == "prompts" and said.strip() != "None" and not said.startswith("{") else value(said)


def log(sections: Sequence[Section]) -> tuple[tuple[dict[str, float | None], ...], int | None]:
    """(rows of the training log, step of the row in bold)."""
    tables = [table for section in sections for table in section.tables if table and {"Epoch", "Step"} <= set(table[0])]
    rows, best = [], None
    for cells in tables[0][1:] if tables else []:
        # Only steps are written with commas at the thousands: 2,512 as a loss is as likely 2.512.
        named = zip(tables[0][0], cells, strict=False)
        row = {name: number(cell) if name == "Step" or "," not in cell else None for name, cell in named}
        rows.append(row)
        if cells and all(cell.startswith("**") for cell in cells if cell) and isinstance(row.get("Step"), int):
            best = int(row["Step"] or 0)
    return tuple(rows), best


def scores(sections: Sequence[Section], front: Mapping[str, Any]) -> tuple[CardScores, ...]:
    """The tables of the evaluation; where there are none, the results of the front matter."""
    found = []
    for section in sections:
        for table in section.tables:
            if table and table[0][:1] == ["Metric"] and section.level >= 3:
                found += [_scores(section, table, place) for place in range(1, len(table[0]))]
    return tuple(found) or results(front)


def _scores(section: Section, table: Table, place: int) -> CardScores:
    evaluated = section.item("Evaluated with")
    data = section.item("Dataset")
    names = re.findall(r"`([^`]*)`", data.text) if data else []
    path = (tagged(evaluated.text, "code") if evaluated else [])[:1]
    rows = [(bare(row[0]), row[0].startswith("**"), row[place] if place < len(row) else "") for row in table[1:] if row]
    head = table[0][place]
    return CardScores(
        evaluator=path[0].rpartition(".")[2] if path else None,
        description=section.title,
        data=(names[0] if len(names) == 1 else None) if head == "Value" else head,
        primary=next((name for name, bold, _ in rows if bold), None),
        metrics={name: _score(cell) for name, _, cell in rows},
        why={name: undefined(bare(cell)) for name, _, cell in rows if _score(cell) is None},
    )


def _score(cell: str) -> float | None:
    return None if "," in cell else number(cell)  # no score has thousands: 0,812 is another language's 0.812


def undefined(said: str) -> str:
    """Why there is no number."""
    if said.lower() in ("nan", "inf", "-inf"):
        return f"the card says {said.lower()}: vectors of length 0, vectors or labels that are all alike, or no rows"
    return f"the card says {said[:40]!r}, which is no number" if said else "the card leaves it out"


def results(front: Mapping[str, Any]) -> tuple[CardScores, ...]:
    """Scores of the front matter's model-index."""
    found = []
    for index in as_list(front.get("model-index"))[:10]:
        for result in as_list(_mapping(index).get("results"))[:1000]:
            task, data = _mapping(_mapping(result).get("task")), _mapping(_mapping(result).get("dataset"))
            metrics, why = {}, {}
            for metric in as_list(_mapping(result).get("metrics"))[:1000]:
                name, score = str(_mapping(metric).get("type")), _mapping(metric).get("value")
                valid = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
                metrics[name] = score if valid else None
                if not valid:
                    why[name] = undefined(str(score))
            if metrics:
                found.append(
                    CardScores(None, str(task.get("name") or "unknown"), as_text(data.get("type")), None, metrics, why)
                )
    return tuple(found)


def as_list(found: Any) -> list[Any]:
    """A list of the front matter; empty for anything else."""
    return found if isinstance(found, list) else []


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def as_text(found: Any) -> str | None:
    """A text or number of the front matter as text; None for anything else."""
    return str(found) if isinstance(found, str | int | float) else None


def times(sections: Sequence[Section]) -> dict[str, float]:
    """Seconds of training, evaluation and both, as far as they are printed."""
    section = first(sections, "Training Time")
    found: dict[str, float] = {}
    for item in section.items if section else []:
        name, _, said = bare(item.text).partition(": ")
        amount, _, unit = said.partition(" ")
        seconds, size = number(amount), _COUNTED.get(unit.strip().removesuffix("s"))
        if seconds is not None and size is not None:
            found[name.lower()] = seconds * size
    return found


def versions(sections: Sequence[Section]) -> dict[str, str]:
    """Framework -> version."""
    section = first(sections, "Framework Versions")
    said = [bare(item.text).partition(": ") for item in (section.items if section else [])]
    return {name: version.strip() for name, _, version in said if version.strip()}


def citations(sections: Sequence[Section]) -> dict[str, str]:
    """Name -> BibTeX."""
    return {
        section.title: section.fences[0].strip()
        for section in sections
        if section.under("Citation") and section.level >= 4 and section.fences
    }
