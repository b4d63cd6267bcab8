"""LangChain's embeddings as encoders of the core."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from rag_plugins.models.foreign import ForeignEncoder

__all__ = ["from_langchain"]


def from_langchain(
    embeddings: Embeddings,
    *,
    name: str,
    dim: int | None = None,
    matryoshka: Sequence[int] | None = None,
    query_prompt: str = "",
    document_prompt: str = "",
) -> ForeignEncoder:
    """Any `Embeddings` as an encoder: for `RagIndex.open(…, encoders={"dense": encoder})`.

    The prompts go before texts where the object puts none there itself. The rest is as in `ForeignEncoder`.
    """
    embed_query = embeddings.embed_query
    return ForeignEncoder(
        name,
        lambda texts: [embed_query(text) for text in texts],
        embeddings.embed_documents,
        dim=dim,
        matryoshka=matryoshka,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
    )
