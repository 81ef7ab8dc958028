"""Every loss of the library is built from plain values and trains, and its reference line is what it shows."""

from __future__ import annotations

import itertools
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from workbench.catalog import losses as catalog
from workbench.errors import RecipeError
from workbench.recipe import Loss

torch = pytest.importorskip("torch")

ROWS = 8
HIDDEN = 32
ALL_DIRECTIONS = ["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
BOTH_WAYS = {"directions": ["query_to_doc", "doc_to_query"], "partition_mode": "per_direction"}
SUBJECTS = ["cat", "dog", "bird", "fish", "tree", "river", "stone", "star"]
COLORS = ["red", "green", "blue"]
TEXTS = [
    [f"the {subject} runs" for subject in SUBJECTS],
    [f"a {color} {subject}" for subject, color in zip(SUBJECTS, itertools.cycle(COLORS), strict=False)],
    [f"{subject} sleeps in the house" for subject in reversed(SUBJECTS)],
    [f"old {subject}" for subject in [*SUBJECTS[3:], *SUBJECTS[:3]]],
]


MNRL, CACHED = Loss("MultipleNegativesRankingLoss"), Loss("CachedMultipleNegativesRankingLoss")
TRIPLET = Loss("TripletLoss", triplet_margin=0.5)


def given_for(name: str, guide: Path) -> dict[str, Any]:
    """Parameters that a loss cannot be built without."""
    needed: dict[str, dict[str, Any]] = {
        "SoftmaxLoss": {"num_labels": 3},
        "GISTEmbedLoss": {"guide": str(guide)},
        "CachedGISTEmbedLoss": {"guide": str(guide), "mini_batch_size": 4},
        "CachedMultipleNegativesRankingLoss": {"mini_batch_size": 4},
        "MatryoshkaLoss": {"loss": Loss("MultipleNegativesRankingLoss", scale=10), "matryoshka_dims": [32, 8]},
        "Matryoshka2dLoss": {"loss": Loss("MultipleNegativesRankingLoss"), "matryoshka_dims": [32, 8]},
        "AdaptiveLayerLoss": {"loss": Loss("CoSENTLoss")},
    }
    return needed.get(name, {})


def labels_for(kind: str, texts: int, name: str) -> Any:
    return {
        "none": None,
        "any": torch.linspace(0, 1, ROWS) if name == "AdaptiveLayerLoss" else None,
        "class": torch.arange(ROWS) // 3,
        "binary": torch.arange(ROWS) % 2,
        "score": torch.linspace(0, 1, ROWS),
        "scores": torch.rand(ROWS, 3 if name == "SoftmaxLoss" else texts - 1).softmax(1),
        "embedding": torch.rand(ROWS, HIDDEN),
    }[kind]


def load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def value_of(loss: Any, model: Any, columns: list[list[str]], labels: Any = None) -> Any:
    found = loss([model.preprocess(column) for column in columns], labels)
    return sum(found.values()) if isinstance(found, dict) else found


CASES = [(info.name, shape.texts_min, shape.label) for info in catalog.losses().values() for shape in info.shapes]


@pytest.mark.parametrize(("name", "texts", "label"), dict.fromkeys(CASES))
def test_every_loss_trains_on_every_table_that_it_takes(name: str, texts: int, label: str, tiny_bert: Path) -> None:
    torch.manual_seed(3)
    model = load(tiny_bert)
    model.train()
    loss = catalog.build(name, given_for(name, tiny_bert), model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW([*{*loss.parameters(), *model.parameters()}], lr=1e-3, weight_decay=0.0)
    columns = TEXTS[: texts if label != "any" else 2]
    for _ in range(3):
        value = value_of(loss, model, columns, labels_for(label, texts, name))
        assert math.isfinite(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


FUNCTIONS = [
    (info.name, parameter.name, choice)
    for info in catalog.losses().values()
    for parameter in info.parameters
    if parameter.kind in ("function", "choice")
    for choice in parameter.choices
]


@pytest.mark.parametrize(("name", "key", "choice"), FUNCTIONS)
def test_every_choice_of_every_loss_can_be_built(name: str, key: str, choice: str, tiny_bert: Path) -> None:
    value = ["query_to_doc", choice] if key == "directions" else choice
    extra = {"hardness_strength": 1.0} if key == "hardness_mode" else {}
    loss = catalog.build(name, {**given_for(name, tiny_bert), **extra, key: value}, load(tiny_bert))
    if catalog.get(name).parameter(key).kind == "function":  # type: ignore[union-attr]
        assert callable(getattr(loss, key))


def test_members_and_functions_of_the_library_are_accepted_as_they_are(tiny_bert: Path) -> None:
    from sentence_transformers import util
    from sentence_transformers.sentence_transformer import losses

    cosine = losses.TripletDistanceMetric.COSINE
    assert Loss("TripletLoss", distance_metric=cosine).parameters == {"distance_metric": "COSINE"}
    dot = Loss("CoSENTLoss", similarity_fct=util.pairwise_dot_score)
    assert dot.parameters == {"similarity_fct": "pairwise_dot_score"}
    assert Loss("CosineSimilarityLoss", loss_fct=torch.nn.L1Loss()).parameters == {"loss_fct": "L1Loss"}
    metric = losses.BatchHardTripletLossDistanceFunction.cosine_distance
    assert Loss("BatchAllTripletLoss", distance_metric=metric).parameters == {"distance_metric": "cosine_distance"}
    built = catalog.build("TripletLoss", {"distance_metric": "MANHATTAN"}, load(tiny_bert))
    assert built.distance_metric is losses.TripletDistanceMetric.MANHATTAN


def test_the_class_of_a_library_loss_is_only_looked_up() -> None:
    from sentence_transformers.sentence_transformer import losses

    loss = Loss(losses.TripletLoss, triplet_margin=1)
    assert (loss.name, loss.source) == ("TripletLoss", None)


def test_what_depends_on_the_model_is_filled_in(tiny_bert: Path) -> None:
    loss: Any = catalog.build("SoftmaxLoss", {"num_labels": 4}, load(tiny_bert))
    assert tuple(loss.classifier.weight.shape) == (4, 3 * HIDDEN)


def test_a_guide_may_be_a_model_in_memory(tiny_bert: Path) -> None:
    model, guide = load(tiny_bert), load(tiny_bert)
    assert catalog.build("GISTEmbedLoss", {"guide": guide}, model).guide is guide


def test_a_decoder_is_found_by_name(tiny_bert: Path) -> None:
    given = {"decoder_name_or_path": str(tiny_bert), "tie_encoder_decoder": False}
    assert catalog.build("DenoisingAutoEncoderLoss", given, load(tiny_bert)).decoder is not None


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("CachedMultipleNegativesRankingLoss", {}, "takes, got a refusal: .*StaticEmbedding"),
        ("AdaptiveLayerLoss", {"loss": Loss("CoSENTLoss")}, "takes, got a refusal: it needs another kind of model"),
        (
            "MatryoshkaLoss",
            {"loss": MNRL, "matryoshka_dims": [64]},
            "cannot exceed the model's embedding dimension of 32",
        ),
        ("TripletLoss", {"triplet_margin": -1}, "loss.triplet_margin: expected a number of at least 0"),
    ],
)
def test_a_model_that_a_loss_cannot_take_is_refused_in_words(
    name: str, given: dict[str, Any], words: str, tiny_static: Path
) -> None:
    with pytest.raises(RecipeError, match=words):
        catalog.build(name, given, load(tiny_static))


def test_only_the_warning_of_a_deprecated_loss_is_silenced(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers.sentence_transformer import losses

    name, model = "MultipleNegativesSymmetricRankingLoss", load(tiny_bert)
    original = getattr(losses, name)

    def warns_twice(model: Any) -> Any:
        warnings.warn("something else", DeprecationWarning, stacklevel=1)
        return original(model)

    monkeypatch.setattr(losses, name, warns_twice)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        catalog.build(name, {}, model)
    assert [str(warning.message) for warning in heard] == ["something else"]


@pytest.fixture
def collapsed(tiny_bert: Path) -> Any:
    """A model that gives every text the same vector, at every layer."""
    model = load(tiny_bert)
    with torch.no_grad():
        norm = model[0].auto_model.embeddings.LayerNorm
        norm.weight.zero_()
        norm.bias.copy_(torch.linspace(-1, 1, HIDDEN))
    return model.eval()


LINES: list[tuple[str, dict[str, Any], int, float]] = [
    ("MultipleNegativesRankingLoss", {}, 2, math.log(8)),
    ("MultipleNegativesRankingLoss", {}, 3, math.log(16)),
    ("MultipleNegativesRankingLoss", {}, 4, math.log(24)),
    ("MultipleNegativesRankingLoss", {"similarity_fct": "dot_score", "scale": 1}, 3, math.log(16)),
    ("MultipleNegativesRankingLoss", {"directions": ALL_DIRECTIONS}, 2, math.log(8 + 7 + 8 + 7)),
    ("MultipleNegativesRankingLoss", {"directions": ALL_DIRECTIONS}, 3, math.log(16 + 7 + 8 + 14)),
    ("MultipleNegativesRankingLoss", BOTH_WAYS, 3, (math.log(16) + math.log(8)) / 2),
    ("CachedMultipleNegativesRankingLoss", {"mini_batch_size": 4}, 3, math.log(16)),
    ("MultipleNegativesSymmetricRankingLoss", {}, 2, math.log(8)),
    ("CachedMultipleNegativesSymmetricRankingLoss", {}, 2, math.log(8)),
    ("ContrastiveTensionLossInBatchNegatives", {}, 1, math.log(8)),
    ("MegaBatchMarginLoss", {}, 2, 0.7),
    ("TripletLoss", {}, 3, 5.0),
    ("TripletLoss", {"triplet_margin": 0.3, "distance_metric": "COSINE"}, 3, 0.3),
    ("BatchAllTripletLoss", {"margin": 2}, 1, 2.0),
    ("BatchHardTripletLoss", {}, 1, 5.0),
    ("BatchSemiHardTripletLoss", {"distance_metric": "cosine_distance", "margin": 0.2}, 1, 0.2),
    ("BatchHardSoftMarginTripletLoss", {}, 1, math.log(2)),
    ("AnglELoss", {}, 3, math.log(1 + 64)),
    ("AnglELoss", {}, 4, math.log(1 + 128)),
    ("MatryoshkaLoss", {"loss": MNRL, "matryoshka_dims": [32, 16, 8]}, 3, 3 * math.log(16)),
    (
        "MatryoshkaLoss",
        {"loss": MNRL, "matryoshka_dims": [32, 8], "matryoshka_weights": [1, 0.5]},
        2,
        1.5 * math.log(8),
    ),
    ("MatryoshkaLoss", {"loss": MNRL, "matryoshka_dims": [32, 16, 8], "n_dims_per_step": 2}, 2, 2 * math.log(8)),
    ("MatryoshkaLoss", {"loss": CACHED, "matryoshka_dims": [32, 8]}, 2, 2 * math.log(8)),
    ("MatryoshkaLoss", {"loss": TRIPLET, "matryoshka_dims": [32, 8]}, 3, 1.0),
    ("AdaptiveLayerLoss", {"loss": MNRL, "kl_temperature": 0, "prior_layers_weight": 0.5}, 2, 1.5 * math.log(8)),
    ("Matryoshka2dLoss", {"loss": MNRL, "matryoshka_dims": [32, 8], "kl_temperature": 0}, 2, 2 * math.log(8)),
]


@pytest.mark.parametrize(("name", "given", "texts", "expected"), LINES)
def test_the_reference_is_what_a_collapsed_model_shows(
    name: str, given: dict[str, Any], texts: int, expected: float, collapsed: Any
) -> None:
    line = catalog.reference(name, given, ROWS, texts, normalized=False)
    assert line is not None
    labels = torch.arange(ROWS) % 2 if texts == 1 else None
    with torch.no_grad():
        shown = value_of(catalog.build(name, given, collapsed), collapsed, TEXTS[:texts], labels).item()
    assert line[0] == pytest.approx(expected)
    assert shown == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("texts", "flags"), itertools.product((2, 3), itertools.product((True, False), repeat=2)))
@pytest.mark.parametrize("name", ["GISTEmbedLoss", "CachedGISTEmbedLoss"])
def test_the_reference_of_a_guided_loss_counts_what_a_sharp_guide_leaves(
    name: str, texts: int, flags: tuple[bool, bool], collapsed: Any, tiny_bert: Path
) -> None:
    guide = load(tiny_bert).eval()
    # A bag of words: texts are alike as far as they share words.
    guide[0].auto_model.encoder.layer = torch.nn.ModuleList()
    with torch.no_grad():
        guide[0].auto_model.embeddings.position_embeddings.weight.zero_()
    columns = [
        [f"{word} {word}" for word in SUBJECTS],
        [f"{word} {word} of" for word in SUBJECTS],
        ["grows old"] * ROWS,
    ]
    given = {"guide": guide, "contrast_anchors": flags[0], "contrast_positives": flags[1]}
    with torch.no_grad():
        shown = value_of(catalog.build(name, given, collapsed), collapsed, columns[:texts]).item()
    line = catalog.reference(name, {**given, "guide": "a guide"}, ROWS, texts, normalized=False)
    assert line is not None and shown == pytest.approx(line[0], rel=1e-4)
    assert line[0] == pytest.approx(math.log(8 * (texts - 1) + 7 * sum(flags)))


def test_the_reference_of_a_classifier_is_chance(collapsed: Any) -> None:
    loss: Any = catalog.build("SoftmaxLoss", {"num_labels": 3}, collapsed)
    torch.nn.init.zeros_(loss.classifier.weight)
    torch.nn.init.zeros_(loss.classifier.bias)
    shown = value_of(loss, collapsed, TEXTS[:2], torch.arange(ROWS) % 3).item()
    line = catalog.reference("SoftmaxLoss", {"num_labels": 3}, ROWS, 2, normalized=False)
    assert line == (pytest.approx(shown), "ln 3: every class equally likely")


@pytest.mark.parametrize(
    ("name", "given", "texts", "words"),
    [
        ("MultipleNegativesRankingLoss", {}, 3, "ln 16: every candidate equally likely"),
        ("GISTEmbedLoss", {"guide": "x"}, 2, "ln 22: every candidate that the guide leaves equally likely"),
        ("TripletLoss", {}, 3, "margin 5: positive and negative equally far; distances end at 2, so it stays above 3"),
        ("TripletLoss", {"triplet_margin": 0.3}, 3, "margin 0.3: positive and negative equally far"),
        (
            "MatryoshkaLoss",
            {"loss": MNRL, "matryoshka_dims": [32, 8]},
            2,
            "2 times ln 8: every candidate equally likely; summed over the dimensions of a step",
        ),
    ],
)
def test_the_reference_says_what_it_means(name: str, given: dict[str, Any], texts: int, words: str) -> None:
    line = catalog.reference(name, given, ROWS, texts, normalized=True)
    assert line is not None and line[1] == words


@pytest.mark.parametrize(
    ("name", "given", "rows"),
    [
        ("CoSENTLoss", {}, ROWS),
        ("MSELoss", {}, ROWS),
        ("ContrastiveLoss", {}, ROWS),
        ("MultipleNegativesRankingLoss", {}, 1),
        ("MultipleNegativesRankingLoss", {"hardness_mode": "all_negatives", "hardness_strength": 2}, ROWS),
        ("MatryoshkaLoss", {"loss": Loss("CoSENTLoss"), "matryoshka_dims": [8]}, ROWS),
        ("AdaptiveLayerLoss", {"loss": MNRL, "layer_weighting": "log"}, ROWS),
        ("NobodyKnowsThisLoss", {}, ROWS),
    ],
)
def test_there_is_no_reference_where_it_depends_on_the_data(name: str, given: dict[str, Any], rows: int) -> None:
    assert catalog.reference(name, given, rows, 2, normalized=False) is None


def test_a_loss_trains_in_the_library_s_own_trainer(tiny_bert: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    model = load(tiny_bert)
    loss = catalog.build("MatryoshkaLoss", {"loss": TRIPLET, "matryoshka_dims": [32, 8]}, model)
    args = SentenceTransformerTrainingArguments(
        str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=4,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = Dataset.from_dict(dict(zip(("anchor", "positive", "negative"), TEXTS[:3], strict=True)))
    result = SentenceTransformerTrainer(model=model, args=args, train_dataset=rows, loss=loss).train()
    assert math.isfinite(result.training_loss) and result.global_step == 3
