"""What will go wrong with a recipe, and buttons that mend it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.checks.before import check
from workbench.checks.case import Progress
from workbench.checks.finding import PLURALS, SYMBOLS, Finding, Findings
from workbench.errors import RecipeError
from workbench.recipe import Recipe
from workbench.widgets.panel import Panel, Refusing
from workbench.widgets.table import cut, table

# Beside symbol and word, so that nothing depends on seeing them.
_COLOURS = {
    "error": "var(--jp-error-color1, #D55E00)",
    "warning": "var(--jp-warn-color1, #E69F00)",
    "note": "var(--jp-info-color1, #0072B2)",
}
_TELL_EVERY_S = 0.25
_FIRST = "Not checked yet. Click Check: the rows are loaded, their tokens counted, and nothing is trained."
_STALE = "recipe changed; check again"


class _FindingsTrait(t.Instance[Findings]):
    """Findings, or a tuple or list of them."""

    def validate(self, obj: Any, value: Any) -> Any:
        wrong = [item for item in value if not isinstance(item, Finding)] if isinstance(value, tuple | list) else value
        if not isinstance(value, tuple | list) or wrong:
            got = f"{type(wrong[0]).__name__} among them" if isinstance(value, tuple | list) else type(value).__name__
            raise RecipeError(f"findings: expected what wb.check(recipe) gave, got {got}; check the recipe again")
        return value if isinstance(value, Findings) else Findings(value)


class CheckPanel(Panel):
    """Check a recipe before it runs, and apply what mends it.

    Args:
        recipe: what to check.
        findings: show these instead of none, as an earlier check of the recipe gave them.

    Attributes:
        recipe: the recipe, as the fixes that were applied have changed it; setting it greys out what is shown.
        findings: what the last check found.

    Raises:
        RecipeError: `recipe` is no recipe, or `findings` are none or those of another recipe.
    """

    recipe = Refusing(Recipe, RecipeError, "make one with wb.Recipe(...)")
    findings = _FindingsTrait(Findings, args=())

    def __init__(self, recipe: Recipe, findings: Sequence[Finding] | None = None) -> None:
        super().__init__()
        self._own: Recipe | None = None
        self._done: list[tuple[str, Recipe]] = []
        self._result: tuple[Recipe, Findings] | None = None
        self._build()
        self._own = recipe
        self.recipe = recipe
        if findings is not None:
            self.set_trait("findings", findings)
            self._take(recipe, self.findings)
        self._draw()
        self._show(W.HBox([self._check, self._undo], layout=W.Layout(flex_flow="row wrap")), self._change, self._list)

    def _build(self) -> None:
        wide = W.Layout(width="auto")
        self._check = W.Button(
            description="Check", button_style="primary", tooltip="Load the rows, count tokens and look", layout=wide
        )
        self._undo = W.Button(description="Undo", tooltip="Take back the fix applied last", disabled=True, layout=wide)
        self._check.on_click(lambda _: self.start())
        self._undo.on_click(lambda _: self._try(self.undo))
        self._change = W.HTML()
        # a block, since the parts of a flexible column would shrink instead of scroll
        self._list = W.Box(layout=W.Layout(display="block", min_height="80px", max_height="560px", overflow="auto"))

    def _try(self, action: Any, *arguments: Any) -> None:
        with self._guarded():
            action(*arguments)

    # what can be done

    def start(self) -> None:
        """Check the recipe and return at once; the results appear when they are there."""
        self._later(self.run_checks)

    def run_checks(self) -> None:
        """Check the recipe and show what is found.

        Raises:
            WorkbenchError: data or model of the recipe cannot be used.
        """
        with self._lock:
            turn, recipe = self._void(), self.recipe
        self.say("Checking …", "busy")
        found = check(recipe, progress=self._teller(turn))
        with self._lock:
            if turn != self._turn:
                return
            self._take(recipe, Findings(found, about=getattr(found, "about", "")))
        self.say(Findings(found).counts, "" if found else "good")

    def apply(self, finding: Finding) -> None:
        """Change the recipe by the fix of a finding, and check again.

        Raises:
            RecipeError: the finding has no fix, or is of another recipe than the one shown.
        """
        if finding.recipe != self.recipe:
            raise RecipeError(f"expected a finding of this recipe, got {finding.code} of another; check again")
        mended = finding.fix()
        if mended is None:
            raise RecipeError(
                f"expected a finding with a fix, got {finding.code}, which no recipe mends; change the data"
            )
        self._done.append((finding.fixed, self.recipe))
        self._set(mended, f"Applied: {finding.fixed}")

    def undo(self) -> None:
        """Take back the fix that was applied last, and check again."""
        if self._done:
            fixed, before = self._done.pop()
            self._set(before, f"Undone: {fixed}")

    def _set(self, recipe: Recipe, what: str) -> None:
        rows = [[name, _setting(old), _setting(new)] for name, (old, new) in self.recipe.diff(recipe).items()]
        self._change.value = table(("setting", "before", "now"), rows, caption=what)
        self._own = recipe
        self.recipe = recipe
        self._undo.disabled = not self._done
        self.start()

    # following the traits

    @t.observe("recipe")
    def _recipe_set(self, change: Any) -> None:
        if change["new"] is not self._own:
            self._done.clear()
            self._change.value, self._undo.disabled = "", True
        self._draw()
        if self.children:
            self._changed()

    @t.validate("findings")
    def _of_this_recipe(self, proposal: Any) -> Findings:
        found: Findings = proposal["value"]
        # The recipe may have changed while it was checked; the results are then shown as old.
        own = self._result is not None and found is self._result[1]
        strange = [item.code for item in found if item.recipe is not None and item.recipe != self.recipe]
        if strange and not own:
            raise RecipeError(
                f"findings: expected those of this recipe, got {strange[0]} of another; check this recipe"
            )
        return found

    @t.observe("findings")
    def _findings_set(self, change: Any) -> None:
        if self._result is None or change["new"] is not self._result[1]:
            self._take(self.recipe, Findings(change["new"], about=getattr(change["new"], "about", "")))

    def _take(self, recipe: Recipe, findings: Findings) -> None:
        """Results, and the recipe that they are of."""
        self._result = recipe, findings
        self.findings = findings
        self._draw()
        if self.children:
            self._changed()

    def _teller(self, turn: int) -> Progress:
        """Progress for the message line, a few times a second, while this check is the newest."""
        told = time.monotonic()

        def tell(what: str, done: int, total: int | None) -> None:
            nonlocal told
            if turn == self._turn and time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self.say(f"Checking: {what}{f', {done:,} of {total:,} rows' if total else ''} …", "busy")

        return tell

    # what is shown

    @property
    def _stale(self) -> bool:
        return self._result is not None and self._result[0] != self.recipe

    def _draw(self) -> None:
        old = self._list.children
        parts: list[W.Widget] = [W.HTML(self._summary())]
        findings = self._result[1] if self._result else Findings()
        for severity in SYMBOLS:
            group = [finding for finding in findings if finding.severity == severity]
            if group:
                parts.append(
                    W.HTML(_soft(f"<h4 style='margin: 8px 0 2px'>{_heading(severity, len(group))}</h4>", self._stale))
                )
                parts += [self._shown(finding) for finding in group]
        self._list.children = tuple(parts)
        for part in old:
            _close(part)

    def _summary(self) -> str:
        if self._result is None:
            return f"<div class='wb-soft'>{_FIRST}</div>"
        stale = f"<b>{SYMBOLS['warning']} {_STALE}</b><br>" if self._stale else ""
        return f"<div>{stale}{_soft(escape(self._result[1].summary), self._stale)}</div>"

    def _shown(self, finding: Finding) -> W.Widget:
        text = W.HTML(_html(finding, stale=self._stale), layout=W.Layout(width="98%"))
        if not finding.fixed or not finding.changes:
            return text
        button = W.Button(
            description=f"Apply: {cut(finding.fixed, 80)}",
            tooltip="Change the recipe so, and check again",
            disabled=self._stale,
            layout=W.Layout(width="auto", max_width="98%", margin="0 0 8px 14px"),
        )
        button.on_click(lambda _: self._try(self.apply, finding))
        return W.VBox([text, button], layout=W.Layout(overflow="visible", align_items="flex-start"))

    def _code(self) -> str:
        return f"wb.check({self.recipe.code})"

    def static(self) -> str:
        """What was found, and what was changed last."""
        found = "" if self._result is None else self._result[1]._repr_html_()
        return f"{self._summary() if self._result is None or self._stale else ''}{found}{self._change.value}"


def _html(finding: Finding, *, stale: bool) -> str:
    numbers = f"<div class='wb-soft'><small>{escape(finding.numbers)}</small></div>" if finding.evidence else ""
    why = f"<div class='wb-soft'>{escape(finding.why)}</div>" if finding.why else ""
    inside = (
        f"<div><b>{SYMBOLS[finding.severity]} {finding.severity}:</b> {escape(finding.message)}</div>{why}{numbers}"
    )
    colour = "var(--jp-border-color1, #bbb)" if stale else _COLOURS[finding.severity]
    return f"<div style='border-left: 4px solid {colour}; padding: 2px 8px; margin: 4px 0'>{_soft(inside, stale)}</div>"


def _heading(severity: str, count: int) -> str:
    return f"{SYMBOLS[severity]} {count} {severity if count == 1 else PLURALS[severity]}"


def _soft(html: str, stale: bool) -> str:
    return f"<div class='wb-soft'>{html}</div>" if stale else html


def _setting(value: object) -> str:
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else cut(str(value))


def _close(widget: W.Widget) -> None:
    for child in getattr(widget, "children", ()):
        child.close()
    widget.close()
