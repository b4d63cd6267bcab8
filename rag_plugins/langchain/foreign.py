"""LangChain's embeddings, rerankers and language models as what the core takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, cast, overload

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from rag_plugins.errors import BadInput, ConfigError
from rag_plugins.faces.unshown import Unshown
from rag_plugins.models.foreign import ForeignEncoder
from rag_plugins.models.protocols import Scale
from rag_plugins.models.rerank.foreign import ForeignReranker, Kept, kept_scores, mark
from rag_plugins.models.visual.foreign import ForeignImageEncoder

__all__ = ["CrossEncoder", "from_langchain"]

_MARK = "rag_plugins_candidate"
_SCORE = "relevance_score"


class CrossEncoder(Protocol):
    """LangChain's `BaseCrossEncoder`, which has been several classes."""

    def score(self, text_pairs: list[tuple[str, str]]) -> Any:
        """A number for each pair of query and text."""
        ...


@overload
def from_langchain(
    model: Embeddings,
    *,
    name: str,
    dim: int | None = None,
    matryoshka: Sequence[int] | None = None,
    query_prompt: str = "",
    document_prompt: str = "",
) -> ForeignEncoder: ...
@overload
def from_langchain(
    model: BaseDocumentCompressor | CrossEncoder, *, name: str | None = None, scale: Scale = "logit"
) -> ForeignReranker: ...
@overload
def from_langchain(model: Runnable[Any, Any]) -> Callable[[str], str]: ...
def from_langchain(model: Any, **settings: Any) -> ForeignEncoder | ForeignReranker | Callable[[str], str]:
    """An object of LangChain's as an encoder, a reranker or a function from prompt to text.

    `Embeddings`: for `RagIndex.open(…, encoders={"dense": encoder})`. One that has `embed_images` or
    `embed_image`, which take a list of paths, is an encoder of images too: for `encoders={"image": encoder}`.
    The prompts go before texts where the object puts none there itself. The rest is as in `ForeignEncoder`.

    A document compressor or a cross-encoder: for `RagIndex.open(…, rerankers=[reranker])`. It reads the
    retrieval view alone. `name` is by default its class', `scale` what is known of its scores. A compressor's
    metadata["relevance_score"] count where all Documents that it keeps have one, else their order; what it
    drops stands below: see `kept_scores`.

    A chat model, an LLM or another Runnable that makes text of text: a function, for what takes one.

    Raises `ConfigError` for anything else.
    """
    if isinstance(model, BaseDocumentCompressor):
        compressor = Unshown(model)
        return _reranker(model, lambda query, texts: _compressed(compressor, query, texts), **settings)
    if hasattr(model, "embed_query"):
        return _encoder(model, **settings)
    if isinstance(model, Runnable):
        return _generator(cast("Runnable[Any, Any]", model), **settings)
    if hasattr(model, "score"):
        encoder = Unshown(cast("CrossEncoder", model))
        return _reranker(model, lambda query, texts: _paired(encoder, query, texts), **settings)
    raise ConfigError(
        f"got {type(model).__name__}, expected Embeddings, a document compressor, a cross-encoder, a chat "
        "model, an LLM or another Runnable"
    )


def _encoder(given: Embeddings, name: str, **settings: Any) -> ForeignEncoder:
    # Functions of our own: what a bound method or a partial prints as, the object's key may be in.
    embeddings, images = Unshown(given), _images(given)
    encoder = (
        partial(ForeignImageEncoder, images=lambda paths: images.it(paths)) if images else ForeignEncoder
    )
    return encoder(
        name,
        lambda texts: [embeddings.it.embed_query(text) for text in texts],
        lambda texts: embeddings.it.embed_documents(texts),
        **settings,
    )


def _images(embeddings: object) -> Unshown[Callable[[list[str]], Any]] | None:
    """How it embeds images, which no base class of LangChain has; the plural takes a list wherever it is."""
    found = getattr(embeddings, "embed_images", None) or getattr(embeddings, "embed_image", None)
    return Unshown(found) if found else None


def _reranker(
    model: object,
    judge: Callable[[str, list[str]], Sequence[Any]],
    name: str | None = None,
    scale: Scale = "logit",
) -> ForeignReranker:
    return ForeignReranker(type(model).__name__ if name is None else name, judge, scale)


def _compressed(compressor: Unshown[BaseDocumentCompressor], query: str, texts: list[str]) -> list[float]:
    documents = [
        Document(id=mark(n), page_content=text, metadata={_MARK: mark(n)}) for n, text in enumerate(texts)
    ]
    kept = compressor.it.compress_documents(documents, query)
    return kept_scores(
        texts,
        [
            Kept((each.metadata.get(_MARK), each.id), each.page_content, each.metadata.get(_SCORE))
            for each in kept
        ],
    )


def _paired(encoder: Unshown[CrossEncoder], query: str, texts: list[str]) -> Sequence[Any]:
    return encoder.it.score([(query, text) for text in texts])


def _generator(given: Runnable[Any, Any]) -> Callable[[str], str]:
    model, kind = Unshown(given), type(given).__name__

    def generate(prompt: str) -> str:
        answer = model.it.invoke(prompt)
        text = answer.text if isinstance(answer, BaseMessage) else answer
        if not isinstance(text, str):
            raise BadInput(f"{kind} gave {type(answer).__name__}, expected a str or a message")
        return str(text)  # A message's is a str of its own kind.

    return generate
