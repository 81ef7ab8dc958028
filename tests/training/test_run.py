"""Runs as a user meets them: real worker processes on a tiny model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.loaded import Loaded
from tests.training.conftest import NOUNS, VERBS, weights
from workbench.errors import DataError, ModelError, RecipeError, RunError
from workbench.recipe import Loss, Recipe
from workbench.training.launch import read_recipe, runs, train
from workbench.training.run import Run, attach

Make = Callable[..., Recipe]
WAIT_S = 240


def until(run: Run, what: Callable[[], object]) -> None:
    """Wait until something is so, or the run ends."""
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, f"{run}\n{run.log()}"
        assert run.state in ("starting", "running"), f"{run}\n{run.log()}"
        time.sleep(0.02)


def stop_after(run: Run, step: int) -> Run:
    """Stop a run that is held at a step."""
    until(run, lambda: step in [event["step"] for event in run.events("step")])
    return run.stop().wait(WAIT_S)


def kinds(run: Run) -> list[tuple[str, int | None]]:
    """(kind, step) of the events that tell of the training itself."""
    return [
        (event["kind"], event.get("step"))
        for event in run.events()
        if event["kind"] in ("step", "scores", "checkpoint")
    ]


@pytest.fixture(scope="module")
def finished(recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run."""
    return train(recipe(), folder=tmp_path_factory.mktemp("runs") / "whole").wait(WAIT_S)


def test_a_run_leaves_a_model_a_card_scores_and_a_complete_record(finished: Run) -> None:
    assert finished.state == "finished"
    steps = [event for event in finished.events("step")]
    assert [event["step"] for event in steps] == [1, *range(2, 21, 2)]
    assert all(event["loss"] > 0 and event["grad_norm"] > 0 for event in steps)
    assert steps[-1]["reference"] == pytest.approx(1.386, abs=1e-3), "ln 4: four candidates"
    assert 0 < steps[-1]["tokens"] <= steps[-1]["padded_tokens"]
    assert [event["step"] for event in finished.events("scores")] == [0, 10, 20]
    assert finished.scores is not None and set(finished.scores) >= {"before", "after", "change"}
    assert (finished.model_folder / "README.md").is_file()
    assert len(finished.files.complete_checkpoints()) == 1
    assert attach(finished.folder).recipe == finished.recipe


def test_a_stopped_run_keeps_a_usable_model_and_resumes_to_bitwise_the_same_weights(
    finished: Run, recipe: Make, tmp_path: Path, loaded: Loaded
) -> None:
    with loaded.held_at(4):
        run = train(recipe(), folder=tmp_path / "stopped")
    stop_after(run, 4)
    assert run.state == "stopped"
    assert run.status.step == 4
    assert weights(run) != weights(finished)
    run.resume().wait(WAIT_S)
    assert run.state == "finished"
    assert run.status.attempt == 2
    assert weights(run) == weights(finished)
    steps = [event["step"] for event in run.events("step")]
    assert steps == [event["step"] for event in finished.events("step")], "no event lost or doubled"
    assert [event["loss"] for event in run.events("step")] == [event["loss"] for event in finished.events("step")]
    assert [event["tokens"] for event in run.events("step")] == [event["tokens"] for event in finished.events("step")]
    rows = [line for line in run.card.splitlines() if line.startswith("|") and "| 1 " in line]
    assert rows, "the card keeps the log from before the resume"


def test_a_killed_run_is_seen_as_died_and_resumes_to_bitwise_the_same_weights(
    finished: Run, recipe: Make, tmp_path: Path, loaded: Loaded
) -> None:
    with loaded.killed_at(8):
        run = train(recipe(), folder=tmp_path / "killed")
    with pytest.raises(RunError, match=r"its process is gone.*resume"):
        run.wait(WAIT_S)
    assert run.state == "died"
    run.resume().wait(WAIT_S)
    assert weights(run) == weights(finished)
    assert kinds(run) == kinds(finished)


def test_a_run_outlives_the_process_that_started_it_and_has_the_weights_of_any_other_of_its_recipe(
    finished: Run, recipe: Make, tmp_path: Path
) -> None:
    path = recipe().to_yaml(tmp_path / "recipe.yaml")
    code = f"from workbench.training.launch import train, read_recipe; train(read_recipe({str(tmp_path / 'recipe.yaml')!r}), folder={str(tmp_path / 'orphan')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
    assert path
    run = attach(tmp_path / "orphan").wait(WAIT_S)
    assert run.state == "finished"
    assert weights(run) == weights(finished)
    assert kinds(run) == kinds(finished)


def test_the_folder_of_a_live_run_is_refused_and_so_is_resuming_it(
    recipe: Make, tmp_path: Path, loaded: Loaded
) -> None:
    with loaded.held_at(1):
        run = train(recipe(), folder=tmp_path / "live")
    until(run, lambda: run.status.pid is not None)
    with pytest.raises(RunError, match=f"holds a run that is .* in process {run.status.pid}"):
        train(recipe(), folder=tmp_path / "live")
    with pytest.raises(RunError, match="stop it first"):
        run.resume()
    stop_after(run, 1)
    assert not psutil.pid_exists(run.status.pid or 0) or run.state == "stopped"


