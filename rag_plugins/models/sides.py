"""The border that every text encoder guards: queries are strings, documents are views."""

from __future__ import annotations

from collections.abc import Sequence

from rag_plugins.errors import BadInput, SideError
from rag_plugins.text import clean
from rag_plugins.types import EmbedImage, EmbedText, View

__all__ = ["query_texts", "view_texts"]


def query_texts(queries: Sequence[str]) -> list[str]:
    """The queries, cleaned; raises `SideError` for a view, or for one string where several belong."""
    _refuse_lone_text(queries)
    return [_query(query) for query in queries]


def view_texts(views: Sequence[View]) -> list[str]:
    """The texts of text views, cleaned; raises `SideError` for a `str`, `BadInput` for an image."""
    _refuse_lone_text(views)
    return [_view(view) for view in views]


def _query(query: object) -> str:
    if not isinstance(query, str):
        raise SideError(f"got {type(query).__name__} as a query, expected str: views are for documents")
    return clean(query)


def _view(view: object) -> str:
    if isinstance(view, EmbedText):
        return clean(view.text)
    if isinstance(view, EmbedImage):
        raise BadInput("got EmbedImage, but this encoder reads text: give it embed_text(passage.views)")
    raise SideError(f"got {type(view).__name__} as a document's view, expected EmbedText(…)")


def _refuse_lone_text(texts: object) -> None:
    if isinstance(texts, str | EmbedText | EmbedImage):
        raise SideError(f"got one {type(texts).__name__}, expected a list of them")
