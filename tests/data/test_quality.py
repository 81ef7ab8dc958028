"""Odd rows: found where they are, counted once, in a stream."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.data import tokens
from workbench.data.encodings import _maybe_misread, explain, suspicious
from workbench.data.load import load
from workbench.data.quality import KINDS, quality, source_rows
from workbench.data.tokens import token_stats
from workbench.errors import DataError

PAIRS = pd.DataFrame(
    {
        "anchor": ["a", "b", "a", " \t", "a", "", "sociÃ©tÃ©", "c", "b"],
        "positive": ["x", "y", "x", "z", "x", "", "lost \ufffd", "nul \x00", "Y"],
        "score": [1.0, 0.5, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5],
    }
)


def test_duplicates_are_later_rows_with_the_text_of_an_earlier_one_and_say_of_which() -> None:
    found = quality(PAIRS)
    anchor = found.columns["anchor"]
    assert anchor.duplicates.tolist() == [2, 4, 8] and anchor.earlier.tolist() == [0, 0, 1]
    assert found.columns["positive"].duplicates.tolist() == [2, 4]
    assert found.where("duplicates").tolist() == [2, 4, 8]


def test_whole_rows_repeat_only_where_the_score_does_too() -> None:
    assert quality(PAIRS).repeated.tolist() == [2]
    assert quality(PAIRS[["anchor", "positive"]]).repeated.tolist() == [2, 4]
    labelled = pd.DataFrame({"text": ["a", "a", "a", "b"], "label": ["x", "y", "x", "x"]})
    assert quality(labelled).repeated.tolist() == [2]
    swapped = pd.DataFrame({"anchor": ["a", "b"], "positive": ["b", "a"]})
    assert quality(swapped).repeated.tolist() == []


def test_empty_texts_are_those_without_characters_or_with_white_space_only() -> None:
    found = quality(PAIRS)
    assert found.columns["anchor"].empty.tolist() == [3, 5] and found.columns["positive"].empty.tolist() == [5]
    assert found.where("empty").tolist() == [3, 5]


def test_suspicious_encodings_are_told_apart() -> None:
    found = quality(PAIRS)
    anchor, positive = found.columns["anchor"], found.columns["positive"]
    assert anchor.misread.tolist() == [6] and anchor.encoding.tolist() == [6]
    assert positive.replaced.tolist() == [6] and positive.control.tolist() == [7]
    assert found.counts == {"duplicates": 3, "empty": 2, "encoding": 2, "too long": None}


@pytest.mark.parametrize(
    "text",
    ["plain", "tab\tand\nline\r\n", "é à ü ß", "„Größe“ — 25 °C", "Привет, мир", "Ελληνικά", "机器学习", "👩‍👩‍👧 e\u0301", "« L’été »"],
)  # fmt: skip
def test_good_text_of_any_script_is_not_suspicious(text: str) -> None:
    assert suspicious(text) == () and explain(text) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("La sociÃ©tÃ©", "looks like a wrong encoding, perhaps meant: La société"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "looks like a wrong encoding, perhaps meant: привет"),
        ("x" * 5000 + " schÃ¶n " + "y" * 5000, " schön yyy"),
        ("\x93so\x94", "perhaps meant: “so”"),
        ("a\ufffd\ufffdb", "2 characters could not be read (U+FFFD)"),
        ("a\x00b\x1b\x00", "control characters U+0000, U+001B"),
        ("Ã© \x07", "perhaps meant: é \x07; control characters U+0007"),
    ],
)
def test_what_is_suspicious_is_said_in_a_few_words(text: str, words: str) -> None:
    assert words in explain(text) and len(explain(text)) < 200


def test_the_quick_look_passes_on_whatever_ftfy_takes_for_misread() -> None:
    from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

    every = re.compile(f"[{''.join(MOJIBAKE_CATEGORIES.values())}]")
    known = [chr(code) for code in range(0x80, 0xFFFF) if every.match(chr(code))]
    pool = known + [*"aAzZ .,\n1"] * 2 + [*"机ñ🙂"] + [*"ÂÃœŒ°ÎÐØв"] * 8
    draw = random.Random(0)
    texts = ["".join(draw.choices(pool, k=draw.randint(1, 5))) for _ in range(20_000)]
    bad = [text for text in texts if is_bad(text)]
    assert len(bad) > 2000 and [text for text in bad if not _maybe_misread().search(text)] == []


def test_texts_over_the_limit_and_statistics_are_those_of_token_stats(tiny_bert: Path) -> None:
    frame = pd.DataFrame({"anchor": ["cat " * n for n in (1, 62, 63, 100, 1)], "positive": ["cat"] * 4 + ["dog " * 90]})
    found = quality(frame, model=tiny_bert)
    anchor, positive = found.columns["anchor"].too_long, found.columns["positive"].too_long
    assert anchor is not None and positive is not None
    assert anchor.tolist() == [2, 3] and positive.tolist() == [4] and found.where("too long").tolist() == [2, 3, 4]
    assert found.tokens is not None and found.tokens.max_seq_length == 64
    assert found.tokens.columns == token_stats(frame, tiny_bert).columns


def test_a_model_without_a_limit_cuts_nothing(tiny_static: Path) -> None:
    found = quality(pd.DataFrame({"text": ["cat " * 1000]}), model=tiny_static)
    assert found.counts["too long"] == 0 and "no limit" in repr(found)


def test_without_a_model_nothing_is_said_of_lengths() -> None:
    found = quality(PAIRS)
    assert found.tokens is None and found.counts["too long"] is None and "not counted" in found._repr_html_()
    with pytest.raises(DataError, match=r"expected token counts .* got none; use quality\(…, model=…\)"):
        found.where("too long")
    with pytest.raises(DataError, match=r"expected one of duplicates, empty, .* got 'duplicate'; did you mean"):
        found.where("duplicate")  # type: ignore[arg-type]


def test_row_numbers_do_not_depend_on_the_pieces_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"text": [f"text {n}" if n % 7 else "Ã©" for n in draw.integers(0, 700, 5000)]})
    expected = frame["text"].duplicated().to_numpy().nonzero()[0].tolist()
    once = quality(frame)
    monkeypatch.setattr(tokens, "CHUNK_ROWS", 37)
    again = quality(frame)
    assert once.columns["text"].duplicates.tolist() == again.columns["text"].duplicates.tolist() == expected
    assert once.columns["text"].misread.tolist() == again.columns["text"].misread.tolist()
    firsts = frame["text"].to_numpy()[again.columns["text"].earlier]
    assert (firsts == frame["text"].to_numpy()[expected]).all()


def test_progress_counts_up_to_all_rows_and_can_stop_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PROGRESS_S", 0)
    seen: list[tuple[int, int]] = []
    frame = pd.DataFrame({"text": ["a"] * 5000})
    quality(frame, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] <= 500 and seen[-1] == (5000, 5000) and seen == sorted(seen)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quality(frame, progress=stop)


def test_rows_that_load_left_out_are_named_and_not_counted_again() -> None:
    data = load(pd.DataFrame({"text": ["a", None, "a", None, ""]}), bad_rows="leave out")
    found = quality(data)
    assert found.rows == 3 and found.columns["text"].empty.tolist() == [2]
    assert found.columns["text"].duplicates.tolist() == [1]
    assert "2 with a missing cell left out before" in repr(found)


def test_rows_have_the_numbers_of_the_source_though_some_were_left_out() -> None:
    data = load(pd.DataFrame({"text": [None, "b", "c", None, None, "f", "g"]}), bad_rows="leave out")
    assert source_rows(data, np.arange(4)).tolist() == [2, 3, 6, 7]
    assert source_rows(data.select([3, 0]), np.arange(2)).tolist() == [1, 2]


def test_the_frame_has_a_line_a_column_and_no_rows_are_no_failure(tiny_bert: Path) -> None:
    frame = quality(PAIRS).to_frame()
    assert list(frame.index) == ["anchor", "positive"] and frame.loc["anchor", "duplicates"] == 3
    assert frame.loc["anchor", "too long"] is None
    none = quality(load(PAIRS).select([]), model=tiny_bert)
    assert none.rows == 0 and [none.counts[kind] for kind in KINDS] == [0, 0, 0, 0]
    assert none.tokens is not None and none.tokens.columns == {
        name: column
        for name, column in token_stats(load(PAIRS).select([]), tiny_bert).columns.items()
        if name != "score"
    }


def test_names_are_escaped_in_html() -> None:
    shown = quality(pd.DataFrame({"<script>": ["a"], "b": ["<b>"]}))._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
