"""The rows that are only scored."""

from __future__ import annotations

from pathlib import Path

from tests.checks.tables import codes, fires, load_part, pairs, recipe, text
from workbench.recipe import Loss


def test_scored_rows_that_are_also_trained_on_are_counted(tiny_bert: Path) -> None:
    table = pairs()
    seen = recipe(tiny_bert, table, eval_data=load_part(table, 100))
    finding = fires(seen, "evaluation-seen-in-training")
    assert "100% of the first texts and 100% of the whole rows" in finding.message
    assert finding.evidence["evaluation_rows_seen"] == "1, 2, 3, 4, 5, …"
    assert finding.to_json()["fix"] == {"eval_data": None}


def test_shared_documents_are_only_noted(tiny_bert: Path) -> None:
    new = pairs(anchor=[text(n + 50_000) for n in range(240)])
    finding = fires(recipe(tiny_bert, pairs(), eval_data=load_part(new, 240)), "evaluation-seen-in-training")
    assert finding.severity == "note" and "100% of the other texts" in finding.message
    fresh = new.assign(positive=[text(n + 60_000) for n in range(240)])
    assert codes(recipe(tiny_bert, pairs(), eval_data=load_part(fresh, 240))) == []


def test_too_few_rows_to_score_on_are_named_with_the_width_of_the_interval(tiny_bert: Path) -> None:
    finding = fires(recipe(tiny_bert, pairs(), eval_share=0.1), "few-evaluation-rows")
    assert "only 24 different first texts" in finding.message and "±0.20" in finding.message
    assert finding.fixed == "hold out 20% of the rows"
    assert fires(recipe(tiny_bert, pairs(40), eval_share=0.5, batch_size=2), "few-evaluation-rows").fix() is None


def test_no_rows_to_score_on_are_named_with_the_reason(tiny_bert: Path) -> None:
    assert fires(recipe(tiny_bert, pairs(), eval_share=0), "no-evaluation").fixed == "hold out 10 % of the rows"
    unscored = recipe(tiny_bert, pairs(240, label=[f"c{n % 3}" for n in range(240)]), Loss("SoftmaxLoss", num_labels=3))
    assert "such a table has no score" in fires(unscored, "no-evaluation").message


def test_scored_texts_that_were_trained_on_in_other_letters_are_counted(tiny_bert: Path) -> None:
    new = pairs(anchor=[text(n + 50_000) for n in range(240)], positive=[text(n + 60_000) for n in range(240)])
    new.loc[4, "anchor"] = text(4).title() + "?"
    finding = fires(recipe(tiny_bert, pairs(), eval_data=load_part(new, 240)), "evaluation-nearly-seen")
    assert finding.severity == "note" and "(evaluation row 5)" in finding.message
    new["anchor"] = [text(n).upper() for n in range(240)]
    assert (
        fires(recipe(tiny_bert, pairs(), eval_data=load_part(new, 240)), "evaluation-nearly-seen").severity == "warning"
    )
