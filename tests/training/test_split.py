"""A batch that does not fit into memory: the same loss and gradients in parts."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.catalog import losses, models
from workbench.errors import RunError
from workbench.recipe import Loss, Recipe
from workbench.spaces.lean import Lean
from workbench.training import split, worker
from workbench.training.launch import train
from workbench.training.run import Run
from workbench.training.split import Split

TEXTS = [
    "the cat runs", "a dog sleeps in the old stone house of the small green tree", "a bird", "the blue fish and the red river",
    "star", "the cell of the gene grows and the gene of the cell burns", "the small tree", "a large new atom flows in the star",
]  # fmt: skip

Make = Callable[..., Recipe]
GUIDE = "the model itself"


class Machine:
    """A model on a machine where no more than so many places fit into one pass that is trained."""

    def __init__(self, folder: Path, *, dropout: float = 0.0, lean: bool = True) -> None:
        self.folder = folder
        self.model = models.load(folder, device="cpu")
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        if lean:
            self.model.forward = Lean(self.model)
        self.fits: int = 10**9
        self.fits_back: int = 10**9
        self.passes: list[int] = []
        self.model[0].register_forward_pre_hook(self._watch)

    def _watch(self, _: Any, given: tuple[dict[str, Any]]) -> None:
        size = given[0]["input_ids"].numel()
        self.passes.append(size)
        if torch.is_grad_enabled() and size > self.fits:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {size} places")

    def features(self, texts: list[str]) -> dict[str, Any]:
        return dict(self.model.preprocess(texts))


def batch(machine: Machine, columns: int) -> dict[str, Any]:
    """As the trainer gives it: names with the column before them."""
    made = {}
    for column in range(columns):
        texts = TEXTS[column:] + TEXTS[:column]
        made |= {f"text_{column}_{name}": value for name, value in machine.features(texts).items()}
    return made


def columns_of(given: dict[str, Any]) -> list[dict[str, Any]]:
    names = sorted({name.split("_")[1] for name in given})
    return [{name.split("_", 2)[2]: value for name, value in given.items() if name.split("_")[1] == of} for of in names]


def step(machine: Machine, loss: torch.nn.Module, columns: int, label: Any, told: list[Any], splitter: Split) -> float:
    """One step as the trainer makes it."""
    given = batch(machine, columns)
    random.seed(columns)  # a loss draws layers of it

    def whole() -> torch.Tensor:
        value = loss(columns_of(given), label)
        value.backward()
        if sum(machine.passes) > machine.fits_back:
            machine.fits_back = 10**9
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return value.detach()

    return float(splitter.step(given, whole, contextlib.nullcontext, lambda: told.append("again")))


def made(machine: Machine, loss: Loss, told: list[Any]) -> tuple[torch.nn.Module, Split]:
    built = losses.build(loss.name, guided(loss, machine.folder).parameters, machine.model)
    splitter = Split(machine.model, built, lambda *said: told.append(said))
    return built, splitter


def guided(loss: Loss, folder: Path) -> Loss:
    """A loss whose guide is the model itself."""
    given = dict(loss.parameters)
    if "loss" in given:
        given["loss"] = guided(given["loss"], folder)
    return Loss(loss.name, **{name: str(folder) if value == GUIDE else value for name, value in given.items()})


def gradients(machine: Machine, loss: torch.nn.Module) -> dict[str, torch.Tensor]:
    named = {**dict(machine.model.named_parameters()), **{f"loss.{name}": weight for name, weight in loss.named_parameters()}}  # fmt: skip
    return {name: weight.grad.clone() for name, weight in named.items() if weight.grad is not None}


def close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys() and ours
    for name, gradient in theirs.items():
        assert torch.allclose(ours[name], gradient, atol=1e-5, rtol=1e-4), name


LOSSES = [
    (Loss("MultipleNegativesRankingLoss"), 3, None),
    (Loss("TripletLoss"), 3, None),
    (Loss("CoSENTLoss"), 2, torch.linspace(0, 1, 8)),
    (Loss("SoftmaxLoss", num_labels=3), 2, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    (Loss("BatchAllTripletLoss"), 1, torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])),
    (Loss("MatryoshkaLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32, 8]), 2, None),
    (Loss("CachedMultipleNegativesRankingLoss", mini_batch_size=4), 2, None),
    (Loss("AdaptiveLayerLoss", loss=Loss("MultipleNegativesRankingLoss")), 3, None),
    (Loss("AdaptiveLayerLoss", loss=Loss("CoSENTLoss"), n_layers_per_step=-1), 2, torch.linspace(0, 1, 8)),
    (Loss("Matryoshka2dLoss", loss=Loss("MultipleNegativesRankingLoss"), matryoshka_dims=[32, 8]), 2, None),
    (Loss("ContrastiveTensionLoss"), 2, torch.tensor([0, 1, 0, 1, 1, 0, 1, 0])),
    (Loss("ContrastiveTensionLossInBatchNegatives"), 1, None),
    (Loss("GISTEmbedLoss", guide=GUIDE, margin=0.01), 3, None),
    (Loss("CachedGISTEmbedLoss", guide=GUIDE, margin=0.01, mini_batch_size=4), 2, None),
    (Loss("AdaptiveLayerLoss", loss=Loss("GISTEmbedLoss", guide=GUIDE, margin=0.01)), 2, None),
]


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize(("loss", "columns", "label"), LOSSES, ids=lambda value: getattr(value, "name", None))
def test_a_batch_in_parts_has_the_loss_and_the_gradients_of_the_whole(
    loss: Loss, columns: int, label: Any, lean: bool, tiny_bert: Path
) -> None:
    roomy, small = Machine(tiny_bert, lean=lean), Machine(tiny_bert, lean=lean)
    told: list[Any] = []
    whole, at_once = made(roomy, loss, told)
    expected = step(roomy, whole, columns, label, told, at_once)
    assert not told, "what fits is not split"
    torch.manual_seed(1)
    small.fits = 20
    parted, splitter = made(small, loss, told)
    parted.load_state_dict(whole.state_dict())
    assert step(small, parted, columns, label, told, splitter) == pytest.approx(expected, abs=1e-5)
    close(gradients(small, parted), gradients(roomy, whole))
    sizes = [said[1] for said in told if said != "again"]
    assert sizes and sizes == sorted(sizes, reverse=True), "parts get smaller until they fit"
    assert all("CUDA out of memory" in said[2] for said in told if said != "again")
    assert told.count("again") == len(sizes)


def test_a_guide_that_does_not_fit_beside_the_parts_is_taken_in_parts_too(tiny_bert: Path) -> None:
    loss = Loss("GISTEmbedLoss", guide=GUIDE, margin=0.01)
    roomy, small, told = Machine(tiny_bert), Machine(tiny_bert), list[Any]()
    whole, at_once = made(roomy, loss, told)
    expected = step(roomy, whole, 2, None, told, at_once)
    parted, splitter = made(small, loss, told)

    def full(_: Any, given: tuple[dict[str, Any]]) -> None:
        if given[0]["input_ids"].numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")

    parted.guide[0].register_forward_pre_hook(full)
    assert step(small, parted, 2, None, told, splitter) == pytest.approx(expected, abs=1e-5) and told
    close(gradients(small, parted), gradients(roomy, whole))


def test_later_batches_go_in_parts_at_once_and_smaller_ones_whole(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert), list[Any]()
    machine.fits = 40
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    step(machine, loss, 2, None, told, splitter)
    first, found = len(told), splitter.most
    step(machine, loss, 2, None, told, splitter)
    assert len(told) == first and splitter.most == found
    machine.passes.clear()
    few = machine.features(["star", "cat"])
    splitter.step(few, lambda: machine.model(few), contextlib.nullcontext, lambda: None)
    assert len(machine.passes) == 1


def test_the_second_pass_drops_out_what_the_first_did(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert, dropout=0.5), list[Any]()
    seen: list[tuple[bool, torch.Tensor]] = []
    machine.model[1].register_forward_hook(
        lambda _, __, out: seen.append((torch.is_grad_enabled(), out["sentence_embedding"].detach()))
    )
    machine.fits = 30
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    step(machine, loss, 2, None, told, splitter)
    dry = [vectors for graph, vectors in seen if not graph]
    wet = [vectors for graph, vectors in seen if graph][-len(dry) :]
    last = dry[-len(wet) :]
    assert all(torch.equal(a, b) for a, b in zip(last, wet, strict=True)) and len(wet) > 2


def test_all_passes_of_a_cached_loss_drop_out_the_same(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert, dropout=0.5), list[Any]()
    machine.fits = 30
    loss, splitter = made(machine, Loss("CachedMultipleNegativesRankingLoss", mini_batch_size=4), told)
    step(machine, loss, 2, None, told, splitter)
    seen: list[tuple[bool, torch.Tensor]] = []
    machine.model[1].register_forward_hook(
        lambda _, __, out: seen.append((torch.is_grad_enabled(), out["sentence_embedding"].detach()))
    )
    step(machine, loss, 2, None, told, splitter)
    dry = [vectors for graph, vectors in seen if not graph]
    wet = [vectors for graph, vectors in seen if graph]
    assert len(wet) > 4 and len(dry) == 2 * len(wet), "the loss's own first pass, and twice in the second"
    assert all(sum(torch.equal(one, other) for other in dry) == 2 for one in wet)


def test_a_batch_that_fails_on_the_way_back_leaves_nothing_of_it_and_keeps_what_was_before(tiny_bert: Path) -> None:
    roomy, small, told = Machine(tiny_bert), Machine(tiny_bert), list[Any]()
    whole, at_once = made(roomy, Loss("MultipleNegativesRankingLoss"), told)
    parted, splitter = made(small, Loss("MultipleNegativesRankingLoss"), told)
    for columns in (2, 3):
        step(roomy, whole, columns, None, told, at_once)
    step(small, parted, 2, None, told, splitter)
    small.fits_back = sum(small.passes) + 1
    step(small, parted, 3, None, told, splitter)
    assert "can't allocate memory" in told[-1][2]
    close(gradients(small, parted), gradients(roomy, whole))


def test_where_not_even_one_row_fits_the_error_goes_up(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert), list[Any]()
    machine.fits = 2
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        step(machine, loss, 2, None, told, splitter)


def test_a_static_model_has_no_parts_and_the_error_goes_up(tiny_static: Path) -> None:
    machine, told = Machine(tiny_static), list[Any]()
    machine.fits = 20
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        step(machine, loss, 2, None, told, splitter)


def test_a_smaller_batch_that_does_not_fit_whole_goes_in_parts_that_are_known_to_fit(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert, lean=False), list[Any]()
    machine.fits = 20
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    step(machine, loss, 2, None, told, splitter)
    fitted = splitter.most
    few = [machine.features(TEXTS[:4]), machine.features(TEXTS[4:])]
    given = {f"text_{column}_{name}": value for column, part in enumerate(few) for name, value in part.items()}
    splitter.step(given, lambda: loss(columns_of(given), None).backward(), contextlib.nullcontext, lambda: None)
    assert splitter.most == fitted == told[-2][1]


def test_a_loss_that_changes_the_layers_in_a_way_of_its_own_is_not_split(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert), list[Any]()
    machine.fits = 20
    loss, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)
    own = machine.model[0].forward
    machine.model[0].forward = lambda features: own(features)
    with pytest.raises(RunError, match="cannot be taken in parts, since the loss changes the layers"):
        step(machine, loss, 2, None, told, splitter)


def test_parts_of_a_model_whose_vectors_depend_on_padding_stay_as_wide_as_the_batch(tiny_bert: Path) -> None:
    machines = [Machine(tiny_bert, lean=False), Machine(tiny_bert, lean=False)]
    for machine in machines:  # a layer that mixes a text with the padding beside it
        embeddings = machine.model[0].model.embeddings
        embeddings.register_forward_hook(lambda _, __, out: out + out.mean(dim=1, keepdim=True))
    whole, at_once = made(machines[0], Loss("MultipleNegativesRankingLoss"), [])
    expected = step(machines[0], whole, 2, None, [], at_once)
    machines[1].fits = 40
    told: list[Any] = []
    parted, splitter = made(machines[1], Loss("MultipleNegativesRankingLoss"), told)
    assert step(machines[1], parted, 2, None, told, splitter) == pytest.approx(expected, abs=1e-5) and told
    close(gradients(machines[1], parted), gradients(machines[0], whole))


class ReadsTokens(torch.nn.Module):
    """A loss of one's own that looks at more than the vectors of texts."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Any, labels: Any) -> Any:
        """A mean over all tokens."""
        return sum(self.model(features)["token_embeddings"].square().mean() for features in sentence_features)


