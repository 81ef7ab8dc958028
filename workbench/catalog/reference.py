"""What a loss shows when a model tells nothing apart: the line to hold a loss curve against."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.catalog.registry import losses

Line = tuple[float, str] | None
_MARGINS = {"TripletLoss": "triplet_margin"} | {
    f"Batch{which}TripletLoss": "margin" for which in ("All", "Hard", "SemiHard")
}


def reference(name: str, parameters: Mapping[str, Any], rows: int, texts: int, *, normalized: bool) -> Line:
    """The loss of a model that gives all texts the same vector, and what it means; None where it depends on the data.

    Args:
        name: the loss.
        parameters: those that differ from their defaults; a wrapped loss has `.name` and `.parameters`.
        rows: rows of one batch on one device.
        texts: number of text columns.
        normalized: the model ends in unit vectors, so that Euclidean distances end at 2.
    """
    info = losses().get(name)
    if info is None or info.custom:
        return None
    values = info.settings(parameters)
    if info.wraps:
        return _wrapper(values, rows, texts, normalized)
    if "NegativesRanking" in name or "NegativesSymmetric" in name:
        return _ranking(name, values, rows, texts)
    if name.endswith("GISTEmbedLoss") and rows > 1:
        # A text is no candidate for itself: the guide finds it more alike than the positive.
        more = values["contrast_anchors"] + values["contrast_positives"]
        return _candidates(rows * (texts - 1) + more * (rows - 1), "candidate that the guide leaves")
    if name in _MARGINS:
        return _margin(values[_MARGINS[name]], str(values["distance_metric"]).lower(), normalized)
    return _other(name, values, rows, texts)


def _candidates(count: int, what: str = "candidate") -> Line:
    return (math.log(count), f"ln {count}: every {what} equally likely") if count > 1 else None


def _ranking(name: str, values: dict[str, Any], rows: int, texts: int) -> Line:
    symmetric = "Symmetric" in name
    if not symmetric and values["hardness_mode"] and values["hardness_strength"] > 0:
        return None
    candidates = {
        "query_to_doc": rows * (texts - 1),
        "query_to_query": rows - 1,
        "doc_to_query": rows,
        "doc_to_doc": (rows - 1) * (texts - 1),
    }
    directions = ("query_to_doc", "doc_to_query") if symmetric else dict.fromkeys(values["directions"])
    counts = [candidates[direction] for direction in directions]
    if not symmetric and values["partition_mode"] == "joint":
        return _candidates(sum(counts))
    if len(set(counts)) == 1 or rows < 2:
        return _candidates(counts[0])
    words = " and ".join(f"ln {count}" for count in counts)
    return sum(map(math.log, counts)) / len(counts), f"mean of {words}: every candidate equally likely"


def _margin(margin: float, metric: str, normalized: bool) -> Line:
    bounded = "cosine" in metric or (normalized and "euclidean" in metric)
    floor = f"; distances end at 2, so it stays above {margin - 2:g}" if bounded and margin > 2 else ""
    return margin, f"margin {margin:g}: positive and negative equally far{floor}"


def _other(name: str, values: dict[str, Any], rows: int, texts: int) -> Line:
    if name == "ContrastiveTensionLossInBatchNegatives":
        return _candidates(rows)
    if name == "SoftmaxLoss":
        return _candidates(values["num_labels"] or 0, "class")
    if name == "BatchHardSoftMarginTripletLoss":
        return math.log(2), "ln 2: positive and negative equally far"
    if name == "MegaBatchMarginLoss" and rows > 1:
        limit = values["negative_margin"]
        return 1 - limit, f"1 - {limit:g}: every text as close as the positive"
    if name == "AnglELoss" and texts > 2:
        pairs = rows * rows * (texts - 2)
        return math.log(1 + pairs), f"ln {1 + pairs}: no positive closer than any negative"
    return None


def _wrapper(values: dict[str, Any], rows: int, texts: int, normalized: bool) -> Line:
    inner = values["loss"]
    line = reference(inner.name, inner.parameters, rows, texts, normalized=normalized) if inner is not None else None
    if line is None or values.get("layer_weighting", "uniform") != "uniform":
        return None
    value, words = line
    if dims := values.get("matryoshka_dims"):
        # Where each step takes some of the dimensions at random, their share of the weights on average.
        step = values["n_dims_per_step"]
        count = step if 0 < step < len(dims) else len(dims)
        factor = sum(values["matryoshka_weights"] or [1] * len(dims)) * count / len(dims)
        value, words = value * factor, f"{factor:g} times {words}; summed over the dimensions of a step"
    if "layer_weighting" in values:
        factor = values["last_layer_weight"] + values["prior_layers_weight"]
        value, words = value * factor, f"{factor:g} times {words}; summed over layers, without their divergence"
    return value, words
