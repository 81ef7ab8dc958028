"""The model picker as a person uses it: lists, names, numbers; nothing is fetched, nothing is loaded."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from workbench.catalog import hub, models, weights
from workbench.catalog.models import ModelInfo
from workbench.errors import ModelError, RecipeError
from workbench.recipe import DEFAULT_MODEL
from workbench.widgets.model_picker import ModelPicker

L12 = "sentence-transformers/all-MiniLM-L12-v2"
E5 = "intfloat/e5-small-v2"


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on this machine, and what asks the network fails the test."""

    def asked(*_: Any) -> Any:
        raise AssertionError("asked the network")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "PACKAGED", {})
    monkeypatch.setattr(hub, "reachable", asked)
    monkeypatch.setattr(hub, "download", asked)
    monkeypatch.setattr(weights, "_digests", {})
    monkeypatch.chdir(tmp_path)


def settled(panel: ModelPicker) -> ModelPicker:
    panel.settle(60)
    return panel


def choose(panel: ModelPicker, name: object) -> ModelPicker:
    """Type a name and press Enter."""
    panel._other.value = str(name)
    return settled(panel)


def names(panel: ModelPicker) -> list[str]:
    return [value for _, value in panel._list.options]


def lines(panel: ModelPicker) -> dict[str, str]:
    return {value: label for label, value in panel._list.options}


def pickled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    return folder


# opening


def test_it_opens_with_the_default_and_its_known_facts_at_once() -> None:
    panel = ModelPicker()
    assert (panel.model, panel.batch_size, panel.texts, panel.tokens) == (DEFAULT_MODEL, 16, 2, 128)
    for fact in (
        "22.7 million",
        "384 numbers per vector",
        "256 tokens",
        "apache-2.0",
        "2e-05",
        "about 2.5 GB",
        "Small",
    ):
        assert fact in panel._facts.value
    assert panel.code == f"model = {DEFAULT_MODEL!r}"
    assert names(panel) == list(models.KNOWN)
    settled(panel)


def test_the_constructor_takes_back_what_the_traits_say(tiny_bert: Path) -> None:
    first = settled(ModelPicker(tiny_bert, batch_size=8, texts=3, tokens=32))
    again = settled(ModelPicker(first.model, batch_size=first.batch_size, texts=first.texts, tokens=first.tokens))
    assert (again.model, again.batch_size, again.texts, again.tokens) == (str(tiny_bert), 8, 3, 32)
    assert [again._counts[name].value for name in ("batch_size", "texts", "tokens")] == [8, 3, 32]


def test_the_line_of_code_is_python_that_names_the_model(tmp_path: Path, tiny_bert: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / 'it\'s\\a "model"')
    panel = settled(ModelPicker(folder))
    tree = ast.parse(panel.code)
    assert isinstance(tree.body[0], ast.Assign)
    assert ast.literal_eval(tree.body[0].value) == panel.model == str(folder)


def test_a_misspelt_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="did you mean 'batch_size'"):
        ModelPicker(batchsize=3)  # type: ignore[call-arg]


def test_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from workbench.widgets.model_picker import ModelPicker; p = ModelPicker(); p.settle(30); p.static();"
        "print(*[m for m in ('torch', 'transformers', 'sentence_transformers', 'umap', 'sklearn', 'pandas', 'datasets')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# the list


def test_a_click_in_the_list_chooses_the_model_without_a_network() -> None:
    panel = settled(ModelPicker())
    panel._list.value = L12
    settled(panel)
    assert panel.model == L12
    assert panel.info == models.KNOWN[L12]
    assert "it will be fetched from the Hub (needs a network) when it is first used" in panel._facts.value
    assert panel.code == f"model = {L12!r}"
    assert panel.message == ""


def test_the_list_says_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch, tiny_bert: Path) -> None:
    monkeypatch.setattr(hub, "_packaged", lambda name: (tiny_bert, "package tiny") if name == E5 else None)
    panel = settled(ModelPicker())
    assert lines(panel)[E5].endswith("33.4 M parameters · on this machine")
    assert lines(panel)[L12].endswith("to be fetched")


