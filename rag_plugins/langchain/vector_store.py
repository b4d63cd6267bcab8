"""RagVectorStore for LangChain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore

from rag_plugins.config import Mode
from rag_plugins.errors import BadInput
from rag_plugins.faces.legs import dense_leg
from rag_plugins.faces.relevance import cosine_leg, leg_score, relevance
from rag_plugins.faces.renewing import renewed
from rag_plugins.filters import Filter
from rag_plugins.index import RagIndex
from rag_plugins.langchain.convert import from_document, passage_document, text_documents
from rag_plugins.langchain.embeddings import LegEmbeddings
from rag_plugins.langchain.filters import to_filter
from rag_plugins.langchain.opening import open_with
from rag_plugins.search.wanted import LegChoice

__all__ = ["RagVectorStore"]


class RagVectorStore(VectorStore):
    """A `RagIndex` as LangChain's vector store: its searches run all legs, and what reranks.

        store = RagVectorStore.from_documents(documents, OpenAIEmbeddings(), path="handbook.db")
        retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 5, "filter": {"year": 2021}})

    Documents come back as they were added, but for metadata that JSON has no form of: dates come as their ISO
    text, tuples as lists, NaN as None. Searches take `filter` (see `to_filter`), `legs` and `mode`, as
    `RagIndex.search` does; the async methods do their work in threads. The index stays the caller's, except
    after `from_texts` and `from_documents`.
    """

    def __init__(self, index: RagIndex, embedding: Embeddings | None = None) -> None:
        """`embedding` is shown as `embeddings`, no more: the index has encoders from where it was opened."""
        self.index = index
        self._embedding = embedding
        self._owned = False

    @property
    def embeddings(self) -> Embeddings | None:
        """What this store was made with, else the model of the first dense leg; None where there is none."""
        leg = dense_leg(self.index)
        return self._embedding or (LegEmbeddings(leg) if leg else None)

    @classmethod
    def from_documents(
        cls, documents: Iterable[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """Add Documents to the index at `path=`, made where there is none. Owns the index: close it.

        `embedding` makes the dense vectors; without one they are the preset's. The collection knows it by
        `name=`, by default its `model` or `model_name`, else its class'. It has no token vectors, so that
        late interaction is left out. `ids=` go before the Documents' own; the rest is as in `RagIndex.open`.
        Raises `BadPassage` before anything is stored.
        """
        ids: list[str] | None = kwargs.pop("ids", None)
        store = cls(open_with(embedding, **kwargs), embedding)
        store._owned = True
        try:
            store.add_documents(list(documents), ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    async def afrom_documents(
        cls, documents: Iterable[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> Self:
        """`from_documents` in a thread."""
        return await run_in_executor(None, cls.from_documents, documents, embedding, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Add texts to the index at `path=`: see `from_documents`."""
        return cls.from_documents(text_documents(texts, metadatas), embedding, **kwargs)

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts` in a thread."""
        return await run_in_executor(None, cls.from_texts, texts, embedding, metadatas, **kwargs)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """See `add_documents`. Raises `BadInput` where lists differ in length."""
        return self.add_documents(text_documents(texts, metadatas), ids, **kwargs)

    def add_documents(
        self, documents: list[Document], ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Insert Documents, replacing those of the same id; their ids, in order.

        `ids` go before the Documents' own. One that has neither is new, even where its text is known, and
        gets a uuid. Documents of one metadata["source"] are one document of the index. Raises `BadInput` and
        `BadPassage` before anything is written.
        """
        kwargs.pop("batch_size", None)  # LangChain's index() gives it; the index has batches of its own.
        _none_left("add_documents", kwargs)
        given = [document.id for document in documents] if ids is None else ids
        if len(given) != len(documents):
            raise BadInput(f"got {len(given)} ids for {len(documents)} documents, expected one each")
        named = [
            Document(id=id or str(uuid4()), page_content=document.page_content, metadata=document.metadata)
            for id, document in zip(given, documents, strict=True)
        ]
        self.index.add(renewed(self.index, [from_document(document, self.index) for document in named]))
        return [str(document.id) for document in named]

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents in the order of `ids`; unknown ones are left out."""
        return [passage_document(passage) for passage in self.index.get(ids)]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete Documents, all of them for None, as LangChain has it; unknown ids are no error."""
        _none_left("delete", kwargs)
        if ids is None:
            self.index.clear()
        else:
            self.index.remove(ids)
        return True

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The best k, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The best k with the score of the last stage, of whatever scale it is: higher is better."""
        hits = self.index.search(query, k, **_asked(**kwargs))
        return [(passage_document(hit.passage), hit.score) for hit in hits]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search` in a thread."""
        return await run_in_executor(None, self.similarity_search, query, k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` in a thread."""
        return await run_in_executor(None, self.similarity_search_with_score, query, k, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """The best k by the first dense leg alone; nothing is reranked."""
        found = self.similarity_search_with_score_by_vector(embedding, k, **kwargs)
        return [document for document, _ in found]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: Filter | Mapping[str, Any] | None = None
    ) -> list[tuple[Document, float]]:
        """The same with their cosines, -1 to 1. Raises `BadInput` for a vector of another length."""
        leg = cosine_leg(self.index)
        hits = self.index.search("", k, filter=to_filter(filter), vectors={leg: embedding})
        return [(passage_document(hit.passage), leg_score(hit, leg) or 0.0) for hit in hits]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Of the best `fetch_k`, k that are unlike each other: see `RagIndex.diverse`."""
        hits = self.index.diverse(query, k, fetch_k=fetch_k, balance=lambda_mult, **_asked(**kwargs))
        return [passage_document(hit.passage) for hit in hits]

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """`max_marginal_relevance_search` in a thread."""
        return await run_in_executor(
            None, self.max_marginal_relevance_search, query, k, fetch_k, lambda_mult, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The same of those that are nearest to a vector by the first dense leg alone."""
        _none_left("max_marginal_relevance_search_by_vector", kwargs)
        vectors = {cosine_leg(self.index): embedding}
        hits = self.index.diverse(
            "", k, fetch_k=fetch_k, balance=lambda_mult, filter=to_filter(filter), vectors=vectors
        )
        return [passage_document(hit.passage) for hit in hits]

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The best k in the order of the search, with what `faces.relevance` says of each, 0 to 1."""
        hits = self.index.search(query, k, **_asked(**kwargs))
        scores = relevance(self.index, query, hits)
        return [(passage_document(hit.passage), score) for hit, score in zip(hits, scores, strict=True)]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self._similarity_search_with_relevance_scores, query, k, **kwargs)

    def close(self) -> None:
        """Close the index if `from_texts` or `from_documents` opened it."""
        if self._owned:
            self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RagVectorStore({self.index!r})"


def _asked(
    filter: Filter | Mapping[str, Any] | None = None, legs: LegChoice | None = None, mode: Mode | None = None
) -> dict[str, Any]:
    """What a search takes beside query and number. Raises TypeError for what it does not."""
    return {"filter": to_filter(filter), "legs": legs, "mode": mode}


def _none_left(method: str, kwargs: Mapping[str, Any]) -> None:
    # An unknown argument left aside may be the filter that was to spare what is now deleted.
    if kwargs:
        raise BadInput(f"{method} got {', '.join(kwargs)}, which it does not take")
