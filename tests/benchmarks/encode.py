"""Texts to vectors beside `SentenceTransformer.encode` as it comes (batches of 32 texts), under all-MiniLM-L6-v2.

    python -m tests.benchmarks encode [--texts 1000] [--repeats 5] [--model NAME] [--data FOLDER] [--gpu] [--small]

Texts of mixed length are passages, terms and questions of the shipped glossary, in one list; those of even length are
questions of banking77 (FOLDER/banking77/train.csv), where they are there. Both sides run in alternation with the same
loaded model, and nothing is read from or written to the disk. Ratios come first: how many times as long the library takes by
the clock, and how many times the processor's work (user and system time of all threads, which other programs on the
machine disturb less). All figures are medians over the alternations. The difference is the largest one of a component.
--gpu takes the device cuda: there the layers compute in half precision, so the cosine counts more, and a third side is
the library with the model in bfloat16. `--model mpnet-sized` takes a model of that size with random weights.
--small shows in some seconds that it runs; its figures say little.
"""

import argparse
import copy
import csv
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._report import report
from tests.benchmarks.training import load


def glossary() -> list[str]:
    """Distinct texts of the shipped glossary."""
    from workbench.data.glossary import views

    tables = [views.rows(view, "train")[0] for view in ("triplets", "qa")]
    return list(dict.fromkeys(str(cell) for rows in tables for cells in rows.values() for cell in cells))


def banking(folder: Path) -> list[str]:
    """Distinct questions, none where the file is not there."""
    path = folder / "banking77" / "train.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(row["text"] for row in csv.DictReader(file)))


def timed(encode: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """(seconds by the clock, seconds of the processor, vectors)."""
    began, worked = time.perf_counter(), time.process_time()
    vectors = encode()
    return time.perf_counter() - began, time.process_time() - worked, vectors


def measure(model: Any, texts: list[str], repeats: int) -> dict[str, Any]:
    from workbench.spaces.encoding import encoded

    def ours() -> np.ndarray:
        made = np.zeros((len(texts), model.get_embedding_dimension()), np.float32)
        for rows, vectors in encoded(model, texts, np.arange(len(texts))):
            made[rows] = vectors
        return made

    def library() -> np.ndarray:
        return np.asarray(model.encode(texts, show_progress_bar=False))

    extra: dict[str, Any] = {}
    if model.device.type == "cuda":
        short = copy.deepcopy(model).bfloat16()
        by_hand = [
            timed(lambda: np.asarray(short.encode(texts, show_progress_bar=False)))[0] for _ in range(repeats + 1)
        ]
        extra["library_bf16_s"] = round(statistics.median(by_hand[1:]), 4)
    tokens = sum(len(model.preprocess([text])["input_ids"][0]) for text in texts)
    for warm in (ours, library):
        warm()
    mine, peer = [], []
    for turn in range(repeats):
        for side in (mine, peer) if turn % 2 else (peer, mine):
            side.append(timed(ours if side is mine else library))
    ours_s, ours_cpu, library_s, library_cpu = (
        statistics.median(run[at] for run in side) for side in (mine, peer) for at in (0, 1)
    )
    a, b = mine[-1][2].astype(float), peer[-1][2].astype(float)
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)
    return {
        "ratio": round(statistics.median(y[0] / x[0] for x, y in zip(mine, peer, strict=True)), 2),
        "ratio_of_processor_time": round(statistics.median(y[1] / x[1] for x, y in zip(mine, peer, strict=True)), 2),
        "texts": len(texts),
        "tokens": tokens,
        "ours_s": round(ours_s, 4),
        "library_s": round(library_s, 4),
        **extra,
        "ours_processor_s": round(ours_cpu, 2),
        "library_processor_s": round(library_cpu, 2),
        "ours_tokens_per_s": round(tokens / ours_s),
        "library_tokens_per_s": round(tokens / library_s),
        "largest_difference": float(np.abs(a - b).max()),
        "lowest_cosine": float(cosine.min()),
        "ratios": [round(y[0] / x[0], 2) for x, y in zip(mine, peer, strict=True)],
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks encode", description=__doc__)
    parser.add_argument("--texts", type=int, default=1000, help="at most so many of each kind, drawn by a seed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(arguments)
    if options.small:
        options.texts, options.repeats = 32, 1
    import torch

    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu expects a CUDA device, but torch finds none here; leave it out")
    model = load(options.model, "cuda" if options.gpu else "cpu")
    device = torch.cuda.get_device_name() if options.gpu else "cpu"
    rows = []
    for kind, texts in (("mixed", glossary()), ("even", banking(options.data))):
        if texts:
            random.Random(0).shuffle(texts)
            rows.append({"lengths": kind, **measure(model, texts[: options.texts], options.repeats)})
    settings = {name: str(value) for name, value in vars(options).items()}
    report("encode", rows, device=device, threads=torch.get_num_threads(), **settings)
