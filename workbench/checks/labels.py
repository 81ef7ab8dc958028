"""Labels and scores: do they vary, can they be reached, and do the classes meet?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.checks.case import Case, percent
from workbench.checks.finding import Finding
from workbench.data.examples import cut_text

MEASURED = "The pull towards one class or score alone moves all texts to one place: nothing else holds them apart."
REACH = {"CosineSimilarityLoss": 1.0, "MarginMSELoss": 2.0}  # largest size of what unit vectors can give
ALONE = 0.05


def labels_vary(case: Case) -> Iterator[Finding]:
    """There is more than one class or score."""
    if (
        case.label_kind not in ("class", "binary", "score")
        or case.rows < 2
        or not (case.labels == case.labels[0]).all()
    ):
        return
    column = str(case.train.label)
    what = "score" if case.train.roles[column] == "score" else "class"
    value = case.labels[0]
    names = case.train.label_names
    shown = cut_text(str(names[int(value)]), 40) if names else f"{value:g}"
    still = "CoSENT" in case.loss.name or "AnglE" in case.loss.name or case.info.sampler == "group_by_label"
    result = (
        "the loss has no gradient and nothing is learnt" if still else "the model learns to answer that for all texts"
    )
    yield case.finding(
        "labels-all-equal",
        "error",
        f"All {case.rows:,} rows have the {what} {shown!r} in {cut_text(column, 40)!r}, so {result}.",
        why=MEASURED,
        evidence={"distinct": 1, "rows": case.rows},
    )


def scores_can_be_reached(case: Case) -> Iterator[Finding]:
    """Scores are within what cosines or margins can be."""
    reach = REACH.get(case.loss.name)
    if reach is None or case.label_kind not in ("binary", "score", "scores"):
        return
    scores = np.asarray(case.labels, dtype=float)
    if case.loss.name == "MarginMSELoss":
        if not case.model.normalized:
            return
        if scores.ndim == 2 and scores.shape[1] == len(case.train.texts) - 1:
            scores = scores[:, :1] - scores[:, 1:]  # k + 1 scores of the teacher: its k margins
    outside = np.abs(scores) > reach
    if not outside.any():
        return
    floor = float(np.mean((scores - scores.clip(-reach, reach)) ** 2))
    new = {"loss": case.with_loss("CoSENTLoss")} if case.loss.name == "CosineSimilarityLoss" else {}
    yield case.finding(
        "scores-out-of-reach",
        "error",
        f"Scores run from {scores.min():g} to {scores.max():g}, but {case.loss.name} compares them with numbers from {-reach:g} to {reach:g}: {percent(float(outside.mean()))} cannot be reached, and the loss never falls below {floor:.3g}.",
        why="Targets that are out of reach push all pairs to the same end, so that the order of the scores is lost; scores of 0 to 5 want to be divided by 5.",
        evidence={"lowest": float(scores.min()), "highest": float(scores.max()), "share_outside": float(outside.mean()), "least_loss": floor},
        fixed="take CoSENTLoss, which uses only the order of the scores" if new else "",
        **new,
    )  # fmt: skip


def classes_meet(case: Case) -> Iterator[Finding]:
    """With a loss that compares rows of a batch by their class, a row meets another one of its class."""
    if case.info.sampler != "group_by_label" or case.label_kind not in ("class", "binary"):
        return
    if case.recipe.batch_sampler == "group_by_label":
        return
    counts = np.bincount(case.labels)
    sizes = counts[counts > 0]
    alone = float((sizes * _alone(case.rows, sizes, min(case.recipe.batch_size, case.rows))).sum() / case.rows)
    if alone < ALONE or len(sizes) < 2:
        return
    pairs = _usable(sizes)
    size = max(4, case.recipe.batch_size + case.recipe.batch_size % 2)
    yield case.finding(
        "classes-rarely-meet",
        "warning",
        f"In random batches of {case.recipe.batch_size} about {percent(alone)} of the rows meet no other row of their class, so they have no positive and teach nothing.",
        why="These losses build their triplets from the rows of a batch: without a second row of the class there is none.",
        evidence={"classes": len(sizes), "smallest_class": int(sizes.min()), "largest_class": int(sizes.max()), "batch_size": case.recipe.batch_size, "share_of_rows_alone": alone},
        fixed="set batch_sampler to group_by_label" if pairs else "",
        **({"batch_sampler": "group_by_label", "batch_size": size} if pairs else {}),
    )  # fmt: skip


def _alone(rows: int, sizes: np.ndarray, batch: int) -> np.ndarray:
    """Chance that a row of a class of such a size meets none of its class in a random batch. Shape (classes,)."""
    # one after another, the other places of the batch go to rows of other classes
    places = np.arange(batch - 1)[:, None]
    return np.prod(np.clip((rows - sizes[None, :] - places) / (rows - 1 - places), 0, 1), axis=0)


def _usable(sizes: np.ndarray) -> int:
    """Rows of an epoch that group_by_label uses: pairs in turns, until fewer than two classes are left."""
    pairs = np.sort(sizes[sizes >= 2] // 2)[::-1]
    return int(2 * np.minimum(pairs, pairs[1]).sum()) if len(pairs) > 1 else 0


def classes_can_be_grouped(case: Case) -> Iterator[Finding]:
    """With batch_sampler group_by_label: there are classes, even batches, and few rows are left out."""
    if case.recipe.batch_sampler != "group_by_label":
        return
    size = case.recipe.batch_size
    why = "group_by_label puts two rows of a class at a time into a batch, from at least two classes."
    if case.label_kind is None:
        yield case.finding(
            "no-classes-to-group",
            "error",
            f"batch_sampler is group_by_label, but {case.name} has no label column, so the run will not start.",
            why=why,
            evidence={"label": "none"},
            fixed=f"set batch_sampler to {case.info.sampler}" if case.info.sampler != "group_by_label" else "",
            **({"batch_sampler": case.info.sampler} if case.info.sampler != "group_by_label" else {}),
        )
        return
    if size < 4 or size % 2:
        even = max(4, size + 1)
        yield case.finding(
            "batch-not-even",
            "error",
            f"group_by_label takes even batches of at least 4 rows, but batch_size is {size}, so the run will not start.",
            why=why,
            evidence={"batch_size": size, "measured_on": "the recipe"},
            fixed=f"set batch_size to {even}",
            batch_size=even,
        )
    if case.labels.ndim == 1:
        yield from _left_out(case, why)


def _left_out(case: Case, why: str) -> Iterator[Finding]:
    sizes = np.unique(case.labels, return_counts=True)[1]
    used = _usable(sizes)
    evidence = {
        "classes": len(sizes),
        "classes_of_one_row": int((sizes < 2).sum()),
        "largest_class": int(sizes.max()),
        "rows_used": used,
    }
    if used == 0:
        message = f"group_by_label needs two classes with two rows or more, but {case.name} has {int((sizes >= 2).sum())}, so the run will not start."
        yield case.finding("too-few-classes", "error", message, why=why, evidence=evidence)
    elif used < 0.9 * case.rows:
        message = f"group_by_label leaves out {case.rows - used:,} of {case.rows:,} rows in every epoch: odd ones, classes of one row, and what the largest class has more than the second."
        yield case.finding("rows-left-out", "note", message, why=why, evidence=evidence)


def classes_are_counted(case: Case) -> Iterator[Finding]:
    """SoftmaxLoss has a place for every class."""
    classes = case.loss.parameters.get("num_labels")
    if classes is None or case.label_kind not in ("class", "binary") or (highest := int(case.labels.max())) < classes:
        return
    yield case.finding(
        "too-few-places-for-classes",
        "error",
        f"{case.loss.name} has places for {classes} classes, but the label {highest} occurs, so the run will stop.",
        why="Classes are counted from 0: the highest number plus one is the number of places.",
        evidence={"num_labels": classes, "highest_label": highest},
        fixed=f"set num_labels to {highest + 1}",
        loss=case.with_loss(case.loss.name, **{**case.loss.parameters, "num_labels": highest + 1}),
    )
