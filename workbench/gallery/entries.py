"""The five entries: figures of their cards, the recipe on our data, the recipe mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.cards import logs
from workbench.catalog import models
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.data.repair import repair
from workbench.errors import RecipeError
from workbench.gallery import meanings, tables
from workbench.gallery.record import Entry
from workbench.gallery.zero_bert import POSITIONS, zero_bert
from workbench.recipe import DEFAULT_MODEL, DataSpec, Loss, Recipe

TITLES = {
    "000": "A margin that no distance can reach",
    "001": "The same question twice in a batch",
    "002": "One step that changes nothing",
    "003": "Sentences that were broken before they came",
    "004": "Weights that are not there",
}
GOOD_MARGIN = 0.3
SENTENCE_WORDS = 3
OWN_LOSS = Path(__file__).with_name("soft_f1_mse.py")
# The library's fit() built its own optimizer; whether it warmed up, no card says.
FIT = {"epochs": 3, "batch_size": 16, "warmup": 0} | {
    name: logs.FIT[name] for name in ("learning_rate", "weight_decay")
}
# What nobody changed, and what there was not.
DEFAULTS = {**dict.fromkeys(("logging_steps", "eval_steps", "save_steps"), meanings.EVERY), "split_by_length": False}
PRINTED_RATE = 5e-5
FIT_SAID = f"the card prints the rate {PRINTED_RATE:g} of settings that fit() never read; the recipe has fit()'s own {FIT['learning_rate']:g} and weight decay {FIT['weight_decay']:g}, and no warm-up, of which the card says nothing"


def known(name: str) -> str:
    """The name, if it is one of an entry.

    Raises:
        RecipeError: it is not.
    """
    if name not in BUILD:
        raise RecipeError(f"expected one of {', '.join(BUILD)}, the entries of the gallery, got {name!r:.80}")
    return name


def build(name: str) -> Entry:
    """The entry of that name; its tables and models are written to the cache by the first call.

    Raises:
        RecipeError: there is no such entry.
    """
    return BUILD[known(name)]()


def _of_fit(view: str, rows: Examples, model: dict[str, object], loss: Loss) -> Recipe:
    """The settings of fit() on rows made from a view of the glossary, scored on its test part."""
    scored = DataSpec(source=view, split="test")
    return Recipe(loss=loss, data=rows, eval_data=scored, **{**model, **FIT, **DEFAULTS})


def _model(wanted: str, limit: int) -> tuple[dict[str, object], tuple[str, ...]]:
    """Settings of the model that is used for `wanted` without asking a network, and what has to be said of it."""
    if models.describe(wanted, fetch=False).where is not None:
        return {"model": wanted, "max_seq_length": limit}, ()
    said = (
        f"{wanted} is not on this machine: {DEFAULT_MODEL} stands in for it, with texts cut at {limit} tokens as there"
    )
    return {"model": DEFAULT_MODEL, "max_seq_length": limit}, (said,)


def _margin() -> Entry:
    """A margin that unit vectors cannot meet."""
    card = {"model": "sentence-transformers/all-mpnet-base-v2", "loss": "TripletLoss", "margin": 5.0, "distance": "Euclidean",
            "rows": 3552, "batch size": 16, "epochs": 3, "logged loss": 4.3399, "logged at step": 500}  # fmt: skip
    model, said = _model(str(card["model"]), 384)
    rows = load("glossary/triplets")
    loss = Loss("TripletLoss", distance_metric="EUCLIDEAN", triplet_margin=card["margin"])
    recipe = _of_fit("glossary/triplets", rows, model, loss)
    mended = recipe.changed(
        loss=Loss("TripletLoss", distance_metric="EUCLIDEAN", triplet_margin=GOOD_MARGIN), **_seen()
    )
    return Entry(
        "000",
        TITLES["000"],
        card,
        (*said, _rows_said(card, len(rows), "passage, its term, another term"), FIT_SAID),
        recipe,
        mended,
        f"a margin of {GOOD_MARGIN:g}, which triplets can meet",
        meanings.of_margin,
        steps=24,
        tokens=64,
    )


def _repeats() -> Entry:
    """The same question in several rows of a batch."""
    card = {"model": "sentence-transformers/all-MiniLM-L12-v2", "loss": "MultipleNegativesRankingLoss", "scale": 20.0,
            "rows": 2764, "batch size": 16, "epochs": 3, "logged loss": 0.2354, "logged at step": 500}  # fmt: skip
    model, said = _model(str(card["model"]), 128)
    rows = load("glossary/qa")
    recipe = _of_fit("glossary/qa", rows, model, Loss("MultipleNegativesRankingLoss", scale=card["scale"]))
    return Entry(
        "001",
        TITLES["001"],
        card,
        (*said, _rows_said(card, len(rows), "a question with each of its definitions"), FIT_SAID),
        recipe,
        recipe.changed(batch_sampler="no_duplicates", **_seen()),
        "no_duplicates keeps rows with the same question in different batches",
        meanings.of_repeats,
        steps=30,
    )


def _one_step() -> Entry:
    """Four rows, one step, and a step that is too small to see."""
    card = {"model": "sentence-transformers/all-mpnet-base-v2", "loss": "__main__.SEF1MSE, tagged as MSELoss", "rows": 4,
            "batch size": 4, "steps": 1, "optimizer": "SGD", "learning rate": 5e-5, "clip": 2.0, "precision": "fp16"}  # fmt: skip
    model, said = _model(str(card["model"]), 384)
    long = tables.documents("train", passages=tables.PASSAGES_IN_A_DOCUMENT)
    whole = tables.documents("train", passages=1)
    own = Loss("SoftF1MSE", source=OWN_LOSS.read_text(encoding="utf-8"))
    recipe = Recipe(
        loss=own,
        data=long.spec.model_copy(update={"rows": card["rows"]}),
        eval_data=tables.documents("test", passages=1),
        optimizer="sgd",
        scheduler="constant",
        learning_rate=card["learning rate"],
        warmup=0,
        max_grad_norm=card["clip"],
        precision="fp16",
        epochs=1,
        batch_size=card["batch size"],
        **{**model, **DEFAULTS},
    )
    mended = recipe.changed(
        data=whole,
        optimizer="adamw",
        learning_rate=2e-5,
        scheduler="linear",
        warmup=0.1,
        max_grad_norm=1.0,
        precision="auto",
        **_seen(),
    )
    return Entry(
        "002",
        TITLES["002"],
        card,
        (
            *said,
            "the author's loss is not in the card: a loss of its kind, a squared error and a soft F1 score, is used",
        ),
        recipe,
        mended,
        f"AdamW with warm-up, {len(whole):,} rows of single passages that fit into the limit, full precision where there is no GPU",
        meanings.of_one_step,
        steps=24,
    )


def _broken_texts() -> Entry:
    """Sentences out of PDF files, with broken encodings and fragments."""
    card = {"model": "sentence-transformers/all-MiniLM-L6-v2", "loss": "MultipleNegativesRankingLoss", "scale": 20.0,
            "rows": 3584, "batch size": 16, "epochs": 3, "logged loss": 2.7346, "logged at step": 500}  # fmt: skip
    model, said = _model(str(card["model"]), 256)
    broken = tables.broken_sentences()
    better = repair(broken, least_words=SENTENCE_WORDS)
    whole = tables.kept("mended-sentences", {name: better.examples.column(name) for name in broken.texts})
    recipe = _of_fit("glossary/sentences", broken, model, Loss("MultipleNegativesRankingLoss", scale=card["scale"]))
    return Entry(
        "003",
        TITLES["003"],
        card,
        (*said, _rows_said(card, len(broken), "a sentence and the next, broken on purpose"), FIT_SAID),
        recipe,
        recipe.changed(data=whole, batch_sampler="no_duplicates", **_seen()),
        f"{len(better.mended):,} rows with broken signs repaired, {len(better.left_out):,} rows with a text of fewer than {SENTENCE_WORDS} words left out; no text twice in a batch, as the next sentence of one row is the first of another; batches split by length, so that a few endless texts do not fill them with padding",
        meanings.of_broken_texts,
        steps=30,
    )


def _zero_weights() -> Entry:
    """A model whose vectors are all zero."""
    card = {"model": "a BERT of 50 dimensions from scratch", "loss": "MultipleNegativesRankingLoss", "rows": 10_000,
            "evaluation rows": 1000, "batch size": 128, "epochs": 1, "precision": "fp16", "logged evaluation loss": 5.2666,
            "logged how often": 8, "Spearman and Pearson": "NaN"}  # fmt: skip
    rows = tables.definitions()
    recipe = Recipe(
        model=str(zero_bert()),
        max_seq_length=POSITIONS,
        loss=Loss("MultipleNegativesRankingLoss"),
        data=rows,
        eval_data=DataSpec(source="glossary/graded", split="test"),
        batch_size=card["batch size"],
        batch_sampler="no_duplicates",
        epochs=1,
        learning_rate=5e-5,
        warmup=0.1,
        precision="fp16",
        eval_steps=10,
        split_by_length=False,
    )
    mended = recipe.changed(
        model=DEFAULT_MODEL, max_seq_length=256, batch_size=16, learning_rate=2e-5, precision="auto", **_seen()
    )
    return Entry(
        "004",
        TITLES["004"],
        card,
        (
            _rows_said(card, len(rows), "definition, another of the same term, one of another term"),
            "its weights are not at hand: a BERT of 50 dimensions whose weights are all zero stands in for it",
        ),
        recipe,
        mended,
        f"a base model whose weights are there, {DEFAULT_MODEL}, and batches of {mended.batch_size}, which give enough steps",
        meanings.of_zero_weights,
        steps=24,
        tokens=64,
    )


def _seen() -> dict[str, object]:
    """What a mended recipe leaves to its defaults: how often loss, scores and checkpoints are seen, splitting by length."""
    return {name: Recipe.model_fields[name].default for name in DEFAULTS}


def _rows_said(card: dict[str, object], rows: int, what: str) -> str:
    return f"{rows:,} rows made from the glossary ({what}) stand in for {card['rows']:,} rows"


BUILD: dict[str, Callable[[], Entry]] = {
    "000": _margin,
    "001": _repeats,
    "002": _one_step,
    "003": _broken_texts,
    "004": _zero_weights,
}
