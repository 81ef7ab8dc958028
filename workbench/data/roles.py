"""What the columns of a table mean: guessed from their names, then from their order, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.errors import DataError, did_you_mean
from workbench.recipe import ROLES

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_ROLES = ("anchor", "positive", "negative")
KINDS = {"text": "texts", "int": "whole numbers", "float": "numbers", "decimal": "numbers", "bool": "true and false",
         "numbers": "lists of numbers", "other": "something else than texts or numbers"}  # fmt: skip
ANCHOR = {"anchor", "anchors", "query", "question", "sentence", "premise", "text", "texts", "passage", "input", "prompt",
          "utterance", "content", "source_text", "src"}  # fmt: skip
POSITIVE = {"positive", "positives", "pos", "answer", "term", "document", "doc", "definition", "hypothesis", "response",
            "paraphrase", "duplicate", "summary", "translation", "tgt"}  # fmt: skip
LABEL = {"label", "labels", "category", "class", "topic", "intent", "gold_label", "class_label"}
SCORE = {"score", "scores", "similarity", "similarity_score"}
NOT_DATA = {"id", "ids", "idx", "index", "guid", "uuid", "url", "uri", "link", "split", "source", "origin", "file",
            "filename", "lang", "language", "date", "timestamp"}  # fmt: skip
NEGATIVE = re.compile(r"(hard_?)?(neg|negatives?)(_?\d+)?")
NUMBERED = re.compile(r"(sentence|sent|text|question|query|q|s|passage|input|column|col|document|doc)_?(\d+|[a-c])")


def kind_of(type_: pa.DataType) -> str:
    """text, int, float, decimal, bool, numbers (a list of numbers) or other."""
    from pyarrow import types

    if types.is_string(type_) or types.is_large_string(type_):
        return "text"
    if types.is_boolean(type_):
        return "bool"
    if types.is_integer(type_):
        return "int"
    if types.is_floating(type_):
        return "float"
    if types.is_decimal(type_):
        return "decimal"
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return "numbers" if types.is_integer(type_.value_type) or types.is_floating(type_.value_type) else "other"
    return "other"


def hint(name: str) -> str | None:
    """The role that a column's name alone suggests, None if it says nothing."""
    plain = re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")
    if plain in LABEL or plain in SCORE:
        return "label" if plain in LABEL else "score"
    if (
        plain in NOT_DATA
        or plain.endswith(("_id", "_idx", "_url"))
        or plain.startswith("unnamed")
        or plain in ("pairid", "")
    ):
        return "ignore"
    if NEGATIVE.fullmatch(plain) or plain.startswith(("negative_", "hard_negative")):
        return "negative"
    if plain in POSITIVE or plain.startswith("positive_"):
        return "positive"
    numbered = NUMBERED.fullmatch(plain)
    if plain in ANCHOR or (numbered and numbered[2] in ("0", "1", "a")):
        return "anchor"
    return "positive" if numbered and numbered[2] in ("2", "b") else "numbered" if numbered else None


