"""Texts to vectors, kept on disk by model and text fingerprint so that nothing is encoded twice."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.catalog import models
from workbench.data.distinct import NOTHING
from workbench.errors import DataError, ModelError
from workbench.spaces import kept
from workbench.spaces.encoding import encoded
from workbench.spaces.kept import BLOCK_ROWS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Progress = Callable[[int, int], None]
MISSING = ("None", "nan", "NaT", "<NA>")  # how a label that is none, and no text, is written
HALF = re.compile("[\ud800-\udfff]")  # of a pair that makes one character


@dataclass(frozen=True, eq=False)
class Space:
    """Vectors of a fixed list of texts under one model.

    Attributes:
        texts: n texts.
        vectors: float32, shape (n, d), as the model gives them: unit length only where the model normalises. Large ones
            are only mapped into memory.
        model: name of the model.
        model_fingerprint: 16 hex digits of the weights and settings that made the vectors.
        prompt: text that was put before every text.
        labels: n labels for colouring and purity, or None.
    """

    texts: tuple[str, ...]
    vectors: np.ndarray
    model: str
    model_fingerprint: str
    prompt: str = ""
    labels: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"Space({len(self)} texts × {self.vectors.shape[1]} dimensions, {self.model})"

    @property
    def usable(self) -> np.ndarray:
        """bool, shape (n,): the vector is finite and not zero."""
        parts = [_usable(self.vectors[start : start + BLOCK_ROWS]) for start in range(0, len(self.vectors), BLOCK_ROWS)]
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    @property
    def unit(self) -> np.ndarray:
        """float32, shape (n, d): vectors of length 1; rows that are not usable stay zero."""
        made = kept.room(*self.vectors.shape)
        for start in range(0, len(self.vectors), BLOCK_ROWS):
            made[start : start + BLOCK_ROWS] = _unit(self.vectors[start : start + BLOCK_ROWS])
        return made


def _usable(vectors: np.ndarray) -> np.ndarray:
    finite = np.isfinite(vectors).all(axis=1)
    return np.asarray(finite & (np.abs(np.where(finite[:, None], vectors, 0)).max(axis=1, initial=0) > 0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    clean = np.where(_usable(vectors)[:, None], vectors, 0)
    # First to a largest value of 1, since squares of very large or small numbers leave the range of float32.
    largest = np.abs(clean).max(axis=1, initial=0, keepdims=True)
    clean = clean / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(clean, axis=1, keepdims=True)
    return np.asarray(clean / np.where(length > 0, length, 1))


def embed(
    texts: Iterable[str],
    model: str | Path | SentenceTransformer | Any,
    *,
    prompt: str = "",
    labels: Sequence[object] | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Space:
    """Encode texts with a model, or take the vectors from the disk if they were made before.

    Args:
        texts: n texts. Equal texts are encoded once.
        model: a name, a folder, a run (anything with a `.model_folder`), or a loaded SentenceTransformer.
        prompt: put before every text.
        labels: n labels that travel with the texts.
        batch_size: texts of one forward pass at most; None leaves it to their tokens.
        device: torch device; None lets Sentence Transformers choose.
        progress: called with (texts done, texts to do). An exception that it raises ends the encoding; what is done
            counts the next time.

    Returns:
        A `Space` with float32 vectors of shape (n, d), rows in the order of `texts`.

    Raises:
        DataError: a text is not a string or holds half a character, or there is not one label for each text.
        ModelError: the model cannot be found or loaded.
    """
    if isinstance(texts, str):
        raise DataError(f"expected a list of texts, got one text ({texts!r:.60}); put it into a list")
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping) or hasattr(texts, "to_training"):
        raise DataError(
            f"expected a list of texts, got {type(texts).__name__}; of a table take one column: data.column(name)"
        )
    if batch_size is not None and batch_size < 1:
        raise DataError(f"expected a batch_size of at least 1, got {batch_size}; leave it out")
    texts = list(texts)
    for row, text in enumerate(texts, 1):
        check_text(text, f" as number {row}")
    check_text(prompt, " as prompt")
    given = label_texts(labels, len(texts))
    name, fingerprint = _identity(model)
    distinct = list(dict.fromkeys(texts))
    vectors = _vectors(distinct, model, fingerprint, prompt, batch_size, device, progress)
    place = {text: row for row, text in enumerate(distinct)}
    rows = np.fromiter((place[text] for text in texts), dtype=np.int64, count=len(texts))
    return Space(tuple(texts), kept.take(vectors, rows), name, fingerprint, prompt, given)


def check_text(text: object, where: str = "") -> None:
    """Raise a DataError in one sentence if something is no text that a tokenizer takes."""
    if not isinstance(text, str):
        raise DataError(
            f"expected texts, got {type(text).__name__} ({text!r:.60}){where}; convert it to str or leave it out"
        )
    if HALF.search(text):
        raise DataError(f"expected texts, got half a character in {text!r:.60}{where}; mend it or leave it out")


def label_texts(labels: Iterable[object] | None, count: int) -> tuple[str, ...] | None:
    """Labels as text, "no value" for one that is missing; None for none.

    Raises:
        DataError: there is not one label for each of so many texts.
    """
    if labels is None:
        return None
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        got = f"{type(labels).__name__} ({labels!r:.60})"
        raise DataError(f"expected one label for each of {count:,} texts, got {got}; give a list of labels")
    shown = tuple(str(label) if isinstance(label, str) or str(label) not in MISSING else NOTHING for label in labels)
    if len(shown) != count:
        raise DataError(
            f"expected one label for each of {count:,} texts, got {len(shown):,}; give both in the same order"
        )
    return shown


def check_space(space: object) -> None:
    """Raise a DataError in one sentence if something is no space, or one whose vectors do not belong to its texts."""
    if not isinstance(space, Space):
        raise DataError(f"expected a space, got {type(space).__name__}; make one with embed(texts, model)")
    shape = np.shape(space.vectors)
    if len(shape) != 2 or shape[0] != len(space):
        raise DataError(
            f"expected a space with vectors of shape ({len(space)}, d) for its {len(space)} texts, got {shape}; give a row for each text"
        )


def _vectors(
    texts: list[str],
    model: Any,
    fingerprint: str,
    prompt: str,
    most: int | None,
    device: str | None,
    progress: Progress | None,
) -> np.ndarray:
    """float32 (n, d): from the disk, or made and put there."""
    if not texts:
        return np.zeros((0, _loaded(model, device).get_embedding_dimension()), dtype=np.float32)
    path = kept.place(texts, fingerprint, prompt)
    vectors = kept.read(path, len(texts))
    if vectors is None:
        with kept.Making(path, len(texts)) as making:
            _encode(texts, _loaded(model, device), making, prompt=prompt, most=most, progress=progress)
            vectors = making.whole()
    return vectors


def _identity(model: object) -> tuple[str, str]:
    """(name, fingerprint) of a model that may or may not be loaded."""
    source = model_folder(model)
    if source is not None:
        return short_name(source), models.fingerprint(source)
    if not hasattr(model, "encode"):
        raise ModelError(
            f"expected a model name, a folder, a run or a SentenceTransformer, got {type(model).__name__}; pass one of these"
        )
    return loaded_name(model), _loaded_fingerprint(model)


def model_folder(model: object) -> Path | None:
    """Where a model that is not loaded yet comes from: a name or folder, or the model folder of a run."""
    folder = model if isinstance(model, str | Path) else getattr(model, "model_folder", None)
    return None if folder is None else Path(folder)


def short_name(source: Path) -> str:
    """A name for people: the Hub id, the run, or the folder without the way to it."""
    return models.short_name(source) if source.is_dir() else str(source)


def loaded_name(model: Any) -> str:
    """A name for people of a model that is loaded: what it was fine-tuned from, where it says so."""
    base = getattr(getattr(model, "model_card_data", None), "base_model", None)
    return str(base or "a loaded model")


def _loaded_fingerprint(model: Any) -> str:
    """Weights, and the settings that change vectors although the weights are the same, such as the pooling."""
    settings = [getattr(model, name, None) for name in ("max_seq_length", "truncate_dim", "default_prompt_name")]
    settings += [getattr(model, "prompts", None), repr(model) if hasattr(model, "named_modules") else ""]
    digest = hashlib.sha256("\n".join(map(str, settings)).encode("utf-8", "surrogatepass"))
    for name, tensor in model.state_dict().items():
        import torch

        digest.update(f"{name} {tensor.dtype}".encode())
        # As bytes, since NumPy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _encode(
    texts: list[str], model: Any, making: kept.Making, *, prompt: str, most: int | None, progress: Progress | None
) -> None:
    """Make the vectors that are not made yet."""
    missing = np.flatnonzero(~making.done)
    done = len(texts) - len(missing)
    for rows, part in encoded(model, texts, missing, prompt=prompt, most=most):
        making.put(rows, part)
        done += len(rows)
        if progress:
            progress(done, len(texts))


def _loaded(model: Any, device: str | None) -> Any:
    """A model that is loaded; the process that panels share keeps its last ones."""
    source = model_folder(model)
    if source is None:
        return model
    if device is not None or multiprocessing.parent_process() is None:
        return models.load(source, device=device)
    from workbench.spaces import engine

    folder = str(models.files(source))
    return engine.loaded(folder, engine.stamp_of(folder))
