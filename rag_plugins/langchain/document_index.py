"""RagDocumentIndex for LangChain, whose own class of it is in beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.indexing import DeleteResponse, DocumentIndex, UpsertResponse
from pydantic import Field, SkipValidation

from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.langchain.vector_store import RagVectorStore

__all__ = ["RagDocumentIndex"]


class RagDocumentIndex(DocumentIndex):
    """A `RagVectorStore` as LangChain's DocumentIndex: a retriever that can be written to."""

    store: SkipValidation[RagVectorStore]
    k: int = Field(default=4, ge=1)

    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Insert Documents, replacing those of the same id: all of them, or none and an error."""
        return {"succeeded": self.store.add_documents(list(items), **kwargs), "failed": []}

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete Documents; unknown ids are no error. Raises `BadInput` without ids."""
        if ids is None:
            raise BadInput("got no ids, expected those to delete: store.delete() deletes everything")
        known = [str(document.id) for document in self.get(list(dict.fromkeys(ids)))]
        self.store.delete(known, **kwargs)
        return {"num_deleted": len(known), "succeeded": known, "num_failed": 0, "failed": []}

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """Documents in the order of `ids`; unknown ones are left out."""
        return self.store.get_by_ids(ids, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
    ) -> list[Document]:
        return self.store.similarity_search(query, self.k if k is None else k, filter=filter)
