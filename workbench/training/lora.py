"""Low-rank adaptation: a small update in the place of all weights, which is added to them at the end."""

from __future__ import annotations

from typing import Any

from workbench.recipe import Recipe


def add_lora(model: Any, recipe: Recipe) -> None:
    """Put a low-rank adapter into the model; only its weights are trained."""
    from peft import LoraConfig

    lora = recipe.lora
    assert lora is not None
    modules = list(lora.target_modules) if lora.target_modules else None
    model.add_adapter(
        LoraConfig(
            task_type="FEATURE_EXTRACTION",
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=modules,
        )
    )


def merge_lora(model: Any) -> None:
    """Add the adapter to the weights and forget it, so that the saved model needs no peft."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BaseTunerLayer):
                child.merge()
                setattr(module, name, child.get_base_layer())
    transformer = model.transformers_model
    transformer.peft_config = {}
    transformer._hf_peft_config_loaded = False
