"""A linear adapter on kept vectors: tried here and now, or run like any other recipe."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loaded import Loaded
from tests.training.test_run import stop_after
from workbench.cards.script import script
from workbench.catalog import losses as catalog
from workbench.data.load import load
from workbench.errors import RecipeError
from workbench.recipe import Loss, Recipe
from workbench.spaces.engine import Ended
from workbench.training.adapter import LEARNING_RATE, as_adapter, try_adapter
from workbench.training.launch import train
from workbench.training.run import Run

Make = Callable[..., Recipe]
WAIT_S = 240
TEXTS = ["the cat runs", "a small tree grows in the house", "a river"]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def normalized(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with vectors of length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize

    folder = tmp_path_factory.mktemp("models") / "tiny-unit"
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    model.append(Normalize())
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def finished(recipe: Make, normalized: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run of an adapter."""
    made = recipe(model=str(normalized), method="adapter")
    return train(made, folder=tmp_path_factory.mktemp("runs") / "whole").wait(WAIT_S)


def encoded(folder: Path, texts: list[str] = TEXTS) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts)


# a run of such a recipe


def test_a_run_leaves_a_model_with_the_map_before_it_normalises(finished: Run) -> None:
    from sentence_transformers import SentenceTransformer

    assert finished.state == "finished"
    model = SentenceTransformer(str(finished.model_folder), device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Dense", "Normalize"]
    weight = model[2].linear.weight.detach().numpy()
    assert weight.shape == (32, 32) and model[2].linear.bias is None
    assert 0.001 < np.abs(weight - np.eye(32)).max() < 0.2
    assert np.linalg.norm(encoded(finished.model_folder), axis=1) == pytest.approx(1, abs=1e-5)


def test_only_the_map_differs_from_the_base_model(finished: Run, normalized: Path) -> None:
    from safetensors.numpy import load_file

    tuned, base = encoded(finished.model_folder), encoded(normalized)
    weight = load_file(finished.model_folder / "2_Dense" / "model.safetensors")["linear.weight"]
    assert np.abs(tuned - base).max() > 1e-3
    assert tuned == pytest.approx(unit(base @ weight.T), abs=1e-5)


def test_the_record_of_the_run_is_that_of_any_other(finished: Run) -> None:
    steps = finished.events("step")
    assert [event["step"] for event in steps] == [1, *range(2, 21, 2)]
    assert steps[-1]["loss"] < steps[0]["loss"] and all(event["grad_norm"] > 0 for event in steps)
    assert [event["step"] for event in finished.events("scores")] == [0, 10, 20]
    assert finished.events("probe"), "it is watched"
    scores = finished.scores or {}
    assert scores["change"]["delta"] and scores["after"]["rows"] > 0


def test_the_card_says_that_only_a_linear_adapter_was_trained_on_frozen_vectors(finished: Run) -> None:
    assert "1,024 of " in finished.card
    assert "linear adapter" in finished.card and "frozen base model" in finished.card
    assert "real tokens" not in finished.card
    assert "Dense({" in finished.card, "its architecture holds the map"
    assert str(finished.folder) not in finished.card


def test_a_checkpoint_holds_the_map_and_not_the_frozen_model(finished: Run) -> None:
    (checkpoint,) = finished.files.complete_checkpoints()
    weights = list(checkpoint.glob("*.safetensors"))
    assert [path.name for path in weights] == ["model.safetensors"]
    assert weights[0].stat().st_size < 32 * 32 * 4 + 1000


def test_an_adapter_on_a_model_that_has_one_leaves_that_in_its_place(
    recipe: Make, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = recipe(model=str(finished.model_folder), method="adapter", max_steps=3)
    run = train(second, folder=tmp_path / "second").wait(WAIT_S)
    parts = [part["type"].rpartition(".")[2] for part in json.loads((run.model_folder / "modules.json").read_text())]
    assert parts == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    there = encoded(run.model_folder)
    assert np.abs(there - encoded(finished.model_folder)).max() > 1e-3
    monkeypatch.chdir(tmp_path)
    exec(compile(script(run.recipe, folder=tmp_path), "script.py", "exec"), {"__name__": "__main__"})
    assert np.abs(there - encoded(tmp_path / "model")).max() < 1e-4


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    recipe: Make, normalized: Path, tmp_path: Path, finished: Run, loaded: Loaded
) -> None:
    with loaded.held_at(6):
        run = train(recipe(model=str(normalized), method="adapter"), folder=tmp_path / "run")
    stop_after(run, 6)
    assert (run.state, run.status.step) == ("stopped", 6)
    run.resume().wait(WAIT_S)
    assert run.state == "finished"
    assert np.array_equal(encoded(run.model_folder), encoded(finished.model_folder))


def test_a_try_gives_the_vectors_and_scores_of_the_run(finished: Run, normalized: Path) -> None:
    tried = try_adapter(finished.recipe, texts=TEXTS, resamples=1000)
    assert tried.after.vectors == pytest.approx(encoded(finished.model_folder), abs=1e-5)
    assert tried.before.vectors == pytest.approx(encoded(normalized), abs=1e-5)
    assert tried.change is not None and finished.scores is not None
    for part in ("before", "after"):
        kept = finished.scores[part]["scores"]
        got = getattr(tried.change, part).scores
        assert {name: score.value for name, score in got.items()} == pytest.approx(
            {name: score["value"] for name, score in kept.items()}, abs=1e-4
        )


def test_the_script_freezes_all_but_the_map_and_comes_to_the_same_vectors(finished: Run, tmp_path: Path) -> None:
    code = script(finished.recipe, folder=tmp_path)
    assert "requires_grad_(False)" in code and "workbench" not in code.replace(str(tmp_path), "")
    (tmp_path / "again.py").write_text(code)
    subprocess.run([sys.executable, "again.py"], cwd=tmp_path, check=True, capture_output=True)
    assert encoded(tmp_path / "model") == pytest.approx(encoded(finished.model_folder), abs=1e-5)


# a try


@pytest.mark.parametrize("limit", [None, 4])
def test_what_was_scored_is_what_the_saved_model_encodes_without_normalising(
    recipe: Make, tmp_path: Path, limit: int | None
) -> None:
    made = recipe(method="adapter", max_seq_length=limit, prompts={"anchor": "the old "}, max_steps=5)
    run = train(made, folder=tmp_path / "run").wait(WAIT_S)
    tried = try_adapter(run.recipe, texts=TEXTS)
    assert encoded(run.model_folder) == pytest.approx(tried.after.vectors, abs=1e-5)
    assert not np.allclose(np.linalg.norm(tried.after.vectors, axis=1), 1, atol=1e-2)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_text_has_the_vectors_of_training_and_of_encoding_each_in_its_place(
    recipe: Make, tiny_bert: Path, tmp_path: Path, pooled: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    from workbench.training.stand_in import stand_in

    base = SentenceTransformer(
        str(tiny_bert), device="cpu", prompts={"query": "small house "}, default_prompt_name="query"
    )
    base.set_pooling_include_prompt(pooled)
    base.save_pretrained(str(tmp_path / "prompted"))
    made = recipe(model=str(tmp_path / "prompted"), method="adapter", prompts={"anchor": "the old "})
    model = stand_in(made, [load(made.data.source)], "cpu", "cpu")
    for prompt in (None, "the old "):  # training puts nothing before a text but what the recipe says
        there, here = (part(part.preprocess(TEXTS, prompt=prompt))["sentence_embedding"] for part in (base, model))
        assert here.detach().numpy() == pytest.approx(there.detach().numpy(), abs=1e-5)
    assert model.space(TEXTS).vectors == pytest.approx(base.encode(TEXTS), abs=1e-5)
    assert model.space(TEXTS, prompt="the old ").vectors == pytest.approx(
        base.encode(TEXTS, prompt="the old "), abs=1e-5
    )


def test_a_static_model_can_have_an_adapter(recipe: Make, tiny_static: Path) -> None:
    tried = try_adapter(recipe(model=str(tiny_static), method="adapter"))
    assert tried.steps == 20 and tried.weights == 32 * 32
    assert np.abs(tried.after.vectors - tried.before.vectors).max() > 1e-3


def test_the_same_try_twice_is_the_same_and_another_parameter_is_not(recipe: Make) -> None:
    def tried(scale: float) -> np.ndarray:
        made = recipe(method="adapter", loss=Loss("MultipleNegativesRankingLoss", scale=scale), weight_decay=0.01)
        return try_adapter(made, texts=TEXTS).after.vectors

    first = tried(20.0)
    assert np.array_equal(first, tried(20.0))
    assert not np.array_equal(first, tried(1.0))


def test_texts_are_encoded_once(recipe: Make, monkeypatch: pytest.MonkeyPatch, workbench_home: Path) -> None:
    from workbench.training import stand_in

    made, calls = recipe(method="adapter", eval_share=0.2), []
    monkeypatch.setattr(
        stand_in,
        "embed",
        lambda *given, encode=stand_in.embed, **options: calls.append(given) or encode(*given, **options),
    )
    stand_in._frozen.cache_clear()
    try_adapter(made)
    assert len(calls) == 1
    try_adapter(made.changed(learning_rate=0.01))
    assert len(calls) == 1


def test_a_try_leaves_the_random_numbers_and_threads_of_the_process_alone(recipe: Make) -> None:
    import torch

    def state() -> tuple[object, ...]:
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
        )

    before = state()
    try_adapter(recipe(method="adapter", max_steps=2))
    assert state() == before


@pytest.mark.parametrize("source", ["tiny_bert", "normalized"])
def test_a_model_that_cuts_its_vectors_is_given_a_map_of_whole_ones_and_cuts_them_after_it(
    source: str, recipe: Make, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    from workbench.training.stand_in import stand_in

    whole = SentenceTransformer(str(request.getfixturevalue(source)), device="cpu", truncate_dim=8)
    whole.save_pretrained(str(tmp_path / "cut"))
    made = recipe(model=str(tmp_path / "cut"), method="adapter")
    model = stand_in(made, [load(made.data.source)], "cpu", "cpu")
    np.testing.assert_allclose(model.space(TEXTS).vectors, whole.encode(TEXTS), atol=1e-6)
    with torch.no_grad():
        model.adapter.linear.weight.copy_(torch.randn(32, 32))
    wanted = model.space(TEXTS).vectors
    tuned = model.put_into(SentenceTransformer(str(tmp_path / "cut"), device="cpu"))
    assert wanted.shape == (3, 8)
    np.testing.assert_allclose(tuned.encode(TEXTS), wanted, atol=1e-5)


def test_a_try_tells_its_texts_and_its_steps(recipe: Make, workbench_home: Path) -> None:
    from workbench.training import stand_in

    stand_in._frozen.cache_clear()
    told: list[tuple[str, int, int]] = []
    tried = try_adapter(recipe(method="adapter", max_steps=5), progress=lambda *now: told.append(now))
    steps = [now for now in told if now[0] == "training"]
    assert steps == [("training", number, 5) for number in range(1, 6)] and tried.steps == 5
    texts = [now for now in told if now[0] == "encoding texts"]
    assert texts and texts[-1][1] == texts[-1][2] and told == texts + steps


@pytest.mark.parametrize(("phase", "done"), [("training", 2), ("encoding texts", 1)])
def test_what_a_progress_raises_ends_a_try_and_the_next_is_what_it_always_is(
    recipe: Make, workbench_home: Path, phase: str, done: int
) -> None:
    import torch

    from workbench.training import stand_in

    made = recipe(method="adapter", max_steps=5)
    wanted = try_adapter(made, texts=TEXTS)
    stand_in._frozen.cache_clear()
    for path in workbench_home.rglob("*.npy"):
        path.unlink()
    told, before = [], (random.getstate(), torch.get_rng_state().tolist(), torch.get_num_threads())

    def stop(*now: Any) -> None:
        told.append(now)
        if now[0] == phase and now[1] >= done:
            raise Ended

    with pytest.raises(Ended):
        try_adapter(made, texts=TEXTS, progress=stop)
    assert told[-1][0] == phase and (phase != "training" or told[-1][1] == 2)
    assert (random.getstate(), torch.get_rng_state().tolist(), torch.get_num_threads()) == before
    assert np.array_equal(try_adapter(made, texts=TEXTS).after.vectors, wanted.after.vectors)


def test_a_long_table_is_sampled_and_the_note_says_so(recipe: Make) -> None:
    tried = try_adapter(recipe(method="adapter", max_steps=None, epochs=1), rows=12)
    assert "trained on a sample of 12 of 43 rows, seed 42" in tried.note
    assert tried.steps == 3
    assert "sample of 12" in repr(tried)


def test_without_rows_to_score_there_is_no_change_but_vectors(recipe: Make) -> None:
    tried = try_adapter(recipe(method="adapter", eval_share=0.0, max_steps=2))
    assert tried.change is None
    assert len(tried.after) > 0 and tried.after.texts == tried.before.texts
    assert tried.to_json()["scores"] is None


def test_the_facts_of_a_try_are_plain_json(recipe: Make) -> None:
    told = try_adapter(recipe(method="adapter", max_steps=4)).to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["steps"] == 4 and len(told["losses"]) == 2
    assert set(told["scores"]) == {"before", "after", "change"}


def test_a_full_recipe_is_tried_as_an_adapter_with_a_rate_for_one(recipe: Make) -> None:
    made = as_adapter(recipe(learning_rate=2e-5, gradient_checkpointing=True, lora={"r": 4}))
    assert (made.method, made.learning_rate, made.lora, made.gradient_checkpointing) == (
        "adapter",
        LEARNING_RATE,
        None,
        False,
    )
    assert as_adapter(recipe(learning_rate=0.2)).learning_rate == 0.2
    told = recipe(method="adapter", learning_rate=2e-5)
    assert as_adapter(told) is told


def test_what_is_no_recipe_is_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="expected a Recipe, got dict; read a file with"):
        try_adapter({})


# which losses


def table_for(name: str, folder: Path) -> tuple[Path, dict[str, object]]:
    """A small table that suits a loss, and the settings that it wants."""
    info = catalog.get(name)
    shape = info.shapes[0] if not info.wraps else None
    texts = 2 if shape is None else max(shape.texts_min, 2 if shape.texts_max != 1 else 1)
    kind = "none" if shape is None else shape.label
    if name == "DistillKLDivLoss":
        texts = 3
    rows = []
    words = "cat dog bird fish tree river stone house cell gene star atom".split()
    for place, word in enumerate(words):
        row: dict[str, object] = {
            f"text_{column}": f"the {word} {'runs' if column == 0 else 'sleeps'} {'abcdef'[column]}"
            for column in range(texts)
        }
        label = {
            "class": place % 3,
            "binary": place % 2,
            "score": place / 12,
            "scores": [place / 12] * (texts - 1),
            "embedding": [float(place == column) for column in range(32)],
            "any": place % 3,
        }.get(kind)
        if name == "DistillKLDivLoss":
            label = [0.1 * place, 0.5]
        if label is not None:
            row["label" if kind in ("class", "binary", "any") else "score"] = label
        rows.append(row)
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, {
        "batch_sampler": info.sampler,
        "batch_size": 4,
        "max_steps": 2,
        "eval_share": 0.0,
        "learning_rate": 0.01,
    }


@pytest.mark.parametrize("name", catalog.losses())
def test_every_loss_of_the_catalogue_trains_an_adapter_or_is_refused_in_a_sentence(
    name: str, tiny_bert: Path, tmp_path: Path
) -> None:
    info = catalog.get(name)
    given = {"num_labels": 3} if name == "SoftmaxLoss" else {}
    given |= {
        parameter.name: str(tiny_bert)
        for parameter in info.parameters
        if parameter.kind == "model" and parameter.required
    }
    if info.wraps:
        given |= {"loss": Loss("MultipleNegativesRankingLoss")}
        given |= {"matryoshka_dims": [32, 16]} if info.parameter("matryoshka_dims") else {}
    path, settings = table_for(name, tmp_path)

    def make() -> Recipe:
        return Recipe(
            loss=Loss(name, **given),
            data=load(path).spec,
            model=str(tiny_bert),
            device="cpu",
            method="adapter",
            **settings,
        )

    if catalog.no_adapter(name, given):
        with pytest.raises(
            RecipeError, match=f"loss: .*{name}.* finished vectors; take another loss, or set method: full"
        ):
            make()
        return
    tried = try_adapter(make(), texts=TEXTS)
    assert tried.steps == 2
    assert np.isfinite(tried.after.vectors).all()
    assert np.abs(tried.after.vectors - tried.before.vectors).max() > 1e-5, "it moved"


def test_the_refused_losses_are_those_that_need_layers_tokens_or_another_model() -> None:
    refused = [name for name in catalog.losses() if catalog.no_adapter(name, {})]
    assert refused == [
        "AdaptiveLayerLoss",
        "CachedGISTEmbedLoss",
        "DenoisingAutoEncoderLoss",
        "GISTEmbedLoss",
        "Matryoshka2dLoss",
    ]
