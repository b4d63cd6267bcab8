"""The score of one passage, term by term: what term indexes must agree with, and what explains a hit."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from rag_plugins.lexical.phrases import starts
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan, Readings
from rag_plugins.types import TermMatch

__all__ = ["contributions", "spelled"]


def contributions(
    plan: Plan,
    surfaces: Sequence[str],
    units: Sequence[str],
    term: Callable[[str], str],
    saturation: float,
) -> list[TermMatch]:
    """What each word, rule and phrase adds to a passage's score, strongest first; their sum is the score.

    The formula is `lexical.plan`'s: `saturation` is S(d), `term` gives the term of a surface, and
    `surfaces` and `units` are the passage's, in reading order.
    """
    counts = Counter(surfaces)
    found = [
        *_words(plan.words, counts, term, saturation),
        *(match for group in plan.groups for match in _best(group, counts, saturation)),
        *(match for word in plan.readings for match in _readings(word, counts, saturation)),
        *(match for phrase in plan.phrases for match in _phrase(phrase, units, saturation)),
    ]
    return sorted(found, key=lambda match: (-match.score, match.term))


def _words(
    words: Mapping[str, float], counts: Mapping[str, int], term: Callable[[str], str], saturation: float
) -> Iterator[TermMatch]:
    of_terms = Counter[str]()
    for surface, count in counts.items():
        of_terms[term(surface)] += count
    for word, weight in words.items():
        if count := of_terms[word]:
            yield TermMatch(word, weight, count / (count + saturation))


def _readings(word: Readings, counts: Mapping[str, int], saturation: float) -> Iterator[TermMatch]:
    found = {surface: share * counts[surface] for surface, share in word.shares.items() if surface in counts}
    damped = sum(found.values()) + saturation
    for surface, count in found.items():
        taken_for = None if surface == word.rule else word.rule
        yield TermMatch(surface, word.weight, count / damped, rule=taken_for)


def _best(group: AnyOf, counts: Mapping[str, int], saturation: float) -> Iterator[TermMatch]:
    matches = [
        TermMatch(surface, weight, counts[surface] / (counts[surface] + saturation), rule=group.rule)
        for surface, weight in group.weights.items()
        if surface in counts
    ]
    if matches:
        yield max(matches, key=lambda match: match.score)


def _phrase(phrase: Nearby, units: Sequence[str], saturation: float) -> Iterator[TermMatch]:
    places = {unit: np.array([n for n, there in enumerate(units) if there == unit]) for unit in phrase.units}
    if count := len(starts(phrase.units, places, phrase.slop)):
        yield TermMatch(spelled(phrase.units), phrase.weight, count / (count + saturation), rule=phrase.rule)


def spelled(units: Sequence[str]) -> str:
    """Units as they are read: Chinese and Japanese are written without spaces."""
    spaces = (" " * (not (_wide(left) and _wide(right))) for left, right in pairwise(units))
    return units[0] + "".join(space + unit for space, unit in zip(spaces, units[1:], strict=True))


def _wide(unit: str) -> bool:
    return unicodedata.east_asian_width(unit[-1]) in "WF"
