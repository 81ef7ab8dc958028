"""What was found while a run goes on, as a box of fixed height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from workbench.checks.finding import SYMBOLS

HEIGHT_PX = 84
BEFORE = "What is found while a run trains appears here."
NOTHING = "Nothing was found so far."


def health_html(events: Sequence[Mapping[str, Any]]) -> str:
    """The findings among the events of a run, the newest first.

    Returns:
        Escaped HTML that changes only when something is found: screen readers read out what is new in it.
    """
    watched = any(event["kind"] == "probe" for event in events)
    lines = [_line(event) for event in reversed(events) if event["kind"] == "finding"]
    nothing = f"<div class='wb-soft'>{NOTHING if watched else BEFORE}</div>"
    return (
        f"<div role='log' aria-label='Health of the run' tabindex='0' style='height: {HEIGHT_PX}px; overflow: auto'>"
        f"<b>Health</b>{''.join(lines) or nothing}</div>"
    )


def _line(event: Mapping[str, Any]) -> str:
    severity, stops = str(event.get("severity")), "; the run was stopped" if event.get("stops") else ""
    head = f"{SYMBOLS.get(severity, '')} {severity} at step {event.get('step')}{stops}:"
    words = " ".join(str(event.get(name) or "") for name in ("message", "why"))
    fixed = f" <i>To mend it: {escape(str(event['fixed']))}.</i>" if event.get("fixed") else ""
    look = "wb-error" if severity == "error" else ""
    return f"<div class='{look}'><b>{escape(head)}</b> {escape(words)}{fixed}</div>"
