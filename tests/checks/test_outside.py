"""What hostile tables, labels and settings do to the checks: true findings, and fixes that make nothing worse."""

from __future__ import annotations

import json
import math
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.checks.tables import codes, fires, labelled, look, pairs, recipe, text
from workbench.catalog import models
from workbench.checks import labels
from workbench.checks.case import Case
from workbench.checks.during import Watch
from workbench.checks.trial_batch import judge, trainer_of
from workbench.data.load import load
from workbench.data.prepare import prepare
from workbench.recipe import Loss

MNRL = "MultipleNegativesRankingLoss"
BATCH_ALL = Loss("BatchAllTripletLoss", distance_metric="cosine_distance", margin=0.3)


@pytest.fixture
def with_settings(tiny_bert: Path, tmp_path: Path) -> Any:
    """Makes a copy of the tiny BERT that says something else of itself."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "other"
        shutil.copytree(tiny_bert, folder)
        file = folder / "config_sentence_transformers.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return folder

    return make


# labels


def test_numbers_of_classes_may_be_huge(tiny_bert: Path) -> None:
    assert codes(recipe(tiny_bert, labelled([10**12, 5] * 120), BATCH_ALL)) == []


def test_places_for_numbers_that_count_nothing_are_not_proposed(tiny_bert: Path) -> None:
    table = pairs(240, label=[10**12, 5, 7] * 80)
    finding = fires(recipe(tiny_bert, table, Loss("SoftmaxLoss", num_labels=3)), "too-few-places-for-classes")
    assert "the label 1000000000000 occurs" in finding.message and finding.fix() is None
    (misfit,) = (found for found in look(recipe(tiny_bert, table, "CosineSimilarityLoss")) if found.severity == "error")
    assert misfit.code == "loss-does-not-fit" and "SoftmaxLoss" not in misfit.fixed


def test_half_a_million_classes_in_large_batches_take_no_memory_to_speak_of() -> None:
    sizes = np.full(500_000, 2)
    alone = labels._alone(1_000_000, sizes, 65_536)
    assert alone[0] == pytest.approx(1 - 65_535 / 999_999, rel=1e-6)
    assert labels._all(1_000_000, sizes, 65_536).max() == 0


def test_chances_of_batches_are_those_of_all_batches_that_there_can_be() -> None:
    classes = [0, 0, 0, 1, 1, 2]
    batches = [batch for batch in combinations(range(6), 3) if 0 in batch]
    mates = [[classes[row] for row in batch if row] for batch in batches]
    sizes = np.array([3, 2, 1])
    assert labels._alone(6, sizes, 3)[0] == pytest.approx(np.mean([0 not in mate for mate in mates]))
    assert labels._all(6, sizes, 3) == pytest.approx([np.mean([mate == [0, 0] for mate in mates]), 0, 0])


def test_steps_are_those_of_the_rows_that_are_grouped(tiny_bert: Path) -> None:
    given = recipe(
        tiny_bert, labelled(["a"] * 200 + ["b"] * 40), BATCH_ALL, batch_sampler="group_by_label", eval_share=0
    )
    train, _ = prepare(given)
    trainer = trainer_of(given, models.load(given.model, device="cpu"), train, tiny_bert.parent)
    case = Case.of(given, lambda *_: None)
    assert case.steps == len(trainer.get_train_dataloader()) == 10
    assert "9 steps in all" in fires(given.changed(max_steps=9), "few-steps").message
    none = fires(given.changed(batch_size=100, drop_last=True), "no-full-batch")
    assert "there are 80 rows that group_by_label uses, so the run will not start" in none.message


# fixes that bring no new error


def test_smaller_batches_are_still_ones_that_can_be_grouped(tiny_bert: Path) -> None:
    given = recipe(tiny_bert, labelled(["a", "b", "a"]), BATCH_ALL, batch_sampler="group_by_label", eval_share=0)
    assert fires(given, "batch-larger-than-data").fix() is None
    six = recipe(tiny_bert, labelled(["a", "b"] * 3), BATCH_ALL, batch_sampler="group_by_label", eval_share=0)
    assert fires(six, "batch-larger-than-data").changes == {"batch_size": 4}


def test_a_model_of_dot_products_gets_a_scale_that_they_bear(with_settings: Any) -> None:
    model = with_settings(similarity_fn_name="dot")
    mended = fires(recipe(model, pairs()), "similarity-differs").fix()
    assert mended is not None and mended.loss.parameters == {"similarity_fct": "dot_score", "scale": 1.0}
    assert codes(mended) == []
    scaled = fires(recipe(model, pairs(), Loss(MNRL, similarity_fct="dot_score")), "dot-product-scaled")
    assert scaled.fixed == "set scale to 1" and scaled.fix() == mended


def test_a_limit_that_is_raised_covers_more_texts_than_before(tiny_bert: Path) -> None:
    table = pairs(100, positive=[text(n, 40 if n < 5 else 4) for n in range(100)])
    finding = fires(recipe(tiny_bert, table, max_seq_length=8, eval_share=0), "texts-cut")
    assert finding.evidence["share_cut_positive"] == 0.05 and finding.changes == {"max_seq_length": 48}


# sentences that are true


def test_weights_that_are_no_numbers_are_not_also_said_to_stand_still(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_bert, folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"][3, 3] = np.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = look(recipe(folder, pairs()))
    assert [finding.code for finding in found] == ["weights-not-finite"]
    json.dumps(found.to_json(), allow_nan=False)


def test_texts_that_are_all_blank_have_no_vectors_to_judge() -> None:
    sample = judge([["", " "]], {"": np.zeros(3), " ": np.zeros(3)})
    assert (sample.texts, sample.not_finite, sample.zero, sample.cosine, sample.deviation) == (0, 0, 0, None, None)


def test_batches_that_are_not_filled_are_left_out_where_drop_last_is_on(tiny_bert: Path) -> None:
    table = pairs(240, positive=[text(n % 3) for n in range(240)])
    given = recipe(tiny_bert, table, batch_sampler="no_duplicates", eval_share=0)
    assert "down to a single row." in fires(given, "batches-not-filled").message
    none = fires(given.changed(drop_last=True), "batches-not-filled")
    assert none.severity == "error" and none.message.endswith("no batch gets full, so the run will not start.")
    some = fires(given.changed(drop_last=True, data=load(pairs(240, positive=[text(n % 9 * (n % 2)) for n in range(240)])), batch_size=4), "batches-not-filled")  # fmt: skip
    assert some.severity == "warning" and some.message.endswith("rows that fill no batch are left out of each epoch.")


def test_a_share_of_nearly_all_steps_is_as_rare_as_their_number(tiny_bert: Path) -> None:
    given = recipe(tiny_bert, pairs(), logging_steps=0.99, eval_steps=0.99, save_steps=0.99)
    assert codes(given) == ["logging-too-rare", "eval-too-rare", "save-too-rare"]
    assert "logging_steps is 0.99 but the run has 21 steps" in fires(given, "logging-too-rare").message


def test_a_prompt_that_a_model_puts_before_all_texts_belongs_before_single_texts_too(with_settings: Any) -> None:
    model = with_settings(prompts={"topic": "red fish ", "query": "a cat "}, default_prompt_name="topic")
    single = recipe(model, labelled(["a", "b"] * 120), BATCH_ALL, batch_sampler="group_by_label")
    assert fires(single, "prompts-not-used").changes == {"prompts": {"text": "red fish "}}
    changes = fires(recipe(model, pairs()), "prompts-not-used").changes
    assert changes == {"prompts": {"anchor": "a cat ", "positive": "red fish "}}


def test_numbers_of_one_thing_are_written_so(tiny_bert: Path) -> None:
    table = pairs(240, negative=["the same"] * 240)
    assert "only 1 different text in 168 rows" in fires(recipe(tiny_bert, table), "few-different-negatives").message
    found = look(recipe(tiny_bert, pairs(1), eval_share=0))
    assert "larger than the 1 row, so" in next(f for f in found if f.code == "batch-larger-than-data").message
    two = look(recipe(tiny_bert, pairs(2), eval_share=0.5))
    assert "only 1 different first text to score" in next(f for f in two if f.code == "few-evaluation-rows").message


# during a run


def watch(model: Path) -> Watch:
    return Watch(recipe(model, pairs()), 20)


def probe(step: int, cosine: float) -> dict[str, Any]:
    return {"kind": "probe", "step": step, "texts": 64, "cosine": cosine, "rank": 1.0, "zero": 0, "seconds": 0.1}


def test_vectors_that_were_one_from_the_start_have_not_fallen(tiny_bert: Path) -> None:
    alike, apart = watch(tiny_bert), watch(tiny_bert)
    assert alike.see(probe(0, 1.0)) == alike.see(probe(5, 1.0)) == []
    assert apart.see(probe(0, 0.9)) == []
    assert [finding.code for finding in apart.see(probe(5, 1.0))] == ["collapse"]


def test_what_is_no_number_at_the_first_step_is_not_put_down_to_the_rate(tiny_bert: Path) -> None:
    (first,) = watch(tiny_bert).not_finite(1, "gradient", math.inf)
    assert first.message == "The gradient is inf at step 1; lower the scale of the loss." and first.fix() is None
    (later,) = watch(tiny_bert).not_finite(2, "gradient", math.inf)
    assert later.message == "The gradient is inf at step 2; lower the learning rate or the scale of the loss."
    assert later.fixed == "set learning_rate to 2e-06"
