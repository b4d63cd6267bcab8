"""Tesseract: pixels in, words with boxes and confidences out, and the page turned upright."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, TypeVar

import pytesseract
from PIL import Image

from rag_plugins.config import OcrConfig
from rag_plugins.errors import ConfigError, MissingProgram
from rag_plugins.ingest.text import Lines, Piece, clean
from rag_plugins.types import Box

__all__ = ["Reading", "installed_languages", "recognise"]

# pytesseract hands this name to its child processes. A view of its own keeps the limit to them: in
# os.environ it would throttle torch too. Unlimited, Tesseract spends six times the CPU for the same text.
pytesseract.pytesseract.environ = ChainMap({"OMP_THREAD_LIMIT": "1"}, os.environ)

INSTALL = "apt-get install tesseract-ocr"

DOUBTFUL = 0.5
"""Confidence per character below which a page may lie wrong.

Measured on 23 pages in four directions, one of them unreadable in any: the others upright .59 to .96 (poor
receipts lowest), upside down or on the side that Tesseract cannot read .17 to .37.
"""

A4_INCHES = 11.7

FEW = 12
"""Fewer characters than this on a page are suspicious too."""

_T = TypeVar("_T")

_tesseract: Any = pytesseract
"""Typed by its defaults, timeout=0 for one, which would refuse half seconds."""

_TURNS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Tesseract counts clockwise, Pillow the other way."""


class _Layout(IntEnum):
    """Tesseract's page segmentation modes, those that are used."""

    AUTO = 3
    BLOCK = 6


@dataclass(frozen=True)
class Reading:
    """What was read, and the image as it was read: boxes are fractions of this one's sides."""

    image: Image.Image
    paragraphs: list[Lines]

    @cached_property
    def pieces(self) -> list[Piece]:
        """All words, in reading order."""
        return [piece for paragraph in self.paragraphs for line in paragraph for piece in line]

    @cached_property
    def weight(self) -> float:
        """Characters, each counted by its confidence, by half of it where the lines run up or down."""
        sure = sum(len(piece.text) * (piece.confidence or 0.0) for piece in self.pieces)
        return sure / 2 if self.sideways else sure

    @cached_property
    def quality(self) -> float:
        """Weight per character, 0 to 1."""
        return self.weight / max(1, sum(len(piece.text) for piece in self.pieces))

    @cached_property
    def sideways(self) -> bool:
        """Whether most longer words are taller than wide."""
        width, height = self.image.size
        boxes = [piece.box for piece in self.pieces if len(piece.text) > 2]
        tall = sum((box.bottom - box.top) * height > (box.right - box.left) * width for box in boxes)
        return 2 * tall > len(boxes)

    @property
    def doubtful(self) -> bool:
        """Whether the page may lie wrong, or was cut into blocks wrongly."""
        return self.quality < DOUBTFUL or sum(len(piece.text) for piece in self.pieces) < FEW


def recognise(image: Image.Image, config: OcrConfig) -> Reading:
    """Read an image (mode 1, L or RGB); what reads badly is turned as Tesseract advises and read again.

    Raises `MissingProgram`, `ConfigError` for a language that is not installed, `TimeoutError`, and what
    pytesseract raises where Tesseract fails twice.
    """
    _check_languages(config.languages)
    first = _read(image, _Layout.AUTO, config)
    if not first.doubtful:
        return first
    turn = _TURNS.get(_advised_turn(image, config))
    second = (
        _read(image, _Layout.BLOCK, config)
        if turn is None
        else _read(image.transpose(turn), _Layout.AUTO, config)
    )
    # On a picture without text the second reading is noise: nothing read is worth as much as a doubt.
    bar = first.quality if first.pieces else DOUBTFUL
    return second if second.weight > first.weight and second.quality > bar else first


@lru_cache(maxsize=1)
def installed_languages() -> frozenset[str]:
    """Names of Tesseract's language data; raises `MissingProgram`."""
    try:
        return frozenset(pytesseract.get_languages())
    except pytesseract.TesseractNotFoundError as error:
        raise MissingProgram(f"Tesseract is not installed or not on PATH: {INSTALL}") from error


