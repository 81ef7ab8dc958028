"""From a card to the recipe that repeats its run, and what such a recipe cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from workbench.cards.logs import FIT
from workbench.cards.read_record import CardData, CardLoss, Doubt, Said
from workbench.cards.read_steps import TRAINER, setting
from workbench.catalog import losses as catalog
from workbench.catalog.models import KNOWN
from workbench.data.sources import SHIPPED
from workbench.errors import RecipeError
from workbench.recipe import Loss, Recipe

UNNAMED = "unnamed-dataset"
WHOLE_RUN = 0.999999  # a warm-up over all steps: the recipe takes 1 for one step
LABELS = ("label", "labels", "score", "scores")  # the library reads a column of these names as the target
# Hyperparameter -> the recipe's setting, where only the name differs.
NAMES = {
    "per_device_train_batch_size": "batch_size", "gradient_accumulation_steps": "gradient_accumulation_steps",
    "num_train_epochs": "epochs", "learning_rate": "learning_rate", "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm", "gradient_checkpointing": "gradient_checkpointing", "seed": "seed",
    "dataloader_drop_last": "drop_last",
}  # fmt: skip
HANDLED = {*NAMES, *TRAINER, "warmup_ratio", "prompts", "use_cpu", "multi_dataset_batch_sampler"}
# What changes the weights and no recipe says -> what the trainer does where nobody says otherwise.
BEYOND: dict[str, tuple[Any, ...]] = {
    "adam_beta1": (0.9,), "adam_beta2": (0.999,), "adam_epsilon": (1e-8,), "lr_scheduler_kwargs": ({}, None),
    "optim_args": (None,), "adafactor": (False,), "neftune_noise_alpha": (None,), "label_smoothing_factor": (0, 0.0),
    "data_seed": (None,), "load_best_model_at_end": (False,), "auto_find_batch_size": (False,),
    "router_mapping": (None, {}), "learning_rate_mapping": (None, {}), "optim_target_modules": (None,),
}  # fmt: skip
# What does not change the weights: evaluation, logging, saving, loading, and where it computes.
_ASIDE = re.compile(r"(per_device_)?eval_.*|log.*|save_.*|dataloader_.*|hub_.*|push_to_hub.*|ddp_.*|torch_compile.*|"
                    r"disable_tqdm|resume_from_checkpoint|overwrite_output_dir|do_\w+|remove_unused_columns|local_rank|"
                    r"prediction_loss_only|project|trackio.*|tf32|use_mps_device|no_cuda|ignore_data_skip|"
                    r"accelerator_config|greater_is_better|metric_for_best_model|report_to|run_name|(bf16|fp16)_full_eval|"
                    r"include_.*|batch_eval_metrics|skip_memory_metrics|restore_callback_.*|full_determinism")  # fmt: skip


def recipe(card: Said, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a card, with some settings given by the caller; see `Card.to_recipe`."""
    carried = carried_recipe(card)
    if carried is not None:
        return carried.changed(**changes)
    problems: list[str] = []
    given: dict[str, Any] = {**settings(card), **changes}
    if "model" in changes and "revision" not in changes:
        given.pop("revision", None)
    if "model" not in given:
        problems.append(
            "model: expected the name of the base model, got none, as the card does not say it; pass it: card.to_recipe(model=…)"
        )
    if "loss" not in changes:
        try:
            given["loss"] = _loss(card)
        except RecipeError as error:
            problems += [f"{problem}; pass it: card.to_recipe(loss=…)" for problem in error.problems]
    if problems:
        raise RecipeError(problems)
    try:
        return Recipe(**given)
    except RecipeError as error:
        own = [name for name in changes if any(problem.startswith(name) for problem in error.problems)]
        if own:
            raise
        hint = "the card says so, pass another value: card.to_recipe({}=…)"
        raise RecipeError([f"{text}; {hint.format(re.split('[:.]', text)[0])}" for text in error.problems]) from None


def carried_recipe(card: Said) -> Recipe | None:
    """The recipe that a card of the workbench carries; None where there is none, or none that is valid."""
    if card.recipe_text is None:
        return None
    try:
        found = Recipe.from_yaml(card.recipe_text + "\n")
        return found if found.fingerprint else None
    except (ValueError, OverflowError):  # a RecipeError, or what numbers and escapes that nobody writes come to
        return None


