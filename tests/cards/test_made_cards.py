"""The reader against cards that versions 3.0 to 6.2 of the library wrote, and the truth about their runs.

Cards and truths lie in `made/`, see its README; `make_cards.py` makes them.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from workbench.cards.read import Card, read_card
from workbench.cards.read_record import CardData
from workbench.cards.read_steps import steps
from workbench.errors import ModelError, RecipeError
from workbench.recipe import Loss, Recipe

MADE = Path(__file__).with_name("made")
TRUTHS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(MADE.glob("*.json"))}
EMBEDDING = [name for name, truth in TRUTHS.items() if truth["architecture"] == "SentenceTransformer"]
OTHERS = sorted(set(TRUTHS) - set(EMBEDDING))
EVERY_VERSION = {"fit-mnrl", "trainer-triplets", "matryoshka", "two-datasets", "custom-loss", "graded"}
FOUR_DIGITS = 6e-5
NASTY_PAGE = "<script>alert('no')</script> <b>bold</b> &amp; </code></td></details> <!-- half a comment"
NASTY_SIGNS = "\U0001f917 \U0001f469\u200d\U0001f52c \u202eright to left\u202c \u00a0 z\u0301"

every_card = pytest.mark.parametrize("name", EMBEDDING)


@cache
def card_of(name: str) -> Card:
    return read_card(MADE / f"{name}.md")


def version_of(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in TRUTHS[name]["version"].split("."))


def kinds(*wanted: str) -> Any:
    return pytest.mark.parametrize("name", [name for name in EMBEDDING if TRUTHS[name]["kind"].startswith(wanted)])


def sides(name: str) -> list[tuple[CardData, dict[str, Any]]]:
    """Each data set of a card with the truth about it."""
    card, truth = card_of(name), TRUTHS[name]
    return list(zip(card.datasets, truth["train"] + truth["eval"], strict=True))


def size_is_wrong(name: str) -> bool:
    """Versions 3.1 to 3.4 print the size of the split that the rows were taken from."""
    return (3, 1) <= version_of(name) < (4, 0) and TRUTHS[name]["train"][0].get("id") is not None


def recipe_of(name: str) -> Recipe:
    """The recipe of a card, given only what its card cannot know."""
    card, given = card_of(name), {}
    if card.base_model is None:
        given["model"] = "example/base"
    if TRUTHS[name]["kind"] == "custom-loss":
        given["loss"] = Loss("CosineSimilarityLoss")
    return card.to_recipe(**given)


def test_every_version_has_the_six_usual_kinds_and_every_card_its_truth() -> None:
    found = {version: set() for version in ("3.0.1", "3.1.1", "3.4.1", "4.1.0", "5.1.2", "5.5.1", "6.2.0")}
    for name, truth in TRUTHS.items():
        assert name == f"{truth['version']}-{truth['kind']}"
        found[truth["version"]].add(truth["kind"])
    assert {path.stem for path in MADE.glob("*.md")} == {*TRUTHS, "README"}
    assert all(found[version] >= EVERY_VERSION for version in found)


@pytest.mark.parametrize("name", OTHERS)
def test_cards_of_models_that_do_not_embed_are_refused_by_name(name: str) -> None:
    with pytest.raises(
        ModelError, match=rf"expected the card of a SentenceTransformer.*{TRUTHS[name]['architecture']}"
    ):
        read_card(MADE / f"{name}.md")


@every_card
def test_the_model_is_read_as_it_was(name: str) -> None:
    card, truth = card_of(name), TRUTHS[name]
    assert (card.base_model, card.revision) == (truth["base_model"], truth["revision"])
    assert card.library_version == truth["version"]
    assert truth["model_name"] in (None, card.model_name)
    shape = card.architecture
    assert (shape.dimension, shape.max_seq_length) == (truth["dimension"], truth["max_seq_length"])
    assert (shape.pooling, shape.transformer, shape.normalized) == (("mean",), "BertModel", False)
    assert (shape.similarity or "").lower().startswith(truth["similarity"])


@every_card
def test_it_is_seen_whether_fit_or_the_trainer_made_it(name: str) -> None:
    assert card_of(name).how == TRUTHS[name]["how"]


@every_card
def test_data_sets_are_read_with_their_rows_columns_and_places(name: str) -> None:
    for data, truth in sides(name):
        assert [column.name for column in data.columns] == truth["columns"]
        assert data.rows == truth["rows"] or size_is_wrong(name)
        if version_of(name) >= (3, 1):  # 3.0 names no data set that it loaded
            assert (data.name, data.hub_id) == (truth["name"], truth.get("id"))
            assert truth.get("revision", "").startswith(data.revision or "") and bool(data.revision) == ("id" in truth)


@every_card
def test_statistics_are_those_of_the_rows_that_the_version_counts(name: str) -> None:
    if TRUTHS[name]["kind"] == "nasty-columns":
        assert not any(column.details for data in card_of(name).datasets for column in data.columns)
        return
    for data, truth in sides(name):
        most = 100 if version_of(name) >= (5, 5) else 1000
        assert data.statistics_rows in (most, min(most, data.rows or 0))
        for column in data.columns:
            if column.name in truth["tokens"]:
                counted = truth["tokens"][column.name]
                assert (column.type, column.unit) == ("string", "tokens")
                assert (column.min, column.max) == (counted["min"], counted["max"])
                assert column.mean == pytest.approx(counted["mean"], abs=0.0051)


@every_card
def test_losses_are_read_with_their_parameters_as_far_as_the_card_prints_them(name: str) -> None:
    for data, truth in sides(name):
        true, loss = truth["loss"], data.loss
        assert loss is not None and loss.name == true["name"]
        assert loss.custom == (true["name"] == "ScaledErrorLoss")
        assert (loss.inner.name if loss.inner else None) == (true["inner"]["name"] if true["inner"] else None)
        assert dict(loss.parameters).items() <= true["parameters"].items()
        hidden = set(true["parameters"]) - set(loss.parameters)
        assert hidden <= {"cos_score_transformation"} or not loss.parameters


def told(name: str) -> dict[str, Any]:
    """What a recipe of this card must say, without what `fit` was told and no card shows."""
    truth = TRUTHS[name]
    same = (
        ("gradient_accumulation_steps", "accumulation"),
        ("batch_size", "batch"),
        ("epochs", "epochs"),
        ("seed", "seed"),
    )
    names = (*same, *((own, own) for own in ("max_steps", "batch_sampler", "scheduler", "max_grad_norm", "prompts")))
    expected = {own: truth[theirs] for own, theirs in names}
    if not truth.get("told"):
        expected |= {own: truth[own] for own in ("learning_rate", "weight_decay")}
    return expected | {
        "optimizer": truth["optimizer"].lower(),
        "precision": truth["precision"] or "fp32",
        "max_seq_length": truth["max_seq_length"],
        "drop_last": truth["kind"] == "labels",
    }


@every_card
def test_the_recipe_repeats_the_run(name: str) -> None:
    recipe, truth, expected = recipe_of(name), TRUTHS[name], told(name)
    assert {own: getattr(recipe, own) for own in expected} == expected
    assert recipe.model == (truth["base_model"] or "example/base")
    assert recipe.revision == truth["revision"]
    assert list(recipe.data.columns) == truth["train"][0]["columns"]
    if not truth.get("told"):
        share = recipe.warmup if 0 < recipe.warmup < 1 else None
        assert truth["warmup_steps"] == (math.ceil(share * truth["steps"]) if share else recipe.warmup)
    if truth["kind"] != "custom-loss":
        assert recipe.loss.name == truth["train"][0]["loss"]["name"]


@kinds("custom-loss")
def test_a_loss_of_ones_own_makes_no_recipe_until_it_is_given(name: str) -> None:
    with pytest.raises(RecipeError, match=r"__main__\.ScaledErrorLoss.*card\.to_recipe\(loss="):
        _ = card_of(name).recipe


@kinds("fit-triplet")
def test_a_card_without_a_base_model_makes_no_recipe_until_it_is_given(name: str) -> None:
    with pytest.raises(RecipeError, match=r"card\.to_recipe\(model="):
        _ = card_of(name).recipe


@every_card
def test_the_steps_of_the_run_are_worked_out(name: str) -> None:
    assert steps(card_of(name)).total == TRUTHS[name]["steps"]


def logged(name: str) -> dict[int, dict[str, float | None]]:
    """Step -> name as the trainer logs it -> number."""
    found: dict[int, dict[str, float | None]] = {}
    for row in TRUTHS[name]["log"]:
        found.setdefault(int(row["step"]), {}).update(row)
    return found


def trainers_name(column: str) -> str:
    if column == "Training Loss":
        return "loss"
    if column in ("Validation Loss", "loss"):
        return "eval_loss"
    return f"eval_{column.replace(' loss', '_loss')}"


@every_card
def test_the_log_is_that_of_the_trainer(name: str) -> None:
    card, true = card_of(name), logged(name)
    rows = {int(row["Step"] or 0): row for row in card.log if (row["Step"] or 0) > 0}
    assert set(true) <= set(rows) and (set(rows) == set(true) or TRUTHS[name]["how"] == "fit")
    for step, row in rows.items():
        for column, value in row.items():
            key = trainers_name(column)
            if key in true.get(step, {}):
                wanted = true[step][key]
                assert value == (None if wanted is None else pytest.approx(wanted, abs=FOUR_DIGITS)), (step, column)
    for step, row in true.items():
        shown = {trainers_name(column) for column, value in rows[step].items() if value is not None}
        assert {key for key, value in row.items() if key.endswith("loss") and value is not None} <= shown
        assert rows[step]["Epoch"] == pytest.approx(row["epoch"], abs=FOUR_DIGITS)
    assert card.best_step == TRUTHS[name].get("best_step")


@every_card
def test_the_scores_are_those_of_the_last_evaluation(name: str) -> None:
    card, true = card_of(name), TRUTHS[name]["scores"]
    assert {score.data for score in card.scores} == set(true)
    for score in card.scores:
        wanted = true[str(score.data)]
        assert score.evaluator == wanted["evaluator"]
        assert set(score.metrics) == set(wanted["scores"])
        for metric, value in score.metrics.items():
            number = wanted["scores"][metric]
            assert value == (None if number is None else pytest.approx(number, abs=FOUR_DIGITS))
            assert (metric in score.why) == (number is None)


def expected_doubts(name: str) -> set[str]:
    """The doubts that the truth gives a right to, and no others."""
    truth, version = TRUTHS[name], version_of(name)
    kind, losses = truth["kind"], [row for row in truth["log"] if "loss" in row]
    parts, sets = truth["train"] + truth["eval"], truth["train"]
    named = version >= (3, 1) and "id" in sets[0]
    last = max((row["step"] for row in losses), default=0)
    cut = any(length["max"] == truth["max_seq_length"] for part in parts for length in part["tokens"].values())
    when = {
        "fit-settings": truth["how"] == "fit",
        "size-contradicts-steps": size_is_wrong(name),
        "no-log": not losses,
        "log-once": [row["step"] for row in losses] == [500],
        "log-ends-early": losses and last != 500 and last < truth["steps"],
        "log-outside": bool(truth["scores"]) and version >= (3, 4),
        "loss-stuck": kind == "zeroed",
        "all-scores-undefined": kind == "zeroed",
        "no-scores": not truth["scores"],
        "custom-loss": kind == "custom-loss",
        "loss-tags": kind == "custom-loss" and version >= (5, 0),  # older versions did not follow the inner loss
        "inner-loss": kind == "matryoshka",
        "loss-parameters": kind == "labels",
        "several-datasets": len(sets) > 1,
        "data-unnamed": not named,
        "data-part": named,
        "evaluation-rows": bool(truth["eval"]),
        "base-unknown": truth["base_model"] is None,
        "revision-unknown": truth["base_model"] is not None and truth["revision"] is None,
        "texts-cut": cut and kind != "nasty-columns",
        "statistics-missing": kind == "nasty-columns",
        "statistics-part": version >= (5, 5) and any(part["rows"] > 100 for part in parts),
        "fp16-uncertain": truth["precision"] == "fp16",
        "evaluation-time": kind == "two-datasets" and version >= (5, 4),
        "not-in-recipe": kind in ("matryoshka", "prompts"),
        "encoding": "encoding" in truth,
    }
    return {code for code, due in when.items() if due}


@every_card
def test_doubts_fire_where_the_truth_differs_and_nowhere_else(name: str) -> None:
    assert {doubt.code for doubt in card_of(name).doubts} == expected_doubts(name)


def evidence(name: str, code: str) -> dict[str, Any]:
    return dict(next(doubt for doubt in card_of(name).doubts if doubt.code == code).evidence)


@kinds("fit-mnrl", "fit-triplet")
def test_the_peak_rate_of_fit_is_worked_out(name: str) -> None:
    truth = TRUTHS[name]
    # measured before each step, so one step short of the bound
    bound = truth["peak_learning_rate"] * truth["steps"] / (truth["steps"] - 1)
    assert evidence(name, "fit-settings")["peak_learning_rate"] == pytest.approx(bound)
    said = next(doubt.sentence for doubt in card_of(name).doubts if doubt.code == "fit-settings")
    assert f"{truth['steps']:,} steps" in said and "unless told otherwise" in said


@pytest.mark.parametrize("name", [name for name in EMBEDDING if size_is_wrong(name)])
def test_the_rows_that_the_log_means_hold_the_true_number(name: str) -> None:
    low, high = evidence(name, "size-contradicts-steps")["implied_rows"]
    rows = TRUTHS[name]["train"][0]["rows"]
    assert low <= rows <= high
    assert high - low < TRUTHS[name]["batch"]
    assert card_of(name).datasets[0].rows not in range(low, high + 1)


@kinds("zeroed")
def test_the_loss_of_a_guess_is_worked_out(name: str) -> None:
    stuck = [doubt for doubt in card_of(name).doubts if doubt.code == "loss-stuck"]
    assert len(stuck) == 2
    assert all(doubt.evidence["chance"] == pytest.approx(TRUTHS[name]["chance_loss"]) for doubt in stuck)


@kinds("mojibake")
def test_a_misread_card_is_read_as_the_card_it_was(name: str) -> None:
    text = (MADE / f"{name}.md").read_bytes().decode("utf-8")
    sound = read_card(text.encode(TRUTHS[name]["encoding"]).decode("utf-8"))
    broken = card_of(name)
    found = {**broken.to_json(), "doubts": None}
    assert found == {**sound.to_json(), "doubts": None}
    assert {doubt.code for doubt in broken.doubts} - {doubt.code for doubt in sound.doubts} == {"encoding"}
    assert evidence(name, "encoding")["count"] > 20
    assert "\u2019" in broken.datasets[0].samples[0][0] and "\u2026" in broken.datasets[0].samples[0][0]


@kinds("nasty")
def test_nasty_texts_stay_texts(name: str) -> None:
    card = card_of(name)
    assert card.hyperparameters["learning_rate"] == 5e-05
    assert card.datasets[0].loss is not None and card.datasets[0].loss.parameters["scale"] == 20.0
    assert "<script>" not in card._repr_html_() and len(card.log) == 4


def test_a_sample_is_shown_whole_or_not_at_all() -> None:
    # Version 3.4 leaves a | within a text as it is, so that a table cuts the text there.
    samples = card_of("3.4.1-nasty").datasets[0].samples
    starts = [(row[0].split("\n")[0].rstrip(), row[1].split("\n")[0].rstrip()) for row in samples]
    pipes, page = "a | b || c \\| d | ---|--- |", NASTY_PAGE
    assert [start for start in starts if start[0] != pipes] == [(page, "first line"), ("first line", NASTY_SIGNS)]
    assert "second line" in samples[-1][0] and samples[-1][0].endswith("## A heading\n- `learning_rate`: 1\n```\nfence")


@kinds("matryoshka", "labels")
def test_parameters_that_no_card_shows_are_said_to_be_assumed(name: str) -> None:
    true, loss = TRUTHS[name]["train"][0]["loss"], card_of(name).losses[0]
    shown = loss.inner if true["inner"] else loss
    hidden = (true["inner"] or true)["parameters"]
    assert hidden.get("scale") == 25.0 or hidden.get("margin") == 0.3
    assert shown is not None and shown.parameters == {}
    code = "inner-loss" if true["inner"] else "loss-parameters"
    said = next(doubt.sentence for doubt in card_of(name).doubts if doubt.code == code)
    assert shown.name in said and "the library's defaults" in said
