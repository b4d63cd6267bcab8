"""PDFs through PDFium: the text layer where there is a usable one, a rendered page always.

Run as a program, which `pdf` does: PDFium has no limits of its own, and what it does with a file that is made
to hurt (forms in forms, damaged fonts) may take for ever, all memory, or the process with it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from rag_plugins.errors import BadDocument
from rag_plugins.ingest.sheets import STORED_SIDE, Sheet, attempt, too_many_pages
from rag_plugins.ingest.text import assemble
from rag_plugins.ingest.textlayer import text_layer

__all__ = ["main"]

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

RENDERED = 32_000_000
"""Pixels of a page. Tesseract takes 27 bytes for each: a gigabyte for the 40 MP that an image may have."""

MEMORY = 900 * 2**20
"""Bytes. A page of so many pixels takes less than half of it."""

_KILL = 9
_PDEATHSIG = 1


def main() -> None:
    """Answer each request, a line of JSON, by lines of JSON, some of them followed by pixels."""
    _limit()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        for head, pixels in _replies(request):
            _send(sys.stdout.buffer, head, pixels)
            del pixels  # Not while the parent recognises them, and the next page is rendered.
        _send(sys.stdout.buffer, {"done": True}, b"")


def _limit() -> None:
    """No more memory than this, and no life beyond the parent's, where the system can."""
    if sys.platform == "linux":
        import ctypes
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        ctypes.CDLL(None).prctl(_PDEATHSIG, _KILL)


def _send(out: IO[bytes], head: Mapping[str, object], pixels: bytes) -> None:
    out.write(json.dumps({**head, "bytes": len(pixels)}).encode() + b"\n")
    out.write(pixels)
    out.flush()


def _replies(request: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, object], bytes]]:
    """How many pages there are, then each from `first` on; or that the file is bad."""
    file = request["file"]
    document = attempt(file, None, _open, file, Path(request["path"]), request["passwords"])
    if isinstance(document, BadDocument):
        yield _bad(document), b""
        return
    with closing(document):
        pages, most = len(document), request["max_pages"]
        dpi, fine = request["dpi"], request["fine"]
        if pages == 0:
            yield _bad(BadDocument(file, None, "the PDF has no pages")), b""
            return
        yield {"pages": min(pages, most)}, b""
        for number in range(request["first"], min(pages, most) + 1):
            yield _told(attempt(file, number, _sheet, document, file, number, dpi, fine))
        if pages > most:
            yield _bad(too_many_pages(file, most)), b""


def _bad(error: BadDocument) -> dict[str, object]:
    return {"bad": [error.page, error.reason]}


def _told(sheet: Sheet | BadDocument) -> tuple[Mapping[str, object], bytes]:
    if isinstance(sheet, BadDocument):
        return _bad(sheet), b""
    assert sheet.image is not None
    words = [
        (word.start, word.end, word.line, word.box.left, word.box.top, word.box.right, word.box.bottom)
        for word in sheet.words
    ]
    head: Mapping[str, object] = {
        "page": sheet.number,
        "text": sheet.text,
        "words": words,
        "size": sheet.image.size,
    }
    return head, sheet.image.tobytes()


def _open(file: str, path: Path, passwords: Sequence[str]) -> pdfium.PdfDocument:
    document = _unlocked(file, path, passwords)
    document.init_forms()
    return document


def _unlocked(file: str, path: Path, passwords: Sequence[str]) -> pdfium.PdfDocument:
    for password in ("", *passwords):
        try:
            return pdfium.PdfDocument(path, password)
        except pdfium.PdfiumError as error:
            if error.err_code != raw.FPDF_ERR_PASSWORD:
                raise BadDocument(file, None, DAMAGED) from error
    raise BadDocument(file, None, STILL_LOCKED if passwords else LOCKED)


def _sheet(document: pdfium.PdfDocument, file: str, number: int, dpi: int, fine: bool) -> Sheet:
    with closing(_page(document, number)) as page:
        paragraphs = text_layer(page)
        if not paragraphs:
            return Sheet(number, _rendered(page, dpi, file, number))
        text, words = assemble(paragraphs)
        dpi, side = (dpi, MAX_SIDE) if fine else (REPORT_DPI, STORED_SIDE)
        return Sheet(number, _rendered(page, dpi, file, number, side), text, words)


def _page(document: pdfium.PdfDocument, number: int) -> pdfium.PdfPage:
    page = document[number - 1]
    if document.get_formtype() == raw.FORMTYPE_NONE:
        return page
    # What was typed into a form is no part of the text layer until it is flattened and loaded anew.
    with closing(page):
        page.flatten()
    return document[number - 1]


def _rendered(page: pdfium.PdfPage, dpi: int, file: str, number: int, side: int = MAX_SIDE) -> Image.Image:
    """At this resolution, or less where the limits of pixels and side ask for it."""
    width, height = page.get_size()
    limit = min(math.sqrt(RENDERED / (width * height)), MAX_SIDE / max(width, height))
    if limit * POINTS < LOWEST_DPI:
        raise BadDocument(
            file, number, f"a page of {width / POINTS:.0f} x {height / POINTS:.0f} inches is too large"
        )
    scale = min(dpi / POINTS, limit, side / max(width, height))
    render: Any = page.render  # Typed by its default, scale=1, as taking whole numbers only.
    with closing(render(scale=scale, rev_byteorder=True)) as bitmap:
        return bitmap.to_pil().convert("RGB")


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):  # The parent has what it wants, or is gone.
        main()
