"""Five real fine-tunes: what their cards say, what the checks say, what the logs mean, and what mending them brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.gallery.record import Entry
    from workbench.gallery.results import Result

__all__ = ["entry", "kept", "names", "run", "titles"]


def names() -> tuple[str, ...]:
    """Names of the entries, in order."""
    return tuple(titles())


def titles() -> dict[str, str]:
    """What went wrong in each of the five, in a few words: name -> title."""
    from workbench.gallery.entries import TITLES

    return dict(TITLES)


def entry(name: str) -> Entry:
    """One of the five: what was done, what the checks say, what the log means, and the mended recipe.

    Raises:
        RecipeError: there is no such entry.
    """
    from workbench.gallery.entries import build

    return build(name)


def kept(name: str) -> Result | None:
    """What running an entry gave where it was measured; None where nothing is kept.

    Raises:
        RecipeError: there is no such entry.
        RunError: what was kept is damaged.
    """
    from workbench.gallery.entries import known
    from workbench.gallery.results import read

    return read().get(known(name))


def run(
    name: str,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    folder: str | Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Result:
    """Train an entry as its card did and mended, shortened, once for each seed, and score both on the same rows.

    Args:
        name: one of `names()`.
        seeds: seeds of the runs.
        folder: where to keep the run folders, about 90 MB each with the default model; None keeps none.
        progress: called with (what is done, runs done, runs in all).

    Raises:
        RecipeError: there is no such entry, or no seed.
        RunError: a run failed, or its folder cannot be written.
    """
    from workbench.gallery.running import run_entry

    return run_entry(entry(name), seeds=seeds, folder=folder, progress=progress or (lambda *_: None))
