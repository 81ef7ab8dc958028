"""Seconds a step of the library's trainer as it comes, and as a run of the workbench computes it.

Triplets of a definition (50 tokens on average, about 250 at most; joined from the shipped glossary's definitions) and
two terms; and, as the other extreme, triplets of texts that are all equally long. All sides are the library's trainer
with the same rows in every batch, one after the other in alternation; each figure is the median over the runs.

On a CPU the sides are the library as it comes and the same with batches computed in groups of like length. With --gpu
they are the library in float32, the library with bf16 set by hand, and the settings of the workbench; add
`--model mpnet-sized` for a model of that size with random weights.

    python -m tests.benchmarks training [--batches 16 64 128] [--steps 3] [--repeats 5] [--gpu] [--small]
"""

import argparse
import contextlib
import io
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks._report import report

SMALL: dict[str, Any] = {"batches": [4], "steps": 1, "repeats": 1}


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


def load(name: str, device: str) -> Any:
    """A model by name, or one of the size of mpnet-base with random weights."""
    from workbench.catalog import models

    if name != "mpnet-sized":
        return models.load(name, device=device)
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    words = models.find("sentence-transformers/all-MiniLM-L6-v2").path
    with tempfile.TemporaryDirectory() as folder:
        BertModel(BertConfig()).save_pretrained(folder)  # 12 layers of 768, as mpnet-base
        for path in words.iterdir():
            if path.name.startswith(("tokenizer", "vocab", "special")):
                (Path(folder) / path.name).write_bytes(path.read_bytes())
        body = Transformer(folder)
        return SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension())], device=device)


def settings_of(side: str, device: str) -> dict[str, Any]:
    """Arguments of the library's trainer that differ between the sides."""
    if side == "workbench" and device == "cuda":
        from workbench.cards.script import arguments
        from workbench.checks.trial_batch import computes_bf16
        from workbench.recipe import Loss, Recipe

        recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data="glossary/triplets")
        ours = arguments(recipe, rows=100, device=device, bf16=computes_bf16(device))
        return {key: ours[key] for key in ("bf16", "tf32", "fp16", "optim", "dataloader_pin_memory") if key in ours}
    return {"bf16": True} if side == "bf16 by hand" else {}


def seconds_a_step(side: str, model: Any, table: Any, batch: int, steps: int) -> float:
    """Mean over the steps of one run, the first left out."""
    import torch
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from transformers import PrinterCallback, TrainerCallback

    from workbench.spaces.lean import Lean

    times: list[float] = []
    device = model.device.type

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(-time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if device == "cuda":
                torch.cuda.synchronize()
            times[-1] += time.perf_counter()

    if side == "workbench":
        model.forward = Lean(model)
    model.model_card_data.generate_widget_examples = False
    with tempfile.TemporaryDirectory() as folder:
        settings = SentenceTransformerTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=steps + 1,
            save_strategy="no",
            use_cpu=device == "cpu",
            disable_tqdm=True,
            report_to="none",
            seed=1,
            **settings_of(side, device),
        )
        loss = losses.MultipleNegativesRankingLoss(model)
        trainer = SentenceTransformerTrainer(
            model=model, args=settings, train_dataset=table, loss=loss, callbacks=[Clock()]
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    vars(model).pop("forward", None)
    return statistics.fmean(times[1:])


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks training", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--small", action="store_true", help="one step of each side: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        vars(options).update(SMALL)
    from datasets import Dataset

    sides = ["library", *(["bf16 by hand"] if options.gpu else []), "workbench"]
    model = load(options.model, "cuda" if options.gpu else "cpu")
    results = []
    for equal in (False, True):
        for batch in options.batches if not equal else options.batches[:1]:
            rows = Dataset.from_dict(triplets(batch * (options.steps + 2), equal=equal))
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(options.repeats):
                for side in sides:
                    with contextlib.redirect_stderr(io.StringIO()):
                        seconds[side].append(seconds_a_step(side, model, rows, batch, options.steps))
            middle = {side: statistics.median(values) for side, values in seconds.items()}
            results.append(
                {
                    "times_as_fast": round(middle["library"] / middle["workbench"], 3),
                    **({"against_bf16": middle["bf16 by hand"] / middle["workbench"]} if options.gpu else {}),
                    "texts": "of equal length" if equal else "of mixed length",
                    "batch": batch,
                    **{f"{side.replace(' ', '_')}_s": round(value, 4) for side, value in middle.items()},
                    "seconds": [[round(value, 4) for value in seconds[side]] for side in sides],
                }
            )
    report("training", results, model=options.model, gpu=options.gpu, steps=options.steps, repeats=options.repeats)
