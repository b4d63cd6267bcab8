"""How sure a reranker's scores are: isotonic calibration, and what it is worth on queries it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import BadInput
from rag_plugins.evaluation.tuning.curves import Curve, Floats, fitted
from rag_plugins.models.rerank.calibration import calibrate
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray

__all__ = [
    "CUTS",
    "Bin",
    "Calibration",
    "Cut",
    "Pairs",
    "Quality",
    "Scaling",
    "calibration",
]

CUTS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The values of `min_score` that are tried."""

_KEPT = 0.95
"""The share of relevant passages that a suggested `min_score` has to keep."""

_FOLDS = 5
_QUERIES = 20
"""The fewest queries with a relevant passage to fit from: four a fold."""

_BINS = 10

Scaling: TypeAlias = Literal["sigmoid", "min-max"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a stage read: n pairs of query (its number) and passage, shapes (n,).

    `plain` are the probabilities that scores are without a fit, by `scaling`. Nothing is fitted on queries
    that are not `known`: the set does not tell which passages answer them.
    """

    query: NDArray[np.int64]
    score: FloatArray
    plain: FloatArray
    relevant: NDArray[np.bool_]
    known: NDArray[np.bool_]
    scaling: Scaling


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of like probability: how many, the mean of what was said, and the share that is relevant."""

    pairs: int
    said: float
    relevant: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How true probabilities are: Brier score and expected calibration error, both 0 at best.

    The error is the mean of |said - relevant| over ten bins of equal width, weighted by pairs (Naeini, Cooper
    and Hauskrecht 2015).
    """

    brier: float
    error: float
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, said: Floats | FloatArray, relevant: NDArray[np.bool_]) -> Quality:
        """Of n probabilities and what was so."""
        place = np.minimum((said * _BINS).astype(int), _BINS - 1)
        groups = [place == number for number in range(_BINS) if (place == number).any()]
        bins = tuple(
            Bin(int(group.sum()), float(said[group].mean()), float(relevant[group].mean()))
            for group in groups
        )
        error = sum(bin.pairs * abs(bin.said - bin.relevant) for bin in bins) / len(said)
        return cls(float(np.mean((said - relevant) ** 2)), error, bins)

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four digits; without the bins."""
        return {"brier": round(self.brier, 4), "ece": round(self.error, 4)}


@dataclass(frozen=True, slots=True)
class Cut:
    """What a `min_score` does: the share of relevant passages that it keeps.

    `emptied` is the share that comes out empty of the queries with nothing relevant among what was read, None
    where there are none.
    """

    min_score: float
    kept: float
    emptied: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Rounded to four digits."""
        emptied = None if self.emptied is None else round(self.emptied, 4)
        return {"min_score": self.min_score, "kept": round(self.kept, 4), "emptied": emptied}


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve fitted on all queries, and its quality on those of each fold by the curve of the others.

    `vacant` counts queries with nothing relevant among what was read.
    """

    curve: Curve
    pairs: int
    base_rate: float
    scaling: Scaling
    before: Quality
    after: Quality
    cuts: tuple[Cut, ...]
    vacant: int

    @property
    def suggested(self) -> float | None:
        """The highest `min_score` tried that keeps 95 % of the relevant passages; None where none does."""
        return max((cut.min_score for cut in self.cuts if cut.kept >= _KEPT), default=None)

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "pairs": self.pairs,
            "base_rate": round(self.base_rate, 4),
            "before": {"by": self.scaling, **self.before.to_json()},
            "after": self.after.to_json(),
            "min_scores": [cut.to_json() for cut in self.cuts],
            "min_score": self.suggested,
            "vacant": self.vacant,
            "isotonic": [list(point) for point in self.curve],
        }


def calibration(pairs: Pairs) -> Calibration:
    """Fit relevance on score, and judge the fit by cross-validation over queries, not over pairs.

    Raises `BadInput` where there is too little to fit from, and `MissingExtra` without scikit-learn.
    """
    _check(pairs)
    fold = _folds(pairs)
    said = np.zeros(len(pairs.score))
    for number in range(_FOLDS):
        here = fold == number
        said[here] = calibrate(
            pairs.score[here], "similarity", "isotonic", _curve(pairs, pairs.known & ~here)
        )
    known = pairs.known
    return Calibration(
        curve=_curve(pairs, known),
        pairs=int(known.sum()),
        base_rate=float(pairs.relevant[known].mean()),
        scaling=pairs.scaling,
        before=Quality.of(pairs.plain[known], pairs.relevant[known]),
        after=Quality.of(said[known], pairs.relevant[known]),
        cuts=_cuts(pairs, said),
        vacant=len(_tops(pairs, said)),
    )


def _check(pairs: Pairs) -> None:
    relevant = pairs.known & pairs.relevant
    queries, others = len(np.unique(pairs.query[relevant])), int((pairs.known & ~pairs.relevant).sum())
    if queries < _QUERIES or others < _QUERIES:
        raise BadInput(
            f"queries with a relevant passage among those that the stage reads: {queries}, passages read "
            f"that are not relevant: {others}; a calibration needs {_QUERIES} of each. Give more judged "
            "queries, or a greater depth"
        )


def _folds(pairs: Pairs) -> NDArray[np.int64]:
    """The fold of each pair: a query is in one, and queries with something relevant are in all alike."""
    found = np.unique(pairs.query[pairs.relevant])
    dealt = np.random.default_rng(0).permutation(found)
    others = np.setdiff1d(pairs.query, found)
    place = {int(query): number % _FOLDS for number, query in enumerate([*dealt, *others])}
    return np.array([place[int(query)] for query in pairs.query])


def _curve(pairs: Pairs, chosen: NDArray[np.bool_]) -> Curve:
    return fitted(pairs.score[chosen], pairs.relevant[chosen])


def _cuts(pairs: Pairs, said: Floats) -> tuple[Cut, ...]:
    relevant, tops = said[pairs.relevant], _tops(pairs, said)
    return tuple(
        Cut(cut, float((relevant >= cut).mean()), float((tops < cut).mean()) if len(tops) else None)
        for cut in CUTS
    )


def _tops(pairs: Pairs, said: Floats) -> Floats:
    """The highest probability of each query with nothing relevant among what was read."""
    vacant = np.setdiff1d(pairs.query, pairs.query[pairs.relevant])
    tops = np.zeros(pairs.query.max() + 1)
    np.maximum.at(tops, pairs.query, said)
    return tops[vacant]
