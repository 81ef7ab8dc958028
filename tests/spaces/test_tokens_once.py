"""Tokens made once: exactly the features of the library, whatever is known already."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.catalog import models
from workbench.data import ids
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.data.tokens import token_stats
from workbench.spaces import tokens_once
from workbench.spaces.tokens_once import once, remember, serve

LONG = "the red cat sleeps in the old house " * 40
TEXTS = [
    "the red cat",
    "",
    " ",
    "A Dog\n",
    "😀 the 你好 cat 😀",
    "\u202eabc\x00",
    "x [SEP] <s>y",
    LONG,
    "the red cat",
    "é ﬁ",
]
BATCHES = [TEXTS, TEXTS[3:7], ["", ""], [LONG], ["a dog", *TEXTS[:2]], TEXTS]
KINDS = ("bert", "cased", "roberta", "static", "packed", "packed with positions from 2")


@pytest.fixture(autouse=True)
def small_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of small tables are taken from disk, too."""
    monkeypatch.setattr(tokens_once, "LEAST_ROWS", 1)


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a RoBERTa-like sentence model: byte-level tokens, <s> and </s> around a text, padding is number 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(kinds.BPE({letter: number for number, letter in enumerate(letters)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"bos": "<s>", "cls": "<s>", "pad": "<pad>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    words = {f"{name}_token": token for name, token in names.items()}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **words)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    weights, folder = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("models") / "byte-level"
    RobertaModel(RobertaConfig(vocab_size=len(letters), max_position_embeddings=34, **size)).save_pretrained(weights)
    fast.save_pretrained(weights)
    SentenceTransformer(modules=[Transformer(str(weights)), Pooling(8)], device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture
def made(tiny_bert: Path, tiny_static: Path, byte_level: Path, tmp_path: Path) -> Callable[[str], tuple[Any, Path]]:
    """A loaded model of a kind, and its folder."""

    def make(kind: str) -> tuple[Any, Path]:
        if kind == "cased":
            folder = shutil.copytree(tiny_bert, tmp_path / "cased")
            content = json.loads((folder / "tokenizer.json").read_text())
            content["normalizer"]["lowercase"] = False
            (folder / "tokenizer.json").write_text(json.dumps(content))
        else:
            folder = {"roberta": byte_level, "static": tiny_static}.get(kind, tiny_bert)
        model = models.load(folder, device="cpu")
        if kind.startswith("packed"):
            pack(model, 2 if "from 2" in kind else 0)
        return model, folder

    return make


def pack(model: Any, first: int) -> None:
    """As the library does where it finds the kernel for it."""
    from transformers import DataCollatorWithFlattening

    model[0].data_collator = DataCollatorWithFlattening(return_seq_idx=True, return_flash_attn_kwargs=True)
    model[0].can_flatten_inputs, model[0]._flatten_position_offset = True, first


def table(texts: list[str] = TEXTS) -> Examples:
    rows = {"anchor": [text or "empty" for text in texts], "positive": [text + " dog" for text in texts]}
    return load(pd.DataFrame(rows))


def collator(model: Any) -> Any:
    """All that is needed of the trainer's."""
    return SimpleNamespace(preprocess_fn=model.preprocess)


def same(made: Any, wanted: Any) -> None:
    assert list(made) == list(wanted)
    for name, value in wanted.items():
        if hasattr(value, "dtype"):
            assert made[name].dtype == value.dtype and made[name].tolist() == value.tolist(), name
            assert made[name].shape == value.shape, name
        else:
            assert made[name] == value and type(made[name]) is type(value), name


@pytest.fixture
def tokenised(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Texts that a model's own tokenizer was asked for, after the model was looked at."""
    asked: list[str] = []
    own = tokens_once.Once.tokenised

    def counted(self: Any, texts: list[str], prompt: str = "") -> list[bytes]:
        asked.extend(prompt + text for text in texts)
        return own(self, texts, prompt)

    monkeypatch.setattr(tokens_once.Once, "tokenised", counted)
    yield asked


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", [None, "", "the old: "])
@pytest.mark.parametrize("on_disk", [True, False])
def test_features_are_exactly_those_of_the_library(
    kind: str, prompt: str | None, on_disk: bool, made: Callable[[str], tuple[Any, Path]]
) -> None:
    model, folder = made(kind)
    plain = models.load(folder, device="cpu")
    if kind.startswith("packed"):
        pack(plain, model[0]._flatten_position_offset)
    if on_disk:
        token_stats(table(), folder)
    remember(model, folder, table())
    trainers = collator(model)
    serve(trainers, model)
    assert trainers.preprocess_fn != model.preprocess
    for batch in BATCHES:
        same(trainers.preprocess_fn(batch, prompt=prompt, task=None), plain.preprocess(batch, prompt=prompt, task=None))


def test_no_text_is_tokenised_twice(tiny_bert: Path, tokenised: list[str]) -> None:
    model = models.load(tiny_bert, device="cpu")
    remember(model, tiny_bert, table())
    ours = once(model)
    assert ours
    for batch in BATCHES * 2:
        ours.features(batch)
        ours.features(batch, "the old: ")
    texts = {text for batch in BATCHES for text in batch}
    assert sorted(tokenised) == sorted([*texts, *(f"the old: {text}" for text in texts)])


@pytest.mark.parametrize("folder", ["tiny_bert", "tiny_static"])
def test_texts_whose_ids_are_on_disk_are_not_tokenised_in_a_run_but_those_that_were_cut(
    folder: str, tokenised: list[str], request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue(folder)
    token_stats(table(), place)
    model = models.load(place, device="cpu")
    rows = table().select([7, 3, 1, 0])  # as the rows that are not held out: picked, in another order
    remember(model, place, rows)
    ours = once(model)
    assert ours
    tokenised.clear()
    texts = [text for column in rows.texts for text in rows.column(column)]
    ours.features(texts)
    assert tokenised == ([] if folder == "tiny_static" else [LONG, LONG + " dog"])
    tokenised.clear()
    ours.features([*texts, "empty", "never seen"])
    assert tokenised == ["never seen"]


def test_a_shorter_limit_leaves_longer_texts_to_the_model(tiny_bert: Path, tokenised: list[str]) -> None:
    token_stats(table(), tiny_bert)
    model, plain = (models.load(tiny_bert, device="cpu") for _ in range(2))
    model.max_seq_length = plain.max_seq_length = 5
    remember(model, tiny_bert, table())
    ours = once(model)
    assert ours
    tokenised.clear()
    same(ours.features(TEXTS[3:4] + TEXTS[:1]), plain.preprocess(TEXTS[3:4] + TEXTS[:1]))
    assert tokenised == []
    texts = table().column("positive")
    same(ours.features(texts), plain.preprocess(texts))
    assert "the red cat dog" in tokenised
    model.max_seq_length = plain.max_seq_length = 9  # changed on the way: what is remembered counts no more
    same(ours.features(texts), plain.preprocess(texts))


def spoilt(file: Path, change: Callable[[np.ndarray], None]) -> None:
    """Change ids in a file that stays whole."""
    whole = np.fromfile(file, np.uint8)
    total = int(whole[-ids.END * 8 :].view(np.int64)[1])
    change(whole[: total * 4].view(np.int32))
    whole[-8:].view(np.uint64)[0] = ids._digest(whole[:-8])
    file.write_bytes(whole.tobytes())


@pytest.mark.parametrize("damage", ["cut", "of another tokenizer", "one text"])
def test_a_damaged_or_foreign_file_changes_nothing(
    damage: str, tiny_bert: Path, workbench_home: Path, tokenised: list[str]
) -> None:
    token_stats(table(), tiny_bert)
    for file in workbench_home.rglob("*.ids"):
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:-9])
        else:
            spoilt(file, lambda found: np.negative(found, out=found) if damage == "one text" else found.__iadd__(1))
    model, plain = (models.load(tiny_bert, device="cpu") for _ in range(2))
    remember(model, tiny_bert, table())
    ours = once(model)
    assert ours
    tokenised.clear()
    same(ours.features(TEXTS), plain.preprocess(TEXTS))
    assert set(tokenised) == set(TEXTS)


@pytest.mark.parametrize("change", ["lower", "strip", "special"])
def test_a_model_that_splits_otherwise_than_its_files_takes_nothing_from_disk(
    change: str, tiny_bert: Path, made: Callable[[str], tuple[Any, Path]], tokenised: list[str]
) -> None:
    from tokenizers import normalizers

    texts = ["the cat", "a dog"]
    token_stats(table(texts), tiny_bert)
    model = models.load(tiny_bert, device="cpu")
    backend = model.tokenizer.backend_tokenizer
    if change == "lower":
        backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    elif change == "strip":
        backend.normalizer = normalizers.Sequence([normalizers.Replace("\n", "cat"), backend.normalizer])
    else:
        model.tokenizer.add_tokens(["dogcat"])
    remember(model, tiny_bert, table(texts))
    ours = once(model)
    assert ours
    tokenised.clear()
    ours.features(["the cat", "a dog"])
    assert tokenised == ["the cat", "a dog"]


@pytest.mark.parametrize(("revision", "least"), [("abc", 1), (None, len(TEXTS) + 1)])
def test_ids_on_disk_are_not_taken_for_a_revision_nor_for_a_small_table(
    revision: str | None, least: int, tiny_bert: Path, tokenised: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_once, "LEAST_ROWS", least)
    token_stats(table(), tiny_bert)
    model = models.load(tiny_bert, device="cpu")
    remember(model, tiny_bert, table(), revision=revision)
    ours = once(model)
    assert ours
    ours.features(["the red cat"])
    assert tokenised == ["the red cat"]


@pytest.mark.parametrize(("name", "most"), [("MOST_TOKENS", 8), ("MOST_TEXTS", 2)])
def test_memory_is_bounded_and_what_came_first_stays(
    name: str, most: int, tiny_bert: Path, tokenised: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_once, name, most)
    model = models.load(tiny_bert, device="cpu")
    remember(model, tiny_bert, table())
    ours = once(model)
    assert ours
    for text in ["the cat", "a dog", "a bird", "a fish"] * 2:  # 4 tokens each
        ours.features([text])
    assert tokenised == ["the cat", "a dog", "a bird", "a fish", "a bird", "a fish"]


def test_a_model_outside_a_run_is_not_remembered(tiny_bert: Path, tokenised: list[str]) -> None:
    model = models.load(tiny_bert, device="cpu")
    for _ in range(2):
        ours = once(model)
        assert ours
        ours.features(["a dog", "a dog"])
    assert tokenised == ["a dog", "a dog"]
    trainers = collator(model)
    serve(trainers, model)
    assert trainers.preprocess_fn == model.preprocess


def test_memory_ends_with_the_model(tiny_bert: Path) -> None:
    gc.collect()
    gc.freeze()  # so that only what is made here is looked through
    try:
        model = models.load(tiny_bert, device="cpu")
        remember(model, tiny_bert, table())
        left = weakref.ref(model)
        del model
        gc.collect()
        assert left() is None
    finally:
        gc.unfreeze()


def test_what_is_no_text_or_has_a_task_is_left_to_the_model(tiny_bert: Path) -> None:
    model = models.load(tiny_bert, device="cpu")
    ours = once(model)
    assert ours
    for batch in ([], [("the cat", "a dog"), ("a", "b")]):
        same(ours.features(batch), model.preprocess(batch))
    same(ours.features(TEXTS, task="query"), model.preprocess(TEXTS, task="query"))
    same(ours.features(TEXTS, max_length=4), model.preprocess(TEXTS, max_length=4))
    with pytest.raises(Exception) as library:
        model.preprocess(["\ud800"])
    with pytest.raises(type(library.value)):
        ours.features(["\ud800"])


def test_models_of_another_make_and_other_collators_stay_as_they_are(tiny_bert: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

    class Own(SentenceTransformer):
        """Someone's own."""

    first = list(models.load(tiny_bert, device="cpu"))
    routed = SentenceTransformer(modules=[Router.for_query_document(first, first)], device="cpu")
    typed = models.load(tiny_bert, device="cpu")
    typed[0].processing_kwargs = {"text": {"pad_to_multiple_of": 8}}
    for model in (Own(modules=first, device="cpu"), routed, typed):
        assert once(model) is None
        remember(model, tiny_bert, table())
        trainers = collator(model)
        serve(trainers, model)
        assert trainers.preprocess_fn == model.preprocess
    known = models.load(tiny_bert, device="cpu")
    remember(known, tiny_bert, table())
    other = SimpleNamespace(preprocess_fn=print)
    serve(other, known)
    assert other.preprocess_fn is print
