"""The public names, and what importing them costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import workbench

HEAVY = ("torch", "transformers", "sentence_transformers", "umap", "datasets", "sklearn", "peft", "pandas")


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that a fresh process holds after importing these modules."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    return set(json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout))


def test_all_names_are_sorted_and_have_a_home() -> None:
    assert workbench.__all__ == sorted(workbench.__all__)
    assert workbench.__all__ == sorted(workbench._HOMES)


@pytest.mark.parametrize("name", workbench.__all__)
def test_a_public_name_is_the_object_of_its_home(name: str) -> None:
    module, _, there = workbench._HOMES[name].partition(":")
    assert getattr(workbench, name) is getattr(importlib.import_module(module), there or name)
    assert callable(getattr(workbench, name))
    assert getattr(workbench, name).__doc__


def test_dir_lists_the_names_before_they_are_used() -> None:
    code = "import workbench; print(set(workbench.__all__) <= set(dir(workbench)), 'train' in vars(workbench))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert answer.split() == ["True", "False"]


def test_an_unknown_name_is_an_attribute_error_with_the_name() -> None:
    with pytest.raises(AttributeError, match="'trian'"):
        workbench.trian  # noqa: B018


def test_importing_the_package_loads_only_itself() -> None:
    assert not loaded_by("workbench") & {*HEAVY, "pydantic", "numpy", "yaml", "plotly"}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_by("workbench.cli") & set(HEAVY)


def test_what_a_notebook_touches_before_a_launch_loads_nothing_heavy() -> None:
    modules = ("workbench.recipe", "workbench.training.launch", "workbench.catalog.losses", "workbench.catalog.models")
    loaded = loaded_by(*modules, "workbench.plots.curves", "workbench.plots.map", "workbench.spaces.evaluate")
    assert not loaded & {"torch", "transformers", "sentence_transformers", "umap", "peft"}
