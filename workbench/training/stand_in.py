"""A model that looks vectors of a frozen base model up by text and maps them linearly: what an adapter is trained in.

The library's losses and trainer take it for a SentenceTransformer. It imports torch: only processes of their own import it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, InputModule, Normalize

from workbench.catalog import models, weights
from workbench.data.examples import Examples
from workbench.recipe import Recipe, prompt_of
from workbench.spaces.encode import Progress, Space, embed
from workbench.spaces.engine import stamp_of
from workbench.spaces.evaluate import Evaluation, evaluate

ADAPTER = "adapter"  # name of its module in the whole model, where there is none already


class Frozen:
    """Vectors of a frozen base model by text; each is encoded once, and kept on disk as all vectors are.

    Args:
        model: name, folder, or a loaded model.
        batch_size: texts of one forward pass.
        device: torch device; None lets the library choose.

    Attributes:
        table: float32, shape (texts, d).
        scores: of the base model, by what they were taken on.
    """

    def __init__(self, model: Any, batch_size: int, device: str | None) -> None:
        self._model, self._batch_size, self._device = model, batch_size, device
        self._places: dict[tuple[str, str], int] = {}
        self.scores: dict[tuple[Any, ...], Evaluation] = {}
        self.table = torch.zeros((0, 0))
        self.name = self.fingerprint = ""

    def rows(self, texts: Sequence[str], prompt: str = "", progress: Progress | None = None) -> list[int]:
        """Rows of the table for texts after a prompt; those that are missing are encoded first."""
        if new := [text for text in dict.fromkeys(texts) if (prompt, text) not in self._places]:
            most, device = self._batch_size, self._device
            space = embed(new, self._model, prompt=prompt, batch_size=most, device=device, progress=progress)
            self.name, self.fingerprint = space.model, space.model_fingerprint
            self._places.update({(prompt, text): len(self._places) + place for place, text in enumerate(new)})
            made = torch.from_numpy(np.array(space.vectors, dtype=np.float32))
            self.table = torch.cat([self.table, made]) if len(self.table) else made
        return [self._places[prompt, text] for text in texts]

    def __len__(self) -> int:
        return len(self._places)

    def __deepcopy__(self, memo: Any) -> Frozen:
        """A loss that trains a second copy of the model shares what is frozen."""
        return self


class Lookup(InputModule):
    """The first module: texts to rows of the table, rows to vectors."""

    def __init__(self, frozen: Frozen) -> None:
        super().__init__()
        self.frozen = frozen

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> dict[str, torch.Tensor]:
        """Row numbers in the place of tokens, one a text, so that losses can cut and join batches."""
        rows = torch.tensor(self.frozen.rows(inputs, prompt or "")).unsqueeze(1)
        return {"input_ids": rows, "attention_mask": torch.ones_like(rows)}

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Put in the vectors of the base model."""
        rows = features["input_ids"][:, 0]
        features["sentence_embedding"] = self.frozen.table[rows.cpu()].to(rows.device)
        return features

    def save(self, output_path: str, *rest: Any, **options: Any) -> None:
        """What is frozen is not kept: the base model is."""


