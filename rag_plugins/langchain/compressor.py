"""CrossEncoderCompressor for LangChain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document

from rag_plugins.faces import DETAILS
from rag_plugins.faces.rerank_settings import RerankSettings
from rag_plugins.faces.reranking import RETRIEVAL_SCORE, final_score, reranked_metadata
from rag_plugins.langchain.convert import view_of
from rag_plugins.models.protocols import Candidate
from rag_plugins.types import EmbedText, StageScore

__all__ = ["CrossEncoderCompressor"]

_SCORE = "relevance_score"


class CrossEncoderCompressor(RerankSettings, BaseDocumentCompressor):
    """Keeps the `top_n` Documents that a reranker scores highest; see `RerankSettings`.

    It reads a Document's metadata["retrieval_text"] where present, as ours have it where retrieval reads
    something else than the LLM, and else its page_content.
    """

    # Type checkers would make one up of the fields.
    __init__ = RerankSettings.__init__

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """New Documents, best first, the reranker's score in metadata["relevance_score"].

        metadata["retrieval_score"] is the one from before: that of our own retriever, or else another
        "relevance_score". `metadata["rag_plugins"]["trace"]` has the rerank stage last, with what was cut.
        Where all are below `min_score`, none is left, which is logged.
        """
        candidates = [Candidate((EmbedText(view_of(document)),)) for document in documents]
        return [_scored(documents[position], stage) for position, stage in self._ranked(query, candidates)]


def _scored(document: Document, stage: StageScore | None) -> Document:
    metadata = {**document.metadata}
    if stage is not None:
        metadata = reranked_metadata(metadata, _before(metadata), stage) | {_SCORE: final_score(stage)}
    return document.model_copy(update={"metadata": metadata})


def _before(metadata: Mapping[str, Any]) -> dict[str, float | None]:
    # Without an id it is not a hit's, but from an earlier reranking, and so is the relevance_score.
    details = metadata.get(DETAILS, {})
    hit, fresh = "passage_id" in details, not details
    score: object = details["score"] if hit else metadata.get(_SCORE) if fresh else None
    return {RETRIEVAL_SCORE: float(score)} if isinstance(score, int | float) else {}
