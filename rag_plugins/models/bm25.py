"""BM25 as sparse vectors whose inner product is the score.

    score(q, d) = sum over t of  idf(t) tf(t, q)  *  tf(t, d) / (tf(t, d) + k1 (1 - b + b |d| / L))
                                 the query's weight   the document's weight

Lucene's form of Robertson's BM25 (without the constant factor k1 + 1). Document weights know nothing of
the rest of the collection but L, its mean length at the time; idf is the query's, from current statistics.
So neither an insertion nor a deletion ever touches the vectors of other passages.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from threading import Lock

from rag_plugins.config import Bm25Leg
from rag_plugins.errors import BadInput
from rag_plugins.models.analysis import terms
from rag_plugins.models.protocols import Encoding, Representation
from rag_plugins.models.sides import query_texts, view_texts
from rag_plugins.types import JsonValue, View
from rag_plugins.vectors import SparseVector

__all__ = ["SPARSE", "Bm25Encoder", "Bm25Statistics", "dimension"]

SPARSE = frozenset({Representation.SPARSE})

_DIMENSIONS = 2**32 - 2**16  # Milvus keeps the highest values for itself.


@lru_cache(maxsize=2**16)
def dimension(term: str) -> int:
    """The term's dimension: its hash, the same on every machine.

    Of n terms about n^2 / 2^33 pairs share one, whose weights then add up: 1 pair among 100,000 terms.
    """
    return int.from_bytes(hashlib.blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % (
        _DIMENSIONS
    )


class Bm25Statistics:
    """What a collection knows of its terms: passages, total length, passages per term.

    `learn` and `forget` undo each other exactly. One writer at a time; readers may go on meanwhile.
    """

    def __init__(
        self,
        documents: int = 0,
        total_length: int = 0,
        frequencies: Mapping[str, int] | None = None,
        reference_length: float = 0.0,
    ) -> None:
        """`reference_length`: the mean length that stored weights were made with, 0 before the first."""
        self.documents = documents
        self.total_length = total_length
        self.frequencies = dict(frequencies or {})
        self.reference_length = reference_length
        self._writing = Lock()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bm25Statistics) and self.to_json() == other.to_json()

    @property
    def mean_length(self) -> float:
        """Terms per passage, 0 for an empty collection."""
        return self.total_length / self.documents if self.documents else 0.0

    @property
    def drift(self) -> float:
        """How far the mean length has moved from the reference, as a share of it.

        Stored weights are exact at 0; beyond a few percent, `settle` and make them again.
        """
        if not (self.documents and self.reference_length):
            return 0.0
        return abs(self.mean_length / self.reference_length - 1.0)

    def settle(self) -> None:
        """Make the present mean length the reference; the caller then makes stored weights again."""
        self.reference_length = self.mean_length

    def idf(self, term: str) -> float:
        """ln(1 + (N - df + .5) / (df + .5)); positive, largest for a term never seen."""
        frequency = self.frequencies.get(term, 0)
        documents = max(self.documents, frequency)  # A writer may be between the two.
        return math.log1p((documents - frequency + 0.5) / (frequency + 0.5))

    def learn(self, documents: Iterable[Sequence[str]]) -> None:
        """Count passages, each given as its terms. The first ever counted set the reference length."""
        count, length, frequencies = _count(documents)
        with self._writing:
            self.documents += count
            self.total_length += length
            for term, frequency in frequencies.items():
                self.frequencies[term] = self.frequencies.get(term, 0) + frequency
            if not self.reference_length:
                self.settle()

    def forget(self, documents: Iterable[Sequence[str]]) -> None:
        """Undo `learn`; raises `BadInput`, with nothing changed, for what was never learned."""
        count, length, frequencies = _count(documents)
        with self._writing:
            self._check_known(count, frequencies)
            for term, frequency in frequencies.items():
                left = self.frequencies[term] - frequency
                if left:
                    self.frequencies[term] = left
                else:
                    del self.frequencies[term]
            self.total_length -= length
            self.documents -= count
            if not self.total_length:
                self.reference_length = 0.0

    def _check_known(self, count: int, frequencies: Mapping[str, int]) -> None:
        for term, frequency in frequencies.items():
            if frequency > self.frequencies.get(term, 0):
                raise BadInput(
                    f"{term!r} is to be forgotten in {frequency} passages, "
                    f"but only {self.frequencies.get(term, 0)} with it were learned"
                )
        if count > self.documents:
            raise BadInput(f"{count} passages are to be forgotten, but only {self.documents} were learned")

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values, for a store to keep."""
        with self._writing:
            return {
                "documents": self.documents,
                "total_length": self.total_length,
                "reference_length": self.reference_length,
                "frequencies": dict[str, JsonValue](self.frequencies),
            }

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> Bm25Statistics:
        """The inverse of `to_json`; raises `BadInput` where a value is missing or not of its kind."""
        match values:
            case {
                "documents": int(documents),
                "total_length": int(total_length),
                "reference_length": int() | float() as reference_length,
                "frequencies": dict(frequencies),
            } if all(isinstance(frequency, int) for frequency in frequencies.values()):
                return cls(documents, total_length, frequencies, float(reference_length))  # pyright: ignore[reportArgumentType]
            case _:
                raise BadInput(f"not BM25 statistics: keys {sorted(values)}")


