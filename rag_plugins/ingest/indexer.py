"""Files to passages: only what is new or changed, a bad file never stopping the rest."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import NoReturn, TypeAlias

from tqdm import tqdm

from rag_plugins.config import Config
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.chunking import chunk
from rag_plugins.ingest.documents import SourceFile, find_documents
from rag_plugins.ingest.manifest import DocumentRecord
from rag_plugins.ingest.pages import Page, read_pages
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.ingest.writer import Writer
from rag_plugins.store.assets import AssetStore
from rag_plugins.text import digest
from rag_plugins.tracing import Attribute, span
from rag_plugins.types import Passage

__all__ = ["IngestSummary", "Indexer", "settings_of", "shown"]

OnPage: TypeAlias = Callable[[str], None]
"""Called for each page that was read, with the id of its document."""

_GROUP = 64
"""Passages stored together at least: encoders work best on many, and a stopped run repeats few."""

_READER = 2
"""Raised whenever pages are read or cut differently, so that documents are read again."""

_logger = logging.getLogger("rag_plugins.ingest")


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """One run: documents stored, of them replaced, those unchanged, and what could not be read.

    Each of the `pages` has its text from a `text_layer`, was `recognised`, is `plain` text, or is one of the
    `pictures`, in which nothing could be read. `removed` counts characters that no text has, NUL and other
    controls, which were taken out of files of text. `confidence` is the mean of all words recognised, 0 to 1;
    None where there were none.
    """

    documents: int = 0
    replaced: int = 0
    unchanged: int = 0
    pages: int = 0
    text_layer: int = 0
    recognised: int = 0
    plain: int = 0
    pictures: int = 0
    passages: int = 0
    removed: int = 0
    seconds: float = 0.0
    confidence: float | None = None
    bad: tuple[BadDocument, ...] = ()

    @property
    def pages_per_second(self) -> float:
        """Pages read, stored and indexed per second of the whole run."""
        return self.pages / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Document:
    """A document on its way through one run: pages counted by where their text is from, words by 1 each."""

    file: SourceFile
    passages: list[Passage] = field(default_factory=list[Passage])
    bad: list[BadDocument] = field(default_factory=list[BadDocument])
    pages: Counter[str] = field(default_factory=Counter[str])
    words: int = 0
    sureness: float = 0.0
    removed: int = 0

    def count(self, page: Page) -> None:
        self.removed += page.removed
        self.pages[page.origin if page.text.strip() else "picture"] += 1
        known = [word.confidence for word in page.words if word.confidence is not None]
        known += [piece.confidence for line in page.seen for piece in line if piece.confidence is not None]
        self.words += len(known)
        self.sureness += sum(known)


class Indexer:
    """Reads files and keeps the collection's documents equal to them."""

    def __init__(self, writer: Writer, assets: AssetStore, config: Config, tenant: str) -> None:
        """`writer` stores and records; page images go to `assets`."""
        self._writer = writer
        self._assets = assets
        self._config = config
        self._tenant = tenant
        self._policy = ViewPolicy.of(config)
        self._settings = settings_of(config, self._policy)

    def ingest(
        self,
        paths: Sequence[str | Path],
        *,
        root: Path | None = None,
        progress: bool = False,
        on_page: OnPage | None = None,
    ) -> IngestSummary:
        """Read every file that is new or changed; see `RagIndex.ingest`."""
        about: dict[str, Attribute] = {
            "db.system.name": "milvus",
            "db.collection.name": self._writer.collection,
        }
        with span("rag_plugins.ingest", about) as current:
            summary = self._ingested(paths, root, progress, on_page)
            counts = _counts(summary)
            for name, value in counts.items():
                current.set_attribute(name, value)
        _log(summary, {**about, **counts})
        return summary

    def _ingested(
        self, paths: Sequence[str | Path], root: Path | None, progress: bool, on_page: OnPage | None
    ) -> IngestSummary:
        start = perf_counter()
        found = find_documents(paths, root)
        records = {record.doc_id: record for record in self._writer.manifest}
        todo = [file for file in found.files if not self._is_current(file, records.get(file.doc_id))]
        known = {file.doc_id for file in todo if file.doc_id in records}
        done: list[_Document] = []
        for documents in self._groups(self._read(todo, progress, on_page)):
            self._store(documents)
            done += documents
        self._writer.settle()
        unchanged = len(found.files) - len(todo)
        return _summary(done, known, unchanged, list(found.bad), perf_counter() - start)

    def _is_current(self, file: SourceFile, record: DocumentRecord | None) -> bool:
        return (
            record is not None
            and record.complete
            and record.sha256 == file.sha256
            and self._settings in (record.settings, record.reread)
        )

    def _read(
        self, files: Sequence[SourceFile], progress: bool, on_page: OnPage | None
    ) -> Iterator[_Document]:
        """Pages, read in parallel, gathered into documents and cut into passages."""
        config = self._config
        pages = read_pages(files, config.ocr, self._policy, config.ingest.passwords)
        with tqdm(total=len(files), unit="file", desc="Reading", disable=not progress, miniters=0) as bar:
            for file, items in groupby(shown(pages, bar, on_page), key=lambda item: item[0]):
                yield self._gather(file, (page for _, page in items))
                bar.update()

    def _gather(self, file: SourceFile, pages: Iterable[Page | BadDocument]) -> _Document:
        document = _Document(file)
        for page in pages:
            if isinstance(page, BadDocument):
                document.bad.append(page)
                continue
            document.count(page)
            image = self._assets.put(page.image) if page.image else None
            document.passages += chunk(
                page, file, self._config.chunking, self._policy, tenant=self._tenant, page_image=image
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
            sha256=document.file.sha256,
            settings=self._settings,
            pages=document.pages.total(),
            complete=not document.bad,
            path=str(document.file.path),
        )


