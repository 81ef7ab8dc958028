"""A batch that does not fit into memory goes through the model in parts, with the same loss and the same gradients.

First all parts go forward without a graph; the loss then sees the vectors of the whole batch, in-batch negatives
included, and gives the gradient at each vector; last, part by part goes forward again with a graph and takes its
gradient back. Only one part's activations are in memory at a time; the model is computed once more forward. It needs
nothing of a loss but that it looks at vectors of texts only, those after earlier layers included, as the library's own
losses do. All models of a loss are taken so: a copy that is trained too, and a guide. This module imports torch: only the
worker imports it.
"""

from __future__ import annotations

import copy
import gc
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from workbench.errors import RunError, no_memory
from workbench.spaces.lean import padding_counts, take
from workbench.spaces.packed import packed_lengths, take_packed

_COLUMN = "_column_in_parts"
WHOLE = "expected a batch that fits into memory, got one that does not and that cannot be taken in parts, since the loss {}; start a new run with a smaller batch_size or max_seq_length, or with a loss that looks at vectors only"


@dataclass(frozen=True)
class Pass:
    """One pass of a column through a model: its vectors as the loss sees them, and what makes them once more."""

    vectors: torch.Tensor  # (rows, dimensions), a leaf of the graph of the loss
    states: list[list[torch.Tensor]]
    options: dict[str, Any]
    layer: Any  # what the loss had put in the place of the transformer's forward; None for its own


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a batch in parts; a loss that looks at layers passes it once for each, and reads what is `left` in it."""

    model: SentenceTransformer
    parts: list[tuple[np.ndarray, dict[str, Any]]]
    left: list[dict[str, Any]]
    passes: list[Pass]


class Split:
    """Stands in the place of the `forward` of all models of a loss; takes training steps in parts where they do not fit.

    Args:
        model: the model that is trained.
        loss: its loss, whose own weights have gradients too.
        tell: called with (places of a batch that did not fit, places of a part, what torch said) when parts get smaller.

    Attributes:
        most: places (tokens with padding) that go through the model at once in a batch that is split; None before one was.
    """

    def __init__(self, model: Any, loss: torch.nn.Module, tell: Callable[[int, int, str], None]) -> None:
        self.model, self.loss, self.tell = model, loss, tell
        self.most: int | None = None
        self._columns: list[Column] | None = None
        self._widest = 0  # places of the largest pass of this step
        self._smaller = False  # whether some part of this step has rows to give away
        self._failed: int | None = None  # places of the smallest batch that did not fit whole
        others = (module for module in loss.modules() if isinstance(module, SentenceTransformer))
        self._whole = {of: of.forward for of in dict.fromkeys([model, *others])}
        self._stand()

    def _stand(self) -> None:
        for model in self._whole:
            model.forward = partial(self._forward, model)

    def _forward(self, model: Any, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """As the model's own `forward`; in a step that is split the vectors come without their graph."""
        trained = torch.is_grad_enabled()
        if trained:
            self._widest = max(self._widest, places(features))
        if self._columns is None or not (trained or model is self.model):
            try:  # a guide as a whole if it fits: it compares, and rounding turns what is equal
                made: dict[str, Any] = self._whole[model](features, **options)
                return made
            except (MemoryError, RuntimeError) as error:
                if self._columns is None or not no_memory(error):
                    raise
        layer, column = _layer(model), features.get(_COLUMN)
        if column is None or column.model is not model:
            column = Column(model, self._parts(model, features), [], [])
        if layer is not None:
            features[_COLUMN] = column
        states, vectors, left = [], [], []
        with torch.no_grad():
            for part in column.left or (dict(part) for _, part in column.parts):
                states.append(random_state())
                vectors.append(self._whole[model](part, **options)["sentence_embedding"])
                if layer is not None:
                    left.append(part)
        column.left[:] = left
        order = torch.as_tensor(np.concatenate([rows for rows, _ in column.parts]))
        joined = torch.cat(vectors)
        features["sentence_embedding"] = joined[torch.argsort(order).to(joined.device)].requires_grad_(trained)
        if trained:
            column.passes.append(Pass(features["sentence_embedding"], states, options, layer))
            if column not in self._columns:
                self._columns.append(column)
        return features

    def step(self, batch: Mapping[str, Any], whole: Callable[[], Any], context: Callable[[], Any], again: Callable[[], None]) -> Any:  # fmt: skip
        """Forward and back over one batch, whole or in parts.

        Args:
            batch: what the trainer was given.
            whole: computes loss and gradients as the trainer does.
            context: the trainer's context of a forward pass (autocast).
            again: called before a batch is tried once more, to forget what was recorded of it.

        Raises:
            MemoryError, RuntimeError: not even single rows fit.
            RunError: the loss looks at more than vectors.
        """
        size = places(batch)
        in_parts = self._failed is not None and size >= self._failed
        began, drawn, error = random_state(), random.getstate(), None
        with self._gradients_of_before():
            while True:
                try:
                    return self._in_parts(whole, context) if in_parts else whole()
                except (MemoryError, RuntimeError) as caught:
                    if not no_memory(caught):
                        raise
                    error = caught.with_traceback(None)  # its frames hold the tensors that were too many
                    error.__context__ = error.__cause__ = None
                finally:
                    self._columns = None
                # only out here the failed step is let go
                if in_parts and not self._smaller:
                    raise error
                tried = self.most if in_parts and self.most else self._widest or size
                half = max(1, tried // 2)
                self._failed, self.most, in_parts = min(size, self._failed or size), min(half, self.most or half), True
                self._forget(began)
                random.setstate(drawn)  # of it a loss draws layers and dimensions
                again()
                self.tell(size, self.most, str(error))

    def _in_parts(self, whole: Callable[[], Any], context: Callable[[], Any]) -> Any:
        columns = self._columns = []
        try:
            loss = whole()
        except KeyError as missing:  # that of a value which only a pass of the whole batch leaves
            raise RunError(WHOLE.format(f"reads {missing} of the texts")) from None
        after = random_state()
        for column in columns:
            column.left.clear()
        for column in columns:
            for number in range(len(column.parts)):
                self._back(column, number, context)
        set_random_state(after)
        return loss

    def _back(self, column: Column, number: int, context: Callable[[], Any]) -> None:
        """Take the gradient at the vectors of one part back through the model."""
        rows, part = column.parts[number]
        features, own = dict(part), column.model[0].forward
        made: list[torch.Tensor] = []
        gradients: list[torch.Tensor] = []
        try:
            for given in column.passes:
                if given.layer is not None:
                    column.model[0].forward = given.layer
                elif given.vectors.grad is None:
                    continue
                set_random_state(given.states[number])  # the same dropout as the first time
                with context():
                    vectors = self._whole[column.model](features, **given.options)["sentence_embedding"]
                if given.vectors.grad is not None:
                    made.append(vectors)
                    gradients.append(given.vectors.grad[torch.as_tensor(rows).to(vectors.device)])
        finally:
            if column.passes[0].layer is not None:
                column.model[0].forward = own
        if made:
            torch.autograd.backward(made, gradients)

    def _parts(self, model: Any, features: dict[str, Any]) -> list[tuple[np.ndarray, dict[str, Any]]]:
        most = self.most or 1
        parts, mask = cut(features, most), features.get("attention_mask")
        rows, last = parts[-1]
        own = last["attention_mask"].shape[-1] if mask is not None else 0
        if mask is not None and own < mask.shape[-1] and padding_counts(model, features, int(rows[0]), own):
            parts = cut(features, most, narrow=False)
        self._smaller |= any(len(rows) > 1 and part is not features for rows, part in parts)
        return parts

    def _weights(self) -> list[torch.nn.Parameter]:
        return list(dict.fromkeys([*self.model.parameters(), *self.loss.parameters()]))

    def _forget(self, began: list[torch.Tensor]) -> None:
        for weight in self._weights():
            weight.grad = None
        self._widest, self._smaller = 0, False
        self._stand()  # a loss that wraps a model's forward leaves it wrapped where it fails
        set_random_state(began)
        gc.collect()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    @contextmanager
    def _gradients_of_before(self) -> Iterator[None]:
        """What batches before this one have accumulated is put aside, so that a failed one can be taken back."""
        self._widest, self._smaller = 0, False
        kept = [(weight, weight.grad) for weight in self._weights() if weight.grad is not None]
        for weight, _ in kept:
            weight.grad = None
        yield
        for weight, gradient in kept:
            weight.grad = gradient if weight.grad is None else gradient.add_(weight.grad)


def _layer(model: Any) -> Any:
    """What the loss has put in the place of the transformer's forward, as it stands now; None where that is its own.

    Raises:
        RunError: it is none of the library's.
    """
    stands = getattr(model[0], "forward", None)
    if inspect.ismethod(stands):
        return None
    if type(stands).__name__ != "TransformerDecorator":
        raise RunError(WHOLE.format("changes the layers of the model in a way of its own"))
    return copy.copy(stands)


def places(batch: Mapping[str, Any]) -> int:
    """Tokens with padding of all texts of a batch, or of one column."""
    return sum(value.numel() for name, value in batch.items() if name.endswith("input_ids") and torch.is_tensor(value))


def cut(features: dict[str, Any], most: int, *, narrow: bool = True) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Rows and features of parts of at most so many places each, but of one row at least; the longest rows first.

    Features without a mask for each row (static models) stay whole; packed ones are packed again. With `narrow` the padding
    that a part does not need is left out.
    """
    packed = packed_lengths(features)
    if packed is not None:
        return [(rows, take_packed(features, rows)) for rows in _up_to(most, packed.cpu().numpy(), padded=False)]
    mask, ids = features.get("attention_mask"), features.get("input_ids")
    if not torch.is_tensor(mask) or not torch.is_tensor(ids) or mask.ndim != 2 or ids.shape != mask.shape:
        per_row = features["offsets"] if torch.is_tensor(features.get("offsets")) else next(iter(features.values()))
        return [(np.arange(len(per_row)), features)]
    # else padded on the left, where positions depend on the width
    right = narrow and bool((mask[:, 1:] <= mask[:, :-1]).all())
    lengths = mask.sum(dim=1).cpu().numpy() if right else np.full(len(mask), mask.shape[1])
    return [
        (rows, take(features, rows, max(1, int(lengths[rows[0]])), mask.shape))
        for rows in _up_to(most, lengths, padded=True)
    ]


def _up_to(most: int, lengths: np.ndarray, *, padded: bool) -> Iterator[np.ndarray]:
    """Rows of each part, the longest first; where they are padded each is as wide as the first of its part."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        ordered = lengths[order[start:]]
        widths = np.arange(1, len(ordered) + 1) * max(1, ordered[0]) if padded else np.cumsum(ordered)
        rows = order[start : start + max(1, int(np.searchsorted(widths, most, side="right")))]
        yield rows
        start += len(rows)


def random_state() -> list[torch.Tensor]:
    """Where torch's random numbers stand, on the CPU and on each card in use."""
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *cards]


def set_random_state(state: list[torch.Tensor]) -> None:
    """Go on from a state of `random_state`."""
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state_all(state[1:])
