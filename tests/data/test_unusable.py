"""What cannot be used ends in one sentence that says where and what to do."""

from __future__ import annotations

import errno
import gzip
import json
import re
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.data import arrow, delimited
from workbench.data.load import load
from workbench.errors import DataError

TEXT_FILES: list[tuple[str, bytes | str, str]] = [
    ("a.csv", "", r"a\.csv, but the file is empty; write a header and rows"),
    ("a.csv", " \n\n", "holds no text"),
    ("a.csv", b"\xef\xbb\xbf", "holds no text"),
    ("a.csv", "text,label\n", "expected rows below the header of .*a.csv, got none"),
    ("a.csv", "text,label\nx,1\ny\n", r"a\.csv, row 2 \(line 3\): expected 2 cells as in the header, got 1 \('y'\)"),
    ("a.csv", "text,label\nx,1\ny,2,3\n", r"row 2 \(line 3\): expected 2 cells as in the header, got 3 \('y,2,3'\)"),
    ("a.csv", 'text,label\n"x\ny",1\n\nz\n', r"row 2 \(line 5\): expected 2 cells"),
    ("a.csv", "text,text\na,b\n", "every column of .*a.csv to have a name of its own, got 'text' twice"),
    ("a.csv", 'text,label\n"a",1\n"b ""c"" d,2\ne,3\n', r"row 2 \(line 3\).*to the end of the file \(line 4\); close its quotation mark"),
    ("a.csv", 'text,label\n"a ""x""",1\n"b" c,2\n', r"row 2 \(line 3\): expected the cell to end after its closing quotation mark"),
    ("a.csv", "text,label\nok,1\ncafé,2\n".encode("latin-1"), r"0xe9 in line 3 \(byte 20 of the file\); load it with encoding='cp1252'"),
    ("a.csv", "text\nok\n".encode("utf-16"), "begins like UTF-16; load it with encoding='utf-16'"),
    ("a.csv", "text\nok\n".encode("utf-16-le"), r"zero byte in line 1 \(byte 2 of the file\).*encoding='utf-16'"),
    ("a.csv", b"text,label\nok,1\na\0b,2\n", r"zero byte in line 3 \(byte 18 of the file\); it is a binary file"),
    ("a.csv", b"PK\x03\x04", "looks like a zip archive or a spreadsheet"),
    ("a.csv", "n,m\n1,2\n", "at least one column of texts in a.csv, got 'n' with whole numbers, 'm' with whole numbers"),
    ("a.csv", "id,url\na,b\n", "none of id, url is named like one; say which with columns="),
    ("a.csv", "text,label\na,1\nb,\n", r"row 2 \(line 3\), column 'label': expected a class, got nothing"),
    ("a.csv", "text,label\na,1\nb,-1\n", r"row 2 \(line 3\), column 'label': expected one of the classes 0, 1, 2, …, got -1"),
    ("a.csv", 'anchor,positive,score\na,b,1\nc,d,"0,5"\n', "row 2, column 'score': expected a number, got '0,5'; write decimals with a point"),
    ("a.csv", "anchor,positive,score\na,b,1.0\nc,d,nan\n", r"row 2 \(line 3\), column 'score': expected a finite number, got nan"),
    ("a.csv.gz", b"no gzip", "expected a gzip file in .*a.csv.gz, but it is cut off or damaged"),
    ("a.csv.gz", gzip.compress(b"text,label\n" + bytes(range(97, 122)) * 99, mtime=0)[:-9], "cut off or damaged; compress it again"),
    ("a.xlsx", b"PK", r"expected a table \(.csv, .* got 'a.xlsx'"),
    ("a.jsonl", '{"text": "a"}\n{"text": 5}\n', r"a.jsonl, row 2 \(line 2\), column 'text': expected a text, got 5 \(int\)"),
    ("a.jsonl", '{"text": "a"}\n\n{"text": ["b"]}\n', r"row 2 \(line 3\), column 'text': expected a text, got \['b'\] \(list\)"),
    ("a.jsonl", '{"text": "a"}\n{"text": null}\n', r"row 2 \(line 2\), column 'text': expected a text, got nothing"),
    ("a.jsonl", '{"text": "a"}\n{"label": 1}\n', r"row 1 \(line 1\), column 'label': expected a class, got nothing; 2 of 2 rows"),
    ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', r"row 2 \(line 2\): expected one JSON object a line, got '{\"text\": \"b\"'"),
    ("a.jsonl", '{"text": "a"}\n{"text": "b"} {}\n', r"row 2 \(line 2\): expected one JSON object a line.*Extra data"),
    ("a.jsonl", '{"text": "a"}\n["b"]\n', r"row 2 \(line 2\): expected an object such as"),
    ("a.jsonl", "hello\n", "expected rows in .*a.jsonl, got none.*expected one JSON object a line, got 'hello'"),
    ("a.jsonl", '{"text": "\\ud800"}\n{"text": "b"}\n', "row 1 .*got half a character"),
    ("a.json", '[{"text": "a"},\n {"text": }]', "line 2, character 11 breaks its rules"),
    ("a.json", "[]", "expected rows in .*a.json, got none"),
    ("a.json", "5", "expected a list of records or a mapping of columns in .*a.json, got 5"),
    ("a.json", '{"text": ["a", "b"], "label": [1]}', "columns of one length in .*, got 1 in 'label' and 2 in 'text'"),
    ("a.json", '{"train": [["a", "x"], ["b", "x"], ["c"]]}', r"\(train\), row 3: expected an object or a list like the others, got \['c'\]"),
    ("a.json", "[" * 100_000, "the JSON cannot be read"),
    ("a.jsonl", '{"anchor": "a", "positive": "b", "score": [1, 2]}\n{"anchor": "a", "positive": "b", "score": [1]}\n', "expected 2 scores as in the first row, got 1"),
    ("a.jsonl", '{"anchor": "a", "positive": "b", "score": [1, 2]}\n{"anchor": "a", "positive": "b", "score": [1, NaN]}\n', "row 2 .*expected finite numbers, got .1.0, nan"),
    ("a.parquet", b"hello, I am no Parquet", "expected Parquet in .*a.parquet, but it is cut off or damaged"),
    ("a.parquet", gzip.compress(b"a", mtime=0), "but it looks like a gzip file"),
    ("a.arrow", b"PAR1 and so on", "but it looks like a Parquet file"),
    ("a.arrow", b"hello", "expected Arrow in .*a.arrow, but it is cut off or damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), TEXT_FILES)
def test_an_unusable_file_is_one_sentence_that_says_where(
    tmp_path: Path, name: str, content: bytes | str, words: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_that_is_cut_off_or_empty_or_has_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cut off or damaged"):
        load(path)
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match=r"expected rows in .*a.parquet, got none"):
        load(path)
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["t", "t"]), path)
    with pytest.raises(DataError, match="got 't' twice"):
        load(path)


