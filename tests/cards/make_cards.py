"""Real cards of old and new versions of Sentence Transformers, each with the truth about its run beside it.

    HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= python tests/cards/make_cards.py VERSION OUT [KIND ...]

Runs inside an environment of that version, without the workbench, and writes OUT/VERSION-KIND.md (what the library
wrote) and OUT/VERSION-KIND.json (what was really used, see `make_truth.py`). Texts are those of the glossary, see
`make_texts.py`; the models are random BERTs of two layers.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentence_transformers
import tokenizers
import torch
import transformers
from datasets import Dataset, DatasetDict
from make_texts import DATA, DATA_REVISION, NASTY, concepts, from_hub, graded, labelled, pairs, triplets
from make_truth import (
    VERSION,
    WATCHED,
    Loss,
    Table,
    answer_as_the_hub,
    new_loss,
    part,
    parts,
    ran,
    scores_of,
    watch_training,
)
from sentence_transformers import (
    InputExample,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    evaluation,
    losses,
    models,
)
from torch.utils.data import DataLoader

BASE, REVISION = "example/tiny-bert-32", "0123456789abcdef0123456789abcdef01234567"
EVERY = ("fit-mnrl", "trainer-triplets", "matryoshka", "two-datasets", "custom-loss", "graded")
MORE = {
    "3.0.1": ("fit-triplet",),
    "3.1.1": ("zeroed", "mojibake-macroman"),
    "3.4.1": ("fit-told", "nasty", "mojibake-cp1252"),
    "4.1.0": ("cross-encoder",),
    "5.1.2": ("labels", "sparse"),
    "5.5.1": ("prompts",),
    "6.2.0": ("fit-told", "zeroed", "nasty-columns"),
}
Made = tuple[Any, dict[str, Any]]


def tiny_bert(head: type = transformers.BertModel, **config: Any) -> str:
    """A folder with a random BERT of two layers and 32 dimensions, and word pieces of the glossary's own words."""
    folder = tempfile.mkdtemp()
    pieces = tokenizers.BertWordPieceTokenizer(lowercase=True)
    texts = [text for split in ("train", "test") for entry in concepts(split) for text in entry["definitions"]]
    pieces.train_from_iterator(texts, vocab_size=1500, show_progress=False)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer,
        model_max_length=128,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")},
    )
    torch.manual_seed(12)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    wrapped.save_pretrained(folder)
    head(
        transformers.BertConfig(vocab_size=pieces.get_vocab_size(), max_position_embeddings=128, **sizes, **config)
    ).save_pretrained(folder)
    return folder


def new_model(limit: int = 128, base: str | None = BASE, zero: bool = False, **settings: Any) -> SentenceTransformer:
    """Mean-pooled tiny BERT whose card names the base model, if it is known."""
    body = models.Transformer(tiny_bert(), max_seq_length=limit)
    model = SentenceTransformer(modules=[body, models.Pooling(32, "mean")], device="cpu", **settings)
    model.model_card_data.base_model = base
    model.model_card_data.base_model_revision = REVISION if base else None
    if zero:
        with torch.no_grad():
            for weights in model.parameters():
                weights.zero_()
    return model


def similarity_evaluator(**more: Any) -> Any:
    return evaluation.EmbeddingSimilarityEvaluator(*graded("test").values(), name="graded-test", **more)


def train_and_tell(
    model: Any,
    loss: Loss,
    train: Table,
    held_out: Table | None = None,
    evaluators: Sequence[Any] = (),
    about_data: dict[str, Any] | None = None,
    **arguments: Any,
) -> Made:
    """Trains with the Trainer, evaluates before and after, and tells the truth about it."""
    sets = [Dataset.from_dict(rows) if type(rows) is dict else rows for rows in (train, held_out)]
    quiet = {"output_dir": tempfile.mkdtemp(), "report_to": "none", "save_strategy": "no"}
    scores_of(evaluators, model)
    SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**{**quiet, **arguments}),
        train_dataset=sets[0],
        eval_dataset=sets[1],
        loss=loss[0],
        evaluator=evaluation.SequentialEvaluator(list(evaluators)) if evaluators else None,
    ).train()
    truth = ran(model, *(parts(model, rows, loss[1], about_data or {}) for rows in sets))
    return model, {**truth, "scores": scores_of(evaluators, model)}


