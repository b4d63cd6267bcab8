"""Whether a collection has what it should: what was recorded of it against what the engine lists."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rag_plugins.errors import DataLost
from rag_plugins.ingest.manifest import DocumentRecord, Manifest
from rag_plugins.store.engine import cut
from rag_plugins.store.generation import Generation
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import scope_of

__all__ = ["Difference", "check_opened", "compare", "lost_error"]

_NAMED = 5
"""Documents named in one message."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids by document: `lost` are recorded and not there, `unknown` are there and not recorded."""

    lost: Mapping[str, tuple[str, ...]]
    unknown: Mapping[str, tuple[str, ...]]


def check_opened(store: MilvusStore, manifest: Manifest, tenant: str) -> None:
    """Raise `DataLost` where passages are not there as they were recorded.

    Fast where the database was closed, its files are those that were left, and numbers agree. Else ids are
    compared; after a crash what the last writes were of, too; and where files have changed, all there is.
    Of a file, which nobody else writes, passages that were not recorded are: a write ended between the two.
    """
    _take_over(store, manifest, tenant)
    recorded = manifest.count is not None
    intact = Generation.recorded(store.state, store.records, scope_of(tenant)) and store.as_closed
    if recorded and intact and not store.recovered and _plausible(store, manifest):
        return
    if recorded and not intact:
        _logger.info("%s: the files are not as they were left, so every passage is compared", store.address)
    found = compare(store, manifest)
    if recorded and (store.recovered or not intact):
        ids = store.suspects() if intact else store.rows.ids()
        found = replace(found, lost=_merged(found.lost, altered(store, manifest, ids)))
    # Where something else has changed the files, passages that nobody recorded may have been deleted.
    if found.lost or (found.unknown and recorded and not intact):
        raise lost_error(store, found)
    if store.is_file or not recorded:
        _adopt(manifest, found.unknown)
    manifest.recount()
    Generation.accept(store.state, store.records, scope_of(tenant))


def compare(store: MilvusStore, manifest: Manifest) -> Difference:
    """Every id that is recorded against every id that there is."""
    records = list(manifest)  # First: what others write meanwhile is then unknown, not lost.
    there = set(store.rows.ids())
    gone = {record.doc_id for record in records if not there.issuperset(record.sums)}
    again = manifest.get_all(gone).values()  # Others may have deleted meanwhile.
    lost = {
        record.doc_id: missing
        for record in again
        if (missing := tuple(id for id in record.sums if id not in there))
    }
    known = {id for record in records for id in record.sums}
    return Difference(lost, _by_document(store, sorted(there - known)))


def altered(store: MilvusStore, manifest: Manifest, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of these passages those that are there and not as they were recorded, by document."""
    recorded = {id: (record.doc_id, sum) for record in manifest for id, sum in record.sums.items() if sum}
    others: defaultdict[str, list[str]] = defaultdict(list)
    for batch in cut([id for id in ids if id in recorded]):
        for id, sum in store.sums(batch).items():
            if sum != recorded[id][1]:
                others[recorded[id][0]].append(id)
    return {doc_id: tuple(of_document) for doc_id, of_document in others.items()}


def lost_error(store: MilvusStore, found: Difference) -> DataLost:
    """What is lost, and what may bring it back."""
    lost = f"{_total(found.lost)} passages are not there as they were stored, of {_named(found.lost)}"
    unknown = (
        f"{_total(found.unknown)} passages are there that were deleted or never recorded, of "
        f"{_named(found.unknown)}; with --forget it deletes them"
    )
    says = [*([lost] if found.lost else []), *([unknown] if found.unknown else [])]
    anew = f"; to begin anew delete {beside}, too" if (beside := store.records_path) else ""
    message = (
        f"collection {store.collection!r} on {store.address}: {'; '.join(says)}. Nothing was changed. "
        f"Restore a copy of the database, or run `rag-plugins doctor {store.address} --repair`, which "
        f"ingests documents again where their files still are{anew}"
    )
    both = _merged(found.lost, found.unknown)
    return DataLost(message, {doc_id: len(ids) for doc_id, ids in both.items()})


def _take_over(store: MilvusStore, manifest: Manifest, tenant: str) -> None:
    """Of a file: what a server's clients have recorded in its state, while a server had it, is newer."""
    elsewhere = Manifest(store.state, tenant)
    if not store.is_file or elsewhere.count is None:
        return
    known = {record.doc_id: record for record in manifest}
    newer = [_with_source(record, known.get(record.doc_id)) for record in elsewhere]
    manifest.write(newer, sorted(known.keys() - {record.doc_id for record in newer}))
    elsewhere.clear()


def _with_source(record: DocumentRecord, known: DocumentRecord | None) -> DocumentRecord:
    """A client that only found the passages there does not know what file they are of."""
    if record.sha256 or known is None or known.sums.keys() != record.sums.keys():
        return record
    return replace(known, sums=record.sums)


def _plausible(store: MilvusStore, manifest: Manifest) -> bool:
    """Whether numbers agree. Of a file those of all tenants: to count some of its rows, Lite builds each."""
    if store.is_file:
        return store.rows.total() == manifest.total
    return store.rows.count() >= (manifest.count or 0)


def _adopt(manifest: Manifest, unknown: Mapping[str, tuple[str, ...]]) -> None:
    if not unknown:
        return
    records = manifest.get_all(unknown)
    manifest.write(
        [
            records.get(doc_id, DocumentRecord(doc_id)).having(dict.fromkeys(ids, ""))
            for doc_id, ids in unknown.items()
        ]
    )
    _logger.info("%d passages of %s were there, and are recorded now", _total(unknown), _named(unknown))


def _by_document(store: MilvusStore, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for batch in cut(list(ids)):
        for id, doc_id in store.rows.documents(batch).items():
            grouped[doc_id].append(id)
    return {doc_id: tuple(of_document) for doc_id, of_document in grouped.items()}


def _merged(
    some: Mapping[str, tuple[str, ...]], more: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    documents = dict.fromkeys([*some, *more])
    return {doc_id: some.get(doc_id, ()) + more.get(doc_id, ()) for doc_id in documents}


def _total(found: Mapping[str, tuple[str, ...]]) -> int:
    return sum(len(ids) for ids in found.values())


def _named(found: Mapping[str, tuple[str, ...]]) -> str:
    counts = Counter({doc_id: len(ids) for doc_id, ids in found.items()})
    named = ", ".join(f"{doc_id!r} ({count})" for doc_id, count in islice(counts.most_common(), _NAMED))
    more = len(counts) - _NAMED
    return f"{len(counts)} documents: {named}{f' and {more} more' if more > 0 else ''}"
