"""The recipe that a card of the workbench carries, against what the rest of the card says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.cards import read_parts as parts
from workbench.cards import read_recipe
from workbench.cards.read_outline import Section
from workbench.cards.read_record import Doubt, Said
from workbench.catalog import losses as catalog
from workbench.recipe import Loss, Recipe


def about_carried(card: Said, sections: Sequence[Section]) -> Iterator[Doubt]:
    """The recipe that a card carries against what the rest of the card says."""
    if card.how == "workbench" and card.recipe_text is None:
        yield Doubt(
            "recipe-missing",
            "The card was written by a workbench run but carries no recipe; it is put together from the rest of the card.",
            {},
        )
    if card.recipe_text is None:
        return
    carried = read_recipe.carried_recipe(card)
    if carried is None:
        yield Doubt(
            "recipe-damaged",
            "The card carries a recipe that is cut or damaged; it is put together from the rest of the card.",
            {"recipe": card.recipe_text[:200]},
        )
        return
    said = parts.first(sections, "Recipe")
    marks = re.findall(r"`([0-9a-f]{16})`", " ".join(said.texts)) if said else []
    if marks[:1] != [carried.fingerprint]:
        yield Doubt(
            "recipe-changed",
            f"The recipe that the card carries has the fingerprint {carried.fingerprint}, and the card says {marks[0] if marks else 'none'}: it was cut or edited since, or written by another version of the workbench.",
            {"fingerprint": carried.fingerprint, "said": marks[:1]},
        )
    tables = [spec.source for spec in (carried.data, carried.eval_data) if spec is not None]
    names = [carried.model, *carried.loss.models, *tables]
    short = [name for name in names if "/" not in name]
    if short:
        yield Doubt(
            "name-only",
            f"The recipe names {', '.join(short)} without the folder: these lie on the machine of the run; pass yours with card.to_recipe(…).",
            {"names": short},
        )
    apart = _apart(card, carried)
    if apart:
        listed = "; ".join(f"{name}: recipe {mine!r:.60}, card {said!r:.60}" for name, (mine, said) in apart.items())
        yield Doubt(
            "recipe-contradicts",
            f"The recipe that the card carries differs from the rest of the card: {listed}.",
            {name: [str(mine), str(said)] for name, (mine, said) in apart.items()},
        )


def _apart(card: Said, carried: Recipe) -> dict[str, tuple[Any, Any]]:
    said = read_recipe.settings(card)
    choices = {"optim": "optimizer", "lr_scheduler_type": "scheduler", "batch_sampler": "batch_sampler"}
    names = [own for hyper, own in (read_recipe.NAMES | choices).items() if hyper in card.hyperparameters]
    apart = {
        name: (mine, said[name]) for name in names if name in said and (mine := getattr(carried, name)) != said[name]
    }
    loss = card.train.loss if card.train else None
    if loss and loss.name != carried.loss.name:
        apart["loss"] = (carried.loss.name, loss.name)
    elif loss and not loss.custom:
        apart |= _loss_apart(carried.loss, read_recipe.known_parameters(loss))
    base = card.base_model
    if base and "/" in base and base.rpartition("/")[2] != carried.model.rpartition("/")[2]:
        apart["model"] = (carried.model, base)
    return apart


def _loss_apart(carried: Loss, said: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    problems, plain = catalog.checked(carried.name, said)
    if problems and not plain:
        return {}
    return {
        f"loss.{name}": (value, plain[name])
        for name, value in carried.parameters.items()
        if name in plain and plain[name] != value
    }
