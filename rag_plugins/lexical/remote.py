"""The term index of a server: candidates by the engine's sparse search, exact scores by looking at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rag_plugins.filters import Filter
from rag_plugins.lexical.counted import CountedWords
from rag_plugins.lexical.plan import AnyOf, Nearby, Plan, Readings, TermDictionary
from rag_plugins.lexical.scoring import contributions, spelled
from rag_plugins.models.bm25 import Bm25Encoder, dimension
from rag_plugins.models.robust import RobustEncoder
from rag_plugins.models.words import fold
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.terms import TermTable
from rag_plugins.types import Passage, View, embed_text
from rag_plugins.vectors import SparseVector

__all__ = ["MilvusTerms"]

_ROUNDING = 1e-6
"""How exact the engine's numbers are, as a share of them."""

_DEEPEST = 2048
"""Candidates looked at in vain for better ones."""

_SURFACES = 128
"""Surfaces that a unit of a phrase may be part of, where no whole surface is in the phrase."""


class MilvusTerms:
    """A `TermIndex` that keeps nothing in memory: surfaces in a companion collection, weights in the rows.

    A stored weight is never below a passage's part by a rule or a phrase, so the engine's score bounds the
    exact one: candidates are read from the top until none further down can be better.
    """

    def __init__(self, store: MilvusStore, leg: str, encoder: Bm25Encoder) -> None:
        """`leg` names the stored field; `encoder` has the statistics."""
        self._store = store
        self._leg = leg
        self._encoder = encoder
        self._table = store.terms(leg)
        self._words = CountedWords()

    @property
    def dictionary(self) -> TermDictionary:
        """The surfaces there are."""
        if isinstance(self._encoder, RobustEncoder):
            return self._words.of(self._encoder.statistics)
        return _Dictionary(self._table, self._is_known)

    def put(self, passages: Sequence[Passage]) -> None:
        """Take in the surfaces of passages; the rows themselves hold the rest."""
        if isinstance(self._encoder, RobustEncoder):
            return  # Its statistics count surfaces as they are.
        texts = (embed_text(passage.views) for passage in passages)
        analysed = (self._encoder.analyser.surfaces(text.text) for text in texts if text)
        self._table.put({surface for surfaces in analysed for surface in surfaces})

    def remove(self, ids: Sequence[str]) -> None:
        """Surfaces stay: the statistics tell which are gone."""

    def reset(self) -> None:
        """Check again which surfaces are there; whoever counts the rows again also puts them."""
        self._table.forget()

    def prepare(self) -> None:
        """The engine is ready as it is."""

    def search(self, plan: Plan, limit: int, filter: Filter | None = None) -> list[tuple[str, float]]:
        """See `TermIndex.search`. Of what thousands of passages almost match, some may be missed."""
        query = SparseVector.of(self._weights(plan))
        margin = (1.0 + self._encoder.statistics.drift) * (1.0 + _ROUNDING)
        # What readings have in common bounds no score, so they are looked for once, in twice as many.
        deepest = 2 * limit if plan.readings else max(limit, _DEEPEST)
        scores: dict[str, float] = {}
        ranked: list[tuple[float, str]] = []
        for depth in sorted({min(depth, deepest) for depth in (2 * limit, 8 * limit, deepest)}):
            hits = self._store.search(self._leg, query, depth, filter)
            new = {id: score for id, score in hits if id not in scores}
            scores |= self._exact(plan, new)
            ranked = sorted((-score, id) for id, score in scores.items() if score > 0.0)[:limit]
            if len(hits) < depth or (len(ranked) == limit and -ranked[-1][0] > margin * hits[-1][1]):
                break
        return [(id, -score) for score, id in ranked]

    def _exact(self, plan: Plan, hits: dict[str, float]) -> dict[str, float]:
        """The scores of what the engine found, under the present statistics."""
        ids = list(hits)
        if plan.groups or plan.phrases:
            return {id: self._score(plan, views) for id, views in self._store.views(ids).items()}
        if plan.readings or self._encoder.statistics.drift > _ROUNDING:
            stored = self._store.vectors(self._leg, ids)
            return {id: self._counted(plan, vector) for id, vector in stored.items()}
        return hits

    def _counted(self, plan: Plan, vector: SparseVector) -> float:
        """The score by words and readings, from what a stored vector says of a passage."""
        counts, length = self._encoder.counts(vector)
        damping = float(self._encoder.saturation(length))

        def count(surface: str) -> int:
            return counts.get(dimension(surface), 0)

        found = [(weight, count(word)) for word, weight in plan.words.items()] + [
            (word.weight, sum(share * count(surface) for surface, share in word.shares.items()))
            for word in plan.readings
        ]
        return sum(weight * tf / (tf + damping) for weight, tf in found)

    def _score(self, plan: Plan, views: Sequence[View]) -> float:
        text = embed_text(views)
        if text is None or not _may_match(plan, text.text):
            return 0.0
        analyser = self._encoder.analyser
        surfaces = analyser.surfaces(text.text)
        units = analyser.units(text.text) if plan.phrases else ()
        damping = float(self._encoder.saturation(len(surfaces)))
        return sum(match.score for match in contributions(plan, surfaces, units, analyser.term, damping))

    def _weights(self, plan: Plan) -> dict[int, float]:
        """By dimension; but for readings no less than what a passage can get for what has the term in it."""
        weights = defaultdict[int, float](float)
        for words in (
            plan.words,
            *(self._group(group) for group in plan.groups),
            *(self._phrase(phrase) for phrase in plan.phrases),
            *(self._readings(word) for word in plan.readings),
        ):
            for term, weight in words.items():
                weights[dimension(term)] += weight
        return dict(weights)

    def _group(self, group: AnyOf) -> Mapping[str, float]:
        best: dict[str, float] = {}
        for surface, weight in group.weights.items():
            term = self._encoder.analyser.term(surface)
            best[term] = max(weight, best.get(term, 0.0))
        return best

    def _readings(self, word: Readings) -> Mapping[str, float]:
        """What a passage of mean length gets for each alone, once."""
        k1 = float(self._encoder.saturation(self._encoder.statistics.mean_length))
        return {
            surface: word.weight * share * (1.0 + k1) / (share + k1) for surface, share in word.shares.items()
        }

    def _phrase(self, phrase: Nearby) -> Mapping[str, float]:
        """The phrase's weight, shared out among its terms by idf, so that rare ones decide."""
        idf = {term: self._encoder.idf(term) for term in self._terms(phrase)}
        total = sum(idf.values())
        return {term: phrase.weight * share / total for term, share in idf.items()}

    def _terms(self, phrase: Nearby) -> set[str]:
        analyser = self._encoder.analyser
        whole = [s for s in analyser.surfaces(spelled(phrase.units)) if self._is_known(s)]
        # Chinese characters apart from each other make no surface: then those that each is part of.
        return {analyser.term(surface) for surface in whole or self._around(phrase.units)}

    def _around(self, units: Iterable[str]) -> Iterator[str]:
        for unit in set(units):
            yield from self._table.wildcard(f"*{unit}*", _SURFACES, self._is_known)

    def _is_known(self, surface: str) -> bool:
        return self._encoder.analyser.term(surface) in self._encoder.statistics.frequencies


class _Dictionary:
    def __init__(self, table: TermTable, known: Callable[[str], bool]) -> None:
        self._table = table
        self._known = known

    def prefix(self, start: str, limit: int) -> list[str]:
        return self._table.prefix(start, limit, self._known)

    def wildcard(self, pattern: str, limit: int) -> list[str]:
        return self._table.wildcard(pattern, limit, self._known)

    def fuzzy(self, word: str, distance: int, limit: int) -> list[tuple[str, int]]:
        return self._table.fuzzy(word, distance, limit, self._known)


def _may_match(plan: Plan, text: str) -> bool:
    """Told faster than by analysis: most candidates of a phrase lack one of its words."""
    if plan.words or plan.groups:
        return True
    folded = fold(text)
    return any(all(unit in folded for unit in phrase.units) for phrase in plan.phrases)
