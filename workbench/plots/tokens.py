"""Two texts with their tokens coloured by what each adds to the cosine, for one model or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.plots.theme import PALETTE
from workbench.spaces.contributions import Contributions, Side, Token, contributions

if TYPE_CHECKING:
    from IPython.display import HTML

MORE, LESS = (",".join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5)) for colour in PALETTE[:2])
STRONGEST = 0.6  # opacity: words of either theme stay readable on it
STYLE = f"""<style>
.wb-tokens {{display: flex; flex-wrap: wrap; gap: 8px 24px; color: var(--jp-ui-font-color1, inherit); line-height: 1.9}}
.wb-tokens > p, .wb-tokens > div > p {{margin: 2px 0 8px; white-space: pre-wrap; overflow-wrap: anywhere}}
.wb-tokens > div {{flex: 1 1 320px; min-width: 0}}
.wb-tokens > p {{flex: 1 1 100%; font-size: 85%; line-height: 1.4; opacity: .85}}
.wb-tokens .wb-less {{border-bottom: 2px dotted rgb({LESS})}}
.wb-tokens .wb-token {{border-radius: 2px; padding: 1px 0}}
.wb-tokens .wb-put-in {{border: 1px dashed currentColor; padding: 0 3px; margin: 0 2px; font-size: 80%}}
.wb-tokens .wb-unseen {{opacity: .6; text-decoration: line-through}}
</style>"""


def tokens_html(records: Sequence[Contributions]) -> str:
    """The texts of each record, every token on a ground of blue (adds to the cosine) or orange with dots (takes away).

    All records share one scale, so that a base and a tuned model can be compared. A token's number is its tooltip and
    what a screen reader says. All texts are escaped; nothing is loaded and no script runs.

    Args:
        records: of any models and texts, from left to right.
    """
    if not records:
        return "<p>There are no texts to compare.</p>"
    values = [abs(token.value or 0.0) for record in records for side in record.sides for token in side.tokens]
    most = max(values, default=0.0)
    columns = "".join(
        f"<div><strong>{escape(record.headline)}</strong>{''.join(_side(side, most) for side in record.sides)}"
        f"<small>{escape(record.caption)}</small></div>"
        for record in records
    )
    scale = (
        f"<p>Blue adds to the cosine, orange with dots takes away; the strongest colour is {most:.3f}. "
        "Dashed: put in by the model.</p>"
    )
    return f"{STYLE}<div class='wb-tokens tex2jax_ignore mathjax_ignore'>{columns}{scale}</div>"


def show_tokens(text_a: str, text_b: str, *models: Any, prompt: str = "") -> HTML:
    """Why two texts are similar under one or more models, for a notebook.

    Args:
        text_a: the first text.
        text_b: the second text.
        models: as for `contributions`, for instance a base model and a run.
        prompt: put before both texts.
    """
    from IPython.display import HTML

    return HTML(tokens_html([contributions(text_a, text_b, model, prompt=prompt) for model in models]))


def _side(side: Side, most: float) -> str:
    placed = [token for token in side.tokens if token.start >= 0]
    seen = (0, len(side.text))
    if side.unseen and placed:
        seen = min(token.start for token in placed), max(token.end for token in placed)
    parts, at = [], 0
    for token in side.tokens:
        if token.start >= 0:
            parts.append(_between(side.text, at, token.start, seen))
            at = max(at, token.end)
        parts.append(_token(token, most))
    return f"<p>{''.join(parts)}{_between(side.text, at, len(side.text), seen) if placed else ''}</p>"


def _between(text: str, start: int, end: int, seen: tuple[int, int]) -> str:
    """What no token stands for: white space, or what is beyond the model's limit."""
    part = escape(text[start:end])
    beyond = part and (end <= seen[0] or start >= seen[1]) and seen != (0, len(text))
    return f"<span class='wb-unseen' title='beyond the limit of the model'>{part}</span>" if beyond else part


def _token(token: Token, most: float) -> str:
    value = token.value
    kind = "" if token.kind == "text" else f", {token.kind}"
    said = f"{token.text}{kind}: {'no number' if value is None else f'{value:+.4f}'}"
    classes = ["wb-token"]
    if token.start < 0:
        classes.append("wb-put-in")
    ground = ""
    if value is not None and most > 0:
        ground = f" style='background:rgba({LESS if value < 0 else MORE},{STRONGEST * abs(value) / most:.3f})'"
        if value < 0:
            classes.append("wb-less")
    label = escape(said)
    return f"<span class='{' '.join(classes)}' role='img' aria-label='{label}' title='{label}'{ground}>{escape(token.text)}</span>"
