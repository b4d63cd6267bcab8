"""Every passage and every image against what was recorded of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeAlias

from tqdm import tqdm

from rag_plugins.errors import BadInput, StoreError
from rag_plugins.ingest.checking import compare
from rag_plugins.ingest.manifest import Manifest
from rag_plugins.store.engine import cut
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import JsonValue

__all__ = ["Audit", "ByDocument", "audit"]

ByDocument: TypeAlias = Mapping[str, tuple[str, ...]]
"""Ids of passages by document."""

_TEXTS = 16
"""Digits of a sum that are of texts: see `rag_plugins.store.sums`."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a collection has against what was recorded when it was stored.

    `lost` passages are not there; `texts` and `vectors` are others than were stored; `unknown` ones are there
    and were not recorded; `images` that documents refer to are not to be had. `unsealed`: how many passages
    have no checksum to compare with, since a write of them did not end, or was by an older version.
    """

    documents: int
    passages: int
    lost: ByDocument
    texts: ByDocument
    vectors: ByDocument
    unknown: ByDocument
    images: ByDocument
    unsealed: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether all is as it was stored."""
        return not (self.lost or self.texts or self.vectors or self.unknown or self.images)

    @property
    def damaged(self) -> list[str]:
        """Documents that need their file: for lost passages or images, or for texts that are others."""
        return sorted({*self.lost, *self.texts, *self.images})

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values: how many passages of each document, or images, are concerned."""
        parts = ("lost", "texts", "vectors", "unknown", "images")
        found: dict[str, JsonValue] = {
            part: {doc_id: len(ids) for doc_id, ids in getattr(self, part).items()} for part in parts
        }
        counts: dict[str, JsonValue] = {
            "documents": self.documents,
            "passages": self.passages,
            "unsealed": self.unsealed,
            "seconds": round(self.seconds, 3),
        }
        return {"sound": self.sound, **counts, **found}


@dataclass(slots=True)
class _Found:
    """Ids by document, while rows are read."""

    texts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    vectors: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    images: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    unsealed: int = 0

    def compare(self, id: str, doc_id: str, recorded: str, sum: str) -> None:
        if not recorded:
            self.unsealed += 1
        elif recorded[:_TEXTS] != sum[:_TEXTS]:
            self.texts[doc_id].append(id)
        elif recorded != sum:
            self.vectors[doc_id].append(id)


def audit(store: MilvusStore, manifest: Manifest, *, progress: bool = False) -> Audit:
    """Read all rows and images of a tenant; nothing is changed. Raises `StoreError`."""
    start = perf_counter()
    difference = compare(store, manifest)
    records = list(manifest)
    recorded = {id: (record.doc_id, sum) for record in records for id, sum in record.sums.items()}
    found = _Found()
    for batch in _shown(list(recorded), progress):
        for id, (sum, images) in store.contents(batch).items():
            found.compare(id, recorded[id][0], recorded[id][1], sum)
            for image in images:
                found.images.setdefault(image, set()).add(recorded[id][0])
    return Audit(
        len(records),
        len(recorded),
        difference.lost,
        _frozen(found.texts),
        _frozen(found.vectors),
        difference.unknown,
        _frozen(_by_document(_missing(store, found.images))),
        found.unsealed,
        perf_counter() - start,
    )


def _missing(store: MilvusStore, images: Mapping[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
    for image, doc_ids in sorted(images.items()):
        try:
            store.assets.get(image)
        except (BadInput, StoreError):
            yield image, doc_ids


def _by_document(images: Iterable[tuple[str, set[str]]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for image, doc_ids in images:
        for doc_id in doc_ids:
            found[doc_id].append(image)
    return found


def _frozen(found: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {doc_id: tuple(found[doc_id]) for doc_id in sorted(found)}


def _shown(ids: Sequence[str], progress: bool) -> Iterator[Sequence[str]]:
    with tqdm(total=len(ids), unit=" passages", desc="Auditing", disable=not progress, leave=False) as bar:
        for batch in cut(ids):
            yield batch
            bar.update(len(batch))
