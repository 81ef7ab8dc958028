"""The recipe: everything that a fine-tune needs to be repeated.

Name, default, bounds, unit and help of every setting stand here once; the form, the command line,
the script and the checks are made from these fields. A recipe is frozen: `changed` returns a new one.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workbench.catalog import losses as catalog
from workbench.errors import RecipeError, did_you_mean

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
MAX_VALUES = 100_000
ROLES = ("anchor", "positive", "negative", "label", "score", "ignore")
HealthCheck = Literal[
    "not-finite",
    "zero-vectors",
    "zero-gradient",
    "collapse",
    "loss-at-chance",
    "loss-constant",
    "gradient-clipped",
    "overfitting",
    "score-undefined",
    "steps-slower",
    "batch-split",
]


class Loss:
    """A loss by name with its parameters, checked against the catalogue.

    Args:
        loss: a class name of Sentence Transformers, the name of a registered loss of your own, or the class itself.
        source: Python source of a loss that is not registered here (as found in a recipe file). It is only
            kept: nothing runs it until someone says that it is trusted.
        parameters: the loss's own arguments except the model; a wrapped loss is a `Loss` too.

    Raises:
        RecipeError: unknown loss or parameter, or a value outside its bounds; all problems at once.
    """

    __slots__ = ("name", "parameters", "source")
    name: str
    parameters: Mapping[str, Any]
    source: str | None

    def __init__(self, loss: str | type, /, *, source: str | None = None, **parameters: Any) -> None:
        if isinstance(loss, type):
            info = catalog.register_loss(loss)
            loss, source = info.name, info.source
        if not isinstance(loss, str):
            raise RecipeError(f"loss: expected a name or a class, got {loss!r}; write for instance Loss('TripletLoss')")
        nested = {key: to_loss(value) if key == "loss" else value for key, value in parameters.items()}
        problems, clean = catalog.checked(loss, nested, source=source)
        if problems:
            raise RecipeError(problems)
        if source is None and loss in catalog.registered():
            source = catalog.registered()[loss].source
        object.__setattr__(self, "name", loss)
        object.__setattr__(self, "parameters", MappingProxyType(clean))
        object.__setattr__(self, "source", source)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Loss is frozen: make a new one instead of setting {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def __repr__(self) -> str:
        given = "".join(f", {key}={value!r}" for key, value in self.parameters.items())
        return f"Loss({self.name!r}{given})"

    @property
    def code(self) -> str:
        """The loss as Python."""
        given = "".join(f", {key}={_in_code(value)}" for key, value in self.parameters.items())
        return f"wb.Loss({self.name!r}{given})"

    def __reduce__(self) -> tuple[Any, ...]:
        return to_loss, (self.to_dict(),)

    @property
    def innermost(self) -> Loss:
        """The loss that sees the embeddings: itself, or what Matryoshka and the like wrap."""
        inner = self.parameters.get("loss")
        return inner.innermost if isinstance(inner, Loss) else self

    def with_models(self, change: Callable[[str], str]) -> Loss:
        """The same loss with other names of the models that it brings, such as its guide."""
        kinds = {item.name: item.kind for item in catalog.describe(self.name, self.source).parameters}
        changed: dict[str, Any] = {}
        for key, value in self.parameters.items():
            if isinstance(value, Loss):
                changed[key] = value.with_models(change)
            elif kinds.get(key) == "model" and isinstance(value, str):
                changed[key] = change(value)
        return Loss(self.name, source=self.source, **{**self.parameters, **changed}) if changed else self

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that the loss brings."""
        found: list[str] = []

        def noted(name: str) -> str:
            found.append(name)
            return name

        self.with_models(noted)
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping for YAML: ``{name, [source], **parameters}``."""
        parameters = {
            key: value.to_dict() if isinstance(value, Loss) else value for key, value in self.parameters.items()
        }
        return {"name": self.name, **({"source": self.source} if self.source else {}), **parameters}


def to_loss(value: object) -> Loss:
    """A `Loss` from a `Loss`, a name, a class or a mapping with the key ``name``."""
    if isinstance(value, Loss):
        return value
    if isinstance(value, str | type):
        return Loss(value)
    if isinstance(value, Mapping):
        given = dict(value)
        name = given.pop("name", None)
        if isinstance(name, str) and all(isinstance(key, str) for key in given):
            return Loss(name, **given)
    raise RecipeError(
        f"expected a loss name or a mapping with 'name', got {_brief(value)}; write for instance name: TripletLoss"
    )


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, ser_json_inf_nan="strings")


class DataSpec(_Part):
    """Which table, which part of it, and what its columns mean."""

    source: str = Field(min_length=1, description="A file, a shipped name such as glossary/qa, or a Hub id")
    config: str | None = Field(None, description="Configuration of a Hub data set")
    split: str | None = Field(None, description="Part of the data; None takes train, or the only one there is")
    columns: dict[str, Literal["anchor", "positive", "negative", "label", "score", "ignore"]] = Field(
        default_factory=dict, description="Role of each column; empty guesses them from names and order"
    )
    rows: int | None = Field(None, ge=1, description="Use the first so many rows", json_schema_extra={"unit": "rows"})
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="Cell separator of a text table; None detects it"
    )
    encoding: str = Field("utf-8", description="Text encoding of the file")
    bad_rows: Literal["raise", "leave out"] = Field("raise", description="What to do with rows that miss a text")


class Lora(_Part):
    """Low-rank adaptation (Hu et al. 2021) instead of training all weights. Needs the extra `lora`."""

    r: int = Field(16, ge=1, le=1024, description="Rank of the update")
    alpha: int = Field(32, ge=1, le=4096, description="Scale of the update; the update is multiplied by alpha / r")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on the input of the update")
    target_modules: tuple[str, ...] | None = Field(
        None, description="Layers by name; None lets peft choose for the architecture"
    )


def _to_spec(value: object) -> object:
    """A path, a name, a mapping, or loaded examples (anything with a `.spec`)."""
    if isinstance(value, str | Path):
        return DataSpec(source=str(value))
    spec = getattr(value, "spec", None)
    if isinstance(spec, DataSpec):
        return spec
    if isinstance(value, Mapping | DataSpec):
        return value
    raise ValueError(
        f"expected a path, a name, a mapping or the result of wb.load(), got {type(value).__name__}; call wb.load() on it first"
    )


LossField = Annotated[Loss, BeforeValidator(to_loss), PlainSerializer(lambda loss: loss.to_dict(), return_type=dict)]
SpecField = Annotated[DataSpec, BeforeValidator(_to_spec)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Recipe(_Part):
    """Base model, loss, data and settings of one fine-tune.

    Shares: a value below 1 of `warmup`, `logging_steps`, `eval_steps` and `save_steps` is a share of all steps,
    a value of 1 or more is a number of steps.

    Raises:
        RecipeError: one or more values are wrong; `.problems` lists all of them.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str = Field(DEFAULT_MODEL, min_length=1, description="Base model: a Hub id, a folder or a run folder")
    revision: str | None = Field(None, description="Revision of a Hub model")
    loss: LossField = Field(description="Loss and its parameters")
    data: SpecField = Field(description="Training data")
    eval_data: Annotated[DataSpec | None, BeforeValidator(lambda v: None if v is None else _to_spec(v))] = Field(
        None, description="Evaluation data; None takes the data's own test part, else holds out eval_share"
    )
    eval_share: float = Field(
        0.1, ge=0, le=0.5, description="Share of rows held out where there is no test part; 0 for none"
    )
    name: str | None = Field(None, max_length=120, description="Name of the run; None makes one from model and data")

    method: Literal["full", "adapter"] = Field(
        "full",
        description="full trains the model; adapter freezes it and trains a square linear map of its vectors, in seconds",
    )
    epochs: float = Field(1.0, gt=0, le=1000, description="Passes over the data", json_schema_extra={"unit": "epochs"})
    max_steps: int | None = Field(
        None,
        ge=1,
        description="End after so many optimizer steps, whatever epochs says",
        json_schema_extra={"unit": "steps"},
    )
    batch_size: int = Field(
        16, ge=1, le=65536, description="Rows of one forward pass", json_schema_extra={"unit": "rows"}
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        le=65536,
        description="Forward passes of one step; adds no in-batch negatives",
        json_schema_extra={"unit": "batches"},
    )
    batch_sampler: Literal["batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label"] = Field(
        "batch_sampler",
        description="How rows meet: batch_sampler shuffles them, no_duplicates keeps equal texts apart, group_by_label brings classes together",
    )
    drop_last: bool = Field(False, description="Leave out the last, smaller batch of an epoch")
    max_seq_length: int | None = Field(
        None, ge=2, description="Cut texts at this length; None keeps the model's", json_schema_extra={"unit": "tokens"}
    )
    prompts: str | dict[str, str] | None = Field(
        None, description="Text put before every text, or before the texts of a column"
    )

    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="AdamW (Loshchilov & Hutter 2019) or plain stochastic gradient descent"
    )
    learning_rate: float = Field(2e-5, gt=0, le=100, description="Peak learning rate; about 0.2 for static embeddings")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay")
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"] = Field(
        "linear", description="Course of the learning rate after warm-up"
    )
    warmup: Amount = Field(
        0.1, description="Rise of the learning rate at the start", json_schema_extra={"unit": "share or steps"}
    )
    max_grad_norm: float = Field(1.0, ge=0, description="Gradient norm is clipped to this; 0 turns clipping off")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the GPU has it, else fp32"
    )
    gradient_checkpointing: bool = Field(False, description="Compute activations twice to save memory")
    split_by_length: bool = Field(
        True,
        description="The same rows and loss with far less padding: on a CPU, and on a GPU where it pays, a batch goes through the model in up to four groups of like length; on a GPU with flash-attn without any padding",
    )
    lora: Lora | None = Field(None, description="Train a low-rank update instead of all weights")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, then MPS, then CPU")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of shuffling, dropout and held-out rows")

    logging_steps: Amount = Field(
        0.02, gt=0, description="How often the loss is recorded", json_schema_extra={"unit": "share or steps"}
    )
    eval_steps: Amount = Field(
        0.2, gt=0, description="How often scores are taken during the run", json_schema_extra={"unit": "share or steps"}
    )
    save_steps: Amount = Field(
        0.1,
        gt=0,
        description="How often a checkpoint is kept, to resume from",
        json_schema_extra={"unit": "share or steps"},
    )
    eval_batch_size: int = Field(
        64, ge=1, le=65536, description="Texts of one forward pass in evaluation", json_schema_extra={"unit": "rows"}
    )
    film_frames: int = Field(
        20,
        ge=0,
        le=100,
        description="Looks at a fixed sample of texts while it trains, which make the film of the run, for at most 5% of its time; 0 for no film",
        json_schema_extra={"unit": "frames"},
    )
    report_to: tuple[Literal["tensorboard", "trackio"], ...] = Field(
        (), description="Also write to these trackers, on this machine only"
    )
    watch_off: tuple[HealthCheck, ...] = Field(
        (), description="Health checks that are turned off, by name; the first four stop a run that cannot get well"
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(_sentences(error)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, about: ValidationInfo) -> object:
        wanted = cls.model_fields[str(about.field_name)].annotation
        if isinstance(value, bool) and wanted is not bool:
            raise ValueError(f"expected a value that is no yes or no, got {value}; {_help(str(about.field_name))}")
        if isinstance(value, float) and value != value:
            raise ValueError(f"expected a number, got nan; {_help(str(about.field_name))}")
        return value

    @field_validator("warmup", "logging_steps", "eval_steps", "save_steps")
    @classmethod
    def _share_or_steps(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"expected a share below 1 or a whole number of steps, got {value}; write {round(value)}")
        return value

    @model_validator(mode="after")
    def _suits_the_method(self) -> Recipe:
        """An adapter is refused what only a model with gradients can have; `split_by_length` has nothing to split."""
        if self.method == "full":
            return self
        problems = [
            f"{name}: expected none with method: adapter, which computes no activations of the model, got one; leave it out, or set method: full"
            for name in ("lora", "gradient_checkpointing")
            if getattr(self, name)
        ]
        if why := catalog.no_adapter(self.loss.name, self.loss.parameters, self.loss.source):
            problems.append(f"loss: {why}; take another loss, or set method: full")
        if problems:
            raise RecipeError(problems)
        return self

    def changed(self, **changes: Any) -> Recipe:
        """A new recipe with some settings changed; validated like any other."""
        return Recipe(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})

    def to_dict(self, *, defaults: bool = True) -> dict[str, Any]:
        """Plain values only. `defaults=False` leaves out what was not changed."""
        return self.model_dump(mode="json", exclude_defaults=not defaults)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The recipe as YAML, without settings that are at their default; written to `path` if given."""
        text = yaml.dump(self.to_dict(defaults=False), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        if path is not None:
            from workbench.files import replace_text

            replace_text(Path(path), text)
        return text

    @classmethod
    def from_yaml(cls, text_or_path: str | Path) -> Recipe:
        """Read a recipe from YAML text or a file.

        Raises:
            RecipeError: not readable, not YAML, or settings are wrong (all of them are listed).
        """
        return cls(**read_settings(text_or_path))

    @property
    def code(self) -> str:
        """The recipe as Python, without settings that are at their default."""
        given = {name: getattr(self, name) for name in self.model_fields if name in self.to_dict(defaults=False)}
        return f"wb.Recipe({', '.join(f'{name}={_in_code(value)}' for name, value in given.items())})"

    @property
    def fingerprint(self) -> str:
        """16 hex digits, the same for recipes that mean the same run; the name of a run does not count."""
        meant = {key: value for key, value in self.to_dict(defaults=False).items() if key != "name"}
        return hashlib.sha256(json.dumps(meant, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]

    def flat(self) -> dict[str, Any]:
        """All settings: dotted name -> plain value."""
        return _flat(self.to_dict())

    def diff(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """What differs: dotted setting -> (here, there)."""
        mine, theirs = self.flat(), other.flat()
        keys = list(dict.fromkeys([*mine, *theirs]))
        return {key: (mine.get(key), theirs.get(key)) for key in keys if mine.get(key) != theirs.get(key)}


def with_settings(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A recipe with settings changed by what stands on a command line: dotted names and values as YAML.

    Raises:
        RecipeError: a change is no ``name=value``, or the recipe does not take it.
    """
    settings = recipe.to_dict(defaults=False)
    for change in changes:
        name, equals, value = change.partition("=")
        *way, last = name.strip().split(".")
        if not equals or not last:
            raise RecipeError(f"expected a change such as loss.scale=30, got {change!r:.80}; write name=value")
        place = settings
        for part in way:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{name}: expected a setting that has parts, but {part} has none; write {part}=...")
        try:
            place[last] = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError:
            raise RecipeError(f"{name}: expected a value as YAML, got {value!r:.80}; put a text into quotes") from None
    return Recipe(**settings)


