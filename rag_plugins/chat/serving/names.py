"""Documents by names that show no path of the machine, and by keys that stand for their ids."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag_plugins.index import RagIndex
from rag_plugins.ingest.manifest import Manifest
from rag_plugins.text import digest, file_name

__all__ = ["Named", "documents_of", "without_paths"]

_FOLDER = r"[^\s/'\",;:](?:[^\n/'\",;:]*[^\s/'\",;:])?/"
_FOLDERS = re.compile(rf"(?<![\w:/.])/(?:{_FOLDER})+")
"""Of a path from the root, all but its last name; not of a URL."""


@dataclass(frozen=True, slots=True)
class Named:
    """A document: the key that a page knows it by, its name, its id in the index, its passages."""

    key: str
    name: str
    doc_id: str
    passages: int


def documents_of(index: RagIndex) -> list[Named]:
    """Every document of the tenant, by name."""
    # Read anew each time: on a server other processes write too.
    records = Manifest(index.store.records, index.tenant)
    named = [
        Named(digest(record.doc_id)[:16], file_name(record.doc_id), record.doc_id, len(record.ids))
        for record in records
    ]
    return sorted(named, key=lambda document: (document.name, document.key))


def without_paths(text: str) -> str:
    """A message with files by their names alone."""
    return _FOLDERS.sub("", text)
