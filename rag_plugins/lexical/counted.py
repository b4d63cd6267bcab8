"""The words that statistics count, for those who keep no other dictionary."""

from __future__ import annotations

from threading import Lock

from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.bm25_statistics import Bm25Statistics
from rag_plugins.models.ngrams import is_ngram

__all__ = ["CountedWords"]


class CountedWords:
    """A vocabulary of the terms of statistics, where each surface is its own term; n-grams left out.

    It is brought up to date when it is asked for. Any number of threads may ask.
    """

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._words: set[str] = set()
        self._counted: Bm25Statistics | None = None
        self._changes = 0
        self._updating = Lock()

    def of(self, statistics: Bm25Statistics) -> Vocabulary:
        """The words that are counted now."""
        with self._updating:
            changes = statistics.changes
            if statistics is not self._counted or changes != self._changes:
                words = {term for term in list(statistics.frequencies) if not is_ngram(term)}
                self._vocabulary.discard(self._words - words)
                self._vocabulary.add(words - self._words)
                self._words, self._counted, self._changes = words, statistics, changes
        return self._vocabulary
