"""A PDF page's own text: characters with boxes to words, lines and paragraphs. The caller holds the lock."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

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

_MARK = 2

ToBox = Callable[["_Ink"], Box]


class _Ink(NamedTuple):
    """A rectangle in PDF units."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class _Character:
    """A character, where its ink is, and whether it hyphenates a word over two lines."""

    text: str
    ink: _Ink
    hyphen: bool


def _around(inks: Sequence[_Ink]) -> _Ink:
    left, bottom, right, top = zip(*inks, strict=True)
    return _Ink(min(left), min(bottom), max(right), max(top))


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
    """Lines of pieces; each CJK character is one, so that boxes can be cut at any of them."""
    for line in _runs(_characters(textpage, codes), _starts_line):
        pieces = (_piece(word, to_box) for word in _runs(line, _starts_word))
        if found := [piece for piece in pieces if piece]:
            yield found


def _characters(textpage: pdfium.PdfTextPage, codes: list[int]) -> Iterator[_Character]:
    for index, code in enumerate(codes):
        # PDFium glues a word that is hyphenated over two lines; its mark stands where the hyphen was.
        hyphen = code == _MARK and raw.FPDFText_IsHyphen(textpage, index) == 1
        yield _Character("-" if hyphen else chr(code), _Ink(*textpage.get_charbox(index)), hyphen)


def _runs(
    characters: Iterable[_Character], starts: Callable[[_Character, _Character], bool]
) -> Iterator[list[_Character]]:
    run: list[_Character] = []
    for character in characters:
        if run and starts(run[-1], character):
            yield run
            run = []
        run.append(character)
    if run:
        yield run


def _starts_line(before: _Character, this: _Character) -> bool:
    """At PDFium's line breaks, after its hyphens, and where the pen went back and to another height.

    The last is for Chinese, which PDFium sets a space after instead of a line break.
    """
    if before.hyphen or before.text in "\r\n":
        return True
    if this.text.isspace():
        return False
    return this.ink.right < before.ink.left and (
        this.ink.top <= before.ink.bottom or this.ink.bottom >= before.ink.top
    )


def _starts_word(before: _Character, this: _Character) -> bool:
    return this.text.isspace() or before.text.isspace() or spaceless(this.text) or spaceless(before.text)


def _piece(word: list[_Character], to_box: ToBox) -> Piece | None:
    """The word, unless it is nothing or lies outside the page."""
    # Characters beyond the first plane come as two surrogates.
    units = "".join(character.text for character in word).encode("utf-16", "surrogatepass")
    text = "".join(clean(units.decode("utf-16", "ignore")).split())
    box = to_box(_around([character.ink for character in word]))
    outside = box.left >= 1 or box.right <= 0 or box.top >= 1 or box.bottom <= 0
    return Piece(text, box) if text and not outside else None


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
