"""Counting tokens as Sentence Transformers counts them, without loading it or torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.catalog import models, weights
from workbench.errors import ModelError

NO_LIMIT = 10**9  # tokenizers without one say 10^30
# tokenizer classes whose normalizer Transformers 5 builds from tokenizer_config.json, whatever tokenizer.json says
BERT_LIKE = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "MPNetTokenizer"}


@dataclass(frozen=True)
class Place:
    """Where the tokenizer of a model lies.

    Attributes:
        folder: holds its files.
        static: the model has a vector for each token, and no special tokens.
        limit: longest text in tokens, special tokens included; None where the model has no limit.
    """

    folder: Path
    static: bool
    limit: int | None

    @property
    def fast(self) -> bool:
        """It can be read without transformers, and says which characters a token stands for."""
        return (self.folder / "tokenizer.json").is_file()

    @property
    def side(self) -> str:
        """The end at which texts over the limit are cut: right or left. Only for fast ones."""
        stored = (_json(self.folder / "tokenizer.json", {}).get("truncation") or {}).get("direction", "Right")
        return str(_json(self.folder / "tokenizer_config.json", {}).get("truncation_side", stored)).lower()


def place(model: str | Path) -> Place:
    """Find the tokenizer of a model.

    Raises:
        ModelError: there is no such model.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = models.files(model)
    elif (folder / "recipe.yaml").is_file() and (folder / "model").is_dir():
        folder = folder / "model"
    first: dict[str, Any] = next(iter(_json(folder / "modules.json", [])), {})
    static = str(first.get("type", "")).endswith(".StaticEmbedding")
    inside = folder / str(first.get("path", ""))
    limit = None if static else weights.max_seq_length(inside)
    return Place(inside, static, limit if limit and limit < NO_LIMIT else None)


def counter(model: str | Path) -> tuple[Callable[[list[str]], np.ndarray], int | None]:
    """A function from texts to their numbers of tokens (int64, shape (n,)), and the model's limit in tokens.

    Raises:
        ModelError: there is no such model, or no tokenizer in it that can be read.
    """
    here = place(model)
    if not here.fast:
        return _slow(here.folder), here.limit
    tokenizer = fast_tokenizer(here)

    def count(texts: list[str]) -> np.ndarray:
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=not here.static)
        return np.fromiter(map(len, encoded), np.int64, len(encoded))  # len(encoding.ids) would build a list first

    return count, here.limit


def fast_tokenizer(here: Place) -> Any:
    """A `tokenizers.Tokenizer` that neither truncates nor pads and splits texts as Sentence Transformers does.

    Raises:
        ModelError: its file is damaged.
    """
    return _tokenizer(here.folder, static=here.static)


def _tokenizer(folder: Path, *, static: bool) -> Any:
    from tokenizers import Tokenizer, normalizers

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        if type(error) is not Exception:  # tokenizers raises the bare class, and nothing narrower
            raise
        raise ModelError(
            f"expected a tokenizer in {folder / 'tokenizer.json'}, but the file is damaged ({str(error)[:80]}); copy or fetch it again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if static:
        return tokenizer
    config = _json(folder / "tokenizer_config.json", {})
    if str(config.get("tokenizer_class", "")).removesuffix("Fast") in BERT_LIKE and isinstance(
        tokenizer.normalizer, normalizers.BertNormalizer
    ):
        lower = config.get("do_lower_case", True)
        tokenizer.normalizer = normalizers.BertNormalizer(
            True, config.get("tokenize_chinese_chars", True), config.get("strip_accents"), lower
        )
    if _json(folder / "sentence_bert_config.json", {}).get("do_lower_case") and not _lowers(tokenizer.normalizer):
        parts = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(parts)
    return tokenizer


def _lowers(normalizer: Any) -> bool:
    from tokenizers import normalizers

    parts: Any = normalizer if isinstance(normalizer, normalizers.Sequence) else [normalizer]
    return any(isinstance(part, normalizers.Lowercase) for part in parts)


def _slow(folder: Path) -> Callable[[list[str]], np.ndarray]:
    """For folders without tokenizer.json. Imports transformers."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"expected a tokenizer in {folder}, got none that can be read ({' '.join(str(error).split())[:80]}); add its tokenizer.json"
        ) from None

    models.check_words(tokenizer, folder)

    def count(texts: list[str]) -> np.ndarray:
        encoded = tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]
        return np.fromiter(map(len, encoded), np.int64, len(encoded))

    return count


def _json(path: Path, absent: Any) -> Any:
    value = weights.read_json(path)
    return value if isinstance(value, type(absent)) else absent
