"""Small tables and recipes for the checks, and what every finding has to keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas

from tests.conftest import WORDS
from workbench.checks.before import check
from workbench.checks.codes import CODES
from workbench.checks.finding import Finding, Findings
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.recipe import Loss, Recipe


def text(number: int, words: int = 6) -> str:
    """A text of known words, another one for each number."""
    return " ".join(WORDS[(number // 7**place + place) % len(WORDS)] for place in range(words))


def pairs(rows: int = 240, **columns: Any) -> pandas.DataFrame:
    """Anchors and positives, all different; columns replace or add to them."""
    own = {"anchor": [text(n) for n in range(rows)], "positive": [text(n + 10_000) for n in range(rows)]}
    return pandas.DataFrame({**own, **columns})


def labelled(labels: list[Any]) -> pandas.DataFrame:
    """One text and its class."""
    return pandas.DataFrame({"text": [text(n) for n in range(len(labels))], "label": labels})


def triplets(rows: int = 240) -> pandas.DataFrame:
    """Anchors, positives and negatives, all different."""
    return pairs(rows, negative=[text(n + 20_000) for n in range(rows)])


def scored(scores: list[float]) -> pandas.DataFrame:
    """Pairs with a score each."""
    return pairs(len(scores), score=scores)


def load_part(table: pandas.DataFrame, rows: int) -> Examples:
    """The first rows of a table, loaded."""
    return load(table.head(rows))


def recipe(
    model: Path, table: pandas.DataFrame, loss: str | Loss = "MultipleNegativesRankingLoss", **settings: Any
) -> Recipe:
    """A recipe on a table; it holds out enough rows unless told otherwise."""
    return Recipe(
        **{"model": str(model), "loss": loss, "data": load(table), "eval_share": 0.3, "batch_size": 8, **settings}
    )


def look(recipe: Recipe) -> Findings:
    """What the checks before a run find, without a batch tried; each finding is one that is declared."""
    found = check(recipe, batch=False)
    for finding in found:
        assert finding.severity in CODES[finding.code].severities, finding.code
        assert not finding.fixed or CODES[finding.code].fix, finding.code
    return found


def codes(recipe: Recipe) -> list[str]:
    """What a check finds, by code."""
    return [finding.code for finding in look(recipe)]


def fires(recipe: Recipe, code: str) -> Finding:
    """The one finding of that code, after making sure that it is plain, says its basis, and that its fix mends it."""
    found = [finding for finding in look(recipe) if finding.code == code]
    assert len(found) == 1, (code, codes(recipe))
    finding = found[0]
    written = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert finding.evidence["measured_on"] and finding.why.endswith(".") and finding.message.endswith(".")
    mended = finding.fix()
    assert bool(finding.fixed) == (mended is not None) == (written["fix"] is not None)
    if mended is not None:
        assert mended != recipe
        assert code not in codes(mended)
    return finding
