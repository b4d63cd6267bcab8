"""OcrReader for LlamaIndex."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BasePydanticReader
from llama_index.core.schema import Document
from pydantic import ConfigDict, PrivateAttr, field_serializer

from rag_plugins.config import ChunkingConfig, IngestConfig, OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.faces import PassageReader, plain_metadata, public_metadata
from rag_plugins.llama_index.convert import sides
from rag_plugins.types import Passage, embed_text

__all__ = ["OcrReader"]


class OcrReader(BasePydanticReader):
    """Scans, PDFs and text files, or folders of them, as one Document a passage.

    LLM content is what the LLM reads, EMBED content what retrieval embeds; source, page, confidence and
    boxes stand in the metadata. A file that cannot be read is logged, listed in `bad`, and skipped.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # Passwords may be among it.

    ocr: OcrConfig = OcrConfig()
    chunking: ChunkingConfig = ChunkingConfig()
    ingest: IngestConfig = IngestConfig()
    _reader: PassageReader = PrivateAttr()

    def __init__(
        self,
        ocr: OcrConfig | None = None,
        chunking: ChunkingConfig | None = None,
        ingest: IngestConfig | None = None,
        **settings: Any,
    ) -> None:
        """`ingest` says which text becomes the EMBED content, and has the passwords of PDFs."""
        given = {"ocr": ocr, "chunking": chunking, "ingest": ingest}
        super().__init__(**{name: value for name, value in given.items() if value is not None}, **settings)  # pyright: ignore[reportArgumentType]
        self._reader = PassageReader(self.ocr, self.chunking, logging.getLogger(__name__), self.ingest)

    @field_serializer("ingest")
    def _without_passwords(self, ingest: IngestConfig) -> dict[str, Any]:
        return ingest.model_dump(exclude={"passwords"})

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex's serialisation calls it."""
        return "OcrReader"

    @property
    def bad(self) -> tuple[BadDocument, ...]:
        """What could not be read since the reader was made: SimpleDirectoryReader loads file by file."""
        return tuple(self._reader.bad)

    def lazy_load_data(
        self, file: str | Path | Sequence[str | Path], extra_info: Mapping[str, Any] | None = None
    ) -> Iterable[Document]:
        """Documents as they are read, `extra_info` added to their metadata."""
        paths = [file] if isinstance(file, str | Path) else list(file)
        extra = plain_metadata(extra_info or {})
        return self._documents(paths, extra)

    def _documents(self, paths: Sequence[str | Path], extra: Mapping[str, Any]) -> Iterator[Document]:
        for passage in self._reader.read(paths):
            yield _document(passage, extra)

    async def alazy_load_data(self, *args: Any, **load_kwargs: Any) -> Iterable[Document]:
        """All Documents: an iterator handed to the loop would block it at every step."""
        return await asyncio.to_thread(self.load_data, *args, **load_kwargs)


def _document(passage: Passage, extra: Mapping[str, Any]) -> Document:
    view = embed_text(passage.views)
    fields = sides(passage.llm_text, view.text if view else "", {**extra, **public_metadata(passage)})
    return Document(id_=passage.id, **fields)
