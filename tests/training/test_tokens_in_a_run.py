"""A run that makes its tokens once ends at the same bits as one that tokenises every batch anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_lean_trainer import table
from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.data.load import load
from workbench.data.tokens import token_stats
from workbench.recipe import Recipe
from workbench.spaces import tokens_once
from workbench.training import loop
from workbench.training.folder import RunFolder
from workbench.training.health import Unhealthy
from workbench.training.records import EventWriter, Status
from workbench.training.worker import Session

STEPS = 7  # over two epochs of 24 rows


def trained(folder: Path, place: Path, *, served: bool, on_disk: bool = False, prompts: Any = None) -> dict[str, bytes]:
    """Weights after some steps with dropout."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers import set_seed

    data = table(2)
    if on_disk:
        token_stats(load(data), folder)
    set_seed(4)
    model = models.load(folder, device="cpu")
    model.model_card_data.generate_widget_examples = False
    if served:
        tokens_once.remember(model, folder, load(data))
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(place),
            per_device_train_batch_size=8,
            max_steps=STEPS,
            learning_rate=0.05,
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
            save_strategy="no",
            prompts=prompts,
        ),
        train_dataset=data,
        loss=catalog.build("MultipleNegativesRankingLoss", {}, model),
    )
    tokens_once.serve(trainer.data_collator, model)
    assert (trainer.data_collator.preprocess_fn != model.preprocess) == served
    trainer.train()
    return {name: weight.detach().numpy().tobytes() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("folder", ["tiny_bert", "tiny_static"])
@pytest.mark.parametrize("prompts", [None, {"column_1": "a small "}])
def test_weights_are_bitwise_the_same(
    folder: str, prompts: Any, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_once, "LEAST_ROWS", 1)
    model = request.getfixturevalue(folder)
    wanted = trained(model, tmp_path, served=False, prompts=prompts)
    assert trained(model, tmp_path, served=True, prompts=prompts) == wanted
    assert trained(model, tmp_path, served=True, on_disk=True, prompts=prompts) == wanted


def test_a_worker_tokenises_what_it_has_scored_no_more(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RunFolder(tmp_path / "run")
    place.path.mkdir()
    recipe(eval_share=0.5).to_yaml(place.recipe)
    session = Session(place, EventWriter(place.events), Status(said="starting"), None)
    asked: list[list[str]] = []
    own = tokens_once.Once.tokenised
    monkeypatch.setattr(
        tokens_once.Once, "tokenised", lambda self, texts, prompt="": asked.append(texts) or own(self, texts, prompt)
    )

    def train(trainer: loop.RunTrainer, **_: Any) -> None:
        assert session.evaluation
        scored = {text for column in session.evaluation.texts for text in session.evaluation.column(column)}
        assert {text for texts in asked for text in texts} == scored
        asked.clear()
        trainer.data_collator.preprocess_fn([*sorted(scored), "a dog"], prompt=None, task=None)
        raise Unhealthy("seen")

    monkeypatch.setattr(loop.RunTrainer, "train", train)
    assert session.run() == "seen"
    assert asked == [["a dog"]]
