"""From a card to a recipe: every setting in its place, and one sentence where there is none."""

from __future__ import annotations

from typing import Any

import pytest

import workbench as wb
from tests.cards.test_read import LOSS, TEXT, card, data_part
from tests.cards.test_read_doubts import FIT, PAIR
from workbench.errors import RecipeError

INT = {"type": "int", "details": "<ul><li>0: ~50.00%</li><li>1: ~50.00%</li></ul>"}
FLOAT = {"type": "float", "details": "<ul><li>min: 0.0</li><li>mean: 0.5</li><li>max: 1.0</li></ul>"}
LIST = {"type": "list", "details": "<ul><li>size: 3 elements</li></ul>"}


def named(loss: str) -> str:
    """The line of another loss."""
    return LOSS.replace("MultipleNegativesRankingLoss", loss)


def test_a_recipe_repeats_what_the_card_says() -> None:
    assert wb.read_card(card()).recipe == wb.Recipe(
        model="owner/base",
        revision="ab" * 20,
        loss=wb.Loss("MultipleNegativesRankingLoss", scale=20.0),
        data={"source": "owner/things", "columns": {"anchor": "anchor", "positive": "positive"}},
        eval_share=0.0,
        epochs=2,
        max_seq_length=256,
        learning_rate=3e-5,
        weight_decay=0.01,
        warmup=0.1,
        batch_sampler="no_duplicates",
        precision="fp32",
        seed=7,
    )