def prompt_of(prompts: str | Mapping[str, str] | None, column: str) -> str:
    """What `prompts` put before the texts of a column, by the name that it has in training; empty for nothing."""
    return prompts if isinstance(prompts, str) else (prompts or {}).get(column, "")


def _in_code(value: object) -> str:
    """A setting as Python."""
    if isinstance(value, Loss):
        return value.code
    if isinstance(value, DataSpec | Lora):
        plain = value.model_dump(exclude_defaults=True)
        return repr(plain["source"] if list(plain) == ["source"] else plain)
    return repr(value)


def read_settings(text_or_path: str | Path) -> dict[str, Any]:
    """The mapping that a recipe file or text holds, not yet validated.

    Raises:
        RecipeError: the file cannot be read, or is not a YAML mapping.
    """
    text, where = str(text_or_path), "the text"
    if isinstance(text_or_path, Path) or "\n" not in text_or_path:
        where = str(text_or_path)
        try:
            text = Path(text_or_path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no name of a file at all
            raise RecipeError(
                f"expected a recipe file, but {where!r:.300} cannot be read ({error.__class__.__name__}); check the path"
            ) from None
    try:
        settings = yaml.load(text, Loader=_Loader)
    except RecipeError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # All but the first come from values that only look like dates or numbers, such as 2024-99-99.
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" at line {line + 1}" if line is not None else ""
        raise RecipeError(
            f"expected YAML, but {where} breaks its rules{place}; see `workbench demo` for a recipe that works"
        ) from None
    if _too_large(settings):
        raise RecipeError(
            f"expected at most {MAX_VALUES:,} values in {where}, got more by names that repeat each other (& and *); write them out"
        )
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise RecipeError(
            f"expected settings such as 'batch_size: 16' in {where}, got {type(settings).__name__}; start with model, loss and data"
        )
    return settings


class _Loader(yaml.SafeLoader):
    """Refuses a setting that is written twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
        if twice is not None:
            line = node.start_mark.line + 1
            raise RecipeError(
                f"{twice}: expected each setting once, got it twice in the part that begins at line {line}; keep one"
            )
        return super().construct_mapping(node, deep=deep)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    """Whole numbers that fit into 64 bits; larger ones no setting has, and some that Python cannot even print."""
    number = int(loader.construct_yaml_int(node))
    if number.bit_length() > 64:
        line = node.start_mark.line + 1
        raise RecipeError(
            f"expected numbers that fit into 64 bits, got one of {len(node.value):,} characters in line {line}; write a smaller one"
        )
    return number


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


class _Dumper(yaml.SafeDumper):
    """Plain YAML that keeps every character."""


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Unless it is escaped, a reader takes the control character NEL for the end of a line.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _represent_str)


def _too_large(value: object) -> bool:
    """Whether a few lines of YAML stand for more values than anybody writes, or for themselves."""
    waiting, seen = [value], 0
    while waiting and seen <= MAX_VALUES:
        seen += 1
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item
    return bool(waiting)


def _brief(value: object) -> str:
    """A value for a message, cut where it is long or deep."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 120, 120
    text = short.repr(value)
    return text if len(text) <= 300 else f"{text[:299]}…"


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _sentences(error: ValidationError) -> list[str]:
    """Each pydantic error as: setting: expected …, got …; what to do."""
    problems: list[str] = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, RecipeError):
            problems += [text if text.startswith(where) else f"{where}: {text}" for text in inner.problems]
        elif item["type"] == "extra_forbidden":
            parts: dict[str, type[BaseModel]] = {"data": DataSpec, "eval_data": DataSpec, "lora": Lora}
            known = parts.get(str(item["loc"][0]), Recipe).model_fields
            hint = did_you_mean(str(item["loc"][-1]), known) or f"; known are {', '.join(known)}"
            problems.append(f"{where}: expected the name of a setting, got {item['loc'][-1]!r}{hint}")
        elif item["type"] == "missing":
            problems.append(f"{where}: expected a value, got none; add it ({_help(where)})")
        elif item["type"] == "value_error":
            problems.append(f"{where}: {inner}" if where else str(inner))
        else:
            wanted = item["msg"].removeprefix("Input should be ").removeprefix("Input should have ")
            problems.append(f"{where}: expected {wanted}, got {_brief(item['input'])}; {_help(where)}")
    return problems


def _help(setting: str) -> str:
    field = Recipe.model_fields.get(setting.split(".")[0])
    return (field.description or "") if field else "see the fields of Recipe"
