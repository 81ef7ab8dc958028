"""What the catalogue knows of losses without loading any of them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.catalog import introspect
from workbench.catalog import losses as catalog
from workbench.errors import RecipeError
from workbench.recipe import Loss

# The check list: shapes as (fewest texts, most texts, label), then sampler.
KNOWN: dict[str, tuple[list[tuple[int, int | None, str]], str]] = {
    "MultipleNegativesRankingLoss": ([(2, 2, "none"), (3, 3, "none"), (3, None, "none")], "no_duplicates"),
    "CachedMultipleNegativesRankingLoss": ([(2, 2, "none"), (3, 3, "none"), (3, None, "none")], "no_duplicates"),
    "MultipleNegativesSymmetricRankingLoss": ([(2, 2, "none")], "no_duplicates"),
    "CachedMultipleNegativesSymmetricRankingLoss": ([(2, 2, "none")], "no_duplicates"),
    "GISTEmbedLoss": ([(3, 3, "none"), (2, 2, "none")], "no_duplicates"),
    "CachedGISTEmbedLoss": ([(2, 2, "none"), (3, 3, "none"), (3, None, "none")], "no_duplicates"),
    "MegaBatchMarginLoss": ([(2, 2, "none")], "no_duplicates"),
    "TripletLoss": ([(3, 3, "none")], "batch_sampler"),
    "BatchAllTripletLoss": ([(1, 1, "class")], "group_by_label"),
    "BatchHardTripletLoss": ([(1, 1, "class")], "group_by_label"),
    "BatchHardSoftMarginTripletLoss": ([(1, 1, "class")], "group_by_label"),
    "BatchSemiHardTripletLoss": ([(1, 1, "class")], "group_by_label"),
    "CoSENTLoss": ([(2, 2, "score")], "batch_sampler"),
    "AnglELoss": ([(2, 2, "score"), (3, 3, "none"), (3, None, "none")], "batch_sampler"),
    "CosineSimilarityLoss": ([(2, 2, "score")], "batch_sampler"),
    "ContrastiveLoss": ([(2, 2, "binary")], "batch_sampler"),
    "OnlineContrastiveLoss": ([(2, 2, "binary")], "batch_sampler"),
    "SoftmaxLoss": ([(2, 2, "class"), (2, 2, "scores")], "batch_sampler"),
    "MarginMSELoss": ([(3, 3, "score"), (3, 3, "scores"), (3, None, "scores")], "batch_sampler"),
    "DistillKLDivLoss": ([(3, 3, "scores"), (3, None, "scores")], "batch_sampler"),
    "EmbedDistillLoss": ([(1, 1, "embedding"), (2, None, "embedding")], "batch_sampler"),
    "MSELoss": ([(1, 1, "embedding"), (2, None, "embedding")], "batch_sampler"),
    "DenoisingAutoEncoderLoss": ([(2, 2, "none")], "batch_sampler"),
    "ContrastiveTensionLoss": ([(2, 2, "none"), (2, 2, "binary")], "batch_sampler"),
    "ContrastiveTensionLossInBatchNegatives": ([(1, 1, "none")], "batch_sampler"),
    "GlobalOrthogonalRegularizationLoss": ([(1, None, "none")], "batch_sampler"),
    "MatryoshkaLoss": ([(1, None, "any")], "batch_sampler"),
    "Matryoshka2dLoss": ([(1, None, "any")], "batch_sampler"),
    "AdaptiveLayerLoss": ([(1, None, "any")], "batch_sampler"),
}
CITED = {
    "MultipleNegativesRankingLoss": "oord2019",
    "CachedMultipleNegativesRankingLoss": "gao2021",
    "MultipleNegativesSymmetricRankingLoss": "günther2024",
    "CachedMultipleNegativesSymmetricRankingLoss": "gao2021",
    "TripletLoss": "hermans2017",
    "AnglELoss": "li-li-2024",
    "MSELoss": "reimers-2020",
    "MatryoshkaLoss": "kusupati2024",
    "CachedGISTEmbedLoss": None,
    "CosineSimilarityLoss": None,
    "OnlineContrastiveLoss": None,
}


def test_every_loss_of_the_library_is_found_and_nothing_else() -> None:
    assert set(catalog.losses()) == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_tables_and_sampler_are_those_of_the_documentation(name: str) -> None:
    info = catalog.get(name)
    shapes, sampler = KNOWN[name]
    assert [(shape.texts_min, shape.texts_max, shape.label) for shape in info.shapes] == shapes
    assert info.sampler == sampler
    assert info.summary and not info.custom


@pytest.mark.parametrize(("name", "word"), CITED.items())
def test_the_citation_is_the_one_that_the_class_gives_by_default(name: str, word: str | None) -> None:
    citation = catalog.get(name).citation
    assert citation is None if word is None else citation is not None and word in citation.splitlines()[0]


def test_wrappers_cached_and_deprecated_losses_are_recognised() -> None:
    known = catalog.losses().values()
    assert {info.name for info in known if info.wraps} == {"MatryoshkaLoss", "Matryoshka2dLoss", "AdaptiveLayerLoss"}
    assert {info.name for info in known if info.cached} == {
        "CachedMultipleNegativesRankingLoss",
        "CachedMultipleNegativesSymmetricRankingLoss",
        "CachedGISTEmbedLoss",
        "MegaBatchMarginLoss",
    }
    deprecated = {info.name for info in known if info.deprecated}
    assert deprecated == {"MultipleNegativesSymmetricRankingLoss", "CachedMultipleNegativesSymmetricRankingLoss"}


def test_parameters_have_the_kind_default_and_bounds_that_a_form_needs() -> None:
    found = {item.name: item for item in catalog.get("CachedMultipleNegativesRankingLoss").parameters}
    assert (found["scale"].kind, found["scale"].default) == ("float", 20.0)
    assert found["scale"].low is not None and found["scale"].low > 0
    assert found["directions"].kind == "choice" and found["directions"].default == ("query_to_doc",)
    assert found["hardness_mode"].optional and found["hardness_mode"].choices[0] == "in_batch_negatives"
    assert found["similarity_fct"].kind == "function" and "dot_score" in found["similarity_fct"].choices
    assert "temperature" in found["scale"].help
    metric = catalog.get("TripletLoss").parameter("distance_metric")
    assert metric is not None and metric.choices == ("COSINE", "EUCLIDEAN", "MANHATTAN")
    assert metric.default == "EUCLIDEAN"
    # The library keeps an older, misspelt name beside these.
    metric = catalog.get("BatchAllTripletLoss").parameter("distance_metric")
    assert metric is not None and metric.choices == ("cosine_distance", "euclidean_distance")
    softmax = {item.name: item.required for item in catalog.get("SoftmaxLoss").parameters}
    assert softmax["num_labels"] and not softmax["embedding_dimension"]
    guide = catalog.get("GISTEmbedLoss").parameter("guide")
    assert guide is not None and guide.kind == "model" and guide.required


def test_an_unknown_loss_is_refused_with_a_similar_name() -> None:
    with pytest.raises(RecipeError, match=r"got 'TripletLos'; did you mean 'TripletLoss'\?"):
        catalog.get("TripletLos")


def test_the_catalogue_loads_neither_torch_nor_the_library() -> None:
    code = """
