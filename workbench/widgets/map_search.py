"""The texts of a map that are nearest to a typed sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.catalog import models
from workbench.errors import DataError, ModelError
from workbench.spaces.encode import Space
from workbench.spaces.engine import Vectors
from workbench.spaces.search import Hits, Search
from workbench.spaces.stages import model_source

K = 10


class SentenceSearch:
    """Encodes sentences with the model of a space and finds their neighbours. For one thread."""

    def __init__(self) -> None:
        self._vectors = Vectors()
        self._search: Search | None = None

    def hits(self, call: Callable[..., Any], sentence: str, space: Space, model: Any) -> Hits:
        """The 10 texts of a space that are nearest to a sentence.

        Args:
            call: calls a function somewhere else and waits for the result: `Engine.call`.
            sentence: what was typed; the prompt of the space is put before it.
            space: where to search.
            model: what made the space; None looks for a model of that name.

        Raises:
            DataError: the model is not known, or is not the one that made the space.
        """
        source = space.model if model is None else model_source(model)
        try:
            found = models.fingerprint(Path(source) if Path(source).is_dir() else source)
        except ModelError as error:
            raise DataError(
                f"expected the model that made the space, to encode the sentence with, got {error}; give it: wb.EmbeddingMap(space, model)"
            ) from None
        if found != space.model_fingerprint:
            raise DataError(
                f"expected the model that made the space ({space.model}), got {source}, whose weights or settings are others; draw the map again, or give the model that made it"
            )
        query = self._vectors.of(call, [space.prompt + sentence], source)
        if self._search is None or self._search.space is not space:
            self._search = Search(space)
        return self._search.near(query, K, names=[sentence])
