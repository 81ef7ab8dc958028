"""The whole way on a GPU, as far as a card that is none can show it: see `tests/card/device.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.card import device
from tests.card.cases import OPTIONS
from tests.training.test_on_gpu import mixed

ROOT = Path(__file__).parents[2]
Told = Callable[[str], Any]


@pytest.fixture(scope="module")
def told(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What came out of a case, by its name."""
    folder = tmp_path_factory.mktemp("card")
    library = device.built(folder)
    if library is None:
        pytest.skip("expected a C++ compiler and a torch with its headers, to tell torch of a card")
    shutil.copytree(tiny_bert, folder / "tiny")
    config = folder / "tiny" / "config.json"
    dry = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps({**json.loads(config.read_text()), **dry}))
    (folder / "pairs.jsonl").write_text(mixed())
    done = subprocess.run([sys.executable, "-m", "tests.card.cases", str(library), str(folder)], cwd=ROOT)
    assert done.returncode == 0

    def of(name: str) -> Any:
        found = folder / f"{name}.json"
        if not found.exists():
            pytest.fail((folder / f"{name}.log").read_text()[-4000:])
        return json.loads(found.read_text())

    return of


def finished(run: dict[str, Any]) -> list[dict[str, Any]]:
    assert run["state"] == "finished" and device.NAME in run["device"], run["reason"]
    return run["steps"]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_ends_with_the_losses_and_weights_of_a_run_on_the_processor(name: str, told: Told) -> None:
    here, there = told(f"{name} on cpu"), told(f"{name} on cuda")
    steps = finished(there)
    assert here["state"] == "finished" and len(steps) == 6
    assert [step["loss"] for step in steps] == pytest.approx([step["loss"] for step in here["steps"]], rel=1e-4)
    assert there["weights"].keys() == here["weights"].keys() and here["weights"]
    for weight, numbers in here["weights"].items():
        if "key.bias" in weight:
            continue  # its gradient is rounding alone, which Adam makes large
        assert np.allclose(there["weights"][weight], numbers, atol=1e-4, rtol=1e-3), weight


def test_a_run_in_half_precision_without_padding_goes_its_whole_way(told: Told) -> None:
    steps, wanted = finished(told("packed")), told("in float32 on cpu")["steps"]
    assert [step["loss"] for step in steps] == pytest.approx([step["loss"] for step in wanted], rel=0.05)
    assert all(step["tokens"] == step["padded_tokens"] for step in steps)


def test_a_batch_that_does_not_fit_goes_on_in_parts(told: Told) -> None:
    run, wanted = told("in_parts"), told("in float32 on cpu")["steps"]
    assert [step["loss"] for step in finished(run)] == pytest.approx([step["loss"] for step in wanted], rel=1e-4)
    assert run["splits"]


def test_a_stopped_run_goes_on(told: Told) -> None:
    run, wanted = told("resumed"), told("in float32 on cpu")["steps"]
    assert run["stopped"][0] == "stopped" and run["stopped"][1] < 6
    assert [step["loss"] for step in finished(run)] == pytest.approx([step["loss"] for step in wanted], rel=1e-4)


def test_vectors_maps_tries_checks_and_comparisons_are_made(told: Told) -> None:
    found = told("beside")
    assert found["finite"] and "trustworthiness" in found["map"] and all(found["norms"])
    assert "trial-failed" not in found["findings"] and len(found["try"]) > 1


def test_the_script_runs_as_it_stands(told: Told) -> None:
    assert 'device == "cuda"' in told("script")["script"]


def test_one_pass_for_all_columns_starts_far_fewer_kernels(told: Told) -> None:
    assert told("joined True") < 0.7 * told("joined False")


@pytest.mark.real
def test_the_benchmarks_for_a_gpu_go_their_whole_way(told: Told) -> None:
    found = told("measured")
    assert len(found) == 2
    assert all(one["settings"]["device"] == device.NAME and len(one["results"]) == 2 for one in found.values())
    sides = {one["side"] for one in found["tests.benchmarks.training"]["settings"]["scores"]}
    assert sides == {"library float32", "library bf16 by hand", "workbench"}