def test_a_wrong_delimiter_is_answered_with_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\nhi;1\n")
    with pytest.raises(
        DataError, match=r"separated by a comma .* whole header 'text;label' is one cell; load it with delimiter=';'"
    ):
        load(tmp_path / "a.csv", delimiter=",")


def test_a_cell_without_end_is_found_by_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "LONGEST_CELL", 200_000)
    (tmp_path / "a.csv").write_text("text,label\n" + "x" * 150_000 + ",1\n")
    assert len(load(tmp_path / "a.csv").column("text")[0]) == 150_000
    (tmp_path / "a.csv").write_text("text,label\nok,1\n" + "x" * 300_000 + ",1\n")
    with pytest.raises(DataError, match=r"row 2 \(line 3\) .* runs on for more than 200,000 characters"):
        load(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_the_first_bad_row_is_named_with_the_number_of_all_and_they_can_be_left_out(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "BATCH", 3)
    content = {"a.csv": "text,label\na,0\nbad\nc,0\n\nd,x,y\ne,0\nf,\n", "a.jsonl": '{"text":"a","label":0}\n{"text":7,"label":0}\n{"text":"c","label":0}\n\n{\n{"text":"e","label":0}\n{"text":"f"}\n'}[name]  # fmt: skip
    (tmp_path / name).write_text(content)
    with pytest.raises(
        DataError, match=r"row 2 .*; 3 of 6 rows cannot be used; mend them, or load the rest with bad_rows='leave out'"
    ):
        load(tmp_path / name)
    data = load(tmp_path / name, bad_rows="leave out")
    assert data.column("text") == ["a", "c", "e"]
    frame = data.left_out.to_frame()
    assert frame["row"].tolist() == [2, 4, 6] and sum(data.left_out.counts.values()) == len(data.left_out) == 3
    assert (
        frame["line"].tolist()[:2] == ([3, 6] if name == "a.csv" else [2, 5]) and frame["column"].tolist()[2] == "label"
    )
    assert "left out" in repr(data) and "left out" in data._repr_html_()


def test_blank_lines_are_no_rows_but_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\n\nb,2\n\n")
    data = load(tmp_path / "a.csv")
    assert len(data) == 2 and data.left_out.blank_lines == 2 and "2 blank lines" in repr(data)


def test_leaving_out_every_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": -1}\n')
    with pytest.raises(DataError, match="all 1 were left out; the first: row 1"):
        load(tmp_path / "a.jsonl", bad_rows="leave out")


def test_bad_cells_of_ignored_columns_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "note": "x"}\n{"text": "b", "note": 5}\n{"text": "c"}\n')
    assert len(load(tmp_path / "a.jsonl", columns={"text": "anchor"})) == 3


