"""What a collection should hold, document by document: recorded once rows are there, dropped before they go.

So each passage that is recorded is there, at any time, and one that is not was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, cast

from rag_plugins.store.records import Records
from rag_plugins.text import digest
from rag_plugins.types import JsonValue

__all__ = ["DocumentRecord", "Manifest"]


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One document: its passages and, where it is a file, its path, sha256 and the settings it was read with.

    `sums` is what each passage is, by id (see `MilvusStore.sums`); "" where that is not known. `complete` is
    False where a page could not be read, or a write did not end: the next ingestion tries again. `reread` are
    other settings, with which all that was recognised was recognised anew: they are as good as its own.
    """

    doc_id: str
    sums: Mapping[str, str] = field(default_factory=dict[str, str])
    sha256: str | None = None
    settings: str | None = None
    pages: int = 0
    complete: bool = True
    reread: str | None = None
    path: str | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its passages."""
        return tuple(self.sums)

    def having(self, sums: Mapping[str, str]) -> Self:
        """With these passages, too, or as they are now."""
        return replace(self, sums={**self.sums, **sums})

    def without(self, ids: Iterable[str]) -> Self:
        """Without these passages."""
        gone = frozenset(ids)
        return replace(self, sums={id: sum for id, sum in self.sums.items() if id not in gone})

    def doubting(self, ids: Iterable[str]) -> Self:
        """Not sure any more what these are: they are about to be written."""
        return self.having({id: "" for id in ids if id in self.sums})

    def retold(self, told: Mapping[str, str]) -> Self:
        """With passages whose texts are others now: `told` has the first halves of their sums."""
        known = {id: self.sums[id] for id in told if self.sums.get(id)}
        return self.having({id: told[id] + sum[len(told[id]) :] for id, sum in known.items()})


class Manifest:
    """The document records of one tenant, and how many passages they name.

    Every call reads what is recorded now: other indexes, and on a server other processes, write too. Within a
    process those who write take turns (see `Writer`).
    """

    def __init__(self, records: Records, tenant: str) -> None:
        """Nothing is read until the first call."""
        self._records = records
        self._prefix = f"manifest/{digest(tenant)}/"
        self._summary = f"summary/{digest(tenant)}"

    def get(self, doc_id: str) -> DocumentRecord | None:
        """The record of a document, None where there is none."""
        return self.get_all([doc_id]).get(doc_id)

    def get_all(self, doc_ids: Iterable[str]) -> dict[str, DocumentRecord]:
        """The records of these documents, by id; absent ones are left out."""
        values = self._records.get_all([self._key(doc_id) for doc_id in dict.fromkeys(doc_ids)])
        return {record.doc_id: record for record in map(_record, values.values())}

    def __iter__(self) -> Iterator[DocumentRecord]:
        return map(_record, self._records.get_many(self._prefix).values())

    @property
    def count(self) -> int | None:
        """How many passages are recorded; None where nothing ever was.

        On a server, two processes that write at once may let it differ a little from what the records name.
        """
        summary = self._records.get_all([self._summary]).get(self._summary)
        return cast("int", summary["passages"]) if isinstance(summary, dict) else None

    @property
    def total(self) -> int:
        """How many passages the records of all tenants name."""
        summaries = self._records.get_many("summary/").values()
        return sum(cast("int", summary["passages"]) for summary in summaries if isinstance(summary, dict))

    def write(self, records: Sequence[DocumentRecord] = (), removed: Sequence[str] = ()) -> None:
        """Put records, and drop those of other documents."""
        if not records and not removed:
            return
        before = self.get_all([*(record.doc_id for record in records), *removed])
        more = _passages(records) - _passages(before.values())
        values = {self._key(record.doc_id): _value(record) for record in records}
        self._records.put({**values, self._summary: {"passages": max((self.count or 0) + more, 0)}})
        self._records.delete([self._key(doc_id) for doc_id in removed if doc_id in before])

    def recount(self) -> None:
        """Count anew what the records name."""
        self._records.put({self._summary: {"passages": _passages(self)}})

    def clear(self) -> None:
        """Forget all of it."""
        self._records.delete([*self._records.get_many(self._prefix), self._summary])

    def _key(self, doc_id: str) -> str:
        return self._prefix + digest(doc_id)


def _passages(records: Iterable[DocumentRecord]) -> int:
    return sum(len(record.sums) for record in records)


def _value(record: DocumentRecord) -> JsonValue:
    return cast("JsonValue", {**asdict(record), "sums": dict(record.sums)})


def _record(value: JsonValue) -> DocumentRecord:
    fields = dict(cast("dict[str, Any]", value))
    # From before passages had sums: of an incomplete document ids were recorded before they were there.
    ids = fields.pop("ids", ())
    fields.setdefault("sums", dict.fromkeys(ids if fields["complete"] else (), ""))
    return DocumentRecord(**fields)
