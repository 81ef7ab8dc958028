"""The command line: one thin function a command.

With --json one JSON object goes to standard output and nothing else; progress and errors go to standard error.
Exit status: 0 done, 2 unusable input (one sentence on standard error).
"""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.errors import WorkbenchError
from workbench.recipe import DEFAULT_MODEL

if TYPE_CHECKING:
    from workbench.training.run import Run

FIRST_NOTEBOOK = "01_quickstart.ipynb"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The workbench for text embeddings.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Data = Annotated[str, typer.Argument(help="A file, a Hub id, or a shipped name such as glossary/qa.")]
Model = Annotated[str, typer.Argument(help="A Hub id, a folder or a run folder.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe as YAML.")]
RunPath = Annotated[Path, typer.Argument(help="A run folder.")]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the loss code that the recipe brings. Read it first.")
]


class Layout(StrEnum):
    """What lays out a map."""

    workbench = "workbench"
    umap_learn = "umap-learn"


class Plane(StrEnum):
    """What a film is drawn on."""

    pca = "pca"
    umap = "umap"


@app.callback()
def _all(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    for library in ("HF_HUB", "HF_DATASETS"):
        os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write.")] = Path("demo"), as_json: Json = False
) -> None:
    """Statistics, fine-tune, scores before and after, map and card on the shipped data."""
    from workbench.demo import run_demo

    with _progress() as show:
        summary = run_demo(out, show)
    if as_json:
        _print(summary)
    else:
        _say(
            f"{summary['score']}: {summary['base'][summary['score']]:.4f} -> {summary['tuned'][summary['score']]:.4f}, {summary['seconds']:.0f} s, {summary['peak_rss_mb']:.0f} MB at most"
        )
        _say(f"Open {summary['report']}")


@app.command()
def stats(
    data: Data,
    model: Annotated[str, typer.Option("--model", help="Whose tokens to count.")] = DEFAULT_MODEL,
    split: Annotated[str | None, typer.Option(help="Part of the data.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration of a Hub data set.")] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave out rows that miss a text, and count them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Token statistics of the whole table, before truncation."""
    from workbench.data.load import load
    from workbench.data.tokens import token_stats

    with _progress() as show:
        examples = load(data, split=split, config=config, bad_rows="leave out" if leave_out else "raise")
        result = token_stats(examples, model, progress=lambda done, total, _: show("counting tokens", done, total))
    if as_json:
        _print(result.to_json())
    else:
        _say(repr(examples))
        _say(repr(result))


@app.command()
def train(recipe: RecipeFile, out: Out = None, trust_code: TrustCode = False, as_json: Json = False) -> None:
    """Run a recipe in the foreground. Ctrl-C stops it after the current step and keeps the model."""
    from workbench.training.launch import read_recipe
    from workbench.training.launch import train as start

    _follow(start(read_recipe(recipe), folder=out, trust_code=trust_code), as_json)


@app.command(name="try")
def try_(
    recipe: RecipeFile,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting to change, such as loss.scale=30 or epochs=3; may be repeated."),
    ] = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Train a linear adapter on vectors of the frozen model at once, and score it. Writes no run."""
    from workbench.recipe import with_settings
    from workbench.training.adapter import try_adapter
    from workbench.training.launch import read_recipe

    with _progress() as show:
        show("trying a linear adapter", 0, None)
        made = try_adapter(with_settings(read_recipe(recipe), change or []), trust_code=trust_code, progress=show)
    if as_json:
        _print(made.to_json())
    else:
        _say(repr(made))


@app.command()
def resume(run: RunPath, trust_code: TrustCode = False, as_json: Json = False) -> None:
    """Go on with a run that was stopped or killed, from its last checkpoint."""
    from workbench.training.run import attach

    _follow(attach(run).resume(trust_code=trust_code), as_json)


@app.command()
def stop(run: RunPath) -> None:
    """Ask a run to end after the current step."""
    from workbench.training.run import attach

    _say(repr(attach(run).stop()))


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Where run folders are kept.")] = Path("runs"), as_json: Json = False
) -> None:
    """All runs in a folder, newest first."""
    from workbench.training.launch import runs as table

    found = table(folder)
    if as_json:
        _print({"runs": json.loads(found.to_json(orient="records", date_format="iso", double_precision=15))})
    else:
        _say(found.to_string() if len(found) else f"There are no runs in {folder}.")


