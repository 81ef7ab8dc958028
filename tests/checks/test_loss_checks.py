"""Does the loss suit the table and the model?"""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from tests.checks.tables import codes, fires, labelled, pairs, recipe, text, triplets
from workbench.recipe import Loss


def test_a_loss_that_does_not_fit_is_replaced_by_the_first_that_does(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), "TripletLoss"), "loss-does-not-fit")
    assert finding.severity == "error"
    assert "this table has 2 text columns and no label: it needs 1 more" in finding.message
    assert finding.to_json()["fix"] == {
        "loss": {"name": "MultipleNegativesRankingLoss"},
        "batch_sampler": "no_duplicates",
    }


def test_a_wrapper_stays_around_the_loss_that_fits(tiny_bert: Path) -> None:
    wrapped = Loss("MatryoshkaLoss", loss=Loss("TripletLoss"), matryoshka_dims=[32, 16])
    mended = fires(recipe(tiny_bert, pairs(), wrapped), "loss-does-not-fit").fix()
    assert mended is not None
    assert mended.loss == Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32, 16])


def test_a_loss_for_classes_comes_with_batches_that_it_can_use(unit_bert: Path) -> None:
    mended = fires(recipe(unit_bert, labelled(["x", "y"] * 120), batch_size=7), "loss-does-not-fit").fix()
    assert mended is not None
    assert (mended.batch_sampler, mended.batch_size) == ("group_by_label", 8)
    assert codes(mended) == []


def test_a_label_that_no_loss_takes_is_left_out(tiny_bert: Path) -> None:
    table = triplets().assign(label=["x", "y", "z"] * 80)
    finding = fires(recipe(tiny_bert, table), "loss-does-not-fit")
    assert finding.fixed == "ignore the column 'label'"
    assert finding.to_json()["fix"]["data"]["columns"]["label"] == "ignore"


def test_a_loss_that_does_not_fit_is_not_looked_at_any_closer(tiny_bert: Path) -> None:
    far = Loss("BatchAllTripletLoss", distance_metric="cosine_distance", margin=5)
    assert codes(recipe(tiny_bert, pairs(), far)) == ["loss-does-not-fit"]


@pytest.mark.parametrize(
    ("loss", "table"),
    [
        (Loss("TripletLoss", distance_metric="COSINE"), triplets()),
        (Loss("MatryoshkaLoss", loss=Loss("TripletLoss", distance_metric="COSINE"), matryoshka_dims=[32, 16]), triplets()),
        (Loss("ContrastiveLoss", margin=3), pairs(label=[0, 1] * 120)),
    ],
)  # fmt: skip
def test_a_margin_above_the_largest_cosine_distance_is_out_of_reach(
    tiny_bert: Path, loss: Loss, table: pandas.DataFrame
) -> None:
    finding = fires(recipe(tiny_bert, table, loss), "margin-out-of-reach")
    assert "can never be met" in finding.message and "ends at 2" in finding.message


def test_the_usual_margin_of_5_is_out_of_reach_for_unit_vectors_only(tiny_bert: Path, unit_bert: Path) -> None:
    finding = fires(recipe(unit_bert, triplets(), "TripletLoss"), "margin-out-of-reach")
    assert "since the euclidean distance of this model ends at 2: the loss stays above 3." in finding.message
    assert finding.to_json()["fix"] == {"loss": {"name": "TripletLoss", "triplet_margin": 0.3}}
    assert "margin-out-of-reach" not in codes(recipe(tiny_bert, triplets(), "TripletLoss"))


def test_a_scale_of_one_leaves_little_to_learn(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), Loss("MultipleNegativesRankingLoss", scale=1)), "scale-too-small")
    assert "keeps a loss of 1.27 among 8 candidates, where pure guessing has 2.08" in finding.message


def test_scaled_dot_products_of_long_vectors_are_named(tiny_bert: Path, unit_bert: Path) -> None:
    loss = Loss("MultipleNegativesRankingLoss", similarity_fct="dot_score")
    fires(recipe(tiny_bert, pairs(), loss), "dot-product-scaled")
    assert codes(recipe(unit_bert, pairs(), loss)) == []


def test_dimensions_that_the_model_does_not_have_are_left_out(tiny_bert: Path) -> None:
    loss = Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[64, 32, 8], matryoshka_weights=[3, 2, 1])  # fmt: skip
    finding = fires(recipe(tiny_bert, pairs(), loss), "too-many-dimensions")
    assert finding.severity == "error" and "asks for 64 dimensions" in finding.message
    mended = finding.fix()
    assert mended is not None and mended.loss.parameters["matryoshka_dims"] == [32, 8]
    assert mended.loss.parameters["matryoshka_weights"] == [2, 1]


