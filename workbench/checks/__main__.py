"""`python -m workbench.checks` writes CHECKS.md: what the checks look for, from the code that looks for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench.checks import before
from workbench.checks.codes import CODES, Code
from workbench.checks.finding import SYMBOLS
from workbench.checks.watched import WATCHED
from workbench.files import replace_text

PAGE = Path(__file__).with_name("CHECKS.md")
HEAD = """# What is checked before a run

Written by `python -m workbench.checks` from the checks themselves; do not edit it here.

{checks} checks know {codes} codes. An **error** ({error}) means that the run fails or cannot learn what it is meant to learn; a
**warning** ({warning}) that the result will be worse than it need be, or that its scores mislead; a **note** ({note}) is worth knowing.
Each finding comes with the measured numbers, and where a recipe can mend it, `finding.fix()` is that recipe.

"""
DURING = """
# What is watched during a run

Findings appear in the panel, in `run.findings`, on the terminal and in the card, each with the step at which it was found; some stop
the run. `watch_off` in a recipe turns them off by name.

"""
TABLE = """| code | severity | fires when | why it matters | what the fix does |
|---|---|---|---|---|
"""


def page() -> str:
    """The table of all codes as Markdown, the worst first."""
    order = list(SYMBOLS)
    ranked = sorted(CODES.values(), key=lambda code: (order.index(code.severities[0]), code.name))
    head = HEAD.format(checks=len(before.CHECKS), codes=len(ranked), **SYMBOLS)
    return head + _rows(ranked) + DURING + _rows(WATCHED)


def _rows(codes: Iterable[Code]) -> str:
    lines = (
        f"| `{code.name}` | {' or '.join(code.severities)} | {code.when} | {code.why} | {code.fix or 'none: no setting mends it'} |"
        for code in codes
    )
    return TABLE + "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    replace_text(PAGE, page())
