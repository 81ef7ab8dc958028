"""Check a recipe before it runs: load its rows, count their tokens, and look. No torch, no training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workbench.checks import batches, course, evaluation, labels, losses, texts
from workbench.checks.case import Case, Progress
from workbench.checks.finding import Finding, Findings
from workbench.errors import RecipeError
from workbench.recipe import Recipe

Check = Callable[[Case], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    losses.suits_the_table,
    labels.labels_vary,
    labels.scores_can_be_reached,
    labels.classes_are_counted,
    labels.classes_can_be_grouped,
    labels.classes_meet,
    texts.limit_is_possible,
    losses.dimensions_are_there,
    batches.enough_steps,
    batches.batches_hold_negatives,
    batches.equal_texts_stay_apart,
    batches.batches_can_be_filled,
    losses.margin_can_be_met,
    losses.scale_can_tell_apart,
    course.rate_suits_the_model,
    course.steps_move_the_weights,
    course.warmup_ends,
    texts.texts_fit,
    texts.texts_are_not_empty,
    texts.texts_of_a_row_differ,
    texts.prompts_are_used,
    evaluation.evaluation_is_new,
    evaluation.there_is_an_evaluation,
    course.something_is_seen,
    course.precision_suits_the_device,
)
# Of no use where the loss has to be changed anyway.
OF_THE_LOSS: tuple[Check, ...] = (
    labels.labels_vary,
    labels.scores_can_be_reached,
    labels.classes_are_counted,
    labels.classes_meet,
    batches.batches_hold_negatives,
    batches.equal_texts_stay_apart,
    losses.margin_can_be_met,
    losses.scale_can_tell_apart,
)


def check(recipe: Recipe, *, progress: Progress | None = None) -> Findings:
    """What is or will be wrong with a recipe, the worst first.

    Args:
        recipe: what would be run.
        progress: called with (what is done, rows done, rows in all or None) while it works. An exception that it
            raises stops the check.

    Returns:
        Findings; each has `.fix()`, a changed recipe. Empty where all checks found nothing.

    Raises:
        RecipeError: no recipe, or a prompt for a column that is not there.
        DataError: a table cannot be read or used.
        ModelError: the model is not known, not here, or damaged.
    """
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"expected a Recipe, got {type(recipe).__name__}; read a file with Recipe.from_yaml(path)")
    case = Case.of(recipe, progress or (lambda *_: None))
    looks = [look for look in CHECKS if case.misfit is None or look not in OF_THE_LOSS]
    found = [finding for look in looks for finding in look(case)]
    return Findings(found, about=_about(case, len(looks)))


def _about(case: Case, looks: int) -> str:
    held = f" and {len(case.evaluation):,} evaluation rows" if case.evaluation is not None else ""
    return f"{looks} checks of loss, labels, batches, course, texts and evaluation on {case.rows:,} training rows{held} of {case.name} with {case.recipe.model}"
