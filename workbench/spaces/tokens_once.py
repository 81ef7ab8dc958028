"""Tokens of texts as a model takes them, made once in the life of a run.

Scoring meets the same texts again and again, and so do the epochs of a training; statistics and checks have left token
ids of the same columns on disk (`data.ids`). Here a text is looked up by its digest, and only what is not known goes
through the model's own `preprocess`. The features are those that `preprocess` would give: same names, types and values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from workbench.data import ids
from workbench.data.tokenizer import NO_LIMIT, fast_tokenizer, place

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# What is remembered in memory, 4 bytes a token and some 200 a text: 300 MB at most. Ids from disk stay there: only a
# digest and a place of each text, 40 bytes, are in memory.
MOST_TOKENS = 50_000_000
MOST_TEXTS = 500_000
# Rows of a column whose ids from disk are held against the model's own; smaller tables are tokenised sooner than looked up
SAMPLE = 32
LEAST_ROWS = 2_000
PADDED = ("input_ids", "token_type_ids", "attention_mask")
NAMES = {*PADDED, "offsets", "modality", "prompt_length", "position_ids", "seq_idx", "cu_seq_lens_q", "cu_seq_lens_k",
         "max_length_q", "max_length_k"}  # fmt: skip
UNPADDED: dict[str, Any] = {"text": {"padding": False}, "common": {"return_tensors": None}}
_MEMORIES: WeakKeyDictionary[Any, Memory] = WeakKeyDictionary()


class Memory:
    """Token ids of texts, cut at the limit of the model, special tokens included: int32 as bytes, by digest of the text.

    Args:
        state: what the ids depend on beside the text; another one needs another memory.
    """

    def __init__(self, state: object) -> None:
        self.state = state
        self._ids: dict[bytes, bytes] = {}
        self._tokens = 0
        self._columns: list[np.ndarray] = []
        self._digests = np.zeros((0, 2), np.uint64)  # (texts on disk, 2), in order of the first half
        self._places = np.zeros((0, 3), np.int64)  # (texts on disk, 3): column, where it starts, tokens

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is known of these texts."""
        remembered = self._ids
        found = {key: remembered[key] for key in keys if key in remembered}
        missing = [key for key in keys if key not in found] if len(self._digests) else []
        if missing:
            wanted = np.frombuffer(b"".join(missing), np.uint64).reshape(-1, 2)
            at = np.searchsorted(self._digests[:, 0], wanted[:, 0])
            at[at == len(self._digests)] = 0
            there = np.flatnonzero((self._digests[at] == wanted).all(axis=1))
            for number, (column, start, tokens) in zip(there, self._places[at[there]].tolist(), strict=True):
                found[missing[number]] = self._columns[column][start : start + tokens].tobytes()
        return found

    def add(self, new: dict[bytes, bytes]) -> None:
        """Remember more, as long as there is room: what came first stays, since an epoch asks for all again."""
        if self._tokens < MOST_TOKENS and len(self._ids) < MOST_TEXTS:
            self._ids |= new
            self._tokens += sum(map(len, new.values())) // 4

    def add_column(self, column: ids.Ids, digests: np.ndarray, limit: float) -> None:
        """Ids of a column on disk, uint64 digests of shape (rows, 2); texts over the limit are left out."""
        rows = np.flatnonzero(column.lengths <= limit)
        places = np.stack([np.full(len(rows), len(self._columns)), column.starts[rows], column.lengths[rows]], axis=1)
        self._columns.append(np.asarray(column.ids))  # a plain array is sliced sooner than a mapped one
        digests = np.concatenate([self._digests, digests[rows]])
        order = np.argsort(digests[:, 0], kind="stable")
        self._digests, self._places = digests[order], np.concatenate([self._places, places])[order]