def test_a_loss_that_is_not_finite_stops_the_run_with_its_reason_and_finite_weights(
    recipe: Make, tmp_path: Path
) -> None:
    run = train(
        recipe(
            learning_rate=99.0,
            max_grad_norm=0,
            warmup=0,
            scheduler="constant",
            optimizer="sgd",
            loss=Loss("MultipleNegativesRankingLoss", scale=1e30),
        ),
        folder=tmp_path / "nan",
    ).wait(WAIT_S)
    assert run.state == "stopped"
    assert "; the weights of step" in run.status.reason
    (found,) = [finding for finding in run.findings if finding.code == "not-finite"]
    assert found.message.rstrip(".") in run.status.reason
    from safetensors.numpy import load_file

    assert all((value == value).all() for value in load_file(run.model_folder / "model.safetensors").values())
    assert "NaN" not in run.files.events.read_text()


def test_a_loss_from_a_cell_reaches_the_worker_and_its_source_is_kept(recipe: Make, tmp_path: Path) -> None:
    source = textwrap.dedent(
        """
        import torch

        class MeanGap(torch.nn.Module):
            def __init__(self, model, gap=0.5):
                super().__init__()
                self.model = model
                self.gap = gap

            def forward(self, sentence_features, labels):
                first, second = [self.model(part)["sentence_embedding"] for part in sentence_features]
                return torch.nn.functional.relu(self.gap + (first - second).norm(dim=1)).mean()
        """
    )
    mine = recipe(loss={"name": "MeanGap", "source": source, "gap": 0.25})
    with pytest.raises(RecipeError, match=r"brings Python code for MeanGap.*trust"):
        train(mine, folder=tmp_path / "untrusted")
    assert not (tmp_path / "untrusted").exists()
    run = train(mine, folder=tmp_path / "trusted", trust_code=True).wait(WAIT_S)
    assert run.state == "finished"
    assert "class MeanGap" in run.files.loss.read_text()
    assert "MeanGap" in run.card


def test_lora_trains_a_small_share_and_saves_a_model_without_an_adapter(recipe: Make, tmp_path: Path) -> None:
    run = train(recipe(lora={"r": 2, "target_modules": ["query", "value"]}), folder=tmp_path / "lora").wait(WAIT_S)
    assert "by LoRA of rank 2, merged" in run.card
    base = train(recipe(max_steps=1, learning_rate=1e-9), folder=tmp_path / "base").wait(WAIT_S)
    assert weights(run).keys() == weights(base).keys()
    from workbench.spaces.encode import embed

    assert abs(embed(["the cat runs"], run).vectors - embed(["the cat runs"], base).vectors).max() > 1e-5


def test_a_matryoshka_run_over_triplets_with_sgd_prompts_and_accumulation_ends(recipe: Make, tmp_path: Path) -> None:
    settings = {
        "loss": Loss(
            "MatryoshkaLoss",
            loss=Loss("CachedMultipleNegativesRankingLoss", mini_batch_size=2),
            matryoshka_dims=[32, 16],
        ),
        "optimizer": "sgd",
        "scheduler": "constant",
        "prompts": {"anchor": "the "},
        "gradient_accumulation_steps": 2,
        "max_seq_length": 16,
        "max_steps": 4,
        "batch_sampler": "no_duplicates",
    }
    run = train(recipe(**settings), folder=tmp_path / "many").wait(WAIT_S)
    assert run.state == "finished"
    assert "2 accumulated = 8 rows a step" in run.card


@pytest.mark.parametrize(
    ("label", "settings"),
    [
        ("classifier", {"loss": Loss("SoftmaxLoss", num_labels=3)}),
        ("adapter", {"lora": {"r": 2, "target_modules": ["query"]}}),
        ("accumulated", {"gradient_accumulation_steps": 3, "batch_sampler": "no_duplicates"}),
    ],
)
def test_what_trains_beside_the_model_is_resumed_as_well(
    label: str, settings: dict[str, object], recipe: Make, pairs: Path, tmp_path: Path, loaded: Loaded
) -> None:
    if label == "classifier":
        rows = [json.loads(line) for line in pairs.read_text().splitlines()]
        labelled = tmp_path / "labelled.jsonl"
        labelled.write_text("".join(json.dumps({**row, "label": place % 3}) + "\n" for place, row in enumerate(rows)))
        settings = {**settings, "data": str(labelled), "eval_share": 0.0}
    whole = train(recipe(**settings), folder=tmp_path / "whole").wait(WAIT_S)
    with loaded.held_at(6):
        run = train(recipe(**settings), folder=tmp_path / "parts")
    stop_after(run, 6)
    assert run.state == "stopped"
    run.resume().wait(WAIT_S)
    assert weights(run) == weights(whole)


