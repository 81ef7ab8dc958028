"""Groups of near vectors, for colouring a map, called by the words that are typical of them."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from workbench.spaces.encode import Space, check_space
from workbench.spaces.project import check_count, check_seed
from workbench.spaces.stages import sample

MOST = 12
NO_VECTOR = "no vector"
WORDS = 3
WORDS_FROM = 20_000  # texts; a sample of so many is read for words
LENGTHS = range(2, 25)  # characters of a word


def clusters(space: Space, *, count: int | None = None, seed: int = 0) -> tuple[str, ...]:
    """Name a cluster for each text: k-means (Lloyd 1982) on vectors of unit length.

    The clusters are a help for the eye: k-means finds as many as it is asked for, whether they are there or not. Up
    to three words that many texts of the cluster hold and few others (see `typical_words`) follow the number.

    Args:
        space: n texts with their vectors.
        count: clusters wanted; None takes about sqrt(n / 2), at most 12. Fewer come where fewer vectors differ.
        seed: seed of the first centres.

    Returns:
        n names, such as "cluster 1: gradient, loss, step", 1 being the largest, or "cluster 1" where no word is
        typical; "no vector" where the vector is zero or not finite.

    Raises:
        DataError: fewer than 1 cluster is asked for, or the space or the seed is none.
    """
    check_space(space)
    seed = check_seed(seed)
    if count is not None:
        check_count(count, "count", "cluster", "None chooses by the number of texts")
    names = np.full(len(space), NO_VECTOR, dtype=object)
    usable = space.usable
    unit = space.unit[usable]
    if len(unit):
        wanted = min(count or min(MOST, max(1, round((len(unit) / 2) ** 0.5))), len(unit))
        found = _kmeans(unit, wanted, seed)
        places, sizes = np.unique(found, return_counts=True)
        by_size = places[np.argsort(-sizes, kind="stable")]
        rank = np.zeros(found.max() + 1, dtype=int)
        rank[by_size] = np.arange(len(by_size))
        words = typical_words([space.texts[row] for row in np.flatnonzero(usable)], rank[found], seed=seed)
        called = [f"cluster {n}: {', '.join(its)}" if its else f"cluster {n}" for n, its in enumerate(words, 1)]
        names[usable] = [called[n] for n in rank[found]]
    return tuple(names)


def typical_words(texts: Sequence[str], groups: np.ndarray, *, count: int = WORDS, seed: int = 0) -> list[list[str]]:
    """The words that are most typical of each group of texts, by a TF-IDF of groups.

    A word weighs p·log(p / q)·log(1 / q), where p is the share of the group's texts that hold it and q that of all
    texts: it is usual in the group, more usual than elsewhere, and rare as a whole. Words that are everywhere weigh
    nothing, in any language. Where a script has no spaces between words, what stands between two signs counts as one.

    Args:
        texts: n texts.
        groups: int, shape (n,): the group of each text, from 0.
        count: most words of a group. One word stands for all that begin alike, such as its plural.
        seed: above 20,000 texts, of the sample that is read.

    Returns:
        For each group its words, the most typical first; none where no two of its texts share a word that is more
        usual there than elsewhere (for a group of one text: where it has no such word), or where there is one group.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    many = int(groups.max(initial=-1)) + 1
    rows = sample(np.arange(len(texts)), WORDS_FROM, seed)
    counter = CountVectorizer(binary=True, analyzer=words_of)
    try:
        held = counter.fit_transform([texts[row] for row in rows])  # (n, words)
    except ValueError:  # no text has a word
        return [[] for _ in range(many)]
    words, overall = counter.get_feature_names_out(), np.asarray(held.sum(axis=0)).ravel() / len(rows)
    found: list[list[str]] = []
    for group in range(many):
        inside = held[groups[rows] == group]
        if inside.shape[0] in (0, len(rows)):
            found.append([])
            continue
        holding = np.asarray(inside.sum(axis=0)).ravel()
        share = holding / inside.shape[0]
        weight = -share * np.log(np.maximum(share, 1e-12) / overall) * np.log(overall)
        weight[holding < min(2, inside.shape[0])] = 0
        found.append(_apart(words[np.argsort(-weight, kind="stable")[: int((weight > 0).sum())]], count))
    return found


def words_of(text: str) -> list[str]:
    """The words of a text in small letters: letters with their marks, digits, and apostrophes between letters."""
    found = _word().findall(unicodedata.normalize("NFC", text).lower())
    return [word for word in found if len(word) in LENGTHS]


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    """Vowels of many scripts are marks, which Python's letters leave out; two joiners stand inside of words too."""
    codes = map(chr, range(0x300, 0x20000))  # those beyond belong to no letter
    marks = re.escape("".join(code for code in codes if unicodedata.category(code)[0] == "M")) + "\u200c\u200d"
    return re.compile(rf"(?<![\w{marks}])[^\W\d_](?:[^\W_]|[{marks}]|['’](?=[^\W\d_]))*(?![\w{marks}])")


def _apart(words: Sequence[str], count: int) -> list[str]:
    """The first words, without those that begin alike."""
    kept: list[str] = []
    for word in words:
        if len(kept) == count:
            break
        if not any(word.startswith(other) or other.startswith(word) for other in kept):
            kept.append(str(word))
    return kept


def _kmeans(unit: np.ndarray, count: int, seed: int) -> np.ndarray:
    """int, shape (n,): a cluster for each of n rows."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer vectors differ than clusters were asked for
        found: np.ndarray = KMeans(count, n_init=3, random_state=seed).fit_predict(unit)
    return found
