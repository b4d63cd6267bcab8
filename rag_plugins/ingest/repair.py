"""A damaged collection as it was, as far as its passages and the files they came from allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag_plugins.ingest.audit import Audit, audit
from rag_plugins.ingest.indexer import Indexer
from rag_plugins.ingest.manifest import DocumentRecord
from rag_plugins.ingest.writer import Writer
from rag_plugins.store.engine import cut
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import JsonValue

__all__ = ["Repair", "Repairer"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done: documents ingested again, passages encoded again, given up; and what there is now.

    `left` says for each document that is still damaged why it could not be helped.
    """

    ingested: tuple[str, ...]
    encoded: int
    forgotten: int
    left: dict[str, str]
    after: Audit

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values."""
        return {
            "ingested": list(self.ingested),
            "encoded": self.encoded,
            "forgotten": self.forgotten,
            "left": dict(self.left),
            "after": self.after.to_json(),
        }


class Repairer:
    """Works on a collection that was opened without its check."""

    def __init__(self, writer: Writer, indexer: Indexer, store: MilvusStore) -> None:
        """All three of one collection."""
        self._writer = writer
        self._manifest = writer.manifest
        self._indexer = indexer
        self._store = store

    def repair(self, *, forget: bool = False, progress: bool = False) -> Repair:
        """Ingest damaged documents again from their files, and encode passages of which only vectors differ.

        `forget` then strikes from the record what could not be brought back, takes texts that are others as
        they are, and deletes passages that were not recorded. Nothing else deletes anything.
        """
        found = audit(self._store, self._manifest, progress=progress)
        encoded = self._encode([id for ids in found.vectors.values() for id in ids])
        ingested, left = self._ingest(found, progress)
        forgotten = self._forget(found, list(left)) if forget else 0
        self._seal()
        self._manifest.recount()
        self._writer.settle()
        after = audit(self._store, self._manifest, progress=progress)
        ok = tuple(doc_id for doc_id in ingested if doc_id not in after.damaged)
        still = {doc_id: left.get(doc_id, "ingested again, and still damaged") for doc_id in after.damaged}
        return Repair(ok, encoded, forgotten, still, after)

    def _encode(self, ids: Sequence[str]) -> int:
        for batch in cut(ids):
            self._writer.add(list(self._store.rows.passages(batch).values()))
        return len(ids)

    def _ingest(self, found: Audit, progress: bool) -> tuple[list[str], dict[str, str]]:
        """Documents that were ingested again, and why others were not."""
        ingested: list[str] = []
        left: dict[str, str] = {}
        for images in found.images.values():
            for image in images:
                self._store.assets.discard(image)
        for doc_id, record in self._manifest.get_all(found.damaged).items():
            if record.path is None:
                left[doc_id] = "it was not ingested from a file: add its passages again"
            elif not Path(record.path).is_file():
                left[doc_id] = f"its file {record.path} is not there any more"
            else:
                self._manifest.write([replace(record, complete=False)])
                summary = self._indexer.ingest([record.path], root=_root(record), progress=progress)
                ingested.append(doc_id)
                if summary.bad:
                    left[doc_id] = str(summary.bad[0])
        return ingested, left

    def _forget(self, found: Audit, left: Sequence[str]) -> int:
        """Make the record what there is."""
        forgotten = 0
        for doc_id, record in self._manifest.get_all(left).items():
            gone = found.lost.get(doc_id, ())
            kept = record.without(gone).doubting(found.texts.get(doc_id, ()))
            forgotten += len(record.sums) - len(kept.sums)
            self._manifest.write([kept] if kept.sums else [], [] if kept.sums else [doc_id])
        unknown = [id for ids in found.unknown.values() for id in ids]
        others = [id for ids in found.texts.values() for id in ids]
        textless = [id for batch in cut(others) for id, sum in self._store.sums(batch).items() if not sum]
        return forgotten + self._writer.remove([*unknown, *textless])

    def _seal(self) -> None:
        """Record what passages are of which that is not known."""
        for record in list(self._manifest):
            open_ids = [id for id, sum in record.sums.items() if not sum]
            for batch in cut(open_ids):
                record = record.having(self._store.sums(batch))
            if open_ids:
                self._manifest.write([record])


def _root(record: DocumentRecord) -> Path | None:
    """The folder below which a document's id is its path; None where the id is the whole path."""
    path = Path(record.path or "")
    if record.doc_id == path.as_posix():
        return None
    return path.parents[len(Path(record.doc_id).parts) - 1]
