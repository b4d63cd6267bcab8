"""MatryoshkaEmbedding for LlamaIndex."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag_plugins.config import ComputeConfig
from rag_plugins.faces import checked
from rag_plugins.faces.embedding import Matryoshka

__all__ = ["MatryoshkaEmbedding"]


class MatryoshkaEmbedding(BaseEmbedding):
    """Unit vectors of a dense model, cut to `dimensions` where the model was trained for it."""

    dimensions: int | None = None
    matryoshka: tuple[int, ...] | None = None
    allow_remote_code: bool = False
    code_revision: str | None = None
    compute: ComputeConfig = ComputeConfig()
    _matryoshka: Matryoshka = PrivateAttr()

    def __init__(
        self, model_name: str = "all-MiniLM-L6-v2", dimensions: int | None = None, **settings: Any
    ) -> None:
        """`matryoshka` declares the widths of a model without a preset; see `Matryoshka` and BaseEmbedding.

        Raises `ConfigError` for a width that is not declared. Weights load on first use.
        """
        with checked():
            super().__init__(model_name=model_name, dimensions=dimensions, **settings)  # pyright: ignore[reportCallIssue]
        self._matryoshka = Matryoshka(
            model_name,
            dimensions,
            self.matryoshka,
            self.allow_remote_code,
            self.code_revision,
            self.compute,
        )

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "MatryoshkaEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._matryoshka.queries([query])[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._matryoshka.documents([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._matryoshka.documents(texts)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
