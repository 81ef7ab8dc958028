"""The recipe: whole through YAML, all mistakes at once, comparable, frozen."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import RecipeError, WorkbenchError, did_you_mean
from workbench.recipe import DEFAULT_MODEL, DataSpec, Lora, Loss, Recipe, read_settings, to_loss, with_settings

BASE = "loss: TripletLoss\ndata: rows.csv\n"
WEIRD = [
    "a\x85b",
    "\u2028",
    "\ufeffx",
    " lead",
    "trail ",
    "a: b",
    "# no",
    "- x",
    "null",
    "yes",
    "1e3",
    "2024-01-01",
    "~",
]
WEIRD += [
    "'\"\\",
    "\t",
    "a\r\nb",
    "é\n\n z",
    "\x00\x07\x1b",
    "😀 \U0010ffff",
    "!!python/object:x",
    "&a *a",
    "{}",
    "[",
    "%",
]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(WEIRD)
name = text.filter(bool)
share = st.floats(0.001, 1) | st.integers(1, 10**6).map(float)


def recipe(**changes: object) -> Recipe:
    return Recipe(**{"loss": Loss("TripletLoss"), "data": "rows.csv", **changes})


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


plain_losses = st.one_of(
    st.builds(Loss, st.just("TripletLoss"), triplet_margin=st.floats(0, 10)),
    st.builds(Loss, st.just("MultipleNegativesRankingLoss"), scale=st.floats(0.01, 100)),
    st.just(Loss("CoSENTLoss")),
)
matryoshkas = st.builds(
    Loss,
    st.just("MatryoshkaLoss"),
    loss=plain_losses,
    matryoshka_dims=st.lists(st.integers(1, 1024), min_size=1, max_size=4, unique=True),
    n_dims_per_step=st.integers(1, 3),
)
losses = plain_losses | matryoshkas
specs = st.builds(
    DataSpec,
    source=name,
    config=optional(text),
    split=optional(text),
    columns=st.dictionaries(text, st.sampled_from(["anchor", "positive", "negative", "label", "score", "ignore"])),
    rows=optional(st.integers(1, 10**9)),
    delimiter=optional(st.sampled_from(["\t", ";", ",", "|", " ", "\x1f", "'"])),
    encoding=st.sampled_from(["utf-8", "latin-1"]),
    bad_rows=st.sampled_from(["raise", "leave out"]),
)
loras = st.builds(
    Lora,
    r=st.integers(1, 1024),
    alpha=st.integers(1, 4096),
    dropout=st.floats(0, 0.99),
    target_modules=optional(st.lists(text, max_size=3).map(tuple)),
)
recipes = st.builds(
    Recipe,
    model=name,
    revision=optional(text),
    loss=losses,
    data=specs,
    eval_data=optional(specs),
    eval_share=st.floats(0, 0.5),
    name=optional(text),
    epochs=st.floats(0, 1000, exclude_min=True),
    max_steps=optional(st.integers(1, 10**6)),
    batch_size=st.integers(1, 65536),
    batch_sampler=st.sampled_from(["batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label"]),
    drop_last=st.booleans(),
    max_seq_length=optional(st.integers(2, 8192)),
    prompts=st.none() | text | st.dictionaries(text, text, max_size=3),
    optimizer=st.sampled_from(["adamw", "sgd"]),
    learning_rate=st.floats(0, 100, exclude_min=True),
    scheduler=st.sampled_from(["linear", "cosine", "constant_with_warmup"]),
    warmup=share | st.just(0.0),
    max_grad_norm=st.floats(0, 1e6) | st.just(float("inf")),
    precision=st.sampled_from(["auto", "fp32", "bf16", "fp16"]),
    lora=optional(loras),
    seed=st.integers(0, 2**32 - 1),
    logging_steps=share,
    eval_steps=share,
    save_steps=share,
    report_to=st.lists(st.sampled_from(["tensorboard", "trackio"]), max_size=2).map(tuple),
)


# through YAML


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes)
def test_a_recipe_comes_back_from_its_yaml_as_it_was(made: Recipe) -> None:
    again = Recipe.from_yaml(made.to_yaml())
    assert again == made
    assert again.diff(made) == {}
    assert again.fingerprint == made.fingerprint


@pytest.mark.parametrize("value", WEIRD)
def test_no_character_of_a_text_changes_in_a_file(value: str, tmp_path: Path) -> None:
    made = recipe(name=value, prompts={value: value}, data={"source": value, "columns": {value: "anchor"}})
    made.to_yaml(tmp_path / "recipe.yaml")
    assert Recipe.from_yaml(tmp_path / "recipe.yaml") == made
    assert Recipe.from_yaml(str(tmp_path / "recipe.yaml")) == made


def test_losses_nested_twice_come_back_with_all_parameters() -> None:
    inner = Loss("TripletLoss", distance_metric="COSINE", triplet_margin=0.3)
    middle = Loss("MatryoshkaLoss", loss=inner, matryoshka_dims=[32, 16], matryoshka_weights=[1, 0.5])
    made = recipe(loss=Loss("AdaptiveLayerLoss", loss=middle))
    again = Recipe.from_yaml(made.to_yaml())
    assert again.loss == made.loss
    assert again.loss.innermost == inner
    assert again.loss.parameters["loss"].parameters["matryoshka_weights"] == [1, 0.5]


def test_the_source_of_a_loss_of_ones_own_comes_back_line_by_line() -> None:
    source = (
        "from torch import nn\n\n\nclass MyLoss(nn.Module):\n"
        "    def __init__(self, model, scale: float = 2.0) -> None:\n        super().__init__()\n"
        "        self.model, self.scale = model, scale  # 'quoted' \"too\"\t\n\n"
        "    def forward(self, sentence_features, labels):\n        return 0\n"
    )
    made = recipe(loss=Loss("MyLoss", source=source, scale=3.0))
    again = Recipe.from_yaml(made.to_yaml())
    assert again.loss.source == source
    assert again.loss.parameters == {"scale": 3.0}


def test_yaml_leaves_out_what_is_at_its_default() -> None:
    text = recipe(batch_size=16, seed=7, learning_rate=2e-5).to_yaml()
    assert read_settings(text) == {"loss": {"name": "TripletLoss"}, "data": {"source": "rows.csv"}, "seed": 7}


def test_short_forms_of_loss_and_data_are_read() -> None:
    made = Recipe.from_yaml(BASE)
    assert made == recipe()
    assert made.model == DEFAULT_MODEL


def test_exponents_without_a_point_are_numbers_although_yaml_reads_text() -> None:
    made = Recipe.from_yaml("learning_rate: 2e-5\ndata: x\nloss:\n  name: TripletLoss\n  triplet_margin: 3e-1\n")
    assert made.learning_rate == 2e-5
    assert made.loss.parameters == {"triplet_margin": 0.3}


# hostile and broken files


@pytest.mark.parametrize(
    "line",
    [
        "name: !!python/object/apply:os.system ['touch hacked']",
        "name: !!python/name:os.system",
        "!!python/object:workbench.recipe.Recipe {}: 1",
        "name: [1",
        "name: a: b",
        "\tname: x",
        "name: 'open",
        "? [a]\n: b",
        "- a",
        "name: *unknown",
        "\x00",
        "name: 2024-99-99",
        "name: !!int ''",
        "name: !!float x",
        "name: !!bool x",
        "name: !!timestamp x",
        "seed: " + "9" * 5000,
        "name: " + "[" * 3000,
    ],
)
def test_yaml_that_breaks_the_rules_is_one_sentence(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"expected YAML.*breaks its rules") as caught:
        Recipe.from_yaml(BASE + line + "\n")
    assert len(str(caught.value)) < 300
    assert not (tmp_path / "hacked").exists()


def test_the_line_of_a_mistake_in_yaml_is_named() -> None:
    with pytest.raises(RecipeError, match="at line 3"):
        Recipe.from_yaml(BASE + "name: 'open")


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words\nof text\n", "1: 2\n3: 4\n", "3\n", "# nothing\n", "\n"])
def test_yaml_that_is_no_mapping_of_names_is_refused(content: str) -> None:
    with pytest.raises(
        RecipeError, match=r"expected settings such as 'batch_size: 16'.*start with model, loss and data"
    ):
        Recipe.from_yaml(content)


@pytest.mark.parametrize("setting", ["name", "prompts", "columns", "loss"])
def test_a_bomb_of_aliases_is_refused_before_it_grows(setting: str) -> None:
    lines = ["a: &x0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(RecipeError, match="at most 100,000 values"):
        Recipe.from_yaml("\n".join([*lines, f"{setting}: *x11"]))


@pytest.mark.parametrize(
    "content",
    ["loss: &a {name: MatryoshkaLoss, matryoshka_dims: [8], loss: *a}\ndata: x\n", "name: &a [*a]\n" + BASE],
)
def test_yaml_that_holds_itself_is_refused(content: str) -> None:
    with pytest.raises(RecipeError, match="at most 100,000 values"):
        Recipe.from_yaml(content)


def test_an_alias_that_only_saves_typing_is_read() -> None:
    made = Recipe.from_yaml("loss: TripletLoss\ndata: &d {source: a.csv}\neval_data: *d\n")
    assert made.eval_data == made.data


def test_a_deep_or_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(RecipeError, match=r"^name: expected a valid string, got \[") as caught:
        recipe(name=[["x" * 10_000] * 1000] * 50)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", ["missing.yaml", "a\0b", "", "x" * 5000])
def test_a_path_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(RecipeError, match=r"expected a recipe file.*cannot be read.*check the path") as caught:
        Recipe.from_yaml(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"\xff\xfe\x00r\x00", b"\x89PNG\r\n\x1a\n\x00\x00", bytes(range(128, 256))])
def test_a_binary_file_is_no_recipe(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        Recipe.from_yaml(tmp_path / "recipe.yaml")


# mistakes


def test_five_mistakes_are_all_named_with_what_came_and_what_to_do() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(batch_size=0, learning_rate="fast", eval_share=0.9, epoch=3, data={"source": "x", "rows": -1})
    problems = caught.value.problems
    assert len(problems) == 5
    assert "data.rows: expected greater than or equal to 1, got -1" in problems[0]
    assert "eval_share: expected less than or equal to 0.5, got 0.9; Share of rows held out" in problems[1]
    assert "batch_size: expected greater than or equal to 1, got 0; Rows of one forward pass" in problems[2]
    assert "learning_rate: expected a valid number" in problems[3]
    assert "got 'fast'; Peak learning rate" in problems[3]
    assert problems[4] == "epoch: expected the name of a setting, got 'epoch'; did you mean 'epochs'?"
    assert str(caught.value).startswith("The recipe has 5 problems:\n  1. data.rows")
    assert isinstance(caught.value, WorkbenchError)


def test_mistakes_in_the_loss_are_listed_with_the_others() -> None:
    bad = {"name": "TripletLoss", "triplet_margin": -1, "distance_metrik": "COSINE"}
    with pytest.raises(RecipeError) as caught:
        recipe(loss=bad, seed=-1)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "loss.triplet_margin",
        "loss.distance_metrik",
        "seed",
    ]
    assert "did you mean 'distance_metric'?" in caught.value.problems[1]


def test_one_mistake_is_one_sentence() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(device="gpu")
    assert str(caught.value).startswith("device: expected 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'")
    assert caught.value.problems == (str(caught.value),)


def test_missing_loss_and_data_are_both_asked_for() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe()
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "loss: expected a value, got none",
        "data: expected a value, got none",
    ]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"bach_size": 3}, "did you mean 'batch_size'?"),
        ({"data": {"source": "x", "colums": {}}}, "did you mean 'columns'?"),
        ({"lora": {"ranc": 3}}, "known are r, alpha, dropout, target_modules"),
        ({"lora": {"dropuot": 0.3}}, "did you mean 'dropout'?"),
        ({"loss": "TripletLos"}, "did you mean 'TripletLoss'?"),
        ({"xyzzy": 3}, "known are model, revision, loss"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(given: dict, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(**given)
    assert hint in str(caught.value)


@pytest.mark.parametrize("setting", ["warmup", "logging_steps", "eval_steps", "save_steps"])
def test_a_number_between_shares_and_steps_is_refused(setting: str) -> None:
    with pytest.raises(RecipeError, match=f"{setting}: expected a share below 1 or a whole number of steps, got 2.5"):
        recipe(**{setting: 2.5})


@pytest.mark.parametrize("setting", ["warmup", "logging_steps", "eval_steps", "save_steps"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -0.1])
def test_shares_and_steps_are_finite_and_not_negative(setting: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"^{setting}: expected "):
        recipe(**{setting: value})


@pytest.mark.parametrize("value", [3, None, ["TripletLoss"], {"triplet_margin": 1}, {"name": 3}, {1: 2, "name": "x"}])
def test_what_is_no_loss_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(RecipeError, match=r"expected a loss name or a mapping with 'name'.*write for instance"):
        recipe(loss=value)


def test_what_is_no_data_is_told_to_be_loaded_first() -> None:
    with pytest.raises(RecipeError, match=r"data: expected a path.*got list; call wb\.load\(\) on it first"):
        recipe(data=[["a", "b"]])


def test_loaded_examples_bring_their_own_description() -> None:
    spec = DataSpec(source="rows.csv", split="train")
    assert recipe(data=SimpleNamespace(spec=spec)).data == spec
    assert recipe(data=Path("rows.csv")).data == DataSpec(source="rows.csv")


# comparing


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    made = recipe(prompts={"b": "2", "a": "1"}, data={"source": "x", "columns": {"q": "anchor", "d": "positive"}})
    code = (
        "from workbench.recipe import Recipe\n"
        f"print(Recipe.from_yaml({made.to_yaml()!r}).fingerprint, Recipe.from_yaml({BASE!r}).fingerprint)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        )
        assert answer.stdout.split() == [made.fingerprint, recipe().fingerprint]
    assert len(made.fingerprint) == 16
    assert int(made.fingerprint, 16) >= 0


def test_name_order_and_written_defaults_do_not_change_the_fingerprint() -> None:
    made = recipe(prompts={"b": "2", "a": "1"}, seed=7)
    same = recipe(seed=7, prompts={"a": "1", "b": "2"}, name="another", batch_size=16)
    assert same.fingerprint == made.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 43},
        {"model": "x/y"},
        {"loss": Loss("TripletLoss", triplet_margin=0.2)},
        {"data": {"source": "rows.csv", "rows": 10}},
        {"eval_data": "rows.csv"},
        {"prompts": ""},
        {"lora": {}},
        {"report_to": ["trackio"]},
    ],
)
def test_every_setting_that_matters_changes_the_fingerprint(change: dict) -> None:
    assert recipe(**change).fingerprint != recipe().fingerprint


def test_diff_names_each_difference_with_its_place() -> None:
    nested = Loss("MatryoshkaLoss", loss=Loss("TripletLoss", triplet_margin=0.2), matryoshka_dims=[8, 4])
    other = recipe(loss=nested, data={"source": "rows.csv", "columns": {"q.a": "anchor"}}, lora={"r": 4}, seed=1)
    assert recipe().diff(other) == {
        "loss.name": ("TripletLoss", "MatryoshkaLoss"),
        "loss.loss.name": (None, "TripletLoss"),
        "loss.loss.triplet_margin": (None, 0.2),
        "loss.matryoshka_dims": (None, [8, 4]),
        "data.columns.q.a": (None, "anchor"),
        "lora.r": (None, 4),
        "lora.alpha": (None, 32),
        "lora.dropout": (None, 0.1),
        "seed": (42, 1),
    }


def test_diff_with_itself_is_empty_and_turns_around() -> None:
    assert recipe().diff(recipe()) == {}
    assert recipe(seed=1).diff(recipe(seed=2)) == {"seed": (1, 2)}
    assert recipe(seed=2).diff(recipe(seed=1)) == {"seed": (2, 1)}


def test_changed_gives_a_new_checked_recipe_and_keeps_the_old() -> None:
    made = recipe(seed=7, loss=Loss("TripletLoss", triplet_margin=0.2))
    other = made.changed(batch_size=32)
    assert made.diff(other) == {"batch_size": (16, 32)}
    assert made.batch_size == 16
    with pytest.raises(RecipeError, match="did you mean 'batch_size'"):
        made.changed(batchsize=3)
    with pytest.raises(RecipeError, match="batch_size: expected greater than or equal to 1, got 0"):
        made.changed(batch_size=0)


def test_changed_back_is_the_same_recipe_again() -> None:
    made = recipe(seed=7)
    assert made.changed(seed=8).changed(seed=7) == made
    assert made.changed(seed=42).fingerprint == recipe().fingerprint


# frozen


def test_a_recipe_and_its_parts_are_frozen() -> None:
    made = recipe(lora={})
    for part, setting in ((made, "seed"), (made.data, "source"), (made.lora, "r")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(part, setting, 1)


def test_a_loss_is_frozen() -> None:
    loss = Loss("TripletLoss", triplet_margin=0.2)
    with pytest.raises(AttributeError, match="frozen"):
        loss.name = "CoSENTLoss"
    with pytest.raises(TypeError):
        loss.parameters["triplet_margin"] = 9
    assert loss.parameters == {"triplet_margin": 0.2}


def test_a_loss_does_not_follow_a_list_that_changes_later() -> None:
    dims = [8, 4]
    loss = Loss("MatryoshkaLoss", loss="TripletLoss", matryoshka_dims=dims)
    dims.append(2)
    assert loss.parameters["matryoshka_dims"] == [8, 4]


def test_equal_losses_are_one_in_a_set_and_survive_copies() -> None:
    loss = Loss("MatryoshkaLoss", loss=Loss("TripletLoss", triplet_margin=0.2), matryoshka_dims=[8, 4])
    same = to_loss(loss.to_dict())
    assert len({loss, same, copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))}) == 1
    assert loss != Loss("TripletLoss")
    assert repr(loss) == "Loss('MatryoshkaLoss', loss=Loss('TripletLoss', triplet_margin=0.2), matryoshka_dims=[8, 4])"


def test_a_pickled_recipe_is_the_same_recipe() -> None:
    made = recipe(loss=Loss("TripletLoss", triplet_margin=0.2), lora={"r": 4})
    assert pickle.loads(pickle.dumps(made)) == made


def test_every_setting_says_what_it_is() -> None:
    for part in (Recipe, DataSpec, Lora):
        for setting, field in part.model_fields.items():
            assert field.description, setting


@pytest.mark.parametrize(("word", "hint"), [("epoch", "; did you mean 'epochs'?"), ("zzz", ""), ("", "")])
def test_a_hint_comes_only_when_something_is_close(word: str, hint: str) -> None:
    assert did_you_mean(word, ["epochs", "seed"]) == hint


def test_a_number_that_no_setting_has_is_refused_where_it_stands() -> None:
    with pytest.raises(
        RecipeError, match="fit into 64 bits, got one of 6,002 characters in line 3; write a smaller one"
    ):
        Recipe.from_yaml(f"loss: CoSENTLoss\ndata: rows.csv\nepochs: 0x{'f' * 6000}\n")


def test_an_adapter_refuses_what_only_a_trained_model_can_have_all_at_once() -> None:
    with pytest.raises(RecipeError) as refused:
        Recipe(
            loss=Loss("GISTEmbedLoss", guide="org/guide"),
            data="glossary/qa",
            method="adapter",
            lora={"r": 4},
            gradient_checkpointing=True,
        )
    first, second, third = refused.value.problems
    assert first.startswith("lora: expected none with method: adapter")
    assert second.startswith("gradient_checkpointing: expected none with method: adapter")
    assert third == (
        "loss: GISTEmbedLoss reads the tokens with another model (guide), and an adapter is trained on finished vectors; "
        "take another loss, or set method: full"
    )


def test_a_loss_inside_another_is_refused_for_an_adapter_too() -> None:
    inside = Loss("MatryoshkaLoss", loss=Loss("GISTEmbedLoss", guide="org/guide"), matryoshka_dims=[8])
    with pytest.raises(RecipeError, match="GISTEmbedLoss reads the tokens"):
        Recipe(loss=inside, data="glossary/qa", method="adapter")


def test_an_adapter_is_a_setting_like_any_other() -> None:
    made = Recipe(loss="TripletLoss", data="glossary/triplets", method="adapter")
    assert Recipe.from_yaml(made.to_yaml()) == made
    assert made.fingerprint != made.changed(method="full").fingerprint


def test_settings_are_changed_by_dotted_names() -> None:
    made = Recipe(loss="TripletLoss", data="glossary/triplets", lora={"r": 4})
    changed = with_settings(made, ["loss.triplet_margin=0.3", "epochs=2", "lora.alpha=8", "name=a b", "max_steps=null"])
    assert changed.loss == Loss("TripletLoss", triplet_margin=0.3)
    assert (changed.epochs, changed.lora.alpha, changed.name, changed.max_steps) == (2.0, 8, "a b", None)
    assert with_settings(made, []) == made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs", "expected a change such as loss.scale=30, got 'epochs'; write name=value"),
        ("=3", "expected a change such as loss.scale=30, got '=3'"),
        ("epochs.a=3", "epochs.a: expected a setting that has parts, but epochs has none"),
        ("name=[", "name: expected a value as YAML, got '\\['; put a text into quotes"),
        ("loss.triplet_margni=3", "did you mean 'triplet_margin'"),
    ],
)
def test_a_change_that_cannot_be_made_is_a_sentence(change: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        with_settings(Recipe(loss="TripletLoss", data="glossary/triplets", epochs=1.5), [change])