def settings(card: Said) -> dict[str, Any]:
    """Settings of a recipe as the card tells them; what a recipe has no word for keeps the recipe's default."""
    found: dict[str, Any] = {own: _number(card, name) for name, own in NAMES.items()}
    if card.base_model:
        found |= {"model": card.base_model, "revision": card.revision}
    limit = _number(card, "max_steps")
    found["max_steps"] = limit if limit > 0 else None
    found["warmup"] = _warmup(card)
    choices = {"optimizer": optimizer(card), "scheduler": setting(card, "lr_scheduler_type"),
               "batch_sampler": setting(card, "batch_sampler")}  # fmt: skip
    found |= {name: said for name, said in choices.items() if said in choices_of(name)}
    found["precision"] = "bf16" if setting(card, "bf16") else "fp16" if setting(card, "fp16") else "fp32"
    if card.hyperparameters.get("use_cpu") is True:
        found["device"] = "cpu"
    if _prompts(card):
        found["prompts"] = _prompts(card)
    if card.how == "fit":
        found |= {"warmup" if name == "warmup_steps" else name: value for name, value in FIT.items()}
    usual = KNOWN.get(card.base_model or "")
    length = card.architecture.max_seq_length
    if length and (usual is None or usual.max_seq_length != length):
        found["max_seq_length"] = length
    # All rows of the card were trained on: none of them are held out anew.
    return found | {"data": data_of(card), "eval_share": 0.0}


def choices_of(name: str) -> tuple[str, ...]:
    """The words that a setting of the recipe takes."""
    return get_args(Recipe.model_fields[name].annotation)


def optimizer(card: Said) -> str:
    """The optimizer in the recipe's words, where it has one."""
    said = str(setting(card, "optim")).rpartition(".")[2].lower()
    return "adamw" if said in ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw") else said


def _number(card: Said, name: str) -> Any:
    said = setting(card, name)
    # Counts that are printed as 16.0 are counts; what is no whole number is for the recipe to refuse.
    return int(said) if isinstance(said, float) and said.is_integer() and isinstance(TRAINER[name], int) else said


def _warmup(card: Said) -> float:
    """Steps where they are given, else the share; the trainer asks in this order too."""
    count, share = setting(card, "warmup_steps"), _share(card.hyperparameters.get("warmup_ratio"))
    return count if count or share is None else min(share, WHOLE_RUN)


def _share(said: Any) -> float | None:
    return said if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said <= 1 else None


def _prompts(card: Said) -> Any:
    """Prompts that a recipe can say: one for all texts, or one a column."""
    said, data = card.hyperparameters.get("prompts"), card.train
    if isinstance(said, dict) and data:
        said = said.get(data.name, said)  # the trainer takes names of data sets for keys, too
        if isinstance(said, dict) and not {column.name for column in data.columns}.issuperset(said):
            return None
    plain = isinstance(said, dict) and all(isinstance(prompt, str) for prompt in said.values())
    return said if isinstance(said, str) or plain else None


def data_of(card: Said) -> dict[str, Any]:
    """The training data: a Hub id or a shipped name, else `UNNAMED`; with the roles of its columns."""
    data = card.train
    if data is None:
        return {"source": UNNAMED}
    shipped = data.name if data.name and data.name.startswith(SHIPPED) else None
    return {"source": data.hub_id or shipped or UNNAMED, "columns": roles(data)}


def roles(data: CardData) -> dict[str, str]:
    """Role of each column: texts in their order, and the column that the library takes for the target."""
    texts = iter(("anchor", "positive"))
    found = {}
    for column in data.columns:
        if column.name in LABELS:
            found[column.name] = _target(data, column.type)
        else:
            found[column.name] = next(texts, "negative")
    return found


def _target(data: CardData, type_: str | None) -> str:
    """Classes or numbers: as the loss takes them, else as the column holds them."""
    inner = nested(data.loss)[-1] if data.loss else None
    info = catalog.losses().get(inner.name) if inner and not inner.custom else None
    kinds = {shape.label for shape in info.shapes} if info else set()
    if kinds and not kinds & {"class", "binary", "any"}:
        return "score"
    return "label" if type_ in ("int", "bool", "string") or (kinds and not kinds & {"score", "scores"}) else "score"


def nested(loss: CardLoss) -> list[CardLoss]:
    """A loss and those that it wraps; the last one sees the vectors."""
    return [loss, *(nested(loss.inner) if loss.inner else [])]


def _loss(card: Said) -> Loss:
    said = card.train.loss if card.train else None
    if said is None:
        raise RecipeError("loss: expected the name of a loss, got none, as the card does not say it")
    return built(said)


def built(loss: CardLoss) -> Loss:
    """The loss as a recipe takes it.

    Raises:
        RecipeError: it is not of the library, or a parameter is missing or out of bounds.
    """
    if loss.custom:
        raise RecipeError(
            f"loss: expected a loss of Sentence Transformers, got {loss.path!r:.200}, a loss of its author whose source is not in the card"
        )
    given = known_parameters(loss)
    return Loss(loss.name, **(given | {"loss": built(loss.inner)} if loss.inner else given))


