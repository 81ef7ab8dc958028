"""The catalogue of losses: which there are, what they take, whether they suit a table, and how to build them.

Only `build` imports torch and Sentence Transformers; all else is read from source text.
"""

from __future__ import annotations

from workbench.catalog.adapting import no_adapter
from workbench.catalog.building import as_code, build, model_as_code
from workbench.catalog.custom import is_trusted, register_loss, trust
from workbench.catalog.fitting import fits, fitting
from workbench.catalog.loss_info import LossInfo, Parameter, Shape
from workbench.catalog.loss_values import checked, describe
from workbench.catalog.reference import reference
from workbench.catalog.registry import get, losses, registered

__all__ = [
    "LossInfo",
    "Parameter",
    "Shape",
    "as_code",
    "build",
    "checked",
    "describe",
    "fits",
    "fitting",
    "get",
    "is_trusted",
    "losses",
    "model_as_code",
    "no_adapter",
    "reference",
    "register_loss",
    "registered",
    "trust",
]
