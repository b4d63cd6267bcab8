"""Passages with their two sides, and the hits of a search."""

from rag_plugins.types.hits import Assets, Hit, Hits, StageScore, TermMatch
from rag_plugins.types.passages import (
    Box,
    Citation,
    EmbedImage,
    EmbedText,
    JsonValue,
    Passage,
    Provenance,
    View,
    Word,
    embed_image,
    embed_text,
    passage_id,
)

__all__ = [
    "Assets",
    "Box",
    "Citation",
    "EmbedImage",
    "EmbedText",
    "Hit",
    "Hits",
    "JsonValue",
    "Passage",
    "Provenance",
    "StageScore",
    "TermMatch",
    "View",
    "Word",
    "embed_image",
    "embed_text",
    "passage_id",
]
