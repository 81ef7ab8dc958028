"""The process that trains: `python -m workbench.training.worker RUN_FOLDER`.

It outlives whoever started it. Everything that it knows or says is in the run folder.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import filelock
import psutil

from workbench import files
from workbench.catalog import models, weights
from workbench.checks.during import recorded
from workbench.checks.finding import some
from workbench.data.examples import Examples
from workbench.data.prepare import prepare
from workbench.errors import RecipeError, RunError, WorkbenchError, no_memory
from workbench.recipe import Recipe
from workbench.spaces import tokens_once
from workbench.spaces.encode import Progress
from workbench.spaces.evaluate import Evaluation, compare, evaluate
from workbench.spaces.packed import pack
from workbench.training.film import Filming
from workbench.training.folder import RunFolder, step_of
from workbench.training.health import Health, Unhealthy
from workbench.training.lora import add_lora, merge_lora
from workbench.training.records import (
    EventWriter,
    Status,
    clean,
    read_events,
    read_run_recipe,
    read_status,
    rewind,
    write_status,
)

# how Python, safetensors and torch's own writer say that nothing more fits
FULL_DISK = ("No space left", "StorageFull", "inline_container", "PytorchStreamWriter")


def main(arguments: list[str] | None = None) -> int:
    """Run or resume the run in a folder. Exit status 0 finished or stopped, 1 failed."""
    parser = argparse.ArgumentParser(prog="workbench.training.worker")
    parser.add_argument("folder", type=Path)
    folder = RunFolder(parser.parse_args(arguments).folder.resolve())
    try:
        with filelock.FileLock(folder.lock, timeout=0):
            return _work(folder)
    except filelock.Timeout:
        sys.stderr.write(f"expected a run without a worker, but {folder.path} belongs to a live one\n")
        return 1


def _work(folder: RunFolder) -> int:
    before = read_status(folder.status)
    process = psutil.Process()
    status = before.changed(
        said="starting",
        phase="loading libraries",
        pid=process.pid,
        born=process.create_time(),
        folder=str(folder.path),
        updated=time.time(),
        reason="",
    )
    write_status(folder.status, status)
    events: EventWriter | None = None
    try:
        checkpoint = next(reversed(folder.complete_checkpoints()), None)
        _sweep(folder, checkpoint)
        events = EventWriter(folder.events)
        session = Session(folder, events, status, checkpoint)
        reason = session.run()
        events.write(
            "stopped" if reason else "finished", step=session.status.step, reason=reason, attempt=status.attempt
        )
        _end(folder, session.status, "stopped" if reason else "finished", reason)
        return 0
    except Exception as error:  # the outermost frame of the worker: what went wrong is told where people look
        traceback.print_exc()
        reason = _sentence(error, read_status(folder.status).phase)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder.unfinished_model, ignore_errors=True)
            _remove_unfinished(folder)
            if events:
                events.write("failed", reason=reason, attempt=status.attempt)
            _end(folder, read_status(folder.status), "failed", reason)
        return 1


def _end(folder: RunFolder, status: Status, said: Any, reason: str) -> None:
    folder.stop.unlink(missing_ok=True)
    write_status(folder.status, status.changed(said=said, phase=said, reason=reason, left_s=None, updated=time.time()))


def _sentence(error: Exception, phase: str) -> str:
    if isinstance(error, WorkbenchError):
        return str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or any(words in str(error) for words in FULL_DISK):
        return "expected room for a checkpoint, but the disk is full; free some space and resume the run"
    if no_memory(error):
        return f"expected room in memory for {phase}, but it is used up; start a new run with a smaller batch_size or max_seq_length, or with a cached loss"
    return f"{error.__class__.__name__}: {' '.join(str(error).split())[:300]} (the log has the whole story)"


def _remove_unfinished(folder: RunFolder) -> None:
    complete = folder.complete_checkpoints()
    for path in folder.checkpoints.glob("*"):
        if path.is_dir() and path not in complete:
            shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: RunFolder, checkpoint: Path | None) -> None:
    """Remove checkpoints that were not written to the end, and forget events that a resumed run will repeat."""
    _remove_unfinished(folder)
    if folder.events.exists():
        rewind(folder.events, -1 if checkpoint is None else step_of(checkpoint))


class Session:
    """One life of a run: from loading to the finished model."""

    def __init__(self, folder: RunFolder, events: EventWriter, status: Status, checkpoint: Path | None) -> None:
        self.folder, self.events, self.status, self.checkpoint = folder, events, status, checkpoint
        self.recipe = read_run_recipe(folder)
        self.train, self.evaluation = prepare(self.recipe)
        self._check_begun()
        before = read_events(folder.events)[0]
        self.health = Health(self.recipe, self.train, events, before)
        self.film = Filming(self.recipe, folder, self.train, self.evaluation, events, before)

    def run(self) -> str:
        """Train and save. Returns why the run was stopped early, or an empty string."""
        began = time.time()
        self._say("loading libraries")
        from transformers import set_seed
        from transformers.utils import logging as library_log

        library_log.disable_progress_bar()
        from workbench.training import loop

        device, label = _device(self.recipe.device)
        set_seed(self.recipe.seed)
        self._say("loading the model", device=label)
        model = self._model(device) if self.recipe.method == "full" else self._stand_in(device)
        tokens_once.remember(model, self.recipe.model, self.train, revision=self.recipe.revision)
        before = self._before(model, device)
        if self.recipe.lora:
            add_lora(model, self.recipe)
        recorder = loop.Recorder(
            self.folder,
            self.recipe,
            self.health,
            self.film,
            self.status,
            (lambda: self._scores(model)) if self.evaluation else None,
        )
        set_seed(self.recipe.seed)
        trainer = loop.build(self.recipe, self.folder, model, self.train.to_training(), device, recorder)
        self.events.write(
            "started",
            attempt=self.status.attempt,
            device=label,
            step=0 if self.checkpoint is None else step_of(self.checkpoint),
        )
        reason = ""
        try:
            trainer.train(resume_from_checkpoint=str(self.checkpoint) if self.checkpoint else None)
        except Unhealthy as error:
            reason = str(error)
        self.status = recorder.status
        reason = reason or recorder.reason or _short_of(trainer.state)
        after = self._after(model, before, trainer.state)
        trained_s = recorder.totals.seconds + recorder.window.seconds
        self.film.end(model, trainer.state.global_step, trainer.state.epoch or 0.0, trained_s)
        self.status = self.status.changed(film_s=round(self.film.seconds, 3))
        self._save(model, trainer, recorder, after, label, time.time() - began, reason)
        return reason

    # phases

    def _check_begun(self) -> None:
        """A resumed run goes on with the rows and the base weights that it began with."""
        if not self.folder.data.exists():
            return
        kept = json.loads(self.folder.data.read_text(encoding="utf-8"))
        if kept["fingerprint"] != self.train.fingerprint:
            raise RunError(
                f"expected the {kept['rows']} training rows that this run began with (fingerprint {kept['fingerprint'][:12]}), got others from {self.recipe.data.source}; put the old file back, or start a new run"
            )
        base = models.fingerprint(models.at_revision(self.recipe.model, self.recipe.revision))
        if kept.get("model", base) != base:
            raise RunError(
                f"expected the base model that this run began with (fingerprint {kept['model']}), got another ({base}) in {self.recipe.model}; put the old one back, or start a new run"
            )
        files.replace_text(self.folder.data, json.dumps({**kept, "model": base}, indent=1))

    def _model(self, device: str) -> Any:
        """The base model as the recipe wants it, before any adapter; it packs its batches where it can."""
        model = base_model(self.recipe, device)
        pack(model, self.recipe)
        return model

    def _stand_in(self, device: str) -> Any:
        """What an adapter is trained in; until then it is the base model."""
        from workbench.training.stand_in import stand_in

        self._say("encoding all texts with the base model")
        return stand_in(self.recipe, (self.train, self.evaluation), device, device)

    def _before(self, model: Any, device: str) -> Evaluation | None:
        """Scores of the base model, taken again on a resume since it costs seconds and keeps one way to do it."""
        if self.evaluation is None:
            return None
        self._say("scoring the base model")
        base = self._model(device) if self.checkpoint and self.recipe.method == "full" else model
        result = self._evaluate(base, 1000)
        if self.checkpoint is None:
            self.health.write("scores", step=0, epoch=0.0, **_values(result))
        return result

    def _after(self, model: Any, before: Evaluation | None, state: Any) -> dict[str, Any]:
        if before is None or self.evaluation is None:
            return {}
        self._say("scoring the tuned model")
        after = self._evaluate(model, 1000)
        self.health.write("scores", step=state.global_step, epoch=state.epoch or 0.0, **_values(after), final=True)
        scores = {
            **compare(before, after).kept(),
            "data": self.evaluation.name,
            "seed": 0,
        }
        files.replace_text(self.folder.scores, json.dumps(clean(scores), indent=1, ensure_ascii=False))
        return scores

    def _evaluate(self, model: Any, resamples: int) -> Evaluation:
        assert self.evaluation is not None
        return score(self.film.hearing(model), self.evaluation, self.recipe, resamples=resamples)

    def _scores(self, model: Any) -> dict[str, Any]:
        values = _values(self._evaluate(model, 0))
        model.train()
        return values

    def _save(
        self, model: Any, trainer: Any, recorder: Any, scores: dict[str, Any], device: str, seconds: float, reason: str
    ) -> None:
        from workbench.cards import write
        from workbench.training import loop

        self._say("writing the model and its card")
        if self.recipe.lora:
            merge_lora(model)
        if self.recipe.method == "adapter":
            model = model.put_into(self._model(str(model.device)))
        target = self.folder.unfinished_model
        shutil.rmtree(target, ignore_errors=True)
        facts = write.RunFacts(
            recipe=self.recipe,
            train=self.train,
            evaluation=self.evaluation,
            events=self.folder.events,
            scores=scores,
            device=device,
            seconds=recorder.totals.seconds + recorder.window.seconds,
            wall_seconds=seconds,
            steps=trainer.state.global_step,
            planned_steps=trainer.state.max_steps,
            tokens=recorder.totals.tokens + recorder.window.tokens,
            padded_tokens=recorder.totals.padded + recorder.window.padded,
            memory_mb=round(loop.peak_memory_bytes() / 2**20),
            trainable=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
            total=sum(weight.numel() for weight in model.parameters()),
            stopped=reason,
            attempt=self.status.attempt,
            findings=recorded(read_events(self.folder.events)[0], self.recipe),
            health_seconds=self.health.seconds,
            film=self.film.told(recorder.totals.seconds + recorder.window.seconds),
        )
        model.save_pretrained(str(target), create_model_card=False)
        files.replace_text(target / "README.md", write.card(model, trainer, facts))
        weights.write_checksums(target)
        files.replace_folder(target, self.folder.model)

    def _say(self, phase: str, **changes: Any) -> None:
        self.status = self.status.changed(said="running", phase=phase, updated=time.time(), **changes)
        write_status(self.folder.status, self.status)


def base_model(recipe: Recipe, device: str) -> Any:
    """The base model as a recipe wants it: loaded, with its limit set, before any adapter."""
    return models.load(recipe.model, device=device, revision=recipe.revision, max_seq_length=recipe.max_seq_length)


def score(
    model: Any, table: Examples, recipe: Recipe, *, resamples: int = 0, progress: Progress | None = None
) -> Evaluation:
    """Scores of a model as all scores of a run are taken."""
    return evaluate(
        model,
        table,
        prompts=recipe.prompts,
        batch_size=recipe.eval_batch_size,
        resamples=resamples,
        progress=progress,
    )


def _short_of(state: Any) -> str:
    """Why there were fewer steps than planned, though nobody stopped the run."""
    if state.global_step == 0:
        raise RunError(
            "expected batches to train on, got none: with these settings the sampler leaves out all rows; lower batch_size, turn drop_last off or choose another batch_sampler"
        )
    if state.global_step < state.max_steps:
        return f"the data gave batches for {state.global_step} of {state.max_steps} steps: the sampler left out rows that repeat a text of their batch"
    return ""


def _values(result: Evaluation) -> dict[str, Any]:
    """Scores for an event, and why some have no value."""
    why = {name: score.why for name, score in result.scores.items() if score.value is None}
    return {"scores": {name: score.value for name, score in result.scores.items()}, **({"why": why} if why else {})}


def _device(wanted: str) -> tuple[str, str]:
    """(torch device, words for people)."""
    import torch

    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = next(name for name in ("cuda", "mps", "cpu") if have[name]) if wanted == "auto" else wanted
    if not have[chosen]:
        raise RecipeError(
            f"device: expected a device of this machine, got {chosen!r}; here are {', '.join(name for name, is_here in have.items() if is_here)}"
        )
    if chosen == "cuda":
        return "cuda", f"cuda ({torch.cuda.get_device_name()})"
    return chosen, f"{chosen} ({some(torch.get_num_threads(), 'thread')})" if chosen == "cpu" else chosen


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(main())
