"""The film of a run: the space at each of its moments in one fixed frame, beside the loss curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.data.distinct import colour_words
from workbench.plots import theme as house
from workbench.plots.map import add_caption, clouds, points
from workbench.plots.report import Section, Table, page
from workbench.spaces.film import NEIGHBOURS, Engine, Film, FilmMaps, film_maps
from workbench.training.run import Run, attach

STILL_MS, MOVING_MS = 900, 600
A_LINE = 4  # labels that have room in a line over the picture
IN_A_LINE = {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}
IN_A_COLUMN = {"orientation": "v", "x": 1.01, "y": 1}
PLACES = 3  # decimals of a place, of some 20 units
COSINE, CHANGED = "mean cosine", f"share of {NEIGHBOURS} neighbours changed"


def show_film(
    film: Any, *, engine: Engine = "pca", seed: int = 0, title: str = "Film of the run", theme: str = "light"
) -> go.Figure:
    """Draw the film of a run: play and pause, and a slider over its moments.

    Args:
        film: a run, its folder, or a Film.
        engine: "pca" for one projection of all moments, "umap" for a layout that keeps neighbours together.
        seed: of UMAP's layout.
        title: any text; it is escaped.
        theme: light or dark.

    Raises:
        RunError: the run has no film, with the reason.
        DataError: there is no such engine, or the seed is none.
    """
    return film_figure(film_maps(as_film(film), engine=engine, seed=seed), title=title, theme=theme)


def as_film(film: Any) -> Film:
    """A film of a run, a run folder, or itself.

    Raises:
        RunError: it is none of these, or the run has no film.
    """
    return film if isinstance(film, Film) else (film if isinstance(film, Run) else attach(film)).film


def film_figure(maps: FilmMaps, *, title: str = "Film of the run", theme: str = "light") -> go.Figure:
    """All moments as frames of one figure; it plays wherever plotly is, without Python.

    Texts stand in it once; a frame holds places only.
    """
    shown = moment_figure(maps, 0, title=title, theme=theme)
    moved = _moved(shown)
    shown.frames = [
        go.Frame(
            name=str(place),
            traces=moved,
            data=[{"type": "scatter", "x": part.x, "y": part.y} for part in _places(maps, place, shown)],
        )
        for place in range(len(maps.maps))
    ]
    ink = "#f2f5fa" if theme == "dark" else "#2a3f5f"
    button = {"method": "animate"}
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    play = {
        "mode": "immediate",
        "fromcurrent": True,
        "frame": {"duration": STILL_MS, "redraw": False},
        "transition": {"duration": MOVING_MS, "easing": "cubic-in-out"},
    }
    step = {"mode": "immediate", "frame": {"duration": MOVING_MS, "redraw": False}, "transition": play["transition"]}
    shown.update_layout(
        height=660,
        margin={"b": 210},
        updatemenus=[
            {
                "type": "buttons",
                "direction": "left",
                "showactive": False,
                "x": 0,
                "xanchor": "left",
                "y": -0.16,
                "yanchor": "top",
                "pad": {"t": 0, "r": 8},
                "bgcolor": "#3b4a63" if theme == "dark" else "#ffffff",
                "font": {"color": ink},
                "buttons": [
                    {**button, "label": "▶ Play", "args": [None, play]},
                    {**button, "label": "❚❚ Pause", "args": [[None], still]},
                ],
            }
        ],
        sliders=[
            {
                "active": 0,
                "x": 0.25,
                "len": 0.75,
                "y": -0.1,
                "yanchor": "top",
                "pad": {"t": 0, "b": 0},
                "currentvalue": {"prefix": "optimizer step ", "font": {"size": 13}},
                "transition": {"duration": MOVING_MS},
                "steps": [
                    {"label": str(moment.step), "method": "animate", "args": [[str(place)], step]}
                    for place, moment in enumerate(maps.film.moments)
                ],
            }
        ],
    )
    return shown


def moment_figure(maps: FilmMaps, place: int, *, title: str = "", theme: str = "light") -> go.Figure:
    """One moment: the space on the left; on the right the loss and two numbers of the space, with a mark at the moment.

    Figures of all moments of a film have the same traces and axes and differ in places only.

    Args:
        maps: the film on its plane.
        place: number of the moment, -1 for the last.
        title: any text; it is escaped.
        theme: light or dark.
    """
    film = maps.film
    shown = make_subplots(
        rows=2,
        cols=2,
        column_widths=[0.66, 0.34],
        specs=[[{"rowspan": 2}, {}], [None, {}]],
        horizontal_spacing=0.09,
        vertical_spacing=0.16,
    )
    shown.update_layout(house.figure(title, height=560, theme=theme).layout)
    rows = _drawn(maps)
    parts = clouds(rows, film.labels)
    for cloud in parts:
        trace = points(maps.maps[place], cloud, len(rows), gl=False)
        trace.text = [
            f"{text}<br>row {film.rows[row]:,}, {house.text(film.columns[row], 40)}"
            for text, row in zip(trace.text, cloud.rows, strict=True)
        ]
        shown.add_trace(trace, row=1, col=1)
    _curves(shown, maps)
    for trace, moved in zip([shown.data[number] for number in _moved(shown)], _places(maps, place, shown), strict=True):
        trace.x, trace.y = moved.x, moved.y
    _axes(shown, maps)
    add_caption(shown, maps.caption)
    shown.layout.annotations[-1].update(text=house.text(maps.caption, 460, width=76), y=-0.36 if title else -0.2)
    shown.update_layout(
        margin={"b": 150, "l": 48, "r": 16, "t": 64 if title else 40},
        legend={**(IN_A_LINE if len(parts) <= A_LINE else IN_A_COLUMN), "font": {"size": 11}},
    )
    return shown


def film_page(maps: FilmMaps) -> str:
    """The whole film as one page of HTML that plays without a network and without Python."""
    film = maps.film
    rows = [
        [
            moment.step,
            f"{moment.epoch:.2f}",
            *(_number(value) for value in (film.loss_at(place), its.mean_cosine, its.effective_rank, its.changed)),
            f"{its.texts:,}",
            f"{moment.seconds:.2g}",
            its.why,
        ]
        for place, (moment, its) in enumerate(zip(film.moments, film.numbers, strict=True))
    ]
    head = ["step", "epoch", "loss", "mean cosine", "effective rank", "neighbours changed", "n", "seconds", ""]
    meaning = (
        f"Mean cosine of two different texts; effective rank: how many directions the vectors use; neighbours changed: mean share of the "
        f"{NEIGHBOURS} nearest texts that are not those of the first moment (1 − Jaccard); seconds that the look took, next to none where the vectors came with the scores."
    )
    what = f"Play, or drag the slider. All moments are drawn in the same frame. {colour_words(film.by)}"
    return page(
        f"Film of {film.name}",
        film.about,
        [
            Section("Film", what, figures=[film_figure(maps, title=f"{film.name}, {film.model}")]),
            Section("The moments in numbers", meaning, tables=[Table(head, rows)]),
        ],
    )


def _drawn(maps: FilmMaps) -> np.ndarray:
    """Rows that have a place at any moment: int64, ascending."""
    return np.flatnonzero(np.any([np.isfinite(drawn.xy[:, 0]) for drawn in maps.maps], axis=0))


def _curves(shown: go.Figure, maps: FilmMaps) -> None:
    """The loss over the two numbers, and what marks the moment in each; the marks have no places yet."""
    film = maps.film
    steps = [moment.step for moment in film.moments]
    loss = go.Scatter(x=film.steps, y=film.losses, name="loss (mean since the last record)", mode="lines")
    loss.update(line={"color": house.AFTER}, hovertemplate="step %{x}: loss %{y:.4g}<extra></extra>")
    shown.add_trace(loss, row=1, col=2)
    looks: Sequence[tuple[str, str, str, str]] = (
        (COSINE, "mean_cosine", house.PALETTE[2], house.SYMBOLS[0]),
        (CHANGED, "changed", house.PALETTE[3], house.SYMBOLS[2]),
    )
    for name, key, colour, symbol in looks:
        shown.add_trace(
            go.Scatter(
                x=steps,
                y=[getattr(its, key) for its in film.numbers],
                name=name,
                mode="lines+markers",
                line={"color": colour},
                marker={"size": 5, "symbol": symbol},
                hovertemplate=f"step %{{x}}: {name} %{{y:.3f}}<extra></extra>",
            ),
            row=2,
            col=2,
        )
    for row in (1, 2):
        mark = go.Scatter(mode="lines", name="this moment", showlegend=row == 1, hoverinfo="skip", meta="mark")
        mark.update(line={"color": house.REFERENCE, "dash": "dash", "width": 2})
        shown.add_trace(mark, row=row, col=2)
    for trace in shown.data:
        if trace.xaxis != "x":
            trace.showlegend = False  # the axes name them
    shown.update_traces(showlegend=True, selector={"name": COSINE})
    shown.update_traces(showlegend=True, selector={"name": CHANGED})


def _moved(shown: go.Figure) -> list[int]:
    """Numbers of the traces that differ from moment to moment."""
    return [number for number, trace in enumerate(shown.data) if trace.xaxis == "x" or trace.meta == "mark"]


def _places(maps: FilmMaps, place: int, shown: go.Figure) -> list[go.Scatter]:
    """Places of these traces at a moment, as lists: plotly's frames read no packed numbers."""
    xy, step = maps.maps[place].xy, maps.film.moments[place].step
    made = []
    for number in _moved(shown):
        trace = shown.data[number]
        if trace.meta == "mark":
            low, high = _losses(maps) if trace.yaxis == "y2" else _shares(maps)
            made.append(go.Scatter(x=[step, step], y=[low, high]))
            continue
        its = np.round(xy[np.asarray(trace.customdata)].astype(float), PLACES)
        x, y = ([None if value != value else value for value in column.tolist()] for column in its.T)
        made.append(go.Scatter(x=x, y=y))
    return made


