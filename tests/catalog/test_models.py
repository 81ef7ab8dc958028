"""Where weights come from, and which are refused."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file

from workbench.catalog import hub, models, weights
from workbench.data.tokens import token_stats
from workbench.errors import ModelError, WorkbenchError
from workbench.files import sha256

TEXT = pd.DataFrame({"text": ["the cat"]})
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Hub cache, no package with weights, no network, and no file digests of another test."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "PACKAGED", {})
    monkeypatch.setattr(hub, "reachable", lambda endpoint: False)
    monkeypatch.setattr(weights, "_digests", {})
    monkeypatch.chdir(tmp_path)


def write(folder: Path, **content: object) -> Path:
    """A model folder by hand: JSON files, and a few weights."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"config": {"hidden_size": 4}, "modules": [TRANSFORMER, POOLING], **content}
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (folder / f"{name}.json").write_text(text)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    save_file({"layer": np.ones((4, 3), dtype=np.float32)}, folder / "model.safetensors")
    return folder


def flip(path: Path, place: int = -1) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


# found, or not


@pytest.mark.parametrize("name", ["owner/name", "no-such-model", "x" * 400, "a b/c?", "a\0b"])
def test_an_unknown_name_without_a_network_names_the_three_ways(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.find(name)
    message = str(caught.value)
    assert message.startswith("model ")
    assert repr(models.full_name(name)) in message
    assert "is not on this machine and the model hub cannot be reached" in message
    assert "give a folder that holds it" in message
    assert "put it into the local Hub cache" in message
    assert 'pip install "embedding-workbench[offline]"' in message
    assert isinstance(caught.value, WorkbenchError)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./here", "../there", "~nobody-at-all/model", "a/b/c", "a//b"])
def test_a_path_that_is_not_there_is_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(ModelError, match=r"expected a model folder or a Hub id such as owner/name, got .*neither"):
        models.find(name)


def test_offline_mode_does_not_even_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    def knocked(endpoint: str) -> bool:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "reachable", knocked)
    with pytest.raises(ModelError, match="cannot be reached"):
        models.find("owner/name")


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    silent = threading.Event()

    def wait(*_: object, **__: object) -> None:
        silent.wait()
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", wait)
    monkeypatch.setattr(hub, "HUB_WAIT_S", 0.02)
    try:
        assert not hub.reachable("https://hub.invalid")
    finally:
        silent.set()


