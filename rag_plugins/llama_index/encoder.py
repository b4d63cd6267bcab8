"""LlamaIndex' embeddings as encoders of the core."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding

from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.models.visual.foreign import ForeignImageEncoder

__all__ = ["from_llama_index"]


def from_llama_index(
    embedding: BaseEmbedding,
    *,
    name: str,
    dim: int | None = None,
    matryoshka: Sequence[int] | None = None,
    query_prompt: str = "",
    document_prompt: str = "",
) -> ForeignEncoder:
    """Any `BaseEmbedding` as an encoder: for `RagIndex.open(…, encoders={"dense": encoder})`.

    A `MultiModalEmbedding` is an encoder of images too: for `encoders={"image": encoder}`. The prompts go
    before texts where the object puts none there itself. The rest is as in `ForeignEncoder`.
    """
    embed_query = embedding.get_query_embedding
    encoder = (
        partial(ForeignImageEncoder, images=embedding.get_image_embedding_batch)
        if isinstance(embedding, MultiModalEmbedding)
        else ForeignEncoder
    )
    return encoder(
        name,
        lambda texts: [embed_query(text) for text in texts],
        embedding.get_text_embedding_batch,
        dim=dim,
        matryoshka=matryoshka,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
    )
