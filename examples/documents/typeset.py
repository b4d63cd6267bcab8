"""Blocks to clean greyscale pages, with Pillow. How a page looks is data: a `Style`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from figures import FIGURES
from markup import Block, Table, bold_runs
from PIL import Image, ImageDraw, ImageFont

A4_INCHES = (8.27, 11.69)
INK = 20
# A Chinese line may not begin with one of these.
_NO_LINE_START = "，。、；：）！？"


@dataclass(frozen=True, slots=True)
class Style:
    """Fonts by file name (as Pillow finds them), sizes in points, margins in inches."""

    regular: str
    bold: str
    size: float = 10.5
    leading: float = 1.32
    margin: float = 0.95
    dpi: int = 200
    landscape: bool = False
    header: str = ""
    ruled: bool = False

    @property
    def page(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = (round(inches * self.dpi) for inches in A4_INCHES)
        return (height, width) if self.landscape else (width, height)

    def font(self, scale: float = 1.0, bold: bool = False) -> ImageFont.FreeTypeFont:
        """The font at `scale` times the body size; a missing one ends the script with what to install."""
        return _font(self.bold if bold else self.regular, round(self.size * scale * self.dpi / 72))


@cache
def _font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(name, pixels)
    except OSError:
        raise SystemExit(
            f"font {name} not found: apt-get install fonts-liberation fonts-dejavu fonts-wqy-zenhei"
        ) from None


def typeset(blocks: Sequence[Block | Table], style: Style, number: int) -> Image.Image:
    """One page, 8-bit grey. Text that does not fit ends the script: a page cut short is no example."""
    sheet = _Sheet(style)
    sheet.header(number)
    for block in blocks:
        sheet.table(block) if isinstance(block, Table) else sheet.block(block)
    if sheet.y > sheet.bottom:
        raise SystemExit(
            f"page {number} of {style.header or 'a document'} overflows by {sheet.y - sheet.bottom} px"
        )
    return sheet.image


class _Sheet:
    """A page being filled from the top; `y` is where the next block begins."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.image = Image.new("L", style.page, 255)
        self.draw = ImageDraw.Draw(self.image)
        self.left = self.y = round(style.margin * style.dpi)
        self.right = style.page[0] - self.left
        self.bottom = style.page[1] - round(0.6 * self.left)
        self.em = round(style.size * style.dpi / 72)

    def header(self, number: int) -> None:
        if not self.style.header:
            return
        font = self.style.font(0.8)
        y = self.left // 2
        self.draw.text((self.left, y), self.style.header, INK, font)
        self.draw.text((self.right, y), f"page {number}", INK, font, anchor="ra")
        self.draw.line([(self.left, y + 1.3 * self.em), (self.right, y + 1.3 * self.em)], INK, 2)

    def block(self, block: Block) -> None:
        match block.kind:
            case "title":
                self._text(block.text, scale=2.4, bold=True, after=0.2)
            case "section":
                self.y += round(0.5 * self.em)
                self._text(block.text, scale=1.35, bold=True, after=0.35)
            case "subsection":
                self.y += round(0.3 * self.em)
                self._text(block.text, scale=1.1, bold=True, after=0.2)
            case "item":
                self._item(block)
            case "box":
                self._box(block.text)
            case "figure":
                self._figure(block.text)
            case _:
                self._text(block.text)

    def _text(
        self, text: str, *, scale: float = 1.0, bold: bool = False, after: float = 0.5, inset: int = 0
    ) -> None:
        step = round(self.em * scale * self.style.leading)
        for line in self._lines(text, self.right - self.left - 2 * inset, scale, bold):
            x: float = self.left + inset
            for word, font in line:
                self.draw.text((x, self.y), word, INK, font)
                x += font.getlength(word)
            self.y += step
        self.y += round(after * self.em)

    def _lines(
        self, text: str, width: int, scale: float, bold: bool
    ) -> Iterator[list[tuple[str, ImageFont.FreeTypeFont]]]:
        line: list[tuple[str, ImageFont.FreeTypeFont]] = []
        used = 0.0
        for word, word_bold in _words(text):
            font = self.style.font(scale, bold or word_bold)
            length = font.getlength(word.rstrip())
            if line and used + length > width and word not in _NO_LINE_START:
                yield line
                line, used = [], 0.0
            line.append((word, font))
            used += font.getlength(word)
        yield line

    def _item(self, block: Block) -> None:
        indent = round(1.7 * self.em)
        self.draw.text((self.left + 0.3 * self.em, self.y), block.label, INK, self.style.font())
        self.left += indent
        self._text(block.text, after=0.2)
        self.left -= indent

    def _box(self, text: str) -> None:
        top, pad = self.y, round(0.55 * self.em)
        self.y += pad
        self._text(text, bold=True, after=0.0, inset=pad)
        self.y += pad
        self.draw.rectangle([self.left, top, self.right, self.y], outline=INK, width=4)
        self.y += round(0.6 * self.em)

    def _figure(self, name: str) -> None:
        height = 24 * self.em
        FIGURES[name](self.draw, (self.left, self.y, self.right, self.y + height), self.style.font(bold=True))
        self.y += height + 2 * self.em

    def table(self, table: Table) -> None:
        rows = [table.head, *table.rows] if table.head else list(table.rows)
        widths = self._widths(rows)
        step, top = round(1.62 * self.em), self.y
        for number, row in enumerate(rows):
            x: float = self.left
            for column, cell in enumerate(row):
                bold = (number == 0 and bool(table.head)) or (column == 0 and not table.head)
                self.draw.text(
                    (x + 0.4 * self.em, self.y + 0.25 * self.em), cell, INK, self.style.font(1.0, bold)
                )
                x += widths[column]
            self.y += step
            heavy = number == 0 and table.head
            self.draw.line([(self.left, self.y), (self.right, self.y)], INK, 4 if heavy else 2)
        self._frame(top, widths)
        self.y += round(0.8 * self.em)

    def _frame(self, top: int, widths: Sequence[float]) -> None:
        self.draw.line([(self.left, top), (self.right, top)], INK, 4)
        if self.style.ruled:
            for column in range(len(widths) + 1):
                x = self.left + sum(widths[:column])
                self.draw.line([(x, top), (x, self.y)], INK, 2)

    def _widths(self, rows: Sequence[Sequence[str]]) -> list[float]:
        """Column widths in the proportion of their longest cells, filling the line."""
        font = self.style.font(bold=True)
        natural = [
            max(font.getlength(row[column]) for row in rows) + self.em for column in range(len(rows[0]))
        ]
        spare = self.right - self.left - sum(natural)
        if spare < 0:
            raise SystemExit(f"table {rows[0]} is {-spare:.0f} px too wide")
        return [width + spare / len(natural) for width in natural]


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Words with the space behind them; a Chinese character is a word of its own."""
    for run, bold in bold_runs(text):
        for piece in run.split(" "):
            yield from ((part, bold) for part in _cjk_parts(piece))
            yield " ", bold


def _cjk_parts(piece: str) -> Iterator[str]:
    latin = ""
    for char in piece:
        if ord(char) < 0x2E80:
            latin += char
            continue
        if latin:
            yield latin
        latin = ""
        yield char
    if latin:
        yield latin
