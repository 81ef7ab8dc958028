"""Files are whole or absent, whatever breaks in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench import files


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_home_is_the_folder_of_the_variable(workbench_home: Path) -> None:
    assert files.home() == workbench_home


def test_home_expands_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_HOME", "~/kept")
    assert files.home() == tmp_path / "kept"


@pytest.mark.parametrize("value", [None, ""])
def test_home_is_in_the_user_cache_without_the_variable(
    value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_HOME")
    if value is not None:
        monkeypatch.setenv("WORKBENCH_HOME", value)
    assert files.home() == tmp_path / ".cache" / "embedding-workbench"


def test_a_new_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    files.replace_text(tmp_path / "a" / "b" / "c.txt", "grün 😀\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "grün 😀\n".encode()
    assert beside(tmp_path / "a" / "b") == ["c.txt"]


def test_a_replaced_file_may_be_read_by_all(tmp_path: Path) -> None:
    files.replace_bytes(tmp_path / "x", b"1")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    files.replace_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        files.replace_text(path, "new")
    assert path.read_text() == "old"
    assert beside(tmp_path) == ["status.json"]


def test_an_interrupted_write_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.replace_bytes(tmp_path / "x", b"1")
    assert beside(tmp_path) == []


def test_text_that_is_not_unicode_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.replace_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.replace_text(path, "\ud800")
    assert path.read_text() == "old"


def folder(path: Path, **content: str) -> Path:
    path.mkdir()
    for name, text in content.items():
        (path / name).write_text(text)
    return path


def test_a_finished_folder_takes_a_free_place(tmp_path: Path) -> None:
    files.replace_folder(folder(tmp_path / "new", a="1"), tmp_path / "model")
    assert beside(tmp_path) == ["model"]
    assert (tmp_path / "model" / "a").read_text() == "1"


def test_a_finished_folder_replaces_the_old_one_with_all_its_files(tmp_path: Path) -> None:
    folder(tmp_path / "model", a="old", only_old="1")
    files.replace_folder(folder(tmp_path / "new", a="new"), tmp_path / "model")
    assert beside(tmp_path) == ["model"]
    assert beside(tmp_path / "model") == ["a"]
    assert (tmp_path / "model" / "a").read_text() == "new"


def test_what_an_earlier_swap_left_behind_is_no_hindrance(tmp_path: Path) -> None:
    folder(tmp_path / ".model.old", a="older")
    folder(tmp_path / "model", a="old")
    files.replace_folder(folder(tmp_path / "new", a="new"), tmp_path / "model")
    assert beside(tmp_path) == ["model"]


def test_the_old_folder_survives_when_the_swap_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "model", a="old")
    with pytest.raises(FileNotFoundError):
        files.replace_folder(tmp_path / "missing", tmp_path / "model")
    kept = tmp_path / "model"
    assert kept.is_dir()
    assert (kept / "a").read_text() == "old"


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
