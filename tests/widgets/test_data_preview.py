"""The preview of a table as a person uses it; the tokenizer is tiny, the tables are hostile or long."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workbench.catalog import hub
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.data.quality import quality
from workbench.data.truncation import Piece
from workbench.errors import DataError, ModelError
from workbench.widgets import counting
from workbench.widgets.data_preview import DataPreview
from workbench.widgets.page_table import excerpt, page_html, read_page, tokens_note

ROWS = 60
FRAME = pd.DataFrame(
    {
        "anchor": [f"the cat {'a ' * at}" for at in range(ROWS - 1)] + ["the cat "],
        "positive": ["red", "", " ", "schÃ¶n", "lost \ufffd"] + [f"dog {at}" for at in range(ROWS - 5)],
        "score": np.linspace(0, 1, ROWS),
    }
)
HOSTILE = "<img src=x onerror=alert(1)> $x$ \u202e\x00 '\"&<script>"


@pytest.fixture
def make(tiny_bert: Path) -> Iterator[Callable[..., DataPreview]]:
    made: list[DataPreview] = []

    def build(data: Any = FRAME, **settings: Any) -> DataPreview:
        made.append(DataPreview(data, **{"model": tiny_bert, **settings}))
        return made[-1]

    yield build
    for panel in made:
        panel.close()


def settled(panel: DataPreview) -> DataPreview:
    panel.settle(30)
    return panel


def button(panel: DataPreview, words: str) -> Any:
    found = [*panel._filters.buttons.values(), *panel._pager._go.values(), panel._roles.button]
    return next(control for control in found if control.description.startswith(words))


def test_the_first_page_is_there_before_anything_is_counted(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(counting, "place", lambda model: go.wait(60) and None)
    panel = make()
    assert "<th scope='row'>10</th>" in panel._table.value and "… tokens" in panel._table.value
    assert [control.description for control in panel._filters.buttons.values()] == [
        "all: 60",
        "duplicates: …",
        "empty: …",
        "suspicious encoding: …",
        "over the limit: …",
    ]
    panel.close()
    go.set()


def test_filters_get_their_counts_and_the_histogram_comes(make: Callable[..., DataPreview]) -> None:
    panel = settled(make())
    assert [control.description for control in panel._filters.buttons.values()] == [
        "all: 60",
        "duplicates: 1",
        "empty: 2",
        "suspicious encoding: 2",
        "over 64 tokens: 0",
    ]
    assert "<svg" in panel._lengths.value and panel.message.startswith("Counted the tokens of 60 rows with")
    assert "4 tokens" in panel._table.value and "… tokens" not in panel._table.value


def test_a_filter_shows_its_rows_and_says_which(make: Callable[..., DataPreview]) -> None:
    panel = settled(make(page=2))
    button(panel, "duplicates").value = True
    assert (panel.show, panel.rows, panel.page) == ("duplicates", (59,), 1)
    assert "same text as row 1" in panel._table.value and "<th scope='row'>60</th>" in panel._table.value
    assert "Rows 1 to 1 of 1 with a text that an earlier row has" in panel._pager._said.value
    assert "(anchor 1, positive 0, whole rows 0)" in panel._pager._said.value
    assert not button(panel, "all").value and button(panel, "duplicates").value
    button(panel, "suspicious").value = True
    assert panel.rows == (3, 4) and "perhaps meant: schön" in panel._table.value and "(U+FFFD)" in panel._table.value
    button(panel, "empty").value = True
    assert panel.rows == (1, 2) and "only white space" in panel._table.value
    button(panel, "empty").value = False
    assert panel.show == "empty" and button(panel, "empty").value
    button(panel, "all").value = True
    assert (panel.show, panel.rows) == ("all", ())


def test_setting_show_and_page_from_python_moves_the_controls(make: Callable[..., DataPreview]) -> None:
    panel = settled(make(show="empty"))
    assert button(panel, "empty").value and panel.rows == (1, 2)
    panel.show = "all"
    panel.page = 3
    assert panel._pager._number.value == 3 and "<th scope='row'>21</th>" in panel._table.value
    panel.rows_per_page = 50
    assert panel.page == 2 and panel._pager._number.max == 2 and "<th scope='row'>60</th>" in panel._table.value


def test_the_pager_stops_at_both_ends(make: Callable[..., DataPreview]) -> None:
    panel = make()
    assert button(panel, "First").disabled and button(panel, "Previous").disabled
    button(panel, "Next").click()
    assert panel.page == 2 and not button(panel, "Previous").disabled
    button(panel, "Last").click()
    assert panel.page == 6 and button(panel, "Next").disabled and button(panel, "Last").disabled
    assert "<th scope='row'>60</th>" in panel._table.value
    panel._pager._number.value = 99
    assert panel.page == 6 == panel._pager._number.value
    panel._pager._number.value = 4
    assert panel.page == 4
    button(panel, "Previous").click()
    button(panel, "First").click()
    assert panel.page == 1 and "Rows 1 to 10 of 60" in panel._pager._said.value
    assert panel._pager._of.value == "of 6"


def test_what_is_cut_is_grey_with_the_limit_in_words(make: Callable[..., DataPreview]) -> None:
    panel = settled(make(pd.DataFrame({"text": ["the cat " * 40, "cat"]})))
    assert (
        f"<bdi>{'the cat ' * 31}<span class='wb-gone' title='cut: over the limit of 64 tokens'>{'the cat ' * 9}</span>"
        in panel._table.value
    )
    assert "82 tokens, end cut" in panel._table.value and "3 tokens<" in panel._table.value
    assert button(panel, "over 64 tokens: 1")


def test_another_model_counts_again(make: Callable[..., DataPreview], tiny_static: Path) -> None:
    panel = settled(make(pd.DataFrame({"text": ["the cat " * 40, "the cat " * 40]}), show="too long"))
    assert panel.rows == (0, 1)
    before = panel._counts.quality
    panel.model = str(tiny_static)
    settled(panel)
    assert (
        button(panel, "over the limit: none") and panel.rows == () and "There are no rows" in panel._pager._said.value
    )
    assert before is not None and panel._counts.quality is not None and panel._counts.quality.rows == before.rows
    panel.show = "all"
    settled(panel)
    assert "80 tokens<" in panel._table.value and "wb-gone" not in panel._table.value


def test_a_newer_request_makes_a_running_count_void(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, ended = threading.Event(), threading.Event(), []

    def slow(data: Examples, **options: Any) -> Any:
        if len(data) == ROWS:
            begun.set()
            assert go.wait(60)
            options["progress"](1, len(data))
            ended.append("the old count went on")
        return quality(data, **options)

    monkeypatch.setattr(counting, "quality", slow)
    panel = make()
    assert begun.wait(60)
    panel.data = load(FRAME.head(7))
    go.set()
    settled(panel)
    assert (
        ended == []
        and button(panel, "all: 7")
        and button(panel, "duplicates: 0")
        and panel.message.endswith(panel.model)
    )


def test_roles_are_used_together_so_that_two_can_be_swapped(make: Callable[..., DataPreview]) -> None:
    panel = settled(make())
    seen: list[Examples] = []
    panel.observe(lambda change: seen.append(change["new"]), "data")
    assert button(panel, "Use these roles").disabled
    panel._roles.controls["anchor"].value = "positive"
    panel._roles.controls["positive"].value = "anchor"
    assert panel.data.texts == ("anchor", "positive")
    button(panel, "Use these roles").click()
    settled(panel)
    assert panel.data.texts == ("positive", "anchor") and seen == [panel.data]
    assert button(panel, "Use these roles").disabled and button(panel, "duplicates: 1")
    assert panel._table.value.index(">positive<") < panel._table.value.index(">anchor<")


def test_roles_that_do_not_fit_are_a_sentence_and_the_controls_go_back(make: Callable[..., DataPreview]) -> None:
    panel = settled(make())
    before = panel.data
    panel._roles.controls["score"].value = "negative"
    button(panel, "Use these roles").click()
    settled(panel)
    assert "expected texts in column 'score' of DataFrame for the role negative" in panel.message
    assert panel.data is before and panel._roles.controls["score"].value == "score"
    assert "role='alert'" in panel._line.value and button(panel, "duplicates: 1")


def test_another_part_of_the_source_is_one_choice(make: Callable[..., DataPreview], tmp_path: Path) -> None:
    FRAME.to_json(tmp_path / "train.jsonl", orient="records", lines=True)
    FRAME.head(12).to_json(tmp_path / "test.jsonl", orient="records", lines=True)
    panel = settled(make(tmp_path))
    assert panel._parts is not None and panel._parts.options == ("train", "test")
    panel._parts.value = "test"
    settled(panel)
    assert (panel.data.split, len(panel.data), panel._parts.value) == ("test", 12, "test")
    assert "part test: 12 rows" in panel._title.value and button(panel, "all: 12")
    assert "split='test'" in panel.code
    (tmp_path / "train.jsonl").write_text("no table")
    panel._parts.value = "train"
    settled(panel)
    assert "expected rows in" in panel.message and panel._parts.value == "test" and len(panel.data) == 12


def test_the_code_loads_the_same_table(make: Callable[..., DataPreview], tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "it's.csv", index=False)
    panel = make(load(tmp_path / "it's.csv", columns={"positive": "anchor", "anchor": "positive"}))
    call = ast.parse(panel.code, mode="eval").body
    assert isinstance(call, ast.Call) and ast.unparse(call.func) == "wb.load"
    again = eval(panel.code, {"wb": type("wb", (), {"load": staticmethod(load)})})
    assert again.used == panel.data.used and again.source == panel.data.source
    held = make(FRAME)
    picked = make(held.data.select([3, 1]))
    assert eval(picked.code, {"data": picked.data}).used == held.data.used


@pytest.mark.parametrize("kind", ["frame", "dataset", "parts", "examples"])
def test_the_code_reads_what_was_given_from_memory(make: Callable[..., DataPreview], kind: str) -> None:
    import workbench as wb

    table = datasets.Dataset.from_pandas(FRAME)
    parts = datasets.DatasetDict(train=table, test=table.select(range(7)))
    data = {"frame": FRAME, "dataset": table, "parts": parts, "examples": load(parts)}[kind]
    panel = make(data)
    panel._roles.controls["score"].value = "ignore"
    button(panel, "Use these roles").click()
    settled(panel)
    if panel._parts is not None:
        panel._parts.value = "test"
        settled(panel)
        assert "'test'" in panel.code
    again = eval(panel.code, {"wb": wb, "data": data})
    assert (again.used, again.split, len(again)) == (panel.data.used, panel.data.split, len(panel.data))
    assert again.used == {"anchor": "anchor", "positive": "positive"}
    panel.data = FRAME
    assert settled(panel).code == f"wb.load(data, columns={panel.data.used!r})"


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("page", "x", DataError, "expected page= .* got str \\('x'\\)"),
        ("page", None, DataError, "expected page= .* got NoneType"),
        ("page", 1.5, DataError, "expected page= .* got float"),
        ("rows_per_page", None, DataError, "expected rows_per_page= .* got NoneType"),
        ("show", 3, DataError, "expected show= one of all, .* got 3"),
        ("show", [], DataError, "expected show= one of all, .* got \\[\\]"),
        ("model", None, ModelError, "expected a model name, .* got NoneType"),
        ("model", 3, ModelError, "expected a model name, .* got int"),
        ("model", [], ModelError, "expected a model name, .* got list"),
        ("data", None, DataError, "expected a path, a pandas DataFrame, .* got NoneType"),
    ],
)
def test_what_is_no_value_at_all_is_refused_in_a_sentence(
    make: Callable[..., DataPreview], name: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make(**{name: value})
    panel = make()
    kept = getattr(panel, name)
    with pytest.raises(error, match=words):
        setattr(panel, name, value)
    assert getattr(panel, name) is kept


def test_closing_while_it_counts_is_silent(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reached, go = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        reached.set()
        assert go.wait(60)

    panel = make()
    panel.settle(30)
    monkeypatch.setattr(panel._counts, "run", lambda *_: (slow(), panel._counts.arrived()))
    panel._pieces = None, None, {}
    panel._recount()
    assert reached.wait(60)
    panel.close()
    go.set()
    panel.settle(30)
    panel.page = 2
    assert caplog.records == [] and "should not happen" not in panel.message


def test_wrong_values_are_refused_in_a_sentence(make: Callable[..., DataPreview]) -> None:
    with pytest.raises(DataError, match=r"expected show= one of all, duplicates, .* got 'duplicate'; did you mean"):
        make(show="duplicate")
    with pytest.raises(DataError, match=r"expected a page from 1 to 6, got page=7"):
        make(page=7)
    with pytest.raises(DataError, match=r"expected rows_per_page= from 1 to 100, got 0"):
        make(rows_per_page=0)
    with pytest.raises(DataError, match="expected a table at"):
        make("./nowhere.csv")
    with pytest.raises(TypeError, match="did you mean 'rows_per_page'"):
        make(row_per_page=3)
    panel = make()
    with pytest.raises(DataError, match="expected a path, a pandas DataFrame"):
        panel.data = 5
    assert len(panel.data) == ROWS


def test_hostile_texts_names_and_classes_are_escaped(make: Callable[..., DataPreview]) -> None:
    name = HOSTILE.replace("\x00", "")  # where datasets would cut it off
    table = datasets.Dataset.from_dict(
        {name: [HOSTILE * 40, HOSTILE], "label": [0, 1]},
        features=datasets.Features({name: datasets.Value("string"), "label": datasets.ClassLabel(names=[name, "<b>"])}),
    )
    panel = settled(make(load(table, columns={name: "anchor", "label": "label"})))
    for kind in ("all", "encoding"):
        panel.show = kind
        settled(panel)
        shown = panel._table.value + panel._title.value + panel._pager._said.value + panel._lengths.value
        shown += panel.static() + panel._shown_code.value + panel._line.value
        assert "<img" not in shown and "<script" not in shown and "<b>" not in panel._table.value
        assert "&lt;img" in panel._table.value and "\x00" not in panel._table.value and "␀" in panel._table.value
    assert "1: &lt;b&gt;" in panel._table.value


def test_rows_that_were_left_out_keep_their_numbers(make: Callable[..., DataPreview]) -> None:
    panel = make(load(pd.DataFrame({"text": ["a", None, "c"]}), bad_rows="leave out"))
    assert "<th scope='row'>3</th>" in panel._table.value and "<th scope='row'>2</th>" not in panel._table.value
    assert "2 rows (1 with a missing cell left out)" in panel._title.value
    assert "the header is not a row" in panel._table.value


def test_a_million_rows_are_paged_without_reading_more_than_a_page(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = pc.cast(pa.array(np.arange(1_000_000)), pa.string())
    data = load(datasets.Dataset(pa.table({"anchor": numbers, "positive": numbers})))
    read: list[int] = []
    plain = datasets.Dataset._getitem

    def watched(self: datasets.Dataset, key: Any, **options: Any) -> Any:
        found = plain(self, key, **options)
        read.append(found.num_rows)
        return found

    monkeypatch.setattr(datasets.Dataset, "_getitem", watched)
    monkeypatch.setattr(counting.Counting, "run", lambda *_: None)
    for name in ("column", "batches", "arrow", "to_frame"):
        monkeypatch.setattr(Examples, name, lambda *_: pytest.fail("read the table"))
    panel = make(data)
    button(panel, "Last").click()
    assert panel.page == 100_000 and ">999999<" in panel._table.value and button(panel, "all: 1,000,000")
    assert read == [10, 10]


def test_long_texts_are_cut_for_showing_and_where_the_model_cuts_is_seen() -> None:
    assert excerpt("abc", "def", 10) == ("abc", "def", "")
    assert excerpt("a" * 12_345, "", 1000) == ("a" * 1000, "", " … (12,345 characters)")
    first, second, end = excerpt("a" * 900 + "THE CUT", "HERE" + "b" * 200, 1000)
    assert (
        first.endswith("THE CUT") and len(first) <= 710 and second.startswith("HERE") and end == " (1,111 characters)"
    )
    first, second, end = excerpt("a" * 9000, "b" * 9000, 1000)
    assert len(first) + len(second) == 1000 and end == " … (18,000 characters)"


def test_notes_say_which_end_is_cut_and_when_that_is_not_known() -> None:
    assert tokens_note(Piece(1, "a")) == "1 token" and tokens_note(Piece(1000, "a")) == "1,000 tokens"
    assert tokens_note(Piece(70, "b", "a", "left")) == "70 tokens, beginning cut"
    assert "where it is cut is not known: no offsets" in tokens_note(Piece(70, "ab", None, why="no offsets"))
    data = load(pd.DataFrame({"text": ["lost kept"]}))
    left = page_html(read_page(data, [0]), {"text": [Piece(9, "kept", "lost ", "left")]}, limit=4, pending="")
    assert "<bdi><span class='wb-gone' title='cut: over the limit of 4 tokens'>lost </span>kept</bdi>" in left


def test_a_model_that_is_not_here_is_fetched_only_when_asked(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "download", lambda name, _: asked.append(name) or pytest.fail("fetched"))
    panel = settled(make(model="nobody/nothing"))
    assert asked == [] and "press “over the limit” to fetch it and count" in panel.message
    assert button(panel, "duplicates: 1") and button(panel, "over the limit: not counted")
    assert "No tokens were counted" in panel._lengths.value and "… tokens" not in panel._table.value
    monkeypatch.undo()
    button(panel, "over the limit").value = True
    settled(panel)
    assert "is not on this machine and the model hub cannot be reached" in panel.message
    assert panel.show == "too long" and "No tokens were counted" in panel._pager._said.value


def test_a_tokenizer_that_needs_transformers_is_read_in_the_engine(
    make: Callable[..., DataPreview], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat"]))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 8}')
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    called: list[str] = []

    class Inline:
        def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
            called.append(function.__name__)
            return function(*arguments, **options)

    monkeypatch.setattr(counting, "engine", Inline)
    panel = settled(make(pd.DataFrame({"text": ["the cat " * 9, "cat"]}), model=tmp_path))
    assert set(called) == {"pieces", "quality"} and button(panel, "over 8 tokens: 1")
    assert "20 tokens, over the limit; where it is cut is not known" in panel._table.value


def test_an_error_stays_until_something_is_done_about_it(make: Callable[..., DataPreview]) -> None:
    panel = settled(make())
    panel.say("what went wrong", "error")
    panel._tell("12 of 60 rows …", "busy")
    assert panel.message == "what went wrong"
    panel.data = FRAME.head(3)
    assert settled(panel).message.startswith("Counted the tokens of 3 rows")


def test_the_static_picture_is_small_and_holds_the_page_and_the_histogram(make: Callable[..., DataPreview]) -> None:
    texts = {f"negative_{at}": ["\"'&<>" * 100] * 100 for at in range(6)}
    panel = settled(make(pd.DataFrame({"anchor": ["<" * 2000] * 100, **texts}), rows_per_page=100))
    picture = panel.static()
    assert (
        len(picture) < 150_000 and "<svg" in picture and "DataFrame: 100 rows" in picture and "<script" not in picture
    )


def test_opening_and_counting_loads_no_torch(tiny_bert: Path) -> None:
    code = (
        "import sys, pandas\nfrom workbench.widgets.data_preview import DataPreview\n"
        f"panel = DataPreview(pandas.DataFrame({{'text': ['caf\\u00e9', 'schÃ¶n']}}), model={str(tiny_bert)!r})\n"
        "panel.settle(60)\nassert 'suspicious encoding: 1' == panel._filters.buttons['encoding'].description\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'umap', 'sklearn', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_one_of_many_columns_gets_its_histogram(make: Callable[..., DataPreview]) -> None:
    frame = pd.DataFrame({"anchor": ["cat"], **{f"negative_{at}": ["dog " * at] for at in range(14)}})
    panel = settled(make(frame))
    assert panel._lengths.value.count("tokens</text>") == 15 and "negative_13" in panel._lengths.value


def test_a_page_is_counted_while_the_whole_table_is_being_counted(
    make: Callable[..., DataPreview], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def slow(data: Examples, **options: Any) -> Any:
        if "model" in options:
            panel.page = 2
            options["progress"](5, len(data))
            seen.append(panel._table.value)
            seen.append(panel.message)
        return quality(data, **options)

    monkeypatch.setattr(counting, "quality", slow)
    monkeypatch.setattr(counting.Counting, "run", lambda *_: None)
    panel = make()
    monkeypatch.undo()
    monkeypatch.setattr(counting, "quality", slow)
    panel._recount()
    settled(panel)
    assert "<th scope='row'>11</th>" in seen[0] and " tokens<" in seen[0] and "… tokens" not in seen[0]
    assert seen[1] == "Counting the tokens of 5 of 60 rows …"


@pytest.mark.parametrize(
    ("lengths", "widths"),
    [((700, 10, 10), ["auto", "20%", "20%"]), ((60, 20, 40), ["auto"] * 3), ((0, 0), ["auto"] * 2)],
)
def test_columns_of_short_texts_give_way_to_one_of_long_texts(lengths: tuple[int, ...], widths: list[str]) -> None:
    data = load(pd.DataFrame([{f"c{n}": "x" * length for n, length in enumerate(lengths)}]))
    html = page_html(read_page(data, [0]), {}, limit=None, pending="")
    assert re.findall(r"<th scope='col' style='width:([^']+)'>c", html) == widths