def test_classes_beyond_the_named_ones_are_out_of_range() -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    table = pa.table({"text": ["a", "b", "c"], "label": [0, 1, -1]})
    with pytest.raises(DataError, match="row 3, column 'label': expected one of the classes 0 to 1, got -1"):
        load(datasets.Dataset(table, info=datasets.DatasetInfo(features=features)))


def test_classes_that_are_stored_without_a_sign_are_compared_as_well() -> None:
    table = {"text": ["a", "b"], "label": pa.array([1, 2**63], pa.uint64())}
    with pytest.raises(DataError, match="row 2, column 'label': expected one of the classes 0, 1, 2, …, got 92233720"):
        load(datasets.Dataset(pa.table(table)))
    assert len(load(datasets.Dataset(pa.table({**table, "label": pa.array([1, 2], pa.uint64())})))) == 2


SOURCES: list[tuple[Any, str]] = [
    ([1, 2], "got list; for plain lists: pandas.DataFrame"),
    ("", "expected a path, .* got ''"),
    (pd.DataFrame({"text": ["a", None]}), "DataFrame, row 2, column 'text': expected a text, got nothing"),
    (
        pd.DataFrame({"text": ["a", 3]}, dtype=object),
        r"DataFrame, row 2, column 'text': expected a text, got 3 \(int\)",
    ),
    (pd.DataFrame({"text": []}), "expected rows in the DataFrame, got none"),
    (pd.DataFrame([["a", "b"]], columns=["t", "t"]), "got 't' twice"),
    (pd.DataFrame({"text": ["a"], "label": [""]}), "row 1, column 'label': expected a class, got nothing"),
    (datasets.DatasetDict(), "expected at least one part in DatasetDict"),
    (datasets.Dataset.from_dict({"text": []}), "expected rows in Dataset, got none"),
    (
        datasets.DatasetDict(train=datasets.Dataset.from_dict({"text": []})),
        r"expected rows in DatasetDict \(train\), got none",
    ),
    ("no/such/folder/a.csv", "the folder 'no/such/folder' does not exist"),
    ("a text that somebody pasted " * 200, "expected a table at 'a text that somebody pasted .*no such file"),
    ("~nobody-of-that-name/a.csv", "does not exist"),
    ("glossary/triplet", "did you mean 'glossary/triplets'"),
]