@app.command()
def script(recipe: RecipeFile, out: Out = None) -> None:
    """The plain Sentence Transformers script of a recipe; its rows are written as Parquet beside OUT."""
    from workbench.cards.script import script as write
    from workbench.files import replace_text
    from workbench.training.launch import read_recipe

    text = write(read_recipe(recipe), folder=out.parent.resolve() if out else None)
    if out:
        replace_text(out, text)
        _say(f"Wrote {out}")
    else:
        sys.stdout.write(text)


@app.command(name="map")
def map_(
    model: Model,
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="HTML page to write; .svg or .png for the map alone.")
    ] = Path("map.html"),
    seed: int = 0,
    engine: Annotated[Layout, typer.Option(help="What lays out; umap-learn takes longer.")] = Layout.workbench,
    as_json: Json = False,
) -> None:
    """Draw the texts of a table as a map, in one HTML file that opens without a network."""
    from workbench.demo import table_map
    from workbench.plots.export import drawn_kind, save
    from workbench.plots.map import map_figure

    drawn_kind(out)
    _usable(out, model)
    with _progress() as show:
        drawn, measured, page = table_map(model, data, seed, show, layout=engine.value)
    name = Path(data).name if Path(data).exists() else data
    save(out, lambda: map_figure(drawn, title=f"{name}, {drawn.space.model}"), lambda: page)
    if as_json:
        _print({"record": drawn.record, "measures": measured.to_json(), "report": str(out)})
    else:
        _say(f"{drawn.caption}\n{measured.verdict}\nWrote {out}")


@app.command()
def film(
    run: RunPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("film.html"),
    engine: Annotated[
        Plane, typer.Option(help="pca is one projection for all moments; umap keeps neighbours together.")
    ] = Plane.pca,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """The space of a run while it trains, as a film in one HTML file that plays without a network."""
    from workbench.files import replace_text
    from workbench.plots.film import film_page
    from workbench.spaces.film import film_maps
    from workbench.training.run import attach

    _usable(out)
    with _progress() as show:
        drawn = film_maps(
            attach(run).film,
            engine=engine.value,
            seed=seed,
            progress=lambda done, total: show("drawing the moments", done, total),
        )
    replace_text(out, film_page(drawn))
    if as_json:
        _print({**drawn.to_json(), "report": str(out)})
    else:
        _say(f"{drawn.caption}\nWrote {out}")


@app.command()
def compare(
    model_a: Model,
    model_b: Model,
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="HTML page to write; .svg or .png for both maps alone.")
    ] = Path("compare.html"),
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """What two models do with the same table: scores, rows that flipped, maps in one frame, neighbours."""
    from workbench.plots.compare import compare_page, maps_figure
    from workbench.plots.export import drawn_kind, save
    from workbench.spaces.comparing import comparing
    from workbench.spaces.engine import engine

    drawn_kind(out)
    _usable(out, model_a, model_b)
    with _progress() as show:
        *_, made = comparing(model_a, model_b, data, seed=seed, call=engine().call, tell=show)
    save(out, lambda: maps_figure(made), lambda: compare_page(made))
    if as_json:
        found = {"before": made.before.to_json(), "after": made.after.to_json(), **made.to_json(50)}
        _print({**found, "report": str(out)})
    else:
        _say(f"{made!r}\nWrote {out}")


