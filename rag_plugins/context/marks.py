"""Untrusted text as a prompt shows it: marked where it is doubtful, hidden or imitates delimiters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag_plugins.context.merging import Excerpt
from rag_plugins.text import file_name
from rag_plugins.types import Passage

__all__ = ["Mark", "Piece", "caption", "pieces"]

Mark: TypeAlias = Literal["text", "doubt", "end of doubt", "hidden", "delimiter", "left out"]

_LONGEST_LABEL = 200

_HIDDEN = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]+"
)
"""Zero-width characters, and those that turn the direction of text."""

_SHAPING = re.compile("[\u200c\u200d]|[\ufe00-\ufe0f]\u200d?|[\U000e0100-\U000e01ef]")
"""What scripts and emoji need after a character of theirs, one at a time."""

_DELIMITER = r"[<\uff1c]{2}\s*/?\s*(?:passage|end)\b[^<>\n]{0,300}[>\uff1e]{2}"
_REMOVED = "[marker removed]"


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of a prompt, and the part of a passage's `llm_text` that it stands for (none: start is end)."""

    text: str
    mark: Mark
    passage: Passage
    start: int
    end: int


_Edit: TypeAlias = tuple[int, int, Mark, str]
"""From, to, why, and the text that comes there instead."""


def pieces(excerpt: Excerpt, nonce: str, flag_below: float) -> Iterator[Piece]:
    """The text of an excerpt, marked: words recognised with less confidence than `flag_below` in [?…?]."""
    passage, done = excerpt.passage, excerpt.start
    text = passage.llm_text[: excerpt.end]
    edits = [edit for edit in _edits(text, nonce) if edit[1] > done]
    for start, end, mark, instead in sorted([*edits, *_doubts(excerpt, flag_below)]):
        start = max(start, done)
        if start > done:
            yield Piece(text[done:start], "text", passage, done, start)
        yield Piece(instead, mark, passage, start, max(start, end))
        done = max(start, end)
    if done < len(text):
        yield Piece(text[done:], "text", passage, done, len(text))


def caption(source: str, page: object = None, nonce: str = "") -> tuple[str, list[Mark]]:
    """File and page in one line of a prompt, and what was marked in them: names are untrusted too.

    Folders of this machine are no business of a model: of a path from the root the name is given alone.
    """
    name, marks = _label(file_name(source), nonce)
    if page is None:
        return f'source "{name}"', marks
    number, more = _label(str(page), nonce)
    return f'source "{name}", page {number}', [*marks, *more]


def _label(name: str, nonce: str) -> tuple[str, list[Mark]]:
    name, parts, done = " ".join(name.split())[:_LONGEST_LABEL], list[str](), 0
    edits = list(_edits(name, nonce))
    for start, end, _, instead in edits:
        parts += (name[done:start], instead)
        done = end
    shown = "".join([*parts, name[done:]])
    return shown.translate({ord('"'): "'", ord("<"): "_", ord(">"): "_"}), [edit[2] for edit in edits]


def _edits(text: str, nonce: str) -> Iterator[_Edit]:
    marked = "|".join(filter(None, (_DELIMITER, re.escape(nonce), _HIDDEN.pattern)))
    for match in re.finditer(marked, text, re.IGNORECASE):
        hidden = _HIDDEN.fullmatch(match.group()) is not None
        if not hidden:
            yield match.start(), match.end(), "delimiter", _REMOVED
        elif not _is_shaping(text, match):
            yield match.start(), match.end(), "hidden", _named(match.group())


def _is_shaping(text: str, run: re.Match[str]) -> bool:
    before = text[run.start() - 1 : run.start()]
    return _SHAPING.fullmatch(run.group()) is not None and not before.isascii()


def _named(run: str) -> str:
    more = f" and {len(run) - 1} more" if len(run) > 1 else ""
    return f"[U+{ord(run[0]):04X}{more}]"


def _doubts(excerpt: Excerpt, flag_below: float) -> Iterator[_Edit]:
    """Around each run of doubtful words."""
    origin = excerpt.passage.provenance
    words = origin.within(excerpt.start, excerpt.end).words if origin else ()
    run: tuple[int, int] | None = None
    for word in sorted(words, key=lambda word: word.start):
        if word.confidence is not None and word.confidence < flag_below:
            run = (max(word.start, excerpt.start) if run is None else run[0], min(word.end, excerpt.end))
        elif run is not None:
            yield from _around(*run)
            run = None
    if run is not None:
        yield from _around(*run)


def _around(start: int, end: int) -> tuple[_Edit, _Edit]:
    return (start, start, "doubt", "[?"), (end, end, "end of doubt", "?]")
