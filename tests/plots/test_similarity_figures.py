"""Similarity matrices as pictures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.plots.looking import HOSTILE, annotations, is_escaped, shown
from workbench.plots.similarity import change_figure
from workbench.spaces.similarity import Similarity


def record(n: int = 3, model: str = "a model", text: str = "text", factor: float = 1.0) -> Similarity:
    matrix = (np.eye(n) + factor * 0.25 * (1 - np.eye(n))).astype(np.float32)
    return Similarity(tuple(f"{text} {row}" for row in range(n)), matrix, model)


def of_one_model(record: Similarity) -> go.Figure:
    return change_figure(record, record)


def test_a_matrix_shows_its_numbers() -> None:
    made = of_one_model(record())
    assert made.data[0].text.tolist()[0] == ["1.00", "0.25", "0.25"]
    assert made.data[0].texttemplate == "%{text}"
    assert list(made.layout.yaxis.ticktext) == ["1", "2", "3"]


def test_a_large_matrix_keeps_its_numbers_for_the_hover() -> None:
    assert of_one_model(record(17)).data[0].texttemplate is None


def test_before_after_and_difference_stand_side_by_side() -> None:
    made = change_figure(record(model="base"), record(model="tuned", factor=2), title="Mine")
    assert len(made.data) == 3
    assert annotations(made) == "before | after | after − before | before: base<br>after: tuned"
    assert made.layout.title.text == "Mine"
    np.testing.assert_allclose(made.data[2].z[0], [0, 0.25, 0.25])
    assert (made.data[2].zmin, made.data[2].zmax) == (-0.25, 0.25)


def test_small_differences_are_not_blown_up() -> None:
    made = change_figure(record(), record(factor=1.001))
    assert (made.data[2].zmin, made.data[2].zmax) == (-0.1, 0.1)


def test_no_texts_are_a_titled_sentence() -> None:
    made = of_one_model(record(0))
    assert len(made.data) == 0
    assert made.layout.title.text.startswith("Cosine similarity")
    assert annotations(made) == "There are no texts to compare."


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_undefined_similarities_are_said_to_be_undefined() -> None:
    one = record(1)
    one.matrix[:] = np.nan
    made = of_one_model(one)
    assert made.data[0].text.tolist() == [["undefined"]]
    assert "nan" not in shown(made)


@pytest.mark.parametrize("where", ["text", "model"])
def test_hostile_text_is_escaped(where: str) -> None:
    made = of_one_model(record(2, **{where: HOSTILE}))
    assert is_escaped(made)


def test_no_difference_is_a_zero_without_a_sign() -> None:
    made = change_figure(record(factor=1.001), record())
    assert set(made.data[2].text.ravel()) == {"0.00"}
