"""A robust leg's plan: what each word of a query may have been read as, and the n-grams of its letters.

The model is a noisy channel (Shannon 1948; Kernighan, Church and Gale 1990): a surface s that is c edits away
from a word w counts as a share of it,

    share(s | w) = exp(-3 c / min(|w|, |s|)) * sqrt(min(1, (1 + df(w) / 20) / df(s)))

since a surface that is frequent beside the word is rather a word of its own. Look-alikes are cheap
(`lexical.confusions`). The pieces of a broken word and words that have run together are readings too. The idf
is that of passages with any reading, so a rare misreading weighs no more than the word itself. N-grams are a
second vote, for words that are damaged beyond that.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from rag_plugins.lexical.confusions import reading_costs
from rag_plugins.lexical.plan import Plan, Readings, TermDictionary
from rag_plugins.models.bm25_statistics import Bm25Statistics
from rag_plugins.models.ngrams import NgramAnalyser, is_ngram, is_spaced
from rag_plugins.models.questions import question_words
from rag_plugins.types import TermMatch

__all__ = ["ngrams_as_one", "robust_plan"]

_DECAY = 3.0
"""The exponent of a share is this times edits a letter."""

_MISREAD = 0.05
"""Of the passages with a word, how many more may have it in one and the same misreading."""

_EDITS_FROM = (3, 6, 10)
"""Letters from which a word is looked for one, two and three edits away."""

_SHORTEST_PIECE = 3
"""Letters of a piece of a broken word."""

_LEAST_PIECE = 0.4
"""Of a word's letters: a piece with fewer tells nothing of the word."""

_LONGEST_BROKEN = 500
"""Letters of a word whose pieces are looked for: time grows with their square, and no word is longer."""

_LACKING = 0.5
"""Edits for each letter that a piece lacks, as it stands in another piece."""

_LONGEST = 24
"""Letters of two words that ran together."""

_READINGS = 128
"""The likeliest of a word."""

_LOOKED_AT = 256
"""Surfaces among which they are chosen."""

_VOTE = 0.15
"""What an n-gram weighs beside a word."""


def robust_plan(query: str, statistics: Bm25Statistics, dictionary: Callable[[], TermDictionary]) -> Plan:
    """What to look for; `dictionary` is only called for words that are long enough to be misread."""
    analyser = NgramAnalyser()
    query = _without_question(query, statistics)
    words = analyser.words(query)
    ngrams = Counter(ngram for ngram in analyser.ngrams(query) if ngram in statistics.frequencies)
    return Plan(
        words={ngram: _VOTE * count * statistics.idf(ngram) for ngram, count in ngrams.items()},
        readings=tuple(_Channel(statistics, dictionary).readings(words)),
    )


def ngrams_as_one(matches: Sequence[TermMatch]) -> list[TermMatch]:
    """The matches, those of n-grams summed up as one: people read words."""
    ngrams = [match for match in matches if is_ngram(match.term)]
    words = [match for match in matches if not is_ngram(match.term)]
    if ngrams:
        weight = sum(match.query_weight for match in ngrams)
        damped = sum(match.score for match in ngrams) / weight
        words.append(TermMatch(f"{len(ngrams)} n-grams", weight, damped, rule="n-grams"))
    return sorted(words, key=lambda match: (-match.score, match.term))


def _without_question(query: str, statistics: Bm25Statistics) -> str:
    """The query without how it asks (who, what, when …): passages answer and do not ask.

    So such a word is rare in them, and weighs a lot. A query of nothing else stays as it is.
    """
    asking, words = question_words(statistics.frequencies), NgramAnalyser().words
    return " ".join(chunk for chunk in query.split() if not asking.issuperset(words(chunk))) or query


def _may_join(left: str, right: str) -> bool:
    return is_spaced(left) and is_spaced(right) and len(left + right) <= _LONGEST


class _Channel:
    """Each method gives surfaces that may be a word, with their cost in edits."""

    def __init__(self, statistics: Bm25Statistics, dictionary: Callable[[], TermDictionary]) -> None:
        self._statistics = statistics
        self._frequencies = statistics.frequencies
        self._dictionary = dictionary

    def readings(self, words: list[str]) -> Iterator[Readings]:
        """Of each distinct word that has any, as often as it is among the words."""
        joined = self._joined(words)
        for word, count in Counter(words).items():
            shares = self._shares(word, [*self._itself(word), *joined[word]])
            if shares:
                yield Readings(word, shares, count * self._idf(shares))

    def _itself(self, word: str) -> Iterator[tuple[str, float]]:
        """As it is, misread or broken."""
        if word in self._frequencies:
            yield word, 0.0
        if is_spaced(word):
            yield from self._pieces(word)
            yield from self._misread(word, bisect_right(_EDITS_FROM, len(word)))

    def _misread(self, word: str, most: int) -> Iterator[tuple[str, float]]:
        near = [
            (surface, edits)
            for surface, edits in (self._dictionary().fuzzy(word, most, _LOOKED_AT) if most else ())
            if not (is_ngram(surface) or _is_another_number(word, surface))
        ]
        surfaces = [surface for surface, _ in near]
        costs = reading_costs(word, surfaces, np.array([edits for _, edits in near], np.int64))
        return zip(surfaces, costs.tolist(), strict=True)

    def _pieces(self, word: str) -> Iterator[tuple[str, float]]:
        shortest = max(_SHORTEST_PIECE, math.ceil(_LEAST_PIECE * len(word)))
        longest = len(word) - 2 if len(word) <= _LONGEST_BROKEN else 0
        for letters in range(shortest, longest + 1):
            for piece in (word[:letters], word[-letters:]):
                if piece in self._frequencies and not piece.isdigit():
                    yield piece, _LACKING * (len(word) - letters)

    def _joined(self, words: list[str]) -> Mapping[str, list[tuple[str, float]]]:
        """For each word, run together with a neighbour."""
        found: defaultdict[str, list[tuple[str, float]]] = defaultdict(list[tuple[str, float]])
        for left, right in pairwise(words):
            if _may_join(left, right):
                both = list(self._misread(left + right, 1))
                found[left] += both
                found[right] += both
        return found

    def _shares(self, word: str, costs: Sequence[tuple[str, float]]) -> dict[str, float]:
        """The largest, by surface; see the module's head."""
        known = [(cost, len(surface), self._frequencies.get(surface, 1)) for surface, cost in costs]
        cost, lengths, frequencies = np.array(known, np.float64).reshape(-1, 3).T
        expected = 1.0 + _MISREAD * self._frequencies.get(word, 0)
        shares = np.exp(-_DECAY * cost / np.minimum(lengths, len(word)))
        shares *= np.where(cost > 0.0, np.sqrt(np.minimum(expected / frequencies, 1.0)), 1.0)
        found: dict[str, float] = {}
        for row in np.argsort(-shares, kind="stable")[:_READINGS].tolist():
            found.setdefault(costs[row][0], float(shares[row]))
        return found

    def _idf(self, shares: Mapping[str, float]) -> float:
        """That of a term in as many passages as are expected to have a reading, each with its share."""
        passages = max(self._statistics.documents, 1)
        without = math.prod(
            1.0 - min(share * self._frequencies.get(surface, 0) / passages, 1.0)
            for surface, share in shares.items()
        )
        return self._statistics.idf_of(passages * (1.0 - without))


def _is_another_number(word: str, surface: str) -> bool:
    return word != surface and word.isdigit() and surface.isdigit()