@app.command()
def recipe(
    card: Annotated[str, typer.Argument(help="A model card, a model folder, a run folder or a Hub id.")],
    data: Annotated[
        str | None, typer.Option("--data", help="What to train on, where the card names nothing that can be read.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="The loss, where the card's own cannot be known from it.")
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """The recipe that repeats the run of a model card; what the card does not say or says wrongly as comments."""
    from workbench.cards.read import read_card
    from workbench.files import replace_text

    read = read_card(card)
    given = {name: value for name, value in (("data", data), ("loss", loss)) if value is not None}
    if as_json:
        try:
            made, problem = read.to_recipe(**given).to_dict(defaults=False), None
        except WorkbenchError as error:
            made, problem = None, str(error)
        _print({"card": read.to_json(), "recipe": made, "problem": problem})
        return
    lines = [f"# {doubt.code}: {' '.join(doubt.sentence.split())}\n" for doubt in read.doubts]
    text = "".join(lines) + read.to_recipe(**given).to_yaml()
    if out:
        replace_text(out, text)
        _say(f"Wrote {out}")
    else:
        sys.stdout.write(text)


@app.command()
def check(
    recipe: RecipeFile,
    batch: Annotated[
        bool | None,
        typer.Option("--batch/--no-batch", help="Try one batch, or not; where not said, where it can tell something."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What is or will be wrong with a recipe. Exit status 1 if something cannot work."""
    from workbench.checks.before import check as look
    from workbench.training.launch import read_recipe

    with _progress() as show:
        findings = look(read_recipe(recipe), batch=batch, progress=show)
    if as_json:
        _print({"findings": findings.to_json(), "about": findings.about})
    else:
        _say(repr(findings))
    if any(finding.severity == "error" for finding in findings):
        sys.exit(1)


@app.command()
def explain(
    model: Model,
    text_a: Annotated[str, typer.Argument(help="A text.")],
    text_b: Annotated[str, typer.Argument(help="Another text.")],
    beside: Annotated[str | None, typer.Option("--with", help="Another model to explain beside it.")] = None,
    as_json: Json = False,
) -> None:
    """What each token of two texts adds to their cosine."""
    from workbench.spaces.contributions import contributions

    # bytes that are no UTF-8 arrive as halves of characters, which no tokenizer takes
    first, second = (text.encode("utf-8", "replace").decode() for text in (text_a, text_b))
    records = []
    with _progress() as show:
        for name in [model] if beside is None else [model, beside]:
            show(f"explaining with {name}", 0, None)
            records.append(contributions(first, second, name))
    if as_json:
        _print({"models": [record.to_json() for record in records]})
    else:
        _say("\n".join(map(repr, records)))


@app.command()
def lab(
    folder: Annotated[Path, typer.Argument(help="Where the notebooks are, or are copied to.")] = Path("notebooks"),
) -> None:
    """JupyterLab on the first notebook. Notebooks that are missing in FOLDER are copied there; none is replaced."""
    import importlib.util

    from workbench.errors import MissingPackage, RunError
    from workbench.files import copy_missing

    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingPackage("jupyterlab", "lab", "Opening the notebooks")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"expected a folder for the notebooks, but {folder} is a file; name another one")
    copy_missing(_notebooks(), folder)
    # in a container everybody is root, and Jupyter asks to be told that this is meant
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *root, str(folder / FIRST_NOTEBOOK)])


def _notebooks() -> Path:
    """Where the notebooks came with the package, or with its checkout."""
    checkout = Path(__file__).parent.parent / "notebooks"
    return checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "embedding-workbench" / "notebooks"


@app.command()
def models(as_json: Json = False) -> None:
    """Known base models: size, limit, licence, and where their weights are."""
    from workbench.catalog.models import models as known

    rows = [
        {
            "name": info.name,
            "parameters": info.parameters,
            "dimension": info.dimension,
            "max_seq_length": info.max_seq_length,
            "licence": info.licence,
            "where": info.where or "not on this machine",
            "note": info.note,
        }
        for info in known()
    ]
    _rows("models", rows, as_json)


@app.command()
def losses(as_json: Json = False) -> None:
    """All losses: the columns they take and what they are for."""
    from workbench.catalog.losses import losses as known

    rows = [
        {
            "name": info.name,
            "columns": " or ".join(dict.fromkeys(shape.columns for shape in info.shapes)),
            "label": " or ".join(dict.fromkeys(shape.label for shape in info.shapes)),
            "sampler": info.sampler,
            "summary": info.summary,
        }
        for info in known().values()
    ]
    _rows("losses", rows, as_json)


@app.command()
def gallery(
    name: Annotated[str | None, typer.Argument(help="An entry; without one all are listed.")] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Train it both ways, minutes, and do not show kept results.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Train every entry both ways.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Five real fine-tunes: what the checks say, what their logs mean, and scores of each as it was and mended."""
    from workbench import gallery as five
    from workbench.gallery.results import write

    with _progress() as show:
        entries = [five.entry(each) for each in ([name] if name else five.names())]
        if name is None and not every:
            _rows("entries", [{"name": entry.name, "title": entry.title} for entry in entries], as_json)
            return
        findings = [entry.findings(progress=show) for entry in entries]
        results = []
        for entry in entries:
            result = five.run(entry.name, progress=show) if run or every else five.kept(entry.name)
            results.append(result)
            if out and result:
                write(result, out)
    if as_json:
        _print(
            {
                "entries": [
                    {**entry.to_json(), "findings": found.to_json(), "result": result and result.to_json()}
                    for entry, found, result in zip(entries, findings, results, strict=True)
                ]
            }
        )
        return
    for parts in zip(entries, findings, results, strict=True):
        _say("\n".join(repr(part) for part in parts if part is not None))


def main() -> None:
    """Entry point: turns expected errors into one sentence on standard error and exit status 2."""
    try:
        app()
    except (WorkbenchError, OSError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        why = f"expected to read or write a file, but it failed: {error}" if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"workbench: {why}\n")
        sys.exit(2)


def _follow(run: Run, as_json: bool) -> None:
    """Show a run until it ends; Ctrl-C asks it to stop."""
    from workbench.checks.during import in_a_line
    from workbench.training.records import Status, read_events

    told: dict[str, None] = {}
    place = 0
    with _progress() as show:

        def tell(status: Status) -> None:
            nonlocal place
            show(status.phase, status.step, status.total_steps)
            events, place = read_events(run.files.events, place)
            lines = [in_a_line(event) for event in events if event["kind"] == "finding"]
            for line in [line for line in lines if line not in told]:
                told[line] = None
                _say(line)

        _say(f"Run folder {run.folder}")
        try:
            run.wait(progress=tell)
        except KeyboardInterrupt:
            _say("Stopping after this step; the model is kept.")
            run.stop().wait(progress=tell)
    if as_json:
        _print(
            {
                "run": str(run.folder),
                "state": run.state,
                "step": run.status.step,
                "total_steps": run.status.total_steps,
                "reason": run.status.reason,
                "model": str(run.model_folder),
                "scores": run.scores,
                "findings": run.findings.to_json(),
            }
        )
    else:
        _say(repr(run))
        scores = run.scores or {"change": {"delta": {}}}
        for name, delta in scores["change"]["delta"].items():
            before, after = scores["before"]["scores"][name]["value"], scores["after"]["scores"][name]["value"]
            _say(
                f"  {name}: undefined ({delta['why']})"
                if delta["mid"] is None
                else f"  {name}: {before:.4f} -> {after:.4f} ({delta['mid']:+.4f})"
            )


def _usable(out: Path, *names: str) -> None:
    """Tell at once, not after the work, that a page cannot be written or a model cannot be used."""
    from workbench.catalog.models import find

    for name in names:
        find(name)
    above = next(path for path in out.resolve().parents if path.exists())
    if str(out) == "-" or out.is_dir() or not above.is_dir():
        folder = f"the folder {out}" if out.is_dir() else f"{above}, a file, above it"
        got = "standard output" if str(out) == "-" else folder
        raise WorkbenchError(f"expected a file to write, got {got}; name one, such as map.html")
    if not os.access(above, os.W_OK):
        raise OSError(errno.EACCES, "no permission to write", str(above))


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on standard error: show(phase, done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                for task in tasks.values():
                    bar.stop_task(task)
                tasks[phase] = bar.add_task(phase, total=total, count="")
                if not console.is_terminal:
                    sys.stderr.write(f"{phase}\n")
            bar.update(tasks[phase], completed=done, total=total, count=f"{done:,}/{total:,}" if total else "")

        try:
            yield show
        except KeyboardInterrupt:  # whoever interrupts a command does not wait for work that nobody wants any more
            from workbench.spaces.engine import engine

            engine().kill()
            raise


def _rows(name: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print({name: rows})
        return
    import pandas

    with pandas.option_context("display.max_colwidth", 60):
        _say(pandas.DataFrame(rows).to_string(index=False))


def _print(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
