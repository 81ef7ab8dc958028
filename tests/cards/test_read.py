"""Reading a model card: where it comes from, what its parts become, and which files are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.cards.read_outline import number, value, whole
from workbench.cards.read_text import MAX_BYTES
from workbench.errors import ModelError

SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 16, "per_device_eval_batch_size": 16, "gradient_accumulation_steps": 1,
    "learning_rate": 3e-05, "weight_decay": 0.01, "max_grad_norm": 1.0, "num_train_epochs": 2, "max_steps": -1,
    "lr_scheduler_type": "linear", "warmup_ratio": 0.1, "warmup_steps": 0, "optim": "adamw_torch", "seed": 7,
    "bf16": False, "fp16": False, "gradient_checkpointing": False, "dataloader_drop_last": False, "prompts": None,
    "batch_sampler": "no_duplicates", "multi_dataset_batch_sampler": "proportional",
}  # fmt: skip
TEXT = {"type": "string", "details": "<ul><li>min: 3 tokens</li><li>mean: 20.5 tokens</li><li>max: 60 tokens</li></ul>"}
LOSS = "* Loss: [<code>MultipleNegativesRankingLoss</code>](https://sbert.net/x) with these parameters:"


def table(*rows: tuple[object, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + ":--|" * len(rows[0]), *lines[1:]])


def data_part(
    heading: str = "Training Dataset", *, name: str = "things", link: str = "", rows: str = "480", counted: int = 480,
    columns: dict[str, dict[str, str]] | None = None, loss: str = LOSS, parameters: str = '{"scale": 20.0}',
) -> str:  # fmt: skip
    """The description of a data set."""
    columns = {"anchor": TEXT, "positive": TEXT} if columns is None else columns
    cells = [[column[key] for column in columns.values()] for key in ("type", "details")]
    said = table(("", *columns), ("type", *cells[0]), ("details", *cells[1]))
    samples = table((*columns,), tuple(f"<code>a text of {column}<br>two</code>" for column in columns))
    named = f"* Dataset: [{name}]({link})\n" if link else ""
    return f"""### {heading}

#### {name}

{named}* Size: {rows} samples
* Columns: {", ".join(f"<code>{column}</code>" for column in columns)}
* Approximate statistics based on the first {counted} samples:
{indented(said)}
* Samples:
{indented(samples)}
{loss}
  ```json
  {parameters}
  ```
"""


def indented(text: str) -> str:
    """Two spaces before each line."""
    return "\n".join(f"  {line}" for line in text.splitlines())


HUB = "https://huggingface.co/datasets/owner/things) at [0123456](https://huggingface.co/datasets/owner/things/tree/0123456789abcdef0123456789abcdef01234567"
LOG = [("Epoch", "Step", "Training Loss"), (0.5, 15, 2.5), (1.0, 30, "**2.0**"), (2.0, 60, 1.5)]
SCORES = [("Metric", "Value"), ("**cosine_ndcg@10**", "**0.8123**"), ("cosine_mrr@10", "0.75")]


def card(
    *, front: str = "", base: str = "owner/base", shape: str = "SentenceTransformer", data: str | None = None,
    settings: dict[str, Any] | None = None, changed: dict[str, Any] | None = None,
    log: list[tuple[object, ...]] | None = None, scores: list[tuple[object, ...]] | None = None, more: str = "",
    limit: int = 256, version: str = "5.1.0",
) -> str:  # fmt: skip
    """A sound card in our own words, in the structure of the library's."""
    every = {**SETTINGS, **(settings or {})}
    lines = "".join(f"- `{key}`: {said}\n" for key, said in every.items() if said is not ...)
    said = "".join(f"- `{key}`: {value}\n" for key, value in (changed or {}).items())
    named = (
        f"- **Base model:** [{base}](https://huggingface.co/{base}) <!-- at revision {'ab' * 20} -->\n" if base else ""
    )
    return f"""---
library_name: sentence-transformers
license: mit
tags:
- sentence-transformers
- dataset_size:480
- loss:MultipleNegativesRankingLoss
widget:
- source_sentence: one
{front}---

# A model of our own

## Model Details

### Model Description
- **Model Type:** Sentence Transformer
{named}- **Maximum Sequence Length:** {limit} tokens
- **Output Dimensionality:** 384 dimensions
- **Similarity Function:** Cosine Similarity

### Full Model Architecture

```
{shape}(
  (0): Transformer({{'max_seq_length': {limit}, 'do_lower_case': False}}) with Transformer model: BertModel
  (1): Pooling({{'word_embedding_dimension': 384, 'pooling_mode_cls_token': False, 'pooling_mode_mean_tokens': True}})
  (2): Normalize()
)
```

## Evaluation

### Metrics

#### Information Retrieval

* Dataset: `held-out`
* Evaluated with [<code>InformationRetrievalEvaluator</code>](https://sbert.net/x)

{table(*(SCORES if scores is None else scores))}

## Training Details

{data_part(link=HUB) if data is None else data}
### Training Hyperparameters
#### Non-Default Hyperparameters

{said}
#### All Hyperparameters
<details><summary>open</summary>

{lines}
</details>

### Training Logs
{table(*(LOG if log is None else log)) if log != [] else ""}

{more}
### Training Time
- **Training**: 1.5 minutes
- **Evaluation**: 6.0 seconds

### Framework Versions
- Python: 3.11.4
- Sentence Transformers: {version}

## Citation

### BibTeX

#### Sentence Transformers
```bibtex
@misc{{one}}
```
"""


