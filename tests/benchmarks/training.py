"""Seconds a step of the library's trainer, as it comes and with batches computed in groups of like length.

Triplets of a definition (50 tokens on average, about 250 at most; joined from the shipped glossary's definitions) and
two terms; and, as the other extreme, triplets of texts that are all equally long. Both sides are the same trainer with
the same rows in every batch, one after the other in alternation; each figure is the median over the runs.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from typing import Any


def triplets(rows: int, *, equal: bool) -> dict[str, list[str]]:
    """Columns anchor, positive, negative."""
    from workbench.data.glossary import views

    table = views.rows("triplets", "train")[0]
    passages, terms = [str(text) for text in table["passage"]], [str(text) for text in table["term"]]
    draw = random.Random(0)
    if equal:
        words = " ".join(passages).split()
        texts = [[" ".join(draw.choices(words, k=24)) for _ in range(rows)] for _ in range(3)]
        return dict(zip(("anchor", "positive", "negative"), texts, strict=True))
    anchors = []
    for _ in range(rows):
        size = max(4, min(190, round(draw.lognormvariate(3.3, 0.75))))  # words
        text: list[str] = []
        while len(text) < size:
            text += draw.choice(passages).split()
        anchors.append(" ".join(text[:size]))
    return {"anchor": anchors, "positive": draw.choices(terms, k=rows), "negative": draw.choices(terms, k=rows)}


def seconds_a_step(model: Any, table: Any, batch: int, steps: int, *, lean: bool) -> float:
    """Median over the steps of one run, the first left out."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from transformers import TrainerCallback

    from workbench.spaces.lean import Lean

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(-time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times[-1] += time.perf_counter()

    vars(model).pop("forward", None)
    if lean:
        model.forward = Lean(model)
    with tempfile.TemporaryDirectory() as folder:
        settings = SentenceTransformerTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=steps + 1,
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
            seed=1,
        )
        loss = losses.MultipleNegativesRankingLoss(model)
        SentenceTransformerTrainer(
            model=model, args=settings, train_dataset=table, loss=loss, callbacks=[Clock()]
        ).train()
    vars(model).pop("forward", None)
    return statistics.median(times[1:])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks training", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    options = parser.parse_args(arguments)
    from datasets import Dataset

    from workbench.catalog import models

    model = models.load(options.model, device="cpu")
    results = []
    for equal in (False, True):
        for batch in options.batches if not equal else options.batches[:1]:
            table = Dataset.from_dict(triplets(batch * (options.steps + 2), equal=equal))
            sides: dict[bool, list[float]] = {False: [], True: []}
            for turn in range(2 * options.repeats):
                lean = bool(turn % 2)
                sides[lean].append(seconds_a_step(model, table, batch, options.steps, lean=lean))
            plain, ours = statistics.median(sides[False]), statistics.median(sides[True])
            results.append(
                {
                    "texts": "of equal length" if equal else "of mixed length",
                    "batch": batch,
                    "ratio": round(plain / ours, 3),
                    "ratios": [round(a / b, 3) for a, b in zip(sides[False], sides[True], strict=True)],
                    "as_it_comes_s": round(plain, 3),
                    "in_groups_s": round(ours, 3),
                }
            )
            row = results[-1]
            print(
                f"{row['ratio']:.2f} times as fast at batch {batch}, texts {row['texts']}: {plain:.2f} s a step as it comes, {ours:.2f} s in groups",
                flush=True,
            )
    print(json.dumps({"results": results, "cpu_count": os.cpu_count(), "load": os.getloadavg()[0]}))
