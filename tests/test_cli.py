"""The command line: JSON on standard output, one sentence for a mistake, and nothing left behind by it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.loaded import Loaded
from tests.runs import MakeRun
from tests.training.conftest import NOUNS, VERBS
from tests.widgets.test_run_panel_film import filmed
from workbench import cli
from workbench.catalog.weights import write_checksums
from workbench.recipe import Recipe
from workbench.training.records import Status, write_status
from workbench.training.run import Run

HOSTILE = '</script><script src="https://evil.example/x.js"></script><link href="https://evil.example/x.css">'


@dataclass(frozen=True)
class Done:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        assert self.status == 0, self.err
        assert self.out.count("\n") == 1
        value = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert isinstance(value, dict)
        return value


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process, as its entry point does."""

    def run(*words: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pairs as CSV."""
    path = tmp_path_factory.mktemp("data") / "pairs.csv"
    rows = [f"the {noun} {verb},a small {noun} {verb} in the house\n" for noun in NOUNS for verb in VERBS]
    path.write_text("anchor,positive\n" + "".join(rows))
    return path


def recipe_file(path: Path, model: Path | str, data: Path | str, **settings: object) -> Path:
    """A recipe of four steps."""
    given = {
        "model": str(model),
        "loss": {"name": "MultipleNegativesRankingLoss"},
        "data": str(data),
        "batch_size": 8,
        "max_steps": 4,
        "save_steps": 1,
        "device": "cpu",
    }
    path.write_text(yaml.safe_dump({**given, **settings}))
    return path


def test_statistics_are_one_json_object(call: Call, tiny_bert: Path, here: Path) -> None:
    (here / "t.csv").write_text('anchor,positive\na cat,"a, dog"\na cat\nthe red bird,"two\nlines"\n')
    found = call("stats", "t.csv", "--model", tiny_bert, "--leave-out", "--json").json
    assert set(found) == {"rows", "max_seq_length", "seconds", "columns"}
    assert (found["rows"], found["max_seq_length"]) == (2, 64)
    assert found["seconds"] >= 0
    assert list(found["columns"]) == ["anchor", "positive"]
    numbers = {"type", "min", "mean", "median", "p95", "max", "truncated_share", "empty", "duplicates"}
    assert all(set(column) == numbers for column in found["columns"].values())
    assert found["columns"]["anchor"] == {
        "type": "text",
        "min": 4,
        "mean": 4.5,
        "median": 4.5,
        "p95": pytest.approx(4.95),
        "max": 5,
        "truncated_share": 0.0,
        "empty": 0,
        "duplicates": 0,
    }


def test_statistics_for_people_leave_standard_output_alone(call: Call, tiny_bert: Path, table: Path) -> None:
    done = call("stats", table, "--model", tiny_bert)
    assert (done.status, done.out) == (0, "")
    assert "anchor" in done.err
    assert "truncated_share" in done.err


def test_models_are_listed(call: Call) -> None:
    rows = call("models", "--json").json["models"]
    assert "sentence-transformers/all-MiniLM-L6-v2" in [row["name"] for row in rows]
    assert all({"parameters", "dimension", "max_seq_length", "licence", "where"} <= set(row) for row in rows)


def test_losses_are_listed(call: Call) -> None:
    rows = call("losses", "--json").json["losses"]
    assert {"TripletLoss", "MatryoshkaLoss", "CoSENTLoss"} <= {row["name"] for row in rows}
    assert all(row["columns"] and row["summary"] for row in rows)
    text = call("losses")
    assert text.out == ""
    assert "TripletLoss" in text.err


def test_a_folder_without_runs_has_none(call: Call, here: Path) -> None:
    assert call("runs", "--json").json == {"runs": []}
    assert "There are no runs" in call("runs").err
    assert not [*here.iterdir()]


def test_a_run_is_stopped_by_ctrl_c_and_resumed(
    call: Call, tiny_bert: Path, table: Path, here: Path, monkeypatch: pytest.MonkeyPatch, loaded: Loaded
) -> None:
    wait, presses = Run.wait, [1]

    def pressed(run: Run, *args: Any, **settings: Any) -> Run:
        if presses:
            presses.clear()
            raise KeyboardInterrupt
        return wait(run, *args, **settings)

    monkeypatch.setattr(Run, "wait", pressed)
    recipe = recipe_file(here / "recipe.yaml", tiny_bert, table, name="mine")
    with loaded.held_at(1):
        stopped = call("train", recipe, "--out", "runs/mine", "--json")
    assert (stopped.json["state"], stopped.json["step"], stopped.json["total_steps"]) == ("stopped", 1, 4)
    assert stopped.json["reason"] == "stopped as asked"
    assert "Run folder " in stopped.err
    assert "Stopping after this step; the model is kept." in stopped.err

    ended = call("resume", "runs/mine", "--json").json
    assert (ended["state"], ended["step"], ended["reason"]) == ("finished", 4, "")
    assert Path(ended["model"], "model.safetensors").is_file()
    assert set(ended["scores"]) >= {"before", "after", "change"}

    (row,) = call("runs", "runs", "--json").json["runs"]
    assert (row["run"], row["state"], row["step"], row["of"]) == ("mine", "finished", 4, 4)
    after = ended["scores"]["after"]["scores"][row["score"]]["value"]
    assert row["after"] == pytest.approx(after, rel=1e-12)
    again = call("resume", "runs/mine")
    assert again.status == 2
    assert "it is finished" in again.err


def test_a_script_goes_to_standard_output(call: Call, tiny_bert: Path, table: Path, here: Path) -> None:
    done = call("script", recipe_file(here / "recipe.yaml", tiny_bert, table))
    assert done.status == 0
    compile(done.out, "script.py", "exec")
    assert "trainer.train()" in done.out
    assert [path.name for path in here.iterdir()] == ["recipe.yaml"]


def test_a_script_goes_to_a_file_with_its_rows_beside_it(call: Call, tiny_bert: Path, table: Path, here: Path) -> None:
    done = call("script", recipe_file(here / "recipe.yaml", tiny_bert, table), "-o", "out/script.py")
    assert (done.status, done.out) == (0, "")
    text = (here / "out" / "script.py").read_text()
    names = re.findall(r"from_parquet\('(.*?)'\)", text)
    assert len(names) == 2
    assert {Path(name) for name in names} == set((here / "out").glob("*.parquet"))


class Asked(HTMLParser):
    """Addresses that a page would fetch by itself."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_an_adapter_is_tried_at_once_with_settings_changed(
    call: Call, tiny_bert: Path, table: Path, here: Path
) -> None:
    path = recipe_file(here / "recipe.yaml", tiny_bert, table, learning_rate=2e-5)
    told = call("try", path, "--set", "loss.scale=5", "--set", "max_steps=3", "--json").json
    assert told["recipe"]["method"] == "adapter" and told["recipe"]["learning_rate"] == 1e-3
    assert told["recipe"]["loss"] == {"name": "MultipleNegativesRankingLoss", "scale": 5.0}
    assert told["steps"] == 3 and told["weights"] == 32 * 32
    assert [file.name for file in here.iterdir()] == ["recipe.yaml"]
    wrong = call("try", path, "--set", "loss.skale=5")
    assert wrong.status == 2 and "did you mean 'scale'" in wrong.err


