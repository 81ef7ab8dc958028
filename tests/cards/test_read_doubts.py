"""What a card does not say or says wrongly: each doubt with its arithmetic, and none about a sound card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.cards.test_read import LOG, LOSS, SCORES, TEXT, card, data_part
from workbench.cards.read_record import Doubt

REAL = Path(__file__).parents[3] / "shared" / "cards"
FIT = {
    "learning_rate": "5e-05", "weight_decay": 0.0, "warmup_ratio": 0.0, "warmup_steps": 0, "max_grad_norm": 1,
    "num_train_epochs": 3, "batch_sampler": "batch_sampler", "multi_dataset_batch_sampler": "round_robin",
}  # fmt: skip
PAIR = {"sentence_0": TEXT, "sentence_1": TEXT}


def doubts(text: str) -> dict[str, Doubt]:
    """Doubts by code."""
    return {doubt.code: doubt for doubt in wb.read_card(text).doubts}


def fit_card(rows: int, log: list[tuple[object, ...]], **settings: Any) -> str:
    """A card as the old fit() leaves it."""
    data = data_part(name="Unnamed Dataset", rows=f"{rows:,}", counted=rows, columns=PAIR)
    text = card(data=data, settings={**FIT, **settings}, log=log)
    return text.replace("dataset_size:480", f"dataset_size:{rows}")


def test_a_sound_card_leaves_one_doubt_only() -> None:
    assert set(doubts(card())) == {"data-part"}


def test_settings_of_the_old_fit_are_doubted_with_the_rate_that_it_reaches() -> None:
    found = doubts(fit_card(3552, [LOG[0], (2.2523, 500, 4.3399)]))["fit-settings"]
    assert "in 666 steps the rate then reaches 2e-05 × 666 / 10,000 = 1.33e-06 at most" in found.sentence
    assert "it prints learning rate 5e-05, warm-up 0 and weight decay 0, where fit() takes 2e-05, 10,000 steps and 0.01 unless told otherwise" in found.sentence  # fmt: skip
    assert found.evidence["peak_learning_rate"] == pytest.approx(2e-5 * 666 / 10_000)
    assert found.evidence["columns"] == ["sentence_0", "sentence_1"]


def test_a_long_fit_reaches_its_rate() -> None:
    found = doubts(fit_card(160_000, [LOG[0], (0.05, 500, 1.0)]))["fit-settings"]
    assert found.evidence["peak_learning_rate"] == 2e-5
    assert "2e-05 × 10,000 / 10,000 = 2e-05" in found.sentence


@pytest.mark.parametrize(
    "settings",
    [{"multi_dataset_batch_sampler": "proportional"}, {"learning_rate": 2e-5}, {"lr_scheduler_type": "cosine"}],
)
def test_a_trainer_that_was_told_its_settings_is_no_fit(settings: dict[str, Any]) -> None:
    text = fit_card(3552, [LOG[0], (2.2523, 500, 4.3399)], **settings)
    assert wb.read_card(text).how == "trainer"


def test_columns_of_ones_own_are_no_fit() -> None:
    assert wb.read_card(card(data=data_part(name="Unnamed Dataset"), settings=FIT)).how == "trainer"


@pytest.mark.parametrize(
    ("rows", "log", "batch", "low", "high"),
    [
        (557_850, [(0.1266, 10, 5.0), (1.0, 79, 4.0)], 128, 9985, 10112),
        (480, [(0.5, 10, 5.0), (1.0, 20, 4.0)], 16, 305, 320),
    ],
)
def test_a_size_that_contradicts_the_steps_gives_the_rows_that_were_used(
    rows: int, log: list[tuple[float, int, float]], batch: int, low: int, high: int
) -> None:
    settings = {"per_device_train_batch_size": batch, "num_train_epochs": 1}
    text = card(data=data_part(rows=f"{rows:,}", counted=1000), settings=settings, log=[LOG[0], *log], version="3.1.1")
    found = doubts(text.replace("dataset_size:480", f"dataset_size:{rows}"))["size-contradicts-steps"]
    assert found.evidence["implied_rows"] == [low, high]
    assert f"which are {low:,} to {high:,} rows" in found.sentence
    assert "prints the size of the whole split" in found.sentence


@pytest.mark.parametrize("version", ["3.0.1", "4.0.0", "6.2.0"])
def test_versions_without_the_wrong_size_are_not_blamed(version: str) -> None:
    text = card(settings={"num_train_epochs": 1}, log=[LOG[0], (1.0, 20, 4.0)], version=version)
    assert "whole split" not in doubts(text)["size-contradicts-steps"].sentence


def test_rows_and_log_that_agree_on_two_devices_are_told_so() -> None:
    found = doubts(card(settings={"num_train_epochs": 1}, log=[LOG[0], (1.0, 15, 4.0)]))["size-contradicts-steps"]
    assert found.evidence["devices"] == 2
    assert "would agree on 2 devices" in found.sentence


def test_accumulation_and_a_last_short_step_are_no_contradiction() -> None:
    settings = {"gradient_accumulation_steps": 4, "batch_sampler": "batch_sampler"}
    log = [LOG[0], (0.5333, 4, 1.3), (1.0, 8, 1.2), (1.5333, 12, 1.1), (2.0, 16, 1.0)]
    assert set(doubts(card(settings=settings, log=log))) == {"data-part"}


def test_a_last_batch_that_is_left_out_counts() -> None:
    settings = {"dataloader_drop_last": True, "num_train_epochs": 1}
    text = card(data=data_part(rows="495", counted=495), settings=settings, log=[LOG[0], (1.0, 30, 1.0)])
    assert "size-contradicts-steps" not in doubts(text)
    found = doubts(text.replace("Size: 495", "Size: 600"))["size-contradicts-steps"]
    assert found.evidence["implied_rows"] == [480, 495]


def test_a_sampler_that_makes_more_batches_than_it_says_is_counted_in_its_first_epoch_only() -> None:
    log = [LOG[0], (1.0, 30, 1.0), (1.9667, 60, 1.0)]
    assert "size-contradicts-steps" not in doubts(card(log=log))
    assert "log-contradicts" in doubts(card(log=log, settings={"batch_sampler": "batch_sampler"}))


def test_rows_of_a_log_that_no_size_explains_contradict_each_other() -> None:
    text = card(settings={"batch_sampler": "batch_sampler"}, log=[LOG[0], (0.5, 15, 1.0), (1.0, 90, 1.0)])
    assert "No number of rows fits all rows" in doubts(text)["log-contradicts"].sentence


def test_a_log_beyond_the_last_step_is_told() -> None:
    assert "goes on to step 60, but rows, batch and epochs make 30 steps" in (
        doubts(card(settings={"num_train_epochs": 1}))["steps-beyond"].sentence
    )


def test_a_size_that_differs_from_the_tag_is_told() -> None:
    found = doubts(card().replace("dataset_size:480", "dataset_size:479"))["size-tag"]
    assert found.evidence == {"tag": 479, "rows": 480}


def test_a_size_of_minus_one_is_no_size() -> None:
    assert "does not say how many rows" in doubts(card(data=data_part(rows="-1")))["size-unknown"].sentence


def test_texts_at_the_limit_were_cut() -> None:
    found = doubts(card(limit=60))["texts-cut"]
    assert found.evidence == {"columns": ["anchor", "positive"], "max_seq_length": 60}
    assert "how many texts were cut" in found.sentence


def test_statistics_of_the_first_rows_are_no_sample() -> None:
    found = doubts(card(data=data_part(counted=100)))["statistics-part"]
    assert "first 100 of 480 rows" in found.sentence
    assert (found.evidence["counted"], found.evidence["rows"]) == ([100], [480])


def test_lengths_in_characters_and_missing_statistics_are_told() -> None:
    letters = {"type": "string", "details": TEXT["details"].replace("tokens", "characters")}
    assert doubts(card(data=data_part(columns={"a": letters, "b": TEXT})))["lengths-in-characters"].evidence == {
        "columns": ["a"]
    }
    blank = {"type": "string", "details": ""}
    assert "statistics-missing" in doubts(card(data=data_part(columns={"a": blank, "b": blank})))


def test_one_loss_at_step_500_is_the_default_and_hides_the_rest() -> None:
    found = doubts(fit_card(2764, [LOG[0], (2.8902, 500, 0.2354)]))["log-once"]
    assert "the last 19 steps of 519 cannot be seen" in found.sentence
    assert found.evidence == {"steps": 519, "hidden": 19}


def test_a_run_below_500_steps_logs_nothing_by_default() -> None:
    found = doubts(card(log=[("Epoch", "Step", "Training Loss")]))["no-log"]
    assert "the run has 60 steps, and by default a loss is logged every 500" in found.sentence
    assert "no-log" in doubts(card(log=[]))


def test_steps_after_the_last_loss_are_counted() -> None:
    assert "the last 30 steps cannot be seen, or were not done" in (
        doubts(card(log=LOG[:3]))["log-ends-early"].sentence
    )


def test_scores_from_outside_the_run_stand_at_no_step() -> None:
    assert doubts(card(log=[*LOG, (-1, -1, "-")]))["log-outside"].evidence == {"rows": 1}


@pytest.mark.parametrize(("normal", "batch", "chance"), [("eval", 128, 4.852), ("eval", 16, 2.7726)])
def test_a_loss_that_never_moves_is_set_against_guessing(normal: str, batch: int, chance: float) -> None:
    head = ("Epoch", "Step", "Training Loss", "Validation Loss")
    log = [head, (0.5, 15, 2.5, chance), (1.0, 30, 2.0, chance), (2.0, 60, 1.5, chance)]
    data = data_part() + data_part("Evaluation Dataset")
    found = doubts(card(data=data, log=log, settings={"per_device_eval_batch_size": batch}))["loss-stuck"]
    assert found.evidence["chance"] == pytest.approx(chance, abs=1e-4)
    assert f"{chance:.4f} on full batches (ln {batch}" in found.sentence


def test_a_loss_that_moves_is_not_stuck() -> None:
    assert "loss-stuck" not in doubts(card())


def test_undefined_scores_are_told_apart_from_no_scores() -> None:
    some = doubts(card(scores=[*SCORES, ("map", "nan")]))
    assert "1 of 3 scores are undefined, such as map on held-out: the card says nan" in some["score-undefined"].sentence
    every = doubts(card(scores=[SCORES[0], ("map", "nan"), ("mrr", "nan")]))
    assert "vectors of length 0 or all alike" in every["all-scores-undefined"].sentence
    assert "no-scores" in doubts(card(scores=[("Nothing", "here")]))


def test_a_table_that_differs_from_the_front_matter_is_told() -> None:
    front = "model-index:\n- results:\n  - dataset: {type: held-out}\n    metrics: [{type: cosine_ndcg@10, value: 0.71230}]\n"
    found = doubts(card(front=front))["scores-contradict"]
    assert found.sentence == "The table says 0.8123 for cosine_ndcg@10 on held-out, the front matter 0.7123."
    assert "scores-contradict" not in doubts(card(front=front.replace("0.71230", "0.81231")))


def test_a_loss_of_its_author_is_told_with_the_tag_that_misleads() -> None:
    text = card(data=data_part(loss="* Loss: <code>__main__.OwnLoss</code> with these parameters:"))
    found = doubts(text.replace("- loss:Mul", "- loss:OwnLoss\n- loss:MSELoss\n- loss:Mul"))
    assert "__main__.OwnLoss is its author's own" in found["custom-loss"].sentence
    assert "OwnLoss may hold a loss of torch of that name" in found["loss-tags"].sentence


def test_a_loss_that_the_library_builds_into_another_may_be_tagged_too() -> None:
    text = card(data=data_part(loss=LOSS.replace("Multiple", "CachedMultiple")))
    tagged = text.replace("- loss:Mul", "- loss:CachedMultipleNegativesRankingLoss\n- loss:Mul")
    assert "loss-tags" not in doubts(tagged)
    assert "loss-tags" in doubts(tagged.replace("- loss:Mul", "- loss:CoSENTLoss\n- loss:Mul"))


def test_parameters_that_cannot_be_carried_over_are_told() -> None:
    objects = doubts(card(data=data_part(parameters="{'guide': SentenceTransformer((0): x)}")))
    assert "printed as objects and cannot be read" in objects["loss-parameters"].sentence
    unknown = doubts(card(data=data_part(parameters='{"scale": 20.0, "old": 1}')))
    assert unknown["loss-parameters"].evidence == {"left_out": {"old": 1}}
    inner = data_part(
        loss=LOSS.replace("MultipleNegativesRankingLoss", "MatryoshkaLoss"),
        parameters='{"loss": "MultipleNegativesRankingLoss", "matryoshka_dims": [384, 64]}',
    )
    assert "without its parameters" in doubts(card(data=inner))["inner-loss"].sentence


def test_data_without_a_name_a_place_or_a_part_are_told_apart() -> None:
    assert "does not name its data" in doubts(card(data=data_part(name="Unnamed Dataset")))["data-unnamed"].sentence
    assert (
        "calls its data 'csv', which is no place" in doubts(card(data=data_part(name="csv")))["data-unnamed"].sentence
    )
    assert "neither configuration nor part" in doubts(card())["data-part"].sentence
    assert "data-unnamed" not in doubts(card(data=data_part(name="glossary/qa")))


def test_several_data_sets_and_held_out_rows_are_told() -> None:
    two = data_part("Training Datasets", name="one") + data_part("x", name="two").partition("\n")[2]
    text = card(data=two + data_part("Evaluation Dataset", rows="96"))
    found = doubts(text)
    assert found["several-datasets"].evidence == {"datasets": ["one", "two"]}
    assert "(96), and by which seed" in found["evaluation-rows"].sentence


def test_half_precision_an_adapter_and_a_lost_time_are_told() -> None:
    text = card(settings={"fp16": True}).replace("model: BertModel", "model: PeftModelForFeatureExtraction")
    found = doubts(text.replace("- **Evaluation**: 6.0 seconds\n", ""))
    assert "which a CPU ignores" in found["fp16-uncertain"].sentence
    assert "and this run has 60" in found["fp16-uncertain"].sentence
    assert "an adapter whose rank" in found["adapter"].sentence
    assert "90 s of training and no time of evaluation" in found["evaluation-time"].sentence


def test_a_base_model_that_is_missing_doubtful_or_without_revision_is_told() -> None:
    assert "base-unknown" in doubts(card(base=""))
    assert doubts(card(front="base_model: other/base\n"))["base-contradicts"].evidence == {
        "names": ["owner/base", "other/base"]
    }
    assert "revision-unknown" in doubts(card().replace(" <!-- at revision " + "ab" * 20 + " -->", ""))


@pytest.mark.parametrize(
    ("settings", "changed", "said"),
    [
        ({"lr_scheduler_type": "cosine_with_restarts"}, {}, "lr_scheduler_type='cosine_with_restarts'"),
        ({"optim": "adafactor"}, {}, "optim='adafactor'"),
        ({"batch_sampler": "my_sampler"}, {}, "batch_sampler='my_sampler'"),
        ({"adam_epsilon": 1e-6}, {}, "adam_epsilon=1e-06"),
        ({"load_best_model_at_end": True}, {}, "load_best_model_at_end=True"),
        ({"prompts": "{'a': {'b': 'c'}}"}, {}, "prompts={'a': {'b': 'c'}}"),
        ({}, {"brand_new_setting": 3}, "brand_new_setting=3"),
    ],
)
def test_what_a_recipe_cannot_say_is_never_dropped_silently(
    settings: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    assert said in doubts(card(settings=settings, changed=changed))["not-in-recipe"].sentence


def test_settings_that_change_no_weights_are_no_doubt() -> None:
    changed = {
        "eval_strategy": "steps",
        "save_steps": 5,
        "logging_steps": 1,
        "dataloader_num_workers": 2,
        "accelerator_config": {"non_blocking": True},
        "disable_tqdm": True,
    }
    assert set(doubts(card(changed=changed))) == {"data-part"}


def test_missing_unreadable_and_contradicting_settings_are_told_with_what_is_assumed() -> None:
    found = doubts(card(settings={"learning_rate": ..., "seed": "seven"}, changed={"weight_decay": 0.5}))
    assert found["settings-missing"].evidence == {"assumed": {"learning_rate": 5e-05}}
    assert "seed: 'seven'" in found["setting-unreadable"].sentence
    assert "weight_decay more than once: 0.5, 0.01" in found["setting-twice"].sentence


def test_yes_is_no_number_although_python_counts_it_as_one() -> None:
    found = doubts(card(settings={"max_grad_norm": "True"}))
    assert (
        "max_grad_norm: True, which is not what such a setting holds; the recipe takes 1.0"
        in found["setting-unreadable"].sentence
    )


def test_a_card_without_settings_says_what_the_recipe_assumes() -> None:
    text = card()
    start, end = text.index("### Training Hyperparameters"), text.index("### Training Logs")
    found = doubts(text[:start] + text[end:])
    assert "prints no hyperparameters, so the recipe takes the trainer's defaults" in found["settings-missing"].sentence


def test_a_version_that_is_not_said_is_told() -> None:
    assert "version-unknown" in doubts(card().replace("- Sentence Transformers: 5.1.0\n", ""))


# ---------------------------------------------------------------- encodings

TYPESET = "the pupil’s “café – naïve” … Δ ≤ 1"
FACE = "# from the 🤗 Hub\n\n"


@pytest.mark.parametrize(("table", "name"), [("sloppy-windows-1252", "Windows-1252"), ("mac_roman", "Mac Roman")])
def test_a_card_that_was_misread_is_mended_exactly(table: str, name: str) -> None:
    import ftfy.bad_codecs  # noqa: F401

    broken = card(more=FACE).replace("a text of anchor", TYPESET).encode().decode(table)
    read = wb.read_card(broken)
    assert read.train is not None
    assert read.train.samples[0][0] == f"{TYPESET}\ntwo"
    found = next(doubt for doubt in read.doubts if doubt.code == "encoding")
    assert (found.evidence["table"], found.evidence["whole"]) == (name, True)
    assert found.evidence["count"] > 3


def test_texts_that_were_misread_in_a_sound_card_are_mended_and_told_apart() -> None:
    text = card(more=FACE).replace("a text of anchor", "itâ€™s here")
    read = wb.read_card(text)
    assert read.train is not None
    assert read.train.samples[0][0].startswith("it’s here")
    found = next(doubt for doubt in read.doubts if doubt.code == "encoding")
    assert found.evidence["count"] == 1
    assert "texts in the card, and perhaps in its data" in found.sentence


def test_accents_of_a_sound_card_are_left_alone() -> None:
    text = card(more=FACE).replace("a text of anchor", "“Étude” – „Ärger“ — São Ü 數 √π")
    assert "encoding" not in doubts(text)
    data = wb.read_card(text).train
    assert data is not None
    assert data.samples[0][0].startswith("“Étude” – „Ärger“ — São Ü 數 √π")


def test_bytes_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(card().replace("a text of anchor", "café").encode("latin-1"))
    read = wb.read_card(path)
    assert read.train is not None
    assert read.train.samples[0][0].startswith("café")
    assert "not-utf8" in {doubt.code for doubt in read.doubts}


# ---------------------------------------------------------------- real cards


@pytest.mark.parametrize(
    ("name", "steps", "peak", "hidden"),
    [
        ("000-triplet-mpnet", 666, 1.332e-6, 166),
        ("001-mnrl-minilm-l12", 519, 1.038e-6, 19),
        ("003-mnrl-minilm-l6", 672, 1.344e-6, 172),
    ],
)
def test_real_cards_of_the_old_fit(name: str, steps: int, peak: float, hidden: int) -> None:
    path = REAL / f"{name}.md"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    read = wb.read_card(path)
    found = {doubt.code: doubt.evidence for doubt in read.doubts}
    assert read.how == "fit"
    assert found["fit-settings"]["steps"] == steps
    assert found["fit-settings"]["peak_learning_rate"] == pytest.approx(peak)
    assert found["log-once"]["hidden"] == hidden
    assert "size-contradicts-steps" not in found
    assert (read.recipe.warmup, read.recipe.learning_rate, read.recipe.weight_decay) == (10_000, 2e-5, 0.01)
    assert "🤗" not in str(found.get("encoding", {}).get("before", ""))