@pytest.mark.parametrize(
    ("printed", "setting", "wanted"),
    [
        ({"warmup_ratio": None, "warmup_steps": 0.25}, "warmup", 0.25),
        ({"warmup_steps": 12}, "warmup", 12),
        ({"warmup_ratio": 0.0}, "warmup", 0),
        ({"max_steps": 40}, "max_steps", 40),
        ({"bf16": True}, "precision", "bf16"),
        ({"fp16": True}, "precision", "fp16"),
        ({"optim": "adamw_torch_fused"}, "optimizer", "adamw"),
        ({"optim": "sgd"}, "optimizer", "sgd"),
        ({"lr_scheduler_type": "cosine"}, "scheduler", "cosine"),
        ({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps", 4),
        ({"per_device_train_batch_size": "16.0"}, "batch_size", 16),
        ({"dataloader_drop_last": True}, "drop_last", True),
        ({"gradient_checkpointing": True}, "gradient_checkpointing", True),
        ({"max_grad_norm": 0.5}, "max_grad_norm", 0.5),
        ({"num_train_epochs": 0.5}, "epochs", 0.5),
        ({"use_cpu": True}, "device", "cpu"),
        ({"prompts": "{'anchor': 'query: '}"}, "prompts", {"anchor": "query: "}),
        ({"prompts": "query: "}, "prompts", "query: "),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "scheduler", "linear"),
        ({"learning_rate": ...}, "learning_rate", 5e-5),
    ],
)
def test_a_printed_setting_becomes_the_recipes(printed: dict[str, Any], setting: str, wanted: object) -> None:
    assert getattr(wb.read_card(card(settings=printed)).recipe, setting) == wanted


def test_settings_of_the_old_fit_are_those_that_it_used() -> None:
    data = data_part(name="Unnamed Dataset", columns=PAIR)
    recipe = wb.read_card(card(data=data, settings=FIT, log=[])).recipe
    assert (recipe.learning_rate, recipe.warmup, recipe.weight_decay, recipe.scheduler) == (
        2e-5,
        10_000,
        0.01,
        "linear",
    )
    assert recipe.data.source == "unnamed-dataset"


@pytest.mark.parametrize(
    ("loss", "columns", "roles"),
    [
        ("CoSENTLoss", {"a": TEXT, "b": TEXT, "score": FLOAT}, ["anchor", "positive", "score"]),
        ("CoSENTLoss", {"a": TEXT, "b": TEXT, "label": INT}, ["anchor", "positive", "score"]),
        ("ContrastiveLoss", {"a": TEXT, "b": TEXT, "label": INT}, ["anchor", "positive", "label"]),
        ("BatchAllTripletLoss", {"text": TEXT, "label": INT}, ["anchor", "label"]),
        ("BatchAllTripletLoss", {"label": INT, "text": TEXT}, ["label", "anchor"]),
        ("MSELoss", {"text": TEXT, "label": LIST}, ["anchor", "score"]),
        ("MarginMSELoss", {"q": TEXT, "p": TEXT, "n": TEXT, "score": FLOAT}, ["anchor", "positive", "negative", "score"]),
        ("TripletLoss", {"b": TEXT, "a": TEXT, "c": TEXT}, ["anchor", "positive", "negative"]),
    ],
)  # fmt: skip
def test_columns_get_their_roles_from_order_names_and_the_loss(
    loss: str, columns: dict[str, Any], roles: list[str]
) -> None:
    recipe = wb.read_card(card(data=data_part(columns=columns, loss=named(loss), parameters="{}"))).recipe
    assert list(recipe.data.columns.items()) == list(zip(columns, roles, strict=True))


@pytest.mark.parametrize(
    ("loss", "printed", "wanted"),
    [
        ("TripletLoss", '{"distance_metric": "TripletDistanceMetric.EUCLIDEAN", "triplet_margin": 5}', {"distance_metric": "EUCLIDEAN", "triplet_margin": 5}),
        ("BatchAllTripletLoss", '{"distance_metric": "eucledian_distance"}', {"distance_metric": "euclidean_distance"}),
        ("CosineSimilarityLoss", '{"loss_fct": "torch.nn.modules.loss.MSELoss"}', {"loss_fct": "MSELoss"}),
        ("GISTEmbedLoss", '{"guide": "SentenceTransformer(\'owner/guide\', trust_remote_code=True)", "temperature": 0.02}', {"guide": "owner/guide", "temperature": 0.02}),
        ("MultipleNegativesRankingLoss", '{"hardness_mode": null, "scale": 15.0, "gone": 1}', {"scale": 15.0}),
        ("MultipleNegativesRankingLoss", "{'scale': 15.0}", {"scale": 15.0}),
    ],
)  # fmt: skip
def test_parameters_are_read_as_each_version_prints_them(loss: str, printed: str, wanted: dict[str, Any]) -> None:
    found = wb.read_card(card(data=data_part(loss=named(loss), parameters=printed))).recipe.loss
    assert found == wb.Loss(loss, **wanted)


def test_a_wrapped_loss_is_wrapped_again() -> None:
    printed = (
        '{"loss": "CoSENTLoss", "matryoshka_dims": [384, 64], "matryoshka_weights": [1, 1], "n_dims_per_step": -1}'
    )
    found = wb.read_card(card(data=data_part(loss=named("MatryoshkaLoss"), parameters=printed))).recipe.loss
    assert found == wb.Loss(
        "MatryoshkaLoss", loss="CoSENTLoss", matryoshka_dims=[384, 64], matryoshka_weights=[1, 1], n_dims_per_step=-1
    )


@pytest.mark.parametrize(
    ("base", "limit", "wanted"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", 256, None),
        ("sentence-transformers/all-MiniLM-L6-v2", 128, 128),
        ("sentence-transformers/static-retrieval-mrl-en-v1", 0, None),
    ],
)
def test_a_length_is_set_where_it_is_not_that_of_the_base_model(base: str, limit: int, wanted: int | None) -> None:
    assert wb.read_card(card(base=base, limit=limit)).recipe.max_seq_length == wanted


def test_a_shipped_name_is_a_place_and_another_name_is_none() -> None:
    assert wb.read_card(card(data=data_part(name="glossary/qa"))).recipe.data.source == "glossary/qa"
    assert wb.read_card(card(data=data_part(name="csv"))).recipe.data.source == "unnamed-dataset"


OWN = data_part(loss="* Loss: <code>__main__.OwnLoss</code>", parameters="{}")


def test_a_loss_without_source_and_a_missing_base_model_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as error:
        _ = wb.read_card(card(base="", data=OWN)).recipe
    assert error.value.problems == (
        "model: expected the name of the base model, got none, as the card does not say it; pass it: card.to_recipe(model=…)",
        "loss: expected a loss of Sentence Transformers, got '__main__.OwnLoss', a loss of its author whose source is not in the card; pass it: card.to_recipe(loss=…)",
    )


def test_what_is_passed_takes_the_place_of_what_is_missing() -> None:
    recipe = wb.read_card(card(base="", data=OWN)).to_recipe(loss="CoSENTLoss", model="owner/other", data="pairs.csv")
    assert (recipe.model, recipe.revision, recipe.loss, recipe.data.source) == (
        "owner/other", None, wb.Loss("CoSENTLoss"), "pairs.csv",
    )  # fmt: skip
    assert recipe.learning_rate == 3e-5


def test_another_model_does_not_get_the_revision_of_the_cards() -> None:
    read = wb.read_card(card())
    assert read.to_recipe(model="owner/other").revision is None
    assert read.to_recipe(model="owner/other", revision="main").revision == "main"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per_device_train_batch_size": 10**6}, "batch_size: expected"),
        ({"num_train_epochs": 0}, "epochs: expected"),
        ({"learning_rate": -1}, "learning_rate: expected"),
        ({"gradient_accumulation_steps": 2.5}, "gradient_accumulation_steps: expected"),
        ({"seed": -3}, "seed: expected"),
    ],
)
def test_a_value_out_of_bounds_is_one_sentence_that_names_the_way_out(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as error:
        _ = wb.read_card(card(settings=settings)).recipe
    assert str(error.value).startswith(words)
    name = words.partition(":")[0]
    assert f"the card says so, pass another value: card.to_recipe({name}=…)" in str(error.value)
    assert getattr(wb.read_card(card(settings=settings)).to_recipe(**{name: 1}), name) == 1


def test_a_wrong_setting_of_the_caller_is_the_callers() -> None:
    with pytest.raises(RecipeError) as error:
        wb.read_card(card()).to_recipe(batch_size=0)
    assert "the card says so" not in str(error.value)
    with pytest.raises(RecipeError, match="did you mean 'batch_size'"):
        wb.read_card(card()).to_recipe(batchsize=4)


def test_a_parameter_that_the_loss_needs_and_the_card_leaves_out_is_told() -> None:
    with pytest.raises(RecipeError, match=r"loss.guide: expected .*; pass it: card.to_recipe\(loss=…\)"):
        _ = wb.read_card(card(data=data_part(loss=named("GISTEmbedLoss"), parameters="{}"))).recipe


def test_a_card_without_training_makes_no_recipe() -> None:
    text = "---\nlibrary_name: sentence-transformers\n---\n# x\n"
    with pytest.raises(RecipeError, match="The recipe has 2 problems"):
        _ = wb.read_card(text).recipe
