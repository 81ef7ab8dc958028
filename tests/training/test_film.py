"""The film of a run: what is kept while it trains, what it costs, and that it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loaded import Loaded
from tests.runs import MakeRun, step
from tests.training.conftest import NOUNS, weights
from tests.training.test_run import WAIT_S, stop_after
from workbench.data.examples import Examples
from workbench.data.load import load
from workbench.errors import RunError
from workbench.recipe import Recipe
from workbench.spaces import evaluate as scoring
from workbench.spaces.encode import Space
from workbench.training import film as filming
from workbench.training.film import Filming, read_film
from workbench.training.film_plan import moments, planned
from workbench.training.folder import RunFolder
from workbench.training.launch import train
from workbench.training.records import EventWriter, read_events, rewind
from workbench.training.run import Run

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def filmed(recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a film."""
    return train(recipe(max_steps=40), folder=tmp_path_factory.mktemp("runs") / "filmed").wait(WAIT_S)


def test_a_run_keeps_the_base_model_and_the_last_step_and_says_what_that_cost(filmed: Run) -> None:
    film = filmed.film
    assert (film.moments[0].step, film.moments[-1].step) == (0, 40)
    assert film.vectors.dtype == np.float16 and film.vectors.shape == (len(film), len(film.texts), 32)
    assert len(set(film.texts)) == len(film.texts) >= 8
    assert film.of == "the evaluation rows of pairs.jsonl" or film.of.startswith("the evaluation rows of pairs")
    assert film.labels is not None and set(film.labels) == {"anchor", "positive"} and film.by == "column"
    assert filmed.status.film_s == pytest.approx(film.seconds, abs=0.01)
    scored = [moment.step for moment in film.moments if moment.scored]
    assert scored == [0, 10, 20, 30, 40]
    frames = f"{len(film)} frames of {len(film.texts)} texts, {len(scored)} of them with vectors of the scores, took"
    assert f"- **Film:** {frames}" in filmed.card
    assert "of the time in training steps)" in filmed.card
    assert all(event["seconds"] > 0 and event["texts"] == len(film.texts) for event in filmed.events("frame"))


def test_a_frame_holds_the_vectors_of_the_model_at_that_step(filmed: Run, tiny_bert: Path) -> None:
    from workbench.spaces.encode import embed

    film = filmed.film
    for place, model in ((0, tiny_bert), (-1, filmed)):
        assert np.abs(embed(film.texts, model).unit - film.vectors[place].astype(np.float32)).max() < 2e-3


def test_a_film_changes_no_bit_of_the_weights(filmed: Run, recipe: Make, tmp_path: Path) -> None:
    alone = train(recipe(max_steps=40, film_frames=0), folder=tmp_path / "alone").wait(WAIT_S)
    assert weights(alone) == weights(filmed)
    assert not alone.files.film.exists() and alone.events("frame") == [] and "**Film:**" not in alone.card
    with pytest.raises(RunError, match=r"the film of alone, but the recipe says film_frames: 0; .*film_frames: 20"):
        _ = alone.film


def test_a_stopped_run_keeps_its_frames_and_a_resumed_one_goes_on_with_the_same_texts(
    recipe: Make, tmp_path: Path, loaded: Loaded
) -> None:
    with loaded.held_at(4):
        run = train(recipe(max_steps=60), folder=tmp_path / "stopped")
    stop_after(run, 4)
    first = run.film
    assert (first.moments[0].step, first.moments[-1].step) == (0, run.status.step)
    run.resume().wait(WAIT_S)
    film = run.film
    assert film.moments[-1].step == 60 and film.texts == first.texts
    steps = [moment.step for moment in film.moments]
    assert steps == sorted(set(steps)) and first.moments[-1].step in steps
    assert np.array_equal(film.vectors[0], first.vectors[0])


