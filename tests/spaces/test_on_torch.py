"""On a torch device the same neighbours and as good a map as in NumPy; here on torch's CPU."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from tests.spaces.standins import space
from tests.spaces.test_layout import groups, ties
from workbench.spaces import on_torch
from workbench.spaces.layout import exact_neighbours, lay_out
from workbench.spaces.on_torch import exact_neighbours_on, lay_out_on
from workbench.spaces.project import project


@pytest.mark.parametrize("rows", [7, 1000])
def test_neighbours_are_the_same_also_where_many_are_equal(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_torch, "ROWS", rows)
    # products of these are exact, so that what is equal is equal on both sides
    unit = np.eye(8, dtype=np.float32)[np.random.default_rng(0).integers(0, 8, 90)]
    for given in (unit, groups()):
        for mine, plain in zip(exact_neighbours_on("cpu", given, 15), exact_neighbours(given, 15), strict=True):
            assert mine.dtype == plain.dtype
            np.testing.assert_allclose(mine, plain, atol=1e-6)


def test_the_first_rounds_are_those_of_numpy_and_a_seed_repeats_itself() -> None:
    graph, start = ties(groups()), groups()[:, :2]
    np.testing.assert_allclose(
        lay_out_on("cpu", graph, start, seed=1, rounds=3), lay_out(graph, start, seed=1, rounds=3), atol=1e-3
    )
    whole = lay_out_on("cpu", graph, start, seed=1, rounds=60)
    assert whole.dtype == np.float32 and whole.shape == (300, 2)
    np.testing.assert_array_equal(lay_out_on("cpu", graph, start, seed=1, rounds=60), whole)
    assert not np.array_equal(lay_out_on("cpu", graph, start, seed=2, rounds=60), whole)


def test_a_map_is_as_good_as_that_of_numpy_and_says_where_it_was_made() -> None:
    made = space(groups())
    plain, mine = project(made), project(made, device="cpu")
    assert mine.trustworthiness == pytest.approx(plain.trustworthiness, abs=0.01)
    assert mine.faithfulness.overlap == pytest.approx(plain.faithfulness.overlap, abs=0.03)
    assert mine.record["parameters"] == {**plain.record["parameters"], "device": "cpu"}


@pytest.mark.parametrize("short", ["exact_neighbours_on", "lay_out_on"])
def test_a_gpu_without_memory_leaves_the_work_to_numpy_and_the_map_says_so(
    short: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(device: str, *_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB.")

    made = space(groups(60))
    module = importlib.import_module("workbench.spaces.project")
    plain = project(made)
    mine = project(made, device="cpu") if short == "lay_out_on" else plain
    monkeypatch.setattr(module, short, full)
    found = project(made, device="cpu")
    np.testing.assert_allclose(found.xy, plain.xy, atol=1e-3)
    assert found.record["parameters"]["device"] == "cpu until its memory was used up, then NumPy"
    assert mine.record["parameters"].get("device") != found.record["parameters"]["device"]
    assert "no memory left for a map (CUDA out of memory. Tried to allocate 7 GiB.)" in caplog.text


def test_progress_is_told_and_what_was_set_in_torch_comes_back() -> None:
    seen: list[tuple[int, int]] = []
    exact_neighbours_on("cpu", groups(50), 3, progress=lambda *now: seen.append(now))
    lay_out_on("cpu", ties(groups(50)), np.zeros((50, 2)), seed=0, rounds=2, progress=lambda *now: seen.append(now))
    assert seen == [(50, 50), (1, 2), (2, 2)]
    assert torch.get_float32_matmul_precision() == "highest" and not torch.are_deterministic_algorithms_enabled()


def test_a_map_is_drawn_after_a_training_that_computed_in_tf32() -> None:
    before = torch.backends.fp32_precision
    torch.backends.fp32_precision = "tf32"  # as the library's trainer sets it
    try:
        exact_neighbours_on("cpu", groups(50), 3)
        assert torch.backends.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.fp32_precision = before


def test_a_gpu_is_taken_only_where_torch_is_loaded_and_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert on_torch.gpu() == "cuda"
    monkeypatch.delitem(sys.modules, "torch")
    assert on_torch.gpu() is None


def test_without_a_device_no_torch_is_loaded() -> None:
    code = (
        "import sys, numpy as np; from workbench.spaces.encode import Space; from workbench.spaces.project import project\n"
        "project(Space(tuple('abcdef'), np.eye(6, dtype=np.float32), 'm', '0' * 16)); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
