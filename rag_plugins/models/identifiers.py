"""Names as programs and parts lists write them, whole and in parts.

    snake_case  camelCase  HTTPServer  dotted.path  std::vector  3.14  AQ-310  my-app.js  --no-cache  C++

What is measured decides what is kept whole (benchmarks/identifiers.py): a/b paths and single-dash flags are
not, their parts find them as well and each whole makes a passage longer; nor are e.g. and well-known.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rag_plugins.models.words import LETTER, fold

__all__ = ["cut_identifiers"]

_NAME = rf"{LETTER}(?:{LETTER}|_|'(?={LETTER}))*"
_TOKEN = re.compile(
    rf"(?P<flag>(?<![\w-])--[A-Za-z]\w*(?:-\w+)*)"
    rf"|(?P<language>(?<!\w)(?:[Cc]\+\+|[CcFf]#))"
    rf"|(?P<name>{_NAME}(?:(?:[-./\\]|::)_*{_NAME})*)"
)
_HUMPS = re.compile(
    r"(?<=[A-Za-z][a-z0-9])(?=[A-Z][A-Za-z0-9])"  # get|User: two characters on both sides, unlike TeX, GiB
    r"|(?<=[A-Z])(?=[A-Z][a-z]{2})"  # HTTP|Server, unlike the plural IDs
)


def cut_identifiers(text: str, words: Callable[[str], list[str]]) -> list[str]:
    """The folded words of composed text, identifiers whole before their parts; `words` cuts folded text."""
    found: list[str] = []
    done = 0
    for token in _TOKEN.finditer(text):
        parts = _CUT[token.lastgroup or "name"](token[0])
        if len(parts) > 1:  # All else is cut in its context: combining marks follow the letters.
            found += words(fold(text[done : token.start()]))
            for part in parts:
                found += [part[0]] if isinstance(part, tuple) else words(fold(part))
            done = token.end()
    return found + words(fold(text[done:]))


_LONGEST = 64
"""Characters of a name; what is longer is data, and comes in parts alone."""

_Part = str | tuple[str]
"""A part, or in a tuple, folded, what is kept whole."""


def _whole(token: str) -> list[_Part]:
    return [(fold(token).removesuffix("'s"),)] if len(token) <= _LONGEST else []


def _flag(token: str) -> list[_Part]:
    return _whole(token) + _name(token[2:])


def _language(token: str) -> list[_Part]:
    return [*_whole(token), token[0]]


def _name(token: str, outermost: int = 0) -> list[_Part]:
    token = token.strip("_")
    for level, (separator, is_whole) in enumerate(_SEPARATORS[outermost:], outermost + 1):
        parts = [part for part in separator.split(token) if part]
        if len(parts) > 1:
            whole = _whole(token) if is_whole(token) else []
            return whole + [below for part in parts for below in _name(part, level)]
    humps = _HUMPS.split(token)
    return [*_whole(token), *humps] if len(humps) > 1 else [token]


_SEPARATORS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"[/\\]"), lambda token: False),
    (re.compile(r"-"), re.compile(r"[\d._]").search),
    (re.compile(r"\.|::"), re.compile(r"\d|[^\W_]{2}").search),
    (re.compile(r"_+"), lambda token: True),
)
"""Outermost first, each with what makes a name that has it worth keeping whole."""

_CUT: dict[str, Callable[[str], list[_Part]]] = {"flag": _flag, "language": _language, "name": _name}
