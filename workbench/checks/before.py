"""Check a recipe before it runs: load its rows, count their tokens, and look. Torch only in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workbench.checks import (
    batches,
    columns,
    cost,
    course,
    evaluation,
    geometry,
    labels,
    limits,
    losses,
    model,
    texts,
    vocabulary,
)
from workbench.checks.case import Case, Progress
from workbench.checks.finding import Finding, Findings
from workbench.checks.trial import tried
from workbench.errors import RecipeError
from workbench.recipe import Recipe

Check = Callable[[Case], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    model.texts_go_one_way,
    model.weights_can_work,
    model.weights_are_whole,
    model.revision_is_here,
    losses.suits_the_table,
    losses.loss_suits_the_model,
    losses.lora_suits_the_model,
    losses.other_models_are_there,
    losses.dimensions_are_there,
    losses.teacher_has_the_dimension,
    losses.batches_suit_the_loss,
    labels.labels_vary,
    labels.labels_agree,
    labels.scores_can_be_reached,
    labels.teacher_can_be_followed,
    labels.classes_are_counted,
    labels.classes_can_be_grouped,
    labels.classes_meet,
    columns.questions_are_anchors,
    columns.text_columns_hold_texts,
    limits.limit_is_possible,
    limits.a_limit_is_known,
    vocabulary.texts_can_be_padded,
    vocabulary.tokenizer_belongs_to_the_model,
    vocabulary.words_are_known,
    batches.enough_steps,
    batches.batches_hold_negatives,
    batches.equal_texts_stay_apart,
    batches.near_texts_are_written_alike,
    batches.batches_can_be_filled,
    geometry.margin_can_be_met,
    geometry.scale_can_tell_apart,
    geometry.similarities_agree,
    course.rate_suits_the_model,
    course.steps_move_the_weights,
    course.warmup_ends,
    limits.texts_fit,
    texts.texts_are_not_empty,
    texts.texts_say_something,
    texts.texts_are_decoded,
    texts.texts_of_a_row_differ,
    limits.prompts_are_used,
    evaluation.evaluation_is_new,
    evaluation.evaluation_is_not_nearly_seen,
    evaluation.there_is_an_evaluation,
    course.something_is_seen,
    course.precision_suits_the_device,
    course.first_steps_count,
    cost.memory_is_enough,
    cost.padding_is_little,
    cost.scores_are_cheap,
)
# Of no use where the loss has to be changed anyway.
OF_THE_LOSS: tuple[Check, ...] = (
    losses.teacher_has_the_dimension,
    losses.batches_suit_the_loss,
    labels.labels_vary,
    labels.scores_can_be_reached,
    labels.teacher_can_be_followed,
    labels.classes_are_counted,
    labels.classes_meet,
    columns.questions_are_anchors,
    batches.batches_hold_negatives,
    batches.equal_texts_stay_apart,
    batches.near_texts_are_written_alike,
    geometry.margin_can_be_met,
    geometry.scale_can_tell_apart,
    geometry.similarities_agree,
)

# Of no matter where the model is frozen and only a map of its vectors is trained.
OF_A_MODEL_IN_TRAINING: tuple[Check, ...] = (
    losses.loss_suits_the_model,
    course.steps_move_the_weights,
    cost.padding_is_little,
    cost.scores_are_cheap,
)


def check(recipe: Recipe, *, batch: bool | None = None, progress: Progress | None = None) -> Findings:
    """What is or will be wrong with a recipe, the worst first.

    Args:
        recipe: what would be run.
        batch: whether one batch is tried, in another process: a few texts encoded, one forward and one backward pass,
            no step. None tries it unless the weights are the verified ones of the catalogue and the loss is the
            library's, or something was found that has to be mended first.
        progress: called with (what is done, rows done, rows in all or None) while it works. An exception that it
            raises stops the check.

    Returns:
        Findings; each has `.fix()`, a changed recipe. Empty where all checks found nothing.

    Raises:
        RecipeError: no recipe, `batch` is neither yes nor no, or a prompt for a column that is not there.
        DataError: a table cannot be read or used.
        ModelError: the model is not known, not here, or damaged.
    """
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"expected a Recipe, got {type(recipe).__name__}; read a file with Recipe.from_yaml(path)")
    case = Case.of(recipe, progress or (lambda *_: None))
    idle = (OF_THE_LOSS if case.misfit else ()) + (OF_A_MODEL_IN_TRAINING if recipe.method == "adapter" else ())
    if found := list(model.texts_go_one_way(case)):
        return Findings(found, about=f"1 check of {recipe.model}; the others need the one tokenizer of all its texts")
    looks = [look for look in CHECKS if look not in idle]
    found = [finding for look in looks for finding in look(case)]
    more, said = tried(case, batch, found)
    about = _about(case, len(looks))
    return Findings([*found, *more], about=f"{about}; {said}" if said else about)


def _about(case: Case, looks: int) -> str:
    held = f" and {len(case.evaluation):,} evaluation rows" if case.evaluation is not None else ""
    unread = [f"weights stored as {form}" for form in case.stored.unread]
    unread += ["unknown words, since the tokenizer does not tell them"] if case.texts.unknown_of is None else []
    left = f"; not looked at: {', '.join(unread)}" if unread else ""
    return f"{looks} checks of model, loss, labels, batches, course, texts, evaluation and cost on {case.rows:,} training rows{held} of {case.name} with {case.recipe.model}{left}"
