"""What differs between two models on one table: scores, maps in one frame, neighbours, similarities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.spaces.compare import NeighbourChange
from workbench.spaces.displacement import Displacement
from workbench.spaces.evaluate import Change
from workbench.spaces.project import Projection
from workbench.spaces.similarity import Similarity

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Comparison(Change):
    """What two models do with the same table. What has not been found yet, or cannot be, is None.

    Attributes:
        about: the rows that were scored and the texts that were drawn, in words.
        maps: both maps in one frame: the second starts from the first and is turned onto it.
        neighbours: change of the neighbours in all dimensions; no layout enters it.
        displacement: way of each text on the map, told apart from the noise of the layout.
        similarity: cosines of a few texts under both models: of rows that gained and lost, then of others that changed.
        labels: a label for each text of the maps.
        colour: what the labels are; empty for none.
        sampled: there are more texts than were drawn.
    """

    about: str = ""
    maps: tuple[Projection, Projection] | None = None
    neighbours: NeighbourChange | None = None
    displacement: Displacement | None = None
    similarity: tuple[Similarity, Similarity] | None = None
    labels: tuple[str, ...] | None = None
    colour: str = ""
    sampled: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of both maps."""
        return () if self.maps is None else self.maps[0].space.texts

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed, each number with its interval, and whether that is more than chance."""
        said = [self._said_of_scores()]
        if self.neighbours is not None:
            said.append(self.neighbours.sentence)
        if self.displacement is not None:
            said.append(self.displacement.sentence)
        return tuple(said)

    def _said_of_scores(self) -> str:
        if not self.delta:
            return f"No score: {self.after.note}."
        name = self.after.primary
        delta, n = self.delta[name], self.after.scores[name].n
        if delta.mid is None:
            return f"The change of {name} is undefined: {delta.why}."
        verdict = "" if delta.within_noise else ", more than the noise"
        return (
            f"{name} changed by {delta}{verdict}; of {n:,} {_UNITS.get(self.after.task, 'rows')} "
            f"{len(self.gained):,} gained and {len(self.lost):,} lost."
        )

    def farthest(self, count: int = 20) -> tuple[int, ...]:
        """Rows that moved farthest on the map, at most `count`; rows without a place in both maps are none."""
        if self.displacement is None or self.displacement.level is None:
            return ()
        way = np.nan_to_num(self.displacement.distance)
        return tuple(int(row) for row in np.argsort(-way, kind="stable")[:count] if way[row] > 0)

    def to_frame(self, rows: tuple[int, ...] | None = None) -> pandas.DataFrame:
        """Texts with the columns row, text, change, moved, noise (in words), came and went (lists of texts).

        Args:
            rows: row numbers in the maps; None takes all, those whose neighbours changed most first.
        """
        import pandas

        found = self.neighbours
        if rows is None:
            rows = () if found is None else tuple(np.argsort(-np.nan_to_num(found.change), kind="stable").tolist())
        return pandas.DataFrame([self._row(row) for row in rows], columns=_COLUMNS)

    def _row(self, row: int) -> dict[str, Any]:
        found, way, texts = self.neighbours, self.displacement, self.texts
        move = None if found is None else found.moved(row)
        return {
            "row": row,
            "text": texts[row],
            "change": None if found is None else _number(found.change[row]),
            "moved": None if way is None else _number(way.distance[row]),
            "noise": "undefined" if way is None else way.said(row),
            "came": [] if move is None else [texts[place] for place in move.came],
            "went": [] if move is None else [texts[place] for place in move.went],
        }

    @cached_property
    def _units(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        sides = self.before.metrics, self.after.metrics
        return {name: (sides[0][name].by_unit(), sides[1][name].by_unit()) for name in self.after.scores}

    @cached_property
    def _places(self) -> dict[tuple[str, ...], int]:
        return {texts: place for place, texts in reversed([*enumerate(self.after.texts)])}

    def unit_scores(self, texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
        """Each score of a row that gained or lost, before and after."""
        place = self._places[texts]
        return {name: (float(a[place]), float(b[place])) for name, (a, b) in self._units.items()}

    def to_json(self, rows: int = 200) -> dict[str, Any]:
        """Plain values; of changed units and of texts at most `rows` each, texts cut after 300 characters."""
        plain = super().to_json(rows)
        plain["delta"] = {name: {**vars(d), "within_noise": d.within_noise} for name, d in self.delta.items()}
        plain |= {"about": self.about, "texts": len(self.texts), "sentences": list(self.sentences)}
        plain["maps"] = None if self.maps is None else [made.record for made in self.maps]
        if (found := self.neighbours) is not None:
            listed = [_cut(row) for row in self.to_frame(found.most(rows)).to_dict("records")]
            plain["neighbours"] = {"k": found.k, "mean_change": vars(found.mean), "why": found.why, "rows": listed}
        if (way := self.displacement) is not None:
            plain["displacement"] = {
                "noise_level": way.level,
                "noise_from": way.noise_from,
                "noise_seeds": list(way.seeds),
                "share_beyond": vars(way.share),
                "within_noise": way.within_noise,
                "why": way.why,
                "rows": [_cut(row) for row in self.to_frame(self.farthest(rows)).to_dict("records")],
            }
        if self.similarity is not None:
            first, second = (
                [[_number(value) for value in line] for line in made.matrix.tolist()] for made in self.similarity
            )
            plain["similarity"] = {
                "texts": [text[:300] for text in self.similarity[0].texts],
                "before": first,
                "after": second,
            }
        return plain

    def __repr__(self) -> str:
        return "\n".join([super().__repr__(), *self.sentences[1 if self.delta else 0 :]])

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences)
        return f"{super()._repr_html_() if self.delta else ''}<p>{escape(self.about)}</p><ul>{said}</ul>"


_UNITS = {"triplets": "triplets", "retrieval": "queries", "graded": "pairs", "labels": "texts"}
_COLUMNS = ["row", "text", "change", "moved", "noise", "came", "went"]


def _number(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return round(float(value), 6) if np.isfinite(value) else None


def _cut(row: Any) -> dict[str, Any]:
    came, went = ([text[:300] for text in row[name]] for name in ("came", "went"))
    return {**row, "text": row["text"][:300], "came": came, "went": went}
