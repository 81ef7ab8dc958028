"""All columns of a batch through the model in one pass, where starting a pass costs more than computing it.

A GPU waits while the kernels of a pass are started, one by one, whatever their size. The losses that take the vectors of
each column once do not mind whether they come from one pass or from several: the same vectors, up to rounding, and other
dropout. The library itself joins the columns behind the first one, though not in batches without padding. This module
imports torch: only the worker imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from torch.nn.functional import pad

from workbench.recipe import Loss
from workbench.spaces.lean import padding_counts
from workbench.spaces.packed import joined_ends

# Losses that ask for the vectors of each column of the batch once, and do nothing else with it
ASK_ONCE = {
    "AnglELoss", "ContrastiveLoss", "CoSENTLoss", "CosineSimilarityLoss", "DistillKLDivLoss", "EmbedDistillLoss",
    "GISTEmbedLoss", "GlobalOrthogonalRegularizationLoss", "MSELoss", "MarginMSELoss", "MultipleNegativesRankingLoss",
    "MultipleNegativesSymmetricRankingLoss", "OnlineContrastiveLoss", "SoftmaxLoss", "TripletLoss",
}  # fmt: skip
# Losses that hand the batch to the one within them once
AROUND = {"MatryoshkaLoss"}


def asks_once(loss: Loss) -> bool:
    """Whether a loss asks for the vectors of each column once."""
    inner = loss.parameters.get("loss")
    return asks_once(inner) if loss.name in AROUND and isinstance(inner, Loss) else loss.name in ASK_ONCE


class Joined:
    """Stands in the place of a model's `forward`: the first column that is asked for brings the vectors of all.

    Args:
        model: the model; what stands in the place of its `forward` now computes the pass.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        self._model, self._pass = model, model.forward
        tokenizer = getattr(model[0], "tokenizer", None)
        self._pads = {"input_ids": getattr(tokenizer, "pad_token_id", None) or 0}
        # whether columns may be padded to each other; None until a batch shows it
        self._may_pad = False if getattr(tokenizer, "padding_side", None) == "left" else None
        self._columns: list[dict[str, Any]] = []
        self._made: list[torch.Tensor] = []

    @contextmanager
    def expected(self) -> Iterator[None]:
        """A loss of the columns that are told in here by `expect`; what was made for it is let go at the end."""
        try:
            with column_merging_disabled():
                yield
        finally:
            self._columns, self._made = [], []

    def expect(self, columns: list[dict[str, Any]]) -> None:
        """Features of each column of the batch, the very objects that the loss will pass on."""
        self._columns, self._made = list(columns), []

    def __call__(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """As the model's own `forward`."""
        at = next((number for number, column in enumerate(self._columns) if column is features), None)
        if at is None or options or not torch.is_grad_enabled():
            return self._pass(features, **options)
        if not self._made:
            whole = join(self._columns, self._pads)
            if whole is None or not self._alike(whole):
                self._columns = []
                return self._pass(features)
            made = self._pass(whole)["sentence_embedding"]
            self._made = list(made.chunk(len(self._columns)))
        features["sentence_embedding"] = self._made[at]
        return features

    def _alike(self, whole: dict[str, Any]) -> bool:
        """Whether the vectors are those that each column has alone, however wide the others are."""
        mask = whole.get("attention_mask")
        if mask is None or self._may_pad is not None:
            return mask is None or bool(self._may_pad)
        lengths = mask.sum(dim=1)
        row, width = int(lengths.argmin()), int(lengths.min())
        if width < mask.shape[1]:
            self._may_pad = not padding_counts(self._model, whole, row, width)
        return self._may_pad is not False


def join(columns: list[dict[str, Any]], pads: dict[str, int]) -> dict[str, Any] | None:
    """Columns of equally many texts as one batch, column after column; None where they cannot be one.

    Args:
        columns: features of each, padded or packed.
        pads: what stands where a text has no token, by name; 0 for others.
    """
    first = columns[0]
    if len(columns) < 2 or any(column.keys() != first.keys() for column in columns):
        return None
    ids: list[Any] = [column.get("input_ids") for column in columns]
    if any(not torch.is_tensor(part) or part.ndim != 2 or len(part) != len(first["input_ids"]) for part in ids):
        return None
    packed = "cu_seq_lens_q" in first
    made, width = joined_ends(columns) if packed else {}, max(part.shape[1] for part in ids)
    if made is None:
        return None
    for name in first.keys() - made.keys():
        parts = [column[name] for column in columns]
        if torch.is_tensor(parts[0]) and name != "prompt_length":
            if any(part.shape != own.shape for part, own in zip(parts, ids, strict=True)):
                return None
            if not packed:
                parts = [pad(part, (0, width - part.shape[1]), value=pads.get(name, 0)) for part in parts]
            made[name] = torch.cat(parts, dim=-1 if packed else 0)
        elif all(part is parts[0] or bool(torch.as_tensor(part == parts[0]).all()) for part in parts):
            made[name] = parts[0]
        else:  # such as prompts of different length
            return None
    return made
