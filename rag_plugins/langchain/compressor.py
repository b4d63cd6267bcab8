"""CrossEncoderCompressor for LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from rag_plugins.faces import DEFAULT_RERANKER, as_reranker, rank
from rag_plugins.langchain.convert import view_of
from rag_plugins.models.protocols import Reranker

__all__ = ["CrossEncoderCompressor"]


class CrossEncoderCompressor(BaseDocumentCompressor):
    """Keeps the `top_n` Documents that a reranker scores highest, reading their retrieval view.

    `model` is a preset, a folder, a hub id, or a reranker object.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: SkipValidation[str | Reranker]
    top_n: int = Field(default=5, ge=1)
    _reranker: Reranker = PrivateAttr()

    def __init__(self, model: str | Reranker = DEFAULT_RERANKER, top_n: int = 5, **settings: Any) -> None:
        super().__init__(model=model, top_n=top_n, **settings)  # pyright: ignore[reportCallIssue]
        self._reranker = as_reranker(model)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """New Documents, best first, the reranker's own score in metadata["relevance_score"]."""
        ranked = rank(self._reranker, query, [view_of(document) for document in documents], self.top_n)
        return [_scored(documents[position], score) for position, score in ranked]


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
