"""Documents recognised anew: other texts for the LLM, while what retrieval reads stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean
from time import perf_counter

from tqdm import tqdm

from rag_plugins.config import Config, OcrConfig
from rag_plugins.errors import BadDocument, BadInput, StoreError
from rag_plugins.filters import where
from rag_plugins.ingest.documents import SourceFile, find_documents
from rag_plugins.ingest.indexer import settings_of, shown
from rag_plugins.ingest.manifest import DocumentRecord
from rag_plugins.ingest.pages import Page, read_pages
from rag_plugins.ingest.placing import placed, quarters
from rag_plugins.ingest.policy import ViewPolicy
from rag_plugins.ingest.writer import Writer
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import Passage, Word

__all__ = ["RereadSummary", "Rereader"]

_RECOGNISED = ("image", "pdf")
"""Kinds of files that may have pages to recognise."""

_ORIGINS = ("ocr", "picture", "figure")
"""What passages say of themselves that have no text layer."""

_GROUP = 64
"""Passages written together at least."""


@dataclass(frozen=True, slots=True)
class RereadSummary:
    """One run: documents and pages recognised anew; passages with another text for the LLM, or the same.

    `before` and `after` are mean confidences of the words of these pages, 0 to 1; None where there were none.
    `bad` is what could not be read, `notices` say what of a page could not be brought into its passages.
    """

    documents: int = 0
    pages: int = 0
    changed: int = 0
    unchanged: int = 0
    before: float | None = None
    after: float | None = None
    seconds: float = 0.0
    bad: tuple[BadDocument, ...] = ()
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.pages} pages of {self.documents} documents recognised anew: {self.changed} passages have "
            f"another text for the LLM, {self.unchanged} the same. What retrieval searches, their views and "
            "vectors, was not touched."
        )


@dataclass(slots=True)
class _Run:
    """What one run has come to; `passages` and `records` are still to be written."""

    bad: list[BadDocument]
    notices: list[str] = field(default_factory=list[str])
    passages: list[Passage] = field(default_factory=list[Passage])
    records: list[DocumentRecord] = field(default_factory=list[DocumentRecord])
    documents: set[str] = field(default_factory=set[str])
    pages: int = 0
    changed: int = 0
    unchanged: int = 0
    before: list[float] = field(default_factory=list[float])
    after: list[float] = field(default_factory=list[float])

    def take(self, page: Page, stored: Sequence[Passage], made: Sequence[Passage]) -> None:
        same = [old.llm_text == new.llm_text for old, new in zip(stored, made, strict=True)]
        self.unchanged += sum(same)
        self.changed += len(same) - sum(same)
        self.passages += [new for old, new in zip(stored, made, strict=True) if new is not old]
        self.before += _sure({word.box: word for passage in stored for word in _words(passage)}.values())
        self.after += _sure(page.words)

    def summary(self, seconds: float) -> RereadSummary:
        return RereadSummary(
            documents=len(self.documents),
            pages=self.pages,
            changed=self.changed,
            unchanged=self.unchanged,
            before=fmean(self.before) if self.before else None,
            after=fmean(self.after) if self.after else None,
            seconds=seconds,
            bad=tuple(self.bad),
            notices=tuple(self.notices),
        )


class Rereader:
    """Gives stored passages of scanned pages the text that other settings recognise.

    A document is current by the settings it was ingested with and, once all of its pages were placed, by
    those it was recognised anew with: to ingest it again by either changes nothing.
    """

    def __init__(self, writer: Writer, store: MilvusStore, config: Config) -> None:
        """`config` is that of the collection; its passwords open locked files."""
        self._writer = writer
        self._store = store
        self._config = config

    def reread(
        self,
        paths: Sequence[str | Path],
        ocr: OcrConfig,
        *,
        root: Path | None = None,
        progress: bool = False,
    ) -> RereadSummary:
        """Recognise the scanned pages of these files anew; see `RagIndex.reread`."""
        start = perf_counter()
        found = find_documents(paths, root)
        run = _Run(list(found.bad))
        known = [file for file in found.files if self._is_known(file, run)]
        settings = settings_of(self._config.model_copy(update={"ocr": ocr}), ViewPolicy.of(self._config))
        files = [file for file in known if file.kind in _RECOGNISED]
        for file in known:
            if file.kind not in _RECOGNISED:
                self._close(file, settings, run)
        pages = read_pages(files, ocr, passwords=self._config.ingest.passwords)
        with tqdm(
            total=len(files), unit="file", desc="Reading again", disable=not progress, miniters=0
        ) as bar:
            for file, items in groupby(shown(pages, bar), key=lambda item: item[0]):
                placed = [self._page(file, page, run) for _, page in items]
                self._close(file, settings if all(placed) else None, run)
                bar.update()
        self._write(run)
        self._writer.settle()
        return run.summary(perf_counter() - start)

    def _is_known(self, file: SourceFile, run: _Run) -> bool:
        record = self._writer.manifest.get(file.doc_id)
        if record is not None and record.sha256 == file.sha256:
            return True
        known = record is not None and record.sha256 is not None
        why = "has changed: ingest it again" if known else "is not in the collection: ingest it"
        run.bad.append(BadDocument(file.source, None, why))
        return False

    def _page(self, file: SourceFile, page: Page | BadDocument, run: _Run) -> bool:
        """Whether the page is by these settings now, or nothing of it depends on them."""
        if isinstance(page, BadDocument):
            run.bad.append(page)
            return False
        if page.origin != "ocr":
            return True
        run.pages += 1
        run.documents.add(file.doc_id)
        stored = self._stored(file, page.number)
        place = f"{file.source}, page {page.number}"
        if not page.text.strip():
            if any(_words(passage) for passage in stored):
                run.notices.append(f"{place}: nothing is recognised now, its passages keep their text")
            return True
        if not stored:
            run.notices.append(
                f"{place}: no passage was made of it, and now there is text: ingest it with these settings"
            )
            return False
        made = self._placed(page, stored)
        kept = sum(new is old for old, new in zip(stored, made, strict=True))
        if kept:
            run.notices.append(
                f"{place}: nothing is recognised where {kept} of its passages stand, they keep their text"
            )
        run.take(page, stored, made)
        if len(run.passages) >= _GROUP:
            self._write(run)
        return True

    def _stored(self, file: SourceFile, number: int) -> list[Passage]:
        """The passages that were made of what was recognised on a page, or of its picture."""
        record = self._writer.manifest.get(file.doc_id)
        mine = set(record.ids) if record else set[str]()
        on_page = (where("doc_id") == file.doc_id) & (where("page") == number)
        passages = self._store.fetch([id for id in self._store.ids(on_page) if id in mine])
        return [passage for passage in passages.values() if passage.metadata.get("origin") in _ORIGINS]

    def _placed(self, page: Page, stored: Sequence[Passage]) -> list[Passage]:
        image = self._store.assets.put(page.image) if page.image else None
        before = next((origin.page_image for passage in stored if (origin := passage.provenance)), None)
        turn = 0
        if page.image and before and before != image:
            # Without the earlier image nobody knows how it lay: as it does now, most likely.
            with suppress(BadInput, StoreError):
                turn = quarters(self._store.assets.get(before), page.image)
        return placed(page, stored, image, turn)

    def _close(self, file: SourceFile, settings: str | None, run: _Run) -> None:
        """A document has been read to its end; without settings its texts are by several now."""
        record = self._writer.manifest.get(file.doc_id)
        if record and record.reread != settings:
            run.records.append(replace(record, reread=settings))

    def _write(self, run: _Run) -> None:
        if run.passages or run.records:
            self._writer.retext(run.passages, run.records)
        run.passages, run.records = [], []


def _words(passage: Passage) -> tuple[Word, ...]:
    return passage.provenance.words if passage.provenance else ()


def _sure(words: Iterable[Word]) -> list[float]:
    return [word.confidence for word in words if word.confidence is not None]
