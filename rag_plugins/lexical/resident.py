"""The term index of a database file: postings in memory, read from the rows when they are first asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from time import perf_counter

from rag_plugins.filters import Filter
from rag_plugins.lexical.plan import Plan, TermDictionary
from rag_plugins.lexical.postings import Analysed, Postings
from rag_plugins.lexical.vocabulary import Vocabulary
from rag_plugins.models.analysis import Analyser
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import JsonValue, Passage, View, embed_text

__all__ = ["ResidentTerms"]

_BATCH = 2048
"""Rows read at once."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Built:
    """Postings, and what they depend on besides the rows."""

    analyser: Analyser
    analysis: tuple[JsonValue, ...]
    vocabulary: Vocabulary
    postings: Postings

    def put(self, passages: Iterable[tuple[str, Sequence[View]]]) -> None:
        """Take in passages by their ids and views."""
        self.postings.put([self._analysed(id, views) for id, views in passages])

    def _analysed(self, id: str, views: Sequence[View]) -> Analysed:
        view = embed_text(views)
        text = view.text if view else ""
        return Analysed(id, self.analyser.surfaces(text), self.analyser.units(text))


@dataclass(slots=True, eq=False)
class _Shared:
    """What all indexes on one collection have in common. Whoever changes it holds the lock."""

    built: _Built | None = None
    lock: RLock = field(default_factory=RLock)


class ResidentTerms:
    """A `TermIndex` in memory, built at the first search. Searches see one state of it, and wait for nobody.

    The postings are shared by all indexes of this process on the collection; a file admits no other process.
    They hold counts, so each index scores them by its own encoder's statistics.
    """

    def __init__(self, store: MilvusStore, leg: str, encoder: Bm25Encoder) -> None:
        """`leg` names the leg that the postings are of."""
        self._store = store
        self._leg = leg
        self._encoder = encoder
        self._analysis = dict(encoder.fingerprint)
        self._shared = store.shared(f"terms/{leg}", _Shared)

    @property
    def dictionary(self) -> TermDictionary:
        """The surfaces there are."""
        return self._ready().vocabulary

    def put(self, passages: Sequence[Passage]) -> None:
        """Take in passages that have just been stored, in place of those of the same ids."""
        with self._shared.lock:  # Who reads all rows now may have read the old ones.
            if self._shared.built:
                self._shared.built.put((passage.id, passage.views) for passage in passages)

    def remove(self, ids: Sequence[str]) -> None:
        """Forget passages that have just been deleted."""
        with self._shared.lock:
            if self._shared.built:
                self._shared.built.postings.remove(ids)

    def reset(self) -> None:
        """Read the rows again before the next search."""
        with self._shared.lock:
            self._shared.built = None

    def search(self, plan: Plan, limit: int, filter: Filter | None = None) -> list[tuple[str, float]]:
        """See `TermIndex.search`."""
        postings = self._ready().postings
        allowed = None if filter is None else self._store.ids(filter)
        return postings.search(plan, limit, self._encoder.saturation, allowed)

    def _ready(self) -> _Built:
        """The postings under this encoder's analysis, which changes once: when the language is decided."""
        analysis = (self._analysis, self._encoder.statistics.language)
        built = self._shared.built
        if built and built.analysis == analysis:
            return built
        with self._shared.lock:
            if not (self._shared.built and self._shared.built.analysis == analysis):
                self._shared.built = self._build(analysis)
            return self._shared.built

    def _build(self, analysis: tuple[JsonValue, ...]) -> _Built:
        started = perf_counter()
        analyser, vocabulary = self._encoder.analyser, Vocabulary()
        built = _Built(analyser, analysis, vocabulary, Postings(analyser.term, vocabulary))
        ids = self._store.ids()
        for start in range(0, len(ids), _BATCH):
            built.put(self._store.views(ids[start : start + _BATCH]).items())
        _logger.info(
            "%s: the terms of %d passages read in %.1f s", self._leg, len(ids), perf_counter() - started
        )
        return built
