"""Seconds from `train()` to the first step: a plain start, and one where a panel has been open for half a minute.

    python -m tests.benchmarks start [--data glossary/triplets] [--repeats 5] [--open-s 30] [--small]

Each start is made by a process of its own, as a notebook's kernel would, the two ways in alternation, each with a cache
folder of its own, so that a plain start scores the base model itself. The third figure is a plain start that finds
the vectors of the evaluation rows on the disk, as a second run does. A step's own time is told apart, since it is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from typing import Any

from tests.benchmarks._report import said_by

SESSION = """
import json, sys, time
from pathlib import Path
import workbench as wb
from workbench.recipe import Loss, Recipe
from workbench.training import warm
from workbench.training.launch import train

data, batch, open_s, folder, way = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
recipe = Recipe(loss=Loss("MultipleNegativesRankingLoss"), data=data, batch_size=batch, max_steps=1, device="cpu")
wb.load(data)  # the table is shown in the first tab
if way == "warm":
    warm.waiting().shown(lambda: warm.waiting().expect(recipe))
    time.sleep(open_s)
    assert warm.waiting().pid is not None, "no process waits: is enough memory free?"
began = time.time()
run = train(recipe, folder=folder / way)
returned = time.time() - began
while not run.events("step") and run.state in ("starting", "running"):
    time.sleep(0.02)
step = run.events("step")[0]
scored = run.events("scores")[0]["time"]
run.wait()
print(json.dumps({
    "train_returns_s": returned, "scored_s": scored - began,
    "first_step_begins_s": step["time"] - step["seconds"] - began, "first_step_ends_s": step["time"] - began,
}))
"""


def seconds(data: str, batch: int, open_s: float, folder: str, way: str) -> dict[str, float]:
    """One start in a process of its own."""
    measured: dict[str, float] = said_by(SESSION, data, batch, open_s, folder, way, home=folder)
    return measured


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks start", description=__doc__)
    parser.add_argument("--data", default="glossary/triplets")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--open-s", type=float, default=30.0)
    parser.add_argument("--small", action="store_true", help="one start of each kind with a small batch")
    options = parser.parse_args(arguments)
    if options.small:
        options.batch, options.repeats, options.open_s = 2, 1, 6.0
    sides: dict[str, list[dict[str, float]]] = {"plain": [], "warm": [], "again": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as cold, tempfile.TemporaryDirectory() as opened:
            for way, home in (("plain", cold), ("warm", opened), ("again", cold)):
                sides[way].append(seconds(options.data, options.batch, options.open_s, home, way))
    found: dict[str, Any] = {
        way: {name: round(statistics.median(each[name] for each in runs), 2) for name in runs[0]}
        for way, runs in sides.items()
    }
    print("| start | sooner | first step begins, s | first step ends, s | train() returns, s |\n|---|---|---|---|---|")
    for way, name in (("warm", "a panel was open"), ("plain", "plain, first run"), ("again", "plain, second run")):
        ratio = found["plain"]["first_step_begins_s"] / found[way]["first_step_begins_s"]
        found[way]["sooner"] = round(ratio, 2)
        print(
            f"| {name} | {ratio:.1f} times | {found[way]['first_step_begins_s']} | {found[way]['first_step_ends_s']} | {found[way]['train_returns_s']} |"
        )
    print(json.dumps({"results": found, "sides": sides, "cpu_count": os.cpu_count(), "load": os.getloadavg()[0]}))