@pytest.mark.parametrize("name", ["BatchAllTripletLoss", "BatchHardTripletLoss", "BatchSemiHardTripletLoss"])
def test_the_default_margin_of_losses_of_classes_is_out_of_reach_too(unit_bert: Path, name: str) -> None:
    grouped = recipe(unit_bert, labelled(["x", "y"] * 120), name, batch_sampler="group_by_label")
    assert fires(grouped, "margin-out-of-reach").to_json()["fix"] == {"loss": {"name": name, "margin": 0.3}}


def test_a_margin_of_zero_asks_for_nothing(tiny_bert: Path) -> None:
    loss = Loss("TripletLoss", distance_metric="COSINE", triplet_margin=0)
    assert "has no loss" in fires(recipe(tiny_bert, triplets(), loss), "margin-is-zero").message


def test_a_temperature_of_one_leaves_as_little_to_learn_as_a_scale_of_one(tiny_bert: Path) -> None:
    guided = recipe(tiny_bert, pairs(), Loss("GISTEmbedLoss", guide=str(tiny_bert), temperature=1))
    assert fires(guided, "scale-too-small").fixed == "set temperature to 0.01"
    assert codes(recipe(tiny_bert, pairs(), Loss("GISTEmbedLoss", guide=str(tiny_bert)))) == []


def test_a_loss_that_compares_otherwise_than_the_model_is_named(tiny_bert: Path, unit_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, triplets(), "TripletLoss"), "similarity-differs")
    assert finding.severity == "note" and "compares by euclidean" in finding.message
    assert finding.to_json()["fix"] == {
        "loss": {"name": "TripletLoss", "distance_metric": "COSINE", "triplet_margin": 0.3}
    }
    assert "similarity-differs" not in codes(recipe(unit_bert, triplets(), "TripletLoss"))


@pytest.mark.parametrize(
    ("loss", "instead"),
    [
        (Loss("CachedMultipleNegativesRankingLoss", scale=10, mini_batch_size=4), Loss("MultipleNegativesRankingLoss", scale=10)),
        (Loss("MegaBatchMarginLoss"), Loss("MegaBatchMarginLoss", use_mini_batched_version=False)),
        (Loss("AdaptiveLayerLoss", loss=Loss("MultipleNegativesRankingLoss")), Loss("MultipleNegativesRankingLoss")),
        (
            Loss("Matryoshka2dLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32, 8]),
            Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32, 8]),
        ),
        (
            Loss("MatryoshkaLoss", loss=Loss("CachedMultipleNegativesRankingLoss"), matryoshka_dims=[32]),
            Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32]),
        ),
        (Loss("DenoisingAutoEncoderLoss", decoder_name_or_path="x/y"), None),
    ],
    ids=lambda value: value and value.name,
)  # fmt: skip
def test_a_static_model_gets_no_loss_that_needs_layers_or_splits_batches(
    tiny_static: Path, tiny_bert: Path, loss: Loss, instead: Loss | None
) -> None:
    finding = fires(recipe(tiny_static, pairs(), loss, learning_rate=0.2), "loss-needs-a-transformer")
    mended = finding.fix()
    assert (mended and mended.loss) == instead and finding.severity == "error"
    assert "loss-needs-a-transformer" not in codes(recipe(tiny_bert, pairs(), loss))


def test_a_static_model_is_trained_without_lora(tiny_static: Path, tiny_bert: Path) -> None:
    fires(recipe(tiny_static, pairs(), learning_rate=0.2, lora={"r": 4}), "lora-needs-a-transformer")
    assert "lora-needs-a-transformer" not in codes(recipe(tiny_bert, pairs(), lora={"r": 4}))


def test_a_teacher_of_another_dimension_is_projected(tiny_bert: Path) -> None:
    table = pandas.DataFrame({"text": [text(n) for n in range(240)], "score": [[0.1] * 16] * 240})
    finding = fires(recipe(tiny_bert, table, "MSELoss"), "teacher-dimension")
    assert "vectors of 16 numbers" in finding.message and finding.fixed == "set projection_dim to 16"
    table["score"] = [[0.1] * 32] * 240
    assert "teacher-dimension" not in codes(recipe(tiny_bert, table, "MSELoss"))


def test_a_guide_that_is_no_model_is_an_error(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), Loss("GISTEmbedLoss", guide="./nowhere/at all")), "other-model-missing")
    assert "cannot have './nowhere/at all' as its guide" in finding.message


def test_mega_batches_are_large(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(1000), "MegaBatchMarginLoss"), "batches-too-small-for-the-loss")
    assert "hardest of 8 rows" in finding.message and finding.fixed == "set batch_size to 500"
    assert "batches-too-small-for-the-loss" not in codes(
        recipe(tiny_bert, pairs(), "MegaBatchMarginLoss", batch_size=100)
    )


def test_a_loss_of_ones_own_is_checked_without_running_it(tiny_bert: Path) -> None:
    source = "raise SystemExit('this was run')\nclass Mine:\n    def __init__(self, model, margin=9):\n        pass\n"
    assert codes(recipe(tiny_bert, pairs(), Loss("Mine", source=source))) == []
