"""How cost grows: steps against batch and tokens, encoding, statistics, checks and maps against rows, each beside its floor.

The floor is what the arithmetic alone would take: real tokens x operations a token (two for every weight that is
multiplied, three times as much with the backward pass) over the rate of a large float32 matrix product, measured in
the same process; for statistics the tokenizer alone over the same texts; for maps the product of all vectors with all
others. "growth" is the exponent of cost against size from the row before: 1 is in proportion, 2 is square.

    python -m tests.benchmarks growth [--rows 1000 10000 100000] [--map-rows 1000 3000 10000] [--batches 8 16 32 64]
                                      [--tokens 16 64 256] [--out curves.html] [--small]
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._report import report
from tests.benchmarks.token_stats import table

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SMALL: dict[str, Any] = {"rows": [100, 200], "map_rows": [100, 200], "batches": [2, 4], "tokens": [8, 16]}


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def matrix_rate() -> float:
    """Operations a second of a float32 matrix product of the shapes of the model, the best of five."""
    import torch

    left, right = torch.rand(4096, 384), torch.rand(384, 1536)
    least = min(seconds(lambda: torch.mm(left, right)) for _ in range(5))
    return 2 * 4096 * 384 * 1536 / least


def multiplied(model: Any) -> int:
    """Weights that every token is multiplied with: all matrices but the tables of embeddings."""
    return sum(
        weight.numel() for name, weight in model.named_parameters() if weight.ndim == 2 and "embeddings" not in name
    )


def steps(options: argparse.Namespace, model: Any, rate: float) -> Iterator[dict[str, Any]]:
    """One step of pairs of equal length, against the batch and against the tokens of a text."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    from workbench.spaces.lean import Lean

    model.train()
    model.forward = Lean(model)
    loss, optimizer = losses.MultipleNegativesRankingLoss(model), torch.optim.AdamW(model.parameters(), fused=True)
    middle = options.tokens[len(options.tokens) // 2]
    shapes = [("step, by batch", size, middle) for size in options.batches]
    shapes += [("step, by tokens of a text", options.batches[0], tokens) for tokens in options.tokens]
    for what, batch, tokens in shapes:
        ids = torch.randint(1000, 20000, (2, batch, tokens))

        def once(ids: Any = ids) -> None:
            features = [{"input_ids": part, "attention_mask": torch.ones_like(part)} for part in ids]
            loss(features, None).backward()
            optimizer.step()
            optimizer.zero_grad()

        once()
        took = sorted(seconds(once) for _ in range(3))[1]
        floor = 6 * multiplied(model) * ids.numel() / rate
        yield {"what": what, "size": batch if what == "step, by batch" else tokens, "s": took, "floor_s": floor}
    vars(model).pop("forward")
    model.eval()


def rows(options: argparse.Namespace, model: Any, rate: float, folder: Path) -> Iterator[dict[str, Any]]:
    """Statistics of a new table of three sentences a row, checks that find its token ids kept, and encoding."""
    from tokenizers import Tokenizer

    import workbench as wb
    from workbench.data.load import load

    tokenizer = Tokenizer.from_str(model.tokenizer._tokenizer.to_str())
    tokenizer.no_padding()
    for size in options.rows:
        path = folder / f"{size}.tsv"
        table(path, size)
        data = load(str(path))
        texts = [text for name in data.texts for text in data.column(name)]
        floor = seconds(lambda texts=texts: tokenizer.encode_batch_fast(texts))
        yield {
            "what": "statistics, by rows",
            "size": size,
            "s": seconds(lambda data=data: wb.token_stats(data, MODEL)),
            "floor_s": floor,
        }
        recipe = wb.Recipe(model=MODEL, loss=wb.Loss("MultipleNegativesRankingLoss"), data=str(path))
        yield {
            "what": "checks, by rows",
            "size": size,
            "s": seconds(lambda recipe=recipe: wb.check(recipe, batch=False)),
            "floor_s": floor,
        }
        if size <= options.most_encoded:
            first = list(dict.fromkeys(texts[:size]))
            tokens = sum(len(found.ids) for found in tokenizer.encode_batch_fast(first))
            yield {
                "what": "encoding, by texts",
                "size": len(first),
                "s": seconds(lambda first=first: wb.embed(first, MODEL)),
                "floor_s": 2 * multiplied(model) * tokens / rate,
            }


def maps(options: argparse.Namespace, rate: float) -> Iterator[dict[str, Any]]:
    """Maps of points around 50 centres in 384 dimensions."""
    from workbench.spaces.encode import Space
    from workbench.spaces.project import project

    draw = np.random.default_rng(0)
    for size in options.map_rows:
        vectors = draw.normal(size=(50, 384))[draw.integers(50, size=size)] + draw.normal(size=(size, 384))
        space = Space(tuple(map(str, range(size))), vectors.astype(np.float32), "points", "0" * 16)
        yield {
            "what": "map, by texts",
            "size": size,
            "s": seconds(lambda space=space: project(space)),
            "floor_s": 2 * 384 * size**2 / rate,
        }


def grown(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the ratio to the floor first, and the exponent from the row before of the same kind."""
    before: dict[str, dict[str, Any]] = {}
    for row in results:
        last = before.get(row["what"])
        row["growth"] = last and math.log(row["s"] / last["s"]) / math.log(row["size"] / last["size"])
        before[row["what"]] = row
    return [{"times_the_floor": row["s"] / row["floor_s"], **row} for row in results]


def curves(results: list[dict[str, Any]], path: Path) -> None:
    """Seconds and floor against size, both axes in powers of ten, as a page that opens offline."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    kinds = list(dict.fromkeys(row["what"] for row in results))
    figure = make_subplots(rows=-(-len(kinds) // 2), cols=2, subplot_titles=kinds)
    for number, kind in enumerate(kinds):
        place = {"row": number // 2 + 1, "col": number % 2 + 1}
        for key, name, dash in (("s", "measured", "solid"), ("floor_s", "floor", "dot")):
            chosen = [row for row in results if row["what"] == kind]
            line = go.Scatter(
                x=[row["size"] for row in chosen],
                y=[row[key] for row in chosen],
                name=name,
                line={"dash": dash, "color": "#0072B2" if key == "s" else "#666666"},
                showlegend=not number,
            )
            figure.add_trace(line, **place)
        figure.update_xaxes(type="log", title_text=kind.partition(", by ")[2], **place)
        figure.update_yaxes(type="log", title_text="seconds", **place)
    figure.update_layout(height=320 * -(-len(kinds) // 2), title_text="How cost grows", template="plotly_white")
    figure.write_html(path)


def main(arguments: list[str]) -> None:
    """Measure, print a table, and last one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks growth", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--most-encoded", type=int, default=20_000, help="rows up to which texts are encoded, too")
    parser.add_argument("--map-rows", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--out", type=Path, help="also draw the curves into this HTML file")
    parser.add_argument("--small", action="store_true", help="two small sizes of each: shows that it works")
    options = parser.parse_args(arguments)
    if options.small:
        vars(options).update(SMALL)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_HOME"] = folder
        from workbench.catalog import models

        model = models.load(MODEL, device="cpu")
        rate = matrix_rate()
        results = grown([*steps(options, model, rate), *rows(options, model, rate, Path(folder)), *maps(options, rate)])
    if options.out:
        curves(results, options.out)
    report("growth", results, matrix_rate_gflops=round(rate / 1e9, 1))
