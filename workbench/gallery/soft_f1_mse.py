"""A loss as its author might have written it in a notebook. The gallery hands its text to the run and never imports it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class SoftF1MSE(nn.Module):
    """Squared error of the similarity plus one minus a soft F1 score, for two texts and a label of 0 or 1.

    Args:
        model: the model that is trained.
        f1_share: weight of the F1 part; the squared error has the rest.
    """

    def __init__(self, model: Any, f1_share: float = 0.5) -> None:
        super().__init__()
        self.model = model
        self.f1_share = f1_share
        self.squared_error = nn.MSELoss()

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """The loss of a batch, a tensor without shape; `labels` are 0 or 1, shape (batch,)."""
        first, second = (self.model(features)["sentence_embedding"] for features in sentence_features)
        score = torch.clamp(torch.cosine_similarity(first, second), 0, 1)  # (batch,)
        wanted = labels.float()
        right = (score * wanted).sum()
        f1 = 2 * right / (score.sum() + wanted.sum()).clamp(min=1e-6)
        return self.f1_share * (1 - f1) + (1 - self.f1_share) * self.squared_error(score, wanted)
