"""Models that are made on the spot: small enough for milliseconds, real enough for every loss."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loaded import Loaded
from tests.runs import MakeRun, maker
from workbench.training import run, warm

# Nothing is downloaded in a test: what tries to, fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# As the command line has it; a run of a test begins in one environment whichever test was before.
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
# Tiny models are faster on one thread, above all where other work shares the machine. Numba would set torch to more.
for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

WORDS = (
    "a the of and in is was red green blue small large old new cat dog bird fish tree river stone house cell gene "
    "star atom runs sleeps sings grows flows burns"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HIDDEN = 32


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that of several processes none works on one of them at the end while the others wait."""
    items.sort(
        key=lambda item: (item.get_closest_marker("notebook") is None, item.get_closest_marker("browser") is None)
    )


@pytest.fixture(scope="module", autouse=True)
def little_to_look_through() -> None:
    """Whoever collects garbage in a test does not look through all of torch and transformers for it, which takes 0.4 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def workbench_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps caches and marks of trust of a test in a folder of its own."""
    home = tmp_path / "workbench-home"
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    return home


@pytest.fixture(scope="session", autouse=True)
def loaded() -> Iterator[Loaded]:
    """Where the runs of tests begin."""
    made = Loaded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "waiting", lambda: made)
        patch.setattr(run, "POLL_S", 0.05)
        yield made
    made.close()


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes run folders into `tmp_path / "runs"`, without a worker."""
    return maker(tmp_path / "runs")


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A fast WordPiece tokenizer of transformers that knows `WORDS`, single letters and nothing else."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*SPECIAL, *WORDS, *letters[1:], *(f"##{letter}" for letter in letters)]
    vocab = {word: place for place, word in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


@pytest.fixture(scope="session")
def tiny_bert(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random BERT sentence model: 2 layers, 32 dimensions, mean pooling, up to 64 tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    weights = tmp_path_factory.mktemp("weights")
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        # Larger than the usual 0.02: else two layers leave all texts in nearly one direction.
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(weights)
    tiny_tokenizer.save_pretrained(weights)
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    transformer = Transformer(str(weights))
    SentenceTransformer(modules=[transformer, Pooling(HIDDEN)], device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_static(tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random static sentence model: one vector of 32 dimensions for each token."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("models") / "tiny-static"
    static = StaticEmbedding(tiny_tokenizer.backend_tokenizer, embedding_dim=HIDDEN)
    SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(folder))
    return folder
