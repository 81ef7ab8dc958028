"""What was given to a panel, as Python: for the line that does the same without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.spaces.stages import run_folder

DEFAULTS = {"config": None, "rows": None, "delimiter": None, "encoding": "utf-8", "bad_rows": "raise"}


def model_code(model: Any) -> str:
    """A model name, a folder, or a run; the name `model` where it has none of them."""
    if isinstance(model, str | Path):
        run = run_folder(model)
        return repr(str(model)) if run is None else f"wb.attach({str(run)!r})"
    return f"wb.attach({str(model.folder)!r})" if hasattr(model, "folder") else "model"


def load_code(examples: Any, split: str | None = None, *, given: Any = None) -> str:
    """How to load a table, or another part of it, again.

    Args:
        examples: the table.
        split: another part of it.
        given: what the user gave for it. A frame or data set is called `data` in the line, and is loaded; a table
            that was loaded before, and stands nowhere but in memory, is `data` itself.
    """
    source = getattr(examples, "source", None)
    in_memory = source is not None and source is given and not isinstance(source, str)
    if not (isinstance(source, str) or in_memory) or examples.picked:
        return "data"
    settings: dict[str, Any] = {"split": split or examples.split} if len(examples.splits) > 1 else {}
    settings |= {key: value for key, value in examples.settings.items() if value != DEFAULTS.get(key)}
    if in_memory or "given" in examples.why.values():
        settings["columns"] = dict(examples.used)
    first = "data" if in_memory else repr(source)
    return f"wb.load({', '.join([first, *(f'{key}={value!r}' for key, value in settings.items())])})"