def shown(
    pages: Iterable[tuple[SourceFile, Page | BadDocument]],
    bar: tqdm[NoReturn],
    on_page: OnPage | None = None,
) -> Iterator[tuple[SourceFile, Page | BadDocument]]:
    """The same, counted on the bar and told of as they come: a single file may have a thousand."""
    for number, item in enumerate(pages, start=1):
        if on_page:
            on_page(item[0].doc_id)
        if not bar.disable:
            rate = number / max(perf_counter() - bar.start_t, 1e-9)
            bar.set_postfix_str(f"{number} pages, {rate:.1f} pages/s", refresh=False)
            bar.update(0)
        yield item


def settings_of(config: Config, policy: ViewPolicy) -> str:
    """What passages depend on beside the file."""
    ocr = config.ocr
    read = [ocr.engine, ocr.languages, ocr.dpi, ocr.max_pages]
    return digest(json.dumps([_READER, read, config.chunking.model_dump(), asdict(policy)]))


def _summary(
    done: Sequence[_Document],
    known: set[str],
    unchanged: int,
    bad: Sequence[BadDocument],
    seconds: float,
) -> IngestSummary:
    stored = [document for document in done if document.pages]
    pages = sum((document.pages for document in stored), Counter[str]())
    words = sum(document.words for document in stored)
    return IngestSummary(
        documents=len(stored),
        replaced=sum(document.file.doc_id in known for document in stored),
        unchanged=unchanged,
        pages=pages.total(),
        text_layer=pages["text-layer"],
        recognised=pages["ocr"],
        plain=pages["text"],
        pictures=pages["picture"],
        passages=sum(len(document.passages) for document in stored),
        removed=sum(document.removed for document in stored),
        seconds=seconds,
        confidence=sum(document.sureness for document in stored) / words if words else None,
        bad=(*bad, *(error for document in done for error in document.bad)),
    )


def _counts(summary: IngestSummary) -> dict[str, Attribute]:
    named = ("documents", "replaced", "unchanged", "pages", "passages")
    return {
        **{f"rag_plugins.{name}": getattr(summary, name) for name in named},
        "rag_plugins.bad": len(summary.bad),
    }


def _log(summary: IngestSummary, facts: Mapping[str, Attribute]) -> None:
    _logger.info(
        "%d documents of %d pages stored, %d unchanged, %d problems, in %.1f s",
        summary.documents,
        summary.pages,
        summary.unchanged,
        len(summary.bad),
        summary.seconds,
        extra={**facts, "rag_plugins.milliseconds": round(1e3 * summary.seconds, 3)},
    )
