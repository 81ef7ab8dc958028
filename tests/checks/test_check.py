"""The check as a whole: silent on sound recipes, clear about what it cannot check, and light."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.tables import codes, labelled, look, pairs, recipe, scored, triplets
from workbench.catalog import models
from workbench.checks.before import CHECKS, check
from workbench.demo import demo_recipe
from workbench.errors import DataError, ModelError, RecipeError
from workbench.recipe import DEFAULT_MODEL, Loss


def test_a_sound_recipe_has_no_findings(tiny_bert: Path) -> None:
    found = look(recipe(tiny_bert, pairs()))
    assert list(found) == []
    assert found.summary.startswith(f"No findings: {len(CHECKS)} checks of model, loss, labels")
    assert "168 training rows and 72 evaluation rows" in found.summary


@pytest.mark.parametrize("loss", [Loss("TripletLoss", distance_metric="COSINE", triplet_margin=0.3), "MultipleNegativesRankingLoss"])  # fmt: skip
def test_sound_triplets_have_no_findings(tiny_bert: Path, loss: str | Loss) -> None:
    assert codes(recipe(tiny_bert, triplets(), loss)) == []


def test_sound_scores_and_classes_have_no_findings(tiny_bert: Path) -> None:
    assert codes(recipe(tiny_bert, scored([n / 240 for n in range(240)]), "CosineSimilarityLoss")) == []
    cosines = Loss("BatchAllTripletLoss", distance_metric="cosine_distance", margin=0.3)
    grouped = recipe(tiny_bert, labelled(["x", "y"] * 120), cosines, batch_sampler="group_by_label")
    assert codes(grouped) == []


@pytest.mark.real
def test_the_demo_has_no_findings() -> None:
    try:
        models.find(DEFAULT_MODEL)
    except ModelError as error:
        pytest.skip(str(error))
    assert list(check(demo_recipe())) == []


def test_unusable_input_is_an_error_in_one_sentence(tiny_bert: Path, tmp_path: Path) -> None:
    good = recipe(tiny_bert, pairs())
    with pytest.raises(RecipeError, match="expected a Recipe, got dict"):
        check({"loss": "CoSENTLoss"})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"nothing\.csv"):
        check(good.changed(data=str(tmp_path / "nothing.csv")))
    with pytest.raises(ModelError):
        check(good.changed(model=str(tmp_path / "no-model")))
    with pytest.raises(RecipeError, match="prompts: expected names of columns"):
        check(good.changed(prompts={"question": "is "}))


def test_progress_tells_what_is_done_on_how_many_rows(tiny_bert: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    check(recipe(tiny_bert, pairs()), progress=lambda *words: told.append(words))
    assert told[0] == ("reading the data", 0, None)
    assert ("counting tokens", 168, 168) in told


def test_checking_loads_no_torch(tiny_bert: Path) -> None:
    import subprocess
    import sys

    code = f"""import sys
from workbench.catalog import models
from workbench.checks.before import check
from workbench.recipe import Loss, Recipe
check(Recipe(model={str(tiny_bert)!r}, loss=Loss('MultipleNegativesRankingLoss'), data='glossary/qa', optimizer='sgd'), batch=False)
print([name for name in ('torch', 'transformers', 'sentence_transformers', 'sklearn', 'umap') if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
