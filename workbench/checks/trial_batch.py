"""One batch on the real model: a few texts encoded, one loss, one gradient. Runs in a process that may load torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.checks.finding import some
from workbench.checks.spread import spread
from workbench.data.prepare import prepare
from workbench.errors import RecipeError
from workbench.recipe import Recipe, prompt_of
from workbench.spaces.packed import computes_bf16, pack, reads_tokens

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    from workbench.data.examples import Examples

SAMPLED_ROWS = 64
ALIKE = 0.95  # cosine from which two texts are taken to say the same
# The first pass also sets up what later ones find; where one takes that long, the difference is small.
AGAIN_UNDER_S = 5.0


@dataclass(frozen=True)
class Sample:
    """Vectors of a few texts under the base model.

    Attributes:
        rows: rows whose texts were encoded, evenly spaced.
        texts: different texts among them that are not blank; the numbers below are of these.
        not_finite: how many of them have NaN or infinity in their vector.
        zero: how many have a vector of zeros.
        deviation: standard deviation over the texts, the mean of all dimensions; None where a vector is not finite.
        cosine: mean cosine of two different ones; None where that is undefined.
        rank: effective rank, see `workbench.checks.spread.spread`; None where that is undefined.
        alike: rows whose positive has a cosine above `ALIKE` with that of a row with another anchor.
    """

    rows: int
    texts: int
    not_finite: int
    zero: int
    deviation: float | None
    cosine: float | None
    rank: float | None
    alike: int


@dataclass(frozen=True)
class Trial:
    """What one batch came to, before any step was made and without dropout.

    Attributes:
        sample: vectors of a few texts.
        rows: rows of the first batch of the run.
        tokens: longest text of each column of that batch, cut as the model does it; 0 for a static model.
        loss: its loss.
        line: the loss of a model that tells nothing apart, see `workbench.catalog.losses.reference`; None if unknown.
        accuracy: share of its rows whose own second text is the nearest of all; None for one column of texts.
        gradient: Euclidean norm of the gradient of all weights, before clipping.
        seconds: of one forward and backward pass.
        memory: bytes on a GPU that the pass and the optimizer take; None on other devices.
        device: where it was computed, in words.
    """

    sample: Sample
    rows: int
    tokens: tuple[int, ...]
    loss: float
    line: float | None
    accuracy: float | None
    gradient: float
    seconds: float
    memory: int | None
    device: str


def try_batch(recipe: Recipe) -> Trial | None:
    """Load model and data of a recipe, encode a few texts and make one forward and backward pass, but no step.

    Args:
        recipe: a recipe that means the same from any folder; see `workbench.data.prepare.settled`.

    Returns:
        What was measured; None where this machine does not have the device that the recipe names.

    Raises:
        WorkbenchError: model, data or loss cannot be used.
    """
    import torch
    from transformers import set_seed

    train, _ = prepare(recipe)
    here = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here[recipe.device]:
        return None
    model = models.load(
        recipe.model,
        device=None if recipe.device == "auto" else recipe.device,
        revision=recipe.revision,
        max_seq_length=recipe.max_seq_length,
    )
    model.eval()
    sample = sample_of(model, recipe, train)
    set_seed(recipe.seed)
    with TemporaryDirectory() as folder:
        return _one_pass(trainer_of(recipe, model, train, Path(folder)), recipe, sample)


def sample_of(model: SentenceTransformer, recipe: Recipe, train: Examples) -> Sample:
    """Encode the texts of at most `SAMPLED_ROWS` rows."""
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), SAMPLED_ROWS)).astype(int))
    table = train.to_training().select(rows)
    columns: list[list[str]] = []
    vector_of: dict[str, np.ndarray] = {}
    for name in table.column_names[: len(train.texts)]:
        prompt = prompt_of(recipe.prompts, name)
        columns.append([prompt + text for text in table[name][:]])
        new = [text for text in dict.fromkeys(table[name][:]) if prompt + text not in vector_of]
        if new:  # a model may leave the prompt out of the vector that it makes of both
            vectors = model.encode(new, prompt=prompt, batch_size=32, show_progress_bar=False).astype(np.float64)
            vector_of |= zip((prompt + text for text in new), vectors, strict=True)
    return judge(columns, vector_of)


def judge(columns: Sequence[Sequence[str]], vector_of: dict[str, np.ndarray]) -> Sample:
    """How the vectors of texts lie.

    Args:
        columns: texts of the same rows, column by column.
        vector_of: text -> its vector, float64, shape (d,).
    """
    texts = [text for text in vector_of if text.strip()]
    vectors = np.array([vector_of[text] for text in texts]).reshape(len(texts), -1 if texts else 0)  # (texts, d)
    finite = np.isfinite(vectors).all(axis=1)
    cosine, rank, zero = spread(vectors)
    return Sample(
        rows=len(columns[0]),
        texts=len(texts),
        not_finite=int((~finite).sum()),
        zero=zero,
        deviation=float(vectors.std(axis=0).mean()) if len(texts) and finite.all() else None,
        cosine=cosine,
        rank=rank,
        alike=_alike(columns, vector_of) if len(columns) > 1 and cosine is not None else 0,
    )


def _alike(columns: Sequence[Sequence[str]], vector_of: dict[str, np.ndarray]) -> int:
    """Rows whose second text says the same as that of a row with another first text, in other words."""
    first, second = (np.array(column, dtype=object) for column in columns[:2])
    unit = np.array([vector_of[text] / (np.linalg.norm(vector_of[text]) or 1.0) for text in second])
    differ = (first[:, None] != first) & (second[:, None] != second)
    return int((differ & (unit @ unit.T > ALIKE)).any(axis=1).sum())


def trainer_of(recipe: Recipe, model: SentenceTransformer, train: Examples, folder: Path) -> SentenceTransformerTrainer:
    """The library's trainer, with all that decides which rows and tokens meet in a batch, and how it is computed."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    model.model_card_data.generate_widget_examples = False
    model.model_card_data.widget = [{"text": ""}]  # else the library picks rows of the data for its widget
    model.model_card_data.local_files_only = True
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=recipe.batch_size,
        batch_sampler=recipe.batch_sampler,
        dataloader_drop_last=recipe.drop_last,
        dataloader_pin_memory=False,
        prompts=recipe.prompts,
        seed=recipe.seed,
        fp16=recipe.precision == "fp16",
        bf16=recipe.precision == "bf16" or (recipe.precision == "auto" and computes_bf16(model.device.type)),
        use_cpu=model.device.type == "cpu",
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # as in the run
    loss = catalog.build(recipe.loss.name, recipe.loss.parameters, model, source=recipe.loss.source)
    return SentenceTransformerTrainer(model=model, args=arguments, train_dataset=train.to_training(), loss=loss)


