"""Batches without padding, where a GPU has the kernel for it: the texts of a batch one after the other in one row.

Sentence Transformers packs texts by itself once a model is set to FlashAttention 2 and the package flash-attn is there;
attention then stays inside each text. Here stand when a run does so, and what all who look at batches need to know of a
packed one. On a GPU this was never tried: what is tested is the way there, with the kernel's arithmetic on a CPU and on a card
that is none (`tests/card`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.catalog import losses as catalog
from workbench.recipe import Loss, Recipe

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

KERNEL = "flash_attention_2"
# Modules that read where a text of a packed batch begins, or look at vectors only
MODULES = ("Transformer", "Pooling", "Normalize", "Dense", "Dropout", "LayerNorm")
# Texts that are tried packed before a run is, and their cosine with themselves alone and in float32
TRIED, LEAST_COSINE = ["a text", "another text that is longer than the first one", "3"], 0.99
# Losses that compare the tokens of two columns in batches with padding
READ_TOKENS = {"ContrastiveTensionLoss", "ContrastiveTensionLossInBatchNegatives"}


def computes_bf16(device: str) -> bool:
    """Whether a device computes in bfloat16 itself, and in TF32; older cards only imitate it, slowly."""
    import torch

    nvidia = device.startswith("cuda") and torch.version.hip is None  # AMD's have no TF32
    return nvidia and torch.cuda.is_bf16_supported(including_emulation=False)


def may_pack(recipe: Recipe) -> bool:
    """Whether batches of a recipe may go through the model without padding, wherever it is run.

    The kernel computes in half precision only. A second model that sees the same batch does not know that it is packed,
    and of a loss of one's own nobody knows what it looks at.
    """
    return recipe.split_by_length and recipe.method == "full" and recipe.precision != "fp32" and _suits(recipe.loss)


def _suits(loss: Loss) -> bool:
    if loss.source or loss.name in READ_TOKENS:
        return False
    known = catalog.get(loss.name)
    inner = [value for value in loss.parameters.values() if isinstance(value, Loss)]
    seconds = known is None or any(parameter.kind == "model" for parameter in known.parameters)
    return not seconds and all(map(_suits, inner))


def reads_tokens(loss: Loss) -> bool:
    """Whether a loss of one's own looks at tokens or layers: after a pass in groups only the vectors of texts are there."""
    source = json.dumps(loss.to_dict())
    return "token_embeddings" in source or "layer_embeddings" in source


def pack(model: Any, recipe: Recipe) -> bool:
    """Set a model to pack its batches, if recipe, model and machine allow it and a few texts come out right.

    Nothing is fetched for it.

    Its `forward` then computes in half precision wherever it is called from, since the kernel knows nothing else. The
    kernel's gradients are told to be the same each time; ModernBERT does not pass that on.

    Args:
        model: a loaded `SentenceTransformer`.
        recipe: what it is trained by.

    Returns:
        Whether it does now. If not, nothing was changed.
    """
    half = _half_there(model.device, recipe) if may_pack(recipe) else None
    names = {type(module).__name__ for module in model}
    body: Any = getattr(model[0], "model", None)
    able = getattr(body, "_supports_flash_attn", False) and getattr(model[0], "unpad_inputs", None) is not False
    if half is None or not able or not names <= set(MODULES):
        return False
    before, alone = body.config._attn_implementation, [_vectors(model, [text]) for text in TRIED]
    os.environ["FLASH_ATTENTION_DETERMINISTIC"] = "1"
    model.forward = InHalf(model, half)
    try:
        body.set_attn_implementation(KERNEL)
        model[0].unpad_inputs = None  # the library looks again whether it can
        works = model[0].can_flatten_inputs and _alike(_vectors(model, TRIED), np.concatenate(alone))
    except (ImportError, RuntimeError, ValueError) as error:  # a package that was built for another torch, above all
        log.warning("batches keep their padding, since flash-attn is here but does not work: %.300s", error)
        works = False
    if not works:
        del model.forward
        body.set_attn_implementation(before)
        model[0].unpad_inputs = None
    return works


