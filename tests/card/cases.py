"""What is done on the emulated card, each case in a fork of one process that has the libraries loaded.

python -m tests.card.cases LIBRARY FOLDER TABLE: what came out lies in FOLDER/NAME.json.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.card import device

OPTIONS: dict[str, dict[str, Any]] = {
    "in float32": {},
    "with prompts and accumulated gradients": {"prompts": {"anchor": "the "}, "gradient_accumulation_steps": 2},
    "with an adapter of low rank": {"lora": {"r": 4, "dropout": 0.0}},
    "with a cached loss": {"loss": ("CachedMultipleNegativesRankingLoss", {"mini_batch_size": 4})},
    "of vectors": {"method": "adapter"},
}  # fmt: skip


def recipe(folder: Path, **given: Any) -> Any:
    from workbench.recipe import Loss, Recipe

    name, parameters = given.pop("loss", ("MultipleNegativesRankingLoss", {}))
    settings = {
        "model": str(folder / "tiny"), "data": str(folder / "pairs.jsonl"), "loss": Loss(name, **parameters),
        "batch_size": 8, "max_steps": 6, "learning_rate": 1e-3, "save_steps": 4, "eval_steps": 3, "logging_steps": 1,
        "eval_share": 0.25, "precision": "fp32",
    }  # fmt: skip
    return Recipe(**{**settings, **given})


def run(folder: Path, place: str, given: Any) -> Any:
    """A run in this process."""
    import pytest

    from tests.training.test_on_gpu import here

    return here(given, folder / place, pytest.MonkeyPatch())


def told(made: Any) -> dict[str, Any]:
    """What a run says of itself."""
    from safetensors.numpy import load_file

    weights = made.model_folder.rglob("*.safetensors") if made.state == "finished" else []
    return {
        "state": made.state,
        "reason": made.status.reason,
        "device": made.events("started")[0]["device"],
        "steps": made.events("step"),
        "weights": {path.name + name: part.tolist() for path in weights for name, part in load_file(path).items()},
    }


def trained(folder: Path, where: str, name: str) -> Any:
    return told(run(folder, f"{name} on {where}", recipe(folder, device=where, **OPTIONS[name])))


def packed(folder: Path) -> Any:
    """A run in bfloat16 without padding, as the card's own kernel would compute it."""
    import pytest
    import torch

    from tests.kernel import install

    install(pytest.MonkeyPatch(), torch.bfloat16)
    return told(run(folder, "packed", recipe(folder, device="auto", precision="auto")))


def in_parts(folder: Path) -> Any:
    """A run in which no more than 40 places fit into one pass."""
    import torch
    from sentence_transformers import SentenceTransformer

    whole = SentenceTransformer.forward

    def forward(self: Any, features: dict[str, Any], **options: Any) -> Any:
        if torch.is_grad_enabled() and features["input_ids"].numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, features, **options)

    SentenceTransformer.forward = forward
    made = run(folder, "in parts", recipe(folder, device="cuda"))
    return {**told(made), "splits": len(made.events("split"))}


def resumed(folder: Path) -> Any:
    """A run that is stopped at its checkpoint and goes on."""
    import pytest

    from tests.training.test_on_gpu import stopped
    from workbench.training import worker

    made = stopped(recipe(folder, device="cuda"), folder / "stopped", pytest.MonkeyPatch())
    ended = made.state, made.status.step
    made.resume()
    worker.main([str(made.folder)])
    return {**told(made), "stopped": ended}


def beside(folder: Path) -> Any:
    """All that looks at vectors without training."""
    import numpy as np

    import workbench as wb

    texts = [json.loads(line)["anchor"] + f" {row}" for row, line in enumerate(open(folder / "pairs.jsonl"))]
    model, asked = str(folder / "tiny"), recipe(folder, device="cuda")
    space = wb.embed(texts, model)
    drawn = wb.project(space)
    compared = wb.compare(model, model, wb.load(asked.data))
    return {
        "norms": np.linalg.norm(space.vectors, axis=1).tolist(),
        "map": drawn.caption,
        "finite": bool(np.isfinite(drawn.xy).all()),
        "try": wb.try_adapter(asked).losses,
        "findings": [finding.code for finding in wb.check(asked)],
        "compared": type(compared).__name__,
    }


def script(folder: Path) -> Any:
    """The plain script of a recipe, as it stands."""
    import workbench as wb

    os.chdir(folder)
    text = str(wb.script(recipe(folder, device="auto", precision="auto", max_steps=2)))
    exec(compile(text, "script.py", "exec"), {"__name__": "__main__"})
    return {"script": text}


def measured(folder: Path) -> Any:
    """The benchmarks that are meant for a GPU, in their small form; what they say of time means nothing here."""
    from tests.benchmarks import encode, training

    said = {}
    for benchmark in (training, encode):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            benchmark.main(["--gpu", "--small"])
        said[benchmark.__name__] = json.loads(out.getvalue().splitlines()[-1])
    return said


def ops_of_a_step(folder: Path, card: Any, *, joined: bool) -> int:
    """What is computed on the card from the end of one step to the end of the next."""
    from workbench.training import loop

    if not joined:
        loop.JOIN_ON = set()
    ends: list[int] = []
    say = loop.Recorder.on_step_end

    def count(self: Any, *given: Any, **others: Any) -> None:
        ends.append(card.ops.total())
        say(self, *given, **others)

    loop.Recorder.on_step_end = count
    run(folder, f"counted {joined}", recipe(folder, device="cuda", max_steps=2, eval_share=0))
    return ends[1] - ends[0]


def main(library: str, words: str) -> None:
    device.load(library)
    folder = Path(words)
    for name in ("peft", "sentence_transformers", "transformers.trainer"):
        importlib.import_module(name)

    def case(name: str, work: Any, *, card: bool = True) -> None:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            return
        with open(folder / f"{name}.log", "w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            try:
                if card:
                    with device.put_in() as mode:
                        found = work(mode)
                else:
                    found = work(None)
                (folder / f"{name}.json").write_text(json.dumps(found))
            except BaseException:
                traceback.print_exc()
            log.flush()
            os._exit(0)  # the threads of a device that is none do not end by themselves

    for name in OPTIONS:
        case(f"{name} on cpu", lambda _, name=name: trained(folder, "cpu", name), card=False)
        case(f"{name} on cuda", lambda _, name=name: trained(folder, "cuda", name))
    for work in (packed, in_parts, resumed, beside, script, measured):
        case(work.__name__, lambda _, work=work: work(folder))
    for joined in (True, False):
        case(f"joined {joined}", lambda card, joined=joined: ops_of_a_step(folder, card, joined=joined))


if __name__ == "__main__":
    main(*sys.argv[1:])
