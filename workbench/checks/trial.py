"""Try one batch of a recipe in a process that may load torch, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache

from workbench.catalog import hub, models
from workbench.catalog import losses as catalog
from workbench.catalog.memory import gigabytes
from workbench.checks.case import Case
from workbench.checks.codes import finds
from workbench.checks.cost import memory_of
from workbench.checks.finding import Finding, some
from workbench.checks.trial_batch import Trial, try_batch
from workbench.checks.trial_findings import duration, findings_of, forecast, seconds_of_a_step
from workbench.data.prepare import settled
from workbench.errors import RecipeError, WorkbenchError, no_memory
from workbench.spaces.engine import Engine

WAIT_S = 120.0
TELL_S = 0.5
# A fix is applied and checked again within seconds; the memory of a training step is wanted back after that.
IDLE_S = 60.0


@finds(
    "batch-fails", "error", when="the first batch raises an error when it is tried",
    why="The run would end with the same error at its first step.",
)  # fmt: skip
def tried(case: Case, batch: bool | None, found: Sequence[Finding]) -> tuple[list[Finding], str]:
    """Try one batch, where that is wanted and can tell something.

    Args:
        case: what is checked.
        batch: True tries it, False does not; None does where model or loss are not known to be sound, and nothing
            found before has to be mended first.
        found: what the checks before found.

    Returns:
        (findings, what was done in words; empty where none was wanted).

    Raises:
        RecipeError: `batch` is neither.
    """
    if batch is not None and not isinstance(batch, bool):
        raise RecipeError(
            f"batch: expected True, False or None (whether one batch is tried), got {batch!r:.40}; for the size of batches change the recipe"
        )
    if batch is False:
        return [], ""
    if why := _left_out(case, batch, found):
        return [], f"no batch was tried, since {why}"
    job = _ask(case)
    if job is None:
        return (
            [],
            f"one batch was tried, but given up after {WAIT_S:.0f} s, so nothing is known of it; a smaller batch_size or max_seq_length may help",
        )
    error = job.exception()
    if error is not None and no_memory(error):
        return _in_parts(case, found), "one batch was tried, and did not fit into memory"
    if error is not None:
        message = f"The first batch fails: {_reason(error)}"
        evidence = {"error": type(error).__name__, "measured_on": f"the first batch of {case.name}"}
        return [case.finding("batch-fails", "error", message, evidence=evidence)], "one batch was tried, and failed"
    trial = job.result()
    if trial is None:
        return (
            [],
            f"no batch was tried, since this machine does not have the device of the recipe, {case.recipe.device}",
        )
    return findings_of(case, trial), _about(case, trial)


def _in_parts(case: Case, found: Sequence[Finding]) -> list[Finding]:
    """What a batch that does not fit means for the run, unless the estimate has said so."""
    if any(finding.code == "not-enough-memory" for finding in found):
        return []
    message = f"The first batch of {case.recipe.batch_size} rows does not fit into memory whole, so the run will take its batches in parts, with the same loss but more slowly."
    evidence = {"batch_size": case.recipe.batch_size, "measured_on": f"the first batch of {case.name}"}
    return [case.finding("not-enough-memory", "warning", message, evidence=evidence)]


def _left_out(case: Case, batch: bool | None, found: Sequence[Finding]) -> str:
    """Why no batch is tried, empty where one is."""
    source = case.loss.source
    if case.recipe.method == "adapter":
        return "only a linear adapter on vectors of the frozen model is trained: that takes seconds once all texts are encoded, and no memory for activations; wb.try_adapter(recipe) does it at once"
    if case.misfit is not None:
        return "the loss does not suit the table"
    if source is not None and not catalog.is_trusted(source):
        return f"the recipe brings Python code for {case.loss.name}, which is not run before somebody has read and trusted it"
    if batch:
        return ""
    if worst := next((finding.code for finding in found if finding.severity == "error"), None):
        return f"{worst} has to be mended first"
    if source is None and _is_verified(case):
        return f"{case.model.name} and {case.loss.name} are known to be sound; check(recipe, batch=True) tries one, and tells time and memory"
    return ""


def _is_verified(case: Case) -> bool:
    """The weights are those that the catalogue names, with the checksums that they are published with."""
    info, here = case.model, hub.on_this_machine(case.model.name, case.recipe.revision)
    return info.name in models.KNOWN and here == (info.path, info.where) and hub.folder_of(info.name) is None


def _ask(case: Case) -> Future[Trial | None] | None:
    """The answer, an error or a trial; None where there was none in time. What `case.tell` raises ends the waiting."""
    job = _engine().submit(try_batch, settled(case.recipe, case.train))
    end = time.monotonic() + WAIT_S
    try:
        while not wait([job], timeout=TELL_S).done:
            case.tell("trying one batch", 0, None)
            if time.monotonic() > end:
                return None
        return job
    finally:
        if not job.done():
            _engine().kill()


@lru_cache(maxsize=1)
def _engine() -> Engine:
    """A process of its own: other panels need not wait for it, and its memory is given back."""
    return Engine(IDLE_S)


def _reason(error: BaseException) -> str:
    if isinstance(error, BrokenProcessPool):
        return "the process that tried it was killed, most likely for want of memory; lower batch_size or max_seq_length, or take a cached loss."
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{text}." if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {text}."


def _about(case: Case, trial: Trial) -> str:
    seconds, steps = duration(forecast(case, trial)), some(case.steps, "step")
    lora = ", LoRA left out" if case.recipe.lora else ""
    return f"one batch of {trial.rows} rows was tried on {trial.device}{lora}: {duration(seconds_of_a_step(case, trial))} a step, so about {seconds} for {steps}, and {_memory(case, trial)} of memory"


def _memory(case: Case, trial: Trial) -> str:
    """Memory of the run: measured on a GPU, else estimated from its widest batches."""
    if trial.memory is not None:
        return f"about {gigabytes(trial.memory)}"
    size = gigabytes(memory_of(case, case.recipe))
    return f"{'about' if case.model.architecture else 'at least'} {size}"
