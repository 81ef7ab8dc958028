"""A small BERT made from scratch: random weights and a vocabulary of its own, to start from nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import files
from workbench.catalog import weights
from workbench.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_bert(
    folder: str | Path,
    texts: Iterable[str],
    *,
    dimension: int = 50,
    layers: int = 2,
    heads: int = 2,
    vocabulary: int = 8000,
    max_seq_length: int = 512,
    seed: int = 0,
) -> Path:
    """Write a sentence model with random weights: WordPiece vocabulary from `texts`, BERT, mean pooling.

    It knows nothing until it is trained; use it to see what pre-training is worth.

    Args:
        folder: where to; must not exist or be empty.
        texts: what the vocabulary is learnt from.
        dimension: length of a vector; a multiple of `heads`.
        layers: transformer layers.
        heads: attention heads.
        vocabulary: word pieces at most.
        max_seq_length: longest text in tokens.
        seed: seed of the weights.

    Returns:
        The folder, which `load`, a recipe or Sentence Transformers takes as a model.

    Raises:
        DataError: there are no texts.
        ModelError: the folder is taken, or `dimension` is no multiple of `heads`.
    """
    place = Path(folder).expanduser()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ModelError(f"expected a new or empty folder for the model, but {place} holds files; choose another")
    if dimension < 1 or heads < 1 or dimension % heads:
        raise ModelError(f"expected a dimension that is a multiple of the {heads} heads, got {dimension}; change one")
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer(texts, vocabulary, max_seq_length)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=dimension,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * dimension,
        max_position_embeddings=max_seq_length,
        pad_token_id=0,
    )
    _write(place, BertModel(config), tokenizer)
    return place


def _write(place: Path, bert: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """A folder of a sentence model, whole or absent."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    parts = place.with_name(f".{place.name}.parts")
    finished = place.with_name(f".{place.name}.unfinished")
    try:
        bert.save_pretrained(parts)
        tokenizer.save_pretrained(parts)
        model = SentenceTransformer(modules=[Transformer(str(parts)), Pooling(bert.config.hidden_size)], device="cpu")
        model.save_pretrained(str(finished), create_model_card=False)
        weights.write_checksums(finished)
        files.replace_folder(finished, place)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
        shutil.rmtree(finished, ignore_errors=True)


def _tokenizer(texts: Iterable[str], vocabulary: int, limit: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learnt = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learnt.normalizer = normalizers.BertNormalizer(lowercase=True)
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learnt.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    )
    if learnt.get_vocab_size() <= len(SPECIAL):
        raise DataError("expected texts to learn a vocabulary from, got none; pass a list of texts")
    learnt.post_processor = processors.BertProcessing(
        ("[SEP]", SPECIAL.index("[SEP]")), ("[CLS]", SPECIAL.index("[CLS]"))
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learnt,
        model_max_length=limit,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
