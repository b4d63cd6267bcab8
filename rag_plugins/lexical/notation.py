"""The characters of recall rules: which are operators, what is left out around a rule, what is escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

__all__ = [
    "QUOTES",
    "TOKEN",
    "Mark",
    "escape",
    "has_letter",
    "join",
    "marks",
    "star_once",
    "trim",
    "unescape",
]

QUOTES = '"\u201c\u201d\u201e\u201f\uff02'
"""All of them open and close a phrase."""

TOKEN = re.compile(
    rf"(?P<space>\s+)"
    rf"|[{QUOTES}](?P<phrase>(?:\\.|[^\\{QUOTES}])*)[{QUOTES}](?P<slop>~[^\s{QUOTES}]*)?"
    rf"|(?P<word>(?:\\\S|[^\\\s{QUOTES}])+)",
    re.DOTALL,
)
"""Runs of white space, phrases with what follows them, words; no match: a quote or a backslash too many."""

_ESCAPED = re.compile(r"\\([^\w\s]|_)")  # Before a letter a backslash is itself: C:\logs.


class Mark(NamedTuple):
    """A character of a word, what it is there, and where in the query it stands."""

    character: str
    kind: Literal["plain", "operator", "escaped"]
    position: int

    @property
    def operator(self) -> bool:
        """Not a character of the word."""
        return self.kind == "operator"


def marks(word: str, start: int) -> list[Mark]:
    """The characters of a word that begins at `start`, escapes undone."""
    inner = _last_inner(word)
    found: list[Mark] = []
    position = 0
    while position < len(word):
        escaped = _ESCAPED.match(word, position)
        if escaped:
            found.append(Mark(escaped[1], "escaped", start + position))
        else:
            operator = word[position] in ("*?~" if position < inner else "*~")
            found.append(Mark(word[position], "operator" if operator else "plain", start + position))
        position += 2 if escaped else 1
    return found


def _last_inner(word: str) -> int:
    """Where the last letter, digit or star stands; a question mark behind it is punctuation."""
    last = -1
    for match in re.finditer(r"\\[^\w\s]|\\_|(?P<inner>[^\W_]|\*)", word):
        last = match.start() if match["inner"] else last
    return last


def trim(word: Sequence[Mark]) -> Sequence[Mark]:
    """Without brackets before and punctuation behind."""
    start, end = 0, len(word)
    while word[start].kind == "plain" and _opens(word[start].character):
        start += 1
    while word[end - 1].kind == "plain" and not _is_letter(word[end - 1].character):
        end -= 1
    return word[start:end]


def star_once(word: Sequence[Mark]) -> list[Mark]:
    """One star for a run of them."""
    star = [mark.operator and mark.character == "*" for mark in word]
    return [mark for index, mark in enumerate(word) if not (star[index] and index and star[index - 1])]


def join(word: Sequence[Mark]) -> str:
    """The characters."""
    return "".join(mark.character for mark in word)


def unescape(text: str) -> str:
    """Marks without their backslashes."""
    return _ESCAPED.sub(r"\1", text)


def escape(text: str, operators: str, *, opening: bool = False, closing: bool = False) -> str:
    """A backslash before backslashes, quotes, the operators given, and what `trim` would leave out."""
    special = {*"\\", *QUOTES, *operators}
    ends = {0} if opening and _opens(text[0]) else set[int]()
    if closing and not _is_letter(text[-1]) and text[-1] not in "*?":
        ends.add(len(text) - 1)
    return "".join(f"\\{c}" if c in special or index in ends else c for index, c in enumerate(text))


def has_letter(text: str) -> bool:
    """Whether there is a letter or a digit."""
    return any(character.isalnum() for character in text)


def _is_letter(character: str) -> bool:
    """Letters, digits and the marks that combine with them."""
    return unicodedata.category(character)[0] in "LNM"


def _opens(character: str) -> bool:
    return character == "'" or unicodedata.category(character) in ("Ps", "Pi")
