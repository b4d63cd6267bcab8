"""Text to words: folded, cut at what is no letter, and runs of Chinese, Japanese and Korean kept apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

__all__ = [
    "LETTER",
    "bigrams",
    "characters",
    "compose",
    "fold",
    "is_han",
    "is_spelled",
    "plain_words",
    "units",
    "word_spans",
]

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA_HANGUL = "\u1100-\u11ff\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7ff"
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\u2018", "'"))

LETTER = rf"[^\W_{_HAN}{_KANA_HANGUL}]"
"""A letter or digit of a script that puts spaces between words, as a regular expression."""

_HAN_ONLY = re.compile(rf"[{_HAN}]+")
_SPELLED = re.compile(rf"(?:(?!\d){LETTER}|')+")


def compose(text: str) -> str:
    """NFKC with one kind of apostrophe; capitals stay."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)


def fold(text: str) -> str:
    """NFKC, case-folded, one kind of apostrophe: what terms are made of."""
    if text.isascii():
        return text.lower()
    # Case folding can undo a composition, so normalisation comes last as well as first.
    return compose(unicodedata.normalize("NFKC", text).casefold())


def plain_words(folded: str, cjk: Callable[[str], list[str]]) -> list[str]:
    """The words of folded text in reading order, repeats kept.

    Letters, digits and their combining marks make a word. An apostrophe inside a word is kept (don't), a
    possessive 's is not (ada's -> ada). `cjk` cuts the other runs.
    """
    found: list[str] = []
    for match in _word().finditer(folded):
        if match.lastgroup == "word":
            found.append(match[0].removesuffix("'s"))
        else:
            found += cjk(match[0])
    return found


def units(text: str) -> list[str]:
    """The finest sequence in reading order, for phrases: words, and each CJK character by itself."""
    return plain_words(fold(text), characters)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of the words and CJK runs of a text as it stands."""
    return [match.span() for match in _word().finditer(text.translate(_APOSTROPHES))]


def is_spelled(word: str) -> bool:
    """Whether a folded word is made of letters alone: one that may have a slip of the pen in it."""
    return bool(_SPELLED.fullmatch(word))


def is_han(run: str) -> bool:
    """Whether a run is of Chinese characters alone."""
    return bool(_HAN_ONLY.fullmatch(run))


def characters(run: str) -> list[str]:
    """Every character by itself."""
    return list(run)


def bigrams(run: str) -> list[str]:
    """Every two neighbouring characters; a single character stands for itself."""
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


@cache
def _word() -> re.Pattern[str]:
    return re.compile(
        rf"(?P<word>{LETTER}+(?:'{LETTER}+|[{_marks()}]+{LETTER}*)*)"
        rf"|(?P<cjk>[{_HAN}{_KANA_HANGUL}]+)"
    )


def _marks() -> str:
    """`re` has no class for combining marks, without which Hindi or Thai words fall apart."""
    return "".join(_mark_characters())


def _mark_characters() -> Iterator[str]:
    return (chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)).startswith("M"))
