"""What the workbench knows of a loss: plain records, no knowledge of any particular loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["float", "int", "bool", "choice", "loss", "numbers", "model", "function", "text"]
Label = Literal["none", "class", "binary", "score", "scores", "embedding", "any"]
Sampler = Literal["batch_sampler", "no_duplicates", "group_by_label"]

LIBRARY_MODULE = "sentence_transformers.sentence_transformer.losses"
CUSTOM_MODULE = "workbench_custom_loss"


@dataclass(frozen=True)
class Parameter:
    """One argument of a loss.

    Args:
        name: as in the signature.
        kind: what a form shows. A ``choice`` whose default is a tuple takes several; a ``function`` is given by
            name, a ``model`` by name or folder.
        default: plain value; functions and enum members by name.
        required: it has no default, and the workbench cannot fill it in.
        low: smallest value, of each one for ``numbers``; None for no bound.
        high: largest value; None for no bound.
        choices: accepted names; empty where any is.
        help: a sentence or two, plain text.
        optional: None is accepted.
        whole: ``numbers`` are whole numbers.
    """

    name: str
    kind: Kind
    default: Any = None
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    optional: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Shape:
    """One kind of table that a loss takes.

    Args:
        texts_min: smallest number of text columns.
        texts_max: largest number; None for any.
        label: what the label column holds; ``none`` for no label column.
        columns: the text columns in words, such as "(anchor, positive, negative) triplets".
    """

    texts_min: int
    texts_max: int | None
    label: Label
    columns: str


@dataclass(frozen=True)
class LossInfo:
    """A loss: what it takes, which parameters it has, what to know before using it.

    Args:
        name: class name.
        module: module to import it from; losses of your own live in ``workbench_custom_loss``.
        summary: start of its documentation.
        shapes: the tables it takes.
        parameters: its arguments after the model.
        citation: BibTeX, or None.
        sampler: how rows should meet in a batch.
        wraps: it takes another loss.
        in_batch_negatives: the other rows of a batch are negatives: duplicates hurt, large batches help.
        cached: computes in mini-batches (GradCache): little memory, about twice the time.
        deprecated: what to use instead, or None.
        help: what its documentation requires of the data.
        caveats: what goes wrong silently.
        custom: it is not part of Sentence Transformers.
        source: Python source of a custom loss that runs alone.
        open_ended: unknown parameters are passed on, as it takes ``**kwargs``.
    """

    name: str
    module: str
    summary: str
    shapes: tuple[Shape, ...]
    parameters: tuple[Parameter, ...]
    citation: str | None = None
    sampler: Sampler = "batch_sampler"
    wraps: bool = False
    in_batch_negatives: bool = False
    cached: bool = False
    deprecated: str | None = None
    help: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    custom: bool = False
    source: str | None = None
    open_ended: bool = False

    def parameter(self, name: str) -> Parameter | None:
        """The parameter of that name, or None."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters: those given, and the defaults of the others."""
        return {parameter.name: parameter.default for parameter in self.parameters} | dict(given)
