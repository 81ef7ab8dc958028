"""Comparing two models on one table, in steps for somebody who waits. It imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from workbench.data.distinct import colour_choices, distinct_texts, labels_of
from workbench.data.load import load
from workbench.data.prepare import task_of, unscorable
from workbench.errors import ModelError
from workbench.spaces import evaluate as scores
from workbench.spaces.compare import neighbour_change, rows_to_score
from workbench.spaces.comparison import Comparison
from workbench.spaces.displacement import displacement
from workbench.spaces.evaluate import Change, Evaluation
from workbench.spaces.project import check_count, check_seed, part_of
from workbench.spaces.similarity import similarity
from workbench.spaces.stages import Call, embed_in_pieces, laid_out, model_source, recipe_of, sampled

if TYPE_CHECKING:
    from workbench.data.examples import Examples

UP_TO = 10_000
IN_MATRIX = 8
Tell = Callable[[str, int, int | None], None]


@overload
def compare(before: Evaluation, after: Evaluation, *, seed: int = 0, resamples: int = 1000) -> Change: ...


@overload
def compare(
    before: Any, after: Any, data: Any = None, *, seed: int = 0, resamples: int = 1000, limit: int = UP_TO
) -> Comparison: ...


def compare(
    before: Any, after: Any, data: Any = None, *, seed: int = 0, resamples: int = 1000, limit: int = UP_TO
) -> Change:
    """Compare two models on the same table; of two evaluations compare the scores alone.

    Args:
        before: a model as for `embed`, or an evaluation; None takes the base model of the run given as `after`.
        after: a model as for `embed`, or an evaluation.
        data: a table, or anything that `load` takes, of which the held-out part is taken where there is one; None
            takes the rows that the run held out.
        seed: of maps, samples and the bootstrap.
        resamples: bootstrap resamples; 0 gives no intervals.
        limit: above so many distinct texts a seeded sample is drawn and its neighbours compared.

    Returns:
        For models a `Comparison`; for evaluations a `Change`, which has the same scores and rows.

    Raises:
        DataError: there is no table, or the two evaluations are not of the same table.
        ModelError: a model is none, or cannot be found.
    """
    if isinstance(before, Evaluation) or isinstance(after, Evaluation):
        return scores.compare(before, after, seed=seed, resamples=resamples)
    *_, made = comparing(before, after, data, seed=seed, resamples=resamples, limit=limit)
    return made


def _here(function: Callable[..., Any], *given: Any, **options: Any) -> Any:
    return function(*given, **options)


def comparing(
    before: Any,
    after: Any,
    data: Any = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
    limit: int = UP_TO,
    call: Call = _here,
    tell: Tell = lambda phase, done, total: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> Iterator[Comparison]:
    """As `compare`, while somebody waits: scores first, then the maps, then neighbours, then all.

    Args:
        before: as for `compare`.
        after: as for `compare`.
        data: as for `compare`.
        seed: as for `compare`.
        resamples: as for `compare`.
        limit: as for `compare`.
        call: calls a function somewhere else and waits for the result: `engine().call`.
        tell: called with (phase, done, total).
        goes_on: asked between the steps; False ends it.
    """
    check_seed(seed)
    check_count(limit, "limit", "text", f"{UP_TO:,} is usual")
    check_count(resamples, "resamples", "resamples", "1000 is usual, 0 gives no intervals", least=0)
    models, examples, note = _chosen(before, after, data)
    made = _scored(models, examples, note, seed, resamples, call, tell, goes_on)
    if made is None:
        return
    yield made
    everything = distinct_texts(examples)
    texts = sampled(everything, limit, seed)
    spaces = []
    for model in models:

        def on(done: int, total: int, model: Any = model) -> bool:
            tell(f"Encoding {total:,} texts with {name_of(model)}", done, total)
            return goes_on()

        space = embed_in_pieces(call, texts, model, goes_on=on)
        if space is None:
            return
        spaces.append(space)
    first, second = spaces
    tell(f"Laying out {len(texts):,} texts of both models with UMAP", 0, None)
    base = laid_out(call, first, seed=seed)
    maps = base, laid_out(call, second, seed=seed, start=base.xy)
    part = "" if len(texts) == len(everything) else f", a sample of {len(everything):,} with seed {seed}"
    about = f"{made.about}; maps and neighbours of {len(texts):,} distinct texts{part}"
    colour = next(iter(colour_choices(examples)), "")
    labels = labels_of(examples, texts, colour) if colour else None
    made = replace(made, maps=maps, labels=labels, colour=colour, about=about, sampled=bool(part))
    if not goes_on():
        return
    yield made
    tell("Comparing neighbours", 0, None)
    found = call(neighbour_change, first, second)
    made = replace(made, neighbours=found)
    rows = np.asarray(_telling(made), dtype=np.int64)
    made = replace(made, similarity=(similarity(part_of(first, rows)), similarity(part_of(second, rows))))
    if not goes_on():
        return
    yield made
    tell("Laying out the first model with other seeds, to know the noise", 0, None)
    made = replace(made, displacement=displacement(maps, found, call=call))
    if goes_on():
        yield made


def name_of(model: Any) -> str:
    """A model in a sentence: its name, the folder of a run, or the class of an object."""
    if not isinstance(model, str | Path):
        return type(model).__name__
    path = Path(model)
    return path.parent.name if path.name == "model" and path.parent.name else str(model)


def base_of(before: Any, after: Any) -> Any:
    """The model to compare with: the base of a run where none is given."""
    recipe = recipe_of(after) if before is None else None
    return before if recipe is None else recipe.model


def _chosen(before: Any, after: Any, data: Any) -> tuple[list[Any], Examples, str]:
    """(both models, the rows to score, what has to be known of them)."""
    before = base_of(before, after)
    for model, which in ((before, "before"), (after, "after")):
        if model is None:
            raise ModelError(f"expected two models to compare, got none for {which}; give a name, a folder or a run")
    table = data if data is None or hasattr(data, "to_training") else load(data)
    loaded = [not isinstance(model, str) and hasattr(model, "encode") for model in (before, after)]
    models = [model if is_one else model_source(model) for model, is_one in zip((before, after), loaded, strict=True)]
    return models, *rows_to_score(table, recipe_of(after) or recipe_of(before))


def _scored(
    models: list[Any],
    examples: Examples,
    note: str,
    seed: int,
    resamples: int,
    call: Call,
    tell: Tell,
    goes_on: Callable[[], bool],
) -> Comparison | None:
    """The scores of both models; a table that none can be had of gives none, and says why."""
    part = f" ({examples.split})" if examples.split else ""
    about = ", ".join(filter(None, [f"{len(examples):,} rows of {examples.name}{part}", note]))
    if task_of(examples) is None:
        why = unscorable(examples)
        first, second = (Evaluation("none", name_of(model), len(examples), {}, "", why, {}, (), "") for model in models)
        return Comparison(first, second, {}, (), (), about)
    found = []
    for model in models:
        tell(f"Scoring {name_of(model)} on {len(examples):,} rows of {examples.name}", 0, None)
        found.append(call(scores.evaluate, model, examples, seed=seed, resamples=resamples))
        if not goes_on():
            return None
    change = call(scores.compare, *found, seed=seed, resamples=resamples)
    if change.after.rows < len(examples):
        about = about.replace(f"{len(examples):,} rows", f"{change.after.rows:,} of {len(examples):,} rows", 1)
    made = Comparison(**vars(_named(change, examples)), about=about)
    return made if goes_on() else None


def _named(change: Change, examples: Examples) -> Change:
    """Rows with the names of their labels, which the scores know as numbers."""
    names = examples.label_names
    if change.after.task != "labels" or names is None:
        return change

    def named(texts: tuple[str, ...]) -> tuple[str, ...]:
        text, label = texts
        return text, names[int(label)] if label.isdigit() and int(label) < len(names) else label

    gained, lost = ([(named(texts), a, b) for texts, a, b in units] for units in (change.gained, change.lost))
    after = replace(change.after, texts=[named(texts) for texts in change.after.texts])
    return replace(change, after=after, gained=gained, lost=lost)


def _telling(made: Comparison) -> list[int]:
    """Rows of a few texts for a matrix: of units that gained and lost in turn, each with one that belongs to it, then others."""
    place = {text: row for row, text in enumerate(made.texts)}
    turns = [unit for both in zip_longest(made.gained[:IN_MATRIX], made.lost[:IN_MATRIX]) for unit in both if unit]
    found: dict[int, None] = {}
    for texts, _, _ in turns:
        # several texts that belong to one stand in one string
        parts = [part for text in texts[1:] for part in (text, *text.split(" | ")) if part in place]
        found |= dict.fromkeys(place[text] for text in (texts[0], *parts[:1]) if text in place)
    assert made.neighbours is not None
    found |= dict.fromkeys([*made.neighbours.most(IN_MATRIX), *range(min(IN_MATRIX, len(made.texts)))])
    return list(found)[:IN_MATRIX]
