"""What a loss shows when a model knows nothing: the line to hold a loss curve against.

All values are those of a model that gives every text the same vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.catalog.registry import get

Line = tuple[float, str] | None
_MARGINS = {
    "TripletLoss": "triplet_margin",
    "BatchAllTripletLoss": "margin",
    "BatchHardTripletLoss": "margin",
    "BatchSemiHardTripletLoss": "margin",
}


def reference(name: str, parameters: Mapping[str, Any], rows: int, texts: int, *, normalized: bool) -> Line:
    """The value of a loss for a model that tells nothing apart, and what it means; None where it depends on the data.

    Args:
        name: the loss.
        parameters: those that differ from their defaults; a wrapped loss has `.name` and `.parameters`.
        rows: rows of one batch, on one device.
        texts: number of text columns.
        normalized: the model ends in unit vectors, so that Euclidean and cosine distances end at 2.

    Raises:
        RecipeError: there is no such loss.
    """
    info = get(name)
    values = info.settings(dict(parameters))
    if info.custom:
        return None
    if info.wraps:
        return _wrapper(values, rows, texts, normalized)
    if name.endswith(("MultipleNegativesRankingLoss", "MultipleNegativesSymmetricRankingLoss")):
        return _ranking(name, values, rows, texts)
    if name.endswith("GISTEmbedLoss"):
        own = values["contrast_anchors"] + values["contrast_positives"]
        return _candidates(rows * (texts - 1) + own * (rows - 1), " that the guide lets through") if rows > 1 else None
    if name in _MARGINS:
        return _margin(values[_MARGINS[name]], str(values["distance_metric"]), normalized)
    return _other(name, values, rows, texts)


def _candidates(count: int, which: str = "") -> Line:
    return (math.log(count), f"ln {count}: every candidate{which} equally likely") if count > 1 else None


def _ranking(name: str, values: dict[str, Any], rows: int, texts: int) -> Line:
    if values.get("hardness_mode") and values["hardness_strength"] > 0:
        return None
    symmetric = "Symmetric" in name
    directions = ("query_to_doc", "doc_to_query") if symmetric else values["directions"]
    counts = {
        "query_to_doc": rows * (texts - 1),
        "query_to_query": rows - 1,
        "doc_to_query": rows,
        "doc_to_doc": (rows - 1) * (texts - 1),
    }
    found = [counts[direction] for direction in dict.fromkeys(directions)]
    if len(found) > 1 and (symmetric or values["partition_mode"] == "per_direction") and min(found) > 1:
        words = " and ".join(f"ln {count}" for count in found)
        return sum(map(math.log, found)) / len(found), f"mean of {words}: every candidate of each direction equally likely"
    return _candidates(sum(found))


def _margin(margin: float, metric: str, normalized: bool) -> Line:
    bounded = "cosine" in metric.lower() or (normalized and "euclidean" in metric.lower())
    floor = f"; distances end at 2, so it cannot fall below {margin - 2:g}" if bounded and margin > 2 else ""
    return margin, f"margin {margin:g}: positive and negative equally far{floor}"


def _other(name: str, values: dict[str, Any], rows: int, texts: int) -> Line:
    if name == "ContrastiveTensionLossInBatchNegatives":
        return _candidates(rows)
    if name == "BatchHardSoftMarginTripletLoss":
        return math.log(2), "ln 2: positive and negative equally far"
    if name == "MegaBatchMarginLoss" and rows > 1:
        gap = 1 - values["negative_margin"]
        return gap, f"1 - {values['negative_margin']:g}: every text as close as the positive"
    if name == "AnglELoss" and texts > 2:
        pairs = rows * rows * (texts - 2)
        return math.log(1 + pairs), f"ln {1 + pairs}: no positive closer than any negative"
    if name == "SoftmaxLoss" and values.get("num_labels", 0) > 1:
        return math.log(values["num_labels"]), f"ln {values['num_labels']}: every class equally likely"
    return None


def _wrapper(values: dict[str, Any], rows: int, texts: int, normalized: bool) -> Line:
    inner = values.get("loss")
    line = reference(inner.name, inner.parameters, rows, texts, normalized=normalized) if inner is not None else None
    if line is None:
        return None
    value, words = line
    dims = values.get("matryoshka_dims")
    if dims:
        step = values["n_dims_per_step"]
        count = step if 0 < step < len(dims) else len(dims)
        weights = values["matryoshka_weights"] or [1] * len(dims)
        # A random part of the dimensions at each step: their share of all weights, on average.
        factor = sum(weights) * count / len(dims)
        value, words = value * factor, f"{factor:g} × {words}, summed over {count} dimension{'s' if count > 1 else ''}"
    if "layer_weighting" in values:
        if values["layer_weighting"] != "uniform":
            return None
        factor = values["last_layer_weight"] + values["prior_layers_weight"]
        value, words = value * factor, f"{factor:g} × {words}, last and earlier layers together, without the divergence between them"
    return value, words
