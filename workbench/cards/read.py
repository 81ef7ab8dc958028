"""A model card of Sentence Transformers, of any version from 3.0, read into a record and a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench.cards import read_parts as parts
from workbench.cards.read_doubts import Reading, doubts
from workbench.cards.read_outline import Section, bare, outline
from workbench.cards.read_recipe import recipe
from workbench.cards.read_record import Said
from workbench.cards.read_text import MAX_BYTES, decoded, front_matter, repaired
from workbench.catalog import hub
from workbench.errors import ModelError
from workbench.recipe import Recipe

README = "README.md"
OTHERS = {
    "CrossEncoder": "a cross-encoder, which scores pairs of texts",
    "SparseEncoder": "a sparse encoder",
    "MultiVectorEncoder": "a multi-vector encoder",
}
_WORDS = {"cross encoder": "CrossEncoder", "sparse encoder": "SparseEncoder", "multi-vector": "MultiVectorEncoder",
          "multi vector": "MultiVectorEncoder", "late interaction": "MultiVectorEncoder"}  # fmt: skip
_TAGS = {"cross-encoder": "CrossEncoder", "reranker": "CrossEncoder", "sparse-encoder": "SparseEncoder",
         "splade": "SparseEncoder", "multi-vector-encoder": "MultiVectorEncoder"}  # fmt: skip


class Card(Said):
    """A model card, read: what it says, and the recipe that repeats its run."""

    @property
    def recipe(self) -> Recipe:
        """The recipe that repeats the run, as far as the card tells; what it does not tell is in `doubts`.

        Raises:
            RecipeError: it cannot be built, such as for a loss without source; see `to_recipe`.
        """
        return self.to_recipe()

    def to_recipe(self, **changes: Any) -> Recipe:
        """As `recipe`, with settings of your own in the place of what the card says or does not say.

        Args:
            **changes: settings of `Recipe`, such as loss=…, data=…, model=….

        Raises:
            RecipeError: what the card says, or a setting given here, makes no recipe.
        """
        return recipe(self, changes)


def read_card(card: str | Path) -> Card:
    """Read the model card of a fine-tuned sentence embedding model.

    Args:
        card: path of the card, of a model folder or of a run folder; the card's text; or a Hub id, for which the
            local Hub cache is asked first.

    Returns:
        What the card says; what it does not say or says wrongly is in `.doubts`, and what repeats its run is `.recipe`.

    Raises:
        ModelError: there is no such card, it cannot be read, or it is of another kind of model.
    """
    if isinstance(card, str) and "\n" in card:
        if len(card) > MAX_BYTES:
            raise ModelError(
                f"expected a model card of at most {MAX_BYTES:,} characters, got {len(card):,}; give the README.md of a model"
            )
        return _read(*decoded(card.encode("utf-8", errors="replace"), "the text"), "the text")
    if not isinstance(card, str | Path) or not str(card).strip():
        raise ModelError(
            f"expected the path of a model card, its text or a Hub id, got {card!r:.100}; give a README.md"
        )
    path = _path(str(card))
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:
        raise ModelError(
            f"expected a model card, but {path!s:.300} cannot be read ({error.__class__.__name__}); check the path"
        ) from None
    if size > MAX_BYTES:
        raise ModelError(
            f"expected a model card of at most {MAX_BYTES:,} bytes, got {size:,} in {path}; give the README.md of a model"
        )
    return _read(*decoded(content, str(path)), str(path))


def _path(name: str) -> Path:
    """The file that a path or a Hub id means."""
    folder = hub.folder_of(name)
    if folder:
        inside = [place for place in (folder / README, folder / "model" / README) if place.is_file()]
        if not inside:
            raise ModelError(f"expected a {README} in the folder {folder}, got none; give the path of the card")
        return inside[0]
    path = Path(name).expanduser() if name.startswith("~") else Path(name)
    try:
        there = path.is_file()
    except (OSError, ValueError):  # longer than any path, or with a character that no path has
        there = False
    if there:
        return path
    if not hub.is_id(name) or path.suffix.lower() in (".md", ".txt", ".markdown"):
        raise ModelError(
            f"expected the path of a model card, its text or a Hub id such as owner/name, got {name!r:.200}, which is no file; check the path"
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, README, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        here = hub.on_this_machine(name, None)
        if here and (here[0] / README).is_file():
            return here[0] / README
    ways = f"give the path of its {README}"
    if constants.HF_HUB_OFFLINE or not hub.reachable(constants.ENDPOINT):
        raise ModelError(f"the card of {name!r} is not on this machine and the model hub cannot be reached; {ways}")
    try:
        return Path(hf_hub_download(name, README))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(
            f"the card of {name!r} could not be fetched ({error.__class__.__name__}); check the spelling, or {ways}"
        ) from None


def _read(text: str, valid: bool, where: str) -> Card:
    own = "\n### The Run\n" in text and "- **Workbench:**" in text
    text, repair = repaired(text, pieces=not own)
    front, body, wrong = front_matter(text)
    sections = outline(body, unescape=own)
    tags = tuple(tag for tag in parts.as_list(front.get("tags")) if isinstance(tag, str))
    kind = _kind(sections, front, tags)
    if kind in OTHERS:
        raise ModelError(
            f"expected the card of a SentenceTransformer, got that of {OTHERS[kind]} ({kind}) in {where}; the workbench fine-tunes SentenceTransformer models only"
        )
    if kind is None:
        raise ModelError(
            f"expected a model card of Sentence Transformers, got a text without its marks (library_name, printed modules, training details) in {where}; give the README.md of a model"
        )
    every, changed, apart = parts.settings(sections)
    names, revision = parts.base_model(sections, front)
    datasets = parts.datasets(sections, tags)
    log, best = parts.log(sections)
    said = next((part for part in sections if own and part.level == 3 and part.title == "Recipe"), None)
    card = Card(
        model_name=next((section.title for section in sections if section.level == 1), "") or "unnamed",
        base_model=names[0] if names else None,
        revision=revision,
        kind=kind,
        versions=parts.versions(sections),
        how="workbench" if own else _how(every, datasets),
        architecture=parts.architecture(sections),
        datasets=datasets,
        hyperparameters=every,
        non_default=changed,
        log=log,
        best_step=best,
        scores=parts.scores(sections, front),
        times_s=parts.times(sections),
        citations=parts.citations(sections),
        tags=tags,
        licence=parts.as_text(front.get("license")),
        widgets=len(parts.as_list(front.get("widget"))),
        recipe_text=next(iter(said.fences), None) if said else None,
    )
    reading = Reading(sections, front, wrong, valid, repair, tuple(names), apart)
    return dataclasses.replace(card, doubts=doubts(card, reading))


def _kind(sections: Sequence[Section], front: Mapping[str, Any], tags: Sequence[str]) -> str | None:
    """SentenceTransformer, one of `OTHERS`, or None for no card of the library."""
    shape = parts.first(sections, "Full Model Architecture")
    printed = (shape.fences[0] if shape and shape.fences else "").partition("(")[0].strip()
    if printed in ("SentenceTransformer", *OTHERS):
        return printed
    said = bare(parts.item_of(sections, "Model Type:") or "").lower()
    named = next((kind for word, kind in _WORDS.items() if word in said), None)
    named = named or next((_TAGS[tag] for tag in tags if tag in _TAGS), None)
    if named:
        return named
    sure = "sentence-transformers" in (front.get("library_name"), *tags) or "sentence transformer" in said
    trained = any(section.under(start) and section.item("Loss:") for section in sections for start in parts.DATASETS)
    return "SentenceTransformer" if sure or trained else None


def _how(every: Mapping[str, Any], datasets: Sequence[Any]) -> Literal["fit", "trainer", "unknown"]:
    """The old fit() names columns itself, knows no name of the data, and leaves the printed settings untouched."""
    if not every:
        return "unknown"
    train = [data for data in datasets if data.part == "train"]
    own = bool(train) and all(
        data.name is None
        and data.columns
        and all(
            column.name == "label" if place and column.name == "label" else column.name == f"sentence_{place}"
            for place, column in enumerate(data.columns)
        )
        for data in train
    )
    untouched = all(every.get(name, value) == value for name, value in UNTOUCHED.items())
    return "fit" if own and untouched and every.get("multi_dataset_batch_sampler") == "round_robin" else "trainer"


# What fit() never sets, so that a card with other values is none of its.
UNTOUCHED = {"learning_rate": 5e-5, "weight_decay": 0, "gradient_accumulation_steps": 1, "lr_scheduler_type": "linear"}
