"""BM25 as sparse vectors whose inner product is the score.

    score(q, d) = sum over t of  idf(t) tf(t, q)  *  tf(t, d) / (tf(t, d) + k1 (1 - b + b |d| / L))
                                 the query's weight   the document's weight

Lucene's form of Robertson's BM25 (without the constant factor k1 + 1). Document weights know nothing of
the rest of the collection but L, its mean length at the time; idf is the query's, from current statistics.
So neither an insertion nor a deletion ever touches the vectors of other passages. Their |d| is stored with
them, in a dimension of its own, so that the score under the present L can be told from them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cache, lru_cache
from typing import TypeVar

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput
from rag_plugins.models.analysis import Analyser, Analysis
from rag_plugins.models.bm25_statistics import Bm25Statistics
from rag_plugins.models.expansion import Expansion
from rag_plugins.models.lexicon import DomainDictionary
from rag_plugins.models.protocols import SPARSE, Encoding, Representation
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.models.wordpieces import WordPieces
from rag_plugins.models.words import is_spelled
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["LENGTH", "Bm25Encoder", "Bm25Statistics", "dimension"]

LENGTH = 2**32 - 2**16
"""The dimension where passages keep |d|. Terms lie below it, what Milvus and the store reserve above."""

_Length = TypeVar("_Length", float, FloatArray)


@lru_cache(maxsize=2**16)
def dimension(term: str) -> int:
    """The term's dimension: its hash, the same on every machine.

    Of n terms about n^2 / 2^33 pairs share one, whose weights then add up: 1 pair among 100,000 terms.
    """
    digest = hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % LENGTH


class Bm25Encoder:
    """BM25 vectors; see the module's head. Documents get weights by `statistics.reference_length`."""

    produces = SPARSE

    def __init__(self, leg: Bm25Leg, statistics: Bm25Statistics | None = None) -> None:
        """`statistics` are shared with whoever else holds them, and empty by default.

        Raises `ConfigError` for a dictionary that cannot be read.
        """
        self._leg = leg
        self._dictionary = (
            DomainDictionary.from_file(leg.dictionary) if leg.dictionary else DomainDictionary()
        )
        self._in = cache(self._in_language)
        self.statistics: Bm25Statistics = statistics or Bm25Statistics()

    def with_saturation(self, k1: float, b: float) -> Bm25Encoder:
        """The same terms and statistics under another k1 and b."""
        other = copy(self)
        other._leg = self._leg.model_copy(update={"k1": k1, "b": b})
        return other

    @property
    def analyser(self) -> Analysis:
        """Cuts texts into terms; follows the language of the statistics where the leg leaves it open."""
        return self._in(self._language)[0]

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What stored weights depend on, but for what statistics keep: reference length and language."""
        leg, dictionary = self._leg, self._dictionary
        words = {"language": leg.language, "identifiers": leg.identifiers, "cjk": leg.cjk}
        pieces = {"tokens": WordPieces(leg.model).name} if leg.analysis == "wordpiece" else words
        kept = {"dictionary words": dictionary.segmentation} if dictionary.whole else {}
        return {"model": "bm25", "k1": leg.k1, "b": leg.b, "analysis": 2, **pieces, **kept}

    @property
    def nats(self) -> float:
        """What a point of score stands for: BM25's factor k1 + 1, which weights leave out."""
        return self._leg.k1 + 1.0

    def terms(self, text: str) -> list[str]:
        """The terms of a text, as this leg cuts them."""
        return self.analyser.terms(text)

    def idf(self, term: str) -> float:
        """See `Bm25Statistics.idf`."""
        return self.statistics.idf(term)

    def weight(self, term: str) -> float:
        """What the dictionary multiplies a query's term with: 1 for most, 0 for a stop word."""
        return self._expansion.weight(term)

    def query_weights(self, text: str) -> dict[str, float]:
        """idf(t) tf(t) times the dictionary's weight for the terms of plain words, and for their synonyms.

        Terms that the collection does not know are left out: they can match nothing. Stop words are, too,
        but for a query of nothing else.
        """
        counts, expansion = Counter(self.terms(text)), self._expansion
        factors = {term: count * expansion.weight(term) for term, count in counts.items()}
        if not any(factors.values()):
            factors = dict[str, float](counts)
        known = self.statistics.frequencies
        return {
            term: factor * self.idf(term)
            for term, factor in (expansion.synonyms(text) | factors).items()
            if factor and term in known
        }

    def unknown(self, text: str) -> list[str]:
        """The words that may be misspelt: letters alone, in neither the collection nor the dictionary."""
        if self._leg.analysis == "wordpiece":
            return []
        known, expansion, term = self.statistics.frequencies, self._expansion, self.analyser.term
        return [
            word
            for word in dict.fromkeys(self.analyser.units(text))
            if is_spelled(word)
            and term(word) not in known
            and term(word) not in expansion.spelling
            and expansion.weight(term(word))
        ]

    def saturation(self, length: _Length) -> _Length:
        """k1 (1 - b + b |d| / L) for passages of so many terms, under the present mean length L."""
        return self._saturation(length, self.statistics.mean_length)

    def learn(self, views: Sequence[View]) -> None:
        """Count passages by their text views, before they are encoded."""
        self.statistics.learn([self.terms(text) for text in view_texts(views)])

    def forget(self, views: Sequence[View]) -> None:
        """Take passages out of the counts, given as they were learned."""
        self.statistics.forget([self.terms(text) for text in view_texts(views)])

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = SPARSE) -> Encoding:
        """See `query_weights`."""
        self._check(want)
        return Encoding(
            sparse=tuple(_vector(self.query_weights(query).items()) for query in query_texts(queries))
        )

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = SPARSE) -> Encoding:
        """Weights tf / (tf + k1 (1 - b + b |d| / reference length)), and |d| in the dimension `LENGTH`."""
        self._check(want)
        return Encoding(sparse=tuple(self._document(self.terms(text)) for text in view_texts(views)))

    def counts(self, document: SparseVector) -> tuple[dict[int, int], float]:
        """How often the terms of each dimension are in a passage, and its |d|, from its stored vector."""
        weights = document.as_dict()
        length = weights.pop(LENGTH, 0.0)
        then = self._saturation(length, self.statistics.reference_length)
        stored = {index: min(weight, _ALL_BUT_ONE) for index, weight in weights.items()}
        return {index: round(then * weight / (1.0 - weight)) for index, weight in stored.items()}, length

    @property
    def _language(self) -> str:
        return self.statistics.language or "none" if self._leg.language == "auto" else self._leg.language

    @property
    def _expansion(self) -> Expansion:
        return self._in(self._language)[1]

    def _in_language(self, language: str) -> tuple[Analyser, Expansion]:
        analyser = Analyser(self._leg, language, self._dictionary)
        return analyser, Expansion(self._dictionary, analyser)

    def _saturation(self, length: _Length, mean: float) -> _Length:
        """Before anything is counted, every passage is of mean length."""
        k1, b = self._leg.k1, self._leg.b
        return k1 * (1.0 - b + b * (length / mean if mean else length * 0.0 + 1.0))

    def _document(self, words: Sequence[str]) -> SparseVector:
        saturation = self._saturation(float(len(words)), self.statistics.reference_length)
        counts = Counter(words)
        weights = ((word, count / (count + saturation)) for word, count in counts.items())
        return _vector(weights, {LENGTH: float(len(words))})

    def _check(self, want: frozenset[Representation]) -> None:
        if want != SPARSE:
            raise BadInput(
                f"BM25 gives sparse vectors only, {sorted(kind.value for kind in want)} were wanted"
            )


_ALL_BUT_ONE = 1.0 - 2.0**-24
"""The largest weight that a term alone can have in single precision."""


def _vector(weights: Iterable[tuple[str, float]], extra: Mapping[int, float] = {}) -> SparseVector:
    by_dimension = dict(extra)
    for term, weight in weights:
        index = dimension(term)
        by_dimension[index] = by_dimension.get(index, 0.0) + weight
    return SparseVector.of(by_dimension)
