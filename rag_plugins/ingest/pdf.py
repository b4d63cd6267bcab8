"""PDFs through PDFium: the text layer where there is a usable one, a rendered page always."""

from __future__ import annotations

import math
import threading
from contextlib import closing
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.images import STORED_SIDE
from rag_plugins.ingest.sheets import MAX_PIXELS, Sheet, Sheets, attempt, too_many_pages
from rag_plugins.ingest.text import assemble
from rag_plugins.ingest.textlayer import text_layer

__all__ = ["pdf_sheets"]

LOCKED = "encrypted: save a copy without a password"
DAMAGED = "not a readable PDF: damaged, cut off, or something else under this name"

POINTS = 72
"""PDF units to the inch."""

REPORT_DPI = 130
"""For pages that need no recognition."""

LOWEST_DPI = 30
"""A page so large that the pixel limit forces less than this cannot be read by anyone."""

MAX_SIDE = 32_000
"""Tesseract takes 32767 pixels a side."""

_LOCK = threading.Lock()
"""PDFium is not thread-safe, not even across documents."""


def pdf_sheets(file: SourceFile, config: OcrConfig) -> Sheets:
    """One sheet a page, with text and words where the page has a text layer."""
    document = attempt(file.source, None, _open, file)
    if isinstance(document, BadDocument):
        yield document
        return
    try:
        pages = len(document)
        for number in range(1, min(pages, config.max_pages) + 1):
            yield attempt(file.source, number, _sheet, document, file, number, config)
        if pages == 0:
            yield BadDocument(file.source, None, "the PDF has no pages")
        if pages > config.max_pages:
            yield too_many_pages(file.source, config.max_pages)
    finally:
        with _LOCK:
            document.close()


def _open(file: SourceFile) -> pdfium.PdfDocument:
    with _LOCK:
        try:
            document = pdfium.PdfDocument(file.path)
        except pdfium.PdfiumError as error:
            locked = error.err_code == raw.FPDF_ERR_PASSWORD
            raise BadDocument(file.source, None, LOCKED if locked else DAMAGED) from error
        document.init_forms()
        return document


def _sheet(document: pdfium.PdfDocument, file: SourceFile, number: int, config: OcrConfig) -> Sheet:
    with _LOCK, closing(_page(document, number)) as page:
        paragraphs = text_layer(page)
        if not paragraphs:
            return Sheet(number, _rendered(page, config.dpi, file, number))
        text, words = assemble(paragraphs)
        return Sheet(number, _rendered(page, REPORT_DPI, file, number, STORED_SIDE), text, words)


def _page(document: pdfium.PdfDocument, number: int) -> pdfium.PdfPage:
    page = document[number - 1]
    if document.get_formtype() == raw.FORMTYPE_NONE:
        return page
    # What was typed into a form is no part of the text layer until it is flattened and loaded anew.
    with closing(page):
        page.flatten()
    return document[number - 1]


def _rendered(
    page: pdfium.PdfPage, dpi: int, file: SourceFile, number: int, side: int = MAX_SIDE
) -> Image.Image:
    """At this resolution, or less where the limits of pixels and side ask for it."""
    width, height = page.get_size()
    limit = min(math.sqrt(MAX_PIXELS / (width * height)), MAX_SIDE / max(width, height))
    if limit * POINTS < LOWEST_DPI:
        raise BadDocument(
            file.source, number, f"a page of {width / POINTS:.0f} x {height / POINTS:.0f} inches is too large"
        )
    scale = min(dpi / POINTS, limit, side / max(width, height))
    render: Any = page.render  # Typed by its default, scale=1, as taking whole numbers only.
    with closing(render(scale=scale, rev_byteorder=True)) as bitmap:
        return bitmap.to_pil().convert("RGB").copy()
