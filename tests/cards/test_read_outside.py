"""Cards from outside: numbers of other languages, values that nobody writes, and settings that mislead."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

import workbench as wb
from tests.cards.test_read import HUB, LOSS, card, data_part
from workbench.cards.read import Card
from workbench.cards.read_outline import number, whole
from workbench.cards.read_steps import steps
from workbench.errors import RecipeError

HUGE = "0x" + "f" * 6000  # more decimal digits than Python prints


def doubts(read: Card) -> dict[str, str]:
    """Sentences by code."""
    return {doubt.code: doubt.sentence for doubt in read.doubts}


def whole_record(read: Card) -> str:
    """All that is shown of a card, as bytes that a file can hold."""
    return "".join([json.dumps(read.to_json(), allow_nan=False), repr(read), read._repr_html_()]).encode().decode()


# ---------------------------------------------------------------- values that nobody writes


@pytest.mark.parametrize("value", [HUGE, '"own\\ud800er"'])
@pytest.mark.parametrize(
    "front",
    [
        "base_model: {}\n",
        "license: {}\n",
        "model-index:\n- results:\n  - task: {{name: {0}}}\n    metrics:\n    - {{type: {0}, value: {0}}}\n",
    ],
)
def test_front_matter_with_values_that_nobody_writes_is_read(front: str, value: str) -> None:
    text = card(base="", scores=[("Nothing", "x")]).replace("license: mit\n", front.format(value))
    assert wb.read_card(text).model_name in whole_record(wb.read_card(text))


@pytest.mark.parametrize(
    "parameters", [f'{{"scale": {HUGE}}}', '{"scale\\ud800": 2}', '{"scale": 0x' + "f" * 400 + "}"]
)
def test_parameters_that_nobody_writes_are_told(parameters: str) -> None:
    read = wb.read_card(card(data=data_part(link=HUB, parameters=parameters)))
    assert "loss-parameters" in doubts(read) and "loss-parameters" in whole_record(read)
    assert read.recipe.loss == wb.Loss("MultipleNegativesRankingLoss")


@pytest.mark.parametrize(
    "recipe",
    [
        f"model: a/b\nloss: MSELoss\ndata: o/d\nepochs: {HUGE}",
        f"model: a/b\nloss: {{name: TripletLoss, triplet_margin: {HUGE}}}\ndata: o/d",
        'model: a/b\nloss: {name: GISTEmbedLoss, guide: "a\\ud800"}\ndata: o/d',
    ],
)
def test_a_carried_recipe_of_values_that_nobody_writes_is_damaged(recipe: str) -> None:
    own = f"### The Run\n- **Workbench:** 1\n\n### Recipe\n\n```yaml\n{recipe}\n```\n\n"
    read = wb.read_card(card(more=own))
    assert "recipe-damaged" in doubts(read) and read.recipe.model == "owner/base"


def test_a_doubt_is_one_line_that_a_comment_and_a_terminal_can_hold() -> None:
    evil = "a\x1b[31m\x07b\u2028c\u202ed\ufffe"
    front = f"base_model: {json.dumps('o/x' + evil + chr(10) + 'loss: 1')}\n"
    read = wb.read_card(card(base="", front=front, data=data_part(name=evil, loss=LOSS.replace("RankingLoss", evil))))
    assert all(doubt.sentence.isprintable() for doubt in read.doubts)
    text = "".join(f"# {doubt.sentence}\n" for doubt in read.doubts)
    assert len(read.doubts) == 3 and yaml.safe_load(text + "a: 1") == {"a": 1}


# ---------------------------------------------------------------- numbers of other languages


@pytest.mark.parametrize("said", ["0,812", "0,500", "00,123"])
def test_a_decimal_comma_is_no_thousands(said: str) -> None:
    assert number(said) is None


@pytest.mark.parametrize("said", ["1 480 training samples", "1\u202f480 samples", "12 345 678"])
def test_thousands_apart_by_spaces_are_no_small_number(said: str) -> None:
    assert whole(said) is None


def test_losses_and_scores_with_a_comma_are_not_a_thousand_times_larger() -> None:
    log: list[tuple[object, ...]] = [
        ("Epoch", "Step", "Training Loss"),
        ("1,000", "30", "2,512"),
        (34.0, "1,020", "1.5"),
    ]
    read = wb.read_card(card(log=log, scores=[("Metric", "Value"), ("cosine_ndcg@10", "1,234")]))
    assert read.log == (
        {"Epoch": None, "Step": 30, "Training Loss": None},
        {"Epoch": 34.0, "Step": 1020, "Training Loss": 1.5},
    )
    assert read.scores[0].metrics == {"cosine_ndcg@10": None} and "'1,234'" in read.scores[0].why["cosine_ndcg@10"]


# ---------------------------------------------------------------- settings that mislead


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [
        ("Instruct: find\nQuery: ", "Instruct: find\nQuery: "),
        ("{'things': 'find: '}", "find: "),
        ("{'anchor': 'find: '}", {"anchor": "find: "}),
        ("{'other': 'find: '}", None),
    ],
)
def test_prompts_of_two_lines_and_of_a_data_set_are_whole(printed: str, wanted: Any) -> None:
    read = wb.read_card(card(settings={"prompts": printed}))
    assert read.recipe.prompts == wanted
    assert ("not-in-recipe" in doubts(read)) == (wanted is None)


@pytest.mark.parametrize(
    ("ratio", "warmup", "told"),
    [(1.0, 0.999999, False), (10, 0, True), (-0.1, 0, True), ("ten percent", 0, True), (None, 0, False)],
)
def test_a_share_of_warm_up_is_never_a_number_of_steps(ratio: Any, warmup: float, told: bool) -> None:
    read = wb.read_card(card(settings={"warmup_ratio": ratio}))
    assert read.recipe.warmup == warmup
    assert ("setting-unreadable" in doubts(read)) == told


@pytest.mark.parametrize("guide", ["SentenceTransformer(None)", "SentenceTransformer", "SentenceTransformer(\\n  (0): A()\\n)"])  # fmt: skip
def test_a_model_without_its_name_is_asked_for(guide: str) -> None:
    loss = LOSS.replace("MultipleNegativesRankingLoss", "GISTEmbedLoss")
    read = wb.read_card(card(data=data_part(link=HUB, loss=loss, parameters=f'{{"guide": "{guide}"}}')))
    with pytest.raises(RecipeError, match=r"loss\.guide: expected the name or folder of a model, got nothing"):
        _ = read.recipe


def test_a_wrapped_loss_with_parameters_and_one_of_its_author_are_told() -> None:
    loss = LOSS.replace("MultipleNegativesRankingLoss", "MatryoshkaLoss")

    def read(inner: str) -> dict[str, str]:
        parameters = f'{{"loss": "{inner}", "matryoshka_dims": [384, 64]}}'
        return doubts(wb.read_card(card(data=data_part(link=HUB, loss=loss, parameters=parameters))))

    told = read("MultipleNegativesRankingLoss(scale=33.0)")
    assert "MultipleNegativesRankingLoss(scale=33.0)" in told["loss-parameters"] and "inner-loss" not in told
    own = read("MyLoss")
    assert "MyLoss is its author's own" in own["custom-loss"] and "inner-loss" not in own


def test_a_card_without_settings_and_data_says_what_the_recipe_assumes() -> None:
    read = wb.read_card("---\nlibrary_name: sentence-transformers\n---\n# x\n")
    assert read.to_recipe(model="a/b", loss="CoSENTLoss", data="a.csv").batch_size == 8
    assert "batch 8, 3 epochs, learning rate 5e-05" in doubts(read)["settings-missing"]


# ---------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(("version", "total"), [("4.51.3", 21), ("4.52.0", 24), ("5.0.0", 24)])
def test_batches_that_are_left_over_make_a_step_since_4_52(version: str, total: int) -> None:
    more = f"### Framework Versions\n- Transformers: {version}\n\n"
    settings = {"gradient_accumulation_steps": 4, "num_train_epochs": 3}
    read = wb.read_card(card(settings=settings, log=[], more=more))
    assert steps(read).total == total


@pytest.mark.parametrize(
    "settings",
    [
        {"per_device_train_batch_size": 0},
        {"per_device_train_batch_size": 2.5},
        {"per_device_train_batch_size": -4},
        {"gradient_accumulation_steps": 0},
    ],
)
def test_batches_that_no_run_has_make_no_arithmetic(settings: dict[str, Any]) -> None:
    read = wb.read_card(card(settings=settings))
    assert not set(doubts(read)) & {"size-contradicts-steps", "log-ends-early", "steps-beyond"}
    with pytest.raises(RecipeError, match="the card says so, pass another value"):
        _ = read.recipe


def test_a_log_beyond_max_steps_blames_max_steps() -> None:
    told = doubts(wb.read_card(card(settings={"max_steps": 40})))
    assert told["steps-beyond"] == "The log goes on to step 60, but max_steps ends it after 40 steps."
