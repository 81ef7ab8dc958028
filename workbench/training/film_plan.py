"""What the film of a run shows: which texts, at how many moments, and after which steps.

It follows from numbers of tokens before the first step, so that the same recipe gives the same film.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.distinct import colour_choices, labels_of
from workbench.recipe import Recipe
from workbench.spaces.evaluate import scored_rows
from workbench.spaces.packed import packed_lengths
from workbench.steps import batched_rows, steps_per_epoch

if TYPE_CHECKING:
    from workbench.data.examples import Examples

# Of the time in training steps, for the whole film: what is promised, and what is planned for
LIMIT = 0.05
SHARE = 0.045
# What a token costs in training at least, in tokens of a look: one pass forward and one backward that is twice as long
COST = 3.0
TEXTS_UP_TO = 2000
FEWEST = 8
# Where time is short there are so many texts for each look, so that both become fewer
TEXTS_A_LOOK = 3
# Looks between those that come with the scores are worth it for so many texts
FEW_BETWEEN = 60
SAMPLED = 64  # rows and texts whose tokens are counted
KEPT = ("texts", "columns", "rows", "labels", "by", "of", "distinct", "looks", "why")


def chosen(recipe: Recipe, train: Examples, table: Examples) -> dict[str, Any]:
    """Texts for a film, as plain values, of which there may be too many.

    Up to 2,000 distinct texts are drawn from a table by the recipe's seed, all texts of a row together, from rows that
    scores are taken on.

    Args:
        recipe: what is run.
        train: the rows that it is trained on.
        table: the rows that the texts are from.
    """
    order = np.random.default_rng(recipe.seed).permutation(scored_rows(len(table)))[:TEXTS_UP_TO]
    part = table.select(order)
    found: dict[str, tuple[str, int]] = {}
    names = [part.training_names[name] for name in part.texts]
    rows_of_texts = chain.from_iterable(zip(*batch.values(), strict=True) for batch in part.batches(part.texts))
    for row, values in zip(order.tolist(), rows_of_texts, strict=True):
        for name, text in zip(names, values, strict=True):
            found.setdefault(text, (name, row))
    texts = list(found)[:TEXTS_UP_TO]
    columns, rows = zip(*(found[text] for text in texts), strict=True)
    by = next(iter(colour_choices(part)), None)
    labels = None if by is None else labels_of(part, texts, by)
    of = f"the {'training' if table is train else 'evaluation'} rows of {table.name}"
    return dict(zip(KEPT, (texts, columns, rows, labels, by or "", of, len(found), 0, ""), strict=True))


def settled(
    kept: Mapping[str, Any], recipe: Recipe, model: Any, train: Examples, total: int, scored: int
) -> dict[str, Any]:
    """So many of the chosen texts as the time allows, and how many moments there are.

    Args:
        kept: what was chosen.
        recipe: what is run.
        model: the model, for its tokenizer.
        train: the rows that it is trained on.
        total: optimizer steps of the run.
        scored: moments whose vectors come with the scores, the first and the last among them; 0 where none do.
    """
    # naming the columns anew takes longer than all the rest, and few samplers ask for them
    rows = batched_rows(recipe, train.to_training()) if recipe.batch_sampler == "group_by_label" else len(train)
    sampled = np.random.default_rng(recipe.seed).permutation(len(train))[:SAMPLED]
    columns = [text for batch in train.select(sampled).batches(train.texts) for part in batch.values() for text in part]
    a_row = int(_tokens(model, columns).sum()) / len(sampled)
    allowance = SHARE * COST * a_row * rows * total / steps_per_epoch(recipe, rows)
    looked = allowance / float(_tokens(model, kept["texts"][:SAMPLED]).mean())
    count, looks = planned(len(kept["texts"]), looked, recipe.film_frames, scored)
    why = "" if count else f"it is too short: {LIMIT:.0%} of its time does not pay for two looks at {FEWEST} texts"
    parts = {name: kept[name] and kept[name][:count] for name in ("texts", "columns", "rows", "labels")}
    return {**kept, **parts, "looks": looks, "why": why}


def planned(texts: int, looked: float, frames: int, scored: int = 0) -> tuple[int, int]:
    """How many texts a film has and how many moments; (0, 0) where there is no time for two looks at a few texts.

    Args:
        texts: that there are, at least one.
        looked: texts that may be looked at in all looks together.
        frames: moments at most after the one of the base model.
        scored: moments that come with the scores, the first and the last among them; 0 where none do.

    Returns:
        (texts, moments): at least two moments. Where time is short, both become fewer, yet moments of scores stay.
    """
    if scored:
        # from each moment to the next there is time for a look, also where the run is stopped early
        looks = min(frames + 1, 1 + int(looked // min(FEW_BETWEEN, texts)))
        count = min(texts, int(looked // max(looks - 1, 1)))
        worth = looks - scored >= scored / 2 or (count == texts and looks > scored)
        return (count, looks) if worth else (texts, min(frames + 1, scored))
    looks = min(frames + 1, max(2, int((looked / TEXTS_A_LOOK) ** 0.5), int(looked // texts)))
    count = min(texts, int(looked // looks))
    return (count, looks) if count >= min(FEWEST, texts) else (0, 0)


def moments(total: int, looks: int, scored: Sequence[int]) -> set[int]:
    """Steps after which frames are taken, at distances as equal as the moments of scores allow.

    Args:
        total: optimizer steps of the run.
        looks: moments, the first and the last included; at least 2.
        scored: steps of the moments that come with the scores, from 0 to `total`.
    """
    if looks <= len(scored):
        return {min(scored, key=lambda step: abs(step - total * place / (looks - 1))) for place in range(looks)}
    gaps = [*pairwise(scored)]
    parts = [1] * len(gaps)
    for _ in range(looks - len(scored)):
        parts[max(range(len(gaps)), key=lambda place: (gaps[place][1] - gaps[place][0]) / parts[place])] += 1
    between = zip(gaps, parts, strict=True)
    return {round(start + (end - start) * n / count) for (start, end), count in between for n in range(count)} | {total}


def _tokens(model: Any, texts: list[str]) -> np.ndarray:
    """Tokens of each text as the model takes them, cut at its limit: int64, shape (n,), at least 1 each."""
    features = model.preprocess(texts)
    mask, offsets, packed = features.get("attention_mask"), features.get("offsets"), packed_lengths(features)
    if packed is not None:
        return np.asarray(packed.cpu().numpy(), dtype=np.int64)
    if mask is not None and len(mask) == len(texts):
        counts = mask.sum(dim=1).cpu().numpy()
    elif offsets is not None:  # a static model gets the tokens of all texts in one line, and where each text begins
        counts = np.diff(np.append(offsets.cpu().numpy(), len(features["input_ids"])))
    else:  # where tokens are not told, texts are what is counted
        counts = np.ones(len(texts))
    return np.maximum(counts.astype(np.int64), 1)
