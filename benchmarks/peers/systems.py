"""Peers by name: what builds each over a collection, and its pip packages. Vectors are given, none is made.

A peer takes a collection and a folder of its own, and gives a function of a question and how many hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.peers import in_memory
from benchmarks.peers.in_memory import Ask, Collection, Found
from rag_plugins.errors import require

__all__ = ["SYSTEMS", "System"]

_INNER: dict[str, Any] = {"metric_type": "IP", "params": {}}
_BM25: dict[str, Any] = {"metric_type": "BM25", "params": {}}
_WEIGHTED: dict[str, Any] = {"ranker_type": "weighted", "ranker_params": {"weights": [0.6, 0.4]}}
_RRF: dict[str, Any] = {"ranker_type": "rrf", "ranker_params": {"k": 100}}

Build: TypeAlias = Callable[[Collection, Path], Ask]


@dataclass(frozen=True, slots=True)
class System:
    """A peer: how it is shown, what builds it, whether it takes long and is asked fewer questions.

    `alone`: it does not go with the other packages, and runs in an environment of its own (`make peers`).
    """

    title: str
    build: Build
    slow: bool = False
    alone: bool = False


def _dense(made: Collection, folder: Path) -> Ask:
    """Exact inner products of unit vectors, in faiss."""
    faiss: Any = require("faiss", "peers")
    index = faiss.IndexFlatIP(made.vectors.shape[1])
    index.add(made.vectors)

    def ask(question: str, k: int) -> list[Found]:
        _, rows = index.search(made.encode(question)[None], min(k, len(made.texts)))
        return [(str(row), {}) for row in rows[0].tolist()]

    return ask


def _bm25(made: Collection, folder: Path) -> Ask:
    """bm25s as its README has it: English stop words, stemmed, Lucene's form."""
    bm25s: Any = require("bm25s", "peers")
    stemmer: Any = require("Stemmer", "peers").Stemmer("english")
    index = bm25s.BM25()
    tokens = bm25s.tokenize(list(made.texts), stopwords="en", stemmer=stemmer, show_progress=False)
    index.index(tokens, show_progress=False)

    def ask(question: str, k: int) -> list[Found]:
        words = bm25s.tokenize(question, stopwords="en", stemmer=stemmer, show_progress=False)
        rows, scores = index.retrieve(words, k=min(k, len(made.texts)), show_progress=False)
        return [(str(row), {}) for row, score in zip(rows[0].tolist(), scores[0], strict=True) if score > 0]

    return ask


def _langchain_milvus(made: Collection, folder: Path, **ranker: Any) -> Ask:
    """langchain_milvus: a dense field, and the BM25 function of Milvus; ranked as its documentation shows."""
    milvus: Any = require("langchain_milvus", "peers")
    embeddings: Any = require("langchain_core.embeddings", "peers")

    class Given(embeddings.Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return made.encode(text).tolist()

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vectors.pop(text).tolist() for text in texts]

    vectors = dict(zip(made.texts, made.vectors, strict=True))
    store = milvus.Milvus(
        embedding_function=Given(),
        builtin_function=milvus.BM25BuiltInFunction(),
        vector_field=["dense", "sparse"],
        # What it makes and searches with by itself, Milvus Lite does not take.
        index_params=[{"index_type": "FLAT"} | _INNER, {"index_type": "SPARSE_INVERTED_INDEX"} | _BM25],
        search_params=[_INNER, _BM25],
        connection_args={"uri": str(folder / "langchain.db")},
        consistency_level="Strong",
        auto_id=False,
    )
    ids = [str(number) for number in range(len(made.texts))]
    unique = {text: id for id, text in zip(ids, made.texts, strict=True)}
    store.add_texts(
        list(unique), ids=list(unique.values()), metadatas=[{"row": id} for id in unique.values()]
    )
    _settle(store.client, store.collection_name)

    def ask(question: str, k: int) -> list[Found]:
        found = store.similarity_search(question, k=k, fetch_k=k, **ranker)
        return [(document.metadata["row"], {}) for document in found]

    return ask


def _llama_index_milvus(made: Collection, folder: Path) -> Ask:
    """llama-index's MilvusVectorStore: dense and its BM25 function, in hybrid mode, by reciprocal ranks."""
    _need("llama_index.vector_stores.milvus")
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
    from llama_index.vector_stores.milvus import MilvusVectorStore  # pyright: ignore[reportMissingImports]
    from llama_index.vector_stores.milvus.utils import (  # pyright: ignore[reportMissingImports]
        BM25BuiltInFunction,
    )

    store = MilvusVectorStore(
        uri=str(folder / "llama_index.db"),
        dim=made.vectors.shape[1],
        enable_sparse=True,
        sparse_embedding_function=BM25BuiltInFunction(),
        overwrite=True,
        use_async_client=False,
    )
    rows = enumerate(zip(made.texts, made.vectors, strict=True))
    store.add([TextNode(id_=str(row), text=text, embedding=vector.tolist()) for row, (text, vector) in rows])
    _settle(store.client, store.collection_name)

    def ask(question: str, k: int) -> list[Found]:
        query = VectorStoreQuery(
            query_str=question,
            query_embedding=made.encode(question).tolist(),
            similarity_top_k=k,
            mode=VectorStoreQueryMode.HYBRID,
        )
        return [(id, {}) for id in store.query(query).ids or ()]

    return ask


def _settle(client: Any, collection: str) -> None:
    """What neither integration does, and a server does in time.

    Milvus Lite searches what is not flushed row by row, for seconds.
    """
    client.flush(collection)


def _need(*modules: str) -> None:
    for module in modules:
        require(module, "peers")


def _in_memory(build: Callable[[Collection], Ask]) -> Build:
    return lambda made, folder: build(made)


SYSTEMS: Mapping[str, System] = {
    "bm25s": System("BM25 (bm25s)", _bm25),
    "dense": System("dense alone (faiss)", _dense),
    "langchain": System(
        "LangChain EnsembleRetriever (FAISS + BM25Retriever)", _in_memory(in_memory.langchain), slow=True
    ),
    "langchain_milvus": System(
        "langchain-milvus hybrid, weighted .6 and .4", partial(_langchain_milvus, **_WEIGHTED), slow=True
    ),
    "langchain_milvus_rrf": System(
        "langchain-milvus hybrid, reciprocal ranks", partial(_langchain_milvus, **_RRF), slow=True
    ),
    "llama_index": System(
        "LlamaIndex QueryFusionRetriever, relative scores", _in_memory(in_memory.llama_index)
    ),
    "llama_index_rrf": System(
        "LlamaIndex QueryFusionRetriever, reciprocal ranks", _in_memory(in_memory.llama_index_rrf)
    ),
    "llama_index_milvus": System(
        "LlamaIndex Milvus hybrid, reciprocal ranks", _llama_index_milvus, slow=True, alone=True
    ),
}
