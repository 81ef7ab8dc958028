"""A recipe as the library's own arguments, and as a plain script without the workbench in it."""

from __future__ import annotations

import pprint
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.catalog import losses as catalog
from workbench.catalog import models, weights
from workbench.recipe import Loss, Recipe
from workbench.spaces.packed import KERNEL, MODULES, may_pack
from workbench.steps import batched_rows, steps_of, total_steps, warmup_steps

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# As the run does it: the saved model needs no peft.
MERGE = """
from peft.tuners.tuners_utils import BaseTunerLayer

for module in list(model.modules()):
    for name, child in list(module.named_children()):
        if isinstance(child, BaseTunerLayer):
            child.merge()
            setattr(module, name, child.get_base_layer())
model.transformers_model.peft_config = {}
model.transformers_model._hf_peft_config_loaded = False
"""

# As the run does it: what is frozen stays out of training mode, since it was encoded once and without dropout.
ADAPTER = """
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

model.requires_grad_(False)
for module in model.children():
    module.eval()
    module.train = lambda mode=True, module=module: module
last = model._modules.popitem() if isinstance(model[-1], Normalize) else None
size = model.get_embedding_dimension()
identity = torch.eye(size)
adapter = Dense(size, size, bias=False, activation_function=torch.nn.Identity(), init_weight=identity)
name = f"adapter_{len(model)}" if "adapter" in model._modules else "adapter"
model.add_module(name, adapter.to(model.device))
if last is not None:
    model.add_module(*last)
"""


# As the run does it: which devices there are and what they can do is known where the script runs.
DEVICE = """device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
"""
BF16 = """nvidia = device == "cuda" and torch.version.hip is None
bf16 = nvidia and torch.cuda.is_bf16_supported(including_emulation=False)
"""

# As the run does it: the library would give each of several cards a part of every batch.
ONE_CARD = """args._n_gpu = min(args.n_gpu, 1)
"""

# As the run does it: batches without padding where the kernel for it is installed.
PACKED = f"""
import os

from transformers.utils import is_flash_attn_2_available

body = getattr(model[0], "model", None)
packs = {{type(module).__name__ for module in model}} <= {{{", ".join(map(repr, MODULES))}}}
if bf16 and packs and getattr(body, "_supports_flash_attn", False) and is_flash_attn_2_available():
    before = body.config._attn_implementation
    os.environ["FLASH_ATTENTION_DETERMINISTIC"] = "1"
    body.set_attn_implementation({KERNEL!r})
    model[0].unpad_inputs = None  # looks again whether batches can be packed
    if not model[0].can_flatten_inputs:
        body.set_attn_implementation(before)
"""


class Code(str):
    """A value of a setting that is written as it is, and not as a text."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Without quotation marks."""
        return str(self)


def without_paths(recipe: Recipe) -> Recipe:
    """The same recipe for other people's eyes: of a path on this machine only the last name is left."""
    loss = recipe.loss.with_models(without_path)
    changes: dict[str, Any] = {} if loss == recipe.loss else {"loss": loss}
    if (shown := without_path(recipe.model)) != recipe.model:
        changes["model"] = shown
    for name in ("data", "eval_data"):
        spec = getattr(recipe, name)
        if spec is not None and Path(spec.source).is_absolute():
            changes[name] = spec.model_copy(update={"source": Path(spec.source).name})
    return recipe.changed(**changes) if changes else recipe


def without_path(model: str) -> str:
    """The name of a model for other people's eyes."""
    return models.short_name(Path(model)) if Path(model).is_absolute() else models.full_name(model)


def arguments(recipe: Recipe, *, rows: int, device: str, bf16: bool) -> dict[str, Any]:
    """Keyword arguments of SentenceTransformerTrainingArguments for a recipe, all but the output folder.

    Args:
        recipe: the recipe.
        rows: rows that an epoch puts into batches, see `batched_rows`; the number of steps follows from them.
        device: cpu, cuda or mps.
        bf16: whether the device is a GPU that computes in bfloat16 and TF32, for the precision "auto".
    """
    total = total_steps(recipe, rows)
    return {
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "optim": {"adamw": "adamw_torch_fused", "sgd": "sgd"}[recipe.optimizer],
        "lr_scheduler_type": recipe.scheduler,
        "warmup_steps": warmup_steps(recipe, total),
        "max_grad_norm": recipe.max_grad_norm,
        "fp16": recipe.precision == "fp16",
        "bf16": recipe.precision == "bf16" or (recipe.precision == "auto" and bf16),
        # matrix products outside autocast, on cards that have it
        **({"tf32": True} if recipe.precision == "auto" and bf16 else {}),
        "batch_sampler": recipe.batch_sampler,
        "dataloader_drop_last": recipe.drop_last,
        "prompts": recipe.prompts,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "seed": recipe.seed,
        "use_cpu": device == "cpu",
        # the next batch goes to the card while the model works on this one
        "dataloader_pin_memory": device.startswith("cuda"),
        **({"accelerator_config": {"non_blocking": True}} if device.startswith("cuda") else {}),
        "logging_strategy": "steps",
        "logging_steps": steps_of(recipe.logging_steps, total),
        "logging_nan_inf_filter": False,
        "eval_strategy": "no",
        "save_strategy": "steps",
        "save_steps": steps_of(recipe.save_steps, total),
        "report_to": list(recipe.report_to) or "none",
        # a tracker writes on this machine only, whatever its own default is
        **({"trackio_space_id": None, "trackio_static_space_id": False} if "trackio" in recipe.report_to else {}),
        "disable_tqdm": True,
    }


