"""The library's trainer with batches computed in groups of like length ends at the same weights as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.spaces.test_lean import without_dropout
from workbench.catalog import losses as catalog
from workbench.catalog import models
from workbench.recipe import Loss
from workbench.spaces.lean import Lean
from workbench.spaces.packed import reads_tokens

torch = pytest.importorskip("torch")

WORDS = "the cat dog bird fish tree river stone house red green blue".split()
ROWS = 24


def text(row: int, shift: int) -> str:
    """From 1 to 60 words, no two rows alike."""
    size = 1 + (row * row * 7 + shift * 13) % (60 if row % 5 == 0 else 9)
    return " ".join(WORDS[(row + shift + word * (row + 2)) % len(WORDS)] for word in range(size))


def table(columns: int, target: str = "") -> Any:
    from datasets import Dataset

    rows: dict[str, list[Any]] = {
        f"column_{number}": [text(row, number) for row in range(ROWS)] for number in range(columns)
    }
    if target:
        rows[target] = [row % 4 if target == "label" else row / ROWS for row in range(ROWS)]
    return Dataset.from_dict(rows)


def steps(folder: Path, place: Path, loss: Loss, data: Any, *, lean: bool, resume: bool = False, **given: Any) -> Any:
    """(weights by name, losses that were recorded) after five steps."""
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers import set_seed

    set_seed(4)
    model = without_dropout(models.load(folder, device="cpu"))
    model.model_card_data.generate_widget_examples = False
    if given.pop("lora", False):
        from peft import LoraConfig

        model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", r=4, lora_dropout=0.0))
    if lean:
        model.forward = Lean(model)
    settings = {
        "output_dir": str(place),
        "per_device_train_batch_size": 8,
        "max_steps": 5,
        "logging_steps": 1,
        "save_steps": 2,
        "learning_rate": 0.05,
        "optim": "sgd",
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        **given,
    }
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**settings),
        train_dataset=data,
        loss=catalog.build(loss.name, loss.parameters, model),
    )
    trainer.train(resume_from_checkpoint=str(place / "checkpoint-2") if resume else None)
    if lean:
        assert model.forward.places > 0
    values = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}, values


def same(found: Any, wanted: Any) -> None:
    (weights, values), (whole, whole_values) = found, wanted
    assert values == pytest.approx(whole_values, rel=1e-4, abs=1e-5) and len(values) == 5
    for name, weight in whole.items():
        assert torch.allclose(weights[name], weight, rtol=1e-4, atol=2e-5), name


RANKING = Loss("MultipleNegativesRankingLoss")
SETTINGS: dict[str, tuple[Loss, int, str, dict[str, Any]]] = {
    "no duplicates in a batch": (RANKING, 2, "", {"batch_sampler": "no_duplicates"}),
    "batches of one label": (
        Loss("BatchAllTripletLoss", margin=1.0), 1, "label", {"batch_sampler": "group_by_label"},
    ),
    "three columns": (Loss("TripletLoss", triplet_margin=1.0), 3, "", {}),
    "scores": (Loss("CoSENTLoss"), 2, "score", {}),
    "accumulated gradients": (RANKING, 2, "", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}),
    "the last batch is smaller": (RANKING, 2, "", {"per_device_train_batch_size": 7}),
    "a warm-up and a cosine": (RANKING, 2, "", {"warmup_steps": 2, "lr_scheduler_type": "cosine"}),
    "prompts": (RANKING, 2, "", {"prompts": {"column_0": "the house: ", "column_1": "the river: "}}),
    "gradient checkpointing": (RANKING, 2, "", {"gradient_checkpointing": True}),
    "a low-rank adapter": (RANKING, 2, "", {"lora": True, "learning_rate": 0.5}),
    "a cached loss": (Loss("CachedMultipleNegativesRankingLoss", mini_batch_size=3), 2, "", {}),
    "several sizes of vectors": (Loss("MatryoshkaLoss", loss=RANKING, matryoshka_dims=[32, 16]), 2, "", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_the_weights_after_five_steps_are_those_of_the_library(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    loss, columns, target, given = SETTINGS[name]
    data = table(columns, target)
    wanted = steps(tiny_bert, tmp_path / "whole", loss, data, lean=False, **given)
    same(steps(tiny_bert, tmp_path / "lean", loss, data, lean=True, **given), wanted)


def test_a_loss_of_ones_own_that_reads_tokens_is_known_by_its_source() -> None:
    source = "class Own(torch.nn.Module):\n    def forward(self, features, labels):\n        return self.model(features[0])[{!r}]"
    own, plain = (Loss("Own", source=source.format(name)) for name in ("token_embeddings", "sentence_embedding"))
    assert reads_tokens(own) and not reads_tokens(plain)
    assert reads_tokens(Loss("MatryoshkaLoss", loss=own, matryoshka_dims=[8]))


def test_a_resumed_run_ends_where_the_library_would(tiny_bert: Path, tmp_path: Path) -> None:
    wanted = steps(tiny_bert, tmp_path / "whole", RANKING, table(2), lean=False)
    steps(tiny_bert, tmp_path / "lean", RANKING, table(2), lean=True)
    same(steps(tiny_bert, tmp_path / "lean", RANKING, table(2), lean=True, resume=True), wanted)