def _losses(maps: FilmMaps) -> tuple[float, float]:
    """Ends of the axis of the loss."""
    known = [loss for loss in maps.film.losses if loss is not None] or [1.0]
    return min(0.0, *known), max(known) * 1.05 if max(known) > 0 else 1.0


def _shares(maps: FilmMaps) -> tuple[float, float]:
    """Ends of the axis of the two numbers; a mean cosine may be below 0."""
    return min(0.0, *(its.mean_cosine or 0.0 for its in maps.film.numbers), 0.0) - 0.03, 1.03


def _axes(shown: go.Figure, maps: FilmMaps) -> None:
    """Fixed ranges, so that nothing but the points moves."""
    across, up = maps.spans
    bare = {"showticklabels": False, "zeroline": False, "ticks": "", "row": 1, "col": 1}
    shown.update_xaxes(title=f"{maps.engine.upper()} 1 (no unit)", range=across, **bare)
    shown.update_yaxes(title=f"{maps.engine.upper()} 2 (no unit)", range=up, **bare)
    end = max([*maps.film.steps, *(moment.step for moment in maps.film.moments), 1])
    for row in (1, 2):
        title = "optimizer step" if row == 2 else None
        shown.update_xaxes(title=title, range=[-0.03 * end, 1.03 * end], row=row, col=2)
    shown.update_yaxes(title="loss", range=_losses(maps), row=1, col=2)
    shown.update_yaxes(title="share, cosine", range=_shares(maps), row=2, col=2)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
