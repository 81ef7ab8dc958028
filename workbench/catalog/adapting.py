"""Which losses can train a linear adapter: those that see nothing but the finished vector of each text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.catalog import loss_facts as facts
from workbench.catalog.loss_values import describe


def no_adapter(name: str, parameters: Mapping[str, Any], source: str | None = None) -> str:
    """Why a loss cannot train an adapter on vectors of a frozen model, in one sentence; empty where it can.

    Args:
        name: the loss.
        parameters: its own; a wrapped loss has `.name`, `.parameters` and `.source`.
        source: source of a loss of one's own, of which only a run tells what it reads.
    """
    info = describe(name, source)
    if name in facts.NO_CACHED_INSIDE:  # for the same reason
        return f"{name} looks at every layer of the model, and an adapter sees only its finished vectors"
    other = next((parameter.name for parameter in info.parameters if parameter.kind == "model"), None)
    if other and not info.custom:
        return f"{name} reads the tokens with another model ({other}), and an adapter is trained on finished vectors"
    inner = parameters.get("loss")
    return no_adapter(inner.name, inner.parameters, inner.source) if inner is not None else ""
