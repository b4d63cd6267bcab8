"""MatryoshkaEmbeddings for LangChain."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from rag_plugins.config import ComputeConfig
from rag_plugins.faces.embedding import Matryoshka
from rag_plugins.faces.legs import document_vectors, query_vectors
from rag_plugins.models.protocols import Leg

__all__ = ["LegEmbeddings", "MatryoshkaEmbeddings"]


class MatryoshkaEmbeddings(Embeddings):
    """Unit vectors of a dense model, cut to `dimensions` where the model was trained for it.

    all-MiniLM-L6-v2 was not: its vectors are rotated before, so that they may be cut anywhere.
    """

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        dimensions: int | None = None,
        matryoshka: Sequence[int] | None = None,
        allow_remote_code: bool = False,
        code_revision: str | None = None,
        compute: ComputeConfig | None = None,
    ) -> None:
        """`matryoshka` declares the widths of a model without a preset; the two after it are a dense leg's.

        Raises `ConfigError` for a width that is not declared. Weights load on first use.
        """
        self.model = model
        self.dimensions = dimensions
        self._matryoshka = Matryoshka(
            model, dimensions, matryoshka, allow_remote_code, code_revision, compute
        )

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One unit vector a text."""
        return self._matryoshka.documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The query's unit vector."""
        return self._matryoshka.queries([text])[0]


class LegEmbeddings(Embeddings):
    """What an index's dense leg makes of texts: the unit vectors that its passages have, and its queries."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One unit vector a text."""
        return document_vectors(self._leg, texts).tolist() if texts else []

    def embed_query(self, text: str) -> list[float]:
        """The query's unit vector."""
        return query_vectors(self._leg, [text])[0].tolist()