class StandIn(SentenceTransformer):
    """Base vectors, a square linear map without bias that begins as the identity, and length 1 where the base has it.

    For vectors of length 1 it does not matter that they were normalised before the map already: the map has no bias,
    so their length goes through it and is taken away after it.

    Args:
        frozen: vectors of the base model, at least one.
        normalizes: the base model ends in vectors of length 1.
        habits: of the base model, whose default prompt and cut count except in training.
        device: torch device.
    """

    def __init__(self, frozen: Frozen, *, normalizes: bool, habits: weights.Habits, device: str) -> None:
        size = frozen.table.shape[1]
        adapter = Dense(size, size, bias=False, activation_function=torch.nn.Identity(), init_weight=torch.eye(size))
        super().__init__(
            modules=[Lookup(frozen), adapter, *([Normalize()] if normalizes else [])],
            device=device,
            truncate_dim=habits.truncate_dim,
        )
        self._default_prompt = habits.default_prompt

    @property
    def adapter(self) -> Dense:
        """The map."""
        return cast(Dense, self[1])

    @property
    def frozen(self) -> Frozen:
        """Vectors of the base model."""
        return cast(Frozen, self[0].frozen)

    @torch.no_grad()
    def space(self, texts: Sequence[str], *, prompt: str = "") -> Space:
        """As `embed` with this model, without leaving a file behind for every step that somebody looks at."""
        training = self.training
        self.eval()
        before = prompt or self._default_prompt
        features = {key: value.to(self.device) for key, value in self.preprocess(list(texts), prompt=before).items()}
        vectors = self(features)["sentence_embedding"][:, : self.truncate_dim].float().cpu().numpy()
        self.train(training)
        base = self.frozen
        weight = self.adapter.linear.weight.detach().cpu()
        if torch.equal(weight, torch.eye(len(weight))):
            return Space(tuple(texts), vectors, base.name, base.fingerprint, prompt)
        made = hashlib.sha256(base.fingerprint.encode() + weight.numpy().tobytes()).hexdigest()[:16]
        return Space(tuple(texts), vectors, f"{base.name} with an adapter", made, prompt)

    def scored(self, table: Examples, prompts: Any, resamples: int) -> Evaluation:
        """Scores of the base model on a table, taken once; only before the map is trained."""
        kept, what = self.frozen.scores, (table.fingerprint, repr(prompts), resamples)
        if what not in kept:
            kept[what] = evaluate(self, table, prompts=prompts, resamples=resamples)
        return kept[what]

    def save_pretrained(self, path: str, *rest: Any, **options: Any) -> None:
        """Keep the map alone, for a checkpoint: the base model is frozen."""
        Path(path).mkdir(parents=True, exist_ok=True)
        self.adapter.save(path)

    def restore(self, path: str) -> None:
        """Take the map of a checkpoint."""
        self.adapter.load_state_dict(Dense.load(path).state_dict())

    def put_into(self, base: SentenceTransformer) -> SentenceTransformer:
        """The base model with the map in it, before it normalises; only the map counts as trained."""
        base.requires_grad_(False)
        last = base._modules.popitem() if isinstance(base[-1], Normalize) else None
        base.add_module(f"{ADAPTER}_{len(base)}" if ADAPTER in base._modules else ADAPTER, self.adapter)
        if last is not None:
            base.add_module(*last)
        base.model_card_data = self.model_card_data
        base.model_card_data.register_model(base)
        return base


def stand_in(
    recipe: Recipe,
    tables: Iterable[Examples | None],
    device: str,
    encoder: str | None,
    progress: Progress | None = None,
) -> StandIn:
    """The stand-in for a recipe's base model, with all texts of the tables encoded.

    Args:
        recipe: with prompts by the names that training uses.
        tables: training and evaluation rows.
        device: torch device of the map.
        encoder: torch device that encodes; None lets the library choose.
        progress: called with (texts done, texts to do) while texts are encoded.
    """
    frozen = _frozen(
        recipe.model, recipe.revision, recipe.max_seq_length, stamp_of(recipe.model), recipe.eval_batch_size, encoder
    )
    texts: dict[str, list[str]] = {}  # by prompt
    for rows in (table.to_training() for table in tables if table is not None):
        for name in rows.column_names:
            if name not in ("label", "score"):
                texts.setdefault(prompt_of(recipe.prompts, name), []).extend(rows[name])
    for prompt, its in texts.items():
        frozen.rows(its, prompt, progress)
    base = models.find(recipe.model, revision=recipe.revision).path
    kinds = [str(part.get("type")) for part in weights.modules(base)]
    normalizes = bool(kinds) and kinds[-1].endswith(".Normalize")
    return StandIn(frozen, normalizes=normalizes, habits=weights.habits(base), device=device)


@lru_cache(maxsize=2)
def _frozen(
    name: str, revision: str | None, limit: int | None, stamp: int, batch_size: int, device: str | None
) -> Frozen:
    """By name where that says all, so that other panels' vectors serve; else loaded, with its limit set."""
    habits = weights.habits(models.find(name, revision=revision).path)
    if revision is None and limit is None and not habits.default_prompt and habits.truncate_dim is None:
        return Frozen(name, batch_size, device)
    model = models.load(name, revision=revision, device=device, max_seq_length=limit)
    model.default_prompt_name = None  # in training nothing stands before a text but what the recipe says
    model.truncate_dim = None  # and vectors are whole
    return Frozen(model, batch_size, device)
