"""Keeps the film of a run from inside its worker, and reads it again: vectors of the same texts at moments of the training.

A look changes nothing of the training: no dropout, no gradient, and the random numbers stay what they were. How many
texts and looks there are follows from numbers of tokens, so that the same recipe gives the same film; the clock can
only leave looks out.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.data.distinct import colour_choices, labels_of
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.spaces.encode import Space, short_name
from workbench.spaces.film import Film, Moment, cost_of
from workbench.steps import batched_rows, steps_per_epoch
from workbench.training import records
from workbench.training.folder import RunFolder
from workbench.training.health import looked_at
from workbench.training.records import EventWriter

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# Of the time in training steps, for the whole film. Five per cent are promised: a run may be shorter than its forecast
SHARE = 0.045
# What a token costs in training at least, in tokens of a look: one pass forward and one backward that is twice as long
COST = 3.0
TEXTS_UP_TO = 2000
FEWEST = 8
# Where time is short there are so many texts for each look, so that both become fewer
TEXTS_A_LOOK = 3
BATCH = 32
SAMPLED = 64  # training rows whose tokens are counted
KEPT = ("texts", "columns", "rows", "labels", "by", "of", "distinct", "looks", "why")


class Filming:
    """Takes the frames of one run.

    Args:
        recipe: what is run.
        folder: where frames are kept.
        train, evaluation: the tables; the texts are from the second where there is one.
        events: where each frame is told of.
        before: what was recorded before a resume.
        clock: seconds from any beginning.

    Attributes:
        seconds: what all looks have taken, the choice of the texts included.
        why: why there is no film or it goes on no more; empty otherwise.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        train: Examples,
        evaluation: Examples | None,
        events: EventWriter,
        before: Sequence[Mapping[str, Any]] = (),
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.recipe, self.folder, self.events, self.clock = recipe, folder, events, clock
        self.train, self.table = train, evaluation if evaluation is not None else train
        frames = [event for event in before if event["kind"] == "frame"]
        self.taken = [int(event["step"]) for event in frames]
        self.seconds = float(sum(event["seconds"] for event in frames))
        self.cost = float(frames[-1]["seconds"]) if frames else 0.0
        self.why = "" if recipe.film_frames else "the recipe says film_frames: 0"
        self.texts: tuple[str, ...] = ()
        self._due: set[int] = set()
        self._total = 1
        self._batches: list[tuple[np.ndarray, Any]] = []

    def begin(self, model: Any, step: int, total: int) -> None:
        """Choose the texts and look at the base model; a resumed run takes up what it had chosen.

        Args:
            model: the model that is trained, before step `step` + 1.
            step: optimizer steps done.
            total: optimizer steps of the run.
        """
        if step and not self.taken:
            self.why = self.why or "it went on without a look at its base model"
        if self.why:
            return
        began = self.clock()
        self._total = total
        kept = _read_texts(self.folder) if self.taken else None
        if kept is None:
            kept = chosen(self.recipe, model, self.train, self.table, total)
            self._keep("texts.json", json.dumps(kept).encode())
        for path in self.folder.film.glob("step-*.npy"):
            if int(path.stem.removeprefix("step-")) not in self.taken:  # of steps that will be done again
                path.unlink(missing_ok=True)
        self.why = self.why or kept["why"]
        self.texts, looks = tuple(kept["texts"]), kept["looks"]
        if self.why:
            return
        self._due = {round(total * number / (looks - 1)) for number in range(1, looks - 1)} - {0, total}
        self._batches = _batches(model, self.texts, _prompts(self.recipe, kept["columns"]))
        if not self.taken:
            self._look(model, step, 0.0, began)

    def after_step(self, model: Any, step: int, epoch: float, trained_s: float) -> None:
        """Look at the texts if it is time and there is time: this look and the last must fit into their share.

        Args:
            model: the model after the step.
            step: optimizer steps done.
            epoch: passes over the data done.
            trained_s: seconds in training steps so far.
        """
        if self.why or step not in self._due:
            return
        forecast = trained_s * self._total / step
        if self.seconds + 2 * self.cost <= SHARE * forecast:
            self._look(model, step, epoch)

    def end(self, model: Any, step: int, epoch: float) -> None:
        """The last look, however the run ended."""
        if self.texts and not self.why and step not in self.taken:
            self._look(model, step, epoch)

    def told(self, trained_s: float) -> str:
        """What the film took, in words, for the card; empty where the recipe asked for none."""
        if not self.recipe.film_frames:
            return ""
        if not self.taken:
            return f"none: {self.why or 'the run ended before its first look'}"
        return cost_of(len(self.taken), len(self.texts), self.seconds, trained_s)

    def _look(self, model: Any, step: int, epoch: float, began: float | None = None) -> None:
        began = self.clock() if began is None else began
        vectors = Space(self.texts, _encoded(model, self._batches, len(self.texts)), "", "").unit.astype(np.float16)
        buffer = io.BytesIO()
        np.save(buffer, vectors)
        self._keep(_frame(step), buffer.getvalue())
        self.cost = self.clock() - began
        self.seconds += self.cost
        if not self.why:
            self.taken.append(step)
            self.events.write("frame", step=step, epoch=round(epoch, 4), texts=len(vectors), seconds=self.cost)

    def _keep(self, name: str, content: bytes) -> None:
        """Write a file of the film. A film is not worth a run: where there is no room it just ends."""
        try:
            files.replace_bytes(self.folder.film / name, content)
        except OSError as error:
            self.why = f"its files could not be written ({error.strerror})"


