"""Losses that a person writes in a notebook: carried as source, run only where they are trusted."""

from __future__ import annotations

import inspect
import itertools
import linecache
import math
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.catalog import losses as catalog
from workbench.catalog import registry
from workbench.errors import RecipeError
from workbench.recipe import Loss, to_loss

pytest.importorskip("torch")

CELL = '''
import math
import torch
from torch import nn, relu as clip
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer

FLOOR = 0.25
NAMES = {"pull": ("anchor", "positive")}
unused = open
square = lambda x: x * x


def distance(a, b, power=2):
    """How far apart."""
    return (a - b).abs().pow(power).sum(-1)


closeness = distance


class Hinge(nn.Module):
    def forward(self, gap):
        return clip(gap).mean()


@torch.no_grad()
def note(value):
    return math.sqrt(float(value))


class PullLoss(nn.Module):
    """
    Pulls positives close. Nothing else.

    Inputs:
        +--------------------------+--------+
        | Inputs                   | Labels |
        +==========================+========+
        | (anchor, positive) pairs | score  |
        +--------------------------+--------+
    """

    def __init__(self, model: SentenceTransformer, margin=5, metric="l2", weights: list[float] = (1.0,), deep=False):
        super().__init__()
        self.model, self.margin, self.metric, self.weights = model, margin, metric, weights
        self.criterion = Hinge()

    def forward(self, sentence_features, labels):
        a, b = [self.model(features)["sentence_embedding"] for features in sentence_features]
        floor = FLOOR  # seen from inside
        gap = closeness(F.normalize(a), F.normalize(b)) - floor + square(self.margin) * 0
        self.noted = note(gap.sum().abs()), NAMES["pull"]
        return self.criterion(gap) + (gap * 0).mean()

    @property
    def citation(self):
        return """@misc{me2026, title={Pull}}"""
'''
_numbers = itertools.count()


