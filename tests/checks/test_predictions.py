"""What is said before a run, held against what real runs do."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from tests.checks.tables import pairs, recipe, text, triplets
from workbench.cards.script import arguments
from workbench.catalog import losses, models
from workbench.catalog.memory import training_memory
from workbench.checks import batches, course
from workbench.checks.case import Case
from workbench.checks.trial_batch import Trial, first_batch, trainer_of, try_batch
from workbench.data.prepare import prepare
from workbench.errors import ModelError
from workbench.recipe import DEFAULT_MODEL, Loss, Recipe

MNRL = "MultipleNegativesRankingLoss"


def tried(given: Recipe) -> Trial:
    trial = try_batch(given)
    assert trial is not None
    return trial


class Seen(SentenceTransformerTrainer):
    """The library's trainer; it keeps the tokens and the loss of every batch."""

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **others: Any) -> Any:
        self.tokens = [*getattr(self, "tokens", []), self.collect_features(inputs)[0]]
        loss = super().compute_loss(model, inputs, *rest, **others)
        self.losses = [*getattr(self, "losses", []), float(loss.detach())]
        return loss


def really_run(given: Recipe, folder: Path) -> Seen:
    """A run of a recipe by the library's trainer, on one CPU."""
    train, _ = prepare(given)
    model = models.load(given.model, device="cpu")
    settings = arguments(given, rows=len(train), device="cpu", bf16=False)
    trainer = Seen(
        model=model,
        args=SentenceTransformerTrainingArguments(output_dir=str(folder), **{**settings, "save_strategy": "no"}),
        train_dataset=train.to_training(),
        loss=losses.build(given.loss.name, given.loss.parameters, model),
    )
    model.model_card_data.generate_widget_examples = False
    trainer.train()
    return trainer


@pytest.mark.parametrize("sampler", ["batch_sampler", "no_duplicates"])
def test_the_batch_that_is_tried_is_the_first_one_of_the_run(tiny_bert: Path, tmp_path: Path, sampler: str) -> None:
    given = recipe(tiny_bert, pairs(60), batch_sampler=sampler, max_steps=1, prompts={"positive": "a cat "})
    run = really_run(given, tmp_path)
    mine = trainer_of(given, models.load(given.model, device="cpu"), prepare(given)[0], tmp_path)
    features, _ = mine.collect_features(first_batch(mine))
    for first, second in zip(features, run.tokens[0], strict=True):
        assert torch.equal(first["input_ids"], second["input_ids"])


def test_a_margin_out_of_reach_keeps_the_loss_within_two_of_it(unit_bert: Path, tmp_path: Path) -> None:
    given = recipe(unit_bert, triplets(60), Loss("TripletLoss", triplet_margin=5.0), learning_rate=0.01, max_steps=20)
    assert 3 <= tried(given).loss <= 7
    measured = really_run(given, tmp_path).losses
    assert min(measured[10:]) < measured[0] and min(measured) >= 3 and max(measured) <= 7


@pytest.mark.parametrize("times", [2, 4])
def test_a_text_in_k_rows_of_a_batch_keeps_the_loss_at_ln_k(tiny_bert: Path, times: int) -> None:
    few = [text(n) for n in range(16 // times)] * times
    # a scale at which this model, given the answers, has no loss but for the repeats
    given = recipe(tiny_bert, pairs(16, anchor=few, positive=few), Loss(MNRL, scale=2000), batch_size=16, eval_share=0)
    assert tried(given).loss == pytest.approx(math.log(times), abs=1e-3)


@pytest.mark.parametrize("columns", [2, 3])
def test_a_collapsed_model_has_the_loss_of_guessing_among_all_candidates(
    tiny_bert: Path, tmp_path: Path, columns: int
) -> None:
    model = models.load(tiny_bert, device="cpu")
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)
    model.save_pretrained(str(tmp_path / "zero"), create_model_card=False)
    given = recipe(tmp_path / "zero", pairs() if columns == 2 else triplets(), max_steps=5, learning_rate=1e-3)
    trial = tried(given)
    assert trial.line == pytest.approx(math.log(8 * (columns - 1))) and trial.gradient == 0
    assert [trial.loss, *really_run(given, tmp_path).losses] == pytest.approx([trial.line] * 6)


@pytest.fixture
def steady_bert(tiny_bert: Path, tmp_path: Path) -> Path:
    """The tiny BERT without dropout, so that a run repeats what was measured without."""
    folder = tmp_path / "steady-bert"
    shutil.copytree(tiny_bert, folder)
    settings = json.loads((folder / "config.json").read_text())
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(settings | without))
    return folder


