"""Memory while many texts are encoded: it must stay flat, since vectors grow in a file and only pieces are held.

Distinct short texts (about ten tokens), each number of them in a process of its own with an empty cache folder. Counted
is the anonymous memory (RssAnon of Linux, looked at every 50 ms), that is without the pages of files that the system
may drop at will; "beyond the texts" is its peak during `embed` less what the process held just before, with model and
texts loaded. "Of the texts" is what the texts themselves take in Python. The model is MiniLM with its first layers
only: that saves time, and what is held over many texts does not depend on it.

    python -m tests.benchmarks many_texts [--texts 10000 100000 1000000] [--layers 1] [--small]
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

from tests.benchmarks._report import report, said_by

SMALL = {"texts": [200, 400]}
WORK = """
import json, sys, threading, time
import workbench as wb
count, layers = int(sys.argv[1]), int(sys.argv[2])
def held():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
from workbench.catalog import models
model = models.load("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
del model[0].auto_model.encoder.layer[layers:]
wb.embed(["a first text"], model)
empty = held()
texts = [f"item {number} of a long list of goods" for number in range(count)]
before = held()
peak, over = [before], threading.Event()
def watch():
    while not over.wait(0.05):
        peak.append(max(peak.pop(), held()))
watching = threading.Thread(target=watch, daemon=True)
watching.start()
began = time.perf_counter()
space = wb.embed(texts, model)
seconds = time.perf_counter() - began
over.set()
watching.join()
assert space.vectors.shape[0] == count and abs(float((space.vectors[-1] ** 2).sum()) - 1) < 1e-3
print(json.dumps({"beyond": peak[0] - before, "texts": before - empty, "seconds": seconds, "vectors": space.vectors.nbytes}))
"""


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks many_texts", description=__doc__)
    parser.add_argument("--texts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="a few hundred texts: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        vars(options).update(SMALL)
    rows: list[dict[str, Any]] = []
    for count in options.texts:
        with tempfile.TemporaryDirectory() as home:
            said = said_by(WORK, count, options.layers, home=home)
        rows.append(
            {
                "texts": count,
                "beyond_the_texts_mb": round(said["beyond"] / 1e6, 1),
                "of_the_texts_mb": round(said["texts"] / 1e6, 1),
                "vectors_mb": round(said["vectors"] / 1e6, 1),
                "texts_a_second": round(count / said["seconds"]),
                "seconds": round(said["seconds"], 1),
            }
        )
    report("many_texts", rows, layers=options.layers)
