"""The film of a run inside the run panel: moments to pick from, play and pause, and a page to take along."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.files import replace_text
from workbench.plots.film import film_page, moment_figure
from workbench.plots.svg import svg
from workbench.spaces.engine import engine
from workbench.spaces.film import FilmMaps, film_maps
from workbench.training.run import Run
from workbench.widgets.download import Download
from workbench.widgets.figure import Pane
from workbench.widgets.panel import Panel

FEWEST = 2
MOMENT_S = 0.9
ENGINES = (("PCA, one projection for all moments", "pca"), ("UMAP, neighbours together", "umap"))
NAMED: dict[str, Any] = {"style": {"description_width": "initial"}}


class FilmPart:
    """Controls and picture of the film; hidden until a run has two frames.

    Args:
        panel: the panel that it is a part of, which does its work and says what happens.
        changed: called when the picture has changed.

    Attributes:
        box: all of it as one widget.
        maps: the film as it is shown; None before it is.
    """

    def __init__(self, panel: Panel, changed: Callable[[], None]) -> None:
        self._panel, self._changed = panel, changed
        self._run: Run | None = None
        self._playing: threading.Event | None = None
        self.maps: FilmMaps | None = None
        self._head = W.HTML()
        self.engine = W.Dropdown(options=ENGINES, description="Film by", layout=W.Layout(width="340px"), **NAMED)
        self.show = W.Button(description="Show the film", tooltip="Draw all moments that are kept so far in one frame")
        self.moment = W.Dropdown(description="Moment", disabled=True, layout=W.Layout(width="220px"), **NAMED)
        self.play = W.Button(description="Play", disabled=True, tooltip="Go on from moment to moment")
        self.download = Download("Download the film", self._page, self._failed, hint="One HTML file that plays alone")
        self._picture = W.VBox([], layout=W.Layout(width="100%"))
        self._pane = Pane(self._picture)
        self.show.on_click(lambda _: panel._later(self._show))
        self.play.on_click(lambda _: self._toggle())
        self.moment.observe(self._moved, "value")
        controls = [self.engine, self.show, self.moment, self.play, self.download]
        row = W.HBox(controls, layout=W.Layout(flex_flow="row wrap"))
        self.box = W.VBox([self._head, row, self._picture], layout=W.Layout(display="none", width="100%"))

    def follow(self, run: Run, events: Sequence[Mapping[str, Any]]) -> None:
        """Say how many frames a run has kept so far; another run than before empties the picture."""
        if self._run is not None and run.folder != self._run.folder:
            self._empty()
        self._run = run
        frames = [event for event in events if event["kind"] == "frame"]
        self.box.layout.display = "flex" if len(frames) >= FEWEST else "none"
        took = sum(event["seconds"] for event in frames)
        new = len(frames) - len(self.maps.film) if self.maps is not None else 0
        more = f", {new} of them new: show the film again" if new > 0 else ""
        self._head.value = (
            f"<b>Film</b> <span class='wb-soft'>{len(frames)} moments kept{more}; keeping them took {took:.2g} s</span>"
        )

    def static(self) -> str:
        """The first and the last moment, if the film was shown: HTML without scripts."""
        if self.maps is None:
            return ""
        moments = self.maps.film.moments
        ends = (0, len(moments) - 1)
        return "".join(
            svg(moment_figure(self.maps, place, title=f"Film, step {moments[place].step}"), width=900) for place in ends
        )

    def close(self) -> None:
        """End the playing and forget the figure."""
        self._pause()
        self._pane.close()

    def _show(self) -> None:
        self._pause()
        run = self._run
        if run is None:
            return
        self._panel.say("Drawing the film …", "busy")
        film, chosen = run.film, self.engine.value
        # PCA is a matter of array operations; UMAP of all moments takes a while
        maps = film_maps(film) if chosen == "pca" else engine().call(film_maps, film, engine=chosen)
        film.numbers  # noqa: B018 - computed here, on the panel's own thread, once
        place = min(self.moment.value or 0, len(film) - 1) if self.maps is not None else 0
        self.maps = None
        self.moment.options = [
            (f"step {moment.step}" if moment.step else "base model", number)
            for number, moment in enumerate(film.moments)
        ]
        self.moment.value, self.maps = place, maps
        self._pane.draw(moment_figure(maps, place))
        self.moment.disabled = self.play.disabled = False
        self._panel.say(maps.film.cost, "good")
        self._changed()

    def _moved(self, _: Any) -> None:
        maps, place = self.maps, self.moment.value
        if maps is not None and place is not None:
            with self._panel._guarded():
                self._pane.draw(moment_figure(maps, place), alike=True)

    def _toggle(self) -> None:
        if self._playing is not None:
            self._pause()
            return
        self._playing = over = threading.Event()
        self.play.description = "Pause"
        threading.Thread(target=self._go_on, args=(over,), daemon=True).start()

    def _go_on(self, over: threading.Event) -> None:
        last = len(self.moment.options) - 1
        if self.moment.value == last:
            self.moment.value = 0
        while not over.wait(MOMENT_S) and self.moment.value is not None and self.moment.value < last:
            self.moment.value += 1
        if not over.is_set():
            self._pause()

    def _pause(self) -> None:
        if self._playing is not None:
            self._playing.set()
        self._playing = None
        self.play.description = "Play"

    def _empty(self) -> None:
        self._pause()
        self.maps = None
        self._pane.close()
        self.moment.options = ()
        self.moment.disabled = self.play.disabled = True

    def _page(self) -> Path:
        assert self._run is not None
        maps = self.maps or film_maps(self._run.film)
        path = Path(tempfile.mkdtemp()) / f"{self._run.folder.name}-film.html"
        replace_text(path, film_page(maps))
        return path

    def _failed(self, error: Exception) -> None:
        self._panel.say(str(error), "error")