def test_every_part_of_a_card_is_read() -> None:
    read = wb.read_card(card())
    assert (read.model_name, read.base_model, read.revision) == ("A model of our own", "owner/base", "ab" * 20)
    assert (read.kind, read.how, read.library_version, read.licence) == (
        "SentenceTransformer", "trainer", "5.1.0", "mit",
    )  # fmt: skip
    shape = read.architecture
    assert (shape.max_seq_length, shape.dimension, shape.similarity) == (256, 384, "Cosine Similarity")
    assert (shape.pooling, shape.normalized, shape.transformer, len(shape.modules)) == (("mean",), True, "BertModel", 3)
    assert read.hyperparameters["learning_rate"] == 3e-5
    assert read.log[1] == {"Epoch": 1.0, "Step": 30, "Training Loss": 2.0}
    assert read.times_s == {"training": 90.0, "evaluation": 6.0}
    assert read.citations == {"Sentence Transformers": "@misc{one}"}
    assert (read.widgets, len(read.tags)) == (1, 3)


def test_a_data_set_is_read_with_its_place_columns_and_samples() -> None:
    data = wb.read_card(card()).train
    assert data is not None
    assert (data.part, data.name, data.hub_id, data.revision) == ("train", "things", "owner/things", "0123456789abcdef0123456789abcdef01234567")  # fmt: skip
    assert (data.rows, data.statistics_rows) == (480, 480)
    column = data.columns[0]
    assert (column.name, column.type, column.min, column.mean, column.max, column.unit) == (
        "anchor", "string", 3, 20.5, 60, "tokens",
    )  # fmt: skip
    assert data.samples == (("a text of anchor\ntwo", "a text of positive\ntwo"),)
    assert data.loss is not None
    assert (data.loss.name, dict(data.loss.parameters), data.loss.custom) == (
        "MultipleNegativesRankingLoss", {"scale": 20.0}, False,
    )  # fmt: skip


def test_scores_are_read_with_their_evaluator_and_the_metric_in_bold() -> None:
    (scores,) = wb.read_card(card()).scores
    assert (scores.evaluator, scores.data, scores.primary) == (
        "InformationRetrievalEvaluator", "held-out", "cosine_ndcg@10",
    )  # fmt: skip
    assert scores.metrics == {"cosine_ndcg@10": 0.8123, "cosine_mrr@10": 0.75}


def test_one_table_with_two_columns_is_two_data_sets() -> None:
    rows = [("Metric", "dev", "test"), ("**spearman_cosine**", "**0.5**", "nan")]
    first, second = wb.read_card(card(scores=rows)).scores
    assert (first.data, first.metrics["spearman_cosine"]) == ("dev", 0.5)
    assert (second.data, second.metrics["spearman_cosine"]) == ("test", None)
    assert "the card says nan" in second.why["spearman_cosine"]


def test_scores_come_from_the_front_matter_where_the_page_has_none() -> None:
    front = "model-index:\n- results:\n  - task: {name: Triplet}\n    dataset: {type: dev}\n    metrics: [{type: acc, value: .nan}, {type: b, value: 0.5}]\n"
    (scores,) = wb.read_card(card(front=front, scores=[("Nothing", "here"), ("a", "b")])).scores
    assert (scores.description, scores.data, scores.metrics) == ("Triplet", "dev", {"acc": None, "b": 0.5})


def test_a_loss_inside_a_loss_inside_a_loss_is_found_through_the_tags() -> None:
    named = LOSS.replace("MultipleNegativesRankingLoss", "MatryoshkaLoss")
    data = data_part(loss=named, parameters='{"loss": "AdaptiveLayerLoss", "matryoshka_dims": [384, 128]}')
    text = card(data=data).replace(
        "- loss:MultipleNegativesRankingLoss", "- loss:MatryoshkaLoss\n- loss:AdaptiveLayerLoss\n- loss:CoSENTLoss"
    )
    loss = wb.read_card(text).losses[0]
    assert loss.inner is not None
    assert loss.inner.inner is not None
    assert [loss.name, loss.inner.name, loss.inner.inner.name] == ["MatryoshkaLoss", "AdaptiveLayerLoss", "CoSENTLoss"]
    assert dict(loss.parameters) == {"matryoshka_dims": [384, 128]}


