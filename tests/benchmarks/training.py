"""Seconds a step of the library's trainer as it comes, and as a run of the workbench makes it, batches included.

Triplets of a definition (50 tokens on average, about 250 at most; joined from the shipped glossary's definitions) and
two terms; and, as the other extreme, triplets of texts that are all equally long. All sides have the same rows in every
batch, one after the other in alternation; each figure is the median over the runs, of the time from the end of one step
to the end of the next, so that the making of batches counts.

On a CPU the sides are the library as it comes and a run, whose batches are computed in groups of like length. With
--gpu they are the library in float32, the library with bf16 set by hand, and a run: bf16 and TF32, batches without
padding where flash-attn is installed (else in groups where that pays), and the next batch made meanwhile. Last, each
side trains on the shipped glossary and is scored on rows kept out, with intervals. `--model mpnet-sized` takes a model
of that size with random weights.

    python -m tests.benchmarks training [--batches 16 64 128] [--steps 3] [--repeats 5] [--gpu] [--small]
"""

import argparse
import contextlib
import io
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks._report import report
from tests.benchmarks._report import table as markdown

SMALL: dict[str, Any] = {"batches": [4], "steps": 1, "repeats": 1, "scored_steps": 1, "scored_rows": 8}
LIBRARY, BY_HAND, OURS = "library float32", "library bf16 by hand", "workbench"
LOSS = "MultipleNegativesRankingLoss"


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


def model_of(side: str, name: str, device: str, recipe: Any) -> Any:
    """The model of a side, as that side trains it."""
    from workbench.spaces.packed import pack

    model = load(name, device)
    if side == OURS:
        pack(model, recipe)
    return model