def fit(loss_kind: type, columns: Table, *, batch: int, epochs: int, base: str | None, **told: Any) -> Made:
    """The old `fit`, of a base model without a revision: what it is told beyond rows, batch and epochs is in the truth as `told`."""
    model = new_model(base=base)
    model.model_card_data.base_model_revision = None
    loss, about = new_loss(loss_kind, model)
    examples = [InputExample(texts=list(row)) for row in zip(*columns.values(), strict=True)]
    model.fit([(DataLoader(examples, shuffle=True, batch_size=batch), loss)], epochs=epochs, **told)
    train = part(model, {f"sentence_{place}": values for place, values in enumerate(columns.values())}, about)
    if train["rows"] > 100 and VERSION >= (5, 5):
        train["tokens"] = {}  # fit shuffles the rows before the card counts the first of them
    said = {name: value for name, value in told.items() if name != "evaluator"}
    warmup = told.get("warmup_steps", 10_000)
    return model, ran(model, [train], [], how="fit", told=said, warmup_steps=warmup, scheduler="linear")


def fit_mnrl() -> Made:
    return fit(losses.MultipleNegativesRankingLoss, pairs("train"), batch=8, epochs=7, base=BASE)


def fit_triplet() -> Made:
    return fit(losses.TripletLoss, triplets("train"), batch=16, epochs=2, base=None)


def fit_told() -> Made:
    """As many did: a learning rate and a warm-up of their own, an evaluator every few steps."""
    evaluator = evaluation.TripletEvaluator(*triplets("test").values(), name="dev")
    told = {"warmup_steps": 4, "optimizer_params": {"lr": 3e-4}, "weight_decay": 0.1, "evaluation_steps": 10}
    ranking = losses.MultipleNegativesRankingLoss
    model, truth = fit(ranking, pairs("train"), batch=32, epochs=2, base=BASE, evaluator=evaluator, **told)
    return model, {**truth, "scores": scores_of([evaluator], model)}


def trainer_triplets(typeset: bool = False) -> Made:
    """Names, revisions, a licence; no_duplicates, warm-up, losses and scores every few steps."""
    model = new_model(limit=64)
    card = model.model_card_data
    card.model_name, card.license, card.language = "Tiny BERT on the glossary", "cc0-1.0", ["en"]
    warmup = {"warmup_ratio": 0.1} if transformers.__version__ < "5" else {"warmup_steps": 0.1}
    return train_and_tell(
        model,
        new_loss(losses.MultipleNegativesRankingLoss, model, scale=15.0),
        from_hub(triplets("train", typeset), "train", 240),
        from_hub(triplets("test", typeset), "test", 100),
        [evaluation.TripletEvaluator(*triplets("test").values(), name="glossary-test"), similarity_evaluator()],
        {"name": DATA.split("/")[1], "id": DATA, "revision": DATA_REVISION},
        num_train_epochs=2,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        learning_rate=2e-4,
        weight_decay=0.01,
        batch_sampler="no_duplicates",
        eval_strategy="steps",
        eval_steps=10,
        logging_steps=5,
        logging_first_step=True,
        seed=7,
        **warmup,
    )


def matryoshka() -> Made:
    """A loss around a loss that is not as it comes; the best checkpoint is loaded: one row of the log is bold."""
    model = new_model()
    inner = new_loss(losses.MultipleNegativesRankingLoss, model, scale=25.0)
    loss = new_loss(losses.MatryoshkaLoss, model, inner, matryoshka_dims=[32, 16, 8], matryoshka_weights=[1, 1, 0.5])
    model, truth = train_and_tell(
        model,
        loss,
        pairs("train"),
        pairs("test"),
        num_train_epochs=1,
        per_device_train_batch_size=32,
        learning_rate=5e-4,
        warmup_steps=3,
        eval_strategy="steps",
        eval_steps=6,
        logging_steps=3,
        save_strategy="steps",
        save_steps=6,
        save_total_limit=1,
        load_best_model_at_end=True,
    )
    best = WATCHED[-1].trainer.state.best_model_checkpoint
    return model, {**truth, "best_step": int(best.rsplit("-", 1)[1])}


