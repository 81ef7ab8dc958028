"""Watches a run from inside its worker: feeds what is recorded to the checks, looks at probe texts, says when to stop.

A look changes nothing of the training: no dropout, no gradient, and the random numbers stay what they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.checks.during import PROBE_TEXTS, Watch, probe_is_due
from workbench.checks.finding import Finding
from workbench.checks.spread import spread
from workbench.errors import RunError, no_memory
from workbench.recipe import Recipe
from workbench.steps import batched_rows, total_steps
from workbench.training.records import EventWriter, clean

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# What tells texts apart mostly stands early, and short texts keep a look at a third of a step of 2 x 16 texts; more
# letters where texts begin alike.
PROBE_LETTERS = (64, 512, None)
PROBED = {"zero-vectors", "collapse"}  # the checks that need a look; without them there is none
CANDIDATES = 1024  # rows that the probe texts are chosen from


class Unhealthy(RunError):
    """The run must not go on; the weights are still those of the last good step."""


class Health:
    """The watch over one run.

    Args:
        recipe: what is run.
        train: the rows that it is trained on.
        events: where findings and looks are written, with everything else that is recorded.
        before: what was recorded before a resume.

    Attributes:
        reason: why the run is to be stopped, in a sentence; empty while it may go on.
        seconds: what all looks have taken.
    """

    def __init__(
        self, recipe: Recipe, train: Examples, events: EventWriter, before: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.events, self.train, self.seed = events, train, recipe.seed
        self.steps = total_steps(recipe, batched_rows(recipe, train.to_training()))
        self.watch = Watch(recipe, self.steps)
        for event in before:
            self.watch.see(event)
        looks = [event["seconds"] for event in before if event["kind"] == "probe"]
        self.seconds, self.cost = sum(looks), looks[-1] if looks else 0.0
        self.reason = ""
        # of an adapter whole texts cost nothing, since their vectors are kept
        self.letters = PROBE_LETTERS if recipe.method == "full" else (None,)
        self.looks = not PROBED <= set(recipe.watch_off)
        self._features: Any = None

    def write(self, kind: str, **values: Any) -> list[Finding]:
        """Record an event, and what it shows."""
        self.events.write(kind, **values)
        found = self.watch.see(clean({"kind": kind, **values}))
        self.tell(found, values.get("step", 0), final=bool(values.get("final")))
        return found

    def tell(self, findings: Iterable[Finding], step: int, *, final: bool = False) -> None:
        """Record findings; an error stops the run, unless it is over anyway. `final`: a resume forgets them."""
        for finding in findings:
            made = step - (finding.code == "not-finite")  # that step is not made
            stops = finding.severity == "error" and made < self.steps
            self.events.write(
                "finding",
                step=step,
                code=finding.code,
                severity=finding.severity,
                message=finding.message,
                why=finding.why,
                evidence=finding.evidence,
                fixed=finding.fixed,
                changes=finding.changes,
                stops=stops,
                **({"final": True} if final else {}),
            )
            if stops and not self.reason:
                self.reason = f"{finding.message.rstrip('.')}; the weights of step {made} are kept, and watch_off: [{finding.code}] would let it go on"

    def not_finite(self, step: int, what: str, value: float) -> None:
        """The loss or the gradient norm of a step is no number.

        Raises:
            Unhealthy: the step must not be made.
        """
        found = self.watch.not_finite(step, what, value)
        self.tell(found, step)
        if found:
            raise Unhealthy(self.reason or found[0].message)

    def begin(self, model: Any, step: int) -> None:
        """The first look, before the first step; a resumed run has had it.

        Raises:
            Unhealthy: the model gives no vectors, so that no step is worth making.
        """
        if self.looks and self.watch.first_probe is None:
            self._look(model, step)
        if self.reason:
            raise Unhealthy(self.reason)

    def after_step(self, model: Any, step: int, *, doubtful: bool, last: bool, trained_s: float) -> None:
        """Look at the probe texts if it is time: at the end, when something is doubtful, and as often as is cheap."""
        if self.looks and (last or doubtful or probe_is_due(self.seconds, self.cost, trained_s)):
            self._look(model, step)

    def _look(self, model: Any, step: int) -> None:
        began = time.perf_counter()
        try:
            vectors = self._encode(model)
        except (MemoryError, RuntimeError) as error:
            if not no_memory(error):
                raise
            return  # a look that is left out is not worth a run
        cosine, rank, zero = spread(vectors)
        self.cost = time.perf_counter() - began
        self.seconds += self.cost
        self.write(
            "probe", step=step, texts=len(vectors), cosine=cosine, rank=rank, zero=zero, seconds=round(self.cost, 4)
        )

    def _encode(self, model: Any) -> np.ndarray:
        """Vectors of the probe texts, float32, shape (texts, dimensions)."""
        from sentence_transformers.util import batch_to_device

        if self._features is None:
            self._features = model.preprocess(probe_texts(self.train, self.seed, self.letters))
        with without_a_trace(model):
            vectors = model(batch_to_device(dict(self._features), model.device))["sentence_embedding"]
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


@contextmanager
def without_a_trace(model: Any) -> Iterator[None]:
    """A look at a model that changes nothing of its training: no dropout, no gradient, the random numbers as they were."""
    import torch

    training, cards = model.training, [model.device] if model.device.type == "cuda" else []
    model.train(False)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=cards):
            yield
    finally:
        model.train(training)


def probe_texts(train: Examples, seed: int, cuts: Sequence[int | None] = PROBE_LETTERS) -> list[str]:
    """The beginnings of up to 64 different texts of a table, drawn by a seed; of all classes where there are some.

    `cuts` are numbers of letters to try, None for whole texts, until there are enough different ones.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[:CANDIDATES]
    part = train.dataset.select(rows)
    if train.label is not None and train.roles[train.label] == "label":
        import pandas

        turns = pandas.Series(part[train.label][:], dtype=object).astype(str)
        part = part.select(turns.groupby(turns).cumcount().sort_values(kind="stable").index.tolist())
    columns = [part[name][:] for name in train.texts]
    texts: list[str] = []
    for letters in cuts:
        texts = list(dict.fromkeys(str(text)[:letters] for row in zip(*columns, strict=True) for text in row))
        if len(texts) >= PROBE_TEXTS:
            break
    return texts[:PROBE_TEXTS]