def test_a_loss_that_reads_tokens_is_not_split(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert, lean=False), list[Any]()
    machine.fits = 20
    loss = ReadsTokens(machine.model)
    splitter = Split(machine.model, loss, lambda *said: told.append(said))
    with pytest.raises(RunError, match="since the loss reads 'token_embeddings' of the texts; start a new run"):
        step(machine, loss, 2, None, told, splitter)
    assert len(told) == 2, "one part smaller, and what was told to forget it"


def test_other_errors_go_up_at_once(tiny_bert: Path) -> None:
    machine, told = Machine(tiny_bert), list[Any]()
    _, splitter = made(machine, Loss("MultipleNegativesRankingLoss"), told)

    def broken() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        splitter.step(batch(machine, 2), broken, contextlib.nullcontext, lambda: None)
    assert not told


def test_rows_are_cut_by_places_the_longest_first_and_never_below_one() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    given = {"input_ids": torch.arange(16).reshape(4, 4), "attention_mask": mask, "prompt": "x"}
    parts = split.cut(given, 6)
    assert [rows.tolist() for rows, _ in parts] == [[1], [0, 3], [2]]
    assert [tuple(part["input_ids"].shape) for _, part in parts] == [(1, 4), (2, 3), (1, 1)]
    assert [len(rows) for rows, _ in split.cut(given, 1)] == [1, 1, 1, 1]
    left = {**given, "attention_mask": mask.flip(1)}
    assert all(part["input_ids"].shape[1] == 4 for _, part in split.cut(left, 8)), "padded on the left: the width stays"
    static = {"input_ids": torch.arange(9), "offsets": torch.tensor([0, 3, 5])}
    ((rows, part),) = split.cut(static, 2)
    assert rows.tolist() == [0, 1, 2] and part is static


