"""The script that repeats a run without the workbench."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.kernel import install
from tests.training.conftest import NOUNS, VERBS, weights
from workbench.cards.script import MERGE, PACKED, render, script
from workbench.data.load import load
from workbench.recipe import Loss, Recipe
from workbench.training.launch import train

WAIT_S = 240
MNRL = Loss("MultipleNegativesRankingLoss")
TABLES = (Path("train.parquet"), Path("eval.parquet"))
ROWS = load(pd.DataFrame({"text": ["a text"] * 48, "topic": ["many"] * 36 + ["few"] * 12}))
CUSTOM = textwrap.dedent(
    """
    import torch

    class MeanGap(torch.nn.Module):
        def __init__(self, model, gap=0.5, words="none"):
            super().__init__()
            self.model, self.gap, self.words = model, gap, words

        def forward(self, sentence_features, labels):
            first, second = [self.model(part)["sentence_embedding"] for part in sentence_features]
            return torch.nn.functional.relu(self.gap + (first - second).norm(dim=1)).mean()
    """
)


def rendered(
    model: str = "owner/base", tables: tuple[Path, Path | None] = TABLES, on: str = "cpu", **settings: Any
) -> str:
    """A script that is only read; nothing that it names has to exist."""
    recipe = Recipe(**{"model": model, "loss": MNRL, "data": "pairs.csv", **settings})
    return render(recipe, train=ROWS, tables=tables, model=model, device=on)


def named(text: str) -> dict[str, ast.expr]:
    """Expressions of a script by the name that they are assigned to."""
    compile(text, "script.py", "exec")
    assigned = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}


def settings_of(text: str) -> Mapping[str, Any]:
    """The training arguments that a script sets."""
    found: Mapping[str, Any] = ast.literal_eval(named(text)["settings"])
    return found


def calls(text: str) -> set[str]:
    """All calls of a script as code."""
    return {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pairs, some longer than the limit that the recipe below sets."""
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [{"anchor": f"the {n} {v}", "positive": f"a small {n} {v} in the house"} for n in NOUNS for v in VERBS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_script_alone_trains_to_bitwise_the_weights_of_the_run(
    tiny_bert: Path, pairs: Path, tmp_path: Path
) -> None:
    recipe = Recipe(
        model=str(tiny_bert),
        loss=MNRL,
        data=str(pairs),
        batch_size=4,
        gradient_accumulation_steps=2,
        batch_sampler="no_duplicates",
        prompts={"anchor": "the "},
        max_seq_length=6,
        max_steps=5,
        learning_rate=1e-3,
        device="cpu",
        seed=3,
        name="a name",
    )
    text = script(recipe, folder=tmp_path)
    assert not re.search(r"\b(import|from) workbench", text)
    (tmp_path / "script.py").write_text(text, encoding="utf-8")
    # away from this checkout and its path, so that the workbench could not come in unseen
    place = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WORKBENCH_HOME")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=place, capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    from safetensors.numpy import load_file

    alone = {name: value.tobytes() for name, value in load_file(tmp_path / "model" / "model.safetensors").items()}
    assert alone == weights(train(recipe, folder=tmp_path / "run").wait(WAIT_S))


def test_the_script_reads_the_rows_of_the_run_and_not_those_kept_for_evaluation(
    tiny_bert: Path, pairs: Path, tmp_path: Path
) -> None:
    from datasets import Dataset

    text = script(Recipe(model=str(tiny_bert), loss=MNRL, data=str(pairs), eval_share=0.25), folder=tmp_path)
    tables = [ast.literal_eval(node.args[0]) for node in (named(text)["train"], named(text)["evaluation"])]  # type: ignore[attr-defined]
    train_rows, held = (Dataset.from_parquet(table, cache_dir=str(tmp_path / "cache")) for table in tables)
    assert (len(train_rows), len(held)) == (36, 12)
    assert train_rows.column_names == ["anchor", "positive"]
    assert not {*train_rows["anchor"]} & {*held["anchor"]}
    assert script(Recipe(model=str(tiny_bert), loss=MNRL, data=str(pairs), eval_share=0.25), folder=tmp_path) == text


LOSSES: list[tuple[Loss, str]] = [
    (
        Loss("TripletLoss", distance_metric="COSINE", triplet_margin=0.3),
        "losses.TripletLoss(model, distance_metric=losses.TripletDistanceMetric.COSINE, triplet_margin=0.3)",
    ),
    (
        Loss("ContrastiveLoss", distance_metric="MANHATTAN", size_average=False),
        "losses.ContrastiveLoss(model, distance_metric=losses.SiameseDistanceMetric.MANHATTAN, size_average=False)",
    ),
    (
        Loss("BatchHardTripletLoss", distance_metric="euclidean_distance", margin=2),
        "losses.BatchHardTripletLoss(model, distance_metric=losses.BatchHardTripletLossDistanceFunction."
        "euclidean_distance, margin=2.0)",
    ),
    (Loss("BatchAllTripletLoss", margin=0.3), "losses.BatchAllTripletLoss(model, margin=0.3)"),
    (
        Loss("CachedMultipleNegativesRankingLoss", mini_batch_size=2, similarity_fct="dot_score", scale=5),
        "losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=2, "
        "similarity_fct=sentence_transformers.util.dot_score, scale=5.0)",
    ),
    (
        Loss("MatryoshkaLoss", loss=Loss("CoSENTLoss", scale=10), matryoshka_dims=[32, 8], matryoshka_weights=[1, 0.5]),
        "losses.MatryoshkaLoss(model, loss=losses.CoSENTLoss(model, scale=10.0), matryoshka_dims=[32, 8], "
        "matryoshka_weights=[1.0, 0.5])",
    ),
    (
        Loss("CosineSimilarityLoss", loss_fct="L1Loss", cos_score_transformation="Sigmoid"),
        "losses.CosineSimilarityLoss(model, loss_fct=torch.nn.L1Loss(), cos_score_transformation=torch.nn.Sigmoid())",
    ),
    (
        Loss("SoftmaxLoss", num_labels=3),
        "losses.SoftmaxLoss(model, embedding_dimension=model.get_embedding_dimension(), num_labels=3)",
    ),
    (
        Loss("GISTEmbedLoss", guide="GUIDE", margin_strategy="relative"),
        "losses.GISTEmbedLoss(model, guide=SentenceTransformer('GUIDE', device=model.device, model_kwargs={'dtype': torch.float32}).float(), margin_strategy='relative')",
    ),
    (
        Loss("MultipleNegativesRankingLoss", directions=["query_to_doc", "doc_to_query"], hardness_mode=None),
        "losses.MultipleNegativesRankingLoss(model, directions=('query_to_doc', 'doc_to_query'), hardness_mode=None)",
    ),
]


@pytest.mark.parametrize(("loss", "code"), LOSSES, ids=[loss.name for loss, _ in LOSSES])
def test_every_kind_of_loss_parameter_becomes_code_that_builds_the_loss(loss: Loss, code: str, tiny_bert: Path) -> None:
    import sentence_transformers
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    made = named(rendered(loss=loss))["loss"]
    assert ast.unparse(made) == code
    names = {
        "model": SentenceTransformer(str(tiny_bert), device="cpu"),
        "SentenceTransformer": lambda _, **settings: SentenceTransformer(str(tiny_bert), device="cpu"),
        "sentence_transformers": sentence_transformers,
        "losses": losses,
        "torch": torch,
    }
    assert type(eval(ast.unparse(made), names)).__name__ == loss.name


def test_a_loss_of_ones_own_brings_its_source_and_is_called_by_its_bare_name() -> None:
    text = rendered(loss=Loss("MeanGap", source=CUSTOM, gap=0.25, words="a'\"\n\\"))
    assert ast.unparse(named(text)["loss"]) == ast.unparse(ast.parse("MeanGap(model, gap=0.25, words='a\\'\"\\n\\\\')"))
    assert [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)] == ["MeanGap"]


