"""What a card says, as records, with what it does not say or says wrongly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from workbench.checks.finding import some

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Doubt:
    """One thing that the card does not say, or says wrongly.

    Attributes:
        code: stable name, such as ``fit-settings``.
        sentence: what is doubtful, with its arithmetic.
        evidence: name -> plain number, text or list that the sentence rests on.
    """

    code: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column of a data set: its statistics as the card prints them.

    Attributes:
        type: such as string, int, float, list; None where the card does not say.
        min, mean, max: None where the card gives none.
        unit: such as tokens, characters, elements; empty for plain numbers.
        details: all that the card says, such as the shares of classes.
    """

    name: str
    type: str | None = None
    min: float | None = None
    mean: float | None = None
    max: float | None = None
    unit: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CardLoss:
    """A loss as the card names it.

    Attributes:
        name: the class name.
        path: the name as printed, with the module of a loss that is not the library's.
        parameters: as printed, without a wrapped loss.
        inner: the loss that it wraps.
        custom: it is not of the library, so its source is unknown.
        unread: the parameters as text, where they are no plain values.
    """

    name: str
    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inner: CardLoss | None = None
    custom: bool = False
    unread: str = ""


@dataclass(frozen=True)
class CardData:
    """One data set of a card.

    Attributes:
        part: train or eval.
        name: None where the card has no name for it.
        hub_id: id on the Hub, where the card links to it; revision: the commit, often its first seven digits.
        rows: as printed.
        columns: with their statistics; of the first `statistics_rows` rows, None for all of them or where unknown.
        samples: the first rows, a text for each column.
        loss: what was trained with on these rows.
    """

    part: Literal["train", "eval"]
    name: str | None = None
    hub_id: str | None = None
    revision: str | None = None
    rows: int | None = None
    columns: tuple[Column, ...] = ()
    statistics_rows: int | None = None
    samples: tuple[tuple[str, ...], ...] = ()
    loss: CardLoss | None = None


@dataclass(frozen=True)
class CardScores:
    """The scores of one evaluator on one data set.

    Attributes:
        evaluator: class name; description: the card's heading; data: name of the data set, None without one.
        primary: the metric in bold.
        metrics: metric -> value, None where it is undefined; why: metric -> why it is undefined.
    """

    evaluator: str | None
    description: str
    data: str | None
    primary: str | None
    metrics: Mapping[str, float | None]
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """The model as the card describes it.

    Attributes:
        max_seq_length: in tokens, None without a limit; dimension: length of a vector.
        similarity: the function's name; pooling: names of the pooling modes; transformer: class of the network.
        normalized: vectors end in unit length; None where no modules are printed.
        modules: as printed, one text each.
    """

    max_seq_length: int | None = None
    dimension: int | None = None
    similarity: str | None = None
    pooling: tuple[str, ...] = ()
    transformer: str | None = None
    normalized: bool | None = None
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What a model card says.

    Attributes:
        model_name: its heading; base_model and revision: what was fine-tuned, None where the card does not say.
        kind: always SentenceTransformer: cards of other kinds are refused.
        versions: framework -> version.
        how: ``fit`` for the old method, whose settings are not those printed, ``trainer``, ``workbench``, or
            ``unknown`` where no settings are printed.
        architecture, datasets, scores: see there.
        hyperparameters: all that are printed; non_default: those that the card says were changed.
        log: rows of the training log, column -> number or None.
        best_step: step of the row in bold.
        times_s: training, evaluation, total -> seconds, as far as printed.
        citations: name -> BibTeX.
        tags, licence, widgets: of the front matter; widgets is how many examples it has.
        recipe_text: the recipe in YAML that a card of the workbench carries.
        doubts: what the card does not say or says wrongly.
    """

    model_name: str
    base_model: str | None
    revision: str | None
    kind: str
    versions: Mapping[str, str]
    how: Literal["fit", "trainer", "workbench", "unknown"]
    architecture: Architecture
    datasets: tuple[CardData, ...]
    hyperparameters: Mapping[str, Any]
    non_default: Mapping[str, Any]
    log: tuple[Mapping[str, float | None], ...]
    best_step: int | None
    scores: tuple[CardScores, ...]
    times_s: Mapping[str, float]
    citations: Mapping[str, str]
    tags: tuple[str, ...]
    licence: str | None
    widgets: int
    recipe_text: str | None = None
    doubts: tuple[Doubt, ...] = ()

    @property
    def train(self) -> CardData | None:
        """The first data set that was trained on."""
        return next((data for data in self.datasets if data.part == "train"), None)

    @property
    def losses(self) -> tuple[CardLoss, ...]:
        """The losses that were trained with, each once."""
        named = {data.loss.path: data.loss for data in self.datasets if data.part == "train" and data.loss}
        return tuple(named.values())

    @property
    def library_version(self) -> str | None:
        """The version of Sentence Transformers that wrote the card."""
        return self.versions.get("Sentence Transformers")

    def to_json(self) -> dict[str, Any]:
        """All attributes as plain values."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """The training log, one line a row; undefined and missing numbers are None."""
        import pandas as pd

        return pd.DataFrame(list(self.log), dtype=object)

    @property
    def facts(self) -> dict[str, str]:
        """What the card says, in a few words: name -> text."""
        train = [data for data in self.datasets if data.part == "train"]
        shape = self.architecture
        said = {
            "model": self.model_name,
            "base model": self.base_model,
            "made by": f"{self.how}, Sentence Transformers {self.library_version or 'of unknown version'}",
            "loss": ", ".join(_words(loss) for loss in self.losses),
            "training rows": ", ".join(f"{data.rows:,}" if data.rows is not None else "unknown" for data in train),
            "columns": "; ".join(", ".join(column.name for column in data.columns) for data in train),
            "dimensions": shape.dimension,
            "tokens at most": shape.max_seq_length,
            "rows of the log": len(self.log),
            "scores": "; ".join(f"{score.data or score.description}: {_primary(score)}" for score in self.scores),
        }
        return {name: f"{value:.300}" if value else "not said" for name, value in _texts(said).items()}

    def __repr__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.facts.items()]
        doubts = [f"? {doubt.code}: {doubt.sentence}" for doubt in self.doubts]
        return "\n".join([*lines, some(len(doubts), "doubt"), *doubts])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.facts.items()
        )
        doubts = "".join(
            f"<li>{escape(doubt.sentence)} <small>({escape(doubt.code)})</small></li>" for doubt in self.doubts
        )
        caption = escape(f"Model card, {some(len(self.doubts), 'doubt')}")
        return f'<table class="wb-table"><caption>{caption}</caption>{rows}</table><ul>{doubts}</ul>'


def _texts(said: Mapping[str, object]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in said.items()}


def called(data: CardData) -> str:
    """A data set in a sentence."""
    part = "training" if data.part == "train" else "evaluation"
    return f"the {part} data {data.name!r:.100}" if data.name else f"the {part} data"


def _words(loss: CardLoss) -> str:
    return f"{loss.path} of {_words(loss.inner)}" if loss.inner else loss.path


def _primary(scores: CardScores) -> str:
    name = scores.primary or next(iter(scores.metrics), "")
    value = scores.metrics.get(name)
    return f"{name} {'undefined' if value is None else f'{value:g}'}"