import sys
from workbench.catalog import losses
assert len(losses.losses()) == 29
assert losses.checked("TripletLoss", {"triplet_margin": 1}) == ([], {"triplet_margin": 1.0})
assert losses.fitting(2, None) and losses.reference("TripletLoss", {}, 4, 3, normalized=True)
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"torch", "transformers", "sentence_transformers", "numpy", "pandas", "datasets"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_loss_of_a_newer_release_appears_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "losses"
    shutil.copytree(introspect.library_folder(), folder)
    (folder / "fresh.py").write_text(
        '''
class FreshLoss(TripletLoss):
    def __init__(self, model: SentenceTransformer, triplet_margin: float = 1, extra: int | None = None) -> None:
        """
        A loss that nobody knew. It is new.

        Args:
            model: the model
            extra: more of it

        Inputs:
            +---------------------------+--------+
            | Inputs                    | Labels |
            +===========================+========+
            | (question, answer) pairs  | class  |
            +---------------------------+--------+
        """
'''
    )
    with (folder / "__init__.py").open("a") as file:
        file.write("\nfrom .fresh import FreshLoss\n")
    info = introspect.read_folder(folder)["FreshLoss"]
    assert info.summary == "A loss that nobody knew. It is new."
    shapes = [(shape.texts_min, shape.label, shape.columns) for shape in info.shapes]
    assert shapes == [(2, "class", "(question, answer) pairs")]
    parameters = [(item.name, item.kind, item.default) for item in info.parameters]
    assert parameters == [("triplet_margin", "float", 1.0), ("extra", "int", None)]
    assert info.parameters[1].help == "more of it" and "hermans2017" in (info.citation or "")