def test_a_loss_of_ones_own_can_be_wrapped() -> None:
    inner = Loss("MeanGap", source=CUSTOM)
    text = rendered(loss=Loss("MatryoshkaLoss", loss=inner, matryoshka_dims=[32, 8]))
    assert ast.unparse(named(text)["loss"]) == (
        "losses.MatryoshkaLoss(model, loss=MeanGap(model), matryoshka_dims=[32, 8])"
    )
    assert "class MeanGap" in text


def test_a_loss_whose_source_begins_with_future_imports_still_compiles() -> None:
    source = f"from __future__ import annotations\n{CUSTOM}"
    assert ast.unparse(named(rendered(loss=Loss("MeanGap", source=source)))["loss"]) == "MeanGap(model)"


def test_a_function_given_to_a_loss_of_ones_own_is_code_and_not_text() -> None:
    source = textwrap.dedent(
        """
        import torch
        from torch import nn

        class Shaped(torch.nn.Module):
            def __init__(self, model, shape: nn.Module = nn.ReLU()):
                super().__init__()
                self.shape = shape
        """
    )
    text = rendered(loss=Loss("Shaped", source=source, shape="Sigmoid"))
    assert ast.unparse(named(text)["loss"]) == "Shaped(model, shape=torch.nn.Sigmoid())"


