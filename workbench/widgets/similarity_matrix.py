"""Type sentences, one a row; their similarities under a base and a tuned model follow while you type."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import traitlets as t

from workbench.errors import DataError, RecipeError
from workbench.recipe import DEFAULT_MODEL
from workbench.spaces.encode import Space
from workbench.spaces.engine import Vectors, engine
from workbench.spaces.similarity import Similarity, similarity
from workbench.spaces.stages import model_source
from workbench.widgets.code import model_code
from workbench.widgets.given import Given
from workbench.widgets.matrices import Matrices, content_of, short_name, still
from workbench.widgets.panel import Panel

if TYPE_CHECKING:
    import pandas

SHOWN = 30
MANY = 8
# four subjects, two sentences each: some say the same in other words, some say another thing in the same words
EXAMPLES = (
    "Dropout switches random units off while a network trains.",
    "Disabling some neurons by chance during training prevents overfitting.",
    "A learning rate that is too high makes the loss diverge.",
    "With too large a step size, training becomes unstable.",
    "Recall is the share of relevant documents that were found.",
    "Precision is the share of found documents that are relevant.",
    "Each token attends to all other tokens of the sequence.",
    "A transformer mixes the words of a sentence by self-attention.",
)


class SimilarityMatrix(Panel):
    """Cosine similarity of typed sentences: base model, tuned model, and their difference.

    Args:
        texts: sentences to begin with.
        base: a model name, a folder, or a run.
        tuned: another one to show beside it, or None.
        pause_ms: how long nothing has to be typed before the numbers follow.

    Attributes:
        texts: the sentences, without empty ones. The first 30 are compared.
        base: name or folder of the base model.
        tuned: name or folder of the tuned model; empty for none.
        before: similarities under the base model as shown, None before there are any and after a failure.
        after: the same under the tuned model.

    Raises:
        DataError: `texts` are no list of texts.
        ModelError: `base` or `tuned` is no name, no folder and no run.
        RecipeError: `pause_ms` is no time.
    """

    texts = Given(())
    base = Given(DEFAULT_MODEL)
    tuned = Given("")
    before = t.Instance(Similarity, allow_none=True, read_only=True)
    after = t.Instance(Similarity, allow_none=True, read_only=True)

    def __init__(
        self,
        texts: Iterable[str] = EXAMPLES,
        base: str | Path | Any = DEFAULT_MODEL,
        tuned: str | Path | Any | None = None,
        *,
        pause_ms: int = 300,
    ) -> None:
        super().__init__()
        if not isinstance(pause_ms, int | float) or not 0 <= pause_ms <= 10_000:
            raise RecipeError(f"expected a pause of 0 to 10000 milliseconds, got {pause_ms!r}; 300 is usual")
        self._pause_s = pause_ms / 1000
        self._timer: threading.Timer | None = None
        self._awake = self._queued = False
        self._asked = 0
        self._vectors = Vectors()
        self._loaded: set[tuple[int | None, str]] = set()
        self.set_trait("texts", texts)
        self.set_trait("base", base)
        self.set_trait("tuned", tuned)
        self._build()
        self.observe(self._set, ("texts", "base", "tuned"))
        self._show(self._models, self._sentences, self._matrices)

    def _build(self) -> None:
        wide = {"description_width": "initial"}
        self._sentences = W.Textarea(
            "\n".join(self.texts), description="Sentences, one a row", rows=10, style=wide, continuous_update=True
        )
        self._sentences.add_class("wb-sentences")
        half = W.Layout(flex="1 1 320px", width="auto", margin="2px 12px 2px 2px")
        self._base = W.Text(self.base, description="Base model", style=wide, layout=half, continuous_update=False)
        self._tuned = W.Text(
            self.tuned,
            description="Tuned model",
            placeholder="name, folder or run folder; empty for none",
            style=wide,
            layout=half,
            continuous_update=False,
        )
        self._models = W.HBox([self._base, self._tuned], layout=W.Layout(flex_flow="row wrap"))
        self._matrices = Matrices(content=self._empty())
        self._sentences.observe(self._typed, "value")
        self._base.observe(lambda change: self._picked("base", change["new"]), "value")
        self._tuned.observe(lambda change: self._picked("tuned", change["new"]), "value")
        self._matrices.observe(lambda _: self.compute(), "seen")

    # what can be done

    def compute(self) -> None:
        """Compare the sentences now, in the background; from then on the numbers follow every change."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._awake = None, True
            self._asked += 1
            if self._queued:
                return
            self._queued = True
        self._later(self._compare)

    @property
    def difference(self) -> pandas.DataFrame | None:
        """Similarity under the tuned model minus that under the base; None while there is only one of them."""
        if self.before is None or self.after is None:
            return None
        return self.after.to_frame() - self.before.matrix

    def settle(self, timeout_s: float | None = None) -> None:
        """As every panel, without waiting for the pause."""
        if self._timer is not None:
            self.compute()
        super().settle(timeout_s)

    def close(self) -> None:
        """Close the panel; what waits for the pause is dropped."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        super().close()

    # controls and traits

    @t.validate("texts")
    def _check_texts(self, proposal: Any) -> tuple[str, ...]:
        return _checked(proposal["value"])

    @t.validate("base", "tuned")
    def _check_model(self, proposal: Any) -> str:
        value = proposal["value"]
        if proposal["trait"].name == "tuned" and (value is None or value == ""):
            return ""
        source = model_source(value)
        return value if isinstance(value, str) else source

    def _typed(self, _: Any) -> None:
        # not the value of the event: two of them may come on two threads
        with self._guarded(), self._lock:
            self._awake = True
            self.texts = _rows(self._sentences.value)

    def _picked(self, trait: str, value: str) -> None:
        with self._guarded():
            setattr(self, trait, value.strip())

    def _set(self, _: Any) -> None:
        """A trait has another value: the controls show it, and after a pause the numbers follow."""
        if _rows(self._sentences.value) != self.texts:  # else it was typed, and stays as it was typed
            self._sentences.value = "\n".join(self.texts)
        self._base.value, self._tuned.value = self.base, self.tuned
        self._changed()
        if not self._awake:
            self._matrices.content = self._empty()
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(self._pause_s, self.compute)
            self._timer.daemon = True
            self._timer.start()

    # the work

    def _compare(self) -> None:
        with self._lock:
            self._queued, asked = False, self._asked
            texts, models = self.texts[:SHOWN], self._chosen()
        made: list[Similarity] | None = None
        try:
            made = [self._similarity(texts, model) for model in models if texts and asked == self._asked]
        finally:
            if made is None:  # numbers of other sentences or models under the new names would be wrong
                self._put(self._empty(), [])
        if asked != self._asked:
            return  # something newer waits
        self._put(content_of(texts, models, made), made)
        self._say_what_is_shown()

    def _put(self, content: dict[str, Any], made: list[Similarity]) -> None:
        self._matrices.content = content
        self.set_trait("before", made[0] if made else None)
        self.set_trait("after", made[1] if len(made) == 2 else None)
        self._changed()

    def _similarity(self, texts: tuple[str, ...], model: str) -> Similarity:
        source, shared = model_source(model), engine()
        new = len(self._vectors.missing(texts, source))
        if new and (shared.pid, source) not in self._loaded:
            self.say(f"Loading {short_name(model)} … (once)", "busy")
        elif new > MANY:
            self.say(f"Encoding {new} sentences with {short_name(model)} …", "busy")
        rows = self._vectors.of(shared.call, texts, source)
        self._loaded.add((shared.pid, source))
        return similarity(Space(texts, rows, short_name(model), ""))

    def _say_what_is_shown(self) -> None:
        if not self.texts:
            self.say("Type sentences, one a row")
        elif len(self.texts) > SHOWN:
            self.say(
                f"The first {SHOWN} of {len(self.texts):,} sentences are compared; take some out to see the others"
            )
        else:
            self.say(f"{len(self.texts)} sentence{'s' * (len(self.texts) != 1)} compared", "good")

    # showing

    def _chosen(self) -> list[str]:
        return [model for model in (self.base, self.tuned) if model]

    def _empty(self) -> dict[str, Any]:
        """The tables before there are numbers: nothing jumps when these come."""
        return content_of(self.texts[:SHOWN], self._chosen(), (None, None))

    def _code(self) -> str:
        texts, models = list(self.texts[:SHOWN]), [model_code(model) for model in self._chosen()]
        if len(models) == 1:
            return f"wb.similarity({texts!r}, {models[0]})"
        return f"[wb.similarity({texts!r}, model) for model in ({', '.join(models)})]"

    def static(self) -> str:
        """The matrices as HTML tables; before there are any, the sentences."""
        return still(self._matrices.content)


def _checked(texts: Any) -> tuple[str, ...]:
    """Sentences without empty ones, each in one row."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise DataError(
            f"expected a list of sentences, got {type(texts).__name__} ({texts!r:.60}); put one sentence into a list too"
        )
    listed = list(texts)
    for number, text in enumerate(listed, 1):
        if not isinstance(text, str):
            raise DataError(
                f"expected sentences, got {type(text).__name__} ({text!r:.60}) as number {number}; convert it to str or leave it out"
            )
    # half a surrogate pair is no character: neither the page nor a tokenizer takes it
    whole = [" ".join(text.splitlines()).encode("utf-8", "replace").decode().strip() for text in listed]
    return tuple(text for text in whole if text)


def _rows(typed: str) -> tuple[str, ...]:
    return _checked(typed.splitlines())
