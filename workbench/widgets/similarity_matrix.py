"""Type sentences, one per line: their similarities under a base and a tuned model follow, and why two are similar."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as W
import traitlets as t

from workbench.errors import RecipeError
from workbench.recipe import DEFAULT_MODEL
from workbench.spaces.contributions import contributions
from workbench.spaces.encode import Space
from workbench.spaces.engine import Vectors, engine, stamp_of
from workbench.spaces.similarity import Similarity, similarity
from workbench.spaces.stages import model_source
from workbench.widgets.code import model_code
from workbench.widgets.given import Given
from workbench.widgets.matrices import Matrices, content_of, short_name, still
from workbench.widgets.panel import Panel
from workbench.widgets.sentences import EXAMPLES, checked, checked_pair, typed_rows
from workbench.widgets.token_box import TokenBox

if TYPE_CHECKING:
    import pandas

SHOWN = 30
MANY = 8


class SimilarityMatrix(Panel):
    """Cosine similarity of typed sentences: base model, tuned model, and their difference.

    Args:
        texts: sentences to begin with.
        base: a model name, a folder, or a run.
        tuned: another one to show beside it, or None.
        pair: the two sentences to explain, or None.
        pause_ms: how long nothing has to be typed before the numbers follow.

    Attributes:
        texts: the sentences, without empty ones. The first 30 are compared.
        base: name or folder of the base model.
        tuned: name or folder of the tuned model; empty for none.
        pair: row numbers, from 0, of the two sentences whose tokens are shown with what each adds; None for none.
            It ends when one of these rows is gone.
        before: similarities under the base model as shown, None before there are any and after a failure.
        after: the same under the tuned model.

    Raises:
        DataError: `texts` are no list of texts; `pair` is no pair of their rows.
        ModelError: `base` or `tuned` is no name, no folder and no run.
        RecipeError: `pause_ms` is no time.
    """

    texts = Given(())
    base = Given(DEFAULT_MODEL)
    tuned = Given("")
    pair = Given(None, allow_none=True)
    before = t.Instance(Similarity, allow_none=True, read_only=True)
    after = t.Instance(Similarity, allow_none=True, read_only=True)

    def __init__(
        self,
        texts: Iterable[str] = EXAMPLES,
        base: str | Path | Any = DEFAULT_MODEL,
        tuned: str | Path | Any | None = None,
        *,
        pair: tuple[int, int] | None = None,
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
        self.set_trait("pair", pair)
        self._build()
        self.observe(self._set, ("texts", "base", "tuned"))
        self.observe(self._paired, "pair")
        self._show(self._models, self._sentences, self._matrices, self._tokens)

    def _build(self) -> None:
        wide = {"description_width": "initial"}
        self._sentences = W.Textarea(
            "\n".join(self.texts), description="Sentences, one per line", rows=10, style=wide, continuous_update=True
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
        self._matrices = Matrices(content=self._empty(), pair=list(self.pair or ()))
        self._tokens = TokenBox(self.pair)
        self._sentences.observe(self._typed, "value")
        self._base.observe(lambda change: self._picked("base", change["new"]), "value")
        self._tuned.observe(lambda change: self._picked("tuned", change["new"]), "value")
        self._matrices.observe(lambda _: self.compute(), "seen")
        self._matrices.observe(self._picked_pair, "pair")

    # what can be done

    def compute(self) -> None:
        """Compare the sentences now, in the background; from then on the numbers follow every change."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._awake = None, True
            self._asked += 1
            self._void()  # a pair is explained after the numbers
            if not self._queued:
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
        with self._lock:  # between the end of a pause and the work there is no moment
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
        return checked(proposal["value"])

    @t.validate("base", "tuned")
    def _check_model(self, proposal: Any) -> str:
        value = proposal["value"]
        if proposal["trait"].name == "tuned" and (value is None or value == ""):
            return ""
        source = model_source(value)
        return value if isinstance(value, str) else source

    @t.validate("pair")
    def _check_pair(self, proposal: Any) -> tuple[int, int]:
        return checked_pair(proposal["value"], len(self.texts[:SHOWN]))

    def _typed(self, _: Any) -> None:
        # not the value of the event: two of them may come on two threads
        with self._guarded(), self._lock:
            self._awake = True
            self.texts = typed_rows(self._sentences.value)

    def _picked(self, trait: str, value: str) -> None:
        with self._guarded():
            setattr(self, trait, value.strip())

    def _picked_pair(self, change: Any) -> None:
        with self._guarded():
            self.pair = tuple(change["new"]) or None
        self._matrices.pair = list(self.pair or ())  # the page may have marked a row that is gone

    def _paired(self, _: Any) -> None:
        """Another pair: the page marks it, and its tokens follow."""
        asked = self._void()
        self._matrices.pair = list(self.pair or ())
        self._tokens.rest(self.pair)
        self._changed()
        if self._awake:
            self._later(self._explain, asked)

    def _set(self, _: Any) -> None:
        """A trait has another value: the controls show it, and after a pause the numbers follow."""
        if typed_rows(self._sentences.value) != self.texts:  # else it was typed, and stays as it was typed
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
                self._tokens.rest(self.pair)
                self._put(self._empty(), [])
        if asked != self._asked:
            return  # something newer waits
        self._put(content_of(texts, models, made), made)
        self._say_what_is_shown()
        if self.pair is not None:
            self._later(self._explain, self._void())

    def _explain(self, asked: int) -> None:
        """What each token of the pair adds. Numbers of the matrix that are waited for come first, and ask for it anew."""
        if self._is_void(asked):
            return
        two = self._two()
        if two is None:
            self.pair = None
            self._tokens.rest(None)
        elif self.before is not None:
            self._weigh(asked, two)
        if self.before is not None and not self._is_void(asked):
            self._say_what_is_shown()

    def _weigh(self, asked: int, two: tuple[int, int, str, str]) -> None:
        models = [model_source(model) for model in self._chosen()]
        key = (two, [(model, stamp_of(model)) for model in models])
        if self._tokens.key == key:
            return
        if self._tokens.key is None:
            self.say("Finding what each token adds …", "busy")
        made = None
        try:
            made = [engine().call(contributions, *two[2:], model) for model in models if not self._is_void(asked)]
        finally:
            if made is None:  # tokens of other sentences or models would be wrong
                self._tokens.rest(self.pair)
        if asked == self._turn and len(made) == len(models):
            self._tokens.fill(key, two[:2], made)
            self._changed()

    def _is_void(self, asked: int) -> bool:
        return asked != self._turn or self._timer is not None

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
            self.say("Type sentences, one per line")
        elif len(self.texts) > SHOWN:
            self.say(
                f"The first {SHOWN} of {len(self.texts):,} sentences are compared; take some out to see the others"
            )
        else:
            self.say(f"{len(self.texts)} sentence{'s' * (len(self.texts) != 1)} compared", "good")

    # showing

    def _chosen(self) -> list[str]:
        return [model for model in (self.base, self.tuned) if model]

    def _two(self) -> tuple[int, int, str, str] | None:
        """The rows of the pair and their sentences; None where there is no pair, or one of the rows is gone."""
        pair, texts = self.pair, self.texts[:SHOWN]
        return None if pair is None or max(pair) >= len(texts) else (*pair, texts[pair[0]], texts[pair[1]])

    def _empty(self) -> dict[str, Any]:
        """The tables before there are numbers: nothing jumps when these come."""
        return content_of(self.texts[:SHOWN], self._chosen(), (None, None))

    def _code(self) -> str:
        texts, models, two = list(self.texts[:SHOWN]), [model_code(model) for model in self._chosen()], self._two()
        if two is not None:
            return f"wb.show_tokens({two[2]!r}, {two[3]!r}, {', '.join(models)})"
        if len(models) == 1:
            return f"wb.similarity({texts!r}, {models[0]})"
        return f"[wb.similarity({texts!r}, model) for model in ({', '.join(models)})]"

    def static(self) -> str:
        """The matrices as HTML tables, and the tokens of the pair; before there are any, the sentences."""
        return still(self._matrices.content) + self._tokens.still
