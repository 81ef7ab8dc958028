"""The arithmetic of the kernel that attends inside each text of a packed batch, for machines without a GPU."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from workbench.spaces import packed


def varlen(
    q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: int, max_seqlen_k: int,
    dropout_p: float = 0.0, softmax_scale: float | None = None, causal: bool = False, deterministic: bool = False,
) -> Any:  # fmt: skip
    """Text by text; of shape (tokens, heads, dimensions)."""
    import torch

    assert not causal and deterministic and max_seqlen_q == max_seqlen_k == int(cu_seqlens_q.diff().max())
    parts = []
    for low, high in pairwise(cu_seqlens_q.tolist()):
        one = [part[low:high].transpose(0, 1) for part in (q, k, v)]  # (heads, tokens, dimensions)
        made = torch.nn.functional.scaled_dot_product_attention(*one, dropout_p=dropout_p, scale=softmax_scale)
        parts.append(made.transpose(0, 1))
    return torch.cat(parts)


def install(monkeypatch: pytest.MonkeyPatch, half: Any) -> None:
    """As if this machine had the kernel, which computes in `half`: in float32, which no GPU's does, without autocast."""
    import torch
    from transformers import PreTrainedModel
    from transformers import modeling_flash_attention_utils as flash

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a batch went through that was not packed")

    monkeypatch.setenv("FLASH_ATTENTION_DETERMINISTIC", "0")  # comes back afterwards
    for name in ("_loaded_implementation", "_flash_fn", "_flash_varlen_fn", "_process_flash_kwargs_fn"):
        monkeypatch.setattr(flash, name, None)
    monkeypatch.setattr(flash, "_lazy_imports", lambda *_, **__: (refuse, varlen, None, refuse, refuse))
    monkeypatch.setattr(PreTrainedModel, "_flash_attn_can_dispatch", lambda *_, **__: True)
    monkeypatch.setattr(packed, "_half_there", lambda *_: half)
    if half == torch.float32:
        monkeypatch.setattr(
            packed.InHalf,
            "__call__",
            lambda self, *given, **options: type(self.model).forward(self.model, *given, **options),
        )