@pytest.mark.parametrize(
    ("search", "found"),
    [("E5", [E5]), ("50 languages", ["sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"]), ("xyz", [])],
)
def test_typing_filters_by_name_and_note_and_changes_nothing_else(search: str, found: list[str]) -> None:
    panel = settled(ModelPicker())
    panel._search.value = search
    assert names(panel) == found
    assert f"{len(found)} of {len(models.KNOWN)} models" in panel._found.value
    assert panel.model == DEFAULT_MODEL
    assert panel._list.value is None
    panel._search.value = ""
    assert panel._list.value == DEFAULT_MODEL
    assert names(panel) == list(models.KNOWN)


# another model


def test_a_folder_is_read_before_it_is_chosen(tiny_bert: Path) -> None:
    panel = choose(ModelPicker(), tiny_bert)
    assert panel.model == str(tiny_bert)
    assert panel.message == f"Chosen: {tiny_bert}"
    assert panel.info.dimension == 32
    assert "folder " in panel._facts.value
    assert panel._list.value == str(tiny_bert)
    panel._list.value = DEFAULT_MODEL
    assert str(tiny_bert) in names(settled(panel))


def test_a_run_folder_is_a_model(tiny_bert: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    shutil.copytree(tiny_bert, run / "model")
    (run / "recipe.yaml").write_text("loss: x")
    panel = choose(ModelPicker(), run)
    assert panel.model == str(run)
    assert panel.info.path == run / "model"
    assert "run folder" in panel._facts.value


def test_a_hub_id_that_is_not_here_is_chosen_and_said_to_be_fetched_later() -> None:
    panel = choose(ModelPicker(), "owner/name")
    assert panel.model == "owner/name"
    assert "not on this machine; it will be fetched" in panel.message
    assert "unknown until it is fetched" in panel._facts.value
    assert "at least 0.65 GB" in panel._facts.value
    assert panel.info == ModelInfo("owner/name")
    assert panel.memory.is_lower_bound


def test_the_button_tries_the_same_name_again(tiny_bert: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    panel = choose(ModelPicker(), late)
    assert panel.model == DEFAULT_MODEL
    shutil.copytree(tiny_bert, late)
    panel._use.click()
    assert settled(panel).model == str(late)


def test_an_empty_name_does_nothing() -> None:
    panel = settled(ModelPicker())
    panel._other.value = "  "
    panel._use.click()
    assert (settled(panel).model, panel.message) == (DEFAULT_MODEL, "")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nonsense", "a Hub id such as owner/name, got 'nonsense'; for a model of the Hub write its owner too"),
        ("all-MiniLM-L6-v3", "did you mean 'all-MiniLM-L6-v2'?"),
        ("/nowhere/at/all", "check the path"),
        ("a/b/c", "check the path"),
        ("<img src=x onerror=alert(1)>", "check the path"),
        ("a b/$c$", "check the path"),
        ("x" * 5000, "check the path"),
        ("a\0b", "check the path"),
    ],
)
def test_a_name_that_cannot_be_a_model_leaves_the_last_one_and_says_why(name: str, why: str) -> None:
    panel = choose(settled(ModelPicker(E5)), name)
    assert panel.model == E5
    assert why in panel.message
    assert len(panel.message) < 500
    assert "<img" not in panel._line.value


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    panel = choose(ModelPicker(), tmp_path)
    assert panel.model == DEFAULT_MODEL
    assert "there is neither config.json nor modules.json" in panel.message


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    panel = choose(ModelPicker(), pickled(tmp_path / "evil"))
    assert panel.model == DEFAULT_MODEL
    assert "pickled weights (pytorch_model.bin), which can run code when loaded and are refused" in panel.message


def test_only_the_newest_of_two_names_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = settled(ModelPicker())
    go, describe = threading.Event(), models.describe

    def slow(name: str, **options: Any) -> ModelInfo:
        go.wait(60)
        return describe(name, **options)

    monkeypatch.setattr(models, "describe", slow)
    for name in ("nonsense", "owner/older", "owner/newer"):
        panel._other.value = name
    seen: list[str] = []
    panel.observe(lambda change: seen.append(change["new"]), "model")
    go.set()
    settled(panel)
    assert seen == ["owner/newer"]
    assert panel.message.startswith("Chosen: owner/newer")


