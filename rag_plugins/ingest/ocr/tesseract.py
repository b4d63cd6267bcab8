"""Tesseract as an engine: pixels through a pipe in, its table of words out; no file is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from rag_plugins.errors import MissingProgram
from rag_plugins.ingest.ocr.engine import Advice, Layout
from rag_plugins.ingest.ocr.limit import time_left
from rag_plugins.ingest.ocr.reading import LOST, Reading
from rag_plugins.ingest.text import Lines, Piece, clean, spaceless
from rag_plugins.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Tesseract", "installed_languages", "tesseract_version"]

_PAGE_DPI = 300
"""Said of every page. Left alone, Tesseract takes 70 dpi and cuts pages into the wrong blocks.

On 50 Chinese pages of 150 dpi the character error rate is .13 then, with this as with the true one .04.
"""

_STRIP_DPI = 70
"""Said of what is less than an inch high or wide at the other: a line of text there would be thrown away."""

_WORD = "5"
_MARKS = str.maketrans(",;:!?()", "\uff0c\uff1b\uff1a\uff01\uff1f\uff08\uff09")
"""Tesseract writes these of ASCII for the wide ones that stand beside Chinese characters."""

_QUICK = 30.0
"""Seconds for what needs no page."""


class Tesseract:
    """The installed Tesseract, one thread a page.

    A call that fails is made once more, then raises `ChildProcessError`. One that takes longer than is left
    of the page's time raises `TimeoutError` at once: it would take as long again.
    """

    layouts: frozenset[Layout] = frozenset(Layout)
    detects = True
    name = "Tesseract"
    upright = LOST

    def __init__(self) -> None:
        """Raises `MissingProgram`."""
        self.languages: frozenset[str] = installed_languages()

    def read(self, image: Image, layout: Layout, languages: tuple[str, ...]) -> Reading:
        """Words, lines and paragraphs as Tesseract orders them."""
        table = self._run(
            image, "-l", "+".join(languages), "--psm", str(int(layout)), "-c", "tessedit_create_tsv=1"
        )
        return Reading(image, _paragraphs(table.decode("utf-8", "replace"), *image.size), languages)

    def cure(self, languages: Iterable[str]) -> str:
        """The packages of Debian and its kin."""
        packages = " ".join(f"tesseract-ocr-{language.replace('_', '-')}" for language in languages)
        return f"To add: apt-get install {packages}"

    def advice(self, image: Image) -> Advice:
        """Nothing where Tesseract is unsure, most often for lack of characters, or lacks the data (osd)."""
        try:
            found = self._run(image, "--psm", "0", "-c", "min_characters_to_try=10").decode(
                "utf-8", "replace"
            )
        except OSError:
            return Advice()
        facts = dict(line.split(": ", 1) for line in found.splitlines() if ": " in line)
        return Advice(int(facts.get("Rotate", 0)), facts.get("Script", ""))

    def _run(self, image: Image, *options: str) -> bytes:
        pixels = _pixels(image)
        resolution = _PAGE_DPI if min(image.size) >= _PAGE_DPI else _STRIP_DPI
        options = ("stdin", "stdout", "--dpi", str(resolution), *options)
        try:
            return _call(options, pixels, time_left())
        except ChildProcessError:  # Killed once, for lack of memory perhaps.
            return _call(options, pixels, time_left())


@lru_cache(maxsize=1)
def installed_languages() -> frozenset[str]:
    """Names of Tesseract's language data; raises `MissingProgram`."""
    listed = _call(("--list-langs",), b"", _QUICK).decode("utf-8", "replace")
    return frozenset(line.strip() for line in listed.splitlines()[1:] if line.strip())


def tesseract_version() -> str:
    """As it says itself; raises `MissingProgram`."""
    return _call(("--version",), b"", _QUICK).decode("utf-8", "replace").split()[1]


def _call(options: tuple[str, ...], pixels: bytes, timeout: float) -> bytes:
    # Unlimited, Tesseract spends six times the CPU for the same text.
    limited = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(
            (*_program(), *options),
            input=pixels,
            capture_output=True,
            timeout=timeout,
            env=limited,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError("Tesseract takes longer than a page may (ocr.timeout)") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split()) or "nothing"
        raise ChildProcessError(f"Tesseract failed twice: status {done.returncode}, it said {said[-300:]}")
    return done.stdout


def _program() -> tuple[str, ...]:
    """The command; where the system can, one that ends when this process does, however that ends."""
    tesseract, bound = shutil.which("tesseract"), shutil.which("setpriv")
    if tesseract is None:
        raise MissingProgram("Tesseract is not installed or not on PATH: apt-get install tesseract-ocr")
    return (bound, "--pdeathsig", "KILL", tesseract) if bound else (tesseract,)


def _pixels(image: Image) -> bytes:
    """Decoded pixels, uncompressed: given a path, Tesseract would read lists and fetch URLs."""
    buffer = BytesIO()
    (image if image.mode == "1" else image.convert("L")).save(buffer, "PPM")
    return buffer.getvalue()


def _paragraphs(table: str, width: int, height: int) -> list[Lines]:
    """Tesseract's table: level, page, block, paragraph, line, word, left, top, width, height, conf, text."""
    rows = (row.split("\t") for row in table.splitlines())
    words = [row for row in rows if len(row) == 12 and row[0] == _WORD]
    return [
        lines
        for _, of_paragraph in groupby(words, lambda row: row[2:4])
        if (lines := _lines(of_paragraph, width, height))
    ]


def _lines(rows: Iterator[list[str]], width: int, height: int) -> Lines:
    lines = ([*_pieces(of_line, width, height)] for _, of_line in groupby(rows, lambda row: row[4]))
    return [_wide_marks(line) for line in lines if line]


def _pieces(rows: Iterator[list[str]], width: int, height: int) -> Iterator[Piece]:
    for row in rows:
        text = "".join(clean(row[11]).split())
        if text:
            left, top, wide, high = map(int, row[6:10])
            box = Box(left / width, top / height, (left + wide) / width, (top + high) / height)
            yield Piece(text, box, min(1.0, max(0.0, float(row[10]) / 100)))


def _wide_marks(line: list[Piece]) -> list[Piece]:
    text = "".join(piece.text for piece in line)
    if not any(map(spaceless, text)):
        return line
    beside = [False, *map(spaceless, text), False]
    wide = [char.translate(_MARKS) if beside[at] or beside[at + 2] else char for at, char in enumerate(text)]
    ends = accumulate(len(piece.text) for piece in line)
    return [
        replace(piece, text="".join(wide[end - len(piece.text) : end]))
        for piece, end in zip(line, ends, strict=True)
    ]