def test_classes_keep_their_shares() -> None:
    label = {"type": "int", "details": "<ul><li>0: ~60.00%</li><li>1: ~40.00%</li></ul>"}
    data = wb.read_card(card(data=data_part(columns={"text": TEXT, "label": label}))).train
    assert data is not None
    assert data.columns[1].details == {"0": "~60.00%", "1": "~40.00%"}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("1,234", 1234), ("**0.5**", 0.5), ("5e-05", 5e-5), ("-1", -1), ("~40%", 40), (".5", 0.5), ("1.", 1.0)],
)
def test_numbers_are_read_as_cards_print_them(said: str, wanted: float) -> None:
    assert number(said) == wanted
    assert type(number(said)) is type(wanted)


@pytest.mark.parametrize(
    "said", ["-", "nan", "inf", "", "**", "1_0", "1,23", "9" * 30, "1e999", "0x1", "１２", "1 2", "e5", "True", "."]
)
def test_what_is_no_number_is_none(said: str) -> None:
    assert number(said) is None


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("3,584 training samples", 3584), ("256 tokens", 256), ("inf tokens", None), ("-5 rows", None), ("", None)],
)
def test_counts_are_whole_numbers(said: str, wanted: int | None) -> None:
    assert whole(said) == wanted


def test_settings_are_plain_values() -> None:
    said = ["None", "True", "{'a': [1, 2.5]}", "[]", "no", "{'a': nan}", "[" * 5000, "(1, 2)", "{1: float('inf')}"]
    assert [value(one) for one in said] == [
        None, True, {"a": [1, 2.5]}, [], "no", "{'a': nan}", "[" * 5000, [1, 2], "{1: float('inf')}",
    ]  # fmt: skip


def test_a_prompt_keeps_the_space_at_its_end() -> None:
    text = card().replace("- `prompts`: None", "- `prompts`: query: ")
    assert wb.read_card(text).hyperparameters["prompts"] == "query: "


# ---------------------------------------------------------------- sources


def test_a_path_a_folder_a_run_folder_and_a_text_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    path = tmp_path / "run" / "model" / "README.md"
    path.write_text(card())
    wanted = wb.read_card(card())
    for source in (path, str(path), path.parent, tmp_path / "run"):
        assert wb.read_card(source) == wanted


def test_a_hub_id_is_read_from_the_local_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    folder = tmp_path / "models--owner--model"
    for name, content in (("refs/main", "a" * 40), (f"snapshots/{'a' * 40}/README.md", card())):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert wb.read_card("owner/model") == wb.read_card(card())


def test_a_recipe_of_somebody_elses_kitchen_is_no_recipe() -> None:
    read = wb.read_card(card(more="### Recipe\n\n```yaml\nflour: 500\n```\n\n"))
    assert read.recipe_text is None
    assert read.recipe.learning_rate == 3e-5


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(card().replace("\n", "\r\n").encode(encoding))
        assert wb.read_card(path) == wb.read_card(card())


def test_a_carriage_return_in_a_sample_does_not_end_its_row() -> None:
    text = card().replace("a text of anchor<br>two", "a text\r<br>two")
    data = wb.read_card(text).train
    assert data is not None
    assert data.samples[0] == ("a text \ntwo", "a text of positive\ntwo")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere/card.md", "which is no file; check the path"),
        ("owner/model", "not on this machine and the model hub cannot be reached; give the path of its README.md"),
        ("", "expected the path of a model card, its text or a Hub id, got ''"),
        (3, "got 3"),
        ("x" * 5000, "which is no file"),
        ("nul\0.md", "which is no file"),
    ],
)
def test_what_is_no_card_is_told_in_one_sentence(source: Any, words: str) -> None:
    with pytest.raises(ModelError) as error:
        wb.read_card(source)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_folder_without_a_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a README.md in the folder .*, got none"):
        wb.read_card(tmp_path)


def test_a_large_file_is_refused_by_its_size_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(ModelError, match=f"at most {MAX_BYTES:,} bytes, got 50,000,000"):
        wb.read_card(path)


def test_a_text_with_too_many_lines_is_refused() -> None:
    with pytest.raises(ModelError, match=r"at most 100,000 lines, got 200,000"):
        wb.read_card("a\n" * 200_000)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ModelError, match="got bytes that are no text"):
        wb.read_card(path)


