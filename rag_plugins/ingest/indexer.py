"""Files to passages: only what is new or changed, a bad file never stopping the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from rag_plugins.config import Config
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile, find_documents
from rag_plugins.ingest.manifest import DocumentRecord
from rag_plugins.ingest.pages import Page, read_pages
from rag_plugins.ingest.writer import Writer
from rag_plugins.store.assets import AssetStore
from rag_plugins.text import digest
from rag_plugins.types import Passage

__all__ = ["IngestSummary", "Indexer"]

_GROUP = 64
"""Passages stored together at least: encoders work best on many, and a stopped run repeats few."""

_READER = 1
"""Raised whenever pages are read or cut differently, so that documents are read again."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """One run: documents stored, of them replaced, those unchanged, and what could not be read."""

    documents: int = 0
    replaced: int = 0
    unchanged: int = 0
    pages: int = 0
    recognised: int = 0
    passages: int = 0
    seconds: float = 0.0
    bad: tuple[BadDocument, ...] = ()

    @property
    def pages_per_second(self) -> float:
        """Pages read, stored and indexed per second of the whole run."""
        return self.pages / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Document:
    """A document on its way through one run."""

    file: SourceFile
    passages: list[Passage] = field(default_factory=list[Passage])
    bad: list[BadDocument] = field(default_factory=list[BadDocument])
    pages: int = 0
    recognised: int = 0


class Indexer:
    """Reads files and keeps the collection's documents equal to them."""

    def __init__(self, writer: Writer, assets: AssetStore, config: Config, tenant: str) -> None:
        """`writer` stores and records; page images go to `assets`."""
        self._writer = writer
        self._assets = assets
        self._config = config
        self._tenant = tenant
        self._settings = _settings(config)

    def ingest(
        self, paths: Sequence[str | Path], *, root: Path | None = None, progress: bool = False
    ) -> IngestSummary:
        """Read every file that is new or changed; see `RagIndex.ingest`."""
        start = perf_counter()
        found = find_documents(paths, root)
        todo = [file for file in found.files if not self._is_current(file)]
        known = {file.doc_id for file in todo if self._writer.manifest.get(file.doc_id)}
        done: list[_Document] = []
        for documents in self._groups(self._read(todo, progress)):
            self._store(documents)
            done += documents
        self._writer.settle()
        unchanged = len(found.files) - len(todo)
        return _summary(done, known, unchanged, list(found.bad), perf_counter() - start)

    def _is_current(self, file: SourceFile) -> bool:
        record = self._writer.manifest.get(file.doc_id)
        return (
            record is not None
            and record.complete
            and (record.sha256, record.settings) == (file.sha256, self._settings)
        )

    def _read(self, files: Sequence[SourceFile], progress: bool) -> Iterator[_Document]:
        """Pages, read in parallel, gathered into documents and cut into passages."""
        with tqdm(total=len(files), unit="file", desc="Reading", disable=not progress) as bar:
            pages = 0
            for file, items in groupby(read_pages(files, self._config.ocr), key=lambda item: item[0]):
                document = self._gather(file, (page for _, page in items))
                pages += document.pages
                rate = pages / max(perf_counter() - bar.start_t, 1e-9) if progress else 0.0
                bar.set_postfix_str(f"{pages} pages, {rate:.1f} pages/s", refresh=False)
                bar.update()
                yield document

    def _gather(self, file: SourceFile, pages: Iterable[Page | BadDocument]) -> _Document:
        document = _Document(file)
        for page in pages:
            if isinstance(page, BadDocument):
                document.bad.append(page)
                continue
            image = self._assets.put(page.image) if page.image else None
            document.pages += 1
            document.recognised += page.origin == "ocr"
            document.passages += chunk(
                page, file, self._config.chunking, tenant=self._tenant, page_image=image
            )
        return document

    def _groups(self, documents: Iterable[_Document]) -> Iterator[list[_Document]]:
        """Documents enough to fill a batch of the encoders."""
        group: list[_Document] = []
        for document in documents:
            group.append(document)
            if sum(len(member.passages) for member in group) >= _GROUP:
                yield group
                group = []
        if group:
            yield group

    def _store(self, documents: Sequence[_Document]) -> None:
        # Where no page could be read there is nothing to put in the place of what is stored.
        self._writer.replace(
            [(self._record(document), document.passages) for document in documents if document.pages]
        )

    def _record(self, document: _Document) -> DocumentRecord:
        return DocumentRecord(
            document.file.doc_id,
            tuple(passage.id for passage in document.passages),
            document.file.sha256,
            self._settings,
            document.pages,
            complete=not document.bad,
        )


def _settings(config: Config) -> str:
    """What passages depend on beside the file."""
    ocr = config.ocr
    return digest(json.dumps([_READER, ocr.languages, ocr.dpi, ocr.max_pages, config.chunking.model_dump()]))


def _summary(
    done: Sequence[_Document],
    known: set[str],
    unchanged: int,
    bad: Sequence[BadDocument],
    seconds: float,
) -> IngestSummary:
    stored = [document for document in done if document.pages]
    return IngestSummary(
        documents=len(stored),
        replaced=sum(document.file.doc_id in known for document in stored),
        unchanged=unchanged,
        pages=sum(document.pages for document in stored),
        recognised=sum(document.recognised for document in stored),
        passages=sum(len(document.passages) for document in stored),
        seconds=seconds,
        bad=(*bad, *(error for document in done for error in document.bad)),
    )
