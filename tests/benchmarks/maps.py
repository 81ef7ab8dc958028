"""Maps of real vectors beside those of umap-learn as it comes: time, memory, and what the maps keep of the space.

    python -m tests.benchmarks maps [--texts 2000 10000] [--large 100000] [--repeats 5] [--data FOLDER] [--small]

The texts are banking77 and clinc150 (FOLDER/banking77/*.csv, FOLDER/clinc150/data_small.json) under all-MiniLM-L6-v2. Both
sides run in alternation, each time in a fresh process: the first map with all imports and compilation ("fresh"), then
a second one ("warm"). Ours includes the measuring of its faithfulness. Both maps are then judged by the same function.
Ratios come first: how many times as long the peer takes, the median over the alternations; then medians of ours and of
the peer. CPU seconds are those of all threads and hold the imports.
The large map is ours alone; where there are too few texts, further vectors are means of two near ones.
--small shows in some seconds that it runs: 300 vectors drawn by a seed, ours alone, since compiling is what its peer does first.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._report import report

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
OURS, PEER = "workbench", "umap-learn"
TIMES, KEPT = ("fresh", "warm", "fresh_cpu", "warm_cpu"), ("trustworthiness", "continuity", "overlap")
CHILD = """
import time; began, cpu = time.perf_counter(), time.process_time()
import json, sys
import numpy as np
side, source, target = sys.argv[1:4]
vectors = np.load(source)
found, reports = {}, []
if side == "umap-learn":
    import umap
    draw = lambda: umap.UMAP(metric="cosine").fit_transform(vectors)
else:
    from workbench.spaces.encode import Space
    from workbench.spaces.project import project
    from workbench.spaces.stages import first_picture
    space = Space(tuple(map(str, range(len(vectors)))), vectors, "m", "0" * 16)
    there = time.perf_counter()
    first_picture(space)
    found["first_picture_s"] = time.perf_counter() - there
    began += found["first_picture_s"]
    draw = lambda: project(space, progress=lambda *now: reports.append(time.perf_counter() - began)).xy
np.save(target, draw())
found |= {"fresh_s": time.perf_counter() - began, "fresh_cpu_s": time.process_time() - cpu}
if reports:
    found |= {"reports": len(reports), "longest_silence_s": float(np.diff([0, *reports]).max())}
if "once" not in sys.argv:
    began, cpu = time.perf_counter(), time.process_time()
    draw()
    found |= {"warm_s": time.perf_counter() - began, "warm_cpu_s": time.process_time() - cpu}
lines = open("/proc/self/status") if sys.platform == "linux" else []  # what getrusage says is the parent's, too
found["peak_rss_mb"] = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)
print(json.dumps(found))
"""


def vectors(folder: Path) -> np.ndarray:
    """float32, shape (n, 384): each distinct text of both sets once, in an order drawn by seed 0."""
    from workbench.spaces.encode import embed

    bank: list[str] = []
    for part in ("train", "test"):
        with (folder / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            bank += [row["text"] for row in csv.DictReader(file)]
    parts = json.loads((folder / "clinc150" / "data_small.json").read_text(encoding="utf-8"))
    clinc = [text for rows in parts.values() for text, _ in rows]
    found = {text: row for texts in (bank, clinc) for text, row in zip(texts, embed(texts, MODEL).vectors, strict=True)}
    rows = np.stack(list(found.values()))
    return rows[np.random.default_rng(0).permutation(len(rows))]


def stand_ins(count: int) -> np.ndarray:
    """float32, shape (count, 32): around five centres, drawn by seed 0."""
    draw = np.random.default_rng(0)
    rows = 3 * draw.normal(size=(5, 32))[np.arange(count) % 5] + draw.normal(size=(count, 32))
    return rows.astype(np.float32)


def enlarged(rows: np.ndarray, count: int) -> np.ndarray:
    """`count` rows: those given, then means of a row and one of its ten nearest, drawn by seed 0."""
    from workbench.spaces.neighbours import nearest

    draw = np.random.default_rng(0)
    near = nearest(rows, rows, 10, exclude_self=True)[0]
    one = draw.integers(0, len(rows), max(0, count - len(rows)))
    share = draw.uniform(0.2, 0.8, (len(one), 1)).astype(np.float32)
    other = near[one, draw.integers(0, 10, len(one))]
    return np.concatenate([rows, share * rows[one] + (1 - share) * rows[other]])[:count]


def child(side: str, source: Path, target: Path, *more: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-c", CHILD, side, str(source), str(target), *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def side_by_side(rows: np.ndarray, folder: Path, repeats: int, sides: tuple[str, ...]) -> dict[str, Any]:
    from workbench.spaces.faithful import faithfulness

    source = folder / "vectors.npy"
    np.save(source, rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    maps: list[np.ndarray] = []
    for _ in range(repeats):
        for side, done in runs.items():
            run = child(side, source, folder / "xy.npy")
            xy = np.load(folder / "xy.npy")
            kept = faithfulness(unit, xy)
            run |= {"trustworthiness": kept.trustworthiness, "continuity": kept.continuity, "overlap": kept.overlap}
            done.append(run)
            maps += [xy] if side == OURS else []
    ours = median(runs[OURS])
    row: dict[str, Any] = {"texts": len(rows), "repeats": repeats}
    if PEER in runs:
        pairs = list(zip(runs[PEER], runs[OURS], strict=True))
        for name in TIMES:  # of each alternation, so that what else the machine did falls on both sides
            row[f"{name}_ratio"] = round(statistics.median(b[f"{name}_s"] / a[f"{name}_s"] for b, a in pairs), 2)
        for name in KEPT:
            row[f"{name}_gain"] = round(statistics.median(a[name] - b[name] for b, a in pairs), 4)
    row["same_each_time"] = all(np.array_equal(maps[0], xy) for xy in maps)
    row |= ours
    if PEER in runs:
        row |= {f"{PEER}_{name}": value for name, value in median(runs[PEER]).items()}
    return row


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the repeats."""
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks maps", description=__doc__)
    parser.add_argument("--texts", type=int, nargs="*", default=[2000, 10_000])
    parser.add_argument("--large", type=int, default=100_000, help="0 leaves it out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    parser.add_argument(
        "--small", action="store_true", help="some seconds, to see that it runs; its figures say nothing"
    )
    options = parser.parse_args(arguments)
    sides: tuple[str, ...] = (PEER, OURS)
    if options.small:
        options.texts, options.large, options.repeats, sides = [300], 400, 2, (OURS,)
    rows = stand_ins(300) if options.small else vectors(options.data)
    with tempfile.TemporaryDirectory() as name:
        found = [side_by_side(rows[:count], Path(name), options.repeats, sides) for count in options.texts]
        if found:
            report("maps", found, small=options.small)
        if options.large:
            np.save(Path(name) / "large.npy", enlarged(rows, options.large))
            run = child(OURS, Path(name) / "large.npy", Path(name) / "xy.npy", "once")
            report("maps, large", [{"texts": options.large, **median([run])}], small=options.small)
