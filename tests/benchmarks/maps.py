"""Maps of real vectors beside those of umap-learn as it comes: time, memory, and what the maps keep of the space.

    python -m tests.benchmarks maps [--texts 2000 10000] [--large 100000] [--repeats 3] [--data FOLDER]

The texts are banking77 and clinc150 (FOLDER/banking77/*.csv, FOLDER/clinc150/data_small.json) under all-MiniLM-L6-v2. Both
sides run in alternation, each time in a fresh process: the first map with all imports and compilation ("fresh"), then
a second one ("warm"). Ours includes the measuring of its faithfulness. Both maps are then judged by the same function.
The large map is ours alone; where there are too few texts, further vectors are means of two near ones.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CHILD = """
import time; began = time.perf_counter()
import json, resource, sys
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
    draw = lambda: project(space, progress=lambda done, total: reports.append(time.perf_counter() - began)).xy
np.save(target, draw())
found |= {"fresh_s": time.perf_counter() - began}
if reports:
    found |= {"reports": len(reports), "longest_silence_s": float(np.diff([0, *reports]).max())}
if "once" not in sys.argv:
    began = time.perf_counter()
    draw()
    found["warm_s"] = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found["peak_rss_mb"] = peak / (1024 if sys.platform != "darwin" else 1024**2)
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


def side_by_side(rows: np.ndarray, folder: Path, repeats: int) -> dict[str, Any]:
    from workbench.spaces.faithful import faithfulness

    source = folder / "vectors.npy"
    np.save(source, rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    runs: dict[str, list[dict[str, float]]] = {"umap-learn": [], "workbench": []}
    maps: list[np.ndarray] = []
    for _ in range(repeats):
        for side, done in runs.items():
            run = child(side, source, folder / "xy.npy")
            xy = np.load(folder / "xy.npy")
            kept = faithfulness(unit, xy)
            run |= {"trustworthiness": kept.trustworthiness, "continuity": kept.continuity, "overlap": kept.overlap}
            done.append(run)
            maps += [xy] if side == "workbench" else []
    middle = {
        side: {name: round(statistics.median(run[name] for run in done), 4) for name in done[0]}
        for side, done in runs.items()
    }
    ours, theirs = middle["workbench"], middle["umap-learn"]
    return {
        "texts": len(rows),
        "fresh_ratio": round(theirs["fresh_s"] / ours["fresh_s"], 2),
        "warm_ratio": round(theirs["warm_s"] / ours["warm_s"], 2),
        "trustworthiness_gain": round(ours["trustworthiness"] - theirs["trustworthiness"], 4),
        "overlap_gain": round(ours["overlap"] - theirs["overlap"], 4),
        "same_each_time": all(np.array_equal(maps[0], xy) for xy in maps),
        **middle,
    }


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: a line for each number of texts and side."""
    head = "| texts | map | first picture, s | fresh, s | warm, s | peak, MB | trustworthiness | continuity | overlap |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    names = ("first_picture_s", "fresh_s", "warm_s", "peak_rss_mb", "trustworthiness", "continuity", "overlap")
    for size in found:
        for side in ("workbench", "umap-learn"):
            if side in size:
                cells = (f"{size[side][name]:.4g}" if name in size[side] else "" for name in names)
                lines.append(f"| {size['texts']:,} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks maps", description=__doc__)
    parser.add_argument("--texts", type=int, nargs="*", default=[2000, 10_000])
    parser.add_argument("--large", type=int, default=100_000, help="0 leaves it out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    options = parser.parse_args(arguments)
    load, found = os.getloadavg()[0], []
    rows = vectors(options.data)
    with tempfile.TemporaryDirectory() as name:
        for count in options.texts:
            found.append(side_by_side(rows[:count], Path(name), options.repeats))
            ratios = f"fresh {found[-1]['fresh_ratio']} times sooner, warm {found[-1]['warm_ratio']} times"
            print(f"{found[-1]['texts']:,} texts: {ratios}; trustworthiness {found[-1]['trustworthiness_gain']:+}")
        if options.large:
            np.save(Path(name) / "large.npy", enlarged(rows, options.large))
            run = child("workbench", Path(name) / "large.npy", Path(name) / "xy.npy", "once")
            found.append({"texts": options.large, "workbench": {key: round(value, 3) for key, value in run.items()}})
    print(table(found))
    print(json.dumps({"cpu_count": os.cpu_count(), "load": [load, os.getloadavg()[0]], "sizes": found}))
