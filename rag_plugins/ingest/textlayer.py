"""A PDF page's own text: characters with boxes to words, lines and paragraphs. The caller holds the lock."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from rag_plugins.ingest.text import Lines, Piece, clean, spaceless
from rag_plugins.types import Box

__all__ = ["text_layer"]

FEW = 200
"""Fewer characters than this over a picture that fills the page: a stamp on a scan, not its text."""

FILLS = 0.5
"""Share of the page that such a picture covers."""

GARBLED = 0.2
"""Share of characters without a meaning above which a text layer is not used: the font has no table."""

_GRID = 100_000
"""PDFium maps to whole device units: so many a side are fine enough for fractions."""

ToBox = Callable[["_Ink"], Box]


@dataclass(slots=True)
class _Ink:
    """A rectangle in PDF units, growing."""

    left: float
    bottom: float
    right: float
    top: float

    def add(self, other: _Ink) -> None:
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)
        self.bottom, self.top = min(self.bottom, other.bottom), max(self.top, other.top)


def text_layer(page: pdfium.PdfPage) -> list[Lines]:
    """Paragraphs in reading order; none where the page has no text of its own that can be used."""
    with closing(page.get_textpage()) as textpage:
        codes = [raw.FPDFText_GetUnicode(textpage, index) for index in range(textpage.count_chars())]
        seen = [code for code in codes if not chr(code).isspace()]
        if not seen or sum(map(_meaningless, seen)) > GARBLED * len(seen):
            return []
        if len(seen) < FEW and _picture_share(page) > FILLS:
            return []
        lines = list(_lines(textpage, codes, _to_box(page)))
    return _paragraphs(_in_order(lines))


def _meaningless(code: int) -> bool:
    return code in (0, 0xFFFD) or 0xE000 <= code <= 0xF8FF


def _picture_share(page: pdfium.PdfPage) -> float:
    width, height = page.get_size()
    areas = (
        (right - left) * (top - bottom)
        for left, bottom, right, top in (
            item.get_bounds() for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE])
        )
    )
    return max(areas, default=0.0) / (width * height)


def _to_box(page: pdfium.PdfPage) -> ToBox:
    """From PDF units to fractions of the page as it is shown: cropped and turned."""
    x, y = ctypes.c_int(), ctypes.c_int()

    def point(right: float, up: float) -> tuple[float, float]:
        raw.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, right, up, x, y)
        return min(1.0, max(0.0, x.value / _GRID)), min(1.0, max(0.0, y.value / _GRID))

    def box(ink: _Ink) -> Box:
        xs, ys = zip(point(ink.left, ink.top), point(ink.right, ink.bottom), strict=True)
        return Box(min(xs), min(ys), max(xs), max(ys))

    return box


def _lines(textpage: pdfium.PdfTextPage, codes: list[int], to_box: ToBox) -> Iterator[list[Piece]]:
    """PDFium's own lines; each CJK character is a piece, so that boxes can be cut at any of them."""
    line: list[Piece] = []
    text, ink = "", None
    for index, code in enumerate(codes):
        # PDFium glues a word that is hyphenated over two lines; its mark stands where the hyphen was.
        hyphen = raw.FPDFText_IsHyphen(textpage, index) == 1
        char = "-" if hyphen else chr(code)
        if text and (char.isspace() or spaceless(char) or spaceless(text[-1])):
            line += _piece(text, ink, to_box)
            text, ink = "", None
        if not char.isspace():
            text, ink = text + char, _grown(ink, textpage, index)
        if hyphen:
            line += _piece(text, ink, to_box)
            text, ink = "", None
        if line and (hyphen or char in "\r\n"):
            yield line
            line = []
    line += _piece(text, ink, to_box)
    if line:
        yield line


def _grown(ink: _Ink | None, textpage: pdfium.PdfTextPage, index: int) -> _Ink:
    more = _Ink(*textpage.get_charbox(index))
    if ink is None:
        return more
    ink.add(more)
    return ink


def _piece(text: str, ink: _Ink | None, to_box: ToBox) -> list[Piece]:
    """The word, unless it is nothing or lies outside the page."""
    # Characters beyond the first plane come as two surrogates.
    text = "".join(clean(text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")).split())
    if not text or ink is None:
        return []
    box = to_box(ink)
    outside = box.left >= 1 or box.right <= 0 or box.top >= 1 or box.bottom <= 0
    return [] if outside else [Piece(text, box)]


def _span(line: list[Piece]) -> tuple[float, float]:
    return min(piece.box.top for piece in line), max(piece.box.bottom for piece in line)


def _in_order(lines: Lines) -> Lines:
    """As the producer wrote them, which is column by column in most; by rows where they jump about.

    A column or a margin note is one jump up; more than one line in four is no layout.
    """
    tops = [_span(line)[0] for line in lines]
    jumps = sum(later < earlier for earlier, later in pairwise(tops))
    return lines if jumps <= 2 + len(lines) // 4 else _rows([piece for line in lines for piece in line])


def _rows(pieces: list[Piece]) -> Lines:
    rows: Lines = []
    for piece in sorted(pieces, key=lambda piece: piece.box.top + piece.box.bottom):
        middle = (piece.box.top + piece.box.bottom) / 2
        if rows and middle < _span(rows[-1])[1]:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.box.left) for row in rows]


def _paragraphs(lines: Lines) -> list[Lines]:
    """Cut where the gap to the next line is more than a usual line high, or where the text jumps up."""
    if not lines:
        return []
    spans = [_span(line) for line in lines]
    usual = median(bottom - top for top, bottom in spans)
    paragraphs: list[Lines] = [[lines[0]]]
    for (above, below), line in zip(pairwise(spans), lines[1:], strict=True):
        if below[0] - above[1] > usual or below[1] < above[0]:
            paragraphs.append([])
        paragraphs[-1].append(line)
    return paragraphs