def test_settings_of_the_recipe_are_those_of_the_script() -> None:
    text = rendered(
        prompts={"anchor": 'it\'s "so": ', "positive": "\\\n"},
        max_seq_length=16,
        batch_size=7,
        learning_rate=0.25,
        optimizer="sgd",
        scheduler="cosine",
        warmup=3,
        seed=11,
        max_steps=9,
        precision="fp16",
    )
    given = settings_of(text)
    wanted = {
        "prompts": {"anchor": 'it\'s "so": ', "positive": "\\\n"},
        "per_device_train_batch_size": 7,
        "learning_rate": 0.25,
        "optim": "sgd",
        "lr_scheduler_type": "cosine",
        "warmup_steps": 3,
        "seed": 11,
        "max_steps": 9,
        "fp16": True,
        "report_to": "none",
    }
    assert {name: given[name] for name in wanted} == wanted
    assert "model.max_seq_length = 16" in text
    assert "set_seed(11)" in calls(text)


def as_code(text: str) -> dict[str, str]:
    """Settings of a script as they stand in it."""
    found = named(text)["settings"]
    assert isinstance(found, ast.Dict)
    keys = [ast.literal_eval(key) for key in found.keys if key is not None]
    return dict(zip(keys, map(ast.unparse, found.values), strict=True))


def test_a_script_for_a_gpu_finds_out_there_what_the_card_can_do() -> None:
    text = rendered(on="cuda")
    assert as_code(text)["bf16"] == "bf16" and as_code(text)["tf32"] == "bf16 or None"
    assert as_code(text)["accelerator_config"] == "{'non_blocking': True}"
    assert (as_code(text)["use_cpu"], as_code(text)["dataloader_pin_memory"]) == ("False", "True")
    assert ast.unparse(named(text)["device"]) == "'cuda'"
    assert "is_bf16_supported(including_emulation=False)" in ast.unparse(named(text)["bf16"])
    for name in ("bf16", "fp16"):
        asked = as_code(rendered(on="cuda", precision=name))
        assert asked[name] == "True" and "tf32" not in asked
    plain = as_code(rendered(on="cuda", precision="fp32"))
    assert (plain["bf16"], plain["fp16"], "tf32" in plain) == ("False", "False", False)


