"""Cards that are cut, shuffled or scribbled on: a record or one sentence, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.cards.test_read import card
from workbench.cards.read import Card
from workbench.errors import ModelError, RecipeError

MADE = sorted((Path(__file__).parent / "made").glob("*.md"))
KINDS = ("fit-mnrl", "trainer-triplets", "matryoshka", "two-datasets", "graded", "nasty", "zeroed", "prompts")
TEXTS = [card().encode(), *(path.read_bytes() for path in MADE if path.stem.partition("-")[2] in KINDS)]
SCRIBBLES = (
    "nan inf -1 0 1e309 999999999999999999999999 | ``` <code> </code> { [ None True ** - # & 1,2,3 e 5e-05 .5 <!-- --> "
    "`seed`: --- : \x00 \x85 \u2028 \ufeff"
).split(" ")  # fmt: skip
LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(content: bytes, folder: Path) -> Card | None:
    """The card, or None where it is refused in one sentence; whatever is read can be shown and kept."""
    path = folder / "card.md"
    path.write_bytes(content)
    try:
        found = wb.read_card(path)
    except ModelError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
        return None
    json.dumps(found.to_json(), allow_nan=False)
    assert repr(found) and found._repr_html_() and found.to_frame() is not None
    try:
        recipe = found.recipe
    except RecipeError as error:
        assert all(problem and "\n" not in problem for problem in error.problems)
    else:
        assert recipe.data.source
    return found


@LIGHT
@given(st.sampled_from(TEXTS), st.floats(0, 1))
def test_a_card_cut_at_any_byte(tmp_path: Path, content: bytes, share: float) -> None:
    read(content[: int(share * len(content))], tmp_path)


@LIGHT
@given(st.sampled_from(TEXTS), st.data())
def test_lines_that_are_deleted_swapped_or_doubled(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    lines = content.split(b"\n")
    places = st.integers(0, len(lines) - 1)
    for what, one, other in data.draw(
        st.lists(st.tuples(st.sampled_from("dsc"), places, places), min_size=1, max_size=8)
    ):
        if what == "d":
            lines[one] = b""
        elif what == "s":
            lines[one], lines[other] = lines[other], lines[one]
        else:
            lines[one] += b"\n" + lines[other]
    read(b"\n".join(lines), tmp_path)


@LIGHT
@given(st.sampled_from(TEXTS), st.data())
def test_values_and_characters_that_are_replaced(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    text = content.decode()
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(text)))
        taken = data.draw(st.integers(0, 12))
        text = text[:place] + data.draw(st.sampled_from(SCRIBBLES) | st.text(max_size=4)) + text[place + taken :]
    read(text.encode("utf-8", "surrogatepass"), tmp_path)


@LIGHT
@given(st.data())
def test_a_scribbled_setting_is_never_a_number_that_nobody_wrote(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["learning_rate", "weight_decay", "max_grad_norm", "seed", "num_train_epochs"]))
    said = data.draw(st.sampled_from([*SCRIBBLES, "1e-3", "2", "2.5"]) | st.text("0123456789.e-,", max_size=6))
    found = read(card(settings={name: said}).encode(), tmp_path)
    if found is None:
        return
    try:
        recipe = found.recipe
    except RecipeError:
        return
    own = "epochs" if name == "num_train_epochs" else name
    codes = {doubt.code for doubt in found.doubts}
    told = codes & {"setting-unreadable", "settings-missing", "setting-twice"}
    assert told or getattr(recipe, own) == float(said.replace(",", ""))


@LIGHT
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    assert read(content, tmp_path) is None


@pytest.mark.parametrize(
    "heading", ["### Training Dataset", "#### All Hyperparameters", "### Training Logs", "## Evaluation"]
)
def test_a_card_that_ends_at_a_heading_says_what_is_missing(heading: str, tmp_path: Path) -> None:
    text = card()
    found = read(text[: text.index(heading)].encode(), tmp_path)
    assert found is not None
    assert {doubt.code for doubt in found.doubts} & {"no-data", "settings-missing", "no-log", "no-scores"}
