"""What rerankers read of a candidate."""

from __future__ import annotations

from rag_plugins.models.protocols import Candidate
from rag_plugins.types import EmbedText, embed_text

__all__ = ["text_view"]


def text_view(candidate: Candidate) -> EmbedText:
    """What a text model reads of a candidate; one that has only images reads as empty."""
    return embed_text(candidate.views) or EmbedText("")