def test_a_killed_run_forgets_the_frames_after_its_checkpoint(recipe: Make, tmp_path: Path, loaded: Loaded) -> None:
    with loaded.killed_at(10):
        run = train(recipe(save_steps=8, max_steps=200), folder=tmp_path / "killed")
    with pytest.raises(RunError, match="its process is gone"):
        run.wait(WAIT_S)
    assert run.film.moments[0].step == 0
    assert [path.name for path in run.files.complete_checkpoints()] == ["checkpoint-8"]
    np.save(run.files.film / "step-9.npy", run.film.vectors[0])
    with run.files.events.open("a") as file:
        file.write(json.dumps({"kind": "frame", "step": 9, "seconds": 1.0, "texts": 9}) + "\n")
    assert run.film.moments[-1].step == 9
    with loaded.held_at(12):  # its first life has recorded step 10
        run.resume()
    stop_after(run, 12)
    assert run.status.step == 12
    assert 9 not in [moment.step for moment in run.film.moments]


# without a worker


class Model:
    """Gives vectors by a function of the texts; one token a letter."""

    training = True

    def __init__(self, give: Callable[[int], np.ndarray] = lambda n: np.eye(n, 4) + 1.0, spend: float = 0.0) -> None:
        import torch

        self.device = torch.device("cpu")
        self.give, self.spend, self.now, self.prompts = give, spend, 0.0, []

    def preprocess(self, texts: list[str], prompt: str | None = None) -> dict[str, Any]:
        import torch

        mask = torch.zeros((len(texts), max(map(len, texts))))
        for row, text in enumerate(texts):
            mask[row, : len(text)] = 1
        return {"attention_mask": mask}

    def space(self, texts: list[str], *, prompt: str = "") -> Space:
        import torch

        torch.rand(3)
        self.training = False
        self.prompts.append(prompt)
        self.now += self.spend
        return Space(tuple(texts), self.give(len(texts)).astype(np.float32), "m", "0" * 16, prompt)

    def train(self, mode: bool) -> None:
        self.training = mode

    def clock(self) -> float:
        return self.now


def table(tmp_path: Path, rows: list[dict[str, Any]], name: str = "t.jsonl") -> Examples:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(path)


@pytest.fixture
def start(recipe: Make, tmp_path: Path) -> Iterator[Callable[..., tuple[Filming, RunFolder]]]:
    """Makes the film of a run without a worker; the folder can be read as a run."""

    def make(
        model: Model, rows: list[dict[str, Any]] | None = None, *, held_out: bool = False, **settings: Any
    ) -> tuple[Filming, RunFolder]:
        usual = [{"anchor": f"the {noun} {place}", "positive": f"a {noun}"} for place in range(9) for noun in NOUNS]
        data = table(tmp_path, usual if rows is None else rows)
        evaluation = table(tmp_path, usual if rows is None else rows, "e.jsonl") if held_out else None
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir(exist_ok=True)
        made = recipe(data=str(data.source), **{"max_steps": 400, "batch_size": 32, **settings})
        made.to_yaml(folder.recipe)
        before = read_events(folder.events)[0]
        events = EventWriter(folder.events)
        return Filming(made, folder, data, evaluation, events, before, clock=model.clock), folder

    return make


def play(film: Filming, model: Model, steps: int, *, step_s: float, first: int = 0, total: int | None = None) -> None:
    """Train so many steps of so many seconds."""
    film.begin(model, first, total or steps)
    for number in range(first + 1, steps + 1):
        model.now += step_s
        film.after_step(model, number, number / 100, number * step_s)
    film.end(model, steps, steps / 100, steps * step_s)


def score(film: Filming, model: Model, *, prompt: str = "") -> None:
    """Encode all texts of the table as scoring does, in no time."""
    spend, model.spend = model.spend, 0.0
    film.hearing(model).space([text for name in film.table.texts for text in film.table.column(name)], prompt=prompt)
    model.spend = spend


