"""The vector of a text as a sum over its tokens, and where in the text these tokens are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "special", "prompt", "bias"]
BATCH = 32
ALIKE = 1e-5  # of the length of the vector: sums in float32 depend on their order
LINEAR = ("mean", "mean_sqrt_len_tokens", "weightedmean")
BIAS = "bias of a layer after the pooling"


@dataclass(frozen=True)
class Place:
    """A token, or tokens that share a character.

    Attributes:
        text: the characters; the token's own name where it stands for none or where that is not known.
        start, end: where they are in the text; -1 where there are none.
        kind: text, special, prompt or bias.
        tokens: numbers of the tokens, in the order of the model.
    """

    text: str
    start: int
    end: int
    kind: Kind
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Explained:
    """A text as a model sees it.

    Attributes:
        places: p tokens, and the bias where there is one.
        vector: float64, shape (d,): the vector that the model gives.
        parts: float64, shape (p, d), which add up to `vector`; None where it is no such sum, `why` says the reason.
        why: why there are no parts.
        unseen: number of tokens beyond the limit.
        limit: the limit in tokens, special tokens included; None where there is none.
        model, features: what made it.
    """

    places: tuple[Place, ...]
    vector: np.ndarray
    parts: np.ndarray | None
    why: str
    unseen: int
    limit: int | None
    model: Any
    features: Mapping[str, Any]

    def without(self) -> Iterator[np.ndarray | None]:
        """For each place the vector, float64, shape (d,), when the model does not see it; None for special tokens.

        It takes a forward pass for each; none where the model has no mask to hide tokens with.
        """
        hidden = [place.tokens for place in self.places if place.kind in ("text", "prompt")]
        made: Iterator[np.ndarray | None]
        if "attention_mask" in self.features:
            made = _masked(self.model, self.features, hidden)
        elif "offsets" in self.features:
            made = _shortened(self.model, self.features, hidden)
        else:
            made = iter([None] * len(hidden))
        for place in self.places:
            yield next(made) if place.kind in ("text", "prompt") else None


def explain(model: Any, text: str, prompt: str = "") -> Explained:
    """Send a text through a loaded model and find the share of each token.

    Args:
        model: a SentenceTransformer. It is put into evaluation mode.
        text: any text.
        prompt: put before it; without one the model's default prompt is, where it has one.
    """
    import torch
    from sentence_transformers.util import batch_to_device

    if not prompt and model.default_prompt_name:
        prompt = model.prompts.get(model.default_prompt_name) or ""
    model.eval()
    with torch.inference_mode():
        features = batch_to_device(model.preprocess([text], prompt=prompt or None), model.device)
        seen = model(dict(features))
        vector = _array(seen["sentence_embedding"])[0, : model.truncate_dim]
        parts, why = _parts(model, seen)
    ids = features["input_ids"].reshape(-1).tolist() if "input_ids" in features else []
    places, unseen, limit = _places(model, prompt, text, ids)
    if parts is not None and not _adds_up(parts, vector):
        parts, why = None, "its vector is no weighted sum of what it has for each token"
    if parts is not None:
        rows = [parts[list(place.tokens)].sum(axis=0) for place in places]
        if len(parts) > len(ids):
            places.append(Place(BIAS, -1, -1, "bias"))
            rows.append(parts[len(ids)])
        parts = np.stack(rows) if rows else None
    return Explained(tuple(places), vector, parts, why, unseen, limit, model, features)


def _array(tensor: Any) -> np.ndarray:
    made: np.ndarray = tensor.detach().cpu().double().numpy()
    return made


def _adds_up(parts: np.ndarray, vector: np.ndarray) -> bool:
    off = float(np.linalg.norm(parts.sum(axis=0) - vector))
    return off <= ALIKE * float(np.linalg.norm(vector))


# the parts: what each token adds, through all layers that keep a sum a sum


def _parts(model: Any, seen: Mapping[str, Any]) -> tuple[np.ndarray | None, str]:
    """(float64 (t, d), or (t + 1, d) with the bias; reason why there are none)."""
    layers = list(model.children())
    pooled = next((n for n, layer in enumerate(layers) if type(layer).__name__ in ("Pooling", "StaticEmbedding")), None)
    if pooled is None:
        return None, f"it has no pooling, but {', '.join(type(layer).__name__ for layer in layers)}"
    layer = layers[pooled]
    if type(layer).__name__ == "StaticEmbedding":
        rows = _array(layer.embedding.weight[seen["input_ids"].reshape(-1)])
        parts = rows / max(1, len(rows))
    else:
        modes = [layer.pooling_mode] if isinstance(layer.pooling_mode, str) else [*layer.pooling_mode]
        if not {*modes} <= {*LINEAR}:
            return None, f"its pooling is {' and '.join(modes)}, no mean over the tokens"
        parts = _pooled(layer, modes, seen)
    for layer in layers[pooled + 1 :]:
        through = _through(layer, parts, seen["input_ids"].numel())
        if through is None:
            return None, f"after the pooling comes a {type(layer).__name__} that is not linear"
        parts = through
    return parts[:, : model.truncate_dim], ""


def _pooled(layer: Any, modes: Sequence[str], seen: Mapping[str, Any]) -> np.ndarray:
    tokens = _array(seen["token_embeddings"])[0]  # (t, d)
    mask = _array(seen["attention_mask"]).reshape(-1) if "attention_mask" in seen else np.ones(len(tokens))
    if not layer.include_prompt and "prompt_length" in seen:
        mask[: int(seen["prompt_length"])] = 0
    count = max(mask.sum(), 1e-9)
    ramp = mask * np.arange(1, len(mask) + 1)
    weights = {
        "mean": mask / count,
        "mean_sqrt_len_tokens": mask / np.sqrt(count),
        "weightedmean": ramp / max(ramp.sum(), 1e-9),
    }
    return np.concatenate([tokens * weights[mode][:, None] for mode in modes], axis=1)


def _through(layer: Any, parts: np.ndarray, tokens: int) -> np.ndarray | None:
    """The parts behind a layer; None where a sum does not stay a sum."""
    kind = type(layer).__name__
    if kind == "Dropout":
        return parts
    if kind not in ("Normalize", "Dense") or {layer.module_input_name, layer.module_output_name} != {
        "sentence_embedding"
    }:
        return None
    if kind == "Normalize":
        return parts / max(float(np.linalg.norm(parts.sum(axis=0))), 1e-12)
    if type(layer.activation_function).__name__ != "Identity":
        return None
    made = parts @ _array(layer.linear.weight).T
    if layer.use_residual:
        made += parts @ _array(layer.residual.weight).T if hasattr(layer, "residual") else parts
    if layer.linear.bias is None:
        return made
    if len(made) == tokens:
        made = np.concatenate([made, np.zeros((1, made.shape[1]))])
    made[tokens] += _array(layer.linear.bias)
    return made


# leaving tokens out


def _masked(model: Any, features: Mapping[str, Any], hidden: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    import torch

    for start in range(0, len(hidden), BATCH):
        some = hidden[start : start + BATCH]
        batch = {
            name: value.repeat(len(some), *[1] * (value.ndim - 1))
            if isinstance(value, torch.Tensor) and value.ndim > 1
            else value
            for name, value in features.items()
        }
        for row, tokens in enumerate(some):
            batch["attention_mask"][row, list(tokens)] = 0
        with torch.inference_mode():
            yield from _array(model(batch)["sentence_embedding"])[:, : model.truncate_dim]


def _shortened(model: Any, features: Mapping[str, Any], hidden: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """For word vectors, which have no mask."""
    import torch

    ids = features["input_ids"]
    for tokens in hidden:
        kept = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        kept[list(tokens)] = False
        with torch.inference_mode():
            out = model({**features, "input_ids": ids[kept]})
        yield _array(out["sentence_embedding"])[0, : model.truncate_dim]


# the places: which characters a token stands for


def _places(model: Any, before: str, text: str, ids: Sequence[int]) -> tuple[list[Place], int, int | None]:
    """(tokens in the order of the model, number of tokens that it does not see, its limit)."""
    if not ids:  # a bag of words, or an empty text under word vectors
        return [], 0, None
    tokenizer = model.tokenizer
    if hasattr(tokenizer, "encode_batch"):  # of the package tokenizers: word vectors have no special tokens
        found = tokenizer.encode(before + text, add_special_tokens=False)
        spans, special, given = found.offsets, [0] * len(found.ids), found.ids
        names, unseen, limit = found.tokens, sum(len(part.ids) for part in found.overflowing), None
    else:
        names = tokenizer.convert_ids_to_tokens(ids)
        limit = model.max_seq_length
        spans, special, given, unseen = _spans(tokenizer, before + text, ids)
    if list(given) != list(ids):  # it is shown in another form, such as a conversation
        return [Place(str(name), -1, -1, "text", (n,)) for n, name in enumerate(names)], 0, limit
    return _joined(before, text, names, spans, special), unseen, limit


def _spans(tokenizer: Any, text: str, ids: Sequence[int]) -> tuple[Any, Any, Sequence[int], int]:
    """(start and end of each token, 1 for special ones, ids, number of tokens beyond the limit)."""
    whole = tokenizer(text, truncation=False, verbose=False)["input_ids"]
    if not tokenizer.is_fast:
        return (), (), (), max(0, len(whole) - len(ids))
    made = tokenizer(text, truncation=True, return_offsets_mapping=True, return_special_tokens_mask=True)
    return made["offset_mapping"], made["special_tokens_mask"], made["input_ids"], max(0, len(whole) - len(ids))


def _joined(
    before: str, text: str, names: Sequence[str], spans: Sequence[tuple[int, int]], special: Sequence[int]
) -> list[Place]:
    """Tokens with their characters; those that share one are one place."""
    whole, shift, places = before + text, len(before), list[Place]()
    reached, began = -1, -1  # where the place before ends and starts, in `whole`
    for n, (name, (start, end), put_in) in enumerate(zip(names, spans, special, strict=True)):
        if put_in or end <= start:
            places.append(Place(str(name), -1, -1, "special" if put_in else "text", (n,)))
            continue
        tokens: tuple[int, ...] = (n,)
        if start < reached and places[-1].kind != "special":
            start, end, tokens = began, max(end, reached), (*places.pop().tokens, n)
        began, reached = start, end
        if end <= shift:
            places.append(Place(whole[start:end], -1, -1, "prompt", tokens))
        else:
            places.append(Place(whole[start:end], max(0, start - shift), end - shift, "text", tokens))
    return places