def test_two_models_are_compared_in_one_page_without_a_network(
    call: Call, tiny_bert: Path, tiny_static: Path, here: Path
) -> None:
    lines = [f"the {noun} {verb},{HOSTILE.replace(',', ' ')} {noun}\n" for noun in NOUNS for verb in VERBS[:2]]
    (here / "t.csv").write_text("anchor,positive\n" + "".join(line.replace('"', "") for line in lines))
    found = call("compare", tiny_bert, tiny_static, "t.csv", "-o", "out/page.html", "--json").json
    assert set(found) >= {"before", "after", "delta", "gained", "lost", "report"}
    assert found["report"] == "out/page.html"
    name = found["before"]["primary"]
    first, second = (found[part]["scores"][name]["value"] for part in ("before", "after"))
    assert found["delta"][name]["mid"] == pytest.approx(second - first)
    page = (here / "out" / "page.html").read_text(encoding="utf-8")
    assert Asked(page).addresses == []
    assert "&lt;script src=https://evil.example" in page
    assert found["sentences"] and found["neighbours"]["k"] == 10 and len(found["maps"]) == 2
    assert found["displacement"]["noise_level"] is None or found["displacement"]["noise_level"] > 0
    assert "<summary>" in page and "Neighbours that came and went" in page and len(page.encode()) < 6_000_000


