"""A batch that does not fit into memory goes through the model in parts, with the same loss and the same gradients.

First all parts go forward without a graph; the loss then sees the vectors of the whole batch, in-batch negatives
included, and gives the gradient at each vector; last, part by part goes forward again with a graph and takes its
gradient back. Only one part's activations are in memory at a time; the model is computed once more forward. It needs
nothing of a loss but that it looks at vectors of texts only. This module imports torch: only the worker imports it.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from workbench.spaces.lean import padding_counts, take
from workbench.spaces.packed import packed_lengths, take_packed

# how torch says on a CPU, on a Mac and on older cards that memory is used up; else it raises OutOfMemoryError
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Call:
    """One pass of a column through the model: its vectors as the loss sees them, and what makes them once more."""

    vectors: torch.Tensor  # (rows, dimensions), a leaf of the graph of the loss
    parts: list[tuple[np.ndarray, dict[str, Any]]]
    states: list[list[torch.Tensor]]
    options: dict[str, Any]


class Split:
    """Stands in the place of a model's `forward`, and takes training steps in parts where they do not fit.

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
        self._whole = model.forward
        self._calls: list[Call] | None = None
        self._widest = 0  # places of the largest pass of this step
        self._smaller = False  # whether some part of this step has rows to give away
        self._failed: int | None = None  # places of the smallest batch that did not fit whole

    def __call__(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """As the model's own `forward`; in a step that is split the vectors come without their graph."""
        if not torch.is_grad_enabled():
            return self._forward(features, **options)
        self._widest = max(self._widest, places(features))
        if self._calls is None:
            return self._forward(features, **options)
        if not inspect.ismethod(self.model[0].forward):
            raise MemoryError("the loss looks into the layers of the model, so that its batches cannot be split")
        parts = self._parts(features, self.most or 1)
        self._smaller |= any(len(rows) > 1 and part is not features for rows, part in parts)
        states, vectors = [], []
        with torch.no_grad():
            for _, part in parts:
                states.append(random_state())
                vectors.append(self._forward(dict(part), **options)["sentence_embedding"])
        order = torch.as_tensor(np.concatenate([rows for rows, _ in parts]))
        joined = torch.cat(vectors)
        leaf = joined[torch.argsort(order).to(joined.device)].detach().requires_grad_()
        self._calls.append(Call(leaf, parts, states, options))
        features["sentence_embedding"] = leaf
        return features

    def step(self, batch: Mapping[str, Any], whole: Callable[[], Any], context: Callable[[], Any], again: Callable[[], None]) -> Any:  # fmt: skip
        """Forward and back over one batch, whole or in parts.

        Args:
            batch: what the trainer was given.
            whole: computes loss and gradients as the trainer does.
            context: the trainer's context of a forward pass (autocast).
            again: called before a batch is tried once more, to forget what was recorded of it.

        Raises:
            MemoryError, RuntimeError: not even single rows fit, or the loss looks at more than vectors.
        """
        size = places(batch)
        in_parts = self._failed is not None and size >= self._failed
        began, error = random_state(), None
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
                    self._calls = None
                # only out here the failed step is let go
                if in_parts and not self._smaller:
                    raise error
                tried = self.most if in_parts and self.most else self._widest or size
                half = max(1, tried // 2)
                self._failed, self.most, in_parts = min(size, self._failed or size), min(half, self.most or half), True
                self._forget(began)
                again()
                self.tell(size, self.most, str(error))

    def _in_parts(self, whole: Callable[[], Any], context: Callable[[], Any]) -> Any:
        self._calls = []
        try:
            loss = whole()
        except KeyError as missing:  # that of a value which only a pass of the whole batch leaves
            self._smaller = False
            raise MemoryError(
                f"the loss reads {missing} of the texts, so that its batches cannot be split"
            ) from missing
        after = random_state()
        for call in self._calls:
            if call.vectors.grad is None:
                continue
            for (rows, part), state in zip(call.parts, call.states, strict=True):
                set_random_state(state)  # the same dropout as the first time
                with context():
                    vectors = self._forward(dict(part), **call.options)["sentence_embedding"]
                vectors.backward(call.vectors.grad[torch.as_tensor(rows).to(vectors.device)])
        set_random_state(after)
        return loss

    def _parts(self, features: dict[str, Any], most: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
        parts, mask = cut(features, most), features.get("attention_mask")
        rows, last = parts[-1]
        own = last["attention_mask"].shape[-1] if mask is not None else 0
        if mask is not None and own < mask.shape[-1] and padding_counts(self.model, features, int(rows[0]), own):
            return cut(features, most, narrow=False)
        return parts

    def _forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._whole(features, **options)
        return made

    def _weights(self) -> list[torch.nn.Parameter]:
        return list(dict.fromkeys([*self.model.parameters(), *self.loss.parameters()]))

    def _forget(self, began: list[torch.Tensor]) -> None:
        for weight in self._weights():
            weight.grad = None
        self._widest, self._smaller = 0, False
        self.model.forward = self  # a loss that wraps it leaves it wrapped where it fails
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


def no_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(words in str(error).lower() for words in NO_MEMORY)


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
