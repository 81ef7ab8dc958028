"""Time of a search for one query among a million stored vectors, and how many of the true nearest it finds.

Two stand-ins, both worth a million texts of 384 dimensions in float32: directions spread evenly, and 2,000 clusters
that lie in a narrow cone, as the vectors of many models do. Queries are stored vectors with noise.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np


def stand_in(path: Path, n: int, wide: int, *, cone: bool) -> np.ndarray:
    """float32, shape (n, wide), a memory map of unit vectors."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, wide))
    draw = np.random.default_rng(0)
    middles = draw.standard_normal((2000, wide), dtype=np.float32) * 0.7 + 1.5
    for start in range(0, n, 20_000):
        part = draw.standard_normal((min(20_000, n - start), wide), dtype=np.float32)
        if cone:
            part = 0.5 * part + middles[draw.integers(0, len(middles), len(part))]
        rows[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    rows.flush()
    return rows


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks search", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args(arguments)
    for kind in ("even", "cone"):
        with tempfile.TemporaryDirectory() as folder:
            rows = stand_in(Path(folder) / "rows.npy", options.rows, options.dimensions, cone=kind == "cone")
            result = {"vectors": kind, "rows": options.rows, **measure(rows, options.queries, options.k)}
        print(json.dumps(result), flush=True)


def measure(rows: np.ndarray, queries: int, k: int) -> dict[str, object]:
    from workbench.spaces.encode import Space
    from workbench.spaces.search import Search

    draw, load = np.random.default_rng(1), os.getloadavg()
    began = time.perf_counter()
    search = Search(Space(("",) * len(rows), rows, "stand-in", "0" * 16))
    built = time.perf_counter() - began
    noise = draw.standard_normal((queries, rows.shape[1])).astype(np.float32) * 0.02
    asked = rows[draw.integers(0, len(rows), queries)] + noise
    times, found, plain, last = [], 0, [], None
    for query in asked:
        began = time.perf_counter()
        last = search.near(query, k)
        times.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        cosine = rows @ (query / np.linalg.norm(query))
        plain.append(1000 * (time.perf_counter() - began))
        found += len({*np.argpartition(-cosine, k)[:k].tolist()} & {*last.rows[0].tolist()})
    return {
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(statistics.quantiles(times, n=20)[-1], 1),
        f"recall@{k}": found / (k * queries),
        "float32_product_alone_median_ms": round(statistics.median(plain), 1),
        "prepared_s": round(built, 1),
        "last": last.how if last else "",
        "cpu_count": os.cpu_count(),
        "load_before": [round(value, 2) for value in load],
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
