"""Health of a run while it goes on: what it records comes in, findings come out. No torch, no clock, no files.

All that is known follows from the events of the run, so reading them again gives the same state: a resumed run goes
on with what it had seen, and says nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.checks.finding import SYMBOLS, Finding, Findings, Severity, some
from workbench.checks.seen import Event, Seen
from workbench.checks.symptoms import LOOKS
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe

PROBE_TEXTS = 64
# Two per cent of the training time are promised: the probe at the end comes on top of this share.
PROBE_SHARE = 0.015
# A batch of equal labels has no gradient either; ten in a row are no accident.
STILL_STEPS = 10


class Watch(Seen):
    """What a run has recorded so far, and what it was told of it; the recipe names the checks that are turned off."""

    def __init__(self, recipe: Recipe, steps: int) -> None:
        super().__init__(recipe, steps)
        self.told: dict[str, Severity] = {}

    def see(self, event: Event) -> list[Finding]:
        """Take up an event; what it shows that was not told before, or has become worse since."""
        if event["kind"] == "finding":
            self.told[event["code"]] = event["severity"]
        self.take(event)
        return self.new(finding for look in LOOKS.get(event["kind"], ()) for finding in look(self, event))

    def new(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that are wanted and not told yet; from now on they are told."""
        order, kept = list(SYMBOLS), []
        for finding in findings:
            before = self.told.get(finding.code)
            worse = before is None or order.index(finding.severity) < order.index(before)
            if worse and finding.code not in self.recipe.watch_off:
                self.told[finding.code] = finding.severity
                kept.append(finding)
        return kept

    def not_finite(self, step: int, what: str, value: float) -> list[Finding]:
        """The loss or the gradient norm of a step is no number; the step is not made."""
        numbers = {"step": step, what: str(value), "measured_on": f"the batch of step {step}"}
        mend = "look at the texts of that batch" if what == "loss" else "lower the scale of the loss"
        first = step <= 1  # the weights are still the base model's, so that the rate has no part in it
        mend = mend if first else f"lower the learning rate or {mend.removeprefix('lower ')}"
        return self.new([
            self.finding(
                "not-finite",
                "error",
                f"The {what} is {value} at step {step}; {mend}.",
                why="One such step spoils every weight; a log that leaves such values out shows a loss of 0, as if all were learnt.",
                evidence=numbers,
                **({} if first else self.slower_rate()),
            )
        ])  # fmt: skip

    def still(self, step: int, count: int, loss: float) -> list[Finding]:
        """The gradient was exactly zero in so many steps up to this one."""
        if count < STILL_STEPS:
            return []
        evidence = {"step": step, "steps_without_gradient": count, "loss": loss, "measured_on": f"{count} steps"}
        if loss == 0:
            message = f"Loss and gradient were 0 in {count} steps up to step {step}: there is nothing left to learn."
            why = "The loss asks no more of these rows: harder negatives or a larger margin would, and labels that are all equal ask nothing."
            return self.new([self.finding("zero-gradient", "warning", message, why=why, evidence=evidence)])
        message = f"The gradient was exactly 0 in {count} steps up to step {step} while the loss is {loss:.4g}, so no weight moves."
        why = "Weights that are all zero, labels that are all equal, or a loss that no weight reaches give no gradient; more steps change nothing."
        return self.new([self.finding("zero-gradient", "error", message, why=why, evidence=evidence)])


def probe_is_due(spent_s: float, cost_s: float, trained_s: float) -> bool:
    """Whether one more look at the probe texts keeps all looks within their share of the training time.

    Args:
        spent_s: seconds that the looks have taken so far.
        cost_s: seconds that the last one took.
        trained_s: seconds in training steps so far.
    """
    return spent_s + cost_s <= PROBE_SHARE * trained_s


def recorded(events: Iterable[Event], recipe: Recipe | None = None) -> Findings:
    """The findings among the events of a run; those that got worse count once.

    Args:
        events: of any kind. What is no finding that this version knows how to show is passed over.
        recipe: of the run, for the fixes.
    """
    found: dict[str, Finding] = {}
    probes, step = 0, 0
    for event in events:
        probes += event.get("kind") == "probe"
        step = max(step, event["step"] if isinstance(event.get("step"), int) else 0)
        if event.get("kind") == "finding" and (finding := _read(event, recipe)) is not None:
            found[finding.code] = finding
    about = f"watched over {some(step, 'step')}, with {some(probes, 'look')} at up to {PROBE_TEXTS} probe texts"
    return Findings(found.values(), about=about if probes else "")


def in_a_line(event: Event) -> str:
    """A recorded finding for a terminal, in one line."""
    severity = str(event.get("severity"))
    text = f"{SYMBOLS.get(severity, '')} {severity} at step {event.get('step')}: {event.get('message')}"
    return " ".join(text.split())


def _read(event: Event, recipe: Recipe | None) -> Finding | None:
    """A finding as it was recorded; None where the file holds something else."""
    code, severity, message, why, fixed = (
        event.get(name, "") for name in ("code", "severity", "message", "why", "fixed")
    )
    evidence, changes = event.get("evidence") or {}, event.get("changes") or {}
    texts = all(isinstance(text, str) for text in (code, message, why, fixed))
    if (
        severity not in list(SYMBOLS)
        or not texts
        or not isinstance(evidence, Mapping)
        or not isinstance(changes, Mapping)
    ):
        return None
    try:
        finding = Finding(code, severity, message, why, evidence, fixed, changes, recipe)
        finding.fix()
    except WorkbenchError:
        return Finding(code, severity, message, why, evidence)
    return finding
