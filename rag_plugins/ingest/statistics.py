"""BM25 statistics that stay true to the rows: counted with every write, recounted when in doubt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic
from uuid import uuid4

from rag_plugins.errors import BadInput
from rag_plugins.ingest.manifest import digest
from rag_plugins.models.bm25 import Bm25Encoder, Bm25Statistics
from rag_plugins.store.milvus import MilvusStore
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


class StatisticsKeeper:
    """Keeps the statistics of one BM25 leg and one tenant beside the collection.

    The rows are the truth. Before the first change a mark says that the saved statistics are stale; saving
    removes it. A mark found on opening means that a writer ended early, so the rows are counted again.
    """

    def __init__(self, store: MilvusStore, leg: str, encoder: Bm25Encoder, tenant: str) -> None:
        """Load the saved statistics into the encoder, or count the rows."""
        self._store = store
        self._leg = leg
        self._encoder = encoder
        self._key = f"bm25/{leg}/{digest(tenant)}"
        self._changed = 0
        self._stale = False
        self._doubtful = False
        self._version: JsonValue = None
        self._looked = 0.0
        self._load()

    def refresh(self) -> None:
        """Before a search: take over, within seconds, what another writer of the collection has saved."""
        if not self._stale and monotonic() - self._looked > _REFRESH:
            self._catch_up()

    def exchange(self, passages: Sequence[Passage]) -> None:
        """Count passages that are about to be written, and no longer count those they replace."""
        self._begin()
        if self._encoder.statistics.documents:
            self._forget([passage.id for passage in passages])
        self._encoder.learn(_texts(passage.views for passage in passages))
        self._changed += len(passages)

    def remove(self, ids: Sequence[str]) -> None:
        """No longer count passages that are about to be deleted."""
        self._begin()
        self._forget(ids)
        self._changed += len(ids)

    def doubt(self) -> None:
        """A write has failed, so some rows may not be as counted: count them again before the next."""
        self._doubtful = True

    def settle(self) -> None:
        """After a run of writes: rewrite weights that have drifted, save when enough has changed."""
        statistics = self._encoder.statistics
        if statistics.drift > _DRIFT:
            self._reweigh()
        if self._changed > _UNSAVED * statistics.documents:
            self.save()

    def save(self) -> None:
        """Write the statistics, which removes the mark; doubtful ones are left to be counted again."""
        if self._stale and not self._doubtful:
            self._version = uuid4().hex
            saved: dict[str, JsonValue] = {self._key: self._encoder.statistics.to_json()}
            self._store.state.put({**saved, self._version_key: self._version, self._mark_key: False})
            self._stale = False
            self._changed = 0

    @property
    def _mark_key(self) -> str:
        return f"stale/{self._key}"

    @property
    def _version_key(self) -> str:
        return f"version/{self._key}"

    def _begin(self) -> None:
        self._mark()
        if self._doubtful:
            self._recount()

    def _mark(self) -> None:
        if not self._stale:
            self._catch_up()
            self._store.state.put({self._mark_key: True})
            self._stale = True

    def _forget(self, ids: Sequence[str]) -> None:
        stored = _texts(self._store.views(ids).values())
        try:
            self._encoder.forget(stored)
        except BadInput:  # Another process has written meanwhile: the rows know better.
            self._recount()
            self._encoder.forget(stored)

    def _load(self) -> None:
        if self._store.state.get(self._mark_key):
            self._recount()
            self.save()
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        """The saved statistics, where they are not those that are known already."""
        self._looked = monotonic()
        version = self._store.state.get(self._version_key)
        saved = self._store.state.get(self._key) if version != self._version else None
        if isinstance(saved, dict):
            self._encoder.statistics = Bm25Statistics.from_json(saved)
            self._version = version

    def _recount(self) -> None:
        self._mark()
        self._encoder.statistics = Bm25Statistics()
        ids = self._store.ids()
        for start in range(0, len(ids), _BATCH):
            self._encoder.learn(_texts(self._store.views(ids[start : start + _BATCH]).values()))
        self._doubtful = False
        self._reweigh()

    def _reweigh(self) -> None:
        self._encoder.statistics.settle()
        self._store.rewrite(self._leg, self._weights)

    def _weights(self, passages: Sequence[Passage]) -> Sequence[SparseVector]:
        return self._encoder.encode_documents(_texts(passage.views for passage in passages)).sparse or ()


def _texts(views: Iterable[Sequence[View]]) -> list[View]:
    return [text for of_passage in views if (text := embed_text(of_passage)) is not None]
