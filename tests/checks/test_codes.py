"""Every code is declared, tested, and on the page; every check declares what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from workbench.checks.__main__ import PAGE, page
from workbench.checks.before import CHECKS
from workbench.checks.codes import CODES, finds
from workbench.checks.watched import WATCHED
from workbench.recipe import HealthCheck

SOURCES = {path.name: path.read_text(encoding="utf-8") for path in Path(PAGE).parent.glob("*.py")}
TESTS = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))  # fmt: skip


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m workbench.checks"


def test_every_check_declares_what_it_finds() -> None:
    declared = {code.check for code in CODES.values()}
    assert {look.__name__ for look in CHECKS} <= declared


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_emitted_and_has_a_test(code: str) -> None:
    name = f'"{code}"'
    rare = code.endswith("-too-rare")  # named after its setting
    assert rare or sum(source.count(name) for source in SOURCES.values()) >= 2, "declared, but never emitted"
    assert name in TESTS


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_declaration_is_whole(code: object) -> None:
    assert code.when and not code.when.endswith(".") and code.why.endswith(".") and not code.fix.endswith(".")  # type: ignore[attr-defined]
    assert f"| `{code.name}` | {' or '.join(code.severities)} |" in page()  # type: ignore[attr-defined]


def test_all_that_a_run_is_watched_for_is_on_the_page() -> None:
    assert sorted(code.name for code in WATCHED) == sorted(get_args(HealthCheck))
    source = "".join(SOURCES[name] for name in ("during.py", "symptoms.py"))
    for code in WATCHED:
        assert f'"{code.name}"' in source and f"def {code.check}(" in source
        assert f"| `{code.name}` | {' or '.join(code.severities)} |" in page()


def test_a_code_is_declared_once() -> None:
    with pytest.raises(AssertionError, match="texts-cut"):
        finds("texts-cut", "note", when="never", why="Twice.")(lambda: None)