def known_parameters(loss: CardLoss) -> dict[str, Any]:
    """The printed parameters that the installed loss has, as it takes them."""
    info = catalog.losses().get(loss.name)
    found = {}
    for name, said in loss.parameters.items():
        parameter = info.parameter(name) if info else None
        if parameter is None or (said is None and parameter.default is None):
            continue
        if isinstance(said, str):
            # Older versions misspell a distance; a model is printed as the call that makes it.
            said = said.replace("eucledian", "euclidean")
            call = re.fullmatch(r"\w+\(['\"]([^'\"]+)['\"].*\)", said)
            if parameter.kind == "model" and not call and re.match(r"SentenceTransformer\b", said):
                continue  # a model without its name: the loss then asks for it
            said = call[1] if call and parameter.kind == "model" else said
        found[name] = said
    return found


def doubts(card: Said) -> Iterator[Doubt]:
    """What a recipe of this card has to assume or to leave out."""
    yield from _assumed(card)
    said = {name: card.hyperparameters[name] for name, usual in BEYOND.items()
            if name in card.hyperparameters and card.hyperparameters[name] not in usual}  # fmt: skip
    said |= {name: value for name, value in card.non_default.items()
             if name not in HANDLED and name not in BEYOND and not _ASIDE.fullmatch(name)}  # fmt: skip
    words = {"optim": ("optimizer", optimizer(card)), "lr_scheduler_type": ("scheduler", setting(card, "lr_scheduler_type")),
             "batch_sampler": ("batch_sampler", setting(card, "batch_sampler"))}  # fmt: skip
    said |= {name: setting(card, name) for name, (own, word) in words.items() if word not in choices_of(own)}
    if card.hyperparameters.get("prompts") and not _prompts(card):
        said["prompts"] = card.hyperparameters["prompts"]
    if said:
        listed = ", ".join(f"{name}={value!r:.60}" for name, value in said.items())
        yield Doubt(
            "not-in-recipe",
            f"A recipe has no setting for {listed}: it is left out, so a run of the recipe differs.",
            said,
        )
    for data in card.datasets:
        if data.part == "train" and data.loss:
            yield from _about_loss(data.loss)


def _assumed(card: Said) -> Iterator[Doubt]:
    if card.how == "unknown":
        yield Doubt(
            "settings-missing",
            "The card prints no hyperparameters, so the recipe takes the trainer's defaults: batch 8, 3 epochs, learning rate 5e-05.",
            {"assumed": TRAINER},
        )
        return
    every = card.hyperparameters
    missing = [name for name in TRAINER if name not in every]
    if missing:
        assumed = {name: TRAINER[name] for name in missing}
        listed = ", ".join(f"{name}={value!r}" for name, value in assumed.items())
        yield Doubt(
            "settings-missing",
            f"The card leaves out {', '.join(missing)}; the recipe takes the trainer's defaults: {listed}.",
            {"assumed": assumed},
        )
    share = every.get("warmup_ratio")
    if share is not None and _share(share) is None:
        yield Doubt(
            "setting-unreadable",
            f"The card says warmup_ratio: {share!r:.80}, which is no share of the steps; the recipe does without.",
            {"setting": "warmup_ratio", "said": str(share)[:80], "assumed": 0},
        )
    for name in TRAINER:
        said, taken = every.get(name), setting(card, name)
        if name in every and (said != taken or isinstance(said, bool) != isinstance(taken, bool)):  # 1 == True
            yield Doubt(
                "setting-unreadable",
                f"The card says {name}: {said!r:.80}, which is not what such a setting holds; the recipe takes {TRAINER[name]!r}.",
                {"setting": name, "said": str(said)[:80], "assumed": TRAINER[name]},
            )


def _about_loss(loss: CardLoss, *, inside: bool = False) -> Iterator[Doubt]:
    info = catalog.losses().get(loss.name)
    if loss.unread:
        yield Doubt(
            "loss-parameters",
            f"The parameters of {loss.name} are printed as objects and cannot be read: {loss.unread[:80]!r}.",
            {"printed": loss.unread[:500]},
        )
    if info is None or loss.custom:
        return
    if info.parameters and not loss.parameters and not loss.unread and not inside:
        usual = ", ".join(f"{item.name}={item.default!r}" for item in info.parameters if not item.required)
        yield Doubt(
            "loss-parameters",
            f"The card prints no parameters of {loss.name}; the recipe takes the library's defaults{f' ({usual})' if usual else ''}.",
            {"loss": loss.name},
        )
    unknown = {name: said for name, said in loss.parameters.items() if not info.parameter(name)}
    if unknown:
        yield Doubt(
            "loss-parameters",
            f"{loss.name} has no parameter {', '.join(unknown)} in the installed version; the recipe leaves it out.",
            {"left_out": unknown},
        )
    if loss.inner:
        if not loss.inner.custom and not loss.inner.unread:
            yield Doubt(
                "inner-loss",
                f"The card names {loss.inner.name} inside {loss.name} without its parameters; the recipe takes the library's defaults.",
                {"loss": loss.inner.name},
            )
        yield from _about_loss(loss.inner, inside=True)