def test_there_are_about_as_many_moments_as_asked_for_at_equal_distances(start: Any) -> None:
    model = Model(spend=0.001)
    film, folder = start(model)
    play(film, model, 400, step_s=1.0)
    steps = [moment.step for moment in read_film(folder).moments]
    assert steps == list(range(0, 401, 20))


def test_where_scores_are_taken_their_vectors_are_frames_and_nothing_more_is_encoded(start: Any) -> None:
    model = Model(spend=0.5)
    film, folder = start(model, held_out=True, eval_steps=0.2)
    score(film, model)
    film.begin(model, 0, 400)
    for number in range(1, 401):
        if number % 80 == 0:
            score(film, model)
        film.after_step(model, number, number / 100, float(number))
    score(film, model)
    film.end(model, 400, 4.0, 400.0)
    read = read_film(folder)
    assert [moment.step for moment in read.moments] == list(range(0, 401, 20))
    assert [moment.step for moment in read.moments if moment.scored] == list(range(0, 401, 80))
    assert [moment.seconds for moment in read.moments] == [0.0 if moment.scored else 0.5 for moment in read.moments]
    assert film.told(400.0).startswith("21 frames of 80 texts, 6 of them with vectors of the scores, took 7.5 s (1.9%")
    assert film.told(400.0).startswith(read.cost)


def test_a_frame_of_scores_holds_the_vector_of_each_text(start: Any) -> None:
    model = Model()
    film, folder = start(model, held_out=True)
    texts = [text for name in film.table.texts for text in film.table.column(name)]
    model.give = lambda n: np.stack([[len(text), ord(text[2]), 1.0, 2.0] for text in texts])
    score(film, model)
    film.begin(model, 0, 400)
    read = read_film(folder)
    wanted = np.stack([[len(text), ord(text[2]), 1.0, 2.0] for text in read.texts])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert read.moments[0].scored and np.abs(read.vectors[0].astype(float) - wanted).max() < 1e-3


@pytest.mark.parametrize("prompts", [None, "both: ", {"anchor": "query: "}])
def test_the_texts_are_among_those_that_are_scored_of_a_long_table_and_under_their_prompts(
    start: Any, monkeypatch: pytest.MonkeyPatch, prompts: Any
) -> None:
    monkeypatch.setattr(scoring, "MAX_ROWS", 20)
    model = Model()
    rows = [{"anchor": f"the cat {place}", "positive": f"a dog {place}"} for place in range(200)]
    film, folder = start(model, rows, held_out=True, prompts=prompts)
    assert scoring.evaluate(film.hearing(model), film.table, prompts=prompts, resamples=0).rows == 20
    film.begin(model, 0, 400)
    read = read_film(folder)
    assert read.moments[0].scored and len(read.texts) == 40
    assert set(read.texts) == {text for row in scoring.scored_rows(200) for text in rows[row].values()}


def test_vectors_under_another_prompt_are_never_put_into_the_film(start: Any) -> None:
    model = Model(spend=0.5)
    film, folder = start(model, held_out=True)
    score(film, model, prompt="other: ")
    film.begin(model, 0, 400)
    assert not read_film(folder).moments[0].scored and model.prompts == ["other: ", ""]


def test_a_run_of_few_steps_is_filmed_where_it_is_scored(start: Any) -> None:
    model = Model(spend=0.5)
    rows = [{"anchor": f"the cat {place}", "positive": f"a dog {place}"} for place in range(200)]
    film, folder = start(model, rows, held_out=True, max_steps=5, batch_size=2, eval_steps=1)
    for number in range(6):
        score(film, model)
        film.begin(model, 0, 5) if number == 0 else film.after_step(model, number, 0.1, number / 10)
    score(film, model)
    film.end(model, 5, 0.1, 0.5)
    assert [moment.step for moment in read_film(folder).moments] == [0, 1, 2, 3, 4, 5]
    assert film.seconds == 0 and len(film.texts) == 400


