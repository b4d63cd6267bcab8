"""What a domain dictionary makes of a query: weights, synonyms, words that are not searched for."""

from __future__ import annotations

from rag_plugins.models.analysis import Analyser, Phrases
from rag_plugins.models.lexicon import DomainDictionary

__all__ = ["Expansion"]

_PENALTY = 0.5
"""What a synonym counts beside the word itself."""


class Expansion:
    """A dictionary in the terms of an analyser."""

    def __init__(self, dictionary: DomainDictionary, analyser: Analyser) -> None:
        self._analyser = analyser
        self._weights = {term: 0.0 for word in dictionary.stop_words for term in analyser.terms(word)}
        self._groups: dict[str, list[tuple[str, float]]] = {}
        for entry, properties in dictionary.terms.items():
            self._weights.update(dict.fromkeys(self._own_terms(entry), properties.weight))
            self._connect((entry, *properties.synonyms), properties.weight)
        names = {*dictionary.terms, *self._groups}
        self.spelling: frozenset[str] = frozenset(stem for name in names for stem in analyser.stems(name))
        """The stems of its words, which are right as they are, however rare."""
        self._synonyms = Phrases((analyser.stems(name), name) for name in self._groups)

    def weight(self, term: str) -> float:
        """What the dictionary multiplies a term with; 0 for a stop word."""
        return self._weights.get(term, 1.0)

    def synonyms(self, text: str) -> dict[str, float]:
        """The terms of the synonyms of what stands in a text, with their weights."""
        added: dict[str, float] = {}
        for name in self._synonyms.find(self._analyser.stems(text)) if self._synonyms else ():
            for synonym, weight in self._groups[name]:
                for term in self._analyser.terms(synonym):
                    added[term] = max(added.get(term, 0.0), _PENALTY * weight)
        return added

    def _own_terms(self, entry: str) -> list[str]:
        kept = entry in self._analyser.surfaces(entry)
        return [self._analyser.term(entry)] if kept else self._analyser.terms(entry)

    def _connect(self, names: tuple[str, ...], weight: float) -> None:
        for name in names:
            others = [(other, weight) for other in names if other != name]
            if others:
                self._groups.setdefault(name, []).extend(others)
