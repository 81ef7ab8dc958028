"""The author's own kind of loss does what its name says."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from workbench.catalog import losses as catalog
from workbench.gallery.entries import OWN_LOSS


def loss(vectors: Any, wanted: list[int], **parameters: float) -> float:
    """Its value for (first, second) vectors that a model gives, each of shape (rows, 2)."""
    import torch

    source = OWN_LOSS.read_text(encoding="utf-8")
    catalog.trust(source)
    turn = iter(torch.tensor(part, dtype=torch.float32) for part in vectors)
    model = Mock(side_effect=lambda _: {"sentence_embedding": next(turn)})
    built = catalog.build("SoftF1MSE", parameters, model, source=source)
    return float(built([{}, {}], torch.tensor(wanted)))


SAME, APART = ([[1, 0], [1, 0]], [[1, 0], [1, 0]]), ([[1, 0], [1, 0]], [[1, 0], [0, 1]])


def test_labels_that_are_met_cost_nothing() -> None:
    assert loss(APART, [1, 0]) == pytest.approx(0, abs=1e-6)


def test_a_wrong_label_costs_error_and_f1() -> None:
    # scores 1 and 1, wanted 1 and 0: F1 is 2 · 1 / (2 + 1), the mean squared error 0.5
    assert loss(SAME, [1, 0]) == pytest.approx(0.5 * (1 - 2 / 3) + 0.5 * 0.5)
    assert loss(SAME, [1, 0], f1_share=1.0) == pytest.approx(1 / 3)


def test_it_is_read_from_its_text_like_any_loss_of_ones_own() -> None:
    info = catalog.describe("SoftF1MSE", OWN_LOSS.read_text(encoding="utf-8"))
    assert [parameter.name for parameter in info.parameters] == ["f1_share"]
