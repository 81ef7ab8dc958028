"""What every benchmark prints: a table with the ratio first, and one JSON object with the machine it was measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

PEERS = ("sentence-transformers", "transformers", "torch", "tokenizers", "umap-learn", "numpy")


def machine() -> dict[str, Any]:
    """Where and with what a figure was measured."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return {
        "date": date.today().isoformat(),
        "processor": (names or [platform.processor() or platform.machine()])[0],
        "cpu_count": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PEERS},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with the keys of the first row as its head; lists are left to the JSON."""
    heads = [key for key, value in rows[0].items() if not isinstance(value, list | dict)]
    lines = ["| " + " | ".join(head.replace("_", " ") for head in heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(row.get(head)) for head in heads) + " |" for row in rows]
    return "\n".join(lines)


def report(name: str, rows: Sequence[Mapping[str, Any]], **settings: Any) -> None:
    """Print the table, then one line of JSON."""
    print(table(rows))
    print(json.dumps({"benchmark": name, "settings": settings, "results": list(rows), "machine": machine()}))


def said_by(code: str, *given: object, home: str) -> Any:
    """What Python code prints last, as JSON, in a process of its own with this cache folder."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, given)],
        capture_output=True, text=True, env={**os.environ, "WORKBENCH_HOME": home}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
