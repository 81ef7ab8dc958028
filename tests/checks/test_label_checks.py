"""Labels and scores: do they vary, can they be reached, do the classes meet?"""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from tests.checks.tables import codes, fires, labelled, pairs, recipe, scored, triplets
from workbench.checks.case import Case
from workbench.recipe import Loss


@pytest.mark.parametrize(
    ("loss", "table", "words"),
    [
        ("CoSENTLoss", scored([0.5] * 240), "nothing is learnt"),
        ("CosineSimilarityLoss", scored([0.5] * 240), "learns to answer that for all texts"),
        ("OnlineContrastiveLoss", pairs(label=[1] * 240), "learns to answer that for all texts"),
        ("BatchAllTripletLoss", labelled(["only"] * 240), "class 'only' in 'label', so the loss has no gradient"),
    ],
)
def test_labels_that_are_all_equal_teach_nothing(
    tiny_bert: Path, loss: str, table: pandas.DataFrame, words: str
) -> None:
    finding = fires(recipe(tiny_bert, table, loss), "labels-all-equal")
    assert finding.severity == "error" and words in finding.message


def test_scores_of_0_to_5_are_out_of_reach_of_cosines(tiny_bert: Path) -> None:
    table = scored([0.0, 5.0] * 120)
    finding = fires(recipe(tiny_bert, table, "CosineSimilarityLoss"), "scores-out-of-reach")
    assert "run from 0 to 5" in finding.message and "from -1 to 1" in finding.message
    assert finding.evidence["least_loss"] == pytest.approx(16 * finding.evidence["share_outside"])
    assert codes(recipe(tiny_bert, table, "CoSENTLoss")) == []


def test_margins_beyond_2_are_out_of_reach_of_unit_vectors_only(tiny_bert: Path, unit_bert: Path) -> None:
    table = triplets().assign(score=[4.0, -0.5] * 120)
    finding = fires(recipe(unit_bert, table, "MarginMSELoss"), "scores-out-of-reach")
    assert finding.evidence["share_outside"] == pytest.approx(0.5, abs=0.1) and finding.fix() is None
    assert "scores-out-of-reach" not in codes(recipe(tiny_bert, table, "MarginMSELoss"))


def test_the_scores_of_a_teacher_are_compared_by_their_margins(unit_bert: Path) -> None:
    table = triplets()
    table["scores"] = [[9.0, 8.5], [8.0, 9.0]] * 120
    assert "scores-out-of-reach" not in codes(recipe(unit_bert, table, "MarginMSELoss"))


def test_rows_that_meet_none_of_their_class_are_counted(tiny_bert: Path) -> None:
    table = labelled([f"c{n % 40}" for n in range(240)])
    finding = fires(recipe(tiny_bert, table, "BatchHardSoftMarginTripletLoss", eval_share=0), "classes-rarely-meet")
    # 234 of the other 239 rows are of other classes; 7 of them fill the batch
    chance = 1.0
    for place in range(7):
        chance *= (234 - place) / (239 - place)
    assert finding.evidence["share_of_rows_alone"] == pytest.approx(chance)
    assert finding.fixed == "set batch_sampler to group_by_label"


def test_batches_that_hold_one_class_are_counted(tiny_bert: Path) -> None:
    table = labelled(["many"] * 228 + ["few"] * 12)
    loss = Loss("BatchHardSoftMarginTripletLoss", distance_metric="cosine_distance")
    finding = fires(recipe(tiny_bert, table, loss, eval_share=0), "batches-of-one-class")
    chance = few = 1.0
    for place in range(8):
        chance *= (228 - place) / (240 - place)
        few *= (12 - place) / (240 - place)
    assert finding.evidence["share_of_batches"] == pytest.approx(chance + few)
    even = labelled(["x", "y"] * 120)
    assert codes(recipe(tiny_bert, even, loss)) == []


def test_equal_texts_with_different_classes_are_named(tiny_bert: Path) -> None:
    table = labelled(["x", "y"] * 120)
    table.loc[5, "text"] = table.loc[2, "text"]
    loss = Loss("BatchHardSoftMarginTripletLoss", distance_metric="cosine_distance")
    finding = fires(recipe(tiny_bert, table, loss, eval_share=0), "contradicting-labels")
    assert finding.severity == "note" and "2 of 240 rows" in finding.message and "(row 3, 6)" in finding.message
    table.loc[5, "label"] = "x"
    assert codes(recipe(tiny_bert, table, loss, eval_share=0)) == ["no-evaluation"]


def test_a_teacher_that_is_surer_than_unit_vectors_can_be_gets_a_lower_temperature(unit_bert: Path) -> None:
    table = triplets()
    table["scores"] = [[9.0, 1.0], [3.0, 2.0]] * 120
    finding = fires(recipe(unit_bert, table, "DistillKLDivLoss", eval_share=0), "teacher-out-of-reach")
    assert "In 50% of the rows" in finding.message and finding.fixed == "set student_temperature to 0.25"
    table["scores"] = [[0.9, 0.1]] * 240
    assert "teacher-out-of-reach" not in codes(recipe(unit_bert, table, "DistillKLDivLoss", eval_share=0))


def test_a_few_scores_out_of_reach_are_no_error(tiny_bert: Path) -> None:
    table = scored([3.0] + [n / 240 for n in range(239)])
    assert (
        fires(recipe(tiny_bert, table, "CosineSimilarityLoss", eval_share=0), "scores-out-of-reach").severity
        == "warning"
    )


def test_grouping_needs_a_label_an_even_batch_and_two_classes(tiny_bert: Path) -> None:
    no_label = fires(recipe(tiny_bert, pairs(), batch_sampler="group_by_label"), "no-classes-to-group")
    assert no_label.fixed == "set batch_sampler to no_duplicates"
    odd = recipe(tiny_bert, labelled(["x", "y"] * 120), "BatchHardSoftMarginTripletLoss", batch_sampler="group_by_label", batch_size=5)  # fmt: skip
    assert fires(odd, "batch-not-even").fixed == "set batch_size to 6"
    single = labelled(["many"] * 200 + [f"one {n}" for n in range(40)])
    few = recipe(tiny_bert, single, "BatchHardSoftMarginTripletLoss", batch_sampler="group_by_label", eval_share=0)
    assert "group_by_label needs two classes" in fires(few, "too-few-classes").message


def test_rows_that_grouping_leaves_out_are_counted_as_the_library_counts(tiny_bert: Path) -> None:
    from sentence_transformers.base.sampler import GroupByLabelBatchSampler

    table = labelled(["many"] * 150 + ["some"] * 41 + [f"one {n}" for n in range(9)])
    grouped = recipe(tiny_bert, table, "BatchHardSoftMarginTripletLoss", batch_sampler="group_by_label", eval_share=0)
    finding = fires(grouped, "rows-left-out")
    case = Case.of(grouped, lambda *_: None)
    sampler = GroupByLabelBatchSampler(case.train.to_training(), 8, False, ["label"])
    assert finding.evidence["rows_used"] == sampler._stream_length == 80


def test_softmax_has_a_place_for_every_class(tiny_bert: Path) -> None:
    table = pairs(label=[f"c{n % 4}" for n in range(240)])
    finding = fires(recipe(tiny_bert, table, Loss("SoftmaxLoss", num_labels=3)), "too-few-places-for-classes")
    assert finding.to_json()["fix"] == {"loss": {"name": "SoftmaxLoss", "num_labels": 4}}
