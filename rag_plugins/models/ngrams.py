"""Text to the terms of a robust leg: words without regard to the signs in them, and n-grams of their letters.

Specks of dirt are recognised as signs, inside words too, so what stands between spaces is one word as well
as the words that the signs in it part. Words are neither stemmed nor taken apart like identifiers: what is
misread is neither a form of a word nor a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from sys import intern

from rag_plugins.models.words import LETTER, bigrams, fold, plain_words

__all__ = ["NgramAnalyser", "is_ngram", "is_spaced"]

_MARK = "~"
"""Begins an n-gram; no word has it."""

_EDGE = " "
"""Stands before and behind a word, so that its edges make n-grams too."""

_LENGTH = 3
"""Letters of an n-gram. Of 2 they tell less; of 4 an error spoils a third more of them."""

_LONGEST = 24
"""Letters that signs may part and are yet one word."""

_SHORT = 40
"""Characters up to which what stands between spaces is remembered with its terms; Chinese is longer."""

_SPACED = re.compile(LETTER)


def is_ngram(term: str) -> bool:
    """Whether a term is an n-gram, or a Chinese, Japanese or Korean character by itself."""
    return term.startswith(_MARK)


def is_spaced(word: str) -> bool:
    """Whether a word is of a script that puts spaces between words."""
    return bool(_SPACED.match(word))


class NgramAnalyser:
    """Cuts texts into words and n-grams, both of them surfaces and terms; see the module's head."""

    def surfaces(self, text: str) -> list[str]:
        """Words and n-grams, repeats kept: the n-grams of what stands between spaces after its words."""
        return [surface for words, ngrams in _chunks(text) for surface in (*words, *ngrams)]

    def words(self, text: str) -> list[str]:
        """The words alone, in reading order; of Chinese, Japanese and Korean every two neighbours."""
        return [word for words, _ in _chunks(text) for word in words]

    def ngrams(self, text: str) -> list[str]:
        """The n-grams alone."""
        return [ngram for _, ngrams in _chunks(text) for ngram in ngrams]

    def term(self, surface: str) -> str:
        """Every surface is a term of its own."""
        return surface

    def terms(self, text: str) -> list[str]:
        """The surfaces."""
        return self.surfaces(text)

    def units(self, text: str) -> list[str]:
        """None: phrases are not looked for where words are doubtful."""
        return []


_Pieces = tuple[tuple[str, ...], tuple[str, ...]]
"""Words, n-grams."""


def _chunks(text: str) -> Iterator[_Pieces]:
    for chunk in fold(text).split():
        yield _known(chunk) if len(chunk) < _SHORT else _pieces(chunk)


def _pieces(chunk: str) -> _Pieces:
    runs = [run.replace("'", "") for run in plain_words(chunk, lambda run: [run])]
    parts = [run for run in runs if is_spaced(run)]
    words = [word for run in runs for word in ([run] if is_spaced(run) else bigrams(run))]
    whole = "".join(runs)
    if 1 < len(parts) == len(runs) and len(whole) <= _LONGEST:
        words.insert(0, whole)
    # The same few n-grams make all words, so they are kept once.
    return tuple(words), tuple(intern(_MARK + ngram) for run in runs for ngram in _ngrams(run))


_known = lru_cache(maxsize=2**16)(_pieces)  # What stands between spaces repeats: most of a text is looked up.


def _ngrams(run: str) -> Iterator[str]:
    """Of a word; of a run of Chinese, Japanese or Korean its characters, of which an error spoils one."""
    if not is_spaced(run):
        return iter(run)
    edged = _EDGE + run + _EDGE
    return (edged[start : start + _LENGTH] for start in range(len(edged) - _LENGTH + 1))
