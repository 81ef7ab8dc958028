"""The form of a recipe's settings."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.errors import RecipeError
from workbench.recipe import Lora, Recipe
from workbench.widgets.settings_form import ELSEWHERE, SettingsForm


def test_every_setting_has_a_control_with_its_unit_and_help() -> None:
    form = SettingsForm()
    assert set(form._controls) == set(Recipe.model_fields) - set(ELSEWHERE)
    assert form._controls["batch_size"].description == "batch_size (rows)"
    assert "Passes over the data" in form._controls["epochs"].tooltip
    assert (form._controls["batch_size"].min, form._controls["batch_size"].max) == (1, 65536)


def test_only_what_differs_from_the_default_is_kept() -> None:
    form = SettingsForm({"epochs": 2, "seed": 42})
    assert form.settings == {"epochs": 2.0}
    form._controls["batch_size"].value = 32
    form._controls["max_seq_length"].value = "128"
    assert form.settings == {"epochs": 2.0, "batch_size": 32, "max_seq_length": 128}
    form._controls["epochs"].value = 1
    form._controls["max_seq_length"].value = ""
    assert form.settings == {"batch_size": 32}
    assert eval(form.code.removeprefix("settings = ")) == form.settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("learning_rate", 0.0, "greater than 0"),
        ("max_seq_length", "long", "expected a valid integer"),
        ("warmup", 1.5, "expected a share below 1 or a whole number of steps"),
    ],
)
def test_a_wrong_value_is_said_and_the_last_good_one_kept(name: str, value: Any, words: str) -> None:
    form = SettingsForm({"epochs": 2})
    form._controls[name].value = value
    assert words in form.message
    assert form.settings == {"epochs": 2.0}


def test_settings_from_python_move_the_controls() -> None:
    form = SettingsForm({"epochs": 3})
    form.settings = {"batch_sampler": "no_duplicates", "max_seq_length": 128, "lora": Lora(r=4), "prompts": "query: "}
    values = {
        name: form._controls[name].value for name in ("batch_sampler", "max_seq_length", "lora", "prompts", "epochs")
    }
    assert values == {
        "batch_sampler": "no_duplicates",
        "max_seq_length": "128",
        "lora": True,
        "prompts": "query: ",
        "epochs": 1.0,
    }
    form._controls["lora"].value = False
    assert "lora" not in form.settings


def test_unknown_settings_are_refused_with_a_hint() -> None:
    with pytest.raises(RecipeError, match="got 'epoch'; did you mean 'epochs'"):
        SettingsForm({"epoch": 2})


def test_hostile_values_are_escaped_in_the_static_picture() -> None:
    form = SettingsForm({"prompts": "<img src=x onerror=alert(1)>"})
    assert "<img" not in form.static() and "&lt;img" in form.static()


def test_health_checks_are_turned_off_by_choosing_them() -> None:
    form = SettingsForm()
    control = form._controls["watch_off"]
    assert "collapse" in control.options and control.value == ()
    control.value = ("collapse", "overfitting")
    assert form.settings == {"watch_off": ("collapse", "overfitting")}
    assert Recipe(loss="TripletLoss", data="glossary/triplets", **eval(form.code.removeprefix("settings = "))).watch_off
    form.settings = {"watch_off": ["not-finite"]}
    assert control.value == ("not-finite",) and form.settings == {"watch_off": ("not-finite",)}
    control.value = ()
    assert form.settings == {}
