"""What a panel says of a try, in words and as escaped HTML."""

from __future__ import annotations

from html import escape

from workbench.plots.scores import scores_figure
from workbench.plots.svg import svg
from workbench.recipe import Loss, Recipe
from workbench.training.adapter import ENCODING, RESAMPLES, TRAINING, Try
from workbench.widgets.table import cut, table


def words(made: Try) -> str:
    """What was tried, in a line."""
    recipe = made.recipe
    return f"{_loss(recipe.loss)}, rate {recipe.learning_rate:g}, {made.steps} steps of {recipe.batch_size}"


def _loss(loss: Loss) -> str:
    given = (f"{key} {_loss(value) if isinstance(value, Loss) else value}" for key, value in loss.parameters.items())
    return f"{loss.name} ({', '.join(given)})" if loss.parameters else loss.name


def doing(phase: str, done: int, total: int, trial: Recipe) -> str:
    """What a try is doing; empty where that is not told."""
    if phase == ENCODING:
        return f"Encoding the texts once, {done:,} of {total:,} …"
    if phase == TRAINING:
        return f"Training a linear adapter with {trial.loss.name}, step {done:,} of {total:,} …"
    return ""


def result(made: Try) -> str:
    """The primary score and its change, or why there is none."""
    change = made.change
    if change is None:
        return "no rows are held out, so nothing was scored"
    name = change.after.primary
    return f"{name} {change.after.scores[name]}, change {change.delta[name]}"


def line(place: int, made: Try) -> str:
    """A try in a list, with its primary score where it has one."""
    value = None if made.change is None else made.change.after.scores[made.change.after.primary].value
    shown = "" if value is None else f": {value:.4f}"
    return cut(f"{place + 1}{shown}  {words(made)}", 160)


def scores_html(made: Try) -> str:
    """What was trained, and all scores before and after with their differences."""
    weights = f"{made.weights:,} weights of a linear map, {made.steps} steps in {made.seconds:.1f} s; the model itself is frozen"
    note = f". {made.note}" if made.note else ""
    about = f"<div class='wb-soft'>{escape(words(made))}: {escape(weights)}{escape(note)}</div>"
    change = made.change
    if change is None:
        return f"{about}<div>{escape(result(made))}</div>"
    rows = [
        [name, str(change.before.scores[name]), str(score), str(change.delta[name])]
        for name, score in change.after.scores.items()
    ]
    caption = f"On {change.after.note}. In brackets 95% bootstrap intervals ({RESAMPLES} resamples); a difference whose interval holds zero is within the noise."
    drawn = svg(scores_figure(made.to_json()["scores"], title="Frozen model and adapter"), width=560)
    return about + drawn + table(["score", "before", "after", "difference"], rows, caption=caption)
