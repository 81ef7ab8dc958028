"""A map in stages: pieces that can be stopped, a first picture, a stated sample."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs import MakeRun
from tests.spaces.standins import random_vector, space
from workbench.errors import ModelError
from workbench.spaces import stages
from workbench.spaces.encode import Space, embed
from workbench.spaces.project import Projection
from workbench.spaces.stages import (
    FIRST,
    embed_in_pieces,
    first_picture,
    laid_out,
    model_source,
    run_folder,
    sample,
    sampled,
)


class Call:
    """Calls nothing: answers for the two functions that would."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, function: Any, what: Any, *arguments: Any, **options: Any) -> Any:
        self.asked.append(what)
        if function is embed:
            return Space(tuple(what), np.array([random_vector(text) for text in what], np.float32), "m", "0" * 16)
        return Projection(what, what.vectors[:, :2] + 1, "umap", "0", options["seed"], 15, 0.9)


@pytest.mark.parametrize("n", [1, 5, 6, 7])
def test_texts_are_encoded_in_pieces_and_put_together(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PIECE", 3)
    call, seen = Call(), []
    texts = [f"text {row}" for row in range(n)]

    def goes_on(done: int, total: int) -> bool:
        seen.append((done, total))
        return True

    made = embed_in_pieces(call, texts, "m", labels=["x"] * n, goes_on=goes_on)
    assert made is not None and made.texts == tuple(texts) and made.labels == ("x",) * n
    np.testing.assert_array_equal(made.vectors, np.array([random_vector(text) for text in texts], np.float32))
    assert max(map(len, call.asked)) <= 3
    assert seen == [(start, n) for start in range(0, n, 3)] + [(n, n)]


def test_it_ends_between_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PIECE", 2)
    call = Call()
    assert embed_in_pieces(call, list("abcdef"), "m", goes_on=lambda done, total: done < 4) is None
    assert call.asked == [["a", "b"], ["c", "d"]]


def test_a_sample_is_seeded_ascending_and_everything_where_there_is_room() -> None:
    rows = np.arange(10, 110)
    assert sample(rows, 100, 0) is rows
    drawn = sample(rows, 20, 3)
    assert len(set(drawn.tolist())) == 20 and sorted(drawn) == drawn.tolist() and set(drawn) <= set(rows)
    assert sample(rows, 20, 3).tolist() == drawn.tolist() != sample(rows, 20, 4).tolist()
    assert sampled(["a", "b"], 2, 0) == ["a", "b"] and len(sampled(list("abcdef"), 2, 0)) == 2


def test_the_first_picture_is_a_pca_that_says_so() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 6))
    rows[4] = 0
    made = first_picture(space(rows), seed=2)
    assert (made.engine, made.why, made.trustworthiness) == ("pca", FIRST, None)
    assert np.flatnonzero(np.isnan(made.xy[:, 0])).tolist() == [4]
    assert np.ptp(made.xy[np.isfinite(made.xy[:, 0]), 0]) > 1


@pytest.mark.parametrize("limit", [100, 12])
def test_above_the_limit_a_sample_is_laid_out_and_the_others_have_no_place(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "MAP_UP_TO", limit)
    given: Sequence[Any] = np.random.default_rng(0).normal(size=(40, 4))
    made, call = space(given), Call()
    first = first_picture(made, seed=1)
    drawn = laid_out(call, made, seed=1, start=first.xy)
    assert drawn.space is made and len(call.asked[0]) == min(limit, 40)
    placed = np.isfinite(drawn.xy[:, 0])
    np.testing.assert_array_equal(placed, np.isfinite(first.xy[:, 0]))
    np.testing.assert_array_equal(drawn.xy[placed], made.vectors[placed, :2] + 1)
    assert placed.sum() == min(limit, 40)


def test_what_lays_out_can_be_chosen() -> None:
    asked: list[dict[str, Any]] = []

    def call(function: Any, what: Any, **options: Any) -> Projection:
        asked.append(options)
        return Projection(what, what.vectors[:, :2], "umap", "0", options["seed"], 15, 0.9)

    laid_out(call, space(np.eye(5)))
    laid_out(call, space(np.eye(5)), engine="umap-learn")
    assert [options["engine"] for options in asked] == ["workbench", "umap-learn"]


def test_a_sample_is_judged_text_by_text_and_says_how_many_have_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MAP_UP_TO", 30)
    made = space(np.random.default_rng(0).normal(size=(40, 4)))
    drawn = laid_out(lambda function, *given, **options: function(*given, **options), made, seed=1)
    np.testing.assert_array_equal(np.isfinite(drawn.kept), np.isfinite(drawn.xy[:, 0]))
    assert (drawn.record["texts"], drawn.record["placed"], drawn.record["left_out"]) == (40, 30, 0)


def test_models_are_names_folders_and_runs(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    assert model_source("org/name") == "org/name"
    assert model_source(tmp_path) == str(tmp_path)
    assert model_source(run.folder) == str(run.folder), "there is no model yet"
    run.files.model.mkdir()
    assert model_source(run) == model_source(run.folder) == model_source(run.model_folder) == str(run.model_folder)
    assert run_folder(run.folder) == run_folder(run.folder / "model") == run.folder
    assert run_folder("org/name") is run_folder("x" * 5000) is run_folder("a\0b") is None


@pytest.mark.parametrize("wrong", [3, None, "", "  ", ["a"]])
def test_anything_else_is_no_model(wrong: object) -> None:
    with pytest.raises(ModelError, match="expected a model name, a folder or a run, got"):
        model_source(wrong)


def test_it_loads_nothing_heavy() -> None:
    code = "import sys, workbench.spaces.stages, workbench.spaces.compare, workbench.spaces.clusters, workbench.plots.pair; print([m for m in ('torch', 'umap', 'sklearn', 'scipy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