@pytest.mark.parametrize(("source", "words"), SOURCES)
def test_an_unusable_source_is_one_sentence(
    source: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        load(source)


def test_a_misspelt_file_name_is_answered_with_the_close_ones(tmp_path: Path) -> None:
    (tmp_path / "triplets.csv").write_text("a,b\nc,d\n")
    with pytest.raises(DataError, match=rf"no such file in {re.escape(str(tmp_path))}; did you mean 'triplets.csv'\?"):
        load(tmp_path / "tirplets.csv")


def test_a_folder_without_tables_or_with_a_part_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"expected files named train, validation or test .* got notes.txt"):
        load(tmp_path)
    for name in ("train.csv", "train.jsonl"):
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"one file a part in .*, got train.csv and train.jsonl"):
        load(tmp_path)


def test_a_damaged_folder_of_save_to_disk_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"damaged .*save it again"):
        load(tmp_path / "saved")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split": "train"}, "it is one table without parts; leave split out"),
        ({"bad_rows": "drop"}, "expected bad_rows='raise' or bad_rows='leave out', got 'drop'"),
        ({"rows": 0}, "expected a number of rows from 1, got rows=0"),
        ({"delimiter": "::"}, "expected one character as delimiter"),
        ({"encoding": "klingon"}, "expected the name of an encoding .* got 'klingon'"),
        ({"encoding": "base64"}, "expected the name of an encoding .* got 'base64'"),
        ({"columns": ["text"]}, "expected columns="),
        ({"columns": {"txet": "anchor"}}, "expected a column of a.csv, got 'txet' .*did you mean 'text'"),
        ({"columns": {"text": "ancor"}}, "expected a role for column 'text', got 'ancor'; did you mean 'anchor'"),
        ({"columns": {"n": "anchor"}}, "expected texts in column 'n' of a.csv for the role anchor, but it holds whole numbers; such columns are text, more"),
        ({"columns": {"text": "anchor", "more": "anchor"}}, "expected one anchor column in a.csv, got text, more"),
        ({"columns": {"more": "positive"}}, "with the role anchor, got none; for instance 'text': 'anchor'"),
        ({"columns": {"text": "anchor", "n": "label", "x": "score"}}, "expected one label or score in a.csv, got n, x"),
        ({"columns": {"text": "anchor", "x": "label"}}, "for the role label, but it holds numbers; give it the role 'score'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_answered_with_what_does(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    (tmp_path / "a.csv").write_text("text,more,n,x\na,b,1,0.5\n")
    with pytest.raises(DataError, match=words):
        load(tmp_path / "a.csv", **settings)


def test_a_part_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its parts are train, test; did you mean 'test'"):
        load("glossary/qa", split="tests")
    (tmp_path / "a.json").write_text(json.dumps({"one": [["a", "x"]], "two": [["a", "x"]]}))
    with pytest.raises(DataError, match="choose with split= one of one, two"):
        load(tmp_path / "a.json")


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, workbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.csv").write_text("text,label\na,1\n")
    monkeypatch.setattr(arrow, "write_stream", full)
    with pytest.raises(DataError, match=r"expected room .*No space left on device.*WORKBENCH_HOME"):
        load(tmp_path / "a.csv")
    assert list((workbench_home / "tables").iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\n")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "a.csv" / "home"))
    with pytest.raises(DataError, match=r"expected room .*Not a directory.*WORKBENCH_HOME"):
        load(tmp_path / "a.csv")
    with pytest.raises(DataError, match="WORKBENCH_HOME"):
        _ = load(pd.DataFrame({"text": ["a"], "label": [1]})).spec