@lru_cache(maxsize=8)
def _check_languages(languages: tuple[str, ...]) -> None:
    known = installed_languages()
    missing = [language for language in languages if language not in known]
    if missing:
        packages = " ".join(f"tesseract-ocr-{language.replace('_', '-')}" for language in missing)
        raise ConfigError(
            f"ocr.languages: no data for {', '.join(missing)}; installed are "
            f"{', '.join(sorted(known)) or 'none'}. To add: apt-get install {packages}"
        )


def _twice(call: Callable[[], _T], timeout: float) -> _T:
    """One retry: Tesseract may be killed, or be slow on a busy machine, once."""
    try:
        return _typed(call, timeout)
    except (OSError, RuntimeError):
        return _typed(call, timeout)


def _typed(call: Callable[[], _T], timeout: float) -> _T:
    try:
        return call()
    except pytesseract.TesseractNotFoundError as error:
        raise MissingProgram(f"Tesseract is not installed or not on PATH: {INSTALL}") from error
    except pytesseract.TesseractError:
        raise
    except RuntimeError as error:  # pytesseract has no type of its own for the time limit.
        raise TimeoutError(f"Tesseract took over {timeout:g} s, twice (ocr.timeout)") from error


def _pixels(image: Image.Image) -> Image.Image:
    """What the child gets: decoded pixels, never a path; uncompressed, as it is read back at once."""
    pixels = image.copy() if image.mode == "1" else image.convert("L")
    pixels.format = "PPM"
    return pixels


def _resolution(image: Image.Image) -> int:
    """As if the longer side were that of an A4 page.

    Left alone, Tesseract takes 70 dpi and cuts large pages into the wrong blocks: a character error rate
    of .13 instead of .05 on 16 Chinese pages.
    """
    return min(1200, max(70, round(max(image.size) / A4_INCHES)))


def _read(image: Image.Image, layout: _Layout, config: OcrConfig) -> Reading:
    pixels = _pixels(image)
    table: bytes = _twice(
        lambda: _tesseract.image_to_data(
            pixels,
            lang="+".join(config.languages),
            config=f"--psm {layout:d} --dpi {_resolution(image)}",
            timeout=config.timeout,
            output_type=pytesseract.Output.BYTES,
        ),
        config.timeout,
    )
    return Reading(image, _paragraphs(table.decode("utf-8", "replace"), *image.size))


def _advised_turn(image: Image.Image, config: OcrConfig) -> int:
    """Degrees clockwise that would put the page upright, 0 where Tesseract has no opinion."""
    try:
        found = _tesseract.image_to_osd(
            _pixels(image),
            config=f"--dpi {_resolution(image)} -c min_characters_to_try=10",
            timeout=config.timeout,
            output_type=pytesseract.Output.DICT,
        )
    except (RuntimeError, OSError, ValueError):  # Too few characters, most of the time.
        return 0
    return int(found.get("rotate", 0))


def _paragraphs(table: str, width: int, height: int) -> list[Lines]:
    """Tesseract's table: level, page, block, paragraph, line, word, left, top, width, height, conf, text."""
    rows = (row.split("\t") for row in table.splitlines())
    words = [row for row in rows if len(row) == 12 and row[0] == "5"]
    return [
        [
            line
            for _, of_line in groupby(of_paragraph, lambda row: row[4])
            if (line := list(_pieces(of_line, width, height)))
        ]
        for _, of_paragraph in groupby(words, lambda row: row[2:4])
    ]


def _pieces(rows: Iterator[list[str]], width: int, height: int) -> Iterator[Piece]:
    for row in rows:
        text = "".join(clean(row[11]).split())
        if text:
            left, top, wide, high = map(int, row[6:10])
            box = Box(left / width, top / height, (left + wide) / width, (top + high) / height)
            yield Piece(text, box, min(1.0, max(0.0, float(row[10]) / 100)))