def run_cell(text: str, scope: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a notebook cell as IPython does: text known to linecache alone, names in ``__main__``."""
    scope = {"__name__": "__main__"} if scope is None else scope
    file = f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), scope)
    return scope


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    registry._own.clear()
    for name in [name for name in sys.modules if name.startswith("workbench_custom_loss")]:
        del sys.modules[name]


def load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def value_of(loss: Any, model: Any) -> Any:
    return loss([model.preprocess(texts) for texts in (["the cat", "a dog"], ["red bird", "old fish"])], None)


def test_the_source_of_a_notebook_loss_holds_what_it_needs_and_no_more() -> None:
    source = catalog.register_loss(run_cell(CELL)["PullLoss"]).source
    assert source is not None
    head = source.split("\n\n\n")[0].splitlines()
    assert head == [
        "from sentence_transformers import SentenceTransformer",
        "from torch import relu as clip",
        "import math",
        "import torch",
        "import torch.nn as nn",
        "import torch.nn.functional as F",
    ]
    assert "FLOOR = 0.25" in source and "closeness = distance" in source and "@torch.no_grad()\ndef note" in source
    assert "square = lambda x: x * x" in source and "class Hinge" in source and "unused" not in source


def test_the_source_runs_alone_in_a_fresh_process(tmp_path: Path) -> None:
    source = catalog.register_loss(run_cell(CELL)["PullLoss"]).source or ""
    file = tmp_path / "alone.py"
    use = """
model = lambda features: {"sentence_embedding": features}
loss = PullLoss(model, margin=1)
ones = torch.ones(2, 4)
print(round(float(loss([ones, -ones], None)), 4), loss.noted[1], PullLoss.__module__)
"""
    file.write_text(source + use)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "3.75 ('anchor', 'positive') __main__"


def test_a_notebook_loss_is_described_like_one_of_the_library() -> None:
    info = catalog.register_loss(run_cell(CELL)["PullLoss"])
    assert (info.name, info.module, info.custom) == ("PullLoss", "workbench_custom_loss", True)
    assert info.summary == "Pulls positives close. Nothing else." and "me2026" in (info.citation or "")
    assert [(shape.texts_min, shape.label) for shape in info.shapes] == [(2, "score")]
    assert [(item.name, item.kind, item.default) for item in info.parameters] == [
        ("margin", "float", 5),
        ("metric", "text", "l2"),
        ("weights", "numbers", (1.0,)),
        ("deep", "bool", False),
    ]
    assert catalog.get("PullLoss") is info and catalog.registered() == {"PullLoss": info}
    assert "PullLoss" in [item.name for item, reason in catalog.fitting(2, "score") if reason is None]


def test_a_notebook_loss_is_checked_stored_and_built(tiny_bert: Path) -> None:
    loss = Loss(run_cell(CELL)["PullLoss"], margin="2", weights=(1, 2))
    assert loss.parameters == {"margin": 2.0, "weights": [1.0, 2.0]}
    again = to_loss(yaml.safe_load(yaml.safe_dump(loss.to_dict())))
    assert again == loss and again.source == loss.source
    registry._own.clear()
    model = load(tiny_bert)
    built = catalog.build(again.name, again.parameters, model, source=again.source)
    assert math.isfinite(value_of(built, model).item()) and built.margin == 2
    # As its default: a tuple.
    assert built.weights == (1.0, 2.0)
    assert type(built).__module__ == "workbench_custom_loss"
    assert "class PullLoss" in inspect.getsource(type(built))
    assert "self.model(features)" in inspect.getsource(type(built).forward)


def test_a_wrapped_notebook_loss_is_built_inside(tiny_bert: Path) -> None:
    model = load(tiny_bert)
    loss = Loss("MatryoshkaLoss", loss=Loss(run_cell(CELL)["PullLoss"], margin=1), matryoshka_dims=[32, 8])
    built = catalog.build(loss.name, loss.parameters, model)
    value = value_of(built, model)
    value.backward()
    assert type(built.loss).__name__ == "PullLoss" and math.isfinite(value.item())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"margn": 1}, "got 'margn'; did you mean 'margin'?; PullLoss has margin, metric, weights, deep"),
        ({"margin": "wide"}, "loss.margin: expected a number, got 'wide'"),
        ({"deep": "yes"}, "loss.deep: expected true or false, got 'yes'"),
        ({"metric": {}}, "loss.metric: expected a plain value"),
        ({"loss": Loss("TripletLoss")}, "loss.loss: expected nothing, as PullLoss wraps no loss"),
    ],
)
def test_the_parameters_of_a_source_are_checked_without_running_it(given: dict[str, Any], words: str) -> None:
    source = "raise SystemExit('it ran')\n" + CELL
    problems, _ = catalog.checked("PullLoss", given, source=source)
    assert len(problems) == 1 and words in problems[0]


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("PullLoss", "class (", "expected Python source of PullLoss"),
        ("OtherLoss", CELL, "expected source of the class OtherLoss"),
        ("PullLoss", "-" * 100_000 + "1", "expected Python source of PullLoss"),
        ("TripletLoss", CELL, "a name of its own for a loss that comes with source, got the library's TripletLoss"),
    ],
)
def test_a_source_that_is_none_is_refused(name: str, source: str, words: str) -> None:
    problems, _ = catalog.checked(name, {}, source=source)
    assert len(problems) == 1 and words in problems[0]


def test_source_from_elsewhere_runs_only_when_trusted(tiny_bert: Path, workbench_home: Path) -> None:
    source = """
import torch

class HomeLoss(torch.nn.Module):
    def __init__(self, model, **rest):
        super().__init__()
        self.rest = rest
"""
    assert catalog.checked("HomeLoss", {"any": 1}, source=source) == ([], {"any": 1})
    assert not catalog.is_trusted(source)
    with pytest.raises(RecipeError, match=r"got HomeLoss from a recipe; read it, then call trust\(source\)"):
        catalog.build("HomeLoss", {}, load(tiny_bert), source=source)
    catalog.trust(source)
    assert catalog.is_trusted(source) and not catalog.is_trusted(source + " ")
    assert [file.read_text() for file in (workbench_home / "trusted-losses").iterdir()] == [source]
    assert catalog.build("HomeLoss", {"any": 1}, load(tiny_bert), source=source).rest == {"any": 1}


def test_a_trusted_source_that_cannot_run_says_what_is_missing(tiny_bert: Path) -> None:
    source = "from nowhere_at_all import thing\nclass LostLoss(thing.Module):\n    def __init__(self, model): pass\n"
    catalog.trust(source)
    with pytest.raises(RecipeError, match="got ModuleNotFoundError: No module named 'nowhere_at_all'; install"):
        catalog.build("LostLoss", {}, load(tiny_bert), source=source)
    assert "workbench_custom_loss" not in sys.modules


def test_two_sources_live_side_by_side(tiny_bert: Path) -> None:
    model = load(tiny_bert)
    first = catalog.build("PullLoss", {}, model, source=catalog.register_loss(run_cell(CELL)["PullLoss"]).source)
    other = CELL.replace("FLOOR = 0.25", "FLOOR = 0.5")
    second = catalog.build("PullLoss", {}, model, source=catalog.register_loss(run_cell(other)["PullLoss"]).source)
    assert type(first).__module__ == "workbench_custom_loss"
    assert type(second).__module__.startswith("workbench_custom_loss_")
    assert value_of(first, model).item() > value_of(second, model).item()


@pytest.mark.parametrize("wrong", [3, None, "TripletLoss", len, [int], object()])
def test_what_is_no_class_is_refused_in_a_sentence(wrong: Any) -> None:
    with pytest.raises(
        RecipeError, match=f"expected a class derived from torch.nn.Module, got {type(wrong).__name__}; "
    ):
        catalog.register_loss(wrong)


def test_a_cell_that_runs_again_replaces_its_loss() -> None:
    before = catalog.register_loss(run_cell(CELL)["PullLoss"])
    after = catalog.register_loss(run_cell(CELL.replace("margin=5", "margin=1"))["PullLoss"])
    assert catalog.registered() == {"PullLoss": after} and before.source != after.source
    assert after.parameters[0].default == 1


def test_a_helper_from_another_cell_is_found() -> None:
    scope = run_cell("def half(x):\n    return x / 2\n")
    run_cell(CELL.replace("floor = FLOOR", "floor = half(FLOOR)"), scope)
    assert "def half(x):" in (catalog.register_loss(scope["PullLoss"]).source or "")


def test_future_annotations_stay_first_and_their_names_are_not_needed() -> None:
    text = CELL.replace("def forward(self, sentence_features", "def forward(self, sentence_features: NotThere")
    found = run_cell("from __future__ import annotations\n" + text)["PullLoss"]
    source = catalog.register_loss(found).source or ""
    assert source.startswith("from __future__ import annotations\n") and "NotThere" in source
    compile(source, "x", "exec", dont_inherit=True)


def test_a_loss_derived_from_the_library_keeps_its_parameters(tiny_bert: Path) -> None:
    scope = run_cell(
        "from sentence_transformers.sentence_transformer import losses\n\n"
        "class HalfTriplet(losses.TripletLoss):\n"
        "    def forward(self, features, labels):\n"
        "        return super().forward(features, labels) / 2\n"
    )
    loss = Loss(scope["HalfTriplet"], triplet_margin=0.5, distance_metric="COSINE")
    info = catalog.get("HalfTriplet")
    assert [shape.texts_min for shape in info.shapes] == [3] and loss.parameters["distance_metric"] == "COSINE"
    built = catalog.build(loss.name, loss.parameters, load(tiny_bert), source=loss.source)
    assert built.triplet_margin == 0.5 and type(built).__name__ == "HalfTriplet"


def test_a_loss_of_an_installed_package_is_carried_as_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bert: Path
) -> None:
    package = tmp_path / "site-packages" / "some_losses"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "pull.py").write_text(CELL)
    monkeypatch.syspath_prepend(str(package.parent))
    from some_losses.pull import PullLoss

    loss = Loss(PullLoss, margin=1)
    assert loss.source == "from some_losses.pull import PullLoss\n"
    assert catalog.checked("PullLoss", {"margn": 1}, source=loss.source)[0]
    assert catalog.build("PullLoss", {"margin": 1}, load(tiny_bert), source=loss.source).margin == 1


def test_a_local_file_is_carried_by_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_helpers.py").write_text("def half(x):\n    return x / 2\n")
    text = CELL.replace("floor = FLOOR", "floor = half(FLOOR)")
    (tmp_path / "my_own_losses.py").write_text("from my_own_helpers import half\n" + text)
    monkeypatch.syspath_prepend(str(tmp_path))
    from my_own_losses import PullLoss

    source = catalog.register_loss(PullLoss).source or ""
    assert "def half(x):" in source and "my_own" not in source


def test_a_name_of_the_class_body_hides_one_of_the_module() -> None:
    text = CELL.replace("    def __init__", "    FLOOR = 1\n    twice = FLOOR * 2\n\n    def __init__")
    text = text.replace("floor = FLOOR", "floor = self.FLOOR").replace("FLOOR = 0.25", "FLOOR = torch.ones(3)")
    source = catalog.register_loss(run_cell(text)["PullLoss"]).source or ""
    assert "twice = FLOOR * 2" in source and "ones" not in source


def test_two_things_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_other_helpers.py").write_text("FLOOR = 3\n\n\ndef half(x):\n    return x / FLOOR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from my_other_helpers import half\n" + CELL.replace("floor = FLOOR", "floor = half(FLOOR)")
    with pytest.raises(RecipeError, match="but FLOOR is different things in different modules; rename one of them"):
        catalog.register_loss(run_cell(text)["PullLoss"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("FLOOR = 0.25", "FLOOR = torch.ones(1)"), "but FLOOR is a Tensor; make it inside the class"),
        (("FLOOR = 0.25", "FLOOR = [object()]"), "but FLOOR is a list; make it inside the class"),
        (("floor = FLOOR", "floor = FLOOOR"), "but FLOOOR is not defined; define or import it"),
        (("FLOOR = 0.25", "import local_thing as FLOOR"), "but FLOOR is a module that is not installed; copy what"),
        (("class PullLoss", "class TripletLoss"), "expected a name of its own, got the library's TripletLoss; rename"),
        (
            ("model: SentenceTransformer, margin=5", "margin=5"),
            "the model as the first argument of PullLoss, got margin",
        ),
        (("def forward(self, sentence", "def compute(self, sentence"), "expected a torch.nn.Module with forward"),
        (("class PullLoss(nn.Module)", "class PullLoss"), "expected a torch.nn.Module with forward"),
    ],
)
def test_what_cannot_be_carried_is_named(change: tuple[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "local_thing", types.ModuleType("local_thing"))
    old, new = change
    assert old in CELL
    scope = run_cell(CELL.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        catalog.register_loss(scope["PullLoss"] if "PullLoss" in scope else scope["TripletLoss"])
    assert words in str(caught.value) and catalog.registered() == {}


@pytest.mark.parametrize("where", ["console", "function"])
def test_a_class_without_findable_source_is_refused_with_what_to_do(where: str) -> None:
    if where == "console":
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(CELL, "<stdin>", "exec", dont_inherit=True), scope)
        found = scope["PullLoss"]
    else:
        body = "".join(f"    {line}\n" for line in CELL.splitlines())
        found = run_cell(f"def make():\n{body}\n    return PullLoss\n")["make"]()
    with pytest.raises(RecipeError, match="source text of PullLoss, but there is none; define it at the top level"):
        catalog.register_loss(found)
