"""The files of a model folder: read without loading it, and refused where they are damaged or could run code."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import files as whole
from workbench.errors import ModelError

CHECKSUMS = "checksums.json"
# What the settings of transformers call the same thing: BERT and most others, DistilBERT, GPT-2, T5
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_HIDDEN = ("hidden_size", "dim", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
_INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner", "d_ff")
# The number of a layer in the name of a weight; ALBERT has one for all layers, of another name
_LAYER = re.compile(r"(?:^|\.)(?:layers?|block|h)\.(\d+)\.")


# Its attention scores distances apart from tokens. Measured with two layers on batches of 64 to 400 tokens: 1.9 to 2.7
DEBERTA_SHARE = 2.3


@dataclass(frozen=True)
class Architecture:
    """Sizes of a transformer.

    Attributes:
        layers: transformer layers; 0 for a table of word vectors (StaticEmbedding).
        hidden_size: length of the vector of a token.
        heads: attention heads; 0 without layers.
        intermediate_size: width of the feed-forward part; 0 without layers.
        share: what a layer keeps for the backward pass, over what a layer of BERT does.
    """

    layers: int
    hidden_size: int
    heads: int = 0
    intermediate_size: int = 0
    share: float = 1.0


_digests: dict[tuple[str, int, int], str] = {}


def digest(path: Path) -> str:
    """Hex SHA-256 of a file, remembered while its size and time stay the same."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        _digests[key] = whole.sha256(path)
    return _digests[key]


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every weight file beside it, so that a flipped byte is noticed when it is loaded again."""
    sums = {str(path.relative_to(folder)): whole.sha256(path) for path in sorted(folder.rglob("*.safetensors"))}
    whole.replace_text(folder / CHECKSUMS, json.dumps(sums, indent=1))


def max_seq_length(folder: Path) -> int | None:
    """Limit in tokens, special tokens included, as texts are cut here; None if the model has none."""
    limit = _stated_limit(folder)
    return limit and min(limit, positions(folder) or limit)


def limit_to_set(folder: Path) -> int | None:
    """The limit of a model that states a higher one than it has positions for; else None."""
    limit = max_seq_length(folder)
    return limit if limit != _stated_limit(folder) else None


def _stated_limit(folder: Path) -> int | None:
    """As Sentence Transformers applies it."""
    settings = _settings(folder / "sentence_bert_config.json")
    limit = settings.get("max_seq_length")
    if limit is None:
        config = _settings(folder / "config.json")
        positions = config.get("max_position_embeddings")
        tokenizer = _settings(folder / "tokenizer_config.json").get("model_max_length")
        numbers = [int(n) for n in (positions, tokenizer) if isinstance(n, int | float) and 0 < n < 10**9]
        limit = min(numbers) if numbers else None
    return int(limit) if isinstance(limit, int | float) and limit > 0 else None


def positions(folder: Path) -> int | None:
    """Tokens that the transformer has positions for; the RoBERTa family begins counting after its padding."""
    config = _settings(folder / "config.json")
    number, kind = config.get("max_position_embeddings"), str(config.get("model_type", ""))
    if not isinstance(number, int) or number < 1:
        return None
    offset = config.get("pad_token_id")
    after_padding = "roberta" in kind or kind in ("camembert", "mpnet")
    return number - offset - 1 if after_padding and isinstance(offset, int) else number


def architecture(folder: Path, modules: list[dict[str, Any]]) -> Architecture | None:
    """Sizes of the transformer by its settings; None where they do not say."""
    for place in (folder, *(folder / str(module.get("path", "")) for module in modules)):
        config = _settings(place / "config.json")
        layers, hidden, heads = (_size(config, names) for names in (_LAYERS, _HIDDEN, _HEADS))
        if layers and hidden and heads:
            share = DEBERTA_SHARE if str(config.get("model_type")).startswith("deberta") else 1.0
            return Architecture(layers, hidden, heads, _size(config, _INTERMEDIATE) or 4 * hidden, share)
    return None


def _size(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of these settings that is a number a model can have."""
    found = (config.get(name) for name in names)
    return next((n for n in found if isinstance(n, int) and not isinstance(n, bool) and 0 < n < 10**7), None)


def verify(
    folder: Path, name: str, *, trust_pickle: bool = False, trust_remote_code: bool = False, sums: bool = True
) -> None:
    """Raise a ModelError if the folder is no model, is damaged, or could run code that nobody trusts.

    `sums=False` leaves out the checksums, which read all weights: milliseconds instead of up to seconds.
    """
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise ModelError(
            f"expected a model in {folder}, but there is neither config.json nor modules.json; give the folder that holds them"
        )
    parts = modules(folder)
    for module in parts:
        kind, inside = str(module.get("type", "")), folder / str(module.get("path", ""))
        if folder.resolve() not in [inside.resolve(), *inside.resolve().parents]:
            raise ModelError(
                f"expected the parts of {name!r} inside its folder, got {module.get('path')!r}; do not use this model"
            )
        if not kind.startswith("sentence_transformers.") and not trust_remote_code:
            raise ModelError(
                f"model {name!r} brings code of its own ({kind}), which is refused; if you have read it and trust it, load it with trust_remote_code=True"
            )
    if _settings(folder / "config.json").get("auto_map") and not trust_remote_code:
        raise ModelError(
            f"model {name!r} brings code of its own (auto_map in config.json), which is refused; if you have read it and trust it, load it with trust_remote_code=True"
        )
    for part in {folder, *(folder / str(module.get("path", "")) for module in parts)}:
        pickled = sorted([*part.glob("*.bin"), *part.glob("*.pt"), *part.glob("*.pkl")])
        if pickled and not trust_pickle and not list(part.glob("*.safetensors")):
            raise ModelError(
                f"model {name!r} has pickled weights ({pickled[0].name}), which can run code when loaded and are refused; "
                "convert them to safetensors, or load it with trust_pickle=True if you trust its author"
            )
    _check_layers(folder, parts)
    if sums:
        _check_sums(folder)


