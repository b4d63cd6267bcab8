"""Text to index terms, the same for documents and queries: Unicode words, and CJK runs cut into terms.

Plain on purpose: no stemming and no stop words. BM25's idf already weighs frequent words down.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal, TypeAlias

from rag_plugins.errors import require

__all__ = ["Cjk", "bigrams", "terms", "word_spans"]

Cjk: TypeAlias = Literal["bigrams", "jieba"]
"""How runs of Chinese, Japanese and Korean are cut into terms; jieba cuts the Han runs alone."""

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_KANA_HANGUL = "\u1100-\u11ff\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7ff"
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc\u2018", "'"))


def terms(text: str, cjk: Cjk = "bigrams") -> list[str]:
    """The terms of a text in reading order, repeats kept: NFKC, case-folded.

    Letters, digits and their combining marks make a word. An apostrophe inside a word is kept
    (don't), a possessive 's is not (Ada's -> ada).
    """
    # Case folding can undo a composition, so normalisation comes last as well as first.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return list(_cut(_word().finditer(folded.translate(_APOSTROPHES)), cjk))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of the words and CJK runs of a text as it stands."""
    return [match.span() for match in _word().finditer(text.translate(_APOSTROPHES))]


def bigrams(run: str) -> list[str]:
    """Every two neighbouring characters; a single character stands for itself."""
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def _cut(matches: Iterable[re.Match[str]], cjk: Cjk) -> Iterator[str]:
    for match in matches:
        run = match[0]
        if match.lastgroup == "word":
            yield run.removesuffix("'s")
        elif match.lastgroup == "han" and cjk == "jieba":
            yield from _jieba().cut_for_search(run)
        else:
            yield from bigrams(run)


@cache
def _word() -> re.Pattern[str]:
    # `re` has no class for combining marks, without which Hindi or Thai words fall apart.
    marks = "".join(
        chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)).startswith("M")
    )
    letter = rf"[^\W_{_HAN}{_KANA_HANGUL}]"
    return re.compile(
        rf"(?P<word>{letter}+(?:'{letter}+|[{marks}]+{letter}*)*)"
        # Japanese words run from Han into kana, so only a run that stays Han is jieba's.
        rf"|(?P<han>[{_HAN}]++)(?![{_KANA_HANGUL}])"
        rf"|(?P<cjk>[{_HAN}{_KANA_HANGUL}]+)"
    )


@cache
def _jieba() -> Any:
    jieba = require("jieba", extra="chinese")
    jieba.setLogLevel("WARNING")
    return jieba.Tokenizer()  # Our own, so that words a program adds to the global one change nothing here.
