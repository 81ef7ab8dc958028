"""What the checks look at: a recipe with its rows, model and loss. Everything that takes time is done once, on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.catalog import hub, models, weights
from workbench.catalog import losses as catalog
from workbench.catalog.losses import LossInfo
from workbench.catalog.models import ModelInfo
from workbench.checks import reading, tensors
from workbench.checks.codes import CODES
from workbench.checks.finding import Finding, Severity
from workbench.checks.fitting import misfit_of, suited_loss, with_innermost
from workbench.checks.reading import Progress, Texts
from workbench.data.examples import Examples, cut_text
from workbench.data.load import load
from workbench.data.prepare import fit, label_kind, prepare, settled
from workbench.errors import DataError, WorkbenchError
from workbench.recipe import Loss, Recipe, prompt_of
from workbench.steps import batched_rows, steps_per_epoch, total_steps


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
        evidence: Mapping[str, Any],
        why: Any = "",  # a sentence; a type checker would take every unpacked change for it
        fixed: str = "",
        mends: Any = True,
        **changes: Any,
    ) -> Finding:
        """A finding on this recipe.

        `why` is what the code declares, unless it is given. Evidence that does not say what it was measured on was
        measured on all rows. Where nothing `mends` it, `fixed` and the changes are left out.
        """
        if not mends:
            fixed, changes = "", {}
        why = str(why or CODES[code].why)
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
        return self._texts(self.train)

    @cached_property
    def evaluation_texts(self) -> Texts:
        """The texts that are only scored."""
        assert self.evaluation is not None
        return self._texts(self.evaluation, " of the evaluation")

    def _texts(self, examples: Examples, of: str = "") -> Texts:
        prompts = settled(self.recipe, self.train).prompts
        trained = dict(zip(examples.used, examples.to_training().column_names, strict=True))
        given = {name: prompt for name in examples.texts if (prompt := prompt_of(prompts, trained[name]))}
        return reading.read(examples, self.base, given, self.tell, of)

    @property
    def lengths(self) -> dict[str, np.ndarray]:
        """Column -> tokens of each text before truncation (int64, shape (rows,)), prompt included."""
        return dict(zip(self.texts.columns, self.texts.tokens.T, strict=True))

    # the model

    @cached_property
    def model(self) -> ModelInfo:
        """What is known of the base model."""
        name, revision = self.recipe.model, self.recipe.revision
        here = hub.on_this_machine(models.full_name(name), revision)
        return models.describe(name, revision=revision if here else None)

    @cached_property
    def base(self) -> str:
        """Where its files are read from."""
        return models.at_revision(self.recipe.model, self.recipe.revision)

    @cached_property
    def static(self) -> bool:
        """The model is a table of word vectors."""
        assert self.model.path is not None
        return any(str(part.get("type", "")).endswith(".StaticEmbedding") for part in weights.modules(self.model.path))

    @cached_property
    def stored(self) -> tensors.Stored:
        """The weights as they lie on disk."""
        assert self.model.path is not None
        self.tell("looking at the weights", 0, None)
        return tensors.look(self.model.path)

    @property
    def limit(self) -> int | None:
        """Tokens at which texts are cut, None for never."""
        return self.model.max_seq_length and (self.recipe.max_seq_length or self.model.max_seq_length)

    @cached_property
    def habits(self) -> weights.Habits:
        """How the model says that it is used."""
        assert self.model.path is not None
        return weights.habits(self.model.path)

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

    def with_parameters(self, **parameters: Any) -> Loss:
        """The recipe's loss with some parameters of its innermost changed."""
        return self.with_loss(self.loss.name, **{**self.loss.parameters, **parameters})

    # the course of the run

    @cached_property
    def batched_rows(self) -> int:
        """Rows that an epoch puts into batches: fewer than there are where group_by_label leaves some out."""
        return batched_rows(self.recipe, self.train.to_training())

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch, at least 1."""
        return steps_per_epoch(self.recipe, self.batched_rows)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return total_steps(self.recipe, self.batched_rows)


def without_column(case: Case, name: str) -> dict[str, Any]:
    """The change that ignores a column; empty where the loss does not do without it."""
    try:
        fit(case.recipe.loss, case.train.with_roles({name: "ignore"}))
    except WorkbenchError:
        return {}
    return {"data": case.recipe.data.model_copy(update={"columns": {**case.train.used, name: "ignore"}})}


def percent(share: float) -> str:
    """A share for a sentence."""
    if 0 < share < 0.0005:
        return "less than 0.1%"
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def listed(positions: list[int] | np.ndarray, most: int = 5) -> str:
    """Row numbers, counted from 1, the first few."""
    shown = ", ".join(f"{int(at) + 1:,}" for at in positions[:most])
    return f"{shown}, …" if len(positions) > most else shown