def test_a_script_for_any_device_takes_the_one_that_a_run_would_take() -> None:
    text = rendered(on="auto")
    assert ast.unparse(named(text)["device"]).startswith("'cuda' if torch.cuda.is_available() else 'mps' if")
    assert as_code(text)["use_cpu"] == "device == 'cpu'"
    assert as_code(text)["dataloader_pin_memory"] == "device == 'cuda'"
    assert as_code(text)["accelerator_config"] == "{'non_blocking': device == 'cuda'}"
    for other in ("cpu", "mps"):
        assert "device" not in named(rendered(on=other)) and "tf32" not in as_code(rendered(on=other))


def test_a_script_packs_batches_where_its_run_would() -> None:
    assert "set_attn_implementation" in rendered(on="cuda") and "set_attn_implementation" in rendered(on="auto")
    for on, settings in [
        ("cpu", {}),
        ("cuda", {"split_by_length": False}),
        ("cuda", {"precision": "fp32"}),
        ("auto", {"loss": Loss("GISTEmbedLoss", guide="owner/guide")}),
    ]:
        assert "set_attn_implementation" not in rendered(on=on, **settings)


def test_the_lines_that_pack_do_what_a_run_does(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    import transformers.utils
    from sentence_transformers import SentenceTransformer

    install(monkeypatch, torch.float32)
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: True)
    for bf16 in (False, True):
        model = SentenceTransformer(str(tiny_bert), device="cpu")
        exec(PACKED, {"model": model, "bf16": bf16})
        assert ("cu_seq_lens_q" in model.preprocess(["the cat", "a dog"])) is bf16


def test_without_a_gpu_a_script_for_any_device_trains_as_one_for_the_cpu(
    tiny_bert: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    saved = []
    for device in ("cpu", "auto"):
        recipe = Recipe(model=str(tiny_bert), loss=MNRL, data=str(pairs), max_steps=3, device=device)
        (tmp_path / device).mkdir()
        monkeypatch.chdir(tmp_path / device)
        exec(compile(script(recipe, folder=tmp_path), "script.py", "exec"), {"__name__": "__main__"})
        saved.append((tmp_path / device / "model" / "model.safetensors").read_bytes())
    assert saved[0] == saved[1]


@pytest.mark.parametrize("settings", [
    {"loss": Loss("MatryoshkaLoss", loss=MNRL, matryoshka_dims=[32, 24, 16, 12], n_dims_per_step=1)},
    {"loss": Loss("SoftmaxLoss", num_labels=3), "lora": {"r": 2, "target_modules": ["query"]}},
], ids=["draws dimensions", "begins at random"])  # fmt: skip
def test_the_script_draws_the_numbers_of_the_run_and_sees_whole_vectors(
    settings: dict[str, Any], tiny_bert: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    parts = [*SentenceTransformer(str(tiny_bert), device="cpu"), Dense(32, 32)]  # whose loading draws numbers too
    SentenceTransformer(modules=parts, device="cpu", truncate_dim=8).save_pretrained(str(tmp_path / "base"))
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    classes = [{"label": place % 3} if "lora" in settings else {} for place in range(len(rows))]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps({**row, **its}) + "\n" for row, its in zip(rows, classes, strict=True)))
    base = {"model": str(tmp_path / "base"), "data": str(table), "max_steps": 4, "batch_size": 4, "device": "cpu"}
    recipe = Recipe(**base, learning_rate=1e-2, **settings)
    monkeypatch.chdir(tmp_path)
    exec(compile(script(recipe, folder=tmp_path), "script.py", "exec"), {"__name__": "__main__"})
    run = train(recipe, folder=tmp_path / "run").wait(WAIT_S)
    for place in ("model.safetensors", "2_Dense/model.safetensors"):
        alone, there = (load_file(folder / place) for folder in (tmp_path / "model", run.model_folder))
        assert {name: value.tobytes() for name, value in alone.items()} == {
            name: value.tobytes() for name, value in there.items()
        }
    assert SentenceTransformer(str(tmp_path / "model"), device="cpu").truncate_dim == 8


