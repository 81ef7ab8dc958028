"""The packaged all-MiniLM-L6-v2 on the glossary: our scores against the library's own evaluators."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.catalog import models
from workbench.data.load import load
from workbench.errors import ModelError
from workbench.recipe import DEFAULT_MODEL
from workbench.spaces.evaluate import evaluate

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def minilm() -> Any:
    """The model, loaded once."""
    try:
        return models.load(DEFAULT_MODEL, device="cpu")
    except ModelError as error:
        pytest.skip(str(error))


def test_what_is_known_of_the_default_model_is_true(minilm: Any) -> None:
    info = models.describe(DEFAULT_MODEL)
    assert (
        info.parameters
        == sum(weight.numel() for weight in minilm.parameters())
        == models.KNOWN[DEFAULT_MODEL].parameters
    )
    assert info.dimension == minilm.get_embedding_dimension() == 384
    assert info.max_seq_length == minilm.max_seq_length == 256
    assert info.normalized
    assert info.licence == "apache-2.0"


def test_retrieval_scores_are_those_of_the_library(minilm: Any) -> None:
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    data = load("glossary/qa", split="test")
    ours = evaluate(minilm, data, resamples=200)
    questions, answers = data.column("question"), data.column("definition")
    number = {text: f"d{place}" for place, text in enumerate(answers)}
    asked = {text: f"q{place}" for place, text in enumerate(dict.fromkeys(questions))}
    relevant: dict[str, set[str]] = {name: set() for name in asked.values()}
    for question, answer in zip(questions, answers, strict=True):
        relevant[asked[question]].add(number[answer])
    theirs = InformationRetrievalEvaluator(
        {name: text for text, name in asked.items()}, {name: text for text, name in number.items()}, relevant
    )(minilm)
    for name in ("cosine_mrr@10", "cosine_ndcg@10", "cosine_recall@10", "cosine_accuracy@1"):
        assert ours.scores[name].value == pytest.approx(theirs[name], abs=1e-6), name
    primary = ours.scores[ours.primary]
    assert primary.low is not None and primary.high is not None
    assert primary.low < (primary.value or 0) < primary.high < 0.8, "the base model leaves room to learn"


def test_triplet_accuracy_is_that_of_the_library(minilm: Any) -> None:
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator

    data = load("glossary/triplets", split="test").select(range(0, 96, 2))
    ours = evaluate(minilm, data, resamples=0)
    theirs = TripletEvaluator(*(data.column(name) for name in data.texts))(minilm)
    assert ours.scores["cosine_accuracy"].value == pytest.approx(theirs["cosine_accuracy"], abs=1e-6)


def test_graded_correlations_are_those_of_the_library(minilm: Any) -> None:
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    data = load("glossary/graded", split="test")
    ours = evaluate(minilm, data, resamples=0)
    names = ["cosine", "dot", "euclidean", "manhattan"]
    theirs = EmbeddingSimilarityEvaluator(
        *(data.column(name) for name in (*data.texts, "score")), similarity_fn_names=names
    )(minilm)
    for name in names:
        for kind in ("pearson", "spearman"):
            assert ours.scores[f"{kind}_{name}"].value == pytest.approx(theirs[f"{kind}_{name}"], abs=1e-4), (
                kind,
                name,
            )


def test_neighbours_share_a_topic_far_above_chance(minilm: Any) -> None:
    ours = evaluate(minilm, load("glossary/labelled", split="test"), resamples=0)
    assert (ours.scores["neighbour_purity@10"].value or 0) > 4 / 18
    assert "chance 0.056" in ours.note