def test_a_static_model_is_trained_and_its_tokens_are_counted(tiny_static: Path, recipe: Make, tmp_path: Path) -> None:
    run = train(recipe(model=str(tiny_static), learning_rate=0.1), folder=tmp_path / "static").wait(WAIT_S)
    last = run.events("step")[-1]
    assert last["reference"] == pytest.approx(1.386, abs=1e-3)
    assert last["tokens"] == last["padded_tokens"] > 0


def test_classes_by_name_are_trained_and_scored_by_their_neighbours(recipe: Make, tmp_path: Path) -> None:
    table = tmp_path / "topics.csv"
    lines = [
        f"the {noun} {verb},{'animal' if noun in ('cat', 'dog', 'bird', 'fish') else 'thing'}"
        for noun in NOUNS
        for verb in VERBS
    ]
    table.write_text("text,topic\n" + "\n".join(lines) + "\n")
    settings = {"loss": Loss("BatchAllTripletLoss", margin=0.3), "batch_sampler": "group_by_label", "data": str(table)}
    run = train(recipe(**settings), folder=tmp_path / "classes").wait(WAIT_S)
    assert run.scores is not None and run.scores["after"]["task"] == "labels"


def test_the_table_of_runs_is_newest_first_with_scores(finished: Run, recipe: Make) -> None:
    train(recipe(max_steps=1), folder=finished.folder.parent / "newer").wait(WAIT_S)
    table = runs(finished.folder.parent)
    assert list(table["run"]) == ["newer", "whole"]
    assert list(table["state"]) == ["finished", "finished"]
    assert table["after"].notna().all()


def test_export_packs_model_card_and_recipe(finished: Run, tmp_path: Path) -> None:
    path = finished.export(tmp_path / "run.zip")
    names = zipfile.ZipFile(path).namelist()
    assert {"recipe.yaml", "model/README.md", "model/model.safetensors", "scores.json"} <= set(names)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "nobody/nothing"}, ModelError, "hub cannot be reached"),
        ({"data": "missing.csv"}, DataError, "missing.csv"),
        ({"loss": Loss("TripletLoss")}, DataError, "TripletLoss does not suit"),
        ({"loss": Loss("CoSENTLoss")}, DataError, "CoSENTLoss does not suit"),
    ],
)
def test_a_mistake_is_told_before_a_folder_is_made(
    recipe: Make, tmp_path: Path, change: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        train(recipe(**change), folder=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    assert not list(tmp_path.glob(".bad*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_without_room_is_refused_before_the_start(recipe: Make, small_disk: Path) -> None:
    with pytest.raises(RunError, match="MB of free disk for checkpoints and model"):
        train(recipe(), folder=small_disk / "run")
    assert not list(small_disk.iterdir())


def test_a_disk_that_fills_up_during_the_run_is_told_and_leaves_no_half_written_folder(
    recipe: Make, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training.launch.ROOM_FOR", 0.0)
    run = train(recipe(), folder=small_disk / "run")
    with pytest.raises(RunError, match="the disk is full; free some space and resume"):
        run.wait(WAIT_S)
    assert run.state == "failed"
    assert not run.files.unfinished_model.exists()
    assert all((path / "complete.json").exists() for path in run.files.checkpoints.iterdir())


def test_a_read_only_folder_is_refused(recipe: Make, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RunError, match="cannot be written; choose another place"):
        train(recipe(), folder=small_disk / "run")


def test_a_recipe_file_with_mistakes_of_every_kind_names_them_all(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: nobody/nothing\nloss: {name: TripletLos}\ndata: missing.csv\nbatch_size: 0\nepoch: 2\nprecision: fp8\n"
    )
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    text = str(caught.value)
    for words in ("nobody/nothing", "TripletLoss", "missing.csv", "batch_size", "epochs", "fp8"):
        assert words in text


def test_changed_data_is_noticed_on_resume(recipe: Make, pairs: Path, tmp_path: Path, loaded: Loaded) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text(pairs.read_text())
    with loaded.held_at(2):
        run = train(recipe(data=str(mine)), folder=tmp_path / "moved")
    stop_after(run, 2)
    mine.write_text(pairs.read_text() + json.dumps({"anchor": "new", "positive": "newer"}) + "\n")
    with pytest.raises(RunError, match="put the old file back"):
        run.resume().wait(WAIT_S)


def test_another_base_model_is_noticed_on_resume(recipe: Make, tiny_bert: Path, tmp_path: Path, loaded: Loaded) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "base")
    with loaded.held_at(2):
        run = train(recipe(model=str(folder), lora={"r": 2, "target_modules": ["query"]}), folder=tmp_path / "run")
    stop_after(run, 2)
    shutil.copy(run.model_folder / "model.safetensors", folder)  # the base model is trained on in its place
    with pytest.raises(RunError, match=r"expected the base model .*got another .*put the old one back"):
        run.resume().wait(WAIT_S)
    shutil.copy(tiny_bert / "model.safetensors", folder)
    assert run.resume().wait(WAIT_S).state == "finished"
