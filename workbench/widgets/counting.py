"""What is known of a table so far: odd rows first, tokens later. A newer request ends an older one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from workbench.catalog import hub, models
from workbench.data import truncation
from workbench.data.examples import Examples
from workbench.data.quality import Quality, quality
from workbench.data.tokenizer import place
from workbench.data.truncation import Cutter
from workbench.errors import ModelError
from workbench.spaces.engine import engine
from workbench.widgets.panel import Kind


class _Newer(Exception):
    """Somebody asked for something else in the meantime."""


@dataclass(eq=False)
class Counting:
    """Counts a table on the thread that calls `run`.

    Attributes:
        arrived: called when more is known.
        between: called about four times a second while it counts, for other work of the same thread.
        say: called with a sentence and its kind.
        quality: the odd rows; without tokens until they are counted.
        cut: how the model cuts texts, None while it is not known.
        limit: of the model in tokens, None where it has none or it is not known.
        failure: why no tokens can be counted.
        fetch: a model that is not on this machine may be fetched.
    """

    arrived: Callable[[], None]
    between: Callable[[], None]
    say: Callable[[str, Kind], None]
    quality: Quality | None = None
    cut: Cutter | None = None
    limit: int | None = None
    failure: str = ""
    fetch: bool = False
    _turn: int = 0

    def stop(self) -> int:
        """Make what runs end soon, without a result; the number of the next turn."""
        self._turn += 1
        return self._turn

    def forget(self, *, table: bool) -> None:
        """What was counted is no longer true: all of it where the table is another one, else what the model says."""
        self.stop()
        self.cut, self.limit, self.failure, self.fetch = None, None, "", False
        self.quality = None if table or self.quality is None else replace(self.quality, tokens=None)

    def knows(self, kind: str) -> bool:
        """Whether the rows of a kind are known."""
        return self.quality is not None and (kind != "too long" or self.quality.tokens is not None)

    def run(self, turn: int, data: Examples, model: str) -> None:
        """Count, unless a newer turn has begun."""
        with suppress(_Newer):
            self._check(turn)
            fast = self._find(model)
            self.between()
            if self.quality is None:
                self._take(turn, quality(data, progress=self._ticker(turn, "Looking at")))
            if self.failure:
                self.arrived()
                self.say(self.failure, "error")
                return
            tick = self._ticker(turn, "Counting the tokens of")
            if fast:
                found = quality(data, model=model, progress=tick)
            else:
                found = engine().call(quality, data, model=model)
            self._take(turn, found)
            self.say(f"Counted the tokens of {len(data):,} rows with {model}", "good")

    def _find(self, model: str) -> bool:
        """Find the tokenizer; whether it is a fast one. Others are read by transformers, in the engine."""
        self.cut, self.limit, self.failure = None, None, ""
        try:
            if not self.fetch and hub.on_this_machine(models.full_name(model), None) is None:
                raise ModelError(
                    f"expected a model on this machine to count tokens with, got {model}, which is not; press “over the limit” "
                    "to fetch it and count"
                )
            here = place(model)
            self.limit = here.limit
            self.cut = truncation.cutter(model)[0] if here.fast else _away(model)
            return here.fast
        except ModelError as error:
            self.failure = str(error)
            return False

    def _ticker(self, turn: int, doing: str) -> Callable[[int, int], None]:
        def tick(done: int, total: int) -> None:
            self._check(turn)
            self.between()
            self.say(f"{doing} {done:,} of {total:,} rows …", "busy")

        return tick

    def _take(self, turn: int, found: Quality) -> None:
        self._check(turn)
        self.quality = found
        self.arrived()

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise _Newer


def _away(model: str) -> Cutter:
    return lambda texts: engine().call(truncation.pieces, list(texts), model)