def first_batch(trainer: SentenceTransformerTrainer) -> dict[str, Any]:
    """Tensors of the first batch that the run will see.

    Raises:
        RecipeError: there is none.
    """
    batch = next(iter(trainer.get_train_dataloader()), None)
    if batch is None:
        raise RecipeError(
            "expected batches to train on, got none: with these settings the sampler leaves out all rows; lower batch_size, turn drop_last off or choose another batch_sampler"
        )
    inputs: dict[str, Any] = trainer._prepare_inputs(batch)
    return inputs


def _one_pass(trainer: Any, recipe: Recipe, sample: Sample) -> Trial:
    import torch

    from workbench.spaces.lean import Lean

    model = trainer.model.eval()
    trainer.loss.eval()
    if not pack(model, recipe) and recipe.split_by_length and not reads_tokens(recipe.loss):
        model.forward = Lean(model, scoring=True)
    inputs = first_batch(trainer)
    features, _ = trainer.collect_features(inputs)
    with torch.no_grad():
        vectors = [model(dict(part))["sentence_embedding"].float() for part in features]  # each (rows, d)
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds: list[float] = []
    while not seconds or (len(seconds) < 2 and seconds[0] < AGAIN_UNDER_S):
        trainer.loss.zero_grad()
        model.zero_grad()
        began = time.perf_counter()
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, dict(inputs))
        loss.backward()
        norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
        gradient = float(torch.stack(norms).norm()) if norms else 0.0
        seconds.append(time.perf_counter() - began)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    line = catalog.reference(
        recipe.loss.name,
        recipe.loss.parameters,
        len(vectors[0]),
        len(features),
        normalized=any(type(module).__name__ == "Normalize" for module in model),
    )
    return Trial(
        sample=sample,
        rows=len(vectors[0]),
        tokens=tuple(_longest(part) for part in features),
        loss=float(loss.detach()),
        line=line[0] if line else None,
        accuracy=_accuracy(vectors) if len(vectors) > 1 else None,
        gradient=gradient,
        seconds=seconds[-1],
        # AdamW keeps two numbers of 4 bytes for each weight
        memory=torch.cuda.max_memory_allocated() + 8 * trained * (recipe.optimizer == "adamw") if on_gpu else None,
        device=torch.cuda.get_device_name()
        if on_gpu
        else f"{model.device.type} ({some(torch.get_num_threads(), 'thread')})",
    )


def _longest(features: dict[str, Any]) -> int:
    """Tokens of the longest text of a column; 0 for a static model."""
    mask = features.get("attention_mask")
    return int(features.get("max_length_q", 0)) if mask is None else int(mask.shape[1])


def _accuracy(vectors: Sequence[Any]) -> float:
    """Share of rows whose second text is nearer than all other texts but the first of each row, by cosine."""
    import torch

    anchors, others = (
        torch.nn.functional.normalize(part, dim=1) for part in (vectors[0], torch.cat(list(vectors[1:])))
    )
    nearest = (anchors @ others.T).argmax(dim=1)
    return float((nearest == torch.arange(len(anchors), device=nearest.device)).float().mean())