def _check_layers(folder: Path, parts: list[dict[str, Any]]) -> None:
    """Raise a ModelError if headers are damaged, or weights of the last layers are missing: the library would draw them."""
    # those of an adapter are for some layers only
    names = [name for *_, name in tensors(folder) if not name.startswith("base_model.")]
    sizes, found = architecture(folder, parts), [int(number) for name in names for number in _LAYER.findall(name)]
    if sizes is not None and found and max(found) + 1 < sizes.layers:
        raise ModelError(
            f"expected weights of {sizes.layers} layers in {folder}, as config.json says, got those of {max(found) + 1}, and the others would be random numbers; copy or fetch the model again"
        )


def _check_sums(folder: Path) -> None:
    expected: dict[str, str] = {str(key): str(value) for key, value in _settings(folder / CHECKSUMS).items()}
    for path in folder.rglob("*.safetensors"):
        target = path.resolve()
        # a file of the Hub cache is a link to a blob that is named by its SHA-256
        want = expected.get(str(path.relative_to(folder))) or (
            target.name if path.is_symlink() and len(target.name) == 64 else None
        )
        if want and digest(path) != want:
            raise ModelError(
                f"expected {path} with SHA-256 {want[:12]}…, got {digest(path)[:12]}…: the weights are damaged; copy or fetch them again"
            )


def tensors(folder: Path) -> Iterator[tuple[int, str, list[int], str]]:
    """(number of weights, dtype, shape, name) of every tensor, from the headers of the safetensors files."""
    from safetensors import SafetensorError, safe_open

    for path in (*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                for key in file.keys():
                    part = file.get_slice(key)
                    if str(part.get_dtype()).startswith(("F", "BF")):  # older files also hold position numbers
                        yield math.prod(part.get_shape()), part.get_dtype(), part.get_shape(), key
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"expected safetensors in {path}, but its header is damaged ({str(error)[:80]}); copy or fetch the file again"
            ) from None


@dataclass(frozen=True)
class Habits:
    """How a model says that it is used.

    Attributes:
        prompts: texts to put before others, by their names; without empty ones.
        default_prompt: what is put before a text of no stated kind, except in training; empty for nothing.
        similarity: by what its vectors are compared: cosine, dot, euclidean or manhattan.
        truncate_dim: after how many numbers its vectors are cut, except in training; None for whole ones.
    """

    prompts: dict[str, str]
    default_prompt: str
    similarity: str
    truncate_dim: int | None


def habits(folder: Path) -> Habits:
    """How a model is used, as far as the library would read it."""
    try:
        read = json.loads((folder / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        read = {}
    said = read if isinstance(read, dict) else {}
    given = said.get("prompts")
    prompts = {str(name): str(text) for name, text in given.items() if text} if isinstance(given, dict) else {}
    default = prompts.get(str(said.get("default_prompt_name")), "")
    cut = said.get("truncate_dim")
    similarity = str(said.get("similarity_fn_name") or "cosine")
    return Habits(prompts, default, similarity, cut if isinstance(cut, int) and cut > 0 else None)


def modules(folder: Path) -> list[dict[str, Any]]:
    """Entries of modules.json; empty for a bare transformer."""
    listed = read_json(folder / "modules.json")
    return [module for module in listed if isinstance(module, dict)] if isinstance(listed, list) else []


def routed(name: str, folder: Path | None) -> str:
    """Why a model cannot be trained by a recipe, since kinds of text go different ways in it; empty where they do not."""
    if folder is None or not any(str(part.get("type")).endswith(".Router") for part in modules(folder)):
        return ""
    return f"expected one that takes all texts in one way, but {name} has a way for each kind of text (a Router), and no recipe says which column goes which way; choose another"


def dimension(folder: Path, modules: list[dict[str, Any]]) -> int | None:
    """Length of a vector by the settings of the last module that has one, else by the transformer's."""
    for module in reversed(modules):
        config = _settings(folder / str(module.get("path", "")) / "config.json")
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size"):
            if isinstance(config.get(key), int):
                return int(config[key])
    hidden = _settings(folder / "config.json").get("hidden_size")
    return int(hidden) if isinstance(hidden, int) else None


def licence(folder: Path) -> str | None:
    """Licence that the model's own card states."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        value = ModelCard.load(folder / "README.md", ignore_metadata_errors=True).data.to_dict().get("license")
    except (OSError, ValueError, TypeError, AttributeError, YAMLError):
        return None
    return str(value) if value else None


def _settings(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict | None):
        raise ModelError(
            f"expected settings in {path}, got a {type(found).__name__}: it is damaged; copy or fetch the file again"
        )
    return found or {}


def read_json(path: Path) -> Any:
    """What a file of a model holds, None where there is no such file."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"expected JSON in {path}, but it is damaged ({error.__class__.__name__}); copy or fetch the file again"
        ) from None
