"""Why a passage is where it is in a sparse leg: the terms that it shares with the query."""

from __future__ import annotations

from rag_plugins.models.protocols import SPARSE, SparseModel
from rag_plugins.types import TermMatch, View, embed_text
from rag_plugins.vectors import SparseVector

__all__ = ["shared_terms"]


def shared_terms(
    encoder: SparseModel, query: str, document: SparseVector, views: tuple[View, ...]
) -> tuple[TermMatch, ...]:
    """What a learned sparse model matched, strongest first; the products sum to the leg's score.

    `document` is the passage's stored vector.
    """
    vector = (encoder.encode_queries([query], SPARSE).sparse or (SparseVector.of({}),))[0]
    asked, found = vector.as_dict(), document.as_dict()
    shared = sorted(asked.keys() & found.keys())
    text = embed_text(views)
    literal = encoder.literal(query) | (encoder.literal(text.text) if text else frozenset[int]())
    matches = [
        TermMatch(term, asked[dimension], found[dimension], expanded=dimension not in literal)
        for dimension, term in zip(shared, encoder.terms(shared), strict=True)
    ]
    return tuple(sorted(matches, key=lambda match: (-match.score, match.term)))