def test_maps_can_be_saved_as_pictures(call: Call, tiny_static: Path, here: Path) -> None:
    rows = [f"the {noun} {verb},of the {noun}\n" for noun in NOUNS for verb in VERBS[:2]]
    (here / "t.csv").write_text("anchor,positive\n" + "".join(rows))
    assert call("map", tiny_static, "t.csv", "-o", "map.svg").status == 0
    assert (here / "map.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert call("map", tiny_static, here / "t.csv", "-o", "map.svg").status == 0
    assert "t.csv, " in (here / "map.svg").read_text() and str(here) not in (here / "map.svg").read_text()
    assert call("compare", tiny_static, tiny_static, "t.csv", "-o", "two.svg", "--json").json["report"] == "two.svg"
    assert (here / "two.svg").read_text(encoding="utf-8").count("map axis 1") == 2
    for command in (["map", tiny_static], ["compare", tiny_static, tiny_static]):
        assert "that ends in .html or .svg or .png" in one_sentence(call(*command, "t.csv", "-o", "map.pdf"))
    assert not (here / "map.pdf").exists()


@pytest.mark.parametrize(
    ("out", "got"), [("-", "standard output"), (".", "the folder ."), ("t.csv/map.html", "t.csv, a file, above it")]
)
def test_what_no_page_can_be_written_to_is_told_before_the_work(
    call: Call, tiny_static: Path, here: Path, out: str, got: str
) -> None:
    (here / "t.csv").write_text("text\na\nb\n")
    for command in (["map", tiny_static], ["compare", tiny_static, tiny_static]):
        told = one_sentence(call(*command, "t.csv", "-o", out))
        assert "expected a file to write, got " in told and got in told
    assert [path.name for path in here.iterdir()] == ["t.csv"]


def test_a_map_is_one_page_without_a_network(call: Call, tiny_static: Path, here: Path) -> None:
    texts = [f"the {noun} {verb}" for noun in NOUNS for verb in VERBS[:2]] + [HOSTILE]
    rows = [{"text": text, "topic": f"{HOSTILE}{place % 2}"} for place, text in enumerate(texts)]
    (here / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = call("map", tiny_static, "t.jsonl", "-o", "map.html", "--seed", "3")
    assert (done.status, done.out) == (0, "")
    page = (here / "map.html").read_text(encoding="utf-8")
    assert Asked(page).addresses == []
    assert Asked(page).scripts == 2, "plotly and the figure"
    assert "Plotly.newPlot" in page
    assert "default-src 'none'" in page
    for words in (
        "Trustworthiness ",
        "Neighbour overlap 0.",
        "The space has ",
        "hubness",
        "texts fingerprint",
        "<td>min dist</td>",
    ):
        assert words in page


def test_a_map_tells_how_it_was_made_and_what_was_measured(call: Call, tiny_static: Path, here: Path) -> None:
    rows = [f"the {noun} {verb},of the {noun}\n" for noun in NOUNS for verb in VERBS[:2]]
    (here / "t.csv").write_text("anchor,positive\n" + "".join(rows))
    found = call("map", tiny_static, "t.csv", "-o", "map.html", "--engine", "umap-learn", "--seed", "3", "--json").json
    assert found.keys() == {"record", "measures", "report"} and found["report"] == "map.html"
    assert found["record"]["version"].startswith("umap-learn ") and found["record"]["seed"] == 3
    assert found["record"]["faithfulness"]["ranked"] == found["record"]["placed"] == found["measures"]["measured"]
    assert found["measures"]["measures"]["alignment"]["n"] == len(rows), "pairs of a table belong together"
    assert "umap-learn" in (here / "map.html").read_text(encoding="utf-8")


def one_sentence(done: Done) -> str:
    """The message of a command that was refused, after a look at its manners."""
    assert done.status == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.startswith("workbench: ")
    assert done.err.count("\n") == 1, done.err
    return done.err.strip()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("anchor,positive\na,b\nc\nd,e\n", r"bad\.csv.*\b3\b"),
        ("anchor,anchor\na,b\n", r"bad\.csv.*'anchor'"),
        ("", r"bad\.csv"),
    ],
    ids=["a missing cell", "a header twice", "an empty file"],
)
@pytest.mark.parametrize("command", ["stats", "train", "compare", "map", "script"])
def test_an_unusable_table_is_one_sentence(
    command: str, text: str, words: str, call: Call, tiny_bert: Path, here: Path
) -> None:
    (here / "bad.csv").write_text(text)
    recipe = recipe_file(here / "recipe.yaml", tiny_bert, "bad.csv")
    given: dict[str, list[object]] = {
        "stats": ["bad.csv", "--model", tiny_bert, "--json"],
        "train": [recipe, "--json"],
        "script": [recipe, "-o", "out/script.py"],
        "compare": [tiny_bert, tiny_bert, "bad.csv", "--json", "-o", "out/page.html"],
        "map": [tiny_bert, "bad.csv", "-o", "out/page.html"],
    }
    assert re.search(words, one_sentence(call(command, *given[command])))
    assert {path.name for path in here.iterdir()} == {"bad.csv", "recipe.yaml"}


