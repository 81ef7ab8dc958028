"""Time of a search for one query among a million stored vectors, and how many of the true nearest it finds.

Two stand-ins, both worth a million texts of 384 dimensions in float32: directions spread evenly, and 2,000 clusters
that lie in a narrow cone, as the vectors of many models do. Queries are stored vectors with noise. Beside each search,
in alternation, the float32 product of the query with all vectors and the sorting out of its best: what it is without us.

    python -m tests.benchmarks search [--rows 1000000] [--dimensions 384] [--queries 50] [--k 10] [--repeats 5] [--small]

Medians over the repeats. --small shows in some seconds that it runs: 60,000 rows of 16 dimensions.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks._report import report


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
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--small", action="store_true", help="some seconds, to see that it runs; its figures say nothing"
    )
    options = parser.parse_args(arguments)
    if options.small:
        options.rows, options.dimensions, options.queries, options.repeats = 60_000, 16, 10, 2
    found = []
    for kind in ("even", "cone"):
        with tempfile.TemporaryDirectory() as folder:
            rows = stand_in(Path(folder) / "rows.npy", options.rows, options.dimensions, cone=kind == "cone")
            found.append({"vectors": kind, **measure(rows, options.queries, options.k, options.repeats)})
    report("search", found, options=vars(options))


def measure(rows: np.ndarray, queries: int, k: int, repeats: int) -> dict[str, object]:
    from workbench.spaces.encode import Space
    from workbench.spaces.search import Search

    began = time.perf_counter()
    search = Search(Space(("",) * len(rows), rows, "stand-in", "0" * 16))
    built = time.perf_counter() - began
    draw = np.random.default_rng(1)
    runs, found, last = [], 0, None
    for _ in range(repeats):
        noise = draw.standard_normal((queries, rows.shape[1])).astype(np.float32) * 0.02
        times, plain = [], []
        for query in rows[draw.integers(0, len(rows), queries)] + noise:
            began = time.perf_counter()
            last = search.near(query, k)
            times.append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            cosine = rows @ (query / np.linalg.norm(query))
            best = np.argpartition(-cosine, k)[:k]
            plain.append(1000 * (time.perf_counter() - began))
            found += len({*best.tolist()} & {*last.rows[0].tolist()})
        middle, other = statistics.median(times), statistics.median(plain)
        runs.append((other / middle, middle, statistics.quantiles(times, n=20)[-1], other))
    ratio, middle, late, other = (statistics.median(column) for column in zip(*runs, strict=True))
    return {
        "ratio": round(ratio, 2),
        "median_ms": round(middle, 1),
        "p95_ms": round(late, 1),
        "float32_product_median_ms": round(other, 1),
        f"recall@{k}": found / (k * queries * repeats),
        "prepared_s": round(built, 1),
        "rows": len(rows),
        "last": last.how if last else "",
    }
