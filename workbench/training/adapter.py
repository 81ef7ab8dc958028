"""Try a loss at once: a linear adapter on kept vectors of the base model, trained in this process in a second or two."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.cards.script import arguments
from workbench.catalog import losses as catalog
from workbench.data.distinct import distinct_texts
from workbench.data.prepare import prepare, settled
from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.spaces.encode import Space
from workbench.spaces.engine import torch_threads
from workbench.spaces.evaluate import Change, compare, evaluate
from workbench.spaces.stages import sample, sampled
from workbench.steps import batched_rows
from workbench.training.run import make_sure_trusted

if TYPE_CHECKING:
    from workbench.data.examples import Examples

ROWS = 5000
TEXTS = 500
RESAMPLES = 200  # of the bootstrap: a run takes 1,000, which are seconds where scores are correlations
LEARNING_RATE = 1e-3
ENCODING, TRAINING = "encoding texts", "training"  # phases that a try tells of
Progress = Callable[[str, int, int], None]
OF_A_MODEL = ("lora", "gradient_checkpointing")


@dataclass(frozen=True, eq=False)
class Try:
    """What a linear adapter came to.

    Attributes:
        recipe: what was tried, with `method: adapter`.
        change: scores before and after with their differences; None where no rows are held out.
        losses: mean loss since the one before, as often as the recipe records it.
        before, after: the same texts under the base model and under the adapter.
        steps: optimizer steps.
        weights: numbers that were trained.
        seconds: training and scoring; encode_seconds: encoding texts that were not kept yet, and reading the data.
        note: what has to be known to read it: sampled rows; empty where there is nothing.
    """

    recipe: Recipe
    change: Change | None
    losses: tuple[float, ...]
    before: Space
    after: Space
    steps: int
    weights: int
    seconds: float
    encode_seconds: float
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values; scores as a run keeps them."""
        change = self.change
        return {
            "recipe": self.recipe.to_dict(defaults=False),
            "scores": None if change is None else change.kept(0),
            "losses": list(self.losses),
            "steps": self.steps,
            "weights": self.weights,
            "seconds": round(self.seconds, 3),
            "encode_seconds": round(self.encode_seconds, 3),
            "note": self.note,
        }

    def __repr__(self) -> str:
        head = f"Linear adapter of {self.weights:,} weights, {self.steps} steps in {self.seconds:.1f} s"
        head += f" ({self.note})" if self.note else ""
        return head if self.change is None else f"{head}\n{self.change!r}"


def as_adapter(recipe: Recipe) -> Recipe:
    """The recipe for a linear adapter: what it cannot have is left out, and a rate meant for whole models is raised.

    Raises:
        RecipeError: its loss needs more than finished vectors.
    """
    if recipe.method == "adapter":
        return recipe
    raised = {"learning_rate": LEARNING_RATE} if recipe.learning_rate < LEARNING_RATE else {}
    return recipe.changed(
        method="adapter", **{name: Recipe.model_fields[name].default for name in OF_A_MODEL}, **raised
    )


def try_adapter(
    recipe: Recipe,
    *,
    texts: Sequence[str] | None = None,
    rows: int = ROWS,
    resamples: int = RESAMPLES,
    trust_code: bool = False,
    progress: Progress = lambda phase, done, total: None,
) -> Try:
    """Train a linear adapter on vectors of the frozen base model here and now, and score it. Writes no run.

    The same loss, batches, optimizer and seed as the run of such a recipe. The first call encodes the texts; later ones
    take about a second.

    Args:
        recipe: what to try; one with `method: full` is tried as `as_adapter` makes it.
        texts: whose vectors to return; None takes up to 500 of those that are scored, else trained on.
        rows: of longer tables a seeded sample of so many is trained on, and scored.
        resamples: of the bootstrap behind the intervals; a run takes 1,000.
        trust_code: run the source of a loss that came with the recipe; say so only after reading it.
        progress: called with (phase, done, total): the texts that are encoded, the steps that are made. What it raises
            ends the try.

    Raises:
        RecipeError: no recipe, or its loss needs more than finished vectors.
        DataError, ModelError: the recipe cannot be run here.
    """
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"expected a Recipe, got {type(recipe).__name__}; read a file with Recipe.from_yaml(path)")
    recipe = as_adapter(recipe)
    make_sure_trusted(recipe, trust_code)
    began = time.perf_counter()
    train, evaluation = prepare(recipe)
    recipe = settled(recipe, train)
    shown = list(texts) if texts is not None else sampled(distinct_texts(evaluation or train), TEXTS, recipe.seed)
    train, note = _sampled(train, rows, recipe.seed, "trained on")
    if evaluation is not None:
        evaluation, more = _sampled(evaluation, rows, recipe.seed, "scored on")
        note = "; ".join(filter(None, (note, more)))
    with _own_chance():
        return _tried(recipe, train, evaluation, shown, resamples, note, began, progress)


