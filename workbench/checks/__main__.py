"""`python -m workbench.checks` writes CHECKS.md: what the checks look for, from the code that looks for it."""

from __future__ import annotations

from pathlib import Path

from workbench.checks import before
from workbench.checks.codes import CODES
from workbench.checks.finding import SYMBOLS
from workbench.files import replace_text

PAGE = Path(__file__).with_name("CHECKS.md")
HEAD = """# What is checked before a run

Written by `python -m workbench.checks` from the checks themselves; do not edit it here.

{checks} checks know {codes} codes. An **error** ({error}) means that the run fails or cannot learn what it is meant to learn; a
**warning** ({warning}) that the result will be worse than it need be, or that its scores mislead; a **note** ({note}) is worth knowing.
Each finding comes with the measured numbers, and where a recipe can mend it, `finding.fix()` is that recipe.

| code | severity | fires when | why it matters | what the fix does |
|---|---|---|---|---|
"""


def page() -> str:
    """The table of all codes as Markdown, the worst first."""
    order = list(SYMBOLS)
    ranked = sorted(CODES.values(), key=lambda code: (order.index(code.severities[0]), code.name))
    rows = [
        f"| `{code.name}` | {' or '.join(code.severities)} | {code.when} | {code.why} | {code.fix or 'none: no setting mends it'} |"
        for code in ranked
    ]
    return HEAD.format(checks=len(before.CHECKS), codes=len(ranked), **SYMBOLS) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    replace_text(PAGE, page())
