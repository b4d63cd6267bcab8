"""LangChain's embeddings as encoders of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from langchain_core.embeddings import Embeddings

from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.models.visual.foreign import ForeignImageEncoder

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

    One that has `embed_images` or `embed_image`, which take a list of paths, is an encoder of images too:
    for `encoders={"image": encoder}`. The prompts go before texts where the object puts none there itself.
    The rest is as in `ForeignEncoder`.
    """
    embed_query, images = embeddings.embed_query, _images(embeddings)
    encoder = partial(ForeignImageEncoder, images=images) if images else ForeignEncoder
    return encoder(
        name,
        lambda texts: [embed_query(text) for text in texts],
        embeddings.embed_documents,
        dim=dim,
        matryoshka=matryoshka,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
    )


def _images(embeddings: object) -> Callable[[list[str]], Any] | None:
    """How it embeds images, which no base class of LangChain has; the plural takes a list wherever it is."""
    return getattr(embeddings, "embed_images", None) or getattr(embeddings, "embed_image", None)