def test_without_a_limit_prompts_or_held_out_rows_the_script_says_nothing_of_them() -> None:
    text = rendered(tables=(TABLES[0], None))
    assert "max_seq_length" not in text
    assert "add_adapter" not in text
    assert "evaluation" not in named(text)
    assert settings_of(text)["prompts"] is None


def test_low_rank_adaptation_is_in_the_script() -> None:
    text = rendered(lora={"r": 2, "alpha": 5, "dropout": 0.0, "target_modules": ["query", "it's"]})
    named(text)
    assert (
        "LoraConfig(task_type='FEATURE_EXTRACTION', r=2, lora_alpha=5, lora_dropout=0.0, "
        "target_modules=['query', \"it's\"])"
    ) in calls(text)
    assert "target_modules=None" in rendered(lora={"r": 2})


def test_the_script_saves_an_adapted_model_without_its_adapter(tiny_bert: Path, tmp_path: Path) -> None:
    from peft import LoraConfig
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer

    text = rendered(lora={"r": 2})
    assert text.endswith(f'trainer.train()\n{MERGE}model.save_pretrained("model")\n')
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    model.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["query"]))
    model.eval()
    adapted = model.encode(["the cat runs"])
    exec(MERGE, {"model": model})
    model.save_pretrained(str(tmp_path / "model"))
    names = [set(load_file(folder / "model.safetensors")) for folder in (tiny_bert, tmp_path / "model")]
    assert names[0] == names[1]
    saved = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(["the cat runs"])
    assert saved == pytest.approx(adapted, abs=1e-5)
    assert abs(saved - SentenceTransformer(str(tiny_bert), device="cpu").encode(["the cat runs"])).max() > 1e-3


HOSTILE = {
    "double quote": 'a"',
    "single quote": "a'",
    "backslash": "a\\",
    "triple quotes": 'x"""\nimport os\nos.abort()\n"""',
    "seven quotes": '"' * 7,
    "backslash before quotes": '\\"""\nos.abort()',
    "single triple quotes": "x''' + os.abort() + '''",
    "newline": "a\nos.abort()\n",
    "carriage return": "a\ros.abort()\r",
    "form feed": "a\fb",
    "null": "a\0b",
    "line separator": "a\u2028os.abort()",
    "next line": "a\x85os.abort()",
    "braces": "{os.abort()} {0}",
    "escape": "\\N{BULLET} \\x00 \\u12",
    "cut in the middle of quotes": "x" * 118 + '"""',
}


class Shape(ast.NodeTransformer):
    """Leaves everything of a script but the texts in it."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("text") if isinstance(node.value, str) else node


def shape(text: str) -> str:
    """The structure of a script without its texts."""
    return ast.dump(Shape().visit(ast.parse(text)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_name_from_outside_breaks_out_of_its_text(text: str) -> None:
    def made(word: str) -> str:
        return rendered(
            model=f"owner/{word}",
            tables=(Path(f"train{word}.parquet"), Path(f"eval{word}.parquet")),
            name=word[:120],
            data=f"{word}.csv",
            prompts={"anchor": word},
            lora={"r": 2, "target_modules": [word]},
            loss=Loss("GISTEmbedLoss", guide=word),
        )

    assert shape(made(text)) == shape(made("harmless"))
    model = named(made(text))["model"]
    assert isinstance(model, ast.Call)
    assert ast.literal_eval(model.args[0]) == f"owner/{text}"


def test_shares_are_those_of_the_steps_that_grouping_leaves() -> None:
    every = {"batch_size": 4, "warmup": 0.5, "logging_steps": 0.5}
    plain = settings_of(rendered(**every))
    grouped = settings_of(rendered(**every, batch_sampler="group_by_label"))
    assert (plain["warmup_steps"], plain["logging_steps"]) == (6, 6)
    assert (grouped["warmup_steps"], grouped["logging_steps"]) == (3, 3)  # 24 rows in pairs of both classes
