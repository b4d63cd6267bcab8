"""The same hybrid search by two frameworks' own parts, in memory: words and vectors, fused, whole documents.

Neither's filters reach all of its legs (FAISS filters what it has found, or not at all; BM25Retriever in
LangChain has none, in LlamaIndex one that is fixed when it is built), so their users filter what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rag_plugins.errors import require
from rag_plugins.types import JsonValue
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["PEERS", "Ask", "Collection", "Found"]

Found: TypeAlias = tuple[str, Mapping[str, Any]]
"""A passage's number as text, and its metadata."""

Ask: TypeAlias = Callable[[str, int], list[Found]]
"""(question, depth of each leg) -> what is found, best first."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What is searched: texts, their metadata, their vectors (n, dim); `encode` gives that of a question."""

    texts: Sequence[str]
    metadata: Sequence[Mapping[str, JsonValue]]
    vectors: Matrix
    encode: Callable[[str], FloatArray]


def langchain(made: Collection) -> Ask:
    """EnsembleRetriever (weighted reciprocal ranks) over the FAISS vector store and BM25Retriever."""
    _need("langchain_core", "langchain_classic", "langchain_community", "rank_bm25")
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever
    from langchain_community.vectorstores import FAISS
    from langchain_core.embeddings import Embeddings

    class Given(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return made.encode(text).tolist()

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

    ids = [str(number) for number in range(len(made.texts))]
    metadata = [{**about, "id": id} for about, id in zip(made.metadata, ids, strict=True)]
    pairs = zip(made.texts, made.vectors, strict=True)
    vectors = FAISS.from_embeddings(pairs, Given(), metadata, ids).as_retriever()
    words = BM25Retriever.from_texts(made.texts, metadata, ids)
    both = EnsembleRetriever(retrievers=[vectors, words], weights=[0.5, 0.5], id_key="id")

    def ask(question: str, depth: int) -> list[Found]:
        vectors.search_kwargs, words.k = {"k": depth}, depth
        return [(document.metadata["id"], document.metadata) for document in both.invoke(question)]

    return ask


def llama_index(made: Collection, mode: str = "relative_score") -> Ask:
    """QueryFusionRetriever (min-max scores, no generated queries) over FaissVectorStore and BM25Retriever."""
    _need("llama_index.core", "llama_index.retrievers.bm25", "llama_index.vector_stores.faiss")
    import faiss
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever
    from llama_index.vector_stores.faiss import FaissVectorStore

    class Given(BaseEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return made.encode(query).tolist()

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_query_embedding(text)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    rows = zip(made.texts, made.metadata, made.vectors, strict=True)
    nodes = [
        TextNode(id_=str(number), text=text, metadata=dict(about), embedding=vector.tolist())
        for number, (text, about, vector) in enumerate(rows)
    ]
    context = StorageContext.from_defaults(
        vector_store=FaissVectorStore(faiss_index=faiss.IndexFlatIP(made.vectors.shape[1]))
    )
    index = VectorStoreIndex(nodes, storage_context=context, embed_model=Given())
    vectors, words = index.as_retriever(), BM25Retriever(nodes=nodes)
    # The language model is never asked: there is one query.
    both = QueryFusionRetriever([vectors, words], llm=MockLLM(), num_queries=1, mode=mode, use_async=False)

    def ask(question: str, depth: int) -> list[Found]:
        depth = min(depth, len(nodes))  # bm25s refuses more.
        vectors.similarity_top_k = words.similarity_top_k = both.similarity_top_k = depth
        return [(hit.node.node_id, hit.node.metadata) for hit in both.retrieve(question)]

    return ask


def llama_index_rrf(made: Collection) -> Ask:
    """The same by reciprocal ranks."""
    return llama_index(made, "reciprocal_rerank")


def _need(*modules: str) -> None:
    for module in ("faiss", *modules):
        require(module, "peers")


PEERS: dict[str, Callable[[Collection], Ask]] = {"langchain": langchain, "llama_index": llama_index}
"""What builds each; raises `MissingExtra`."""