@pytest.mark.parametrize(
    ("name", "given", "clean"),
    [
        ("TripletLoss", {"triplet_margin": "1e-3"}, {"triplet_margin": 0.001}),
        ("TripletLoss", {"triplet_margin": 1}, {"triplet_margin": 1.0}),
        ("TripletLoss", {"distance_metric": "TripletDistanceMetric.COSINE"}, {"distance_metric": "COSINE"}),
        ("TripletLoss", {"distance_metric": "cosine"}, {"distance_metric": "COSINE"}),
        ("CosineSimilarityLoss", {"loss_fct": "torch.nn.modules.loss.L1Loss"}, {"loss_fct": "L1Loss"}),
        ("CachedMultipleNegativesRankingLoss", {"mini_batch_size": 16.0}, {"mini_batch_size": 16}),
        ("CachedMultipleNegativesRankingLoss", {"mini_batch_num_tokens": None}, {"mini_batch_num_tokens": None}),
        ("MultipleNegativesRankingLoss", {"directions": "query_to_doc"}, {"directions": ["query_to_doc"]}),
        (
            "MultipleNegativesRankingLoss",
            {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"},
            {"directions": ["query_to_doc", "doc_to_query"], "partition_mode": "per_direction"},
        ),
        ("GISTEmbedLoss", {"guide": Path("models/guide")}, {"guide": "models/guide"}),
    ],
)
def test_values_become_what_yaml_can_hold(name: str, given: dict[str, Any], clean: dict[str, Any]) -> None:
    problems, found = catalog.checked(name, given)
    assert problems == []
    # 1 == 1.0 == True, but YAML writes them differently.
    assert repr(found) == repr(clean)


TWICE = {"loss": Loss("MatryoshkaLoss", loss="TripletLoss", matryoshka_dims=[8]), "matryoshka_dims": [8]}
DEEP = Loss("MatryoshkaLoss", loss="CachedMultipleNegativesRankingLoss", matryoshka_dims=[8])
TRIPLET = Loss("TripletLoss")
LOPSIDED = {"directions": ["query_to_doc", "doc_to_doc"], "partition_mode": "per_direction"}
NO_PARTS = {"num_labels": 2, "concatenation_sent_rep": False, "concatenation_sent_difference": False}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("Nothing", {}, "loss: expected a loss of Sentence Transformers or a registered one, got 'Nothing'"),
    ("TripletLoss", {"triplet_margn": 1}, "triplet_margn: expected the name of a parameter, got 'triplet_margn'"),
    ("TripletLoss", {"triplet_margn": 1}, "mean 'triplet_margin'?; TripletLoss has distance_metric, triplet_margin"),
    (
        "TripletLoss",
        {"triplet_margin": True},
        "margin: expected a number of at least 0, got True; leave it out for 5.0",
    ),
    ("TripletLoss", {"triplet_margin": -1}, "expected a number of at least 0, got -1"),
    ("TripletLoss", {"triplet_margin": float("nan")}, "expected a number of at least 0, got nan"),
    ("TripletLoss", {"triplet_margin": "wide"}, "expected a number of at least 0, got 'wide'"),
    ("TripletLoss", {"triplet_margin": None}, "expected a number of at least 0, got None"),
    ("TripletLoss", {"triplet_margin": "x" * 10_000}, "...xxx"),
    ("TripletLoss", {"distance_metric": "CHEBYSHEV"}, "one of COSINE, EUCLIDEAN, MANHATTAN, got 'CHEBYSHEV'"),
    ("MegaBatchMarginLoss", {"positive_margin": 2}, "expected a number from -1 to 1, got 2"),
    ("MegaBatchMarginLoss", {"mini_batch_size": 2.5}, "expected a whole number of at least 1, got 2.5"),
    ("MegaBatchMarginLoss", {"show_progress_bar": 1}, "expected true or false, got 1"),
    ("GISTEmbedLoss", {}, "loss.guide: expected the name or folder of a model, got nothing; SentenceTransformer model"),
    ("GISTEmbedLoss", {"guide": " "}, "loss.guide: expected the name or folder of a model, got ' '"),
    (
        "SoftmaxLoss",
        {},
        "num_labels: expected a whole number of at least 1, got nothing; The number of different labels.",
    ),
    ("SoftmaxLoss", NO_PARTS, "concatenation_sent_multiplication to be true, got none"),
    ("MultipleNegativesRankingLoss", {"directions": ["doc_to_query"]}, "query_to_doc among them, got doc_to_query"),
    ("MultipleNegativesRankingLoss", {"directions": 5}, "expected one or more of query_to_doc, query_to_query"),
    ("MultipleNegativesRankingLoss", {"directions": []}, "expected one or more of query_to_doc, query_to_query"),
    ("MultipleNegativesRankingLoss", LOPSIDED, "loss.partition_mode: expected 'joint' with query_to_doc, doc_to_doc"),
    ("GlobalOrthogonalRegularizationLoss", {"mean_weight": None, "second_moment_weight": 0}, "above 0, got neither"),
    ("DenoisingAutoEncoderLoss", {"tie_encoder_decoder": False}, "expected a model, as tie_encoder_decoder is false"),
    (
        "MatryoshkaLoss",
        {"loss": "TripletLoss", "matryoshka_dims": [8]},
        "loss.loss: expected a loss to wrap, got 'Trip",
    ),
    (
        "MatryoshkaLoss",
        {"loss": TRIPLET, "matryoshka_dims": [8, 0]},
        "list of whole numbers, of at least 1, got [8, 0]",
    ),
    (
        "MatryoshkaLoss",
        {"loss": TRIPLET, "matryoshka_dims": []},
        "loss.matryoshka_dims: expected a list of whole numbers",
    ),
    (
        "MatryoshkaLoss",
        {"loss": TRIPLET, "matryoshka_dims": [8, 4.5]},
        "matryoshka_dims: expected a list of whole numbers",
    ),
    (
        "MatryoshkaLoss",
        {"loss": TRIPLET, "matryoshka_dims": [8, 4], "matryoshka_weights": [1]},
        "loss.matryoshka_weights: expected one weight for each dimension, got [1.0] for [8, 4]",
    ),
    (
        "TripletLoss",
        {"loss": TRIPLET},
        "loss.loss: expected nothing, as TripletLoss wraps no loss, got one; wrap with Ad",
    ),
    (
        "AdaptiveLayerLoss",
        {"loss": Loss("CachedMultipleNegativesRankingLoss")},
        "got CachedMultipleNegativesRankingLoss; use MultipleNegativesRankingLoss",
    ),
    ("AdaptiveLayerLoss", {"loss": Loss("MegaBatchMarginLoss")}, "set its use_mini_batched_version to false"),
    ("AdaptiveLayerLoss", {"loss": DEEP}, "no gradients in AdaptiveLayerLoss, got CachedMultipleNegativesRankingLoss"),
    ("Matryoshka2dLoss", TWICE, "expected a loss that cuts no dimensions, got MatryoshkaLoss"),
]


