"""Run one benchmark, or all: python -m tests.benchmarks [NAME] [its options].

Without a name all run one after the other, each in a process of its own; `--small` runs their small forms, which show
that they work and measure nothing worth keeping: forks of this process, so that the libraries are loaded once. What
each took is said on standard error.
"""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

KNOWN = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        if arguments[0] not in KNOWN:
            sys.exit(f"expected one of {', '.join(KNOWN)}, got {arguments[0]!r}; or none for all")
        importlib.import_module(f"tests.benchmarks.{arguments[0]}").main(arguments[1:])
        return 0
    forks, failed = "--small" in arguments and sys.platform == "linux", []
    if forks:
        from workbench.training.waiter import LIBRARIES

        for name in LIBRARIES:
            importlib.import_module(name)
    for name in KNOWN:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        if (forked if forks else apart)(name, arguments):
            failed.append(name)
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return bool(failed)


def apart(name: str, arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "tests.benchmarks", name, *arguments], check=False).returncode


def forked(name: str, arguments: list[str]) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    sys.exit(main([name, *arguments]))


sys.exit(main(sys.argv[1:]))
