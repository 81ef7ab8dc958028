"""The forward pass of a batch in a few groups of like length: the same rows, the same loss, far less padding.

Texts of a batch are padded to its longest one, and a transformer computes every padded place. Here the rows are put in
order of length and cut into at most four groups where the fewest places are padded; each group goes through the model
at its own width, and the vectors are put back in their order. The loss sees all rows of the batch at once, as before,
so in-batch negatives stay what they are. This module imports torch: only processes of their own import it.
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

MOST_GROUPS = 4
# What a forward and backward pass costs beyond its tokens, in places: measured with MiniLM on 2 cores, see the benchmark
OVERHEAD = 48
# On a GPU a group costs the starting of its kernels, and the card idles meanwhile: 170 operations a layer, forward and back in
# bfloat16 with dropout, as counted on the emulated card of the tests. Not measured: 5 us each, on a card that makes 2e14
# operations a second; slower cards lose less by a group than is reckoned here.
STARTS_S, CARD = 170 * 5e-6, 2e14
# A GPU's kernels like widths that are multiples of this, and fewer distinct ones are sooner put into groups
GPU_WIDTHS = 8
# Under so small a gain a batch goes through whole
LEAST_GAIN = 0.03
_GROUPS = "_groups_of_like_length"
# How far a vector may move, as a share of its largest number, when its text is padded: on a CPU in float32 rounding moved
# it by 1e-6 at most in 14 families of transformers, and padding that counts by 1e-3 at least; shorter numbers round more
EXACT, ROUGH = 1e-4, 0.03
_COUNTS: WeakKeyDictionary[SentenceTransformer, bool] = WeakKeyDictionary()


def groups(lengths: np.ndarray, *, most: int = MOST_GROUPS, overhead: int = OVERHEAD) -> list[np.ndarray]:
    """Which rows go through the model together.

    The sum over groups of rows x longest + overhead is the least that `most` groups reach (dynamic programming over
    the distinct lengths).

    Args:
        lengths: tokens of each row, shape (rows,).
        most: groups at most.
        overhead: what each group costs beyond its places, in places.

    Returns:
        Row numbers of each group, the longest rows first; together every row once.
    """
    order = np.argsort(-lengths, kind="stable")
    widths, starts = np.unique(-lengths[order], return_index=True)  # longest first
    widths, bounds = -widths, np.append(starts, len(order))
    steps = len(widths)
    # cost[i, j]: the distinct lengths i to j - 1 as one group, as wide as length i
    cost = (bounds[None, :] - bounds[:-1, None]) * widths[:, None] + float(overhead)
    cost[np.arange(steps)[:, None] >= np.arange(steps + 1)[None, :]] = np.inf
    best, cuts = cost[0], []
    chosen, least = 0, best[steps]
    for count in range(1, min(most, steps)):
        through = best[:steps, None] + cost  # (last cut, end)
        cuts.append(through.argmin(axis=0))
        best = through.min(axis=0)
        if best[steps] < least:
            chosen, least = count, best[steps]
    ends = [steps]
    for cut in reversed(cuts[:chosen]):
        ends.append(int(cut[ends[-1]]))
    edges = bounds[[0, *reversed(ends)]]
    return [order[low:high] for low, high in pairwise(edges)]


def overhead_on_gpu(config: Any) -> int:
    """What a group costs on a GPU, in places: its kernels start in the time in which so many places are computed.

    Forward and back a layer makes 72 x width^2 operations a place, and its kernels are the same few for every width, so
    that only the width counts.

    Args:
        config: of the transformer; one without a width counts as MiniLM.
    """
    width = getattr(config, "hidden_size", None) or 384
    return round(STARTS_S * CARD / (72 * width**2))


class Lean:
    """Stands in the place of a model's `forward`: a training pass goes through in groups of like length.

    Args:
        model: the model. Static models, texts padded on the left and packed batches go through whole, as before.
        scoring: do it in a model that is not in training, too.
        kind: type of the device that it is computed on, cpu or cuda; None takes the model's.

    Attributes:
        places: tokens and padding that went through the model with a gradient so far.
    """

    def __init__(self, model: SentenceTransformer, *, scoring: bool = False, kind: str | None = None) -> None:
        self.model, self.scoring, self.places = model, scoring, 0
        self.kind = kind or model.device.type
        body = getattr(model[0], "model", None)
        self.overhead = OVERHEAD if self.kind == "cpu" else overhead_on_gpu(getattr(body, "config", None))

    def __call__(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """As the model's own `forward`."""
        parts = self.parts(features) if self.model.training or self.scoring else None
        mask = features.get("attention_mask")
        if torch.is_grad_enabled() and isinstance(mask, torch.Tensor):
            self.places += mask.numel() if parts is None else sum(part["input_ids"].numel() for _, part in parts)
        whole = type(self.model).forward
        if parts is None:
            return whole(self.model, features, **options)
        vectors = torch.cat([whole(self.model, part, **options)["sentence_embedding"] for _, part in parts])
        order = torch.as_tensor(np.concatenate([rows for rows, _ in parts]))
        features["sentence_embedding"] = vectors[torch.argsort(order).to(vectors.device)]
        return features

    def parts(self, features: dict[str, Any]) -> list[tuple[np.ndarray, dict[str, Any]]] | None:
        """Rows and features of each group; None where the batch goes through whole."""
        if (
            _GROUPS in features
        ):  # a loss that looks at each layer passes the same features again, and reads what is in them
            kept: list[tuple[np.ndarray, dict[str, Any]]] = features[_GROUPS]
            return kept
        mask, ids = features.get("attention_mask"), features.get("input_ids")
        if not isinstance(ids, torch.Tensor) or not isinstance(mask, torch.Tensor) or ids.shape != mask.shape:
            return None  # word vectors, or a batch that was packed without padding
        if mask.ndim != 2 or len(mask) < 2 or self.kind not in ("cpu", "cuda"):
            return None
        # places with a token, and places up to the last token: the same where padding is on the right
        ends = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
        lengths, last = torch.stack([mask.sum(dim=1), ends]).cpu().numpy()
        if not np.array_equal(lengths, last) or lengths.min() < 1:
            return None  # padded on the left, where positions depend on the width
        if self.kind == "cuda":
            lengths = np.minimum(-(-lengths // GPU_WIDTHS) * GPU_WIDTHS, mask.shape[1])
        found = groups(lengths, overhead=self.overhead)
        places = sum(len(rows) * int(lengths[rows[0]]) for rows in found)
        if places + self.overhead * (len(found) - 1) > (1 - LEAST_GAIN) * mask.numel():
            return None
        if padding_counts(self.model, features, int(found[-1][0]), int(lengths[found[-1][0]])):
            return None
        made = [(rows, take(features, rows, int(lengths[rows[0]]), mask.shape)) for rows in found]
        if not inspect.ismethod(self.model[0].forward):
            features[_GROUPS] = made
        return made


def take(features: dict[str, Any], rows: np.ndarray, width: int, shape: torch.Size) -> dict[str, Any]:
    """Features of some rows of a batch, cut to a width.

    Args:
        features: what the model takes of all rows.
        rows: which rows, int64.
        width: tokens of the longest of them.
        shape: of the whole batch (rows, tokens), by which features of each token are told from others.
    """
    at = torch.as_tensor(rows)
    made: dict[str, Any] = {}
    for name, value in features.items():
        if torch.is_tensor(value) and value.shape[:2] == shape:
            made[name] = value[at.to(value.device), :width]
        elif torch.is_tensor(value) and name != "prompt_length" and value.shape[:1] == shape[:1]:
            made[name] = value[at.to(value.device)]
        else:
            made[name] = value
    return made


def padding_counts(model: SentenceTransformer, features: dict[str, Any], row: int, width: int) -> bool:
    """Whether a vector of this model depends on the padding beside its text, as after a convolution or without a mask.

    Such a model is to see batches as wide as the library makes them. It is tried once a model, on one row, and leaves no
    trace in the training.

    Args:
        model: the model.
        features: what the model takes of a batch that is padded on the right.
        row: one of its rows, with padding beyond `width`.
        width: places of that row that hold its tokens at least.
    """
    if model not in _COUNTS:
        _COUNTS[model] = _moves(model, features, row, width)
    return _COUNTS[model]


def _moves(model: SentenceTransformer, features: dict[str, Any], row: int, width: int) -> bool:
    body: Any = getattr(model[0], "model", None)
    if getattr(getattr(body, "config", None), "attention_type", None) == "block_sparse":
        return True  # its attention becomes another one, and stays so, when a batch is narrow
    shape, modes = features["attention_mask"].shape, [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            bare, padded = (
                type(model).forward(model, take(features, np.array([row]), places, shape))["sentence_embedding"]
                for places in (width, shape[1])
            )
    finally:
        for module, training in modes:  # of a guide the layers are not in training, though the model says so
            module.training = training
    most = EXACT if bare.dtype == torch.float32 and bare.device.type == "cpu" else ROUGH
    return bool((bare - padded).abs().max() > most * bare.abs().max())
