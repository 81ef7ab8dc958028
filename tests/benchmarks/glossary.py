"""Room to learn: each view of the glossary under the base model and after a short fine-tune, three seeds.

`python -m tests.benchmarks glossary [VIEW ...]` prints the table that stands in the data set's own README.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from workbench.recipe import Loss, Recipe
from workbench.training.launch import train

SETTINGS = {
    "qa": {
        "loss": Loss("MultipleNegativesRankingLoss"),
        "epochs": 2,
        "learning_rate": 5e-5,
        "batch_sampler": "no_duplicates",
    },
    "triplets": {
        "loss": Loss("MultipleNegativesRankingLoss"),
        "epochs": 1,
        "learning_rate": 3e-5,
        "batch_sampler": "no_duplicates",
        "max_seq_length": 128,
    },
    "graded": {"loss": Loss("CoSENTLoss"), "epochs": 2, "learning_rate": 5e-5},
    "labelled": {
        "loss": Loss("BatchAllTripletLoss", margin=0.3, distance_metric="cosine_distance"),
        "epochs": 6,
        "learning_rate": 1e-4,
        "batch_size": 64,
        "batch_sampler": "group_by_label",
    },
    "sentences": {
        "loss": Loss("MultipleNegativesRankingLoss"),
        "epochs": 1,
        "learning_rate": 5e-5,
        "batch_sampler": "no_duplicates",
    },
}
SEEDS = (1, 2, 3)


def main(arguments: list[str]) -> None:
    """Train every view with every seed and print one line for each, then the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks glossary")
    parser.add_argument("views", nargs="*", default=list(SETTINGS))
    parser.add_argument("--small", action="store_true", help="one view, one seed, two steps: shows that it works")
    options = parser.parse_args(arguments)
    views, seeds, steps = (["qa"], SEEDS[:1], 2) if options.small else (options.views, SEEDS, None)
    lines = [
        "| view | fine-tune | score | base [95%] | tuned, seeds 1, 2, 3 | difference [95%], seeds 1, 2, 3 | n |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as place:
        for view in views:
            results = [_one(view, seed, Path(place), steps) for seed in seeds]
            lines.append(_line(view, results))
            print(lines[-1], flush=True)
    print("\n".join(lines))


def _one(view: str, seed: int, place: Path, steps: int | None) -> dict[str, object]:
    recipe = Recipe(
        data=f"glossary/{view}", seed=seed, eval_steps=1e9, save_steps=1e9, max_steps=steps, **SETTINGS[view]
    )
    run = train(recipe, folder=place / f"{view}-{seed}").wait()
    scores = run.scores or {}
    name = scores["after"]["primary"]
    result = {
        "name": name,
        "steps": run.status.step,
        "seconds": run.events("step")[-1]["seconds"],
        "before": scores["before"]["scores"][name],
        "after": scores["after"]["scores"][name],
        "delta": scores["change"]["delta"][name],
    }
    print(json.dumps({"view": view, "seed": seed, **result}), flush=True)
    return result


def _line(view: str, results: list[dict[str, object]]) -> str:
    first, settings = results[0], SETTINGS[view]
    base = first["before"]
    tuned = ", ".join(f"{result['after']['value']:.3f}" for result in results)
    delta = "; ".join(
        f"{result['delta']['mid']:+.3f} [{result['delta']['low']:+.3f}, {result['delta']['high']:+.3f}]"
        for result in results
    )
    how = f"{settings['loss'].name}, {first['steps']} steps of {settings.get('batch_size', 16)}, lr {settings['learning_rate']:g}"
    return f"| {view} | {how} | {first['name']} | {base['value']:.3f} [{base['low']:.3f}, {base['high']:.3f}] | {tuned} | {delta} | {base['n']} |"
