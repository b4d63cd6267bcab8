"""Abbreviations that texts explain themselves: "acute lymphoblastic leukemia (ALL)"."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

__all__ = ["Abbreviations", "explained"]

_SHORT = re.compile(r"\((?=[^\W_]*[A-Z][^\W_]*[A-Z])([^\W_]{2,10})(?:[;,] [^()]*)?\)")
"""Two capitals, no spaces: of what else stands in brackets, most is no abbreviation."""
_CAPITALS = re.compile(r"[^\W_]*[A-Z][^\W_]*[A-Z][^\W_]*")
_STOP = re.compile(r"[.;:!?()\n]\s")
_REACH = 240
"""Characters before the bracket that are looked at: more than the words that count have."""

_TEXTS = 2
"""Texts that must explain an abbreviation alike."""
_SHARE = 0.75
"""How many of the explanations must agree, and how often the word must have its capitals."""


def explained(text: str) -> Iterator[tuple[str, str]]:
    """(abbreviation, the words it stands for), in reading order, as written.

    The algorithm of Schwartz and Hearst (2003): every letter of the abbreviation is found in the words before
    it, from the right, the first at the beginning of a word; at most min(n + 5, 2n) words for n letters. Only
    explanations of two words or more are given: of single words, most are mistaken.
    """
    for match in _SHORT.finditer(text):
        short = match[1]
        before = _STOP.split(text[max(0, match.start() - _REACH) : match.start()])[-1].split()
        words = _matching(short.lower(), " ".join(before[-min(len(short) + 5, 2 * len(short)) :]))
        if " " in words and short.lower() not in words.lower().split():
            yield short, words


def _matching(short: str, words: str) -> str:
    """The shortest end of `words` that has the letters of `short` in their order; empty if there is none."""
    folded = words.lower()
    if len(folded) != len(words):  # Of some letters, the small one is two characters.
        return ""
    end = len(folded)
    for place in range(len(short) - 1, -1, -1):
        end = folded.rfind(short[place], 0, end)
        while place == 0 and end > 0 and folded[end - 1].isalnum():
            end = folded.rfind(short[0], 0, end)
        if end < 0:
            return ""
    return words[words.rfind(" ", 0, end) + 1 :]


class Abbreviations:
    """Counts explanations, to tell the abbreviations that can be relied on from slips and homographs."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        """`fold` makes spellings of the same words one."""
        self._fold = fold
        self._explanations = Counter[tuple[str, str]]()
        self._capitals = Counter[str]()

    def read(self, text: str) -> None:
        """Count the explanations of a text, each once, and its words in capitals."""
        self._capitals.update(_CAPITALS.findall(text))
        self._explanations.update({(short, self._fold(words)) for short, words in explained(text)})

    def by_words(self, occurrences: Callable[[str], int]) -> Mapping[str, list[str]]:
        """The abbreviations of each sequence of words, folded; one that is a common word, too, is left out.

        `occurrences` tells how often a word stands in the texts, capitals or not.
        """
        explanations = Counter[str]()
        for (short, _), texts in self._explanations.items():
            explanations[short] += texts
        found: defaultdict[str, list[str]] = defaultdict(list)
        for (short, words), texts in sorted(self._explanations.items()):
            agreed = texts >= max(_TEXTS, _SHARE * explanations[short])
            if agreed and self._capitals[short] >= _SHARE * occurrences(self._fold(short)):
                found[words].append(self._fold(short))
        return found
