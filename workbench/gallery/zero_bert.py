"""A BERT of 50 dimensions whose weights are all zero, as after an export that went wrong; written without torch."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.catalog import weights
from workbench.catalog.scratch import SPECIAL
from workbench.data.glossary.views import concepts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIMENSION, LAYERS, HEADS, POSITIONS, WORDS = 50, 2, 2, 512, 1000
MODULES = "sentence_transformers.base.modules.transformer.Transformer", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"  # fmt: skip


def zero_bert() -> Path:
    """Folder of the model in the cache, written by the first call. All its vectors are exactly 0."""
    place = files.home() / "models" / "bert-50-zero"
    if not (place / weights.CHECKSUMS).is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as beside:
            finished = Path(beside) / "model"
            _write(finished)
            files.replace_folder(finished, place)
    return place


def _write(folder: Path) -> None:
    from safetensors.numpy import save

    tokenizer = _tokenizer()
    size = tokenizer.get_vocab_size()
    for name, settings in _settings(size).items():
        files.replace_text(folder / name, json.dumps(settings, indent=1))
    files.replace_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in _shapes(size).items()}
    files.replace_bytes(folder / "model.safetensors", save(zeros, metadata={"format": "pt"}))
    weights.write_checksums(folder)


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    wide = 4 * DIMENSION
    square = {f"{name}.weight": (DIMENSION, DIMENSION) for name in ("query", "key", "value")}
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, DIMENSION),
        "embeddings.position_embeddings.weight": (POSITIONS, DIMENSION),
        "embeddings.token_type_embeddings.weight": (2, DIMENSION),
        "embeddings.LayerNorm.weight": (DIMENSION,),
        "pooler.dense.weight": (DIMENSION, DIMENSION),
    }
    for layer in range(LAYERS):
        parts = {f"attention.self.{name}": shape for name, shape in square.items()} | {
            "attention.output.dense.weight": (DIMENSION, DIMENSION),
            "attention.output.LayerNorm.weight": (DIMENSION,),
            "intermediate.dense.weight": (wide, DIMENSION),
            "output.dense.weight": (DIMENSION, wide),
            "output.LayerNorm.weight": (DIMENSION,),
        }
        shapes |= {f"encoder.layer.{layer}.{name}": shape for name, shape in parts.items()}
    biased = {name: shape for name, shape in shapes.items() if "embeddings.weight" not in name}
    return shapes | {name.replace("weight", "bias"): shape[:1] for name, shape in biased.items()}


def _tokenizer() -> Tokenizer:
    """Whole words that are frequent in the glossary; all others in letters, so that texts get long."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    said = [text for concept in concepts() for text in (concept.term, concept.question, *concept.definitions)]
    counted = Counter(word for text in said for word in re.findall(r"[a-z]+", text.lower()))
    frequent = [word for word, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))][:WORDS]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:?!'\"()-"
    pieces = dict.fromkeys([*SPECIAL, *frequent, *letters, *(f"##{letter}" for letter in letters)])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return tokenizer


def _settings(vocabulary: int) -> dict[str, Any]:
    """Name of a file -> what stands in it."""
    names = {f"{piece.strip('[]').lower()}_token": piece for piece in SPECIAL}
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": vocabulary,
            "hidden_size": DIMENSION,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": 4 * DIMENSION,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": POSITIONS,
            **names,
        },
        "modules.json": [
            {"idx": place, "name": str(place), "path": "1_Pooling" if place else "", "type": kind}
            for place, kind in enumerate(MODULES)
        ],
        "sentence_bert_config.json": {"max_seq_length": POSITIONS},
        "1_Pooling/config.json": {"embedding_dimension": DIMENSION, "pooling_mode": "mean"},
    }
