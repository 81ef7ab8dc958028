"""What a run has recorded so far, as far as its symptoms need it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from workbench.checks.finding import Finding, Severity
from workbench.recipe import Recipe
from workbench.steps import warmup_steps

Event = Mapping[str, Any]
SLOW_POINTS = 5


class Seen:
    """What the events of a run have told.

    Args:
        recipe: what is run.
        steps: optimizer steps of the run.
    """

    def __init__(self, recipe: Recipe, steps: int) -> None:
        self.recipe, self.warmup = recipe, warmup_steps(recipe, steps)
        self.started: list[Event] = []  # the first points
        self.recent: deque[Event] = deque(maxlen=SLOW_POINTS + 1)  # the last points
        self.clipped = 0
        self.norms: list[float] = []
        self.losses: list[float] = []  # since the last scores
        self.scored: list[tuple[int, float | None, float | None]] = []  # step, primary score, mean loss since the last
        self.first_probe: Event | None = None

    def take(self, event: Event) -> None:
        """Take up an event."""
        if event["kind"] == "step":
            self._step(event)
        if event["kind"] == "scores" and event["scores"]:
            mean = fmean(self.losses) if self.losses else None
            self.scored.append((event["step"], next(iter(event["scores"].values())), mean))
            self.losses = []
        if event["kind"] == "probe" and self.first_probe is None:
            self.first_probe = event

    def _step(self, event: Event) -> None:
        self.recent.append(event)
        if len(self.started) <= SLOW_POINTS:
            self.started.append(event)
        self.clipped += event.get("clipped") or 0
        if event.get("grad_norm") is not None:
            self.norms.append(event["grad_norm"])
        if event.get("loss") is not None:
            self.losses.append(event["loss"])

    def finding(
        self,
        code: str,
        severity: Severity,
        message: str,
        *,
        why: str,
        evidence: Mapping[str, Any],
        fixed: str = "",
        **changes: Any,
    ) -> Finding:
        """A finding on this run."""
        return Finding(code, severity, message, why, evidence, fixed, changes, self.recipe)

    def slower_rate(self) -> dict[str, Any]:
        """What a finding changes where the learning rate is too high."""
        rate = float(f"{self.recipe.learning_rate / 10:.3g}")
        return {"fixed": f"set learning_rate to {rate:g}", "learning_rate": rate}
