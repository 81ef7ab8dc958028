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


def load_code(examples: Any, split: str | None = None) -> str:
    """How to load a table, or another part of it, again; `data` where it stands nowhere but in memory."""
    if not isinstance(getattr(examples, "source", None), str) or examples.picked:
        return "data"
    given: dict[str, Any] = {"split": split or examples.split} if len(examples.splits) > 1 else {}
    given |= {key: value for key, value in examples.settings.items() if value != DEFAULTS.get(key)}
    if "given" in examples.why.values():
        given["columns"] = dict(examples.used)
    return f"wb.load({', '.join([repr(examples.source), *(f'{key}={value!r}' for key, value in given.items())])})"
