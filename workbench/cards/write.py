"""The model card of a run: Sentence Transformers' own card, with the truth put in where it is wrong or missing."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cards.markdown import cell_of, code_of, escaped, fenced, indented, plain, table_of
from workbench.cards.script import render, with_limit, without_path, without_paths
from workbench.catalog import models
from workbench.checks.finding import SYMBOLS, Findings
from workbench.data.tokens import ColumnStats, TokenStats, token_stats
from workbench.recipe import Recipe
from workbench.spaces.evaluate import score_rows

if TYPE_CHECKING:
    from workbench.data.examples import Examples

TASKS = {
    "triplets": "Triplet",
    "retrieval": "Information Retrieval",
    "graded": "Semantic Similarity",
    "labels": "Label Neighbourhood",
}


@dataclass(frozen=True)
class RunFacts:
    """What a run knows of itself at its end.

    Attributes:
        recipe: what was asked for.
        train, evaluation: the tables.
        events: the run's events.jsonl.
        scores: evaluation before and after as plain values; empty without evaluation rows.
        device: where it computed, in words.
        seconds: time in training steps; wall_seconds: time of the last attempt from start to end.
        steps, planned_steps: optimizer steps done and planned.
        tokens, padded_tokens: real tokens, and tokens with padding.
        memory_mb: peak of the worker process (CUDA: peak allocated on the device).
        trainable, total: numbers of weights.
        stopped: why it ended early, empty otherwise.
        attempt: 1, and one more for each resume.
        findings: what was found while it trained; health_seconds: what looking took.
        film: frames of the film and what they took, in words; empty for no film.
    """

    recipe: Recipe
    train: Examples
    evaluation: Examples | None
    events: Path
    scores: Mapping[str, Any]
    device: str
    seconds: float
    wall_seconds: float
    steps: int
    planned_steps: int
    tokens: int
    padded_tokens: int
    memory_mb: int
    trainable: int
    total: int
    stopped: str
    attempt: int
    findings: Findings = Findings()  # noqa: RUF009 - an empty tuple, which nothing can change
    health_seconds: float = 0.0
    film: str = ""


def card(model: Any, trainer: Any, facts: RunFacts) -> str:
    """The card as Markdown.

    Args:
        model: the tuned SentenceTransformer, as the trainer left it.
        trainer: the trainer, for the hyperparameters that it really used.
        facts: what the run knows of itself.

    Returns:
        Markdown with front matter that huggingface_hub reads and that holds no NaN.
    """
    from sentence_transformers.base.model_card import generate_model_card

    data = model.model_card_data
    shown = without_paths(facts.recipe)
    local = Path(facts.recipe.model).is_absolute()
    data.base_model = plain(shown.model)
    data.base_model_revision = None if local else shown.revision
    data.train_datasets = [_dataset(facts.train, facts.recipe, trainer, data.train_datasets)]
    data.eval_datasets = (
        [_dataset(facts.evaluation, facts.recipe, trainer, data.train_datasets)] if facts.evaluation is not None else []
    )
    data.training_logs = _logs(facts)
    data.eval_results_dict = _results(facts)
    data.widget = []
    # from here on only the usage example is computed, from the library's own sentences
    data.generate_widget_examples = True
    with _EscapedExamples(data):
        text = str(generate_model_card(model))
    if local:
        text = _local_base(text, str(data.base_model))
    return _with_truth(text, facts)


def _local_base(text: str, name: str) -> str:
    """A base model that is a folder of this machine has no page and no place in the metadata, only a name."""
    text = re.sub(r"^base_model: .*\n", "", text, count=1, flags=re.MULTILINE)
    return text.replace(f"[{name}](https://huggingface.co/{name})", f"{name}, a folder of its author")


class _EscapedExamples:
    """The library renders sample rows anew without escaping them; here they are rendered once, escaped."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __enter__(self) -> None:
        self.data._render_examples_table = lambda info, counter=0: (info["examples_table"], counter)

    def __exit__(self, *exc: object) -> None:
        del self.data._render_examples_table


