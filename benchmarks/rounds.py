"""Sides that score the same shortlists one after the other, and what each took and gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np

from rag_plugins.vectors import FloatArray

__all__ = ["Round", "Side", "agreement", "run_rounds", "speedup"]

Asked: TypeAlias = tuple[str, Sequence[str]]
"""A question and its passages."""

_Key: TypeAlias = tuple[str, int]
_BEST = 10


@dataclass(frozen=True, slots=True)
class Side:
    """`score` takes a question and what `prepare` makes of passages, which is not timed: users have it."""

    prepare: Callable[[Sequence[str]], Any]
    score: Callable[[str, Any], FloatArray]


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds that each side took for the first n passages, by side and n; its scores of all of them."""

    asked: Asked
    cpu: dict[_Key, float] = field(default_factory=dict[_Key, float])
    wall: dict[_Key, float] = field(default_factory=dict[_Key, float])
    scores: dict[str, FloatArray] = field(default_factory=dict[str, FloatArray])


def run_rounds(sides: Mapping[str, Side], asked: Sequence[Asked], sizes: Sequence[int]) -> Iterator[Round]:
    """A round for each question but the first, which warms up; `sizes` rise to that of a shortlist."""
    for n, (question, passages) in enumerate(asked):
        done = Round((question, passages))
        # Whoever comes after a slow one finds cold caches: all take turns.
        first = n % len(sides)
        for size in sizes if n else sizes[:1]:
            for name in [*sides][first:] + [*sides][:first]:
                _take_turn(done, name, sides[name], size)
        if n:
            yield done


def _take_turn(done: Round, name: str, side: Side, size: int) -> None:
    question, passages = done.asked
    prepared = side.prepare(passages[:size])
    wall, cpu = perf_counter(), process_time()
    done.scores[name] = side.score(question, prepared)
    done.cpu[name, size], done.wall[name, size] = process_time() - cpu, perf_counter() - wall


def speedup(rounds: Sequence[Round], name: str, reference: str, size: int) -> float:
    """How many times the CPU time of `name` the reference took: the median round."""
    return median(done.cpu[reference, size] / done.cpu[name, size] for done in rounds)


def agreement(rounds: Sequence[Round], name: str, reference: str) -> dict[str, Any]:
    """Over all pairs, and over the best of each shortlist: as a set and in order."""
    pairs = [(done.scores[reference], done.scores[name]) for done in rounds]
    theirs, ours = (np.concatenate(side) for side in zip(*pairs, strict=True))
    best = [[np.argsort(-scores, kind="stable")[:_BEST].tolist() for scores in pair] for pair in pairs]
    return {
        "correlation": float(np.corrcoef(theirs, ours)[0, 1]),
        "correlation_least": min(float(np.corrcoef(*pair)[0, 1]) for pair in pairs),
        "max_difference": float(np.abs(theirs - ours).max()),
        "same_top10": all(set(a) == set(b) for a, b in best),
        "overlap10": fmean(len(set(a) & set(b)) / len(a) for a, b in best),
        "same_order10": all(a == b for a, b in best),
        "swapped_gap": max(_gap(scores, *tops) for (scores, _), tops in zip(pairs, best, strict=True)),
    }


def _gap(scores: FloatArray, best: Sequence[int], other: Sequence[int]) -> float:
    """By how much the worst of `other` is worse than the worst of the best, by these scores."""
    return float(scores[best].min() - scores[other].min())
