"""Base models: what is known of them, where their weights come from, and loading them safely.

A name is looked up in this order: a folder (or run folder), the local Hub cache, an installed package that carries
the weights, the Hub. Weights must be safetensors; pickles, foreign code and damaged files are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.catalog import hub, weights
from workbench.catalog.weights import Architecture
from workbench.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


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
        positions: tokens that the transformer has positions for, an upper bound of any limit; None where unknown.
        licence: SPDX-like name from the model's card, None if it states none.
        learning_rate: a peak learning rate that is known to work for fine-tuning models of this kind.
        note: one sentence for the person who picks.
        architecture: layers and widths, None where unknown.
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
    positions: int | None = None
    normalized: bool = False
    architecture: Architecture | None = None


@dataclass(frozen=True)
class ModelFiles:
    """A verified folder with weights, and how it was found."""

    name: str
    path: Path
    origin: str


_ST = "sentence-transformers/"
_L6, _L12 = Architecture(6, 384, 12, 1536), Architecture(12, 384, 12, 1536)
_APACHE = "apache-2.0"
_LISTED = (
    ModelInfo(
        _ST + "all-MiniLM-L6-v2", 22_713_216, 384, 256, _APACHE, normalized=True, architecture=_L6,
        note="Small and quick; the default, good on a laptop",
    ),
    ModelInfo(
        _ST + "all-MiniLM-L12-v2", 33_360_000, 384, 128, _APACHE, normalized=True, architecture=_L12,
        note="Twice the layers of L6, but texts are cut at 128 tokens",
    ),
    ModelInfo(
        _ST + "all-mpnet-base-v2", 109_486_464, 768, 384, _APACHE, normalized=True,
        architecture=Architecture(12, 768, 12, 3072), note="Best quality of the three general models; wants a GPU",
    ),
    ModelInfo(
        _ST + "paraphrase-multilingual-MiniLM-L12-v2", 117_653_760, 384, 128, _APACHE, architecture=_L12,
        note="About 50 languages",
    ),
    ModelInfo(
        _ST + "static-retrieval-mrl-en-v1", 31_254_528, 1024, None, _APACHE, 0.2, architecture=Architecture(0, 1024),
        note="A table of word vectors: very quick, wants a high learning rate",
    ),
    ModelInfo(
        "BAAI/bge-small-en-v1.5", 33_360_000, 384, 512, "mit", normalized=True, architecture=_L12,
        note="Small retrieval model; queries want a prompt",
    ),
    ModelInfo(
        "intfloat/e5-small-v2", 33_360_000, 384, 512, "mit", normalized=True, architecture=_L12,
        note="Needs the prompts 'query: ' and 'passage: '",
    ),
)  # fmt: skip
KNOWN: dict[str, ModelInfo] = {info.name: info for info in _LISTED}


def full_name(name: str) -> str:
    """A Hub id for the short names that Sentence Transformers accepts, such as ``all-MiniLM-L6-v2``."""
    return name if "/" in name or hub.folder_of(name) else _ST + name


def short_name(folder: Path) -> str:
    """A model folder for people: its last name, or that of the run that it belongs to."""
    return folder.parent.name if folder.name == "model" else folder.resolve().name


def models() -> list[ModelInfo]:
    """The catalogue: known base models, each with where its weights are on this machine, if they are.

    Two more can be named that have no entry: any folder with a model, a run folder included, and a small BERT made
    from scratch by `workbench.catalog.scratch.make_bert`.
    """
    return [
        replace(info, where=here[1], path=here[0]) if (here := hub.on_this_machine(info.name, None)) else info
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
    here = hub.on_this_machine(wanted, revision) or hub.download(wanted, revision)
    weights.verify(here[0], wanted, trust_pickle=trust_pickle, trust_remote_code=trust_remote_code)
    return ModelFiles(wanted, *here)


def files(name: str | Path) -> Path:
    """The folder of a model; see `find`."""
    return find(name).path


def at_revision(name: str, revision: str | None) -> str:
    """The folder of a revision that is on this machine, else the name."""
    here = hub.on_this_machine(full_name(name), revision) if revision else None
    return str(here[0]) if here else name


def check_name(name: str | Path) -> None:
    """Refuse what cannot be a model: no network, no weights read, milliseconds for a folder or a Hub id.

    Raises:
        ModelError: neither a folder nor shaped like a Hub id, or a folder without a model that may be loaded.
    """
    given, wanted = str(name), full_name(str(name))
    here = hub.on_this_machine(wanted, None) if hub.folder_of(wanted) else None
    if here:
        weights.verify(here[0], wanted, sums=False)
        return
    shaped = hub.is_id(wanted)
    if shaped and ("/" in given or wanted in KNOWN or hub.on_this_machine(wanted, None)):
        return
    hint = did_you_mean(given, [known.rpartition("/")[2] for known in KNOWN]) or (
        f"; for a model of the Hub write its owner too, as in {wanted!r}" if shaped else "; check the path"
    )
    raise ModelError(f"expected a model folder, a run folder or a Hub id such as owner/name, got {given!r:.200}{hint}")


def describe(name: str | Path, *, fetch: bool = True, revision: str | None = None) -> ModelInfo:
    """Parameters, dimension, limit, licence and place of a model, read from its files without loading it.

    Args:
        name: a folder, a run folder, a Hub id, or the short name of a sentence-transformers model.
        fetch: get the files of a model that is not on this machine. False asks no network: of such a model only
            what the catalogue knows is returned, and `where` is None.
        revision: revision of a Hub model.

    Raises:
        ModelError: as `find`.
    """
    wanted = full_name(str(name))
    if not fetch and not hub.on_this_machine(wanted, revision):
        check_name(name)
        return KNOWN.get(wanted, ModelInfo(wanted))
    found = find(name, revision=revision)
    tensors = list(weights.tensors(found.path))
    modules = weights.modules(found.path)
    kinds = [module.get("type", "").rsplit(".", 1)[-1] for module in modules]
    known = KNOWN.get(found.name, ModelInfo(found.name, learning_rate=0.2 if "StaticEmbedding" in kinds else 2e-5))
    dimension = weights.dimension(found.path, modules)
    architecture = weights.architecture(found.path, modules)
    if "StaticEmbedding" in kinds:
        if dimension is None and tensors:
            dimension = max(tensors)[2][-1]  # it has no settings: its vectors are the rows of its only table
        architecture = Architecture(0, dimension) if dimension else None
    return replace(
        known,
        parameters=sum(count for count, *_ in tensors) or known.parameters,
        dtype=max(tensors)[1] if tensors else None,
        dimension=dimension or known.dimension,
        max_seq_length=None if "StaticEmbedding" in kinds else weights.max_seq_length(found.path),
        positions=weights.positions(found.path),
        licence=weights.licence(found.path) or known.licence,
        normalized="Normalize" in kinds,
        where=found.origin,
        path=found.path,
        architecture=architecture or known.architecture,
    )


def load(
    name: str | Path,
    *,
    device: str | None = None,
    revision: str | None = None,
    max_seq_length: int | None = None,
    trust_pickle: bool = False,
    trust_remote_code: bool = False,
) -> SentenceTransformer:
    """Load a model in float32 from verified files only. Imports torch and Sentence Transformers (about 9 s).

    Texts are cut at `max_seq_length` tokens; None keeps the limit of the model, as far as it has positions.

    Raises:
        ModelError: as `find`; also when the files do not make a model or hold values that are not finite.
    """
    found = find(name, revision=revision, trust_pickle=trust_pickle, trust_remote_code=trust_remote_code)
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    _check_device(device)
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
    _check_settings(model, found.path)
    model.float()  # what is no transformer, such as a table of word vectors, comes as it was stored
    for weight_name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"expected finite weights in {found.path}, but {weight_name} holds NaN or infinity: the file is damaged; fetch it again"
            )
    if limit := max_seq_length or weights.limit_to_set(found.path):
        model.max_seq_length = limit
    return model


def _check_settings(model: SentenceTransformer, folder: Path) -> None:
    """What the library takes as it stands in the files, to fail over it later or to give every text one vector."""
    known = {name: getattr(model, name) for name in ("max_seq_length", "truncate_dim")}
    for name, value in known.items():
        if value not in (None, math.inf) and (not isinstance(value, int) or value < 1):
            raise ModelError(
                f"expected a whole number from 1 as the {name} of the model in {folder}, got {value!r}; mend its settings"
            )
    check_words(model.tokenizer, folder)


def check_words(tokenizer: object, folder: Path) -> None:
    """Raise a ModelError if a tokenizer knows special tokens only, as transformers makes one where the files are missing."""
    if len(getattr(tokenizer, "all_special_ids", ())) >= len(getattr(tokenizer, "get_vocab", lambda: ".")()):
        raise ModelError(
            f"expected a tokenizer in {folder}, got none that knows a word; save the tokenizer of the model into this folder"
        )


def _check_device(device: str | None) -> None:
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [name for name in has if has[name]]
    try:
        kind = "cpu" if device is None else torch.device(device).type
    except RuntimeError:
        kind = "unknown"
    if kind not in ("cpu", *here):
        raise ModelError(f"expected a device of this machine, got {device!r}; here are {', '.join([*here, 'cpu'])}")


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
        counts = path.suffix in {".json", ".txt", ".safetensors", ".model"} and path.name != weights.CHECKSUMS
        if counts and path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + weights.digest(path).encode())
    return digest.hexdigest()[:16]
