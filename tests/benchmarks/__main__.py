"""Run one benchmark, or all: python -m tests.benchmarks [NAME] [its options].

Without a name all run one after the other, each in a process of its own; `--small` runs their small forms, which show
that they work and measure nothing worth keeping.
"""

import importlib
import subprocess
import sys
from pathlib import Path

KNOWN = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        if arguments[0] not in KNOWN:
            sys.exit(f"expected one of {', '.join(KNOWN)}, got {arguments[0]!r}; or none for all")
        importlib.import_module(f"tests.benchmarks.{arguments[0]}").main(arguments[1:])
        return 0
    failed = []
    for name in KNOWN:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", "tests.benchmarks", name, *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return bool(failed)


sys.exit(main(sys.argv[1:]))
