"""Maps of any space, however small or broken."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.spaces.standins import random_vector, space
from tests.spaces.test_layout import groups
from workbench.errors import DataError
from workbench.spaces import layout
from workbench.spaces import project as module
from workbench.spaces.encode import Space
from workbench.spaces.project import Engine, displaced, layout_noise, pca, project
from workbench.spaces.stages import first_picture

Starts = list[np.ndarray]


def clusters(n: int = 15) -> Space:
    """Three far clusters, an equal vector twice, a zero and a NaN vector."""
    rng = np.random.default_rng(0)
    rows = np.vstack([10 * np.eye(6)[place] + rng.normal(size=(n, 6)) for place in range(3)])
    rows[1] = rows[0]
    rows[2], rows[3] = 0, np.nan
    return space(rows, labels=[str(place) for place in range(3) for _ in range(n)])


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    """Where layouts were started from."""
    seen: Starts = []

    def watched(graph: layout.Graph, start: np.ndarray, **options: Any) -> np.ndarray:
        seen.append(start)
        return layout.lay_out(graph, start, **options)

    monkeypatch.setattr(module, "lay_out", watched)
    return seen


@pytest.mark.parametrize("engine", ["workbench", "umap-learn"])
def test_neighbours_are_kept_together_and_a_seed_repeats_itself(engine: Engine) -> None:
    first, again, other = (project(clusters(), seed=seed, engine=engine) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.xy, again.xy)
    assert not np.array_equal(first.xy[4:], other.xy[4:])
    assert (first.engine, first.seed, first.neighbours) == ("umap", 3, 15)
    assert first.version.startswith(f"{engine} ")
    assert first.xy.dtype == np.float32
    # texts without a direction have no place, all others have one
    assert np.flatnonzero(np.isnan(first.xy).any(axis=1)).tolist() == [2, 3]
    assert first.left_out == 2
    labels = np.array(first.space.labels)
    centres = {name: np.nanmean(first.xy[labels == name], axis=0) for name in "012"}
    placed = np.isfinite(first.xy[:, 0])
    nearest = [min(centres, key=lambda name: float(np.linalg.norm(centres[name] - at))) for at in first.xy[placed]]
    assert nearest == labels[placed].tolist()


def test_a_map_is_as_faithful_as_that_of_umap_learn() -> None:
    made = space(groups(400, 20, 8))
    ours, theirs = (
        np.mean([(m.trustworthiness, m.faithfulness.overlap) for m in maps if m.faithfulness], axis=0)
        for maps in ([project(made, seed=s, engine=e) for s in range(3)] for e in ("workbench", "umap-learn"))
    )
    assert (ours > theirs - 0.01).all()


@pytest.mark.parametrize("rows", [np.eye(4), np.vstack([np.eye(4)] * 5), np.vstack([np.eye(5), np.zeros((2, 5))])])
def test_small_spaces_with_copies_are_drawn_by_umap_too(rows: np.ndarray) -> None:
    made = project(space(rows))
    assert made.engine == "umap"
    assert np.isfinite(made.xy[made.space.usable]).all()


# nothing to lay out


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_up_to_three_texts_are_drawn_by_pca(n: int, starts: Starts) -> None:
    made = project(space(np.eye(5)[:n] if n else np.zeros((0, 5))))
    assert starts == []
    assert (made.engine, made.neighbours, made.trustworthiness, made.faithfulness) == ("pca", 0, None, None)
    assert made.xy.shape == (n, 2)
    assert np.isfinite(made.xy).all()
    assert made.why == f"{n} distinct usable vectors, UMAP needs 4"
    assert made.why in made.caption
    assert np.isnan(made.kept).all() and made.kept.shape == (n,)
    assert layout_noise(made) is None


def test_texts_that_are_all_alike_lie_on_one_place(starts: Starts) -> None:
    rows = np.tile(random_vector("a", 40), (50, 1)) * np.linspace(0.1, 9, 50)[:, None]
    made = project(space(rows))
    assert starts == []
    assert (made.xy == 0).all()
    assert "1 distinct usable vectors" in made.caption


def test_copies_of_three_texts_are_drawn_by_pca_at_three_places() -> None:
    made = project(space(np.vstack([np.eye(3)] * 10)))
    assert made.engine == "pca"
    assert len(np.unique(made.xy.round(4), axis=0)) == 3


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_texts_without_a_direction_have_no_place_and_are_counted(bad: float) -> None:
    rows = np.vstack([np.eye(3), np.full((2, 3), bad)])
    made = project(space(rows))
    assert np.isnan(made.xy).any(axis=1).tolist() == [False, False, False, True, True]
    assert ", 2 left out (zero or not finite vectors)" in made.caption


def test_a_space_without_any_direction_is_an_empty_map() -> None:
    made = project(space(np.full((6, 3), np.nan)))
    assert np.isnan(made.xy).all()
    assert (made.engine, made.left_out) == ("pca", 6)


# where it starts, and one frame


def test_only_usable_vectors_are_laid_out_with_fewer_neighbours_where_there_are_few(starts: Starts) -> None:
    made = project(space(np.vstack([np.eye(6), np.zeros((3, 6))])), seed=5, neighbours=15)
    assert (made.neighbours, made.parameters["neighbours"], starts[0].shape) == (5, 5, (6, 2))


def test_a_map_starts_from_the_positions_of_another_map(starts: Starts) -> None:
    made = clusters()
    positions = np.arange(2.0 * len(made)).reshape(-1, 2)
    assert project(made, start=positions).parameters["start"] == "given"
    np.testing.assert_array_equal(starts[0], positions[made.usable])


def test_texts_that_had_no_place_before_start_from_pca(starts: Starts) -> None:
    made = clusters()
    positions = np.zeros((len(made), 2))
    positions[[0, 2, 5]] = np.nan
    project(made, start=positions)
    assert np.isfinite(starts[0]).all()
    assert (starts[0] == 0).all(axis=1).sum() == made.usable.sum() - 2


def test_a_start_has_a_place_for_each_text() -> None:
    with pytest.raises(DataError, match=r"expected start= of shape \(45, 2\), got \(3, 2\); give the .xy of a map"):
        project(clusters(), start=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"expected start= of shape \(45, 2\), got \(45, 2\) of <U1"):
        project(clusters(), start=np.full((45, 2), "a"))


def test_a_map_takes_the_place_of_the_picture_that_it_starts_from_without_a_jump() -> None:
    made = clusters()
    first = first_picture(made)
    drawn = project(made, start=first.xy)
    np.testing.assert_array_equal(drawn.xy, project(made).xy)
    placed = made.usable
    before, after = first.xy[placed], drawn.xy[placed]
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-4)
    size = np.linalg.norm(before - before.mean(axis=0))
    assert np.linalg.norm(after - after.mean(axis=0)) == pytest.approx(size, rel=1e-4)
    # a quarter turn or a mirror image would lie farther off
    away = after - after.mean(axis=0)
    for turned in (away[:, ::-1], away * [1, -1], away * [-1, 1], -away):
        assert np.linalg.norm(turned + before.mean(axis=0) - before) > np.linalg.norm(after - before)


def test_two_models_share_a_frame_and_the_noise_of_the_seed_tells_what_has_moved(starts: Starts) -> None:
    made = space(groups(120))
    other = groups(120).copy()
    other[::4] = -other[::4]  # one of four groups lies elsewhere
    first = project(made)
    second = project(space(other), start=first.xy)
    noise, moved = layout_noise(first), displaced(first, second)
    np.testing.assert_array_equal(starts[-1], first.xy)
    assert noise is not None and 0 < noise < 5
    assert np.median(moved[::4]) > noise
    assert layout_noise(first) == noise != layout_noise(first, seed=9)


def test_displacement_is_undefined_without_both_places_and_refused_for_other_texts() -> None:
    made = project(clusters())
    moved = displaced(made, made)
    assert np.flatnonzero(np.isnan(moved)).tolist() == [2, 3] and np.nanmax(moved) == 0
    with pytest.raises(DataError, match="expected two maps of the same texts, got different texts"):
        displaced(made, project(space(np.eye(5))))
    assert layout_noise(made) is not None


# what is said of it


def test_trustworthiness_that_is_not_measured_says_why() -> None:
    made = project(space(np.random.default_rng(0).normal(size=(30, 6))))
    assert (made.trustworthiness, made.why) == (None, "fewer than 3 neighbourhoods of texts")
    assert "trustworthiness undefined: fewer than 3 neighbourhoods of texts" in made.caption


def test_a_faithful_map_says_so() -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    made = project(space(np.c_[np.cos(turn), np.sin(turn)]), neighbours=5)
    assert made.trustworthiness > 0.99
    trust = f"trustworthiness {made.trustworthiness:.3f}, overlap of 10 neighbours {made.faithfulness.overlap:.2f}"
    assert made.caption == f"60 texts, a model; UMAP {made.version}, 5 neighbours, seed 0; {trust}"


def test_the_caption_tells_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = partial(module.faithfulness, ranked_up_to=50)
    monkeypatch.setattr(module, "faithfulness", sampled)
    assert "of 50 texts, overlap" in project(space(groups(90))).caption


def test_each_text_has_a_share_of_neighbours_that_the_map_has_kept() -> None:
    made = project(clusters())
    assert made.kept.shape == (45,) and made.kept.dtype == np.float32
    assert np.flatnonzero(np.isnan(made.kept)).tolist() == [2, 3]
    assert np.nanmean(made.kept) == pytest.approx(made.faithfulness.overlap)


def test_the_record_tells_how_to_make_the_map_again() -> None:
    made = project(clusters(), seed=7, neighbours=6)
    record = json.loads(json.dumps(made.record))
    assert (record["model"], record["texts"], record["placed"], record["left_out"]) == ("a model", 45, 43, 2)
    assert record["parameters"] == {
        "neighbours": 6,
        "metric": "cosine",
        "min_dist": 0.1,
        "start": "pca",
        "rounds": 500,
    }
    assert (record["engine"], record["version"], record["seed"]) == ("umap", made.version, 7)
    assert record["faithfulness"]["overlap"] == made.faithfulness.overlap and record["seconds"] >= 0
    same, other = clusters(), space(np.eye(6))
    assert record["texts_fingerprint"] == project(same, neighbours=3).record["texts_fingerprint"]
    assert record["texts_fingerprint"] != project(other).record["texts_fingerprint"]
    assert project(space(np.eye(3))).record["faithfulness"] is None


def test_progress_goes_through_neighbours_and_rounds_to_the_judging() -> None:
    seen: list[tuple[str, int, int]] = []
    project(space(groups(600)), progress=lambda *now: seen.append(now))
    texts = [("neighbours", done, 600) for done in (256, 512, 600)]
    rounds = [("layout", done, 500) for done in range(1, 501)]
    assert seen == [*texts, *rounds, ("judging the map", 0, 1), ("judging the map", 1, 1)]


def test_what_the_progress_raises_ends_the_work() -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if phase == "layout":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(space(groups(60)), progress=stop)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 0}, "expected neighbours= a whole number of at least 1 neighbour, got 0; 15 is usual"),
        ({"neighbours": 2.5}, r"got 2\.5; 15 is usual"),
        ({"engine": "tsne"}, "expected engine= workbench or umap-learn, got 'tsne'; workbench is usual"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        project(clusters(), **options)
    with pytest.raises(DataError, match=r"expected a space, got ndarray; make one with embed\(texts, model\)"):
        project(np.eye(5))  # type: ignore[arg-type]


def test_neither_umap_nor_a_compiler_is_loaded_for_a_map() -> None:
    code = (
        "import sys, numpy as np; from workbench.spaces.encode import Space; from workbench.spaces.project import project;"
        "rows = np.random.default_rng(0).normal(size=(60, 5)).astype('float32');"
        "assert project(Space(tuple(map(str, range(60))), rows, 'm', '0')).engine == 'umap';"
        "print([m for m in ('umap', 'numba', 'sklearn', 'torch') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


# PCA


def test_pca_agrees_with_scikit_learn_up_to_sign_and_size() -> None:
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32) * np.arange(1, 8)
    mine, theirs = pca(rows), PCA(2).fit_transform(rows)
    assert np.abs(mine).max() == pytest.approx(10)
    for axis in range(2):
        assert abs(np.corrcoef(mine[:, axis], theirs[:, axis])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_pca_of_vectors_with_one_dimension_is_a_line() -> None:
    made = pca(np.array([[1.0], [2.0], [4.0]], dtype=np.float32))
    assert (made[:, 1] == 0).all()
    assert np.ptp(made[:, 0]) > 0


def test_pca_of_the_same_rows_is_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    np.testing.assert_array_equal(pca(rows), pca(rows.copy()))


def test_pca_of_many_dimensions_agrees_with_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    rows = (np.random.default_rng(0).normal(size=(80, 200)) / np.arange(1, 201)).astype(np.float32)
    mine, theirs = pca(rows), PCA(2).fit_transform(rows)
    for axis in range(2):
        assert abs(np.corrcoef(mine[:, axis], theirs[:, axis])[0, 1]) == pytest.approx(1, abs=1e-4)
