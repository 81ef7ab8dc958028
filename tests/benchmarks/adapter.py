"""How soon a linear adapter is there: each view of the glossary tried at once, with 2 cores, encoding apart.

`python -m tests.benchmarks adapter [--small] [--repeats N]` prints one JSON line for each view, then a table. "try": training
and scoring with intervals, as the panel does it at each change of a parameter; "data": reading the table, every time;
"encoding": all texts under all-MiniLM-L6-v2, once. Medians of the repeats; the first try of a process, which also sets
up the library's trainer, stands apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time

from workbench.recipe import Loss, Recipe

VIEWS = {
    "qa": {"loss": Loss("MultipleNegativesRankingLoss"), "batch_sampler": "no_duplicates"},
    "triplets": {"loss": Loss("MultipleNegativesRankingLoss"), "batch_sampler": "no_duplicates"},
    "graded": {"loss": Loss("CoSENTLoss")},
    "labelled": {
        "loss": Loss("BatchAllTripletLoss", margin=0.3, distance_metric="cosine_distance"),
        "batch_sampler": "group_by_label",
        "batch_size": 64,
        "epochs": 3,
    },
}
HEAD = ("view", "steps", "try, s", "largest", "first try, s", "data, s", "encoding, s", "score", "change")


def main(arguments: list[str]) -> None:
    """Try every view some times over and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks adapter")
    parser.add_argument("--small", action="store_true", help="one view on 64 rows, in seconds")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(2)
    import sentence_transformers  # noqa: F401  its import is no part of a try

    lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "---:|" * 7 + "---|"]
    with tempfile.TemporaryDirectory() as home:  # an empty cache, so that encoding is measured
        os.environ["WORKBENCH_HOME"] = home
        for view in ["qa"] if given.small else list(VIEWS):
            result = _one(view, 64 if given.small else None, 2 if given.small else given.repeats)
            print(json.dumps(result), flush=True)
            lines.append("| " + " | ".join(str(result[name]) for name in HEAD) + " |")
    print("\n".join(lines))


def _one(view: str, rows: int | None, repeats: int) -> dict[str, object]:
    from workbench.training.adapter import as_adapter, try_adapter

    data = {"source": f"glossary/{view}", **({"rows": rows} if rows else {})}
    recipe = as_adapter(Recipe(data=data, **VIEWS[view]))
    began = time.perf_counter()
    first = try_adapter(recipe)
    whole = time.perf_counter() - began
    tries = [try_adapter(recipe) for _ in range(repeats)]
    seconds = [made.seconds for made in tries]
    data_s = statistics.median(made.encode_seconds for made in tries)
    change = first.change
    assert change is not None
    name = change.after.primary
    return {
        "view": view,
        "steps": first.steps,
        "try, s": round(statistics.median(seconds), 3),
        "largest": round(max(seconds), 3),
        "first try, s": round(first.seconds, 3),
        "data, s": round(data_s, 3),
        "encoding, s": round(whole - first.seconds - data_s, 1),
        "score": f"{name} {change.after.scores[name].value:.3f}",
        "change": str(change.delta[name]),
    }