def _vectors(model: Any, texts: list[str]) -> np.ndarray:
    """float32, shape (texts, dimensions), without dropout and in one batch."""
    import torch
    from sentence_transformers.util import batch_to_device

    training = model.training
    model.eval()
    with torch.no_grad():
        found = model(batch_to_device(model.preprocess(texts), model.device))["sentence_embedding"]
    model.train(training)
    return np.asarray(found.float().cpu().numpy())


def _alike(packed: np.ndarray, alone: np.ndarray) -> bool:
    """Whether texts that are packed together have the vectors that each has alone, as far as half precision goes."""
    lengths = np.linalg.norm(packed, axis=1) * np.linalg.norm(alone, axis=1)
    return bool(((packed * alone).sum(axis=1) >= LEAST_COSINE * lengths).all())


def _half_there(device: torch.device, recipe: Recipe) -> torch.dtype | None:
    """The short numbers that the kernel would compute with; None where it is not on this machine."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    # the kernel is made for the cards that compute in bfloat16 themselves
    if not computes_bf16(device.type) or not is_flash_attn_2_available():
        return None
    return torch.float16 if recipe.precision == "fp16" else torch.bfloat16


class InHalf:
    """Stands in the place of a model's `forward`: autocast to half precision where nobody has set it already."""

    def __init__(self, model: SentenceTransformer, half: torch.dtype) -> None:
        self.model, self.half = model, half

    def __call__(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """As the model's own `forward`."""
        import torch

        kind = self.model.device.type
        there = torch.is_autocast_enabled(kind)
        with contextlib.nullcontext() if there else torch.autocast(kind, dtype=self.half):
            made: dict[str, Any] = type(self.model).forward(self.model, features, **options)
        return made


def packed_lengths(features: Mapping[str, Any]) -> torch.Tensor | None:
    """Tokens of each text of a packed batch, int32, shape (texts,); None where it is not packed."""
    ends = features.get("cu_seq_lens_q")  # (texts + 1,)
    return None if ends is None else ends.diff()


def take_packed(features: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Some texts of a packed batch as a packed batch.

    Args:
        features: what the model takes of all texts.
        rows: which of them, int64, shape (texts,).
    """
    import torch

    ends = features["cu_seq_lens_q"]
    device, total = ends.device, int(ends[-1])
    starts, lengths = ends.cpu().numpy()[rows].astype(np.int64), ends.diff().cpu().numpy()[rows].astype(np.int64)
    own = np.append(0, np.cumsum(lengths))
    # where each token of the part stands in the whole
    at = torch.from_numpy(np.repeat(starts - own[:-1], lengths) + np.arange(own[-1])).to(device)
    new = {
        "seq_idx": torch.from_numpy(np.repeat(np.arange(len(rows)), lengths)).to(device, torch.int32)[None],
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), torch.from_numpy(own).to(device, ends.dtype)),
        **dict.fromkeys(("max_length_q", "max_length_k"), int(lengths.max())),
    }
    made: dict[str, Any] = {}
    for name, value in features.items():
        if name in new:
            made[name] = new[name]
        elif torch.is_tensor(value) and value.ndim and value.shape[-1] == total and name != "prompt_length":
            made[name] = value[..., at]
        else:
            made[name] = value
    return made


def joined_ends(columns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Where the texts of packed batches end, as of one batch, column after column; None without equally many texts.

    Args:
        columns: features of each.
    """
    import torch

    ends = [column["cu_seq_lens_q"] for column in columns]
    totals, texts = [column["input_ids"].shape[-1] for column in columns], len(ends[0]) - 1
    before = [sum(totals[:number]) for number in range(len(totals))]
    if any(len(end) != texts + 1 for end in ends):
        return None
    whole = torch.cat([ends[0][:1], *(end[1:] + start for end, start in zip(ends, before, strict=True))])
    longest = max(int(column["max_length_q"]) for column in columns)
    return {
        "seq_idx": torch.cat([column["seq_idx"] + texts * number for number, column in enumerate(columns)], dim=-1),
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), whole),
        **dict.fromkeys(("max_length_q", "max_length_k"), longest),
    }
