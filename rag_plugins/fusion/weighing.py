"""Which weights find known answers best: they stay as they are unless every kind of query says otherwise.

Queries made of the passages themselves favour legs that match words. So a weight is changed only where both
queries that repeat a passage's words and those whose words were cut out of it say that it helps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["CUTOFF", "FEWEST", "Case", "Weighing", "fresh_gain", "weigh"]

CUTOFF = 10
"""The measure is nDCG at this rank."""

_FACTORS = (0.25, 0.5, 2.0, 4.0)
_ROUNDS = 4
_SURE = 2.0
"""Standard errors that a gain must exceed in each kind of query."""

FEWEST = 20
"""Cases from which on they say anything for sure."""

_A_DEAL = 0.02
"""nDCG that a change has to gain in each kind of query where only all of them together are sure of it."""

_HOPELESS = 0.5
"""A leg is left out that finds less than this part of what the best one does, alone, and adds only chance."""

Values = NDArray[np.float64]

_DISCOUNTS: Values = 1.0 / np.log2(np.arange(CUTOFF) + 2.0)


@dataclass(frozen=True, slots=True)
class Case:
    """A query with known answers: evidence by leg and passage id, and grades of the relevant passages.

    `kind` is how the query was made. Where `documents` has those of passages, grades are of documents, and a
    document stands where its best passage does.
    """

    kind: str
    evidence: Mapping[str, Mapping[str, float]]
    relevant: Mapping[str, int]
    documents: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weights by leg, 0 for one that is not worth its time, and nDCG@10 that says why.

    `alone` is of each leg by itself, `without` of all the others as they were weighed.
    """

    weights: Mapping[str, float]
    alone: Mapping[str, float]
    without: Mapping[str, float]
    together: float
    queries: int


def weigh(
    cases: Sequence[Case],
    start: Mapping[str, float],
    kinds: Collection[str] = (),
    kept: Collection[str] = (),
    needed: Collection[str] = (),
    alike: Sequence[Collection[str]] = (),
) -> Weighing:
    """The weights that find the answers best, departing from `start` only by sure gains.

    Each of `kinds`, by default those of the cases, has to gain: with few cases or none it agrees to nothing.
    Legs that are `kept` have the weight they start with: the cases cannot tell what these are for. Those that
    are `needed` are not left out: they are for passages that few cases ask for. Of legs that are `alike`,
    which share one vote, one may get all of it: no kind of query favours any of them.
    """
    judged = _Judged(cases, list(start), kinds)
    legs = list(start)
    free = [n for n, leg in enumerate(legs) if leg not in kept]
    spare = [n for n in free if legs[n] not in needed]
    weights = np.array(list(start.values()), np.float64)
    for group in alike:
        weights = _spoken_for(judged, weights, [n for n in free if legs[n] in group], spare)
    weights = _without_hopeless(judged, weights, spare)
    weights = _improved(judged, weights, free, spare)
    each = dict(zip(legs, np.eye(len(legs)), strict=True))
    return Weighing(
        weights=dict(zip(start, weights.tolist(), strict=True)),
        alone={leg: judged.mean(only) for leg, only in each.items()},
        without={leg: judged.mean(weights * (1.0 - only)) for leg, only in each.items()},
        together=judged.mean(weights),
        queries=len(cases),
    )


def fresh_gain(cases: Sequence[Case], start: Mapping[str, float]) -> float | None:
    """nDCG@10 that weighing gains over `start` on cases it has not seen: each half at the other's weights.

    None where a half has too few cases to be learned from.
    """
    if len(cases) < 2 * FEWEST:
        return None
    order = np.random.default_rng(0).permutation(len(cases)).tolist()
    halves = [cases[n] for n in order[::2]], [cases[n] for n in order[1::2]]
    gains = [_gain(weigh(seen, start).weights, start, fresh) for seen, fresh in (halves, halves[::-1])]
    return _mean(np.concatenate(gains))


def _gain(weights: Mapping[str, float], start: Mapping[str, float], cases: Sequence[Case]) -> Values:
    judged = _Judged(cases, list(start))
    ours, before = (np.array([each[leg] for leg in start], np.float64) for each in (weights, start))
    return judged.values(ours) - judged.values(before)


def _spoken_for(judged: _Judged, weights: Values, group: Sequence[int], spare: Sequence[int]) -> Values:
    """The vote of the group by the one leg that finds more with it than all do together, where one does."""
    now = judged.values(weights)
    tried: list[tuple[float, Values]] = []
    for n in group:
        others = [other for other in group if other != n]
        if not others or not set(others) <= set(spare):
            continue
        each = weights.copy()
        each[list(group)] = 0.0
        each[n] = weights[list(group)].sum()
        gains = judged.values(each) - now
        tried.append((_mean(gains) - _error(gains), each))
    gain, better = max(tried, key=lambda item: item[0], default=(0.0, weights))
    return better if gain > 0.0 else weights