@pytest.mark.parametrize("look_s", [0.01, 0.3, 4.0])
@pytest.mark.parametrize("last", [1, 7, 61, 150, 399])
def test_a_scored_run_that_is_stopped_early_has_paid_no_more_than_its_share_too(
    start: Any, look_s: float, last: int
) -> None:
    model = Model(spend=look_s)
    film, folder = start(model, held_out=True, eval_steps=0.2)
    score(film, model)
    film.begin(model, 0, 400)
    for number in range(1, last + 1):
        film.after_step(model, number, 0.0, float(number))
    score(film, model)
    film.end(model, last, 0.0, float(last))
    assert [moment.step for moment in read_film(folder).moments][:: last or 1][0] == 0
    assert read_film(folder).moments[-1].step == last
    # what a look takes is known after the first one
    assert film.seconds <= max(0.05 * last, look_s if last >= 20 else 0.0)


def test_without_scores_the_last_look_is_left_out_where_a_stop_came_too_early_for_it(start: Any) -> None:
    model = Model(spend=0.4)
    film, folder = start(model)
    film.begin(model, 0, 400)
    film.end(model, 10, 0.0, 10.0)
    assert [moment.step for moment in read_film(folder).moments] == [0]
    film.end(model, 16, 0.0, 16.1)
    assert [moment.step for moment in read_film(folder).moments] == [0, 16]


def test_a_look_gives_the_vectors_that_scores_are_taken_of(tiny_bert: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from workbench.spaces.encode import embed

    model = SentenceTransformer(
        str(tiny_bert), device="cpu", prompts={"usual": "the cat "}, default_prompt_name="usual", truncate_dim=16
    )
    texts = ["a dog runs", "the red bird sings in the house", "stone"]
    model.train()
    prompts = ["", "a small ", ""]
    made = filming._looked(model, texts, prompts, 64)
    assert model.training and made.shape == (3, 16)
    wanted = [embed([text], model, prompt=prompt).vectors[0] for text, prompt in zip(texts, prompts, strict=True)]
    assert np.abs(made - np.stack(wanted)).max() < 1e-5


def test_fewer_frames_are_taken_when_asked_for_fewer(start: Any) -> None:
    model = Model()
    film, folder = start(model, film_frames=4)
    play(film, model, 400, step_s=1.0)
    assert [moment.step for moment in read_film(folder).moments] == [0, 100, 200, 300, 400]


@pytest.mark.parametrize("look_s", [0.1, 1.0, 4.0, 9.0])
def test_what_the_looks_take_stays_below_five_per_cent_whatever_one_costs(start: Any, look_s: float) -> None:
    model = Model()
    film, folder = start(model, film_frames=20)
    film.begin(model, 0, 400)
    model.spend = look_s
    film.seconds = film.cost = look_s  # the first look took as long
    for number in range(1, 401):
        film.after_step(model, number, 0.0, float(number))
    film.end(model, 400, 0.0, 400.0)
    assert film.seconds <= 0.05 * 400
    assert read_film(folder).moments[-1].step == 400


def test_a_look_leaves_the_random_numbers_and_the_mode_of_the_model_as_they_were(start: Any) -> None:
    import torch

    model = Model()
    film, _ = start(model)
    torch.manual_seed(3)
    film.begin(model, 0, 400)
    assert model.training
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))


def test_texts_and_looks_are_the_same_for_the_same_recipe_and_others_for_another_seed(start: Any) -> None:
    one, two, other = (start(Model(), seed=seed)[0] for seed in (1, 1, 2))
    for film in (one, two, other):
        film.begin(Model(), 0, 400)
        film.taken = []
    assert one.texts == two.texts != other.texts


def test_prompts_are_put_before_the_texts_of_their_column(start: Any) -> None:
    model = Model()
    film, _ = start(model, prompts={"anchor": "query: "})
    film.begin(model, 0, 400)
    assert set(model.prompts) == {"", "query: "}


