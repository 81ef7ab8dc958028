"""The card of a run: what it says is what the run was, and no text from outside becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.loaded import Loaded
from tests.training.conftest import NOUNS, VERBS
from workbench.data.load import load
from workbench.data.tokens import token_stats
from workbench.recipe import Loss, Recipe
from workbench.training.launch import Run, train

WAIT_S = 240
NAME = "a`|*b*_<img src=x onerror=alert(1)>](javascript:alert(1)) \"'x"
TEXTS = [
    "<script>alert(1)</script>",
    "</code><img src=x onerror=alert(1)>",
    "`ticks` and ```\nfences\n```",
    "| a | b \\| c \\\\| d |",
    "line\n\n## A heading\r\n- and a list\u2028end",
    "](javascript:alert(1)) [x](javascript:alert(2)) ![y](javascript:alert(3))",
    "*stars* and __lines__ and ~~strokes~~",
    "&lt;b&gt; &amp; &#60;",
    "<!-- a comment",
    "\\<b\\> \\` \\[x](y)",
    "{{ 7 * 7 }} {% raw %}",
    "</details></td></table>",
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentences(noun: str, verb: str) -> tuple[str, str]:
    """Two sentences that mean about the same."""
    return f"the {noun} {verb}", f"a small {noun} {verb} in the house"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tables and runs."""
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def finished(tiny_bert: Path, place: Path) -> Run:
    """A run on graded pairs whose texts, columns, files and name are all hostile."""
    grades = [0.0, 0.25, 0.5, 0.75, 1.0]
    plain = [sentences(noun, verb) for noun in NOUNS for verb in VERBS]
    tables = []
    for name, hostile, rest in ((f"{NAME}.jsonl", TEXTS[:6], plain[:36]), (f"e{NAME}.jsonl", TEXTS[6:], plain[36:])):
        pairs = [(hostile[row], hostile[row + 3]) for row in range(3)] + rest
        rows = [{"<b>1</b>": a, "b|[x](y)": b, "score": grades[row % 5]} for row, (a, b) in enumerate(pairs)]
        tables.append(written(place / name, rows))
    columns = {"<b>1</b>": "anchor", "b|[x](y)": "positive", "score": "score"}
    recipe = Recipe(
        model=str(tiny_bert),
        loss=Loss("CoSENTLoss", scale=10),
        data={"source": str(tables[0]), "columns": columns},
        eval_data={"source": str(tables[1]), "columns": columns},
        name='r``` ```` """ <script>alert(1)</script>\n## A heading\n</details>',
        batch_size=8,
        max_steps=6,
        learning_rate=1e-3,
        device="cpu",
        logging_steps=2,
        eval_steps=3,
    )
    return train(recipe, folder=place / "finished").wait(WAIT_S)


@pytest.fixture(scope="module")
def resumed(tiny_bert: Path, place: Path, loaded: Loaded) -> Run:
    """A run with plain gradient descent, stopped and resumed, scored on three pairs."""
    rows = [dict(zip(("anchor", "positive"), sentences(noun, verb), strict=True)) for noun in NOUNS for verb in VERBS]
    recipe = Recipe(
        model=str(tiny_bert),
        loss=Loss("MultipleNegativesRankingLoss"),
        data=str(written(place / "train.jsonl", rows[3:])),
        eval_data=str(written(place / "eval.jsonl", rows[:3])),
        optimizer="sgd",
        scheduler="constant",
        learning_rate=0.03125,
        batch_size=8,
        max_steps=4,
        device="cpu",
        logging_steps=1,
        eval_steps=2,
    )
    with loaded.held_at(1):
        run = train(recipe, folder=place / "resumed")
    run.stop().wait(WAIT_S)
    assert run.state == "stopped"
    assert run.status.step == 1
    assert "stopped early at step 1 of 4: stopped as asked" in run.card
    return run.resume().wait(WAIT_S)


