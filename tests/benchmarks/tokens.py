"""What making the tokens of a batch takes of a training step, by the library and from what is known of the texts.

    python -m tests.benchmarks tokens [--rows 5000] [--batch 64] [--steps 20] [--small]

Pairs of sentences of 8 to 26 words are trained on with MultipleNegativesRankingLoss, under all-MiniLM-L6-v2 and under a
static model with its tokenizer and 256 dimensions. The library tokenises every batch; ours takes the ids from disk (the
first epoch after statistics or checks) or from memory (texts that were seen before). Both sides make each batch one
after the other, in turns, and the step goes on with the library's features. Times are those of the processor (all
threads), medians over the steps; a share is that of the tokens in the step with them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks._report import report
from tests.benchmarks.token_stats import table

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def worked(work: Callable[[], Any]) -> tuple[float, Any]:
    """(milliseconds of the processor, what the call gave)."""
    began = time.process_time()
    made = work()
    return (time.process_time() - began) * 1000, made


def static(like: Any, folder: Path) -> Any:
    """A model of random vectors for the tokens of another, which is saved, too."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(like.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=256)], device="cpu")
    model.save(str(folder), create_model_card=False)
    return model


def measure(model: Any, name: str, data: Any, options: argparse.Namespace, source: str) -> dict[str, Any]:
    """One model, with what is known either on disk or in memory."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    from workbench.spaces import tokens_once

    tokens_once.remember(model, name, data, revision="of its own" if source == "memory" else None)
    ours = tokens_once.once(model)
    assert ours
    loss, optimizer = (
        losses.MultipleNegativesRankingLoss(model),
        torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True),
    )
    columns = [data.column(column) for column in data.texts]
    times: dict[str, list[float]] = {"library": [], "ours": [], "rest": []}
    for step in range(options.steps + 2):
        rows = slice(step * options.batch % len(data), step * options.batch % len(data) + options.batch)
        batch = [column[rows] for column in columns]
        if source == "memory":
            [ours.features(part) for part in batch]

        def by(features: Callable[[list[str]], Any], batch: list[list[str]] = batch) -> tuple[float, Any]:
            return worked(lambda: [dict(features(part)) for part in batch])

        def forward_and_back(features: Any) -> None:
            loss(features, None).backward()
            optimizer.step()
            optimizer.zero_grad()

        made = [(side, *by(ours.features if side == "ours" else model.preprocess))
                for side in (("library", "ours") if step % 2 else ("ours", "library"))]  # fmt: skip
        rest, _ = worked(lambda made=made: forward_and_back(dict((side, got) for side, _, got in made)["library"]))
        for side, took in [*((side, took) for side, took, _ in made), ("rest", rest)]:
            times[side] += [took] if step > 1 else []
    library, mine, rest = (statistics.median(times[side]) for side in ("library", "ours", "rest"))
    return {
        "ratio": library / mine,
        "share_by_library": library / (library + rest),
        "share_ours": mine / (mine + rest),
        "library_ms": library,
        "ours_ms": mine,
        "rest_of_step_ms": rest,
    }


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks tokens", description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="batches of 8, 2 steps: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        options.rows, options.batch, options.steps = 2000, 8, 2
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_HOME"] = folder
        import torch

        from workbench.catalog import models
        from workbench.data.load import load
        from workbench.data.tokens import token_stats

        path = Path(folder) / "triplets.tsv"
        table(path, options.rows)
        data = load(str(path), columns={"anchor": "anchor", "positive": "positive", "negative": "ignore"})
        minilm, place = models.load(MODEL, device="cpu"), str(Path(folder) / "static")
        results = []
        for kind, name, model in (("MiniLM", MODEL, minilm), ("static", place, static(minilm, Path(place)))):
            token_stats(data, name)
            for source in ("disk", "memory"):
                measured = measure(model, name, data, options, source)
                results.append({"ratio": measured.pop("ratio"), "model": kind, "from": source, **measured})
    settings = {"table_rows": options.rows, "batch": options.batch, "steps": options.steps}
    report("tokens", results, threads=torch.get_num_threads(), **settings)
