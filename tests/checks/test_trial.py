"""One batch that is tried: what it measures, what its numbers say, and when it is left out."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from tests.checks.tables import labelled, pairs, recipe, scored, triplets
from workbench.catalog import losses as catalog
from workbench.checks import before
from workbench.checks import trial as module
from workbench.checks.case import Case
from workbench.checks.finding import Finding
from workbench.checks.trial import tried
from workbench.checks.trial_batch import Sample, Trial, judge, sample_of, try_batch
from workbench.checks.trial_findings import duration, findings_of, forecast
from workbench.data.load import load
from workbench.data.prepare import settled
from workbench.errors import ModelError, RecipeError
from workbench.recipe import DEFAULT_MODEL, Loss, Recipe

MNRL = "MultipleNegativesRankingLoss"
GOOD = Trial(Sample(64, 128, 0, 0, 0.1, 0.2, 20.0, 0), 8, (9, 9), 1.0, math.log(8), 0.5, 3.0, 0.25, None, "cpu (1 threads)")  # fmt: skip


def case_of(given: Recipe) -> Case:
    return Case.of(given, lambda *_: None)


def tried_here(given: Recipe) -> tuple[Trial, list[Finding]]:
    """A batch that is tried in this process, and what its numbers say."""
    case = case_of(given)
    trial = try_batch(settled(given, case.train))
    assert trial is not None
    return trial, findings_of(case, trial)


def said(given: Recipe, **numbers: Any) -> list[Finding]:
    """What a sound batch with other numbers says, after making sure that each is plain and says its basis."""
    sample = {name: numbers.pop(name) for name in list(numbers) if hasattr(GOOD.sample, name) and name != "rows"}
    found = findings_of(case_of(given), replace(GOOD, sample=replace(GOOD.sample, **sample), **numbers))
    for finding in found:
        written = json.loads(json.dumps(finding.to_json(), allow_nan=False))
        assert written["evidence"]["measured_on"] and finding.message.endswith(".") and finding.why.endswith(".")
        assert bool(finding.fixed) == (written["fix"] is not None)
    return found


@pytest.fixture
def changed(tiny_bert: Path, tmp_path: Path) -> Callable[[Callable[[str, torch.Tensor], torch.Tensor]], Path]:
    """Makes a copy of the tiny BERT with other weights."""

    def make(change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(tiny_bert, folder)
        file = folder / "model.safetensors"
        weights = {name: change(name, values).contiguous() for name, values in load_file(file).items()}
        save_file(weights, file, {"format": "pt"})
        return folder

    return make


def constant(name: str, values: torch.Tensor) -> torch.Tensor:
    """Layer normalisations that forget what they normalise."""
    if "LayerNorm" not in name:
        return values
    return torch.ones_like(values) if name.endswith("bias") else torch.zeros_like(values)


# a real batch


@pytest.mark.parametrize("loss", [MNRL, "TripletLoss", "CachedMultipleNegativesRankingLoss"])
def test_a_sound_batch_says_nothing_and_is_measured(tiny_bert: Path, loss: str) -> None:
    parameters = {"triplet_margin": 0.5, "distance_metric": "COSINE"} if loss == "TripletLoss" else {}
    trial, found = tried_here(recipe(tiny_bert, triplets(), Loss(loss, **parameters)))
    assert [finding.code for finding in found] == []
    assert (trial.rows, len(trial.tokens), trial.sample.rows) == (8, 3, 64)
    assert trial.loss > 0 and trial.gradient > 0 and trial.seconds > 0 and trial.memory is None
    assert trial.sample.texts > 100 and trial.sample.not_finite == trial.sample.zero == 0
    assert trial.device.startswith("cpu (")


def test_every_kind_of_table_and_model_can_be_tried(tiny_static: Path, tiny_bert: Path) -> None:
    grouped = recipe(tiny_bert, labelled(["x", "y"] * 60), "BatchAllTripletLoss", batch_sampler="group_by_label")
    for given in (recipe(tiny_static, pairs(), learning_rate=0.2), grouped, recipe(tiny_bert, scored([n / 60 for n in range(60)]), "CoSENTLoss")):  # fmt: skip
        trial, found = tried_here(given)
        assert not [finding for finding in found if finding.severity != "note"]
        assert math.isfinite(trial.loss) and trial.gradient > 0


def test_it_repeats_itself(tiny_bert: Path) -> None:
    given = recipe(tiny_bert, pairs())
    first, second = (tried_here(given)[0] for _ in range(2))
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)


def test_prompts_and_the_limit_are_those_of_the_run(tiny_bert: Path) -> None:
    plain, _ = tried_here(recipe(tiny_bert, pairs()))
    short, _ = tried_here(recipe(tiny_bert, pairs(), max_seq_length=5))
    prompted, _ = tried_here(recipe(tiny_bert, pairs(), prompts={"anchor": "red fish "}))
    assert short.tokens == (5, 5)
    assert prompted.tokens == (plain.tokens[0] + 2, plain.tokens[1])
    assert prompted.sample.cosine != plain.sample.cosine


def test_a_model_that_leaves_the_prompt_out_of_its_vectors_is_judged_without_it(tiny_bert: Path) -> None:
    model = SentenceTransformer(str(tiny_bert), device="cpu")
    given, table = recipe(tiny_bert, pairs(), prompts={"anchor": "red fish "}), load(pairs())
    whole = sample_of(model, given, table)
    model.set_pooling_include_prompt(False)
    assert sample_of(model, given, table).cosine != whole.cosine


def test_a_zeroed_model_is_an_error_and_what_follows_from_it_is_not_said_twice(
    changed: Callable[..., Path],
) -> None:
    folder = changed(lambda _, values: torch.zeros_like(values))
    trial, found = tried_here(recipe(folder, pairs()))
    assert [(finding.code, finding.severity) for finding in found] == [("vectors-zero", "error")]
    assert f"gives all {trial.sample.texts} texts the vector 0" in found[0].message and "NaN" in found[0].message
    assert trial.gradient == 0 and trial.loss == pytest.approx(math.log(8))


def test_a_constant_model_is_an_error_that_warns_of_scores_out_of_noise(changed: Callable[..., Path]) -> None:
    _, found = tried_here(recipe(changed(constant), pairs()))
    assert [(finding.code, finding.severity) for finding in found] == [("vectors-alike", "error")]
    assert "mean cosine 1.0000, effective rank 1.00" in found[0].message
    assert "finite Spearman correlation that means nothing" in found[0].why


def test_a_model_that_overflows_is_an_error(changed: Callable[..., Path]) -> None:
    folder = changed(lambda name, values: values * 3e38 if "embeddings.LayerNorm" in name else values)
    _, found = tried_here(recipe(folder, pairs()))
    assert [(finding.code, finding.severity) for finding in found] == [("vectors-not-finite", "error")]


def test_a_batch_without_rows_is_refused_in_a_sentence(tiny_bert: Path) -> None:
    with pytest.raises(RecipeError, match=r"expected batches to train on, got none.*lower batch_size"):
        try_batch(recipe(tiny_bert, pairs(20), batch_size=64, drop_last=True))


def test_a_device_that_is_not_here_is_not_tried(tiny_bert: Path) -> None:
    assert try_batch(recipe(tiny_bert, pairs(20), device="mps")) is None or torch.backends.mps.is_available()


# what numbers say


def test_sound_numbers_say_nothing(tiny_bert: Path) -> None:
    assert said(recipe(tiny_bert, pairs(64))) == []


@pytest.mark.parametrize(
    ("numbers", "code", "severity", "words"),
    [
        ({"not_finite": 3, "cosine": None, "rank": None, "deviation": None}, "vectors-not-finite", "error", "gives 3 of 128 texts"),
        ({"zero": 2}, "vectors-zero", "warning", "2 of 128 texts the vector 0"),
        ({"deviation": 5e-8}, "vectors-alike", "error", "standard deviation 5.0e-08"),
        ({"rank": 1.0}, "vectors-alike", "error", "effective rank 1.00"),
        ({"cosine": 0.995}, "vectors-alike", "warning", "mean cosine 0.9950"),
        ({"alike": 16}, "positives-alike", "note", "16 of 64 sampled rows (25%)"),
        ({"loss": 2.09, "accuracy": 0.125}, "loss-of-guessing", "warning", "2.090 where guessing has 2.079, and 12%"),
        ({"loss": 0.003}, "nothing-to-learn", "note", "is 0.003 before any step"),
        ({"loss": math.nan, "gradient": math.nan}, "gradient-not-finite", "error", "stops at its first step"),
        ({"gradient": math.inf}, "gradient-not-finite", "error", "norm inf"),
        ({"gradient": 0.0}, "gradient-zero", "warning", "exactly 0 at a loss of 1,"),
        ({"gradient": 346.0}, "gradient-huge", "warning", "norm 346, 346 times the 1 "),
        ({"seconds": 300.0}, "long-run", "note", "At 5 min a step the 7 training steps take about 35 min on cpu"),
    ],
)  # fmt: skip
def test_each_number_that_is_off_is_one_finding(
    tiny_bert: Path, numbers: dict[str, Any], code: str, severity: str, words: str
) -> None:
    given = recipe(tiny_bert, pairs(72), max_steps=7)
    (finding,) = said(given, **numbers)
    assert (finding.code, finding.severity) == (code, severity)
    assert words in finding.message


@pytest.mark.parametrize(
    "numbers",
    [
        {"cosine": 0.95, "rank": 1.4},  # a BERT with random weights, which learns
        {"deviation": 0.0, "cosine": 1.0, "rank": 1.0, "texts": 4},
        {"alike": 3},
        {"alike": 60, "cosine": 0.7},  # a model for which all texts are much alike
        {"loss": 2.09, "accuracy": 0.9},  # a small scale, not a useless model
        {"loss": 1.5, "accuracy": 0.125},
        {"loss": 0.003, "line": None},  # of such a loss nobody knows what is small
        {"loss": 0.0, "gradient": 0.0, "line": None},
        {"gradient": 99.0},
        {"seconds": 200.0},
    ],
)
def test_numbers_that_sound_runs_have_say_nothing(tiny_bert: Path, numbers: dict[str, Any]) -> None:
    assert said(recipe(tiny_bert, pairs(72), max_steps=7), **numbers) == []


def test_without_clipping_and_without_in_batch_negatives_less_is_said(tiny_bert: Path) -> None:
    assert said(recipe(tiny_bert, pairs(64), max_grad_norm=0), gradient=1e6) == []
    given = recipe(tiny_bert, triplets(64), Loss("TripletLoss", triplet_margin=0.5))
    assert said(given, loss=0.5, line=0.5, accuracy=0.0, alike=60) == []


def test_a_long_run_is_cut_to_half_an_hour(tiny_bert: Path) -> None:
    given = recipe(tiny_bert, pairs(72), epochs=100, gradient_accumulation_steps=2)
    (finding,) = said(given, seconds=60.0)
    mended = finding.fix()
    assert mended is not None and mended.max_steps == 15
    assert said(mended, seconds=60.0) == []


def test_the_forecast_counts_every_pass_of_every_step(tiny_bert: Path) -> None:
    given = recipe(tiny_bert, pairs(72), max_steps=7, gradient_accumulation_steps=3)
    assert forecast(case_of(given), GOOD) == pytest.approx(7 * 3 * 0.25)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0.001 s"), (0.04, "0.04 s"), (1.24, "1.2 s"), (43.4, "43 s"), (1500, "25 min"), (9000, "2.5 h")],
)
def test_durations_are_given_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_positives_that_say_the_same_are_counted_once_a_row_and_equal_texts_are_left_to_others() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    vector_of = {"a": one, "b": other, "c": one, "yes": one, "yes!": one * 2, "no": other, "": other * 0}
    columns = [["a", "b", "c", "c", "b"], ["yes", "yes!", "no", "yes", "no"]]
    # rows 1 and 2, 2 and 4; rows 1 and 4, and 3 and 5, have the same text
    assert judge(columns, vector_of).alike == 3
    assert judge(columns[:1], vector_of).alike == 0
    assert judge(columns, vector_of).texts == 6 and judge(columns, vector_of).zero == 0


# where it is tried, and when not


class Here:
    """Stands in for the process: works at once, or never answers."""

    def __init__(self, error: BaseException | None = None, answers: bool = True) -> None:
        self.error, self.answers, self.asked, self.killed = error, answers, 0, 0

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        self.asked += 1
        job: Future[Any] = Future()
        if self.error:
            job.set_exception(self.error)
        elif self.answers:
            job.set_result(function(*arguments))
        return job

    def kill(self) -> None:
        self.killed += 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Here]]:
    def use(**settings: Any) -> Here:
        engine = Here(**settings)
        monkeypatch.setattr(module, "_engine", lambda: engine)
        return engine

    yield use


def test_what_was_tried_and_its_forecasts_stand_in_about(
    tiny_bert: Path, here: Callable[..., Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    here()
    monkeypatch.setattr(before, "CHECKS", ())
    about = before.check(recipe(tiny_bert, pairs())).about
    assert "; one batch of 8 rows was tried on cpu (" in about
    assert " s a step, so about " in about and " for 21 steps, and about 0.6" in about and about.endswith("of memory")
    assert "LoRA left out: " in before.check(recipe(tiny_bert, pairs(), lora={"r": 4})).about
    assert "tried" not in before.check(recipe(tiny_bert, pairs()), batch=False).about


def test_the_packaged_model_is_tried_only_when_asked(here: Callable[..., Here]) -> None:
    engine = here()
    given = Recipe(model=DEFAULT_MODEL, loss=Loss(MNRL), data="glossary/qa")
    try:
        case = case_of(given)
        _ = case.model
    except ModelError as error:
        pytest.skip(str(error))
    found, words = tried(case, None, [])
    assert found == [] and engine.asked == 0
    assert "are known to be sound; check(recipe, batch=True) tries one" in words
    assert tried(case, False, []) == ([], "") and engine.asked == 0


def test_nothing_is_tried_before_errors_are_mended_unless_asked(tiny_bert: Path, here: Callable[..., Here]) -> None:
    engine = here()
    case = case_of(recipe(tiny_bert, pairs(40)))
    assert tried(case, None, [Finding("made-up", "error", "Wrong.")])[1] == "no batch was tried, since made-up has to be mended first"  # fmt: skip
    assert tried(case_of(recipe(tiny_bert, pairs(40), "TripletLoss")), True, [])[1].endswith("the loss does not suit the table")  # fmt: skip
    assert engine.asked == 0
    tried(case, None, [Finding("made-up", "warning", "Odd.")])
    tried(case, True, [Finding("made-up", "error", "Wrong.")])
    assert engine.asked == 2


def test_source_that_nobody_trusts_is_not_run_and_trusted_source_is(tiny_bert: Path, here: Callable[..., Here]) -> None:
    engine = here()
    source = f"""
