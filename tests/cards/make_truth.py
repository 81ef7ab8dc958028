"""What a run really used, from its trainer, its optimizer and its rows; for `make_cards.py`."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Sequence
from typing import Any

import sentence_transformers
import torch
import transformers
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer, SentenceTransformerModelCardData, losses

VERSION = tuple(int(part) for part in sentence_transformers.__version__.split(".")[:2])
Loss = tuple[Any, dict[str, Any]]
Table = Dataset | DatasetDict | dict[str, list[Any]]


class Watch(transformers.TrainerCallback):
    """Remembers the trainer that ran and the learning rate of each step."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.rates = trainer, []

    def on_step_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        self.rates.append(float(optimizer.param_groups[0]["lr"]))


WATCHED: list[Watch] = []


def watch_training() -> None:
    """Has every trainer be watched: `fit` builds one of its own that it does not give back."""
    original = transformers.Trainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        WATCHED.append(Watch(self))
        self.add_callback(WATCHED[-1])
        return original(self, *args, **kwargs)

    transformers.Trainer.train = train


def answer_as_the_hub() -> None:
    """The library asks the Hub whether a data set exists and forgets its id where nobody answers: `DATA` exists."""
    names = SentenceTransformerModelCardData.validate_datasets.__globals__
    names["get_dataset_info"] = lambda name: types.SimpleNamespace(id=name, cardData=None, card_data=None)


def number(value: Any) -> float | None:
    """A number of this language; None where it is not a number."""
    return None if math.isnan(value) else float(value)


def plain(value: Any) -> Any:
    """A value as JSON holds it: a function or a class by its name, a module by its full name."""
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    for name, metric in vars(losses.TripletDistanceMetric).items():
        if callable(value) and metric is value:
            return f"TripletDistanceMetric.{name}"
    return getattr(value, "__name__", None) or getattr(value, "value", value)


def new_loss(kind: type, model: Any, inner: Loss | None = None, **given: Any) -> Loss:
    """A loss, and its name with all its parameters: those given and the library's defaults."""
    first = [model] if inner is None else [model, inner[0]]
    bound = inspect.signature(kind.__init__).bind(None, *first, **given)
    bound.apply_defaults()
    parameters = {name: plain(value) for name, value in list(bound.arguments.items())[1 + len(first) :]}
    return kind(*first, **given), {
        "name": kind.__name__,
        "parameters": parameters,
        "inner": inner[1] if inner is not None else None,
    }


def part(model: Any, columns: Table, about: dict[str, Any], name: str | None = None, **more: Any) -> dict[str, Any]:
    """What is true of one data set: rows, columns, loss, tokens of the rows that a card counts, texts cut."""
    columns = dict(columns.with_format(None)[:] if isinstance(columns, Dataset) else columns)
    columns.pop("dataset_name", None)  # put there by 3.0 and 3.1 while they train
    # Since 5.5 the library says 100 and counts chunks of 8 until 100 are reached
    counted, tokens, cut = (104 if VERSION >= (5, 5) else 1000), {}, {}
    for column, values in columns.items():
        if isinstance(values[0], str) and hasattr(model, "max_seq_length"):
            whole = [len(ids) for ids in model.tokenizer(list(values), truncation=False, verbose=False)["input_ids"]]
            seen = [min(length, model.max_seq_length) for length in whole[:counted]]
            tokens[column] = {"min": min(seen), "mean": sum(seen) / len(seen), "max": max(seen)}
            cut[column] = sum(length > model.max_seq_length for length in whole)
    rows = len(next(iter(columns.values())))
    return {"name": name, "rows": rows, "columns": list(columns), "loss": about, "tokens": tokens, "cut": cut, **more}


def parts(model: Any, rows: Any, about: dict[str, Any], more: dict[str, Any]) -> list[dict[str, Any]]:
    """What is true of one, several or no data sets."""
    if isinstance(rows, DatasetDict):
        return [part(model, rows[name], about[name], name) for name in rows]
    return [] if rows is None else [part(model, rows, about, **more)]


def ran(model: Any, train: list[dict[str, Any]], held_out: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The truth of the run that was watched last, from its trainer and its optimizer."""
    trainer, rates = WATCHED[-1].trainer, WATCHED[-1].rates
    args, card = trainer.args, model.model_card_data
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    unlogged = ("runtime", "per_second", "_flos", "grad_norm", "learning_rate", "train_loss")
    log = [
        {name: number(value) for name, value in row.items() if not name.endswith(unlogged)}
        for row in trainer.state.log_history
    ]
    embeds = isinstance(model, SentenceTransformer)
    return {
        "how": "trainer",
        "base_model": card.base_model,
        "revision": card.base_model_revision,
        "model_name": card.model_name,
        "dimension": model.get_sentence_embedding_dimension() if embeds else None,
        "max_seq_length": getattr(model, "max_seq_length", None),
        "similarity": (plain(model.similarity_fn_name) or "cosine") if embeds else None,
        "train": train,
        "eval": held_out,
        "batch": args.per_device_train_batch_size,
        "eval_batch": args.per_device_eval_batch_size,
        "accumulation": args.gradient_accumulation_steps,
        "epochs": args.num_train_epochs,
        "max_steps": args.max_steps if args.max_steps > 0 else None,
        "steps": trainer.state.global_step,
        "learning_rate": trainer.lr_scheduler.base_lrs[0],
        "peak_learning_rate": max(rates),
        "warmup_steps": args.get_warmup_steps(trainer.state.max_steps),
        "weight_decay": max(group["weight_decay"] for group in optimizer.param_groups),
        "optimizer": type(optimizer).__name__,
        "scheduler": plain(args.lr_scheduler_type),
        "max_grad_norm": args.max_grad_norm,
        "seed": args.seed,
        "batch_sampler": plain(args.batch_sampler),
        "multi_dataset_batch_sampler": plain(args.multi_dataset_batch_sampler),
        "precision": "fp16" if args.fp16 else "bf16" if args.bf16 else None,
        "prompts": getattr(args, "prompts", None),
        "log": [row for row in log if len(row) > 2],
        "scores": {},
        **more,
    }


def scores_of(evaluators: Sequence[Any], model: Any) -> dict[str, dict[str, float | None]]:
    """Scores of the model as it is: the card shows those of the last call."""
    found = {}
    for evaluator in evaluators:
        start = f"{evaluator.name}_"
        scores = {name.removeprefix(start): number(value) for name, value in evaluator(model).items()}
        found[evaluator.name] = {"evaluator": type(evaluator).__name__, "scores": scores}
    return found