def unknown(folder: Path) -> str:
    return "nobody/nothing"


def flipped(folder: Path) -> str:
    write_checksums(folder)
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-9] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    return str(folder)


def pickled(folder: Path) -> str:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return str(folder)


MODELS = [
    (unknown, "model 'nobody/nothing' is not on this machine"),
    (flipped, "expected .*model.safetensors with SHA-256 .*the weights are damaged"),
    (pickled, r"pickled weights \(pytorch_model.bin\), which can run code when loaded and are refused"),
]


@pytest.mark.parametrize("command", ["train", "script", "map", "compare"])
@pytest.mark.parametrize(("spoilt", "words"), MODELS, ids=["unknown", "one byte flipped", "pickled"])
def test_an_unusable_model_is_one_sentence(
    command: str,
    spoilt: Callable[[Path], str],
    words: str,
    call: Call,
    tiny_bert: Path,
    table: Path,
    here: Path,
    tmp_path: Path,
) -> None:
    model = spoilt(Path(shutil.copytree(tiny_bert, tmp_path / "copy")))
    given: dict[str, list[object]] = {
        "train": [recipe_file(tmp_path / "recipe.yaml", model, table)],
        "script": [recipe_file(tmp_path / "recipe.yaml", model, table)],
        "map": [model, table],
        "compare": [tiny_bert, model, table, "--json"],
    }
    assert re.search(words, one_sentence(call(command, *given[command])))
    assert not [*here.iterdir()]


def test_a_recipe_with_five_mistakes_names_all_five(call: Call, here: Path, tmp_path: Path) -> None:
    path = recipe_file(
        tmp_path / "recipe.yaml",
        "nobody/nothing",
        "missing.csv",
        loss={"name": "TripletLos"},
        batch_size=0,
        epoch=2,
    )
    done = call("train", path, "--json")
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    head, *problems = done.err.strip().splitlines()
    assert head == "workbench: The recipe has 5 problems:"
    assert [line[:4] for line in problems] == [f"  {n}." for n in range(1, 6)]
    for words in ("nobody/nothing", "missing.csv", "'TripletLoss'", "batch_size", "did you mean 'epochs'"):
        assert sum(words in problem for problem in problems) == 1, words
    assert not [*here.iterdir()]


def test_a_table_of_the_wrong_shape_is_one_sentence(call: Call, tiny_bert: Path, table: Path, here: Path) -> None:
    path = recipe_file(here.parent / "recipe.yaml", tiny_bert, table, loss={"name": "TripletLoss"})
    assert "TripletLoss does not suit pairs.csv" in one_sentence(call("train", path))
    assert not [*here.iterdir()]


@pytest.mark.parametrize("command", ["train", "script", "resume", "stop"])
def test_a_file_or_run_that_is_missing_is_one_sentence(command: str, call: Call, here: Path) -> None:
    assert "nowhere" in one_sentence(call(command, "nowhere"))
    assert not [*here.iterdir()]


def test_the_folder_of_a_live_run_is_refused(call: Call, tiny_bert: Path, table: Path, here: Path) -> None:
    live = here / "live"
    live.mkdir()
    path = recipe_file(live / "recipe.yaml", tiny_bert, table)
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(live)])
    try:
        born = psutil.Process(worker.pid).create_time()
        write_status(
            live / "status.json", Status(said="running", pid=worker.pid, born=born, started=born, updated=born)
        )
        before = {file: file.read_bytes() for file in live.iterdir()}
        told = one_sentence(call("train", path, "--out", live))
        assert f"holds a run that is running in process {worker.pid}" in told
        assert f"it is running in process {worker.pid}; stop it first" in one_sentence(call("resume", live))
        assert {file: file.read_bytes() for file in live.iterdir()} == before
        assert [*here.iterdir()] == [live]
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written, whoever asks."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k,ro", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("command", ["train", "script", "compare"])
def test_a_read_only_folder_is_one_sentence(
    command: str, call: Call, tiny_static: Path, table: Path, read_only: Path, tmp_path: Path
) -> None:
    recipe = recipe_file(tmp_path / "recipe.yaml", tiny_static, table)
    given: dict[str, list[object]] = {
        "train": [recipe, "--out", read_only / "run"],
        "script": [recipe, "--out", read_only / "script.py"],
        "compare": [tiny_static, tiny_static, table, "--out", read_only / "page.html"],
    }
    assert str(read_only) in one_sentence(call(command, *given[command]))
    assert not [*read_only.iterdir()]


