"""Embedding for LlamaIndex: Matryoshka models, and an index' own."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag_plugins.config import ComputeConfig
from rag_plugins.errors import ConfigError
from rag_plugins.faces import checked
from rag_plugins.faces.embedding import Matryoshka
from rag_plugins.faces.legs import document_vectors, query_vectors
from rag_plugins.models.protocols import Leg

__all__ = ["LegEmbedding", "MatryoshkaEmbedding"]


class _Threaded(BaseEmbedding):
    """The async methods in worker threads: models would block the loop."""

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


class MatryoshkaEmbedding(_Threaded):
    """Unit vectors of a dense model, cut to `dimensions` where the model was trained for it.

    all-MiniLM-L6-v2 was not: its vectors are rotated before, so that they may be cut anywhere.
    """

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


class LegEmbedding(_Threaded):
    """Unit vectors of the model of a dense leg: what its collection holds and is searched with."""

    _leg: Leg = PrivateAttr()

    def __init__(self, leg: Leg) -> None:
        """The index that the leg is of must stay open. It cannot be made from what `to_dict` gives."""
        model = str(leg.encoder.fingerprint.get("model", leg.name))
        super().__init__(model_name=model, embed_batch_size=256)
        self._leg = leg

    def __reduce__(self) -> tuple[Any, ...]:
        """Raises `ConfigError`: other processes, those of `num_workers` for one, have no open index."""
        raise ConfigError(
            "LegEmbedding is of an open index and cannot be pickled: where its model is a preset, "
            f"MatryoshkaEmbedding({self.model_name!r}) can"
        )

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "LegEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return query_vectors(self._leg, [query])[0].tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return document_vectors(self._leg, texts).tolist() if texts else []
