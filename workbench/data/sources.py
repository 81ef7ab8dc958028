"""Where tables come from: files, folders, what is in memory, the shipped glossary, the Hub."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.catalog import hub
from workbench.data import arrow, flaws, records, tables, textfile
from workbench.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import datasets
    import pandas as pd

PARTS = ("train", "training", "validation", "valid", "val", "dev", "eval", "test", "testing")
SHIPPED = "glossary/"
SHAPES = "a path, a pandas DataFrame, a datasets.Dataset or DatasetDict, a name such as glossary/triplets, or a Hub id"


@dataclass(frozen=True)
class Opened:
    """A source whose parts are known; `read` gives the table of one part with what is known of its rows."""

    source: Any
    name: str
    parts: tuple[str, ...]
    read: Callable[[str | None], tuple[datasets.Dataset, flaws.Part]]
    roles: Mapping[str, str] | None = None


def choose(opened: Opened, split: str | None) -> str | None:
    """The part that is meant: the one that is asked for, else train, else the only one; None for one table.

    Raises:
        DataError: there is no such part, or none is asked for and it is not clear which.
    """
    parts = opened.parts
    if split is None and parts:
        if "train" not in parts and len(parts) > 1:
            raise DataError(
                f"expected the name of a part of {opened.name}, got none; choose with split= one of {', '.join(parts)}"
            )
        return "train" if "train" in parts else parts[0]
    if split is not None and split not in parts:
        there = (
            f"its parts are {', '.join(parts)}{did_you_mean(split, parts)}"
            if parts
            else "it is one table without parts; leave split out"
        )
        raise DataError(f"expected a part of {opened.name}, got split={split!r}; {there}")
    return split


def open_source(source: Any, config: str | None, delimiter: str | None, encoding: str) -> Opened:
    """Find out what a source is; see `load`.

    Raises:
        DataError: it is nothing that can be loaded.
    """
    import datasets
    import pandas as pd

    if isinstance(source, str | os.PathLike) and os.fspath(source):
        name = os.fspath(source)
        path = Path(os.path.abspath(os.path.expanduser(name)))
        if os.path.isdir(path):  # unlike Path.is_dir this takes names that are too long
            return _folder(path, delimiter, encoding)
        if os.path.exists(path):
            return _file(path, delimiter, encoding)
        if name.startswith(SHIPPED):
            return _shipped(name)
        hub = (
            name.count("/") == 1
            and name[0] not in "./~"
            and not os.path.isdir(path.parent)
            and textfile.suffix_of(path) not in tables.FORMATS
        )
        return _hub(name, config) if hub else _not_there(path, name)
    if isinstance(source, datasets.DatasetDict):
        return _in_memory(source, dict(source), "DatasetDict")
    if isinstance(source, datasets.Dataset):
        return _in_memory(source, {"": source}, "Dataset")
    if isinstance(source, pd.DataFrame):
        return Opened(source, "DataFrame", (), lambda _: _frame(source))
    got = repr(source) if isinstance(source, str) else type(source).__name__
    raise DataError(f"expected {SHAPES}, got {got}; for plain lists: pandas.DataFrame({{'text': [...]}})")


def _not_there(path: Path, name: str) -> Opened:
    folder = next(parent for parent in path.parents if os.path.isdir(parent))
    close = difflib.get_close_matches(path.name, os.listdir(folder), n=3, cutoff=0.5) if folder == path.parent else []
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else f"; give {SHAPES}"
    there = (
        f"there is no such file in {folder}"
        if folder == path.parent
        else f"the folder {flaws.cut(os.path.dirname(name), 200)} does not exist"
    )
    raise DataError(f"expected a table at {flaws.cut(name, 200)}, but {there}{hint}")


def _file(path: Path, delimiter: str | None, encoding: str) -> Opened:
    found = tables.tables(path, delimiter=delimiter, encoding=encoding)

    def read(split: str | None) -> tuple[datasets.Dataset, flaws.Part]:
        return found[split or ""].open(), found[split or ""]

    return Opened(str(path), _name(path), tuple(name for name in found if name), read)


def saved_here(path: Path) -> bool:
    """Whether this is a table that was only in memory before and that `Examples.spec` wrote."""
    return path.parent == files.home() / "tables"


def _name(path: Path) -> str:
    return f"table {path.stem[:8]}" if saved_here(path) else path.name


def _place(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _folder(path: Path, delimiter: str | None, encoding: str) -> Opened:
    import datasets

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        try:
            saved = datasets.load_from_disk(str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"expected a folder of save_to_disk in {path}, but it is damaged ({error.__class__.__name__}); save it again"
            ) from None
        return _in_memory(str(path), dict(saved) if isinstance(saved, datasets.DatasetDict) else {"": saved}, path.name)
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"expected to read the folder {path}, got {error.strerror}; check who may read it") from None
    found: dict[str, Path] = {}
    for file in entries:
        stem = file.name.split(".")[0].lower()
        if textfile.suffix_of(file) in tables.FORMATS and (stem in PARTS or saved_here(path)):
            if stem in found:
                raise DataError(
                    f"expected one file a part in {path}, got {found[stem].name} and {file.name}; move one away"
                )
            found[stem] = file
    if not found:
        there = ", ".join(file.name for file in entries[:5]) or "nothing"
        raise DataError(
            f"expected files named train, validation or test ({', '.join(tables.FORMATS)}) in {path}, got {there}; give the path of one file"
        )

    def read(split: str | None) -> tuple[datasets.Dataset, flaws.Part]:
        inner = _file(found[split or ""], delimiter, encoding)
        return inner.read(choose(inner, None))

    return Opened(str(path), _name(path), tuple(sorted(found, key=_place)), read)


def _in_memory(source: Any, parts: Mapping[str, datasets.Dataset], name: str) -> Opened:
    if not parts:
        raise DataError(f"expected at least one part in {name}, got none; put a table into it")
    for part in parts.values():
        arrow.names(part.column_names, name)

    def read(split: str | None) -> tuple[datasets.Dataset, flaws.Part]:
        part = parts[split or ""].with_format(None)
        if len(part) == 0:
            raise DataError(f"expected rows in {name}{f' ({split})' if split else ''}, got none; put rows into it")
        return part, flaws.Part(Path(name))

    return Opened(source, name, tuple(part for part in parts if part), read)


def _frame(frame: pd.DataFrame) -> tuple[datasets.Dataset, flaws.Part]:
    import datasets

    if len(frame) == 0:
        raise DataError("expected rows in the DataFrame, got none; put rows into it")
    table, found = records.frame_to_arrow(frame)
    return datasets.Dataset(table), flaws.Part(Path("DataFrame"), found)


def _shipped(name: str) -> Opened:
    import datasets

    from workbench.data.glossary import views

    view = name.removeprefix(SHIPPED)
    if view not in views.VIEWS:
        known = [SHIPPED + known for known in views.VIEWS]
        raise DataError(f"expected one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")

    def read(split: str | None) -> tuple[datasets.Dataset, flaws.Part]:
        return datasets.Dataset.from_dict(views.rows(view, split or "train")[0]), flaws.Part(Path(name))

    return Opened(name, name, ("train", "test"), read, views.rows(view, "train")[1])


def _hub(name: str, config: str | None) -> Opened:
    import datasets
    from datasets.naming import camelcase_to_snakecase
    from huggingface_hub import constants

    owner, _, own = name.partition("/")
    cached = (Path(datasets.config.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(own)}").is_dir()
    away = constants.HF_HUB_OFFLINE or not hub.reachable(constants.ENDPOINT)
    if away and not cached:
        raise DataError(
            f"expected a file or a data set of the Hub, got {name!r}: there is no such path, it is not in the local cache, and the "
            "Hub cannot be reached; check the spelling, give the path of a file, or load it once with a network"
        )
    try:
        with _offline(away):
            loaded = datasets.load_dataset(name, config)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        why = flaws.cut(" ".join(str(error).split()), 200)
        raise DataError(
            f"expected the data set {name!r} from the Hub, got {error.__class__.__name__}: {why}; check name and config"
        ) from error
    return _in_memory(name, dict(loaded), name)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep `datasets` to its cache: without a network it would knock at the Hub again and again first."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if wanted:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