def _dataset(part: Examples, recipe: Recipe, trainer: Any, known: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry of the card's data sets, with statistics over all rows before truncation."""
    rows = part.to_training()
    columns = rows.column_names
    stats = token_stats(part, models.at_revision(recipe.model, recipe.revision), limit=recipe.max_seq_length)
    renamed = dict(zip(columns, [stats.columns[name] for name in part.used], strict=True))
    loss = dict((known or [{}])[0].get("loss") or {"fullname": recipe.loss.name})
    loss["config_code"] = _without_places(loss.get("config_code", ""), recipe)
    head = rows[:3]
    return {
        "name": plain(part.name),
        "size": len(rows),
        "columns": [f"<code>{name}</code>" for name in columns],
        "stats": {},
        "stats_table": indented(
            table_of(
                ["", *columns],
                [
                    ["type", *[renamed[name].type for name in columns]],
                    ["details", *[_details(renamed[name], stats) for name in columns]],
                ],
            )
        ),
        "examples": head,
        "_example_columns": columns,
        "examples_table": indented(
            table_of(columns, [[cell_of(head[name][row]) for name in columns] for row in range(min(3, len(rows)))])
        ),
        "loss": loss,
    }


def _without_places(code: str, recipe: Recipe) -> str:
    """The library writes the folder that a decoder was loaded from into the settings of a loss."""
    for model, revision in ((recipe.model, recipe.revision), *((model, None) for model in recipe.loss.models)):
        place = models.find(model, revision=revision).path
        code = code.replace(json.dumps(str(place)), json.dumps(without_path(model)))
    return code


def _details(column: ColumnStats, stats: TokenStats) -> str:
    if column.type in ("string", "text"):
        parts = [
            f"min: {column.min} tokens",
            f"mean: {_number(column.mean)} tokens",
            f"median: {_number(column.median)} tokens",
            f"p95: {_number(column.p95)} tokens",
            f"max: {column.max} tokens",
        ]
        if column.truncated_share is not None:
            parts.append(f"over the limit of {stats.max_seq_length} tokens: {column.truncated_share:.2%}")
        parts += [f"empty: {column.empty}", f"duplicates: {column.duplicates}"]
    elif column.shares:
        parts = [f"{plain(name)}: {share:.2%}" for name, share in column.shares.items()]
    else:
        parts = [f"min: {_number(column.min)}", f"mean: {_number(column.mean)}", f"max: {_number(column.max)}"]
    return "<ul><li>" + "</li><li>".join(parts) + "</li></ul>"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _logs(facts: RunFacts) -> list[dict[str, Any]]:
    """Rows of the training log from the run's own events, so that nothing before a resume is missing."""
    rows: dict[int, dict[str, Any]] = {}
    primary = facts.scores.get("after", {}).get("primary")
    for line in facts.events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] not in ("step", "scores"):
            continue
        row = rows.setdefault(event["step"], {"Epoch": round(event["epoch"], 4), "Step": event["step"]})
        if event["kind"] == "step" and event.get("loss") is not None:
            row["Training Loss"] = round(event["loss"], 4)
        if event["kind"] == "scores" and primary and event["scores"].get(primary) is not None:
            row[primary] = round(event["scores"][primary], 4)
    return [row for _, row in sorted(rows.items()) if len(row) > 2]


class _Result:
    """Stands where the library expects an evaluator; what it says is all that the card needs of one."""

    def __init__(self, description: str, name: str, primary: str) -> None:
        self.description, self.name, self.primary_metric = description, name, primary


def _results(facts: RunFacts) -> dict[Any, dict[str, float]]:
    if not facts.scores:
        return {}
    after = facts.scores["after"]
    finite = {name: round(score["value"], 4) for name, score in after["scores"].items() if score["value"] is not None}
    return {_Result(TASKS[after["task"]], code_of(facts.scores["data"]), after["primary"]): finite} if finite else {}


def _with_truth(text: str, facts: RunFacts) -> str:
    """Mend what the library's template says wrongly, and add what it does not say."""
    counted = "* Statistics over all rows, in tokens before truncation, special tokens included"
    counted += ", prompts not:" if facts.recipe.prompts else ":"
    text = re.sub(r"\* Approximate statistics based on the first [\d,]+ samples:", counted, text)
    text = re.sub(
        r"\* Evaluated with <code>[^<]*_Result</code>",
        lambda _: f"* {plain(facts.scores['after']['note'])}, bootstrap of 1,000 resamples, seed 0",
        text,
    )
    place = text.find("### Framework Versions")
    if place < 0:
        place = len(text)
    own = (_run_section, _before_after, _recipe_section, _script_section)
    return text[:place] + "".join(section(facts) for section in own) + text[place:]


