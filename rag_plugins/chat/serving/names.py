"""Documents by names that show no path of the machine, and by keys that stand for their ids."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath

from rag_plugins.index import RagIndex
from rag_plugins.text import digest

__all__ = ["Named", "documents_of", "shown"]


@dataclass(frozen=True, slots=True)
class Named:
    """A document: the key that a page knows it by, its name, its id in the index, its passages."""

    key: str
    name: str
    doc_id: str
    passages: int


def documents_of(index: RagIndex) -> list[Named]:
    """Every document of the tenant, by name."""
    counts = Counter(passage.doc_id for batch in index.store.scan() for passage in batch)
    named = [Named(digest(doc_id)[:16], shown(doc_id), doc_id, count) for doc_id, count in counts.items()]
    return sorted(named, key=lambda document: (document.name, document.key))


def shown(name: str) -> str:
    """A file's name alone, where a name is a path from the root of a machine."""
    path = PurePath(name)
    return path.name if path.is_absolute() else name
