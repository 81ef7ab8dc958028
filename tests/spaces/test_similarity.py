"""Similarities of all texts with all others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.spaces.standins import Model, angle, space
from workbench.spaces.encode import Space
from workbench.spaces.similarity import similarity

HOSTILE = "<img src=x onerror=alert(1)>"


def test_similarities_are_the_cosines_of_the_angles() -> None:
    model = Model({"a": angle(0), "b": np.array(angle(60)) * 7, "c": angle(180)})
    made = similarity(["a", "b", "c"], model)
    np.testing.assert_allclose(made.matrix, [[1, 0.5, -1], [0.5, 1, -0.5], [-1, -0.5, 1]], atol=1e-6)
    assert made.matrix.dtype == np.float32
    assert made.undefined == ()


def test_similarities_stay_within_minus_one_and_one() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 300)) * 1e-3
    matrix = similarity(space(np.vstack([rows, rows, -rows]))).matrix
    assert matrix.max() <= 1
    assert matrix.min() >= -1


def test_a_text_without_direction_is_undefined_and_named() -> None:
    made = similarity(space([[1, 0], [0, 0], [1, 0], [np.nan, 1]]))
    assert made.undefined == (1, 3)
    assert np.isnan(made.matrix).sum() == 12
    assert made.matrix[0, 2] == 1
    html = made._repr_html_()
    assert html.count(">undefined<") == 12
    assert "zero or not finite" in html
    assert "nan" not in html.lower()


@pytest.mark.parametrize("n", [0, 1])
def test_few_texts_give_a_small_table(n: int) -> None:
    made = similarity(space(np.ones((n, 2))))
    assert made.matrix.shape == (n, n)
    assert made.to_frame().shape == (n, n)
    assert made._repr_html_().count("<tr>") == n + 1


def test_the_frame_is_labelled_by_the_texts_also_by_equal_ones() -> None:
    model = Model({"a": angle(0), "b": angle(90)})
    frame = similarity(["a", "b", "a"], model).to_frame()
    assert list(frame.index) == list(frame.columns) == ["a", "b", "a"]
    assert frame.iloc[0, 2] == pytest.approx(1)


def test_hostile_texts_and_names_are_escaped_in_the_notebook() -> None:
    made = similarity(Space((HOSTILE, "'\"&"), np.eye(2, dtype=np.float32), HOSTILE, "0" * 16))
    html = made._repr_html_()
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 2
    assert "&#x27;&quot;&amp;" in html
