"""Documents to passages and hits to Documents.

A Document's view is metadata["retrieval_text"] where present, else its page_content; its page_content is
what the LLM reads. What the search adds (score, trace, ids) stands apart, under metadata["rag_plugins"]: the
page's image by its asset's id, and the image views, which from_document gives back to the passage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from langchain_core.documents import Document
from langchain_core.messages.content import ContentBlock, create_image_block, create_text_block

from rag_plugins.context.marks import caption
from rag_plugins.errors import BadInput, BadPassage, SideError
from rag_plugins.faces import (
    DETAILS,
    RETRIEVAL_TEXT,
    adopt,
    details,
    other_view,
    plain_metadata,
    public_metadata,
)
from rag_plugins.faces.images import encoded_page, image_views
from rag_plugins.index import RagIndex
from rag_plugins.types import Assets, Hit, Passage

__all__ = [
    "RetrievalText",
    "from_document",
    "image_content",
    "passage_document",
    "text_documents",
    "to_document",
    "view_of",
]


class RetrievalText(str):
    """A view inside metadata: a `str` to programs, yet no prompt template formats it and no repr shows it.

    Chains put metadata into prompts, one key or the whole dict; neither may carry the retrieval side.
    """

    __slots__ = ()

    def __format__(self, spec: str) -> NoReturn:
        raise SideError(
            f"got metadata[{RETRIEVAL_TEXT!r}], which retrieval reads, where text for the LLM is expected: "
            "use page_content"
        )

    def __repr__(self) -> str:
        return f"<retrieval text, {len(self)} characters>"


class FoundDetails(dict[str, Any]):
    """What a search added to a Document; equal to what another search added to the same passage.

    Another query gives it another score and trace, and LangChain drops duplicates, as of its
    MultiQueryRetriever, by Documents being equal.
    """

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FoundDetails):
            return bool(self["passage_id"] == other["passage_id"])
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def to_document(hit: Hit) -> Document:
    """A hit as a new Document; its id is the caller's own, else the passage's."""
    document = passage_document(hit.passage)
    document.metadata[DETAILS] = FoundDetails(details(hit))
    return document


def passage_document(passage: Passage) -> Document:
    """A passage as a new Document; metadata["retrieval_text"] only where the view is not the page_content."""
    view = other_view(passage)
    metadata: dict[str, Any] = {**public_metadata(passage)}
    if view is not None:
        metadata[RETRIEVAL_TEXT] = RetrievalText(view)
    return Document(
        id=passage.caller_id if passage.caller_id is not None else passage.id,
        page_content=passage.llm_text,
        metadata=metadata,
    )


def image_content(found: Hit | Document, assets: Assets | None = None) -> list[ContentBlock]:
    """The page of a hit or a Document for a multimodal message: its name, its image; [] where it has none.

    The image is looked up by its asset's id, in `assets` (`RagIndex.assets`; a hit knows them), and goes in
    base64. Raises `BadInput` without assets, `StoreError` where it is absent or damaged.
    """
    if isinstance(found, Hit):
        return image_content(to_document(found), assets or found.assets)
    added = found.metadata.get(DETAILS)
    asset = added.get("page_image") if isinstance(added, dict) else None
    if added is None or asset is None:
        return []
    image = encoded_page(str(asset), assets)
    name, _ = caption(str(found.metadata.get("source", added["doc_id"])), found.metadata.get("page"))
    return [create_text_block(name), create_image_block(base64=image.data, mime_type=image.mime_type)]


def from_document(document: Document, index: RagIndex) -> Passage:
    """A passage of `index`; Documents of one metadata["source"] share a doc_id. Raises `BadPassage`."""
    view = view_of(document)
    metadata = plain_metadata(document.metadata)
    metadata.pop(RETRIEVAL_TEXT, None)
    source = metadata.get("source")
    return adopt(
        index,
        document.page_content,
        view=view,
        images=image_views(document.metadata.get(DETAILS)),
        metadata=metadata,
        doc_id=str(source) if source else document.id,
        caller_id=document.id,
    )


def view_of(document: Document) -> str:
    """What retrieval and rerankers read of a Document."""
    view = document.metadata.get(RETRIEVAL_TEXT, document.page_content)
    if not isinstance(view, str):
        raise BadPassage(f"metadata {RETRIEVAL_TEXT!r}: got {type(view).__name__}, expected str")
    return str(view)


def text_documents(texts: Iterable[str], metadatas: Sequence[Mapping[str, Any]] | None) -> list[Document]:
    """Documents of texts, without ids. Raises `BadInput` where there are not as many metadata."""
    known = list(texts)
    of_each = [{}] * len(known) if metadatas is None else metadatas
    if len(of_each) != len(known):
        raise BadInput(f"got {len(of_each)} metadatas for {len(known)} texts, expected one each")
    return [
        Document(page_content=text, metadata=dict(each)) for text, each in zip(known, of_each, strict=True)
    ]
