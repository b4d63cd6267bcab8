"""SparseEmbedding for LlamaIndex."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from pydantic import PrivateAttr

from rag_plugins.config import ComputeConfig
from rag_plugins.faces import checked
from rag_plugins.faces.sparse import LearnedSparse

__all__ = ["SparseEmbedding"]


class SparseEmbedding(BaseSparseEmbedding):
    """Weighted tokens of texts, {token id: weight}, of a SPLADE model or a BGE-M3's lexical head."""

    query_terms: int | None = 64
    document_terms: int | None = 256
    max_length: int | None = None
    device: str | None = None
    compute: ComputeConfig = ComputeConfig()
    _sparse: LearnedSparse = PrivateAttr()

    def __init__(self, model_name: str, **settings: Any) -> None:
        """`…_terms` keeps the so many strongest weights, None all; settings are those of a sparse leg.

        Raises `ConfigError`, `UnknownPreset`. Weights load on first use.
        """
        with checked():
            super().__init__(model_name=model_name, **settings)
        self._sparse = LearnedSparse(
            model_name,
            self.compute,
            query_terms=self.query_terms,
            document_terms=self.document_terms,
            max_length=self.max_length,
            device=self.device,
        )

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "SparseEmbedding"

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return self._sparse.queries([query])[0]

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return self._sparse.documents([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return self._sparse.documents(texts)

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
