"""The folder `binder/` without Docker: what repo2docker would only notice while it builds, or never."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
SCRIPTS = ("postBuild", "start")


def pinned(name: str) -> str:
    """The version of a package in constraints.txt, on Linux."""
    found = re.search(rf"^{re.escape(name)}==([^;\s]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found, f"{name} is not in constraints.txt"
    return found[1]


def wanted() -> dict[str, str]:
    """Package -> version of environment.yml."""
    environment = yaml.safe_load((BINDER / "environment.yml").read_text())
    return dict((*line.split("="), "")[:2] for line in environment["dependencies"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_executable_bash_that_can_be_read(name: str) -> None:
    script = BINDER / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/bash\n")
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


def test_an_error_in_post_build_ends_the_build() -> None:
    commands = [line for line in (BINDER / "postBuild").read_text().splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"


def test_start_hands_over_to_what_it_was_called_with() -> None:
    script = BINDER / "start"
    assert script.read_text().rstrip().endswith('exec "$@"')
    bare = {"PATH": os.environ["PATH"]}
    said = subprocess.run([script, "printenv", "OMP_NUM_THREADS"], env=bare, capture_output=True, text=True, check=True)
    assert said.stdout == "1\n"


def test_no_second_set_of_files_hides_this_one() -> None:
    assert not (ROOT / ".binder").exists()
    assert not (BINDER / "Dockerfile").exists()


def test_torch_and_python_are_those_that_were_tested() -> None:
    given = wanted()
    assert given["pytorch-cpu"] == pinned("torch").removesuffix("+cpu")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == f">={given['python']}"


def test_everything_else_comes_in_the_versions_of_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = re.search(
        r'pip install --no-cache-dir -c "\$versions" "\.\[([\w,]+)\]"', (BINDER / "postBuild").read_text()
    )
    assert asked
    assert set(asked[1].split(",")) == {"offline", "lab"}
    for extra in asked[1].split(","):
        for requirement in project["optional-dependencies"][extra]:
            pinned(re.split(r"[=<>\[ ]", requirement)[0])


def test_torch_is_left_out_of_the_constraints_and_nothing_else_is() -> None:
    assert "grep -v '^torch==' constraints.txt" in (BINDER / "postBuild").read_text()
    left = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("torch==")]
    assert not any(line.startswith("torch") for line in left)
    assert len(left) > 80


def test_the_page_opens_on_a_notebook_that_is_there() -> None:
    opened = re.search(r'"default_url": "/lab/tree/([^"]+)"', (BINDER / "postBuild").read_text())
    assert opened
    assert (ROOT / opened[1]).is_file()


def test_no_file_names_a_host_or_a_place_of_this_machine() -> None:
    for file in BINDER.iterdir():
        assert not re.search(r"https?://|/opt/|/root/|/work/|\.(org|com|io)\b", file.read_text()), file.name