@pytest.mark.parametrize(("name", "given", "words"), WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(name: str, given: dict[str, Any], words: str) -> None:
    problems, _ = catalog.checked(name, given)
    assert len(problems) == 1
    assert words in problems[0] and problems[0].startswith("loss") and "; " in problems[0]


def test_all_problems_are_listed_at_once() -> None:
    problems, clean = catalog.checked("TripletLoss", {"triplet_margin": "x", "distance_metric": 7, "scale": 1})
    names = [problem.split(":")[0] for problem in problems]
    assert names == ["loss.triplet_margin", "loss.distance_metric", "loss.scale"]
    assert clean == {}


def test_wrappers_take_what_the_library_takes() -> None:
    mega = Loss("MegaBatchMarginLoss", use_mini_batched_version=False)
    assert catalog.checked("AdaptiveLayerLoss", {"loss": mega})[0] == []
    cached = Loss("CachedMultipleNegativesRankingLoss")
    assert catalog.checked("MatryoshkaLoss", {"loss": cached, "matryoshka_dims": (8, 4)})[1]["matryoshka_dims"] == [
        8,
        4,
    ]


def test_a_recipe_carries_the_problems_of_its_loss() -> None:
    with pytest.raises(RecipeError) as caught:
        Loss("TripletLoss", triplet_margin=-1, scale=2)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "texts", "label", "reason"),
    [
        ("MultipleNegativesRankingLoss", 2, None, None),
        ("MultipleNegativesRankingLoss", 5, None, None),
        ("MultipleNegativesRankingLoss", 2, "score", "the label would have no effect"),
        ("MultipleNegativesRankingLoss", 1, None, "it needs 1 more"),
        ("MultipleNegativesSymmetricRankingLoss", 3, None, "ignore or misread"),
        ("GISTEmbedLoss", 3, None, None),
        ("GISTEmbedLoss", 4, None, "ignore or misread"),
        ("CachedGISTEmbedLoss", 4, None, None),
        ("TripletLoss", 3, None, None),
        ("TripletLoss", 3, "class", "the label would have no effect"),
        ("TripletLoss", 2, None, "it needs 1 more"),
        ("BatchAllTripletLoss", 1, "class", None),
        ("BatchAllTripletLoss", 1, "binary", None),
        ("BatchAllTripletLoss", 2, "class", "ignore or misread"),
        ("BatchAllTripletLoss", 1, "score", "it needs a class label"),
        ("BatchAllTripletLoss", 1, None, "it needs a class label"),
        ("CoSENTLoss", 2, "score", None),
        ("CoSENTLoss", 2, "binary", None),
        ("CoSENTLoss", 2, None, "it needs a score"),
        ("CoSENTLoss", 2, "class", "it needs a score"),
        ("CoSENTLoss", 3, "score", "ignore or misread"),
        ("AnglELoss", 3, None, None),
        ("AnglELoss", 2, None, "it needs a score"),
        ("CosineSimilarityLoss", 3, "score", "ignore or misread"),
        ("ContrastiveLoss", 2, "binary", None),
        ("ContrastiveLoss", 2, "class", "it needs a 0/1 label"),
        ("OnlineContrastiveLoss", 3, "binary", "ignore or misread"),
        ("SoftmaxLoss", 2, "class", None),
        ("SoftmaxLoss", 2, "scores", None),
        ("SoftmaxLoss", 2, "score", "it needs a class label or a list of scores"),
        ("MarginMSELoss", 3, "score", None),
        ("MarginMSELoss", 5, "scores", None),
        ("MarginMSELoss", 5, "score", "it needs a list of scores"),
        ("DistillKLDivLoss", 3, "score", "it needs a list of scores"),
        ("MSELoss", 1, "embedding", None),
        ("MSELoss", 2, "embedding", None),
        ("MSELoss", 2, "scores", "it needs a vector as label"),
        ("ContrastiveTensionLoss", 2, "binary", None),
        ("ContrastiveTensionLossInBatchNegatives", 2, None, "ignore or misread"),
        ("GlobalOrthogonalRegularizationLoss", 4, None, None),
        ("MatryoshkaLoss", 3, "class", None),
    ],
)
def test_a_table_fits_or_the_reason_says_why_not(name: str, texts: int, label: str | None, reason: str | None) -> None:
    verdict = catalog.fits(catalog.get(name), texts, label)
    if reason is None:
        assert verdict is None
    else:
        assert verdict is not None and verdict.startswith(f"{name} takes ")
        assert reason in verdict.rpartition(": ")[2]


