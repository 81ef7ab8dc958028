"""Searches find exactly what a full comparison finds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.spaces.standins import Model, angle, random_vector, space
from workbench.errors import DataError
from workbench.spaces import search as module
from workbench.spaces.encode import Space, embed
from workbench.spaces.search import Search, search

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(params=["product", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to search, whatever the size."""
    monkeypatch.setattr(module, "CODED_FROM", 0 if request.param == "copy" else 10**9)
    monkeypatch.setattr(module, "ROWS", 64)
    return request.param


def spread(kind: str, n: int = 700, d: int = 24) -> np.ndarray:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(n, d))
    return {
        "even": rows,
        "long and short": rows * 10.0 ** draw.integers(-18, 18, (n, 1)),
        "one cone": rows * 0.01 + 1,
        "collapsed": rows * 1e-4 + 1,
        "few dimensions": rows * 0.5 ** np.arange(d),
        "copies": rows[draw.integers(0, 40, n)],
    }[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["even", "long and short", "one cone", "collapsed", "few dimensions", "copies"])
@pytest.mark.parametrize("k", [1, 10, 699])
def test_a_search_finds_the_nearest_whatever_the_vectors(way: str, kind: str, k: int) -> None:
    made = space(spread(kind))
    queries = made.vectors[5:9] * 3 + np.random.default_rng(1).normal(size=(4, 24)).astype(np.float32) * 0.01
    hits = Search(made).near(queries, k)
    cosine = Space((), queries, "", "").unit.astype(float) @ made.unit.astype(float).T
    wanted = -np.sort(-cosine, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(cosine, hits.rows, axis=1), wanted, atol=2e-7)
    np.testing.assert_allclose(hits.cosines, wanted, atol=1e-6)
    assert all(len({*row}) == k for row in hits.rows.tolist())
    assert hits.how.startswith("exact")


def test_few_vectors_are_compared_in_full_where_directions_differ(way: str) -> None:
    made = space(spread("even", n=4000))
    how = Search(made).near(made.vectors[7], 3).how
    if way == "copy":
        assert "one-byte copies of 4,000 vectors read" in how
        assert int(how.rpartition("up to ")[2].split()[0].replace(",", "")) < 40
    else:
        assert how == "exact: compared with 4,000 vectors"


def test_equal_vectors_come_in_the_order_of_their_rows(way: str) -> None:
    made = space([angle(90), angle(0), *[angle(45)] * 300, angle(0)])
    assert Search(made).near(np.array(angle(0)), 5).rows.tolist() == [[1, 302, 2, 3, 4]]


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_without_direction_is_never_found(way: str, bad: float) -> None:
    made = space(np.vstack([np.full((2, 2), bad), [angle(10), angle(170)], np.full((1, 2), bad)]))
    hits = Search(made).near(np.array([angle(0)]), 10)
    assert hits.rows.tolist() == [[2, 3]]


@pytest.mark.parametrize("vectors", [np.zeros((0, 2)), np.zeros((3, 2))])
def test_where_nothing_can_be_found_there_are_no_hits(way: str, vectors: np.ndarray) -> None:
    hits = Search(space(vectors)).near(np.array(angle(0)))
    assert hits.rows.shape == hits.cosines.shape == (1, 0)
    assert len(hits.to_frame()) == 0


def test_vectors_may_be_a_memory_map(way: str, tmp_path: Path) -> None:
    made = space(spread("even"))
    np.save(tmp_path / "v.npy", made.vectors)
    mapped = replace(made, vectors=np.load(tmp_path / "v.npy", mmap_mode="r"))
    assert Search(mapped).near(made.vectors[3], 4).rows.tolist() == Search(made).near(made.vectors[3], 4).rows.tolist()


def test_preparing_tells_how_far_it_is(way: str) -> None:
    seen: list[tuple[int, int]] = []
    Search(space(spread("even")), progress=lambda done, total: seen.append((done, total)))
    if way == "copy":
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1] == (700, 700)


def test_hits_name_queries_texts_and_labels() -> None:
    hits = Search(space(np.eye(3), labels=["a", "b", "c"])).near(np.eye(3)[1:], 1)
    assert hits.to_frame().values.tolist() == [
        ["query 1", 1, 1, "text 1", "b", 1.0],
        ["query 2", 1, 2, "text 2", "c", 1.0],
    ]
    assert "1.000  text 2" in repr(hits)
    assert "label" not in Search(space(np.eye(2))).near(np.eye(2)[0], 1).to_frame()


