"""The forward pass over many texts: tokenised once and ahead of the model, in batches of like length.

Every batch holds as many texts as a budget of tokens allows, so that hardly any padding is computed and what a layer
makes stays in the processor's cache. Models that this cannot be done with go through their own `encode`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# Texts that are tokenised together, while the model works on those before
PIECE = 1024
# Tokens of one forward pass. On one thread MiniLM took the processor about the same for 256 to 2,048, some 10 % more for
# 4,096 and over 50 % more for 8,192, whose layers leave the cache. That of CUDA is a guess and not measured.
BUDGET = {"cpu": 2048, "cuda": 32_768}
OTHER_BUDGET = 8192
# Texts of one pass of a model that goes through its own `encode`
USUAL = 64
# After these modules a vector is the same whatever its batch was padded to
KNOWN = {"Pooling", "Normalize", "Dense", "Dropout", "LayerNorm"}
PADDED = {"input_ids", "attention_mask", "token_type_ids"}
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of a piece of texts without padding, the longest text first.

    Attributes:
        rows: which text each is, int64, shape (n,).
        lengths: tokens of each, special ones included, int64, shape (n,).
        flat: name of a feature -> its values of all texts, one text after the other, int64, shape (sum of lengths,).
        pad: name of a feature -> what fills it up.
        shared: features that are the same for all texts.
    """

    rows: np.ndarray
    lengths: np.ndarray
    flat: dict[str, np.ndarray]
    pad: dict[str, int]
    shared: dict[str, Any]

    def batches(self, budget: int, most: int | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Row numbers and padded features, as the model's own `preprocess` makes them, of one batch after the other."""
        import torch

        ends, start = np.append(0, np.cumsum(self.lengths)), 0
        while start < len(self.rows):
            width = int(self.lengths[start])
            stop = min(len(self.rows), start + max(1, min(budget // max(width, 1), most or budget)))
            places = np.arange(width) < self.lengths[start:stop, None]  # (texts, width)
            features = dict(self.shared)
            for name, values in self.flat.items():
                padded = np.full(places.shape, self.pad[name])
                padded[places] = values[ends[start] : ends[stop]]
                features[name] = torch.from_numpy(padded)
            yield self.rows[start:stop], features
            start = stop


def encoded(
    model: SentenceTransformer | Any, texts: list[str], rows: np.ndarray, *, prompt: str = "", most: int | None = None
) -> Iterator[Batch]:
    """Vectors of texts, a batch at a time and in any order, those of long texts first.

    They are those of `model.encode` to 1e-5. On CUDA the layers compute in bfloat16 or float16 where the device is made
    for it; the cosine with the vector in float32 is then meant to stay above 0.999 (MiniLM, autocast to bfloat16 on a
    processor: 0.99997).

    Args:
        model: a loaded model.
        texts: n texts.
        rows: which of them, int64, shape (m,).
        prompt: put before every text; without one the model's default prompt is, where it has one.
        most: texts of one batch; None leaves it to the budget of tokens.

    Yields:
        Row numbers, int64, shape (b,), and their vectors, float32, shape (b, d).
    """
    order = rows[np.argsort([-len(texts[row]) for row in rows], kind="stable")]
    if not hasattr(model, "preprocess"):  # anything with an `encode`
        yield from _own(model, texts, order, most or USUAL, lambda text: prompt + text)
        return
    if not prompt and model.default_prompt_name:
        prompt = model.prompts.get(model.default_prompt_name) or ""
    static = _is(model[0], "StaticEmbedding")
    if not static and not _fits(model):
        yield from _own(model, texts, order, most or USUAL, str, **({"prompt": prompt} if prompt else {}))
        return
    model.eval()
    budget = BUDGET.get(model.device.type, OTHER_BUDGET)

    def tokenise(start: int) -> Any:
        part = order[start : start + PIECE]
        words = [texts[row] for row in part]
        return (part, model.preprocess(words, prompt=prompt)) if static else _tokens(model, part, words, prompt)

    for piece in _ahead(tokenise, len(order)):
        for numbers, features in [piece] if static else piece.batches(budget, most):
            yield numbers, _forward(model, features)


def _ahead(make: Callable[[int], Any], total: int) -> Iterator[Any]:
    """What is made of each piece; the next one is made on another thread in the meantime."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokenise") as other:
        coming = other.submit(make, 0) if total else None
        try:
            for start in range(0, total, PIECE):
                assert coming is not None
                made = coming.result()
                coming = other.submit(make, start + PIECE) if start + PIECE < total else None
                yield made
        finally:
            if coming is not None:
                coming.cancel()


def _own(
    model: Any, texts: list[str], order: np.ndarray, most: int, put: Callable[[str], str], **options: Any
) -> Iterator[Batch]:
    """The model's own `encode`, in pieces so that progress moves."""
    for start in range(0, len(order), most * 8):
        rows = order[start : start + most * 8]
        part = [put(texts[row]) for row in rows]
        yield rows, model.encode(part, batch_size=most, show_progress_bar=False, convert_to_numpy=True, **options)


def _is(module: Any, name: str) -> bool:
    """Of the library and of no class that changes it."""
    return type(module).__name__ == name and type(module).__module__.startswith("sentence_transformers.")


def _fits(model: Any) -> bool:
    """Padding on the right is all that tells a batch of this model from its texts one by one."""
    first, tokenizer = model[0], getattr(model, "tokenizer", None)
    return (
        _is(model, "SentenceTransformer")
        and _is(first, "Transformer")
        and all(any(_is(module, name) for name in KNOWN) for module in list(model)[1:])
        and first.backend == "torch"
        and first.transformer_task == "feature-extraction"
        and list(first.modality_config) == ["text"]
        and not first.can_flatten_inputs
        and not first.processing_kwargs
        and first.processor is tokenizer
        and getattr(tokenizer, "is_fast", False)
        and tokenizer.padding_side == "right"
        and tokenizer.pad_token_id is not None
        and set(tokenizer.model_input_names) <= PADDED
    )


def _tokens(model: Any, rows: np.ndarray, texts: list[str], prompt: str) -> Tokens:
    """What the model's own `preprocess` makes of texts, before padding."""
    bare = {"text": {"padding": False}, "common": {"return_tensors": None}}
    made = model.preprocess(texts, prompt=prompt or None, processing_kwargs=bare)
    lists = {name: made[name] for name in made if name in PADDED}
    lengths = np.fromiter(map(len, made["input_ids"]), np.int64, len(texts))
    order = np.argsort(-lengths, kind="stable")
    flat = {
        name: np.fromiter(chain.from_iterable(values[row] for row in order), np.int64, int(lengths.sum()))
        for name, values in lists.items()
    }
    pad = {"input_ids": model.tokenizer.pad_token_id, "attention_mask": 0}
    pad["token_type_ids"] = model.tokenizer.pad_token_type_id
    shared = {name: made[name] for name in made if name not in PADDED}
    return Tokens(rows[order], lengths[order], flat, pad, shared)


def _forward(model: Any, features: dict[str, Any]) -> np.ndarray:
    """float32 (texts, d)."""
    import torch
    from sentence_transformers.util import batch_to_device

    half = _half(model.device)
    with torch.inference_mode():
        features = batch_to_device(features, model.device)
        with torch.autocast("cuda", dtype=half, enabled=half is not None):
            vectors = model(dict(features))["sentence_embedding"]
        if half is not None and not bool(torch.isfinite(vectors).all()):
            vectors = model(features)["sentence_embedding"]  # numbers beyond the range of float16
        if model.truncate_dim is not None:
            vectors = vectors[..., : model.truncate_dim]
        return np.asarray(vectors.float().cpu().numpy())


def _half(device: torch.device) -> torch.dtype | None:
    """The short numbers that a device computes quickly with, None where it has none."""
    import torch

    if device.type != "cuda":
        return None
    generation = torch.cuda.get_device_capability(device)[0]
    return torch.bfloat16 if generation >= 8 else torch.float16 if generation == 7 else None
