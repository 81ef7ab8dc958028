"""What is known of a loss, as HTML. All texts are escaped: a loss of your own may say anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from workbench.catalog.losses import LossInfo
from workbench.widgets.loss_form import in_words

_SAMPLERS = {
    "no_duplicates": "Let no text occur twice in a batch: batch_sampler no_duplicates.",
    "group_by_label": "Bring texts of a class together: batch_sampler group_by_label.",
}


def facts_html(info: LossInfo, verdict: str) -> str:
    """A loss in words: what it takes, what to know before using it, whom to cite.

    Args:
        info: the loss.
        verdict: whether it suits the data, as a sentence; may be empty.
    """
    yours = " <span class='wb-soft'>(yours)</span>" if info.custom else ""
    parts = [f"<h4 style='margin: 0 0 4px'>{escape(info.name)}{yours}</h4>"]
    if info.deprecated:
        parts.append(f"<p style='margin: 4px 0'><b>Deprecated.</b> {escape(info.deprecated)}</p>")
    parts += [f"<p style='margin: 4px 0'>{escape(text)}</p>" for text in (verdict, info.summary) if text]
    rows = "".join(f"<tr><td>{escape(shape.columns)}</td><td>{escape(shape.label)}</td></tr>" for shape in info.shapes)
    parts.append(f"<table class='wb-table'><tr><th>Takes the texts</th><th>Label</th></tr>{rows}</table>")
    parts += [_listed("Mind", [*info.caveats, *_about(info)]), _listed("Its documentation asks for", info.help)]
    if info.citation:
        cited = escape(info.citation)
        parts.append(
            f"<details><summary>Cite</summary><pre style='white-space: pre-wrap; margin: 4px 0'>{cited}</pre></details>"
        )
    return "".join(parts)


def parameters_html(info: LossInfo, given: Mapping[str, Any]) -> str:
    """The parameters of a loss as a table; a wrapped loss is named."""
    rows = "".join(
        f"<tr><td>{escape(item.name)}</td><td>{escape(_value(given[item.name]))}</td></tr>"
        if item.name in given
        else f"<tr><td>{escape(item.name)}</td><td class='wb-soft'>{escape(in_words(item.default))} (default)</td></tr>"
        for item in info.parameters
    )
    return f"<table class='wb-table'><tr><th>Parameter</th><th>Value</th></tr>{rows}</table>" if rows else ""


def _about(info: LossInfo) -> Iterable[str]:
    if info.in_batch_negatives:
        yield "The other rows of a batch are negatives: large batches help, texts that occur twice hurt."
    if info.sampler in _SAMPLERS:
        yield _SAMPLERS[info.sampler]
    if info.cached:
        yield "Computes in mini-batches (GradCache): little memory, about twice the time."


def _listed(title: str, items: Iterable[str]) -> str:
    lines = "".join(f"<li>{escape(text)}</li>" for text in items)
    return f"<div><b>{title}</b><ul style='margin: 2px 0 6px'>{lines}</ul></div>" if lines else ""


def _value(value: Any) -> str:
    return str(value.name) if hasattr(value, "name") and hasattr(value, "parameters") else in_words(value)
