"""Files to pages: text and its boxes, read off or recognised, in order, on all cores, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument, require
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.markup import markup_sheets
from rag_plugins.ingest.plain import text_sheets
from rag_plugins.ingest.policy import Origin, ViewPolicy
from rag_plugins.ingest.sheets import Sheet, Sheets, attempt
from rag_plugins.ingest.text import Piece, assemble
from rag_plugins.pictures import MAX_PIXELS
from rag_plugins.types import Box, Word

if TYPE_CHECKING:
    from PIL.Image import Image

    from rag_plugins.ingest.pdf import PdfReader

__all__ = ["Page", "read_pages"]

UNFOUND = "nothing would find it: it gives no view that a leg reads. Change ingest.text, or add such a leg"

_PIXELS_AHEAD = 3 * MAX_PIXELS
"""Decoded pages that wait to be recognised: 360 MB at most, two pages a worker at the usual 9 million."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read.

    `text` is what the LLM would read of the whole page, `words` are spans into it with boxes (none for
    plain text files), `image` is the upright page as PNG or WEBP that the boxes are fractions of. `title`
    and `removed`: see `Sheet`. Where the policy asks for them: `seen`, the lines recognised on a page with a
    text layer, and `figures`; `blank` says that a page without text shows nothing else either.
    """

    number: int
    text: str
    words: tuple[Word, ...]
    image: bytes | None
    origin: Origin
    title: str | None = None
    seen: tuple[tuple[Piece, ...], ...] = ()
    figures: tuple[Box, ...] = ()
    blank: bool = False
    removed: int = 0


def read_pages(
    files: Iterable[SourceFile],
    config: OcrConfig,
    policy: ViewPolicy | None = None,
    passwords: Sequence[SecretStr] = (),
) -> Generator[tuple[SourceFile, Page | BadDocument], None, None]:
    """Every page of every file, in order. What cannot be read is a `BadDocument` in its place.

    `policy` says what else there is to be seen on a page, `passwords` are tried on locked files. Decoding is
    serial, recognition runs ahead on one worker a core. Closing the generator
    drops what waits. Raises `MissingExtra`, `MissingProgram` and `ConfigError` only.
    """
    reader = _Reader(config, policy or ViewPolicy(), passwords)
    workers = config.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ocr")
    waiting: deque[_Waiting] = deque()
    with closing(reader), closing(_all_sheets(files, reader)) as sheets:
        try:
            for file, sheet in sheets:
                ahead = _PIXELS_AHEAD - _size(sheet)
                while len(waiting) >= 2 * workers or (waiting and _pixels(waiting) > ahead):
                    yield waiting.popleft().result()
                waiting.append(_Waiting(file, _size(sheet), pool.submit(reader.page, file, sheet)))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Waiting:
    file: SourceFile
    pixels: int
    page: Future[Page | BadDocument]

    def result(self) -> tuple[SourceFile, Page | BadDocument]:
        return self.file, self.page.result()


def _pixels(waiting: Iterable[_Waiting]) -> int:
    return sum(item.pixels for item in waiting if not item.page.done())


def _size(sheet: Sheet | BadDocument) -> int:
    if isinstance(sheet, BadDocument) or sheet.image is None:
        return 0
    return sheet.image.width * sheet.image.height


def _all_sheets(
    files: Iterable[SourceFile], reader: _Reader
) -> Generator[tuple[SourceFile, Sheet | BadDocument], None, None]:
    for file in files:
        size = attempt(file.source, None, os.path.getsize, file.path)
        if isinstance(size, BadDocument):
            yield file, size
        elif size == 0:
            yield file, BadDocument(file.source, None, "the file is empty")
        else:
            with closing(reader.sheets(file)) as sheets:
                for sheet in sheets:
                    yield file, sheet


@dataclass(frozen=True)
class _Reader:
    """Reads files into sheets, one after the other, and sheets into pages, side by side."""

    config: OcrConfig
    policy: ViewPolicy
    passwords: Sequence[SecretStr]

    def sheets(self, file: SourceFile) -> Sheets:
        if file.kind == "text":
            return text_sheets(file, self.config)
        if file.kind in ("docx", "html", "markdown"):
            return markup_sheets(file)
        for module in ("PIL", "pypdfium2", "pytesseract"):
            require(module, extra="ocr")
        if file.kind == "image":
            from rag_plugins.ingest.images import image_sheets

            return image_sheets(file, self.config)
        return self._pdfs.sheets(file)

    @cached_property
    def _pdfs(self) -> PdfReader:
        from rag_plugins.ingest.pdf import PdfReader

        return PdfReader(self.config, self.passwords, fine=self.policy.recognises_all)

    def close(self) -> None:
        if "_pdfs" in vars(self):
            self._pdfs.close()

    def page(self, file: SourceFile, sheet: Sheet | BadDocument) -> Page | BadDocument:
        if isinstance(sheet, BadDocument):
            return sheet
        return attempt(file.source, sheet.number, self._page, file, sheet)

    def _page(self, file: SourceFile, sheet: Sheet) -> Page:
        origin: Origin = "text" if sheet.image is None else "ocr" if sheet.text is None else "text-layer"
        if not self.policy.finds(origin, sheet.image is not None):
            raise BadDocument(file.source, sheet.number, UNFOUND)
        if sheet.image is None:
            return Page(sheet.number, sheet.text or "", (), None, origin, sheet.title, removed=sheet.removed)
        return self._recognised(sheet, sheet.image) if origin == "ocr" else self._layered(sheet, sheet.image)

    def _recognised(self, sheet: Sheet, image: Image) -> Page:
        from rag_plugins.ingest.images import encode
        from rag_plugins.ingest.ocr import recognise

        reading = recognise(image, self.config)
        text, words = assemble(reading.paragraphs)
        return self._looked_at(Page(sheet.number, text, words, encode(reading.image), "ocr"), reading.image)

    def _layered(self, sheet: Sheet, image: Image) -> Page:
        from rag_plugins.ingest.images import encode

        page = Page(sheet.number, sheet.text or "", sheet.words, encode(image), "text-layer")
        if self.policy.recognises_all:
            from rag_plugins.ingest.ocr import recognise

            paragraphs = recognise(image, self.config).paragraphs
            page = replace(page, seen=tuple(tuple(line) for lines in paragraphs for line in lines))
        return self._looked_at(page, image)

    def _looked_at(self, page: Page, image: Image) -> Page:
        """With what an image leg could find beside the words."""
        if self.policy.images is None:
            return page
        from rag_plugins.ingest.figures import figures, is_blank

        if not page.text.strip():
            return replace(page, blank=is_blank(image))
        return replace(page, figures=figures(image, page.words)) if self.policy.images == "regions" else page
