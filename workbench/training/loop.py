"""Sentence Transformers' own trainer, told to record what happens and to stop when asked or when it makes no sense.

Only the worker process imports this module.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from workbench.cards.script import arguments
from workbench.catalog import losses as catalog
from workbench.checks.finding import Finding
from workbench.files import replace_text
from workbench.recipe import Recipe
from workbench.spaces import tokens_once
from workbench.spaces.ahead import ahead, one_at_a_time
from workbench.spaces.joined import Joined, asks_once
from workbench.spaces.lean import Lean
from workbench.spaces.packed import InHalf, computes_bf16, packed_lengths, reads_tokens
from workbench.steps import batched_rows, steps_of
from workbench.training.film import Filming
from workbench.training.folder import CHECKPOINT_STATE, RunFolder, step_of
from workbench.training.health import Health
from workbench.training.records import STATUS_EVERY_S, Status, write_status
from workbench.training.split import Split

LOSS_WEIGHTS = "loss_weights.pt"
# Where the processor waits for the model, and so many batches that it makes meanwhile
AHEAD_ON, AHEAD = {"cuda"}, 2
# Where a pass costs its start, so that the columns of a batch go through in one
JOIN_ON = {"cuda"}


@dataclass
class Window:
    """What happened since the loss was last recorded; it travels with the checkpoint, so a resume loses nothing."""

    losses: list[float] = field(default_factory=list)
    references: list[float] = field(default_factory=list)
    tokens: int = 0
    padded: int = 0
    seconds: float = 0.0
    clipped: int = 0


@dataclass
class Totals:
    """Sums over the whole run, resumes included."""

    tokens: int = 0
    padded: int = 0
    seconds: float = 0.0
    skipped: int = 0
    still: int = 0  # steps up to now without a gradient


class Recorder(TrainerCallback):
    """Writes events and status, obeys the stop file and the health of the run, marks checkpoints as complete."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        health: Health,
        film: Filming,
        status: Status,
        score: Callable[[], Mapping[str, Any]] | None,
    ) -> None:
        self.folder, self.recipe, self.health, self.status, self.score = folder, recipe, health, status, score
        self.film = film
        self.window, self.totals = Window(), Totals()
        self.grad_norm: float | None = None
        self.rate: float | None = None
        self.every = {"logging": 1, "eval": 1}
        self.reason = ""  # why it ends before its last step
        self._began = self._written = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Turn shares into steps, and take up what the checkpoint knew."""
        self.every = {
            "logging": steps_of(self.recipe.logging_steps, state.max_steps),
            "eval": steps_of(self.recipe.eval_steps, state.max_steps),
        }
        checkpoint = self.folder.checkpoints / f"checkpoint-{state.global_step}" / CHECKPOINT_STATE
        if state.global_step and checkpoint.is_file():
            kept = json.loads(checkpoint.read_text(encoding="utf-8"))
            self.window, self.totals = Window(**kept["window"]), Totals(**kept["totals"])
        self.health.begin(kwargs["model"], state.global_step)
        self.film.begin(kwargs["model"], state.global_step, state.max_steps)
        self._say(state, phase="training", force=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of this step; evaluation and saving are not counted."""
        self._began = time.perf_counter()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The rate that this step is made with; after it the scheduler has gone on."""
        self.rate = float(kwargs["lr_scheduler"].get_last_lr()[0])

    def batch(self, loss: float, reference: float | None, tokens: int, padded: int) -> None:
        """One forward pass: loss, reference line, real tokens, tokens with padding."""
        self.window.losses.append(loss)
        if reference is not None:
            self.window.references.append(reference)
        self.window.tokens += tokens
        self.window.padded += padded

    def gradient(self, step: int, norm: float) -> None:
        """Norm of the gradient of a step before clipping, finite."""
        self.grad_norm = norm
        self.window.clipped += 0 < self.recipe.max_grad_norm < norm
        self.totals.still = 0 if norm else self.totals.still + 1
        self.health.tell(self.health.watch.still(step, self.totals.still, self.window.losses[-1]), step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each optimizer step: record, score, look whether someone wants to stop."""
        self.window.seconds += time.perf_counter() - self._began
        step, last = state.global_step, state.global_step >= state.max_steps
        found: list[Finding] = []
        if step == 1 or step % self.every["logging"] == 0 or last:
            found = self._record(state)
        if self.score and not last and step % self.every["eval"] == 0:
            self._say(state, phase="scoring", force=True)
            self.health.write("scores", step=step, epoch=state.epoch, **self.score())
        trained_s = self.totals.seconds + self.window.seconds
        doubtful = any(finding.severity != "note" for finding in found)
        self.health.after_step(kwargs["model"], step, doubtful=doubtful, last=last, trained_s=trained_s)
        self.film.after_step(kwargs["model"], step, state.epoch or 0.0, trained_s)
        if self.health.reason or self.folder.stop.exists():
            self.reason = "" if last else self.health.reason or "stopped as asked"
            control.should_training_stop = True
            control.should_save = True
        self._say(state, phase="training", force=last or bool(self.reason))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint counts once this mark is in it; only then the one before is removed."""
        checkpoint = self.folder.checkpoints / f"checkpoint-{state.global_step}"
        replace_text(
            checkpoint / CHECKPOINT_STATE, json.dumps({"window": vars(self.window), "totals": vars(self.totals)})
        )
        self.health.write("checkpoint", step=state.global_step)
        for older in self.folder.checkpoints.glob("checkpoint-*"):
            if step_of(older) != state.global_step:
                shutil.rmtree(older, ignore_errors=True)

    def _record(self, state: Any) -> list[Finding]:
        window, totals = self.window, self.totals
        totals.tokens += window.tokens
        totals.padded += window.padded
        totals.seconds += window.seconds
        found = self.health.write(
            "step",
            step=state.global_step,
            epoch=round(state.epoch or 0.0, 4),
            loss=_mean(window.losses),
            reference=_mean(window.references),
            grad_norm=self.grad_norm,
            clipped=window.clipped,
            learning_rate=self.rate,
            tokens=totals.tokens,
            padded_tokens=totals.padded,
            tokens_per_s=round(window.tokens / window.seconds, 1) if window.seconds > 0 else None,
            seconds=round(totals.seconds, 3),
            memory_mb=round(memory_bytes() / 2**20),
        )
        self.window = Window()
        return found

    def _say(self, state: Any, *, phase: str, force: bool = False) -> None:
        now = time.time()
        if not force and now - self._written < STATUS_EVERY_S:
            return
        self._written = now
        done = max(self.totals.seconds + self.window.seconds, 1e-9)
        left = (state.max_steps - state.global_step) * done / state.global_step if state.global_step else None
        self.status = self.status.changed(
            said="running",
            phase=phase,
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            left_s=left,
            health_s=round(self.health.seconds, 3),
            film_s=round(self.film.seconds, 3),
            updated=now,
        )
        write_status(self.folder.status, self.status)


class RunTrainer(SentenceTransformerTrainer):
    """The library's trainer with three windows cut into it: loss and tokens, gradient norm, checkpoints without a card."""

    def __init__(self, *, recorder: Recorder, recipe: Recipe, normalized: bool, **parts: Any) -> None:
        self.recorder, self.recipe, self._normalized = recorder, recipe, normalized
        # of several cards the first: copies of a model on others would not know what stands in the place of `forward`
        parts["args"]._n_gpu = min(parts["args"].n_gpu, 1)
        self._ahead = parts["model"].device.type in AHEAD_ON
        if self._ahead:
            # a look or a score may tokenise while the next batch is tokenised, which a tokenizer does not stand
            parts["model"].preprocess = one_at_a_time(parts["model"].preprocess)
        packed = isinstance(parts["model"].forward, InHalf)
        grouped = recipe.split_by_length and not packed and not reads_tokens(recipe.loss)
        self._lean = Lean(parts["model"]) if grouped else None
        if self._lean:
            parts["model"].forward = self._lean
        passes = recipe.method == "full" and (self._lean or packed)
        joins = passes and parts["model"].device.type in JOIN_ON and asks_once(recipe.loss)
        self._joined = Joined(parts["model"]) if joins else None
        if self._joined:
            parts["model"].forward = self._joined
        self._own_loss: torch.nn.Module = parts["loss"]
        self._split = Split(parts["model"], parts["loss"], self._did_not_fit) if recipe.method == "full" else None
        super().__init__(callbacks=[recorder], **parts)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)

    def get_train_dataloader(self) -> Any:
        """Batches, the next ones made on another thread on a GPU; the rest of a resumed run's first epoch is not."""
        prepared: Any = super().get_train_dataloader()
        if self._ahead:
            loader = prepared.base_dataloader
            begin = loader._get_iterator
            loader._get_iterator = lambda: ahead(begin(), depth=AHEAD)
        return prepared

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and back over one batch: whole where it fits into memory, else in parts."""
        take: Callable[[], Any] = partial(super().training_step, model, inputs, num_items_in_batch)
        if self._split is None:
            return take()
        recorded = copy.deepcopy(self.recorder.window)

        def again() -> None:
            self.recorder.window = copy.deepcopy(recorded)

        loss: torch.Tensor = self._split.step(inputs, take, self.compute_loss_context_manager, again)
        return loss

    def _did_not_fit(self, places: int, part: int, why: str) -> None:
        said = " ".join(why.split())[:300]
        self.recorder.health.write("split", step=self.state.global_step + 1, places=places, part_places=part, why=said)

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], torch.Tensor | None]:
        """The features of each column, which the loss passes on, and the labels."""
        features, labels = super().collect_features(inputs)
        if self._joined:
            self._joined.expect(features)
        return features, labels

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The library's loss; its value is looked at before it does harm."""
        features, _ = self.collect_features(inputs)
        rows, tokens, padded = counts(features)
        computed = self._lean.places if self._lean else 0
        with self._joined.expected() if self._joined else contextlib.nullcontext():
            loss: Any = super().compute_loss(model, inputs, return_outputs=False, num_items_in_batch=num_items_in_batch)
        padded = (self._lean.places - computed if self._lean else 0) or padded
        value = float(loss.detach())
        if not math.isfinite(value):
            self.recorder.health.not_finite(self.state.global_step + 1, "loss", value)
        line = catalog.reference(
            self.recipe.loss.name, self.recipe.loss.parameters, rows, len(features), normalized=self._normalized
        )
        self.recorder.batch(value, line[0] if line else None, tokens, padded)
        return (loss, {}) if return_outputs else loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        value, step = float(norm), self.state.global_step + 1
        if math.isfinite(value):
            self.recorder.gradient(step, value)
        elif self.args.fp16:
            self.recorder.totals.skipped += 1  # the gradient scaler skips such a step and tries a smaller scale
        else:
            self.recorder.health.not_finite(step, "gradient", value)
            self.recorder.grad_norm = value
        return norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Weights only: the card is written once, at the end, from the whole run."""
        place = Path(str(output_dir or self.args.output_dir))
        self.model.save_pretrained(str(place), create_model_card=False)
        torch.save(self.args, place / "training_args.bin")
        if own := self._loss_weights():
            torch.save(own, place / LOSS_WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, *rest: Any) -> None:
        model: Any = self.model
        if self.recipe.method == "adapter":
            model.restore(checkpoint_path)
        else:
            super()._load_from_checkpoint(checkpoint_path, *rest)
        own = Path(checkpoint_path) / LOSS_WEIGHTS
        if own.is_file():
            self._own_loss.load_state_dict(torch.load(own, map_location="cpu", weights_only=True), strict=False)

    def _loss_weights(self) -> dict[str, torch.Tensor]:
        """Weights that a loss brings of its own, such as a classifier; the library's checkpoints leave them out."""
        shared = {id(weight) for weight in self.model.parameters()}
        own = {name for name, weight in self._own_loss.named_parameters() if id(weight) not in shared}
        return {name: value for name, value in self._own_loss.state_dict().items() if name in own}