def test_a_resumed_film_forgets_later_frames_and_removes_their_files(start: Any) -> None:
    model = Model()
    film, folder = start(model)
    film.begin(model, 0, 400)
    for number in range(1, 61):
        film.after_step(model, number, 0.0, float(number))
    assert [moment.step for moment in read_film(folder).moments] == [0, 20, 40, 60]
    rewind(folder.events, 30)
    assert [moment.step for moment in read_film(folder).moments] == [0, 20]
    again, _ = start(model)
    play(again, model, 400, step_s=1.0, first=30)
    film = read_film(folder)
    assert [moment.step for moment in film.moments] == list(range(0, 401, 20))
    assert sorted(path.name for path in folder.film.glob("*.npy")) == sorted(f"step-{n}.npy" for n in range(0, 401, 20))


def test_a_run_that_goes_on_without_a_look_at_its_base_model_has_no_film(start: Any) -> None:
    model = Model()
    film, folder = start(model)
    play(film, model, 400, step_s=1.0, first=30)
    assert film.told(400.0) == "none: it went on without a look at its base model" and not folder.film.exists()


def test_a_run_that_is_too_short_has_no_film_and_says_so(start: Any) -> None:
    model = Model()
    film, folder = start(model, max_steps=1)
    play(film, model, 1, step_s=1.0)
    assert film.told(1.0) == "none: it is too short: 5% of its time does not pay for two looks at 8 texts"
    with pytest.raises(RunError, match="expected the film of run, but it is too short: 5% of its time"):
        read_film(folder)


@pytest.mark.parametrize(
    ("give", "usable"),
    [
        (lambda n: np.full((n, 4), np.nan), 0),
        (lambda n: np.full((n, 4), np.inf), 0),
        (lambda n: np.zeros((n, 4)), 0),
        (lambda n: np.full((n, 4), 1e30), None),
        (lambda n: np.ones((n, 4)), None),
    ],
)
def test_vectors_of_every_kind_are_kept_and_measured(
    start: Any, give: Callable[[int], np.ndarray], usable: int | None
) -> None:
    model = Model(give)
    film, folder = start(model)
    play(film, model, 400, step_s=1.0)
    read = read_film(folder)
    assert np.isfinite(read.vectors.astype(np.float32)).all()
    assert {its.texts for its in read.numbers} == {len(read.texts) if usable is None else usable}
    assert all(its.why for its in read.numbers)
    json.dumps(read.to_json(), allow_nan=False)


def test_one_text_makes_a_film_of_one_point(start: Any) -> None:
    model = Model()
    film, folder = start(model, [{"anchor": "only", "positive": "only"}] * 40)
    play(film, model, 400, step_s=1.0)
    assert read_film(folder).texts == ("only",) and read_film(folder).distinct == 1


def test_hostile_texts_are_kept_as_they_are(start: Any) -> None:
    hostile = ["<script>alert(1)</script>", "a\u2028b\x00c", "\U0001f600 {{7*7}}", "'\"--", "x" * 900]
    rows = [{"anchor": f"{text} {place}", "positive": text} for place in range(20) for text in hostile]
    model = Model()
    film, folder = start(model, rows, film_frames=2)
    play(film, model, 400, step_s=1.0)
    assert set(read_film(folder).texts) <= {part for row in rows for part in row.values()}


# what is damaged or missing


