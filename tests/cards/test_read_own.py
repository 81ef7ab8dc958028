"""The card that a run writes, read back: its exact recipe, and what tells that it was changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.cards.test_card import NAME, sentences, written
from tests.training.conftest import NOUNS, VERBS
from workbench.cards.read import Card
from workbench.cards.script import without_paths
from workbench.recipe import Loss, Recipe
from workbench.training.launch import Run, train


@pytest.fixture(scope="module")
def run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two steps, with what a page could stumble over in its names."""
    place = tmp_path_factory.mktemp("own")
    rows = [dict(zip(("query", "term"), sentences(noun, verb), strict=True)) for noun in NOUNS for verb in VERBS]
    columns = {"query": "anchor", "term": "positive"}
    recipe = Recipe(
        model=str(tiny_bert),
        loss=Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss", scale=12.5), matryoshka_dims=[32, 8]),
        data={"source": str(written(place / f"{NAME}.jsonl", rows[:40])), "columns": columns},
        eval_data={"source": str(written(place / "held out.jsonl", rows[40:])), "columns": columns},
        name="### Recipe\n```\n---\nâ€œ é </details> <script>alert(1)</script>",
        batch_size=8,
        max_steps=2,
        learning_rate=1e-3,
        warmup=0,
        prompts={"query": "query: ", "term": " "},
        device="cpu",
        seed=11,
    )
    return train(recipe, folder=place / "run").wait(240)


def doubts(card: Card) -> dict[str, Any]:
    """Evidence by code."""
    return {doubt.code: doubt.evidence for doubt in card.doubts}


def test_the_card_of_a_run_gives_its_recipe_back(run: Run) -> None:
    for source in (run.folder, run.model_folder, run.card):
        read = wb.read_card(source)
        assert read.recipe == without_paths(run.recipe)
        assert read.recipe.fingerprint == without_paths(run.recipe).fingerprint
    assert read.how == "workbench"


def test_only_the_missing_folders_are_doubted(run: Run) -> None:
    assert doubts(wb.read_card(run.card)) == {
        "name-only": {"names": [Path(run.recipe.model).name, Path(run.recipe.data.source).name, "held out.jsonl"]}
    }


def test_a_card_names_the_models_of_its_loss_without_their_folders_and_the_limit_of_the_run(
    run: Run, tiny_bert: Path, tmp_path: Path
) -> None:
    loss = Loss("DenoisingAutoEncoderLoss", decoder_name_or_path=str(tiny_bert))
    recipe = run.recipe.changed(loss=loss, max_seq_length=4, prompts="the ", max_steps=1)
    written = train(recipe, folder=tmp_path / "run").wait(240)
    assert str(tiny_bert.parent) not in written.card
    assert "over the limit of 4 tokens: 100.00%" in written.card
    assert "special tokens included, prompts not:" in written.card
    read = wb.read_card(written.card)
    assert read.recipe == without_paths(written.recipe)
    assert read.recipe.loss.models == (tiny_bert.name,)
    assert doubts(read)["name-only"]["names"][:2] == [tiny_bert.name, tiny_bert.name]


def test_a_short_name_of_the_hub_stands_whole_in_a_card() -> None:
    shown = without_paths(
        Recipe(model="all-MiniLM-L6-v2", loss=Loss("GISTEmbedLoss", guide="all-mpnet-base-v2"), data="a")
    )
    assert (shown.model, *shown.loss.models) == (
        "sentence-transformers/all-MiniLM-L6-v2",
        "sentence-transformers/all-mpnet-base-v2",
    )


def test_the_rest_of_the_card_is_read_too(run: Run) -> None:
    read = wb.read_card(run.card)
    assert (read.base_model, read.architecture.dimension) == (Path(run.recipe.model).name, 32)
    assert [data.rows for data in read.datasets] == [40, 8]
    assert run.scores is not None
    after = run.scores["after"]["scores"]
    assert {name: round(score["value"], 4) for name, score in after.items()} == read.scores[0].metrics
    assert [row["Step"] for row in read.log][-1] == 2


def test_a_recipe_that_was_edited_since_is_told(run: Run) -> None:
    read = wb.read_card(run.card.replace("learning_rate: 0.001\n", "learning_rate: 0.002\n", 1))
    found = doubts(read)
    assert found["recipe-changed"]["said"] == [without_paths(run.recipe).fingerprint]
    assert found["recipe-contradicts"] == {"learning_rate": ["0.002", "0.001"]}
    assert read.recipe.learning_rate == 0.002


def test_a_card_that_was_edited_since_contradicts_its_recipe(run: Run) -> None:
    text = run.card.replace("- `seed`: 11\n", "- `seed`: 12\n").replace(" 32,\n", " 16,\n")
    found = doubts(wb.read_card(text))
    assert found["recipe-contradicts"]["seed"] == ["11", "12"]
    assert found["recipe-contradicts"]["loss.matryoshka_dims"] == ["[32, 8]", "[16, 8]"]
    assert "recipe-changed" not in found


def test_a_recipe_that_is_cut_is_told_and_never_taken_for_the_whole(run: Run) -> None:
    start = run.card.index("### Recipe\n\n")
    whole = without_paths(run.recipe)
    for length in range(40, run.card.index("### Equivalent Script") - start - 8, 9):
        read = wb.read_card(run.card[: start + length])
        assert set(doubts(read)) & {"recipe-damaged", "recipe-changed", "recipe-missing"} or read.recipe == whole


def test_settings_can_be_changed_on_the_way(run: Run) -> None:
    read = wb.read_card(run.card)
    assert read.to_recipe(model="owner/base", data="pairs.csv") == without_paths(run.recipe).changed(
        model="owner/base", data="pairs.csv"
    )
