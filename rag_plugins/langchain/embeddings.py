"""MatryoshkaEmbeddings for LangChain."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from rag_plugins.faces import Matryoshka

__all__ = ["MatryoshkaEmbeddings"]


class MatryoshkaEmbeddings(Embeddings):
    """Unit vectors of a dense model, cut to `dimensions` where the model was trained for it."""

    def __init__(self, model: str = "all-MiniLM-L6-v2", dimensions: int | None = None) -> None:
        """Raises `ConfigError` for a width that the model does not declare. Weights load on first use."""
        self.model = model
        self.dimensions = dimensions
        self._matryoshka = Matryoshka(model, dimensions)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One unit vector a text."""
        return self._matryoshka.documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The query's unit vector."""
        return self._matryoshka.queries([text])[0]
