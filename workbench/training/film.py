"""Keeps the film of a run from inside its worker, and reads it again: vectors of the same texts at moments of the training.

Where scores are taken, the vectors of the film's texts are among theirs and cost nothing more; between them the texts
are looked at. A look changes nothing of the training: no dropout, no gradient, and the random numbers stay what they
were. The plan is `film_plan`; the clock can only leave looks out.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import RunError, no_memory
from workbench.recipe import Recipe, prompt_of
from workbench.spaces.encode import Space, embed, short_name
from workbench.spaces.encoding import encoded
from workbench.spaces.film import Film, Moment, cost_of
from workbench.steps import steps_of
from workbench.training import records
from workbench.training.film_plan import KEPT, LIMIT, SHARE, chosen, moments, settled
from workbench.training.folder import RunFolder
from workbench.training.health import without_a_trace
from workbench.training.records import EventWriter

if TYPE_CHECKING:
    from workbench.data.examples import Examples


class Hearing:
    """A model for `evaluate`, which scores vectors that a film hears of.

    Args:
        model: what is scored.
        film: the film.
    """

    def __init__(self, model: Any, film: Filming) -> None:
        self._model, self._film = model, film

    def space(self, texts: Sequence[str], *, prompt: str = "") -> Space:
        """The vectors that scores are taken from without a film."""
        own = hasattr(self._model, "space")
        most = self._film.recipe.eval_batch_size
        made: Space = (
            self._model.space(texts, prompt=prompt)
            if own
            else embed(texts, self._model, prompt=prompt, batch_size=most)
        )
        self._film.hear(made)
        return made


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
        taken: steps of the frames that were taken; heard_of: how many of them came with the scores.
        seconds: what the film has taken, the choice of the texts included; the scores are taken anyway.
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
        looks = [float(event["seconds"]) for event in frames if not event.get("scored")]
        self.heard_of, self.cost = len(frames) - len(looks), looks[-1] if looks else 0.0
        self.why = "" if recipe.film_frames else "the recipe says film_frames: 0"
        self._kept: dict[str, Any] | None = None
        self._prompts: list[str] = []
        self._places: dict[tuple[str, str], int] = {}
        self._heard: list[tuple[np.ndarray, np.ndarray]] = []
        self._began_s = 0.0  # of the next frame, up to now
        self._due: set[int] = set()
        self._total, self._scored = 1, False

    @property
    def texts(self) -> tuple[str, ...]:
        """What is filmed."""
        return () if self._kept is None else tuple(self._kept["texts"])

    def hearing(self, model: Any) -> Any:
        """The model as scores are to be taken of it, so that their vectors are a frame where one is due."""
        if self.why:
            return model
        self._choose()
        self._heard = []
        return Hearing(model, self)

    def hear(self, space: Space) -> None:
        """Keep the vectors of the film's texts, those under the same prompt only."""
        began = self.clock()
        known = ((self._places.get((space.prompt, text)), row) for row, text in enumerate(space.texts))
        found = {place: row for place, row in known if place is not None}
        if found:
            self._heard.append((np.array([*found]), np.asarray(space.vectors[[*found.values()]])))
        self._began_s += self.clock() - began

    def begin(self, model: Any, step: int, total: int) -> None:
        """Settle the texts and take the base model; a resumed run takes up what it had chosen.

        Args:
            model: the model that is trained, before step `step` + 1.
            step: optimizer steps done.
            total: optimizer steps of the run.
        """
        if step and not self.taken:
            self.why = self.why or "it went on without a look at its base model"
        if self.why:
            return
        self._choose()
        heard, began, self._total = self._heard_all(), self.clock(), total
        self._scored = heard is not None
        every = steps_of(self.recipe.eval_steps, total) if self._scored else total
        scored = [0, *range(every, total, every), total]
        assert self._kept is not None
        if not self._kept["looks"]:
            free = len(scored) if self._scored else 0
            self._set(settled(self._kept, self.recipe, model, self.train, total, free))
            self._keep("texts.json", json.dumps(self._kept).encode())
        for path in self.folder.film.glob("step-*.npy"):
            if int(path.stem.removeprefix("step-")) not in self.taken:  # of steps that will be done again
                path.unlink(missing_ok=True)
        self.why = self.why or self._kept["why"]
        if self.why:
            return
        self._due = moments(total, self._kept["looks"], scored) - {0, total}
        self._began_s += self.clock() - began
        if not self.taken:
            self._frame(model, step, 0.0, None if heard is None else heard[: len(self.texts)])

    def after_step(self, model: Any, step: int, epoch: float, trained_s: float) -> None:
        """Take a frame if one is due: of the scores of this step, else by a look if there is time for it.

        Args:
            model: the model after the step.
            step: optimizer steps done.
            epoch: passes over the data done.
            trained_s: seconds in training steps so far.
        """
        heard = self._heard_all()
        if not self.why and step in self._due and (heard is not None or self._pays(step, trained_s)):
            self._frame(model, step, epoch, heard)

    def end(self, model: Any, step: int, epoch: float, trained_s: float) -> None:
        """The last frame, however the run ended, after its scores were taken; see `after_step`."""
        heard = self._heard_all()
        if not self.taken or self.why or step in self.taken:
            return
        if heard is not None or self.seconds + self.cost <= LIMIT * trained_s:
            self._frame(model, step, epoch, heard)

    def told(self, trained_s: float) -> str:
        """What the film took, in words, for the card; empty where the recipe asked for none."""
        if not self.recipe.film_frames:
            return ""
        if not self.taken:
            return f"none: {self.why or 'the run ended before its first look'}"
        return cost_of(len(self.taken), len(self.texts), self.seconds, trained_s, self.heard_of)

    def _choose(self) -> None:
        if self._kept is None:
            began = self.clock()
            self._set((_read_texts(self.folder) if self.taken else None) or chosen(self.recipe, self.train, self.table))
            self._began_s += self.clock() - began

    def _set(self, kept: dict[str, Any]) -> None:
        self._kept = kept
        self._prompts = [prompt_of(self.recipe.prompts, name) for name in kept["columns"]]
        self._places = {key: place for place, key in enumerate(zip(self._prompts, kept["texts"], strict=True))}

    def _heard_all(self) -> np.ndarray | None:
        """Vectors of all texts, as the last scores were taken of them, once; None where there were none."""
        heard, self._heard = self._heard, []
        if not heard or sum(len(places) for places, _ in heard) != len(self._places):
            return None
        vectors = np.concatenate([part for _, part in heard])
        return vectors[np.argsort(np.concatenate([places for places, _ in heard]))]

    def _pays(self, step: int, trained_s: float) -> bool:
        """There is time for a look now; for the last one too, where that does not come with the scores."""
        if self._scored:
            return self.seconds + self.cost <= LIMIT * trained_s
        return self.seconds + 2 * self.cost <= SHARE * trained_s * self._total / step

    def _frame(self, model: Any, step: int, epoch: float, heard: np.ndarray | None) -> None:
        began = self.clock()
        try:
            made = _looked(model, self.texts, self._prompts, self.recipe.eval_batch_size) if heard is None else heard
        except (MemoryError, RuntimeError) as error:  # a film is not worth a run
            if not no_memory(error):
                raise
            self.why = "its texts did not fit into memory beside the training"
            return
        vectors = Space(self.texts, made, "", "").unit.astype(np.float16)
        buffer = io.BytesIO()
        np.save(buffer, vectors)
        self._keep(_frame(step), buffer.getvalue())
        took = self.clock() - began
        seconds, self._began_s = self._began_s + took, 0.0
        self.seconds += seconds
        if heard is None:
            self.cost = took
        if not self.why:
            self.taken.append(step)
            self.heard_of += heard is not None
            told = {"texts": len(vectors), "seconds": seconds, "scored": heard is not None}
            self.events.write("frame", step=step, epoch=round(epoch, 4), **told)

    def _keep(self, name: str, content: bytes) -> None:
        """Write a file of the film. A film is not worth a run: where there is no room it just ends.

        Nobody waits for the disk: what a power cut tears is left out of the film.
        """
        try:
            self.folder.film.mkdir(exist_ok=True)
            (self.folder.film / name).write_bytes(content)
        except OSError as error:
            self.why = f"its files could not be written ({error.strerror})"


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
            Moment(event["step"], float(event.get("epoch") or 0), float(event["seconds"]), bool(event.get("scored")))
            for event, _ in good
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


def _looked(model: Any, texts: Sequence[str], prompts: Sequence[str], most: int) -> np.ndarray:
    """Vectors as scores are taken of them, without a trace in the training: float32, shape (n, d)."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    with without_a_trace(model):
        for prompt in dict.fromkeys(prompts):
            rows = np.flatnonzero([its == prompt for its in prompts])
            if hasattr(model, "space"):
                parts.append((rows, model.space([texts[row] for row in rows.tolist()], prompt=prompt).vectors))
            else:
                parts += encoded(model, list(texts), rows, prompt=prompt, most=most)
    vectors = np.concatenate([part for _, part in parts])
    return np.asarray(vectors[np.argsort(np.concatenate([rows for rows, _ in parts]))], dtype=np.float32)