def two_datasets() -> Made:
    """Two data sets, each with its own loss."""
    model, tables = new_model(), {"pairs": pairs, "graded": graded}
    made = {
        "pairs": new_loss(losses.MultipleNegativesRankingLoss, model),
        "graded": new_loss(losses.CoSENTLoss, model, scale=10.0),
    }
    sets = [
        DatasetDict({name: Dataset.from_dict(table(split)) for name, table in tables.items()})
        for split in ("train", "test")
    ]
    return train_and_tell(
        model,
        ({name: loss for name, (loss, _) in made.items()}, {name: about for name, (_, about) in made.items()}),
        *sets,
        num_train_epochs=1,
        per_device_train_batch_size=16,
        logging_steps=20,
        eval_strategy="steps",
        eval_steps=30,
        multi_dataset_batch_sampler="round_robin" if VERSION[0] % 2 else "proportional",
    )


class ScaledErrorLoss(torch.nn.Module):
    """A loss of one's own, with a loss of torch inside under the name that the library follows."""

    def __init__(self, model: SentenceTransformer, scale: float = 2.0) -> None:
        super().__init__()
        self.model, self.scale, self.loss = model, scale, torch.nn.MSELoss()

    def forward(self, sentence_features: Any, labels: torch.Tensor) -> torch.Tensor:
        first, second = (self.model(features)["sentence_embedding"] for features in sentence_features)
        return self.scale * self.loss(torch.cosine_similarity(first, second), labels.float())


def custom_loss() -> Made:
    """Four rows longer than the limit, one step, a loss of one's own, plain gradient descent, half precision."""
    model = new_model(limit=16)
    return train_and_tell(
        model,
        new_loss(ScaledErrorLoss, model),
        {name: values[:4] for name, values in graded("train").items()},
        num_train_epochs=1,
        per_device_train_batch_size=4,
        optim="sgd",
        lr_scheduler_type="constant",
        fp16=True,
    )


def graded_pairs() -> Made:
    """Scores as labels, two similarity functions, and retrieval beside them."""
    model = new_model(similarity_fn_name="dot" if VERSION[0] == 4 else "cosine")
    part_of = {str(place): entry for place, entry in enumerate(concepts("test"))}
    options = inspect.signature(evaluation.EmbeddingSimilarityEvaluator.__init__).parameters
    functions = {"similarity_fn_names": ["cosine", "euclidean"]} if "similarity_fn_names" in options else {}
    retrieval = evaluation.InformationRetrievalEvaluator(
        {place: entry["question"] for place, entry in part_of.items()},
        {place: entry["definitions"][0] for place, entry in part_of.items()},
        {place: {place} for place in part_of},
        name="questions",
        accuracy_at_k=[1, 5],
        precision_recall_at_k=[1, 5],
    )
    return train_and_tell(
        model,
        new_loss(losses.CosineSimilarityLoss if VERSION[0] == 3 else losses.CoSENTLoss, model),
        graded("train"),
        graded("test"),
        [similarity_evaluator(**functions), retrieval],
        num_train_epochs=1,
        per_device_train_batch_size=32,
        learning_rate=1e-4,
        eval_strategy="epoch",
        logging_strategy="epoch",
        warmup_steps=2,
    )


def zeroed() -> Made:
    """All weights are 0: embeddings are 0, scores undefined, and the loss stays that of a guess."""
    model = new_model(zero=True)
    model, truth = train_and_tell(
        model,
        new_loss(losses.MultipleNegativesRankingLoss, model),
        *({name: values[:96] for name, values in triplets(split).items()} for split in ("train", "test")),
        [similarity_evaluator()],
        num_train_epochs=2,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        eval_strategy="steps",
        eval_steps=4,
        logging_steps=4,
    )
    return model, {**truth, "chance_loss": math.log(32)}


def labels() -> Made:
    """Texts with a class each."""
    model = new_model()
    return train_and_tell(
        model,
        new_loss(losses.BatchAllTripletLoss, model, margin=0.3),
        labelled("train"),
        num_train_epochs=2,
        per_device_train_batch_size=32,
        batch_sampler="group_by_label",
        logging_steps=4,
        dataloader_drop_last=True,
    )


def nasty(columns: tuple[str, str] = ("question", "answer")) -> Made:
    """Texts that break tables, fences and pages, and one longer than the model reads."""
    model = new_model(limit=32)
    return train_and_tell(
        model,
        new_loss(losses.MultipleNegativesRankingLoss, model),
        {columns[0]: NASTY * 4, columns[1]: (NASTY[1:] + NASTY[:1]) * 4},
        num_train_epochs=3,
        per_device_train_batch_size=6,
        logging_steps=0.25,
        warmup_steps=1,
    )


