"""Start, watch, stop and resume a run; compare past runs."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as W
import traitlets as t

from workbench.errors import RecipeError, RunError
from workbench.plots.curves import Course, course, curves_figure
from workbench.plots.svg import svg
from workbench.recipe import Recipe
from workbench.spaces.engine import engine
from workbench.spaces.evaluate import Delta
from workbench.training import launch, records
from workbench.training.comparison import compare_runs
from workbench.training.run import Run, attach
from workbench.training.warm import waiting
from workbench.widgets.download import Download
from workbench.widgets.figure import Pane
from workbench.widgets.panel import Panel, Refusing
from workbench.widgets.run_panel_film import FilmPart
from workbench.widgets.run_panel_health import health_html

POLL_S = 0.5
GOES_ON = ("starting", "running")
LOG_LINES = 60


class RunPanel(Panel):
    """Start a fine-tune and watch it; or watch one that was started anywhere else.

    Args:
        recipe: what to run when Start is clicked; a run is enough to watch it.
        run: a run, or its folder, to watch.
        runs: folder where runs are kept and listed from.

    Attributes:
        recipe: what Start starts.
        run: the run that is watched; None before there is one.
        state: its state as last seen: starting, running, finished, stopped, failed or died; empty before there is a run.

    Raises:
        RunError: `run` is no run.
        RecipeError: `recipe` is no recipe.
    """

    recipe = Refusing(Recipe, RecipeError, "make one with wb.Recipe(...)", allow_none=True)
    run = Refusing(Run, RunError, "give a run, as of wb.attach(folder)", allow_none=True)
    state = t.Unicode("", read_only=True)

    def __init__(
        self, recipe: Recipe | None = None, run: Run | str | Path | None = None, *, runs: str | Path = "runs"
    ) -> None:
        super().__init__()
        if not isinstance(runs, str | Path):
            raise RunError(f"expected the folder where runs are kept, got {type(runs).__name__}; give a path")
        self._runs = Path(runs)
        self._watching = 0
        self._looked, self._looks = threading.Event(), threading.Lock()
        self._courses: dict[str, Course] = {}
        self._build()
        self.recipe = recipe
        self.run = attach(run) if isinstance(run, str | Path) else run
        self._list()
        self._show(self._buttons, self._progress, self._health, self._curves, self._film.box, self._more)

    def _build(self) -> None:
        self._start = W.Button(
            description="Start", button_style="primary", tooltip="Start the fine-tune in a process of its own"
        )
        self._stop = W.Button(description="Stop", tooltip="End after this step and keep the model as it is then")
        self._resume = W.Button(description="Resume", tooltip="Go on from the last checkpoint")
        self._zip = Download("Download model, card and recipe", self._export, self._say_error, hint="One zip file")
        for button, action in ((self._start, self.start), (self._stop, self.stop), (self._resume, self.resume)):
            button.on_click(lambda _, action=action: self._later(action))
        self._buttons = W.HBox(
            [self._start, self._stop, self._resume, self._zip], layout=W.Layout(flex_flow="row wrap")
        )
        self._bar = W.IntProgress(
            description="Steps",
            style={"description_width": "initial"},
            layout=W.Layout(width="40%", min_width="240px"),
        )
        self._state = W.HTML(layout=W.Layout(flex="1 1 260px"))
        self._progress = W.HBox([self._bar, self._state], layout=W.Layout(flex_flow="row wrap"))
        waiting = W.HTML(
            "<div class='wb-soft'>The curves of the run appear here: loss, score, learning rate, gradient norm, tokens a second.</div>"
        )
        self._curves = W.VBox([waiting], layout=W.Layout(width="100%"))
        self._pane = Pane(self._curves)
        self._film = FilmPart(self, self._changed)
        self._health = W.HTML(health_html([]))
        self._log, self._card, self._asked = W.HTML(), W.HTML(), W.HTML()
        self._past = W.SelectMultiple(
            description="Runs, newest first",
            rows=6,
            style={"description_width": "initial"},
            layout=W.Layout(width="98%"),
        )
        open_one = W.Button(description="Watch this run", tooltip="Show the chosen run above")
        over = W.Button(
            description="Compare chosen runs",
            tooltip="Curves over one another, settings that differ, scores side by side",
        )
        fresh = W.Button(description="Look again", tooltip="Read the list of runs again")
        open_one.on_click(lambda _: self._later(self._open))
        over.on_click(lambda _: self._later(self.compare, None))
        fresh.on_click(lambda _: self._later(self._list))
        self._compared = W.HTML()
        past = W.VBox(
            [self._past, W.HBox([open_one, over, fresh], layout=W.Layout(flex_flow="row wrap")), self._compared]
        )
        scroll = W.Layout(max_height="360px", overflow="auto", display="block")
        boxes = [past, *(W.Box([part], layout=scroll) for part in (self._card, self._log, self._asked))]
        self._more = W.Accordion(boxes, titles=("Past runs", "Model card", "Log", "Recipe"))

    # what can be done

    def start(self) -> None:
        """Start the recipe; the panel then watches the new run."""
        if self.recipe is None:
            raise RunError("expected a recipe to start, but there is none; set panel.recipe = wb.Recipe(...)")
        if self.run is not None and self.run.state in GOES_ON:
            raise RunError(f"{self.run.folder.name} is still going on; stop it before you start another here")
        self.say("Checking recipe, data and model …", "busy")
        engine().close()  # frees its memory for the run
        self.run = launch.train(self.recipe, runs=self._runs)

    def stop(self) -> None:
        """Ask the run to end after its current step."""
        if self.run is not None and self.run.state not in GOES_ON:
            raise RunError(
                f"expected a run that goes on, but {self.run.folder.name} is {self.run.state}; there is nothing to stop"
            )
        if self.run is not None:
            self.run.stop()
            self.say("Stopping after this step; the model is kept …", "busy")

    def resume(self) -> None:
        """Go on from the last checkpoint."""
        if self.run is not None:
            self.run.resume()
            self._watch()

    def compare(self, runs: list[Run] | None) -> None:
        """Lay the curves of several runs over one another and show what differs; None takes those chosen in the list."""
        chosen = runs if runs is not None else [Run(self._runs / name) for name in self._past.value]
        self._compared.value = f"<div class='wb-scroll'>{compare_runs(chosen)._repr_html_()}</div>"
        if self.run is not None and self.run.state not in GOES_ON:
            self._looked.wait()  # else its own curves would come after these
        self._draw({run.folder.name: course(run.events()) for run in chosen})
        self.say(f"The curves above are those of {len(chosen)} runs", "good")

    # following a run

    @t.validate("run")
    def _check_run(self, proposal: Any) -> Any:
        if proposal["value"] is not None and not proposal["value"].files.recipe.is_file():
            attach(proposal["value"].folder)  # raises and says what is missing
        return proposal["value"]

    @t.observe("run")
    def _run_set(self, _: Any) -> None:
        self._watch()

    @t.observe("recipe")
    def _recipe_set(self, _: Any) -> None:
        self._buttons_follow()
        self._expect()
        if self._shown_code.comm is not None and self.children:
            self._changed()

    def _watch(self) -> None:
        """Follow the run on a thread until it has ended."""
        self._watching += 1
        self._looked = threading.Event()
        if self.run is not None:
            following = (self.run, self._watching, self._looked)
            threading.Thread(target=self._follow, args=following, daemon=True).start()
        self._buttons_follow()

    def _follow(self, run: Run, turn: int, looked: threading.Event) -> None:
        events: list[dict[str, Any]] = []
        place, goes_on = 0, True
        with self._guarded():
            while goes_on:
                with self._looks:  # what another run was followed by shows nothing after this one
                    if turn != self._watching:
                        break
                    state = run.state
                    new, after = records.read_events(run.files.events, place)
                    events = [*events, *new] if after >= place else new
                    place, goes_on = after, state in GOES_ON
                    self._look(run, state, events, bool(new))
                looked.set()
                if goes_on:
                    time.sleep(POLL_S)
        looked.set()

    def _look(self, run: Run, state: str, events: list[dict[str, Any]], new: bool) -> None:
        self._health.value = health_html(events)
        self._film.follow(run, events)
        if new or self._pane.figure is None:
            self._draw({run.folder.name: course(events)})
        self._tell(run, state)
        if state not in GOES_ON:
            self._end(run, state)

    def _tell(self, run: Run, state: str) -> None:
        status = run.status
        self._bar.max, self._bar.value = max(status.total_steps or 1, 1), status.step
        left = f"{_span(status.left_s)} left" if status.left_s is not None and state == "running" else ""
        steps = f"step {status.step:,} of {status.total_steps:,}" if status.total_steps else ""
        parts = (
            state,
            status.phase if state == "running" else "",
            steps,
            f"epoch {status.epoch:.2f}",
            left,
            f"health checks took {status.health_s:.2g} s" if status.health_s else "",
            f"the film {status.film_s:.2g} s" if status.film_s else "",
            status.device,
        )
        self._state.value = f"<b>{escape(run.folder.name)}</b><br>{escape(', '.join(filter(None, parts)))}"
        self._log.value = _pre(run.log(LOG_LINES) or "nothing printed yet")
        if state in GOES_ON:
            self.say(f"{status.phase} …", "busy")
            self.set_trait("state", state)
        self._buttons_follow(state)

    def _end(self, run: Run, state: str) -> None:
        self.set_trait("state", state)
        self._asked.value = _pre(run.recipe.to_yaml())
        try:
            self._card.value = _pre(run.card)
        except RunError as error:
            self._card.value = _pre(f"There is no card: {error}.")
        if state == "died":
            self.say(
                "The process of the run is gone (killed, or the machine went down); Resume goes on from the last checkpoint",
                "error",
            )
        elif state == "failed":
            self.say(f"{run.status.reason}; the log below has more", "error")
        else:
            reason = f" ({run.status.reason})" if run.status.reason else ""
            self.say(f"{state}{reason}: {outcome(run)}", "good")
        self._list()
        self._changed()
        self._expect()

    def _expect(self) -> None:
        """A process may wait for the recipe, unless a run has the machine."""
        with self._guarded():
            if self.run is None or self.run.state not in GOES_ON:
                waiting().expect(self.recipe)

    def _draw(self, courses: dict[str, Course]) -> None:
        figure = curves_figure(courses)
        with self._lock:
            self._courses = courses
            self._pane.draw(figure, alike=True)

    # parts

    def _list(self) -> None:
        table = launch.runs(self._runs) if self._runs.is_dir() else None
        names = [] if table is None else [str(name) for name in table["run"]]
        lines = (
            []
            if table is None
            else [f"{row['run']}   {row['state']}   {row['loss']}   {_rise(row)}" for row in table.to_dict("records")]
        )
        chosen = tuple(name for name in self._past.value if name in names)
        self._past.options = list(zip(lines, names, strict=True))
        self._past.value = chosen

    def _open(self) -> None:
        if len(self._past.value) != 1:
            raise RunError(f"expected one chosen run, got {len(self._past.value)}; choose one in the list")
        self.run = attach(self._runs / self._past.value[0])

    def _buttons_follow(self, state: str | None = None) -> None:
        state = state or (None if self.run is None else self.run.state)
        self._start.disabled = self.recipe is None or state in GOES_ON
        self._stop.disabled = state not in GOES_ON
        self._resume.disabled = state not in ("stopped", "failed", "died")
        self._zip.disabled = self.run is None or not self.run.files.model.is_dir()

    def _export(self) -> Path:
        assert self.run is not None
        self.say("Packing model, card and recipe …", "busy")
        path = self.run.export(Path(tempfile.mkdtemp()) / f"{self.run.folder.name}.zip")
        self.say(f"{path.name}: {path.stat().st_size / 2**20:,.0f} MB go to your browser's downloads", "good")
        return path

    def _say_error(self, error: Exception) -> None:
        self.say(str(error), "error")

    def _code(self) -> str:
        if self.run is not None:
            return f"wb.attach({str(self.run.folder)!r})"
        return "wb.runs()" if self.recipe is None else f"wb.train({self.recipe.code})"

    def static(self) -> str:
        """State, outcome and curves of the run."""
        if self.run is None:
            return "<p>No run yet.</p>"
        curves = svg(curves_figure(self._courses), width=900) if self._courses else ""
        findings = self.run.findings
        found = findings._repr_html_() if findings else ""
        return f"<p>{escape(repr(self.run))}<br>{escape(self.message)}</p>{found}{curves}{self._film.static()}{self._compared.value}"

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        waiting().shown(self._expect)

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until all that was asked for is done and the run is shown; the run itself may go on."""
        super().settle(timeout_s)
        if self.run is not None:
            self._looked.wait(timeout_s)

    def close(self) -> None:
        """Close the panel; the run goes on."""
        self._watching += 1
        self._pane.close()
        self._film.close()
        super().close()


def outcome(run: Run) -> str:
    """What a run has changed, in one line, with what it was measured on."""
    scores = run.scores
    if not scores:
        return "no rows were kept for evaluation, so nothing is known of what it has learnt"
    name = scores["after"]["primary"]
    before, after = scores["before"]["scores"][name], scores["after"]["scores"][name]
    delta = Delta(**scores["change"]["delta"][name])
    if before["value"] is None or after["value"] is None:
        return f"{name} is undefined: {before['why'] or after['why']}"
    spread = "" if delta.low is None else f" [{delta.low:+.3f}, {delta.high:+.3f}]"
    noise = ", within noise" if spread and delta.within_noise else ""
    return f"{name} {before['value']:.3f} → {after['value']:.3f}, difference {delta.mid:+.3f}{spread}{noise}, on {scores['data']} ({scores['after']['note']})"


def _rise(row: Mapping[Any, Any]) -> str:
    if row.get("before") is None or row.get("after") is None:
        return ""
    return f"{row['score']} {row['before']:.3f} → {row['after']:.3f}"


def _pre(text: str) -> str:
    return f"<pre style='white-space: pre-wrap; overflow-wrap: anywhere'>{escape(text)}</pre>"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