def test_a_text_of_something_else_is_refused() -> None:
    with pytest.raises(
        ModelError, match="expected a model card of Sentence Transformers, got a text without its marks"
    ):
        wb.read_card("# Shopping\n\n- milk\n- bread\n")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("CrossEncoder", "a cross-encoder, which scores pairs of texts"),
        ("SparseEncoder", "a sparse encoder"),
        ("MultiVectorEncoder", "a multi-vector encoder"),
    ],
)
def test_cards_of_other_models_are_refused_by_name(kind: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        wb.read_card(card(shape=kind))


def test_a_kind_is_known_from_the_tags_where_no_modules_are_printed() -> None:
    with pytest.raises(ModelError, match="cross-encoder"):
        wb.read_card("---\nlibrary_name: sentence-transformers\ntags:\n- cross-encoder\n---\n# x\n")


def test_a_card_without_training_is_read_and_says_so() -> None:
    read = wb.read_card("---\nlibrary_name: sentence-transformers\n---\n# all-things\n\nMaps texts to vectors.\n")
    assert (read.model_name, read.how, read.datasets) == ("all-things", "unknown", ())
    assert {"no-data", "base-unknown"} <= {doubt.code for doubt in read.doubts}


# ---------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("a: " + "[" * 5000, "it is no YAML"),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "it is no YAML"),
        ("when: 2024-99-99", "it is no YAML"),
        ("a: " + "x" * 300_000, "at most 200,000 are read"),
        ("- a\n- b", "it holds no settings"),
    ],
)
def test_front_matter_that_cannot_be_used_is_told_and_the_rest_is_read(front: str, words: str) -> None:
    text = card().replace("library_name: sentence-transformers", front, 1)
    text = text if words != "it holds no settings" else f"---\n{front}\n---\n" + card().split("\n---\n", 1)[1]
    read = wb.read_card(text)
    assert read.train is not None
    assert words in next(doubt.sentence for doubt in read.doubts if doubt.code == "front-matter")


def test_names_that_repeat_each_other_cost_nothing() -> None:
    laughs = "".join(f"l{n}: &l{n} [*l{n - 1}, *l{n - 1}, *l{n - 1}]\n" for n in range(1, 40))
    assert wb.read_card(card(front=f"l0: &l0 [x]\n{laughs}")).train is not None


EVIL = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """The tags that a browser sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


def test_no_field_of_a_card_becomes_markup() -> None:
    columns = {EVIL: TEXT, f"b{EVIL}": TEXT}
    data = data_part(name=EVIL, columns=columns, loss=f"* Loss: <code>__main__.{EVIL}</code>", rows="9")
    text = card(base=EVIL, data=data, scores=[("Metric", EVIL), (EVIL, "nan")], version=EVIL, settings={"optim": EVIL})
    read = wb.read_card(text.replace("# A model of our own", f"# {EVIL}"))
    page = read._repr_html_()
    assert Tags(page).found == {"table", "caption", "tr", "th", "td", "ul", "li", "small"}
    assert page.count("&lt;script&gt;") > 5


def test_a_card_is_plain_values_in_json_and_a_frame_of_its_log() -> None:
    read = wb.read_card(card(scores=[("Metric", "Value"), ("a", "inf")], log=[*LOG, ("-", "-", "nan")]))
    plain = json.loads(json.dumps(read.to_json(), allow_nan=False))
    assert plain["datasets"][0]["columns"][1]["name"] == "positive"
    assert {"code", "sentence", "evidence"} == set(plain["doubts"][0])
    frame = read.to_frame()
    assert list(frame.columns) == ["Epoch", "Step", "Training Loss"]
    assert frame["Training Loss"].tolist() == [2.5, 2.0, 1.5, None]


def test_long_names_are_cut_where_they_are_shown() -> None:
    read = wb.read_card(card(data=data_part(name="n" * 100_000)))
    assert max(len(doubt.sentence) for doubt in read.doubts) <= 700
    assert len(read._repr_html_()) < 10_000


def test_reading_a_card_loads_no_torch() -> None:
    code = "import sys, workbench as wb; wb.read_card(sys.stdin.read()).recipe; print({'torch', 'sentence_transformers', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], input=card(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("cell", "wanted"), [("1 | 2 \\| 3 ||", "1 | 2 \\| 3 ||"), ("1 \\| 2 \\\\| 3 \\|\\|", "1 | 2 \\| 3 ||")]
)
def test_bars_in_a_sample_are_text_whether_the_version_escapes_them_or_not(cell: str, wanted: str) -> None:
    row = f"| <code>{cell}</code> | <code>b</code> |"
    bars = (0, row.index(" <code>b") - 1, len(row) - 1)
    rule = "".join("|" if place in bars else "-" for place in range(len(row)))
    samples = indented(f"{table(('a', 'b')).splitlines()[0]}\n{rule}\n{row}")
    text = card()
    text = f"{text[: text.index('* Samples:')]}* Samples:\n{samples}\n{text[text.index('* Loss:') :]}"
    data = wb.read_card(text).train
    assert data is not None
    assert data.samples == ((wanted, "b"),)
