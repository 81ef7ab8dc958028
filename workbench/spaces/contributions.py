"""Why a model finds two texts similar: what each token adds to their cosine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.catalog import models
from workbench.spaces.encode import check_text, loaded_name, model_folder, short_name
from workbench.spaces.engine import loaded, stamp_of
from workbench.spaces.stages import check_model
from workbench.spaces.token_parts import Explained, Kind, explain

if TYPE_CHECKING:
    import pandas

EXACT = "exact: the vector of a text is a sum over its tokens, so the numbers of each text add up to the cosine"
FALLS = "approximation ({why}): a token's number is how much the cosine falls when the model does not see it; special tokens stay"
NONE = "no token has a share ({why}), and there is none that the model can be kept from seeing"


@dataclass(frozen=True)
class Token:
    """One token, or the share of something that is none.

    Attributes:
        text: the characters it stands for, as they are written in the text; the token's own name where it stands for
            none or where that is not known. Tokens that share a character (of an emoji) are one.
        start, end: where these characters are in the text; both -1 where there are none.
        value: what it adds to the cosine; None where it was not left out (see `Contributions.how`).
        kind: text; special: a token that the model puts in, such as [CLS]; prompt: of the text put before each text;
            bias: what a layer after the pooling adds whatever the text is.
    """

    text: str
    start: int
    end: int
    value: float | None
    kind: Kind = "text"


@dataclass(frozen=True)
class Side:
    """One of the two texts.

    Attributes:
        text: all of it.
        tokens: in the order of the model.
        unseen: number of tokens beyond the model's limit, which it does not see.
        limit: that limit in tokens, special tokens included; None where there is none.
    """

    text: str
    tokens: tuple[Token, ...]
    unseen: int = 0
    limit: int | None = None

    @property
    def total(self) -> float:
        """Sum of the values."""
        return float(sum(token.value or 0.0 for token in self.tokens))


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each token of two texts adds to their cosine under one model.

    Attributes:
        model: name of the model.
        first, second: the two texts with their tokens.
        cosine: None where undefined; `why` then says the reason, and no token has a value.
        exact: the values of each text add up to the cosine.
        how: how the values were made, in words.
        pairs: float32, shape (tokens of the first, tokens of the second): what each pair of tokens adds; rows add up to
            the values of the first text, columns to those of the second. None where the values are not exact.
        why: why the cosine is undefined.
    """

    model: str
    first: Side
    second: Side
    cosine: float | None
    exact: bool
    how: str
    pairs: np.ndarray | None = None
    why: str = ""

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both texts."""
        return self.first, self.second

    @property
    def residual(self) -> tuple[float | None, float | None]:
        """The cosine minus the sum of the values, for each text; about 0 where they are exact."""
        if self.cosine is None:
            return None, None
        return self.cosine - self.first.total, self.cosine - self.second.total

    @property
    def headline(self) -> str:
        """Model and cosine."""
        return f"{self.model}: cosine {f'undefined: {self.why}' if self.cosine is None else f'{self.cosine:.4f}'}"

    @property
    def caption(self) -> str:
        """How the cosine was shared out, what was not, and what the model did not see."""
        parts = [self.how]
        if not self.exact and self.cosine is not None:
            parts.append("not shared out: {:+.4f} of the first and {:+.4f} of the second text".format(*self.residual))
        for name, side in zip(("first", "second"), self.sides, strict=True):
            if side.unseen:
                parts.append(
                    f"{side.unseen:,} tokens of the {name} text are beyond the limit of {side.limit:,} and not seen by the model"
                )
        return "; ".join(parts)

    def to_frame(self) -> pandas.DataFrame:
        """One line a token: side (1 or 2), text, start, end, value, kind."""
        import pandas

        rows = [{"side": n, **vars(token)} for n, side in enumerate(self.sides, 1) for token in side.tokens]
        return pandas.DataFrame(rows, columns=["side", "text", "start", "end", "value", "kind"])

    def to_json(self) -> dict[str, Any]:
        """Plain values: model, cosine, exact, how, why, residual, and both texts with their tokens."""
        names = ("model", "cosine", "exact", "how", "why")
        sides = [{**vars(side), "tokens": [vars(token) for token in side.tokens]} for side in self.sides]
        return {
            **{name: getattr(self, name) for name in names},
            "residual": list(self.residual),
            "first": sides[0],
            "second": sides[1],
        }

    def __repr__(self) -> str:
        lines = [self.headline, f"  {self.caption}"]
        for side in self.sides:
            lines.append(f"  {side.text[:100]!r}, sum {side.total:.4f}")
            lines += [
                f"    {_value(token)}  {' '.join(token.text.split())[:40]}{_kind(token)}" for token in side.tokens
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{n}</td><td>{escape(token.text[:80])}{_kind(token)}</td><td>{_value(token)}</td></tr>"
            for n, side in enumerate(self.sides, 1)
            for token in side.tokens
        )
        head = "<tr><th>text</th><th>token</th><th>adds to the cosine</th></tr>"
        return f"<table class='wb-table'><caption>{escape(self.headline)}; {escape(self.caption)}</caption>{head}{rows}</table>"


def _value(token: Token) -> str:
    return "–" if token.value is None else f"{token.value:+.4f}"


def _kind(token: Token) -> str:
    return "" if token.kind == "text" else f" ({token.kind})"


def contributions(text_a: str, text_b: str, model: Any, *, prompt: str = "") -> Contributions:
    """What each token adds to the cosine of two texts.

    Exact where the vector of a text is a weighted sum over its tokens: mean pooling and word vectors, also with
    normalisation and linear layers after it, whose bias gets a share of its own. A token's vector already knows the
    tokens around it; it is the share of its place, not of the word alone. Elsewhere a token's value is how much the
    cosine falls when the model does not see the token, which takes a forward pass for each token; such values do not
    add up to the cosine, and `residual` says what is missing. Truncation is that of the model.

    Args:
        text_a: the first text.
        text_b: the second text.
        model: a name, a folder, a run (anything with a `.model_folder`), or a loaded SentenceTransformer. A panel
            calls this in the shared process: ``engine().call(contributions, a, b, model)``.
        prompt: put before both texts, as `embed` does; without one the model's default prompt is, where it has one.

    Raises:
        DataError: a text or the prompt is no string, or holds half a character.
        ModelError: the model cannot be found or loaded.
    """
    for text, where in ((text_a, " as first"), (text_b, " as second"), (prompt, " as prompt")):
        check_text(text, where)
    name, loaded = _model(model)
    a, b = (explain(loaded, text, prompt) for text in (text_a, text_b))
    lengths = [float(np.linalg.norm(side.vector)) for side in (a, b)]
    for which, length in zip(("first", "second"), lengths, strict=True):
        if not (np.isfinite(length) and length > 0):
            why = f"the vector of the {which} text is zero or not finite"
            return Contributions(name, _side(text_a, a), _side(text_b, b), None, False, "no token has a share", why=why)
    cosine = float(np.clip(a.vector @ b.vector / (lengths[0] * lengths[1]), -1, 1))
    if a.parts is not None and b.parts is not None:
        pairs = (a.parts / lengths[0]) @ (b.parts / lengths[1]).T  # (tokens of a, tokens of b)
        sides = _side(text_a, a, pairs.sum(axis=1)), _side(text_b, b, pairs.sum(axis=0))
        return Contributions(name, *sides, cosine, True, EXACT, pairs.astype(np.float32))
    sides = _side(text_a, a, _falls(a, b.vector, cosine)), _side(text_b, b, _falls(b, a.vector, cosine))
    known = any(token.value is not None for side in sides for token in side.tokens)
    return Contributions(name, *sides, cosine, False, (FALLS if known else NONE).format(why=a.why or b.why))


def _side(text: str, seen: Explained, values: Iterable[float | None] | None = None) -> Side:
    given = [None] * len(seen.places) if values is None else [None if v is None else float(v) for v in values]
    tokens = [Token(at.text, at.start, at.end, v, at.kind) for at, v in zip(seen.places, given, strict=True)]
    return Side(text, tuple(tokens), seen.unseen, seen.limit)


def _falls(seen: Explained, other: np.ndarray, cosine: float) -> list[float | None]:
    """How much the cosine falls without each token."""
    return [None if vector is None else cosine - _cosine(vector, other) for vector in seen.without()]


def _model(model: Any) -> tuple[str, Any]:
    """(name, loaded model)."""
    source = model_folder(model)
    if source is None:
        if not hasattr(model, "encode"):
            check_model(model)
        return loaded_name(model), model
    folder = str(models.files(source))
    return short_name(source), loaded(folder, stamp_of(folder))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one has no direction: then nothing is left that is similar."""
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / product if np.isfinite(product) and product > 0 else 0.0