def test_a_torn_or_missing_frame_is_left_out(start: Any) -> None:
    model = Model()
    film, folder = start(model, film_frames=5)
    play(film, model, 400, step_s=1.0)
    whole = (folder.film / "step-80.npy").read_bytes()
    (folder.film / "step-80.npy").write_bytes(whole[: len(whole) // 2])
    (folder.film / "step-160.npy").unlink()
    np.save(folder.film / "step-240.npy", np.zeros((2, 4), dtype=np.float16))
    (folder.film / "step-320.npy").write_bytes(b"")
    assert [moment.step for moment in read_film(folder).moments] == [0, 400]


@pytest.mark.parametrize("damage", ["", "[1]", '{"texts": 3}', '{"texts": ["a"', None])
def test_without_its_texts_there_is_no_film(start: Any, damage: str | None) -> None:
    model = Model()
    film, folder = start(model)
    play(film, model, 400, step_s=1.0)
    path = folder.film / "texts.json"
    path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(RunError, match="expected the film of run, but no frame of it has been kept"):
        read_film(folder)


def test_a_run_of_before_has_no_film_and_says_so(make_run: MakeRun) -> None:
    with pytest.raises(RunError, match=r"no frame of it has been kept; the first is taken before the first step"):
        _ = make_run(events=[step(1)]).film


def test_a_film_without_room_ends_and_the_run_does_not(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    film, folder = start(model)
    film.begin(model, 0, 400)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for number in range(1, 401):
        film.after_step(model, number, 0.0, float(number))
    film.end(model, 400, 0.0, 400.0)
    assert film.why == "its files could not be written (No space left on device)"
    assert [moment.step for moment in read_film(folder).moments] == [0]


# how much is looked at


@pytest.mark.parametrize(
    ("texts", "looked", "frames", "wanted"),
    [
        (2000, 10**9, 20, (2000, 21)),
        (2000, 21 * 500, 20, (500, 21)),
        (2000, 21 * 500, 1, (2000, 2)),
        (2000, 300, 20, (30, 10)),
        (2000, 16, 20, (8, 2)),
        (2000, 15, 20, (0, 0)),
        (5, 5 * 4, 20, (5, 4)),
        (1, 21, 20, (1, 21)),
    ],
)
def test_texts_and_looks_both_become_fewer_where_time_is_short(
    texts: int, looked: float, frames: int, wanted: tuple[int, int]
) -> None:
    count, looks = planned(texts, looked, frames)
    assert (count, looks) == wanted
    assert count * looks <= looked


@pytest.mark.parametrize(
    ("texts", "looked", "frames", "scored", "wanted"),
    [
        (2000, 10**9, 20, 6, (2000, 21)),
        (2000, 20 * 80, 20, 6, (80, 21)),
        (2000, 20 * 40, 20, 6, (61, 14)),
        (2000, 60 * 8, 20, 6, (60, 9)),
        (2000, 60 * 7, 20, 6, (2000, 6)),
        (2000, 0, 20, 6, (2000, 6)),
        (10, 10 * 7, 20, 6, (10, 8)),
        (2000, 10**9, 20, 40, (2000, 21)),
        (2000, 10**9, 4, 6, (2000, 5)),
        (1, 0, 20, 2, (1, 2)),
    ],
)
def test_moments_that_come_with_the_scores_stay_however_short_the_time(
    texts: int, looked: float, frames: int, scored: int, wanted: tuple[int, int]
) -> None:
    count, looks = planned(texts, looked, frames, scored)
    assert (count, looks) == wanted
    assert max(0, looks - scored) * count <= looked


@pytest.mark.parametrize(
    ("total", "looks", "scored", "wanted"),
    [
        (400, 21, [0, 400], list(range(0, 401, 20))),
        (400, 21, range(0, 401, 80), list(range(0, 401, 20))),
        (400, 9, range(0, 401, 80), [0, 40, 80, 120, 160, 200, 240, 320, 400]),
        (400, 5, range(0, 401, 40), [0, 80, 200, 280, 400]),
        (400, 4, [0, 390, 400], [0, 195, 390, 400]),
        (3, 21, [0, 1, 2, 3], [0, 1, 2, 3]),
        (1, 2, [0, 1], [0, 1]),
    ],
)
def test_moments_lie_as_evenly_as_those_of_the_scores_allow(
    total: int, looks: int, scored: Sequence[int], wanted: list[int]
) -> None:
    assert sorted(moments(total, looks, scored)) == wanted
