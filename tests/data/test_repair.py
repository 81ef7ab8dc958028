"""Texts that were misread come back; texts that are right stay."""

from __future__ import annotations

import ftfy
import pandas as pd
import pytest

from workbench.data.load import load
from workbench.data.repair import repair, repaired, words
from workbench.errors import DataError

ftfy.bad_codecs.ok()
MEANT = ("the model’s error — “half” of it", "4× less compute", "naïve café, 41–48", "Größe: 30 µm", "日本語の文")


@pytest.mark.parametrize("encoding", ["sloppy-windows-1252", "mac_roman"])
@pytest.mark.parametrize("text", MEANT)
def test_utf_8_that_was_read_in_another_encoding_comes_back(text: str, encoding: str) -> None:
    broken = text.encode().decode(encoding)
    assert broken != text
    assert repaired(broken) == text


@pytest.mark.parametrize("text", [*MEANT, "plain words & <tags> &amp;", "é", "Ångström", "", "“quoted”"])
def test_a_text_that_is_right_stays(text: str) -> None:
    assert repaired(text) == text


def test_a_ligature_is_written_out() -> None:
    assert repaired("ﬁt the ﬂow".encode().decode("mac_roman")) == "fit the flow"


def test_a_part_that_was_misread_is_mended_beside_one_that_was_not() -> None:
    assert repaired("“4√ó less” 日本") == "“4× less” 日本"


def test_words_have_letters() -> None:
    assert [words(text) for text in ("19", "(A.1)", "Fig. 3", "See Section 5", "über 日本")] == [0, 0, 1, 2, 2]


def test_a_table_is_mended_and_rows_that_say_nothing_are_left_out_and_counted() -> None:
    frame = pd.DataFrame(
        {"anchor": ["4√ó less", "a cat", "19", "the end"], "positive": ["it is", "a dog", "a cow", "(A.1)"]}
    )
    result = repair(load(frame))
    assert result.examples.column("anchor") == ["4× less", "a cat"]
    assert result.examples.roles == {"anchor": "anchor", "positive": "positive"}
    assert result.mended.tolist() == [0] and result.left_out.tolist() == [2, 3]
    assert repr(result).endswith("1 rows mended, 2 left out, 2 rows left")


def test_labels_stay_with_their_rows() -> None:
    frame = pd.DataFrame({"text": ["1", "a red bird", "a blue bird"], "label": ["x", "y", "z"]})
    assert repair(load(frame)).examples.column("label") == ["y", "z"]


def test_a_table_of_fragments_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match="at least 3 words, got none; lower least_words"):
        repair(load(pd.DataFrame({"anchor": ["two words"], "positive": ["1"]})), least_words=3)
