"""Run a benchmark: python -m tests.benchmarks NAME [its options]."""

import importlib
import sys
from pathlib import Path


def main() -> None:
    known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"usage: python -m tests.benchmarks NAME [options], NAME one of: {', '.join(known)}")
    importlib.import_module(f"tests.benchmarks.{sys.argv[1]}").main(sys.argv[2:])


main()