def prompts() -> Made:
    """A prompt for each column, gradients gathered over two batches, a number of steps, a cosine."""
    model = new_model()
    return train_and_tell(
        model,
        new_loss(losses.MultipleNegativesRankingLoss, model),
        pairs("train"),
        max_steps=24,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=2,
        lr_scheduler_type="cosine",
        prompts={"anchor": "query: ", "positive": "passage: "},
        logging_steps=6,
        learning_rate=1e-4,
        max_grad_norm=0.5,
        warmup_steps=5,
        adam_epsilon=1e-7,
    )


def of_another_kind(model: Any, rows: Table, loss: Any, trainer: type, arguments: type) -> Made:
    """A model that does not embed, or not densely: its card is told from its architecture."""
    model.model_card_data.base_model = BASE
    args = arguments(tempfile.mkdtemp(), max_steps=5, per_device_train_batch_size=8, report_to="none")
    trainer(model=model, args=args, train_dataset=Dataset.from_dict(rows), loss=loss).train()
    about = {"name": type(loss).__name__, "parameters": {}}
    return model, ran(model, [part(model, rows, about)], [], architecture=type(model).__name__)


def cross_encoder() -> Made:
    """A model that scores pairs."""
    from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    model = CrossEncoder(tiny_bert(transformers.BertForSequenceClassification, num_labels=1), device="cpu")
    loss = BinaryCrossEntropyLoss(model)
    return of_another_kind(model, graded("train"), loss, CrossEncoderTrainer, CrossEncoderTrainingArguments)


def sparse() -> Made:
    """A model whose vectors have a place for every word piece."""
    from sentence_transformers import SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss
    from sentence_transformers.sparse_encoder.models import MLMTransformer, SpladePooling

    body = MLMTransformer(tiny_bert(transformers.BertForMaskedLM), max_seq_length=64)
    model = SparseEncoder(modules=[body, SpladePooling()], device="cpu")
    inner = SparseMultipleNegativesRankingLoss(model)
    loss = SpladeLoss(model, inner, document_regularizer_weight=3e-5, query_regularizer_weight=5e-5)
    return of_another_kind(model, pairs("train"), loss, SparseEncoderTrainer, SparseEncoderTrainingArguments)


KINDS: dict[str, Callable[[], Made]] = {
    "fit-mnrl": fit_mnrl,
    "fit-triplet": fit_triplet,
    "fit-told": fit_told,
    "trainer-triplets": trainer_triplets,
    "matryoshka": matryoshka,
    "two-datasets": two_datasets,
    "custom-loss": custom_loss,
    "graded": graded_pairs,
    "zeroed": zeroed,
    "labels": labels,
    "nasty": nasty,
    "nasty-columns": lambda: nasty(("question | asked", "<b>answer</b>")),
    "prompts": prompts,
    "cross-encoder": cross_encoder,
    "sparse": sparse,
    "mojibake-cp1252": lambda: trainer_triplets(typeset=True),
    "mojibake-macroman": lambda: trainer_triplets(typeset=True),
}
BROKEN_BY = {"mojibake-cp1252": "cp1252", "mojibake-macroman": "mac_roman"}


def write(kind: str, version: str, out: Path) -> None:
    """Makes one card and its truth; a mojibake card is its UTF-8 read once with the wrong table."""
    transformers.set_seed(42)
    model, truth = KINDS[kind]()
    folder = Path(tempfile.mkdtemp())
    model.save_pretrained(str(folder))
    text = (folder / "README.md").read_bytes().decode("utf-8")
    if kind in BROKEN_BY:
        text = text.encode().decode(BROKEN_BY[kind])
        truth["encoding"] = BROKEN_BY[kind]
    (out / f"{version}-{kind}.md").write_text(text, encoding="utf-8", newline="")
    said = {"version": version, "kind": kind, "architecture": "SentenceTransformer", **truth}
    (out / f"{version}-{kind}.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(version: str, out: Path, kinds: list[str]) -> None:
    if sentence_transformers.__version__ != version:
        sys.exit(f"expected Sentence Transformers {version}, got {sentence_transformers.__version__}: run it there")
    out.mkdir(parents=True, exist_ok=True)
    answer_as_the_hub()
    watch_training()
    with tempfile.TemporaryDirectory() as home:
        tempfile.tempdir = home
        os.chdir(home)  # fit keeps its checkpoints where it is called
        for kind in kinds or [*EVERY, *MORE[version]]:
            write(kind, version, out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:])
