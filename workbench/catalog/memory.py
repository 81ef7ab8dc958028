"""How much memory training a model takes, estimated from its sizes before anything is loaded.

Activations follow Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models": a layer
keeps s·b·h·(34 + 5·a·s/h) bytes in 16 bit, with s tokens, b rows, h hidden size, a heads and a feed-forward part of
4·h; twice that in float32.

Measured on a CPU (2 cores, Linux with glibc, float32, MultipleNegativesRankingLoss, AdamW, peak resident set of 2 or 3
steps, a process each): all-MiniLM-L6-v2 with 2 to 64 rows of 2 or 3 texts of 16 to 256 tokens, a BERT-base and a BERT
of 2 layers; 1.0 to 8.1 GB. `LIBRARY_BYTES` and a share of 1.75 fitted these 15 settings within 5 %. With torch 2.13 and the
library's own trainer the peaks are lower (8 to 64 rows of 32 to 128 tokens, 1.19 to 2.70 GB: a share of 1.28 to 1.6), hence
`PEAK_SHARE`. A static model came out 14 % too low, LoRA of rank 16 5 % too low; with gradient checkpointing 13 % off.
In groups of like length (`groups`; triplets and pairs of mixed length and triplets of equal length, 16 to 128 rows, 1.3 to
3.7 GB) the estimate was within 15 % of each of seven. Over the formula, two layers of MPNet, T5, ALBERT and Qwen3 kept as
much as BERT within 10 % (16 rows of 128 tokens), ModernBERT a quarter less, and DeBERTa over twice as much, which counts.
A second model (all-MiniLM-L6-v2, 32 or 64 rows of mixed length up to 242 tokens, what the checks estimate over the peak of a
run): a guide of the same size 1.00 and 0.97 (cached 1.03), the copies of ContrastiveTensionLoss 1.06 and 1.03 to 1.05 with
in-batch negatives, the decoder of DenoisingAutoEncoderLoss 0.98 (16 rows). Losses that learn from a teacher's vectors or
scores hold no more than others: MSELoss 1.06, DistillKLDivLoss 1.06, MarginMSELoss 1.10; nor does AdaptiveLayerLoss, 1.04.
Other machines, allocators and losses can be further off: take 30 % as the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import RecipeError

if TYPE_CHECKING:
    from workbench.catalog.models import ModelInfo
    from workbench.catalog.weights import Architecture

LIBRARY_BYTES = 650_000_000
"""Python with torch and Sentence Transformers: 0.54 GB when imported, and 0.11 GB more with the first step."""
PEAK_SHARE = 1.5
"""Peak over what is kept: the backward pass needs room for gradients of activations, and glibc gives little back."""
GROUPED_SHARE = 0.9
"""The same for groups of like length, taken as four of as many rows each: the best cut keeps less, and smaller blocks are
used again."""
CHECKPOINTED_SHARE = 0.45
"""What gradient checkpointing left of the activations' peak: 0.37 to 0.51 in four measurements."""
FLOAT32_BYTES = 4
LARGEST = 10**6


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of the process that trains: float32, AdamW, on a CPU.

    Attributes:
        weights_bytes: the weights; None where their number is unknown.
        optimizer_bytes: gradients and the two moments of AdamW; None where the number of weights is unknown.
        activations_bytes: what is kept of the forward passes, and the room for the backward pass; None where unknown.
        library_bytes: what the process needs before any model.
        assumes: what was estimated, in words.
        why: why a part is unknown; empty if none is.
    """

    weights_bytes: int | None
    optimizer_bytes: int | None
    activations_bytes: int | None
    library_bytes: int
    assumes: str
    why: str = ""

    @property
    def total_bytes(self) -> int:
        """Sum of what is known; a lower bound where `is_lower_bound`."""
        return sum(part or 0 for part in (self.weights_bytes, self.optimizer_bytes, self.activations_bytes)) + (
            self.library_bytes
        )

    @property
    def is_lower_bound(self) -> bool:
        """Whether a part is unknown, so that training takes more than `total_bytes`."""
        return bool(self.why)

    def __str__(self) -> str:
        parts = {
            "libraries": self.library_bytes,
            "weights": self.weights_bytes,
            "gradients and AdamW": self.optimizer_bytes,
            "activations": self.activations_bytes,
        }
        known = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size is not None)
        begin = "at least" if self.is_lower_bound else "about"
        end = f"; a lower bound: {self.why}" if self.is_lower_bound else ""
        return f"{begin} {gigabytes(self.total_bytes)} ({known}) for {self.assumes}{end}"


def training_memory(
    model: ModelInfo,
    *,
    batch_size: int = 16,
    texts: int = 2,
    tokens: int | Sequence[int] = 128,
    groups: Sequence[tuple[int, int]] = (),
    gradient_checkpointing: bool = False,
    lora_rank: int | None = None,
) -> MemoryEstimate:
    """Estimate the peak memory of training; see the head of this module for how far off it is.

    Args:
        model: what is known of the model; see `workbench.catalog.models.describe`.
        batch_size: rows of one forward pass.
        texts: text columns of a row; each is a forward pass whose activations are kept.
        tokens: length of the longest text of a batch, to which all others are padded, after they were cut; several
            numbers are those of the text columns one by one, `texts` of them.
        groups: (rows, tokens) of each group of like length that a batch goes through the model in; what the batch keeps
            then follows from them instead of `batch_size`, `texts` and `tokens`.
        gradient_checkpointing: activations are computed twice to save memory.
        lora_rank: rank of a low-rank update of query and value instead of training all weights.

    Raises:
        RecipeError: a number is not a whole number from 1 to `LARGEST`; all problems at once.
    """
    widths: list[Any] = list(tokens) if isinstance(tokens, list | tuple) else [tokens]
    numbers: list[tuple[str, Any]] = [
        ("batch_size", batch_size),
        ("texts", texts),
        *(("tokens", width) for width in widths),
    ]
    if lora_rank is not None:
        numbers.append(("lora_rank", lora_rank))
    if problems := [
        f"{name}: expected a whole number from 1 to {LARGEST:,}, got {value!r:.60}; choose another"
        for name, value in numbers
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST
    ]:
        raise RecipeError(problems)
    sizes, parameters = model.architecture, model.parameters
    passes = groups or [(batch_size, width) for width in (widths * texts if len(widths) == 1 else widths)]
    kept = None
    if sizes is not None:
        kept = sum(activations(sizes, batch_size=rows, texts=1, tokens=width) for rows, width in passes)
    held = GROUPED_SHARE if groups else PEAK_SHARE
    held *= CHECKPOINTED_SHARE if gradient_checkpointing and sizes and sizes.layers else 1.0
    trained = parameters
    if lora_rank is not None:
        # two matrices (hidden, rank) for query and two for value
        trained = None if sizes is None else 4 * sizes.layers * sizes.hidden_size * lora_rank
    return MemoryEstimate(
        weights_bytes=None if parameters is None else FLOAT32_BYTES * parameters,
        optimizer_bytes=None if trained is None else 3 * FLOAT32_BYTES * trained,
        activations_bytes=None if kept is None else round(held * kept),
        library_bytes=LIBRARY_BYTES,
        assumes=_assumes(batch_size, texts, widths, gradient_checkpointing, lora_rank),
        why=_unknown(model),
    )


def activations(sizes: Architecture, *, batch_size: int, texts: int, tokens: int, dropout: bool = True) -> int:
    """Bytes in float32 that the forward passes of a batch keep for the backward pass.

    A static model has no layers: it keeps one vector a text. Without `dropout` attention keeps nothing for pairs of tokens.
    """
    if sizes.layers == 0:
        return FLOAT32_BYTES * texts * batch_size * sizes.hidden_size
    hidden, heads = sizes.hidden_size, sizes.heads
    # s·b·h·(34 + 5·a·s/h), with the 16 of its 34 that come from the feed-forward part scaled to the width it really has
    pairs = 5 * heads * tokens if dropout else 0
    layer = batch_size * tokens * (18 * hidden + 4 * sizes.intermediate_size + pairs)
    return round(2 * texts * sizes.layers * layer * sizes.share)


def gigabytes(size: int) -> str:
    """A size for a sentence, in GB of 10⁹ bytes or MB of 10⁶ bytes."""
    if size < 1e8:
        return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e6:.2g} MB"
    return f"{size / 1e9:,.2f} GB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _assumes(batch_size: int, texts: int, widths: list[int], checkpointing: bool, lora_rank: int | None) -> str:
    rows = "1 row" if batch_size == 1 else f"{batch_size:,} rows"
    columns = "1 text" if texts == 1 else f"{texts:,} texts"
    ways = [
        "float32 on a CPU with AdamW",
        *(["gradient checkpointing"] if checkpointing else []),
        *([f"LoRA of rank {lora_rank}"] if lora_rank is not None else []),
    ]
    return f"a batch of {rows} of {columns}, padded to {' and '.join(f'{width:,}' for width in widths)} tokens; {', '.join(ways)}"


def _unknown(model: ModelInfo) -> str:
    unknown = [
        *(["the number of weights"] if model.parameters is None else []),
        *(["the sizes of the layers (and so the activations)"] if model.architecture is None else []),
    ]
    why = "the weights are not on this machine" if model.path is None else "its files do not say"
    return f"{' and '.join(unknown)} cannot be known, since {why}" if unknown else ""
