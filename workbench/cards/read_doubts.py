"""What a card does not say, or says wrongly, each with its arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.cards import read_parts as parts
from workbench.cards import read_recipe
from workbench.cards.read_carried import about_carried
from workbench.cards.read_log import about_run
from workbench.cards.read_outline import Section
from workbench.cards.read_record import Doubt, Said, called
from workbench.cards.read_steps import Steps, steps
from workbench.cards.read_text import Repair
from workbench.checks.finding import some

ROUNDING = 5.1e-5  # tables show four decimals
# What the library builds into a loss; its tags name that too
HELD = {
    "CachedMultipleNegativesRankingLoss": "MultipleNegativesRankingLoss",
    "CachedMultipleNegativesSymmetricRankingLoss": "MultipleNegativesRankingLoss",
    "Matryoshka2dLoss": "MatryoshkaLoss",
}
LONGEST = 700  # characters of a sentence; names in a card can be of any length


@dataclass(frozen=True)
class Reading:
    """What is known of a card beside its record.

    Attributes:
        sections, front: the body and the front matter; front_wrong: what is wrong with that in words.
        valid: the bytes were UTF-8.
        repair: what was mended in the text.
        bases: the names that the card gives its base model.
        apart: hyperparameters that are printed with more than one value.
    """

    sections: Sequence[Section]
    front: Mapping[str, Any]
    front_wrong: str
    valid: bool
    repair: Repair | None
    bases: tuple[str, ...]
    apart: Mapping[str, Sequence[str]]


def doubts(card: Said, reading: Reading) -> tuple[Doubt, ...]:
    """All doubts about a card, each once, those about the run first."""
    counted = steps(card)
    found = [*about_run(card, counted), *_scores(card, reading.front), *_losses(card)]
    if card.how != "workbench":
        found += [*_statistics(card), *_times(card)]
    if read_recipe.carried_recipe(card) is None:  # else the recipe is exact, whatever the rest of the card leaves out
        found += [*_data(card), *_precision(card, counted), *read_recipe.doubts(card), *_base(card, reading)]
    found += [*about_carried(card, reading.sections), *_text(card, reading)]
    return tuple({(doubt.code, doubt.sentence): _cut(doubt) for doubt in found}.values())


def _cut(doubt: Doubt) -> Doubt:
    # Names in a card can hold what no terminal and no comment of a YAML file should get.
    said = "".join(letter if letter.isprintable() else " " for letter in doubt.sentence[:LONGEST])
    return dataclasses.replace(doubt, sentence=said if len(doubt.sentence) <= LONGEST else f"{said[:-1]}…")


def _statistics(card: Said) -> Iterator[Doubt]:
    limit = card.architecture.max_seq_length
    for data in card.datasets:
        columns = data.columns
        if not any(column.details for column in columns):
            yield Doubt(
                "statistics-missing",
                f"The card gives no statistics of {called(data)} that can be read.",
                {"part": data.part},
            )
            continue
        cut = [column.name for column in columns if column.unit == "tokens" and limit and column.max == limit]
        if cut:
            yield Doubt(
                "texts-cut",
                f"The longest text in {', '.join(cut)} of {called(data)} has {limit} tokens, which is where the model cuts: how many texts were cut, and how long they are, is not said.",
                {"columns": cut, "max_seq_length": limit},
            )
        letters = [column.name for column in columns if column.unit == "characters"]
        if letters:
            yield Doubt(
                "lengths-in-characters",
                f"The lengths of {', '.join(letters)} are in characters, so nothing is known of their tokens.",
                {"columns": letters},
            )

    few = [data for data in card.datasets if data.statistics_rows and data.rows and data.statistics_rows < data.rows]
    if few:
        each = "; ".join(f"{data.statistics_rows:,} of {data.rows:,} rows of {called(data)}" for data in few)
        yield Doubt(
            "statistics-part",
            f"The statistics are those of the first {each}, which are no sample of the others.",
            {"counted": [data.statistics_rows for data in few], "rows": [data.rows for data in few]},
        )


def _scores(card: Said, front: Mapping[str, Any]) -> Iterator[Doubt]:
    undefined = [(score, name) for score in card.scores for name, value in score.metrics.items() if value is None]
    total = sum(len(score.metrics) for score in card.scores)
    if undefined:
        everything = len(undefined) == total
        score, name = undefined[0]
        nothing = "the model gave vectors of length 0 or all alike, so nothing is known of its quality"
        means = nothing if everything else "no number stands for it"
        yield Doubt(
            "all-scores-undefined" if everything else "score-undefined",
            f"{len(undefined)} of {total} scores are undefined, such as {name} on {score.data or score.description}: {score.why[name]}; {means}.",
            {"undefined": len(undefined), "scores": total, "first": name},
        )
    first = [name for row in card.log[:1] for name in row]
    columns = [name for name in first if name not in ("Epoch", "Step") and not name.lower().endswith("loss")]
    for name, (shown, other) in _apart(card, front).items():
        yield Doubt(
            "scores-contradict",
            f"The table says {shown:g} for {name}, the front matter {other:g}.",
            {"score": name, "table": shown, "front": other},
        )
    if not card.scores and not columns and card.datasets:
        yield Doubt("no-scores", "The card gives no score, so what the run gained is not known.", {})


def _apart(card: Said, front: Mapping[str, Any]) -> dict[str, list[float]]:
    """Scores of which the page says another number than the front matter."""
    there = {
        (score.data or "unknown", name): value
        for score in parts.results(front)
        for name, value in score.metrics.items()
        if value is not None
    }
    apart = {}
    for score in card.scores:
        for name, value in score.metrics.items():
            other = there.get((score.data or "unknown", name))
            if value is not None and other is not None and abs(value - other) > ROUNDING:
                apart[f"{name} on {score.data or score.description}"] = [value, other]
    return apart


def _losses(card: Said) -> Iterator[Doubt]:
    for outer in card.losses:
        loss = read_recipe.nested(outer)[-1]
        if loss.custom:
            yield Doubt(
                "custom-loss",
                f"The loss {loss.path} is its author's own: its source is not in the card, and a recipe needs it.",
                {"loss": loss.path},
            )
    tagged = [tag.partition(":")[2] for tag in card.tags if tag.startswith("loss:")]
    named = [loss.name for outer in card.losses for loss in read_recipe.nested(outer)]
    held = {HELD.get(name) for name in named}
    more, less = (
        [name for name in tagged if name not in named and name not in held],
        [name for name in named if name not in tagged],
    )
    if named and (more or (tagged and less)):
        own = next((loss for loss in card.losses if loss.custom), None)
        why = f": {own.name} may hold a loss of torch of that name" if own and more else ""
        yield Doubt(
            "loss-tags",
            f"The tags name the losses {', '.join(tagged)}, the card {', '.join(named)}{why}.",
            {"tags": tagged, "losses": named},
        )


def _data(card: Said) -> Iterator[Doubt]:
    train = [data for data in card.datasets if data.part == "train"]
    if not train:
        yield Doubt("no-data", "The card describes no training data, so neither loss nor columns are known.", {})
    elif len(train) > 1:
        names = [data.name or "unnamed" for data in train]
        yield Doubt(
            "several-datasets",
            f"The run used {len(train)} data sets ({', '.join(names)}); a recipe takes one, the first.",
            {"datasets": names},
        )
    if train and read_recipe.data_of(card)["source"] == read_recipe.UNNAMED:
        name = train[0].name
        named = f"calls its data {name!r}, which is no place to load it from" if name else "does not name its data"
        yield Doubt(
            "data-unnamed",
            f"The card {named}; the recipe says {read_recipe.UNNAMED}: pass yours with card.to_recipe(data=…).",
            {"name": train[0].name},
        )
    elif train and train[0].hub_id:
        commit = f" and takes its newest state, not {train[0].revision}" if train[0].revision else ""
        yield Doubt(
            "data-part",
            f"The card names {train[0].hub_id}, but neither configuration nor part of it; the recipe takes the part train{commit}.",
            {"hub_id": train[0].hub_id, "revision": train[0].revision},
        )
    held = [data for data in card.datasets if data.part == "eval"]
    if held:
        rows = ", ".join(f"{data.rows:,}" if data.rows else "unknown" for data in held)
        yield Doubt(
            "evaluation-rows",
            f"Which rows were kept for evaluation ({rows}), and by which seed they were drawn, is not said; the recipe keeps none.",
            {"rows": [data.rows for data in held]},
        )


def _precision(card: Said, counted: Steps) -> Iterator[Doubt]:
    if card.hyperparameters.get("fp16") is True:
        few = f", and this run has {counted.total:,}" if counted.total and counted.total < 100 else ""
        yield Doubt(
            "fp16-uncertain",
            f"The card says fp16, which a CPU ignores, and with which the first steps on a GPU may change nothing{few}.",
            {"steps": counted.total},
        )
    if "Peft" in (card.architecture.transformer or "") or any("Lora" in line for line in card.architecture.modules):
        yield Doubt(
            "adapter",
            "The model carries an adapter whose rank and layers the card does not say; the recipe trains all weights.",
            {"transformer": card.architecture.transformer},
        )


def _times(card: Said) -> Iterator[Doubt]:
    scored = bool(card.scores) or any(data.part == "eval" for data in card.datasets)
    if "training" in card.times_s and "evaluation" not in card.times_s and scored:
        yield Doubt(
            "evaluation-time",
            f"The card gives {card.times_s['training']:g} s of training and no time of evaluation, though there was one: the time given may hold both.",
            {"training_s": card.times_s["training"]},
        )


def _base(card: Said, reading: Reading) -> Iterator[Doubt]:
    local = card.how == "workbench"
    if card.base_model is None:
        yield Doubt(
            "base-unknown",
            "The card does not say which model was fine-tuned; a recipe needs it: card.to_recipe(model=…).",
            {},
        )
    elif len(reading.bases) > 1 and not local:
        yield Doubt(
            "base-contradicts",
            f"The card names more than one base model: {', '.join(reading.bases)}; the recipe takes the first.",
            {"names": list(reading.bases)},
        )
    elif card.revision is None and not local:
        yield Doubt(
            "revision-unknown",
            f"The card names {card.base_model} without a revision; the recipe takes its newest state.",
            {"base_model": card.base_model},
        )


def _text(card: Said, reading: Reading) -> Iterator[Doubt]:
    if card.datasets and not card.library_version:
        yield Doubt("version-unknown", "The card does not say which version of Sentence Transformers made it.", {})
    for name, said in reading.apart.items():
        yield Doubt(
            "setting-twice",
            f"The card prints {name} more than once: {', '.join(said)}; the list of all hyperparameters counts.",
            {"setting": name, "said": list(said)},
        )
    if reading.front_wrong:
        yield Doubt(
            "front-matter",
            f"The front matter of the card cannot be used: {reading.front_wrong}.",
            {"why": reading.front_wrong},
        )
    if not reading.valid:
        yield Doubt("not-utf8", "The card's bytes are not valid UTF-8; some characters are guessed or lost.", {})
    repair = reading.repair
    if repair:
        by = f" read as {repair.table}" if repair.table else " read with another table"
        where = "the card" if repair.whole else "texts in the card, and perhaps in its data,"
        yield Doubt(
            "encoding",
            f"{some(repair.count, 'piece')} of {where} had been UTF-8{by}, and {'is' if repair.count == 1 else 'are'} mended here, such as {repair.before!r}, now {repair.after!r}.",
            dataclasses.asdict(repair),
        )
