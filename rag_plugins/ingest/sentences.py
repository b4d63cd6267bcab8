"""Text to units that a passage does not cut: sentences, table lines, list items; in any script."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_plugins.ingest.text import CJK

__all__ = ["ATOM", "Span", "count_words", "sentences"]

Span = tuple[int, int]

ATOM = re.compile(rf"[{CJK}]|[^\s{CJK}]{{1,64}}")
"""What counts as a word: a CJK character, or a run of others (64 at most, so that no word is endless)."""

_PARAGRAPH = re.compile(r"\n[^\S\n]*(?:\n\s*)+")

_END = re.compile(
    # A Latin sentence ends before white space, a CJK one anywhere; closing quotes belong to it.
    r"""(?P<latin>(?<![.!?\u2026])[.!?\u2026]++)["'\u201d\u2019\u00bb)\]]*(?=\s)|[。！？；｡]+[”’」』）】》"']*"""
)

_ITEM = re.compile(r"(?<=\n)(?=[^\S\n]*(?:\#{1,6}\s|[-*•‣▪]\s|\(?\d{1,3}[.)]\s))")
"""A heading or list item of Markdown and the like begins here."""

_TITLES = frozenset(
    "approx bzw capt cf col dgl dr esq evtl gen ggf gov hon lt maj messrs mme mr mrs ms mt prof rep rev sen "
    "sgt st usw vgl viz vs".split()
)
"""Abbreviations that do not end a sentence, whatever follows."""

_COUNTED = frozenset(
    "abb al art ca ch chap ed eq eqs fig figs no nos nr op pp pt sec str tab vol vols".split()
)
"""Words and abbreviations that do not end a sentence if a number follows."""

_LAST_WORD = re.compile(r"\w+(?:\.\w+)*$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_NUMBER_NEXT = re.compile(r"\s+\d")
_NOT_A_START = re.compile(r"\s+[a-z,;:)]")


def count_words(text: str) -> int:
    """Words as `ChunkingConfig` counts them."""
    return sum(1 for _ in ATOM.finditer(text))


def sentences(text: str) -> list[Span]:
    """Spans in order, apart, covering every character that is not white space, and without it at the ends."""
    cuts = sorted({0, len(text), *_cuts(text)})
    spans = (_trimmed(text, start, end) for start, end in zip(cuts, cuts[1:], strict=False))
    return [(start, end) for start, end in spans if start < end]


def _cuts(text: str) -> Iterator[int]:
    yield from (found.end() for found in _PARAGRAPH.finditer(text))
    yield from (found.start() for found in _ITEM.finditer(text))
    tables = list(_table_lines(text))
    for start, end in tables:
        yield start
        yield end
    inside = iter(tables)
    table = next(inside, None)
    for found in _END.finditer(text):
        while table and table[1] < found.end():
            table = next(inside, None)
        in_table = table is not None and table[0] <= found.start()
        if not in_table and not _goes_on(text, found):
            yield found.end()


def _table_lines(text: str) -> Iterator[Span]:
    for found in re.finditer(r"[^\n]+", text):
        if _is_table_line(found.group()):
            yield found.span()


def _is_table_line(line: str) -> bool:
    """Columns are set off by bars, tabs or wide gaps, or half of the entries are numbers."""
    if line.count("|") > 1 or re.search(r"\S(?:\t|\s{3,})\S", line):
        return True
    entries = line.split()
    return len(entries) > 1 and 2 * sum(any(map(str.isdigit, entry)) for entry in entries) > len(entries)


def _goes_on(text: str, found: re.Match[str]) -> bool:
    """Whether the sentence goes on after this full stop: an abbreviation, an initial, a small letter next."""
    if found["latin"] is None or _PARAGRAPH.match(text, found.end()):
        return False
    if _NOT_A_START.match(text, found.end()):
        return True
    if found["latin"] != ".":
        return False
    line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
    last = _LAST_WORD.search(line[-24:])
    word = last.group().lower() if last else ""
    return (
        word in _TITLES
        or (word in _COUNTED and _NUMBER_NEXT.match(text, found.end()) is not None)
        or _INITIALS.fullmatch(word) is not None
        or line.strip().isdigit()  # The number of a list item.
    )


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - (len(part) - len(part.rstrip()))
