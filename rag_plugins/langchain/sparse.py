"""SparseEmbeddings for LangChain, whose core has no base class for them: its stores each have their own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from langchain_core.runnables.config import run_in_executor

from rag_plugins.config import ComputeConfig
from rag_plugins.faces.sparse import LearnedSparse

__all__ = ["QdrantEmbeddings", "SparseEmbeddings"]


class SparseEmbeddings:
    """Weighted tokens of texts, {token id: weight}, of a SPLADE model or a BGE-M3's lexical head.

        Milvus(embedding_function=[dense, SparseEmbeddings("splade-v3")], vector_field=["dense", "sparse"])
        QdrantVectorStore(…, sparse_embedding=SparseEmbeddings("splade-v3").as_qdrant())

    langchain-milvus takes it as it is, langchain-qdrant as `as_qdrant` gives it.
    """

    def __init__(
        self,
        model: str,
        query_terms: int | None = 64,
        document_terms: int | None = 256,
        max_length: int | None = None,
        device: str | None = None,
        compute: ComputeConfig | None = None,
    ) -> None:
        """`…_terms` keeps the so many strongest weights, None all; settings are those of a sparse leg.

        Raises `ConfigError`, `UnknownPreset`. Weights load on first use.
        """
        self.model = model
        self._sparse = LearnedSparse(
            model,
            compute,
            query_terms=query_terms,
            document_terms=document_terms,
            max_length=max_length,
            device=device,
        )
        _known_to_milvus()

    def embed_documents(self, texts: list[str]) -> list[dict[int, float]]:
        """{token id: weight} of each text, weights above 0."""
        return self._sparse.documents(texts)

    def embed_query(self, text: str) -> dict[int, float]:
        """{token id: weight} of the query, weights above 0."""
        return self._sparse.queries([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[dict[int, float]]:
        """The same, in a thread."""
        return await run_in_executor(None, self.embed_documents, texts)

    async def aembed_query(self, text: str) -> dict[int, float]:
        """The same, in a thread."""
        return await run_in_executor(None, self.embed_query, text)

    def as_qdrant(self) -> QdrantEmbeddings:
        """The same weights in langchain-qdrant's form."""
        return QdrantEmbeddings(self)


class Weights(NamedTuple):
    """Token ids, each once, and their weights, as Qdrant has them."""

    indices: list[int]
    values: list[float]


class QdrantEmbeddings:
    """What `langchain_qdrant.SparseEmbeddings` asks for: `SparseEmbeddings` whose weights are `Weights`."""

    def __init__(self, sparse: SparseEmbeddings) -> None:
        """See `SparseEmbeddings.as_qdrant`."""
        self._sparse = sparse

    def embed_documents(self, texts: list[str]) -> list[Weights]:
        """One a text."""
        return [_weights(each) for each in self._sparse.embed_documents(texts)]

    def embed_query(self, text: str) -> Weights:
        """Those of the query."""
        return _weights(self._sparse.embed_query(text))

    async def aembed_documents(self, texts: list[str]) -> list[Weights]:
        """The same, in a thread."""
        return [_weights(each) for each in await self._sparse.aembed_documents(texts)]

    async def aembed_query(self, text: str) -> Weights:
        """The same, in a thread."""
        return _weights(await self._sparse.aembed_query(text))


def _weights(weights: Mapping[int, float]) -> Weights:
    return Weights([*weights], [*weights.values()])


def _known_to_milvus() -> None:
    """langchain-milvus tells sparse embeddings by their base class: where it is installed, be one."""
    with suppress(ImportError):
        peer: Any = importlib.import_module("langchain_milvus.utils.sparse")
        peer.BaseSparseEmbedding.register(SparseEmbeddings)