import torch

class Own(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
        open({str(tiny_bert.parent / "ran")!r}, "w").close()

    def forward(self, sentence_features, labels):
        first, second = [self.model(part)["sentence_embedding"] for part in sentence_features]
        return (first - second).norm(dim=1).mean()
"""
    case = case_of(recipe(tiny_bert, pairs(40), Loss("Own", source=source)))
    assert "Python code for Own, which is not run before somebody has read and trusted it" in tried(case, True, [])[1]
    assert engine.asked == 0 and not (tiny_bert.parent / "ran").exists()
    catalog.trust(source)
    found, words = tried(case, None, [])
    assert found == [] and words.startswith("one batch of 8 rows was tried") and (tiny_bert.parent / "ran").exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory")])
def test_a_batch_that_does_not_fit_is_taken_in_parts_by_the_run(
    tiny_bert: Path, here: Callable[..., Here], error: Exception
) -> None:
    here(error=error)
    case = case_of(recipe(tiny_bert, pairs(40)))
    (finding,), about = tried(case, None, [])
    assert (finding.code, finding.severity) == ("not-enough-memory", "warning")
    assert "8 rows does not fit into memory whole, so the run will take its batches in parts" in finding.message
    assert about == "one batch was tried, and did not fit into memory"
    assert tried(case, True, [finding]) == ([], about), "it is said once"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModelError("expected finite weights in /m, but w holds NaN; fetch it again"), "The first batch fails: expected finite weights in /m, but w holds NaN; fetch it again."),
        (IndexError("index out of\nrange in self"), "The first batch fails: IndexError: index out of range in self."),
        (BrokenProcessPool(), "was killed, most likely for want of memory; lower batch_size"),
    ],
)  # fmt: skip
def test_what_stops_the_batch_would_stop_the_run(
    tiny_bert: Path, here: Callable[..., Here], error: Exception, words: str
) -> None:
    here(error=error)
    (finding,), about = tried(case_of(recipe(tiny_bert, pairs(40))), None, [])
    assert (finding.code, finding.severity) == ("batch-fails", "error")
    assert words in finding.message and about == "one batch was tried, and failed"


def test_a_batch_that_takes_too_long_is_given_up(
    tiny_bert: Path, here: Callable[..., Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = here(answers=False)
    monkeypatch.setattr(module, "WAIT_S", 0.0)
    monkeypatch.setattr(module, "TELL_S", 0.001)
    found, about = tried(case_of(recipe(tiny_bert, pairs(40))), None, [])
    assert found == [] and about.startswith("one batch was tried, but given up after 0 s") and engine.killed == 1


def test_whoever_waits_can_stop_it(tiny_bert: Path, here: Callable[..., Here], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = here(answers=False)
    monkeypatch.setattr(module, "TELL_S", 0.001)

    def stop(what: str, done: int, total: int | None) -> None:
        if what == "trying one batch":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        tried(Case.of(recipe(tiny_bert, pairs(40)), stop), None, [])
    assert engine.killed == 1


def test_a_size_in_the_place_of_yes_or_no_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(RecipeError, match=r"batch: expected True, False or None.*got 16; for the size"):
        tried(case_of(recipe(tiny_bert, pairs(40))), 16, [])  # type: ignore[arg-type]


def test_a_plain_script_runs_once_and_loads_no_torch_while_another_process_tries_the_batch(
    tiny_bert: Path, tmp_path: Path
) -> None:
    pairs(40).to_csv(tmp_path / "pairs.csv", index=False)
    script = tmp_path / "script.py"
    script.write_text(f"""
import os, sys
open({str(tmp_path / "times")!r}, "a").write("x")
from workbench.checks import trial
from workbench.checks.case import Case
from workbench.recipe import Loss, Recipe
case = Case.of(Recipe(model={str(tiny_bert)!r}, loss=Loss({MNRL!r}), data={str(tmp_path / "pairs.csv")!r}), lambda *_: None)
print(trial.tried(case, None, []))
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
import psutil
held = psutil.Process(trial._engine().pid)
trial._engine().kill()
print(psutil.wait_procs([held], 20)[1])
""")
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, timeout=600)
    words, modules, lives = done.stdout.splitlines()
    assert words.startswith("([], 'one batch of 16 rows was tried on ") and modules == "[]" and lives == "[]"
    assert (tmp_path / "times").read_text() == "x"  # the process that tried it did not run the script
