"""An engine that answers at once for the panels that draw maps and compare models, without torch and UMAP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from tests.spaces.standins import Model, random_vector
from workbench.spaces.clusters import clusters
from workbench.spaces.encode import Space, embed
from workbench.spaces.evaluate import evaluate
from workbench.spaces.project import Projection, project

HOSTILE = "<img src=x onerror=alert(1)> $5 & $10 </td><script>alert(1)</script> %{x}"


class FakeEngine:
    """Answers each function that a panel calls; keeps what it was asked; `gate` holds back what is named.

    Attributes:
        asked: names of the functions that were called.
        models: the models that texts were encoded or scored with.
        gates: function name -> an event that is waited for before the answer.
        reached: set when a call waits at a gate.
        vector: text and model -> vector.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.models: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.reached = threading.Event()
        self.fails: Exception | None = None
        self.vector: Callable[[str, str], Any] = lambda text, model: random_vector(f"{text} {model}")

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.asked.append(function.__name__)
        if gate := self.gates.get(function.__name__):
            self.reached.set()
            assert gate.wait(60)
        if self.fails:
            raise self.fails
        if function is embed:
            texts, model = arguments
            self.models.append(model)
            return Space(tuple(texts), np.array([self.vector(t, model) for t in texts], np.float32), model, "0" * 16)
        if function is project:
            space = arguments[0]
            xy = np.where(space.usable[:, None], space.vectors[:, :2], np.nan).astype(np.float32)
            return Projection(space, xy, "umap", "0.0", options["seed"], 15, 0.987)
        if function is clusters:
            return tuple(f"cluster {row % 2 + 1}" for row in range(len(arguments[0])))
        if function is evaluate:
            model = arguments[0]
            self.models.append(model)
            held: Any = Model(lambda text: self.vector(text, model), model, 8)
            held.model_card_data = SimpleNamespace(base_model=model)
            return evaluate(held, *arguments[1:], resamples=50)
        return function(*arguments, **options)


def page_says(figure: go.FigureWidget, event: str, points: dict[str, list[int]]) -> None:
    """What the page sends when the mouse did something: places of points by number of their trace."""
    figure._handle_custom_msg({"workbench": event, "points": points}, [])


def marked(figure: go.FigureWidget) -> set[int] | None:
    """Row numbers that are shown as selected; None where nothing is."""
    held = [(trace.selectedpoints, np.asarray(trace.customdata)) for trace in figure.data]
    if all(places is None for places, _ in held):
        return None
    return {int(rows[place]) for places, rows in held for place in places}