def test_a_wrapper_fits_where_the_loss_inside_fits() -> None:
    wrapper, triplet = catalog.get("MatryoshkaLoss"), catalog.get("TripletLoss")
    assert catalog.fits(wrapper, 3, None, triplet) is None
    assert "TripletLoss takes" in (catalog.fits(wrapper, 2, None, triplet) or "")
    cached = catalog.get("CachedMultipleNegativesRankingLoss")
    assert catalog.fits(wrapper, 2, None, cached) is None
    assert "does not wrap" in (catalog.fits(catalog.get("AdaptiveLayerLoss"), 2, None, cached) or "")


@pytest.mark.parametrize(
    ("texts", "label", "first"),
    [
        (2, None, "MultipleNegativesRankingLoss"),
        (3, None, "MultipleNegativesRankingLoss"),
        (2, "score", "CoSENTLoss"),
        (2, "binary", "OnlineContrastiveLoss"),
        (1, "class", "BatchAllTripletLoss"),
        (3, "scores", "MarginMSELoss"),
        (1, "embedding", "MSELoss"),
        (1, None, "ContrastiveTensionLossInBatchNegatives"),
    ],
)
def test_what_to_try_first_comes_first(texts: int, label: str | None, first: str) -> None:
    found = catalog.fitting(texts, label)
    assert found[0][0].name == first and len(found) == 29
    verdicts = [reason is None for _, reason in found]
    assert verdicts == sorted(verdicts, reverse=True)
    suitable = [info for info, reason in found if reason is None]
    current = [info.deprecated is None for info in suitable]
    assert current == sorted(current, reverse=True)


