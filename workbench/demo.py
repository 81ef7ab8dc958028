"""The main job from end to end on the shipped data, and the two pages that the command line draws for any table.

The process that runs this stays light: it loads no torch. The run trains in its worker; vectors and maps are computed
in one more process, started when the worker has ended, so that the two never hold their memory at the same time.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from workbench import files
from workbench.cards.script import render
from workbench.checks.before import check
from workbench.checks.finding import Findings
from workbench.data.load import load
from workbench.data.prepare import prepare
from workbench.data.tokens import TokenStats, token_stats
from workbench.errors import RunError
from workbench.plots.curves import course, loss_figure, score_figure
from workbench.plots.film import film_figure
from workbench.plots.lengths import lengths_figure
from workbench.plots.map import map_figure
from workbench.plots.map_page import map_page
from workbench.plots.report import Section, Table, page
from workbench.plots.scores import scores_figure
from workbench.plots.similarity import change_figure
from workbench.recipe import DEFAULT_MODEL, Loss, Recipe
from workbench.spaces.encode import embed
from workbench.spaces.engine import engine
from workbench.spaces.evaluate import IN_BRACKETS, score_rows
from workbench.spaces.film import film_maps
from workbench.spaces.measures import Measures, measures
from workbench.spaces.project import Engine, Projection, project
from workbench.spaces.similarity import Similarity, similarity
from workbench.training.launch import train
from workbench.training.records import clean
from workbench.training.run import Run
from workbench.widgets.drawable import drawable

Show = Callable[[str, int, int | None], None]
SENTENCES = (
    "Why does the error on new data grow while the training error keeps falling?",
    "The model has learnt the noise of its training rows by heart.",
    "Neurons are switched off at random during training.",
    "Halt when the validation loss has not improved for a while.",
    "How do we group points without any labels?",
    "Alternate between assigning points to centres and moving the centres.",
    "A tree grows where points packed closely together form a cluster of any shape.",
    "What does the agent gain for a good action?",
)
FILM_TEXT = "Play, or drag the slider; it needs no network and no Python. All moments are drawn in the same frame, so that what moves on it has moved in the space. Beside it the loss, the mean cosine of two texts and how many neighbours have changed."


def demo_recipe() -> Recipe:
    """The recipe of the demo: questions and definitions of the glossary under in-batch negatives."""
    return Recipe(
        model=DEFAULT_MODEL,
        loss=Loss("MultipleNegativesRankingLoss"),
        data="glossary/qa",
        name="demo",
        epochs=2,
        batch_size=16,
        batch_sampler="no_duplicates",
        learning_rate=5e-5,
    )


def run_demo(out: Path, show: Show) -> dict[str, Any]:
    """Statistics, fine-tune, scores, map, matrix, card; writes report.html and summary.json into `out`.

    Args:
        out: folder to write into; an earlier report there is replaced whole, earlier runs are kept.
        show: called with (phase, done, total) throughout.

    Returns:
        The summary, as it is written to summary.json.

    Raises:
        RunError: the folder cannot be written, or the run failed.
    """
    began = time.time()
    _writable(out)
    recipe = demo_recipe()
    with _memory() as peak:
        data = load("glossary/qa")
        stats = token_stats(data, recipe.model, progress=lambda done, total, _: show("counting tokens", done, total))
        findings = check(recipe, progress=show)
        run = train(recipe, runs=out / "runs")
        run.wait(progress=lambda status: show(status.phase, status.step, status.total_steps))
        show("drawing the maps", 0, None)
        before, after, maps = engine().call(_spaces, recipe.model, str(run.model_folder))
        scores = run.scores or {}
        report = out / "report.html"
        files.replace_text(report, _report(recipe, stats, findings, run, before, after, maps))
    summary = {
        "model": recipe.model,
        "loss": recipe.loss.name,
        "rows": len(data),
        "steps": run.status.step,
        "seconds": round(time.time() - began, 1),
        "peak_rss_mb": round(peak[0] / 2**20),
        "peak_rss_what": "largest sum of proportional set sizes of all processes of the demo, sampled five times a second",
        "score": scores["after"]["primary"],
        "base": {name: score["value"] for name, score in scores["before"]["scores"].items()},
        "tuned": {name: score["value"] for name, score in scores["after"]["scores"].items()},
        "delta": {
            name: [delta["low"], delta["mid"], delta["high"]] for name, delta in scores["change"]["delta"].items()
        },
        "findings": findings.to_json(),
        "run": str(run.folder),
        "report": str(report.resolve()),
    }
    files.replace_text(out / "summary.json", json.dumps(clean(summary), indent=1, ensure_ascii=False))
    return summary


def table_map(
    model: str, data: str, seed: int, show: Show, *, layout: Engine = "workbench"
) -> tuple[Projection, Measures, str]:
    """The map of all distinct texts of a table and the measures of their space, and a page that shows both.

    The points are coloured by the label of the table where it has one.
    """
    examples = load(data)
    what = drawable(examples)
    texts, by = what.texts(), what.own
    labels, pairs = what.labels_for(texts, by), what.pairs(texts)
    show("encoding", 0, len(texts))
    drawn, measured = engine().call(_one_map, texts, labels, pairs, model, seed, layout, progress=show)
    return drawn, measured, map_page(drawn, measured, name=examples.name, by=by)


# work done in a process of its own


def _spaces(base: str, tuned: str) -> tuple[Similarity, Similarity, list[Projection]]:
    examples = load("glossary/labelled", split="test")
    texts, labels = examples.column(examples.texts[0]), examples.column(examples.label or "")
    first = project(embed(texts, base, labels=labels))
    second = project(embed(texts, tuned, labels=labels), start=first.xy)
    return similarity(SENTENCES, base), similarity(SENTENCES, tuned), [first, second]


def _one_map(
    texts: Sequence[str],
    labels: Sequence[str] | None,
    pairs: Any,
    model: str,
    seed: int,
    layout: Engine,
    *,
    progress: Show,
) -> tuple[Projection, Measures]:
    space = embed(texts, model, labels=labels, progress=partial(progress, "encoding"))
    drawn = project(space, seed=seed, engine=layout, progress=progress)
    progress("measuring the space", 0, None)
    return drawn, measures(space, pairs=pairs, seed=seed)


# the page


def _report(
    recipe: Recipe,
    stats: TokenStats,
    findings: Findings,
    run: Run,
    before: Similarity,
    after: Similarity,
    maps: Sequence[Projection],
) -> str:
    scores = run.scores or {}
    followed = course(run.events(), scores["after"]["primary"])
    train_rows, evaluation = prepare(recipe)
    code = render(
        recipe,
        train=train_rows,
        tables=(Path("train.parquet"), Path("eval.parquet") if evaluation is not None else None),
        model=recipe.model,
        device="cpu",
    )
    return page(
        "From a table of texts to a fine-tuned model",
        f"{recipe.model}, {recipe.loss.name}, {recipe.data.source}: {stats.rows:,} rows, {run.status.step} steps, {run.status.device}, seed {recipe.seed}",
        [
            _scores_section(scores, "base", "tuned"),
            _stats_section(stats),
            _checks_section(findings),
            Section(
                "The run",
                "The dashed line is the loss of a model that knows nothing: every candidate in the batch is equally likely. It dips at the end of an epoch, where the last batch is smaller and the task easier. Below it, the score on rows that were not trained on.",
                figures=[
                    loss_figure(followed, title="Training loss"),
                    score_figure(followed, title="Score on the test part"),
                ],
            ),
            _film_section(run),
            Section(
                "Before and after: the map",
                "Test questions and definitions, coloured by topic. The second map starts from the first, so that what moves has moved for a reason. Distances between far groups mean little.",
                figures=[map_figure(maps[0], title="Base model"), map_figure(maps[1], title="Tuned model")],
            ),
            Section(
                "Before and after: similarities",
                "Eight sentences on four subjects. Blue in the difference: closer than before; red: farther.",
                [Table(["", "sentence"], [[place, text] for place, text in enumerate(before.texts, 1)])],
                [change_figure(before, after)],
            ),
            _changed_section(scores),
            Section("The model card", f"It lies in {run.files.card}.", code=run.card),
            Section(
                "The same without the workbench",
                "This script repeats the run on the same rows. Its weights differ by the chance of dropout, since the run computes a batch in groups of like length.",
                code=code,
            ),
            Section("The recipe", "", code=recipe.to_yaml()),
        ],
    )


def _film_section(run: Run) -> Section:
    """The film of a run, or why there is none."""
    title = "While it trained"
    try:
        film = run.film
    except RunError as error:
        return Section(title, f"There is no film: {error}.")
    maps = film_maps(film)
    return Section(title, FILM_TEXT, figures=[film_figure(maps, title=f"Film of {len(film.texts):,} held-out texts")])


def _scores_section(scores: dict[str, Any], first: str, second: str) -> Section:
    return Section(
        "Scores",
        f"Both models on {scores['after']['note']}. {IN_BRACKETS}",
        tables=[Table(["score", first, second, "difference", "n"], score_rows(scores))],
        figures=[scores_figure(scores)],
    )


def _stats_section(stats: TokenStats) -> Section:
    frame = stats.to_frame().drop(columns=["shares", "why"], errors="ignore").dropna(axis="columns", how="all")
    frame = frame.rename(columns={"truncated_share": "over the limit (share)"})
    table = Table(
        ["column", *[str(name) for name in frame.columns]],
        [
            [index, *[_shown(value) for value in row]]
            for index, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)
        ],
    )
    return Section(
        "The data",
        f"All {stats.rows:,} rows, in tokens before truncation; the model cuts at {stats.max_seq_length} tokens.",
        tables=[table],
        figures=[lengths_figure(stats)],
    )


def _checks_section(findings: Findings) -> Section:
    rows = [[finding.severity, finding.message, finding.why] for finding in findings]
    table = Table(["", "what", "why it matters"], rows) if rows else Table([], [], "Nothing was found.")
    return Section("Checks before the run", f"{findings.about}.", tables=[table])


def _shown(value: object) -> str:
    if value is None or value != value:
        return "–"
    return (
        f"{value:.3g}"
        if isinstance(value, float) and value != int(value)
        else f"{value:,.0f}"
        if isinstance(value, int | float)
        else str(value)
    )


def _changed_section(scores: dict[str, Any], rows: int = 8) -> Section:
    change, primary = scores["change"], scores["after"]["primary"]
    head = ["text", "belongs to it", f"{primary} before", "after"]
    tables = []
    for kind in ("gained", "lost"):
        listed = [
            [row["texts"][0], " | ".join(row["texts"][1:]), f"{row['before']:.3f}", f"{row['after']:.3f}"]
            for row in change[f"{kind}_rows"][:rows]
        ]
        tables.append(
            Table(head, listed, f"{change[kind]} {kind}; the {len(listed)} that changed most")
            if listed
            else Table([], [], f"No row {kind}.")
        )
    return Section("What changed", f"Single rows whose {primary} rose or fell.", tables=tables)


# the machine


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise RunError(
            f"expected to write into {out}, but it cannot be written ({error.strerror}); choose another folder with --out"
        ) from None


@contextmanager
def _memory(every_s: float = 0.2) -> Iterator[list[float]]:
    """Peak of the summed proportional set sizes (bytes) of this process and all that it started, kept in the list."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            peak[0] = max(peak[0], _footprint())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _footprint() -> float:
    """Proportional set sizes where the system tells them (Linux), resident sizes elsewhere."""
    import psutil

    here, total = psutil.Process(), 0.0
    for process in [here, *here.children(recursive=True)]:
        try:
            info = process.memory_full_info()
            total += getattr(info, "pss", info.rss)
        except psutil.Error:
            continue
    return total
