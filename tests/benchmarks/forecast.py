"""How near the forecasts of a check come to the run: time of the steps, and peak memory of the worker.

python -m tests.benchmarks forecast [--steps 20] [--small]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import psutil

from workbench.catalog.memory import gigabytes
from workbench.checks.case import Case
from workbench.checks.trial import _ask, _memory
from workbench.checks.trial_findings import seconds_of_a_step
from workbench.recipe import Loss, Recipe
from workbench.training.launch import train


def main(arguments: list[str]) -> None:
    """Measure, and print one JSON object; a ratio above 1 is a forecast that was too high."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks forecast", description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="two steps: shows that it works")
    options = parser.parse_args(arguments)
    steps = 2 if options.small else options.steps
    recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data="glossary/qa", max_steps=steps, device="cpu")
    case = Case.of(recipe, lambda *_: None)
    job = _ask(case)
    assert job is not None
    trial = job.result()
    assert trial is not None
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, folder=Path(folder) / "run").wait()
        seconds = run.events("step")[-1]["seconds"] / steps
        peak = re.search(r"([\d,]+) MB \(peak resident", run.card)
    forecast = seconds_of_a_step(case, trial)
    found = {
        "load_average": psutil.getloadavg()[0],
        "seconds_a_step": {"forecast": forecast, "run": seconds, "ratio": forecast / seconds},
        "memory": {
            "forecast": _memory(case, trial),
            "run": gigabytes(int(peak[1].replace(",", "")) * 2**20) if peak else None,
        },
    }
    sys.stdout.write(json.dumps(found) + "\n")
