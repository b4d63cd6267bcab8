"""From a query to a plan: words weighed, rules expanded over the collection's own terms, typos forgiven."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadQuery
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan, TermDictionary
from rag_plugins.lexical.rules import Fuzzy, Phrase, Plain, Prefix, Query, Rule, Wildcard
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.words import LETTER, fold
from rag_plugins.text import clean

__all__ = ["compile_plan"]

_LOOKED_AT = 1024
"""Surfaces of a rule among which the most frequent are chosen."""

_PENALTY = 0.7
"""What each edit leaves of a term's weight."""

_SHORTEST_TYPO = 4
_TWO_EDITS_FROM = 8
"""Letters: shorter words are not looked up, and shorter ones never two edits away."""

_READINGS = 8
"""Terms that a word never seen may stand for: the likeliest, each with its weight as a plain word times the
square root of its frequency beside the most frequent one's."""


def compile_plan(
    query: Query | str, encoder: Bm25Encoder, leg: Bm25Leg, dictionary: Callable[[], TermDictionary]
) -> Plan:
    """What to look for; a `str` is plain words. `dictionary` is only called for rules and words never seen.

    Raises `BadQuery` for a phrase in which the analysis finds no word.
    """
    query = Query((Plain(query),)) if isinstance(query, str) else query
    compiler = _Compiler(query, encoder, leg, dictionary)
    compiler.words(" ".join(rule.text for rule in query.rules if isinstance(rule, Plain)))
    for rule in dict.fromkeys(query.rules):
        compiler.rule(rule)
    return compiler.plan


class _Compiler:
    def __init__(
        self, query: Query, encoder: Bm25Encoder, leg: Bm25Leg, dictionary: Callable[[], TermDictionary]
    ) -> None:
        self._query = query
        self._encoder = encoder
        self._leg = leg
        self._dictionary = dictionary
        self._words = defaultdict[str, float](float)
        self._groups: list[AnyOf] = []
        self._phrases: list[Nearby] = []
        self._notices: list[str] = []

    @property
    def plan(self) -> Plan:
        words = {term: weight for term, weight in self._words.items() if weight > 0.0}
        return Plan(words, tuple(self._groups), tuple(self._phrases), tuple(self._notices))

    def words(self, text: str) -> None:
        self._count(self._encoder.query_weights(text))
        if self._leg.typo_tolerance == "auto":
            for word in self._encoder.unknown(text):
                self._count(self._readings(word))

    def _count(self, words: Mapping[str, float]) -> None:
        for term, weight in words.items():
            self._words[term] += weight

    def rule(self, rule: Rule) -> None:
        match rule:
            case Plain():
                pass  # All of them together are `words`.
            case Phrase(text, slop):
                self._phrase(rule, text, slop)
            case Prefix(start):
                self._prefix(rule, _read(start))
            case Wildcard(pattern):
                found = self._dictionary().wildcard(_read(pattern), _LOOKED_AT + 1)
                self._any_of(rule, self._surfaces(found))
            case Fuzzy(word, distance):
                self._any_of(rule, self._dictionary().fuzzy(_read(word), distance, _LOOKED_AT + 1))

    def _readings(self, word: str) -> dict[str, float]:
        """Terms that a word never seen may stand for; how frequent one is says how likely it is meant."""
        if len(word) < _SHORTEST_TYPO:
            return {}
        near = self._dictionary().fuzzy(word, 1, _LOOKED_AT)
        if not near and len(word) >= _TWO_EDITS_FROM:
            near = self._dictionary().fuzzy(word, 2, _LOOKED_AT)
        terms = sorted({self._term(surface) for surface, _ in near}, key=lambda t: (-self._frequency(t), t))
        most = max(map(self._frequency, terms), default=0)
        return {
            term: self._weight(term) * math.sqrt(self._frequency(term) / most)
            for term in terms[:_READINGS]
            if self._frequency(term)
        }

    def _phrase(self, rule: Rule, text: str, slop: int) -> None:
        text = clean(text)
        units = self._encoder.analyser.units(text)
        if not units:
            position = str(self._query).index(str(rule))
            raise BadQuery(str(self._query), position, "no word in the phrase: write some between the quotes")
        terms = self._encoder.analyser.terms(text)
        # Between quotes stop words count, where there is nothing else.
        weight = sum(map(self._weight, terms)) or sum(map(self._encoder.idf, terms))
        self._phrases.append(Nearby(str(rule), tuple(units), slop, weight))

    def _prefix(self, rule: Rule, start: str) -> None:
        found = self._dictionary().prefix(start, _LOOKED_AT + 1)
        units = self._encoder.analyser.units(start)
        if found or len(units) < 2:
            self._any_of(rule, self._surfaces(found))
        elif not re.search(LETTER, units[-1]):
            self._phrase(rule, start, 0)  # Chinese is cut into terms shorter than what was asked for.
        else:
            # Not one term here, as in well-kn*: what comes before the last part is a word by itself.
            self.words(start.removesuffix(units[-1]))
            self._any_of(rule, self._surfaces(self._dictionary().prefix(units[-1], _LOOKED_AT + 1)))

    def _surfaces(self, found: Sequence[str]) -> list[tuple[str, int]]:
        return [(surface, 0) for surface in found]

    def _any_of(self, rule: Rule, found: Sequence[tuple[str, int]]) -> None:
        """`found` has surfaces with their edits; none weighs more than the nearest, however rare it is."""
        if not found:
            self._notices.append(f"{rule}: no term of the collection matches")
            return
        ranked = sorted(found, key=lambda match: (match[1], -self._frequency(self._term(match[0])), match[0]))
        kept = ranked[: self._leg.max_expansions]
        self._notices += _cut_short(rule, len(found), len(kept))
        idf = {surface: self._encoder.idf(self._term(surface)) for surface, _ in kept}
        most = min(idf[surface] for surface, edits in kept if edits == kept[0][1])
        weights = {
            surface: min(idf[surface], most) * _PENALTY**edits * self._encoder.weight(self._term(surface))
            for surface, edits in kept
        }
        self._groups.append(
            AnyOf(str(rule), {surface: weight for surface, weight in weights.items() if weight})
        )

    def _term(self, surface: str) -> str:
        return self._encoder.analyser.term(surface)

    def _frequency(self, term: str) -> int:
        return self._encoder.statistics.frequencies.get(term, 0)

    def _weight(self, term: str) -> float:
        return self._encoder.idf(term) * self._encoder.weight(term)


def _read(pattern: str) -> str:
    """As the texts of passages are read before they are cut."""
    return fold(clean(pattern))


def _cut_short(rule: Rule, found: int, kept: int) -> list[str]:
    if found == kept:
        return []
    if found > _LOOKED_AT:
        return [f"{rule}: more than {_LOOKED_AT} terms match, {kept} of the most frequent are used"]
    return [f"{rule}: {found} terms match, the {kept} nearest and most frequent are used"]