def library_trainer(side: str, model: Any, table: Any, recipe: Any, folder: Path) -> Any:
    """The library's trainer as it comes, for as many steps as a recipe says."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses
    from transformers import PrinterCallback

    model.model_card_data.generate_widget_examples = False
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        max_steps=recipe.max_steps,
        save_strategy="no",
        use_cpu=model.device.type == "cpu",
        disable_tqdm=True,
        report_to="none",
        seed=recipe.seed,
        bf16=side == BY_HAND,
    )
    loss = getattr(losses, LOSS)(model)
    trainer = SentenceTransformerTrainer(model=model, args=settings, train_dataset=table.to_training(), loss=loss)
    trainer.remove_callback(PrinterCallback)
    return trainer


def our_trainer(model: Any, table: Any, recipe: Any, folder: Path) -> Any:
    """The trainer of a run, in a folder of its own; it looks at no probe texts and saves nothing."""
    from workbench.training import loop
    from workbench.training.film import Filming
    from workbench.training.folder import RunFolder
    from workbench.training.health import Health
    from workbench.training.records import EventWriter, Status

    place = RunFolder(folder)
    events = EventWriter(place.events)
    health, film = Health(recipe, table, events), Filming(recipe, place, table, None, events)
    recorder = loop.Recorder(place, recipe, health, film, Status("running"), None)
    trainer = loop.build(recipe, place, model, table.to_training(), model.device.type, recorder)
    trainer.args.save_strategy = "no"
    return trainer


@contextlib.contextmanager
def trainer_of(side: str, model: Any, table: Any, recipe: Any) -> Iterator[Any]:
    """The trainer of a side; what it sets in model and torch is taken back."""
    import torch
    from transformers.utils import import_utils

    before, own = torch.backends.fp32_precision, dict(vars(model))
    import_utils.enable_tf32.cache_clear()  # it remembers that it was called, though the switch was put back
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        make = our_trainer if side == OURS else lambda *given: library_trainer(side, *given)
        try:
            yield make(model, table, recipe, Path(folder))
        finally:
            torch.backends.fp32_precision = before
            for name in ("forward", "preprocess"):
                vars(model).pop(name, None)
                vars(model).update({name: own[name]} if name in own else {})


def seconds_a_step(side: str, model: Any, table: Any, recipe: Any) -> float:
    """Mean over the steps of one run, the first left out; a GPU has done its work when the clock is read."""
    import torch
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    with trainer_of(side, model, table, recipe) as trainer:
        trainer.add_callback(Clock())
        trainer.train()
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def scored(side: str, name: str, device: str, recipe: Any, rows: int) -> dict[str, Any]:
    """The score of the base model and of what a side makes of it, on rows kept out, with intervals of 95%."""
    from transformers import set_seed

    import workbench as wb
    from workbench.data.prepare import prepare

    train, held = prepare(recipe)
    assert held is not None
    held = held.select(range(min(rows, len(held))))
    set_seed(recipe.seed)
    model = model_of(side, name, device, recipe)
    base = wb.evaluate(model, held)
    with trainer_of(side, model, train, recipe) as trainer:
        trainer.train()
        found = wb.evaluate(model, held)
    score = found.scores[found.primary]
    return {
        "side": side,
        "score": found.primary,
        "tuned": score.value,
        "low": score.low,  # None where there are too few rows for an interval
        "high": score.high,
        "base": base.scores[base.primary].value,
        "steps": recipe.max_steps,
        "rows": found.rows,
    }


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks training", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", help="rows of a batch; 16 64 128, with --gpu 16 64 256")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="a name, or mpnet-sized")
    parser.add_argument("--scored-steps", type=int, default=200, help="with --gpu: steps before the scores are taken")
    parser.add_argument("--scored-rows", type=int, default=2000)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--small", action="store_true", help="one step of each side: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        vars(options).update(SMALL)
    import pandas as pd
    import torch

    import workbench as wb

    if options.gpu and not torch.cuda.is_available():
        parser.error("--gpu expects a CUDA device, but torch finds none here; leave it out")
    device = "cuda" if options.gpu else "cpu"
    batches = options.batches or [16, 64, 256 if options.gpu else 128]
    sides = [LIBRARY, *([BY_HAND] if options.gpu else []), OURS]
    quiet = {"film_frames": 0, "watch_off": ("zero-vectors", "collapse"), "seed": 1, "device": device, "loss": LOSS}
    plain = wb.Recipe(data="glossary/triplets", **quiet)
    models = {side: model_of(side, options.model, device, plain) for side in sides}
    results = []
    for equal in (False, True):
        for batch in batches if not equal else batches[:1]:
            table = wb.load(pd.DataFrame(triplets(batch * (options.steps + 2), equal=equal)))
            recipe = plain.changed(batch_size=batch, max_steps=options.steps + 1)
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(options.repeats):
                for side in sides:
                    seconds[side].append(seconds_a_step(side, models[side], table, recipe))
            middle = {side: statistics.median(values) for side, values in seconds.items()}
            results.append(
                {
                    "times_as_fast": round(middle[LIBRARY] / middle[OURS], 3),
                    **({"against_bf16": round(middle[BY_HAND] / middle[OURS], 3)} if options.gpu else {}),
                    "texts": "of equal length" if equal else "of mixed length",
                    "batch": batch,
                    **{f"{side.replace(' ', '_')}_s": round(value, 5) for side, value in middle.items()},
                    "seconds": [[round(value, 5) for value in seconds[side]] for side in sides],
                }
            )
    scores = []
    if options.gpu or options.small:
        recipe = plain.changed(batch_size=batches[0], max_steps=options.scored_steps)
        scores = [scored(side, options.model, device, recipe, options.scored_rows) for side in sides]
        print(markdown(scores))
    report(
        "training",
        results,
        model=options.model,
        device=torch.cuda.get_device_name() if options.gpu else "cpu",
        packed=bool(getattr(models[OURS][0], "can_flatten_inputs", False)),
        steps=options.steps,
        repeats=options.repeats,
        scores=scores,
    )
