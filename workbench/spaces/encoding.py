"""The forward pass over many texts: tokenised once and ahead of the model, in batches of like length.

Every batch holds as many texts as a budget of tokens allows, so that hardly any padding is computed and what a layer
makes stays in the processor's cache. Models that this cannot be done with go through their own `encode`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import no_memory
from workbench.spaces.ahead import ahead
from workbench.spaces.tokens_once import Once, once, together

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# Texts that are tokenised together, while the model works on those before
PIECE = 1024
# Tokens of one forward pass. On one thread MiniLM took the processor about the same for 256 to 2,048, some 10 % more for
# 4,096 and over 50 % more for 8,192, whose layers leave the cache. That of CUDA is a guess and not measured.
BUDGET = {"cpu": 2048, "cuda": 32_768}
OTHER_BUDGET = 8192
# Texts of one pass of a model that goes through its own `encode`: as many as there, since padding may count
USUAL = 32
# After these modules a vector is the same whatever its batch was padded to
KNOWN = {"Pooling", "Normalize", "Dense", "Dropout", "LayerNorm"}
Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of a piece of texts without padding, the longest text first.

    Attributes:
        rows: which text each is, int64, shape (n,).
        lengths: tokens of each, special ones included, int64, shape (n,).
        flat: their ids, one text after the other, int32, shape (sum of lengths,).
        features: from ids and lengths to the features of a batch, as the model's own `preprocess` makes them.
    """

    rows: np.ndarray
    lengths: np.ndarray
    flat: np.ndarray
    features: Callable[[np.ndarray, np.ndarray], dict[str, Any]]

    def batches(self, budget: int, most: int | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Row numbers and features of one batch after the other."""
        ends, start = np.append(0, np.cumsum(self.lengths)), 0
        while start < len(self.rows):
            width = int(self.lengths[start])
            stop = min(len(self.rows), start + max(1, min(budget // max(width, 1), most or budget)))
            yield self.rows[start:stop], self.features(self.flat[ends[start] : ends[stop]], self.lengths[start:stop])
            start = stop


def encoded(
    model: SentenceTransformer | Any, texts: list[str], rows: np.ndarray, *, prompt: str = "", most: int | None = None
) -> Iterator[Batch]:
    """Vectors of texts, a batch at a time and in any order, those of long texts first.

    They are those of `model.encode` to 1e-5. On CUDA the layers compute in bfloat16 or float16 where the device is made
    for it; the cosine with the vector in float32 is then meant to stay above 0.999 (MiniLM, autocast to bfloat16 on a
    processor: 0.99997).

    Where a batch does not fit into memory, what is left goes on in batches of half as many texts.

    Args:
        model: a loaded model.
        texts: n texts.
        rows: which of them, int64, shape (m,).
        prompt: put before every text; without one the model's default prompt is, where it has one.
        most: texts of one batch; None leaves it to the budget of tokens.

    Yields:
        Row numbers, int64, shape (b,), and their vectors, float32, shape (b, d).
    """
    while True:
        done: list[np.ndarray] = [rows[:0]]
        try:
            for numbers, vectors in _encoded(model, texts, rows, prompt=prompt, most=most):
                yield numbers, vectors
                done.append(numbers)
            return
        except (MemoryError, RuntimeError) as error:
            if most == 1 or not no_memory(error):
                raise
        rows, most = rows[~np.isin(rows, np.concatenate(done))], (most or 2 * USUAL) // 2


def _encoded(
    model: SentenceTransformer | Any, texts: list[str], rows: np.ndarray, *, prompt: str, most: int | None
) -> Iterator[Batch]:
    """As `encoded`, as long as all batches fit into memory."""
    order = rows[np.argsort([-len(texts[row]) for row in rows])]  # as `encode` does it, ties too
    if not hasattr(model, "preprocess"):  # anything with an `encode`
        yield from _own(model, texts, order, most or USUAL, lambda text: prompt + text)
        return
    if not prompt and model.default_prompt_name:
        prompt = model.prompts.get(model.default_prompt_name) or ""
    known = once(model)
    if known is None or not _fits(model, known.way):
        yield from _own(model, texts, order, most or USUAL, str, **({"prompt": prompt} if prompt else {}))
        return
    model.eval()
    static = known.way == "static"
    budget = BUDGET.get(model.device.type, OTHER_BUDGET)

    def tokenise(start: int) -> Any:
        part = order[start : start + PIECE]
        words = [texts[row] for row in part]
        return (part, known.features(words, prompt)) if static else _tokens(known, part, words, prompt)

    for piece in ahead(map(tokenise, range(0, len(order), PIECE))):
        for numbers, features in [piece] if static else piece.batches(budget, most):
            yield numbers, _forward(model, features)


def _own(
    model: Any, texts: list[str], order: np.ndarray, most: int, put: Callable[[str], str], **options: Any
) -> Iterator[Batch]:
    """The model's own `encode`, a batch at a time so that progress moves and each batch is one of `encode`."""
    for start in range(0, len(order), most):
        rows = order[start : start + most]
        part = [put(texts[row]) for row in rows]
        yield rows, model.encode(part, batch_size=most, show_progress_bar=False, convert_to_numpy=True, **options)


def _fits(model: Any, way: str) -> bool:
    """Whatever the batch of a text was padded to, its vector is the same."""
    behind = [type(module) for module in list(model)[1:]]
    known = all(kind.__name__ in KNOWN and kind.__module__.startswith("sentence_transformers.") for kind in behind)
    return way == "static" or (known and (way == "packed" or not _padding_counts(model)))


def _padding_counts(model: Any) -> bool:
    from sentence_transformers.util import batch_to_device

    from workbench.spaces.lean import padding_counts

    features = batch_to_device(model.preprocess(["a", "a " * 20]), model.device)
    return padding_counts(model, features, 0, int(features["attention_mask"][0].sum()))


def _tokens(known: Once, rows: np.ndarray, texts: list[str], prompt: str) -> Tokens:
    """What the model takes of texts, before padding."""
    parts = known.ids(texts, prompt)
    order = np.argsort([-len(part) for part in parts], kind="stable")
    flat, lengths = together([parts[row] for row in order])
    return Tokens(rows[order], lengths, flat, lambda ids, sizes: known.batch(ids, sizes, prompt))


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
