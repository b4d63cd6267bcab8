"""Passages to rows: encode, count, store, record; the one place that changes a collection."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from types import MappingProxyType
from typing import Protocol

from rag_plugins.errors import StoreError
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
        self.manifest: Manifest = Manifest(store.records, tenant)
        self.collection: str = store.collection
        self._store = store
        self._rows = rows
        self._keepers = keepers
        self._settlers = settlers
        self._written = 0
        # Counting, writing and recording belong together; readers need not wait.
        self._lock: RLock = store.shared("writer", RLock)
        self._own = RLock()
        self._turns = store.turns(self._lock)

    def add(self, passages: Sequence[Passage], vectors: Mapping[str, Given] = _NONE) -> list[str]:
        """Insert or replace by id; ids in the order given. Raises `BadPassage` before anything is written.

        `vectors` by leg and passage id are not made anew. Raises `BadInput` for those that do not fit.
        """
        unique = list({passage.id: passage for passage in passages}.values())
        for passage in unique:
            self._rows.check(passage)
            self._store.check(passage)
        given = self._rows.trusted(unique, vectors)
        with self._changing():
            self._begin(unique)
            sums = self._put(unique, given)
            known = self.manifest.get_all(passage.doc_id for passage in unique)
            self.manifest.write(
                [
                    known.get(doc_id, DocumentRecord(doc_id)).having({id: sums[id] for id in ids})
                    for doc_id, ids in _by_document(unique).items()
                ]
            )
        return [passage.id for passage in passages]

    def replace(self, documents: Sequence[tuple[DocumentRecord, Sequence[Passage]]]) -> None:
        """Make each document's passages exactly these: add, verify, record, and only then delete the old.

        First the documents are recorded as incomplete, so that what a crash leaves behind is read again. A
        record that comes in incomplete keeps its old passages: a page that cannot be read today is no reason
        to lose what was read of it before.
        """
        with self._changing():
            passages = [passage for _, of_document in documents for passage in of_document]
            self._begin(passages)
            known = self.manifest.get_all(record.doc_id for record, _ in documents)
            self.manifest.write(
                [replace(known.get(record.doc_id, record), complete=False) for record, _ in documents]
            )
            sums = self._put(passages)
            records: list[DocumentRecord] = []
            for record, of_document in documents:
                kept = known[record.doc_id] if record.doc_id in known and not record.complete else record
                mine = {passage.id: sums[passage.id] for passage in of_document}
                records.append(replace(record, sums=kept.sums).having(mine))
            self._drop_old(records, known)
            self.manifest.write(records)

    def retext(self, passages: Sequence[Passage], records: Sequence[DocumentRecord]) -> None:
        """Give stored passages other texts for the LLM, which retrieval never reads; then put records."""
        with self._changing():
            known = self.manifest.get_all(passage.doc_id for passage in passages)
            self.manifest.write(
                [record.doubting(passage.id for passage in passages) for record in known.values()]
            )
            told = self._store.retext(passages)
            known |= {record.doc_id: record for record in records}
            self.manifest.write([record.retold(told) for record in known.values()])

    def delete(self, doc_id: str) -> int:
        """Delete a document's passages; how many there were."""
        with self._changing():
            if self.manifest.get(doc_id) is not None:
                self.manifest.write(removed=[doc_id])
            return self._drop(self._store.ids(where("doc_id") == doc_id))

    def remove(self, ids: Sequence[str]) -> int:
        """Delete passages; how many there were."""
        with self._changing():
            gone = self._store.rows.documents(ids)
            left = [record.without(gone) for record in self.manifest.get_all(gone.values()).values()]
            self.manifest.write(
                [record for record in left if record.sums],
                [record.doc_id for record in left if not record.sums],
            )
            return self._drop(list(gone))

    def clear(self) -> int:
        """Delete every passage; how many there were."""
        with self._changing():
            self.manifest.write(removed=[record.doc_id for record in self.manifest])
            return self._drop(self._store.ids())

    def refresh(self) -> None:
        """Before a search: know what others have written. Never waits for a writer.

        While this one writes, its counts are the newest there are, and none may replace them.
        """
        self._store.rows.engine.check()
        if self._own.acquire(blocking=False):
            try:
                for keeper in self._keepers:
                    keeper.refresh()
            finally:
                self._own.release()

    def settle(self) -> None:
        """After a run of writes: bring term weights, funnels and what fusion knows up to date, save."""
        with self._turn(), span("rag_plugins.settle"):
            for keeper in self._keepers:
                keeper.settle()
            for settler in self._settlers:
                settler.settle(self._written)
            self._written = 0
            self._store.settle()

    @contextmanager
    def _turn(self) -> Generator[None]:
        """One writer of this process at a time, and none while this one's counts are renewed."""
        self._store.rows.engine.check()  # Before a lock: after a fork nobody may be there to let go of it.
        with self._turns, self._own:
            yield

    @contextmanager
    def _changing(self) -> Generator[None]:
        """A turn that changes rows."""
        with self._turn():
            self._store.begin()
            yield

    def close(self) -> None:
        """Save what is not yet saved."""
        with self._turn():
            for keeper in self._keepers:
                keeper.close()

    def _begin(self, passages: Sequence[Passage]) -> None:
        """Passages are about to be written: what they replace is not sure any more, nor whose it is."""
        goes_to = {passage.id: passage.doc_id for passage in passages}
        owners = self._store.rows.documents(list(goes_to))
        self.manifest.write(
            [
                record.doubting(goes_to).without(
                    id for id, doc_id in owners.items() if doc_id == record.doc_id != goes_to[id]
                )
                for record in self.manifest.get_all(owners.values()).values()
            ]
        )

    def _put(self, passages: Sequence[Passage], given: GivenVectors = _MADE) -> dict[str, str]:
        """What each is now, by id. Raises `StoreError` where one is not there after it was written."""
        sums: dict[str, str] = {}
        for batch in _loads(map(_cleaned, passages)):
            with span("rag_plugins.write", {"rag_plugins.passages": len(batch)}), self._counted():
                for keeper in self._keepers:
                    keeper.exchange(batch)
                with span("rag_plugins.encode"):
                    rows = self._rows.rows(batch, given)
                written = self._store.upsert(rows)
                if self._missing(written):  # A server that was killed since had them in its memory alone.
                    written = self._store.upsert(rows)
                self._verify(written)
                for keeper in self._keepers:
                    keeper.stored(batch)
            sums |= written
            self._written += len(batch)
        return sums

    def _verify(self, written: Mapping[str, str]) -> None:
        if missing := self._missing(written):
            raise StoreError(
                f"{self._store}: {len(missing)} of {len(written)} passages are not there after they were "
                f"written, {missing[0]} for one: the database is damaged, see `rag-plugins doctor`"
            )

    def _missing(self, written: Mapping[str, str]) -> list[str]:
        there = self._store.rows.documents(list(written))
        return [id for id in written if id not in there]

    def _drop_old(self, records: Sequence[DocumentRecord], known: Mapping[str, DocumentRecord]) -> None:
        """Delete what complete documents had and have no more, once nothing records it any more."""
        whole = {record.doc_id for record in records if record.complete}
        kept = {id for record in records for id in record.sums}
        # A write that did not end has left more than was recorded.
        torn = [doc_id for doc_id in whole & known.keys() if not known[doc_id].complete]
        left = self._store.ids(where("doc_id").is_in(torn)) if torn else []
        old = dict.fromkeys(id for doc_id in whole & known.keys() for id in known[doc_id].sums)
        if gone := [id for id in (old | dict.fromkeys(left)) if id not in kept]:
            self.manifest.write([replace(record, complete=False) for record in records])
            self._drop(gone)

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


def _by_document(passages: Iterable[Passage]) -> dict[str, list[str]]:
    documents: dict[str, list[str]] = {}
    for passage in passages:
        documents.setdefault(passage.doc_id, []).append(passage.id)
    return documents


def _cleaned(passage: Passage) -> Passage:
    """With views as encoders read them, so that whoever reads them from the rows finds the same words."""
    views = tuple(
        EmbedText(clean(view.text)) if isinstance(view, EmbedText) else view for view in passage.views
    )
    return passage if views == passage.views else replace(passage, views=views)


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