class Once:
    """Makes the features of texts for one model.

    Args:
        model: one that `suits`.
        memory: what is known of it already.

    Attributes:
        way: how a batch is laid out: padded; static or packed, where the texts stand one after the other.
    """

    def __init__(self, model: Any, memory: Memory) -> None:
        static = _is(model[0], "StaticEmbedding")
        self.way = "static" if static else "packed" if model[0].can_flatten_inputs else "padded"
        self._model, self._memory = model, memory
        self._shapes: dict[str, dict[str, Any]] = {}  # prompt -> features of a short text

    def features(self, texts: Sequence[Any], prompt: str | None = None, task: Any = None, **others: Any) -> Any:
        """In the place of the model's `preprocess`: the same features; what is no text is left to it."""
        plain = task is None and not others and set(map(type, texts)) == {str}
        parts = self.ids(texts, prompt or "") if plain and _state(self._model) == self._memory.state else []
        if not any(parts):
            return self._model.preprocess(texts, prompt=prompt, task=task, **others)
        return self.batch(*together(parts), prompt or "")

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[bytes]:
        """Token ids of each text, int32 as bytes, without padding."""
        keys = _keys(texts, prompt)
        found = self._memory.find(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            new = dict(zip(missing, self.tokenised(list(missing.values()), prompt), strict=True))
            self._memory.add(new)
            found |= new
        return [found[key] for key in keys]

    def tokenised(self, texts: list[str], prompt: str = "") -> list[bytes]:
        """As `ids`, from the model itself."""
        made = self._made(texts, prompt)
        if self.way == "padded":
            return [array("i", numbers).tobytes() for numbers in made["input_ids"]]
        flat = made["input_ids"].numpy().astype(np.int32).tobytes()
        ends = [*made["offsets"].tolist(), len(flat) // 4] if self.way == "static" else made["cu_seq_lens_q"].tolist()
        return [flat[start * 4 : end * 4] for start, end in pairwise(ends)]

    def batch(self, flat: np.ndarray, lengths: np.ndarray, prompt: str = "") -> dict[str, Any]:
        """Features of a batch.

        Args:
            flat: token ids, one text after the other, int32, shape (sum of lengths,).
            lengths: tokens of each text, int64, shape (texts,).
            prompt: what was put before the texts.
        """
        import torch

        shape = self._shape(prompt)
        made = _LAID_OUT[self.way](flat, lengths, self._model.tokenizer, shape)
        features = {name: made.get(name, value) for name, value in shape.items()}
        return {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in features.items()
        }

    def known(self) -> bool:
        """Whether the features of a short text are what is made here: every token has mask 1 and type 0."""
        shape = self._shape("")
        masks, types = shape.get("attention_mask", [[1]]), shape.get("token_type_ids", [[0]])
        return "input_ids" in shape and all(masks[0]) and not any(types[0]) and set(shape) <= NAMES

    def _shape(self, prompt: str) -> dict[str, Any]:
        if prompt not in self._shapes:
            self._shapes[prompt] = dict(self._made(["a text"], prompt))
        return self._shapes[prompt]

    def _made(self, texts: list[str], prompt: str) -> Any:
        """What the model makes of texts, without padding."""
        options = {"processing_kwargs": UNPADDED} if self.way == "padded" else {}
        return self._model.preprocess(texts, prompt=prompt or None, **options)


def together(parts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Ids of texts one after the other, int32, shape (tokens,), and how many each has, int64, shape (texts,)."""
    return np.frombuffer(b"".join(parts), np.int32), np.fromiter(map(len, parts), np.int64, len(parts)) // 4


def _padded(flat: np.ndarray, lengths: np.ndarray, tokenizer: Any, _: dict[str, Any]) -> dict[str, Any]:
    real = np.arange(lengths.max()) < lengths[:, None]  # (texts, width)
    filled = np.full(real.shape, tokenizer.pad_token_id)
    filled[real] = flat
    types = np.where(real, 0, tokenizer.pad_token_type_id)
    return {"input_ids": filled, "attention_mask": real.astype(np.int64), "token_type_ids": types}


def _static(flat: np.ndarray, lengths: np.ndarray, *_: Any) -> dict[str, Any]:
    return {"input_ids": flat.astype(np.int64), "offsets": np.cumsum(lengths) - lengths}


def _packed(flat: np.ndarray, lengths: np.ndarray, _: Any, shape: dict[str, Any]) -> dict[str, Any]:
    ends, longest = np.append(0, np.cumsum(lengths)), int(lengths.max())
    places = np.arange(len(flat)) - np.repeat(ends[:-1], lengths) + int(shape["position_ids"][0, 0])
    return {
        "input_ids": flat.astype(np.int64)[None],
        "position_ids": places[None],
        "seq_idx": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)[None],
        "cu_seq_lens_q": ends.astype(np.int32),
        "cu_seq_lens_k": ends.astype(np.int32),
        "max_length_q": longest,
        "max_length_k": longest,
    }


_LAID_OUT = {"padded": _padded, "static": _static, "packed": _packed}


def once(model: Any) -> Once | None:
    """With what is remembered of the model; None where its features cannot be made from token ids alone."""
    if not suits(model):
        return None
    memory = _MEMORIES.get(model)
    if memory is None or memory.state != _state(model):
        memory = Memory(_state(model))
    made = Once(model, memory)
    return made if made.known() else None


def remember(model: Any, name: str | Path, table: Examples, *, revision: str | None = None) -> None:
    """From now on, and as long as the model lives, its texts are tokenised once.

    Args:
        model: a loaded model.
        name: where it came from: a folder, a Hub id, or a short name.
        table: ids of its columns are taken from disk where they are there, and where the model's own are the same; of
            picked rows those of the whole table, so that the held-out ones are known, too.
        revision: what was loaded of `name`; ids on disk are of its newest one, so that with another none are taken.
    """
    made = once(model)
    if made is None:
        return
    memory = _MEMORIES[model] = Memory(_state(model))
    if revision is not None or len(table) < LEAST_ROWS:
        return
    for rows in dict.fromkeys((ids.whole(table), table)):
        columns = {column: kept for column in table.texts if (kept := ids.kept(rows, column, name)) is not None}
        if columns:
            for column, kept in columns.items() if _splits_alike(made, name) else ():
                _take(memory, made, rows, column, kept)
            return


def serve(collator: Any, model: Any) -> None:
    """Let the collator of a trainer make its batches from what is remembered of the model."""
    made = once(model) if model in _MEMORIES else None
    if made is not None and collator.preprocess_fn == model.preprocess:
        collator.preprocess_fn = made.features


def suits(model: Any) -> bool:
    """The features of a batch follow from the token ids of its texts one by one."""
    first, tokenizer = model[0], getattr(model, "tokenizer", None)
    if not _is(model, "SentenceTransformer") or _is(first, "StaticEmbedding"):
        return _is(model, "SentenceTransformer")
    return (
        _is(first, "Transformer")
        and first.backend == "torch"
        and first.transformer_task == "feature-extraction"
        and list(first.modality_config) == ["text"]
        and not first.processing_kwargs
        and first.processor is tokenizer
        and getattr(tokenizer, "is_fast", False)
        and tokenizer.padding_side == "right"
        and tokenizer.pad_token_id is not None
        and set(tokenizer.model_input_names) <= set(PADDED)
    )


def _is(module: Any, name: str) -> bool:
    """Of the library and of no class that changes it."""
    return type(module).__name__ == name and type(module).__module__.startswith("sentence_transformers.")


def _state(model: Any) -> tuple[Any, float]:
    """Which tokenizer, and the most tokens of a text."""
    tokenizer = model.tokenizer
    if _is(model[0], "StaticEmbedding"):
        return tokenizer, (tokenizer.truncation or {}).get("max_length", NO_LIMIT)
    return tokenizer, tokenizer.model_max_length or NO_LIMIT


def _keys(texts: Iterable[str], prompt: str = "") -> list[bytes]:
    from xxhash import xxh3_128_digest

    return [xxh3_128_digest((prompt + text).encode("utf-8", "surrogatepass")) for text in texts]


def _splits_alike(made: Once, name: str | Path) -> bool:
    """The tokenizer that wrote the ids on disk gives those of the model for texts that are easily split in two ways."""
    here = place(name)
    tokenizer, own = fast_tokenizer(here), made._model.tokenizer
    both = [tokenizer, getattr(own, "backend_tokenizer", own)]
    special = {token.content for one in both for token in one.get_added_tokens_decoder().values()}
    texts = ["", " ", " Two  Words\n", "Ünïcödé ﬁ Å 你好", "don't, e.g. x-1.5"]
    texts += [f"a {token} B{token}b" for token in sorted(special)[:SAMPLE]]
    theirs = tokenizer.encode_batch(texts, add_special_tokens=not here.static)
    return _same(made, texts, [np.array(one.ids, np.int32) for one in theirs])


def _same(made: Once, texts: list[str], theirs: Iterable[np.ndarray]) -> bool:
    """The model's own ids of texts are these, where they are not longer than the model's limit."""
    limit = _state(made._model)[1]
    both = zip(made.tokenised(texts), theirs, strict=True)
    return all(mine == its.tobytes() for mine, its in both if len(its) <= limit)


def _take(memory: Memory, made: Once, table: Examples, column: str, kept: ids.Ids) -> None:
    """Add the ids of a column, unless those of a sample of its rows are others than the model's own."""
    limit = _state(made._model)[1]
    longest = int(np.argmax(np.where(kept.lengths <= limit, kept.lengths, -1)))
    rows = sorted({longest, *np.linspace(0, len(table) - 1, SAMPLE).astype(int).tolist()})
    texts = table.select(rows).column(column)
    if _same(made, texts, map(kept.of, rows)):
        keys = b"".join(key for batch in table.batches([column]) for key in _keys(batch[column]))
        memory.add_column(kept, np.frombuffer(keys, np.uint64).reshape(-1, 2), limit)