def export_tables(train: Examples, evaluation: Examples | None, folder: Path | None = None) -> tuple[Path, Path | None]:
    """Write the exact rows of training and evaluation as Parquet, whole, under names that follow from their content.

    Args:
        train: rows to train on.
        evaluation: rows that are only scored, or None.
        folder: where to; None takes the folder of cached tables.
    """
    place = folder or files.home() / "tables"
    written: list[Path | None] = []
    for name, part in (("train", train), ("eval", evaluation)):
        if part is None:
            written.append(None)
            continue
        path = place / f"{name}-{part.fingerprint[:16]}.parquet"
        if not path.exists():
            place.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{id(part)}")
            part.to_training().to_parquet(str(beside))
            beside.replace(path)
        written.append(path)
    assert written[0] is not None
    return written[0], written[1]


def script(recipe: Recipe, *, folder: str | Path | None = None) -> str:
    """A Python script that repeats a recipe with Sentence Transformers alone.

    To the same weights bit by bit on a CPU, where the recipe does not split batches by length
    (`split_by_length: false`); else the loss and its gradients are the same, but dropout draws other numbers. An adapter's
    are the same to rounding, since a run looks vectors up that were encoded in other batches. A recipe with the device
    "auto" or "cuda" gives a script that finds out where it runs what the card can do, as a run does.

    The rows that the recipe trains on are written as Parquet (to `folder`, else to the workbench's cache), since that
    is the only form in which every source, held-out rows included, can be read back in one line.

    Raises:
        DataError, ModelError, RecipeError: the recipe cannot be run on this machine.
    """
    from workbench.data.prepare import prepare

    train, evaluation = prepare(recipe)
    tables = export_tables(train, evaluation, Path(folder) if folder else None)
    where = _place(recipe.model, recipe.revision)
    named = recipe.name or recipe.fingerprint
    recipe = with_limit(recipe).changed(loss=recipe.loss.with_models(_place), name=named)
    return render(recipe, train=train, tables=tables, model=where, device=recipe.device)


def with_limit(recipe: Recipe) -> Recipe:
    """The same recipe, which says at what texts are cut where the model's own files say it wrongly."""
    limit = recipe.max_seq_length or weights.limit_to_set(models.find(recipe.model, revision=recipe.revision).path)
    return recipe.changed(max_seq_length=limit) if limit else recipe


def _place(model: str, revision: str | None = None) -> str:
    """What the library finds a model by on this machine."""
    found = models.find(model, revision=revision)
    return str(found.path) if found.origin.startswith(("folder", "run", "package")) else found.name


