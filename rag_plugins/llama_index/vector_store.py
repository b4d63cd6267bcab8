"""RagVectorStore for LlamaIndex."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from rag_plugins.config import Config
from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.faces.legs import dense_leg, with_encoder
from rag_plugins.index import RagIndex
from rag_plugins.llama_index.convert import from_node, to_plain_node
from rag_plugins.llama_index.embedding import LegEmbedding
from rag_plugins.llama_index.filters import to_filter
from rag_plugins.llama_index.foreign import from_llama_index
from rag_plugins.llama_index.queries import EMBED_MODEL, Queries
from rag_plugins.models.protocols import Encoder, ImageEncoder
from rag_plugins.store.address import Address

__all__ = ["RagVectorStore"]

_SECRET = {"store": {"token"}, "ingest": {"passwords"}}


class RagVectorStore(BasePydanticVectorStore):
    """A `RagIndex` as a vector store: for `VectorStoreIndex` and `IngestionPipeline`.

        store = RagVectorStore.open("handbook.db")
        index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)

    Nodes come back as they were added. Their embeddings, and those of queries, are used as they are, and have
    to be of the collection's own model: give whatever embeds `embed_model=store.embed_model`. Nodes without
    one are embedded here. The async methods work in threads.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    _index: RagIndex = PrivateAttr()
    _embed_model: BaseEmbedding = PrivateAttr()
    _owned: bool = PrivateAttr(default=False)
    _queries: Queries = PrivateAttr()
    _place: dict[str, Any] | None = PrivateAttr(default=None)

    def __init__(self, index: RagIndex, embed_model: BaseEmbedding | None = None) -> None:
        """A store over an open index, which stays the caller's.

        `embed_model` is the object that the dense leg was made of, by default the leg itself.
        """
        leg = dense_leg(index)
        super().__init__(stores_text=True, is_embedding_query=leg is not None)
        self._index = index
        own = LegEmbedding(leg) if leg else MockEmbedding(embed_dim=1)  # Vectors that nothing reads.
        self._embed_model = embed_model or own
        # A hosted model is not asked for what is known.
        self._queries = Queries(index, trusted=embed_model is not None)

    @classmethod
    def open(
        cls,
        uri: str | Path,
        embed_model: BaseEmbedding | None = None,
        *,
        preset: str = "local",
        config: Config | None = None,
        collection: str = "passages",
        tenant: str = "",
        encoders: Mapping[str, Encoder | ImageEncoder] | None = None,
    ) -> Self:
        """A store over an index that it opens and owns: close it. The rest is as in `RagIndex.open`.

        `embed_model` stands in for the model of the dense leg; the preset's late interaction, which needs the
        leg's own, is then left out. Raises also `ConfigError` where the collection has no such leg.
        """
        given = dict(encoders or {})
        settings = config or Config.preset(preset)
        if embed_model is not None:
            settings, own = with_encoder(settings, from_llama_index(embed_model, name=_name(embed_model)))
            given |= own
        index = RagIndex.open(uri, config=settings, collection=collection, tenant=tenant, encoders=given)
        store = cls(index, embed_model)
        store._owned = True
        store._place = {
            "uri": str(Address.of(uri)),
            "collection": collection,
            "tenant": tenant,
            "config": settings.model_dump(mode="json", exclude=_SECRET),
        }
        return store

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "RagVectorStore"

    @property
    def client(self) -> RagIndex:
        """The index."""
        return self._index

    @property
    def embed_model(self) -> BaseEmbedding:
        """What made the collection's vectors; in a collection without any, something that costs nothing."""
        return self._embed_model

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Insert nodes, replacing those of the same id; their ids.

        Raises `BadPassage`, and `BadInput` for embeddings of another model, before anything is written.
        """
        passages, leg = [from_node(node, self._index) for node in nodes], dense_leg(self._index)
        pairs = zip(passages, nodes, strict=True)
        embedded = {passage.id: node.embedding for passage, node in pairs if node.embedding is not None}
        try:
            self._index.add(passages, vectors={leg.name: embedded} if leg else {})
        except BadInput as error:
            if type(error) is not BadInput:
                raise  # About a passage.
            raise BadInput(f"{error}: {EMBED_MODEL}") from error
        return [node.node_id for node in nodes]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search; see `Queries.found` for what each part of a query does. Raises `BadInput`, `StoreError`."""
        hits = self._queries.found(query, **kwargs)
        nodes = [to_plain_node(hit.passage, hit.assets) for hit in hits]
        return VectorStoreQueryResult(
            nodes=nodes, similarities=[hit.score for hit in hits], ids=[node.node_id for node in nodes]
        )

    def get_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Nodes by id, in that order, that the filters hold for; unknown ids are left out. All by default."""
        if node_ids is None:
            passages = self._index.find(to_filter(filters))
        else:
            passages = self._index.get(node_ids)
            if (filter := to_filter(filters)) is not None:
                kept = set(self._index.store.ids(filter))
                passages = [passage for passage in passages if passage.id in kept]
        return [to_plain_node(passage, self._index.assets) for passage in passages]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete a document's nodes; an unknown document is no error."""
        self._index.delete(ref_doc_id)

    def delete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Delete nodes by id, by filters, or those of the ids that the filters hold for.

        Raises `BadInput` where neither is given.
        """
        filter = to_filter(filters)
        if node_ids is None and filter is None:
            raise BadInput("got neither node_ids nor filters: say which nodes, or clear() deletes all")
        kept = None if filter is None else set(self._index.store.ids(filter))
        if node_ids is None:
            doomed = list(kept or ())
        else:
            known = [passage.id for passage in self._index.get(node_ids)]
            doomed = [id for id in known if kept is None or id in kept]
        self._index.remove(doomed)

    def clear(self) -> None:
        """Delete all nodes of the tenant."""
        self._index.clear()

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """See `add`."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """See `query`."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    async def aget_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """See `get_nodes`."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def adelete(self, ref_doc_id: str, **_: Any) -> None:
        """See `delete`."""
        await asyncio.to_thread(self.delete, ref_doc_id)

    async def adelete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """See `delete_nodes`."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """See `clear`."""
        await asyncio.to_thread(self.clear)

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Nothing is left to be done: what was added is stored. The path is not written to."""

    def to_dict(self, **_: Any) -> dict[str, Any]:
        """Where the collection is and how it is searched, without a token; for `from_dict`."""
        return {"class_name": self.class_name(), "place": self._place}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Open the same collection; `kwargs` are those of `open`, `embed_model` or a `config` for one.

        Raises `ConfigError` where the store was made over an index that somebody else had opened.
        """
        if not (place := data.get("place")):
            raise ConfigError("the store was made over an open index: RagVectorStore(index) makes it again")
        settings: dict[str, Any] = {**place, "config": Config.make(place["config"]), **kwargs}
        return cls.open(**settings)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as `to_dict` has it, and opened anew: a database file admits one process at a time."""
        return type(self).from_dict, (self.to_dict(),)

    def close(self) -> None:
        """Close the index if this store opened it."""
        if self._owned:
            self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(embedding: BaseEmbedding) -> str:
    return embedding.class_name() if embedding.model_name in ("", "unknown") else embedding.model_name