@pytest.mark.parametrize(
    ("name", "key", "value", "code"),
    [
        ("TripletLoss", "distance_metric", "EUCLIDEAN", "losses.TripletDistanceMetric.EUCLIDEAN"),
        ("ContrastiveLoss", "distance_metric", "EUCLIDEAN", "losses.SiameseDistanceMetric.EUCLIDEAN"),
        (
            "BatchAllTripletLoss",
            "distance_metric",
            "cosine_distance",
            "losses.BatchHardTripletLossDistanceFunction.cosine_distance",
        ),
        ("MultipleNegativesRankingLoss", "similarity_fct", "dot_score", "sentence_transformers.util.dot_score"),
        ("CosineSimilarityLoss", "loss_fct", "L1Loss", "torch.nn.L1Loss()"),
        ("GISTEmbedLoss", "guide", "some/model", catalog.model_as_code("some/model")),
        ("MultipleNegativesRankingLoss", "directions", ["query_to_doc"], "('query_to_doc',)"),
        ("TripletLoss", "triplet_margin", 0.5, "0.5"),
    ],
)
def test_a_parameter_is_written_as_code_of_the_library(name: str, key: str, value: object, code: str) -> None:
    assert catalog.as_code(name, key, value) == code
    ast.parse(code, mode="eval")
