"""Run one benchmark, or all: python -m tests.benchmarks [NAME] [its options].

Without a name all run one after the other, each in a process of its own; `--small` runs their small forms, which show
that they work and measure nothing worth keeping: forks of this process, so that the libraries are loaded once, two at a
time. What each took is said on standard error.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KNOWN = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        if arguments[0] not in KNOWN:
            sys.exit(f"expected one of {', '.join(KNOWN)}, got {arguments[0]!r}; or none for all")
        importlib.import_module(f"tests.benchmarks.{arguments[0]}").main(arguments[1:])
        return 0
    failed = (forked if "--small" in arguments and sys.platform == "linux" else apart)(arguments)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return bool(failed)


def apart(arguments: list[str]) -> list[str]:
    """Names of those that failed, all run one after the other in processes of their own."""
    failed = []
    for name in KNOWN:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, "-m", "tests.benchmarks", name, *arguments], check=False).returncode:
            failed.append(name)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    return failed


def forked(arguments: list[str]) -> list[str]:
    """Names of those that failed, two at a time in forks of this process; what one prints stands together."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from workbench.training.waiter import LIBRARIES

    for name in LIBRARIES:
        importlib.import_module(name)
    left, going, failed = list(KNOWN), {}, []
    while left or going:
        while left and len(going) < 2:
            name, said = left.pop(0), tempfile.TemporaryFile()
            if not (child := os.fork()):
                os.dup2(said.fileno(), 1)
                sys.exit(main([name, *arguments]))
            going[child] = name, said, time.monotonic()
        child, status = os.wait()
        name, said, began = going.pop(child)
        said.seek(0)
        print(f"== {name}\n{said.read().decode()}", end="", flush=True)
        if status:
            failed.append(name)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    return failed


sys.exit(main(sys.argv[1:]))