@pytest.fixture(scope="module")
def undefined(tiny_bert: Path, place: Path) -> Run:
    """A run on classes with hostile names whose evaluation rows are all of one class."""
    classes = ["[x](javascript:alert(1))", "<b>`|`*", "plain"]
    texts = [sentences(noun, verb)[0] for noun in NOUNS for verb in VERBS]
    rows = [{"text": text, "topic": classes[place % 3]} for place, text in enumerate(texts)]
    columns = {"text": "anchor", "topic": "label"}
    recipe = Recipe(
        model=str(tiny_bert),
        loss=Loss("BatchAllTripletLoss"),
        data={"source": str(written(place / "classes.jsonl", rows)), "columns": columns},
        eval_data={"source": str(written(place / "one.jsonl", rows[::3])), "columns": columns},
        batch_sampler="group_by_label",
        max_steps=1,
        device="cpu",
    )
    return train(recipe, folder=place / "undefined").wait(WAIT_S)


class Seen(HTMLParser):
    """What a browser sees of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self._cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self._cell = True
            self.cells[-1].append("")
        if tag == "br" and self._cell:
            self.cells[-1][-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[-1][-1] += data


def body(card: str) -> str:
    """The Markdown after the front matter."""
    return card.split("\n---\n", 1)[1]


def shown(card: str) -> Seen:
    """The card as a Markdown reader with tables and raw HTML draws it."""
    from markdown_it import MarkdownIt

    return Seen(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body(card)))


def table(card: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, as they stand in the text."""
    part = card[card.index(f"\n### {heading}\n") :]
    lines = re.findall(r"(?:^ *\|.*\|\n)+", part, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip(" |").split("|")] for line in lines]


