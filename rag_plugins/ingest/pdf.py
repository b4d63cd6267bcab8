"""PDFs through PDFium: the text layer where there is a usable one, a rendered page always."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image
from pydantic import SecretStr

from rag_plugins.config import OcrConfig
from rag_plugins.errors import BadDocument
from rag_plugins.ingest.documents import SourceFile
from rag_plugins.ingest.images import STORED_SIDE
from rag_plugins.ingest.sheets import Sheet, Sheets, attempt, too_many_pages
from rag_plugins.ingest.text import assemble
from rag_plugins.ingest.textlayer import text_layer
from rag_plugins.pictures import MAX_PIXELS

__all__ = ["pdf_sheets"]

LOCKED = "encrypted: give its password (ingest.passwords, --password), or save a copy without one"
STILL_LOCKED = "encrypted, and no password given opens it (ingest.passwords, --password)"
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


def pdf_sheets(
    file: SourceFile, config: OcrConfig, passwords: Sequence[SecretStr] = (), *, fine: bool = False
) -> Sheets:
    """One sheet a page, with text and words where the page has a text layer.

    `passwords` are tried in turn where the file is locked. `fine`: every page as for recognition.
    """
    document = attempt(file.source, None, _open, file, passwords)
    if isinstance(document, BadDocument):
        yield document
        return
    try:
        pages = len(document)
        for number in range(1, min(pages, config.max_pages) + 1):
            yield attempt(file.source, number, _sheet, document, file, number, config, fine)
        if pages == 0:
            yield BadDocument(file.source, None, "the PDF has no pages")
        if pages > config.max_pages:
            yield too_many_pages(file.source, config.max_pages)
    finally:
        with _LOCK:
            document.close()


def _open(file: SourceFile, passwords: Sequence[SecretStr]) -> pdfium.PdfDocument:
    with _LOCK:
        document = _unlocked(file, passwords)
        document.init_forms()
        return document


def _unlocked(file: SourceFile, passwords: Sequence[SecretStr]) -> pdfium.PdfDocument:
    for password in (SecretStr(""), *passwords):
        try:
            return pdfium.PdfDocument(file.path, password.get_secret_value())
        except pdfium.PdfiumError as error:
            if error.err_code != raw.FPDF_ERR_PASSWORD:
                raise BadDocument(file.source, None, DAMAGED) from error
    raise BadDocument(file.source, None, STILL_LOCKED if passwords else LOCKED)


def _sheet(
    document: pdfium.PdfDocument, file: SourceFile, number: int, config: OcrConfig, fine: bool
) -> Sheet:
    with _LOCK, closing(_page(document, number)) as page:
        paragraphs = text_layer(page)
        if not paragraphs:
            return Sheet(number, _rendered(page, config.dpi, file, number))
        text, words = assemble(paragraphs)
        dpi, side = (config.dpi, MAX_SIDE) if fine else (REPORT_DPI, STORED_SIDE)
        return Sheet(number, _rendered(page, dpi, file, number, side), text, words)


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
