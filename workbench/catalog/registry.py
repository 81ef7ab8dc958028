"""Which losses there are: those of the installed Sentence Transformers, and those registered in this process."""

from __future__ import annotations

from workbench.catalog.introspect import library_folder, read_folder
from workbench.catalog.loss_info import LossInfo
from workbench.errors import RecipeError, did_you_mean

_own: dict[str, LossInfo] = {}


def add(info: LossInfo) -> None:
    """Keep a loss of your own; one of the same name is replaced, as when a notebook cell runs again."""
    _own[info.name] = info


def registered() -> dict[str, LossInfo]:
    """The losses of your own, by name."""
    return dict(_own)


def library() -> dict[str, LossInfo]:
    """The losses of the installed Sentence Transformers, by name; nothing is imported.

    Raises:
        RecipeError: Sentence Transformers is missing or too old.
    """
    return dict(read_folder(library_folder()))


def losses() -> dict[str, LossInfo]:
    """All losses by name: the library's, then your own."""
    return library() | _own


def get(name: str) -> LossInfo:
    """The loss of that name.

    Raises:
        RecipeError: there is none; a similar name is suggested.
    """
    known = losses()
    if name not in known:
        hint = did_you_mean(str(name), known) or "; pass the class itself to use one of your own"
        raise RecipeError(f"loss: expected a loss of Sentence Transformers or a registered one, got {name!r}{hint}")
    return known[name]
