"""What can be loaded, and that it comes out as it went in."""

from __future__ import annotations

import csv
import gzip
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data import arrow, sources, tables
from workbench.data.load import load
from workbench.errors import DataError
from workbench.recipe import DataSpec

ROWS = [("red cat", "a cat", 1), ('says "hi"\nand, goes; 19', "über\tdog", 0), ("", "19", 1)]
NAMES = ["anchor", "positive", "label"]
SHARED = Path(__file__).parents[3] / "shared" / "data"


def as_dicts() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def write_csv(path: Path, delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([NAMES, *ROWS])


def write_table(path: Path) -> Path:
    """The three rows in the format of the suffix."""
    table, name = pa.Table.from_pylist(as_dicts()), path.name
    if name.endswith((".csv", ".tsv")):
        write_csv(path, "\t" if name.endswith(".tsv") else ",")
    elif name.endswith(".csv.gz"):
        write_csv(path, ",")
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif name.endswith((".jsonl", ".ndjson")) or name == "lines.json":
        path.write_text("".join(json.dumps(row) + "\n" for row in as_dicts()), encoding="utf-8")
    elif name == "columns.json":
        path.write_text(json.dumps(table.to_pydict()), encoding="utf-8")
    elif name == "frame.json":
        pd.DataFrame(as_dicts()).to_json(path)
    elif name.endswith(".json"):
        path.write_text(json.dumps(as_dicts(), indent=1), encoding="utf-8")
    elif name.endswith(".parquet"):
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if name.endswith(".feather") else pa.ipc.new_stream
        with new(str(path), table.schema) as out:
            out.write_table(table)
    return path


FILES = ["t.csv", "t.tsv", "t.csv.gz", "t.jsonl", "t.ndjson", "lines.json", "t.json", "columns.json", "frame.json",
         "t.parquet", "t.arrow", "t.feather"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_rows_types_and_fingerprint(tmp_path: Path, name: str) -> None:
    data = load(write_table(tmp_path / name))
    assert data.dataset[:] == {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}
    assert data.roles == {"anchor": "anchor", "positive": "positive", "label": "label"}
    assert data.fingerprint == load(pd.DataFrame(as_dicts())).fingerprint
    assert (data.split, data.splits, data.name) == (None, (), name)


@pytest.mark.parametrize("name", FILES)
def test_the_spec_of_every_format_loads_the_same_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / name)
    data = load(name)
    monkeypatch.chdir("/")
    again = load(DataSpec(**data.spec.model_dump()))
    assert (again.fingerprint, again.spec, again.roles) == (data.fingerprint, data.spec, data.roles)


def test_a_data_frame_and_a_dataset_give_a_spec_that_another_process_can_load() -> None:
    frame = pd.DataFrame(as_dicts()).assign(ignored=pd.Categorical(["x", "y", "x"]))
    for source in (frame, datasets.Dataset.from_pandas(frame)):
        data = load(source, columns={"anchor": "anchor", "label": "label"})
        again = load(data.spec)
        assert again.fingerprint == data.fingerprint
        assert again.column("ignored") == ["x", "y", "x"]
        assert again.spec == data.spec and Path(data.spec.source).suffix == ".parquet"


def test_a_dataset_dict_becomes_one_folder_with_all_its_parts() -> None:
    part = datasets.Dataset.from_list(as_dicts())
    data = load(datasets.DatasetDict(train=part, oos_val=part.select([0])))
    assert (data.split, data.splits, len(data.part("oos_val"))) == ("train", ("train", "oos_val"), 1)
    assert Path(data.spec.source).is_dir()
    assert len(load(data.spec)) == 3 and len(load(data.spec, split="oos_val")) == 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_of_save_to_disk_is_loaded(tmp_path: Path, whole: bool) -> None:
    part = datasets.Dataset.from_list(as_dicts())
    (datasets.DatasetDict(train=part, test=part.select([2])) if whole else part).save_to_disk(str(tmp_path / "saved"))
    data = load(tmp_path / "saved")
    assert data.splits == (("train", "test") if whole else ())
    assert load(data.spec).fingerprint == data.fingerprint == load(part).fingerprint


def test_a_folder_with_a_file_a_part_takes_train_and_knows_the_others(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv")
    (tmp_path / "test.jsonl").write_text('{"anchor": "a", "positive": "b", "label": 0}\n')
    (tmp_path / "README.md").write_text("no table")
    data = load(tmp_path)
    assert (data.split, data.splits, len(data)) == ("train", ("train", "test"), 3)
    assert data.part("test").column("anchor") == ["a"]
    assert load(data.spec).spec.split == "train"


def test_a_json_object_of_parts_with_pairs_of_text_and_class_is_split(tmp_path: Path) -> None:
    path = tmp_path / "parts.json"
    path.write_text(json.dumps({"val": [["c", "x"]], "train": [["a", "x"], ["b", "y"], ["c", "x"]]}))
    data = load(path)
    assert data.splits == ("val", "train") and data.split == "train"
    assert data.roles == {"text": "anchor", "label": "label"}
    assert data.part("val").column("text") == ["c"]


def test_pairs_whose_second_text_never_repeats_are_two_texts(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([["a", "x"], ["b", "y"], ["c", "z"]]))
    assert load(path).roles == {"sentence1": "anchor", "sentence2": "positive"}


@pytest.mark.parametrize("view", ["triplets", "qa", "sentences", "graded", "labelled"])
def test_each_shipped_view_loads_with_its_roles_and_both_parts(view: str) -> None:
    data = load(f"glossary/{view}")
    assert data.splits == ("train", "test") and data.split == "train" and len(data) > len(data.part("test")) > 0
    assert data.texts and load(data.spec).fingerprint == data.fingerprint != data.part("test").fingerprint


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbftext,label\nhi,1\n")
    assert load(tmp_path / "bom.csv").roles == {"text": "anchor", "label": "label"}


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
def test_other_encodings_are_read_when_they_are_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\ncafé,1\n".encode(encoding))
    data = load(tmp_path / "a.csv", encoding=encoding)
    assert data.column("text") == ["café"] and load(data.spec).column("text") == ["café"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_all_line_endings_are_read_and_line_breaks_in_quotes_are_kept(tmp_path: Path, ending: str) -> None:
    (tmp_path / "a.csv").write_bytes(f'text,label{ending}"one{ending}two",1{ending}three,0'.encode())
    assert load(tmp_path / "a.csv").column("text") == [f"one{ending}two", "three"]


@pytest.mark.parametrize(
    ("name", "mark"), [("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t"), ("a.tsv", ","), ("a.csv", ",")]
)
def test_the_delimiter_is_found_out(tmp_path: Path, name: str, mark: str) -> None:
    other = ";" if mark == "," else ","
    (tmp_path / name).write_text(f"text{mark}label\n" + f"one{other} two{mark}1\n" * 3)
    assert load(tmp_path / name).column("label") == [1, 1, 1]


def test_quotation_marks_that_no_writer_of_csv_would_write_are_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tother\n"hello\tworld\n5" disk\t"q"\n')
    data = load(tmp_path / "a.tsv")
    assert data.column("text") == ['"hello', '5" disk'] and data.column("other") == ["world", '"q"']
    assert "quotation marks are taken as part of the texts" in repr(data)


def test_quoted_line_breaks_that_fall_as_evenly_as_lines_are_still_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"Hello,\nworld",1\n')
    assert load(tmp_path / "a.csv").column("text") == ["Hello,\nworld"]


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), mark=st.sampled_from(",\t;|"))
def test_whatever_the_csv_module_writes_comes_back_as_it_was(
    tmp_path: Path, rows: list[tuple[str, str]], mark: str
) -> None:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=mark).writerows([("anchor", "positive"), *rows])
    data = load(path, delimiter=mark)
    assert list(zip(data.column("anchor"), data.column("positive"), strict=True)) == rows