def chosen(recipe: Recipe, model: Any, train: Examples, table: Examples, total: int) -> dict[str, Any]:
    """The texts of a film and how many looks at them there are, as plain values.

    Up to 2,000 distinct texts are drawn from a table by the recipe's seed, all texts of a row together; then as many
    are kept as the time allows.

    Args:
        recipe: what is run.
        model: the model, for its tokenizer.
        train: the rows that it is trained on.
        table: the rows that the texts are from.
        total: optimizer steps of the run.
    """
    order = np.random.default_rng(recipe.seed).permutation(len(table))
    part = table.select(order[:TEXTS_UP_TO])
    found: dict[str, tuple[str, int]] = {}
    names = part.to_training().column_names
    for row, values in zip(order.tolist(), zip(*(part.column(name) for name in part.texts), strict=True), strict=False):
        for name, text in zip(names, values, strict=False):
            found.setdefault(text, (name, row))
    texts = list(found)[:TEXTS_UP_TO]
    rows = batched_rows(recipe, train.to_training())
    sampled = np.random.default_rng(recipe.seed).permutation(len(train))[:SAMPLED]
    columns = [train.select(sampled).column(name) for name in train.texts]
    a_row = sum(int(_tokens(model, column).sum()) for column in columns) / len(sampled)
    allowance = SHARE * COST * a_row * rows * total / steps_per_epoch(recipe, rows)
    # of long texts only so many are counted as two looks could pay for
    few = _tokens(model, texts[:SAMPLED])
    counted = texts[: max(SAMPLED, int(allowance / 1.5 / few.mean()))]
    count, looks = planned(_tokens(model, counted), allowance, recipe.film_frames)
    by = next(iter(colour_choices(part)), None)
    labels = None if by is None or not count else labels_of(part, texts[:count], by)
    why = "" if count else f"it is too short: 5% of its time does not pay for two looks at {FEWEST} texts"
    its = [found[text] for text in texts[:count]]
    of = f"the {'training' if table is train else 'evaluation'} rows of {table.name}"
    held = (texts[:count], [name for name, _ in its], [row for _, row in its], labels, by or "", of)
    return dict(zip(KEPT, (*held, len(found), looks, why), strict=True))


