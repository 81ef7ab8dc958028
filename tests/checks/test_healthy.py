"""Sound recipes on real tables: no error is found where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from tests.checks.tables import look
from workbench.catalog import models
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import ModelError
from workbench.recipe import DEFAULT_MODEL, Loss, Recipe

SHARED = Path(__file__).parents[3] / "shared" / "data"
CLASSES = Loss("BatchHardSoftMarginTripletLoss")
TRIPLETS = Loss("TripletLoss", distance_metric="COSINE", triplet_margin=0.3)
RANKING = Loss("MultipleNegativesRankingLoss")


@pytest.fixture(autouse=True)
def _has_the_model() -> None:
    try:
        models.find(DEFAULT_MODEL)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.mark.real
@pytest.mark.parametrize(
    ("view", "loss", "sampler", "known"),
    [
        ("qa", RANKING, "no_duplicates", set()),
        # one passage in nine has over 256 tokens
        ("triplets", TRIPLETS, "batch_sampler", {"texts-cut"}),
        ("sentences", RANKING, "no_duplicates", set()),
        ("graded", Loss("CoSENTLoss"), "batch_sampler", set()),
        ("labelled", CLASSES, "group_by_label", set()),
    ],
)
def test_the_glossary_has_no_more_warnings_than_are_true(view: str, loss: Loss, sampler: str, known: set[str]) -> None:
    found = look(Recipe(loss=loss, data=f"glossary/{view}", batch_sampler=sampler))
    assert {finding.code for finding in found if finding.severity != "note"} == known


def banking77() -> tuple[Examples, Examples]:
    """Questions of customers of a bank and what they are about."""
    roles = {"text": "anchor", "category": "label"}
    return tuple(load(SHARED / "banking77" / f"{part}.csv", columns=roles) for part in ("train", "test"))  # type: ignore[return-value]


def clinc150() -> tuple[Examples, Examples]:
    """Requests to an assistant and what they want."""
    read = json.loads((SHARED / "clinc150" / "data_small.json").read_text(encoding="utf-8"))
    return tuple(load(pandas.DataFrame(read[part], columns=["text", "intent"])) for part in ("train", "val"))  # type: ignore[return-value]


def snli() -> tuple[Examples, Examples]:
    """Sentences, what follows from them and what contradicts them."""
    return tuple(load(SHARED / "snli_subset" / f"{part}_triplets.tsv") for part in ("validation", "test"))  # type: ignore[return-value]


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize(
    ("tables", "loss", "sampler"),
    [
        (banking77, CLASSES, "group_by_label"),
        (clinc150, CLASSES, "group_by_label"),
        (snli, RANKING, "no_duplicates"),
        (snli, TRIPLETS, "batch_sampler"),
    ],
)
def test_public_tables_have_no_errors_and_no_warnings(
    tables: Callable[[], tuple[Examples, Examples]], loss: Loss, sampler: str
) -> None:
    train, evaluation = tables()
    found = look(Recipe(loss=loss, data=train, eval_data=evaluation, batch_sampler=sampler))
    assert [finding.code for finding in found if finding.severity != "note"] == []
