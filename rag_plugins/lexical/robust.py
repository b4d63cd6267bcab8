"""A robust leg's plan: what each word of a query may have been read as, and the n-grams of its letters.

The model is a noisy channel (Shannon 1948; Kernighan, Church and Gale 1990): a surface s that is c edits away
from a word w counts as a share of it,

    share(s | w) = exp(-3 c / min(|w|, |s|)) / sqrt(df(s))

since a surface that is frequent is rather a word of its own. Look-alikes are cheap (`lexical.confusions`).
The pieces of a broken word and words that have run together are readings too. The idf is that of passages
with any reading, so a rare misreading weighs no more than the word itself. N-grams are a second vote, for
words that are damaged beyond that.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from rag_plugins.lexical.confusions import reading_cost
from rag_plugins.lexical.plan import Plan, Readings, TermDictionary
from rag_plugins.models.bm25_statistics import Bm25Statistics
from rag_plugins.models.ngrams import NgramAnalyser, is_ngram, is_spaced
from rag_plugins.models.questions import question_words

__all__ = ["robust_plan"]

_DECAY = 3.0
"""The exponent of a share is this times edits a letter."""

_EDITS_FROM = (3, 6, 10)
"""Letters from which a word is looked for one, two and three edits away."""

_SHORTEST_PIECE = 3
"""Letters of a piece of a broken word."""

_LEAST_PIECE = 0.4
"""Of a word's letters: a piece with fewer tells nothing of the word."""

_LACKING = 0.5
"""Edits for each letter that a piece lacks, as it stands in another piece."""

_LONGEST = 24
"""Letters of two words that ran together."""

_READINGS = 128
"""The likeliest of a word."""

_LOOKED_AT = 1024
"""Surfaces among which they are chosen."""

_VOTE = 0.15
"""What an n-gram weighs beside a word."""


def robust_plan(query: str, statistics: Bm25Statistics, dictionary: Callable[[], TermDictionary]) -> Plan:
    """What to look for; `dictionary` is only called for words that are long enough to be misread."""
    analyser = NgramAnalyser()
    query = _without_question(query, statistics)
    channel = _Channel(statistics, dictionary)
    ngrams = Counter(ngram for ngram in analyser.ngrams(query) if ngram in statistics.frequencies)
    return Plan(
        words={ngram: _VOTE * count * statistics.idf(ngram) for ngram, count in ngrams.items()},
        readings=tuple(channel.readings(analyser.words(query))),
    )


def _without_question(query: str, statistics: Bm25Statistics) -> str:
    """The query without how it asks (who, what, when …): passages answer and do not ask.

    So such a word is rare in them, and weighs a lot. A query of nothing else stays as it is.
    """
    asking, words = question_words(statistics.frequencies), NgramAnalyser().words
    return " ".join(chunk for chunk in query.split() if not asking.issuperset(words(chunk))) or query


class _Channel:
    def __init__(self, statistics: Bm25Statistics, dictionary: Callable[[], TermDictionary]) -> None:
        self._statistics = statistics
        self._frequencies = statistics.frequencies
        self._dictionary = dictionary

    def readings(self, words: list[str]) -> Iterator[Readings]:
        """Of each distinct word that has any, as often as it is among the words."""
        joined = self._joined(words)
        for word, count in Counter(words).items():
            shares: dict[str, float] = {}
            for surface, cost in (*self._itself(word), *joined[word]):
                shares[surface] = max(shares.get(surface, 0.0), self._share(word, surface, cost))
            likeliest = sorted(shares.items(), key=lambda reading: (-reading[1], reading[0]))
            shares = dict(likeliest[:_READINGS])
            if shares:
                yield Readings(word, shares, count * self._idf(shares))

    def _itself(self, word: str) -> Iterator[tuple[str, float]]:
        """Surfaces that may be this word, misread or a piece of it, and their cost."""
        if word in self._frequencies:
            yield word, 0.0
        if is_spaced(word) and len(word) >= _EDITS_FROM[0]:
            yield from self._pieces(word)
            yield from self._near(word, bisect_right(_EDITS_FROM, len(word)))

    def _near(self, word: str, edits: int) -> Iterator[tuple[str, float]]:
        for surface, distance in self._dictionary().fuzzy(word, edits, _LOOKED_AT):
            if not (is_ngram(surface) or _is_another_number(word, surface)):
                yield surface, reading_cost(word, surface, distance)

    def _pieces(self, word: str) -> Iterator[tuple[str, float]]:
        shortest = max(_SHORTEST_PIECE, math.ceil(_LEAST_PIECE * len(word)))
        for letters in range(shortest, len(word) - 1):
            for piece in (word[:letters], word[-letters:]):
                if piece in self._frequencies and not piece.isdigit():
                    yield piece, _LACKING * (len(word) - letters)

    def _joined(self, words: list[str]) -> Mapping[str, list[tuple[str, float]]]:
        """For each word the surfaces that may be it and its neighbour run together, and their cost."""
        found: defaultdict[str, list[tuple[str, float]]] = defaultdict(list[tuple[str, float]])
        for left, right in pairwise(words):
            if is_spaced(left) and is_spaced(right) and len(left + right) <= _LONGEST:
                both = list(self._near(left + right, 1))
                found[left] += both
                found[right] += both
        return found

    def _share(self, word: str, surface: str, cost: float) -> float:
        if not cost:
            return 1.0
        frequency = max(self._frequencies.get(surface, 0), 1)
        return math.exp(-_DECAY * cost / min(len(word), len(surface))) / math.sqrt(frequency)

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
