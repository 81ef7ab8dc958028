"""What a loss does in one small picture: its value against the similarity, distance or margin that it looks at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

from workbench.catalog.registry import losses
from workbench.plots import loss_formulas as formulas
from workbench.plots import loss_in_batch as in_batch
from workbench.plots import theme as house
from workbench.plots.loss_formulas import LossShape, Values

__all__ = ["LossShape", "loss_shape", "loss_shape_figure"]

DASHES = ("solid", "dash", "dashdot", "longdash")
THIN_DASHES = ("dot", "dash")


def loss_shape(name: str, parameters: Values) -> LossShape | None:
    """The course of a loss of the library; None for a loss of your own, or where there is nothing to draw.

    Args:
        name: class name; a wrapper shows the loss that it wraps.
        parameters: as the catalogue has checked them; those that are left out are at their default. A wrapped loss
            has `.name` and `.parameters`.
    """
    info = losses().get(name)
    if info is None or info.custom:
        return None
    values = info.settings(parameters)
    if info.wraps:
        return _wrapped(name, values)
    draw = _DRAW.get(name)
    if draw is None:
        return None
    try:
        with np.errstate(all="ignore"):
            shape = draw(name, values)
    except ArithmeticError:
        # A temperature of 1e300 is allowed, but its square is no number.
        return None
    # A margin of 1e308 is allowed, but a line to it has no numbers.
    lines = (*shape.curves, *shape.references)
    return shape if all(map(math.isfinite, (y for _, xs, ys in lines for y in (*xs, *ys)))) else None


def loss_shape_figure(record: LossShape, *, theme: str = "light") -> go.Figure:
    """The curves; reference lines are thin, one kind dotted, another dashed. 300 px high."""
    shown = house.figure(record.title, height=300, theme=theme)
    for place, (name, xs, ys) in enumerate(record.curves):
        line = {"color": house.PALETTE[place % len(house.PALETTE)], "dash": DASHES[place % len(DASHES)], "width": 2}
        shown.add_trace(go.Scatter(x=xs, y=ys, name=house.text(name, 60), mode="lines", line=line))
    named: list[str] = []
    for name, xs, ys in record.references:
        new = name not in named
        named += [name] if new else []
        line = {"color": house.BEFORE, "dash": THIN_DASHES[named.index(name) % len(THIN_DASHES)], "width": 1}
        shown.add_trace(go.Scatter(x=xs, y=ys, name=house.text(name, 60), mode="lines", line=line, showlegend=new))
    shown.update_xaxes(title=house.text(record.x, 90, width=90), zeroline=False)
    shown.update_yaxes(title=house.text(record.y, 50), rangemode="tozero")
    shown.update_layout(margin={"l": 56, "r": 12, "t": 40, "b": 84}, legend={"y": -0.32}, showlegend=True)
    return shown


def _wrapped(name: str, values: Values) -> LossShape | None:
    inner = values["loss"]
    shape = loss_shape(inner.name, inner.parameters) if inner is not None else None
    if shape is None:
        return None
    dims = ", ".join(map(str, values.get("matryoshka_dims") or ()))
    cuts = f"of vectors cut to {dims} dimensions" if dims else "of cut vectors"
    layers = "of the last layer and of earlier ones"
    of = {"MatryoshkaLoss": cuts, "AdaptiveLayerLoss": layers, "Matryoshka2dLoss": f"{cuts}, {layers}"}.get(name)
    does = f"takes {of}, and adds up" if of else "wraps"
    return replace(shape, caption=f"This is {inner.name}, which {name} {does}. {shape.caption}")


_DRAW: dict[str, Callable[[str, Values], LossShape]] = {
    **dict.fromkeys(formulas.PER_TRIPLET, formulas.triplet),
    "MultipleNegativesRankingLoss": in_batch.ranking,
    "CachedMultipleNegativesRankingLoss": in_batch.ranking,
    "MultipleNegativesSymmetricRankingLoss": in_batch.ranking,
    "CachedMultipleNegativesSymmetricRankingLoss": in_batch.ranking,
    "GISTEmbedLoss": in_batch.gist,
    "CachedGISTEmbedLoss": in_batch.gist,
    "ContrastiveTensionLossInBatchNegatives": in_batch.tension,
    "ContrastiveLoss": formulas.contrastive,
    "OnlineContrastiveLoss": formulas.contrastive,
    "CosineSimilarityLoss": formulas.cosine,
    "CoSENTLoss": formulas.order,
    "AnglELoss": formulas.order,
    "MegaBatchMarginLoss": in_batch.mega_batch,
    "ContrastiveTensionLoss": formulas.tension_pairs,
    "MSELoss": formulas.embedding,
    "EmbedDistillLoss": formulas.embedding,
    "MarginMSELoss": formulas.margin_mse,
    "DistillKLDivLoss": formulas.divergence,
    "SoftmaxLoss": formulas.softmax,
    "DenoisingAutoEncoderLoss": formulas.softmax,
    "GlobalOrthogonalRegularizationLoss": formulas.spread,
}
