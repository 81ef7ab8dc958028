"""What a recipe means has to be the same from any folder, and mistakes that can be known make no folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from huggingface_hub import constants

from tests.loaded import Loaded
from tests.training.conftest import NOUNS, VERBS, weights
from tests.training.test_run import until
from workbench.cards.script import script
from workbench.catalog import models
from workbench.catalog.scratch import make_bert
from workbench.checks.before import check
from workbench.data.load import load
from workbench.data.prepare import settled
from workbench.errors import ModelError, RecipeError, RunError
from workbench.recipe import Loss, Recipe
from workbench.training import launch, worker
from workbench.training.launch import runs, train
from workbench.training.lora import add_lora
from workbench.training.run import attach

Make = Callable[..., Recipe]
WAIT_S = 240


def questions() -> pandas.DataFrame:
    rows = [(f"the {noun} {verb}", f"a small {noun} {verb}") for noun in NOUNS for verb in VERBS]
    return pandas.DataFrame(rows, columns=["question", "answer"])


def test_a_relative_path_means_the_same_from_another_folder(
    recipe: Make, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs.parent)
    run = train(recipe(data=pairs.name, max_steps=2), folder=tmp_path / "run").wait(WAIT_S)
    assert run.recipe.data.source == str(pairs)
    assert str(tmp_path) not in run.card
    assert str(pairs.parent) not in run.card


def test_rows_in_memory_stay_with_the_run_wherever_it_is_moved(
    recipe: Make, tmp_path: Path, workbench_home: Path, loaded: Loaded
) -> None:
    with loaded.held_at(1):
        run = train(recipe(data=load(questions()), max_steps=6, eval_share=0.0), folder=tmp_path / "run")
    run.stop().wait(WAIT_S)
    shutil.rmtree(workbench_home / "tables")
    moved = tmp_path / "elsewhere"
    shutil.move(run.folder, moved)
    again = attach(moved)
    assert again.state == "stopped"
    again.resume().wait(WAIT_S)
    assert again.state == "finished"
    whole = train(recipe(data=load(questions()), max_steps=6, eval_share=0.0), folder=tmp_path / "whole").wait(WAIT_S)
    assert weights(again) == weights(whole)
    assert str(tmp_path) not in again.card


def test_prompts_by_the_names_of_the_columns_reach_the_texts(recipe: Make, tmp_path: Path) -> None:
    settings = {"data": load(questions()), "max_steps": 1, "eval_share": 0.0}
    plain = train(recipe(**settings), folder=tmp_path / "plain").wait(WAIT_S)
    prompted = train(recipe(**settings, prompts={"question": "the old "}), folder=tmp_path / "prompted").wait(WAIT_S)
    first, second = (run.events("step")[0]["tokens"] for run in (plain, prompted))
    assert second == first + 2 * 4
    with pytest.raises(RecipeError, match=r"prompts: expected names of columns .*got 'nocol'"):
        train(recipe(**settings, prompts={"nocol": "x"}), folder=tmp_path / "bad")


def test_a_run_of_one_step_learns_something_and_says_its_rate(recipe: Make, tmp_path: Path) -> None:
    run = train(recipe(max_steps=1, eval_share=0.0), folder=tmp_path / "one").wait(WAIT_S)
    assert run.events("step")[0]["learning_rate"] == pytest.approx(1e-3)
    from safetensors.numpy import load_file

    base = load_file(Path(run.recipe.model) / "model.safetensors")
    assert any(
        value.tobytes() != base[name].tobytes()
        for name, value in load_file(run.model_folder / "model.safetensors").items()
        if name in base
    )


def test_scores_of_a_teacher_train_and_are_judged_as_triplets(recipe: Make, tmp_path: Path) -> None:
    rows = [(f"the {noun}", f"a small {noun}", f"a {verb} star", [0.9, 0.1]) for noun in NOUNS for verb in VERBS]
    data = load(pandas.DataFrame(rows, columns=["query", "positive", "negative", "score"]))
    run = train(recipe(data=data, loss=Loss("DistillKLDivLoss"), max_steps=3), folder=tmp_path / "teacher").wait(WAIT_S)
    assert run.scores is not None and run.scores["after"]["task"] == "triplets"


def test_batches_that_cannot_be_filled_are_told(recipe: Make, tmp_path: Path) -> None:
    same = load(pandas.DataFrame({"anchor": ["the cat"] * 9, "positive": ["a dog"] * 9}))
    settings = {"data": same, "batch_sampler": "no_duplicates", "drop_last": True, "max_steps": None, "eval_share": 0.0}
    with pytest.raises(RunError, match="expected batches to train on, got none"):
        train(recipe(**settings), folder=tmp_path / "none").wait(WAIT_S)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"drop_last": True, "batch_size": 500}, "drop_last leaves out smaller batches"),
        ({"max_seq_length": 5000}, "at most the 64 positions"),
        (
            {"loss": Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[99, 8])},
            "at most the 32 dimensions",
        ),
        ({"report_to": ["no such tracker"]}, "report_to"),
        ({"lora": {"r": 2}, "model": "static"}, "lora: expected none, since .* has no layers to adapt"),
    ],
)
def test_what_cannot_work_is_told_before_a_folder_is_made(
    settings: dict[str, object], words: str, recipe: Make, tiny_static: Path, tmp_path: Path
) -> None:
    if settings.get("model") == "static":
        settings = {**settings, "model": str(tiny_static)}
    with pytest.raises(RecipeError, match=words):
        train(recipe(**settings), folder=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_model_that_the_loss_brings_is_looked_for_before_and_means_the_same_from_another_folder(
    recipe: Make, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Loss("MatryoshkaLoss", loss=Loss("GISTEmbedLoss", guide="not/here/at/all"), matryoshka_dims=[32])
    with pytest.raises(ModelError, match="got 'not/here/at/all'"):
        train(recipe(loss=missing), folder=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    monkeypatch.chdir(tiny_bert.parent)
    near = recipe(loss=missing.with_models(lambda _: tiny_bert.name))
    assert settled(near, load(near.data)).loss.models == (str(tiny_bert),)


def test_a_revision_is_what_the_run_its_card_its_checks_and_its_script_read(
    recipe: Make, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    old = "b" * 40  # the only one that is here, as after a download that named it
    folder = shutil.copytree(tiny_bert, tmp_path / "models--owner--tiny" / "snapshots" / old)
    # in this process, whose cache is another
    monkeypatch.setattr(launch, "start_worker", lambda place: worker.main([str(place.path)]))
    given = recipe(model="owner/tiny", revision=old, max_steps=1)
    run = train(given, folder=tmp_path / "run")
    assert run.state == "finished", run.status.reason
    assert f"fingerprint `{models.fingerprint(folder)}`, local Hub cache" in run.card
    assert f"<!-- at revision {old} -->" in run.card
    for code in (run.card, script(given, folder=tmp_path)):
        assert f"SentenceTransformer('owner/tiny', revision='{old}', device=" in code
    assert not {"error", "note"} & {finding.severity for finding in check(given, batch=False)}


def test_layers_that_peft_does_not_know_are_named(tiny_bert: Path, recipe: Make) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_bert), device="cpu")
    words = r"lora.target_modules: expected some of dense, key, query, value, got \['q_lin'\]"
    with pytest.raises(RecipeError, match=words):
        add_lora(model, recipe(lora={"r": 2, "target_modules": ["q_lin"]}))


def test_a_model_with_ways_for_each_kind_of_text_is_refused_before_a_folder_is_made(
    recipe: Make, tiny_bert: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    ways = [list(SentenceTransformer(str(tiny_bert), device="cpu")) for _ in range(2)]
    routed = Router.for_query_document(query_modules=ways[0], document_modules=ways[1])
    SentenceTransformer(modules=[routed], device="cpu").save_pretrained(str(tmp_path / "routed"))
    with pytest.raises(RecipeError, match=r"has a way for each kind of text \(a Router\)"):
        train(recipe(model=str(tmp_path / "routed")), folder=tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_a_copied_folder_of_a_live_run_is_not_alive(recipe: Make, tmp_path: Path, loaded: Loaded) -> None:
    with loaded.held_at(1):
        run = train(recipe(), folder=tmp_path / "live")
    until(run, lambda: run.events("step"))
    shutil.copytree(run.folder, tmp_path / "copy")
    assert attach(tmp_path / "copy").state == "died"
    assert run.state == "running"
    run.stop().wait(WAIT_S)


def test_a_run_without_scores_is_listed_without_a_bare_nan(recipe: Make, tmp_path: Path) -> None:
    train(recipe(max_steps=1, eval_share=0.0), folder=tmp_path / "runs" / "one").wait(WAIT_S)
    assert "nan" not in runs(tmp_path / "runs").to_string().lower()


def test_a_bert_from_scratch_trains_and_notices_a_flipped_byte(recipe: Make, tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert", questions()["answer"], dimension=16)
    run = train(recipe(model=str(folder), max_steps=2), folder=tmp_path / "run").wait(WAIT_S)
    assert run.state == "finished"
    weights_file = folder / "model.safetensors"
    content = bytearray(weights_file.read_bytes())
    content[-5] ^= 1
    weights_file.write_bytes(content)
    with pytest.raises(ModelError, match="the weights are damaged"):
        train(recipe(model=str(folder)), folder=tmp_path / "damaged")


def test_what_is_no_recipe_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected a Recipe, got str; read a file with"):
        train("recipe.yaml", folder=tmp_path / "bad")  # type: ignore[arg-type]
