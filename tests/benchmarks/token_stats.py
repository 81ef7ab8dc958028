"""Rate of token_stats beside the rate of the tokenizer alone over the same texts.

A stand-in for a set of triplets (557,850 rows of three texts of 10 to 30 tokens) is made from the shipped glossary's
words. Both sides are timed in alternation; each figure is the median of five. Peak memory is that of a process of its
own that does nothing but load the table and count.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
CHILD = """
import json, resource, sys, time
from workbench.data.load import load
from workbench.data.tokens import token_stats
began, first = time.perf_counter(), []
data = load(sys.argv[1])
opened = time.perf_counter() - began
began = time.perf_counter()
stats = token_stats(data, sys.argv[2], progress=lambda *_: first or first.append(time.perf_counter() - began))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
print(json.dumps({"open_s": opened, "first_progress_s": first[0], "token_stats_s": stats.seconds, "peak_rss_mb": peak}))
"""


def table(path: Path, rows: int) -> None:
    """Three columns of sentences of 8 to 26 words; words are drawn as often as the glossary has them."""
    from workbench.data.glossary import views

    words = [
        word for text in views.rows("triplets", "train")[0]["passage"] for word in re.findall(r"[\w-]+[.,]?", str(text))
    ]
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("anchor\tpositive\tnegative\n")
        for _ in range(rows):
            file.write("\t".join(" ".join(draw.choices(words, k=draw.randint(8, 26))) for _ in range(3)) + "\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks token_stats", description=__doc__)
    parser.add_argument("--rows", type=int, default=557_850)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--small", action="store_true", help="2,000 rows: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        options.rows = 2000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_HOME"] = folder
        path = Path(folder) / "triplets.tsv"
        table(path, options.rows)
        result = measure(path, options.model, options.rows)
    print(
        f"token_stats runs at {result['ratio']:.1%} of the rate of encode_batch_fast ({options.rows:,} rows of 3 texts)"
    )
    for name, value in result.items():
        print(f"  {name}: {value}")
    print(json.dumps(result))


def measure(path: Path, model: str, rows: int) -> dict[str, object]:
    from tokenizers import Tokenizer

    from workbench import files
    from workbench.catalog import models
    from workbench.data.load import load
    from workbench.data.tokens import token_stats

    command = [sys.executable, "-c", CHILD, str(path), model]
    child = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    data = load(path)
    tokenizer = Tokenizer.from_file(str(models.files(model) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # the tokenizer alone gets its texts as ready lists, in the batches that suit it best
    chunks = [texts for batch in data.batches(data.texts, 4000) for texts in batch.values()]
    tokenizer.encode_batch_fast(chunks[0])
    alone, ours, again, work = [], [], [], []
    for _ in range(REPEATS):
        began, worked = time.perf_counter(), time.process_time()
        for texts in chunks:
            tokenizer.encode_batch_fast(texts)
        alone.append(time.perf_counter() - began)
        shutil.rmtree(files.home() / "ids", ignore_errors=True)
        middle = time.process_time()
        ours.append(token_stats(data, model).seconds)
        work.append((middle - worked) / (time.process_time() - middle))
        again.append(token_stats(data, model).seconds)
    texts, plain, whole = 3 * rows, statistics.median(alone), statistics.median(ours)
    return {
        "ratio": round(plain / whole, 4),
        "ratios": [round(a / b, 4) for a, b in zip(alone, ours, strict=True)],
        # what other programs on the machine do not disturb, but what leaves out waiting
        "ratio_of_processor_time": round(statistics.median(work), 4),
        "rows": rows,
        "encode_batch_fast_s": round(plain, 3),
        "token_stats_s": round(whole, 3),
        "token_stats_of_kept_ids_s": round(statistics.median(again), 3),
        "encode_batch_fast_texts_per_s": round(texts / plain),
        "token_stats_texts_per_s": round(texts / whole),
        "cpu_count": os.cpu_count(),
        "in_a_process_of_its_own": {name: round(value, 3) for name, value in child.items()},
    }