def test_hostile_texts_and_queries_are_escaped_in_the_notebook() -> None:
    made = Search(Space((HOSTILE,), np.ones((1, 2), dtype=np.float32), HOSTILE, "0" * 16))
    html = made.near(np.ones(2), names=[HOSTILE])._repr_html_()
    assert "<img" not in html
    assert html.count("&lt;img") == 3


def test_texts_are_encoded_as_the_space_was() -> None:
    model = Model(random_vector, d=8)
    made = embed(["a", "b", "c"], model, prompt="x: ")
    hits = search(made, ["b", "c"], 1, model=model)
    assert hits.rows.ravel().tolist() == [1, 2]
    assert hits.queries == ("b", "c")
    assert search(made, "a", 1, model=model).rows.tolist() == [[0]]
    assert search(made, made.vectors[2], 1).rows.tolist() == [[2]]


def test_queries_of_another_model_are_refused() -> None:
    made = embed(["a"], Model(random_vector, "m"))
    with pytest.raises(DataError, match=r"queries of the model that made the space .* embed both with one model"):
        search(made, "a", model=Model(random_vector, "other"))
    with pytest.raises(DataError, match="the model that encodes the queries, got None; give model="):
        search(made, "a")


def test_queries_that_cannot_be_searched_for_are_refused() -> None:
    made = Search(space(np.eye(3)))
    with pytest.raises(DataError, match="queries of 3 dimensions, got 2"):
        made.near(np.ones(2))
    with pytest.raises(DataError, match="zero or not finite vector as number 2"):
        made.near(np.array([[1, 0, 0], [0, 0, 0]]))
    with pytest.raises(DataError, match="k= a whole number of at least 1 neighbour, got 0"):
        made.near(np.ones(3), 0)


def test_a_small_search_loads_no_compiler() -> None:
    code = "import sys, numpy as np; from workbench.spaces.search import Search; from workbench.spaces.encode import Space; Search(Space(('a',), np.ones((1, 2), dtype='f'), 'm', '')).near(np.ones(2)); print([m for m in ('numba', 'torch', 'umap') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("k", [2.5, "2", True, None])
def test_a_k_that_is_no_whole_number_is_refused(k: object) -> None:
    with pytest.raises(DataError, match="expected k= a whole number of at least 1 neighbour, got"):
        Search(space(np.eye(3))).near(np.ones(3), k)  # type: ignore[arg-type]


def test_queries_that_are_no_vectors_are_refused_and_names_are_as_many_as_queries() -> None:
    made = Search(space(np.eye(3)))
    for queries in ("abc", [[1.0], [2.0, 3.0]]):
        with pytest.raises(DataError, match=r"expected queries as vectors, got .*; search\(\) takes texts"):
            made.near(queries)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"expected queries of 3 dimensions, got shape \(1, 2, 3\)"):
        made.near(np.ones((1, 2, 3)))
    with pytest.raises(DataError, match="expected one name for each of 2 queries, got 1"):
        made.near(np.eye(3)[:2], names=["a"])


@pytest.mark.filterwarnings("error")
def test_a_query_of_numbers_beyond_float32_still_has_a_direction() -> None:
    assert Search(space(np.eye(3))).near(np.array([1e300, 2e300, 0]), 2).rows.tolist() == [[1, 0]]


def test_what_is_no_space_is_refused_with_how_to_make_one() -> None:
    for odd in (np.eye(3), "text", None):
        with pytest.raises(DataError, match=r"expected a space, got .*; make one with embed\(texts, model\)"):
            search(odd, "a", model=Model(random_vector))
    with pytest.raises(DataError, match=r"vectors of shape \(1, d\) for its 1 texts, got \(3, 3\)"):
        Search(replace(space(np.eye(3)), texts=("one",)))


def test_texts_of_an_array_and_vectors_of_a_tensor_are_taken() -> None:
    import torch

    model = Model(random_vector, d=8)
    made = embed(["a", "b", "c"], model)
    assert search(made, np.array(["b", "c"]), 1, model=model).rows.tolist() == [[1], [2]]
    assert search(made, torch.tensor(made.vectors[2]), 1).rows.tolist() == [[2]]
    with pytest.raises(DataError, match="expected a list of texts, got NoneType"):
        search(made, None, model=model)
