"""OcrLoader for LangChain."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag_plugins.config import ChunkingConfig, IngestConfig, OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.faces import RETRIEVAL_TEXT, PassageReader
from rag_plugins.langchain.convert import RetrievalText, passage_document
from rag_plugins.types import Passage, embed_text

__all__ = ["OcrLoader"]


class OcrLoader(BaseLoader):
    """Scans, PDFs and text files, or folders of them, as one Document a passage.

    page_content is what the LLM reads, metadata["retrieval_text"] what retrieval embeds; source, page,
    confidence and boxes stand beside it. A file that cannot be read is logged, listed in `bad`, and skipped.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        ocr: OcrConfig | None = None,
        chunking: ChunkingConfig | None = None,
        ingest: IngestConfig | None = None,
    ) -> None:
        """`ingest` says which text becomes the retrieval text, and has the passwords of PDFs."""
        self._paths = [paths] if isinstance(paths, str | Path) else list(paths)
        self._reader = PassageReader(ocr, chunking, logging.getLogger(__name__), ingest)

    @property
    def bad(self) -> tuple[BadDocument, ...]:
        """What the latest load could not read, so far."""
        return tuple(self._reader.bad)

    def lazy_load(self) -> Iterator[Document]:
        """Documents as they are read; pages ahead are recognised meanwhile."""
        self._reader.bad.clear()
        return map(_document, self._reader.read(self._paths))


def _document(passage: Passage) -> Document:
    document = passage_document(passage)
    view = embed_text(passage.views)
    if view is not None:
        document.metadata[RETRIEVAL_TEXT] = RetrievalText(view.text)
    return document
