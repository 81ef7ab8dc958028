"""Models and tables that are only what the spaces ask of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import datasets
import numpy as np
import pytest

from workbench.spaces.encode import Space


class Model:
    """Gives each text the vector that a table or a function has for it, and keeps what it was asked."""

    def __init__(
        self, vectors: Mapping[str, Sequence[float]] | Callable[[str], Sequence[float]], name: str = "m", d: int = 2
    ) -> None:
        self.vector = vectors.__getitem__ if isinstance(vectors, Mapping) else vectors
        self.max_seq_length = name  # the only thing that tells two stand-ins apart in the cache
        self.d = d
        self.asked: list[str] = []

    def encode(
        self, texts: list[str], *, batch_size: int, show_progress_bar: bool, convert_to_numpy: bool
    ) -> np.ndarray:
        self.asked += texts
        return np.array([self.vector(text) for text in texts], dtype=np.float32)

    def state_dict(self) -> dict:
        return {}

    def get_embedding_dimension(self) -> int:
        return self.d


class Table:
    """Stands for loaded examples: columns with roles as names."""

    name = "my rows"

    def __init__(self, **columns: list) -> None:
        self.columns = columns
        self.label = next((name for name in ("label", "score") if name in columns), None)
        self.texts = tuple(name for name in columns if name != self.label)
        self.roles = self.used = {name: name for name in columns}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def to_training(self) -> datasets.Dataset:
        return datasets.Dataset.from_dict(self.columns)


def random_vector(text: str, d: int = 8) -> np.ndarray:
    """The same for a text in every process."""
    return np.random.default_rng(list(text.encode())).normal(size=d)


def space(vectors: np.ndarray | list, labels: Sequence[str] | None = None) -> Space:
    """A space of these vectors over texts that are only numbered."""
    rows = np.asarray(vectors, dtype=np.float32)
    texts = tuple(f"text {n}" for n in range(len(rows)))
    return Space(texts, rows, "a model", "0" * 16, labels=None if labels is None else tuple(labels))


def angle(degrees: float) -> list[float]:
    """A unit vector on the plane."""
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


def when_cancelled(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> threading.Event:
    """Set once a pool of threads of the module has dropped what it has not begun."""
    cancelled = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    return cancelled
