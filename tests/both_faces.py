"""Both frameworks' faces by the same verbs, for tests of what users of both meet."""

import time
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery

from rag_plugins import langchain, llama_index


@dataclass(frozen=True, slots=True)
class Found:
    """What a user gets of a passage: its id, what the LLM reads, the score, the metadata."""

    id: str
    text: str
    score: float
    metadata: dict[str, Any]

    def stages(self, *kinds):
        """Those of its trace that are of these kinds, by name."""
        trace = self.metadata["rag_plugins"]["trace"]
        assert len({stage["stage"] for stage in trace}) == len(trace)
        return {stage["stage"]: stage for stage in trace if stage["kind"] in kinds}


class _Face:
    """`search` and `asearch` take what the framework's HybridRetriever does."""

    def add(self, index, items):
        return index.add([self.passage(item, index) for item in items])

    def search(self, index, query, **settings):
        return self.seen(self.retrieved(index, query, **settings))

    async def asearch(self, index, query, **settings):
        retriever = self.package.HybridRetriever(index, **settings)
        return self.seen(await getattr(retriever, f"a{self.verb}")(query))

    def retrieved(self, index, query, **settings):
        """In the framework's own objects."""
        return getattr(self.package.HybridRetriever(index, **settings), self.verb)(query)


class LangChain(_Face):
    package, verb, passage = langchain, "invoke", staticmethod(langchain.from_document)
    opened = staticmethod(langchain.HybridRetriever.from_documents)
    Reranker = langchain.CrossEncoderCompressor

    def item(self, id, text, **metadata):
        return Document(id=id, page_content=text, metadata=metadata)

    def equal(self, key, value):
        return {key: value}

    def seen(self, documents):
        return [
            Found(each.id, each.page_content, each.metadata["rag_plugins"]["score"], each.metadata)
            for each in documents
        ]

    def store(self, index, items):
        """Its vector store, with these in it."""
        store = langchain.RagVectorStore(index)
        store.add_documents(items)
        return store

    def nearest(self, store, query, k=5, filter=None):
        """Id, text and score of the best in a vector store."""
        found = store.similarity_search_with_score(query, k, filter=filter)
        return [(each.id, each.page_content, score) for each, score in found]

    def sparse(self, model, texts):
        """Weighted tokens of each text."""
        return langchain.SparseEmbeddings(model).embed_documents(texts)

    def pages(self, path):
        """What its reader of files makes of one: text and metadata of each passage."""
        return [(each.page_content, each.metadata) for each in langchain.OcrLoader(path).load()]

    def given(self, items):
        """As something to rerank."""
        return list(items)

    def reranked(self, reranker, documents, query):
        return self.seen(reranker.compress_documents(documents, query))

    def encoder(self, vector, dim=2, seconds=0.0):
        return langchain.from_langchain(_LangChainEmbeddings(vector, seconds), name="by hand", dim=dim)


class LlamaIndex(_Face):
    package, verb, passage = llama_index, "retrieve", staticmethod(llama_index.from_node)
    opened = staticmethod(llama_index.HybridRetriever.from_nodes)
    Reranker = llama_index.CrossEncoderPostprocessor

    def item(self, id, text, **metadata):
        hidden = list(metadata)
        return TextNode(
            id_=id,
            text=text,
            metadata=metadata,
            excluded_llm_metadata_keys=hidden,
            excluded_embed_metadata_keys=hidden,
        )

    def equal(self, key, value):
        return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])

    def seen(self, nodes):
        return [
            Found(each.node_id, each.get_content(MetadataMode.LLM), each.score, each.metadata)
            for each in nodes
        ]

    def store(self, index, items):
        store = llama_index.RagVectorStore(index)
        store.add(items)
        return store

    def nearest(self, store, query, k=5, filter=None):
        found = store.query(VectorStoreQuery(query_str=query, similarity_top_k=k, filters=filter))
        return [
            (each.node_id, each.get_content(MetadataMode.LLM), score)
            for each, score in zip(found.nodes, found.similarities, strict=True)
        ]

    def sparse(self, model, texts):
        return llama_index.SparseEmbedding(model).get_text_embedding_batch(texts)

    def pages(self, path):
        return [(each.text, each.metadata) for each in llama_index.OcrReader().load_data(path)]

    def given(self, items):
        return [NodeWithScore(node=item, score=0.0) for item in items]

    def reranked(self, reranker, nodes, query):
        return self.seen(reranker.postprocess_nodes(nodes, query_str=query))

    def encoder(self, vector, dim=2, seconds=0.0):
        model = _LlamaIndexEmbedding(vector=vector, seconds=seconds)
        return llama_index.from_llama_index(model, name="by hand", dim=dim)


def ids(found):
    """Of what a face found."""
    return [each.id for each in found]


def texts(found):
    """What the LLM reads of each."""
    return [each.text for each in found]


def by_words(words):
    """A text to how often it has each word, and a little of something else, as a unit vector."""

    def vector(text):
        counts = [*(float(text.split().count(word)) for word in words), 0.1]
        return [count / sum(each**2 for each in counts) ** 0.5 for count in counts]

    return vector


FACES = {"langchain": LangChain(), "llama_index": LlamaIndex()}


class _LangChainEmbeddings(Embeddings):
    """Vectors by a function of the text, after so many seconds a call."""

    def __init__(self, vector, seconds):
        self.vector, self.seconds = vector, seconds

    def embed_documents(self, texts):
        return [[*self.vector(text)] for text in texts]

    def embed_query(self, text):
        time.sleep(self.seconds)
        return [*self.vector(text)]


class _LlamaIndexEmbedding(BaseEmbedding):
    """The same."""

    vector: Any
    seconds: float

    def _get_text_embedding(self, text):
        return [*self.vector(text)]

    def _get_query_embedding(self, query):
        time.sleep(self.seconds)
        return [*self.vector(query)]

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)
