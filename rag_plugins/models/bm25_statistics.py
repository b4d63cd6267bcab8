"""What a collection knows of its terms, for BM25."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

from rag_plugins.errors import BadInput
from rag_plugins.types import JsonValue

__all__ = ["Bm25Statistics"]


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
        language: str = "",
    ) -> None:
        """`reference_length`: the mean length that stored weights were made with, 0 before the first.

        `language`: whose stems the terms are, "" until it is decided; they are not stemmed then.
        """
        self.documents: int = documents
        self.total_length: int = total_length
        self.frequencies: dict[str, int] = dict(frequencies or {})
        self.reference_length: float = reference_length
        self.language = language
        self.changes: int = 0  # How often these, here, have learned or forgotten.
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
        return self.idf_of(self.frequencies.get(term, 0))

    def idf_of(self, frequency: float) -> float:
        """The same for a term in so many passages."""
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
            self.changes += 1

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
            self.changes += 1

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
                "language": self.language,
                "frequencies": dict[str, JsonValue](self.frequencies),
            }

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> Bm25Statistics:
        """The inverse of `to_json`; raises `BadInput` where a value is missing or not of its kind."""
        match {"language": "", **values}:
            case {
                "documents": int(documents),
                "total_length": int(total_length),
                "reference_length": int() | float() as reference_length,
                "language": str(language),
                "frequencies": dict(frequencies),
            } if all(isinstance(frequency, int) for frequency in frequencies.values()):
                counts: Any = frequencies
                return cls(documents, total_length, counts, float(reference_length), language)
            case _:
                raise BadInput(f"not BM25 statistics: keys {sorted(values)}")


def _count(documents: Iterable[Sequence[str]]) -> tuple[int, int, Counter[str]]:
    count, length, frequencies = 0, 0, Counter[str]()
    for words in documents:
        count += 1
        length += len(words)
        frequencies.update(set(words))
    return count, length, frequencies
