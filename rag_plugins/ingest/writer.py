"""Passages to rows: encode, count, store, record; the one place that changes a collection."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from types import MappingProxyType
from typing import Protocol

from rag_plugins.filters import where
from rag_plugins.ingest.manifest import DocumentRecord, Manifest
from rag_plugins.ingest.rows import RowMaker
from rag_plugins.legs.given import Given, GivenVectors
from rag_plugins.lexical.statistics import StatisticsKeeper
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.text import clean
from rag_plugins.tracing import span
from rag_plugins.types import EmbedText, Passage, embed_text

__all__ = ["Settler", "Writer"]

_NONE: Mapping[str, Given] = MappingProxyType({})
_MADE: GivenVectors = MappingProxyType({})

_BATCH = 256
"""Passages encoded and stored together: enough to sort by length, little to redo after a crash."""

_CHARACTERS = 2**18
"""What the passages of a batch may have together: token vectors take up to 4 KB for every few of them."""


class Settler(Protocol):
    """What has to be kept true to a collection that changes."""

    def settle(self, written: int) -> None:
        """After writing so many passages; never fails."""
        ...


class Writer:
    """Writes passages through the legs' encoders into the store, and keeps manifest and statistics true."""

    def __init__(
        self,
        store: MilvusStore,
        rows: RowMaker,
        tenant: str,
        keepers: Sequence[StatisticsKeeper] = (),
        settlers: Sequence[Settler] = (),
    ) -> None:
        """`rows` encodes what is to be written."""
        self.manifest: Manifest = Manifest(store.state, tenant)
        self.collection: str = store.collection
        self._store = store
        self._rows = rows
        self._keepers = keepers
        self._settlers = settlers
        self._written = 0
        self._lock = RLock()  # Counting and writing belong together; readers need not wait.

    def add(self, passages: Sequence[Passage], vectors: Mapping[str, Given] = _NONE) -> list[str]:
        """Insert or replace by id; ids in the order given. Raises `BadPassage` before anything is written.

        `vectors` by leg and passage id are not made anew. Raises `BadInput` for those that do not fit.
        """
        unique = {passage.id: passage for passage in passages}
        documents: dict[str, list[str]] = {}
        for passage in unique.values():
            self._rows.check(passage)
            self._store.check(passage)
            documents.setdefault(passage.doc_id, []).append(passage.id)
        given = self._rows.trusted(list(unique.values()), vectors)
        with self._lock:
            self._put(list(unique.values()), given)
            self.manifest.write(self._extended(doc_id, ids) for doc_id, ids in documents.items())
        return [passage.id for passage in passages]

    def replace(self, documents: Sequence[tuple[DocumentRecord, Sequence[Passage]]]) -> None:
        """Make each document's passages exactly these.

        First what is about to be is recorded as incomplete, old ids and new, so that whatever a crash
        leaves behind is known, and read again. A record that comes in incomplete keeps its old passages:
        a page that cannot be read today is no reason to lose what was read of it before.
        """
        with self._lock:
            both = [self._extended(record.doc_id, record.ids) for record, _ in documents]
            self.manifest.write(dataclasses.replace(record, complete=False) for record in both)
            self._put([passage for _, passages in documents for passage in passages])
            records = [
                record if record.complete else dataclasses.replace(record, ids=known.ids)
                for (record, _), known in zip(documents, both, strict=True)
            ]
            kept = {id for record in records for id in record.ids}
            self._drop([id for record in both for id in record.ids if id not in kept])
            self.manifest.write(records)

    def retext(self, passages: Sequence[Passage], records: Sequence[DocumentRecord]) -> None:
        """Give stored passages other texts for the LLM, which retrieval never reads; then put records."""
        with self._lock:
            self._store.retext(passages)
            self.manifest.write(records)

    def delete(self, doc_id: str) -> int:
        """Delete a document's passages; how many there were."""
        with self._lock:
            removed = self._drop(self._store.ids(where("doc_id") == doc_id))
            if self.manifest.get(doc_id) is not None:
                self.manifest.write(removed=[doc_id])
            return removed

    def remove(self, ids: Sequence[str]) -> int:
        """Delete passages; how many there were."""
        with self._lock:
            gone = {id: passage.doc_id for id, passage in self._store.fetch(ids).items()}
            removed = self._drop(list(gone))
            known = [record for id in dict.fromkeys(gone.values()) if (record := self.manifest.get(id))]
            left = [
                dataclasses.replace(record, ids=tuple(id for id in record.ids if id not in gone))
                for record in known
            ]
            self.manifest.write(
                [record for record in left if record.ids],
                [record.doc_id for record in left if not record.ids],
            )
            return removed

    def clear(self) -> int:
        """Delete every passage; how many there were."""
        with self._lock:
            removed = self._drop(self._store.ids())
            self.manifest.write(removed=[record.doc_id for record in self.manifest])
            return removed

    def refresh(self) -> None:
        """Before a search: know what other processes have written. Never waits for a writer of this one.

        While that one writes, its counts are the newest there are, and none may replace them.
        """
        if self._lock.acquire(blocking=False):
            try:
                for keeper in self._keepers:
                    keeper.refresh()
            finally:
                self._lock.release()

    def settle(self) -> None:
        """After a run of writes: bring term weights, funnels and what fusion knows up to date, save."""
        with self._lock, span("rag_plugins.settle"):
            for keeper in self._keepers:
                keeper.settle()
            for settler in self._settlers:
                settler.settle(self._written)
            self._written = 0
            self._store.settle()

    def close(self) -> None:
        """Save what is not yet saved."""
        with self._lock:
            for keeper in self._keepers:
                keeper.save()

    def _put(self, passages: Sequence[Passage], given: GivenVectors = _MADE) -> None:
        for batch in _loads(map(_cleaned, passages)):
            with span("rag_plugins.write", {"rag_plugins.passages": len(batch)}), self._counted():
                for keeper in self._keepers:
                    keeper.exchange(batch)
                with span("rag_plugins.encode"):
                    rows = self._rows.rows(batch, given)
                self._store.upsert(rows)
                for keeper in self._keepers:
                    keeper.stored(batch)
            self._written += len(batch)

    def _drop(self, ids: Sequence[str]) -> int:
        removed = 0
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            with self._counted():
                for keeper in self._keepers:
                    keeper.forget(batch)
                removed += self._store.delete(batch)
                for keeper in self._keepers:
                    keeper.removed(batch)
        return removed

    @contextmanager
    def _counted(self) -> Generator[None]:
        """Statistics change before the rows do, term indexes after: if any fails to, rows are read again."""
        try:
            yield
        except BaseException:
            for keeper in self._keepers:
                keeper.doubt()
            raise

    def _extended(self, doc_id: str, ids: Sequence[str]) -> DocumentRecord:
        old = self.manifest.get(doc_id) or DocumentRecord(doc_id, ())
        return dataclasses.replace(old, ids=tuple(dict.fromkeys((*old.ids, *ids))))


def _cleaned(passage: Passage) -> Passage:
    """With views as encoders read them, so that whoever reads them from the rows finds the same words."""
    views = tuple(
        EmbedText(clean(view.text)) if isinstance(view, EmbedText) else view for view in passage.views
    )
    return passage if views == passage.views else dataclasses.replace(passage, views=views)


def _loads(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    batch: list[Passage] = []
    characters = 0
    for passage in passages:
        view = embed_text(passage.views)
        length = len(view.text) if view else 0
        if batch and (len(batch) == _BATCH or characters + length > _CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(passage)
        characters += length
    if batch:
        yield batch
