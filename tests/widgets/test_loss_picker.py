"""The loss picker as a person uses it: choose, set, be refused, wrap, read, and change the data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import workbench as wb
from tests.plots.looking import HOSTILE
from workbench.catalog import registry
from workbench.catalog.introspect import read_source
from workbench.catalog.losses import Parameter, checked
from workbench.data.examples import Examples
from workbench.errors import DataError, RecipeError
from workbench.recipe import Loss
from workbench.widgets import loss_picker
from workbench.widgets.loss_form import Draft, LossForm, draft, make_control
from workbench.widgets.loss_picker import LossPicker

OWN = f'''
import torch

class OwnLoss(torch.nn.Module):
    """{HOSTILE} pulls texts together. It is mine.

    Args:
        model: the model
        k: {HOSTILE} neighbours
        how: what to do
        strict: whether to be strict

    Requirements:
        1. {HOSTILE} pairs

    Inputs:
        +------------------+--------+
        | Inputs           | Labels |
        +==================+========+
        | (a, {HOSTILE})   | none   |
        +------------------+--------+
    """

    def __init__(self, model, k=5, how: str = "mean", strict: bool | None = None, weights=None):
        super().__init__()

    def forward(self, sentence_features, labels):
        return None

    @property
    def citation(self):
        return """@misc{{own, title={{{HOSTILE}}}}}"""
'''


def table(*columns: str, name: str = "label", values: Any = None, rows: int = 4) -> Examples:
    """A table with these text columns, and one more if there are values."""
    made = {column: [f"{column} {row}" for row in range(rows)] for column in columns}
    if values is not None:
        made[name] = (values * rows)[:rows]
    return wb.load(pd.DataFrame(made))


@pytest.fixture(scope="module")
def triplets() -> Examples:
    return table("anchor", "positive", "negative")


@pytest.fixture(scope="module")
def pairs() -> Examples:
    return table("anchor", "positive")


@pytest.fixture(scope="module")
def graded() -> Examples:
    return table("anchor", "positive", name="score", values=[0.1, 0.9])


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registered loss of one's own whose every text is hostile."""
    monkeypatch.setattr(registry, "_own", {"OwnLoss": read_source(OWN, "OwnLoss")})
    yield "OwnLoss"


def labels(picker: LossPicker) -> dict[str, str]:
    return {name: label for label, name in picker.select.options}


def same_in_code(picker: LossPicker) -> None:
    assert eval(picker.code, {"wb": wb}) == picker.loss


# what there is to choose


def test_losses_that_suit_the_data_come_first_in_the_recommended_order(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    names, shown = list(labels(picker)), list(labels(picker).values())
    assert names[:2] == ["MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"]
    refused = [label.startswith("✗ ") for label in shown]
    assert refused == sorted(refused)
    assert labels(picker)["CoSENTLoss"] == "✗ CoSENTLoss"
    assert labels(picker)["TripletLoss"] == "TripletLoss"
    assert labels(picker)["MultipleNegativesSymmetricRankingLoss"].endswith("(deprecated)")


@pytest.mark.parametrize(
    ("columns", "more", "expected"),
    [
        (("anchor", "positive", "negative"), {}, Loss("MultipleNegativesRankingLoss")),
        (("anchor", "positive"), {"name": "score", "values": [0.1, 0.9]}, Loss("CoSENTLoss")),
        (("anchor", "positive"), {"values": [1, 0]}, Loss("OnlineContrastiveLoss")),
        (("text",), {"values": ["a", "b", "c"]}, Loss("BatchAllTripletLoss")),
        (("anchor", "positive"), {"values": ["a", "b", "c"]}, Loss("SoftmaxLoss", num_labels=3)),
    ],
)
def test_the_first_that_suits_is_taken_with_what_the_table_tells(
    columns: tuple[str, ...], more: dict[str, Any], expected: Loss
) -> None:
    picker = LossPicker(table(*columns, **more))
    assert picker.loss == expected
    assert picker.select.value == expected.name
    same_in_code(picker)


def test_without_data_all_losses_can_be_chosen() -> None:
    picker = LossPicker()
    assert picker.data is None
    assert picker.loss == Loss("MultipleNegativesRankingLoss")
    assert not any(label.startswith("✗") for label in labels(picker).values())
    for name in labels(picker):
        picker.select.value = name
        assert name in picker.facts.value
        assert "<svg" in picker.picture.value


def test_what_load_takes_is_taken_as_data() -> None:
    assert LossPicker("glossary/graded").loss == Loss("CoSENTLoss")
    assert LossPicker(pd.DataFrame({"anchor": ["a"], "positive": ["b"]})).data.texts == ("anchor", "positive")
    with pytest.raises(DataError, match="expected a path"):
        LossPicker(5)


def test_misspelt_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="did you mean 'loss'"):
        LossPicker(los="TripletLoss")  # type: ignore[call-arg]


