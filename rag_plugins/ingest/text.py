"""Text as people see it: cleaning, scripts without spaces, words and lines put together with spans."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag_plugins.types import Box, Word

__all__ = ["CJK", "SPACELESS", "Piece", "Lines", "assemble", "clean", "retrieval_text", "spaceless", "unseen"]

CJK = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese, Japanese and Korean characters, for a regular expression's brackets."""

SPACELESS = (
    "\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
"""Characters between which no space is written: Han, kana, their punctuation. Korean has spaces."""

_SPACELESS = re.compile(f"[{SPACELESS}]")
_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u2010\u00ad]\s*\n\s*(?=[a-zà-öø-ÿ])")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060]")
_BROKEN = re.compile(rf"(?<=[{SPACELESS}])\s+(?=[{SPACELESS}])")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def clean(text: str) -> str:
    """One kind of line break; no control characters, lone surrogates, non-characters or byte order marks."""
    return _UNSEEN.sub("", _BREAKS.sub("\n", text))


def unseen(text: str) -> int:
    """How many characters `clean` takes out, a byte order mark at the beginning apart."""
    return len(_UNSEEN.findall(text.removeprefix("\ufeff")))


def retrieval_text(text: str) -> str:
    """What retrieval reads of this text: hyphenated words joined, one space for any white space, NFC."""
    text = _INVISIBLE.sub("", _HYPHENATED.sub("", text)).translate(_LIGATURES)
    return _BROKEN.sub("", unicodedata.normalize("NFC", " ".join(text.split())))


def spaceless(char: str) -> bool:
    """Whether this character stands beside its like without a space."""
    return _SPACELESS.match(char) is not None


@dataclass(frozen=True, slots=True)
class Piece:
    """A word as read off a page; `text` is clean, not empty and has no white space."""

    text: str
    box: Box
    confidence: float | None = None


Lines = list[list[Piece]]


def assemble(paragraphs: Iterable[Sequence[Sequence[Piece]]]) -> tuple[str, tuple[Word, ...]]:
    """Words by spaces (none between CJK), lines by new lines, paragraphs by blank lines; and the spans."""
    parts: list[str] = []
    words: list[Word] = []
    position = line_number = 0
    for paragraph in paragraphs:
        for row, line in enumerate(paragraph):
            wide = _character(line)
            for column, piece in enumerate(line):
                gap = _gap(line[column - 1], piece, wide) if column else _break(parts, row)
                start = position + len(gap)
                position = start + len(piece.text)
                parts += (gap, piece.text)
                words.append(Word(start, position, line_number, piece.box, piece.confidence))
            line_number += 1
    return "".join(parts), tuple(words)


def _break(parts: Sequence[str], row: int) -> str:
    return "" if not parts else "\n" if row else "\n\n"


def _gap(before: Piece, piece: Piece, wide: float) -> str:
    """None between scripts without spaces.

    Recognised words say nothing of spaces: beside such scripts there is one where more than half a character
    is free, and between two where more than a whole one is, as between cells of a table.
    """
    sides = spaceless(before.text[-1]) + spaceless(piece.text[0])
    if piece.confidence is None or not sides:
        return "" if sides == 2 else " "
    return " " if piece.box.left - before.box.right > sides * wide / 2 else ""


def _character(line: Sequence[Piece]) -> float:
    """The width of a character of a script without spaces; marks are narrower than their place."""
    widths = (
        (piece.box.right - piece.box.left) / len(piece.text) for piece in line if spaceless(piece.text[0])
    )
    return max(widths, default=0.0)
