"""Low-rank adaptation: a small update in the place of all weights, which is added to them at the end."""

from __future__ import annotations

from typing import Any

from workbench.errors import RecipeError
from workbench.recipe import Recipe


def add_lora(model: Any, recipe: Recipe) -> None:
    """Put a low-rank adapter into the model; only its weights are trained."""
    from peft import LoraConfig

    lora = recipe.lora
    assert lora is not None
    modules = list(lora.target_modules) if lora.target_modules else None
    config = LoraConfig(
        task_type="FEATURE_EXTRACTION",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules,
    )
    try:
        model.add_adapter(config)
    except ValueError as error:  # it knows the layers of some architectures only
        raise RecipeError(
            f"lora.target_modules: expected {_layers(model)}, got {modules or 'none, and peft knows none for this model'} ({' '.join(str(error).split())[:200]})"
        ) from None


def _layers(model: Any) -> str:
    """What can be adapted, by the last part of its name."""
    from torch.nn import Linear

    transformers = [part for part in model if hasattr(part, "auto_model")]
    found = {
        name.rpartition(".")[2]
        for part in transformers
        for name, layer in part.named_modules()
        if isinstance(layer, Linear)
    }
    return f"some of {', '.join(sorted(found))}" if found else "a model with a transformer"


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
