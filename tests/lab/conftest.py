"""One server and one browser for all tests here; a notebook and a kernel for each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.page import Lab, browser, missing
from tests.lab.server import Server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: opens a real JupyterLab in a real browser")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab on this machine. Where something is missing tests are skipped, but fail with WORKBENCH_BROWSER=1."""
    if why := missing():
        (pytest.fail if os.environ.get("WORKBENCH_BROWSER") == "1" else pytest.skip)(why)
    started = Server(tmp_path_factory.mktemp("notebooks"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def context(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def lab(server: Server, context: Any, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A notebook for one test; at its end nothing may have gone wrong in the page."""
    with Lab(server, context, re.sub(r"\W+", "-", request.node.name)) as opened:
        yield opened