def test_a_loss_that_brings_code_is_not_run_unasked(call: Call, tiny_bert: Path, table: Path, here: Path) -> None:
    source = "open('ran', 'w')\nclass Mine:\n    def __init__(self, model): pass\n"
    path = recipe_file(here.parent / "recipe.yaml", tiny_bert, table, loss={"name": "Mine", "source": source})
    assert "--trust-code" in one_sentence(call("train", path))
    assert not [*here.iterdir()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "recipe.yaml"], "No such command 'trian'"),
        (["stats", "t.csv", "--modle", "x"], "No such option: --modle"),
        (["train"], "Missing argument"),
        (["map", "a", "b", "--seed", "x"], "Invalid value for '--seed'"),
        (["map", "a", "b", "--engine", "tsne"], "Invalid value for '--engine'"),
    ],
)
def test_a_misspelt_command_or_option_ends_with_status_2(words: list[str], said: str, call: Call, here: Path) -> None:
    done = call(*words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert not [*here.iterdir()]


@pytest.mark.parametrize("debug", [True, False])
def test_the_traceback_is_shown_only_with_debug(debug: bool, here: Path) -> None:
    words = [sys.executable, "-m", "workbench", *(["--debug"] if debug else []), "train", "nowhere.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert ("Traceback" in done.stderr) == debug
    assert "nowhere.yaml" in done.stderr
    assert done.returncode == 2


def test_the_recipe_that_a_script_is_made_of_is_read_as_the_library_reads_it(
    call: Call, tiny_bert: Path, table: Path, here: Path
) -> None:
    path = recipe_file(here / "recipe.yaml", tiny_bert, table)
    from workbench.cards.script import script

    assert call("script", path, "-o", "script.py").status == 0
    assert (here / "script.py").read_text() == script(Recipe.from_yaml(path), folder=here)


@pytest.mark.parametrize(("loss", "status"), [("MultipleNegativesRankingLoss", 0), ("TripletLoss", 1)])
def test_the_checks_say_in_their_exit_status_whether_something_cannot_work(
    call: Call, tiny_bert: Path, table: Path, here: Path, loss: str, status: int
) -> None:
    recipe = recipe_file(here / "r.yaml", tiny_bert, table, loss={"name": loss}, max_steps=20, warmup=2)
    done = call("check", recipe, "--json")
    assert done.status == status, done.err
    found = json.loads(done.out)["findings"]
    assert all(set(finding) == {"code", "severity", "message", "evidence", "fix"} for finding in found)
    assert any(finding["severity"] == "error" for finding in found) == (status == 1)
    assert done.out.count("\n") == 1
    said = call("check", recipe)
    assert said.out == ""
    assert all(finding["message"] in said.err for finding in found)


def test_a_recipe_that_cannot_be_read_has_an_exit_status_of_its_own(call: Call, here: Path) -> None:
    (here / "r.yaml").write_text("loss: NoSuchLoss\ndata: nowhere.csv\n")
    done = call("check", "r.yaml", "--json")
    assert (done.status, done.out) == (2, "")
    assert "NoSuchLoss" in done.err and "nowhere.csv" in done.err


@pytest.mark.parametrize(("user", "said"), [(1000, []), (0, ["--allow-root"])])
def test_the_lab_copies_missing_notebooks_and_replaces_none(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch, user: int, said: list[str]
) -> None:
    pytest.importorskip("jupyterlab", reason="needs the extra lab")
    started: list[list[str]] = []

    def start(program: str, words: list[str]) -> None:
        started.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(cli.os, "execv", start)
    monkeypatch.setattr(cli.os, "geteuid", lambda: user)
    (here / "work").mkdir()
    (here / "work" / "02_what_is_in_my_data.ipynb").write_text("mine")
    assert call("lab", "work").status == 0
    assert started[0][1:] == ["-m", "jupyterlab", *said, str(Path("work") / "01_quickstart.ipynb")]
    assert (here / "work" / "02_what_is_in_my_data.ipynb").read_text() == "mine"
    shipped = {path.name for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (here / "work").iterdir()} == shipped


def test_without_jupyterlab_the_lab_says_what_to_install(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = call("lab", "work")
    assert done.status == 2 and 'pip install "embedding-workbench[lab]"' in done.err
    assert not (here / "work").exists()


def test_findings_of_a_run_come_as_lines_and_as_json(
    call: Call, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"kind": "finding", "step": 2, "code": "collapse", "severity": "error", "message": "All texts\nfell."}
    more = {"evidence": {"mean_cosine": 0.98}, "changes": {"learning_rate": 2e-6}, "fixed": "lower it", "stops": True}
    run = make_run(said="stopped", events=[found | more])
    run.files.model.mkdir()
    monkeypatch.setattr(Run, "resume", lambda run, **_: run)
    done = call("resume", run.folder, "--json")
    assert done.err.count("✖ error at step 2: All texts fell.\n") == 1
    (told,) = done.json["findings"]
    assert (told["code"], told["fix"]) == ("collapse", {"learning_rate": 2e-6})
    assert "1 error" in call("resume", run.folder).err


def test_two_texts_are_explained_by_the_share_of_each_token(call: Call, tiny_bert: Path, here: Path) -> None:
    done = call("explain", tiny_bert, "the red cat", "a small dog")
    assert (done.status, done.out) == (0, "")
    assert f"{tiny_bert.name}: cosine " in done.err and "exact: " in done.err and "'the red cat', sum " in done.err
    assert [line.split()[1] for line in done.err.splitlines() if re.match(r" +[+-]0\.\d{4}  ", line)] == [
        *("[CLS]", "the", "red", "cat", "[SEP]"),
        *("[CLS]", "a", "small", "dog", "[SEP]"),
    ]
    assert not [*here.iterdir()]


def test_two_models_explain_two_texts_as_json(call: Call, tiny_bert: Path, tiny_static: Path) -> None:
    found = call("explain", tiny_bert, "red cat", "a dog", "--with", tiny_static, "--json").json["models"]
    assert [record["model"] for record in found] == [tiny_bert.name, tiny_static.name]
    for record in found:
        for side in (record["first"], record["second"]):
            assert sum(token["value"] for token in side["tokens"]) == pytest.approx(record["cosine"], abs=1e-6)
    assert [token["text"] for token in found[1]["first"]["tokens"]] == ["red", "cat"]


def test_texts_that_are_no_utf8_are_explained_too(call: Call, tiny_static: Path) -> None:
    (record,) = call("explain", tiny_static, "red \udcff cat", "cat", "--json").json["models"]
    assert record["first"]["text"] == "red ? cat"


def test_an_explanation_with_an_unknown_model_is_one_sentence(call: Call, tiny_static: Path) -> None:
    done = call("explain", tiny_static, "a", "b", "--with", "nobody/nothing", "--json")
    assert (done.status, done.out) == (2, "") and "model 'nobody/nothing' is not on this machine" in done.err
    assert "Traceback" not in done.err


def test_a_film_is_one_page_without_a_network_and_tells_what_it_took(
    call: Call, make_run: MakeRun, tmp_path: Path
) -> None:
    run = filmed(make_run, text=HOSTILE)
    made = call("film", run.folder, "-o", tmp_path / "film.html", "--json").json
    page = (tmp_path / "film.html").read_text(encoding="utf-8")
    assert "Plotly.addFrames" in page and "evil.example" in page and "<script src" not in page
    assert (made["engine"], made["texts"], made["seconds"], made["trained_seconds"], made["share"]) == (
        "pca", 8, 1.5, 20.0, 0.075,
    )  # fmt: skip
    assert [moment["step"] for moment in made["moments"]] == [0, 1, 2] and made["report"].endswith("film.html")
    said = call("film", run.folder, "-o", tmp_path / "u.html", "--engine", "umap")
    assert said.status == 0 and "UMAP" in said.err and f"Wrote {tmp_path / 'u.html'}" in said.err


def test_a_run_without_a_film_is_told_in_a_sentence(call: Call, make_run: MakeRun, tmp_path: Path) -> None:
    done = call("film", make_run(film_frames=0).folder, "-o", tmp_path / "film.html")
    assert done.status == 2 and done.out == "" and not (tmp_path / "film.html").exists()
    assert "expected the film of first, but the recipe says film_frames: 0" in done.err
