"""What a BM25 leg has counted, kept true to the rows: statistics, language, term index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from time import monotonic
from uuid import uuid4

from rag_plugins.errors import BadInput
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.analysis import detect_language
from rag_plugins.models.bm25 import Bm25Statistics
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.text import digest
from rag_plugins.types import JsonValue, Passage, View, embed_text
from rag_plugins.vectors import SparseVector

__all__ = ["StatisticsKeeper"]

_DRIFT = 0.05
"""Stored weights are rewritten when the mean length has moved this far from the one they were made with."""

_BATCH = 512

_REFRESH = 5.0
"""Seconds between looks at what others have saved."""

_UNSAVED = 0.05
"""Statistics are saved when this share of the passages has changed since the last time, and on closing."""


@dataclass(slots=True)
class _Others:
    """What the keepers of a process on the same statistics tell each other."""

    keepers: int = 0
    saves: int = 0


class StatisticsKeeper:
    """Keeps the statistics of one BM25 leg and one tenant beside the collection, and its term index.

    The rows are the truth. Before the first change a mark says that the saved statistics are stale; saving
    removes it. A mark found on opening means that a writer ended early, so the rows are counted again.
    Statistics change before the rows do, the term index after.
    """

    def __init__(self, store: MilvusStore, leg: str, search: LexicalSearch, tenant: str) -> None:
        """Load the saved statistics into the encoder of `search`, or count the rows."""
        self._store = store
        self._leg = leg
        self._encoder = search.encoder
        self._index = search.index
        self._open = search.encoder.fingerprint.get("language") == "auto"
        self._key = f"bm25/{leg}/{digest(tenant)}"
        self._changed = 0
        self._stale = False
        self._doubtful = False
        self._version: JsonValue = None
        self._looked = 0.0
        self._others = store.shared(f"statistics of {leg}", _Others)
        self._seen = self._others.saves
        self._others.keepers += 1
        self._load()

    def refresh(self) -> None:
        """Before a search: take over what another writer has saved, one of another process within seconds."""
        due = self._seen != self._others.saves or monotonic() - self._looked > _REFRESH
        if due and not self._stale:
            self._catch_up()

    def exchange(self, passages: Sequence[Passage]) -> None:
        """Count passages that are about to be written, and no longer count those they replace."""
        self._begin()
        if self._encoder.statistics.documents:
            self._uncount([passage.id for passage in passages])
        self._encoder.learn(_texts(passage.views for passage in passages))
        self._changed += len(passages)

    def stored(self, passages: Sequence[Passage]) -> None:
        """Passages that were counted have been written."""
        self._index.put(passages)

    def forget(self, ids: Sequence[str]) -> None:
        """No longer count passages that are about to be deleted."""
        self._begin()
        self._uncount(ids)
        self._changed += len(ids)

    def removed(self, ids: Sequence[str]) -> None:
        """Passages that are no longer counted have been deleted."""
        self._index.remove(ids)

    def doubt(self) -> None:
        """A write has failed, so some rows may not be as counted: count them again before the next."""
        self._doubtful = True
        self._index.reset()

    def settle(self) -> None:
        """After a run of writes: decide the language, renew drifted weights, save, be ready to search."""
        statistics = self._encoder.statistics
        # Another index of this process has to know at once.
        due = self._changed > (0 if self._others.keepers > 1 else _UNSAVED * statistics.documents)
        if due and (language := self._detected(statistics)):
            self._recount(language)
        elif statistics.drift > _DRIFT and not self._store.is_file:
            self._reweigh()
        if due:
            self.save()
        self._index.prepare()

    def save(self) -> None:
        """Write the statistics, which removes the mark; doubtful ones are left to be counted again."""
        if self._stale and not self._doubtful:
            self._version = uuid4().hex
            self._store.state.put(
                {
                    self._key: self._encoder.statistics.to_json(),
                    f"version/{self._key}": self._version,
                    f"stale/{self._key}": False,
                    f"unweighed/{self._key}": self._unweighed,
                }
            )
            self._stale = False
            self._changed = 0
            self._others.saves += 1
            self._seen = self._others.saves

    def close(self) -> None:
        """Save what is not yet saved, for good."""
        self._others.keepers -= 1
        self.save()

    def _begin(self) -> None:
        self._mark()
        if self._doubtful:
            self._recount()

    def _mark(self) -> None:
        if not self._stale:
            self._catch_up()
            self._store.state.put({f"stale/{self._key}": True})
            self._stale = True

    def _uncount(self, ids: Sequence[str]) -> None:
        stored = _texts(self._store.views(ids).values())
        try:
            self._encoder.forget(stored)
        except BadInput:  # Another process has written meanwhile: the rows know better.
            self._recount()
            self._encoder.forget(stored)

    def _load(self) -> None:
        self._unweighed = self._store.state.get(f"unweighed/{self._key}") is True
        marked = self._store.state.get(f"stale/{self._key}")
        if not marked:
            self._catch_up()
        # Passages that nothing was saved of: the state has been lost.
        lost = self._version is None and self._store.count() > 0
        if marked or lost or (self._unweighed and not self._store.is_file):
            self._recount()
            self.save()

    def _catch_up(self) -> None:
        """The saved statistics, where they are not those that are known already."""
        self._looked, self._seen = monotonic(), self._others.saves
        version = self._store.state.get(f"version/{self._key}")
        saved = self._store.state.get(self._key) if version != self._version else None
        if isinstance(saved, dict):
            self._encoder.statistics = Bm25Statistics.from_json(saved)
            self._version = version

    def _recount(self, language: str = "") -> None:
        """Read all rows again; `language` is what has just been decided."""
        self._mark()
        language = language or self._encoder.statistics.language
        self._index.reset()
        counted = self._count(language)
        if found := self._detected(counted):
            counted = self._count(found)
        self._encoder.statistics = counted
        self._doubtful = False
        self._reweigh()

    def _count(self, language: str) -> Bm25Statistics:
        counter = copy(self._encoder)
        counter.statistics = Bm25Statistics(language=language)
        for passages in self._rows():
            counter.learn(_texts(passage.views for passage in passages))
            self._index.put(passages)
        return counter.statistics

    def _rows(self) -> Iterator[list[Passage]]:
        """Every passage by what retrieval reads of it."""
        ids = self._store.ids()
        for start in range(0, len(ids), _BATCH):
            views = self._store.views(ids[start : start + _BATCH])
            yield [Passage(id, "", of_passage, "") for id, of_passage in views.items()]

    def _detected(self, statistics: Bm25Statistics) -> str | None:
        """The language to be decided on: once, and where none is set."""
        if not self._open or statistics.language:
            return None
        return detect_language(statistics.frequencies)

    def _reweigh(self) -> None:
        # Searches of a file never read stored weights. Only once a server has the file are they made again.
        self._unweighed = self._store.is_file
        if not self._unweighed:
            self._encoder.statistics.settle()
            self._store.rewrite(self._leg, self._weights)

    def _weights(self, passages: Sequence[Passage]) -> Sequence[SparseVector]:
        return self._encoder.encode_documents(_texts(passage.views for passage in passages)).sparse or ()


def _texts(views: Iterable[Sequence[View]]) -> list[View]:
    return [text for of_passage in views if (text := embed_text(of_passage)) is not None]