def test_a_click_in_the_list_makes_a_name_that_is_still_looked_at_void(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = settled(ModelPicker())
    go, describe = threading.Event(), models.describe

    def slow(name: str, **options: Any) -> ModelInfo:
        go.wait(60)
        return describe(name, **options)

    monkeypatch.setattr(models, "describe", slow)
    panel._other.value = "owner/older"
    panel._list.value = E5
    go.set()
    assert settled(panel).model == E5
    assert panel.message == ""


# numbers


def test_the_controls_and_the_traits_follow_each_other_and_so_does_the_memory() -> None:
    panel = settled(ModelPicker())
    panel._counts["batch_size"].value = 32
    assert panel.batch_size == 32
    assert "a batch of 32 rows of 2 texts, padded to 128 tokens" in panel._facts.value
    panel.texts, panel.tokens = 3, 64
    assert (panel._counts["texts"].value, panel._counts["tokens"].value) == (3, 64)
    assert "a batch of 32 rows of 3 texts, padded to 64 tokens" in panel._facts.value
    assert panel.memory.assumes in panel._facts.value


def test_texts_are_cut_at_the_limit_before_memory_is_estimated() -> None:
    panel = settled(ModelPicker(tokens=5000))
    assert panel.tokens == 5000
    assert "padded to 256 tokens" in panel._facts.value


@pytest.mark.parametrize("name", ["batch_size", "texts", "tokens"])
@pytest.mark.parametrize("wrong", [0, -3, 10**7, True, 1.5, "16", None])
def test_a_wrong_number_is_refused_and_the_last_one_stays(name: str, wrong: object) -> None:
    panel = settled(ModelPicker())
    before = getattr(panel, name)
    with pytest.raises(RecipeError, match=rf"^{name}: expected a whole number from 1 to 1,000,000, got "):
        setattr(panel, name, wrong)
    assert getattr(panel, name) == panel._counts[name].value == before


# set from Python


def test_another_model_set_from_python_moves_the_list_and_the_facts(tiny_static: Path) -> None:
    panel = settled(ModelPicker())
    panel.model = E5
    assert panel._list.value == E5
    assert "512 tokens" in panel._facts.value
    panel.model = str(tiny_static)
    assert "none: texts of any length" in settled(panel)._facts.value
    assert panel.memory.activations_bytes is not None
    assert panel._list.value == str(tiny_static)


def test_the_short_name_of_a_known_model_is_found_in_the_list() -> None:
    panel = settled(ModelPicker("all-MiniLM-L12-v2"))
    assert (panel.model, panel._list.value) == ("all-MiniLM-L12-v2", L12)


@pytest.mark.parametrize("wrong", ["nonsense", "/nowhere", 3, None, ["a/b"]])
def test_a_wrong_name_from_python_is_an_error(wrong: Any) -> None:
    panel = settled(ModelPicker())
    with pytest.raises(ModelError, match="expected a model folder, a run folder or a Hub id"):
        panel.model = wrong
    assert panel.model == DEFAULT_MODEL
    with pytest.raises(ModelError):
        ModelPicker(wrong)


def test_pickled_weights_from_python_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pickled weights"):
        ModelPicker(pickled(tmp_path / "evil"))


def test_damaged_weights_give_the_last_good_model_back(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "damaged")
    weights.write_checksums(folder)
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    panel = settled(ModelPicker(E5))
    panel.model = str(folder)
    settled(panel)
    assert panel.model == E5
    assert "the weights are damaged" in panel.message
    assert panel._list.value == E5


def test_info_is_right_at_once_after_a_model_is_set(tiny_bert: Path) -> None:
    panel = ModelPicker()
    panel.model = str(tiny_bert)
    assert panel.info.dimension == 32
    settled(panel)


# hostile texts, and the static picture


def test_hostile_names_licences_and_notes_are_escaped(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "<img src=x onerror=alert(1)>")
    (folder / "README.md").write_text("---\nlicense: <script>alert(2)</script>\n---\n")
    panel = settled(ModelPicker(folder))
    for html in (panel._facts.value, panel.static(), panel._shown_code.value, panel._line.value, panel._found.value):
        assert "<img" not in html and "<script" not in html
    assert "&lt;script&gt;alert(2)" in panel._facts.value
    assert "&lt;img" in panel.static()


def test_the_static_picture_holds_the_facts_and_the_memory() -> None:
    panel = settled(ModelPicker())
    assert "wb-table" in panel.static()
    assert "about 2.5 GB" in panel.static()
    assert len(panel.static()) < 10_000


def test_a_closed_panel_stays_quiet() -> None:
    panel = ModelPicker()
    panel.close()
    assert panel.comm is None
