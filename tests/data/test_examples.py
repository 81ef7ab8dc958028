"""A loaded table: roles, parts, picking, training columns, fingerprint, what it looks like."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.data import arrow
from workbench.data.load import load
from workbench.errors import DataError

TRIPLETS = {
    "neg_b": ["g", "h", "i"],
    "q": ["a", "b", "c"],
    "pos": ["d", "e", "f"],
    "neg_a": ["j", "k", "l"],
    "id": [7, 8, 9],
}
LABELLED = {"text": ["a", "b", "c", "d"], "topic": ["z", "x", "y", "x"], "n": [1, 2, 3, 4]}


def test_texts_come_in_the_order_of_roles_and_negatives_in_the_order_given() -> None:
    data = load(
        pd.DataFrame(TRIPLETS), columns={"neg_b": "negative", "neg_a": "negative", "pos": "positive", "q": "anchor"}
    )
    assert data.texts == ("q", "pos", "neg_b", "neg_a") and data.label is None and data.roles["id"] == "ignore"
    training = data.to_training()
    assert training.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert training[1] == {"anchor": "b", "positive": "e", "negative_1": "h", "negative_2": "k"}


def test_names_that_are_roles_of_others_do_not_collide() -> None:
    data = load(
        pd.DataFrame({"positive": ["a"], "anchor": ["b"], "label": [1]}),
        columns={"positive": "anchor", "anchor": "positive", "label": "score"},
    )
    assert data.to_training()[:] == {"anchor": ["a"], "positive": ["b"], "score": [1.0]}


def test_classes_that_are_names_become_numbers_in_sorted_order() -> None:
    data = load(pd.DataFrame(LABELLED))
    assert data.label == "topic" and data.label_names == ("x", "y", "z")
    assert data.to_training()["label"][:] == [2, 0, 1, 0]


def test_true_and_false_are_classes_0_and_1_and_numbers_stay_what_they_are() -> None:
    assert load(pd.DataFrame({"text": ["a", "b"], "label": [True, False]})).to_training()["label"][:] == [1, 0]
    data = load(pd.DataFrame({"text": ["a", "b"], "label": [5, 3]}))
    assert data.to_training()["label"][:] == [5, 3] and data.label_names is None


def test_whole_scores_become_floats_and_lists_of_scores_stay_lists() -> None:
    pairs = {"anchor": ["a", "b"], "positive": ["c", "d"]}
    assert load(pd.DataFrame({**pairs, "score": [1, 0]})).to_training().features["score"].dtype == "float64"
    data = load(pd.DataFrame({**pairs, "scores": [[1, 0.5], [0, 1]]}))
    assert data.roles["scores"] == "score" and data.to_training()["score"][:] == [[1.0, 0.5], [0.0, 1.0]]


def test_picked_rows_keep_their_order_and_the_numbers_of_their_classes(tmp_path: Path) -> None:
    pd.DataFrame(LABELLED).to_csv(tmp_path / "a.csv", index=False)
    data = load(tmp_path / "a.csv").select(np.array([3, 0]))
    assert len(data) == 2 and data.column("text") == ["d", "a"] and data.label_names == ("x", "y", "z")
    assert data.to_training()[:] == {"anchor": ["d", "a"], "label": [0, 2]}
    assert data.to_training().cache_files, "the texts stay in the file"
    assert load(data.spec).fingerprint == data.fingerprint and load(data.spec).column("n") == [4, 1]


def test_a_class_has_the_same_number_in_every_part() -> None:
    parts = {"train": ["b", "d"], "test": ["a", "d"]}
    data = load(
        datasets.DatasetDict(
            {name: datasets.Dataset.from_dict({"text": labels, "label": labels}) for name, labels in parts.items()}
        )
    )
    assert data.to_training()["label"][:] == [0, 1]
    assert data.part("test").to_training()["label"][:] == [2, 1] and data.part("test").label_names == ("b", "d", "a")


def test_a_part_has_the_roles_and_settings_of_the_table_but_not_its_limit() -> None:
    data = load("glossary/qa", columns={"definition": "anchor", "question": "positive"}, rows=3)
    other = data.part("test")
    assert other.texts == ("definition", "question") and len(data) == 3 and len(other) > 3
    with pytest.raises(DataError, match="expected a part of glossary/qa, got split='dev'"):
        data.part("dev")


def test_other_roles_change_only_what_is_named() -> None:
    data = load(pd.DataFrame(TRIPLETS), columns={"q": "anchor", "pos": "positive", "neg_a": "negative"})
    assert data.with_roles({"neg_a": "ignore"}, neg_b="negative").texts == ("q", "pos", "neg_b")
    assert data.with_roles(q="positive", pos="anchor").texts == ("pos", "q", "neg_a")
    assert data.select([1]).with_roles(pos="ignore").column("neg_a") == ["k"]
    with pytest.raises(DataError, match="expected texts in column 'id'"):
        data.with_roles(id="negative")


def test_rows_that_a_new_role_cannot_use_are_found() -> None:
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["z", None]})
    data = load(frame, columns={"a": "anchor"})
    for changed in (data, data.select([0, 1])):
        with pytest.raises(DataError, match="row 2, column 'b': expected a text, got nothing"):
            changed.with_roles(b="positive")


def test_rows_left_out_for_a_new_role_are_added_to_those_left_out_before() -> None:
    data = load(
        pd.DataFrame({"a": ["x", None, "y"], "b": ["z", "z", None]}), columns={"a": "anchor"}, bad_rows="leave out"
    )
    changed = data.select([0, 1]).with_roles(b="positive")
    assert len(changed) == 1 and [flaw.column for flaw in changed.left_out.rows] == ["a", "b"]


def test_batches_cover_all_rows_in_order() -> None:
    data = load(pd.DataFrame({"text": [str(n) for n in range(25)], "label": 1}))
    batches = list(data.batches(["text"], size=10))
    assert [len(batch["text"]) for batch in batches] == [10, 10, 5]
    assert [text for batch in batches for text in batch["text"]] == data.column("text")


def test_the_fingerprint_is_of_content_and_roles_and_not_of_batches_names_or_formats(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["é", "", "longer text"], "label": [1, 0, 2]})
    data = load(frame)
    frame.to_csv(tmp_path / "a.csv", index=False)
    chunked = pa.concat_tables([pa.Table.from_pandas(frame.iloc[n : n + 1], preserve_index=False) for n in range(3)])
    same = [
        tmp_path / "a.csv",
        frame.rename(columns={"text": "sentence", "label": "class"}),
        frame.assign(id=[1, 2, 3]),
        datasets.Dataset(chunked),
    ]
    assert {load(source).fingerprint for source in same} == {data.fingerprint}
    assert load(pd.concat([frame, frame])).select(range(3, 6)).fingerprint == data.fingerprint
    other = [
        data.select([1, 0, 2]),
        data.select([0, 1]),
        data.with_roles(label="score"),
        load(frame.assign(text=["é", "l", "onger text"])),
        load(frame.assign(label=[1, 0, 3])),
    ]
    prints = [each.fingerprint for each in (data, *other)]
    assert len(set(prints)) == len(prints) and all(len(digits) == 32 and int(digits, 16) >= 0 for digits in prints)


def test_the_fingerprint_does_not_depend_on_the_size_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"text": [f"text {n}" * (n % 3) for n in range(50)], "label": ["x", "y"] * 25})
    whole = load(frame).fingerprint
    monkeypatch.setattr(arrow, "BATCH", 7)
    assert load(frame).fingerprint == whole


def test_texts_are_escaped_and_cut_and_roles_explained_in_html() -> None:
    data = load(pd.DataFrame({"<script>": ["<img src=x onerror=alert(1)>", "x" * 5000], "label": [1, 0]}))
    html = data._repr_html_()
    assert "<script>" not in html and "<img" not in html and "&lt;img src=x" in html
    assert len(html) < 2000 and "first text column" in html and "2 rows" in html


def test_the_plain_repr_says_rows_roles_and_why() -> None:
    text = repr(load("glossary/graded"))
    assert "glossary/graded, part train of train, test: 1,188 rows" in text and "text_a  anchor    shipped so" in text


def test_the_frame_shows_the_first_rows_of_all_columns() -> None:
    data = load(pd.DataFrame({"text": ["a"] * 30, "n": range(30), "label": 1}))
    assert data.to_frame().shape == (20, 3) and data.to_frame(rows=None).shape == (30, 3)