def trained(given: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch, *, fits: int) -> Run:
    """A run in this process, on a machine where so many places fit."""

    def base_model(recipe: Recipe, device: str) -> Any:
        machine = Machine(Path(recipe.model), lean=False)
        machine.fits = fits
        return machine.model

    monkeypatch.setattr(worker, "base_model", base_model)
    monkeypatch.setattr("workbench.training.launch.start_worker", lambda place: None)
    run = train(given, folder=folder)
    worker.main([str(run.folder)])
    return run


def test_a_run_that_does_not_fit_goes_on_in_parts_and_says_so(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(max_steps=6, batch_size=8, gradient_accumulation_steps=2, logging_steps=1)
    whole = trained(given, tmp_path / "whole", monkeypatch, fits=10**9)
    run = trained(given, tmp_path / "parts", monkeypatch, fits=30)
    assert (whole.state, run.state) == ("finished", "finished"), run.status.reason
    assert not whole.events("split")
    first = run.events("split")[0]
    assert (first["step"], "out of memory" in first["why"]) == (1, True) and first["part_places"] < first["places"]
    assert [finding.code for finding in run.findings].count("batch-split") == 1
    assert "did not fit into memory" in run.card
    steps, expected = run.events("step"), whole.events("step")
    assert [event["loss"] for event in steps] == pytest.approx([event["loss"] for event in expected], abs=1e-4)
    norms = [event["grad_norm"] for event in expected]
    assert [event["grad_norm"] for event in steps] == pytest.approx(norms, rel=1e-3)
    assert [event["tokens"] for event in steps] == [event["tokens"] for event in expected], "no batch is counted twice"


def test_a_run_of_which_not_one_row_fits_fails_with_what_to_do(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(recipe(max_steps=2), tmp_path / "none", monkeypatch, fits=1)
    assert run.state == "failed" and "smaller batch_size or max_seq_length" in run.status.reason