# choosing


def test_a_choice_becomes_the_loss_its_facts_and_its_line_of_code(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    picker.select.value = "TripletLoss"
    assert picker.loss == Loss("TripletLoss")
    assert picker.code == "wb.Loss('TripletLoss')"
    assert picker.message == ""
    assert set(picker.form.controls) == {"distance_metric", "triplet_margin"}
    facts = picker.facts.value
    assert "✓ It suits" in facts
    assert "(anchor, positive, negative) triplets" in facts
    assert "can never be met by unit vectors" in facts
    assert "<details><summary>Cite</summary>" in facts and "@" in facts


def test_facts_say_what_a_batch_and_a_cache_do(triplets: Examples) -> None:
    picker = LossPicker(triplets, "CachedMultipleNegativesRankingLoss")
    assert "The other rows of a batch are negatives" in picker.facts.value
    assert "batch_sampler no_duplicates" in picker.facts.value
    assert "about twice the time" in picker.facts.value


def test_a_deprecated_loss_says_what_to_use_instead(pairs: Examples) -> None:
    picker = LossPicker(pairs, "MultipleNegativesSymmetricRankingLoss")
    assert "<b>Deprecated.</b>" in picker.facts.value
    assert "Please use MultipleNegativesRankingLoss" in picker.facts.value


def test_one_that_does_not_suit_can_be_read_but_not_taken(triplets: Examples) -> None:
    picker = LossPicker(triplets, "TripletLoss")
    picker.select.value = "CoSENTLoss"
    assert picker.loss == Loss("TripletLoss")
    assert "CoSENTLoss takes (input_A, input_B) pairs with a score; this table has 3 text columns" in picker.message
    assert picker.message.endswith("the loss stays TripletLoss")
    assert "wb-error" in picker._line.value
    assert "CoSENT (Consistent SENTence embedding)" in picker.facts.value
    assert "<svg" in picker.picture.value
    assert picker.form is None
    picker.select.value = "TripletLoss"
    assert picker.message == ""
    assert picker.form is not None


def test_a_loss_set_from_python_moves_the_controls(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    picker.loss = Loss("TripletLoss", triplet_margin=0.25, distance_metric="COSINE")
    assert picker.select.value == "TripletLoss"
    assert picker.form.controls["triplet_margin"].value == 0.25
    assert picker.form.controls["distance_metric"].value == "COSINE"
    picker.loss = Loss("TripletLoss", triplet_margin=0.5)
    assert picker.form.controls["triplet_margin"].value == 0.5
    picker.loss = "GlobalOrthogonalRegularizationLoss"
    assert picker.select.value == "GlobalOrthogonalRegularizationLoss"


def test_wrong_losses_from_python_are_refused_in_a_sentence(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    with pytest.raises(RecipeError, match=r"CoSENTLoss takes .*; take MultipleNegativesRankingLoss or Cached"):
        picker.loss = "CoSENTLoss"
    with pytest.raises(RecipeError, match="expected a loss name"):
        picker.loss = 5
    with pytest.raises(RecipeError, match="did you mean 'TripletLoss'"):
        picker.loss = "TripletLos"
    with pytest.raises(RecipeError, match="this table has 3 text columns"):
        LossPicker(triplets, "CoSENTLoss")
    with pytest.raises(RecipeError, match="CoSENTLoss takes"):
        picker.loss = Loss("MatryoshkaLoss", loss="CoSENTLoss", matryoshka_dims=[8])
    assert picker.loss == Loss("MultipleNegativesRankingLoss")
    assert picker.select.value == "MultipleNegativesRankingLoss"


def test_listeners_hear_of_each_change_once(triplets: Examples) -> None:
    picker, heard = LossPicker(triplets), []
    picker.observe(lambda change: heard.append(change["new"]), "loss")
    picker.select.value = "TripletLoss"
    picker.form.controls["triplet_margin"].value = 0.3
    picker.select.value = "CoSENTLoss"
    assert heard == [Loss("TripletLoss"), Loss("TripletLoss", triplet_margin=0.3)]


# parameters


def test_parameters_go_into_the_loss_once_they_differ_from_the_default(triplets: Examples) -> None:
    picker = LossPicker(triplets, "TripletLoss")
    form = picker.form
    form.controls["triplet_margin"].value = 0.3
    assert picker.loss == Loss("TripletLoss", triplet_margin=0.3)
    assert picker.code == "wb.Loss('TripletLoss', triplet_margin=0.3)"
    form.controls["distance_metric"].value = "COSINE"
    same_in_code(picker)
    form.controls["triplet_margin"].value = 5.0
    assert picker.loss == Loss("TripletLoss", distance_metric="COSINE")
    assert picker.form is form, "controls stay while they are used"


def test_the_picture_follows_each_parameter(triplets: Examples) -> None:
    picker = LossPicker(triplets, "TripletLoss")
    assert "out of reach" in picker.picture.value
    picker.form.controls["triplet_margin"].value = 0.3
    assert "Zero once the negative is 0.3 further away" in picker.picture.value
    assert "Triplets right of the margin" in picker.picture.value


def test_a_wrong_value_is_said_and_the_last_good_loss_stays(triplets: Examples) -> None:
    picker = LossPicker(triplets, Loss("MultipleNegativesRankingLoss", scale=30.0))
    picker.form.controls["directions"].value = ("doc_to_query",)
    assert picker.message.startswith("directions: expected query_to_doc among them, got doc_to_query")
    assert "wb-error" in picker._line.value
    assert picker.loss == Loss("MultipleNegativesRankingLoss", scale=30.0)
    picker.form.controls["directions"].value = ("query_to_doc", "doc_to_query")
    assert picker.message == ""
    assert picker.loss == Loss("MultipleNegativesRankingLoss", scale=30.0, directions=["query_to_doc", "doc_to_query"])
    same_in_code(picker)


def test_what_is_needed_is_asked_for(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    picker.select.value = "GISTEmbedLoss"
    assert picker.message.startswith("GISTEmbedLoss needs guide: ")
    assert picker.message.endswith("Until then the loss stays MultipleNegativesRankingLoss.")
    assert "wb-error" not in picker._line.value
    assert picker.loss == Loss("MultipleNegativesRankingLoss")
    picker.form.controls["guide"].value = "some/model"
    assert picker.loss == Loss("GISTEmbedLoss", guide="some/model")
    assert picker.message == ""
    picker.form.controls["guide"].value = " "
    assert "needs guide" in picker.message
    assert picker.loss == Loss("GISTEmbedLoss", guide="some/model")


def test_every_control_has_a_name_a_help_and_its_default(triplets: Examples) -> None:
    form = LossPicker(triplets, "CachedMultipleNegativesRankingLoss").form
    assert form.controls["mini_batch_size"].description == "mini_batch_size (texts)"
    assert form.controls["scale"].tooltip.startswith("Output of similarity function")
    assert all(control.description and control.tooltip for control in form.controls.values())
    lines = "".join(field.children[1].value for field in form.children[0].children)
    assert "Default: 32." in lines and "Default: none." in lines and "Default: query_to_doc." in lines


@pytest.mark.parametrize(
    ("parameter", "shown", "moved", "expected"),
    [
        (Parameter("a", "float", 5.0, low=0), 5.0, 0.3, 0.3),
        (Parameter("a", "int", 3, low=1), 3, 4, 4),
        (Parameter("a", "bool", True), True, False, False),
        (Parameter("a", "choice", "x", choices=("x", "y")), "x", "y", "y"),
        (Parameter("a", "choice", ("x",), choices=("x", "y")), ("x",), ("x", "y"), ["x", "y"]),
        (Parameter("a", "function", "f", choices=("f", "g")), "f", "g", "g"),
        (Parameter("a", "function", "f"), "f", "g", "g"),
        (Parameter("a", "numbers", None, required=True, whole=True), "", "[768, 512]", [768, 512]),
        (Parameter("a", "numbers", [1, 0.5]), "1, 0.5", " 1;0.25 ", [1, 0.25]),
        (Parameter("a", "numbers", None, optional=True), "", "one", "one"),
        (Parameter("a", "model", None, required=True), "", " some/model ", "some/model"),
        (Parameter("a", "text", "mean"), "mean", "5", "5"),
        (Parameter("a", "text", None, required=True), "", "5", 5),
        (Parameter("a", "text", None, required=True), "", "[1, 'a']", [1, "a"]),
        (Parameter("a", "text", None, required=True), "", "plain words", "plain words"),
        (Parameter("a", "text", None, optional=True), "", "(" * 9999, "(" * 9999),
        (Parameter("a", "int", None, optional=True, low=1), "", "64", "64"),
        (Parameter("a", "float", 1.0, optional=True), "1.0", "", None),
        (Parameter("a", "float", 5), "5", "6", 6),
        (Parameter("a", "float", 5), "5", "0.5", 0.5),
        (Parameter("a", "bool", None, optional=True), "", False, False),
    ],
)
def test_each_kind_of_parameter_has_its_control(parameter: Parameter, shown: Any, moved: Any, expected: Any) -> None:
    control, read = make_control(parameter, parameter.default)
    assert control.value == shown
    control.value = moved
    assert read(control.value) == expected
    assert type(read(control.value)) is type(expected)


def test_bounds_are_those_of_the_catalogue() -> None:
    control, _ = make_control(Parameter("margin", "float", 0.0, low=-2, high=2), 0.0)
    assert (control.min, control.max) == (-2, 2)
    control, _ = make_control(Parameter("size", "int", 3, low=1), 3)
    assert control.min == 1 and control.max > 10**12


def test_an_empty_choice_says_none(triplets: Examples) -> None:
    form = LossPicker(triplets).form
    assert form.controls["hardness_mode"].label == "none"
    form.controls["hardness_mode"].value = "all_negatives"
    assert form.draft().loss == Loss("MultipleNegativesRankingLoss", hardness_mode="all_negatives")
    form.controls["hardness_mode"].label = "none"
    assert form.draft().loss == Loss("MultipleNegativesRankingLoss")


def test_values_that_nobody_touched_stay_as_they_were_given() -> None:
    info = registry.get("GlobalOrthogonalRegularizationLoss")
    form = LossForm(info, {"mean_weight": None}, lambda _: [], lambda: None)
    assert form.draft().loss == Loss(info.name, mean_weight=None)
    form.controls["second_moment_weight"].value = "2"
    assert form.draft().loss == Loss(info.name, mean_weight=None, second_moment_weight=2.0)


# losses in losses


def test_a_wrapper_takes_the_loss_that_was_chosen_and_asks_for_dimensions(triplets: Examples) -> None:
    picker = LossPicker(triplets, Loss("TripletLoss", triplet_margin=0.3))
    picker.select.value = "MatryoshkaLoss"
    assert "needs matryoshka_dims" in picker.message
    assert picker.form.controls["loss"].value == "TripletLoss"
    picker.form.controls["matryoshka_dims"].value = "64, x"
    assert "expected a list of whole numbers" in picker.message and "'64, x'" in picker.message
    picker.form.controls["matryoshka_dims"].value = "64, 32"
    inner = Loss("TripletLoss", triplet_margin=0.3)
    assert picker.loss == Loss("MatryoshkaLoss", loss=inner, matryoshka_dims=[64, 32])
    assert "This is TripletLoss, which MatryoshkaLoss takes of vectors cut to 64, 32" in picker.picture.value
    same_in_code(picker)


def test_the_loss_inside_has_its_own_parameters(triplets: Examples) -> None:
    picker = LossPicker(triplets, Loss("AdaptiveLayerLoss", loss="MultipleNegativesRankingLoss"))
    picker.form.nested.controls["scale"].value = 50.0
    assert picker.loss == Loss("AdaptiveLayerLoss", loss=Loss("MultipleNegativesRankingLoss", scale=50.0))
    picker.form.controls["loss"].value = "GISTEmbedLoss"
    assert "GISTEmbedLoss needs guide" in picker.message
    picker.form.nested.controls["guide"].value = "a/b"
    assert picker.loss == Loss("AdaptiveLayerLoss", loss=Loss("GISTEmbedLoss", guide="a/b"))
    assert picker.code == "wb.Loss('AdaptiveLayerLoss', loss=wb.Loss('GISTEmbedLoss', guide='a/b'))"
    same_in_code(picker)


def test_a_wrapper_offers_what_suits_the_data_and_itself(triplets: Examples) -> None:
    picker = LossPicker(triplets, Loss("AdaptiveLayerLoss", loss="TripletLoss"))
    offered = [name for _, name in picker.form.controls["loss"].options]
    assert "MultipleNegativesRankingLoss" in offered
    assert not {"CachedMultipleNegativesRankingLoss", "CoSENTLoss", "MatryoshkaLoss"} & set(offered)


def test_wrappers_in_wrappers_are_shown_as_they_are(triplets: Examples) -> None:
    made = Loss("AdaptiveLayerLoss", loss=Loss("MatryoshkaLoss", loss="TripletLoss", matryoshka_dims=[8]))
    picker = LossPicker(triplets, made)
    assert picker.form.nested.nested.controls["triplet_margin"].value == 5.0
    picker.form.nested.nested.controls["triplet_margin"].value = 1.0
    assert picker.loss.innermost == Loss("TripletLoss", triplet_margin=1.0)
    same_in_code(picker)


def test_a_wrapper_without_anything_to_wrap_is_refused() -> None:
    picker = LossPicker(table("anchor", "positive", "negative", values=["a", "b", "c"]))
    assert all(label.startswith("✗") for label in labels(picker).values())
    assert "No loss suits" in picker.message
    assert "set the roles of its columns" in picker.message
    picker.select.value = "MatryoshkaLoss"
    assert "none suits this table" in picker.message


# other data


def test_other_columns_sort_the_list_anew_and_change_a_loss_that_no_longer_suits(
    triplets: Examples, graded: Examples
) -> None:
    picker, heard = LossPicker(triplets, Loss("TripletLoss", triplet_margin=0.3)), []
    picker.observe(lambda change: heard.append(change["new"].name), "loss")
    picker.data = graded
    assert picker.loss == Loss("CoSENTLoss")
    assert picker.select.value == "CoSENTLoss"
    assert next(iter(labels(picker))) == "CoSENTLoss"
    assert labels(picker)["TripletLoss"] == "✗ TripletLoss"
    assert picker.message.startswith("TripletLoss does not suit ")
    assert "so the loss is CoSENTLoss now: TripletLoss takes" in picker.message
    assert picker.code == "wb.Loss('CoSENTLoss')"
    assert heard == ["CoSENTLoss"]


def test_a_loss_that_still_suits_stays_with_its_parameters(triplets: Examples, pairs: Examples) -> None:
    given = Loss("MultipleNegativesRankingLoss", scale=30.0)
    picker = LossPicker(triplets, given)
    picker.data = pairs
    assert picker.loss is given
    assert picker.message == ""
    assert picker.form.controls["scale"].value == 30.0
    picker.data = None
    assert picker.loss is given
    assert not any(label.startswith("✗") for label in labels(picker).values())


def test_a_wrapper_is_judged_by_the_loss_inside(triplets: Examples, graded: Examples) -> None:
    picker = LossPicker(triplets, Loss("MatryoshkaLoss", loss="TripletLoss", matryoshka_dims=[8]))
    picker.data = graded
    assert picker.loss == Loss("CoSENTLoss")


def test_many_labels_are_read_beside_and_only_the_newest_table_counts(
    triplets: Examples, graded: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_picker, "QUICK_ROWS", 1)
    picker = LossPicker(triplets)
    picker.data = graded
    picker.settle(60)
    assert picker.loss == Loss("CoSENTLoss")
    picker._look(triplets)
    assert picker.loss == Loss("CoSENTLoss"), "a table that is no longer the newest changes nothing"


def test_data_that_cannot_be_used_is_refused_and_the_old_stays(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    with pytest.raises(DataError):
        picker.data = "no/such/file.csv"
    assert picker.data is triplets


# losses of one's own


def test_a_loss_of_ones_own_is_marked_and_never_refused(own: str, triplets: Examples) -> None:
    picker = LossPicker(triplets)
    assert labels(picker)[own] == "OwnLoss (yours)"
    picker.select.value = own
    assert picker.loss == Loss(own)
    assert "There is no picture of a loss of one's own." in picker.picture.value
    picker.form.controls["k"].value = "7"
    assert picker.loss.parameters == {"k": 7}
    picker.form.controls["how"].value = "5"
    assert picker.loss.parameters == {"k": 7, "how": "5"}
    picker.form.controls["strict"].value = True
    picker.form.controls["weights"].value = "[1, 2]"
    assert picker.loss == Loss(own, k=7, how="5", strict=True, weights=[1, 2])
    same_in_code(picker)


def test_texts_of_a_loss_of_ones_own_are_escaped(own: str, triplets: Examples) -> None:
    picker = LossPicker(triplets, own)
    picker.form.controls["how"].value = HOSTILE
    shown = [picker.facts.value, picker.static(), picker._shown_code.value]
    shown += [field.children[1].value for field in picker.form.children[0].children]
    assert sum("&lt;img" in html for html in shown) >= 4
    assert not any("<img" in html for html in shown)


def test_hostile_names_of_data_are_escaped(graded: Examples, tmp_path: Any) -> None:
    file = tmp_path / "<img src=x>.csv"
    file.write_text("anchor,positive\na,b\n")
    picker = LossPicker(graded)
    picker.data = str(file)
    assert "does not suit <img src=x>" in picker.message
    for html in (picker.facts.value, picker.static(), picker._line.value):
        assert "&lt;img" in html and "<img" not in html


def test_a_loss_registered_later_appears_on_refresh(triplets: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    picker = LossPicker(triplets)
    assert "OwnLoss" not in labels(picker)
    monkeypatch.setattr(registry, "_own", {"OwnLoss": read_source(OWN, "OwnLoss")})
    picker.refresh()
    assert "OwnLoss" in labels(picker)
    assert picker.select.value == "MultipleNegativesRankingLoss"


def test_a_loss_that_a_recipe_carries_is_shown_though_it_is_not_registered(triplets: Examples) -> None:
    picker = LossPicker(triplets, Loss("OwnLoss", source=OWN, k=7))
    assert labels(picker)["OwnLoss"] == "OwnLoss (yours)"
    picker.form.controls["how"].value = "sum"
    assert picker.loss == Loss("OwnLoss", source=OWN, k=7, how="sum")
    picker.select.value = "MatryoshkaLoss"
    picker.form.controls["matryoshka_dims"].value = "8"
    assert picker.loss.innermost == Loss("OwnLoss", source=OWN, k=7, how="sum")
    assert "There is no picture of a loss of one's own." in picker.picture.value


def _register(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(registry, "_own", {"OwnLoss": read_source(source, "OwnLoss")})


NEWER = OWN.replace("return None", "return sentence_features")
WITHOUT_K = NEWER.replace("k=5, ", "")
NEEDY = NEWER.replace("k=5, ", "k: int, ")


def test_a_loss_that_was_registered_anew_is_taken_with_its_new_source(
    own: str, triplets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = LossPicker(triplets)
    picker.select.value = own
    _register(monkeypatch, NEWER)
    picker.refresh()
    assert picker.loss.source == NEWER
    assert picker.message == "OwnLoss was registered anew: its new source is taken."
    picker.select.value = "TripletLoss"
    picker.select.value = own
    assert picker.loss.source == NEWER
    picker.form.controls["k"].value = "9"
    assert picker.loss == Loss(own, k=9) and picker.loss.source == NEWER
    picker.refresh()
    assert picker.message == ""


def test_a_new_source_is_taken_when_it_is_picked_though_nobody_refreshed(
    own: str, triplets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = LossPicker(triplets)
    picker.select.value = own
    picker.select.value = "MatryoshkaLoss"
    picker.form.controls["matryoshka_dims"].value = "8"
    picker.form.controls["loss"].value = "TripletLoss"
    _register(monkeypatch, NEWER)
    picker.form.controls["loss"].value = own
    assert picker.loss.innermost.source == NEWER
    picker.select.value = own
    assert picker.loss.source == NEWER


def test_a_new_source_is_taken_inside_a_wrapper_too(
    own: str, triplets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = LossPicker(triplets, Loss("MatryoshkaLoss", loss=Loss(own, k=7), matryoshka_dims=[8]))
    _register(monkeypatch, NEWER)
    picker.refresh()
    assert picker.loss == Loss("MatryoshkaLoss", loss=Loss(own, k=7), matryoshka_dims=[8])
    assert picker.loss.innermost.source == NEWER and "registered anew" in picker.message
    picker.form.nested.controls["how"].value = "sum"
    assert picker.loss.innermost.source == NEWER


def test_parameters_that_a_new_source_lacks_are_left_out_and_those_it_needs_are_asked_for(
    own: str, triplets: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = LossPicker(triplets, Loss(own, k=7, how="sum"))
    _register(monkeypatch, WITHOUT_K)
    picker.refresh()
    assert picker.loss == Loss(own, how="sum") and picker.loss.source == WITHOUT_K
    assert picker.message == "OwnLoss was registered anew: its new source is taken, without k."
    _register(monkeypatch, NEEDY)
    picker.refresh()
    assert picker.loss.source == WITHOUT_K
    assert picker.message.startswith("OwnLoss was registered anew, but its new source cannot be taken: OwnLoss needs k")


def test_a_source_that_a_recipe_carries_stays_on_refresh(own: str, triplets: Examples) -> None:
    picker = LossPicker(triplets)
    for carried in (Loss(own, source=NEWER), Loss("MatryoshkaLoss", loss=Loss(own, source=NEWER), matryoshka_dims=[8])):
        picker.loss = carried
        picker.refresh()
        assert picker.loss == carried and picker.message == ""
        assert picker.form.draft().loss == carried


def test_a_guide_that_can_be_no_model_is_refused_in_a_sentence(triplets: Examples) -> None:
    picker = LossPicker(triplets)
    picker.select.value = "GISTEmbedLoss"
    picker.form.controls["guide"].value = "nope nope"
    assert picker.loss == Loss("MultipleNegativesRankingLoss")
    assert picker.message == (
        "guide: expected a model folder, a run folder or a Hub id such as owner/name, got 'nope nope'; check the path; "
        "the loss stays as it was"
    )
    picker.form.controls["guide"].value = "all-MiniLM-L6-v2"
    assert picker.loss == Loss("GISTEmbedLoss", guide="all-MiniLM-L6-v2") and picker.message == ""
    for wrong in (
        Loss("GISTEmbedLoss", guide="nope nope"),
        Loss("MatryoshkaLoss", loss=Loss("GISTEmbedLoss", guide="nope nope"), matryoshka_dims=[8]),
    ):
        with pytest.raises(RecipeError, match=r"guide: expected a model folder.*got 'nope nope'"):
            picker.loss = wrong
    assert picker.loss == Loss("GISTEmbedLoss", guide="all-MiniLM-L6-v2")


EXTREMES = (1.7e308, 1e300, 1e200, 1e154, 1e30, 2**53, 5e-324, 1e-300, 1e-160, 0)
NUMBERS = [
    (info.name, item) for info in wb.losses().values() for item in info.parameters if item.kind in ("float", "int")
]


@pytest.mark.parametrize(("name", "parameter"), NUMBERS, ids=lambda given: getattr(given, "name", given))
def test_the_picture_survives_every_value_that_is_allowed(name: str, parameter: Parameter) -> None:
    for size in EXTREMES:
        for value in (size, -size):
            problems, clean = checked(name, {parameter.name: value})
            if not any(f"loss.{parameter.name}:" in problem for problem in problems):
                drawn = loss_picker.picture_html(Draft(name, clean))
                assert "<svg" in drawn or "There is no picture of it with these values." in drawn
                assert not re.search(r"\b(nan|inf)\b", drawn.partition("<desc")[0])


def test_an_extreme_temperature_is_taken_without_a_picture() -> None:
    picker = LossPicker()
    picker.select.value = "DistillKLDivLoss"
    picker.form.controls["temperature"].value = 1e300
    assert picker.message == "" and picker.loss == Loss("DistillKLDivLoss", temperature=1e300)
    assert "There is no picture of it with these values." in picker.picture.value


@pytest.mark.parametrize("wrong", [3, None, b"x", ["a"], {}])
def test_what_is_no_loss_is_refused_in_a_sentence(wrong: Any) -> None:
    picker = LossPicker()
    with pytest.raises(RecipeError, match="expected a loss name or a mapping"):
        picker.loss = wrong
    if wrong is not None:
        with pytest.raises(DataError, match="expected a"):
            picker.data = wrong


# drafts, statics, imports


def test_a_draft_keeps_what_is_good() -> None:
    made = draft(registry.get("MatryoshkaLoss"), {"n_dims_per_step": 2, "matryoshka_weights": "x"})
    assert made.loss is None
    assert made.parameters == {"n_dims_per_step": 2}
    assert made.problem.startswith("matryoshka_weights: expected a list of numbers")
    assert made.missing.startswith("MatryoshkaLoss needs loss")


def test_the_static_picture_has_values_and_no_scripts(triplets: Examples) -> None:
    picker = LossPicker(
        triplets, Loss("MatryoshkaLoss", loss=Loss("TripletLoss", triplet_margin=0.3), matryoshka_dims=[8])
    )
    html = picker.static()
    assert "<td>0.3</td>" in html and "EUCLIDEAN (default)" in html and "<svg" in html
    assert "Losses that suit" in html and "GISTEmbedLoss" in html
    assert "<script" not in html
    assert len(html) < 150_000


def test_closing_closes_all_controls(triplets: Examples) -> None:
    form = LossPicker(triplets, Loss("AdaptiveLayerLoss", loss="TripletLoss")).form
    control = form.nested.controls["triplet_margin"]
    assert control.comm is not None
    form.close()
    assert control.comm is None


def test_opening_and_choosing_loads_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from workbench.widgets.loss_picker import LossPicker\n"
        "picker = LossPicker('glossary/triplets')\n"
        "picker.select.value = 'TripletLoss'\n"
        "picker.form.controls['triplet_margin'].value = 0.3\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'umap', 'sklearn', 'matplotlib')\n"
        "print(json.dumps([picker.code, [name for name in heavy if name in sys.modules]]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == ["wb.Loss('TripletLoss', triplet_margin=0.3)", []]