def _without_hopeless(judged: _Judged, weights: Values, spare: Sequence[int]) -> Values:
    """Weight 0 for legs that surely find little in each kind of query, and add no more than its error."""
    alone = [judged.values(only) for only in np.eye(len(weights))]
    *others, best = sorted(range(len(weights)), key=lambda n: _mean(alone[n]))
    for n in (n for n in others if n in spare):
        rest = weights.copy()
        rest[n] = 0.0
        little = judged.surely(_HOPELESS * alone[best] - alone[n]) > 0.0
        added = judged.values(weights) - judged.values(rest)
        if little and _mean(added) <= _error(added):
            weights = rest
    return weights


def _improved(judged: _Judged, weights: Values, free: Sequence[int], spare: Sequence[int]) -> Values:
    """One leg after another, as long as a factor is a sure gain in every kind of query."""
    for _ in range(_ROUNDS):
        now = judged.values(weights)
        tried = [_scaled(weights, n, factor) for n in free if weights[n] for factor in _FACTORS]
        tried += [_scaled(weights, n, 0.0) for n in spare if 0.0 < weights[n] < weights.sum()]
        sure = [(judged.surely(judged.values(each) - now), each) for each in tried]
        gain, better = max(sure, key=lambda item: item[0], default=(0.0, weights))
        if gain <= 0.0:
            break
        weights = better
    return weights


def _scaled(weights: Values, leg: int, factor: float) -> Values:
    changed = weights.copy()
    changed[leg] *= factor
    return changed


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0


def _low(values: Values) -> float:
    """What the mean surely is above."""
    return _mean(values) - _SURE * _error(values)


def _error(values: Values) -> float:
    """Of the mean; few values that agree prove nothing."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) >= FEWEST else math.inf


@dataclass(frozen=True, slots=True)
class _Array:
    """A case: evidence (passages, legs), grades by passage, the best possible gain.

    `documents` numbers the document of each passage, None where no two are of one.
    """

    evidence: Values
    grades: Values
    ideal: float
    documents: NDArray[np.intp] | None


@dataclass(slots=True)
class _Judged:
    """Cases as arrays, and which are of which kind."""

    cases: Sequence[Case]
    legs: Sequence[str]
    kinds: Collection[str] = ()
    _arrays: list[_Array] = field(init=False)
    _rows: list[NDArray[np.intp]] = field(init=False)

    def __post_init__(self) -> None:
        self._arrays = [self._array(case) for case in self.cases]
        made = np.array([case.kind for case in self.cases], np.str_)
        self._rows = [np.flatnonzero(made == kind) for kind in self.kinds or dict.fromkeys(made.tolist())]

    def values(self, weights: Values) -> Values:
        """nDCG@10 of every case; what legs of weight 0 alone have found is not found."""
        return np.array([_ndcg(array, weights) for array in self._arrays], np.float64)

    def mean(self, weights: Values) -> float:
        """Over all cases."""
        return _mean(self.values(weights))

    def surely(self, gains: Values) -> float:
        """By how much every kind gains: each surely, or each a good deal and all together surely."""
        each = min((_low(gains[rows]) for rows in self._rows), default=0.0)
        least = min((_mean(gains[rows]) for rows in self._rows if len(rows) >= FEWEST), default=0.0)
        few = any(len(rows) < FEWEST for rows in self._rows)
        return each if few else max(each, min(least, _low(gains)) - _A_DEAL)

    def _array(self, case: Case) -> _Array:
        ids = sorted({id for leg in self.legs for id in case.evidence.get(leg, ())})
        place = {id: n for n, id in enumerate(ids)}
        # What a leg has not found is told from what it found worth nothing.
        evidence = np.full((len(ids), len(self.legs)), -1.0)
        for column, leg in enumerate(self.legs):
            for id, nats in case.evidence.get(leg, {}).items():
                evidence[place[id], column] = nats
        answers = [case.documents.get(id, id) for id in ids]
        grades = np.array([case.relevant.get(answer, 0) for answer in answers], np.float64)
        number = {answer: n for n, answer in enumerate(dict.fromkeys(answers))}
        same = np.array([number[answer] for answer in answers]) if len(number) < len(ids) else None
        ideal = sorted((grade for grade in case.relevant.values() if grade > 0), reverse=True)[:CUTOFF]
        return _Array(evidence, grades, float(np.array(ideal) @ _DISCOUNTS[: len(ideal)]), same)


def _ndcg(array: _Array, weights: Values) -> float:
    found = np.flatnonzero((array.evidence[:, weights > 0] >= 0).any(axis=1))
    if not array.ideal or not array.grades[found].any():
        return 0.0
    scores = np.maximum(array.evidence[found], 0.0) @ weights
    # Stable: rows are in the order of their ids, which breaks ties.
    ranked = found[np.argsort(-scores, kind="stable")]
    if array.documents is not None:
        _, first = np.unique(array.documents[ranked], return_index=True)
        ranked = ranked[np.sort(first)]
    best = array.grades[ranked[:CUTOFF]]
    return float(best @ _DISCOUNTS[: len(best)]) / array.ideal