def logged(run: Run) -> list[dict[str, str]]:
    """Rows of the training log."""
    head, _, *rows = [
        [cell.strip(" *") for cell in line.strip().strip("|").split("|")]
        for line in run.card.split("### Training Logs\n")[1].split("\n\n")[0].splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_front_matter_is_read_by_the_hub_library(finished: Run) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard.load(finished.model_folder / "README.md").data.to_dict()
    assert "base_model" not in data, "a folder of this machine is no Hub id"
    assert f"{Path(finished.recipe.model).name}, a folder of its author" in finished.card
    assert finished.recipe.model not in finished.card
    assert data["library_name"] == "sentence-transformers"
    assert {"dataset_size:39", "loss:CoSENTLoss"} <= set(data["tags"])


@pytest.mark.parametrize("which", ["finished", "resumed", "undefined"])
def test_nothing_in_a_card_is_not_a_number(which: str, request: pytest.FixtureRequest) -> None:
    import yaml

    run: Run = request.getfixturevalue(which)
    front = run.card.split("\n---\n")[0].removeprefix("---\n")
    assert not re.search(r"\.nan|\.inf", yaml.safe_dump(yaml.safe_load(front)), re.IGNORECASE)
    assert not re.search(r"\b(nan|inf|NaN|None tokens)\b", body(run.card))


def test_the_results_in_the_front_matter_are_the_scores_of_the_run(finished: Run) -> None:
    from huggingface_hub import ModelCard

    results = ModelCard.load(finished.model_folder / "README.md").data.eval_results
    assert finished.scores is not None
    scores = finished.scores["after"]["scores"]
    assert len(scores) == 8
    found = {result.metric_type: result.metric_value for result in results or []}
    assert found == {name: round(score["value"], 4) for name, score in scores.items()}
    assert {result.task_type for result in results or []} == {"semantic-similarity"}


def test_an_undefined_score_is_no_result_in_the_front_matter(undefined: Run) -> None:
    from huggingface_hub import ModelCard

    assert not ModelCard.load(undefined.model_folder / "README.md").data.eval_results


def test_all_headings_of_the_librarys_template_are_there_in_order(finished: Run) -> None:
    from sentence_transformers.sentence_transformer import model_card

    template = (Path(model_card.__file__).parent / "model_card_template.md").read_text(encoding="utf-8")
    carbon = {"### Environmental Impact", "### Training Hardware"}  # only with codecarbon
    wanted = [line for line in re.findall(r"^#{2,4} [^{\n]+$", template, re.MULTILINE) if line not in carbon]
    assert len(wanted) > 20
    datasets = ["### Training Dataset", "### Evaluation Dataset"]  # made by a loop
    place = wanted.index("## Training Details") + 1
    lines: Iterator[str] = iter(body(finished.card).splitlines())
    assert [heading for heading in [*wanted[:place], *datasets, *wanted[place:]] if heading not in lines] == []
    assert re.findall(r"^### (?:The Run|Before and After|Equivalent Script|Framework Versions)$", finished.card, re.M)


@pytest.mark.parametrize(("heading", "part"), [("Training Dataset", "data"), ("Evaluation Dataset", "eval_data")])
def test_statistics_are_those_of_all_rows_before_truncation(finished: Run, heading: str, part: str) -> None:
    assert "pproximate statistics" not in finished.card
    assert finished.card.count("\n* Statistics over all rows, in tokens before truncation, special") == 2
    stats = token_stats(load(getattr(finished.recipe, part)), finished.recipe.model)
    head, _, kinds, details = table(finished.card, heading)
    assert head[-3:] == ["anchor", "positive", "score"]
    assert kinds == ["type", "text", "text", "score"]
    for column, cell in zip(stats.columns.values(), details[1:], strict=True):
        said = dict(item.split(": ") for item in re.findall(r"<li>(.*?)</li>", cell))
        numbers = {key: float(value.split()[0].rstrip("%")) for key, value in said.items()}
        assert {key: numbers[key] for key in ("min", "mean", "max")} == {
            key: pytest.approx(getattr(column, key), abs=0.005) for key in ("min", "mean", "max")
        }
        if column.type == "text":
            wanted = {
                "median": column.median,
                "p95": column.p95,
                "empty": column.empty,
                "duplicates": column.duplicates,
            }
            assert {key: numbers[key] for key in wanted} == {
                key: pytest.approx(value, abs=0.005) for key, value in wanted.items()
            }
            assert numbers["over the limit of 64 tokens"] == pytest.approx(100 * column.truncated_share, abs=0.005)


def test_each_item_of_a_dataset_starts_a_line(finished: Run) -> None:
    for item in ("* Size: ", "* Columns: ", "* Statistics ", "* Samples:", "* Loss: "):
        assert finished.card.count(f"\n{item}") == finished.card.count(item) == 2, item


def test_texts_classes_columns_and_names_stay_text(finished: Run, undefined: Run) -> None:
    known = (
        "a blockquote br code details em h1 h2 h3 h4 li ol p pre strong summary table tbody td th thead tr ul".split()
    )
    for run in (finished, undefined):
        seen = shown(run.card)
        assert {tag for tag, _ in seen.tags} <= set(known)
        links = [attributes["href"] or "" for tag, attributes in seen.tags if tag == "a"]
        assert [link for link in links if not link.startswith("https://")] == []
        assert not [attributes for tag, attributes in seen.tags if tag != "a" and set(attributes) - {"class", "style"}]
    headings = [tag for tag, _ in shown(finished.card).tags if tag.startswith("h")]
    assert headings.count("h2") == len(re.findall(r"^## ", re.sub(r"<!--.*?-->", "", finished.card, flags=re.S), re.M))
    assert "## A heading" not in finished.card.splitlines()


def test_samples_are_shown_letter_by_letter(finished: Run) -> None:
    rows = [row for row in shown(finished.card).cells if len(row) == 3]
    for texts in (TEXTS[:6], TEXTS[6:]):
        for row in range(3):
            wanted = ["\n".join(text.splitlines()) for text in (texts[row], texts[row + 3])]
            assert wanted in [cells[:2] for cells in rows]


def test_classes_are_shown_with_their_shares(undefined: Run) -> None:
    cells = [cell for row in shown(undefined.card).cells for cell in row]
    assert any(cell.startswith("[x](javascript:alert(1)): 33.33%<b>`|`*: 33.33%plain: 33.33%") for cell in cells)


def test_before_and_after_are_the_scores_with_their_intervals(finished: Run) -> None:
    assert finished.scores is not None
    before, after, delta = (finished.scores[key] for key in ("before", "after", "change"))
    head, _, *rows = table(finished.card, "Before and After")
    assert head == ["Score", "Base model", "Tuned model", "Difference", "n"]
    assert [row[0].strip("*") for row in rows] == [*after["scores"]]
    assert rows[0][0] == f"**{after['primary']}**"
    for (name, first, second, change, n), score in zip(rows, after["scores"].values(), strict=True):
        old, moved = before["scores"][name.strip("*")], delta["delta"][name.strip("*")]
        assert first == f"{old['value']:.4f} [{old['low']:.4f}, {old['high']:.4f}]"
        assert second == f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"
        assert change.startswith(f"{moved['mid']:+.4f} [{moved['low']:+.4f}, {moved['high']:+.4f}]")
        assert change.endswith("within noise") == (moved["low"] <= 0 <= moved["high"])
        assert n == str(score["n"]) == "15"


def test_the_training_log_begins_with_the_base_model(finished: Run) -> None:
    rows = logged(finished)
    assert [row["Step"] for row in rows] == ["0", "1", "2", "3", "4", "6"]
    assert float(rows[0]["Epoch"]) == 0.0
    assert rows[0]["Training Loss"] == "-"
    assert finished.scores is not None
    ends = [finished.scores[when]["scores"]["spearman_cosine"]["value"] for when in ("before", "after")]
    assert [float(rows[place]["spearman_cosine"]) for place in (0, -1)] == [round(value, 4) for value in ends]
    losses = {str(event["step"]): round(event["loss"], 4) for event in finished.events("step")}
    assert {row["Step"]: float(row["Training Loss"]) for row in rows if row["Training Loss"] != "-"} == losses


def test_the_training_log_of_a_resumed_run_misses_no_step(resumed: Run) -> None:
    rows = logged(resumed)
    assert [row["Step"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert float(rows[0]["Epoch"]) == 0.0
    assert [row["Training Loss"] != "-" for row in rows] == [False, True, True, True, True]
    assert [row["cosine_ndcg@10"] != "-" for row in rows] == [True, False, True, False, True]
    assert "- **Attempts:** 2 (1 resumed)" in resumed.card
    assert "- **Ended:** finished 4 of 4 steps" in resumed.card


def test_optimizer_and_learning_rate_are_those_of_the_run(finished: Run, resumed: Run) -> None:
    assert "- **Optimizer:** sgd, peak learning rate 0.03125, weight decay 0, constant schedule" in resumed.card
    assert "- `optim`: sgd\n" in resumed.card
    assert "- `learning_rate`: 0.03125\n" in resumed.card
    assert "adamw" not in resumed.card
    assert "- **Optimizer:** adamw, peak learning rate 0.001," in finished.card
    assert "- `optim`: adamw_torch_fused\n" in finished.card


def test_too_few_groups_are_told_in_words(resumed: Run) -> None:
    row = table(resumed.card, "Before and After")[2]
    few = "(no interval: 3 independent groups are too few to resample, 5 are needed)"
    assert [re.sub(r"\d\.\d{4}", "number", cell) for cell in row[1:4]] == [
        f"number {few}",
        f"number {few}",
        f"{row[3][0]}number {few}",
    ]


def test_an_undefined_score_is_told_in_words(undefined: Run) -> None:
    row = table(undefined.card, "Before and After")[2]
    assert row[1:4] == ["undefined: all texts have the same label"] * 3


def test_no_name_ends_the_fence_of_the_script(finished: Run) -> None:
    from markdown_it import MarkdownIt

    fences = [token for token in MarkdownIt("commonmark").parse(body(finished.card)) if token.type == "fence"]
    scripts = [token.content for token in fences if token.info == "python" and "Repeats the fine-tune" in token.content]
    assert len(scripts) == 1
    assert "```` '''" in scripts[0]
    assert scripts[0].endswith('model.save_pretrained("model")\n')
    compile(scripts[0], "script.py", "exec")
