"""Token ids on disk: those of the tokenizer, made once, and made again where the file is not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.data import ids
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.data.tokenizer import fast_tokenizer, place
from workbench.data.tokens import token_stats

TEXTS = ["the red cat", "", "  ", "😀 cat \u202e\x00", "the red cat", "cat " * 200, "zzz 你好"]
ROWS = TEXTS * 40 + ["a dog"]


def table(texts: list[str] = ROWS) -> Examples:
    return load(pd.DataFrame({"text": texts, "label": [n % 2 for n in range(len(texts))]}))


def counted(examples: Examples, model: Path) -> dict[str, Any]:
    """The statistics without the time they took."""
    stats = token_stats(examples, model)
    return {**stats.to_json(), "seconds": 0, "histogram": stats.columns["text"].histogram}


def kept(examples: Examples, model: Path) -> ids.Ids:
    found = ids.kept(examples, "text", model)
    assert found is not None
    return found


@pytest.mark.parametrize("model", ["tiny_bert", "tiny_static"])
def test_ids_are_those_of_the_tokenizer_for_every_row(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    token_stats(table(), folder)
    found = kept(table(), folder)
    tokenizer, special = fast_tokenizer(place(folder)), model == "tiny_bert"
    for row, encoded in enumerate(tokenizer.encode_batch(ROWS, add_special_tokens=special)):
        assert found.of(row).tolist() == encoded.ids
    assert found.lengths.tolist() == [len(found.of(row)) for row in range(len(ROWS))]
    for token in (1, 5, 10**6):
        assert found.count(token).tolist() == [found.of(row).tolist().count(token) for row in range(len(ROWS))]
    assert (found.empty, found.duplicates) == (80, len(ROWS) - 7)
    assert len(found.ids) < found.lengths.sum(), "equal texts share their ids"


def test_statistics_from_kept_ids_are_the_same_and_no_text_is_tokenised(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = counted(table(), tiny_bert)
    monkeypatch.setattr(ids, "fast_tokenizer", lambda here: pytest.fail("a tokenizer was read"))
    assert counted(table(), tiny_bert) == first
    told: list[tuple[int, int]] = []
    token_stats(table(), tiny_bert, progress=lambda done, total, _: told.append((done, total)))
    assert told == [(len(ROWS), len(ROWS))]


def test_only_the_columns_that_are_not_kept_are_counted(tiny_bert: Path) -> None:
    token_stats(table(), tiny_bert)
    both = load(pd.DataFrame({"anchor": ROWS, "positive": [text + " dog" for text in ROWS]}))
    alone = token_stats(both.select(range(len(ROWS))), tiny_bert)
    assert alone.columns["anchor"].max == 202
    assert alone.columns["positive"].max == 203 and alone.columns["positive"].rows == len(ROWS)


def test_picked_rows_are_found_in_their_table_and_nothing_is_tokenised_for_them(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, picked = [*ROWS, "a  dog"], [5, 2, 281, 0, 7, 1]
    whole = table(texts)
    assert ids.kept(whole.select(picked), "text", tiny_bert) is None
    token_stats(whole, tiny_bert)
    all_rows, found = kept(whole, tiny_bert), kept(whole.select(picked), tiny_bert)
    assert [found.of(row).tolist() for row in range(6)] == [all_rows.of(row).tolist() for row in picked]
    assert found.count(5).tolist() == all_rows.count(5)[picked].tolist()
    with monkeypatch.context() as patch:
        patch.setattr(ids, "fast_tokenizer", lambda here: pytest.fail("a tokenizer was read"))
        part = counted(whole.select(picked), tiny_bert)
        twice = counted(whole.select(picked).select([3, 1]), tiny_bert)["columns"]["text"]
    wanted = counted(table([texts[row] for row in picked]), tiny_bert)
    assert part["columns"]["text"] == wanted["columns"]["text"] and part["histogram"] == wanted["histogram"]
    assert (twice["duplicates"], twice["empty"], twice["max"]) == (0, 1, 5)


def test_another_text_order_or_tokenizer_has_ids_of_its_own(tiny_bert: Path, tmp_path: Path) -> None:
    token_stats(table(), tiny_bert)
    assert ids.kept(table(ROWS[::-1]), "text", tiny_bert) is None
    assert ids.kept(table([*ROWS[:-1], "a  dog"]), "text", tiny_bert) is None
    other = shutil.copytree(tiny_bert, tmp_path / "other")
    assert ids.kept(table(), "text", other) is not None, "it is the tokenizer that counts"
    settings = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    assert ids.kept(table(), "text", other) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "longer", "other rows"])
def test_a_damaged_file_is_ignored_and_made_again(damage: str, tiny_bert: Path, workbench_home: Path) -> None:
    first = counted(table(), tiny_bert)
    (file,) = workbench_home.rglob("*.ids")
    whole = bytearray(file.read_bytes())
    if damage == "flipped":
        whole[8] ^= 1
    if damage == "other rows":
        token_stats(table(["a dog"]), tiny_bert)
        (other,) = set(workbench_home.rglob("*.ids")) - {file}
        whole = bytearray(other.read_bytes())
    shown = {"cut": whole[:-9], "empty": b"", "longer": whole + b"\0" * 8}.get(damage, whole)
    file.write_bytes(shown)
    assert ids.kept(table(), "text", tiny_bert) is None
    assert counted(table(), tiny_bert) == first
    assert kept(table(), tiny_bert).duplicates == len(ROWS) - 7


def test_a_count_that_is_stopped_leaves_no_file(tiny_bert: Path, workbench_home: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        token_stats(table(), tiny_bert, progress=stop)
    assert [path for path in (workbench_home / "ids").rglob("*") if path.is_file()] == []


def test_a_full_disk_or_too_large_a_column_costs_only_the_file(
    tiny_bert: Path, workbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "MOST_OF_ONE", 100)
    first = counted(table(), tiny_bert)
    assert [path for path in (workbench_home / "ids").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    monkeypatch.setenv("WORKBENCH_HOME", str(workbench_home))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ids.tempfile, "NamedTemporaryFile", full)
    assert counted(table(), tiny_bert) == first


def test_a_table_without_rows_has_ids_too(tiny_bert: Path) -> None:
    empty = table().select([])
    assert counted(empty, tiny_bert) == counted(empty, tiny_bert)


def test_files_of_no_use_for_longest_go_first(tiny_bert: Path, workbench_home: Path, monkeypatch: Any) -> None:
    import os

    for number, texts in enumerate((["a cat"], ["a dog"])):
        token_stats(table(texts), tiny_bert)
        newest = max(workbench_home.rglob("*.ids"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (number + 1, number + 1))
        size = newest.stat().st_size
    assert kept(table(["a cat"]), tiny_bert)
    monkeypatch.setattr(ids, "MOST_BYTES", 2 * size)
    token_stats(table(["a fish"]), tiny_bert)
    assert ids.kept(table(["a dog"]), "text", tiny_bert) is None
    assert kept(table(["a cat"]), tiny_bert) and kept(table(["a fish"]), tiny_bert)
    assert np.array_equal(kept(table(["a cat"]), tiny_bert).lengths, [4])
