"""The panel that reads a card, and shows real runs that went wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from workbench import gallery
from workbench.errors import ModelError, RecipeError
from workbench.widgets.card_panel import CardPanel

MADE = Path(__file__).parents[1] / "cards" / "made"
CARD = MADE / "3.4.1-fit-mnrl.md"
HOSTILE = "<img src=x onerror=alert(1)>"


def shown(panel: CardPanel) -> str:
    panel.settle(60)
    return str(panel._html.value)


def test_a_card_is_read_and_its_doubts_are_shown() -> None:
    panel = CardPanel(CARD)
    html = shown(panel)
    assert panel.read is not None and panel.read.how == "fit"
    assert "MultipleNegativesRankingLoss" in html and "fit-settings" in html
    assert panel.code == f"wb.read_card({str(CARD)!r})"
    assert panel.static() == html


def test_its_recipe_is_taken_once_it_is_said_what_to_train_on() -> None:
    panel = CardPanel(CARD)
    panel.settle(60)
    panel._use.click()
    panel.settle(60)
    assert panel.recipe is None and "the card names none" in panel.message
    panel._data.value = "glossary/qa"
    panel._use.click()
    panel.settle(60)
    truth = json.loads(CARD.with_suffix(".json").read_text())
    assert panel.recipe is not None and panel.recipe.data.source == "glossary/qa"
    assert panel.recipe.batch_size == truth["batch"]
    assert panel.code == f"wb.read_card({str(CARD)!r}).to_recipe(data='glossary/qa')"


def test_typing_a_path_reads_it_and_a_wrong_one_leaves_what_is_shown(tmp_path: Path) -> None:
    panel = CardPanel()
    panel._named.value = str(CARD)
    before = shown(panel)
    assert panel.card == str(CARD) and "MultipleNegativesRankingLoss" in before
    panel._named.value = str(tmp_path / "nothing.md")
    assert shown(panel) == before and "is no file" in panel.message


def test_a_card_can_be_uploaded_and_texts_in_it_are_only_text() -> None:
    panel = CardPanel()
    text = CARD.read_text(encoding="utf-8").replace("# SentenceTransformer", f"# {HOSTILE} SentenceTransformer", 1)
    panel._upload.value = ({"name": HOSTILE, "type": "", "size": 1, "content": memoryview(text.encode()), "last_modified": datetime.now(UTC)},)  # fmt: skip
    html = shown(panel)
    assert panel.read is not None and panel.card is None
    assert "<img" not in html and "&lt;img" in html and "<img" not in panel._line.value


def uploaded(content: bytes) -> tuple[dict[str, Any], ...]:
    return ({"name": "a", "type": "", "size": 1, "content": memoryview(content), "last_modified": datetime.now(UTC)},)


def test_the_text_of_a_card_is_read_once_and_stays_what_was_given() -> None:
    text = CARD.read_text(encoding="utf-8")
    panel = CardPanel(text)
    shown(panel)
    assert panel.card == text and panel.read is not None
    assert panel.code == f"wb.read_card({text!r})"


def test_what_is_taken_is_named_after_the_card_that_was_read_and_not_after_a_failed_one() -> None:
    panel = CardPanel(CARD, data="glossary/qa")
    assert panel._data.value == "glossary/qa"
    shown(panel)
    panel._named.value = "nothing.md"
    panel.settle(60)
    panel.take()
    assert panel.code == f"wb.read_card({str(CARD)!r}).to_recipe(data='glossary/qa')"


def test_a_card_is_read_again_after_a_real_run_and_a_real_run_again_after_an_upload() -> None:
    panel = CardPanel(CARD)
    panel.settle(60)
    panel.example = "000"
    panel.settle(60)
    panel._read.click()
    assert "fit-settings" in shown(panel) and panel.example is None
    panel.example = "000"
    panel.settle(60)
    panel._upload.value = uploaded(CARD.read_bytes())
    assert "fit-settings" in shown(panel) and panel.example is None
    panel._examples.value = "000"
    assert "What its log means" in shown(panel)


def test_what_is_no_card_is_said_in_the_message_line(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(b"\x00\xff garbage")
    panel = CardPanel(path)
    panel.settle(60)
    assert panel.read is None and panel.message.startswith("expected a model card")


def test_a_real_run_is_shown_and_its_mended_recipe_taken() -> None:
    panel = CardPanel(example="000")
    html = shown(panel)
    assert "What its log means" in html and not panel._use_mended.disabled
    panel._use_mended.click()
    panel.settle(60)
    entry = gallery.entry("000")
    assert panel.recipe == entry.mended and panel.code == "gallery.entry('000').mended"
    panel.take()
    assert panel.recipe == entry.recipe
    panel.card = str(CARD)
    assert "fit-settings" in shown(panel) and panel.example is None and panel._use_mended.disabled
    assert panel._examples.label == CardPanel()._examples.label == "choose one of five"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"card": 3}, ModelError, "expected a path, a Hub id or the text of a card, got int"),
        ({"example": "999"}, RecipeError, "expected one of the real runs 000, 001, 002, 003, 004, got '999'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        CardPanel(**given)


def test_without_a_card_there_is_no_recipe_to_take() -> None:
    panel = CardPanel()
    with pytest.raises(RecipeError, match="read one first"):
        panel.take()
