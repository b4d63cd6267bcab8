"""Files to pages: text and its boxes, read off or recognised, in order, on all cores, in bounded memory."""

from __future__ import annotations

import codecs
import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument, require
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.sheets import MAX_PIXELS, Sheet, Sheets, attempt, too_many_pages
from rag_plugins.ingest.text import assemble, clean
from rag_plugins.types import Word

__all__ = ["Page", "read_pages"]

MAX_TEXT_BYTES = 64 * 2**20

_PIXELS_AHEAD = 3 * MAX_PIXELS
"""Decoded pages that wait to be recognised: 360 MB at most, two pages a worker at the usual 9 million."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read.

    `text` is what the LLM would read of the whole page, `words` are spans into it with boxes (none for
    plain text files), `image` is the upright page as PNG or WEBP that the boxes are fractions of.
    """

    number: int
    text: str
    words: tuple[Word, ...]
    image: bytes | None
    origin: Literal["text", "text-layer", "ocr"]


def read_pages(
    files: Iterable[SourceFile], config: OcrConfig
) -> Generator[tuple[SourceFile, Page | BadDocument], None, None]:
    """Every page of every file, in order. What cannot be read is a `BadDocument` in its place.

    Decoding is serial (PDFium is not thread-safe), recognition runs ahead on one worker a core. Closing
    the generator drops what waits. Raises `MissingExtra`, `MissingProgram` and `ConfigError` only.
    """
    workers = config.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ocr")
    waiting: deque[_Waiting] = deque()
    with closing(_all_sheets(files, config)) as sheets:
        try:
            for file, sheet in sheets:
                ahead = _PIXELS_AHEAD - _size(sheet)
                while len(waiting) >= 2 * workers or (waiting and _pixels(waiting) > ahead):
                    yield waiting.popleft().result()
                waiting.append(_Waiting(file, _size(sheet), pool.submit(_page, file, sheet, config)))
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
    files: Iterable[SourceFile], config: OcrConfig
) -> Generator[tuple[SourceFile, Sheet | BadDocument], None, None]:
    for file in files:
        size = attempt(file.source, None, os.path.getsize, file.path)
        if isinstance(size, BadDocument):
            yield file, size
        elif size == 0:
            yield file, BadDocument(file.source, None, "the file is empty")
        else:
            with closing(_sheets(file, config)) as sheets:
                for sheet in sheets:
                    yield file, sheet


def _sheets(file: SourceFile, config: OcrConfig) -> Sheets:
    if file.kind == "text":
        return _text_sheets(file, config)
    for module in ("PIL", "pypdfium2", "pytesseract"):
        require(module, extra="ocr")
    if file.kind == "image":
        from rag_plugins.ingest.images import image_sheets

        return image_sheets(file, config)
    from rag_plugins.ingest.pdf import pdf_sheets

    return pdf_sheets(file, config)


def _text_sheets(file: SourceFile, config: OcrConfig) -> Sheets:
    """One sheet a file, or one between form feeds."""
    whole = attempt(file.source, None, _decoded, file)
    if isinstance(whole, BadDocument):
        yield whole
        return
    for number, text in enumerate(map(clean, whole.split("\f")), start=1):
        if number > config.max_pages:
            yield too_many_pages(file.source, config.max_pages)
            return
        if text.strip():
            yield Sheet(number, None, text)


def _decoded(file: SourceFile) -> str:
    if os.stat(file.path).st_size > MAX_TEXT_BYTES:
        raise BadDocument(file.source, None, f"over {MAX_TEXT_BYTES >> 20} MiB of text: split the file")
    data = file.path.read_bytes()
    coding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        raise BadDocument(
            file.source, None, f"not {coding} text (byte {error.start}): save the file as UTF-8"
        ) from error
    if not clean(text).strip():
        raise BadDocument(file.source, None, "the file holds no text")
    return text


def _page(file: SourceFile, sheet: Sheet | BadDocument, config: OcrConfig) -> Page | BadDocument:
    if isinstance(sheet, BadDocument):
        return sheet
    return attempt(file.source, sheet.number, _finished, sheet, config)


def _finished(sheet: Sheet, config: OcrConfig) -> Page:
    if sheet.image is None:
        return Page(sheet.number, sheet.text or "", (), None, "text")
    from rag_plugins.ingest.images import encode

    if sheet.text is not None:
        return Page(sheet.number, sheet.text, sheet.words, encode(sheet.image), "text-layer")
    from rag_plugins.ingest.ocr import recognise

    reading = recognise(sheet.image, config)
    text, words = assemble(reading.paragraphs)
    return Page(sheet.number, text, words, encode(reading.image), "ocr")