def test_numbers_are_text_in_a_column_of_texts_and_numbers_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,title,n,x,code,plus,label\n19,19,1,1.5,007,+5,3\n20,a,-2,,012,1e3,4\n")
    data = load(tmp_path / "a.csv")
    assert data.column("text") == ["19", "20"] and data.column("title") == ["19", "a"]
    assert data.column("n") == [1, -2] and data.column("x") == [1.5, None] and data.column("label") == [3, 4]
    assert data.column("code") == ["007", "012"] and data.column("plus") == [5.0, 1000.0]


def test_an_empty_cell_of_a_text_column_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("anchor,positive\nx,\n,y\n")
    data = load(tmp_path / "a.csv")
    assert data.column("positive") == ["", "y"] and len(data.left_out) == 0


def test_a_second_load_reads_the_copy_and_a_changed_file_is_read_anew(
    tmp_path: Path, workbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_table(tmp_path / "a.csv")
    first = load(path)
    with monkeypatch.context() as patch:
        patch.setattr(tables, "_convert", lambda *_: pytest.fail("read again"))
        assert load(path).fingerprint == first.fingerprint
    path.write_text("anchor,positive,label\nnew,row,1\n")
    os.utime(path, ns=(1, 1))
    assert load(path).column("anchor") == ["new"]
    assert len(list((workbench_home / "tables").iterdir())) == 1
    assert first.column("anchor")[0] == "red cat"


def test_files_are_memory_mapped(tmp_path: Path) -> None:
    assert load(write_table(tmp_path / "a.csv")).dataset.cache_files


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_file_of_several_batches_keeps_all_rows_in_order(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "BATCH", 7)
    lines = [{"text": f"text {n}", "n": n if n < 90 else n + 0.5, "label": n % 2} for n in range(100)]
    lines[50]["late"] = "a column that the first rows do not have"
    if name == "t.csv":
        pd.DataFrame(lines).to_csv(tmp_path / name, index=False)
    else:
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    data = load(tmp_path / name, columns={"text": "anchor", "label": "label"})
    assert data.column("text") == [f"text {n}" for n in range(100)] and data.column("n")[88:91] == [88.0, 89.0, 90.5]
    assert data.column("late")[50].startswith("a column")


def test_only_the_first_rows_are_used_and_checked_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb\nc,1\nd\ne,1\n")
    data = load(tmp_path / "a.csv", rows=3, bad_rows="leave out")
    assert data.column("text") == ["a", "c"] and [flaw.row for flaw in data.left_out.rows] == [2]
    assert load(data.spec).column("text") == ["a", "c"]
    assert len(load(tmp_path / "a.csv", rows=1)) == 1


def test_settings_given_beside_a_spec_win() -> None:
    spec = DataSpec(source="glossary/qa", split="train", rows=5)
    assert load(spec, split="test").split == "test" and len(load(spec, rows=2)) == 2 and len(load(spec)) == 5


def test_parquet_with_dictionaries_and_class_names_is_plain_afterwards(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode(), "label": [0, 1, 0]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").column("text") == ["a", "b", "a"]
    named = datasets.Dataset(table).cast_column("label", datasets.ClassLabel(names=["no", "yes"]))
    data = load(named)
    assert data.label_names == ("no", "yes") == load(data.spec).label_names


def test_a_hub_id_without_a_network_ends_at_once_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.hub, "reachable", lambda _: False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("knocked at the Hub"))
    with pytest.raises(DataError, match="not in the local cache, and the Hub cannot be reached"):
        load("owner/name")


def test_a_hub_id_in_the_cache_is_loaded_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    (tmp_path / "owner___my_name").mkdir()
    seen = []

    def fake(name: str, config: str | None) -> datasets.DatasetDict:
        seen.append((name, config, constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        return datasets.DatasetDict(train=datasets.Dataset.from_list(as_dicts()))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(sources.hub, "reachable", lambda _: False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", fake)
    data = load("owner/MyName", config="en")
    assert seen == [("owner/MyName", "en", True, True)] and constants.HF_HUB_OFFLINE is False
    assert (data.spec.source, data.spec.config, data.spec.split) == ("owner/MyName", "en", "train")


def test_a_hub_data_set_that_does_not_load_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*_: object) -> None:
        raise ValueError("Config name is missing.\nPick one among ['a', 'b']")

    monkeypatch.setattr(sources.hub, "reachable", lambda _: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", fake)
    with pytest.raises(DataError, match=r"'owner/name'.*Pick one among \['a', 'b'\].*check name and config"):
        load("owner/name")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize(
    "name", ["banking77/train.csv", "snli_subset/test_triplets.tsv", "google_ml_glossary/terms.tsv"]
)
def test_real_files_are_read_as_the_csv_module_of_python_reads_them(name: str) -> None:
    data = load(SHARED / name)
    with (SHARED / name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="," if name.endswith("csv") else "\t")
    assert [data.column(column) for column in header] == [list(cells) for cells in zip(*rows, strict=True)]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize(
    ("name", "rows", "texts", "label"),
    [
        ("banking77", 10003, ("text",), "category"),
        ("banking77/test.csv", 3080, ("text",), "category"),
        ("clinc150/data_small.json", 7500, ("text",), "label"),
        ("google_ml_glossary/terms.tsv", 401, ("term", "definition"), None),
        ("snli_subset/validation.tsv", 9842, ("premise", "hypothesis"), "label"),
        ("snli_subset/test_triplets.tsv", 2929, ("anchor", "positive", "negative"), None),
    ],
)
def test_real_files_load_whole_and_without_being_told_anything(
    name: str, rows: int, texts: tuple[str, ...], label: str | None
) -> None:
    data = load(SHARED / name)
    assert (len(data), data.texts, data.label, len(data.left_out)) == (rows, texts, label, 0)


@pytest.mark.parametrize(
    ("cells", "scores"), [([True, False], [1.0, 0.0]), ([2**63 - 1, 1], [float(2**63), 1.0]), ([3, 0], [3.0, 0.0])]
)
def test_scores_of_any_kind_of_number_become_floats(cells: list[int], scores: list[float]) -> None:
    table = pd.DataFrame({"sentence1": ["a b", "c d"], "sentence2": ["e", "f"], "score": cells})
    assert load(table).to_training()["score"][:] == scores


def test_decimals_of_a_database_are_scores() -> None:
    cells = pa.array([Decimal("0.10"), Decimal("0.50"), None], pa.decimal128(5, 2))
    table = pa.table({"sentence1": ["a", "b", "c"], "sentence2": ["x", "y", "z"], "score": cells})
    data = load(datasets.Dataset(table), bad_rows="leave out")
    assert (data.roles["score"], data.to_training()["score"][:]) == ("score", [0.1, 0.5])
    assert str(data.left_out) == "1 with a missing cell"
    other = load(datasets.Dataset(table.set_column(2, "score", pa.array([0.1, 0.6, None]).cast(cells.type))), bad_rows="leave out")  # fmt: skip
    assert other.fingerprint != data.fingerprint
