"""Citations in a model's answer, as it streams: those of sources that there are, one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["checked", "invented", "uncited"]

_CITED = re.compile(r"\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
_INVENTED = re.compile(r"\[\d{1,2}\?\]")
_BEGUN = re.compile(r"\[[\d,\s]{0,20}$")


def checked(pieces: Iterable[str], sources: int) -> Iterator[str]:
    """The same text with [1, 2] as [1][2], and what cites none of so many sources as [9?]."""
    kept = ""
    for piece in pieces:
        text = kept + piece
        # A citation may come in several pieces.
        begun = _BEGUN.search(text)
        kept = text[begun.start() :] if begun else ""
        if whole := text[: len(text) - len(kept)]:
            yield _CITED.sub(lambda cited: _each(cited, sources), whole)
    if kept:
        yield kept


def invented(text: str) -> str:
    """What a checked text cites and is no source, such as "[9?], [12?]"."""
    return ", ".join(dict.fromkeys(_INVENTED.findall(text)))


def uncited(text: str) -> str:
    """The text without its citations."""
    return _CITED.sub("", text)


def _each(cited: re.Match[str], sources: int) -> str:
    numbers = (int(number) for number in cited[1].split(","))
    return "".join(f"[{number}]" if 1 <= number <= sources else f"[{number}?]" for number in numbers)
