"""What was read off a page, and how much of it is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rag_plugins.ingest.ocr.ink import unread
from rag_plugins.ingest.ocr.rows import bounds
from rag_plugins.ingest.text import Lines, Piece

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LOST", "Reading"]

NOISE = 0.3
"""Confidence below which a word is none: speckle has this much."""

WORTH = 0.5
"""What another reading has more of must be this sure, by how sure the one at hand is.

On receipts and old books: what a figure or a border is taken for is less sure, print that was left out more.
"""

LOST = 0.5
"""Confidence per character below which a page may lie wrong.

Measured on 23 pages in four directions, one of them unreadable in any: the others upright .59 to .96 (poor
receipts lowest), upside down or on the side that Tesseract cannot read .17 to .37.
"""

SURE = 0.7
MISSED = 0.15
"""Below this confidence, or with more than this share of the strokes in no word, a page is read again.

On 100 receipts the share goes with the character error rate (correlation .94), confidence less so: blocks
that were left out have none. Clean pages have .01 to .1.
"""

FEW = 12
"""Fewer characters than this on a page that has ink are suspicious too."""


@dataclass(frozen=True)
class Reading:
    """What was read, in which languages, and the image as it was read: boxes are fractions of its sides.

    `passes` is how many ways to read the page were tried.
    """

    image: Image
    paragraphs: list[Lines]
    languages: tuple[str, ...] = ()
    passes: int = 1

    @cached_property
    def pieces(self) -> list[Piece]:
        """All words, in reading order."""
        return [piece for line in self._lines for piece in line]

    def better(self, other: Reading) -> bool:
        """Whether this one has more characters, each weighed by its confidence above that of noise."""
        noise = WORTH * other.quality
        # On a picture without text another reading is noise: nothing read is worth as much as a doubt.
        worth = bool(other.pieces) or self.quality > LOST
        return worth and (self.quality - noise) * self._size > (other.quality - noise) * other._size

    @cached_property
    def quality(self) -> float:
        """The mean confidence of a character, 0 to 1; half of it where lines run up or down."""
        sure = sum(len(piece.text) * (piece.confidence or 0.0) for piece in self.pieces)
        return sure / max(1, self._size) / (2 if self.sideways else 1)

    @cached_property
    def sideways(self) -> bool:
        """Whether most characters stand in lines that are taller than wide."""
        width, height = self.image.size
        tall = 0
        for line in self._lines:
            box = bounds(piece.box for piece in line)
            size = sum(len(piece.text) for piece in line)
            if size > 2 and (box.bottom - box.top) * height > (box.right - box.left) * width:
                tall += size
        return 2 * tall > self._size

    @cached_property
    def unread(self) -> float:
        """The share of the page's strokes in no word that is surely one, 0 to 1."""
        return unread(self.image, (piece.box for piece in self.pieces if (piece.confidence or 0.0) > NOISE))

    @property
    def lost(self) -> bool:
        """Whether so little makes sense that the page may lie wrong or be in another script."""
        return self.quality < LOST or self._size < FEW

    @property
    def doubtful(self) -> bool:
        """Whether another way to read the page is worth its time; a blank page needs none."""
        return self.unread > MISSED or bool(self.pieces and (self.lost or self.quality < SURE))

    @property
    def _lines(self) -> list[list[Piece]]:
        return [line for paragraph in self.paragraphs for line in paragraph]

    @cached_property
    def _size(self) -> int:
        return sum(len(piece.text) for piece in self.pieces)