def _tried(
    recipe: Recipe,
    train: Examples,
    evaluation: Examples | None,
    shown: Sequence[str],
    resamples: int,
    note: str,
    began: float,
    progress: Progress,
) -> Try:
    from workbench.training.stand_in import stand_in

    encoder = None if recipe.device == "auto" else recipe.device
    model = stand_in(recipe, (train, evaluation), "cpu", encoder, partial(progress, ENCODING))
    before = model.space(shown)
    encoded = time.perf_counter()
    base = None if evaluation is None else model.scored(evaluation, recipe.prompts, resamples)
    with torch_threads(1):  # maps of a few hundred dimensions are quicker so, above all where the cores are busy
        losses, steps = _train(recipe, model, train, progress)
    change = None
    if evaluation is not None and base is not None:
        tuned = evaluate(model, evaluation, prompts=recipe.prompts, resamples=resamples)
        change = compare(base, tuned, resamples=resamples)
    weights = sum(weight.numel() for weight in model.parameters())
    after, took = model.space(shown), time.perf_counter() - encoded
    return Try(recipe, change, losses, before, after, steps, weights, took, encoded - began, note)


def _train(recipe: Recipe, model: Any, train: Examples, progress: Progress) -> tuple[tuple[float, ...], int]:
    """(losses as recorded, steps): the library's own trainer, with the arguments of a run."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers import PrinterCallback, ProgressCallback, TrainerCallback, set_seed

    class Telling(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            progress(TRAINING, state.global_step, state.max_steps)

    table = train.to_training()
    given = arguments(recipe, rows=batched_rows(recipe, table), device="cpu", bf16=False)
    given |= {"save_strategy": "no", "report_to": "none"}
    del given["gradient_checkpointing"]  # there is none, and the library warns of the name
    model.model_card_data.widget = [{"text": ""}]  # else the library picks rows for it, with a bar
    set_seed(recipe.seed)
    loss = catalog.build(recipe.loss.name, recipe.loss.parameters, model, source=recipe.loss.source)
    with tempfile.TemporaryDirectory() as place:
        settings = SentenceTransformerTrainingArguments(output_dir=place, **given)
        trainer = SentenceTransformerTrainer(model=model, args=settings, train_dataset=table, loss=loss)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.add_callback(Telling())
        gc.freeze()  # the trainer collects garbage, which would look through all that the libraries hold
        try:
            trainer.train()
        finally:
            gc.unfreeze()
    history = trainer.state.log_history
    return tuple(entry["loss"] for entry in history if "loss" in entry), trainer.state.global_step


def _sampled(part: Examples, rows: int, seed: int, used: str) -> tuple[Examples, str]:
    """(at most so many rows, in words what was left out)."""
    if len(part) <= rows:
        return part, ""
    return part.select(
        sample(np.arange(len(part)), rows, seed)
    ), f"{used} a sample of {rows:,} of {len(part):,} rows, seed {seed}"


@contextmanager
def _own_chance() -> Iterator[None]:
    """Random numbers of the process stay what they were, whatever the trainer seeds."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