def _run_section(facts: RunFacts) -> str:
    recipe, padding = (
        without_paths(facts.recipe),
        1 - facts.tokens / facts.padded_tokens if facts.padded_tokens else None,
    )
    batch = recipe.batch_size * recipe.gradient_accumulation_steps
    base = models.at_revision(facts.recipe.model, recipe.revision)
    lines = {
        "Ended": f"stopped early at step {facts.steps} of {facts.planned_steps}: {facts.stopped}"
        if facts.stopped
        else f"finished {facts.steps} of {facts.planned_steps} steps",
        "Health": _health(facts),
        **({"Film": facts.film} if facts.film else {}),
        "Attempts": f"{facts.attempt} ({facts.attempt - 1} resumed)",
        "Hardware": f"{facts.device}, {platform.machine()}, {platform.system()}",
        "Time": f"{facts.seconds:.0f} s in training steps, {facts.wall_seconds:.0f} s from start to end of the last attempt",
        "Memory": f"{facts.memory_mb:,} MB ({'peak allocated on the device' if facts.device.startswith('cuda') else 'peak resident memory of the training process'})",
        "Tokens": f"{facts.tokens:,} real tokens, {facts.padded_tokens:,} with padding"
        + (f" ({padding:.0%} padding)" if padding is not None else "")
        if recipe.method == "full"
        else f"none in training, which looked {facts.tokens:,} vectors up",
        "Optimizer": f"{recipe.optimizer}, peak learning rate {recipe.learning_rate:g}, weight decay {recipe.weight_decay:g}, {recipe.scheduler} schedule, warm-up {recipe.warmup:g} ({'of all steps' if recipe.warmup < 1 else 'steps'})",
        "Batch": f"{recipe.batch_size} rows × {recipe.gradient_accumulation_steps} accumulated = {batch} rows a step",
        "Weights": f"{facts.trainable:,} of {facts.total:,} trained"
        + (f" by LoRA of rank {recipe.lora.r}, merged" if recipe.lora else "")
        + (
            ": a linear adapter (a square map without bias that began as the identity) on vectors of the frozen base model"
            if recipe.method == "adapter"
            else ""
        ),
        "Seed": str(recipe.seed),
        "Base weights": f"fingerprint `{models.fingerprint(base)}`, {_origin(facts.recipe)}",
        "Columns": ", ".join(f"{plain(name)} as {role}" for name, role in facts.train.used.items()),
        "Data": f"{plain(recipe.data.source)}, {len(facts.train):,} rows, fingerprint `{facts.train.fingerprint[:16]}`; {len(facts.evaluation) if facts.evaluation is not None else 0:,} rows kept for evaluation",
        "Recipe": f"fingerprint `{facts.recipe.fingerprint}`",
        "Workbench": importlib.metadata.version("embedding-workbench"),
    }
    return "### The Run\n\n" + "".join(f"- **{name}:** {value}\n" for name, value in lines.items()) + "\n"


def _health(facts: RunFacts) -> str:
    found = [
        f"{SYMBOLS[item.severity]} {item.severity} {item.code}: {escaped(item.message)}" for item in facts.findings
    ]
    off = f"; turned off: {', '.join(facts.recipe.watch_off)}" if facts.recipe.watch_off else ""
    head = f"{facts.findings.summary}, {facts.health_seconds:.2g} s{off}"
    return head + "".join(f"\n  - {line}" for line in found)


def _origin(recipe: Recipe) -> str:
    """Where the base weights came from, without a path of this machine."""
    origin = models.find(recipe.model, revision=recipe.revision).origin
    return plain(origin if origin.startswith(("package", "Hub", "local Hub")) else origin.split()[0])


def _before_after(facts: RunFacts) -> str:
    if not facts.scores:
        return "### Before and After\n\nNo rows were kept for evaluation, so nothing is known of the gain.\n\n"
    after, change = facts.scores["after"], facts.scores["change"]
    rows = [
        [f"**{name}**" if name == after["primary"] else name, *said, str(n)]
        for name, *said, n in score_rows(facts.scores)
    ]
    table = table_of(["Score", "Base model", "Tuned model", "Difference", "n"], rows)
    return (
        f"### Before and After\n\nThe same {after['rows']:,} rows of {plain(facts.scores['data'])} under both models ({plain(after['note'])}). "
        "In brackets 95% bootstrap intervals, 1,000 resamples, seed 0; the difference is paired.\n\n"
        f"{table}\n\n{change['gained']:,} rows gained and {change['lost']:,} lost on {after['primary']}.\n\n"
    )


def _recipe_section(facts: RunFacts) -> str:
    """The exact recipe, for whoever reads the card; its fingerprint tells whether it was cut or changed since."""
    recipe = without_paths(facts.recipe)
    text = recipe.to_yaml()
    return f"### Recipe\n\nFingerprint `{recipe.fingerprint}`.\n\n{fenced(text, 'yaml')}\n\n"


def _script_section(facts: RunFacts) -> str:
    tables = (Path("train.parquet"), Path("eval.parquet") if facts.evaluation is not None else None)
    recipe = without_paths(with_limit(facts.recipe))
    code = render(recipe, train=facts.train, tables=tables, model=recipe.model, device=facts.device.split()[0])
    return f"### Equivalent Script\n\n<details><summary>Click to expand</summary>\n\n{fenced(code, 'python')}\n\n</details>\n\n"
