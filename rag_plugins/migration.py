"""Collections that other programs have made in Milvus, copied into one of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from tqdm import tqdm

from rag_plugins.config import DenseLeg
from rag_plugins.errors import ConfigError
from rag_plugins.faces import adopt, plain_metadata
from rag_plugins.index import RagIndex
from rag_plugins.store.foreign import ForeignCollection, ForeignRow
from rag_plugins.types import Passage

__all__ = ["Migration", "migrate"]

_BATCH = 4096
"""Rows added at once: enough that what a collection learns of itself is not learnt anew all the time."""

_NONE: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Migration:
    """What was copied. `layout` is whose way of naming fields the collection has, None for no known one's."""

    layout: str | None
    fields: Mapping[str, str]
    passages: int
    documents: int
    vectors: bool


def migrate(
    source: str | Path,
    index: RagIndex,
    *,
    collection: str,
    token: str = "",
    fields: Mapping[str, str] = _NONE,
    keep_vectors: bool = False,
    progress: bool = False,
) -> Migration:
    """Copy a collection of langchain-milvus, LlamaIndex' MilvusVectorStore or any other program into `index`.

    Ids stay as the caller's own, so that a second run replaces what the first has copied. LlamaIndex' nodes
    keep relationships, templates and excluded keys. `fields` names the fields by role (id, text, vector,
    doc_id, metadata) where the layout is not a known one. Vectors are made anew, unless `keep_vectors`: they
    have to be of the model of the index' dense leg, which is checked on one. The source is only read.
    Raises `BadInput`, `BadPassage`, `ConfigError`, `StoreError`.
    """
    leg = _dense_leg(index) if keep_vectors else None
    with ForeignCollection(source, collection, token=token, fields=fields) as foreign:
        rows = tqdm(foreign.rows(keep_vectors), total=foreign.count(), unit=" rows", disable=not progress)
        passages, documents = 0, set[str]()
        for batch in _cut(rows):
            made = {row.id: _passage(row, index) for row in batch}
            given = {made[row.id].id: row.vector for row in batch if row.vector is not None}
            index.add(made.values(), vectors={leg: given} if leg else {})
            passages += len(made)
            documents.update(passage.doc_id for passage in made.values())
        return Migration(foreign.layout, foreign.fields, passages, len(documents), keep_vectors)


def _passage(row: ForeignRow, index: RagIndex) -> Passage:
    if row.node is not None:
        from rag_plugins.llama_index.stored import from_stored  # Who has such nodes has LlamaIndex.

        return from_stored(row.node, index)
    source = row.metadata.get("source")
    return adopt(
        index,
        row.text,
        view=row.text,
        images=(),
        metadata=plain_metadata(row.metadata),
        doc_id=row.doc_id or (str(source) if source else row.id),
        caller_id=row.id,
    )


def _dense_leg(index: RagIndex) -> str:
    names = [leg.name for leg in index.config.legs if isinstance(leg, DenseLeg)]
    if len(names) != 1:
        raise ConfigError(
            f"keep_vectors: the collection has the dense legs {names}, expected one: let vectors be made anew"
        )
    return names[0]


def _cut(rows: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