def planned(tokens: np.ndarray, allowance: float, frames: int) -> tuple[int, int]:
    """How many texts and looks a film has; (0, 0) where there is no time for two looks at a few texts.

    Args:
        tokens: of each text, int64, shape (n,), in the order in which they are taken; n > 0.
        allowance: tokens that may be looked at in all looks together.
        frames: looks at most after the one at the base model.

    Returns:
        (texts, looks): at least two looks. Where time is short, both become fewer.
    """
    whole = int(tokens.sum())
    looks = max(2, int((allowance / max(tokens.mean(), 1) / TEXTS_A_LOOK) ** 0.5), int(allowance // max(whole, 1)))
    looks = min(frames + 1, looks)
    count = int(np.searchsorted(np.cumsum(tokens), allowance / looks, side="right"))
    return (count, looks) if count >= min(FEWEST, len(tokens)) else (0, 0)


def read_film(folder: RunFolder) -> Film:
    """The film of a run as far as it was taken. Frames whose file is missing or torn are left out.

    Raises:
        RunError: there is none, with the reason.
    """
    recipe, kept = records.read_run_recipe(folder), _read_texts(folder)
    events, _ = records.read_events(folder.events)
    frames = {event["step"]: event for event in events if event["kind"] == "frame"}
    found = [(event, _read_frame(folder, step, kept)) for step, event in sorted(frames.items())] if kept else []
    good = [(event, vectors) for event, vectors in found if vectors is not None]
    good = [(event, vectors) for event, vectors in good if vectors.shape == good[0][1].shape]
    if kept is None or not good:
        why = "the recipe says film_frames: 0" if not recipe.film_frames else (kept or {}).get("why")
        raise RunError(
            f"expected the film of {folder.path.name}, but {why or 'no frame of it has been kept'}; "
            "the first is taken before the first step of a run with film_frames: 20"
        )
    steps = [event for event in events if event["kind"] == "step"]
    return Film(
        name=folder.path.name,
        model=short_name(Path(recipe.model)),
        texts=tuple(kept["texts"]),
        vectors=np.stack([vectors for _, vectors in good]),
        moments=tuple(
            Moment(event["step"], float(event.get("epoch") or 0), float(event["seconds"])) for event, _ in good
        ),
        steps=tuple(event["step"] for event in steps),
        losses=tuple(event.get("loss") for event in steps),
        trained_s=float(next((event.get("seconds") or 0 for event in reversed(steps)), 0)),
        of=kept["of"],
        distinct=kept["distinct"],
        seed=recipe.seed,
        columns=tuple(kept["columns"]),
        rows=tuple(kept["rows"]),
        labels=None if kept["labels"] is None else tuple(kept["labels"]),
        by=kept["by"],
    )


def _frame(step: int) -> str:
    return f"step-{step}.npy"


def _read_texts(folder: RunFolder) -> dict[str, Any] | None:
    """What was chosen; None where the file is missing or torn."""
    try:
        kept = json.loads((folder.film / "texts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or not kept.keys() >= set(KEPT):
        return None
    lists = [kept[name] for name in ("texts", "columns", "rows", *(["labels"] if kept["labels"] is not None else []))]
    alike = all(isinstance(part, list) and len(part) == len(kept["texts"]) for part in lists)
    return kept if alike and all(isinstance(text, str) for text in kept["texts"]) else None


def _read_frame(folder: RunFolder, step: int, kept: Mapping[str, Any]) -> np.ndarray | None:
    """float16, shape (n, d); None where the file is missing, torn or of other texts."""
    try:
        vectors: np.ndarray = np.load(folder.film / _frame(step), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.dtype == np.float16 and vectors.ndim == 2 and len(vectors) == len(kept["texts"]) else None


def _prompts(recipe: Recipe, columns: Sequence[str]) -> list[str]:
    """What is put before each text, by its column."""
    prompts = recipe.prompts or ""
    return [prompts if isinstance(prompts, str) else prompts.get(name, "") for name in columns]


def _tokens(model: Any, texts: Sequence[str]) -> np.ndarray:
    """Tokens of each text as the model takes them, cut at its limit: int64, shape (n,), at least 1 each."""
    counts = [_lengths(model, list(texts[at : at + 256])) for at in range(0, len(texts), 256)]
    return np.maximum(np.concatenate(counts), 1)


def _lengths(model: Any, texts: list[str]) -> np.ndarray:
    features = model.preprocess(texts)
    mask, offsets = features.get("attention_mask"), features.get("offsets")
    if mask is not None and len(mask) == len(texts):
        return np.asarray(mask.sum(dim=1).cpu().numpy(), dtype=np.int64)
    if offsets is not None:  # a static model gets the tokens of all texts in one line, and where each text begins
        return np.diff(np.append(offsets.cpu().numpy(), len(features["input_ids"]))).astype(np.int64)
    return np.ones(len(texts), dtype=np.int64)  # where tokens are not told, texts are what is counted


def _batches(model: Any, texts: Sequence[str], prompts: Sequence[str]) -> list[tuple[np.ndarray, Any]]:
    """(numbers of the texts, what the model takes of them), each of one prompt and of like length."""
    lengths = _tokens(model, texts)
    made = []
    for prompt in dict.fromkeys(prompts):
        rows = [row for row in np.argsort(-lengths, kind="stable") if prompts[row] == prompt]
        for at in range(0, len(rows), BATCH):
            its = np.array(rows[at : at + BATCH])
            made.append((its, model.preprocess([texts[row] for row in its], prompt=prompt or None)))
    return made


def _encoded(model: Any, batches: Sequence[tuple[np.ndarray, Any]], count: int) -> np.ndarray:
    """Vectors as the model gives them, float32, shape (count, d)."""
    found = looked_at(model, [features for _, features in batches])
    vectors = np.zeros((count, found.shape[1]), dtype=np.float32)
    vectors[np.concatenate([rows for rows, _ in batches])] = found
    return vectors