@pytest.mark.parametrize("limit", [1.0, 1000.0])
def test_plain_descent_moves_the_weights_by_the_rate_times_the_clipped_gradient(
    steady_bert: Path, tmp_path: Path, limit: float
) -> None:
    constant = {"warmup": 0, "scheduler": "constant", "max_steps": 1}
    given = recipe(steady_bert, pairs(), optimizer="sgd", learning_rate=1e-3, max_grad_norm=limit, **constant)
    trial, run = tried(given), really_run(given, tmp_path)
    assert run.losses == pytest.approx([trial.loss], rel=1e-5) and 1 < trial.gradient < 1000
    before = dict(models.load(steady_bert, device="cpu").named_parameters())
    with torch.no_grad():
        norm = math.hypot(*(float(values.norm()) for values in before.values()))
        moved = math.hypot(*(float((values - before[name]).norm()) for name, values in run.model.named_parameters()))
    assert moved / norm == pytest.approx(1e-3 * min(trial.gradient, limit) / norm, rel=1e-3)


def test_many_steps_of_plain_descent_move_the_weights_by_no_more_than_was_said(tiny_bert: Path, tmp_path: Path) -> None:
    given = recipe(tiny_bert, pairs(), optimizer="sgd", learning_rate=1e-4, max_steps=10)
    (finding,) = course.steps_move_the_weights(Case.of(given.changed(learning_rate=1e-6), lambda *_: None))
    after = dict(really_run(given, tmp_path).model.named_parameters())
    with torch.no_grad():
        before = dict(models.load(tiny_bert, device="cpu").named_parameters())
        norm = math.hypot(*(float(values.norm()) for values in before.values()))
        moved = math.hypot(*(float((values - before[name]).norm()) for name, values in after.items())) / norm
    # the rate rises and falls again, and the steps do not all point one way
    assert 0.1 < moved / (100 * finding.evidence["largest_relative_move"]) <= 1.01


def test_equal_texts_meet_as_often_as_in_the_batches_of_the_library(tiny_bert: Path) -> None:
    # 20 questions with 6 answers each, among 120 that stand alone
    anchors = [text(n % 20) if n < 120 else text(n) for n in range(240)]
    given = recipe(tiny_bert, pairs(240, anchor=anchors), eval_share=0, batch_size=16)
    (finding,) = batches.equal_texts_stay_apart(Case.of(given, lambda *_: None))
    train, _ = prepare(given)
    digests = np.array(train.column("anchor"))
    sampler = trainer_of(given, models.load(tiny_bert, device="cpu"), train, tiny_bert.parent).get_batch_sampler(
        train.to_training(), batch_size=16, drop_last=False, generator=torch.Generator().manual_seed(1), seed=1
    )
    rows = meet = 0
    for _ in range(60):
        for batch in sampler:
            _, counts = np.unique(digests[list(batch)], return_counts=True)
            rows, meet = rows + len(list(batch)), meet + int(counts[counts > 1].sum())
    assert finding.evidence["share_of_rows"] == pytest.approx(meet / rows, abs=0.02)


def test_columns_of_two_widths_are_estimated_to_keep_what_each_of_them_keeps() -> None:
    info = models.KNOWN[DEFAULT_MODEL]
    narrow, wide, both = (
        training_memory(info, batch_size=8, texts=texts, tokens=tokens).activations_bytes or 0
        for texts, tokens in ((1, 16), (1, 64), (2, [16, 64]))
    )
    assert both == pytest.approx(narrow + wide, abs=1) and narrow < wide
    assert "padded to 16 and 64 tokens" in str(training_memory(info, tokens=[16, 64]))


MEASURE = """
import resource, sys, tempfile
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from workbench.catalog import losses, models
rows, tokens = int(sys.argv[1]), [int(width) for width in sys.argv[2:]]
model = models.load("all-MiniLM-L6-v2", device="cpu")
model.model_card_data.generate_widget_examples = False
table = {f"text_{place}": ["cat " * (width - 2)] * rows * 2 for place, width in enumerate(tokens)}
with tempfile.TemporaryDirectory() as folder:
    arguments = SentenceTransformerTrainingArguments(folder, per_device_train_batch_size=rows, use_cpu=True, report_to="none", save_strategy="no", num_train_epochs=1, disable_tqdm=True, dataloader_pin_memory=False)
    loss = losses.build("MultipleNegativesRankingLoss", {}, model)
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=Dataset.from_dict(table), loss=loss).train()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.real
@pytest.mark.skipif(sys.platform == "win32", reason="no peak of memory is kept there")
@pytest.mark.parametrize(("rows", "tokens"), [(16, [128, 128]), (32, [16, 64])])
def test_the_memory_of_a_real_run_is_within_a_quarter_of_the_estimate(rows: int, tokens: list[int]) -> None:
    try:
        info = models.describe(DEFAULT_MODEL)
    except ModelError as error:
        pytest.skip(str(error))
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(rows), *map(str, tokens)],
        capture_output=True, text=True, env=environment, check=True, timeout=600,
    )  # fmt: skip
    peak = int(done.stdout.split()[-1])
    estimate = training_memory(info, batch_size=rows, texts=len(tokens), tokens=tokens)
    assert estimate.total_bytes == pytest.approx(peak, rel=0.25), (estimate, peak)
