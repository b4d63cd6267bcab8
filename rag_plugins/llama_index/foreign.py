"""LlamaIndex' embeddings, rerankers and language models as what the core takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast, overload

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from rag_plugins.errors import ConfigError
from rag_plugins.faces.unshown import Unshown
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.models.protocols import Scale
from rag_plugins.models.rerank.foreign import ForeignReranker, Kept, kept_scores, mark
from rag_plugins.models.visual.foreign import ForeignImageEncoder

__all__ = ["from_llama_index"]


@overload
def from_llama_index(
    model: BaseEmbedding,
    *,
    name: str,
    dim: int | None = None,
    matryoshka: Sequence[int] | None = None,
    query_prompt: str = "",
    document_prompt: str = "",
) -> ForeignEncoder: ...
@overload
def from_llama_index(
    model: BaseNodePostprocessor, *, name: str | None = None, scale: Scale = "logit"
) -> ForeignReranker: ...
@overload
def from_llama_index(model: BaseLLM) -> Callable[[str], str]: ...
def from_llama_index(model: Any, **settings: Any) -> ForeignEncoder | ForeignReranker | Callable[[str], str]:
    """An object of LlamaIndex' as an encoder, a reranker or a function from prompt to text.

    `BaseEmbedding`: for `RagIndex.open(…, encoders={"dense": encoder})`. A `MultiModalEmbedding` is an
    encoder of images too: for `encoders={"image": encoder}`. The prompts go before texts where the object
    puts none there itself. The rest is as in `ForeignEncoder`.

    `BaseNodePostprocessor`: for `RagIndex.open(…, rerankers=[reranker])`. It reads the retrieval view alone,
    in nodes without a score. `name` is by default its class', `scale` what is known of its scores. These
    count where all nodes that it keeps have one, else their order; what it drops stands below: see
    `kept_scores`.

    An LLM: a function, for what takes one.

    Raises `ConfigError` for anything else.
    """
    match model:
        case BaseEmbedding():
            return _encoder(model, **settings)
        case BaseNodePostprocessor():
            return _reranker(model, **settings)
        case BaseLLM():
            return _generator(model, **settings)
        case _:
            raise ConfigError(
                f"got {type(model).__name__}, expected a BaseEmbedding, a BaseNodePostprocessor or an LLM"
            )


def _encoder(given: BaseEmbedding, name: str, **settings: Any) -> ForeignEncoder:
    # Functions of our own: what a bound method or a partial prints as has the object's key in it.
    embedding, images = Unshown(given), Unshown(cast("MultiModalEmbedding", given))
    encoder = (
        partial(ForeignImageEncoder, images=lambda paths: images.it.get_image_embedding_batch(paths))
        if isinstance(given, MultiModalEmbedding)
        else ForeignEncoder
    )
    return encoder(
        name,
        lambda texts: [embedding.it.get_query_embedding(text) for text in texts],
        lambda texts: embedding.it.get_text_embedding_batch(texts),
        **settings,
    )


def _reranker(
    postprocessor: BaseNodePostprocessor, name: str | None = None, scale: Scale = "logit"
) -> ForeignReranker:
    named, hidden = type(postprocessor).__name__ if name is None else name, Unshown(postprocessor)
    return ForeignReranker(named, lambda query, texts: _postprocessed(hidden, query, texts), scale)


def _postprocessed(
    postprocessor: Unshown[BaseNodePostprocessor], query: str, texts: list[str]
) -> list[float]:
    # Marked by the id alone: rerankers read metadata too.
    nodes = [NodeWithScore(node=TextNode(id_=mark(n), text=text)) for n, text in enumerate(texts)]
    kept = postprocessor.it.postprocess_nodes(nodes, query_str=query)
    return kept_scores(
        texts, [Kept((each.node_id,), each.node.get_content(MetadataMode.NONE), each.score) for each in kept]
    )


def _generator(given: BaseLLM) -> Callable[[str], str]:
    llm = Unshown(given)
    return lambda prompt: llm.it.complete(prompt).text
