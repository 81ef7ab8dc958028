"""Labels and scores: do they vary, can they be reached, and do the classes meet?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from workbench.checks.case import Case, listed, percent
from workbench.checks.codes import finds
from workbench.checks.finding import Finding
from workbench.checks.fitting import places_for
from workbench.data.examples import cut_text
from workbench.steps import rows_in_groups

REACH = {"CosineSimilarityLoss": 1.0, "MarginMSELoss": 2.0}  # largest size of what unit vectors can give
OFTEN = 0.05


@finds(
    "labels-all-equal", "error", when="all rows have the same class or score",
    why="The pull towards one class or score alone moves all texts to one place: nothing else holds them apart.",
)  # fmt: skip
def labels_vary(case: Case) -> Iterator[Finding]:
    """There is more than one class or score."""
    if case.label_kind not in ("class", "binary", "score") or case.rows < 2 or (case.labels != case.labels[0]).any():
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
        evidence={"distinct": 1, "rows": case.rows},
    )


@finds(
    "scores-out-of-reach", "error", "warning", when="scores lie outside what cosines (CosineSimilarityLoss) or unit vectors (MarginMSELoss) can give; a warning below 5% of them",
    why="Targets that are out of reach push all pairs to the same end, so that the order of the scores is lost; scores of 0 to 5 want to be divided by 5.",
    fix="takes CoSENTLoss, which uses only the order of the scores; none for MarginMSELoss",
)  # fmt: skip
def scores_can_be_reached(case: Case) -> Iterator[Finding]:
    """Scores are within what cosines or margins can be."""
    reach = REACH.get(case.loss.name)
    if reach is None or case.label_kind not in ("binary", "score", "scores"):
        return
    scores = np.asarray(case.labels, dtype=float)
    if case.loss.name == "MarginMSELoss":
        if not case.model.normalized and "cos" not in str(case.values["similarity_fct"]):
            return
        if scores.ndim == 2 and scores.shape[1] == len(case.train.texts) - 1:
            scores = scores[:, :1] - scores[:, 1:]  # k + 1 scores of the teacher: its k margins
    outside = np.abs(scores) > reach
    if not outside.any():
        return
    floor = float(np.mean((scores - scores.clip(-reach, reach)) ** 2))
    yield case.finding(
        "scores-out-of-reach",
        "error" if outside.mean() >= OFTEN else "warning",
        f"Scores run from {scores.min():g} to {scores.max():g}, but {case.loss.name} compares them with numbers from {-reach:g} to {reach:g}: {percent(float(outside.mean()))} cannot be reached, and the loss never falls below {floor:.3g}.",
        evidence={"lowest": float(scores.min()), "highest": float(scores.max()), "share_outside": float(outside.mean()), "least_loss": floor},
        fixed="take CoSENTLoss, which uses only the order of the scores",
        mends=case.loss.name == "CosineSimilarityLoss",
        loss=case.with_loss("CoSENTLoss"),
    )  # fmt: skip


@finds(
    "teacher-out-of-reach", "warning", when="the teacher's scores differ by more than those of unit vectors can, at these temperatures, in 5% of the rows or more",
    why="Cosines differ by 2 at most: where the teacher is surer than that, the student is pushed to extremes and the order of close answers is lost.",
    fix="lowers `student_temperature` until 95% of the rows can be followed",
)  # fmt: skip
def teacher_can_be_followed(case: Case) -> Iterator[Finding]:
    """DistillKLDivLoss on unit vectors: the student can be as sure as its teacher."""
    if case.loss.name != "DistillKLDivLoss" or case.label_kind != "scores":
        return
    if not case.model.normalized and "cos" not in str(case.values["similarity_fct"]):
        return
    shared = case.values["temperature"]
    teacher, student = (case.values[f"{who}_temperature"] or shared for who in ("teacher", "student"))
    spread = (case.labels.max(axis=1) - case.labels.min(axis=1)) / teacher
    beyond = float((spread > 2 / student).mean())
    if beyond < OFTEN:
        return
    good = float(f"{2 / np.quantile(spread, 1 - OFTEN / 2):.3g}")
    yield case.finding(
        "teacher-out-of-reach",
        "warning",
        f"In {percent(beyond)} of the rows the teacher's scores differ by more than the {2 / student:.3g} that cosines can reach at student temperature {student:g}.",
        evidence={"share_of_rows": beyond, "largest_difference": float(spread.max()), "reach": 2 / student},
        fixed=f"set student_temperature to {good:g}",
        loss=case.with_parameters(student_temperature=good),
    )


@finds(
    "classes-rarely-meet", "warning", when="in random batches 5% of the rows or more meet no other row of their class",
    why="These losses build their triplets from the rows of a batch: without a second row of the class there is none.",
    fix="sets `batch_sampler` to group_by_label",
)  # fmt: skip
@finds(
    "batches-of-one-class", "warning", when="5% of random batches or more hold a single class",
    why="These losses build their triplets from the rows of a batch: without a second class there is no negative.",
    fix="sets `batch_sampler` to group_by_label",
)  # fmt: skip
def classes_meet(case: Case) -> Iterator[Finding]:
    """With a loss that compares rows of a batch by their class, a row meets another one of its class."""
    if case.info.sampler != "group_by_label" or case.label_kind not in ("class", "binary"):
        return
    if case.recipe.batch_sampler == "group_by_label":
        return
    sizes = np.unique(case.labels, return_counts=True)[1]
    if len(sizes) < 2:
        return
    batch = min(case.recipe.batch_size, case.rows)
    alone = float((sizes / case.rows * _alone(case.rows, sizes, batch)).sum())
    single = float((sizes / case.rows * _all(case.rows, sizes, batch)).sum())
    size = max(4, case.recipe.batch_size + case.recipe.batch_size % 2)
    fix: dict[str, Any] = {"fixed": "set batch_sampler to group_by_label", "mends": rows_in_groups(sizes.tolist()), "batch_sampler": "group_by_label", "batch_size": size}  # fmt: skip
    evidence = {"classes": len(sizes), "smallest_class": int(sizes.min()), "largest_class": int(sizes.max()), "batch_size": batch}  # fmt: skip
    if alone >= OFTEN:
        message = f"In random batches of {batch} about {percent(alone)} of the rows meet no other row of their class, so they have no positive and teach nothing."
        yield case.finding("classes-rarely-meet", "warning", message, evidence={**evidence, "share_of_rows_alone": alone}, **fix)  # fmt: skip
    if single >= OFTEN:
        message = f"About {percent(single)} of random batches of {batch} hold a single class, so they have no negative and teach nothing."
        yield case.finding("batches-of-one-class", "warning", message, evidence={**evidence, "share_of_batches": single}, **fix)  # fmt: skip


def _all(rows: int, sizes: np.ndarray, batch: int) -> np.ndarray:
    """Chance that a random batch with a row of a class of such a size holds nothing else. Shape (classes,)."""
    return _drawn(rows, sizes - 1, batch)


def _alone(rows: int, sizes: np.ndarray, batch: int) -> np.ndarray:
    """Chance that a row of a class of such a size meets none of its class in a random batch. Shape (classes,)."""
    return _drawn(rows, rows - sizes, batch)


def _drawn(rows: int, kind: np.ndarray, batch: int) -> np.ndarray:
    """Chance that all other places of a batch go to rows of one kind, of which there are so many. Shape (kinds,)."""
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + 1)))])  # as logarithms
    left = np.maximum(kind - (batch - 1), 0)
    chance = np.exp(factorial[kind] - factorial[left] - factorial[rows - 1] + factorial[rows - batch])
    return np.where(kind >= batch - 1, chance, 0.0)


GROUPS = "group_by_label puts two rows of a class at a time into a batch, from at least two classes."


@finds(
    "no-classes-to-group", "error", when="`batch_sampler` is group_by_label and there is no label", why=GROUPS,
    fix="takes the sampler that suits the loss",
)  # fmt: skip
@finds(
    "batch-not-even", "error", when="`batch_sampler` is group_by_label and `batch_size` is odd or below 4", why=GROUPS,
    fix="sets `batch_size` to the next even number",
)  # fmt: skip
@finds(
    "too-few-classes", "error", when="`batch_sampler` is group_by_label and fewer than two classes have two rows",
    why=GROUPS,
)  # fmt: skip
@finds("rows-left-out", "note", when="group_by_label leaves out over 10% of the rows in every epoch", why=GROUPS)
def classes_can_be_grouped(case: Case) -> Iterator[Finding]:
    """With batch_sampler group_by_label: there are classes, even batches, and few rows are left out."""
    if case.recipe.batch_sampler != "group_by_label":
        return
    size = case.recipe.batch_size
    if case.label_kind is None:
        yield case.finding(
            "no-classes-to-group",
            "error",
            f"batch_sampler is group_by_label, but {case.name} has no label column, so the run will not start.",
            evidence={"label": "none"},
            fixed=f"set batch_sampler to {case.info.sampler}",
            mends=case.info.sampler != "group_by_label",
            batch_sampler=case.info.sampler,
        )
        return
    if size < 4 or size % 2:
        even = max(4, size + 1)
        yield case.finding(
            "batch-not-even",
            "error",
            f"group_by_label takes even batches of at least 4 rows, but batch_size is {size}, so the run will not start.",
            evidence={"batch_size": size, "measured_on": "the recipe"},
            fixed=f"set batch_size to {even}",
            batch_size=even,
        )
    if case.labels.ndim == 1:
        yield from _left_out(case)


def _left_out(case: Case) -> Iterator[Finding]:
    sizes = np.unique(case.labels, return_counts=True)[1]
    used = rows_in_groups(sizes.tolist())
    evidence = {
        "classes": len(sizes),
        "classes_of_one_row": int((sizes < 2).sum()),
        "largest_class": int(sizes.max()),
        "rows_used": used,
    }
    if used == 0:
        message = f"group_by_label needs two classes with two rows or more, but {case.name} has {int((sizes >= 2).sum())}, so the run will not start."
        yield case.finding("too-few-classes", "error", message, evidence=evidence)
    elif used < 0.9 * case.rows:
        message = f"group_by_label leaves out {case.rows - used:,} of {case.rows:,} rows in every epoch: odd ones, classes of one row, and what the largest class has more than the second."
        yield case.finding("rows-left-out", "note", message, evidence=evidence)


@finds(
    "too-few-places-for-classes", "error", when="a class has a number that `num_labels` has no place for",
    why="Classes are counted from 0: the highest number plus one is the number of places.", fix="raises `num_labels`, unless the labels are numbers of another kind, far above the number of rows",
)  # fmt: skip
def classes_are_counted(case: Case) -> Iterator[Finding]:
    """SoftmaxLoss has a place for every class."""
    classes = case.loss.parameters.get("num_labels")
    if classes is None or case.label_kind not in ("class", "binary") or (highest := int(case.labels.max())) < classes:
        return
    mends = places_for(highest, case.rows)
    yield case.finding(
        "too-few-places-for-classes",
        "error",
        f"{case.loss.name} has places for {classes} classes, but the label {highest} occurs, so the run will stop.",
        evidence={"num_labels": classes, "highest_label": highest},
        fixed=f"set num_labels to {highest + 1}",
        mends=mends,
        loss=case.with_parameters(num_labels=highest + 1) if mends else None,
    )


@finds(
    "contradicting-labels", "warning", "note", when="the same texts stand in several rows with different classes; a warning from 1% of the rows",
    why="No model can answer both, and a loss of classes pulls such texts both ways: look at these rows, and keep one label.",
)  # fmt: skip
def labels_agree(case: Case) -> Iterator[Finding]:
    """Rows with the same texts have the same class."""
    if case.label_kind not in ("class", "binary"):
        return
    group = np.unique(case.texts.whole, return_inverse=True)[1]
    classes = np.unique(case.labels, return_inverse=True)[1]
    pairs = np.unique(group * case.rows + classes) // case.rows
    torn = np.flatnonzero(np.bincount(pairs)[group] > 1)
    if not len(torn):
        return
    yield case.finding(
        "contradicting-labels",
        "warning" if len(torn) >= 0.01 * case.rows else "note",
        f"{len(torn):,} of {case.rows:,} rows have the same texts as another row, but another class (row {listed(torn)}).",
        evidence={"rows": len(torn), "share": len(torn) / case.rows, "texts": len(np.unique(group[torn]))},
    )