def guess(kinds: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Roles, and for each column why it got its role.

    Args:
        kinds: column -> kind as `kind_of` names it, in the order of the table.
    """
    hints = {name: hint(name) for name in kinds} | _numbered(kinds)
    roles, why = dict.fromkeys(kinds, "ignore"), {}
    target = _target(kinds, hints)
    if target:
        roles[target] = (
            "score" if hints[target] == "score" or kinds[target] in ("float", "decimal", "numbers") else "label"
        )
        why[target] = f"named like a {hints[target]}"
    texts = [name for name, kind in kinds.items() if kind == "text" and name != target]
    for name in kinds:
        if name != target and kinds[name] != "text":
            why[name] = f"holds {KINDS[kinds[name]]}" + (", and there is a target already" if target else "")
        elif name != target and (hints[name] == "ignore" or (target and hints[name] in ("label", "score"))):
            texts.remove(name)
            why[name] = (
                "named like something that is no text" if hints[name] == "ignore" else "there is a target already"
            )
    _assign(texts, hints, roles, why)
    return roles, why


def _numbered(kinds: Mapping[str, str]) -> dict[str, str]:
    """Roles of columns such as sentence_0, sentence_1, sentence_2: by rank, since some count from 0 and some from 1."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, kind in kinds.items():
        match = NUMBERED.fullmatch(re.sub(r"[\W_]+", "_", name.strip().lower()))
        if match and kind == "text":
            found.setdefault(match[1], []).append((match[2].zfill(9), name))
    groups = [sorted(group) for group in found.values() if len(group) > 1]
    return {name: TEXT_ROLES[min(rank, 2)] for group in groups for rank, (_, name) in enumerate(group)}


def _target(kinds: Mapping[str, str], hints: Mapping[str, str | None]) -> str | None:
    texts = [name for name, kind in kinds.items() if kind == "text" and hints[name] != "ignore"]
    for wanted in ("label", "score"):
        for name, kind in kinds.items():
            if hints[name] == wanted and kind != "other" and texts != [name]:
                return name
    return None


def _assign(texts: list[str], hints: Mapping[str, str | None], roles: dict[str, str], why: dict[str, str]) -> None:
    free = list(texts)
    for role in ("anchor", "positive"):
        named = [name for name in free if hints[name] == role]
        unnamed = [
            name for name in free if hints[name] not in ("negative", "positive" if role == "anchor" else "negative")
        ]
        # without a better one, a text that is named like another role still has to be the anchor
        choice = (named or unnamed or (free if role == "anchor" else []))[:1]
        for name in choice:
            roles[name] = role
            why[name] = (
                f"named like {role}" if named else ("first text column" if role == "anchor" else "next text column")
            )
            free.remove(name)
    for name in free:
        roles[name] = "negative"
        why[name] = "named like negative" if hints[name] == "negative" else "further text column"


def checked(columns: Mapping[str, str], kinds: Mapping[str, str], where: str) -> dict[str, str]:
    """Roles as the caller gives them; columns that are not named are ignored.

    Raises:
        DataError: no such column or role, a text role for a column without texts, no anchor, or a role given twice.
    """
    for name, role in columns.items():
        if name not in kinds:
            hint_ = did_you_mean(name, kinds) or f"; there are {', '.join(kinds)}"
            raise DataError(f"expected a column of {where}, got {name!r} in columns=…{hint_}")
        if role not in ROLES:
            known = did_you_mean(str(role), ROLES) or f"; roles are {', '.join(ROLES)}"
            raise DataError(f"expected a role for column {name!r}, got {role!r}{known}")
        _fits(name, role, kinds, where)
    roles = {name: columns.get(name, "ignore") for name in kinds}
    for role in ("anchor", "positive"):
        if (names := [name for name in columns if roles[name] == role])[1:]:
            raise DataError(f"expected one {role} column in {where}, got {', '.join(names)}; make all but one 'ignore'")
    if (names := [name for name in columns if roles[name] in ("label", "score")])[1:]:
        raise DataError(f"expected one label or score in {where}, got {', '.join(names)}; make all but one 'ignore'")
    if "anchor" not in roles.values():
        first = next((name for name, kind in kinds.items() if kind == "text"), "a text column")
        raise DataError(
            f"expected one column of {where} with the role anchor, got none; for instance {first!r}: 'anchor'"
        )
    # negatives follow in the order in which the caller names them
    order = {name: place for place, name in enumerate(columns)}
    return {name: roles[name] for name in sorted(roles, key=lambda name: order.get(name, len(order)))}


def _fits(name: str, role: str, kinds: Mapping[str, str], where: str) -> None:
    kind = kinds[name]
    fitting = {"label": ("int", "text", "bool"), "score": ("int", "float", "decimal", "numbers")}.get(role, ("text",))
    if role == "ignore" or kind in fitting:
        return
    others = [other for other, its in kinds.items() if its in fitting and other != name]
    close = did_you_mean(name, others) or (f"; such columns are {', '.join(others)}" if others else "")
    if role == "label" and kind in ("float", "decimal"):
        close = "; give it the role 'score'"
    wanted = {"label": "classes", "score": "numbers"}.get(role, "texts")
    raise DataError(
        f"expected {wanted} in column {name!r} of {where} for the role {role}, but it holds {KINDS[kind]}{close}"
    )
