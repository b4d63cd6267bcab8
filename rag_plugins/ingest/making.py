"""Passages of texts and images that are not read from files."""

from __future__ import annotations

from collections.abc import Mapping

from rag_plugins.errors import SideError
from rag_plugins.text import clean
from rag_plugins.types import EmbedImage, EmbedText, JsonValue, Passage, Provenance, View, passage_id

__all__ = ["make_passage"]


def make_passage(
    tenant: str,
    llm_text: str,
    *,
    view: str | None,
    image: str | None,
    doc_id: str | None,
    caller_id: str | None,
    metadata: Mapping[str, JsonValue],
    provenance: Provenance | None,
    position: str,
) -> Passage:
    """See `RagIndex.passage`; `image` is an asset's id. A blank `view` beside an image is none."""
    llm_text = _text(llm_text)
    source = doc_id if doc_id is not None else ""
    id = passage_id(tenant, caller_id=caller_id, source=source, position=position, content=llm_text)
    text = EmbedText(llm_text if view is None else _text(view))
    views: tuple[View, ...] = (text,)
    if image is not None:
        views = (text, EmbedImage(image)) if text.text.strip() else (EmbedImage(image),)
    return Passage(
        id=id,
        doc_id=next(name for name in (doc_id, caller_id, id) if name is not None),
        views=views,
        llm_text=llm_text,
        metadata=dict(metadata),
        provenance=provenance,
        caller_id=caller_id,
    )


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise SideError(
            f"got {type(given).__name__}, expected str: each side of a passage is given as its text"
        )
    return clean(given)