def render(recipe: Recipe, *, train: Examples, tables: tuple[Path, Path | None], model: str, device: str) -> str:
    """The script's text; see `script`. The device is one of torch's, or auto."""
    rows = batched_rows(recipe, train.to_training())
    gpu = device == "auto" or device.startswith("cuda")
    given = arguments(recipe, rows=rows, device="cuda" if gpu else device, bf16=gpu)
    if gpu:
        given |= _decided_there(recipe, device)
    found = (DEVICE if device == "auto" else f"device = {device!r}\n") + BF16 if gpu else ""
    lora = (
        f"""
from peft import LoraConfig

model.add_adapter(LoraConfig(task_type="FEATURE_EXTRACTION", r={recipe.lora.r}, lora_alpha={recipe.lora.alpha}, lora_dropout={recipe.lora.dropout}, target_modules={list(recipe.lora.target_modules) if recipe.lora.target_modules else None}))
"""
        if recipe.lora
        else ""
    )
    revision = f", revision={recipe.revision!r}" if recipe.revision and not Path(model).is_absolute() else ""
    limit = f"model.max_seq_length = {recipe.max_seq_length}\n" if recipe.max_seq_length else ""
    future, source = _own_source(recipe.loss)
    body = pprint.pformat(given, sort_dicts=False, width=100)
    evaluation = (
        f"evaluation = Dataset.from_parquet({str(tables[1])!r})  # rows kept out of training"
        if tables[1]
        else "# no rows were held out"
    )
    return f'''"""Repeats the fine-tune {_comment(recipe.name or recipe.fingerprint)} with Sentence Transformers alone.

Base model {_comment(recipe.model)}, loss {_comment(recipe.loss.name)}, data {_comment(recipe.data.source)} ({len(train)} rows), seed {recipe.seed}.
Columns are in the order that the loss expects; a column named label or score is the target.
"""
{future}
import sentence_transformers
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses
from transformers import set_seed
{source}
train = Dataset.from_parquet({str(tables[0])!r})
{evaluation}

{found}set_seed({recipe.seed})
model = SentenceTransformer({model!r}{revision}, device={"device" if gpu else repr(device)}, model_kwargs={{"dtype": torch.float32}})
model.float()
cut, model.truncate_dim = model.truncate_dim, None  # training sees whole vectors
{limit}{PACKED if gpu and may_pack(recipe) else ""}{lora}{ADAPTER if recipe.method == "adapter" else ""}
set_seed({recipe.seed})
loss = {_loss_call(recipe.loss)}
model.truncate_dim = cut

settings = {body}
args = SentenceTransformerTrainingArguments(output_dir="checkpoints", **settings)
{ONE_CARD if gpu else ""}trainer = SentenceTransformerTrainer(model=model, args=args, train_dataset=train, loss=loss)
set_seed({recipe.seed})  # the library has drawn examples for a card
trainer.train()
{MERGE if recipe.lora else ""}model.save_pretrained("model")
'''


def _decided_there(recipe: Recipe, device: str) -> dict[str, Code]:
    """Settings that a script works out on the machine where it runs."""
    made = {"bf16": Code("bf16"), "tf32": Code("bf16 or None")} if recipe.precision == "auto" else {}
    if device == "auto":
        made["use_cpu"] = Code('device == "cpu"')
        made["dataloader_pin_memory"] = Code('device == "cuda"')
        made["accelerator_config"] = Code('{"non_blocking": device == "cuda"}')
    return made


def _own_source(loss: Loss) -> tuple[str, str]:
    """(future imports, which have to come first; the rest) of the source of a loss of one's own, empty without one."""
    source = loss.innermost.source or loss.source
    if not source:
        return "", ""
    future = re.compile(r"^from __future__ import .*\n?", re.MULTILINE)
    first = "".join(f"\n{line.strip()}\n" for line in future.findall(source))
    return first, f"\n{future.sub('', source)}\n"


def _loss_call(loss: Loss) -> str:
    """`losses.TripletLoss(model, triplet_margin=0.3)`, wrapped losses inside."""
    custom = loss.source is not None
    given = "".join(f", {key}={_value(loss, key, value)}" for key, value in loss.parameters.items())
    extra = (
        ", embedding_dimension=model.get_embedding_dimension()"
        if loss.name == "SoftmaxLoss" and "embedding_dimension" not in loss.parameters
        else ""
    )
    return f"{'' if custom else 'losses.'}{loss.name}(model{extra}{given})"


def _value(loss: Loss, key: str, value: object) -> str:
    if isinstance(value, Loss):
        return _loss_call(value)
    return _own_value(loss.source, loss.name, key, value) if loss.source else catalog.as_code(loss.name, key, value)


def _own_value(source: str, name: str, key: str, value: object) -> str:
    """A parameter of a loss of one's own: a model or a function is kept by its name, and made as `build` makes it."""
    parameter = catalog.describe(name, source).parameter(key)
    if parameter is None or value is None or parameter.kind not in ("model", "function"):
        return repr(value)
    if parameter.kind == "model":
        return repr(value) if key.endswith("name_or_path") else catalog.model_as_code(value)
    if re.search(rf"^class {value}\b", source, re.MULTILINE):
        return f"{value}()"
    if re.search(rf"^(def {value}\b|{value} *=)", source, re.MULTILINE):
        return str(value)
    return f"sentence_transformers.util.{value}" if str(value).endswith(("_sim", "_score")) else f"torch.nn.{value}()"


def _comment(text: str) -> str:
    """Text from outside, fit for a docstring."""
    shown = "".join(character if character.isprintable() else " " for character in text)  # Python reads no NUL
    return shown.replace("\\", "/").replace('"""', "'''")[:200]