def counts(features: list[dict[str, Any]]) -> tuple[int, int, int]:
    """(rows, real tokens, tokens with padding) of one batch, over all its text columns."""
    masks = [part["attention_mask"] for part in features if "attention_mask" in part]  # each (rows, width)
    if masks:
        return len(masks[0]), sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    packed = packed_lengths(features[0])
    # a static model gets the tokens of all rows in one line, and where each row begins
    tokens = sum(part["input_ids"].numel() for part in features if "input_ids" in part)
    return len(features[0].get("offsets", ()) if packed is None else packed), tokens, tokens


def build(
    recipe: Recipe, folder: RunFolder, model: SentenceTransformer, data: Dataset, device: str, recorder: Recorder
) -> RunTrainer:
    """Model, loss, data and settings put together."""
    model.model_card_data.generate_widget_examples = False
    model.model_card_data.widget = [{"text": ""}]  # else the library picks rows of the data for its widget
    model.model_card_data.local_files_only = True
    trainer = RunTrainer(
        recorder=recorder,
        recipe=recipe,
        normalized=any(type(module).__name__ == "Normalize" for module in model),
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder.checkpoints),
            **arguments(
                recipe,
                rows=batched_rows(recipe, data),
                device=device,
                bf16=computes_bf16(device),
            ),
        ),
        train_dataset=data,
        loss=catalog.build(recipe.loss.name, recipe.loss.parameters, model, source=recipe.loss.source),
    )
    tokens_once.serve(trainer.data_collator, model)
    return trainer


def memory_bytes() -> int:
    """Memory now: what torch has allocated on CUDA, else the resident set of this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.memory_allocated())
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """Most memory so far: what torch had allocated on CUDA, else the resident set where the system keeps its peak."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows keeps no peak here
        return memory_bytes()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
