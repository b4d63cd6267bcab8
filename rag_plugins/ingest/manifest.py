"""What a collection should hold, document by document, kept beside it and written after the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from rag_plugins.store.state import State
from rag_plugins.text import digest
from rag_plugins.types import JsonValue

__all__ = ["DocumentRecord", "Manifest"]


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One document: its passages' ids and, where it is a file, its sha256 and the settings it was read with.

    `complete` is False where a page could not be read: the next ingestion tries again. `reread` are other
    settings, with which all that was recognised was recognised anew: they are as good as its own.
    """

    doc_id: str
    ids: tuple[str, ...]
    sha256: str | None = None
    settings: str | None = None
    pages: int = 0
    complete: bool = True
    reread: str | None = None


class Manifest:
    """Document records of one tenant, with a summary (generation, documents, passages)."""

    def __init__(self, state: State, tenant: str) -> None:
        """Nothing is read until the first call."""
        self._state = state
        self._prefix = f"manifest/{digest(tenant)}/"
        self._summary = f"summary/{digest(tenant)}"
        self._loaded: dict[str, DocumentRecord] | None = None

    def get(self, doc_id: str) -> DocumentRecord | None:
        """The record of a document, None where there is none."""
        return self._records.get(doc_id)

    def __iter__(self) -> Iterator[DocumentRecord]:
        return iter(list(self._records.values()))

    @property
    def generation(self) -> int:
        """How many writes the collection has seen; 0 when it is new."""
        summary = self._state.get(self._summary)
        generation = summary["generation"] if isinstance(summary, dict) else 0
        return generation if isinstance(generation, int) else 0

    def write(self, records: Iterable[DocumentRecord] = (), removed: Iterable[str] = ()) -> None:
        """Put records, drop others, and count the write; a record without passages is dropped."""
        changed: dict[str, JsonValue] = {}
        dropped: list[str] = []
        for record in records:
            self._records[record.doc_id] = record
            changed[self._key(record.doc_id)] = {**asdict(record), "ids": list(record.ids)}
        for doc_id in removed:
            self._records.pop(doc_id, None)
            dropped.append(self._key(doc_id))
        self._state.delete(dropped)
        self._state.put({**changed, self._summary: self._summarise()})

    def _summarise(self) -> JsonValue:
        records = self._records.values()
        return {
            "generation": self.generation + 1,
            "documents": len(records),
            "passages": sum(len(record.ids) for record in records),
        }

    def _key(self, doc_id: str) -> str:
        return self._prefix + digest(doc_id)

    @property
    def _records(self) -> dict[str, DocumentRecord]:
        if self._loaded is None:
            values = self._state.get_many(self._prefix).values()
            records = [_record(value) for value in values if isinstance(value, dict)]
            self._loaded = {record.doc_id: record for record in records}
        return self._loaded


def _record(value: dict[str, JsonValue]) -> DocumentRecord:
    fields: dict[str, object] = {**value, "ids": tuple(value["ids"])}  # type: ignore[arg-type]
    return DocumentRecord(**fields)  # type: ignore[arg-type]
