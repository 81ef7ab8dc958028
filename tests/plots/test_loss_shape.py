"""Pictures of losses show what the losses of Sentence Transformers compute."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.plots.looking import HOSTILE, is_escaped
from workbench.catalog.losses import LossInfo, build, losses
from workbench.plots.loss_shape import LossShape, loss_shape, loss_shape_figure
from workbench.recipe import Loss

INNER = Loss("TripletLoss", triplet_margin=0.3)


def shape(name: str, **parameters: Any) -> LossShape:
    made = loss_shape(name, Loss(name, **parameters).parameters)
    assert made is not None
    return made


def at(made: LossShape, curve: str, x: float) -> float:
    """The value of a curve near x."""
    _, xs, ys = next(item for item in made.curves if item[0] == curve)
    return float(np.interp(x, xs, ys))


# what is drawn


@pytest.mark.parametrize("name", [name for name, info in losses().items() if not info.wraps])
def test_every_loss_of_the_library_has_a_picture_at_its_defaults(name: str) -> None:
    made = loss_shape(name, {})
    assert made is not None
    assert made.curves
    for _, xs, ys in (*made.curves, *made.references):
        assert len(xs) == len(ys) > 1
        assert all(map(math.isfinite, (*xs, *ys)))
        assert min(ys) >= 0
    assert len(made.title) < 60
    assert made.x and made.y and made.caption.endswith(".")


def test_a_margin_moves_the_kink() -> None:
    made = shape("TripletLoss", triplet_margin=0.3)
    assert made.title == "Zero once the negative is 0.3 further away"
    assert made.references[0][0] == "margin 0.3"
    assert at(made, "loss", 0) == pytest.approx(0.3)
    assert at(made, "loss", 0.3) == pytest.approx(0, abs=1e-9)
    assert at(shape("TripletLoss", triplet_margin=1.0), "loss", 0.3) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("metric", "title", "last"),
    [
        ("EUCLIDEAN", "The margin of 5 is out of reach for unit vectors", 10),
        ("COSINE", "The margin of 5 is out of reach", 2),
        ("MANHATTAN", "Zero once the negative is 5 further away", 10),
    ],
)
def test_a_margin_that_cannot_be_met_is_said(metric: str, title: str, last: float) -> None:
    made = shape("TripletLoss", distance_metric=metric)
    assert made.title == title
    assert made.curves[0][1][-1] == last
    assert ("stays above 3" in made.caption) == (metric != "MANHATTAN")


def test_a_ranking_meets_the_logarithm_of_the_batch_where_all_are_alike() -> None:
    made = shape("MultipleNegativesRankingLoss", scale=7.0)
    assert [name for name, _, _ in made.curves] == ["4 rows", "16 rows", "64 rows"]
    assert [ys[0] for _, _, ys in made.references] == pytest.approx([math.log(4), math.log(16), math.log(64)])
    assert made.references[0][0] == "ln(rows): all alike"
    for rows in (4, 16, 64):
        assert at(made, f"{rows} rows", 0.2) == pytest.approx(math.log(rows), abs=1e-3)


def test_more_candidates_raise_the_line() -> None:
    made = shape("GISTEmbedLoss", guide="a", contrast_anchors=False)
    assert made.references[0][0] == "ln(candidates): all alike"
    assert made.references[0][2][0] == pytest.approx(math.log(4 + 3))


def test_hardness_leaves_no_line_to_hold_the_curves_against() -> None:
    plain, harder = (
        shape("MultipleNegativesRankingLoss", hardness_mode="in_batch_negatives", hardness_strength=strength)
        for strength in (0.0, 9.0)
    )
    assert plain.references and not harder.references
    assert at(harder, "16 rows", 0.5) > at(plain, "16 rows", 0.5)


def test_the_number_of_classes_is_a_line() -> None:
    assert shape("SoftmaxLoss", num_labels=3).references[0][:1] == ("ln 3: all classes alike",)
    assert loss_shape("SoftmaxLoss", {}).references == ()


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("MatryoshkaLoss", {"matryoshka_dims": [64, 32]}, "of vectors cut to 64, 32 dimensions, and adds up"),
        ("AdaptiveLayerLoss", {}, "of the last layer and of earlier ones, and adds up"),
        ("Matryoshka2dLoss", {"matryoshka_dims": [64]}, "cut to 64 dimensions, of the last layer"),
    ],
)
def test_a_wrapper_shows_the_loss_inside_and_says_so(name: str, parameters: dict[str, Any], words: str) -> None:
    made = shape(name, loss=INNER, **parameters)
    assert made.curves == loss_shape(INNER.name, INNER.parameters).curves
    assert made.caption.startswith(f"This is TripletLoss, which {name} takes")
    assert words in made.caption


def test_wrappers_in_wrappers_show_the_innermost() -> None:
    made = shape("AdaptiveLayerLoss", loss=Loss("MatryoshkaLoss", loss=INNER, matryoshka_dims=[8]))
    assert made.curves == loss_shape(INNER.name, INNER.parameters).curves
    assert "This is TripletLoss" in made.caption


def test_unknown_losses_and_wrappers_of_nothing_have_no_picture() -> None:
    assert loss_shape("MyLoss", {}) is None
    assert loss_shape("MatryoshkaLoss", {}) is None


def test_a_loss_of_your_own_has_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    info = LossInfo("MyLoss", "workbench_custom_loss", "", (), (), custom=True, source="")
    monkeypatch.setattr("workbench.catalog.registry._own", {"MyLoss": info})
    assert loss_shape("MyLoss", {}) is None
    assert loss_shape("MatryoshkaLoss", {"loss": SimpleNamespace(name="MyLoss", parameters={})}) is None


@pytest.mark.filterwarnings("error")
def test_numbers_too_large_to_draw_have_no_picture() -> None:
    assert loss_shape("TripletLoss", {"triplet_margin": 1.7e308}) is None
    assert loss_shape("ContrastiveLoss", {"margin": 1.7e308}) is None


# the figure


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_draws_curves_and_dotted_references(theme: str) -> None:
    made = loss_shape_figure(shape("MultipleNegativesRankingLoss"), theme=theme)
    assert len(made.data) == 6
    assert made.layout.title.text == "The positive against the rest of the batch"
    assert len({trace.line.dash for trace in made.data[:3]}) == 3
    assert {trace.line.dash for trace in made.data[3:]} == {"dot"}
    assert [trace.showlegend for trace in made.data[3:]] == [True, False, False]
    assert made.layout.xaxis.title.text == "cosine of anchor and positive"


def test_hostile_words_in_a_record_are_escaped() -> None:
    assert is_escaped(loss_shape_figure(LossShape(HOSTILE, HOSTILE, HOSTILE, ((HOSTILE, (0.0,), (0.0,)),), HOSTILE)))


# the library itself: rows of vectors for which a loss is asked, as a function of where on the axis it is


def matrix(*rows: Any) -> Any:
    return np.array(rows, dtype=float)


def on_a_line(x: float) -> list[Any]:
    """Dot products: anchor and positive x, anchor and negative 0."""
    return [matrix([1]), matrix([x]), matrix([0])]


def pair(cosine: float) -> list[Any]:
    return [matrix([1, 0]), matrix([cosine, math.sqrt(1 - cosine**2)])]


def two_pairs(higher: float, lower: float) -> list[Any]:
    """Cosines of two rows. The third and fourth dimension are for the angle similarity, which pairs it with the others."""
    return [
        np.vstack(both)
        for both in zip(*(np.pad(pair(c), ((0, 0), (0, 0), (0, 2))) for c in (higher, lower)), strict=True)
    ]


def triplet(x: float) -> list[Any]:
    """Distances, of any metric without angles, that differ by x."""
    return [matrix([0, 0]), matrix([3, 0]), matrix([0, 3 + x])]


def triplet_of_angles(x: float) -> list[Any]:
    near, far = (0.1 + max(0, x), 0.1 - min(0, x))
    return [pair(near)[0], pair(near)[1], pair(far)[1]]


def two_classes(x: float) -> list[Any]:
    """Two texts of each class: all distances within a class are alike, and all others."""
    within, between = 6 + max(0, -x), 6 + max(0, x)
    height = math.sqrt(between**2 - within**2 / 2)
    return [matrix([within / 2, 0, 0], [-within / 2, 0, 0], [0, within / 2, height], [0, -within / 2, height])]


def batch(rows: int, cosine: float, other: float = 0.2) -> list[Any]:
    """Anchors and positives of unit length: `cosine` within a row, `other` between all other texts."""
    gram = np.full((2 * rows, 2 * rows), other)
    gram += np.kron([[0, cosine - other], [cosine - other, 0]], np.eye(rows)) + (1 - other) * np.eye(2 * rows)
    values, axes = np.linalg.eigh(gram)
    both = axes * np.sqrt(np.clip(values, 0, None))
    return [both[:rows], both[rows:]]


def alike(x: float) -> list[Any]:
    """Four texts with the cosine x between any two, in the number of dimensions that is drawn."""
    return [np.pad(np.vstack(batch(2, x, x)), ((0, 0), (0, 380)))]


Case = tuple[str, dict[str, Any], str, Callable[[float], list[Any]], Any]
CLASSES, BOTH_WAYS = [0, 0, 1, 1], ["query_to_doc", "doc_to_query"]
ALL_WAYS = [*BOTH_WAYS, "query_to_query", "doc_to_doc"]
HARDER: dict[str, Any] = {"hardness_strength": 9.0}
RANKINGS: list[dict[str, Any]] = [
    {},
    {"scale": 50.0},
    {"similarity_fct": "dot_score"},
    {"directions": BOTH_WAYS},
    {"directions": ALL_WAYS},
    {"directions": BOTH_WAYS, "partition_mode": "per_direction", "hardness_mode": "all_negatives", **HARDER},
    {"directions": ALL_WAYS, "hardness_mode": "in_batch_negatives", **HARDER},
    {"hardness_mode": "hard_negatives", **HARDER},
]
COMPARED: list[dict[str, Any]] = [
    *({"loss_fct": name} for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")),
    *({"cos_score_transformation": name} for name in ("ReLU", "Sigmoid", "Tanh")),
]
EUCLIDEAN = {"distance_metric": "EUCLIDEAN"}
CASES: list[Case] = [
    ("TripletLoss", {"triplet_margin": 0.4}, "loss", triplet, None),
    ("TripletLoss", {"triplet_margin": 0.4, "distance_metric": "MANHATTAN"}, "loss", triplet, None),
    ("TripletLoss", {"triplet_margin": 0.4, "distance_metric": "COSINE"}, "loss", triplet_of_angles, None),
    ("BatchAllTripletLoss", {"margin": 0.4}, "loss", two_classes, CLASSES),
    ("BatchHardTripletLoss", {"margin": 0.4}, "loss", two_classes, CLASSES),
    ("BatchSemiHardTripletLoss", {"margin": 0.4}, "loss", two_classes, CLASSES),
    ("BatchHardSoftMarginTripletLoss", {}, "loss", two_classes, CLASSES),
    *(("MultipleNegativesRankingLoss", given, "16 rows", lambda x: batch(16, x), None) for given in RANKINGS),
    ("MultipleNegativesRankingLoss", {}, "4 rows", lambda x: batch(4, x), None),
    ("MultipleNegativesSymmetricRankingLoss", {"scale": 9.0}, "16 rows", lambda x: batch(16, x), None),
    (
        "MultipleNegativesRankingLoss",
        {"similarity_fct": "euclidean_sim"},
        "16 rows",
        lambda x: batch(16, 1 - x**2 / 2, 1 - 1.25**2 / 2),
        None,
    ),
    ("ContrastiveLoss", {"margin": 0.6}, "alike (1)", lambda x: pair(1 - x), [1]),
    ("ContrastiveLoss", {"margin": 0.6}, "not alike (0)", lambda x: pair(1 - x), [0]),
    ("ContrastiveLoss", EUCLIDEAN, "not alike (0)", lambda x: [matrix([0]), matrix([x])], [0]),
    *(("CosineSimilarityLoss", given, f"gold score {gold:g}", pair, [gold]) for given in COMPARED for gold in (0, 0.5)),
    ("CoSENTLoss", {"scale": 9.0}, "scale 9", lambda x: two_pairs(x / 2, -x / 2), [1, 0.3]),
    ("AnglELoss", {"scale": 9.0}, "scale 9", lambda x: two_pairs(max(x, 0), max(-x, 0)), [1, 0.3]),
    ("ContrastiveTensionLoss", {}, "same text twice", lambda x: on_a_line(x)[:2], [1]),
    ("ContrastiveTensionLoss", {}, "different texts", lambda x: on_a_line(x)[:2], [0]),
    ("MSELoss", {}, "squared error", lambda x: [matrix([x])], [[0]]),
    ("EmbedDistillLoss", {}, "1 − cosine", lambda x: pair(x)[1:], [[1, 0]]),
    ("EmbedDistillLoss", {"distance_metric": "l2"}, "distance", lambda x: [matrix([x])], [[0]]),
    ("MarginMSELoss", {}, "teacher's margin 0.5", on_a_line, [0.5]),
    ("DistillKLDivLoss", {}, "teacher's difference 5", on_a_line, [[5, 0]]),
    (
        "DistillKLDivLoss",
        {"temperature": 3.0, "student_temperature": 0.5},
        "teacher's difference 1",
        on_a_line,
        [[1, 0]],
    ),
    ("GlobalOrthogonalRegularizationLoss", {"mean_weight": 2.0, "second_moment_weight": None}, "mean", alike, None),
    ("GlobalOrthogonalRegularizationLoss", {"mean_weight": None}, "second moment", alike, None),
]


def model(key: str = "rows") -> Any:
    """A model that has encoded its texts already."""
    import torch

    class Model(torch.nn.Module):
        device, truncate_dim = torch.device("cpu"), None

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return {"sentence_embedding": features[key]}

        def get_embedding_dimension(self) -> int:
            return 1

    return Model()


def compute(loss: Any, columns: list[Any], labels: Any, **more: list[Any]) -> float:
    """What a loss of the library gives for these columns of vectors."""
    import torch

    features = [
        {"rows": torch.tensor(rows), **{key: torch.tensor(its[place]) for key, its in more.items()}}
        for place, rows in enumerate(columns)
    ]
    value = loss(features, None if labels is None else torch.tensor(labels))
    return float((sum(value.values()) if isinstance(value, dict) else value).detach())


def spots(made: LossShape, curve: str, low: float = -9, high: float = 9) -> list[tuple[float, float]]:
    _, xs, ys = next(item for item in made.curves if item[0] == curve)
    found = [(x, y) for x, y in zip(xs, ys, strict=True) if low <= x <= high][::13]
    assert len(found) > 3
    return found


@pytest.mark.real
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=[f"{name} {given} {curve}" for name, given, curve, _, _ in CASES])
def test_curves_are_what_the_library_computes(case: Case) -> None:
    name, given, curve, columns, labels = case
    loss = build(name, given, model())
    low = 0.0 if columns is alike else -9.0
    for x, y in spots(shape(name, **given), curve, low=low):
        assert compute(loss, columns(x), labels) == pytest.approx(y, abs=1e-4), f"at {x}"


@pytest.mark.real
def test_the_two_halves_of_a_mega_batch_are_what_the_library_computes() -> None:
    made = shape("MegaBatchMarginLoss", positive_margin=0.7)
    loss = build("MegaBatchMarginLoss", {"positive_margin": 0.7, "use_mini_batched_version": False}, model())
    for x, y in spots(made, "positive"):
        assert compute(loss, batch(2, x, 0.0), None) == pytest.approx(y, abs=1e-4)
    for x, y in spots(made, "hardest negative", low=-0.9, high=0.9):
        assert compute(loss, batch(2, 0.9, x), None) == pytest.approx(y, abs=1e-4)


@pytest.mark.real
def test_hard_pairs_are_what_the_library_computes() -> None:
    """The other pair of the batch makes the one that is looked at a hard one; its own part is taken off."""
    made = shape("OnlineContrastiveLoss", margin=0.6, **EUCLIDEAN)
    loss = build("OnlineContrastiveLoss", {"margin": 0.6, **EUCLIDEAN}, model())
    for x, y in spots(made, "alike (1)", low=0.01):
        assert compute(loss, [matrix([0], [0]), matrix([x], [0])], [1, 0]) - 0.36 == pytest.approx(y, abs=1e-4)
    for x, y in spots(made, "not alike (0)"):
        assert compute(loss, [matrix([0], [0]), matrix([x], [2])], [0, 1]) - 4 == pytest.approx(y, abs=1e-4)


@pytest.mark.real
@pytest.mark.parametrize(
    ("function", "curve"), [("CrossEntropyLoss", "−ln(probability)"), ("MultiMarginLoss", "3 classes")]
)
def test_classes_are_what_the_library_computes(function: str, curve: str) -> None:
    import torch

    given = {"num_labels": 3, "loss_fct": function}
    loss = build("SoftmaxLoss", given, model())
    torch.nn.init.zeros_(loss.classifier.weight)
    for x, y in spots(shape("SoftmaxLoss", **given), curve, high=5 if function == "MultiMarginLoss" else 0.99):
        # The output that gives the right one of three classes the probability x.
        output = math.log(2 * x / (1 - x)) if function == "CrossEntropyLoss" else x
        loss.classifier.bias.data = torch.tensor([0, output, 0], dtype=torch.float32)
        assert compute(loss, [matrix([1]), matrix([1])], [1]) == pytest.approx(y, abs=1e-4)


@pytest.mark.real
@pytest.mark.parametrize("given", [{}, {"contrast_anchors": False}, {"temperature": 0.1}])
def test_a_guided_ranking_is_what_the_library_computes(given: dict[str, Any], tiny_bert: Any) -> None:
    from sentence_transformers import SentenceTransformer

    tiny = SentenceTransformer(str(tiny_bert), device="cpu")
    loss = build("GISTEmbedLoss", {**given, "guide": tiny}, tiny)
    loss.model, loss.guide = model(), model("guide")
    for x, y in spots(shape("GISTEmbedLoss", guide="a", **given), "16 rows"):
        # The guide tells rows apart, so that it leaves every candidate.
        assert compute(loss, batch(16, x), None, guide=batch(16, 0.9)) == pytest.approx(y, abs=1e-4)


@pytest.mark.real
def test_two_copies_of_a_model_are_what_the_library_computes() -> None:
    loss = build("ContrastiveTensionLossInBatchNegatives", {"scale": 9.0}, model())
    loss.model1, loss.model2 = model(), model("other")
    for x, y in spots(shape("ContrastiveTensionLossInBatchNegatives", scale=9.0), "16 rows"):
        first, second = batch(16, x)
        assert compute(loss, [first], None, other=[second]) == pytest.approx(y, abs=1e-4)
