"""Peak memory of a fine-tune: the library's own trainer, and a run of the workbench, over the same rows.

Triplets of a definition of mixed length and two terms, as in the benchmark `training`; each side in a process of its
own, one after the other in alternation; each figure is the median over the runs. Both load the same model, make the
same steps in batches of the same rows, write a checkpoint and save the model. The peak is the resident set as Linux keeps it
(VmHWM), libraries included.

    python -m tests.benchmarks memory [--batches 16 64] [--steps 4] [--repeats 3] [--small]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._report import said_by
from tests.benchmarks.training import triplets
from workbench.catalog.memory import gigabytes

SMALL = {"batches": [4], "steps": 2, "repeats": 1}
PEAK = "next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))"
LIBRARY = f"""
import json, sys
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer import losses
from workbench.catalog import models
rows, batch, steps, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
model = models.load("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
settings = SentenceTransformerTrainingArguments(
    folder, per_device_train_batch_size=batch, max_steps=steps, save_steps=steps, use_cpu=True, disable_tqdm=True,
    report_to="none", dataloader_pin_memory=False, seed=42,
)
loss = losses.MultipleNegativesRankingLoss(model)
table = Dataset.from_json(rows, cache_dir=folder)
SentenceTransformerTrainer(model=model, args=settings, train_dataset=table, loss=loss).train()
model.save_pretrained(folder + "/model", create_model_card=False)
print({PEAK})
"""
OURS = f"""
import sys
from workbench.training import launch, run, worker
from workbench.recipe import Loss, Recipe
rows, batch, steps, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
launch.start_worker = lambda place: None
recipe = Recipe(
    loss=Loss("MultipleNegativesRankingLoss"), data=rows, batch_size=batch, max_steps=steps, save_steps=steps,
    device="cpu", eval_share=0,
)
if worker.main([str(launch.train(recipe, folder=folder + "/run").folder)]):
    sys.exit(open(folder + "/run/status.json").read())
print({PEAK})
"""


def peak(code: str, rows: Path, batch: int, steps: int) -> int:
    """Bytes of the largest resident set of a process that trains."""
    with tempfile.TemporaryDirectory() as folder:
        return int(said_by(code, rows, batch, steps, folder, home=folder))


def forecast(rows: Path, batch: int) -> int:
    """Bytes that the checks expect a run to need."""
    from workbench.checks.case import Case
    from workbench.checks.cost import memory_of
    from workbench.recipe import Loss, Recipe

    recipe = Recipe(
        loss=Loss("MultipleNegativesRankingLoss"), data=str(rows), batch_size=batch, device="cpu", eval_share=0
    )
    case = Case.of(recipe, lambda *_: None)
    return memory_of(case, recipe)


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks memory", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="one run of each side in batches of 4")
    options = parser.parse_args(arguments)
    if options.small:
        vars(options).update(SMALL)
    results: list[dict[str, Any]] = []
    print("| batch | ours / library | library | ours | forecast / ours |\n|---|---|---|---|---|")
    for batch in options.batches:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.jsonl"
            columns = triplets(batch * options.steps, equal=False)
            made = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            rows.write_text("".join(json.dumps(row) + "\n" for row in made))
            sides: dict[str, list[int]] = {"library": [], "ours": []}
            for _ in range(options.repeats):
                for name, code in (("library", LIBRARY), ("ours", OURS)):
                    sides[name].append(peak(code, rows, batch, options.steps))
            expected = forecast(rows, batch)
        library, ours = (statistics.median(sides[name]) for name in ("library", "ours"))
        results.append(
            {
                "batch": batch,
                "ratio": round(ours / library, 3),
                "library_bytes": library,
                "ours_bytes": ours,
                "forecast_bytes": expected,
                "forecast_ratio": round(expected / ours, 3),
                "sides": sides,
            }
        )
        row = results[-1]
        print(
            f"| {batch} | {row['ratio']:.2f} | {gigabytes(int(library))} | {gigabytes(int(ours))} | {row['forecast_ratio']:.2f} |",
            flush=True,
        )
    print(json.dumps({"results": results, "cpu_count": os.cpu_count(), "load": os.getloadavg()[0]}))
