"""Passages that went out to a framework and come back changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag_plugins.faces import public_metadata
from rag_plugins.index import RagIndex
from rag_plugins.types import EmbedImage, EmbedText, Passage, Provenance

__all__ = ["renewed"]

_ID = re.compile("[0-9a-f]{64}")


def renewed(index: RagIndex, passages: Sequence[Passage]) -> list[Passage]:
    """Passages as they are to be added: one that has the id of a passage without a caller's id is that one.

    What was read from a file stays of its document and page, with its image, and as long as its text is the
    same with words and boxes; what a face puts into metadata of that does not become the caller's.
    """
    asked = [passage.caller_id for passage in passages if _ID.fullmatch(passage.caller_id or "")]
    known = {
        passage.id: passage for passage in index.get([id for id in asked if id]) if not passage.caller_id
    }
    return [
        _renewed(passage, known[passage.caller_id]) if passage.caller_id in known else passage
        for passage in passages
    ]


def _renewed(passage: Passage, old: Passage) -> Passage:
    cited = public_metadata(replace(old, metadata={}))
    images = _images(passage) or _images(old)
    texts = [view for view in passage.views if isinstance(view, EmbedText)]
    return replace(
        passage,
        id=old.id,
        doc_id=old.doc_id,
        caller_id=None,
        views=(*(view for view in texts if view.text.strip() or not images), *images),
        metadata={
            key: value
            for key, value in passage.metadata.items()
            if key in old.metadata or key not in cited or cited[key] != value
        },
        provenance=old.provenance if passage.llm_text == old.llm_text else _page(old.provenance),
    )


def _images(passage: Passage) -> list[EmbedImage]:
    return [view for view in passage.views if isinstance(view, EmbedImage)]


def _page(origin: Provenance | None) -> Provenance | None:
    return origin and replace(origin, words=(), start=None)