def _count(documents: Iterable[Sequence[str]]) -> tuple[int, int, Counter[str]]:
    count, length, frequencies = 0, 0, Counter[str]()
    for words in documents:
        count += 1
        length += len(words)
        frequencies.update(set(words))
    return count, length, frequencies


class Bm25Encoder:
    """BM25 vectors; see the module's head. Documents get weights by `statistics.reference_length`."""

    produces = SPARSE

    def __init__(self, leg: Bm25Leg, statistics: Bm25Statistics | None = None) -> None:
        """`statistics` are shared with whoever else holds them, and empty by default."""
        self._leg = leg
        self.statistics = statistics or Bm25Statistics()

    @property
    def fingerprint(self) -> Mapping[str, JsonValue]:
        """What stored weights depend on, but for the reference length, which statistics keep."""
        return {"model": "bm25", "k1": self._leg.k1, "b": self._leg.b, "cjk": self._leg.cjk, "analysis": 1}

    def terms(self, text: str) -> list[str]:
        """The terms of a text, as this leg cuts them."""
        return terms(text, self._leg.cjk)

    def idf(self, term: str) -> float:
        """See `Bm25Statistics.idf`."""
        return self.statistics.idf(term)

    def learn(self, views: Sequence[View]) -> None:
        """Count passages by their text views, before they are encoded."""
        self.statistics.learn([self.terms(text) for text in view_texts(views)])

    def forget(self, views: Sequence[View]) -> None:
        """Take passages out of the counts, given as they were learned."""
        self.statistics.forget([self.terms(text) for text in view_texts(views)])

    def encode_queries(self, queries: Sequence[str], want: frozenset[Representation] = SPARSE) -> Encoding:
        """idf(t) tf(t) for the terms that the collection knows; others can match nothing."""
        self._check(want)
        return Encoding(sparse=tuple(self._query(self.terms(query)) for query in query_texts(queries)))

    def encode_documents(self, views: Sequence[View], want: frozenset[Representation] = SPARSE) -> Encoding:
        """Weights tf / (tf + k1 (1 - b + b length / reference length))."""
        self._check(want)
        return Encoding(sparse=tuple(self._document(self.terms(text)) for text in view_texts(views)))

    def _query(self, words: Sequence[str]) -> SparseVector:
        known = self.statistics.frequencies
        return _vector(
            (word, count * self.idf(word)) for word, count in Counter(words).items() if word in known
        )

    def _document(self, words: Sequence[str]) -> SparseVector:
        k1, b = self._leg.k1, self._leg.b
        relative = len(words) / (self.statistics.reference_length or len(words) or 1)
        saturation = k1 * (1.0 - b + b * relative)
        return _vector((word, count / (count + saturation)) for word, count in Counter(words).items())

    def _check(self, want: frozenset[Representation]) -> None:
        if want != SPARSE:
            raise BadInput(
                f"BM25 gives sparse vectors only, {sorted(kind.value for kind in want)} were wanted"
            )


def _vector(weights: Iterable[tuple[str, float]]) -> SparseVector:
    by_dimension: dict[int, float] = {}
    for term, weight in weights:
        index = dimension(term)
        by_dimension[index] = by_dimension.get(index, 0.0) + weight
    return SparseVector.of(by_dimension)