@pytest.mark.parametrize("proxy", [None, "http://proxy.invalid:3128"])
def test_the_knock_goes_to_the_hub_or_to_its_proxy(proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    asked = []

    def refused(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refused)
    assert not hub.reachable("https://hub.invalid")
    assert asked == [("proxy.invalid", 3128) if proxy else ("hub.invalid", 443)]


def test_the_longest_wait_for_a_hub_is_below_three_seconds() -> None:
    assert hub.HUB_WAIT_S < 3


def test_short_names_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert models.full_name("all-MiniLM-L6-v2") == MINILM
    assert models.full_name("owner/name") == "owner/name"
    assert models.full_name("mine") == "mine"


def test_a_folder_is_found_by_path_and_by_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    for name in (folder, str(folder), "mine"):
        found = models.find(name)
        assert found.path.resolve() == folder.resolve()
        assert found.origin.startswith("folder ")
    assert models.files(folder) == folder


def test_a_run_folder_stands_for_its_finished_model(tmp_path: Path) -> None:
    write(tmp_path / "run" / "model")
    (tmp_path / "run" / "recipe.yaml").write_text("loss: x")
    found = models.find(tmp_path / "run")
    assert found.path == tmp_path / "run" / "model"
    assert found.origin == f"run folder {tmp_path / 'run'}"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty, but there is neither config\.json nor modules\.json"):
        models.find(tmp_path / "empty")


# packaged weights


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution that carries a model; returns its folder of weights."""
    site = tmp_path / "site"
    folder = write(site / "carrier" / "model")
    (site / "weight_carrier-1.0.dist-info").mkdir()
    (site / "weight_carrier-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: weight-carrier\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(str(site))
    good = sha256(folder / "model.safetensors")
    monkeypatch.setattr(hub, "PACKAGED", {MINILM: ("weight-carrier", "carrier/model", good)})
    return folder


def test_packaged_weights_are_found_without_importing_the_package(package: Path) -> None:
    (package.parent / "__init__.py").write_text("raise AssertionError('imported')")
    found = models.find("all-MiniLM-L6-v2")
    assert (found.name, found.path, found.origin) == (MINILM, package, "package weight-carrier")


def test_a_flipped_byte_in_packaged_weights_is_refused(package: Path) -> None:
    flip(package / "model.safetensors")
    with pytest.raises(ModelError, match=r"SHA-256.*in the package weight-carrier, got.*damaged.*--force-reinstall"):
        models.find(MINILM)


def test_the_catalogue_says_where_packaged_weights_are(package: Path) -> None:
    here = {info.name: info.where for info in models.models()}
    assert here.pop(MINILM) == "package weight-carrier"
    assert set(here.values()) == {None}


@pytest.mark.parametrize("revision", ["main", *hub.SAME_FILES[MINILM]])
def test_packaged_weights_serve_the_revisions_that_they_are_of(package: Path, revision: str) -> None:
    assert models.find(MINILM, revision=revision).path == package


def test_another_revision_than_that_of_the_package_is_not_here_and_its_way_out_is_told(package: Path) -> None:
    words = rf"revision 'abc' of '{MINILM}' is not on this machine.*leave the revision out to take the weights of package weight-carrier"
    with pytest.raises(ModelError, match=words):
        models.find(MINILM, revision="abc")


def test_a_package_that_is_missing_or_without_weights_is_passed_over(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is not on this machine"):
        models.find(MINILM)
    hub.PACKAGED[MINILM] = ("no-such-distribution", "x", "0" * 64)
    with pytest.raises(ModelError, match="is not on this machine"):
        models.find(MINILM)


def test_a_folder_comes_before_the_package(package: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "sentence-transformers" / "all-MiniLM-L6-v2")
    assert models.find(MINILM).path.resolve() == folder


@pytest.mark.real
def test_the_shipped_package_is_known_by_its_own_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    package, inside, expected = hub.PACKAGED[MINILM]
    try:
        folder = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    assert sha256(folder / "model.safetensors") == expected


# the local Hub cache


def cached(tmp_path: Path, name: str = "owner/name") -> Path:
    """A snapshot whose weights are a link to a blob that is named by its SHA-256, as the Hub's cache is laid out."""
    place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    commit = "a" * 40
    snapshot = write(place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    (place / "blobs").mkdir()
    weights = snapshot / "model.safetensors"
    blob = place / "blobs" / sha256(weights)
    shutil.move(weights, blob)
    weights.symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def test_a_cached_model_is_found_without_a_network(tmp_path: Path) -> None:
    snapshot = cached(tmp_path)
    found = models.find("owner/name")
    assert found.path.resolve() == snapshot.resolve()
    assert found.origin == "local Hub cache"


def test_a_cached_blob_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    flip((cached(tmp_path) / "model.safetensors").resolve())
    with pytest.raises(ModelError, match=r"SHA-256.*the weights are damaged; copy or fetch them again"):
        models.find("owner/name")


def test_a_cached_model_without_weights_is_not_found(tmp_path: Path) -> None:
    (cached(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is not on this machine"):
        models.find("owner/name")


def test_the_cache_comes_before_the_package(package: Path, tmp_path: Path) -> None:
    cached(tmp_path, MINILM)
    assert models.find(MINILM).origin == "local Hub cache"


# damaged


def test_a_flipped_byte_is_noticed_where_there_are_checksums(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    weights.write_checksums(folder)
    assert models.find(folder).path == folder
    flip(folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors with SHA-256.*damaged"):
        models.find(folder)


def test_checksums_cover_the_weights_of_every_part(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    save_file({"w": np.ones(2, dtype=np.float32)}, folder / "1_Pooling" / "model.safetensors")
    weights.write_checksums(folder)
    assert set(json.loads((folder / weights.CHECKSUMS).read_text())) == {
        "model.safetensors",
        "1_Pooling/model.safetensors",
    }
    flip(folder / "1_Pooling" / "model.safetensors")
    with pytest.raises(ModelError, match="1_Pooling"):
        models.find(folder)


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xff" * 40, b"<html>not found</html>", b"version https://git-lfs"])
def test_a_damaged_header_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(damage)
    with pytest.raises(ModelError, match=r"model\.safetensors, but its header is damaged.*fetch the file again"):
        models.find(folder)


def test_weights_that_were_cut_short_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="header is damaged"):
        models.find(folder)


def test_a_model_whose_last_layers_have_no_weights_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"expected weights of 3 layers .* got those of 2, .* random numbers"):
        models.find(folder)


@pytest.mark.parametrize("name", ["config", "modules", "checksums"])
@pytest.mark.parametrize("content", ["{", "", "\xff", "[" * 100_000, "{'a': 1}"])
def test_broken_json_names_the_file(name: str, content: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", **{name: content})
    with pytest.raises(ModelError, match=rf"expected JSON in .*{name}\.json, but it is damaged"):
        models.find(folder)


@pytest.mark.parametrize("name", ["config", "checksums"])
@pytest.mark.parametrize("content", ["[1]", "3", '"x"'])
def test_json_that_holds_no_settings_is_damaged_too(name: str, content: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", **{name: content})
    with pytest.raises(ModelError, match=rf"expected settings in .*{name}\.json, got a"):
        models.find(folder)


# not trusted


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.pt", "model.pkl"])
def test_pickled_weights_are_refused_unless_trusted(weights: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    (folder / weights).write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=f"pickled weights \\({weights}\\).*refused.*trust_pickle=True"):
        models.find(folder)
    assert models.find(folder, trust_pickle=True).path == folder


def test_pickled_weights_of_a_part_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickled weights"):
        models.find(folder)


def test_a_pickle_beside_safetensors_is_no_hindrance(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert models.find(folder).path == folder


def test_auto_map_is_refused_unless_trusted(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", config={"auto_map": {"AutoModel": "modeling.Evil"}})
    with pytest.raises(ModelError, match=r"code of its own \(auto_map in config\.json\).*trust_remote_code=True"):
        models.find(folder)
    assert models.find(folder, trust_remote_code=True).path == folder


@pytest.mark.parametrize("kind", ["modeling.Evil", "os.system", "sentence_transformers_evil.X", "", 3, None])
def test_a_module_class_from_elsewhere_is_refused_unless_trusted(kind: object, tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", modules=[TRANSFORMER, {**POOLING, "type": kind}])
    with pytest.raises(ModelError, match=r"brings code of its own .*refused.*trust_remote_code=True"):
        models.find(folder)
    assert models.find(folder, trust_remote_code=True).path == folder


@pytest.mark.parametrize("path", ["..", "../other", "1_Pooling/../../other", "/", "/tmp"])
@pytest.mark.parametrize("place", ["mine", ".cache/mine"])
def test_a_part_outside_the_folder_is_refused_even_when_trusted(path: str, place: str, tmp_path: Path) -> None:
    folder = write(tmp_path / place, modules=[{**POOLING, "path": path}])
    with pytest.raises(ModelError, match=r"parts of .* inside its folder, got .*; do not use this model"):
        models.find(folder, trust_remote_code=True, trust_pickle=True)


def test_a_part_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (tmp_path / "elsewhere").mkdir()
    (folder / "1_Pooling").rmdir()
    (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="inside its folder, got '1_Pooling'"):
        models.find(folder)


# described


def test_describe_reads_a_tiny_bert_without_loading_it(tiny_bert: Path) -> None:
    info = models.describe(tiny_bert)
    weights = load_file(tiny_bert / "model.safetensors")
    assert info.parameters == sum(w.size for w in weights.values() if w.dtype.kind == "f")
    assert (info.dimension, info.max_seq_length, info.dtype, info.normalized) == (32, 64, "F32", False)
    assert info.path == tiny_bert
    assert info.where == f"folder {tiny_bert}"


def test_describe_agrees_with_the_loaded_model(tiny_bert: Path) -> None:
    info, loaded = models.describe(tiny_bert), models.load(tiny_bert, device="cpu")
    assert info.dimension == loaded.get_embedding_dimension()
    assert info.max_seq_length == loaded.max_seq_length
    assert info.parameters == sum(weight.numel() for weight in loaded.parameters())


def test_a_static_model_has_no_limit_of_tokens(tiny_static: Path) -> None:
    info = models.describe(tiny_static)
    assert (info.dimension, info.max_seq_length) == (32, None)


def test_describe_says_whether_vectors_are_normalised(tmp_path: Path) -> None:
    normalize = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    assert models.describe(write(tmp_path / "mine", modules=[TRANSFORMER, POOLING, normalize])).normalized
    assert not models.describe(write(tmp_path / "mine")).normalized


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("no front matter", None),
        ("---\nlicense: [x\n---\n", None),
        ("---\nlicense: !!python/object:os.x {}\n---\n", None),
        ("---\n- a\n---\n", None),
    ],
)
def test_the_licence_comes_from_the_card_whatever_state_that_is_in(
    front: str, licence: str | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "mine")
    (folder / "README.md").write_text(front)
    assert models.describe(folder).licence == licence


@pytest.mark.parametrize(
    ("settings", "config", "tokenizer", "limit"),
    [
        ({"max_seq_length": 128}, {"max_position_embeddings": 512}, {"model_max_length": 256}, 128),
        ({}, {"max_position_embeddings": 512}, {"model_max_length": 256}, 256),
        ({}, {"max_position_embeddings": 512}, {"model_max_length": 10**30}, 512),
        ({}, {}, {}, None),
        ({"max_seq_length": "many"}, {}, {}, None),
        ({"max_seq_length": None}, {"max_position_embeddings": "x"}, {"model_max_length": -1}, None),
    ],
)
def test_the_limit_of_tokens_is_the_smallest_that_is_stated(
    settings: dict, config: dict, tokenizer: dict, limit: int | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "mine", config=config, sentence_bert_config=settings, tokenizer_config=tokenizer)
    assert weights.max_seq_length(folder) == limit


def test_the_catalogue_is_complete_and_named_by_hub_ids() -> None:
    for info in models.models():
        assert info.name.count("/") == 1
        assert info.parameters
        assert info.dimension
        assert info.licence
        assert info.note


# fingerprint and loading


def test_the_fingerprint_changes_with_weights_and_settings_but_not_with_the_card(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    first = models.fingerprint(folder)
    (folder / "README.md").write_text("changed")
    weights.write_checksums(folder)
    assert models.fingerprint(folder) == first
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    second = models.fingerprint(folder)
    (folder / weights.CHECKSUMS).unlink()
    save_file({"layer": np.zeros((4, 3), dtype=np.float32)}, folder / "model.safetensors")
    assert len({first, second, models.fingerprint(folder)}) == 3


def test_a_copy_of_a_model_has_its_fingerprint(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    shutil.copytree(folder, tmp_path / "copy")
    assert models.fingerprint(tmp_path / "copy") == models.fingerprint(folder)


def test_half_precision_weights_are_loaded_as_float32(tiny_bert: Path, tmp_path: Path) -> None:
    import torch

    folder = shutil.copytree(tiny_bert, tmp_path / "half")
    weights = {name: w.astype(np.float16) for name, w in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert models.describe(folder).dtype == "F16"
    loaded = models.load(folder, device="cpu")
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}


def test_a_table_of_word_vectors_in_half_precision_is_loaded_as_float32(tiny_static: Path, tmp_path: Path) -> None:
    import torch

    folder = shutil.copytree(tiny_static, tmp_path / "half")
    file = next(folder.rglob("*.safetensors"))
    save_file({name: w.astype(np.float16) for name, w in load_file(file).items()}, file, metadata={"format": "pt"})
    assert {weight.dtype for weight in models.load(folder, device="cpu").parameters()} == {torch.float32}


def test_texts_are_cut_where_the_positions_end_whatever_limit_the_files_state(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "beyond")
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, key: 500}))
    assert models.describe(folder).max_seq_length == 64
    model = models.load(folder, device="cpu")
    assert model.max_seq_length == 64
    assert model.encode(["the cat " * 90]).shape == (1, 32)
    assert models.load(folder, device="cpu", max_seq_length=8).max_seq_length == 8


def test_a_tokenizer_that_knows_no_word_is_none(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "wordless")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    for reads in (lambda: models.load(folder, device="cpu"), lambda: token_stats(TEXT, folder)):
        with pytest.raises(ModelError, match="got none that knows a word; save the tokenizer of the model"):
            reads()


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("sentence_bert_config.json", "max_seq_length", "64"),
        ("sentence_bert_config.json", "max_seq_length", 32.0),
        ("config_sentence_transformers.json", "truncate_dim", -3),
    ],
)
def test_settings_that_the_library_would_fail_over_later_are_named(
    name: str, key: str, value: object, tiny_bert: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "odd")
    (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), key: value}))
    with pytest.raises(ModelError, match=f"expected a whole number from 1 as the {key} .*got {value!r}; mend"):
        models.load(folder, device="cpu")


def test_weights_that_are_not_finite_are_refused_by_name(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][3, 2] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"finite weights.*embeddings\.word_embeddings\.weight holds NaN"):
        models.load(folder, device="cpu")


@pytest.mark.parametrize("missing", ["tokenizer.json", "1_Pooling/config.json"])
def test_a_folder_that_does_not_make_a_model_is_one_sentence(missing: str, tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "broken")
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=r"expected a Sentence Transformers model in .*does not load.*fetch it again"):
        models.load(folder, device="cpu")
