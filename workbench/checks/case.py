"""What the checks look at: a recipe with its rows, model and loss. Everything that takes time is done once, on demand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.catalog import losses as catalog
from workbench.catalog import models, weights
from workbench.catalog.losses import LossInfo
from workbench.catalog.models import ModelInfo
from workbench.checks.finding import Finding, Severity
from workbench.checks.fitting import misfit_of, suited_loss, with_innermost
from workbench.data.examples import Examples, cut_text
from workbench.data.load import load
from workbench.data.prepare import label_kind, prepare, settled
from workbench.data.tokenizer import counter
from workbench.errors import DataError
from workbench.recipe import Loss, Recipe
from workbench.steps import steps_per_epoch, total_steps

Progress = Callable[[str, int, int | None], None]
TOKEN_ROWS = 50_000


@dataclass(frozen=True)
class Texts:
    """The texts of a table as numbers.

    Attributes:
        columns: names of the text columns.
        digests: 64-bit xxh3 of every text, uint64, shape (rows, columns): equal texts have equal digests.
        blank: column -> positions of texts that are empty or only white space, counted from 0.
    """

    columns: tuple[str, ...]
    digests: np.ndarray
    blank: Mapping[str, list[int]]


@dataclass(frozen=True)
class Case:
    """A recipe and what is known of it before the run.

    Attributes:
        recipe: as it was given.
        train: rows to train on.
        evaluation: rows that are only scored, None where there are none.
        misfit: why the loss does not suit the columns, None where it does.
        tell: told of what takes time.
    """

    recipe: Recipe
    train: Examples
    evaluation: Examples | None
    misfit: str | None
    tell: Progress

    @classmethod
    def of(cls, recipe: Recipe, tell: Progress) -> Case:
        """Load both tables of a recipe, also where its loss does not suit the columns.

        Raises:
            DataError: a table cannot be used.
            RecipeError: a prompt names no column.
        """
        tell("reading the data", 0, None)
        misfit = None
        try:
            train, evaluation = prepare(recipe)
        except DataError:
            data = load(recipe.data)
            misfit = misfit_of(recipe, data)
            if misfit is None:
                raise
            # which rows are held out does not depend on the loss
            suited = suited_loss(recipe.loss, data)
            train, evaluation = prepare(recipe.changed(loss=suited)) if suited else (data, None)
        settled(recipe, train)
        return cls(recipe, train, evaluation, misfit, tell)

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
        """A finding on this recipe; evidence that does not say what it was measured on was measured on all rows."""
        rows = evidence.get("measured_on", f"all {self.rows:,} training rows of {self.name}")
        return Finding(code, severity, message, why, {**evidence, "measured_on": rows}, fixed, changes, self.recipe)

    # the rows

    @property
    def rows(self) -> int:
        """Rows to train on."""
        return len(self.train)

    @property
    def name(self) -> str:
        """Name of the table for a sentence."""
        return cut_text(self.train.name, 60)

    @cached_property
    def label_kind(self) -> str | None:
        """class, binary, score, scores or embedding; None where there is no label column."""
        return label_kind(self.train)

    @cached_property
    def labels(self) -> np.ndarray:
        """Numbers of the classes (int64, shape (rows,)) or scores (float64, shape (rows,) or (rows, k))."""
        assert self.train.label is not None
        column = self.train.roles[self.train.label]
        cells = self.train.to_training().select_columns([column]).with_format("numpy")[:][column]
        return np.asarray(cells, dtype=np.int64 if column == "label" else np.float64)

    @cached_property
    def texts(self) -> Texts:
        """The texts to train on."""
        return self._texts(self.train, "comparing texts")

    @cached_property
    def evaluation_texts(self) -> Texts:
        """The texts that are only scored."""
        assert self.evaluation is not None
        return self._texts(self.evaluation, "comparing texts of the evaluation")

    def _texts(self, examples: Examples, what: str) -> Texts:
        from xxhash import xxh3_64_intdigest

        columns, done = examples.texts, 0
        digests = np.zeros((len(examples), len(columns)), dtype=np.uint64)
        blank: dict[str, list[int]] = {name: [] for name in columns}
        for batch in examples.batches(columns):
            size = len(batch[columns[0]])
            for place, name in enumerate(columns):
                texts = batch[name]
                hashed = (xxh3_64_intdigest(text.encode()) for text in texts)
                digests[done : done + size, place] = np.fromiter(hashed, np.uint64, size)
                blank[name] += [done + at for at, text in enumerate(texts) if not text or text.isspace()]
            done += size
            self.tell(what, done, len(examples))
        return Texts(columns, digests, blank)

    @cached_property
    def lengths(self) -> dict[str, np.ndarray]:
        """Column -> tokens of each text before truncation (int64, shape (rows looked at,)), prompt included."""
        count, _ = counter(self.recipe.model)
        prompts = settled(self.recipe, self.train).prompts
        trained = dict(zip(self.train.used, self.train.to_training().column_names, strict=True))
        step = math.ceil(self.rows / TOKEN_ROWS)
        sample = self.train.select(range(0, self.rows, step)) if step > 1 else self.train
        counted: dict[str, list[np.ndarray]] = {name: [] for name in self.train.texts}
        done = 0
        for batch in sample.batches(self.train.texts, 2000):
            for name, texts in batch.items():
                prompt = prompts if isinstance(prompts, str) else (prompts or {}).get(trained[name], "")
                counted[name].append(count([prompt + text for text in texts] if prompt else texts))
            done += len(texts)
            self.tell("counting tokens", done, len(sample))
        return {name: np.concatenate(parts) for name, parts in counted.items()}

    # the model

    @cached_property
    def model(self) -> ModelInfo:
        """What is known of the base model."""
        return models.describe(self.recipe.model)

    @cached_property
    def static(self) -> bool:
        """The model is a table of word vectors."""
        assert self.model.path is not None
        return any(str(part.get("type", "")).endswith(".StaticEmbedding") for part in weights.modules(self.model.path))

    @cached_property
    def weights_norm(self) -> float | None:
        """Euclidean norm of all weights; None where they are stored in a form that numpy does not read."""
        from safetensors import safe_open

        assert self.model.path is not None
        if self.model.dtype not in ("F16", "F32", "F64"):
            return None
        total = 0.0
        for path in (*self.model.path.glob("*.safetensors"), *self.model.path.glob("*/*.safetensors")):
            with safe_open(path, framework="numpy") as file:
                for key in file.keys():
                    if np.issubdtype((part := file.get_tensor(key)).dtype, np.floating):
                        total += float(np.square(part, dtype=np.float64).sum())
        return math.sqrt(total)

    @property
    def limit(self) -> int | None:
        """Tokens at which texts are cut, None for never."""
        return self.model.max_seq_length and (self.recipe.max_seq_length or self.model.max_seq_length)

    @cached_property
    def model_prompts(self) -> dict[str, str]:
        """Prompts that the model brings, by their names; without empty ones."""
        assert self.model.path is not None
        try:
            read = json.loads((self.model.path / "config_sentence_transformers.json").read_text(encoding="utf-8"))
            return {str(name): str(text) for name, text in read["prompts"].items() if text}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}  # a model without such settings, or with some that the library would not read either

    # the loss

    @property
    def loss(self) -> Loss:
        """The loss that sees the embeddings."""
        return self.recipe.loss.innermost

    @cached_property
    def info(self) -> LossInfo:
        """What is known of that loss."""
        return catalog.describe(self.loss.name, self.loss.source)

    @cached_property
    def values(self) -> dict[str, Any]:
        """All its parameters, defaults included."""
        return self.info.settings(self.loss.parameters)

    def with_loss(self, name: str, **parameters: Any) -> Loss:
        """The recipe's loss with another one in the place of its innermost."""
        return with_innermost(self.recipe.loss, Loss(name, **parameters))

    # the course of the run

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch, at least 1."""
        return steps_per_epoch(self.recipe, self.rows)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return total_steps(self.recipe, self.rows)


def percent(share: float) -> str:
    """A share for a sentence."""
    if 0 < share < 0.0005:
        return "less than 0.1%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def listed(positions: list[int] | np.ndarray, most: int = 5) -> str:
    """Row numbers, counted from 1, the first few."""
    shown = ", ".join(f"{int(at) + 1:,}" for at in positions[:most])
    return f"{shown}, …" if len(positions) > most else shown
